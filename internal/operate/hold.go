package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/hint"
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
			return hint.With(fmt.Errorf("hold set %s: %w", set, err), "the set is not held")
		}
	}
}
