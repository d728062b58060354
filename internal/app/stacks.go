package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/clock"
	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/hint"
	"drawbridge/internal/planner"
	"drawbridge/internal/vpc"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// setStacks makes the stacks of sets: it plans with package endpoints, writes
// and reads through package cfn, and looks at EC2 for what really exists.
type setStacks struct {
	config *config.Installation
	region string
	stacks *cfn.Stacks
	vpc    *vpc.Reader
	tasks  *ecstasks.Tasks
	clock  clock.Clock
}

// tags mark everything that belongs to a set.
func (s *setStacks) tags(set scheduler.SetName) []vpc.Tag {
	return []vpc.Tag{{Key: cfn.OwnerTag, Value: s.config.Name}, {Key: cfn.SetTag, Value: string(set)}}
}

// Prepare reads the VPC, plans the endpoints and writes the template.
func (s *setStacks) Prepare(ctx context.Context, set scheduler.SetName,
	wish reconcile.Wish) (reconcile.Prepared, error) {
	c := s.config.Sets[set]
	more := make([]endpoints.ServiceID, len(wish.Needs))
	for i, n := range wish.Needs {
		more[i] = endpoints.ServiceID(n)
	}
	services, err := s.tasks.Services(ctx, set, more...)
	if err != nil {
		return reconcile.Prepared{}, fmt.Errorf("plan set %s: %w", set, err)
	}
	ours, err := s.held(ctx, set, "")
	if err != nil {
		return reconcile.Prepared{}, fmt.Errorf("plan set %s: %w", set, err)
	}
	v, err := s.vpc.Inspect(ctx, c.Subnets, services, ours)
	if err != nil {
		return reconcile.Prepared{}, fmt.Errorf("plan set %s: %w", set, err)
	}
	plan, err := planner.Plan(planner.Scene{
		Config: s.config, Region: s.region, Set: set, Services: services, VPC: v, Avoid: wish.AvoidZones,
	})
	if err != nil {
		return reconcile.Prepared{}, err
	}
	if err := s.heldByOther(ctx, v, set); err != nil {
		return reconcile.Prepared{}, err
	}
	var served []string
	for _, svc := range services {
		served = append(served, string(svc.ID))
	}
	if len(plan.Create) == 0 {
		return reconcile.Prepared{Nothing: true, Summary: summary(plan), Services: served}, nil
	}
	spec := cfn.Spec{
		Owner: s.config.Name, Set: string(set), Region: s.region, VPC: v.ID, Services: plan.Create,
		SecurityGroups: c.EndpointSecurityGroups, RouteTables: plan.RouteTables, Tags: s.config.Tags,
	}
	spec.Subnets = subnetIDs(plan.Subnets)
	for id, subnets := range plan.Elsewhere {
		if spec.Elsewhere == nil {
			spec.Elsewhere = map[endpoints.ServiceID][]string{}
		}
		spec.Elsewhere[id] = subnetIDs(subnets)
	}
	template, err := cfn.Template(spec)
	return reconcile.Prepared{
		Template: template, Summary: summary(plan), PerHour: plan.PerHour(), Services: served,
		Endpoints: len(plan.Create), Creates: created(plan), Zones: plan.Zones(),
	}, err
}

// held returns the ids of the endpoints that a set's stack holds, or held before it
// was deleted, by the stack's id; without one, of the set's stack as it stands. This
// alone makes an endpoint ours: whoever may tag can give any endpoint our tags.
func (s *setStacks) held(ctx context.Context, set scheduler.SetName, id scheduler.StackID) ([]string, error) {
	name := s.stacks.Name(string(set))
	if id != "" {
		if of, ours := s.stacks.SetOf(string(id)); !ours || of != string(set) {
			return nil, nil
		}
		name = string(id)
	}
	ids, err := s.stacks.Endpoints(ctx, name)
	return ids, awserr.Mark(err, "set %s", set)
}

func subnetIDs(subnets []endpoints.Subnet) []string {
	out := make([]string, len(subnets))
	for i, n := range subnets {
		out[i] = n.ID
	}
	return out
}

// heldByOther returns an error if another set of this installation has endpoints in
// the VPC: an installation that does not know yet that the two share it. To adopt them
// would be to lose them under a task.
func (s *setStacks) heldByOther(ctx context.Context, v endpoints.VPC, set scheduler.SetName) error {
	for _, e := range v.Endpoints {
		other := scheduler.SetName(e.Tags[cfn.SetTag])
		if e.Tags[cfn.OwnerTag] != s.config.Name || other == "" || other == set || e.State == "deleted" ||
			!s.config.HasSet(other) {
			continue
		}
		ids, err := s.held(ctx, other, "")
		if err != nil {
			return err
		}
		if slices.Contains(ids, e.ID) {
			return hint.New(
				fmt.Sprintf("plan set %s: %s holds endpoints of set %s of this installation", set, v.ID, other),
				fmt.Sprintf("drawbridge deploy makes one set of those that share a VPC; until then set %s has to go "+
					"first", other))
		}
	}
	return nil
}

// created returns the services that a plan creates endpoints for, in order.
func created(p endpoints.Plan) []string {
	var out []string
	for _, s := range p.Create {
		out = append(out, string(s.ID))
	}
	slices.Sort(out)
	return out
}

func summary(p endpoints.Plan) string {
	var parts []string
	for _, c := range p.Create {
		parts = append(parts, "create "+string(c.ID))
	}
	for _, a := range p.Adopt {
		parts = append(parts, fmt.Sprintf("adopt %s for %s (%s)", a.Endpoint, a.Service, a.Why))
	}
	for _, s := range p.Skip {
		parts = append(parts, fmt.Sprintf("pass over %s for %s (%s)", s.Endpoint, s.Service, s.Why))
	}
	return strings.Join(parts, ", ")
}

// Create asks for the stack. If one of that name is there it is taken for ours
// when its tags say so.
func (s *setStacks) Create(ctx context.Context, set scheduler.SetName, of reconcile.LifeID,
	p reconcile.Prepared) (scheduler.StackID, error) {
	id, err := s.stacks.Create(ctx, string(set), cfn.LifeID(of), p.Template)
	if !errors.Is(err, cfn.ErrExists) {
		return scheduler.StackID(id), awserr.Mark(err, "set %s", set)
	}
	st, derr := s.stacks.Describe(ctx, string(set), "")
	switch {
	case derr != nil:
		return "", awserr.Mark(derr, "set %s", set)
	case st.State == cfn.Foreign:
		return "", hint.With(fmt.Errorf("set %s: %w: %w", set, reconcile.ErrTaken, err), "stack "+
			s.stacks.Name(string(set))+" does not carry our owner tag and is left alone; delete it, or choose another "+
			"name: in the configuration")
	case st.State == cfn.Missing || st.Generation != of.Generation:
		return "", fmt.Errorf("set %s: the stack of an earlier generation is not gone yet: %w: %w", set,
			reconcile.ErrTemporary, err)
	}
	return scheduler.StackID(st.ID), nil
}

// Extend changes the set's stack.
func (s *setStacks) Extend(ctx context.Context, set scheduler.SetName, id scheduler.StackID, of reconcile.LifeID,
	try int, p reconcile.Prepared) (endpoints, perHour int, err error) {
	endpoints, perHour, err = s.stacks.Extend(ctx, string(set), string(id), cfn.LifeID(of), try, p.Template)
	return endpoints, perHour, awserr.Mark(err, "set %s", set)
}

// Stack returns the state of the set's stack.
func (s *setStacks) Stack(ctx context.Context, set scheduler.SetName,
	id scheduler.StackID) (reconcile.StackSeen, error) {
	st, err := s.stacks.Describe(ctx, string(set), string(id))
	if err != nil {
		return reconcile.StackSeen{}, awserr.Mark(err, "set %s", set)
	}
	return reconcile.StackSeen{
		State: scheduler.StackState(st.State), ID: scheduler.StackID(st.ID), Generation: st.Generation,
		Reason: st.Reason, NoCapacity: cfn.IsCapacity(st.Reason), Lasts: cfn.Lasts(st.Reason),
	}, nil
}

// Endpoints counts the set's own endpoints, by the id of the stack that made them.
func (s *setStacks) Endpoints(ctx context.Context, set scheduler.SetName, id scheduler.StackID,
	gone bool) (scheduler.EndpointCount, error) {
	if id == "" {
		return scheduler.EndpointCount{}, nil
	}
	ids, err := s.held(ctx, set, id)
	if err != nil {
		return scheduler.EndpointCount{}, err
	}
	var bounds *vpc.Bounds
	if gone {
		bounds = s.bounds(set)
	}
	return s.vpc.Count(ctx, ids, bounds)
}

// Coming counts the endpoints that carry the set's tags in its VPC.
func (s *setStacks) Coming(ctx context.Context, set scheduler.SetName) (scheduler.EndpointCount, error) {
	return s.vpc.CountTagged(ctx, *s.bounds(set))
}

// bounds are where the endpoints of a set can be at all.
func (s *setStacks) bounds(set scheduler.SetName) *vpc.Bounds {
	c := s.config.Sets[set]
	b := &vpc.Bounds{VPC: c.VPC, Tags: s.tags(set)}
	services := endpoints.All()
	if !c.Auto {
		services, _ = endpoints.Resolve(c.Services) // the configuration was checked
	}
	for _, svc := range services {
		b.Services = append(b.Services, svc.Name(s.region))
	}
	return b
}

// Delete deletes the set's stack.
func (s *setStacks) Delete(ctx context.Context, set scheduler.SetName, id scheduler.StackID, force bool) error {
	return awserr.Mark(s.stacks.Delete(ctx, string(set), string(id), force, s.clock.Now()), "set %s", set)
}

// Sweep deletes what a stack of the set held and left behind, as far as it lies where
// the set's endpoints can be.
func (s *setStacks) Sweep(ctx context.Context, set scheduler.SetName, id scheduler.StackID) error {
	if id == "" {
		return nil
	}
	ids, err := s.held(ctx, set, id)
	if err != nil {
		return err
	}
	return s.vpc.Sweep(ctx, ids, *s.bounds(set))
}
