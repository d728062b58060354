package install

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	"drawbridge/internal/hint"
	"drawbridge/internal/operate"
	"drawbridge/internal/store"
	"drawbridge/scheduler"
)

// live are the sets of an installation that are up or asked for.
type live struct {
	set   scheduler.Set
	runs  []scheduler.Run
	holds []scheduler.Hold
}

func (l live) String() string {
	return fmt.Sprintf("is %s with %s and %s", l.set.Phase, scheduler.Count(len(l.runs), "run"),
		scheduler.Count(len(l.holds), "hold"))
}

// busy returns the sets that are up or asked for, as they are deployed.
func (s *Stack) busy(ctx context.Context, i *Installer) ([]live, error) {
	state := store.New(i.Clients.DynamoDB, cfn.NamesOf(s.Name, i.Place.Region).Table)
	var out []live
	for _, name := range slices.Sorted(maps.Keys(s.Installed.Sets)) {
		set, err := state.LoadSet(ctx, scheduler.SetName(name))
		if err != nil {
			return nil, err
		}
		runs, holds, err := state.Live(ctx, scheduler.SetName(name))
		if err != nil {
			return nil, err
		}
		if set.Phase != scheduler.Absent || len(runs)+len(holds) > 0 {
			out = append(out, live{set, runs, holds})
		}
	}
	return out, nil
}

// wait is what to do about a set that is in the way.
const wait = "wait until it is absent (drawbridge status); drawbridge pause keeps new runs away until then"

// safe refuses a deployment that would take something away from under a set which
// is up or asked for: the set itself, its mode, the job or the cluster of a run, or
// the security groups and the gateway that its tasks use.
func (s *Stack) safe(ctx context.Context, i *Installer, c *config.Installation, next cfn.Base,
	changes []cfn.Change) error {
	busy, err := s.busy(ctx, i)
	if err != nil {
		return err
	}
	for _, l := range busy {
		if why := s.loses(l, next); why != "" {
			return hint.New(fmt.Sprintf("set %s %s in the new configuration, and %s", l.set.Name, why, l), wait)
		}
		for _, r := range l.runs {
			if j, ok := c.Jobs[r.Job]; !ok {
				return hint.New(fmt.Sprintf("job %s is no longer in the configuration, and its run %s is %s",
					r.Job, r.ID, r.State), "wait until it has ended (drawbridge runs)")
			} else if r.Cluster != "" && r.Cluster != j.Cluster {
				return hint.New(fmt.Sprintf("job %s moves to cluster %s, and its run %s is %s in %s", r.Job,
					j.Cluster, r.ID, r.State, r.Cluster), "wait until it has ended (drawbridge runs)")
			}
		}
		for _, ch := range changes {
			if ch.Action != "add" && strings.HasPrefix(ch.Type, "AWS::EC2::") {
				return hint.New(fmt.Sprintf("the deployment would %s %s, which tasks may use, and set %s %s",
					ch.Action, ch.ID, l.set.Name, l), wait)
			}
		}
	}
	return nil
}

// loses says what a deployed set would lose; "" for nothing.
func (s *Stack) loses(l live, next cfn.Base) string {
	n := slices.IndexFunc(next.Sets, func(x cfn.BaseSet) bool { return x.Name == string(l.set.Name) })
	switch {
	case n < 0:
		return "is no longer a set of its own"
	case next.Sets[n].VPC != s.Installed.Sets[string(l.set.Name)].VPC:
		return "moves from " + s.Installed.Sets[string(l.set.Name)].VPC + " to " + next.Sets[n].VPC
	case drops(l.set, next.Sets[n]) != "":
		return "no longer has " + drops(l.set, next.Sets[n]) + ", which nobody could delete any more,"
	case next.Observe != s.Installed.Observe && next.Observe:
		return "changes from active to observe"
	case next.Observe != s.Installed.Observe:
		return "changes from observe to active"
	}
	return ""
}

// drops names a service that a set which is up has, and will not be allowed to have; ""
// for none.
func drops(up scheduler.Set, next cfn.BaseSet) string {
	if next.Auto || up.NoStack {
		return ""
	}
	held := slices.Clone(up.Services)
	if up.Extension != nil {
		held = append(held, up.Extension.Services...)
	}
	for _, id := range held {
		svc, err := endpoints.Lookup(endpoints.ServiceID(id))
		if err == nil && !slices.ContainsFunc(next.Services, func(s endpoints.Service) bool { return s.ID == svc.ID }) {
			return id
		}
	}
	return ""
}

// carryOver hands a pause on to sets that are new, and forgets what was only
// observed when the mode changes.
func (s *Stack) carryOver(ctx context.Context, i *Installer, next cfn.Base) error {
	state := store.New(i.Clients.DynamoDB, cfn.NamesOf(s.Name, i.Place.Region).Table)
	var pause *scheduler.Pause
	for _, name := range slices.Sorted(maps.Keys(s.Installed.Sets)) {
		set, err := state.LoadSet(ctx, scheduler.SetName(name))
		if err != nil {
			return err
		}
		if set.Pause != nil {
			pause = set.Pause
		}
	}
	for _, b := range next.Sets {
		err := operate.Change(ctx, state, i.Clock, scheduler.SetName(b.Name), func(set *scheduler.Set) bool {
			changed := false
			if _, known := s.Installed.Sets[b.Name]; !known && pause != nil && set.Pause == nil {
				set.Pause, changed = pause, true
			}
			if next.Observe != s.Installed.Observe && set.TotalHours > 0 {
				set.DayHours = 0
				set.TotalHours = 0
				set.CountedSince, set.Always = time.Time{}, scheduler.Always{}
				changed = true
			}
			return changed
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// setStacks returns the names of the endpoint stacks of an installation that are
// there, whatever its table says.
func (i *Installer) setStacks(ctx context.Context, owner string) ([]string, error) {
	var names []string
	var next *string
	for {
		out, err := i.Clients.CloudFormation.ListStacks(ctx, &cloudformation.ListStacksInput{NextToken: next})
		if err != nil {
			return nil, awserr.Mark(err, "list the stacks")
		}
		for _, st := range out.StackSummaries {
			if name := aws.ToString(st.StackName); st.StackStatus != types.StackStatusDeleteComplete &&
				strings.HasPrefix(name, owner+"-set-") {
				names = append(names, name)
			}
		}
		if next = out.NextToken; next == nil {
			break
		}
	}
	var ours []string
	for _, name := range names {
		out, err := i.Clients.CloudFormation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
		if err != nil && !cfn.IsMissing(err) {
			return nil, awserr.Mark(err, "describe stack %s", name)
		}
		if err == nil && len(out.Stacks) > 0 && slices.ContainsFunc(out.Stacks[0].Tags, func(t types.Tag) bool {
			return aws.ToString(t.Key) == cfn.OwnerTag && aws.ToString(t.Value) == owner
		}) {
			ours = append(ours, name)
		}
	}
	return ours, nil
}

// SetEndpoints returns the ids of the endpoints that the stacks of any set of an
// installation hold.
func (i *Installer) SetEndpoints(ctx context.Context, owner string) ([]string, error) {
	names, err := i.setStacks(ctx, owner)
	if err != nil {
		return nil, err
	}
	var ids []string
	stacks := cfn.NewStacks(i.Clients.CloudFormation, owner, "")
	for _, name := range names {
		held, err := stacks.Endpoints(ctx, name)
		if err != nil {
			return nil, awserr.Mark(err, "read what the sets hold")
		}
		ids = append(ids, held...)
	}
	return ids, nil
}

// TimerPolicy returns the ARN of the policy with which the base stack lets timers invoke
// the reaper; "" if the stack has none.
func (i *Installer) TimerPolicy(ctx context.Context, owner string) (string, error) {
	stack := cfn.NamesOf(owner, i.Place.Region).Stack
	policies, err := cfn.Resources(ctx, i.Clients.CloudFormation, stack, "AWS::IAM::ManagedPolicy")
	if err != nil {
		return "", awserr.Mark(err, "look for the policy of the timers' role")
	}
	for _, r := range policies {
		if strings.HasPrefix(aws.ToString(r.LogicalResourceId), "TimerRolePolicy") {
			return aws.ToString(r.PhysicalResourceId), nil
		}
	}
	return "", nil
}

// errLeft means that endpoint stacks stand although their sets are absent.
var errLeft = errors.New("endpoint stacks are still there")
