// Package view says what stands in the table as people and scripts read it: runs, sets, and
// what is behind them. Field names of the JSON are promised to scripts.
package view

import (
	"fmt"
	"io"
	"time"

	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// Run is a run as it is shown.
type Run struct {
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

// OfRun sums up a run.
func OfRun(r scheduler.Run) Run {
	v := Run{
		ID: r.ID, Job: r.Job, Set: r.Set, State: r.State, Outcome: r.Outcome, Attempt: r.Attempt,
		Received: r.ReceivedAt.UTC(), ExitCode: r.ExitCode, Task: r.TaskARN, Reason: r.Reason, Cause: r.Cause,
		Diagnosis: r.Diagnosis,
	}
	if !r.StartedAt.IsZero() {
		v.Started = UTC(r.StartedAt)
		v.Waited = r.StartedAt.Sub(r.ReceivedAt).Round(time.Second).String()
	}
	if !r.FinishedAt.IsZero() {
		v.Finished = UTC(r.FinishedAt)
		if !r.StartedAt.IsZero() {
			v.Ran = r.FinishedAt.Sub(r.StartedAt).Round(time.Second).String()
		}
	}
	return v
}

// UTC returns an instant in UTC, nil for none.
func UTC(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

// WriteRuns writes runs as a table.
func WriteRuns(w io.Writer, style output.Style, views []Run) error {
	t := output.NewRows(style, "RUN", style.Head("RECEIVED", latest(views)), "STATE", "WAITED", "RAN", "REASON")
	for _, v := range views {
		state := string(v.State)
		if v.Outcome != "" {
			state = string(v.Outcome)
		}
		t.Add(string(v.ID), style.Day(v.Received), state, v.Waited, v.Ran,
			style.Reason(v.Reason, v.Received))
	}
	if t.Len() == 0 {
		_, err := fmt.Fprintln(w, "no runs")
		return err
	}
	return t.Write(w)
}

// latest returns when the newest of runs was received.
func latest(views []Run) (at time.Time) {
	for _, v := range views {
		if v.Received.After(at) {
			at = v.Received
		}
	}
	return at
}
