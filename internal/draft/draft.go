// Package draft writes a first configuration from a VPC, its subnets and task
// definitions. It only reads.
package draft

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/hint"
)

// Source is where a draft is read from. Say tells of what was left out.
type Source struct {
	EC2 *ec2.Client
	ECS *ecs.Client
	Say func(format string, args ...any)
}

// New returns an empty draft. Without a cluster the installation makes one.
func New(region, cluster string, source Source) *Draft {
	return &Draft{source: source, region: region, cluster: cluster}
}

// VPC returns the id of the VPC, Subnets and Jobs how many there are.
func (d *Draft) VPC() string { return d.vpc }

// Subnets returns how many subnets the set has.
func (d *Draft) Subnets() int { return len(d.subnets) }

// Jobs returns how many jobs there are.
func (d *Draft) Jobs() int { return len(d.jobs) }

// Draft is a configuration in the making.
type Draft struct {
	source               Source
	region, vpc, cluster string
	subnets              []subnetDraft
	services             map[endpoints.ServiceID]string // with the reason
	jobs                 []jobDraft
}

type subnetDraft struct{ id, zone, cidr string }

type jobDraft struct{ name, definition, container string }

// Network reads the subnets: those that are named, or all of a VPC that have no way out.
func (d *Draft) Network(ctx context.Context, vpc string, subnets []string) error {
	in := &ec2.DescribeSubnetsInput{SubnetIds: subnets}
	if len(subnets) == 0 {
		in.Filters = []types.Filter{{Name: aws.String("vpc-id"), Values: []string{vpc}}}
	}
	out, err := d.source.EC2.DescribeSubnets(ctx, in)
	if err != nil {
		return awserr.Mark(err, "describe the subnets")
	}
	if len(out.Subnets) == 0 && vpc != "" {
		if err := d.thereIs(ctx, vpc); err != nil {
			return err
		}
	}
	for _, n := range out.Subnets {
		if d.vpc == "" {
			d.vpc = aws.ToString(n.VpcId)
		}
		if aws.ToString(n.VpcId) != d.vpc {
			return hint.With(fmt.Errorf("%s is in %s, other subnets in %s", aws.ToString(n.SubnetId),
				aws.ToString(n.VpcId), d.vpc), "the subnets of a set are in one VPC: write a set for each")
		}
	}
	open, err := d.openTables(ctx)
	if err != nil {
		return err
	}
	for _, n := range out.Subnets {
		id := aws.ToString(n.SubnetId)
		if len(subnets) == 0 && open(id) {
			d.source.Say("Left out: %s, which has a way out.", id)
			continue
		}
		d.subnets = append(d.subnets, subnetDraft{id, aws.ToString(n.AvailabilityZone), aws.ToString(n.CidrBlock)})
	}
	slices.SortFunc(d.subnets, func(a, b subnetDraft) int { return strings.Compare(a.zone+a.id, b.zone+b.id) })
	if len(d.subnets) == 0 {
		return hint.With(fmt.Errorf("no private subnets in %s", vpc), "name the jobs' subnets by --subnets")
	}
	return nil
}

// thereIs returns an error if there is no VPC of an id, or none that has subnets.
func (d *Draft) thereIs(ctx context.Context, vpc string) error {
	out, err := d.source.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{vpc}})
	switch {
	case err != nil && strings.Contains(awserr.Code(err), "InvalidVpcID"), err == nil && len(out.Vpcs) == 0:
		return hint.With(fmt.Errorf("there is no VPC %s in %s", vpc, d.region),
			"aws ec2 describe-vpcs lists the VPCs; --region chooses another Region")
	case err != nil:
		return awserr.Mark(err, "describe VPC %s", vpc)
	}
	return hint.With(fmt.Errorf("VPC %s has no subnets", vpc), "create private subnets in it, or name another VPC")
}

// openTables returns a function that reports whether a subnet's routes lead out.
func (d *Draft) openTables(ctx context.Context) (func(subnet string) bool, error) {
	none := func(string) bool { return false }
	if d.vpc == "" {
		return none, nil
	}
	out, err := d.source.EC2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{
		Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{d.vpc}}},
	})
	if err != nil {
		return none, awserr.Mark(err, "describe the route tables of %s", d.vpc)
	}
	own, mainOpen := map[string]bool{}, false
	for _, t := range out.RouteTables {
		leadsOut := slices.ContainsFunc(t.Routes, func(r types.Route) bool {
			return aws.ToString(r.DestinationCidrBlock) == "0.0.0.0/0" &&
				(r.NatGatewayId != nil || strings.HasPrefix(aws.ToString(r.GatewayId), "igw-"))
		})
		for _, a := range t.Associations {
			if a.SubnetId != nil {
				own[*a.SubnetId] = leadsOut
			}
			if aws.ToBool(a.Main) {
				mainOpen = leadsOut
			}
		}
	}
	return func(subnet string) bool {
		if leadsOut, ok := own[subnet]; ok {
			return leadsOut
		}
		return mainOpen
	}, nil
}

// Job adds a job for a task definition, with the services that it reaches.
func (d *Draft) Job(ctx context.Context, given string) error {
	def, text, err := ecstasks.Describe(ctx, d.source.ECS, given)
	if err != nil {
		return hint.With(err, "aws ecs list-task-definition-families lists the families")
	}
	family := cfn.Family(given)
	job := jobDraft{name: jobName(family), definition: given}
	if len(def.ContainerDefinitions) > 0 {
		job.container = aws.ToString(def.ContainerDefinitions[0].Name)
	}
	d.jobs = append(d.jobs, job)
	needs, err := endpoints.Workload{Region: d.region, TaskDefinitions: [][]byte{text}}.Requirements()
	if err != nil {
		return err
	}
	if d.services == nil {
		d.services = map[endpoints.ServiceID]string{}
	}
	for _, n := range needs.Services {
		if d.services[n.Service] == "" {
			d.services[n.Service] = n.Because[0]
		}
	}
	for _, u := range needs.Unreachable {
		d.source.Say("Unreachable: %s. Remedy: %s.", u.What, u.Remedy)
	}
	return nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9-]+`)

// jobName makes the name of a job of a family's.
func jobName(family string) string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(family), "-"), "-")
	if name == "" || name[0] < 'a' || name[0] > 'z' {
		name = "job-" + name
	}
	if len(name) > 25 {
		name = strings.TrimRight(name[:25], "-")
	}
	return name
}

// Text returns the configuration as a file, with comments.
func (d *Draft) Text() string {
	var b strings.Builder
	w := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	w("# Drawbridge: endpoints of %s while its jobs need them.", d.vpc)
	w("# docs/configuration.md explains every key.")
	w("")
	w("region: %s", d.region)
	w("")
	w("# Where paid hours begin: clock (at UTC hours) or creation. AWS does not say which; clock is the safe choice.")
	w("billing: clock")
	w("")
	w("# Who hears of it if something is wrong, and what all that is made is tagged with for the bill:")
	w("# alarmTopic: arn:aws:sns:%s:123456789012:on-call", d.region)
	w("# tags: {team: data}")
	cluster := d.cluster
	if cluster == "" {
		cluster = "drawbridge"
		w("")
		w("# Made and owned by the installation.")
		w("ecsCluster: %s", cluster)
	}
	w("")
	w("sets:")
	w("  main:")
	w("    subnets:")
	for _, n := range d.subnets {
		w("      - %s  # %s, %s", n.id, n.zone, n.cidr)
	}
	w("    # auto: what the task definitions need, read again before each creation. Today that is")
	for _, svc := range endpoints.All() {
		if why, ok := d.services[svc.ID]; ok {
			w("    #   %s, for %s", svc.ID, why)
		}
	}
	if len(d.services) == 0 {
		w("    #   nothing")
	}
	w("    # What the programs call beyond their own start stands below, as services of their job. Each interface")
	w("    # endpoint is billed for every started hour.")
	w("    services: auto")
	w("    # How many zones hold each endpoint; one serves the whole VPC.")
	w("    zones: 1")
	w("")
	w("jobs:")
	for _, j := range d.jobs {
		w("  %s:", j.name)
		w("    set: main")
		w("    cluster: %s", cluster)
		w("    taskDefinition: %s", j.definition)
		if j.container != j.name && j.container != "" {
			w("    container: %s", j.container)
		}
		w("    # services: [sqs]")
		w("    maxRuntime: 1h")
		w("    # What an event, or drawbridge run, may override: environment, command, cpu, memory.")
		w("    overrides: [environment]")
		w("%s", starts)
	}
	return b.String()
}

// starts are the keys of a job that say when its runs start, for whoever wants them.
const starts = `    # How long a run may wait to share paid hours with others, and when it starts by itself:
    # maxDelay: 1h
    # schedule: cron(5 6 ? * MON-FRI *)
    # timezone: Europe/Berlin
    # Events on the default bus that start the job:
    # on:
    #   - source: [aws.s3]
    #     detail-type: [Object Created]`
