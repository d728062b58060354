package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Action is what is to be done with a set next.
type Action string

// The actions. Wait does nothing until the decision's next look.
const (
	Wait     Action = "wait"
	Create   Action = "create"   // call CreateStack for a new or the present generation
	Open     Action = "open"     // the endpoints are usable
	Start    Action = "start"    // start the runs that wait
	Stop     Action = "stop"     // stop the tasks that have run too long
	Drain    Action = "drain"    // announce the deletion, then look at ECS again
	Reopen   Action = "reopen"   // take the announcement back
	Delete   Action = "delete"   // call DeleteStack
	Force    Action = "force"    // call DeleteStack with FORCE_DELETE_STACK
	Sweep    Action = "sweep"    // delete endpoints of ours that no stack holds
	GiveUp   Action = "give-up"  // send the waiting runs to the dead-letter queue
	Extend   Action = "extend"   // call UpdateStack with more endpoints
	Extended Action = "extended" // the endpoints that were added are usable
	Withdraw Action = "withdraw" // the endpoints that were added did not come up
	Forget   Action = "forget"   // nothing of the generation is left
	Fail     Action = "fail"     // the generation did not come up
	Ask      Action = "ask"      // ask for a run whose scheduled time has come
	Keep     Action = "keep"     // keep the idle set for another paid hour
	Abandon  Action = "abandon"  // send the runs to the dead-letter queue that ECS has refused for too long
	Idle     Action = "idle"     // nothing to do, and nothing to wait for
)

// Decision is an action, the reason for it in a sentence, and when to look
// again if nothing happens before; a zero Next means no look is needed.
type Decision struct {
	Action Action
	Reason string
	Next   time.Time
}

// Because returns the decision to take the action now.
func (a Action) Because(format string, args ...any) Decision {
	return Decision{Action: a, Reason: fmt.Sprintf(format, args...)}
}

// waitUntil returns the decision to do nothing before at.
func waitUntil(at time.Time, format string, args ...any) Decision {
	return Decision{Action: Wait, Reason: fmt.Sprintf(format, args...), Next: at}
}

// Demand sums up what asks for a set.
type Demand struct {
	// Waiting runs are to be started. Starting ones have an intent stored and
	// may have a task; Resumable is how many of them somebody left behind.
	Waiting, Starting, Resumable, Running int
	// Failed runs are those of the unstarted that a generation has already failed.
	Failed int
	// Unserved runs wait for endpoints that the set, though it is up, does not have.
	Unserved int
	// Refused runs wait because ECS refuses their tasks for the moment, until RefusedUntil
	// and for RefusedFor; Expired ones have waited for too long.
	Refused, Expired int
	RefusedUntil     time.Time
	// Capped runs wait until another of their job has ended.
	Capped     int
	RefusedFor string
	// Deferred runs wait for the next generation although the set is up, as their
	// budget allows: they do not hold it. CreateAt is when a generation has to begin at
	// the latest for the runs that wait or are deferred; zero if there are none.
	Deferred int
	CreateAt time.Time
	// Holds are holds of others than runs, the last of them until HeldUntil.
	Holds     int
	HeldUntil time.Time
	// Overdue is how many tasks have run too long, NextDeadline when the next
	// one will have.
	Overdue      int
	NextDeadline time.Time
}

// Live reports whether anything holds the set.
func (d Demand) Live() bool {
	return d.Waiting+d.Unserved+d.Starting+d.Running+d.Holds+d.Refused+d.Expired+d.Capped > 0
}

// Unstarted is the number of runs that need the set to get their task.
func (d Demand) Unstarted() int {
	return d.Waiting + d.Unserved + d.Starting + d.Refused + d.Expired + d.Capped
}

func (d Demand) String() string {
	s := fmt.Sprintf("%d running, %d starting, %d waiting", d.Running, d.Starting,
		d.Waiting+d.Unserved+d.Refused+d.Expired+d.Capped)
	if d.Holds > 0 {
		s += fmt.Sprintf(", %d held until %s", d.Holds, ClockTime(d.HeldUntil))
	}
	return s
}

// ResumeAfter is how old the intent to start a task must be before somebody
// else tries the same start again.
const ResumeAfter = 2 * time.Minute

// DemandOf sums up what asks for a set at now. A hold counts until it expires, and
// no longer than the maximum lifetime from when it was taken.
func DemandOf(runs []Run, holds []Hold, s Settings, set Set, now time.Time) Demand {
	var d Demand
	s = s.WithLearned(set.Learned)
	takes := set.Learned.RunTimes()
	busy, room := WithTask(runs), s.Room(runs)
	up := set.Phase == Available || set.Phase == Draining
	for _, r := range runs {
		if set.WaitedForFailed(r) {
			d.Failed++
		}
		switch r.State {
		case Waiting:
			refusal, refused := set.Refused[r.Job]
			switch {
			case up && !room.has(r.Job) && s.StartsNow(set, r.Pending(takes), now):
				d.Capped++
			case set.Phase == Available && !set.Serves(r):
				d.Unserved++
			case set.RefusedTooLong(r, now):
				d.Expired++
			case refused && refusal.Holds(busy, now):
				d.Refused++
				d.RefusedUntil, d.RefusedFor = Earliest(d.RefusedUntil, refusal.Until), refusal.Reason
			default:
				if up && s.StartsNow(set, r.Pending(takes), now) {
					room.Take(r.Job)
				}
				d.Admit(s, set, r.Pending(takes), now)
			}
		case Starting:
			switch {
			case r.left(now) && up && !r.Resumable(set, now):
				d.Unserved++
				continue
			case r.left(now):
				d.Resumable++
			}
			d.Starting++
		case Running:
			d.Running++
			if dl := r.Deadline(); !dl.IsZero() {
				if !dl.After(now) {
					d.Overdue++
				} else {
					d.NextDeadline = Earliest(d.NextDeadline, dl)
				}
			}
		}
	}
	for _, l := range holds {
		if until := l.Until(s); until.After(now) {
			d.Holds++
			d.HeldUntil = Latest(d.HeldUntil, until)
		}
	}
	return d
}

// room is how many more tasks of a job may run, of those that have a limit.
type room map[JobName]int

// Room counts what the runs that have a task leave.
func (s Settings) Room(runs []Run) room {
	if len(s.MaxConcurrent) == 0 {
		return nil
	}
	left := room(maps.Clone(s.MaxConcurrent))
	for _, r := range runs {
		if _, limited := left[r.Job]; limited && (r.State == Running || r.State == Starting) {
			left[r.Job]--
		}
	}
	return left
}

// has reports whether another task of the job may run.
func (m room) has(job JobName) bool {
	left, limited := m[job]
	return !limited || left > 0
}

// Take takes the place of one task, and reports whether there was one.
func (m room) Take(job JobName) bool {
	left, limited := m[job]
	if limited && left > 0 {
		m[job] = left - 1
	}
	return !limited || left > 0
}

// OthersRun reports whether another job than this one has a task.
func OthersRun(runs []Run, job JobName) bool {
	return slices.ContainsFunc(runs, func(r Run) bool {
		return r.Job != job && (r.State == Running || r.State == Starting)
	})
}

// WithTask counts the runs that have a task, or may have one.
func WithTask(runs []Run) int {
	n := 0
	for _, r := range runs {
		if r.State == Running || r.State == Starting {
			n++
		}
	}
	return n
}

// StackState sorts CloudFormation's stack statuses by what they ask for.
type StackState string

// The stack states.
const (
	// StackUnknown means that nobody looked.
	StackUnknown StackState = ""
	// StackMissing is a stack that does not exist or is deleted.
	StackMissing StackState = "missing"
	// StackBusy is a stack in creation or update.
	StackBusy StackState = "busy"
	// StackComplete is a stack whose resources are all there.
	StackComplete StackState = "complete"
	// StackRolledBack is a stack whose last update failed and was undone; what it had
	// before is there.
	StackRolledBack StackState = "rolled-back"
	// StackRollingBack is a failed stack that still undoes its resources.
	StackRollingBack StackState = "rolling-back"
	// StackBroken is a stack that can only be deleted.
	StackBroken StackState = "broken"
	// StackDeleting is a stack in deletion.
	StackDeleting StackState = "deleting"
	// StackDeleteFailed is a stack whose deletion failed.
	StackDeleteFailed StackState = "delete-failed"
	// StackForeign is a stack of the set's stack name without our owner tag.
	StackForeign StackState = "foreign"
)

// Observed is what AWS shows of a set. Which of it is looked up depends on the
// phase.
type Observed struct {
	Stack       StackState
	StackID     StackID
	StackReason string
	Endpoints   EndpointCount
	// NoCapacity says that the stack, or an endpoint, failed because a zone had no room,
	// Lasts that another try would fail for the same reason.
	NoCapacity, Lasts bool
	// AvailableSince is when all endpoints were first seen available.
	AvailableSince time.Time
	// Tasks is how many tasks ECS shows for the set that are not stopped.
	Tasks int
}

// EndpointCount counts the set's own endpoints by state.
type EndpointCount struct {
	Pending, Available, Failed, Deleting int
	// FirstCreated is when the first of them was created; zero if unknown.
	FirstCreated time.Time
	// FailureReason is why one failed, NoCapacity whether for lack of room in a zone.
	FailureReason string
	NoCapacity    bool
}

// Ready reports whether there are endpoints and all of them are available.
func (e EndpointCount) Ready() bool { return e.Available > 0 && e.Pending+e.Failed+e.Deleting == 0 }

// Any reports whether there is any endpoint, in whatever state.
func (e EndpointCount) Any() bool { return e.Pending+e.Available+e.Failed+e.Deleting > 0 }

// Left is the number of endpoints that nobody deletes yet.
func (e EndpointCount) Left() int { return e.Pending + e.Available + e.Failed }

// pollEvery and pollGoneEvery are how long to wait between two looks at a stack
// that comes up, and at one that goes, on which less depends.
const (
	PollEvery     = 3 * time.Second
	pollGoneEvery = 5 * time.Second
)

// Decide says what to do with a set at now. It is pure: the same arguments give
// the same decision. An action that changes the phase is carried out by the change
// alone; what has to be asked of AWS for it is decided in the new phase, again and
// again until AWS shows it.
func Decide(now time.Time, s Settings, set Set, d Demand, o Observed) Decision {
	s = s.WithLearned(set.Learned)
	next, prompt := s.NextDue(set, now)
	if !next.At.IsZero() && !next.At.After(now) {
		return Ask.Because("%s", next)
	}
	out := decide(now, s, set, d, o, prompt)
	if !next.At.IsZero() && (out.Action == Wait || out.Action == Idle) {
		if out.Action == Idle {
			out.Reason += "; " + next.String()
		}
		out.Action, out.Next = Wait, Earliest(out.Next, next.At)
	}
	return out
}

func decide(now time.Time, s Settings, set Set, d Demand, o Observed, prompt Due) Decision {
	switch set.Phase {
	case Creating:
		return decideCreating(now, s, set, d, o)
	case Available:
		return decideAvailable(now, s, set, d, o, prompt)
	case Draining:
		return decideDraining(now, s, set, d, o)
	case Deleting, Failed:
		return decideGone(now, set, o)
	}
	return decideAbsent(now, s, set, d, o, prompt)
}

func decideAbsent(now time.Time, s Settings, set Set, d Demand, o Observed, prompt Due) Decision {
	switch o.Stack {
	case StackUnknown, StackMissing, StackForeign:
	case StackDeleting, StackRollingBack:
		return waitUntil(now.Add(pollGoneEvery), "an earlier stack is %v", o.Stack)
	default:
		return Delete.Because("the stack is %s although the set is absent", o.Stack)
	}
	n := d.Unstarted() + d.Holds
	if n == 0 {
		return decideAhead(now, s, set, prompt)
	}
	if set.Pause != nil {
		return Idle.Because("%s; %s", set.Pause, asking(d))
	}
	if set.Hopeless(s, now) && d.Failed > 0 {
		return GiveUp.Because("%s in a row did not come up, the last one because: %s",
			Count(set.Failures, "generation"),
			set.Failure)
	}
	if now.Before(set.RetryAt) {
		return waitUntil(set.RetryAt, "%s; the next try is at %s because the last generation failed: %s", asking(d),
			ClockTime(set.RetryAt), set.Failure)
	}
	if at := set.afterPaid(); now.Before(at) {
		return waitUntil(at,
			"%s until the boundary at %s: a new set before it would pay for the same hour twice", asking(d),
			ClockTime(set.PaidUntil))
	}
	if ok, next := set.affords(s.Basis, now); !ok {
		return waitUntil(next,
			"%s until %s: the generations that failed have paid for as many hours as endpoints that are always on, "+
				"and one more", asking(d), ClockTime(next))
	}
	if set.OverBudget(s, now) {
		return overBudget(now, s, set, d)
	}
	// a set that costs nothing need not be shared
	if d.Holds == 0 && d.Unserved+d.Starting == 0 && !set.NoStack && now.Before(d.CreateAt) {
		return waitUntil(d.CreateAt, "%s and %s", asking(d), s.whyLater(d.CreateAt))
	}
	return Create.Because("%s and no endpoints are up", asking(d))
}

// clockSkew is how far ahead the clock of a machine may be: what is created at a boundary is
// created after it.
const clockSkew = time.Second

// afterPaid returns when the hour that the last generation paid for is over by any clock; zero
// if there was none.
func (s Set) afterPaid() time.Time {
	if s.PaidUntil.IsZero() {
		return time.Time{}
	}
	return s.PaidUntil.Add(clockSkew)
}

// giveUpAfter is how long generations may fail, two at least, before the runs that
// wait are given up.
const giveUpAfter = time.Hour

// WaitedForFailed reports whether a run waited for the last generation, which failed. What failed
// before it came says nothing of it: the reason may be mended.
func (s Set) WaitedForFailed(r Run) bool {
	return s.Phase == Absent && s.Failures > 0 && (r.State == Waiting || r.State == Starting) &&
		r.ReceivedAt.Before(s.Since)
}

// lasting is how many generations may fail for a reason that lasts: the second one shows that
// nobody has mended it meanwhile.
const lasting = 2

// Hopeless reports whether the runs that waited for generations which failed are to be given up: enough
// generations have failed, the last of them after any that runs were given up for.
func (s Set) Hopeless(limits Settings, now time.Time) bool {
	long := s.Failures >= 2 && !s.FailingSince.IsZero() && now.Sub(s.FailingSince) >= giveUpAfter
	return s.Failures > s.GivenUp &&
		(s.Failures >= limits.MaxFailures || long || s.FailureLasts && s.Failures >= lasting)
}

// decideAhead decides about a set that is absent and that nothing asks for.
func decideAhead(now time.Time, s Settings, set Set, prompt Due) Decision {
	nothing := Idle.Because("absent, and nothing asks for it")
	_, afforded := set.affords(s.Basis, now)
	if !prompt.At.IsZero() && set.Pause == nil && set.Failures < s.MaxFailures {
		at := Latest(s.raiseAt(prompt.At), set.afterPaid(), set.RetryAt, afforded)
		if !at.After(now) && !set.OverBudget(s, now) {
			return Create.Because("ahead: %s", prompt)
		}
		if at.After(now) {
			nothing = waitUntil(at, "absent, to be raised at %s: %s", ClockTime(at), prompt)
		}
	}
	if s.WaitCost == 0 || s.HourCost == 0 || set.Pause != nil || set.Failures > 0 || set.OverBudget(s, now) {
		return nothing
	}
	at, why := set.ahead(s, now)
	switch {
	case at.IsZero():
		return nothing
	case nothing.Action == Wait && nothing.Next.Before(at):
		return nothing
	case why == "":
		return waitUntil(at, "absent, and no run is likely enough until %s", at.UTC().Format("01-02 15:04"))
	case at.After(now):
		return waitUntil(at, "absent, to be raised ahead at %s: %s", ClockTime(at), why)
	}
	return Create.Because("ahead: %s", why)
}

// asking says what asks for a set that is absent.
func asking(d Demand) string {
	if n := d.Unstarted(); n > 0 {
		return Count(n, "run waits", "runs wait")
	}
	return "a hold asks for it until " + ClockTime(d.HeldUntil)
}

// overBudget decides what becomes of demand that the day's budget does not allow.
func overBudget(now time.Time, s Settings, set Set, d Demand) Decision {
	why := fmt.Sprintf("%d of %d endpoint-hours of today are spent and an hour takes %d (hoursPerDay)", set.spent(now),
		s.HoursPerDay, s.HoursPerHour)
	if s.FailOverBudget && d.Unstarted() > 0 {
		return GiveUp.Because("over budget: %s", why)
	}
	tomorrow := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return waitUntil(tomorrow, "%s until tomorrow: %s", asking(d), why)
}

func decideCreating(now time.Time, s Settings, set Set, d Demand, o Observed) Decision {
	late := !now.Before(set.Since.Add(s.RaiseTimeout))
	switch o.Stack {
	case StackMissing:
		if late {
			return Fail.Because("no stack after %s", s.RaiseTimeout)
		}
		return Create.Because("the generation was begun and has no stack yet")
	case StackComplete:
		if o.Endpoints.Failed > 0 {
			return Fail.Because("an endpoint failed: %s", o.Endpoints.FailureReason)
		}
		if o.Endpoints.Ready() {
			return Open.Because("%s", allAvailable(o))
		}
	case StackBusy, StackUnknown:
	case StackForeign:
		return Fail.Because("the stack's name is taken by a stack without our owner tag; delete that stack, or " +
			"choose another name: in the configuration")
	default:
		return Fail.Because("the stack is %s: %s", o.Stack, brief(o.StackReason))
	}
	if late {
		return Fail.Because("not usable after %s", s.RaiseTimeout)
	}
	return waitUntil(now.Add(PollEvery), "%d of %d endpoints are available", o.Endpoints.Available,
		o.Endpoints.Available+o.Endpoints.Pending)
}

// wakeUp is how much later than asked for a look may come.
const wakeUp = 15 * time.Second

func decideAvailable(now time.Time, s Settings, set Set, d Demand, o Observed, prompt Due) Decision {
	if out, changed := decideChanged(now, set, d, o); changed {
		return out
	}
	if d.Overdue > 0 {
		return Stop.Because("%s run longer than the maximum", Count(d.Overdue, "task has", "tasks have"))
	}
	if set.TakeDown != "" {
		if d.Running+d.Starting == 0 && set.Extension == nil {
			return Drain.Because("to be taken down: %s", set.TakeDown)
		}
		d.Waiting = 0 // nothing more is started, but for what was left: its task may be there
		d.Unserved = 0
		d.Refused = 0
		d.Expired = 0
		d.Capped = 0
	}
	if set.Pause != nil {
		d.Waiting = 0 // they wait for the end of the pause
		d.Unserved = 0
		d.Refused = 0
		d.Expired = 0
		d.Capped = 0
	}
	switch {
	case d.Expired > 0:
		return Abandon.Because("ECS has refused %s for too long", Count(d.Expired, "run"))
	case d.Waiting+d.Resumable > 0 && now.Before(set.Usable):
		return waitUntil(set.Usable, "the endpoints settle until %s", ClockTime(set.Usable))
	case d.Waiting+d.Resumable > 0:
		return Start.Because("%s", Count(d.Waiting+d.Resumable, "run waits", "runs wait"))
	case set.Extension != nil:
		return decideExtension(now, s, set, o)
	case d.Unserved > 0:
		return decideUnserved(now, s, set, d, o)
	case d.Refused > 0:
		return waitUntil(d.RefusedUntil, "ECS refuses %s for the moment (%s); the next try is at %s",
			Count(d.Refused, "run"),
			brief(d.RefusedFor), ClockTime(d.RefusedUntil))
	case d.Live():
		return decideInUse(now, s, set, d)
	}
	return decideIdle(now, s, set, d, prompt)
}

// broken says why a stack that somebody else has changed cannot serve any more;
// empty for one that can.
func broken(set Set, o Observed) string {
	switch o.Stack {
	case StackUnknown, StackRolledBack, StackBusy, StackMissing, StackForeign:
		return ""
	case StackComplete:
		if left := o.Endpoints.Available; left < set.Endpoints {
			return fmt.Sprintf("%d of %s left: the others were deleted by hand", left,
				Count(set.Endpoints, "endpoint is", "endpoints are"))
		}
		return ""
	}
	return fmt.Sprintf("the stack is %s, changed by somebody else", o.Stack)
}

// decideChanged decides about a stack that somebody else has changed, if anybody has.
// One that cannot serve drains first, so that a run which comes meanwhile is seen.
func decideChanged(now time.Time, set Set, d Demand, o Observed) (Decision, bool) {
	if o.Stack == StackMissing || o.Stack == StackForeign {
		return Forget.Because("the stack is gone, deleted by somebody else"), true
	}
	why := broken(set, o)
	switch used := d.Running+d.Starting+d.Holds > 0; {
	case why == "":
		return Decision{}, false
	case !used:
		return Drain.Because("%s", why), true
	case o.Stack == StackComplete:
		return Decision{}, false // what is left serves those that run
	}
	return waitUntil(now.Add(time.Minute), "%s, and still in use (%s)", why, d), true
}

// decideInUse says when to look again at a set that something holds.
func decideInUse(now time.Time, s Settings, set Set, d Demand) Decision {
	boundary, first, last := s.Window(set.BilledFrom, now)
	next := first
	if !now.Before(first) {
		next = last.Add(-wakeUp) // one more look before the hour is lost
		if d.Deferred > 0 && !now.Before(next) {
			next = last.Add(time.Millisecond) // then the next hour is paid, and they may start in it
		}
	}
	if !now.Before(next) {
		next = first.Add(PaidHour)
	}
	hour := PaidHours(s.Basis, set.BilledFrom, boundary)
	return waitUntil(Earliest(next, d.NextDeadline), "in use (%s) in paid hour %d, which ends at %s", d, hour,
		ClockTime(boundary))
}

// decideIdle decides about a set that nothing holds: it stays until the end of its
// paid hour, and longer for a scheduled run that it could not be raised in time for
// again, or if that is worth the hour.
func decideIdle(now time.Time, s Settings, set Set, d Demand, prompt Due) Decision {
	boundary, first, last := s.Window(set.BilledFrom, now)
	hour := PaidHours(s.Basis, set.BilledFrom, boundary)
	if now.Before(first) {
		reason := fmt.Sprintf("idle, and paid hour %d lasts until %s", hour, ClockTime(boundary))
		if d.Deferred > 0 {
			reason += "; " +
				Count(d.Deferred, "run would not end before it and waits", "runs would not end before it and wait") +
				" for the next set"
		}
		return waitUntil(first, "%s", reason)
	}
	if now.Before(set.UnknownUntil) {
		return waitUntil(set.UnknownUntil, "ECS showed tasks of the set that no run names; again at %s",
			ClockTime(set.UnknownUntil))
	}
	free := set.Pause == nil && !set.OverBudget(s, now) // to go on into another hour
	if !prompt.At.IsZero() && free && s.raiseAt(prompt.At).Before(boundary) {
		return waitUntil(last.Add(time.Millisecond), "idle, and kept over the end of paid hour %d at %s: %s", hour,
			ClockTime(boundary), prompt)
	}
	idle := fmt.Sprintf("idle at the end of paid hour %d, which ends at %s", hour, ClockTime(boundary))
	if s.WaitCost > 0 && s.HourCost > 0 && d.Deferred == 0 && !set.NoStack && free {
		if set.Learned.Luck.KeptUntil.After(boundary) {
			return waitUntil(first.Add(PaidHour), "idle, and kept until %s", ClockTime(set.Learned.Luck.KeptUntil))
		}
		keep, why := set.worth(s, now)
		if keep {
			return Keep.Because("%s; kept for another: %s", idle, why)
		}
		idle += "; " + why
	}
	return Drain.Because("%s", idle)
}

// decideUnserved decides about runs that need more than the set has.
func decideUnserved(now time.Time, s Settings, set Set, d Demand, o Observed) Decision {
	switch {
	case set.Extensions >= s.MaxFailures:
		return GiveUp.Because("the set could not be extended %s in a row: %s", Count(set.Extensions, "time"),
			set.ExtendFailure)
	case now.Before(set.ExtendAt):
		return waitUntil(set.ExtendAt, "the set could not be extended (%s); again at %s", brief(set.ExtendFailure),
			ClockTime(set.ExtendAt))
	}
	if left := o.Endpoints.Deleting + o.Endpoints.Failed; set.Extensions > 0 && (left > 0 || o.Stack == StackBusy) {
		return waitUntil(now.Add(pollGoneEvery), "what the last extension left behind is being deleted")
	}
	return Extend.Because("%s more than the set has", Count(d.Unserved, "run needs", "runs need"))
}

// decideExtension decides about endpoints that are being added.
func decideExtension(now time.Time, s Settings, set Set, o Observed) Decision {
	x := set.Extension
	switch {
	case o.Stack == StackRolledBack && o.Endpoints.Available < x.Endpoints:
		return Withdraw.Because("the stack's update failed: %s", brief(o.StackReason))
	case o.Stack == StackComplete && o.Endpoints.Ready() && o.Endpoints.Available >= x.Endpoints:
		return Extended.Because("%s", allAvailable(o))
	case now.Sub(x.Since) > s.RaiseTimeout:
		return Withdraw.Because("what was added is not usable after %s", s.RaiseTimeout)
	}
	return waitUntil(now.Add(PollEvery), "endpoints are being added; %d of %d are available", o.Endpoints.Available,
		x.Endpoints)
}

func decideDraining(now time.Time, s Settings, set Set, d Demand, o Observed) Decision {
	boundary, first, _ := s.Window(set.BilledFrom, now)
	if set.Pause != nil || set.TakeDown != "" || set.Broken != "" { // they wait for another generation
		d.Waiting = 0
		d.Unserved = 0
		d.Refused = 0
		d.Expired = 0
		d.Capped = 0
	}
	if set.TakeDown != "" {
		d.Holds = 0
	}
	switch {
	case set.Broken != "" && !d.Live() && o.Tasks == 0:
		return Fail.Because("%s", set.Broken)
	case set.TakeDown != "" && !d.Live() && o.Tasks == 0:
		return Delete.Because("taken down: %s", set.TakeDown)
	case d.Live():
		return Reopen.Because("a claim came while draining: %s", d)
	case o.Tasks > 0:
		return Reopen.Because("ECS still shows %s of the set", Count(o.Tasks, "task"))
	case now.Before(first):
		return Reopen.Because("too late to be gone by the boundary; the new hour is paid until %s", ClockTime(boundary))
	}
	return Delete.Because("idle, and ECS shows no task; gone before %s", ClockTime(boundary))
}

// MaxDeletions is how often a deletion may fail before it is forced.
const MaxDeletions = 2

func decideGone(now time.Time, set Set, o Observed) Decision {
	switch o.Stack {
	case StackUnknown, StackDeleting, StackRollingBack:
		return waitUntil(now.Add(pollGoneEvery), "the stack is %v", o.Stack)
	case StackMissing, StackForeign:
		if o.Endpoints.Left() > 0 {
			return Sweep.Because("the stack is gone and left %s behind", Count(o.Endpoints.Left(), "endpoint"))
		}
		if o.Endpoints.Deleting > 0 {
			return waitUntil(now.Add(pollGoneEvery), "%s deleting",
				Count(o.Endpoints.Deleting, "endpoint is", "endpoints are"))
		}
		return Forget.Because("nothing of generation %v is left", set.Generation)
	case StackDeleteFailed:
		if set.Deletions >= MaxDeletions {
			return Force.Because("the deletion failed %s: %s", Count(set.Deletions, "time"), brief(o.StackReason))
		}
		return Delete.Because("the deletion failed (%s); again", brief(o.StackReason))
	}
	return Delete.Because("the stack is %v and must go", o.Stack)
}

// retryAfter is the pause before the next generation after n failed in a row:
// half a minute, doubled each time, at most a quarter of an hour (which only a
// larger MaxFailures than the default reaches).
func retryAfter(n int) time.Duration {
	return min(30*time.Second<<min(max(n-1, 0), 10), 15*time.Minute)
}

// ClockTime writes an instant as reasons do: the time of day in UTC.
func ClockTime(t time.Time) string { return t.UTC().Format("15:04:05") }

// Count writes a number of things: one, or many. Without many it is one with an s.
func Count(n int, one string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(many) > 0:
		return fmt.Sprintf("%d %s", n, many[0])
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func allAvailable(o Observed) string {
	if o.Endpoints.Available == 1 {
		return "the endpoint is available"
	}
	return fmt.Sprintf("all %d endpoints are available", o.Endpoints.Available)
}
