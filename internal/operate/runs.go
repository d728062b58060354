package operate

import (
	"context"
	"slices"
	"time"

	"drawbridge/internal/app"
	"drawbridge/scheduler"
)

// RunFilter says which runs are meant; the zero value means all of the given sets.
type RunFilter struct {
	Sets []scheduler.SetName
	Job  scheduler.JobName
	// State is one of a run's states, or of its outcomes.
	State string
	// Failed means those that have ended, and not well.
	Failed bool
	// Since is when they were received at the earliest.
	Since time.Time
}

func (f RunFilter) fits(r scheduler.Run) bool {
	return (f.Job == "" || r.Job == f.Job) && !r.ReceivedAt.Before(f.Since) &&
		(!f.Failed || r.State == scheduler.Finished && r.Outcome != scheduler.Succeeded) &&
		(f.State == "" || f.State == string(r.State) || f.State == string(r.Outcome))
}

// Runs returns runs, the newest first.
func Runs(ctx context.Context, a *app.App, f RunFilter) (out []scheduler.Run, err error) {
	for _, set := range f.Sets {
		runs, err := a.Store.Runs(ctx, set)
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			if f.fits(r) {
				out = append(out, r)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y scheduler.Run) int { return y.ReceivedAt.Compare(x.ReceivedAt) })
	return out, nil
}
