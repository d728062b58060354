package deployments

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"drawbridge/internal/awserr"
	"drawbridge/internal/deployments/probe"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
)

// Progress is how far a check of a hook has come.
type Progress struct {
	// Asked and Bad count requests, over Spent in all.
	Asked, Bad int           `json:",omitempty"`
	Spent      time.Duration `json:",omitempty"`
	// Done says that it has come to an end, Problem what is wrong; empty if nothing is.
	Done    bool   `json:",omitempty"`
	Problem string `json:",omitempty"`
	// ID is that of what was asked for, an invalidation.
	ID string `json:",omitempty"`
}

// slice is how long one look asks at most: the function has time for the rest of its work.
const slice = section.Slice

// check goes on with the checks of a hook. One that could not be made is tried again by the
// next look, until the hook's time is over.
func (k *Keeper) check(ctx context.Context, r *Record, h *section.Hook, id string) error {
	mine, now := false, k.app.Clock.Now()
	err := k.change(ctx, r, func(r *Record) {
		if f := r.firing(id); f != nil && !now.Before(f.Busy) {
			f.Busy, mine = now.Add(checkTakes), true
		}
	})
	if err != nil || !mine {
		return err
	}
	err = k.checks(ctx, r, h, id)
	return errors.Join(err, k.change(ctx, r, func(r *Record) {
		if f := r.firing(id); f != nil {
			f.Busy = time.Time{}
		}
	}))
}

// checkTakes is how long the checks of one look take at most: after that another look may make
// them, for this one was cut off.
const checkTakes = 2 * time.Minute

// checks makes each check of a hook that has not come to an end.
func (k *Keeper) checks(ctx context.Context, r *Record, h *section.Hook, id string) error {
	for i, c := range h.Checks {
		f := r.firing(id)
		if f == nil || !k.hasTime(ctx) {
			return nil
		}
		var p Progress
		if i < len(f.Checks) {
			p = f.Checks[i]
		}
		if p.Done {
			continue
		}
		more, err := k.make(ctx, r, *f, i, c, p)
		if err != nil {
			return fmt.Errorf("check %s of %s: %w", c, r, err)
		}
		err = k.change(ctx, r, func(r *Record) {
			f := r.firing(id)
			if f == nil {
				return
			}
			for len(f.Checks) <= i {
				f.Checks = append(f.Checks, Progress{})
			}
			now := &f.Checks[i]
			now.Asked, now.Bad = now.Asked+more.Asked, now.Bad+more.Bad
			now.Spent += more.Spent
			now.ID = cmp.Or(now.ID, more.ID)
			now.Done, now.Problem = now.Done || more.Done, more.Problem
			conclude(c, now)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// badLooks is how many looks in a row may find a check that is made once to be bad: what was
// just started may need a moment.
const badLooks = 3

// conclude ends a check that cannot come to anything else.
func conclude(c section.Check, p *Progress) {
	if p.Done || p.Problem == "" {
		return
	}
	if c.HTTP != nil && c.HTTP.For > 0 {
		every := cmp.Or(time.Duration(c.HTTP.Every), time.Second)
		expected := float64(time.Duration(c.HTTP.For)) / float64(every)
		p.Done = float64(p.Bad) > c.HTTP.Bad*expected && p.Asked >= leastAsked
		return
	}
	p.Done = p.Bad >= badLooks
}

// leastAsked is how often an address is asked before the share of bad answers says anything.
const leastAsked = 20

// make makes a check, or a part of it, and returns what that adds to its progress.
func (k *Keeper) make(ctx context.Context, r *Record, f Firing, nth int, c section.Check,
	p Progress) (Progress, error) {
	switch {
	case c.Invalidate != nil:
		return k.invalidate(ctx, fmt.Sprint(f.runEvent(r), "-", nth), *c.Invalidate, p)
	case c.Post != "":
		return k.report(ctx, r, f, c.Post)
	case c.HTTP != nil:
		return k.overHTTP(ctx, r, *c.HTTP, p)
	case c.Tasks != nil:
		return k.eachTask(ctx, r, *c.Tasks)
	case c.TCP != "":
		return k.once(ctx, r, probe.Request{Address: c.TCP}, c.TCP)
	case c.Targets != "":
		p, err := k.healthy(ctx, c.Targets)
		return p.Progress, err
	}
	return k.weights(ctx, c.Weights)
}

// probe has the function in the VPC ask.
func (k *Keeper) probe(ctx context.Context, set scheduler.SetName, r probe.Request) (out probe.Result, err error) {
	payload, err := json.Marshal(r)
	if err != nil {
		return out, err
	}
	answer, err := k.clients.Lambda.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: aws.String(section.ProbeFunction(k.app.Config.Name, set)), Payload: payload,
	})
	if err != nil {
		return out, awserr.Mark(err, "ask from within the VPC")
	}
	if answer.FunctionError != nil {
		return out, fmt.Errorf("ask from within the VPC: %.300s", answer.Payload)
	}
	return out, json.Unmarshal(answer.Payload, &out)
}

// once asks once; three bad answers in a row, one a look, end the check.
func (k *Keeper) once(ctx context.Context, r *Record, q probe.Request, what string) (Progress, error) {
	out, err := k.probe(ctx, r.Set, q)
	if err != nil {
		return Progress{}, err
	}
	p := Progress{Asked: out.Asked, Bad: out.Bad, Done: out.Bad == 0}
	if out.Bad > 0 {
		p.Problem = what + ": " + out.Last
	}
	return p, nil
}

// overHTTP asks an address for a slice of the time that it is to be asked.
func (k *Keeper) overHTTP(ctx context.Context, r *Record, h section.HTTPCheck, p Progress) (Progress, error) {
	q := probe.Request{
		URL: h.URL, Status: h.Status, Contains: h.Contains, Latency: time.Duration(h.Latency),
		For: min(time.Duration(h.For)-p.Spent, slice),
	}
	if h.For == 0 {
		return k.once(ctx, r, q, h.URL)
	}
	if q.Every = time.Duration(h.Every); q.Every == 0 {
		q.Every = time.Second
	}
	out, err := k.probe(ctx, r.Set, q)
	if err != nil {
		return Progress{}, err
	}
	more := Progress{Asked: out.Asked, Bad: out.Bad, Spent: q.For, Done: p.Spent+q.For >= time.Duration(h.For)}
	if float64(p.Bad+out.Bad) > h.Bad*float64(p.Asked+out.Asked) {
		more.Problem = fmt.Sprintf("%s: %d of %d answers were bad (%s)", h.URL, p.Bad+out.Bad, p.Asked+out.Asked,
			out.Last)
	}
	return more, nil
}

// eachTask asks each running task of the service that was started since the deployment
// began.
func (k *Keeper) eachTask(ctx context.Context, r *Record, c section.TasksCheck) (Progress, error) {
	addresses, err := k.addresses(ctx, r)
	if err != nil {
		return Progress{}, err
	}
	if len(addresses) == 0 {
		return Progress{Bad: 1, Asked: 1, Problem: "the deployment has started no task that runs"}, nil
	}
	p := Progress{Done: true}
	for _, a := range addresses {
		out, err := k.once(ctx, r, probe.Request{
			URL: fmt.Sprintf("http://%s:%d/%s", a, c.Port, strings.TrimPrefix(c.Path, "/")), Status: c.Status,
		}, "task "+a)
		if err != nil {
			return Progress{}, err
		}
		p.Asked += out.Asked
		if out.Problem != "" { // however many: it is one look
			p.Bad, p.Done = 1, false
			p.Problem = out.Problem
		}
	}
	return p, nil
}

// addresses returns the private addresses of the tasks that a deployment has started.
func (k *Keeper) addresses(ctx context.Context, r *Record) ([]string, error) {
	cluster, service, err := k.serviceOf(ctx, r)
	if err != nil || service == "" {
		return nil, err
	}
	list, err := k.clients.ECS.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &cluster, ServiceName: &service})
	if err != nil {
		return nil, awserr.Mark(err, "list the tasks of service %s", service)
	}
	if len(list.TaskArns) == 0 {
		return nil, nil
	}
	out, err := k.clients.ECS.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: list.TaskArns})
	if err != nil {
		return nil, awserr.Mark(err, "describe the tasks of service %s", service)
	}
	begun := r.Began
	if !r.Started.IsZero() && r.Started.Before(begun) {
		begun = r.Started
	}
	var found []string
	for _, t := range out.Tasks {
		if aws.ToString(t.LastStatus) == "RUNNING" && !aws.ToTime(t.CreatedAt).Before(begun) {
			found = append(found, addressesOf(t)...)
		}
	}
	slices.Sort(found)
	return found, nil
}

func addressesOf(t types.Task) (out []string) {
	for _, a := range t.Attachments {
		for _, d := range a.Details {
			if aws.ToString(d.Name) == "privateIPv4Address" {
				out = append(out, aws.ToString(d.Value))
			}
		}
	}
	return out
}

// serviceOf returns the cluster and the service that a deployment is of.
func (k *Keeper) serviceOf(ctx context.Context, r *Record) (cluster, service string, err error) {
	if r.Kind == ECS {
		parts := strings.Split(r.ID, "/")
		return parts[0], parts[1], nil
	}
	targets, err := k.clients.CodeDeploy.ListDeploymentTargets(ctx, &codedeploy.ListDeploymentTargetsInput{
		DeploymentId: &r.ID,
	})
	if err != nil || len(targets.TargetIds) == 0 {
		return "", "", awserr.Mark(err, "list the targets of %s", r)
	}
	cluster, service, _ = strings.Cut(targets.TargetIds[0], ":")
	return cluster, service, nil
}

// health is what a look at the targets of a group has found.
type health struct {
	Progress
	// Healthy counts those that are.
	Healthy int
}

// healthy sees whether all targets of a group are healthy.
func (k *Keeper) healthy(ctx context.Context, group string) (health, error) {
	out, err := k.clients.ELB.DescribeTargetHealth(ctx, &elasticloadbalancingv2.DescribeTargetHealthInput{
		TargetGroupArn: &group,
	})
	if err != nil {
		return health{}, awserr.Mark(err, "describe the targets of %s", group)
	}
	found := health{Progress: Progress{Asked: 1}}
	for _, t := range out.TargetHealthDescriptions {
		switch h := t.TargetHealth; h.State {
		case elbtypes.TargetHealthStateEnumHealthy:
			found.Healthy++
		case elbtypes.TargetHealthStateEnumDraining:
		default:
			found.Bad = 1
			found.Problem = fmt.Sprintf("target %s of %s is %s (%s)", aws.ToString(t.Target.Id), lastPart(group),
				h.State, h.Reason)
		}
	}
	if found.Healthy == 0 && found.Bad == 0 {
		found.Bad, found.Problem = 1, lastPart(group)+" has no healthy target"
	}
	found.Done = found.Bad == 0
	return found, nil
}

func lastPart(arn string) string { return arn[strings.LastIndex(arn, ":")+1:] }

// weights sees whether a rule, or a listener's default rule, sends everything to one target
// group with healthy targets.
func (k *Keeper) weights(ctx context.Context, arn string) (Progress, error) {
	to, err := k.shares(ctx, arn)
	if err != nil {
		return Progress{}, err
	}
	if groups := to.groups(); len(groups) == 1 {
		p, err := k.healthy(ctx, groups[0])
		return p.Progress, err
	}
	return Progress{Asked: 1, Bad: 1, Problem: fmt.Sprintf("%s does not send all requests to one target group, but "+
		"to %s", lastPart(arn), to)}, nil
}
