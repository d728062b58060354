package replay

import (
	"container/heap"
	"fmt"
	"time"

	"drawbridge/scheduler"
	"drawbridge/scheduler/forecast"
)

// Options are the terms of a replay. Raise and lower times are exact: a creation
// takes Raise, a deletion Lower.
type Options struct {
	Basis        scheduler.Basis
	Raise, Lower time.Duration
	// MaxDelay is how long a job may wait in addition to a creation and a deletion, if
	// its own budget is not longer.
	MaxDelay time.Duration
	// WaitCost is what an hour of a job's waiting costs, HourCost an hour of the
	// whole set, in USD.
	WaitCost, HourCost float64
	// Unlearned turns off learning of run times, to show its benefit.
	Unlearned bool
}

// Period is one life of the endpoints.
type Period struct {
	Created, Available, Deleting, Deleted time.Time
}

// Job is the outcome of one arrival.
type Job struct {
	Arrived, Started, Finished time.Time
}

// Result is a schedule: the periods, and the jobs in order of the trace.
type Result struct {
	Periods []Period
	Jobs    []Job
	// Hours are the paid hours of one endpoint in one zone.
	Hours int
	// Waited is the sum of the jobs' waits.
	Waited time.Duration
	// Reasons counts the decisions by action.
	Decisions map[scheduler.Action]int
}

// leastMargin is how long before the boundary a deletion begins that takes no
// time: at the boundary itself the next hour would have started.
const leastMargin = time.Second

// Run replays a trace. Each decision comes from scheduler.Decide, which sees
// nothing of the trace but what has arrived and ended.
func Run(t Trace, o Options) (Result, error) {
	p := &player{
		options: o,
		settings: scheduler.Settings{
			Basis: o.Basis, Margin: max(o.Lower, leastMargin), Lower: o.Lower, Raise: o.Raise,
			WaitCost: o.WaitCost, HourCost: o.HourCost,
			RaiseTimeout: scheduler.DefaultRaiseTimeout + o.Raise, MaxFailures: scheduler.DefaultMaxFailures,
		},
		set:    scheduler.Set{Name: "replay", Phase: scheduler.Absent},
		result: Result{Jobs: make([]Job, len(t.Arrivals)), Decisions: map[scheduler.Action]int{}},
		trace:  t.Arrivals,
	}
	for p.advance() {
		if err := p.settle(); err != nil {
			return Result{}, fmt.Errorf("replay %s: %w", t.Name, err)
		}
	}
	for _, q := range p.result.Periods {
		p.result.Hours += scheduler.PaidHours(o.Basis, q.Created, q.Deleted)
	}
	return p.result, nil
}

// player replaces the adapters of the scheduler: it observes and changes
// endpoints that exist only here.
type player struct {
	options  Options
	settings scheduler.Settings
	trace    []Arrival
	arrived  int   // rows of the trace that have arrived
	pending  []int // rows that have arrived but not started
	now      time.Time
	set      scheduler.Set
	ends     ends // of running jobs
	ready    time.Time
	gone     time.Time
	next     time.Time // the time of the next decision
	result   Result
}

// advance moves to the next instant at which anything happens. It returns false
// when nothing will.
func (p *player) advance() bool {
	var at time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if p.arrived < len(p.trace) {
		consider(p.trace[p.arrived].At)
	}
	if len(p.ends) > 0 {
		consider(p.ends[0].at)
	}
	consider(p.ready)
	consider(p.gone)
	consider(p.next)
	if at.IsZero() {
		return false
	}
	p.now = at
	for len(p.ends) > 0 && !p.ends[0].at.After(at) {
		e := heap.Pop(&p.ends).(end)
		if !p.options.Unlearned {
			p.set.Learned = p.set.Learned.Ran(e.job, e.took)
		}
	}
	for p.arrived < len(p.trace) && !p.trace[p.arrived].At.After(at) {
		arrived := p.trace[p.arrived].At
		p.result.Jobs[p.arrived].Arrived = arrived
		p.set = p.set.Arrived(p.settings, arrived, p.set.Phase != scheduler.Available)
		p.pending = append(p.pending, p.arrived)
		p.arrived++
	}
	if p.arrived == len(p.trace) { // the trace is over: its last period ends at its boundary
		p.set.Learned.History, p.set.Learned.Luck = forecast.History{}, scheduler.Luck{}
	}
	return true
}

// settle decides and acts until the decision is to wait.
func (p *player) settle() error {
	for range 16 {
		d := scheduler.Decide(p.now, p.settings, p.set, p.demand(), p.observe())
		p.result.Decisions[d.Action]++
		p.next = time.Time{}
		if d.Action == scheduler.Wait || d.Action == scheduler.Idle {
			if p.ready.IsZero() && p.gone.IsZero() { // else the end of the change is the next look
				p.next = d.Next
			}
			return nil
		}
		if err := p.act(d); err != nil {
			return err
		}
	}
	return fmt.Errorf("decisions at %s in phase %s do not settle", p.now, p.set.Phase)
}

func (p *player) demand() scheduler.Demand {
	d := scheduler.Demand{Running: len(p.ends)}
	takes := p.set.Learned.RunTimes()
	for _, i := range p.pending {
		d.Admit(p.settings, p.set, p.waiting(i, takes), p.now)
	}
	return d
}

func (p *player) observe() scheduler.Observed {
	switch p.set.Phase {
	case scheduler.Creating:
		if p.now.Before(p.ready) {
			return scheduler.Observed{Stack: scheduler.StackBusy}
		}
		return scheduler.Observed{
			Stack: scheduler.StackComplete, Endpoints: scheduler.EndpointCount{Available: 1, FirstCreated: p.set.Since},
			AvailableSince: p.now,
		}
	case scheduler.Deleting:
		switch {
		case p.gone.IsZero():
			return scheduler.Observed{Stack: scheduler.StackComplete}
		case p.now.Before(p.gone):
			return scheduler.Observed{Stack: scheduler.StackDeleting}
		}
		return scheduler.Observed{Stack: scheduler.StackMissing}
	}
	return scheduler.Observed{}
}

func (p *player) act(d scheduler.Decision) error {
	before := p.set.Phase
	p.set = scheduler.Next(p.now, p.settings, p.set, d, p.observe())
	last := len(p.result.Periods) - 1
	switch d.Action {
	case scheduler.Create:
		p.ready = p.now.Add(p.options.Raise)
		p.result.Periods = append(p.result.Periods, Period{Created: p.now})
	case scheduler.Open:
		p.ready = time.Time{}
		p.result.Periods[last].Available = p.now
	case scheduler.Start:
		p.start()
	case scheduler.Drain, scheduler.Keep:
	case scheduler.Delete:
		if before == scheduler.Deleting {
			p.gone = p.now.Add(p.options.Lower)
			p.result.Periods[last].Deleting = p.now
		}
	case scheduler.Forget:
		p.result.Periods[last].Deleted, p.gone = p.now, time.Time{}
	default:
		return fmt.Errorf("unexpected decision %s (%s)", d.Action, d.Reason)
	}
	return nil
}

func (p *player) waiting(row int, takes func(scheduler.JobName) time.Duration) scheduler.Pending {
	a := p.trace[row]
	return scheduler.Pending{Asked: a.At, MaxDelay: max(p.options.MaxDelay, a.MaxDelay), Takes: takes(a.Job)}
}

func (p *player) start() {
	left := p.pending[:0]
	takes := p.set.Learned.RunTimes()
	for _, i := range p.pending {
		if !p.settings.StartsNow(p.set, p.waiting(i, takes), p.now) {
			left = append(left, i)
			continue
		}
		j := &p.result.Jobs[i]
		j.Started = p.now
		j.Finished = p.now.Add(p.trace[i].Duration)
		p.result.Waited += j.Started.Sub(j.Arrived)
		heap.Push(&p.ends, end{j.Finished, p.trace[i].Duration, p.trace[i].Job})
	}
	p.pending = left
}

// end is when a job ends, how long it took, and which it is.
type end struct {
	at   time.Time
	took time.Duration
	job  scheduler.JobName
}

// ends is a heap, the earliest first.
type ends []end

func (h ends) Len() int           { return len(h) }
func (h ends) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h ends) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *ends) Push(x any)        { *h = append(*h, x.(end)) }
func (h *ends) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
