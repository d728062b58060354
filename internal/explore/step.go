package explore

import (
	"slices"
	"strings"
	"time"

	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// Variant is a way in which a step goes; the zero value is the way that it goes mostly.
type Variant uint8

// The variants. Those of calls come first.
const (
	AsUsual Variant = iota
	// Unavailable is a call that fails for the moment, without effect.
	Unavailable
	// LostReply is a call that takes effect and whose reply is lost, LostConflict one that the SDK makes
	// again then, and that meets itself.
	LostReply
	LostConflict
	// CrashBefore and CrashAfter kill the invocation before and after a call.
	CrashBefore
	CrashAfter
	// Hangs and HangsLong are calls that reach AWS late.
	Hangs
	HangsLong
	// Stale is a read that shows what was.
	Stale
	// Refused is a call that is refused for good, NoCapacity one that is refused for the moment.
	Refused
	NoCapacity
	// Throttled is a call that came too soon.
	Throttled
	// Fails, FailsAgain and Slow are stacks and tasks that come to nothing, or take long.
	Fails
	FailsAgain
	Slow
	// Twice, Late and Never are invocations that come so.
	Twice
	Late
	Never
	// Ahead and Behind are invocations on a machine whose clock is wrong.
	Ahead
	Behind
	variants
)

var variantNames = [variants]string{
	"as usual", "unavailable", "reply lost", "reply lost, then a conflict", "killed before", "killed after",
	"hangs 1 s", "hangs 150 s", "stale", "refused", "no capacity", "throttled", "fails",
	"fails for a lasting reason", "slow",
	"twice", "late", "never", "clock ahead", "clock behind",
}

func (v Variant) String() string { return variantNames[v] }

// How late what is late comes, and how wrong a clock is.
const (
	hangs     = time.Second
	hangsLong = 150 * time.Second
	comesLate = 70 * time.Second
	skewed    = time.Second
)

// what is the next thing that happens in a world.
type what uint8

const (
	nothing what = iota
	aCall
	aDelivery
	aStack
	aTask
	aStep
	aWait
)

type action struct {
	what what
	i    int
	at   time.Time // of aWait
}

// next returns what happens next in the order of time.
func (w *world) next() action {
	first := -1
	for i, inv := range w.flight {
		if inv.wakes.After(w.now) {
			continue
		}
		if inv.id == w.current {
			return action{what: aCall, i: i}
		}
		if first < 0 {
			first = i
		}
	}
	if first >= 0 {
		return action{what: aCall, i: first}
	}
	soonest := action{what: nothing}
	consider := func(a action) {
		if !a.at.IsZero() && (soonest.what == nothing || a.at.Before(soonest.at)) {
			soonest = a
		}
	}
	for i := range w.queue {
		consider(action{aDelivery, i, w.queue[i].at})
	}
	for i := range w.stacks {
		consider(action{aStack, i, w.stacks[i].changes})
		if w.stacks[i].leftUntil.After(w.now) {
			consider(action{aWait, i, w.stacks[i].leftUntil})
		}
	}
	for i := range w.tasks {
		consider(action{aTask, i, w.tasks[i].changes})
	}
	if w.step < len(w.Script) {
		consider(action{aStep, 0, Epoch.Add(w.Script[w.step].At)})
	}
	for i, inv := range w.flight {
		consider(action{aWait, i, inv.wakes})
	}
	consider(action{aWait, -1, w.swept.Add(sweepEvery)})
	return soonest
}

var (
	writes    = []Variant{Unavailable, LostReply, CrashBefore, CrashAfter, Hangs, HangsLong}
	putAlone  = append(slices.Clone(writes), LostConflict)
	reads     = []Variant{Unavailable}
	callWrong = [callKinds][]Variant{
		loadSet: append(slices.Clone(reads), Hangs, HangsLong), saveSet: putAlone,
		live: append(slices.Clone(reads), Hangs, HangsLong), ended: reads, record: putAlone, recordAll: writes,
		begin: writes, advance: putAlone, advanceAll: writes, loadRun: reads,
		prepare: append(slices.Clone(reads), Refused), extend: append(slices.Clone(writes), Fails, Refused),
		create:        append(slices.Clone(writes), Fails, FailsAgain, Slow, Refused),
		describeStack: append(slices.Clone(reads), Stale), countEndpoints: reads,
		deleteStack: append(slices.Clone(writes), Fails), sweepEndpoints: writes, readNeeds: reads,
		startTasks:    append(slices.Clone(writes), Fails, Slow, NoCapacity, Throttled, Refused),
		countTasks:    append(slices.Clone(reads), Stale, Hangs, HangsLong),
		describeTasks: append(slices.Clone(reads), Stale),
		stopTask:      writes, setTimer: writes, wakeLauncher: writes, wakeReaper: writes, askRun: writes,
		sendLetter: writes,
		sleep:      {CrashBefore},
	}
	deliveryWrong = [...][]Variant{
		submit: {Twice, Late}, launcherWake: {Twice, Late, Ahead, Behind}, reaperWake: {Twice, Late},
		timer: {Twice, Late, Never, Ahead, Behind}, stackChanged: {Late, Never}, sweep: {Never, Ahead, Behind},
		taskStopped: {Twice, Late, Never},
	}
)

// wrongs returns what may go wrong with the next thing.
func (w *world) wrongs(a action) []Variant {
	switch a.what {
	case aCall:
		c := w.flight[a.i].pending
		out := callWrong[c.kind]
		if !slices.Contains(out, Stale) {
			return out
		}
		stale := w.tasksAreStale()
		if c.kind == describeStack {
			stale = slices.ContainsFunc(w.Sets, func(s Set) bool { return w.isStale(s.Name) })
		}
		if !stale {
			return slices.DeleteFunc(slices.Clone(out), func(v Variant) bool { return v == Stale })
		}
		return out
	case aDelivery:
		return deliveryWrong[w.queue[a.i].kind]
	}
	return nil
}

// label names things of a kind, for stories: a call by an invocation, or the beginning of one.
type label uint16

const (
	begins label = label(kinds) * label(callKinds)
	others label = begins + label(kinds)
	labels       = others + 1
)

func (l label) String() string {
	switch {
	case l < begins:
		return kindNames[l/label(callKinds)] + " " + callNames[l%label(callKinds)]
	case l < others:
		return kindNames[l-begins]
	}
	return "other"
}

func (w *world) label(a action) label {
	switch a.what {
	case aCall:
		return label(w.flight[a.i].kind)*label(callKinds) + label(w.flight[a.i].pending.kind)
	case aDelivery:
		return begins + label(w.queue[a.i].kind)
	}
	return others
}

// apply lets the next thing happen in one way.
func (w *world) apply(a action, v Variant) {
	w.counts[w.label(a)]++
	if v != AsUsual {
		w.wrong++
	}
	if !a.at.IsZero() && a.at.After(w.now) {
		w.noteNeeds(a.at)
		w.now, w.instant = a.at, 0
	}
	switch a.what {
	case aCall:
		w.call(w.flight[a.i], v)
	case aDelivery:
		w.deliver(a.i, v)
	case aStack:
		w.changeStack(&w.stacks[a.i])
	case aTask:
		w.changeTask(&w.tasks[a.i])
	case aStep:
		w.perform(w.Script[w.step])
	case aWait:
		if w.swept.Add(sweepEvery).Equal(w.now) {
			w.swept = w.now
			w.send(delivery{at: w.now, kind: sweep})
		}
	}
	if w.instant++; w.instant > atOnce {
		w.breaks(3, "more than %d things happen at once: nobody gets anywhere", atOnce)
	}
	w.checkTime()
}

// atOnce is more than ever happens at one instant where somebody gets somewhere.
const atOnce = 250

// call goes on with an invocation by the call that it stands at.
func (w *world) call(inv *invocation, v Variant) {
	w.current = inv.id
	c := inv.pending
	late := inv.wakes
	inv.wakes = time.Time{}
	if v == AsUsual && w.now.Sub(inv.began) > functionTakes {
		w.tell("%s has taken all its time", inv.name())
		v = CrashBefore
	}
	if w.trace != nil && c.kind != sleep {
		how := ""
		if v != AsUsual {
			how = ": " + v.String()
		}
		w.tell("%s %s%s", inv.name(), c.kind, how)
	}
	switch {
	case v == CrashBefore:
		w.crash(inv)
		return
	case v == Hangs:
		inv.wakes = w.now.Add(hangs)
		return
	case v == HangsLong:
		inv.wakes = w.now.Add(hangsLong)
		return
	case c.kind == sleep && late.IsZero():
		inv.wakes = w.now.Add(c.sleep)
		return
	}
	var r reply
	switch {
	case c.kind == sleep:
	case v == Unavailable:
		r = fail(reconcile.ErrTemporary, "%s: unavailable", c.kind)
	default:
		r = c.do(w, v)
	}
	switch {
	case r.err != nil:
	case v == LostReply:
		r = fail(reconcile.ErrTemporary, "%s: the reply is lost", c.kind)
	case v == LostConflict:
		known := r
		r = fail(reconcile.ErrConflict, "%s: met itself", c.kind)
		if c.kind == record { // what is there is what was written
			known = reply{v: w.runs[len(w.runs)-1], sum: w.runs[len(w.runs)-1].sum}
		}
		r.v, r.sum = known.v, known.sum
	}
	if v == CrashAfter {
		w.crash(inv)
		return
	}
	r.now = w.now
	if !inv.take(r) {
		w.leaves(inv)
		w.returned(inv)
	}
}

func (w *world) leaves(inv *invocation) {
	inv.drop()
	w.flight = slices.DeleteFunc(w.flight, func(x *invocation) bool { return x == inv })
}

// crash kills an invocation; who invoked it does so again.
func (w *world) crash(inv *invocation) {
	w.leaves(inv)
	d := inv.delivery
	d.skew = 0
	switch d.kind {
	case submit: // the message stays hidden for as long as a function may take
		w.again(d, functionTakes, 20)
	case sweep:
	default:
		w.again(d, time.Duration(d.tries+1)*time.Minute, 3)
	}
}

// returned is the end of an invocation that was not killed.
func (w *world) returned(inv *invocation) {
	if inv.err == nil {
		return
	}
	w.tell("%s failed: %v", inv.name(), inv.err)
	d := inv.delivery
	d.skew = 0
	switch d.kind {
	case submit:
		w.again(d, min(30*time.Second<<min(d.tries, 6), 10*time.Minute), 20)
	case sweep:
	default:
		w.again(d, time.Duration(d.tries+1)*time.Minute, 3)
	}
}

// again delivers an event once more, unless it was tried often enough.
func (w *world) again(d delivery, after time.Duration, most int) {
	if d.tries++; d.tries >= most {
		if d.kind == submit {
			w.deadLetter(d.run, "received too often")
		}
		return
	}
	d.at = w.now.Add(after)
	w.send(d)
}

// deliver begins an invocation.
func (w *world) deliver(i int, v Variant) {
	d := w.queue[i]
	w.queue = slices.Delete(slices.Clone(w.queue), i, i+1)
	switch v {
	case Never:
		w.tell("%s is lost", d.kind)
		return
	case Late:
		w.tell("%s is late", d.kind)
		d.at = w.now.Add(comesLate)
		w.send(d)
		return
	case Twice:
		w.send(d)
	case Ahead:
		d.skew = skewed
	case Behind:
		d.skew = -skewed
	}
	inv := newInvocation(w, d)
	if w.trace != nil {
		w.tell("%s begins%s", inv.name(), strings.TrimRight(" "+string(d.set)+string(d.run), " "))
	}
	w.current = inv.id
	if inv.goOn() {
		w.flight = append(w.flight, inv)
	}
}

// perform does what the script says.
func (w *world) perform(s Step) {
	w.step++
	w.tell("%s %s%s %s", s.Do, s.Set, s.Job, s.Name)
	again := func() { // what has to wait comes again in three seconds
		s.At = w.now.Sub(Epoch) + 3*time.Second
		w.step--
		w.Setup = w.postponed(w.step, s)
	}
	change := func(f func(*scheduler.Set)) {
		i := w.setIndex(s.Set)
		set := w.sets[i].Set
		set.Version++
		f(&set)
		w.sets[i] = newSetRecord(set)
	}
	switch s.Do {
	case Arrive:
		run := scheduler.RunID(string(s.Job) + "/" + s.Name)
		w.accept(run)
		w.send(delivery{at: w.now, kind: submit, run: run})
	case Hold:
		if !w.hold(s.Set, scheduler.Hold{Owner: s.Name, Since: w.now, Expires: w.now.Add(s.For)}) {
			again()
			return
		}
		w.send(delivery{at: w.now, kind: launcherWake, set: s.Set})
	case Release:
		w.release(s.Set, s.Name)
		w.send(delivery{at: w.now, kind: reaperWake, set: s.Set})
	case Pause:
		change(func(set *scheduler.Set) { set.Pause = &scheduler.Pause{At: w.now, By: s.Name} })
	case Resume:
		change(func(set *scheduler.Set) { set.Pause = nil })
		w.send(delivery{at: w.now, kind: launcherWake, set: s.Set})
	case TakeDown:
		if w.sets[w.setIndex(s.Set)].Phase != scheduler.Available {
			return
		}
		change(func(set *scheduler.Set) { set.TakeDown = s.Name })
		w.send(delivery{at: w.now, kind: reaperWake, set: s.Set})
	case Cancel:
		if !w.cancel(scheduler.RunID(string(s.Job) + "/" + s.Name)) {
			again()
		}
	case Redefine:
		i, _ := w.job(s.Job)
		w.needs[i] = s.Needs
	}
}

// cancel ends a run as drawbridge cancel does, and returns false while it is being started.
func (w *world) cancel(id scheduler.RunID) bool {
	i := w.runIndex(id)
	if i < 0 {
		return true
	}
	next, can := w.runs[i].Cancel("operator", w.now)
	if !can {
		return w.runs[i].State == scheduler.Finished
	}
	w.advance([]scheduler.Run{next}, []scheduler.RunState{w.runs[i].State})
	if next.State == scheduler.Running {
		w.stop(next.TaskARN)
	} else {
		w.send(delivery{at: w.now, kind: reaperWake, set: next.Set})
	}
	return true
}

// postponed returns the setup with another step in place of one that could not be done yet.
func (s *Setup) postponed(i int, step Step) *Setup {
	out := *s
	out.Script = slices.Clone(s.Script)
	out.Script[i] = step
	return &out
}
