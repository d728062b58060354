package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"drawbridge/scheduler"
)

// Wave is how many tasks are started at once, and how many in a second.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/userguide/throttling.html
// (RunTask 20 calls a second, bucket of 100 tasks refilled by 20 a second).
const Wave = 20

// startAll starts the runs that wait, in waves, with the set's lease.
func (r *Reconciler) startAll(ctx context.Context, v *view, look Look) error {
	if err := r.lease(ctx, v); err != nil {
		return err
	}
	// The runs that were left behind while another held the lease.
	runs, _, err := r.ports.Store.Live(ctx, v.set.Name)
	if err != nil {
		return err
	}
	var due []scheduler.Run
	now := r.ports.Clock.Now()
	s := r.settings[v.set.Name].WithLearned(v.set.Learned)
	takes := v.set.Learned.RunTimes()
	busy := scheduler.WithTask(runs)
	room := s.Room(runs)
	for _, run := range inTurn(runs) {
		open := run.State == scheduler.Waiting && v.set.Pause == nil && v.set.TakeDown == "" && v.set.Serves(run)
		refused := v.set.Refused[run.Job].Holds(busy, now)
		startable := open && !refused && s.StartsNow(v.set, run.Pending(takes), now) && room.Take(run.Job)
		if startable || run.Resumable(v.set, now) {
			due = append(due, run)
		}
	}
	for len(due) > 0 && r.ports.Clock.Now().Before(look.Until) {
		n := waveOf(due)
		begun, err := r.wave(ctx, v.set.Name, due[:n])
		if err != nil {
			return err
		}
		due = due[n:]
		// what holds for one run of a job holds for the others
		if refused := r.noteRefusals(v, runs, begun, busy); len(refused) > 0 {
			due = slices.DeleteFunc(due, func(run scheduler.Run) bool {
				return run.State == scheduler.Waiting && refused[run.Job]
			})
			if v.set, err = r.ports.Store.SaveSet(ctx, v.set); err != nil {
				return err
			}
		}
		for _, run := range begun {
			if run.State == scheduler.Running {
				busy++
			}
		}
		if len(due) > 0 {
			if err := r.ports.Clock.Sleep(ctx, time.Second); err != nil {
				return err
			}
		}
		if err := r.lease(ctx, v); err != nil {
			return err
		}
	}
	if len(v.set.Refused) > 0 {
		return nil // the holder waits for the next try
	}
	return r.unlease(ctx, v)
}

// inTurn puts runs into an order in which each job has its turn, so that a job with many
// does not keep the others waiting. Within a job they stay as they are.
func inTurn(runs []scheduler.Run) []scheduler.Run {
	turn := map[scheduler.JobName]int{}
	at := make([]int, len(runs))
	order := make([]int, len(runs))
	for i, r := range runs {
		at[i], order[i] = turn[r.Job], i
		turn[r.Job]++
	}
	slices.SortStableFunc(order, func(x, y int) int { return at[x] - at[y] })
	out := make([]scheduler.Run, len(runs))
	for i, j := range order {
		out[i] = runs[j]
	}
	return out
}

// maxWave is how much the runs of a wave may hold together, in bytes: DynamoDB writes
// at most 4 MB at once. Runs of versions that kept the event with the run may be large.
const maxWave = 3 << 20

// waveOf returns how many of the runs are started at once.
func waveOf(runs []scheduler.Run) int {
	n, size := 0, 0
	for n < min(Wave, len(runs)) {
		if size += len(runs[n].Source)*4/3 + len(runs[n].Overrides)*4/3; n > 0 && size > maxWave {
			break
		}
		n++
	}
	return n
}

// noteRefusals takes down what ECS said of a wave's runs, by job, and returns the jobs
// that it refuses for the moment. busy is how many of the set's runs have a task without
// the wave.
func (r *Reconciler) noteRefusals(v *view, runs, wave []scheduler.Run, busy int) map[scheduler.JobName]bool {
	now := r.ports.Clock.Now()
	started, refused := map[scheduler.JobName]bool{}, map[scheduler.JobName]bool{}
	why := map[scheduler.JobName]string{}
	for _, run := range wave {
		switch {
		case run.State == scheduler.Running:
			started[run.Job] = true
			busy++
		case run.State == scheduler.Waiting && run.Untried:
			refused[run.Job], why[run.Job] = true, run.Reason
		}
	}
	if len(refused) == 0 && len(v.set.Refused) == 0 {
		return nil
	}
	next := map[scheduler.JobName]scheduler.Refusal{}
	maps.Copy(next, v.set.Refused)
	changed := refused
	for job := range started {
		if _, known := next[job]; known {
			delete(next, job) // it goes on: the next refusal is the first one again
			changed[job] = refused[job]
		}
	}
	for job := range refused {
		if refused[job] {
			next[job] = next[job].RefusedAgain(now, busy, why[job])
			if scheduler.OthersRun(runs, job) || scheduler.OthersRun(wave, job) { // they may hold what it lacks
				next[job] = next[job].BegunAt(now)
			}
		}
	}
	v.set.Refused = next
	return changed
}

// wave stores the intent to start runs, starts them and records their tasks. It
// returns the runs whose start was tried, as they stand then.
func (r *Reconciler) wave(ctx context.Context, set scheduler.SetName, runs []scheduler.Run) ([]scheduler.Run, error) {
	now := r.ports.Clock.Now()
	begun := make([]scheduler.Run, 0, len(runs))
	fresh := false
	for _, run := range runs {
		next, ok := r.intend(run, now)
		if !ok {
			if _, err := r.deadLetter(ctx, run, next.Reason); err != nil && !errors.Is(err, ErrConflict) {
				return nil, err
			}
			continue
		}
		fresh = fresh || run.State == scheduler.Waiting
		begun = append(begun, next)
	}
	if len(begun) == 0 {
		return nil, nil
	}
	if err := r.ports.Store.Begin(ctx, set, begun, fresh); err != nil {
		return nil, err
	}
	return begun, r.startBegun(ctx, begun, true)
}

// tokenHolds is how long a client token surely still names its task.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
// (the lower of 24 h and the task's lifetime plus 1 h); ten minutes are kept in
// hand.
const tokenHolds = 50 * time.Minute

// intend returns the run with the intent of its next start, or false and the
// reason if it must not be started.
func (r *Reconciler) intend(run scheduler.Run, now time.Time) (scheduler.Run, bool) {
	if run.State == scheduler.Starting { // left behind: the same attempt, so the same token
		if now.Sub(run.StartingAt) > tokenHolds {
			run.Reason = fmt.Sprintf("attempt %d was begun at %s and never recorded; its task may have run, so it "+
				"is not started again", run.Attempt, scheduler.ClockTime(run.StartingAt))
			return run, false
		}
		run.Untried = false
		return run, true
	}
	if run.Untried { // no task came of the attempt, so it is the same one
		run.State = scheduler.Starting
		run.StartingAt = now
		run.Untried = false
		run.Reason = "its task is being started"
		return run, true
	}
	if run.Attempt >= scheduler.MaxAttempts {
		run.Reason = fmt.Sprintf("%d attempts to start failed, the last one because: %s", run.Attempt, run.Reason)
		return run, false
	}
	run.State = scheduler.Starting
	run.Attempt = run.Attempt + 1
	run.StartingAt = now
	run.TaskARN = ""
	run.Reason = "its task is being started"
	return run, true
}

// startTries is how often a start that failed for the moment is tried by the same
// invocation, a second apart.
const startTries = 30

// startBegun runs the tasks of runs whose intent is stored, all at once, and
// records what came of it. What fails for the moment is tried again with the same
// token; what is left in the end stays starting, for somebody else to resume. The
// runs in the slice are then as they stand.
func (r *Reconciler) startBegun(ctx context.Context, runs []scheduler.Run, patient bool) error {
	left := make([]*scheduler.Run, len(runs))
	for i := range runs {
		left[i] = &runs[i]
	}
	began := r.ports.Clock.Now()
	for try := range startTries {
		if r.ports.Clock.Now().Sub(began) > scheduler.ResumeAfter/2 {
			return nil // whoever resumes them comes soon
		}
		if try > 0 {
			if err := r.ports.Clock.Sleep(ctx, time.Second); err != nil {
				return err
			}
		}
		again, err := r.startOnce(ctx, left, patient && try < startTries-1, try > 0)
		if err != nil || len(again) == 0 {
			return err
		}
		left = again
	}
	return nil
}

// startOnce starts the tasks of runs and records those that have one, or that ECS
// refused. It returns the runs that are to be tried again: those that may have a task,
// and, if it is patient, those whose start came too soon. repeated says that they were
// tried a moment ago, and may have one.
func (r *Reconciler) startOnce(ctx context.Context, runs []*scheduler.Run,
	patient, repeated bool) (again []*scheduler.Run, err error) {
	asked := make([]scheduler.Run, len(runs))
	for i, run := range runs {
		asked[i] = *run
	}
	started := r.ports.Tasks.Start(ctx, asked)
	now := r.ports.Clock.Now()
	var changed []scheduler.Run
	for i, run := range runs {
		err := started[i].Err
		run.TaskARN = started[i].ARN
		if err != nil {
			r.ports.Journal.Failed(run.Set, "start task", err)
		}
		switch {
		case err == nil:
			run.State = scheduler.Running
			run.StartedAt = now
			run.Untried = false
			run.Reason = "its task runs"
			changed = append(changed, *run)
		case errors.Is(err, ErrTemporary) && (patient || repeated || !errors.Is(err, ErrNotStarted)):
			again = append(again, run)
		case errors.Is(err, ErrNotStarted):
			run.State = scheduler.Waiting
			run.Untried = true
			run.Reason = withHint(err)
			if !errors.Is(err, ErrTemporary) { // what came too soon may have come before: it keeps its token
				run.Refusals++
			}
			changed = append(changed, *run)
		case errors.Is(err, ErrRefused) || run.Attempt >= scheduler.MaxAttempts:
			if repeated {
				continue // whoever resumes it sees whether it has a task
			}
			if err := r.giveUpStart(ctx, run, withHint(err)); err != nil {
				return nil, errors.Join(err, r.advance(ctx, changed))
			}
		default:
			run.State, run.Reason = scheduler.Waiting, withHint(err)
			changed = append(changed, *run)
		}
	}
	return again, r.advance(ctx, changed)
}

// giveUpStart sends a run whose start was refused for good to the dead-letter queue, unless ECS
// shows a task of an earlier try: no refusal undoes that.
func (r *Reconciler) giveUpStart(ctx context.Context, run *scheduler.Run, reason string) error {
	now := r.ports.Clock.Now()
	if now.Sub(run.StartingAt) >= scheduler.ResumeAfter { // it was left starting
		found, err := r.ports.Tasks.Describe(ctx, []scheduler.Run{*run})
		if err != nil {
			return err
		}
		if after, ok := followed(*run, found, now); ok {
			*run = after
			return ignoreConflict(r.conclude(ctx, after, scheduler.Starting))
		}
	}
	var err error
	*run, err = r.deadLetter(ctx, *run, reason)
	return ignoreConflict(err)
}

// ignoreConflict is for runs that have gone on already, by the event of their task.
func ignoreConflict(err error) error {
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// advance writes runs. If one of them has gone on already, by the event of its
// task, the others do not miss their record for it.
func (r *Reconciler) advance(ctx context.Context, runs []scheduler.Run) error {
	if len(runs) == 0 {
		return nil
	}
	err := r.ports.Store.Advance(ctx, runs, scheduler.Starting)
	if len(runs) == 1 && errors.Is(err, ErrConflict) {
		return nil
	}
	if !errors.Is(err, ErrConflict) {
		return err
	}
	for _, run := range runs {
		if err := r.ports.Store.Advance(ctx, []scheduler.Run{run}, scheduler.Starting); err != nil &&
			!errors.Is(err, ErrConflict) {
			return err
		}
	}
	return nil
}

// Submit takes runs of one set: it records each once and starts them at once if
// the set is up. It returns the runs as they are recorded, those known before
// included, and the set's phase with the expected start. Runs that have to wait
// are left to a launcher that it wakes.
func (r *Reconciler) Submit(ctx context.Context, name scheduler.SetName,
	runs []scheduler.Run) ([]scheduler.Run, scheduler.Set, error) {
	var out []scheduler.Run
	var set scheduler.Set
	for len(runs) > 0 {
		n := submitOf(runs)
		part, seen, err := r.submit(ctx, name, runs[:n])
		if out, set = append(out, part...), seen; err != nil {
			return out, set, err
		}
		runs = runs[n:]
	}
	return out, set, nil
}

// submitted is how many runs are recorded at once: with its event, a run is two items
// of the hundred that DynamoDB writes at once.
const submitted = 25

// submitOf returns how many of the runs are recorded at once.
func submitOf(runs []scheduler.Run) int {
	n, size := 0, 0
	for n < min(submitted, len(runs)) {
		if size += len(runs[n].Source) + len(runs[n].Overrides)*4/3; n > 0 && size > maxWave {
			break
		}
		n++
	}
	return n
}

// submit takes as many runs as are recorded at once.
//
// They are written before the set is read, as about to be started. So a deletion, which
// is announced before it looks for runs, either sees them or is seen by them: the two
// need no transaction, in which a burst of events would meet on the set's item.
func (r *Reconciler) submit(ctx context.Context, name scheduler.SetName,
	runs []scheduler.Run) ([]scheduler.Run, scheduler.Set, error) {
	now := r.ports.Clock.Now()
	if err := r.prepare(ctx, name, runs, now); err != nil {
		return nil, scheduler.Set{}, err
	}
	limits := r.settings[name].MaxConcurrent
	// decided about with the set at hand
	mayWait := slices.ContainsFunc(runs, func(r scheduler.Run) bool { return r.MaxDelay > 0 || limits[r.Job] > 0 })
	out, fresh, err := r.record(ctx, runs, now, mayWait)
	if err != nil {
		return out, scheduler.Set{}, err
	}
	set, err := r.ports.Store.LoadSet(ctx, name)
	if err != nil {
		return out, set, err
	}
	var start, wait []*scheduler.Run
	for i := range out {
		switch run := &out[i]; {
		case !fresh[i]:
		case run.State == scheduler.Starting && takes(set, *run, r.me, now):
			start = append(start, run)
		case run.State == scheduler.Starting:
			wait = append(wait, run)
		}
	}
	if err := r.startSubmitted(ctx, start); err != nil {
		return out, set, err
	}
	if err := r.leaveWaiting(ctx, wait); err != nil {
		return out, set, err
	}
	if !slices.ContainsFunc(out, func(run scheduler.Run) bool {
		return run.State == scheduler.Waiting || run.State == scheduler.Starting
	}) {
		return out, set, nil
	}
	if set.LeasedByOther(r.me, now) && len(wait) > 0 { // it may have had its last look before they were left to it
		if set, err = r.ports.Store.LoadSet(ctx, name); err != nil {
			return out, set, err
		}
	}
	if set.LeasedByOther(r.me, r.ports.Clock.Now()) {
		return out, set, nil
	}
	return out, set, r.ports.Waker.Launcher(ctx, name, "runs wait")
}

// prepare fills in what runs need.
func (r *Reconciler) prepare(ctx context.Context, name scheduler.SetName, runs []scheduler.Run, now time.Time) error {
	type needed struct {
		services   []string
		definition string
	}
	known := map[scheduler.JobName]needed{}
	for i := range runs {
		runs[i].Set, runs[i].ReceivedAt = name, now
		n, ok := known[runs[i].Job]
		if !ok {
			var err error
			if n.services, n.definition, err = r.ports.Needs.Of(ctx, name, runs[i].Job); err != nil {
				return err
			}
			known[runs[i].Job] = n
		}
		runs[i].Needs, runs[i].Definition = n.services, n.definition
	}
	return nil
}

// takes reports whether the set starts a new run at once: it is up and has settled, and
// nobody else is about to start runs.
func takes(s scheduler.Set, run scheduler.Run, me string, now time.Time) bool {
	_, refused := s.Refused[run.Job]
	return s.Phase == scheduler.Available && !s.Usable.After(now) && s.Pause == nil && s.TakeDown == "" && !refused &&
		!s.LeasedByOther(me, now) && s.Serves(run)
}

// startSubmitted starts runs that were recorded as about to be started.
func (r *Reconciler) startSubmitted(ctx context.Context, runs []*scheduler.Run) error {
	if len(runs) == 0 {
		return nil
	}
	begun := make([]scheduler.Run, len(runs))
	for i, run := range runs {
		begun[i] = *run
	}
	err := r.startBegun(ctx, begun, false)
	for i, run := range runs {
		*run = begun[i]
	}
	return err
}

// leaveWaiting takes the intent to start runs back: their set is not up.
func (r *Reconciler) leaveWaiting(ctx context.Context, runs []*scheduler.Run) error {
	if len(runs) == 0 {
		return nil
	}
	waiting := make([]scheduler.Run, len(runs))
	for i, run := range runs {
		run.State = scheduler.Waiting
		run.Untried = true
		run.Reason = waits
		waiting[i] = *run
	}
	return r.advance(ctx, waiting)
}

// waits is why a run that is recorded is not started.
const waits = "waits for its endpoints"

// maxInline is how large an event may be that is kept with its run, in bytes: what
// holds a set is read with every look.
const maxInline = 2 << 10

// record writes down runs, each once: as about to be started, or as waiting. fresh says
// of each that is returned whether it was new, or still needs somebody to start it.
func (r *Reconciler) record(ctx context.Context, runs []scheduler.Run, now time.Time,
	waiting bool) (out []scheduler.Run, fresh []bool, err error) {
	for i, run := range runs {
		run.State = scheduler.Waiting
		run.Reason = waits
		run.SourceApart = len(run.Source) > maxInline
		if !waiting {
			run, _ = r.intend(run, now)
			run.Untried = true // the set has not been looked at
		}
		runs[i] = run
	}
	fresh = make([]bool, len(runs))
	if len(runs) > 1 {
		if err := r.ports.Store.RecordAll(ctx, runs); err == nil || !errors.Is(err, ErrConflict) {
			for i := range fresh {
				fresh[i] = true
			}
			return runs, fresh, err
		}
	}
	for i, run := range runs { // one of them is known
		stored, err := r.ports.Store.Record(ctx, run)
		if err != nil && !errors.Is(err, ErrConflict) {
			return out, fresh, err
		}
		fresh[i] = err == nil
		out = append(out, stored)
	}
	return out, fresh, nil
}

// TaskStopped takes the report that a task has stopped. One that is not ours,
// or of an attempt that is over, changes nothing. A name proves nothing: what ends a run is
// the task that is recorded for it, or, while none is, what ECS itself shows of it. It
// reports whether the run has to be started again.
func (r *Reconciler) TaskStopped(ctx context.Context, set scheduler.SetName, t scheduler.Task) (retry bool, err error) {
	for range maxConflicts { // somebody may cancel it meanwhile
		if retry, err = r.taskStopped(ctx, set, t); !errors.Is(err, ErrConflict) {
			return retry, err
		}
	}
	return false, nil // the next look follows it
}

// taskStopped takes a task that has stopped into its run, as it is stored now.
func (r *Reconciler) taskStopped(ctx context.Context, set scheduler.SetName, t scheduler.Task) (retry bool, err error) {
	id, attempt, ok := scheduler.ParseTaskGroup(t.Group)
	if !ok {
		return false, nil
	}
	run, ok, err := r.ports.Store.Run(ctx, set, id)
	if err != nil || !ok || run.State == scheduler.Finished || run.Attempt != attempt ||
		run.State == scheduler.Waiting {
		return false, err
	}
	if run.TaskARN == "" {
		found, err := r.ports.Tasks.Describe(ctx, []scheduler.Run{run})
		if err != nil {
			return false, err
		}
		if shown := found[run.ID]; shown.ARN == t.ARN && shown.Stopped {
			run.TaskARN, t = t.ARN, shown
		}
	}
	if run.TaskARN != t.ARN {
		return false, nil // somebody else's, whatever it is called
	}
	after := run.Conclude(r.explained(ctx, run, t), r.ports.Clock.Now())
	if after.StartedAt.IsZero() {
		after.StartedAt = scheduler.Latest(t.StartedAt, after.StartingAt)
	}
	if err := r.conclude(ctx, after, scheduler.Starting, scheduler.Running); err != nil {
		return false, err
	}
	if after.State == scheduler.Waiting {
		return true, r.ports.Waker.Launcher(ctx, set, after.Reason)
	}
	if r.settings[set].MaxConcurrent[run.Job] > 0 {
		return false, r.ports.Waker.Launcher(ctx, set, "a task of "+string(run.Job)+" has ended")
	}
	return false, nil
}
