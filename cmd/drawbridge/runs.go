package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

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
	Set    scheduler.SetName `predictor:"set" help:"Only runs of this set." placeholder:"SET"`
	Job    scheduler.JobName `predictor:"job" help:"Only runs of this job." placeholder:"JOB"`
	State  *string           `help:"Only runs in this state, or with this outcome: ${enum}." enum:"${run_states}"`
	Since  time.Duration     `help:"Only runs received so long ago at most." placeholder:"DURATION"`
	Failed bool              `help:"Only runs that did not succeed."`
	Limit  int               `short:"n" help:"The newest N; 0 shows all that are kept (90 days)." default:"20"`
	watchFlags
}

// runStates are the states and the outcomes of runs.
const runStates = "waiting,starting,running,finished,succeeded,failed,timed-out,lost,dead-lettered,cancelled"

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
	if _, known := a.Config.Jobs[c.Job]; c.Job != "" && !known {
		ss.say("There is no job %s in %s; runs of one that was are shown. The jobs are %s.", c.Job, c.Config,
			strings.Join(keys(a.Config.Jobs), ", "))
	}
	f := operate.RunFilter{Sets: sets, Job: c.Job, Failed: c.Failed}
	if c.State != nil {
		f.State = *c.State
	}
	return c.watch(ctx, ss, func() (func() error, error) {
		if c.Since > 0 {
			f.Since = ss.clock.Now().Add(-c.Since)
		}
		runs, err := operate.Runs(ctx, a, f)
		if c.Limit > 0 && len(runs) > c.Limit {
			runs = runs[:c.Limit]
		}
		views := []view.Run{}
		for _, r := range runs {
			views = append(views, view.OfRun(r))
		}
		return func() error {
			return ss.print(views, func(w io.Writer, style output.Style) error { return view.WriteRuns(w, style, views) })
		}, err
	})
}

type showCmd struct {
	awsFlags
	ID scheduler.RunID `arg:"" name:"run" help:"Run, as JOB/ID; a job alone is its newest run." predictor:"run"`
}

// Run prints all that is known of a run.
func (c *showCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	run, err := findRun(ctx, a, c.ID)
	if err != nil {
		return err
	}
	v := view.DetailsOf(run, a.Config)
	return ss.print(v, v.Write)
}

type cancelCmd struct {
	connectFlags
	dryRunFlag
	ID scheduler.RunID `arg:"" name:"run" help:"Run, as JOB/ID; a job alone is its newest run." predictor:"run"`
}

// Help is the longer text of --help; kong calls it.
func (cancelCmd) Help() string {
	return "A run that waits ends at once. The task of one that runs is stopped: its container gets SIGTERM, and " +
		"SIGKILL after its stopTimeout. The set's endpoints stay until the end of their paid hour."
}

// Run cancels a run.
func (c *cancelCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	run, err := findRun(ctx, a, c.ID)
	if err != nil {
		return err
	}
	if c.DryRun {
		ss.say("Would cancel %s, which is %s.", run.ID, run.State)
		return nil
	}
	run, err = operate.Cancel(ctx, a, run, ss.caller)
	if err != nil {
		return err
	}
	ss.say("%s: %s.", run.ID, run.Reason)
	return nil
}

type logsCmd struct {
	connectFlags
	ID     scheduler.RunID `arg:"" name:"run" help:"Run, as JOB/ID; a job alone is its newest run." predictor:"run"`
	Follow bool            `short:"f" help:"Go on until the run has ended."`
	// Timestamps are those of the events, which the container's driver gives them.
	Timestamps bool `short:"t" help:"Begin each line with its time."`
}

// Run prints a run's log.
func (c *logsCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	log := operate.NewLog(cloudwatchlogs.NewFromConfig(ss.aws), a, s.out)
	if c.Timestamps {
		log.Time = ss.style().Time
	}
	for {
		run, err := findRun(ctx, a, c.ID)
		if err != nil {
			return err
		}
		ended := run.State == scheduler.Finished
		if started := run.TaskARN != ""; started || ended || !c.Follow {
			if err := log.Copy(ctx, run); err != nil {
				return err
			}
		}
		if ended || !c.Follow {
			if log.Lines == 0 {
				ss.say("%s", log.Empty(run))
			}
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
	if job, ok := a.Config.Jobs[scheduler.JobName(id)]; ok {
		runs, err := operate.Runs(ctx, a, operate.RunFilter{
			Sets: []scheduler.SetName{job.Set}, Job: scheduler.JobName(id),
		})
		if err != nil || len(runs) > 0 {
			return append(runs, scheduler.Run{})[0], err
		}
	}
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
