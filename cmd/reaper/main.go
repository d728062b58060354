// Command reaper is the reaper Lambda: it follows tasks to their end and takes
// endpoint stacks down at the end of their paid hour.
package main

import (
	"drawbridge/internal/app"
	"drawbridge/internal/lambdamain"
	"drawbridge/internal/reaper"
)

func main() {
	lambdamain.Run(lambdamain.Of(func(a *app.App) lambdamain.Handle { return reaper.New(a).Handle }))
}
