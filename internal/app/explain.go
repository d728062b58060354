package app

import (
	"context"
	"slices"

	"drawbridge/endpoints"
	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/vpc"
	"drawbridge/scheduler"
)

// explainer reads what surrounded a task that stopped, and says what was missing.
type explainer struct {
	config *config.Installation
	region string
	vpc    *vpc.Reader
	tasks  *ecstasks.Tasks
}

// Explain explains a task that did not start by what surrounds it, and one that
// ran by its task definition, of which it needs no more than one call.
func (x *explainer) Explain(ctx context.Context, run scheduler.Run, t scheduler.Task) (*scheduler.Explanation, error) {
	stopped := stoppedOf(t)
	scene := endpoints.Scene{Set: string(run.Set), Region: x.region}
	if s, ok := x.config.Sets[run.Set]; ok {
		scene.Services, scene.Subnets = slices.Clone(s.Services), s.Subnets
	}
	for _, id := range run.Needs {
		scene.Services = append(scene.Services, endpoints.ServiceID(id))
	}
	var err error
	if scene.Definition, err = x.tasks.Definition(ctx, t.Definition); err != nil {
		scene.Definition = nil // the texts alone tell much
	}
	if !stopped.FailedToStart() {
		return x.whileItRan(ctx, run, stopped, scene)
	}
	if err := x.look(ctx, run, &scene); err != nil {
		return nil, err
	}
	return explanation(endpoints.Diagnose(stopped, scene)), nil
}

// whileItRan explains what a task that ran has lost.
func (x *explainer) whileItRan(ctx context.Context, run scheduler.Run, stopped endpoints.Stopped,
	scene endpoints.Scene) (*scheduler.Explanation, error) {
	if endpoints.Read(stopped).Trouble == endpoints.OutOfMemory {
		return explanation(endpoints.Diagnose(stopped, scene)), nil
	}
	// The set's services stand for its endpoints, unless one seems to be missing.
	if _, lost := endpoints.LostLogs(scene.Presumed()); !lost {
		return nil, nil
	}
	if err := x.look(ctx, run, &scene); err != nil {
		return nil, err
	}
	if d, lost := endpoints.LostLogs(scene); lost {
		return explanation(d), nil
	}
	return nil, nil
}

// look fills in what surrounds the task.
func (x *explainer) look(ctx context.Context, run scheduler.Run, scene *endpoints.Scene) (err error) {
	if j, ok := x.config.Jobs[run.Job]; ok {
		scene.Subnets, scene.Groups = j.Subnets, j.SecurityGroups
	}
	if len(scene.Subnets) == 0 {
		return nil // neither the job nor its set is configured any more
	}
	scene.VPC, scene.SecurityGroups, err = x.vpc.Look(ctx, scene.Subnets, scene.Groups)
	return err
}

func explanation(d endpoints.Diagnosis) *scheduler.Explanation {
	return &scheduler.Explanation{Cause: string(d.Cause), Text: d.String(), Lasting: d.Lasting}
}

func stoppedOf(t scheduler.Task) endpoints.Stopped {
	out := endpoints.Stopped{Code: t.StopCode, Reason: t.StopReason}
	for _, c := range t.Containers {
		out.Containers = append(out.Containers, endpoints.StoppedContainer{
			Name: c.Name, Reason: c.Reason, ExitCode: c.ExitCode,
		})
	}
	return out
}
