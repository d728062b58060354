package operate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// destroyReason is the reason of pauses and take-downs before a removal.
const destroyReason = "drawbridge destroy"

// Close keeps new runs away from every set. It returns a function that undoes
// that, for a removal that is refused after all.
func Close(ctx context.Context, a *app.App, by string) (reopen func(context.Context) error, err error) {
	var closed []scheduler.SetName
	reopen = func(ctx context.Context) error {
		var errs []error
		for _, name := range closed {
			errs = append(errs, UpdateSet(ctx, a, name, func(s *scheduler.Set) { s.Pause = nil }))
			errs = append(errs, a.Wake(ctx, reconcile.Launcher, name, "not destroyed after all"))
		}
		return errors.Join(errs...)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Config.Sets)) {
		mine := false
		err := Change(ctx, a.Store, a.Clock, name, func(s *scheduler.Set) bool {
			mine = s.Pause == nil
			if mine {
				s.Pause = &scheduler.Pause{At: a.Clock.Now(), By: by, Reason: destroyReason}
			}
			return mine
		})
		if err != nil {
			return reopen, err
		}
		if mine {
			closed = append(closed, name)
		}
	}
	return reopen, nil
}

// TakeDown takes every set down without waiting for the end of its paid hour: new
// runs are kept away, holds end, tasks are stopped, and the reaper does the rest.
// It returns when all are absent.
func TakeDown(ctx context.Context, a *app.App, by string, tell func(string)) error {
	if _, err := Close(ctx, a, by); err != nil {
		return err
	}
	for woken := (time.Time{}); ; {
		left := 0
		for _, name := range slices.Sorted(maps.Keys(a.Config.Sets)) {
			s, err := State(ctx, a, name)
			if err != nil {
				return err
			}
			if s.Set.Phase == scheduler.Absent && holding(s.Runs) == 0 {
				continue
			}
			left++
			if err := takeDown(ctx, a, s, tell); err != nil {
				return err
			}
		}
		if left == 0 {
			return nil
		}
		if now := a.Clock.Now(); now.Sub(woken) >= time.Minute { // the reaper may be busy, or have missed it
			woken = now
			if err := wakeAll(ctx, a, tell); err != nil {
				return err
			}
		}
		if err := a.Clock.Sleep(ctx, 3*time.Second); err != nil {
			return err
		}
	}
}

func wakeAll(ctx context.Context, a *app.App, tell func(string)) error {
	states, err := States(ctx, a)
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.Set.Phase == scheduler.Absent {
			continue
		}
		tell(fmt.Sprintf("set %s is %s, tasks: %d", s.Set.Name, s.Set.Phase, holding(s.Runs)))
		if err := a.Wake(ctx, reconcile.Reaper, s.Set.Name, destroyReason); err != nil {
			return err
		}
	}
	return nil
}

// takeDown marks a set, ends its holds and stops its tasks. It is called again and
// again until the set is absent.
func takeDown(ctx context.Context, a *app.App, s SetState, tell func(string)) error {
	name := s.Set.Name
	err := Change(ctx, a.Store, a.Clock, name, func(set *scheduler.Set) bool {
		if set.Phase == scheduler.Absent || set.TakeDown != "" {
			return false
		}
		set.TakeDown = destroyReason
		return true
	})
	if err != nil {
		return err
	}
	for _, l := range s.Holds {
		tell(fmt.Sprintf("set %s: hold of %s ends (%s)", name, l.Owner, l.Reason))
		if err := a.Store.Release(ctx, name, l.Owner); err != nil {
			return err
		}
	}
	for _, r := range s.Runs {
		if err := end(ctx, a, r, tell); err != nil {
			return err
		}
	}
	return nil
}

// startLost is how long after its intent a start without a task is given up.
const startLost = 2 * time.Minute

// end ends a run that has a task, or may have one: it stops the task, and gives up
// a start that has none.
func end(ctx context.Context, a *app.App, r scheduler.Run, tell func(string)) error {
	switch {
	case r.State != scheduler.Running && r.State != scheduler.Starting || !r.StopAsked.IsZero():
		return nil
	case a.Config.Mode == config.Observe:
		return giveUp(ctx, a, r, "it was only observed, and the installation is being removed")
	}
	if r.State == scheduler.Starting {
		found, err := a.Tasks.Describe(ctx, []scheduler.Run{r})
		if err != nil {
			return err
		}
		t, ok := found[r.ID]
		if !ok {
			if a.Clock.Now().Sub(r.StartingAt) < startLost {
				return nil // it may come yet
			}
			tell(fmt.Sprintf("set %s: run %s has no task and is given up", r.Set, r.ID))
			return giveUp(ctx, a, r, "its start was left behind; given up by "+destroyReason)
		}
		r.TaskARN = t.ARN
	}
	tell(fmt.Sprintf("set %s: the task of run %s is stopped", r.Set, r.ID))
	if err := a.Tasks.Stop(ctx, r, "drawbridge: destroy"); err != nil {
		return err
	}
	if r.State == scheduler.Running { // remembered, so that it is asked for once
		r.StopAsked, r.Reason = a.Clock.Now(), "stopped by "+destroyReason
		if err := a.Store.Advance(ctx, []scheduler.Run{r}, scheduler.Running); err != nil &&
			!errors.Is(err, reconcile.ErrConflict) {
			return err
		}
	}
	return nil
}

func giveUp(ctx context.Context, a *app.App, r scheduler.Run, reason string) error {
	r.State = scheduler.Finished
	r.Outcome = scheduler.Lost
	r.FinishedAt = a.Clock.Now()
	r.Reason = reason
	if err := a.Store.Advance(ctx, []scheduler.Run{r}, scheduler.Waiting, scheduler.Starting,
		scheduler.Running); err != nil && !errors.Is(err, reconcile.ErrConflict) {
		return err
	}
	return nil
}

// holding counts the runs that have a task or may have one.
func holding(runs []scheduler.Run) int {
	n := 0
	for _, r := range runs {
		if r.State == scheduler.Running || r.State == scheduler.Starting {
			n++
		}
	}
	return n
}
