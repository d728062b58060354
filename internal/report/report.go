// Package report shows what happened over a time: what was up and when, what ran, what it cost and
// what it could have cost. A Report is filled by package source; Write draws it as a page, a picture, a
// table or text. It reads nothing and asks nobody.
package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"drawbridge/scheduler"
)

// Report is what is shown. Lists may be empty; the parts that they are shown in are left out then.
type Report struct {
	// Title says what it is a report of, in a line.
	Title string `json:"title"`
	// From and Until bound the time that is reported on.
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	Sets  []Set     `json:"sets"`
	Runs  []Run     `json:"runs"`
	// Spans are holds by hand and deployments.
	Spans []Span `json:"spans"`
	// OwnUSD is what Drawbridge itself cost: functions, table, queues; nil if that is not known.
	OwnUSD *float64 `json:"ownUSD"`
	// Advice and Notes are sentences: what could be cheaper, and what the figures leave out.
	Advice   []string  `json:"advice"`
	Notes    []string  `json:"notes"`
	Promises []Promise `json:"promises"`
	// Tables are what fits none of the others.
	Tables []Table `json:"tables"`
}

// Set is an endpoint set with its generations.
type Set struct {
	Name  string          `json:"set"`
	Basis scheduler.Basis `json:"billing"`
	// Endpoints is how many endpoint-hours an hour of the set is billed as: one for each of its
	// endpoints in each zone. 0 if that is not known; then hours are those of one endpoint.
	Endpoints int `json:"endpoints"`
	// Price is that of one endpoint-hour in USD; 0 if it is not known.
	Price    float64  `json:"priceUSD"`
	Services []string `json:"services"`
	// Delay is how long a run may wait for its endpoints, in seconds: what raising and lowering take.
	Delay       float64      `json:"delay_s"`
	Generations []Generation `json:"generations"`
	Decisions   []Decision   `json:"decisions"`
}

// Generation is one life of a set's endpoints. Times that are not known, or have not come, are zero.
type Generation struct {
	Number    int       `json:"generation"`
	Created   time.Time `json:"created"`
	Available time.Time `json:"available,omitzero"`
	Deleting  time.Time `json:"deleting,omitzero"`
	Deleted   time.Time `json:"deleted,omitzero"`
	// Hours are the paid hours of one endpoint.
	Hours int `json:"hours"`
	// Failed is true if it never became available.
	Failed bool `json:"failed,omitempty"`
}

// Decision is what was decided about a set, and why.
type Decision struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"`
	Reason string    `json:"reason"`
}

// Run is a run. Times that are not known, or have not come, are zero.
type Run struct {
	ID       string    `json:"run"`
	Job      string    `json:"job"`
	Set      string    `json:"set"`
	Received time.Time `json:"received"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	// Outcome is scheduler.Outcome's word, or the state of a run that has not ended.
	Outcome  string `json:"outcome"`
	ExitCode *int   `json:"exitCode"`
	// Reason says why the run is where it is, Cause why it failed in a word.
	Reason string `json:"reason,omitempty"`
	Cause  string `json:"cause,omitempty"`
	// Cold is true if no endpoints were up when it was asked for.
	Cold bool `json:"cold"`
}

// Failed reports whether the run ended without having done its work.
func (r Run) Failed() bool {
	switch scheduler.Outcome(r.Outcome) {
	case scheduler.FailedRun, scheduler.TimedOut, scheduler.Lost, scheduler.DeadLettered:
		return true
	case scheduler.Succeeded, scheduler.Cancelled:
	}
	return false
}

// Wait returns how long the run waited for its task, and false if it never had one.
func (r Run) Wait() (time.Duration, bool) {
	if r.Started.IsZero() {
		return 0, false
	}
	return max(0, r.Started.Sub(r.Received)), true
}

// Span is a hold or a deployment.
type Span struct {
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`
	Set    string    `json:"set"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// Promise is a promise with its evidence.
type Promise struct {
	Number   int    `json:"number"`
	Name     string `json:"name"`
	Kept     bool   `json:"kept"`
	Evidence string `json:"evidence"`
}

// Table is a table of its own. Rows have as many cells as Head.
type Table struct {
	Title string     `json:"title"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
}

// Tidy puts a report in order: by time, with what can be computed from the rest. What contradicts
// itself is mended, and said in Notes: nothing is left out of the figures for it.
func (r *Report) Tidy() {
	for i := range r.Sets {
		r.Sets[i].tidy(r.Until)
	}
	skewed := 0
	for i := range r.Runs {
		x := &r.Runs[i]
		if x.before() {
			skewed++
		}
		x.Cold = r.cold(*x)
	}
	if skewed > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: a start before its event or an end before its start, as "+
			"clocks that "+
			"differ write them; such a time counts as "+
			"none.", scheduler.Count(skewed, "run contradicts itself", "runs contradict themselves")))
	}
	slices.SortStableFunc(r.Runs, func(a, b Run) int {
		return cmp.Or(a.Received.Compare(b.Received), cmp.Compare(a.ID, b.ID))
	})
	slices.SortStableFunc(r.Spans, func(a, b Span) int { return a.From.Compare(b.From) })
	bases := map[scheduler.Basis]bool{}
	for _, s := range r.Sets {
		bases[s.Basis] = true
	}
	if len(bases) > 1 {
		r.Notes = append(r.Notes, "The sets are billed on two bases, by clock hours and by hours since creation: each "+
			"one's hours are counted on its own.")
	}
}

// before mends a run whose times contradict each other, and reports whether they did.
func (r *Run) before() (skewed bool) {
	if !r.Started.IsZero() && r.Started.Before(r.Received) {
		skewed = true
	}
	if !r.Finished.IsZero() && r.Finished.Before(r.Started) {
		r.Finished, skewed = r.Started, true
	}
	return skewed
}

func (s *Set) tidy(until time.Time) {
	slices.SortFunc(s.Generations, func(a, b Generation) int { return a.Created.Compare(b.Created) })
	slices.SortStableFunc(s.Decisions, func(a, b Decision) int { return a.At.Compare(b.At) })
	for i := range s.Generations {
		g := &s.Generations[i]
		if g.Number == 0 {
			g.Number = i + 1
		}
		if g.Hours == 0 {
			g.Hours = scheduler.PaidHours(s.Basis, g.Created, g.end(until))
		}
	}
}

// end returns when a generation was gone, or until.
func (g Generation) end(until time.Time) time.Time {
	if g.Deleted.IsZero() {
		return later(until, g.Created)
	}
	return g.Deleted
}

// serves reports whether a generation's endpoints were up at an instant, and not about to go.
func (g Generation) serves(at time.Time) bool {
	gone := g.Deleting
	if gone.IsZero() {
		gone = g.Deleted
	}
	return !g.Available.IsZero() && !at.Before(g.Available) && (gone.IsZero() || at.Before(gone))
}

func (r *Report) cold(x Run) bool {
	set := r.set(x.Set)
	return set != nil && !slices.ContainsFunc(set.Generations, func(g Generation) bool { return g.serves(x.Received) })
}

func (r *Report) set(name string) *Set {
	for i := range r.Sets {
		if r.Sets[i].Name == name {
			return &r.Sets[i]
		}
	}
	return nil
}

// billed returns how many endpoint-hours an hour of the set is.
func (s Set) billed() int { return max(1, s.Endpoints) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// round returns dollars to a hundredth of a cent, and hours likewise, so that sums of floats print as they are.
func round(usd float64) float64 { return math.Round(usd*1e4) / 1e4 }
