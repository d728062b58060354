package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"drawbridge/scheduler"
)

// act carries out a decision that changes the set. Where the stored phase
// changes too, the write comes first and AWS is called in a later step, from
// what is stored then: a crash in between leaves a phase whose decision is to
// make the same call.
func (r *Reconciler) act(ctx context.Context, s scheduler.Settings, v *view) error {
	if v.decision.Action == scheduler.Forget && v.set.Deletions >= scheduler.MaxDeletions {
		// A forced deletion leaves behind what it could not delete; by now nothing
		// holds on to it any more.
		if err := r.ports.Stacks.Sweep(ctx, v.set.Name, v.set.StackID); err != nil {
			return r.again(ctx, v, "sweep", err)
		}
	}
	next := scheduler.Next(r.ports.Clock.Now(), s, v.set, v.decision, v.observed)
	if next.Phase == scheduler.Creating && v.set.Phase != scheduler.Creating {
		next.Lease = scheduler.Lease{LeaseHolder: r.me, LeasedUntil: next.Since.Add(leaseTime)}
	}
	if next.Phase != v.set.Phase {
		return r.save(ctx, v, next)
	}
	switch v.decision.Action {
	case scheduler.Extended, scheduler.Withdraw, scheduler.Keep:
		return r.save(ctx, v, next)
	case scheduler.Ask:
		due, _ := s.NextDue(v.set, r.ports.Clock.Now())
		if err := r.ports.Waker.Event(ctx, due.Job, due.Event()); err != nil {
			return r.again(ctx, v, "ask for the scheduled run", err)
		}
		return r.save(ctx, v, next)
	case scheduler.Extend:
		return r.extend(ctx, v)
	case scheduler.Create:
		return r.create(ctx, s, v)
	case scheduler.Delete, scheduler.Force:
		return r.delete(ctx, v)
	case scheduler.Sweep:
		if err := r.ports.Stacks.Sweep(ctx, v.set.Name, v.set.StackID); err != nil {
			return r.again(ctx, v, "sweep", err)
		}
		return r.ports.Clock.Sleep(ctx, scheduler.PollEvery)
	case scheduler.GiveUp:
		return r.giveUp(ctx, v)
	case scheduler.Abandon:
		return r.abandon(ctx, v)
	case scheduler.Stop:
		return r.stopOverdue(ctx, v)
	}
	return fmt.Errorf("reconcile set %s: no way to %s", v.set.Name, v.decision.Action)
}

func (r *Reconciler) save(ctx context.Context, v *view, next scheduler.Set) error {
	basis := r.settings[next.Name].Basis
	counted, hours := v.set.CountHours(basis, r.ports.Clock.Now())
	if next.Phase == scheduler.Absent && v.set.Phase == scheduler.Failed && !v.set.Billed {
		counted, hours = counted.Refund(), 0
	}
	next.Day = counted.Day
	next.DayHours = counted.DayHours
	next.TotalHours = counted.TotalHours
	next.CountedSince, next.Always = counted.CountedSince, counted.Always
	next.AlwaysPerHour = r.settings[next.Name].HoursPerHour
	next.Hours, next.HoursSince = counted.Hours, counted.HoursSince
	if next.Generation == counted.Generation {
		next.Counted = counted.Counted
	}
	before := v.set
	saved, err := r.ports.Store.SaveSet(ctx, next.Remember(r.entry(*v)))
	if err != nil {
		return err
	}
	v.set = saved
	if saved.Phase != before.Phase {
		r.ports.Journal.Entered(before, saved, v.decision)
	}
	if hours > 0 {
		r.ports.Journal.Paid(saved, hours)
	}
	return nil
}

// create plans and asks for the stack. What cannot be planned, or is refused,
// fails the generation with the reason; a temporary failure is tried again.
func (r *Reconciler) create(ctx context.Context, s scheduler.Settings, v *view) error {
	p, err := r.ports.Stacks.Prepare(ctx, v.set.Name, r.wish(v))
	if err == nil && p.Nothing {
		v.decision = scheduler.Open.Because("endpoints of others serve the whole set: %s", p.Summary)
		next := scheduler.Next(r.ports.Clock.Now(), s, v.set, v.decision, v.observed)
		next.NoStack = true
		next.Usable = next.Since
		next.Services = p.Services
		return r.save(ctx, v, next)
	}
	if err == nil { // what the generation will hold is known before there is anything of it
		if err := r.announce(ctx, v, p); err != nil {
			return err
		}
	}
	var id scheduler.StackID
	if err == nil {
		id, err = r.ports.Stacks.Create(ctx, v.set.Name, lifeOf(v.set), p)
	}
	if errors.Is(err, ErrTemporary) {
		return r.again(ctx, v, "create", err)
	}
	if err != nil {
		r.ports.Journal.Failed(v.set.Name, "create", err)
		return r.fail(ctx, s, v, withHint(err))
	}
	if v.set.StackID == id {
		return r.ports.Clock.Sleep(ctx, scheduler.PollEvery) // it is there, and a read does not show it yet
	}
	next := v.set
	next.StackID = id
	if err := r.save(ctx, v, next); err != nil {
		return err
	}
	// A timer stands by from the start, so that the set is looked at even if
	// this invocation, the stack's events and the sweep all fail.
	return r.setTimer(ctx, v, r.ports.Clock.Now().Add(createStandBy))
}

// createStandBy is how long after a stack was asked for somebody looks at the latest.
const createStandBy = 15 * time.Minute

// life names the present generation.
func lifeOf(s scheduler.Set) LifeID {
	since := s.Begun
	if since.IsZero() { // begun by a version that did not record it
		since = s.Since
	}
	return LifeID{s.Generation, since}
}

// announce writes down what a generation will hold. It writes also what stands there already: an
// invocation that was stopped for minutes finds that the set has gone on, and creates nothing
// for a generation that is over. A second plan of the same
// generation does not tell which of the two the stack is made from, if the answer to
// the first was lost: what both hold is served for sure, and the dearer one is paid.
func (r *Reconciler) announce(ctx context.Context, v *view, p Prepared) error {
	next := v.set
	next.Services = p.Services
	next.PerHour = p.PerHour
	next.Zones = p.Zones
	if v.set.PerHour > 0 {
		next.PerHour = max(p.PerHour, v.set.PerHour)
		next.Services = slices.DeleteFunc(slices.Clone(p.Services), func(n string) bool {
			return !slices.Contains(v.set.Services, n)
		})
	}
	return r.save(ctx, v, next)
}

// extend adds to a set that is up what its runs need in addition. Tasks that run are not
// touched: what is there stays as it is.
func (r *Reconciler) extend(ctx context.Context, v *view) error {
	p, err := r.ports.Stacks.Prepare(ctx, v.set.Name, r.wish(v))
	next := v.set
	now := r.ports.Clock.Now()
	switch {
	case err != nil:
	case p.Nothing && v.set.NoStack:
		next.Services = scheduler.Union(v.set.Services, p.Services)
		return r.save(ctx, v, next)
	case v.set.NoStack: // the first endpoint of its own
		if err := r.save(ctx, v, v.set); err != nil { // nothing is created for a generation that is over
			return err
		}
		next = v.set
		next.NoStack = false
		next.BilledFrom = now
		next.Counted = 0
		next.Zones = p.Zones
		next.StackID, err = r.ports.Stacks.Create(ctx, v.set.Name, lifeOf(v.set), p)
	default:
		if v.set.StackID == "" { // by a version that lost it
			seen, err := r.ports.Stacks.Stack(ctx, v.set.Name, "")
			if err != nil {
				return err
			}
			if v.adopt(seen); v.set.StackID == "" {
				return r.save(ctx, v, v.set.Withdraw(now, "the set's stack is not known"))
			}
			next.StackID = v.set.StackID
		}
		p.Endpoints, p.PerHour, err = r.ports.Stacks.Extend(ctx, v.set.Name, v.set.StackID, lifeOf(v.set),
			v.set.Extensions, p)
	}
	if errors.Is(err, ErrTemporary) {
		return r.again(ctx, v, "extend", err)
	}
	if err != nil {
		r.ports.Journal.Failed(v.set.Name, "extend", err)
		return r.save(ctx, v, v.set.Withdraw(now, withHint(err)))
	}
	more := max(p.PerHour-v.set.PerHour, 0)
	next.PerHour = p.PerHour
	next.Extension = &scheduler.Extension{
		Since: now, Services: scheduler.Union(v.set.Services, p.Services), Endpoints: p.Endpoints,
		Before: v.set.PerHour, Zones: p.Zones,
	}
	next.Lease = scheduler.Lease{LeaseHolder: r.me, LeasedUntil: now.Add(leaseTime)}
	if err := r.save(ctx, v, next); err != nil {
		return err
	}
	if next.Counted > 0 && more > 0 { // the hour that has begun counts for them too
		return r.count(ctx, v, more)
	}
	return nil
}

// count counts endpoint-hours that begin outside of the set's own rhythm.
func (r *Reconciler) count(ctx context.Context, v *view, hours int) error {
	next := v.set
	next.DayHours += hours
	next.TotalHours += hours
	saved, err := r.ports.Store.SaveSet(ctx, next)
	if err != nil {
		return err
	}
	v.set = saved
	r.ports.Journal.Paid(saved, hours)
	return nil
}

// wish returns what a plan for the set has to take into account.
func (r *Reconciler) wish(v *view) Wish {
	w := Wish{Needs: needsOf(v.runs)}
	if r.ports.Clock.Now().Before(v.set.AvoidUntil) {
		w.AvoidZones = v.set.AvoidZones
	}
	return w
}

// needsOf returns what runs that wait need, each service once.
func needsOf(runs []scheduler.Run) []string {
	var out []string
	for _, r := range runs {
		if r.State == scheduler.Waiting || r.State == scheduler.Starting {
			out = append(out, r.Needs...)
		}
	}
	return scheduler.Union(out, nil)
}

// again reports a temporary failure and pauses before the next look.
func (r *Reconciler) again(ctx context.Context, v *view, effect string, err error) error {
	r.ports.Journal.Failed(v.set.Name, effect, err)
	if !errors.Is(err, ErrTemporary) {
		return err
	}
	return r.ports.Clock.Sleep(ctx, scheduler.PollEvery)
}

// withHint returns the error's text with its remedy.
func withHint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return err.Error() + "; " + h.Hint()
	}
	return err.Error()
}

func (r *Reconciler) fail(ctx context.Context, s scheduler.Settings, v *view, reason string) error {
	v.decision = scheduler.Fail.Because("%s", reason)
	return r.save(ctx, v, scheduler.Next(r.ports.Clock.Now(), s, v.set, v.decision, v.observed))
}

func (r *Reconciler) delete(ctx context.Context, v *view) error {
	if v.observed.Stack == scheduler.StackDeleteFailed {
		next := v.set
		next.Deletions++
		if err := r.save(ctx, v, next); err != nil {
			return err
		}
	}
	id := v.observed.StackID
	if err := r.ports.Stacks.Delete(ctx, v.set.Name, id, v.decision.Action == scheduler.Force); err != nil {
		return r.again(ctx, v, "delete", err)
	}
	return r.ports.Clock.Sleep(ctx, scheduler.PollEvery)
}

// giveUp sends the waiting runs to the dead-letter queue, but for those that came after
// the last generation failed. The letter goes first: a crash in between sends it twice
// rather than never.
func (r *Reconciler) giveUp(ctx context.Context, v *view) error {
	if err := r.lease(ctx, v); err != nil { // so that no second one sends them too
		return err
	}
	up := v.set.Phase == scheduler.Available // then only those that it cannot serve
	hopeless := !up && v.set.Hopeless(r.settings[v.set.Name], r.ports.Clock.Now())
	for _, run := range v.runs {
		if hopeless && !v.set.WaitedForFailed(run) {
			continue
		}
		if run.State != scheduler.Waiting && run.State != scheduler.Starting ||
			up && (run.State == scheduler.Starting || v.set.Serves(run)) {
			continue
		}
		if _, err := r.deadLetter(ctx, run, v.decision.Reason); err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
	}
	next := v.set
	next.GivenUp = v.set.Failures
	next.Extensions = 0
	next.Lease = scheduler.Lease{}
	return r.save(ctx, v, next)
}

// abandon sends the runs to the dead-letter queue that ECS has refused for too long.
func (r *Reconciler) abandon(ctx context.Context, v *view) error {
	if err := r.lease(ctx, v); err != nil { // so that no second one sends them too
		return err
	}
	now := r.ports.Clock.Now()
	for _, run := range v.runs {
		refusal := v.set.Refused[run.Job]
		since := v.set.RefusedSince(run)
		if run.State != scheduler.Waiting || !v.set.RefusedTooLong(run, now) {
			continue
		}
		reason := fmt.Sprintf("ECS has refused its task since %s, for longer than the startTimeout of %s: %s",
			scheduler.ClockTime(since), run.RefusalTimeout(), refusal.Reason)
		if _, err := r.deadLetter(ctx, run, reason); err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return nil
}

// deadLetter ends a run in the dead-letter queue with the reason.
func (r *Reconciler) deadLetter(ctx context.Context, run scheduler.Run, reason string) (scheduler.Run, error) {
	run.Reason = reason
	if run.SourceApart && len(run.Source) == 0 {
		source, err := r.ports.Store.Source(ctx, run)
		if err != nil {
			return run, err
		}
		run.Source = source
	}
	if err := r.ports.DeadLetters.Send(ctx, run); err != nil {
		return run, err
	}
	from := run.State
	run.State = scheduler.Finished
	run.Outcome = scheduler.DeadLettered
	run.FinishedAt = r.ports.Clock.Now()
	return run, r.conclude(ctx, run, from)
}

// stopOverdue asks ECS to stop the tasks that have run too long. The intent is
// stored first, so that the end is known for what it is.
func (r *Reconciler) stopOverdue(ctx context.Context, v *view) error {
	now := r.ports.Clock.Now()
	for _, run := range v.runs {
		dl := run.Deadline()
		if dl.IsZero() || dl.After(now) {
			continue
		}
		if run.StopAsked = now; run.CancelledBy == "" {
			run.Reason = fmt.Sprintf("ran longer than its maximum of %s", run.MaxRuntime)
		}
		err := r.ports.Store.Advance(ctx, []scheduler.Run{run}, scheduler.Running)
		if errors.Is(err, ErrConflict) {
			continue // it has ended by itself
		}
		if err != nil {
			return err
		}
		if err := r.ports.Tasks.Stop(ctx, run, "drawbridge: "+run.Reason); err != nil {
			return r.again(ctx, v, "stop task", err)
		}
	}
	return nil
}
