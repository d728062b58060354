package ecstasks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/cfn"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
)

// MaxOverrides is ECS's limit on overrides as JSON, in bytes.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
const MaxOverrides = 8192

// taskOverride is the part of ECS's TaskOverride that an event may set, in its
// JSON shape.
type taskOverride struct {
	ContainerOverrides []containerOverride `json:"containerOverrides,omitempty"`
	CPU                string              `json:"cpu,omitempty"`
	Memory             string              `json:"memory,omitempty"`
}

type containerOverride struct {
	Name        string     `json:"name"`
	Command     []string   `json:"command,omitempty"`
	Environment []variable `json:"environment,omitempty"`
	CPU         *int32     `json:"cpu,omitempty"`
	Memory      *int32     `json:"memory,omitempty"`
}

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (o taskOverride) sdk() *types.TaskOverride {
	out := &types.TaskOverride{}
	if o.CPU != "" {
		out.Cpu = aws.String(o.CPU)
	}
	if o.Memory != "" {
		out.Memory = aws.String(o.Memory)
	}
	for _, c := range o.ContainerOverrides {
		s := types.ContainerOverride{Name: aws.String(c.Name), Command: c.Command, Cpu: c.CPU, Memory: c.Memory}
		for _, v := range c.Environment {
			s.Environment = append(s.Environment, types.KeyValuePair{
				Name: aws.String(v.Name), Value: aws.String(v.Value),
			})
		}
		out.ContainerOverrides = append(out.ContainerOverrides, s)
	}
	return out
}

// EventVariable passes the whole event to the container of a job that maps none of
// it.
const EventVariable = "DRAWBRIDGE_EVENT"

// Overrides checks the overrides of an event, in the shape of ECS's TaskOverride,
// against what the job allows, adds variables for its container, and returns them as
// JSON; nil if there is nothing to override.
func Overrides(given json.RawMessage, job config.Job, variables map[string]string) ([]byte, error) {
	var o taskOverride
	if len(bytes.TrimSpace(given)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(given))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&o); err != nil {
			return nil, fmt.Errorf("overrides: %w", err)
		}
	}
	if err := o.check(job, func(string) bool { return false }); err != nil {
		return nil, err
	}
	o.add(job.Container, variables)
	if len(o.ContainerOverrides) == 0 && o.CPU == "" && o.Memory == "" {
		return nil, nil
	}
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("overrides: %w", err)
	}
	if len(b) > MaxOverrides {
		return nil, fmt.Errorf("overrides: %d bytes with the event, over ECS's limit of %d; map the parts that the "+
			"job needs under jobs.<name>.environment", len(b), MaxOverrides)
	}
	return b, nil
}

// check reports what the job does not allow. ours are variables that the event
// does not set.
func (o taskOverride) check(job config.Job, ours func(variable string) bool) error {
	uses := map[string]bool{"cpu": o.CPU != "", "memory": o.Memory != ""}
	for _, c := range o.ContainerOverrides {
		if c.Name == "" {
			return fmt.Errorf("overrides: a container override has no name")
		}
		for _, v := range c.Environment {
			switch {
			case ours(v.Name):
			case !job.Allows("environment"):
				uses["environment"] = true
			case !job.AllowsVariable(v.Name):
				return fmt.Errorf("overrides: the job does not allow an event to set the variable %q; "+
					"jobs.<name>.overrides lists what it allows, and variables that control programs (AWS_*, LD_*, "+
					"PATH and similar) are never allowed", v.Name)
			}
		}
		uses["command"] = uses["command"] || len(c.Command) > 0
		uses["cpu"] = uses["cpu"] || c.CPU != nil
		uses["memory"] = uses["memory"] || c.Memory != nil
	}
	for _, kind := range []string{"command", "cpu", "environment", "memory"} {
		if uses[kind] && !job.Allows(kind) {
			return fmt.Errorf("overrides: the job does not allow an event to override %s; add it to "+
				"jobs.<name>.overrides if you trust its events", kind)
		}
	}
	return nil
}

// recorded reads the overrides of a run that is about to start, and checks the run
// against its job again: write access to the table must not allow running what the job
// does not allow.
func recorded(run scheduler.Run, job config.Job) (*types.TaskOverride, error) {
	if run.Cluster != "" && run.Cluster != job.Cluster {
		return nil, fmt.Errorf("the run is recorded for cluster %s, but job %s now names %s; replay its event",
			run.Cluster, run.Job, job.Cluster)
	}
	if run.Definition != "" && cfn.Family(run.Definition) != cfn.Family(job.TaskDefinition) {
		return nil, fmt.Errorf("the run is recorded for task definition %s, but job %s now names %s; replay its event",
			run.Definition, run.Job, job.TaskDefinition)
	}
	if len(run.Overrides) == 0 {
		return nil, nil
	}
	var o taskOverride
	dec := json.NewDecoder(bytes.NewReader(run.Overrides))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return nil, fmt.Errorf("overrides: %w", err)
	}
	err := o.check(job, func(name string) bool {
		_, mapped := job.Environment[name]
		return mapped || name == EventVariable
	})
	return o.sdk(), err
}

// add sets variables of a container, in order of name; the event's own values
// stay.
func (o *taskOverride) add(container string, variables map[string]string) {
	if len(variables) == 0 {
		return
	}
	i := slices.IndexFunc(o.ContainerOverrides, func(c containerOverride) bool { return c.Name == container })
	if i < 0 {
		o.ContainerOverrides = append(o.ContainerOverrides, containerOverride{Name: container})
		i = len(o.ContainerOverrides) - 1
	}
	c := &o.ContainerOverrides[i]
	names := make([]string, 0, len(variables))
	for n := range variables {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if !slices.ContainsFunc(c.Environment, func(v variable) bool { return v.Name == n }) {
			c.Environment = append(c.Environment, variable{n, variables[n]})
		}
	}
}
