// Package selftest tests on a real account what a simulation cannot show: whether
// AWS allows the installation's calls, how long they take, and how the answers
// differ from those of the simulated AWS.
//
// The same experiments run twice, against the account and against a simulation
// created for the purpose, and the evidence is compared.
package selftest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Report is what a selftest found. It holds only names, ARNs and times of the
// account: it can be sent to the maintainers of the simulation.
type Report struct {
	Version string    `json:"version"`
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	// EndpointHours is the number of started endpoint-hours, USD their cost; 0 if the
	// price is unknown.
	EndpointHours int     `json:"endpointHours"`
	USD           float64 `json:"usd"`
	// Outcome is empty if all experiments finished, else the reason.
	Outcome string `json:"outcome,omitempty"`
	// Left lists what could not be cleaned up.
	Left        []string     `json:"left,omitempty"`
	Refused     []Refusal    `json:"refused"`
	Times       []Time       `json:"times"`
	Questions   []Question   `json:"questions"`
	Differences []Difference `json:"differences"`
	// Seen is what happened in the account, Expected the same in the simulation.
	Seen     Evidence `json:"seen"`
	Expected Evidence `json:"expected"`
}

// Refusal is a call that AWS refused.
type Refusal struct {
	// Action is the denied action, Who a role or a user; both are empty for a refusal
	// of another kind.
	Action string `json:"action,omitempty"`
	Who    string `json:"who,omitempty"`
	// Text is AWS's own, Remedy the remedy: for an action the statement to add.
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// Time is how long something took; Expected is the simulation's, as it is set.
type Time struct {
	What     string  `json:"what"`
	Seconds  float64 `json:"seconds"`
	Expected float64 `json:"expectedSeconds"`
}

// Question is one that only an account can answer.
type Question struct {
	Text string `json:"question"`
	// Answer is empty if the selftest cannot tell, and How says what would.
	Answer string `json:"answer,omitempty"`
	How    string `json:"how,omitempty"`
}

// Difference is a difference between the account and the simulation.
type Difference struct {
	Kind     string `json:"kind"` // order, shape, error
	Where    string `json:"where"`
	Seen     string `json:"seen"`
	Expected string `json:"expected"`
}

// Evidence is what was seen in one place.
type Evidence struct {
	Moments []Moment `json:"moments"`
	// Shapes are the members that answers held, by operation; Errors the codes that
	// calls failed with, by operation.
	Shapes map[string][]string `json:"shapes"`
	Errors map[string][]string `json:"errors"`
	// Looks is the longest interval between two polls, in seconds: moments closer
	// together may have come in any order.
	Looks float64 `json:"secondsBetweenLooks"`
}

// Moment is when a state was first seen.
type Moment struct {
	At time.Time `json:"at"`
	// What is an experiment, a thing and its state: "standard: stack CREATE_COMPLETE".
	What string `json:"what"`
}

// note records a moment unless it was seen before.
func (e *Evidence) note(at time.Time, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if !slices.ContainsFunc(e.Moments, func(m Moment) bool { return m.What == what }) {
		e.Moments = append(e.Moments, Moment{at, what})
	}
}

// at returns when a state was first seen, and false if never.
func (e *Evidence) at(what string) (time.Time, bool) {
	i := slices.IndexFunc(e.Moments, func(m Moment) bool { return m.What == what })
	if i < 0 {
		return time.Time{}, false
	}
	return e.Moments[i].At, true
}

// spans are the durations in a report, from one moment to another.
var spans = []struct{ what, from, to string }{
	{"standard: creation until the stack is complete", "standard: asked for", "standard: stack CREATE_COMPLETE"},
	{"standard: creation until the endpoint is available", "standard: asked for", "standard: endpoint available"},
	{"standard: deletion until the stack is gone", "standard: deletion asked for", "standard: stack DELETE_COMPLETE"},
	{"standard: deletion until the endpoint is gone", "standard: deletion asked for", "standard: endpoint gone"},
	{"express: creation until the stack is complete", "express: asked for", "express: stack CREATE_COMPLETE"},
	{"express: creation until the endpoint is available", "express: asked for", "express: endpoint available"},
	{"express: deletion until the stack is gone", "express: deletion asked for", "express: stack DELETE_COMPLETE"},
	{"express: deletion until the endpoint is gone", "express: deletion asked for", "express: endpoint gone"},
	{"run: event until the stack is asked for", "run: asked for", "run: set creating"},
	{"run: creation until every endpoint is available", "run: set creating", "run: every endpoint available"},
	{"run: endpoints available until the task is asked for", "run: every endpoint available", "run: task asked for"},
	{"run: task until its image is pulled", "run: task asked for", "run: task pull begins"},
	{"run: image pull", "run: task pull begins", "run: task pull ends"},
	{"run: container", "run: task started", "run: task stopped"},
	{"run: deletion until the set is absent", "run: set deleting", "run: set absent"},
}

// times computes the durations, with those of the simulation.
func times(seen, expected Evidence) []Time {
	length := func(e Evidence, from, to string) (float64, bool) {
		a, ok := e.at(from)
		b, also := e.at(to)
		return b.Sub(a).Seconds(), ok && also
	}
	out := []Time{}
	for _, s := range spans {
		took, ok := length(seen, s.from, s.to)
		if !ok {
			continue
		}
		would, _ := length(expected, s.from, s.to)
		out = append(out, Time{s.what, took, would})
	}
	return out
}

// differences compares two pieces of evidence: what came in which order, which members
// answers held, and which errors came. A member that is missing in one of two answers
// does not count: AWS may omit empty members.
func differences(seen, expected Evidence) []Difference {
	out := []Difference{}
	for _, kind := range []string{"standard", "express", "run"} {
		if a, b := seen.order(kind), expected.order(kind); !agree(seen, expected, kind) {
			out = append(out, Difference{"order", kind, strings.Join(a, " > "), strings.Join(b, " > ")})
		}
	}
	for _, op := range operations(seen.Shapes, expected.Shapes) {
		more := without(seen.Shapes[op], expected.Shapes[op])
		if _, both := expected.Shapes[op]; both && len(more) > 0 && len(seen.Shapes[op]) > 0 {
			out = append(out, Difference{"shape", op, "also " + strings.Join(more, ", "), ""})
		}
		if fewer := without(expected.Shapes[op], seen.Shapes[op]); len(fewer) > 0 && len(seen.Shapes[op]) > 0 {
			out = append(out, Difference{"shape", op, "", "also " + strings.Join(fewer, ", ")})
		}
	}
	for _, op := range operations(seen.Errors, expected.Errors) {
		if !slices.Equal(seen.Errors[op], expected.Errors[op]) {
			out = append(out, Difference{
				"error", op, strings.Join(seen.Errors[op], ", "), strings.Join(expected.Errors[op], ", "),
			})
		}
	}
	return out
}

// order lists the moments of an experiment as they came.
func (e Evidence) order(kind string) []string {
	var list []string
	for _, m := range e.Moments {
		if what, ok := strings.CutPrefix(m.What, kind+": "); ok {
			list = append(list, what)
		}
	}
	return list
}

// agree reports whether two pieces of evidence hold the same moments of an experiment,
// and no two of them surely in another order.
func agree(a, b Evidence, kind string) bool {
	moments := a.order(kind)
	if !slices.Equal(slices.Sorted(slices.Values(moments)), slices.Sorted(slices.Values(b.order(kind)))) {
		return false
	}
	before := func(e Evidence, x, y string) bool {
		took, _ := e.between(kind+": "+x, kind+": "+y)
		return took.Seconds() > e.Looks
	}
	for _, x := range moments {
		for _, y := range moments {
			if before(a, x, y) && before(b, y, x) {
				return false
			}
		}
	}
	return true
}

func operations(a, b map[string][]string) []string {
	var out []string
	for _, m := range []map[string][]string{a, b} {
		for op := range m {
			out = append(out, op)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return slices.Contains(b, x) })
}
