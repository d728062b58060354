package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/doctor/finding"
	"drawbridge/internal/hint"
	"drawbridge/internal/install"
	"drawbridge/internal/vpc"
	"drawbridge/scheduler"
)

// Installation is the check of the base stack.
const Installation = "installation"

// installation checks the base stack.
func (d *Doctor) installation(ctx context.Context) {
	t := d.findings.Topic(Installation, d.config.Name, "nothing happens without the base stack")
	s, err := d.installer.Installed(ctx, d.config.Name)
	switch remedy := hint.Of(err); {
	case install.Failed(err):
		t.Stale(remedy, "%v", err)
	case errors.Is(err, install.ErrNotInstalled):
		t.Warn("drawbridge deploy", "not installed yet")
	case remedy != "":
		t.Stale(remedy, "%v", err) // deploy says it itself
	case err != nil:
		t.Unread(err)
	default:
		t.OK("stack is %s, schema %d", s.Status, s.Schema)
		d.timerRole(ctx)
	}
}

// serviceLinkedRole checks ECS's service-linked role. An account that never used ECS
// has none, and ECS refuses the first cluster or task there.
//
// Source: aws-cloudformation/cloudformation-coverage-roadmap#818
func (d *Doctor) serviceLinkedRole(ctx context.Context) {
	t := d.findings.Topic("service-linked role", install.ECSRole, "ECS creates a task's network interface with it")
	_, err := d.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(install.ECSRole)})
	switch {
	case awserr.Code(err) == "NoSuchEntity":
		t.Warn("drawbridge deploy creates it; or aws iam create-service-linked-role --aws-service-name "+
			"ecs.amazonaws.com",
			"missing: the account never used ECS")
	case err != nil:
		t.Unread(err)
	default:
		t.OK("there")
	}
}

// timerRole checks that the role with which timers invoke the reaper is as it was
// deployed: without it only the sweep runs.
func (d *Doctor) timerRole(ctx context.Context) {
	n := cfn.NamesOf(d.config.Name, d.place.Region)
	t := d.findings.Topic("timers", n.TimerRole,
		"each set's timer wakes the reaper with this role at the end of its paid hour")
	const remedy = "drawbridge deploy; if it finds nothing to change, delete the role and deploy again"
	role, err := d.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(n.TimerRole)})
	if awserr.Code(err) == "NoSuchEntity" {
		t.Stale(remedy, "the role is gone")
		return
	}
	if err != nil {
		t.Unread(err)
		return
	}
	trust, err := url.QueryUnescape(aws.ToString(role.Role.AssumeRolePolicyDocument))
	if err != nil || !strings.Contains(trust, "scheduler.amazonaws.com") {
		t.Stale(remedy, "EventBridge Scheduler is not allowed to assume it")
		return
	}
	attached, err := d.iam.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{
		RoleName: aws.String(n.TimerRole),
	})
	if err != nil {
		t.Unread(err)
		return
	}
	policy, err := d.installer.TimerPolicy(ctx, d.config.Name)
	if err != nil {
		t.Unread(err)
		return
	}
	if !slices.ContainsFunc(attached.AttachedPolicies, func(p iamtypes.AttachedPolicy) bool {
		return aws.ToString(p.PolicyArn) == policy
	}) {
		t.Stale(remedy, "it no longer has the policy %s, which allows it to invoke the reaper", policy)
		return
	}
	t.OK("as it was deployed")
}

// set checks the network of a set.
func (d *Doctor) set(ctx context.Context, name scheduler.SetName) {
	set := d.config.Sets[name]
	t := d.findings.Topic("subnets", "set "+string(name),
		"tasks and endpoints run in the set's subnets, all in one VPC")
	services, err := d.tasks.Services(ctx, name)
	if err != nil {
		t.Unread(err)
		return
	}
	reader := vpc.New(d.ec2, d.installer.Clients.Route53, d.place.Region, d.place.Account)
	ours, err := d.installer.SetEndpoints(ctx, d.config.Name)
	if err != nil {
		t.Unread(err)
		return
	}
	v, err := reader.Inspect(ctx, set.Subnets, services, ours)
	var plan *endpoints.PlanError
	if errors.As(err, &plan) {
		t.Fail(plan.Remedy, "%s", plan.What)
		return
	}
	if err != nil {
		t.Unread(err)
		return
	}
	zones := []string{}
	for _, s := range v.Subnets {
		if s.VPC != v.ID {
			t.Fail("name subnets of one VPC", "%s is in %s, %s in %s", v.Subnets[0].ID, v.ID, s.ID, s.VPC)
			return
		}
		zones = append(zones, s.ID+" in "+s.Zone)
	}
	t.OK("%s: %s", v.ID, strings.Join(zones, ", "))
	d.groups(ctx, v, name)
	d.dns(v)
	d.services(v, services, set.Zones)
	d.routes(ctx, v)
	d.gateway(v, services, string(name))
	d.foreign(ctx, reader, v, services, name)
	d.endpointQuota(ctx, v, services)
}

func (d *Doctor) dns(v endpoints.VPC) {
	t := d.findings.Topic("DNS", v.ID, "tasks find endpoints by AWS's own names, which private DNS resolves")
	for _, a := range []struct {
		name, flag string
		on         bool
	}{
		{"enableDnsSupport", "--enable-dns-support", v.DNSSupport},
		{"enableDnsHostnames", "--enable-dns-hostnames", v.DNSHostnames},
	} {
		if a.on {
			t.OK("%s is on", a.name)
			continue
		}
		t.Fail("aws ec2 modify-vpc-attribute --vpc-id "+v.ID+" "+a.flag+" '{\"Value\":true}'", "%s is off", a.name)
	}
}

func (d *Doctor) services(v endpoints.VPC, services []endpoints.Service, want int) {
	t := d.findings.Topic("services", v.ID, "an endpoint can only be where the service offers one")
	zones := map[int][]string{} // services, by the number of the set's zones that offer them
	own := map[string]bool{}
	for _, n := range v.Subnets {
		own[n.Zone] = true
	}
	for _, s := range services {
		offered, ok := v.Offered[s.Name(d.place.Region)]
		if !ok {
			t.Fail("leave "+string(s.ID)+" out of the set's services", "%s is not offered in %s", s.ID, d.place.Region)
			continue
		}
		if s.Type == endpoints.Gateway {
			continue
		}
		have := map[string]bool{}
		for _, n := range v.Subnets {
			if slices.Contains(offered, n.Zone) {
				have[n.Zone] = true
			}
		}
		zones[len(have)] = append(zones[len(have)], string(s.ID))
	}
	for _, n := range slices.Sorted(maps.Keys(zones)) {
		switch {
		case n == 0:
			t.Fail("add a subnet in a zone that offers them", "%s: not offered in any of the set's zones",
				strings.Join(zones[n], ", "))
			continue
		case n < want && len(own) < want: // which keeps the set from being created, and is said with that
			continue
		case n < want:
			t.Warn("add a subnet in a zone that offers them, or reduce sets.<name>.zones",
				"%s: offered in only %d of the set's zones, want %d",
				strings.Join(zones[n], ", "), n, want)
			continue
		}
		t.OK("%s: offered in %d of the set's zones", strings.Join(zones[n], ", "), n)
	}
}

// routes looks for default routes, which make endpoints optional.
func (d *Doctor) routes(ctx context.Context, v endpoints.VPC) {
	t := d.findings.Topic("route tables", v.ID,
		"a subnet with a default route needs no endpoints, and Drawbridge never changes others' routes")
	out, err := d.ec2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{
		Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{v.ID}}},
	})
	if err != nil {
		t.Unread(err)
		return
	}
	private := true
	for _, table := range out.RouteTables {
		if !slices.Contains(endpoints.RouteTables(v.Subnets), aws.ToString(table.RouteTableId)) {
			continue
		}
		for _, r := range table.Routes {
			way := aws.ToString(r.NatGatewayId)
			if g := aws.ToString(r.GatewayId); way == "" && strings.HasPrefix(g, "igw-") {
				way = g
			}
			if cidr := aws.ToString(r.DestinationCidrBlock); way != "" && cidr == "0.0.0.0/0" {
				private = false
				t.Warn("jobs there reach AWS without endpoints: compare the costs in docs/billing.md before you pay "+
					"for both", "%s has a default route to %s", aws.ToString(table.RouteTableId), way)
			}
		}
	}
	if private {
		t.OK("%s: no default route", strings.Join(endpoints.RouteTables(v.Subnets), ", "))
	}
}

func (d *Doctor) gateway(v endpoints.VPC, services []endpoints.Service, set string) {
	if !slices.ContainsFunc(services, func(s endpoints.Service) bool { return s.ID == "s3" }) {
		d.findings.Topic("S3 gateway", v.ID,
			"ECR stores image layers in S3").Warn("add s3 to sets."+set+
			".services unless no image comes from ECR: the gateway is free", "s3 is not among the services")
		return
	}
	t := d.findings.Topic("S3 gateway", v.ID, "ECR stores image layers in S3; the gateway is free")
	for _, e := range v.Endpoints {
		if e.Type == endpoints.Gateway && strings.HasSuffix(e.Service, ".s3") && e.State == "available" {
			if endpoints.Covers(e.RouteTables, endpoints.RouteTables(v.Subnets)) {
				t.OK("%s is on all route tables", e.ID)
				return
			}
			t.Warn("add the missing route tables to it, or deploy creates a second one and fails where they overlap",
				"%s is on %s, the subnets use %s", e.ID, strings.Join(e.RouteTables, ", "),
				strings.Join(endpoints.RouteTables(v.Subnets), ", "))
			return
		}
	}
	t.OK("none yet; deploy creates one")
}

// foreign looks for other owners' endpoints that serve a service or conflict
// with ours, with the plan that a creation uses.
func (d *Doctor) foreign(ctx context.Context, reader *vpc.Reader, v endpoints.VPC, services []endpoints.Service,
	name scheduler.SetName) {
	t := d.findings.Topic("foreign endpoints", v.ID, "private DNS allows one endpoint per service in a VPC")
	// The gateway is checked separately.
	services = slices.DeleteFunc(slices.Clone(services), func(s endpoints.Service) bool {
		return s.Type == endpoints.Gateway
	})
	p, err := endpoints.Make(endpoints.Request{
		Region: d.place.Region, Services: services, Zones: d.config.Sets[name].Zones, Gateway: endpoints.GatewaySet,
	}, v)
	var refused *endpoints.PlanError
	if errors.As(err, &refused) {
		d.findings.Topic("endpoints", "set "+string(name), "without them no run starts").Fail(refused.Remedy, "%s",
			refused.What)
		return
	}
	scene := endpoints.Scene{Region: d.place.Region, VPC: v}
	for _, n := range v.Subnets {
		scene.Subnets = append(scene.Subnets, n.ID)
	}
	scene.Groups, _ = d.config.SecurityGroups(name)
	for _, a := range p.Adopt {
		i := slices.IndexFunc(v.Endpoints, func(e endpoints.Endpoint) bool { return e.ID == a.Endpoint })
		if i >= 0 {
			if scene.SecurityGroups, err = reader.Groups(ctx, v.Endpoints[i].SecurityGroups); err != nil {
				t.Unread(err)
				continue
			}
			if scene.KeepsOut(v.Endpoints[i]) {
				t.Fail("allow TCP 443 in from the set's subnets there, or leave "+string(a.Service)+" out of the set",
					"%s is adopted for %s, as %s, but its security groups (%s) do not allow HTTPS in from there",
					a.Endpoint, a.Service, a.Why, strings.Join(v.Endpoints[i].SecurityGroups, ", "))
				continue
			}
		}
		t.OK("%s already serves %s and is adopted: %s; it costs the same with or without Drawbridge", a.Endpoint,
			a.Service, a.Why)
	}
	for _, s := range p.Skip {
		t.OK("%s for %s is ignored: %s", s.Endpoint, s.Service, s.Why)
	}
	if len(p.Adopt)+len(p.Skip) == 0 {
		t.OK("none")
	}
}

// groups checks the security groups that the configuration names.
func (d *Doctor) groups(ctx context.Context, v endpoints.VPC, name scheduler.SetName) {
	t := d.findings.Topic("security groups", "set "+string(name), "tasks must reach their endpoints on port 443")
	tasks, all := d.config.SecurityGroups(name)
	own := d.config.Sets[name].EndpointSecurityGroups
	ids := slices.Concat(tasks, own)
	if !all {
		t.OK("deploy creates one for the tasks of jobs that name none")
	}
	if len(own) == 0 {
		t.OK("deploy creates one for the endpoints")
	}
	if len(ids) == 0 {
		return
	}
	out, err := d.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: ids})
	if err != nil {
		if strings.Contains(err.Error(), "NotFound") || strings.Contains(err.Error(), "Malformed") {
			t.Fail("name security groups of "+v.ID, "%s", finding.Said(err))
			return
		}
		t.Unread(err)
		return
	}
	for _, g := range out.SecurityGroups {
		id := aws.ToString(g.GroupId)
		switch {
		case aws.ToString(g.VpcId) != v.ID:
			t.Fail("name a security group of "+v.ID, "%s is in %s", id, aws.ToString(g.VpcId))
		case slices.Contains(tasks, id) && !opens443(g.IpPermissionsEgress):
			t.Fail("allow "+id+" out on TCP 443", "%s does not allow port 443 out", id)
		case slices.Contains(own, id) && !opens443(g.IpPermissions):
			t.Fail("allow the tasks in on TCP 443", "%s does not allow port 443 in", id)
		default:
			t.OK("%s is in %s and allows port 443", id, v.ID)
		}
	}
}

// opens443 reports whether any of the rules allows TCP port 443.
func opens443(rules []types.IpPermission) bool {
	return slices.ContainsFunc(rules, func(p types.IpPermission) bool {
		if proto := aws.ToString(p.IpProtocol); proto == "-1" {
			return true
		} else if proto != "tcp" && proto != "6" {
			return false
		}
		return aws.ToInt32(p.FromPort) <= 443 && 443 <= aws.ToInt32(p.ToPort)
	})
}

// stack looks at the stack of a set that CloudFormation could not make or delete.
func (d *Doctor) stack(ctx context.Context, set scheduler.SetName) {
	stacks := cfn.NewStacks(d.installer.Clients.CloudFormation, d.config.Name, "")
	name := stacks.Name(string(set))
	t := d.findings.Topic("stack", "set "+string(set), "no generation begins while a stack of its name is left over")
	out, err := d.installer.Clients.CloudFormation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{
		StackName: &name,
	})
	switch {
	case cfn.IsMissing(err):
		return
	case err != nil:
		t.Unread(err)
	case len(out.Stacks) == 0:
	case strings.HasSuffix(string(out.Stacks[0].StackStatus), "_FAILED") ||
		out.Stacks[0].StackStatus == cftypes.StackStatusRollbackComplete:
		t.Warn("the reaper deletes it with its next look; drawbridge why "+string(set)+" says what it tried",
			"stack %s is %s: %s", name, out.Stacks[0].StackStatus, aws.ToString(out.Stacks[0].StackStatusReason))
	default:
		t.OK("stack %s is %s", name, out.Stacks[0].StackStatus)
	}
}

// strangers looks for endpoints with our owner tag that belong to no stack.
func (d *Doctor) strangers(ctx context.Context) {
	t := d.findings.Topic("owner tag", cfn.OwnerTag+"="+d.config.Name,
		"an endpoint with it that belongs to no set's stack is billed and never deleted")
	stacks := cfn.NewStacks(d.installer.Clients.CloudFormation, d.config.Name, "")
	found, err := vpc.New(d.ec2, d.installer.Clients.Route53, d.place.Region, d.place.Account).Strangers(ctx,
		d.config.Name, func(set string) ([]string, error) {
			if !d.config.HasSet(scheduler.SetName(set)) && !strings.HasPrefix(set, cfn.SelftestPrefix) {
				return nil, nil
			}
			ids, err := stacks.Endpoints(ctx, stacks.Name(set))
			return ids, awserr.Mark(err, "set %s", set)
		})
	if err != nil {
		t.Unread(err)
		return
	}
	for _, s := range found {
		t.Warn("if it is a leftover, aws ec2 delete-vpc-endpoints --vpc-endpoint-ids "+s.ID+
			"; if it is in use, remove the tag", "%s belongs to no stack of a configured set", s)
	}
	if len(found) == 0 {
		t.OK("only on endpoints of the sets")
	}
}

// endpointQuota compares the quota of interface endpoints with the existing and
// the planned ones.
func (d *Doctor) endpointQuota(ctx context.Context, v endpoints.VPC, services []endpoints.Service) {
	t := d.findings.Topic("quota", v.ID, "a VPC holds a limited number of interface endpoints")
	limit, err := d.quota(ctx, "vpc", "L-29B6F2EB")
	if err != nil {
		t.Unread(err)
		return
	}
	have, need := 0, 0
	for _, e := range v.Endpoints {
		if e.Type == endpoints.Interface && !e.Owned && e.State != "deleted" {
			have++
		}
	}
	for _, s := range services {
		if s.Type == endpoints.Interface {
			need++
		}
	}
	if float64(have+need) > limit {
		t.Fail("request a higher quota in Service Quotas (vpc, L-29B6F2EB)",
			"endpoints: %d of others, %d of the set (quota %.0f)", have, need, limit)
		return
	}
	t.OK("endpoints: %d of others, %d of the set (quota %.0f)", have, need, limit)
}

func (d *Doctor) quota(ctx context.Context, service, code string) (float64, error) {
	out, err := d.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{
		ServiceCode: &service, QuotaCode: &code,
	})
	if err != nil {
		return 0, fmt.Errorf("read the quota %s of %s: %w", code, service, err)
	}
	return aws.ToFloat64(out.Quota.Value), nil
}
