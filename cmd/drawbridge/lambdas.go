package main

import (
	"context"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/deployments"
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
	case "hook":
		lambdamain.Run(func(ctx context.Context, s app.Start) (lambdamain.Handle, error) {
			h, err := deployments.Function(ctx, s)
			return h, err
		})
	case "launcher":
		lambdamain.Run(lambdamain.Of(func(a *app.App) lambdamain.Handle { return launcher.New(a).Handle }))
	case "reaper":
		lambdamain.Run(lambdamain.Of(func(a *app.App) lambdamain.Handle { return reaper.New(a).Handle }))
	case "webhook":
		lambdamain.Run(func(_ context.Context, s app.Start) (lambdamain.Handle, error) {
			r := webhook.Of(s)
			return func(ctx context.Context, payload []byte, _ string, _ time.Time) (any, error) {
				return r.Handle(ctx, payload)
			}, nil
		})
	default:
		return false
	}
	return true
}
