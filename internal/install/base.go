// Package install makes, changes and removes an installation: its base stack, the
// bucket that holds its code, and what it leaves to be said about both.
package install

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/config"
	"drawbridge/internal/hint"
	"drawbridge/internal/reaper"
	"drawbridge/internal/seam"
	"drawbridge/scheduler"
)

// Facts are what a base stack depends on in addition to the configuration: what AWS shows
// of the sets' networks and of the jobs' task definitions.
type Facts struct {
	Region string
	Sets   map[scheduler.SetName]SetFacts
	// Roles are the ARNs of the roles that task definitions name, by job.
	Roles map[scheduler.JobName][]string
	// S3PrefixList is the id of the prefix list of S3's addresses.
	S3PrefixList string
	// Concurrency is Lambda's quota of concurrent executions in the account.
	Concurrency int
	// Digests are those of the products' images in ECR, as sha256:..., by job; one is empty
	// while there is no image, and for an image that is given by its digest.
	Digests map[scheduler.JobName]string
}

// SetFacts are what AWS shows of a set's network.
type SetFacts struct {
	VPC         string
	RouteTables []string
	// CIDRs are the IPv4 blocks of the VPC.
	CIDRs []string
	// Services are what the jobs need, for a set whose services follow from them.
	Services []endpoints.ServiceID
	// ForeignGateway is the id of an S3 gateway on all the tables that is not
	// ours; empty if there is none.
	ForeignGateway string
}

// Resolve returns the installation that a file makes before its base stack is there. Sets in
// one VPC become one. It refuses those that cannot.
func (f Facts) Resolve(file *config.File) (*config.Installation, error) {
	known := config.Facts{Region: f.Region, Sets: map[scheduler.SetName]config.SetFacts{}}
	for name, s := range f.Sets {
		known.Sets[name] = config.SetFacts{VPC: s.VPC, Services: s.Services}
	}
	c := config.Resolve(file, known)
	members := c.Members()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		host := members[name]
		if (len(file.Sets[name].EndpointSecurityGroups) == 0) != (len(file.Sets[host].EndpointSecurityGroups) == 0) {
			return nil, hint.New(
				fmt.Sprintf("sets %s and %s share %s, and only one of them names endpointSecurityGroups", host, name,
					f.Sets[name].VPC), "name them for both, or for neither",
			)
		}
	}
	return c, nil
}

// Base returns the base stack of an installation, which was resolved with the facts.
func Base(c *config.Installation, f Facts, architecture string) (cfn.Base, error) {
	b := cfn.Base{
		Name: c.Name, Region: f.Region, Observe: c.Mode == config.Observe, Architecture: architecture,
		LogRetention: c.LogRetention, ReservedConcurrency: c.ReservedConcurrency, KMSKey: c.KMSKey,
		Monitored: c.Monitoring != config.MonitorNothing, AllMetrics: c.Monitoring == config.MonitorFully,
		ECSCluster: c.ECSCluster, PaidHoursPerDay: c.PaidHoursAlarm, SweepMinutes: int(reaper.SweepEvery.Minutes()),
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sets)) {
		s, err := baseSet(c, f, name)
		if err != nil {
			return b, err
		}
		b.Sets = append(b.Sets, s)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		j := c.Jobs[name]
		job := cfn.BaseJob{
			Name: string(name), Cluster: j.Cluster, TaskDefinition: j.TaskDefinition, Roles: f.Roles[name],
		}
		for _, on := range j.On {
			text, err := json.Marshal(on)
			if err != nil {
				return b, fmt.Errorf("job %s: %w", name, err)
			}
			job.Patterns = append(job.Patterns, text)
		}
		b.Jobs = append(b.Jobs, job)
	}
	return b, join(&b, c, f)
}

// join adds what the products add, and the roles of their jobs to the jobs.
func join(b *cfn.Base, c *config.Installation, f Facts) error {
	for _, p := range Products(c) {
		a, err := p.Addition(*b, seam.Known{Concurrency: f.Concurrency, Digest: f.Digests[p.Job()]})
		if err != nil {
			return err
		}
		b.Additions = append(b.Additions, a)
		for i, job := range b.Jobs {
			if p.Job() != "" && job.Name == string(p.Job()) {
				b.Jobs[i].Roles = a.TaskRoles()
			}
		}
	}
	return nil
}

func baseSet(c *config.Installation, f Facts, name scheduler.SetName) (cfn.BaseSet, error) {
	s := c.Sets[name]
	services, err := endpoints.Resolve(s.Services)
	if err != nil {
		return cfn.BaseSet{}, fmt.Errorf("set %s: %w", name, err)
	}
	out := cfn.BaseSet{
		Name: string(name), VPC: s.VPC, Services: services, Subnets: s.Subnets,
		EndpointGroups: s.EndpointSecurityGroups, S3PrefixList: f.S3PrefixList, HasMaximum: s.MaxLifetime > 0,
		HasBudget: s.HoursPerDay > 0,
	}
	groups, all := c.SecurityGroups(name)
	out.TaskGroups, out.MakeTaskGroup = groups, !all
	out.Auto = s.Auto
	// The gateway is free, and a later revision of a task definition may need it.
	needs := out.Auto || slices.ContainsFunc(services, func(s endpoints.Service) bool { return s.ID == "s3" })
	out.SetGateway = s.S3Gateway == endpoints.GatewaySet && needs ||
		slices.ContainsFunc(services, func(s endpoints.Service) bool {
			return s.Type == endpoints.Gateway && s.ID != "s3"
		})
	foreign := false
	for member, host := range c.Members() {
		if host == name && member != name {
			out.Others = append(out.Others, string(member))
		}
		if host == name {
			out.RouteTables = append(out.RouteTables, f.Sets[member].RouteTables...)
			out.CIDRs = append(out.CIDRs, f.Sets[member].CIDRs...)
			foreign = foreign || f.Sets[member].ForeignGateway != ""
		}
	}
	slices.Sort(out.Others)
	slices.Sort(out.RouteTables)
	out.RouteTables = slices.Compact(out.RouteTables)
	slices.Sort(out.CIDRs)
	out.CIDRs = slices.Compact(out.CIDRs)
	out.PermanentGateway = needs && s.S3Gateway == endpoints.GatewayPermanent && !foreign
	return out, nil
}

// Tags are the tags of the base stack, which CloudFormation hands on to all that
// it holds.
func Tags(c *config.Installation) map[string]string {
	out := map[string]string{}
	maps.Copy(out, c.Tags)
	out[cfn.OwnerTag], out[cfn.SchemaTag] = c.Name, fmt.Sprint(cfn.Schema)
	return out
}
