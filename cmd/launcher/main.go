// Command launcher is the launcher Lambda: it takes job events, brings the
// endpoints up and starts the Fargate tasks.
package main

import (
	"drawbridge/internal/app"
	"drawbridge/internal/lambdamain"
	"drawbridge/internal/launcher"
)

func main() {
	lambdamain.Run(lambdamain.Of(func(a *app.App) lambdamain.Handle { return launcher.New(a).Handle }))
}
