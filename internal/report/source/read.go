// Package source fills reports: from an installation, and from what demo, simulate, drill, audit and a sandbox's
// ledger say as JSON.
package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"drawbridge/internal/demo"
	"drawbridge/internal/hint"
	"drawbridge/internal/report"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/view"
	"drawbridge/scheduler"
)

// longest is the longest time that a report is of: what is longer has its times in other units.
const longest = 25 * 366 * 24 * time.Hour

// remedy says what can be read.
const remedy = "give what demo, simulate, drill, audit or report print with -o json or --format json, or the " +
	"answer of a sandbox's " +
	"GET /_sim/ledger"

// Read makes a report of a JSON document; what it is shows in its fields. Name is the file's, for errors.
func Read(name string, text []byte) (report.Report, error) {
	r, err := read(text)
	if err != nil {
		var place *json.SyntaxError
		if errors.As(err, &place) {
			line := 1 + bytes.Count(text[:min(int(place.Offset), len(text))], []byte("\n"))
			err = fmt.Errorf("line %d: %w", line, err)
		}
		return r, hint.With(fmt.Errorf("%s: %w", name, err), remedy)
	}
	if len(r.Sets) > 0 && (r.From.IsZero() || r.Until.Sub(r.From) > longest) {
		return r, hint.With(fmt.Errorf("%s: it covers %s to %s, more than 25 years", name,
			r.From.UTC().Format(time.DateOnly), r.Until.UTC().Format(time.DateOnly)), "times are seconds since 1970, or RFC 3339")
	}
	if r.Until.Before(r.From) {
		return r, hint.With(fmt.Errorf("%s: it ends at %s, before it begins at %s", name, scheduler.ClockTime(r.Until),
			scheduler.ClockTime(r.From)), remedy)
	}
	r.Tidy()
	price(&r)
	if len(r.Advice) == 0 {
		if err := advise(&r); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

// File makes a report of a file, or of what in holds where the file is "-".
func File(name string, in io.Reader) (report.Report, error) {
	if name == "-" {
		text, err := io.ReadAll(in)
		if err != nil {
			return report.Report{}, err
		}
		return Read("standard input", text)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return report.Report{}, hint.With(err, remedy)
	}
	return Read(name, text)
}

func read(text []byte) (report.Report, error) {
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return report.Report{}, errors.New("it is empty")
	}
	if text[0] == '[' {
		var all []view.Simulated
		if err := json.Unmarshal(text, &all); err != nil {
			return report.Report{}, err
		}
		return simulated(all)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return report.Report{}, err
	}
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return fields[n] == nil })
	}
	switch {
	case has("title", "sets", "runs"):
		var r report.Report
		return r, json.Unmarshal(text, &r)
	case has("day", "periods", "costs"):
		return decoded(text, demoed)
	case has("drills", "seed"):
		return decoded(text, drilled)
	case has("vpcs", "account"):
		return decoded(text, audited)
	case has("now", "endpoints", "tasks"):
		return decoded(text, ledger)
	}
	return report.Report{}, errors.New("this JSON is not a format that report understands")
}

func decoded[T any](text []byte, make func(T) (report.Report, error)) (report.Report, error) {
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		return report.Report{}, err
	}
	return make(v)
}

// demoed is the report of a day of the demo.
func demoed(d demo.Report) (report.Report, error) {
	if len(d.Runs) == 0 {
		return report.Report{}, errors.New("the day has no run")
	}
	from := d.Runs[0].Arrived.Truncate(24 * time.Hour)
	r := report.Report{
		Title: "Drawbridge on a simulated AWS: " + d.Day, From: from, Until: from.Add(24 * time.Hour),
		Promises: promises(d.Promises),
		Notes: []string{
			"Arrivals are the pushes of a day to a public git repository. The launcher and the reaper are the " +
				"real ones; AWS is simulated, and its prices are those of us-east-1.",
		},
	}
	set := report.Set{
		Name: "main", Basis: scheduler.Clock, Endpoints: d.Endpoints, Price: demo.Price, Delay: delay.Seconds(),
		Services: d.Services,
	}
	for _, p := range d.Periods {
		r.Until = scheduler.Latest(r.Until, p.Deleted)
		set.Generations = append(set.Generations, generation(p))
	}
	for _, x := range d.Decisions {
		set.Decisions = append(set.Decisions, report.Decision{At: x.At, Action: string(x.Action), Reason: x.Reason})
	}
	r.Sets = []report.Set{set}
	for _, x := range d.Runs {
		code := x.ExitCode
		r.Runs = append(r.Runs, report.Run{
			ID: "build/" + x.ID, Job: "build", Set: "main", Received: x.Arrived, Started: x.Started,
			Finished: x.Finished,
			Outcome:  outcome(x.Finished, &code), ExitCode: &code,
		})
	}
	for _, c := range d.Costs {
		if c.Interrupted > 0 {
			r.Notes = append(
				r.Notes,
				fmt.Sprintf("%s: %d paid hours of each endpoint, which are taken from under %s.", c.Name, c.Hours,
					scheduler.Count(c.Interrupted, "running task")),
			)
		}
	}
	return r, nil
}

// delay is how long a run may wait for its endpoints where nothing else is said: raising and lowering.
const delay = scheduler.DefaultRaise + 2*time.Minute

func generation(p sandbox.Period) report.Generation {
	return report.Generation{
		Created: p.Created, Available: p.Available, Deleting: p.Deleting, Deleted: p.Deleted, Hours: p.PaidHours,
		Failed: p.Failed,
	}
}

func outcome(finished time.Time, code *int) string {
	switch {
	case finished.IsZero():
		return string(scheduler.Running)
	case code != nil && *code == 0:
		return string(scheduler.Succeeded)
	}
	return string(scheduler.FailedRun)
}

func promises(all []sandbox.Promise) []report.Promise {
	var out []report.Promise
	for _, p := range all {
		out = append(out, report.Promise(p))
	}
	return out
}

// simulated is the report of traces: a set each.
func simulated(all []view.Simulated) (report.Report, error) {
	r := report.Report{Title: "Arrivals replayed in virtual time"}
	if len(all) == 1 {
		r.Title = "Arrivals of " + all[0].Trace + ", replayed in virtual time"
	}
	seen := map[string]int{}
	for _, s := range all {
		name := s.Trace
		if seen[s.Trace]++; seen[s.Trace] > 1 {
			name = fmt.Sprintf("%s (%d)", s.Trace, seen[s.Trace])
		}
		set := report.Set{Name: name, Basis: s.Billing, Price: s.HourUSD, Delay: s.Delay}
		for _, p := range s.Periods {
			set.Generations = append(set.Generations, report.Generation{
				Created: epoch(p.Created), Available: epoch(p.Available), Deleting: epoch(p.Deleting), Deleted: epoch(p.Deleted),
			})
			span(&r, epoch(p.Created), epoch(p.Deleted))
		}
		for i, j := range s.Jobs {
			r.Runs = append(r.Runs, report.Run{
				ID: fmt.Sprintf("%s/%d", name, i+1), Job: name, Set: name, Received: epoch(j.Arrived), Started: epoch(j.Started),
				Finished: epoch(j.Finished), Outcome: string(scheduler.Succeeded),
			})
			span(&r, epoch(j.Arrived), epoch(j.Finished))
		}
		r.Sets = append(r.Sets, set)
	}
	if len(r.Sets) == 0 {
		return r, errors.New("there is no trace in it")
	}
	r.Notes = append(
		r.Notes,
		"Hours are those of one endpoint in one zone; dollars are those of all that simulate was told of.",
	)
	return r, nil
}
