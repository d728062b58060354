package app

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/clock"
	"drawbridge/internal/store"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// observedStacks stand in for the stacks of an installation that only observes:
// they take the times that stacks usually take, and exist in the table alone.
type observedStacks struct {
	real  *setStacks
	store *store.Store
	clock clock.Clock
}

// observed is a stack that would be there.
type observed struct {
	ID         string    `json:"id"`
	Generation int       `json:"generation"`
	Created    time.Time `json:"created"`
	// Deleting is when its deletion began; zero if it did not.
	Deleting  time.Time `json:"deleting"`
	Endpoints int       `json:"endpoints"`
}

// observedLowers is how long the deletion of such a stack takes.
const observedLowers = 2 * time.Minute

func (o *observedStacks) load(ctx context.Context, set scheduler.SetName) (observed, scheduler.StackState, error) {
	var s observed
	ok, err := o.store.Note(ctx, set, &s)
	now := o.clock.Now()
	switch {
	case err != nil:
		return s, "", err
	case !ok || !s.Deleting.IsZero() && !now.Before(s.Deleting.Add(observedLowers)):
		return s, scheduler.StackMissing, nil
	case !s.Deleting.IsZero():
		return s, scheduler.StackDeleting, nil
	case now.Before(s.Created.Add(scheduler.DefaultRaise)):
		return s, scheduler.StackBusy, nil
	}
	return s, scheduler.StackComplete, nil
}

// Prepare plans as if it were in earnest.
func (o *observedStacks) Prepare(ctx context.Context, set scheduler.SetName,
	wish reconcile.Wish) (reconcile.Prepared, error) {
	return o.real.Prepare(ctx, set, wish)
}

// Extend notes that the stack would hold more now.
func (o *observedStacks) Extend(ctx context.Context, set scheduler.SetName, _ scheduler.StackID, _ reconcile.LifeID,
	_ int, p reconcile.Prepared) (endpoints, perHour int, err error) {
	s, state, err := o.load(ctx, set)
	if err != nil || state == scheduler.StackMissing || state == scheduler.StackDeleting {
		return 0, 0, err
	}
	s.Endpoints = p.Endpoints
	return p.Endpoints, p.PerHour, o.store.SaveNote(ctx, set, s)
}

// Create notes that the stack would be created now.
func (o *observedStacks) Create(ctx context.Context, set scheduler.SetName, of reconcile.LifeID,
	p reconcile.Prepared) (scheduler.StackID, error) {
	id := fmt.Sprintf("observed:%s:%d", set, of.Generation)
	old, state, err := o.load(ctx, set)
	if err != nil || state != scheduler.StackMissing && old.ID == id {
		return scheduler.StackID(id), err
	}
	return scheduler.StackID(id), o.store.SaveNote(ctx, set, observed{
		ID: id, Generation: of.Generation, Created: o.clock.Now(), Endpoints: p.Endpoints,
	})
}

// Stack returns the state that the stack would be in.
func (o *observedStacks) Stack(ctx context.Context, set scheduler.SetName,
	_ scheduler.StackID) (reconcile.StackSeen, error) {
	s, state, err := o.load(ctx, set)
	return reconcile.StackSeen{State: state, ID: scheduler.StackID(s.ID), Generation: s.Generation}, err
}

// Endpoints counts the endpoints that would be there.
func (o *observedStacks) Endpoints(ctx context.Context, set scheduler.SetName, _ scheduler.StackID,
	_ bool) (scheduler.EndpointCount, error) {
	return o.Coming(ctx, set)
}

// Coming counts the endpoints that would be there.
func (o *observedStacks) Coming(ctx context.Context, set scheduler.SetName) (scheduler.EndpointCount, error) {
	s, state, err := o.load(ctx, set)
	c := scheduler.EndpointCount{}
	switch state {
	case scheduler.StackBusy:
		c.Pending, c.FirstCreated = s.Endpoints, s.Created
	case scheduler.StackComplete:
		c.Available, c.FirstCreated = s.Endpoints, s.Created
	case scheduler.StackDeleting:
		c.Deleting = s.Endpoints
	}
	return c, err
}

// Delete notes that the stack would be deleted now.
func (o *observedStacks) Delete(ctx context.Context, set scheduler.SetName, _ scheduler.StackID, _ bool) error {
	s, state, err := o.load(ctx, set)
	if err != nil || state == scheduler.StackMissing || state == scheduler.StackDeleting {
		return err
	}
	s.Deleting = o.clock.Now()
	return o.store.SaveNote(ctx, set, s)
}

// Sweep has nothing to sweep.
func (o *observedStacks) Sweep(context.Context, scheduler.SetName, scheduler.StackID) error {
	return nil
}

// observedTasks stand in for the tasks of an installation that only observes.
// Each would end after observedRuns.
type observedTasks struct{ clock clock.Clock }

// observedRuns is how long a run that was only observed counts as running: as
// long as a replay takes for a run of unknown length.
const observedRuns = 5 * time.Minute

// Start names tasks that are not started.
func (observedTasks) Start(_ context.Context, runs []scheduler.Run) []reconcile.Started {
	out := make([]reconcile.Started, len(runs))
	for i, run := range runs {
		out[i].ARN = "observed:" + string(run.ID)
	}
	return out
}

// Active counts no tasks: there are none.
func (observedTasks) Active(context.Context, scheduler.SetName) (int, error) { return 0, nil }

// Describe shows tasks as stopped once their time is over.
func (o observedTasks) Describe(_ context.Context, runs []scheduler.Run) (map[scheduler.RunID]scheduler.Task, error) {
	out := map[scheduler.RunID]scheduler.Task{}
	for _, r := range runs {
		from := r.StartedAt
		if from.IsZero() {
			from = r.StartingAt
		}
		t := scheduler.Task{ARN: r.TaskARN, Group: r.TaskGroup(), StartedAt: from}
		if end := from.Add(observedRuns); !o.clock.Now().Before(end) {
			zero := 0
			t.Stopped = true
			t.StoppedAt = end
			t.ExitCode = &zero
		}
		out[r.ID] = t
	}
	return out, nil
}

// Stop stops nothing.
func (observedTasks) Stop(context.Context, scheduler.Run, string) error { return nil }
