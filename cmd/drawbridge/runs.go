package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"drawbridge/internal/app"
	"drawbridge/internal/hint"
	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
	"drawbridge/scheduler"
)

type runsCmd struct {
	awsFlags
	Set    scheduler.SetName `help:"Only runs of this set." placeholder:"SET"`
	Job    scheduler.JobName `help:"Only runs of this job." placeholder:"JOB"`
	Failed bool              `help:"Only runs that did not succeed."`
	Limit  int               `short:"n" help:"The newest N; 0 shows all that are kept (90 days)." default:"20"`
}

// chosen returns the set that was named, or the one that it lives as; all sets if none
// was.
func chosen(a *app.App, set scheduler.SetName) ([]scheduler.SetName, error) {
	if set == "" {
		return slices.Sorted(maps.Keys(a.Config.Sets)), nil
	}
	host, err := hostOf(a, set)
	return []scheduler.SetName{host}, err
}

// hostOf returns the set that a set lives as, or an error that names the sets.
func hostOf(a *app.App, name scheduler.SetName) (scheduler.SetName, error) {
	host, ok := a.Config.Host(name)
	if !ok {
		return "", hint.With(
			fmt.Errorf("there is no set %s in %s", name, a.Config.Path()),
			"use one of "+strings.Join(keys(a.Config.Members()), ", "),
		)
	}
	return host, nil
}

// Run lists runs, the newest first.
func (c *runsCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	sets, err := chosen(a, c.Set)
	if err != nil {
		return err
	}
	views := []view.Run{}
	for _, set := range sets {
		runs, err := a.Store.Runs(ctx, set)
		if err != nil {
			return err
		}
		for _, r := range runs {
			if c.Job != "" && r.Job != c.Job ||
				c.Failed && (r.State != scheduler.Finished || r.Outcome == scheduler.Succeeded) {
				continue
			}
			views = append(views, view.OfRun(r))
		}
	}
	slices.SortStableFunc(views, func(x, y view.Run) int { return y.Received.Compare(x.Received) })
	if c.Limit > 0 && len(views) > c.Limit {
		views = views[:c.Limit]
	}
	return ss.print(views, func(w io.Writer, style output.Style) error { return view.WriteRuns(w, style, views) })
}

type logsCmd struct {
	connectFlags
	ID     scheduler.RunID `arg:"" name:"run" help:"Run, as JOB/ID."`
	Follow bool            `short:"f" help:"Go on until the run has ended."`
}

// Run prints a run's log.
func (c *logsCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	api := cloudwatchlogs.NewFromConfig(ss.aws)
	var token *string
	for {
		run, err := findRun(ctx, a, c.ID)
		if err != nil {
			return err
		}
		ended := run.State == scheduler.Finished
		if started := run.TaskARN != ""; started || ended || !c.Follow {
			if token, err = operate.CopyLog(ctx, api, a, run, token, s.out); err != nil {
				return err
			}
		}
		if ended || !c.Follow {
			return nil
		}
		if err := ss.clock.Sleep(ctx, pollRun); err != nil {
			return ss.interrupted(ctx, err, "the run continues; drawbridge logs "+string(c.ID)+" shows the rest")
		}
	}
}

// errNoRun means that no set has a run of that id.
var errNoRun = errors.New("there is no run")

// findRun returns a run by its id, whichever set it belongs to.
func findRun(ctx context.Context, a *app.App, id scheduler.RunID) (scheduler.Run, error) {
	for _, set := range slices.Sorted(maps.Keys(a.Config.Sets)) {
		r, ok, err := a.Store.Run(ctx, set, id)
		if err != nil || ok {
			return r, err
		}
	}
	return scheduler.Run{}, hint.With(
		fmt.Errorf("%w %s", errNoRun, id), "drawbridge runs lists them; a run is written JOB/ID",
	)
}
