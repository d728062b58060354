// Command hook is the Lambda that follows deployments: it has them hold their endpoint sets,
// and answers their lifecycle hooks.
package main

import (
	"drawbridge/internal/app"
	"drawbridge/internal/deployments"
	"drawbridge/internal/lambdamain"
)

func main() {
	lambdamain.Run(lambdamain.Of(func(a *app.App) lambdamain.Handle { return deployments.Function(a) }))
}
