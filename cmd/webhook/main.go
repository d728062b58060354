// Command webhook is the Lambda that git servers report pushes to.
package main

import (
	"context"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/lambdamain"
	"drawbridge/internal/webhook"
)

func main() {
	lambdamain.Run(func(_ context.Context, s app.Start) (lambdamain.Handle, error) {
		r := webhook.Of(s)
		return func(ctx context.Context, payload []byte, _ string, _ time.Time) (any, error) {
			return r.Handle(ctx, payload)
		}, nil
	})
}
