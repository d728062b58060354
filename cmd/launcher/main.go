// Command launcher is the launcher Lambda: it takes job events, brings the
// endpoints up and starts the Fargate tasks.
package main

import (
	"context"

	"drawbridge/internal/app"
	"drawbridge/internal/lambdamain"
	"drawbridge/internal/launcher"
)

func main() {
	lambdamain.Run(func(ctx context.Context, a *app.App) (lambdamain.Handle, error) {
		return launcher.New(a).Handle, a.Locate(ctx)
	})
}
