// Command hook is the Lambda that follows deployments: it has them hold their endpoint sets,
// and answers their lifecycle hooks.
package main

import (
	"context"

	"drawbridge/internal/app"
	"drawbridge/internal/deployments"
	"drawbridge/internal/lambdamain"
)

func main() {
	lambdamain.Run(func(ctx context.Context, s app.Start) (lambdamain.Handle, error) {
		h, err := deployments.Function(ctx, s)
		return h, err
	})
}
