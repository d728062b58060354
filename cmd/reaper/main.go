// Command reaper is the reaper Lambda: it follows tasks to their end and takes
// endpoint stacks down at the end of their paid hour.
package main

import (
	"context"

	"drawbridge/internal/app"
	"drawbridge/internal/lambdamain"
	"drawbridge/internal/reaper"
)

func main() {
	lambdamain.Run(func(ctx context.Context, a *app.App) (lambdamain.Handle, error) {
		return reaper.New(a).Handle, a.Locate(ctx)
	})
}
