package source

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drawbridge/cfn"
	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/internal/deployments"
	"drawbridge/internal/estimate"
	"drawbridge/internal/operate"
	"drawbridge/internal/prices"
	"drawbridge/internal/report"
	"drawbridge/scheduler"
)

// Remembered is for how many days runs and deleted stacks are remembered.
const Remembered = 90

// Installation is the report of an installation from an instant until now. It reads the table, and the stacks
// that CloudFormation remembers.
func Installation(ctx context.Context, a *app.App, api cfn.ListStacksAPI, from time.Time) (report.Report, error) {
	r := report.Report{
		Title: fmt.Sprintf("%s in %s, account %s", a.Config.Name, a.Place.Region, a.Place.Account),
		From:  from.UTC(), Until: a.Clock.Now().UTC(),
	}
	stacks, err := cfn.History(ctx, api, a.Config.Name)
	if err != nil {
		return r, awserr.Mark(err, "list the stacks")
	}
	table, err := prices.Table()
	if err != nil {
		return r, err
	}
	known, _ := table.In(a.Place.Region)
	price := cmp.Or(a.Config.EndpointPrice, known.Endpoint)
	lives := 0
	for _, name := range slices.Sorted(maps.Keys(a.Config.Sets)) {
		if host, _ := a.Config.Host(name); host != name {
			continue
		}
		set, err := addSet(ctx, a, &r, name, stacks)
		if err != nil {
			return r, err
		}
		set.Price = price
		lives += len(set.Generations)
		r.Sets = append(r.Sets, set)
		s, err := operate.Savings(ctx, a, name)
		if err != nil {
			return r, err
		}
		for _, x := range s.Advice {
			r.Advice = append(r.Advice, "Set "+string(name)+": "+x)
		}
	}
	since := r.Until // when the first set was used
	for _, s := range r.Sets {
		since = earliest(since, s.Since)
	}
	own := estimate.OwnUSD(lives, len(r.Runs), r.Until.Sub(scheduler.Latest(since, r.From)), a.Config.Monitoring)
	r.OwnUSD = &own
	r.Notes = append(
		r.Notes,
		"Endpoints are taken to be up as long after their stack was created as the set has learned, and to go "+
			"as long before it "+
			"was gone; hours are counted from the stack.",
		"A set keeps its last decisions, and holds until they end: older ones are in the functions' logs. What "+
			"Drawbridge itself "+
			"cost is reckoned from what ran, by list prices.",
	)
	r.Tidy()
	return r, nil
}

// addSet returns a set with what lived of it in the report's time, and adds its runs, holds and deployments.
func addSet(
	ctx context.Context,
	a *app.App,
	r *report.Report,
	name scheduler.SetName,
	stacks []cfn.Lived,
) (report.Set, error) {
	state, err := operate.State(ctx, a, name)
	if err != nil {
		return report.Set{}, err
	}
	settings := a.Config.Settings()[name].WithLearned(state.Set.Learned)
	out := report.Set{
		Name: string(name), Basis: settings.Basis, Endpoints: cmp.Or(state.Set.PerHour, settings.HoursPerHour),
		Services: state.Set.Services, Delay: (settings.Raise + settings.Lower).Seconds(),
		Since: cmp.Or(state.Set.CountedSince, r.Until).UTC(),
	}
	if len(out.Services) == 0 { // it is not up
		for _, s := range a.Config.Sets[name].Services {
			out.Services = append(out.Services, string(s))
		}
	}
	out.Services = slices.DeleteFunc(out.Services, func(s string) bool { return s == "s3" || s == "dynamodb" })
	out.Generations = generations(state.Set, stacks, settings, r)
	for _, d := range state.Set.Decisions {
		if !d.At.Before(r.From) {
			out.Decisions = append(out.Decisions, report.Decision{At: d.At.UTC(), Action: string(d.Action),
				Reason: d.Reason})
		}
	}
	for _, h := range state.Holds {
		if strings.HasPrefix(h.Owner, deployments.Owner("")) {
			continue // the deployment is shown
		}
		r.Spans = append(r.Spans, report.Span{
			Kind: "hold", Name: h.Owner, Set: string(name), From: cmp.Or(h.Since, r.From).UTC(),
			Until:  h.Until(settings).UTC(),
			Reason: h.Reason,
		})
	}
	if err := addDeployments(ctx, a, r, name); err != nil {
		return out, err
	}
	return out, addRuns(ctx, a, r, name)
}

// generations returns the stacks of a set as its generations, with the times that the set has learned. They are numbered
// as status numbers them: the last one is the set's present one.
func generations(set scheduler.Set, stacks []cfn.Lived, settings scheduler.Settings, r *report.Report) []report.Generation {
	stacks = slices.DeleteFunc(slices.Clone(stacks), func(s cfn.Lived) bool { return s.Set != string(set.Name) })
	slices.SortFunc(stacks, func(a, b cfn.Lived) int { return a.Created.Compare(b.Created) })
	var out []report.Generation
	for i, s := range stacks {
		if !s.Deleted.IsZero() && s.Deleted.Before(r.From) {
			continue
		}
		g := report.Generation{
			Number: max(set.Generation-len(stacks)+1+i, 1), Created: s.Created.UTC(),
			Available: s.Created.Add(settings.Raise).UTC(), Deleted: s.Deleted.UTC(), Failed: s.Failed,
		}
		if !s.Deleted.IsZero() {
			g.Deleting = scheduler.Latest(s.Deleted.Add(-settings.Lower), g.Created).UTC()
			g.Available = earliest(g.Available, g.Deleting)
		}
		if s.Failed || g.Available.After(r.Until) {
			g.Available = time.Time{}
		}
		out = append(out, g)
	}
	return out
}

func addRuns(ctx context.Context, a *app.App, r *report.Report, name scheduler.SetName) error {
	runs, err := a.Store.Runs(ctx, name)
	if err != nil {
		return err
	}
	for _, x := range runs {
		if x.ReceivedAt.Before(r.From) {
			continue
		}
		r.Runs = append(r.Runs, report.Run{
			ID: string(x.ID), Job: string(x.Job), Set: string(name), Received: x.ReceivedAt.UTC(),
			Started:  x.StartedAt.UTC(),
			Finished: x.FinishedAt.UTC(), Outcome: cmp.Or(string(x.Outcome), string(x.State)), ExitCode: x.ExitCode,
			Reason: cmp.Or(x.Diagnosis, x.Reason), Cause: x.Cause,
		})
	}
	return nil
}

func addDeployments(ctx context.Context, a *app.App, r *report.Report, name scheduler.SetName) error {
	all, err := a.Store.AllDeployments(ctx, name)
	if err != nil {
		return err
	}
	for _, text := range all {
		var d deployments.Record
		if err := json.Unmarshal(text, &d); err != nil {
			return fmt.Errorf("a deployment of set %s: %w", name, err)
		}
		if !d.Ended.IsZero() && d.Ended.Before(r.From) {
			continue
		}
		r.Spans = append(r.Spans, report.Span{
			Kind: "deployment", Name: d.ID, Set: string(name), From: d.Began.UTC(), Until: d.Ended.UTC(),
			Reason: d.State,
		})
	}
	return nil
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
