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
	// Since is when the set was first counted; zero for as long as the report. Always on counts from then.
	Since time.Time `json:"since,omitzero"`
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
	// Hours are the paid hours of one endpoint that began in the report's time, PaidFrom the first of them.
	PaidFrom time.Time `json:"paidFrom,omitzero"`
	Hours    int       `json:"hours"`
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
	// Cold is true if no endpoints were up when it was asked for. WaitUnknown says that nobody knows how long it waited.
	Cold        bool `json:"cold"`
	WaitUnknown bool `json:"waitUnknown,omitempty"`
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

// Wait returns how long the run waited for its task, and false if it never had one or nobody knows.
func (r Run) Wait() (time.Duration, bool) {
	if r.Started.IsZero() || r.WaitUnknown {
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
	lost := 0
	for i := range r.Sets {
		lost += r.Sets[i].tidy(r.From, r.Until)
	}
	if lost > 0 {
		r.note(scheduler.Count(lost, "generation has no beginning", "generations have no beginning") + ": left out.")
	}
	skewed := 0
	for i := range r.Runs {
		x := &r.Runs[i]
		if x.contradicts() {
			skewed++
		}
		x.Cold = r.cold(*x)
	}
	if skewed > 0 {
		r.note(scheduler.Count(skewed, "run contradicts itself", "runs contradict themselves") +
			": a start before its event or an end before its start, as clocks that differ write them. Such waits are not counted.")
	}
	slices.SortStableFunc(r.Runs, func(a, b Run) int {
		return cmp.Or(a.Received.Compare(b.Received), cmp.Compare(a.ID, b.ID))
	})
	slices.SortStableFunc(r.Spans, func(a, b Span) int { return a.From.Compare(b.From) })
	bases := map[scheduler.Basis]bool{}
	for _, s := range r.Sets {
		bases[s.Basis] = true
		if s.Since.After(r.From) {
			r.note(fmt.Sprintf("Always on counts for set %s from %s, when it was first used.", s.Name, s.Since.UTC().Format("2006-01-02 15:04 UTC")))
		}
	}
	if len(bases) > 1 {
		r.note("The sets are billed on two bases, by clock hours and by hours since creation: each one's hours are counted " +
			"on its own.")
	}
	if len(r.Sets) > 0 && r.Until.Sub(r.From) > maxDays*24*time.Hour {
		r.note(fmt.Sprintf("The timeline shows the last %d days; the figures are of the whole time.", maxDays))
	}
}

// note adds a note, once.
func (r *Report) note(text string) {
	if !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// contradicts reports whether a run's times contradict each other, and mends them.
func (r *Run) contradicts() bool {
	early := !r.Started.IsZero() && r.Started.Before(r.Received)
	ends := !r.Finished.IsZero() && r.Finished.Before(r.Started)
	if ends {
		r.Finished = r.Started
	}
	r.WaitUnknown = r.WaitUnknown || early
	return early || ends
}

// tidy puts the generations in order, counts their hours and returns how many of them cannot be placed.
func (s *Set) tidy(from, until time.Time) (lost int) {
	n := len(s.Generations)
	s.Generations = slices.DeleteFunc(s.Generations, func(g Generation) bool { return g.Created.IsZero() })
	lost = n - len(s.Generations)
	slices.SortFunc(s.Generations, func(a, b Generation) int { return a.Created.Compare(b.Created) })
	slices.SortStableFunc(s.Decisions, func(a, b Decision) int { return a.At.Compare(b.At) })
	for i := range s.Generations {
		g := &s.Generations[i]
		if g.Number == 0 {
			g.Number = i + 1
		}
		if g.PaidFrom.IsZero() {
			g.pay(s.Basis, from, until)
		}
	}
	return lost
}

// pay counts the paid hours of a generation: those that began in the report's time, and the first one of a generation
// that did.
func (g *Generation) pay(basis scheduler.Basis, from, until time.Time) {
	hours := max(g.Hours, scheduler.PaidHours(basis, g.Created, g.end(until)))
	g.PaidFrom = g.Created
	if basis != scheduler.Creation {
		g.PaidFrom = g.Created.UTC().Truncate(scheduler.PaidHour)
	}
	if before := from.Sub(g.PaidFrom); g.Created.Before(from) && before > 0 {
		n := int((before + scheduler.PaidHour - 1) / scheduler.PaidHour)
		g.PaidFrom = g.PaidFrom.Add(time.Duration(n) * scheduler.PaidHour)
		hours -= n
	}
	g.Hours = max(hours, 0)
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
