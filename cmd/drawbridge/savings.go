package main

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"

	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/output"
	"drawbridge/internal/prices"
	"drawbridge/internal/savings"
	"drawbridge/internal/view"
	"drawbridge/scheduler"
)

type savingsCmd struct {
	awsFlags
	Set scheduler.SetName `arg:"" predictor:"set" optional:"" help:"Set. Default: all."`
}

// Help is the longer text of --help; kong calls it.
func (savingsCmd) Help() string {
	return "The recorded runs (90 days) are replayed through the decisions that are in use now, with other " +
		"settings. Nothing is changed."
}

// Run says what the recorded history would have cost otherwise.
func (c *savingsCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	sets, err := chosen(a, c.Set)
	if err != nil {
		return err
	}
	out := []savings.Report{}
	for _, name := range sets {
		r, err := ss.savings(ctx, a, name)
		if err != nil {
			return err
		}
		out = append(out, r)
	}
	return ss.print(out, func(w io.Writer, style output.Style) error { return view.WriteSavings(w, style, out) })
}

// savings replays the recorded runs of a set.
func (s *session) savings(ctx context.Context, a *app.App, name scheduler.SetName) (savings.Report, error) {
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
	known, _ := table.In(s.place.Region)
	settings := a.Config.Settings()[name]
	in := savings.Input{
		Set: name, Runs: runs, Settings: settings, Learned: set.Learned, Now: s.clock.Now(),
		EndpointHours: cmp.Or(set.PerHour, settings.HoursPerHour),
		Price:         cmp.Or(a.Config.EndpointPrice, known.Endpoint),
	}
	seen := map[endpoints.ServiceID]bool{}
	for _, job := range slices.Sorted(maps.Keys(a.Config.Jobs)) {
		if host, err := hostOf(a, a.Config.Jobs[job].Set); err != nil || host != name {
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
