package operate

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/prices"
	"drawbridge/internal/savings"
	"drawbridge/scheduler"
)

// Savings replays the recorded runs of a set with other settings.
func Savings(ctx context.Context, a *app.App, name scheduler.SetName) (savings.Report, error) {
	runs, err := a.Store.Runs(ctx, name)
	if err != nil {
		return savings.Report{}, err
	}
	set, err := a.Store.LoadSet(ctx, name)
	if err != nil {
		return savings.Report{}, err
	}
	table, err := prices.Table()
	if err != nil {
		return savings.Report{}, err
	}
	known, _ := table.In(a.Place.Region)
	settings := a.Config.Settings()[name]
	in := savings.Input{
		Set: name, Runs: runs, Settings: settings, Learned: set.Learned, Now: a.Clock.Now(),
		EndpointHours: cmp.Or(set.PerHour, settings.HoursPerHour),
		Price:         cmp.Or(a.Config.EndpointPrice, known.Endpoint),
	}
	seen := map[endpoints.ServiceID]bool{}
	for _, job := range slices.Sorted(maps.Keys(a.Config.Jobs)) {
		if host, _ := a.Config.Host(a.Config.Jobs[job].Set); host != name {
			continue
		}
		r, _, err := a.Tasks.Requirements(ctx, job)
		if err != nil {
			continue // one that cannot be read has nothing to spare
		}
		for _, x := range r.Avoidable {
			if !seen[x.Service] {
				in.Avoidable = append(in.Avoidable, savings.Avoidable{Service: string(x.Service), How: x.How})
			}
			seen[x.Service] = true
		}
	}
	return savings.Make(in)
}
