// Package reaper is the reaper Lambda: timers, sweeps and events in, tasks
// followed to their end, stacks taken down.
package reaper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"drawbridge/cfn"
	"drawbridge/internal/app"
	"drawbridge/internal/ecstasks"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// Reaper handles the events of one reaper function.
type Reaper struct{ app *app.App }

// New returns a Reaper for an installation.
func New(a *app.App) *Reaper { return &Reaper{a} }

// SweepEvery is how often the sweep looks at every set.
const SweepEvery = 5 * time.Minute

// patience is how long the reaper waits for a boundary itself: as long as it may
// take until the next sweep comes by, so that a lost timer costs nothing.
const patience = SweepEvery + 90*time.Second

// event is any event that reaches the reaper.
type event struct {
	Set        scheduler.SetName `json:"set"`
	Reason     string            `json:"reason"`
	Source     string            `json:"source"`
	Account    string            `json:"account"`
	DetailType string            `json:"detail-type"`
	Detail     json.RawMessage   `json:"detail"`
}

// Handle takes a set's timer, the request to look at a set, a sweep, a stopped
// ECS task or a stack that has changed. id is the request's id, until when its
// time is nearly up. Events that do not concern this installation are ignored.
func (r *Reaper) Handle(ctx context.Context, payload []byte, id string, until time.Time) (any, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("event is not a JSON object: %w", err)
	}
	look := reconcile.Look{Until: until, Patience: patience}
	if e.Source != "" && e.Account != r.app.Place.Account {
		r.app.Log.Warn("an event of another account is ignored", zap.String("account", e.Account),
			zap.String("source", e.Source))
		return nil, nil
	}
	switch {
	case e.Set != "":
		r.app.Log.Info("look", zap.String("set", string(e.Set)), zap.String("reason", e.Reason))
		return nil, r.look(ctx, e.Set, id, look)
	case e.Source == "aws.events" && e.DetailType == "Scheduled Event":
		look.Thorough = true
		return nil, r.sweep(ctx, id, look)
	case e.Source == "aws.ecs":
		return nil, r.task(ctx, e.Detail, id)
	case e.Source == "aws.cloudformation":
		return nil, r.stack(ctx, e.Detail, id, look)
	}
	return nil, fmt.Errorf("event is neither a timer, a sweep, a task's nor a stack's: %.200s", payload)
}

func (r *Reaper) look(ctx context.Context, set scheduler.SetName, id string, look reconcile.Look) error {
	_, err := r.app.Reconciler(reconcile.Reaper, id).Reconcile(ctx, set, look)
	return err
}

// sweep looks at every set, one after the other. One that fails does not keep the
// others from being looked at.
func (r *Reaper) sweep(ctx context.Context, id string, look reconcile.Look) error {
	var names []scheduler.SetName
	for name := range r.app.Config.Sets {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 1 {
		look.Patience, look.HandOver = 0, patience // waiting for one set would make the others late
	}
	var errs []error
	settings := r.app.Config.Settings()
	for _, name := range names {
		set, err := r.app.Reconciler(reconcile.Reaper, id).Reconcile(ctx, name, look)
		errs = append(errs, err)
		if err == nil {
			r.app.Metrics.Swept(set, settings[name], SweepEvery)
		}
	}
	return errors.Join(append(errs, r.strangers(ctx))...)
}

// strangers reports endpoints that carry our owner tag and are not ours.
func (r *Reaper) strangers(ctx context.Context) error {
	found, err := r.app.Strangers(ctx)
	if err != nil {
		return err
	}
	tests := map[string]bool{}
	for _, s := range found {
		if strings.HasPrefix(s.Set, cfn.SelftestPrefix) && !tests[s.Set] {
			tests[s.Set] = true
			if err := r.app.EndSelftest(ctx, s.Set); err != nil {
				return err
			}
		}
		r.app.Log.Warn("an endpoint carries our owner tag and no stack of a configured set holds it: it is left "+
			"alone, and billed", zap.Stringer("endpoint", s))
	}
	r.app.Metrics.Strangers(len(found))
	return nil
}

// taskDetail is the detail of an ECS task state change.
type taskDetail struct {
	TaskArn           string    `json:"taskArn"`
	TaskDefinitionArn string    `json:"taskDefinitionArn"`
	Group             string    `json:"group"`
	StartedBy         string    `json:"startedBy"`
	LastStatus        string    `json:"lastStatus"`
	StopCode          string    `json:"stopCode"`
	StoppedReason     string    `json:"stoppedReason"`
	StartedAt         time.Time `json:"startedAt"`
	StoppedAt         time.Time `json:"stoppedAt"`
	Containers        []struct {
		Name     string `json:"name"`
		ExitCode *int   `json:"exitCode"`
		Reason   string `json:"reason"`
	} `json:"containers"`
}

func (r *Reaper) task(ctx context.Context, detail json.RawMessage, id string) error {
	var d taskDetail
	if err := json.Unmarshal(detail, &d); err != nil {
		return fmt.Errorf("read task event: %w", err)
	}
	set, ours := ecstasks.SetOf(r.app.Config.Name, d.StartedBy)
	if !ours || d.LastStatus != "STOPPED" || !r.app.Config.HasSet(set) {
		return nil
	}
	t := scheduler.Task{
		ARN: d.TaskArn, Group: d.Group, Definition: d.TaskDefinitionArn, Stopped: true, StopCode: d.StopCode,
		StopReason: d.StoppedReason, StartedAt: d.StartedAt, StoppedAt: d.StoppedAt,
	}
	for _, c := range d.Containers {
		if c.ExitCode != nil && (t.ExitCode == nil || *t.ExitCode == 0) {
			t.ExitCode = c.ExitCode
		}
		t.Containers = append(t.Containers, scheduler.TaskContainer{
			Name: c.Name, Reason: c.Reason, ExitCode: c.ExitCode,
		})
	}
	r.app.Tasks.Locate(ctx, &t)
	_, err := r.app.Reconciler(reconcile.Reaper, id).TaskStopped(ctx, set, t)
	return err
}

func (r *Reaper) stack(ctx context.Context, detail json.RawMessage, id string, look reconcile.Look) error {
	var d struct {
		StackID string `json:"stack-id"`
	}
	if err := json.Unmarshal(detail, &d); err != nil {
		return fmt.Errorf("read stack event: %w", err)
	}
	set, ours := r.app.Stacks.SetOf(d.StackID)
	if !ours || !r.app.Config.HasSet(scheduler.SetName(set)) {
		return nil
	}
	look.Patience = 0
	return r.look(ctx, scheduler.SetName(set), id, look)
}
