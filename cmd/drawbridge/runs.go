package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

type runsCmd struct {
	awsFlags
	Set    scheduler.SetName `help:"Only runs of this set." placeholder:"SET"`
	Job    scheduler.JobName `help:"Only runs of this job." placeholder:"JOB"`
	Failed bool              `help:"Only runs that did not succeed."`
	Limit  int               `short:"n" help:"The newest N; 0 shows all that are kept (90 days)." default:"20"`
}

// runView is a run as it is shown.
type runView struct {
	ID       scheduler.RunID    `json:"run"`
	Job      scheduler.JobName  `json:"job"`
	Set      scheduler.SetName  `json:"set"`
	State    scheduler.RunState `json:"state"`
	Outcome  scheduler.Outcome  `json:"outcome,omitempty"`
	Attempt  int                `json:"attempt"`
	Received time.Time          `json:"received"`
	Started  *time.Time         `json:"started"`
	Finished *time.Time         `json:"finished"`
	Waited   string             `json:"waited,omitempty"`
	Ran      string             `json:"ran,omitempty"`
	ExitCode *int               `json:"exitCode"`
	Task     string             `json:"task,omitempty"`
	// Cause is, in a word, why the task did not start or what it lost, Diagnosis
	// the same in a sentence.
	Cause     string `json:"cause,omitempty"`
	Diagnosis string `json:"diagnosis,omitempty"`
	// ExpectedStart is when a run that waits should start.
	ExpectedStart *time.Time `json:"expectedStart,omitempty"`
	Reason        string     `json:"reason"`
}

func viewOf(r scheduler.Run) runView {
	v := runView{
		ID: r.ID, Job: r.Job, Set: r.Set, State: r.State, Outcome: r.Outcome, Attempt: r.Attempt,
		Received: r.ReceivedAt.UTC(), ExitCode: r.ExitCode, Task: r.TaskARN, Reason: r.Reason, Cause: r.Cause,
		Diagnosis: r.Diagnosis,
	}
	if !r.StartedAt.IsZero() {
		v.Started = utc(r.StartedAt)
		v.Waited = r.StartedAt.Sub(r.ReceivedAt).Round(time.Second).String()
	}
	if !r.FinishedAt.IsZero() {
		v.Finished = utc(r.FinishedAt)
		if !r.StartedAt.IsZero() {
			v.Ran = r.FinishedAt.Sub(r.StartedAt).Round(time.Second).String()
		}
	}
	return v
}

func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
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
	views := []runView{}
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
			views = append(views, viewOf(r))
		}
	}
	slices.SortStableFunc(views, func(x, y runView) int { return y.Received.Compare(x.Received) })
	if c.Limit > 0 && len(views) > c.Limit {
		views = views[:c.Limit]
	}
	return ss.print(views, func(w io.Writer, style output.Style) error { return writeRuns(w, style, views) })
}

func writeRuns(w io.Writer, style output.Style, views []runView) error {
	t := output.NewRows(style, "RUN", "RECEIVED", "STATE", "WAITED", "RAN", "REASON")
	for _, v := range views {
		state := string(v.State)
		if v.Outcome != "" {
			state = string(v.Outcome)
		}
		t.Add(string(v.ID), v.Received.Format("01-02 15:04:05"), state, v.Waited, v.Ran, v.Reason)
	}
	if t.Len() == 0 {
		_, err := fmt.Fprintln(w, "no runs")
		return err
	}
	return t.Write(w)
}

// hostOf returns the set that a set lives as, or an error that names the sets.
func hostOf(a *app.App, name scheduler.SetName) (scheduler.SetName, error) {
	host, ok := a.Config.Host(name)
	if !ok {
		return "", &hinted{
			fmt.Errorf("there is no set %s in %s", name, a.Config.Path()),
			"use one of " + strings.Join(keys(a.Config.Members()), ", "),
		}
	}
	return host, nil
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
	run, err := findRun(ctx, a, c.ID)
	if err != nil {
		return err
	}
	api := cloudwatchlogs.NewFromConfig(ss.aws)
	var token *string
	for {
		if run, err = findRun(ctx, a, c.ID); err != nil {
			return err
		}
		ended := run.State == scheduler.Finished
		if token, err = c.copy(ctx, a, api, run, token, s.out); err != nil {
			return err
		}
		if ended || !c.Follow {
			return nil
		}
		if err := ss.clock.Sleep(ctx, pollRun); err != nil {
			return ss.goesOn(ctx, err, "the run continues; drawbridge logs "+string(c.ID)+" shows the rest")
		}
	}
}

// findRun returns a run by its id, whichever set it belongs to.
func findRun(ctx context.Context, a *app.App, id scheduler.RunID) (scheduler.Run, error) {
	for _, set := range slices.Sorted(maps.Keys(a.Config.Sets)) {
		r, ok, err := a.Store.Run(ctx, set, id)
		if err != nil || ok {
			return r, err
		}
	}
	return scheduler.Run{}, &hinted{
		fmt.Errorf("there is no run %s", id), "drawbridge runs lists them; a run is written JOB/ID",
	}
}

// copy writes what the log holds beyond token and returns the next one.
func (c *logsCmd) copy(ctx context.Context, a *app.App, api *cloudwatchlogs.Client, r scheduler.Run, token *string,
	w io.Writer) (*string, error) {
	if r.TaskARN == "" {
		if c.Follow && r.State != scheduler.Finished {
			return token, nil
		}
		return nil, &hinted{
			fmt.Errorf("run %s has no task: %s", r.ID, r.Reason), "drawbridge runs shows when it has one",
		}
	}
	if r.LogStream == "" {
		t := scheduler.Task{ARN: r.TaskARN}
		if job := a.Config.Jobs[r.Job]; job != nil {
			t.Definition = job.TaskDefinition
		}
		a.Tasks.Locate(ctx, &t)
		r.LogGroup, r.LogStream = t.LogGroup, t.LogStream
	}
	if r.LogStream == "" {
		return nil, &hinted{
			fmt.Errorf("run %s logs nowhere that is known", r.ID),
			"give the container of its task definition the awslogs driver with a stream prefix",
		}
	}
	for {
		out, err := api.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: &r.LogGroup, LogStreamName: &r.LogStream, StartFromHead: aws.Bool(true), NextToken: token,
		})
		if err != nil && awserr.Code(err) == "ResourceNotFoundException" && strings.Contains(err.Error(), "stream") {
			return token, nil // nothing was logged yet
		}
		if err != nil {
			return token, awserr.Mark(err, "read the log of run %s", r.ID)
		}
		for _, e := range out.Events {
			if _, err := fmt.Fprintln(w, aws.ToString(e.Message)); err != nil {
				return token, err
			}
		}
		last := token
		token = out.NextForwardToken
		if len(out.Events) == 0 || last != nil && token != nil && *last == *token {
			return token, nil
		}
	}
}
