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
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/install"
	"drawbridge/internal/vpc"
	"drawbridge/scheduler"
)

// installation looks at the base stack.
func (d *Doctor) installation(ctx context.Context) {
	t := d.topic("installation", d.config.Name, "nothing happens without the base stack")
	s, err := d.installer.Installed(ctx, d.config.Name)
	var h interface{ Hint() string }
	switch {
	case errors.Is(err, install.ErrNotInstalled):
		t.warn("drawbridge deploy", "not installed yet")
	case errors.As(err, &h) && h.Hint() != "":
		t.fail(h.Hint(), "%v", err)
	case err != nil:
		t.unread(err)
	default:
		t.ok("stack is %s, schema %d", s.Status, s.Schema)
		d.timerRole(ctx)
	}
}

// serviceLinkedRole looks for the role that ECS works with. An account that never used
// ECS has none, and the first cluster or task is refused there.
//
// Source: aws-cloudformation/cloudformation-coverage-roadmap#818
func (d *Doctor) serviceLinkedRole(ctx context.Context) {
	t := d.topic("service-linked role", install.ECSRole, "ECS makes a task's network interface with it")
	_, err := d.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(install.ECSRole)})
	switch {
	case awserr.Code(err) == "NoSuchEntity":
		t.warn("drawbridge deploy makes it, or aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com",
			"not there: the account never used ECS")
	case err != nil:
		t.unread(err)
	default:
		t.ok("there")
	}
}

// timerRole looks whether the role with which timers wake the reaper is as it was
// deployed: without it the sweep alone is left to look in time.
func (d *Doctor) timerRole(ctx context.Context) {
	n := cfn.NamesOf(d.config.Name, d.place.Region)
	t := d.topic("timers", n.TimerRole, "each set's timer wakes the reaper with this role at the end of its paid hour")
	const remedy = "drawbridge deploy; if it finds nothing to change, delete the role and deploy again"
	role, err := d.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(n.TimerRole)})
	if awserr.Code(err) == "NoSuchEntity" {
		t.fail(remedy, "the role is gone")
		return
	}
	if err != nil {
		t.unread(err)
		return
	}
	trust, err := url.QueryUnescape(aws.ToString(role.Role.AssumeRolePolicyDocument))
	if err != nil || !strings.Contains(trust, "scheduler.amazonaws.com") {
		t.fail(remedy, "EventBridge Scheduler may not assume it")
		return
	}
	attached, err := d.iam.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{
		RoleName: aws.String(n.TimerRole),
	})
	if err != nil {
		t.unread(err)
		return
	}
	policy, err := d.installer.TimerPolicy(ctx, d.config.Name)
	if err != nil {
		t.unread(err)
		return
	}
	if !slices.ContainsFunc(attached.AttachedPolicies, func(p iamtypes.AttachedPolicy) bool {
		return aws.ToString(p.PolicyArn) == policy
	}) {
		t.fail(remedy, "it no longer has the policy %s, by which it may invoke the reaper", policy)
		return
	}
	t.ok("as it was deployed")
}

// set looks at the network of a set.
func (d *Doctor) set(ctx context.Context, name scheduler.SetName) {
	set := d.config.Sets[name]
	t := d.topic("subnets", "set "+string(name), "tasks and endpoints live in the set's subnets, all of one VPC")
	services, err := d.tasks.Services(ctx, name)
	if err != nil {
		t.unread(err)
		return
	}
	reader := vpc.New(d.ec2, d.installer.Clients.Route53, d.place.Region, d.place.Account)
	ours, err := d.installer.SetEndpoints(ctx, d.config.Name)
	if err != nil {
		t.unread(err)
		return
	}
	v, err := reader.Inspect(ctx, set.Subnets, services, ours)
	var plan *endpoints.PlanError
	if errors.As(err, &plan) {
		t.fail(plan.Remedy, "%s", plan.What)
		return
	}
	if err != nil {
		t.unread(err)
		return
	}
	zones := []string{}
	for _, s := range v.Subnets {
		if s.VPC != v.ID {
			t.fail("name subnets of one VPC", "%s is in %s, %s in %s", v.Subnets[0].ID, v.ID, s.ID, s.VPC)
			return
		}
		zones = append(zones, s.ID+" in "+s.Zone)
	}
	t.ok("%s: %s", v.ID, strings.Join(zones, ", "))
	d.groups(ctx, v, name)
	d.dns(v)
	d.services(v, services, set.Zones)
	d.routes(ctx, v)
	d.gateway(v, services, string(name))
	d.foreign(ctx, reader, v, services, name)
	d.endpointQuota(ctx, v, services)
}

func (d *Doctor) dns(v endpoints.VPC) {
	t := d.topic("DNS", v.ID, "tasks find endpoints by AWS's own names, which private DNS answers")
	for _, a := range []struct {
		name, flag string
		on         bool
	}{
		{"enableDnsSupport", "--enable-dns-support", v.DNSSupport},
		{"enableDnsHostnames", "--enable-dns-hostnames", v.DNSHostnames},
	} {
		if a.on {
			t.ok("%s is on", a.name)
			continue
		}
		t.fail("aws ec2 modify-vpc-attribute --vpc-id "+v.ID+" "+a.flag+" '{\"Value\":true}'", "%s is off", a.name)
	}
}

func (d *Doctor) services(v endpoints.VPC, services []endpoints.Service, want int) {
	t := d.topic("services", v.ID, "an endpoint can only be where the service offers one")
	zones := map[int][]string{} // services by the number of the set's zones that offer them
	for _, s := range services {
		offered, ok := v.Offered[s.Name(d.place.Region)]
		if !ok {
			t.fail("leave "+string(s.ID)+" out of the set's services", "%s is not offered in %s", s.ID, d.place.Region)
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
			t.fail("add a subnet in a zone that offers them", "%s: offered in none of the set's zones",
				strings.Join(zones[n], ", "))
			continue
		case n < want:
			t.warn("add a subnet in a zone that offers them, or lower sets.<name>.zones",
				"%s: offered in %d of the set's zones, %d are asked for; they stand in these alone",
				strings.Join(zones[n], ", "), n, want)
			continue
		}
		t.ok("%s: offered in %d of the set's zones", strings.Join(zones[n], ", "), n)
	}
}

// routes looks for ways out, which make endpoints a choice rather than a need.
func (d *Doctor) routes(ctx context.Context, v endpoints.VPC) {
	t := d.topic("route tables", v.ID,
		"a subnet with a way out needs no endpoints, and Drawbridge never changes routes of others")
	out, err := d.ec2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{
		Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{v.ID}}},
	})
	if err != nil {
		t.unread(err)
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
				t.warn("jobs there reach AWS without endpoints: compare the costs in docs/billing.md before you pay "+
					"for both", "%s leads out by %s", aws.ToString(table.RouteTableId), way)
			}
		}
	}
	if private {
		t.ok("%s: no way out", strings.Join(endpoints.RouteTables(v.Subnets), ", "))
	}
}

func (d *Doctor) gateway(v endpoints.VPC, services []endpoints.Service, set string) {
	if !slices.ContainsFunc(services, func(s endpoints.Service) bool { return s.ID == "s3" }) {
		d.topic("S3 gateway", v.ID,
			"the layers of ECR's images lie in S3").warn("add s3 to sets."+set+
			".services unless no image comes from ECR: the gateway is free", "s3 is not among the services")
		return
	}
	t := d.topic("S3 gateway", v.ID, "the layers of ECR's images lie in S3; the gateway is free")
	for _, e := range v.Endpoints {
		if e.Type == endpoints.Gateway && strings.HasSuffix(e.Service, ".s3") && e.State == "available" {
			if endpoints.Covers(e.RouteTables, endpoints.RouteTables(v.Subnets)) {
				t.ok("%s is on all route tables", e.ID)
				return
			}
			t.warn("add the missing route tables to it, or deploy makes a second one and fails where both would be",
				"%s is on %s, the subnets use %s", e.ID, strings.Join(e.RouteTables, ", "),
				strings.Join(endpoints.RouteTables(v.Subnets), ", "))
			return
		}
	}
	t.ok("none yet; deploy makes one")
}

// foreign looks for what others have that serves a service, or is in the way, by
// the same plan that a creation makes.
func (d *Doctor) foreign(ctx context.Context, reader *vpc.Reader, v endpoints.VPC, services []endpoints.Service,
	name scheduler.SetName) {
	t := d.topic("foreign endpoints", v.ID, "private DNS allows one endpoint a service in a VPC")
	// The gateway is looked at by itself.
	services = slices.DeleteFunc(slices.Clone(services), func(s endpoints.Service) bool {
		return s.Type == endpoints.Gateway
	})
	p, err := endpoints.Make(endpoints.Request{
		Region: d.place.Region, Services: services, Zones: d.config.Sets[name].Zones, Gateway: endpoints.GatewaySet,
	}, v)
	var refused *endpoints.PlanError
	if errors.As(err, &refused) {
		t.fail(refused.Remedy, "%s", refused.What)
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
				t.unread(err)
				continue
			}
			if scene.KeepsOut(v.Endpoints[i]) {
				t.fail("have it let TCP 443 in from the set's subnets, or leave "+string(a.Service)+" out of the set",
					"%s is adopted for %s, as %s, but its security groups (%s) let no HTTPS in from there", a.Endpoint,
					a.Service, a.Why, strings.Join(v.Endpoints[i].SecurityGroups, ", "))
				continue
			}
		}
		t.ok("%s serves %s already and is adopted: %s; it costs whether Drawbridge is there or not", a.Endpoint,
			a.Service, a.Why)
	}
	for _, s := range p.Skip {
		t.ok("%s for %s is passed over: %s", s.Endpoint, s.Service, s.Why)
	}
	if len(p.Adopt)+len(p.Skip) == 0 {
		t.ok("none")
	}
}

// groups looks at the security groups that the configuration names.
func (d *Doctor) groups(ctx context.Context, v endpoints.VPC, name scheduler.SetName) {
	t := d.topic("security groups", "set "+string(name), "tasks must reach their endpoints on port 443")
	tasks, all := d.config.SecurityGroups(name)
	own := d.config.Sets[name].EndpointSecurityGroups
	ids := slices.Concat(tasks, own)
	if !all {
		t.ok("deploy makes one for the tasks of jobs that name none")
	}
	if len(own) == 0 {
		t.ok("deploy makes one for the endpoints")
	}
	if len(ids) == 0 {
		return
	}
	out, err := d.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: ids})
	if err != nil {
		if strings.Contains(err.Error(), "NotFound") || strings.Contains(err.Error(), "Malformed") {
			t.fail("name security groups of "+v.ID, "%s", said(err))
			return
		}
		t.unread(err)
		return
	}
	for _, g := range out.SecurityGroups {
		id := aws.ToString(g.GroupId)
		switch {
		case aws.ToString(g.VpcId) != v.ID:
			t.fail("name a security group of "+v.ID, "%s is in %s", id, aws.ToString(g.VpcId))
		case slices.Contains(tasks, id) && !opens443(g.IpPermissionsEgress):
			t.fail("let "+id+" out on TCP 443", "%s lets nothing out on port 443", id)
		case slices.Contains(own, id) && !opens443(g.IpPermissions):
			t.fail("let the tasks in on TCP 443", "%s lets nothing in on port 443", id)
		default:
			t.ok("%s is in %s and passes port 443", id, v.ID)
		}
	}
}

// opens443 says whether any of the rules passes TCP port 443.
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

// strangers looks for endpoints that carry our owner tag although no stack holds them.
func (d *Doctor) strangers(ctx context.Context) {
	t := d.topic("owner tag", cfn.OwnerTag+"="+d.config.Name,
		"an endpoint with it that no stack of a set holds is billed, and nobody deletes it")
	stacks := cfn.NewStacks(d.installer.Clients.CloudFormation, d.config.Name, "")
	found, err := vpc.New(d.ec2, d.installer.Clients.Route53, d.place.Region, d.place.Account).Strangers(ctx,
		d.config.Name, func(set string) ([]string, error) {
			if _, ours := d.config.Sets[scheduler.SetName(set)]; !ours && !strings.HasPrefix(set, cfn.SelftestPrefix) {
				return nil, nil
			}
			ids, err := stacks.Endpoints(ctx, stacks.Name(set))
			return ids, awserr.Mark(err, "set %s", set)
		})
	if err != nil {
		t.unread(err)
		return
	}
	for _, s := range found {
		t.warn("if it is left over, aws ec2 delete-vpc-endpoints --vpc-endpoint-ids "+s.ID+
			"; if it is somebody's, take the tag away", "%s belongs to no stack of a configured set", s)
	}
	if len(found) == 0 {
		t.ok("on no endpoint but those of the sets")
	}
}

// endpointQuota compares the quota of interface endpoints with what is there and
// what would come.
func (d *Doctor) endpointQuota(ctx context.Context, v endpoints.VPC, services []endpoints.Service) {
	t := d.topic("quota", v.ID, "a VPC holds a limited number of interface endpoints")
	limit, err := d.quota(ctx, "vpc", "L-29B6F2EB")
	if err != nil {
		t.unread(err)
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
		t.fail("ask for more in Service Quotas (vpc, L-29B6F2EB)",
			"%d endpoints of others and %d of the set are more than %.0f", have, need, limit)
		return
	}
	t.ok("%d endpoints of others and %d of the set, %.0f are allowed", have, need, limit)
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
