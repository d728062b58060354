package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/hint"
	"drawbridge/internal/planner"
	"drawbridge/internal/vpc"
	"drawbridge/scheduler"
)

// Survey is what was read of the account for an installation: the facts of its
// base stack, and each set's network with the plan of its endpoints.
type Survey struct {
	Facts
	// Config is the installation that the file and the facts make.
	Config *config.Installation
	Plans  map[scheduler.SetName]SetPlan
}

// SetPlan is what a set would hold, by the set that it lives as.
type SetPlan struct {
	VPC endpoints.VPC
	endpoints.Plan
}

// Read surveys the account. Everything that keeps the configuration from being
// installed is reported at once.
func (i *Installer) Read(ctx context.Context, file *config.File) (Survey, error) {
	c := config.Resolve(file, config.Facts{Region: i.Place.Region})
	s := Survey{Facts: Facts{
		Region: i.Place.Region, Sets: map[scheduler.SetName]SetFacts{}, Roles: map[scheduler.JobName][]string{},
	}, Plans: map[scheduler.SetName]SetPlan{}}
	var problems []error
	reader := vpc.New(i.Clients.EC2, i.Clients.Route53, i.Place.Region, i.Place.Account)
	networks := map[scheduler.SetName]endpoints.VPC{}
	tasks := ecstasks.New(i.Clients.ECS, c)
	held, err := i.baseEndpoints(ctx, c.Name)
	if err != nil {
		problems = append(problems, err)
	}
	ours, err := i.SetEndpoints(ctx, c.Name)
	if err != nil {
		problems = append(problems, err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sets)) {
		if c.Sets[name].WaitCost > 0 && c.EndpointPrice == 0 {
			problems = append(problems, hint.New(
				fmt.Sprintf("set %s has a waitCost, and the price of endpoints in %s is not known", name,
					i.Place.Region),
				"add endpointPrice: USD for an endpoint in a zone and hour; drawbridge prices refresh reads it",
			))
		}
		services, err := tasks.Services(ctx, name)
		if err != nil {
			problems = append(problems, fmt.Errorf("set %s: %w", name, err))
			continue
		}
		v, err := reader.Inspect(ctx, c.Sets[name].Subnets, services, ours)
		if err == nil {
			err = endpoints.Check(v)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("set %s: %w", name, err))
			continue
		}
		networks[name] = v
		f := factsOf(v, c.Name, i.Place.Region, held)
		if f.CIDRs, err = i.blocks(ctx, v.ID); err != nil {
			problems = append(problems, fmt.Errorf("set %s: %w", name, err))
			continue
		}
		if c.Sets[name].Auto {
			for _, svc := range services {
				f.Services = append(f.Services, svc.ID)
			}
		}
		s.Sets[name] = f
	}
	problems = append(problems, i.readAccount(ctx, c, &s)...)
	if err := errors.Join(problems...); err != nil {
		return s, err
	}
	if s.Config, err = s.Resolve(file); err != nil {
		return s, err
	}
	return s, s.plan(networks)
}

// baseEndpoints returns the ids of the endpoints that the base stack holds.
func (i *Installer) baseEndpoints(ctx context.Context, name string) ([]string, error) {
	stack := cfn.NamesOf(name, i.Place.Region).Stack
	held, err := cfn.Resources(ctx, i.Clients.CloudFormation, stack, cfn.EndpointType)
	var ids []string
	for _, r := range held {
		ids = append(ids, aws.ToString(r.PhysicalResourceId))
	}
	return ids, awserr.Mark(err, "read what the base stack holds")
}

// readAccount reads what belongs to no set's network.
func (i *Installer) readAccount(ctx context.Context, c *config.Installation, s *Survey) []error {
	problems := []error{i.roles(ctx, c, s)}
	var err error
	s.Concurrency, err = i.concurrency(ctx, c)
	problems = append(problems, err)
	s.Digests, err = i.digests(ctx, c)
	problems = append(problems, err)
	s.S3PrefixList, err = i.prefixList(ctx)
	return append(problems, err)
}

// factsOf sums up a network for the base stack. held are the endpoints that it has
// already, whether their tags have reached them or not.
func factsOf(v endpoints.VPC, owner, region string, held []string) SetFacts {
	f := SetFacts{VPC: v.ID, RouteTables: endpoints.RouteTables(v.Subnets)}
	s3, err := endpoints.Lookup("s3")
	if err != nil {
		return f
	}
	for _, e := range v.Endpoints {
		if e.Type == endpoints.Gateway && e.Service == s3.Name(region) && e.Tags[cfn.OwnerTag] != owner &&
			!slices.Contains(held, e.ID) && e.State == "available" && endpoints.Covers(e.RouteTables, f.RouteTables) {
			f.ForeignGateway = e.ID
		}
	}
	return f
}

// blocks returns the IPv4 blocks of a VPC.
func (i *Installer) blocks(ctx context.Context, id string) ([]string, error) {
	out, err := i.Clients.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{id}})
	if err != nil {
		return nil, awserr.Mark(err, "describe %s", id)
	}
	var blocks []string
	for _, v := range out.Vpcs {
		for _, b := range v.CidrBlockAssociationSet {
			if b.CidrBlockState != nil && b.CidrBlockState.State == ec2types.VpcCidrBlockStateCodeAssociated {
				blocks = append(blocks, aws.ToString(b.CidrBlock))
			}
		}
	}
	return blocks, nil
}

// roles reads which roles the jobs' task definitions name.
func (i *Installer) roles(ctx context.Context, c *config.Installation, s *Survey) error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		if c.Jobs[name].Made {
			continue // the base stack makes them
		}
		given := c.Jobs[name].TaskDefinition
		out, err := i.Clients.ECS.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{
			TaskDefinition: aws.String(given),
		})
		if err != nil {
			err = awserr.Mark(err, "describe task definition %s", given)
			problems = append(problems, hint.With(fmt.Errorf("job %s: %w", name, err), cmp.Or(hint.Of(err),
				"register task definition "+given+
					" in this Region first: its roles become part of the launcher's rights")))
			continue
		}
		for _, arn := range []*string{out.TaskDefinition.ExecutionRoleArn, out.TaskDefinition.TaskRoleArn} {
			if arn != nil {
				s.Roles[name] = append(s.Roles[name], *arn)
			}
		}
	}
	return errors.Join(problems...)
}

// prefixList returns the id of the prefix list of S3 in the Region.
func (i *Installer) prefixList(ctx context.Context) (string, error) {
	name := "com.amazonaws." + i.Place.Region + ".s3"
	out, err := i.Clients.EC2.DescribeManagedPrefixLists(ctx, &ec2.DescribeManagedPrefixListsInput{
		Filters: []ec2types.Filter{{Name: aws.String("prefix-list-name"), Values: []string{name}}},
	})
	if err != nil {
		return "", awserr.Mark(err, "describe the prefix list of S3")
	}
	if len(out.PrefixLists) == 0 {
		return "", fmt.Errorf("describe the prefix list of S3: %s is not there", name)
	}
	return aws.ToString(out.PrefixLists[0].PrefixListId), nil
}

// plan works out what each set would hold, as the launcher will.
func (s *Survey) plan(networks map[scheduler.SetName]endpoints.VPC) error {
	c := s.Config
	for _, name := range slices.Sorted(maps.Keys(c.Sets)) {
		v := networks[name]
		foreign := s.Sets[name].ForeignGateway != ""
		for member, host := range c.Members() {
			if host == name && member != name {
				v = endpoints.Join(v, networks[member])
				foreign = foreign || s.Sets[member].ForeignGateway != ""
			}
		}
		services, err := endpoints.Resolve(c.Sets[name].Services)
		if err != nil {
			return err
		}
		p, err := planner.Plan(planner.Scene{
			Config: c, Region: s.Region, Set: name, Services: services, VPC: v,
			BaseGateway: !foreign,
		})
		if err != nil {
			return err
		}
		s.Plans[name] = SetPlan{v, p}
	}
	return nil
}
