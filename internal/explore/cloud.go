package explore

import (
	"fmt"
	"slices"
	"time"

	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// How long AWS takes in a story where nothing goes wrong.
//
// Sources: docs/billing.md for endpoints; a Fargate task is running some seconds after it was asked for, and shown
// for an hour after its end.
const (
	raise       = 75 * time.Second
	slowRaise   = 12 * time.Minute
	lower       = 100 * time.Second
	change      = 60 * time.Second
	rollBack    = 60 * time.Second
	firstSeen   = 3 * time.Second // after CreateStack, the first endpoint is billed
	taskStarts  = 15 * time.Second
	taskStops   = 5 * time.Second
	eventTakes  = time.Second
	staleFor    = 30 * time.Second
	taskShown   = time.Hour
	runsTooLong = 2 * time.Hour
)

// serves returns what a set is planned with.
func (w *world) serves(set scheduler.SetName, more []string) []string {
	s := w.set(set)
	if !s.Auto {
		return s.Services
	}
	var out []string
	for i, j := range w.Jobs {
		if j.Set == set {
			out = scheduler.Union(out, w.needs[i])
		}
	}
	return scheduler.Union(out, more)
}

func (w *world) create(set scheduler.SetName, of reconcile.LifeID, services []string, v Variant) reply {
	if i := w.liveStack(set); i >= 0 {
		s := &w.stacks[i]
		switch {
		case s.status == foreign:
			return fail(reconcile.ErrTaken, "create stack of set %s", set)
		case s.life.Generation == of.Generation && s.life.Since.Equal(of.Since):
			return reply{v: s.id, sum: uint64(i)}
		}
		return fail(reconcile.ErrTemporary, "create stack of set %s: an earlier one is not gone yet", set)
	}
	if v == Refused {
		return fail(reconcile.ErrRefused, "create stack of set %s", set)
	}
	w.checkCreation(set)
	s := stack{
		set: set, id: scheduler.StackID(fmt.Sprintf("%s-%d", set, len(w.stacks))), life: of, services: services,
		status: creating, was: gone,
		moments: moments{created: w.now, changed: w.now, changes: w.now.Add(raise), needed: w.now},
	}
	switch {
	case v == Fails, w.Failing:
		s.fails = true
	case v == FailsAgain:
		s.fails, s.lasts = true, true
	case v == Slow:
		s.changes = w.now.Add(slowRaise)
	}
	w.stacks = append(w.stacks, s)
	return reply{v: s.id, sum: uint64(len(w.stacks))}
}

func (w *world) extend(set scheduler.SetName, id scheduler.StackID, services []string, v Variant) reply {
	i := w.stackOf(set, id)
	if i < 0 {
		return fail(reconcile.ErrRefused, "update stack %s: it is gone", id)
	}
	s := &w.stacks[i]
	all := scheduler.Union(s.services, services)
	switch s.status {
	case updating, updateFailing:
		return reply{v: len(scheduler.Union(s.services, s.adding)), sum: 1}
	case complete, rolledBack:
	default:
		return fail(reconcile.ErrRefused, "update stack %s: it is %s", id, shown[s.status])
	}
	if v == Refused {
		return fail(reconcile.ErrRefused, "update stack %s", id)
	}
	if len(all) == len(s.services) {
		return reply{v: len(all), sum: 2}
	}
	s.adding = all
	if w.become(s, updating); v == Fails {
		w.become(s, updateFailing)
	}
	s.changes = w.now.Add(change)
	return reply{v: len(all), sum: 3}
}

// stackOf returns the index of a stack by its id, or of the set's by its name.
func (w *world) stackOf(set scheduler.SetName, id scheduler.StackID) int {
	if id == "" {
		return w.liveStack(set)
	}
	return slices.IndexFunc(w.stacks, func(s stack) bool { return s.id == id })
}

// become changes the status of a stack.
func (w *world) become(s *stack, to status) {
	w.tell("stack %s: %s", s.id, shown[to])
	s.was = s.status
	s.status = to
	s.changed = w.now
	s.changes = time.Time{}
}

func (w *world) describe(set scheduler.SetName, id scheduler.StackID, stale bool) reply {
	i := w.stackOf(set, id)
	if i < 0 {
		return reply{v: reconcile.StackSeen{State: scheduler.StackMissing}, sum: 1}
	}
	s := &w.stacks[i]
	at := s.status
	if stale && (s.was != gone || id == "") { // what has an id is there
		at = s.was
	}
	if at == gone && id == "" {
		return reply{v: reconcile.StackSeen{State: scheduler.StackMissing}, sum: 1}
	}
	seen := reconcile.StackSeen{State: shown[at], ID: s.id, Generation: s.life.Generation, Lasts: s.lasts && s.fails}
	if s.fails {
		seen.Reason = "it failed in a story"
	}
	return reply{v: seen, sum: uint64(at) + 2}
}

// isStale reports whether a read may show what was before the last change of the set's stack.
func (w *world) isStale(set scheduler.SetName) bool {
	for i := range w.stacks {
		if s := &w.stacks[i]; s.set == set && s.status != s.was && w.now.Sub(s.changed) < staleFor {
			return true
		}
	}
	return false
}

func (w *world) count(set scheduler.SetName, id scheduler.StackID) reply {
	i := w.stackOf(set, id)
	if i < 0 || w.stacks[i].status == foreign {
		return reply{v: scheduler.EndpointCount{}, sum: 1}
	}
	s := &w.stacks[i]
	n := scheduler.EndpointCount{FirstCreated: s.created.Add(firstSeen)}
	switch s.status {
	case creating:
		if w.now.Sub(s.created) >= firstSeen {
			n.Pending = len(s.services)
		}
	case rollingBack, deleting:
		n.Deleting = len(s.services)
	case updating, updateFailing:
		n.Available, n.Pending = len(s.services), len(s.adding)-len(s.services)
	case complete, rolledBack, deleteFailed:
		n.Available = len(s.services)
	case gone:
		if n.Available = s.left; !s.leftUntil.IsZero() {
			if n.Available, n.Deleting = 0, s.left; !s.leftUntil.After(w.now) {
				n.Deleting = 0
			}
		}
	}
	if !n.Any() {
		n.FirstCreated = time.Time{}
	}
	return reply{v: n, sum: uint64(sum(29).add(uint64(n.Pending)).add(uint64(n.Available)).add(uint64(n.Deleting)))}
}

func (w *world) deleteStack(set scheduler.SetName, id scheduler.StackID, force bool, v Variant) reply {
	i := w.stackOf(set, id)
	if i < 0 {
		return reply{}
	}
	s := &w.stacks[i]
	switch s.status {
	case foreign:
		w.breaks(7, "the stack of somebody else, named as set %s's, was deleted", set)
		return reply{}
	case gone, deleting:
		return reply{}
	}
	w.checkDeletion(s)
	if w.become(s, deleting); force {
		s.left = 1
	}
	s.fails = (v == Fails || w.Stuck) && !force
	s.changes = w.now.Add(lower)
	return reply{}
}

func (w *world) sweepEndpoints(set scheduler.SetName, id scheduler.StackID) reply {
	if i := w.stackOf(set, id); i >= 0 && w.stacks[i].left > 0 && w.stacks[i].leftUntil.IsZero() {
		w.stacks[i].leftUntil = w.now.Add(change)
		w.stacks[i].deleted = w.now.Add(change)
	}
	return reply{}
}

// start is RunTask, once a run.
func (w *world) start(runs []scheduler.Run, v Variant) reply {
	known := slices.ContainsFunc(runs, func(r scheduler.Run) bool {
		token := r.ClientToken()
		return slices.ContainsFunc(w.tasks, func(t task) bool { return t.token == token && t.holdsToken(w.now) })
	})
	switch {
	case v == Throttled:
		return reply{err: fmt.Errorf("run task: %w, %w: throttled", reconcile.ErrTemporary, reconcile.ErrNotStarted)}
	case v == Refused:
		return fail(reconcile.ErrRefused, "run task")
	case v == NoCapacity && !known: // a token that has a task gives that task
		return fail(reconcile.ErrNotStarted, "run task: no capacity")
	}
	var arns []string
	x := sum(31)
	for _, r := range runs {
		token := r.ClientToken()
		i := slices.IndexFunc(w.tasks, func(t task) bool { return t.token == token && t.holdsToken(w.now) })
		if i < 0 {
			w.checkStart(r)
			_, job := w.job(r.Job)
			t := task{
				arn: fmt.Sprintf("task-%d", len(w.tasks)), set: r.Set, run: r.ID, group: r.TaskGroup(), token: token,
				changes: w.now.Add(taskStarts), takes: job.Takes, created: w.now,
			}
			switch v {
			case Fails:
				t.fails = true
			case Slow:
				t.takes += runsTooLong
			}
			i = len(w.tasks)
			w.tasks = append(w.tasks, t)
			w.tell("%s of run %s", t.arn, r.ID)
		}
		arns = append(arns, w.tasks[i].arn)
		x = x.add(uint64(i))
	}
	return reply{v: arns, sum: uint64(x)}
}

// holdsToken reports whether the task's client token still names it: for an hour after its end.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
func (t *task) holdsToken(now time.Time) bool {
	return t.state != stopped || now.Sub(t.stoppedAt) <= taskShown
}

func (w *world) active(set scheduler.SetName, stale bool) reply {
	n := 0
	for i := range w.tasks {
		t := &w.tasks[i]
		fresh := stale && w.now.Sub(t.created) < staleFor
		if t.set == set && t.state != stopped && !fresh || t.set == set && stale && t.state == stopped &&
			w.now.Sub(t.stoppedAt) < staleFor {
			n++
		}
	}
	return reply{v: n, sum: uint64(n)}
}

// tasksAreStale reports whether a read of tasks may show what was.
func (w *world) tasksAreStale() bool {
	return slices.ContainsFunc(w.tasks, func(t task) bool {
		return w.now.Sub(t.created) < staleFor || t.state == stopped && w.now.Sub(t.stoppedAt) < staleFor
	})
}

func (w *world) describeTasks(runs []scheduler.Run, stale bool) reply {
	out := make([]scheduler.Task, len(runs))
	x := sum(37)
	for i, r := range runs {
		for j := range w.tasks {
			t := &w.tasks[j]
			if t.set != r.Set || t.group != r.TaskGroup() || r.TaskARN != "" && r.TaskARN != t.arn ||
				t.state == stopped && w.now.Sub(t.stoppedAt) > taskShown || stale && w.now.Sub(t.created) < staleFor {
				continue
			}
			out[i] = t.shown(stale, w.now)
			x = x.add(uint64(j)).flag(out[i].Stopped)
		}
	}
	return reply{v: out, sum: uint64(x)}
}

// shown is the task as ECS shows it.
func (t *task) shown(stale bool, now time.Time) scheduler.Task {
	out := scheduler.Task{ARN: t.arn, Group: t.group, StartedAt: t.startedAt}
	if t.state != stopped || stale && now.Sub(t.stoppedAt) < staleFor {
		return out
	}
	out.Stopped, out.StoppedAt = true, t.stoppedAt
	switch {
	case t.fails:
		out.StopCode, out.StopReason = "TaskFailedToStart", "ResourceInitializationError: unable to pull secrets"
	case t.byUser:
		out.StopCode, out.StopReason = "UserInitiated", "stopped"
	default:
		code := 0
		out.StopCode, out.ExitCode = "EssentialContainerExited", &code
	}
	return out
}

func (w *world) stop(arn string) reply {
	for i := range w.tasks {
		if t := &w.tasks[i]; t.arn == arn && t.state != stopped && !t.byUser {
			t.byUser, t.changes = true, w.now.Add(taskStops)
		}
	}
	return reply{}
}

// changeStack lets the status of a stack change by itself.
func (w *world) changeStack(s *stack) {
	switch s.status {
	case creating:
		if s.fails {
			w.become(s, rollingBack)
			s.changes = w.now.Add(rollBack)
			break
		}
		w.become(s, complete)
		s.available, s.up = w.now, true
	case rollingBack:
		w.become(s, failed)
		s.deleted = w.now
	case updating:
		w.become(s, complete)
		s.added = slices.DeleteFunc(slices.Clone(s.adding), func(n string) bool { return s.serves([]string{n}) })
		s.services = s.adding
		s.adding = nil
		s.addedAt = w.now
	case updateFailing:
		w.become(s, rolledBack)
		s.adding = nil
	case deleting:
		if s.fails {
			w.become(s, deleteFailed)
			s.failures++
			break
		}
		w.become(s, gone)
		if s.deleted.IsZero() && s.left == 0 {
			s.deleted = w.now
		}
		w.checkGone(s)
	}
	if s.set != "" {
		w.send(delivery{at: w.now.Add(eventTakes), kind: stackChanged, set: s.set})
	}
}

// changeTask lets the state of a task change by itself.
func (w *world) changeTask(t *task) {
	if t.state == pending && !t.fails && !t.byUser {
		t.state, t.startedAt = running, w.now
		t.changes = w.now.Add(t.takes)
		w.checkRuns(t)
		return
	}
	t.state, t.stoppedAt = stopped, w.now
	t.changes = time.Time{}
	w.tell("%s of run %s stopped", t.arn, t.run)
	w.send(delivery{at: w.now.Add(eventTakes), kind: taskStopped, set: t.set, arn: t.arn})
}
