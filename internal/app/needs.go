package app

import (
	"context"
	"errors"

	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// needs tells what jobs reach, in sets whose services follow from their jobs.
type needs struct {
	config *config.Installation
	tasks  *ecstasks.Tasks
}

// Of reads the job's task definition as it is now. One that cannot be read needs
// nothing: starting its task will say what is wrong with it.
func (n *needs) Of(ctx context.Context, set scheduler.SetName,
	job scheduler.JobName) (services []string, definition string, err error) {
	if !n.config.Sets[set].Auto {
		return nil, "", nil
	}
	r, definition, err := n.tasks.Requirements(ctx, job)
	if errors.Is(err, reconcile.ErrTemporary) {
		return nil, "", err
	}
	for _, id := range r.IDs() {
		services = append(services, string(id))
	}
	return services, definition, nil
}
