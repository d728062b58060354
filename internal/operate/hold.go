package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drawbridge/internal/app"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// Hold stores a hold. A set that is about to be deleted takes it once that is done:
// waiting is called when that is so.
func Hold(ctx context.Context, a *app.App, set scheduler.SetName, h scheduler.Hold, waiting func()) error {
	for told := false; ; told = true {
		err := a.Store.Hold(ctx, set, h)
		if !errors.Is(err, reconcile.ErrConflict) {
			return err
		}
		if !told {
			waiting()
		}
		if err := a.Clock.Sleep(ctx, 3*time.Second); err != nil {
			return &notHeldError{set, err}
		}
	}
}

// notHeldError is a wait for a set that was interrupted.
type notHeldError struct {
	set   scheduler.SetName
	cause error
}

func (e *notHeldError) Error() string { return fmt.Sprintf("hold set %s: %v", e.set, e.cause) }
func (e *notHeldError) Unwrap() error { return e.cause }

// Hint says how the set was left.
func (e *notHeldError) Hint() string { return "the set is not held" }
