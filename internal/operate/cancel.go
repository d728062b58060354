package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/internal/hint"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// startKnown is how long it takes at most until it is known whether a task comes of a start.
const startKnown = 3 * time.Minute

// Cancel ends a run for somebody: one that waits at once, one whose task runs by stopping the
// task. It returns the run as it then is; the end of a task is recorded by the reaper. A run that
// has ended is an error. Repeating it is safe.
func Cancel(ctx context.Context, a *app.App, run scheduler.Run, by string) (scheduler.Run, error) {
	if a.Config.Mode == config.Observe {
		return run, hint.New("nothing runs that could be cancelled: the installation only observes",
			"mode: active, and drawbridge deploy, have it act")
	}
	for began := a.Clock.Now(); ; {
		switch {
		case run.State == scheduler.Finished:
			return run, hint.New(fmt.Sprintf("run %s has ended: %s", run.ID, run.Reason),
				"drawbridge show "+string(run.ID)+" shows how")
		case run.State == scheduler.Running && run.CancelledBy != "":
			return run, a.Tasks.Stop(ctx, run, stopReason(run))
		}
		if next, can := run.Cancel(by, a.Clock.Now()); can {
			err := a.Store.Advance(ctx, []scheduler.Run{next}, run.State)
			if err == nil {
				return next, carryOut(ctx, a, next)
			}
			if !errors.Is(err, reconcile.ErrConflict) {
				return run, err
			}
		} else if a.Clock.Now().Sub(began) > startKnown {
			return run, hint.New(fmt.Sprintf("run %s is still being started", run.ID), "try again in a minute")
		}
		if err := a.Clock.Sleep(ctx, 2*time.Second); err != nil {
			return run, err
		}
		latest, ok, err := a.Store.Run(ctx, run.Set, run.ID)
		if err != nil || !ok {
			return run, errors.Join(err, fmt.Errorf("run %s: read how it stands", run.ID))
		}
		run = latest
	}
}

// stopReason is what ECS keeps with the task.
func stopReason(run scheduler.Run) string { return "drawbridge: cancelled by " + run.CancelledBy }

// carryOut does what a cancelled run asks for, once that is written down.
func carryOut(ctx context.Context, a *app.App, run scheduler.Run) error {
	if run.State == scheduler.Running {
		return a.Tasks.Stop(ctx, run, stopReason(run))
	}
	return errors.Join(
		a.Ended(ctx, run),
		a.Wake(ctx, reconcile.Reaper, run.Set, "run "+string(run.ID)+" is cancelled"),
	)
}
