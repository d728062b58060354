package main

import (
	"context"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/functions"
	"drawbridge/internal/lambdamain"
	"drawbridge/internal/launcher"
	"drawbridge/internal/reaper"
	"drawbridge/internal/webhook"
)

// serveFunction serves the function that this program was started as, as the sandbox
// does where it has no binaries for this machine, and reports whether it was any.
func serveFunction() bool {
	switch functions.Called() {
	case "launcher":
		lambdamain.Run(func(ctx context.Context, a *app.App) (lambdamain.Handle, error) {
			return launcher.New(a).Handle, a.Locate(ctx)
		})
	case "reaper":
		lambdamain.Run(func(ctx context.Context, a *app.App) (lambdamain.Handle, error) {
			return reaper.New(a).Handle, a.Locate(ctx)
		})
	case "webhook":
		lambdamain.Run(func(_ context.Context, a *app.App) (lambdamain.Handle, error) {
			r := webhook.Of(a)
			return func(ctx context.Context, payload []byte, _ string, _ time.Time) (any, error) {
				return r.Handle(ctx, payload)
			}, nil
		})
	default:
		return false
	}
	return true
}
