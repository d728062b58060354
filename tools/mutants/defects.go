package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// defect is a mistake that somebody could make, designed to break a promise: in a file, one text in place of another.
// internal/explore has more of them, of the ports.
type defect struct {
	name    string
	promise int
	file    string
	from    string
	to      string
	// tests are the packages whose tests have to notice.
	tests string
}

var defects = []defect{
	{
		name: "a stack is made for a generation that is over", promise: 6, file: "scheduler/reconcile/act.go",
		from:  "if err := r.announce(ctx, v, p); err != nil {",
		to:    "if err := r.announce(ctx, v, p); err != nil && !errors.Is(err, ErrConflict) {",
		tests: explored,
	},
	{
		name: "no second look at ECS", promise: 2, file: "scheduler/decide.go",
		from: "case o.Tasks > 0:", to: "case o.Tasks > 1000:", tests: decided,
	},
	{
		name: "the margin is off by an hour", promise: 5, file: "scheduler/set.go",
		from:  "return boundary, boundary.Add(-s.Margin), last",
		to:    "return boundary, boundary.Add(PaidHour - s.Margin), last.Add(PaidHour)",
		tests: decided,
	},
	{
		name: "a hold does not expire", promise: 5, file: "scheduler/decide.go",
		from: "until := l.Until(s); until.After(now) {", to: "until := l.Until(s); until.After(now) || true {",
		tests: decided,
	},
	{
		name: "the earliest end of several holds passes for the last", promise: 2, file: "scheduler/decide.go",
		from: "d.HeldUntil = Latest(d.HeldUntil, until)", to: "d.HeldUntil = Earliest(d.HeldUntil, until)",
		tests: decided,
	},
	{
		name: "the latest deadline of several runs passes for the next", promise: 5, file: "scheduler/decide.go",
		from: "d.NextDeadline = Earliest(d.NextDeadline, dl)", to: "d.NextDeadline = Latest(d.NextDeadline, dl)",
		tests: decided,
	},
	{
		name: "a token without the attempt", promise: 3, file: "scheduler/run.go",
		from:  `fmt.Appendf(nil, "%s\n%s\n%d", r.Set, r.ID, r.Attempt)`,
		to:    `fmt.Appendf(nil, "%s\n%s\n%d", r.Set, r.ID, 1)`,
		tests: decided,
	},
	{
		name: "a task is started before its intent is stored", promise: 3, file: "scheduler/reconcile/start.go",
		from: `	if err := r.ports.Store.Begin(ctx, set, begun, fresh); err != nil {
		return nil, err
	}
	return begun, r.startBegun(ctx, begun, true)`,
		to: `	if err := r.startBegun(ctx, begun, true); err != nil {
		return nil, err
	}
	return begun, r.ports.Store.Begin(ctx, set, begun, fresh)`,
		tests: explored,
	},
	{
		name: "the version of a set is not checked", promise: 3, file: "internal/store/store.go",
		from:  `aws.String("#version = :before")`,
		to:    `aws.String("#version = :before OR #version <> :before")`,
		tests: "./internal/store ./internal/explore",
	},
	{
		name: "a stack whose id was not stored is not adopted", promise: 5, file: "scheduler/reconcile/reconcile.go",
		from:  `if v.set.StackID == "" && seen.ID != ""`,
		to:    `if v.set.StackID == "never" && seen.ID != ""`,
		tests: explored,
	},
	{
		name: "failures are forgotten at a give-up", promise: 6, file: "scheduler/reconcile/act.go",
		from: "next.GivenUp = v.set.Failures", to: "next.Failures = 0", tests: explored,
	},
	{
		name: "runs that are being started do not count", promise: 2, file: "scheduler/decide.go",
		from: "			d.Starting++\n", to: "", tests: decided,
	},
	{
		name: "a run is finished before its dead letter is sent", promise: 3, file: "scheduler/reconcile/act.go",
		from: `	if err := r.ports.DeadLetters.Send(ctx, run); err != nil {
		return run, err
	}
	from := run.State`,
		to: `	defer func() { _ = r.ports.DeadLetters.Send(ctx, run) }()
	from := run.State`,
		tests: explored,
	},
	{
		name: "an hour is paid twice", promise: 6, file: "scheduler/decide.go",
		from:  "if at := set.afterPaid(); now.Before(at) {",
		to:    "if at := set.afterPaid(); now.Before(at) && at.IsZero() {",
		tests: decided,
	},
	{
		name: "a start that was left is another attempt", promise: 3, file: "scheduler/reconcile/start.go",
		from: `		run.Untried = false
		return run, true
	}
	if run.Untried {`,
		to: `		run.Untried = false
		run.Attempt++
		return run, true
	}
	if run.Untried {`,
		tests: explored,
	},
	{
		name: "a stack without our owner tag is ours", promise: 7, file: "cfn/stacks.go",
		from: "			v.State = Foreign\n", to: "			v.State += \"\"\n", tests: "./cfn",
	},
}

// portDefects is the test that looks for defects of the ports.
const portDefects = "TestDesignedDefectsAreFound"

// explored and decided are the packages whose tests hold the loop and the decisions.
const (
	explored = "./internal/explore"
	decided  = "./scheduler ./internal/explore"
)

// designed sees that the tests notice each defect.
func designed(ctx context.Context, dir string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	sound := map[string]bool{}
	for _, d := range defects { // a test that fails by itself notices nothing
		if sound[d.tests] {
			continue
		}
		args := append([]string{"test", "-vet=off", "-short"}, strings.Fields(d.tests)...)
		if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("without a defect: %w\n%s", err, out)
		}
		sound[d.tests] = true
	}
	missed := 0
	for _, d := range defects {
		source, err := os.ReadFile(d.file)
		if err != nil {
			return err
		}
		if n := strings.Count(string(source), d.from); n != 1 {
			return fmt.Errorf("defect %q: %s holds %d times: %s", d.name, d.file, n, d.from)
		}
		to := filepath.Join(dir, "defect.go")
		if err := os.WriteFile(to, []byte(strings.Replace(string(source), d.from, d.to, 1)), 0o600); err != nil {
			return err
		}
		text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, d.file): to}})
		if err != nil {
			return err
		}
		overlay := filepath.Join(dir, "defect.json")
		if err := os.WriteFile(overlay, text, 0o600); err != nil {
			return err
		}
		// a defect that hides another one is not noticed by that
		args := []string{"test", "-overlay", overlay, "-vet=off", "-failfast", "-short", "-skip", portDefects}
		args = append(args, strings.Fields(d.tests)...)
		out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil:
			missed++
			fmt.Printf("NOT NOTICED  %s (promise %d)\n", d.name, d.promise)
		case !errors.As(err, &exit) || strings.Contains(string(out), "[build failed]"):
			return fmt.Errorf("defect %q: %w\n%s", d.name, err, out)
		default:
			fmt.Printf("noticed      %s (promise %d) by %s\n", d.name, d.promise, firstFailure(string(out)))
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d designed defects are not noticed", missed, len(defects))
	}
	return nil
}

// firstFailure returns the test that failed first.
func firstFailure(out string) string {
	for line := range strings.Lines(out) {
		if _, name, ok := strings.Cut(line, "--- FAIL: "); ok {
			return strings.Fields(name)[0]
		}
	}
	return "a panic"
}
