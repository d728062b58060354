package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Wave is how many tasks are started at once, and how many in a second.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/userguide/throttling.html
// (RunTask 20 calls a second, bucket of 100 tasks refilled by 20 a second).
const Wave = 20

// startAll starts the runs that wait, in waves, as the set's attendant.
func (r *Reconciler) startAll(ctx context.Context, v *view, look Look) error {
	if err := r.attend(ctx, v); err != nil {
		return err
	}
	// The runs that were left behind while the set was attended.
	runs, _, err := r.ports.Store.Live(ctx, v.set.Name)
	if err != nil {
		return err
	}
	var due []Run
	now := r.ports.Clock.Now()
	s, takes := r.settings[v.set.Name].learned(v.set.Learned), v.set.Learned.RunTimes()
	for _, run := range runs {
		if run.State == Waiting && v.set.Pause == nil && v.set.Serves(run) && s.StartsNow(v.set, run.pending(takes), now) || run.State == Starting && now.Sub(run.StartingAt) >= resumeAfter {
			due = append(due, run)
		}
	}
	for len(due) > 0 && r.ports.Clock.Now().Before(look.Until) {
		n := min(Wave, len(due))
		if err := r.wave(ctx, v.set.Name, due[:n]); err != nil {
			return err
		}
		if due = due[n:]; len(due) > 0 {
			if err := r.ports.Clock.Sleep(ctx, time.Second); err != nil {
				return err
			}
		}
		if err := r.attend(ctx, v); err != nil {
			return err
		}
	}
	return r.release(ctx, v)
}

// wave stores the intent to start runs, starts them and records their tasks.
func (r *Reconciler) wave(ctx context.Context, set SetName, runs []Run) error {
	now := r.ports.Clock.Now()
	begun := make([]Run, 0, len(runs))
	fresh := false
	for _, run := range runs {
		next, ok := r.intend(run, now)
		if !ok {
			if _, err := r.bury(ctx, run, next.Reason); err != nil && !errors.Is(err, ErrConflict) {
				return err
			}
			continue
		}
		fresh = fresh || run.State == Waiting
		begun = append(begun, next)
	}
	if len(begun) == 0 {
		return nil
	}
	if err := r.ports.Store.Begin(ctx, set, begun, fresh); err != nil {
		return err
	}
	return r.startBegun(ctx, begun)
}

// tokenHolds is how long a client token surely still names its task.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
// (the lower of 24 h and the task's lifetime plus 1 h); ten minutes are kept in
// hand.
const tokenHolds = 50 * time.Minute

// intend returns the run with the intent of its next start, or false and the
// reason if it must not be started.
func (r *Reconciler) intend(run Run, now time.Time) (Run, bool) {
	if run.State == Starting { // left behind: the same attempt, so the same token
		if now.Sub(run.StartingAt) > tokenHolds {
			run.Reason = fmt.Sprintf("attempt %d was begun at %s and never recorded; its task may have run, so it is not started again", run.Attempt, clockTime(run.StartingAt))
			return run, false
		}
		return run, true
	}
	if run.Attempt >= MaxAttempts {
		run.Reason = fmt.Sprintf("%d attempts to start failed, the last one because: %s", run.Attempt, run.Reason)
		return run, false
	}
	run.State, run.Attempt, run.StartingAt, run.TaskARN, run.Reason = Starting, run.Attempt+1, now, "", "its task is being started"
	return run, true
}

// startTries is how often a start that failed for the moment is tried again by
// the same invocation, a second apart.
const startTries = 30

// startBegun runs the tasks of runs whose intent is stored, all at once, and
// records what came of it. What fails for the moment is tried again with the same
// token; what is left in the end stays starting, for somebody else to resume. The
// runs in the slice are then as they stand.
func (r *Reconciler) startBegun(ctx context.Context, runs []Run) error {
	left := make([]*Run, len(runs))
	for i := range runs {
		left[i] = &runs[i]
	}
	for try := range startTries {
		if try > 0 {
			if err := r.ports.Clock.Sleep(ctx, time.Second); err != nil {
				return err
			}
		}
		again, err := r.startOnce(ctx, left)
		if err != nil || len(again) == 0 {
			return err
		}
		left = again
	}
	return nil
}

// startOnce starts the tasks of runs and records those that have one. It returns
// the runs that are to be tried again.
func (r *Reconciler) startOnce(ctx context.Context, runs []*Run) (again []*Run, err error) {
	errs := make([]error, len(runs))
	var wg sync.WaitGroup
	for i, run := range runs {
		wg.Go(func() { run.TaskARN, errs[i] = r.ports.Tasks.Start(ctx, *run) })
	}
	wg.Wait()
	now := r.ports.Clock.Now()
	var changed []Run
	for i, run := range runs {
		err := errs[i]
		if err != nil {
			r.ports.Journal.Failed(run.Set, "start task", err)
		}
		switch {
		case err == nil:
			run.State, run.StartedAt, run.Reason = Running, now, "its task runs"
			changed = append(changed, *run)
		case errors.Is(err, ErrTemporary):
			again = append(again, run)
		case errors.Is(err, ErrRefused) || run.Attempt >= MaxAttempts:
			if *run, err = r.bury(ctx, *run, withHint(err)); err != nil && !errors.Is(err, ErrConflict) {
				return nil, err
			}
		default:
			run.State, run.Reason = Waiting, withHint(err)
			changed = append(changed, *run)
		}
	}
	return again, r.advance(ctx, changed)
}

// advance writes runs. If one of them has gone on already, by the event of its
// task, the others do not miss their record for it.
func (r *Reconciler) advance(ctx context.Context, runs []Run) error {
	if len(runs) == 0 {
		return nil
	}
	err := r.ports.Store.Advance(ctx, runs)
	if len(runs) == 1 && errors.Is(err, ErrConflict) {
		return nil
	}
	if !errors.Is(err, ErrConflict) {
		return err
	}
	for _, run := range runs {
		if err := r.ports.Store.Advance(ctx, []Run{run}); err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return nil
}

// Submit takes runs of one set: it records each once and starts them at once if
// the set is up. It returns the runs as they are recorded, those known before
// included, and the set's phase with the expected start. Runs that have to wait
// are left to a launcher that it wakes.
func (r *Reconciler) Submit(ctx context.Context, name SetName, runs []Run) ([]Run, Set, error) {
	now := r.ports.Clock.Now()
	type needed struct {
		services   []string
		definition string
	}
	known := map[JobName]needed{}
	for i := range runs {
		runs[i].Set, runs[i].ReceivedAt = name, now
		n, ok := known[runs[i].Job]
		if !ok {
			var err error
			if n.services, n.definition, err = r.ports.Needs.Of(ctx, name, runs[i].Job); err != nil {
				return nil, Set{}, err
			}
			known[runs[i].Job] = n
		}
		runs[i].Needs, runs[i].Definition = n.services, n.definition
	}
	admitted := make([]Run, len(runs))
	for i, run := range runs {
		admitted[i], _ = r.intend(withState(run, Waiting), now)
	}
	err := error(&NotAdmittedError{})
	if !slices.ContainsFunc(runs, func(r Run) bool { return r.MaxDelay > 0 }) { // one that may wait is decided about with the set at hand
		err = r.ports.Store.Admit(ctx, name, now, admitted)
	}
	if err == nil {
		err = r.startBegun(ctx, admitted)
		return admitted, Set{Name: name, Phase: Available}, errors.Join(err, r.wakeForWaiting(ctx, name, admitted))
	}
	var no *NotAdmittedError
	if !errors.As(err, &no) {
		return nil, Set{}, err
	}
	out, fresh, err := r.record(ctx, runs)
	if err != nil {
		return nil, Set{}, err
	}
	set, err := r.ports.Store.LoadSet(ctx, name)
	if err != nil || !fresh || set.attendedByOther(r.me, now) {
		return out, set, err
	}
	return out, set, r.ports.Waker.Launcher(ctx, name, "runs wait")
}

// wakeForWaiting asks for a launcher if the first attempt of a run failed and
// another is due.
func (r *Reconciler) wakeForWaiting(ctx context.Context, name SetName, runs []Run) error {
	for _, run := range runs {
		if run.State == Waiting {
			return r.ports.Waker.Launcher(ctx, name, run.Reason)
		}
	}
	return nil
}

// record writes down runs as waiting, each once. fresh says whether any of them
// still needs somebody to start it.
func (r *Reconciler) record(ctx context.Context, runs []Run) (out []Run, fresh bool, err error) {
	for i := range runs {
		runs[i].State, runs[i].Reason = Waiting, "waits for its endpoints"
	}
	if len(runs) > 1 {
		if err := r.ports.Store.RecordAll(ctx, runs); err == nil || !errors.Is(err, ErrConflict) {
			return runs, err == nil, err
		}
	}
	for _, run := range runs { // one of them is known
		stored, err := r.ports.Store.Record(ctx, run)
		if err != nil && !errors.Is(err, ErrConflict) {
			return out, fresh, err
		}
		fresh = fresh || stored.State == Waiting || stored.State == Starting
		out = append(out, stored)
	}
	return out, fresh, nil
}

func withState(run Run, s RunState) Run {
	run.State = s
	return run
}

// TaskStopped takes the report that a task has stopped. One that is not ours,
// or of an attempt that is over, changes nothing. It says whether the run has
// to be started again.
func (r *Reconciler) TaskStopped(ctx context.Context, set SetName, t Task) (retry bool, err error) {
	id, attempt, ok := ParseTaskGroup(t.Group)
	if !ok {
		return false, nil
	}
	run, ok, err := r.ports.Store.Run(ctx, set, id)
	if err != nil || !ok || run.State == Finished || run.Attempt != attempt || run.State == Waiting {
		return false, err
	}
	after := run.Conclude(r.explained(ctx, run, t), r.ports.Clock.Now())
	if after.StartedAt.IsZero() {
		after.StartedAt = latest(t.StartedAt, after.StartingAt)
	}
	if err := r.conclude(ctx, after); err != nil {
		if errors.Is(err, ErrConflict) {
			return false, nil
		}
		return false, err
	}
	if after.State == Waiting {
		return true, r.ports.Waker.Launcher(ctx, set, after.Reason)
	}
	return false, nil
}
