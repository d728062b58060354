package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// defect is a mistake that somebody could make, designed to break a promise: in a file, one text in place of another. Beside these stand
// the defects of the ports, which internal/explore finds by itself.
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
	{"a stack is made for a generation that is over", 6, "scheduler/reconcile/act.go",
		"if err := r.announce(ctx, v, p); err != nil {", "if err := r.announce(ctx, v, p); err != nil && !errors.Is(err, ErrConflict) {",
		"./internal/explore"},
	{"no second look at ECS", 2, "scheduler/decide.go", "case o.Tasks > 0:", "case o.Tasks > 1000:", "./scheduler ./internal/explore"},
	{"the margin is off by an hour", 5, "scheduler/set.go",
		"return boundary, boundary.Add(-s.Margin), last", "return boundary, boundary.Add(PaidHour - s.Margin), last.Add(PaidHour)",
		"./scheduler ./internal/explore"},
	{"a hold does not expire", 5, "scheduler/decide.go",
		"until := l.Until(s); until.After(now) {", "until := l.Until(s); until.After(now) || true {", "./scheduler ./internal/explore"},
	{"the earliest end of several holds passes for the last", 2, "scheduler/decide.go",
		"d.HeldUntil = Latest(d.HeldUntil, until)", "d.HeldUntil = Earliest(d.HeldUntil, until)", "./scheduler"},
	{"the latest deadline of several runs passes for the next", 5, "scheduler/decide.go",
		"d.NextDeadline = Earliest(d.NextDeadline, dl)", "d.NextDeadline = Latest(d.NextDeadline, dl)", "./scheduler"},
	{"a token without the attempt", 3, "scheduler/run.go",
		`fmt.Appendf(nil, "%s\n%s\n%d", r.Set, r.ID, r.Attempt)`, `fmt.Appendf(nil, "%s\n%s\n%d", r.Set, r.ID, 1)`,
		"./scheduler ./internal/explore"},
	{"a task is started before its intent is stored", 3, "scheduler/reconcile/start.go",
		`	if err := r.ports.Store.Begin(ctx, set, begun, fresh); err != nil {
		return nil, err
	}
	return begun, r.startBegun(ctx, begun, true)`,
		`	if err := r.startBegun(ctx, begun, true); err != nil {
		return nil, err
	}
	return begun, r.ports.Store.Begin(ctx, set, begun, fresh)`, "./internal/explore"},
	{"the version of a set is not checked", 3, "internal/store/store.go",
		`aws.String("#version = :before")`, `aws.String("#version = :before OR #version <> :before")`, "./internal/store"},
	{"a stack whose id was not stored is not adopted", 5, "scheduler/reconcile/reconcile.go",
		`if v.set.StackID == "" && seen.ID != ""`, `if v.set.StackID == "never" && seen.ID != ""`, "./internal/explore"},
	{"failures are forgotten at a give-up", 6, "scheduler/reconcile/act.go",
		"next.GivenUp = v.set.Failures", "next.Failures = 0", "./internal/explore"},
	{"runs that are being started do not count", 2, "scheduler/decide.go", "			d.Starting++\n", "", "./scheduler ./internal/explore"},
	{"a run is finished before its dead letter is sent", 3, "scheduler/reconcile/act.go",
		"if err := r.ports.DeadLetters.Send(ctx, run); err != nil {\n		return run, err\n	}\n	from := run.State",
		"defer func() { _ = r.ports.DeadLetters.Send(ctx, run) }()\n	from := run.State", "./internal/explore"},
	{"an hour is paid twice", 6, "scheduler/decide.go",
		"if at := set.afterPaid(); now.Before(at) {", "if at := set.afterPaid(); now.Before(at) && at.IsZero() {", "./scheduler ./internal/explore"},
	{"a start that was left is another attempt", 3, "scheduler/reconcile/start.go",
		"		run.Untried = false\n		return run, true\n	}\n	if run.Untried {", "		run.Untried = false\n		run.Attempt++\n		return run, true\n	}\n	if run.Untried {",
		"./internal/explore"},
	{"a stack without our owner tag is ours", 7, "cfn/stacks.go", "			v.State = Foreign\n", "			v.State = v.State + \"\"\n", "./cfn"},
}

// designed sees that the tests notice each defect.
func designed(dir string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
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
		args := append([]string{"test", "-overlay", overlay, "-vet=off", "-failfast", "-short"}, strings.Fields(d.tests)...)
		out, err := exec.Command("go", args...).CombinedOutput()
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
