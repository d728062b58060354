// Package reconcile carries the decisions of package scheduler out.
//
// A Reconciler loads a set, observes AWS, decides, acts by one call through one of the
// interfaces in ports.go, writes back by compare-and-swap, and does so again until
// nothing is left to do. Any step may crash; whoever comes next goes on from what is
// stored and what AWS shows.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"drawbridge/scheduler"
)

// Side says with whose rights a Reconciler acts.
type Side string

// The two sides. The launcher may create stacks and start tasks, the reaper may
// stop tasks and delete stacks; what one may not do it asks the other for.
const (
	Launcher Side = "launcher"
	Reaper   Side = "reaper"
)

var allowed = map[Side][]scheduler.Action{
	Launcher: {
		scheduler.Wait, scheduler.Idle, scheduler.Create, scheduler.Open, scheduler.Start, scheduler.Abandon,
		scheduler.Ask, scheduler.Keep, scheduler.Extend, scheduler.Extended, scheduler.Withdraw, scheduler.Reopen,
		scheduler.Fail,
	},
	Reaper: {
		scheduler.Wait, scheduler.Idle, scheduler.Open, scheduler.Stop, scheduler.Abandon, scheduler.Ask,
		scheduler.Keep, scheduler.Extended, scheduler.Withdraw, scheduler.Drain, scheduler.Reopen, scheduler.Delete,
		scheduler.Force, scheduler.Sweep, scheduler.GiveUp, scheduler.Forget, scheduler.Fail,
	},
}

// Reconciler drives sets towards what their runs ask for.
type Reconciler struct {
	ports    Ports
	side     Side
	me       string
	settings map[scheduler.SetName]scheduler.Settings
}

// New returns a Reconciler that acts with side's rights. me names this
// invocation among all others; settings holds every set of the installation.
func New(side Side, me string, settings map[scheduler.SetName]scheduler.Settings, ports Ports) *Reconciler {
	return &Reconciler{ports: ports, side: side, me: me, settings: settings}
}

// Look says how to look at a set.
type Look struct {
	// Until is when the invocation's time is nearly up.
	Until time.Time
	// Thorough compares what is stored with what AWS shows even where the phase
	// gives no reason to.
	Thorough bool
	// Patience is how long before the next look the invocation may wait for it
	// itself instead of leaving it to the timer.
	Patience time.Duration
	// HandOver is how long before the next look it asks for one with patience, where it
	// has none itself: so that a timer which is lost costs nothing.
	HandOver time.Duration
}

const (
	// leaseTime is how long a lease lasts; its holder renews it when half of it is
	// over.
	leaseTime = time.Minute
	// maxSteps bounds the steps of one reconciliation, against a loop that makes
	// no progress.
	maxSteps = 2000
	// maxFailures is how many steps in a row may fail for the moment.
	maxFailures = 20
	// maxConflicts is how many writes in a row may lose before the next look takes
	// its time.
	maxConflicts = 5
	// timerLead is how much earlier than needed a timer is set: one-time
	// schedules fire up to a minute late.
	//
	// Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
	timerLead = time.Minute
)

// view is what one step of the loop sees.
type view struct {
	set      scheduler.Set
	runs     []scheduler.Run
	holds    []scheduler.Hold
	observed scheduler.Observed
	demand   scheduler.Demand
	decision scheduler.Decision
}

// Reconcile looks at a set, decides, acts and looks again until nothing is left
// to do or look.Until is near. It returns the set as it last stood. It is safe
// to call at any time, any number of times, from any number of places.
func (r *Reconciler) Reconcile(ctx context.Context, name scheduler.SetName, look Look) (scheduler.Set, error) {
	settings, ok := r.settings[name]
	if !ok {
		return scheduler.Set{}, fmt.Errorf("reconcile set %s: no such set in the configuration", name)
	}
	var v view
	var availableSince time.Time
	failures, conflicts := 0, 0
	for step := range maxSteps {
		if err := ctx.Err(); err != nil {
			return v.set, fmt.Errorf("reconcile set %s: %w", name, err)
		}
		next, err := r.look(ctx, name, settings, look, step == 0, availableSince)
		done := false
		if errors.Is(err, errLeased) {
			return next.set, nil
		}
		if err == nil {
			v = next
			availableSince = v.observed.AvailableSince
			done, err = r.step(ctx, settings, &v, look)
		}
		switch {
		case errors.Is(err, ErrConflict): // somebody else acted: look at what it is now
			if conflicts++; conflicts > maxConflicts {
				if err := r.ports.Clock.Sleep(ctx, scheduler.PollEvery); err != nil {
					return v.set, err
				}
			}
		case errors.Is(err, ErrTemporary) && failures < maxFailures && r.ports.Clock.Now().Before(look.Until):
			failures++
			r.ports.Journal.Failed(name, "look or act", err)
			if err := r.ports.Clock.Sleep(ctx, scheduler.PollEvery); err != nil {
				return v.set, err
			}
		case done || err != nil:
			return v.set, err
		default:
			failures, conflicts = 0, 0
		}
	}
	return v.set, fmt.Errorf("reconcile set %s: no end after %d steps", name, maxSteps)
}

// errLeased ends a look of a launcher at a set that another one has the lease of.
var errLeased = errors.New("leased by another invocation")

// look loads the set, observes what its phase makes worth observing, and decides.
func (r *Reconciler) look(ctx context.Context, name scheduler.SetName, s scheduler.Settings, look Look, first bool,
	since time.Time) (view, error) {
	var v view
	var err error
	if v.set, err = r.ports.Store.LoadSet(ctx, name); err != nil {
		return v, err
	}
	if r.side == Launcher && v.set.LeasedByOther(r.me, r.ports.Clock.Now()) {
		return v, errLeased // of a burst's many launchers one is enough to read what waits
	}
	changing := v.set.Phase == scheduler.Creating || v.set.Phase == scheduler.Deleting ||
		v.set.Phase == scheduler.Failed
	if !changing || first {
		if v.runs, v.holds, err = r.ports.Store.Live(ctx, name); err != nil {
			return v, err
		}
	}
	thorough := look.Thorough && first
	if r.side == Reaper {
		if err := r.followTasks(ctx, s, &v, thorough); err != nil {
			return v, err
		}
	}
	if first && r.side == Reaper && !v.set.LeasedByOther(r.me, r.ports.Clock.Now()) {
		if err := r.learn(ctx, s, &v); err != nil {
			return v, err
		}
	}
	if err := r.observe(ctx, &v, thorough); err != nil {
		return v, err
	}
	now := r.ports.Clock.Now()
	if v.observed.Endpoints.Ready() {
		v.observed.AvailableSince = scheduler.Earliest(since, now)
	}
	v.set.Billed = v.set.Billed || v.observed.Endpoints.Any()
	v.demand = scheduler.DemandOf(v.runs, v.holds, s, v.set, now)
	v.decision = scheduler.Decide(now, s, v.set, v.demand, v.observed)
	r.ports.Journal.Decided(v.set, v.decision)
	return v, nil
}

// learn takes in what became of runs since it was last looked at.
func (r *Reconciler) learn(ctx context.Context, s scheduler.Settings, v *view) error {
	ended, err := r.ports.Store.Ended(ctx, v.set.Name, v.set.Learned.Until)
	if err != nil {
		return err
	}
	now := r.ports.Clock.Now()
	learned, ok := v.set.Learn(s, now, v.runs, ended)
	learned, noted := learned.NoteSchedules(s, now)
	if !ok && !noted {
		return nil
	}
	v.set, err = r.ports.Store.SaveSet(ctx, learned)
	return err
}

// observe asks AWS for what the phase's decision depends on.
func (r *Reconciler) observe(ctx context.Context, v *view, thorough bool) error {
	name, o := v.set.Name, &v.observed
	var err error
	stackMatters := v.set.Phase == scheduler.Creating || v.set.Phase == scheduler.Deleting ||
		v.set.Phase == scheduler.Failed || v.set.Extension != nil ||
		v.set.Phase == scheduler.Available && v.set.Extensions > 0 // what the extension left behind has to go first
	if v.set.NoStack && v.set.Phase == scheduler.Available {
		return nil
	}
	if stackMatters || thorough {
		seen, err := r.ports.Stacks.Stack(ctx, name, v.set.StackID)
		if err != nil {
			return err
		}
		o.Stack = seen.State
		o.StackID = seen.ID
		o.StackReason = seen.Reason
		o.NoCapacity = seen.NoCapacity
		o.Lasts = seen.Lasts
		v.adopt(seen)
	}
	if stackMatters || thorough && v.set.Phase == scheduler.Available {
		switch o.Stack {
		case scheduler.StackBusy, scheduler.StackDeleting: // what it holds is asked when it has come to rest
			o.Endpoints, err = r.ports.Stacks.Coming(ctx, name)
		default:
			o.Endpoints, err = r.ports.Stacks.Endpoints(ctx, name, v.set.StackID,
				o.Stack == scheduler.StackMissing || o.Stack == scheduler.StackForeign)
		}
		if err != nil {
			return err
		}
		o.NoCapacity = o.NoCapacity || o.Endpoints.NoCapacity
	}
	if v.set.Phase == scheduler.Draining && r.side == Reaper {
		if o.Tasks, err = r.ports.Tasks.Active(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// adopt takes over the id of the generation's stack if nobody could store it: the
// answer of the call that made it came late, or was lost.
func (v *view) adopt(seen StackSeen) {
	if v.set.StackID == "" && seen.ID != "" && seen.Generation == v.set.Generation &&
		seen.State != scheduler.StackMissing && seen.State != scheduler.StackForeign {
		v.set.StackID = seen.ID
	}
}

// followTasks compares running runs with ECS where a lost task event would cost
// an hour or keep a run for ever: at the end of a paid hour, while draining, and
// when the look is thorough. Starts that were left behind are looked up always.
// The runs in v are then as they stand.
func (r *Reconciler) followTasks(ctx context.Context, s scheduler.Settings, v *view, thorough bool) error {
	now := r.ports.Clock.Now()
	_, first, _ := s.WithLearned(v.set.Learned).Window(v.set.BilledFrom, now)
	costly := thorough || !now.Before(first)
	var asked []scheduler.Run
	for _, run := range v.runs {
		if costly && run.State == scheduler.Running ||
			run.State == scheduler.Starting && now.Sub(run.StartingAt) >= scheduler.ResumeAfter {
			asked = append(asked, run)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	found, err := r.ports.Tasks.Describe(ctx, asked)
	if err != nil {
		return err
	}
	for _, run := range asked {
		if t, ok := found[run.ID]; ok && t.Stopped {
			found[run.ID] = r.explained(ctx, run, t)
		}
		after, changed := followed(run, found, now)
		if !changed {
			continue
		}
		if err := r.conclude(ctx, after, run.State); errors.Is(err, ErrConflict) {
			continue // it has gone on meanwhile
		} else if err != nil {
			return err
		}
		i := slices.IndexFunc(v.runs, func(x scheduler.Run) bool { return x.ID == run.ID })
		if v.runs[i] = after; after.State == scheduler.Finished {
			v.runs = slices.Delete(v.runs, i, i+1)
		}
	}
	return nil
}

// lostAfter is how long after its start a task that ECS no longer knows is
// taken for lost. A task is shown for about an hour after it has stopped, and a
// fresh one may not be shown at once.
const lostAfter = 5 * time.Minute

// untried is how long after it was recorded a run that nobody is known to have tried waits like any other: ECS would
// show its task, and for as long again the token still names that.
const untried = tokenHolds / 2

// followed returns the run as ECS shows its task, and whether it has changed.
func followed(run scheduler.Run, found map[scheduler.RunID]scheduler.Task, now time.Time) (scheduler.Run, bool) {
	t, ok := found[run.ID]
	switch {
	case ok && t.Stopped:
		return run.Conclude(t, now), true
	case ok && run.State == scheduler.Starting: // its start was never recorded
		run.State = scheduler.Running
		run.TaskARN = t.ARN
		run.StartedAt = scheduler.Latest(t.StartedAt, run.StartingAt)
		run.Reason = "its task runs"
		return run, true
	case !ok && run.State == scheduler.Starting && run.Untried && now.Sub(run.StartingAt) >= untried &&
		now.Sub(run.StartingAt) <= tokenHolds:
		run.State = scheduler.Waiting
		run.Reason = waits
		return run, true
	case !ok && run.State == scheduler.Running && now.Sub(run.StartedAt) > lostAfter:
		run.State = scheduler.Finished
		run.Outcome = scheduler.Lost
		run.FinishedAt = now
		run.Reason = "ECS no longer knows the task, and its end was never reported"
		return run, true
	}
	return run, false
}

// conclude writes the run after its task has stopped and tells the journal. from are
// the states that it may be stored in.
func (r *Reconciler) conclude(ctx context.Context, run scheduler.Run, from ...scheduler.RunState) error {
	if run.State == scheduler.Finished {
		run.RecordedAt = r.ports.Clock.Now()
	}
	if err := r.ports.Store.Advance(ctx, []scheduler.Run{run}, from...); err != nil {
		return err
	}
	if run.Cause != "" && run.State != scheduler.Running {
		r.ports.Journal.Explained(run)
	}
	if run.State == scheduler.Finished {
		r.ports.Journal.Ended(run)
		if err := r.ports.Waker.Ended(ctx, run); err != nil { // who waits for it looks by itself, too
			r.ports.Journal.Failed(run.Set, "tell the end of "+string(run.ID), err)
		}
	}
	return nil
}

// explained returns a stopped task with its explanation. One that cannot be had is
// done without: the task's own words are kept.
func (r *Reconciler) explained(ctx context.Context, run scheduler.Run, t scheduler.Task) scheduler.Task {
	if !run.StopAsked.IsZero() {
		return t
	}
	e, err := r.ports.Explainer.Explain(ctx, run, t)
	if err != nil {
		r.ports.Journal.Failed(run.Set, "explain task", err)
		return t
	}
	t.Explanation = e
	return t
}

// step carries out one decision. done means that this invocation has nothing
// more to do with the set.
func (r *Reconciler) step(ctx context.Context, s scheduler.Settings, v *view, look Look) (done bool, err error) {
	now := r.ports.Clock.Now()
	if r.leftToHolder(*v, now) {
		return true, nil // the set's own timer, its stack's events and the sweep stand by
	}
	if !r.may(*v) {
		return true, r.handOver(ctx, v)
	}
	if !now.Before(look.Until) && v.decision.Action != scheduler.Idle && v.decision.Action != scheduler.Wait {
		return true, r.handOn(ctx, v)
	}
	switch v.decision.Action {
	case scheduler.Wait:
		return r.wait(ctx, v, look)
	case scheduler.Idle:
		return true, nil
	case scheduler.Start:
		return false, r.startAll(ctx, v, look)
	}
	return false, r.act(ctx, s, v)
}

// leftToHolder reports whether the next step is left to the invocation that holds the
// lease. No other one writes the set then: the holder's own writes would lose against
// it.
func (r *Reconciler) leftToHolder(v view, now time.Time) bool {
	if !v.set.LeasedByOther(r.me, now) {
		return false
	}
	switch v.decision.Action {
	case scheduler.Stop, scheduler.Drain, scheduler.Reopen, scheduler.Delete,
		scheduler.Force, scheduler.Sweep, scheduler.Forget:
		return false // what a holder has not begun, or does not do
	}
	return true
}

// may reports whether this side does what was decided. Only the reaper sees the tasks of
// a set that drains: the launcher reopens such a set, and does not end it.
func (r *Reconciler) may(v view) bool {
	if r.side == Launcher && v.set.Phase == scheduler.Draining {
		return v.decision.Action == scheduler.Reopen
	}
	return slices.Contains(allowed[r.side], v.decision.Action)
}

// handOver asks the other side for what this side may not do.
func (r *Reconciler) handOver(ctx context.Context, v *view) error {
	if err := r.unlease(ctx, v); err != nil {
		return err
	}
	reason := string(v.decision.Action) + ": " + v.decision.Reason
	if r.side == Reaper {
		return r.ports.Waker.Launcher(ctx, v.set.Name, reason)
	}
	return r.ports.Waker.Reaper(ctx, v.set.Name, reason)
}

// handOn asks for another invocation of this side because time is nearly up.
func (r *Reconciler) handOn(ctx context.Context, v *view) error {
	if err := r.unlease(ctx, v); err != nil {
		return err
	}
	reason := "resumed: " + v.decision.Reason
	if r.side == Reaper {
		return r.ports.Waker.Reaper(ctx, v.set.Name, reason)
	}
	return r.ports.Waker.Launcher(ctx, v.set.Name, reason)
}

// unlease gives up the lease, if it is ours.
func (r *Reconciler) unlease(ctx context.Context, v *view) (err error) {
	if v.set.LeaseHolder != r.me {
		return nil
	}
	v.set.Lease = scheduler.Lease{}
	v.set, err = r.ports.Store.SaveSet(ctx, v.set)
	return err
}

// wait sleeps until the decision's next look if this invocation is the one to
// wait, and leaves it to the timer otherwise.
func (r *Reconciler) wait(ctx context.Context, v *view, look Look) (done bool, err error) {
	now, next := r.ports.Clock.Now(), v.decision.Next
	if !next.After(now) {
		next = now.Add(scheduler.PollEvery)
	}
	if !r.mine(v, next.Sub(now), look) || next.After(look.Until) {
		if v.set.LeaseHolder == r.me {
			if err := r.unlease(ctx, v); err != nil {
				return false, err
			}
			if next.After(look.Until) && r.needsLease(v) {
				return true, r.handOn(ctx, v)
			}
			return false, nil // a run may have been left to us before the release
		}
		if v.set.Extension != nil && !v.set.Timer.After(now) {
			next = now.Add(leaseTime + timerLead) // the holder, the stack's events and the sweep come first
		}
		if (v.set.Phase == scheduler.Creating || v.set.Extension != nil) && v.set.Timer.After(now) {
			return true, nil // its stack's events and its timer stand by
		}
		if r.side == Reaper && next.Sub(now) <= look.HandOver {
			if err := r.ports.Waker.Reaper(ctx, v.set.Name,
				"to be there at "+scheduler.ClockTime(next)+": "+v.decision.Reason); err != nil {
				r.ports.Journal.Failed(v.set.Name, "hand over", err) // the timer stands by
			}
		}
		return true, r.setTimer(ctx, v, next)
	}
	if r.needsLease(v) {
		if err := r.lease(ctx, v); err != nil {
			return false, err
		}
	}
	pause := next.Sub(now)
	if v.demand.Refused > 0 {
		pause = min(pause, refusedLook) // another run may come, or one may end and make room
	}
	changing := v.set.Phase == scheduler.Creating || v.set.Phase == scheduler.Deleting ||
		v.set.Phase == scheduler.Failed || v.set.Extension != nil
	if changing && pause >= scheduler.PollEvery { // what is due sooner is not taken for due already
		pause = jitter(pause, v.set, now)
	}
	return false, r.ports.Clock.Sleep(ctx, pause)
}

// refusedLook is how long the holder waits at most for runs that ECS refuses before
// it looks at the others.
const refusedLook = 10 * time.Second

// needsLease reports whether waiting on the set is work for the holder of the lease.
func (r *Reconciler) needsLease(v *view) bool {
	if r.side != Launcher {
		return v.set.Phase == scheduler.Deleting || v.set.Phase == scheduler.Failed
	}
	return v.set.Phase == scheduler.Creating ||
		v.set.Phase == scheduler.Available &&
			(v.set.Usable.After(r.ports.Clock.Now()) || v.set.Extension != nil || v.demand.Refused > 0)
}

// mine reports whether this invocation waits itself: a launcher for its endpoints,
// a reaper for a deletion to end or for a boundary that is close.
// Both wait for the second of a scheduled run that is close: a timer is not exact.
func (r *Reconciler) mine(v *view, pause time.Duration, look Look) bool {
	if pause <= 2*timerLead && r.dueWithin(v, pause) && (r.side == Launcher || look.Patience > 0) {
		return true
	}
	if r.side == Launcher || r.needsLease(v) {
		return r.needsLease(v)
	}
	return pause <= look.Patience && v.set.Phase != scheduler.Creating && v.set.Extension == nil
}

// dueWithin reports whether a scheduled time comes when the pause ends.
func (r *Reconciler) dueWithin(v *view, pause time.Duration) bool {
	now := r.ports.Clock.Now()
	next, _ := r.settings[v.set.Name].NextDue(v.set, now)
	return v.set.Phase == scheduler.Available && !next.At.IsZero() && !next.At.After(now.Add(pause))
}

// jitter moves a pause by up to a second either way, the same for the same set
// and instant, so that pollers of several sets do not fall into step.
func jitter(d time.Duration, set scheduler.Set, now time.Time) time.Duration {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d %d", set.Name, set.Generation, now.UnixMilli())
	return d + time.Duration(int(h.Sum32()%1001)-500)*2*time.Millisecond
}

// lease takes the lease for this invocation, or renews it.
func (r *Reconciler) lease(ctx context.Context, v *view) (err error) {
	now := r.ports.Clock.Now()
	if v.set.LeaseHolder == r.me && v.set.LeasedUntil.Sub(now) > leaseTime/2 {
		return nil
	}
	v.set.Lease = scheduler.Lease{LeaseHolder: r.me, LeasedUntil: now.Add(leaseTime)}
	v.set, err = r.ports.Store.SaveSet(ctx, v.set)
	return err
}

// timerSoonest is how far ahead a timer is set at least: one whose time has come when
// Scheduler takes it is refused.
const timerSoonest = 5 * time.Second

// timerAt returns when a timer has to be set to, so that it fires by at.
func (r *Reconciler) timerAt(at time.Time) time.Time {
	at = at.Add(-timerLead).Truncate(time.Second)
	soonest := r.ports.Clock.Now().Add(timerSoonest).Truncate(time.Second).Add(time.Second)
	if at.Before(soonest) {
		return soonest
	}
	return at
}

// setTimer makes sure that somebody looks at the set at the instant at.
func (r *Reconciler) setTimer(ctx context.Context, v *view, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	now := r.ports.Clock.Now()
	at = r.timerAt(at)
	if v.set.Timer.Equal(at) || v.set.Timer.After(now) && v.set.Timer.Before(at) && at.Sub(v.set.Timer) < timerLead {
		return nil
	}
	before := v.set.Timer
	if !before.After(now) {
		before = time.Time{}
	}
	next := v.set
	next.Timer, next.TimerFailure = at, ""
	if err := r.ports.Timers.Set(ctx, v.set.Name, before, at); err != nil {
		r.ports.Journal.Failed(v.set.Name, "set timer", err)
		next.Timer, next.TimerFailure = before, withHint(err) // the sweep looks at the set all the same
		if next.TimerFailure == v.set.TimerFailure {
			return nil
		}
	}
	return r.save(ctx, v, next)
}

func (r *Reconciler) entry(v view) scheduler.Entry {
	return scheduler.Entry{
		At: r.ports.Clock.Now(), Generation: v.set.Generation, Phase: v.set.Phase, Action: v.decision.Action,
		Reason: v.decision.Reason,
	}
}
