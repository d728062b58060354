package explore

import (
	"slices"
	"strings"
	"time"

	"drawbridge/scheduler"
)

// What is promised, checked on what AWS holds, where it changes. Nothing here asks the scheduler.

// hoursOf returns the started hours between two instants, counted by hand.
func hoursOf(basis scheduler.Basis, from, to time.Time) int {
	if basis == scheduler.Clock {
		from = time.Date(from.Year(), from.Month(), from.Day(), from.Hour(), 0, 0, 0, time.UTC)
	}
	n := 0
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		n++
	}
	return n
}

// endOfHour returns the end of the paid hour in which at lies, of an endpoint created at created.
func endOfHour(basis scheduler.Basis, created, at time.Time) time.Time {
	return created.Add(-offset(basis, created)).Add(time.Duration(hoursOf(basis, created, at.Add(1))) * time.Hour)
}

func offset(basis scheduler.Basis, created time.Time) time.Duration {
	if basis == scheduler.Clock {
		return time.Duration(created.Minute())*time.Minute + time.Duration(created.Second())*time.Second +
			time.Duration(created.Nanosecond())
	}
	return 0
}

// billedFrom is when the stack's first endpoint was created.
func (s *stack) billedFrom() time.Time { return s.created.Add(firstSeen) }

// checkCreation is promises 4 and 6 where a stack is made.
func (w *world) checkCreation(set scheduler.SetName) {
	basis := w.set(set).Settings.Basis
	for i := range w.stacks {
		s := &w.stacks[i]
		if s.set != set || s.status == foreign {
			continue
		}
		if s.left > 0 && (s.leftUntil.IsZero() || s.leftUntil.After(w.now)) {
			w.breaks(4, "set %s gets endpoints, and %s has left one behind", set, s.id)
		}
		if s.opened && endOfHour(basis, s.billedFrom(), s.deleted.Add(-1)).After(w.now) {
			w.breaks(6, "set %s is created again within an hour that %s has paid", set, s.id)
		}
	}
}

// checkDeletion is promise 2 where a stack is deleted.
func (w *world) checkDeletion(s *stack) {
	for i := range w.tasks {
		if t := &w.tasks[i]; t.set == s.set && t.state != stopped && s.up {
			w.breaks(2, "%s is deleted under %s of run %s", s.id, t.arn, t.run)
		}
	}
	set := w.sets[w.setIndex(s.set)]
	if set.TakeDown != "" || !s.up {
		return
	}
	for _, h := range w.holds {
		if h.set == s.set && h.hold.Until(w.set(s.set).Settings).After(w.now) {
			w.breaks(2, "%s is deleted under the hold of %s", s.id, h.hold.Owner)
		}
	}
}

// checkStart is promises 1 and 3 where a task is started.
func (w *world) checkStart(r scheduler.Run) {
	i := w.liveStack(r.Set)
	if i < 0 || w.stacks[i].status != complete && w.stacks[i].status != updating &&
		w.stacks[i].status != updateFailing && w.stacks[i].status != rolledBack {
		w.breaks(1, "a task of run %s is started without its endpoints", r.ID)
	} else if s := &w.stacks[i]; !s.serves(r.Needs) {
		w.breaks(1, "a task of run %s is started, which needs %s, where there are %s", r.ID,
			strings.Join(r.Needs, ", "), strings.Join(s.services, ", "))
	} else if st := w.set(r.Set).Settings; st.FixedSettle && w.now.Sub(s.since(r.Needs)) < st.Settle-skewed {
		w.breaks(1, "a task of run %s is started before its endpoints have settled", r.ID)
	}
	for i := range w.tasks {
		if t := &w.tasks[i]; t.run == r.ID && (t.state != stopped || !t.startedAt.IsZero()) {
			w.breaks(3, "run %s gets a second task, and has %s", r.ID, t.arn)
		}
	}
}

func (s *stack) serves(needs []string) bool {
	return !slices.ContainsFunc(needs, func(n string) bool { return !slices.Contains(s.services, n) })
}

// since returns when all that a run needs was available.
func (s *stack) since(needs []string) time.Time {
	if slices.ContainsFunc(needs, func(n string) bool { return slices.Contains(s.added, n) }) {
		return s.addedAt
	}
	return s.available
}

// checkRuns is promise 1 where a task begins to run.
func (w *world) checkRuns(t *task) {
	if i := w.liveStack(t.set); i < 0 || w.stacks[i].status == deleting || w.stacks[i].status == gone {
		w.breaks(2, "%s of run %s runs without endpoints", t.arn, t.run)
	}
}

// checkGone is promises 5 and 6 where a stack is gone.
func (w *world) checkGone(s *stack) {
	st := w.set(s.set).Settings
	if s.opened && st.WaitCost == 0 && len(st.Schedules) == 0 {
		limit := endOfHour(st.Basis, s.billedFrom(), s.needed.Add(st.Margin))
		limit = limit.Add(time.Duration(w.wrong+s.failures) * time.Hour)
		if w.now.After(limit) {
			w.breaks(5, "%s was needed until %s and is gone at %s, with %d things gone wrong", s.id,
				s.needed.Format(time.TimeOnly), w.now.Format(time.TimeOnly), w.wrong)
		}
	}
	w.checkHours(s.set)
}

// checkHours is promise 6 in total.
func (w *world) checkHours(set scheduler.SetName) {
	basis := w.set(set).Settings.Basis
	paid := 0
	var first, last time.Time
	for i := range w.stacks {
		s := &w.stacks[i]
		if s.set != set || s.status == foreign {
			continue
		}
		if first.IsZero() {
			first = s.billedFrom()
		}
		last = s.deleted
		if last.IsZero() {
			last = w.now
		}
		if last.After(s.billedFrom()) {
			paid += hoursOf(basis, s.billedFrom(), last)
		}
	}
	if always := hoursOf(basis, first, last); paid > always+1 {
		w.breaks(6, "set %s has paid %d hours, always-on would have paid %d", set, paid, always)
	}
}

// needs notes, where time goes on to an instant, until when stacks were needed.
func (w *world) noteNeeds(until time.Time) {
	for i := range w.stacks {
		s := &w.stacks[i]
		if s.status == gone || s.status == foreign {
			continue
		}
		for _, r := range w.runs {
			if r.Set == s.set && r.State != scheduler.Finished {
				s.needed = until
			}
		}
		for j := range w.tasks {
			if w.tasks[j].set == s.set && w.tasks[j].state != stopped {
				s.needed = until
			}
		}
		for _, h := range w.holds {
			if h.set == s.set {
				s.needed = scheduler.Latest(s.needed, scheduler.Earliest(until, h.hold.Until(w.set(s.set).Settings)))
			}
		}
		if slices.ContainsFunc(w.queue, func(d delivery) bool { return d.kind == submit }) {
			s.needed = until
		}
	}
}

// atRest reports whether nothing is left to be done: every run has ended and every stack is gone.
func (w *world) atRest() bool {
	if w.step < len(w.Script) || len(w.flight) > 0 {
		return false
	}
	for _, r := range w.runs {
		if r.State != scheduler.Finished {
			return false
		}
	}
	for i := range w.stacks {
		if s := &w.stacks[i]; s.status != gone && s.status != foreign || s.left > 0 && s.leftUntil.IsZero() {
			return false
		}
	}
	for _, s := range w.sets {
		if s.Phase != scheduler.Absent {
			return false
		}
	}
	for _, h := range w.holds {
		if h.hold.Until(w.set(h.set).Settings).After(w.now) {
			return false
		}
	}
	for _, set := range w.Sets {
		for _, x := range set.Settings.Schedules {
			if !x.Times.Next(w.now).IsZero() {
				return false
			}
		}
	}
	return !slices.ContainsFunc(w.queue, func(d delivery) bool { return d.kind == submit || d.kind == taskStopped })
}

// checkEnd is promise 3 where everything is at rest.
func (w *world) checkEnd() {
	for _, id := range w.accepted {
		i := w.runIndex(id)
		buried := slices.ContainsFunc(w.letters, func(l letter) bool { return l.run == id })
		if i < 0 {
			if !buried {
				w.breaks(3, "event %s is lost", id)
			}
			continue
		}
		ran := slices.ContainsFunc(w.tasks, func(t task) bool { return t.run == id && !t.startedAt.IsZero() })
		r := w.runs[i]
		switch {
		case r.Outcome == scheduler.DeadLettered && !buried:
			w.breaks(3, "run %s is dead-lettered without a letter", id)
		case r.Outcome == scheduler.DeadLettered && ran && !strings.Contains(r.Reason, "may have run"):
			w.breaks(3, "run %s ran, and is in the dead-letter queue", id)
		case r.Outcome == scheduler.Lost && w.wrong < hopelessStarts:
			w.breaks(3, "run %s is lost, with %d things gone wrong", id, w.wrong)
		case r.Outcome == scheduler.Succeeded && !ran:
			w.breaks(3, "run %s succeeded without a task", id)
		}
	}
}

// checkTime breaks promises 3 and 5 where a story does not come to rest.
func (w *world) checkTime() {
	last := time.Duration(0)
	if n := len(w.Script); n > 0 {
		last = w.Script[n-1].At
	}
	if w.now.Sub(Epoch) <= last+w.Horizon+time.Duration(w.wrong)*time.Hour {
		return
	}
	for _, r := range w.runs {
		if r.State != scheduler.Finished {
			w.breaks(3, "run %s is still %s (%s)", r.ID, r.State, r.Reason)
		}
	}
	for _, s := range w.sets {
		w.breaks(5, "set %s is still %s, everything should be at rest", s.Name, s.Phase)
	}
}
