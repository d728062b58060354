package config

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/config/field"
	deployments "drawbridge/internal/deployments/section"
	"drawbridge/internal/eventpattern"
	"drawbridge/internal/mirror/section"
	"drawbridge/internal/schedule"
	"drawbridge/scheduler"
)

// Installation is a File with all defaults, and with what is known of the account: the
// one model that decisions, plans and views are made from. Nothing changes it; what
// becomes known later makes another one.
type Installation struct {
	Name    string
	Billing scheduler.Basis
	// Margin is 0 if it is learned.
	Margin                            time.Duration
	Mode                              Mode
	ECSCluster                        string
	LogRetention, ReservedConcurrency int
	KMSKey                            string
	// KeepEvents is how many bytes of an event are kept.
	KeepEvents      int
	EventsPerMinute int

	// Tags are further tags of all that is made.
	Tags                map[string]string
	PermissionsBoundary string
	MonitoringSection
	// EndpointPrice is in USD for an endpoint, zone and hour; 0 if unknown.
	EndpointPrice float64
	// Sets are the sets with a stack of their own, by name.
	Sets map[scheduler.SetName]Set
	Jobs map[scheduler.JobName]Job
	// Mirror is nil without one.
	Mirror *section.Mirror
	// Deployments are by name; their sets are those that they live as.
	Deployments map[string]deployments.Deployment

	// path is that of the file.
	path string
	// hosts maps each set that shares the endpoints of another to that one.
	hosts map[scheduler.SetName]scheduler.SetName
}

// Set is an endpoint set with a stack of its own; it also serves the sets that share its
// VPC.
type Set struct {
	// VPC is empty as long as it is not known.
	VPC     string
	Subnets []string
	// Services are all that the set has; where Auto is true, what they were at the last
	// deployment.
	Services []endpoints.ServiceID
	// Auto reports whether the services follow from the jobs, in addition to Fixed.
	Auto  bool
	Fixed []endpoints.ServiceID

	Zones                  int
	S3Gateway              endpoints.GatewayMode
	EndpointSecurityGroups []string
	Settle, MaxLifetime    time.Duration
	// FixedSettle says that the file gives Settle, so that it is not learned.
	FixedSettle bool
	HoursPerDay int
	OverBudget  OverBudget
	WaitCost    float64
}

// Job is a piece of work.
type Job struct {
	// Set is the set that the job lives in, which may be the host of the one it names.
	Set                                scheduler.SetName
	Cluster, TaskDefinition, Container string
	Services                           []endpoints.ServiceID
	Subnets, SecurityGroups            []string
	MaxRuntime, StartTimeout, MaxDelay time.Duration
	MaxConcurrent                      int
	// Schedule is nil without one.
	Schedule  *schedule.Schedule
	Overrides []Override
	// On are the event patterns as they are written.
	On          []map[string]any
	Environment map[string]string
	// Made reports whether the base stack makes the task definition, so that it is known
	// before it is there.
	Made bool

	patterns []*eventpattern.Pattern
}

// Facts are what the file does not say of an installation. Zero values are not known.
type Facts struct {
	// Region gives the price of endpoints, unless the file does.
	Region string
	Sets   map[scheduler.SetName]SetFacts
	// TaskGroups are the security groups of jobs whose task definition the base stack makes.
	TaskGroups map[scheduler.JobName]string
	// Adopt adds the sets that the file does not name any more, with the defaults: what
	// operates an installation must see all of it.
	Adopt bool
}

// SetFacts are what is known of a set.
type SetFacts struct {
	VPC string
	// Services are what a set whose services follow from its jobs was deployed with.
	Services []endpoints.ServiceID
	// TaskSecurityGroup and EndpointSecurityGroups are those that the base stack made.
	TaskSecurityGroup      string
	EndpointSecurityGroups []string
}

// Resolve returns the installation that a checked file and the facts make. Sets of one
// VPC become one there.
func Resolve(f *File, known Facts) *Installation {
	price, _ := endpoints.KnownPrices().In(known.Region)
	c := &Installation{
		Name: f.InstallationName(), Billing: cmp.Or(f.Billing, scheduler.Clock),
		Margin: time.Duration(f.Margin), Mode: cmp.Or(f.Mode, Active), ECSCluster: f.ECSCluster,
		LogRetention: cmp.Or(f.LogRetention, 30), ReservedConcurrency: f.ReservedConcurrency, KMSKey: f.KMSKey,
		KeepEvents: field.Or(f.KeepEvents, 64) << 10, EventsPerMinute: f.EventsPerMinute,
		Tags: maps.Clone(f.Tags), PermissionsBoundary: f.PermissionsBoundary, MonitoringSection: f.MonitoringSection,
		EndpointPrice: cmp.Or(f.EndpointPrice, price.Endpoint),
		Sets:          map[scheduler.SetName]Set{}, Jobs: map[scheduler.JobName]Job{},
		Mirror: f.Mirror.Complete(f.ECSCluster), path: f.path, hosts: map[scheduler.SetName]scheduler.SetName{},
		Deployments: map[string]deployments.Deployment{},
	}
	c.Monitoring = cmp.Or(f.Monitoring, MonitorAlarms)
	for name, d := range f.Deployments {
		if d != nil {
			c.Deployments[name] = d.Complete()
		}
	}
	for name, s := range f.Sets {
		if s != nil {
			c.Sets[name] = s.resolve(known.Sets[name])
		}
	}
	for name, j := range f.Jobs {
		if j != nil {
			c.Jobs[name] = j.resolve(name, c.Sets[j.Set].Subnets, known.Sets[j.Set].TaskSecurityGroup)
		}
	}
	if _, taken := c.Jobs[section.Job]; c.Mirror != nil && !taken {
		c.Jobs[section.Job] = mirrorJob(c, known.TaskGroups[section.Job])
	}
	c.share()
	if known.Adopt {
		c.adopt(known.Sets)
	}
	return c
}

// resolve returns the set with its defaults and facts, before sets that share a VPC are merged.
func (s *SetSection) resolve(known SetFacts) Set {
	out := Set{
		VPC: known.VPC, Subnets: s.Subnets, Services: s.Services, Zones: cmp.Or(s.Zones, 1),
		S3Gateway:              cmp.Or(s.S3Gateway, endpoints.GatewayPermanent),
		EndpointSecurityGroups: s.EndpointSecurityGroups,
		Settle:                 time.Duration(field.Or(s.Settle, field.Duration(scheduler.DefaultSettle))),
		FixedSettle:            s.Settle != nil,
		MaxLifetime:            time.Duration(s.MaxLifetime), HoursPerDay: s.HoursPerDay,
		OverBudget: cmp.Or(s.OverBudget, WaitForNextDay), WaitCost: s.WaitCost,
	}
	switch {
	case len(s.Services) == 0:
		out.Services = endpoints.Default()
	case s.auto():
		out.Auto, out.Services = true, known.Services
	}
	if len(out.EndpointSecurityGroups) == 0 {
		out.EndpointSecurityGroups = known.EndpointSecurityGroups
	}
	return out
}

// auto reports whether the services follow from the jobs.
func (s *SetSection) auto() bool { return len(s.Services) == 1 && s.Services[0] == auto }

// resolve returns the job with its defaults: subnets are those of its set, and group is
// the security group that the base stack made for it, if any.
func (j *JobSection) resolve(name scheduler.JobName, subnets []string, group string) Job {
	out := Job{
		Set: j.Set, Cluster: j.Cluster, TaskDefinition: j.TaskDefinition,
		Container: cmp.Or(j.Container, string(name)), Services: j.Services, Subnets: j.Subnets,
		SecurityGroups: j.SecurityGroups,
		MaxRuntime:     time.Duration(field.Or(j.MaxRuntime, field.Duration(24*time.Hour))),
		StartTimeout:   time.Duration(j.StartTimeout), MaxDelay: time.Duration(j.MaxDelay),
		MaxConcurrent: j.MaxConcurrent, Overrides: j.Overrides, On: j.On, Environment: j.Environment,
	}
	if len(out.Subnets) == 0 {
		out.Subnets = subnets
	}
	if len(out.SecurityGroups) == 0 && group != "" {
		out.SecurityGroups = []string{group}
	}
	if j.Schedule != "" {
		out.Schedule, _ = schedule.Parse(j.Schedule, j.Timezone) // refused when the file was read, as is a pattern
	}
	for _, on := range j.On {
		if p, err := compile(on); err == nil {
			out.patterns = append(out.patterns, p)
		}
	}
	return out
}

// mirrorJob returns the job that mirrors.
func mirrorJob(c *Installation, group string) Job {
	m := c.Mirror
	j := &JobSection{
		Set: m.Set, Cluster: m.Cluster, TaskDefinition: section.Family(c.Name), Services: m.Services(),
		MaxRuntime: m.MaxRuntime, MaxDelay: m.MaxDelay, Schedule: m.Schedule, Timezone: m.Timezone,
		Overrides: []Override{{Kind: environment, Names: section.Variables}}, On: m.Patterns(),
	}
	out := j.resolve(section.Job, c.Sets[m.Set].Subnets, group)
	out.Made = true
	return out
}

// compile compiles an event pattern of the file.
func compile(on map[string]any) (*eventpattern.Pattern, error) {
	text, err := json.Marshal(on)
	if err != nil {
		return nil, err
	}
	return eventpattern.Compile(text)
}

// share makes one set of those in one VPC: private DNS allows one endpoint a service
// there. It lives as the first of them by name. Jobs keep their own subnets.
func (c *Installation) share() {
	first := map[string]scheduler.SetName{}
	for _, name := range slices.Sorted(maps.Keys(c.Sets)) {
		vpc := c.Sets[name].VPC
		host, shared := first[vpc]
		if vpc == "" || !shared {
			first[vpc] = name
			continue
		}
		c.hosts[name] = host
		c.Sets[host] = merge(c.Sets[host], c.Sets[name])
		delete(c.Sets, name)
	}
	for name, j := range c.Jobs {
		j.Set = cmp.Or(c.hosts[j.Set], j.Set)
		c.Jobs[name] = j
	}
	for name, d := range c.Deployments {
		d.Set = cmp.Or(c.hosts[d.Set], d.Set)
		c.Deployments[name] = d
	}
}

// merge adds what other asks for to s. The longer of two times and the wider of two
// limits hold; a limit that one of them does not have, neither has.
func merge(s, other Set) Set {
	s.Subnets = union(s.Subnets, other.Subnets)
	if s.Auto || other.Auto {
		s.Fixed = union(s.explicit(), other.explicit())
		s.Auto = true
	}
	s.Services = union(s.Services, other.Services)
	s.EndpointSecurityGroups = union(s.EndpointSecurityGroups, other.EndpointSecurityGroups)
	s.Zones = max(s.Zones, other.Zones)
	if other.S3Gateway == endpoints.GatewayPermanent {
		s.S3Gateway = other.S3Gateway
	}
	if s.FixedSettle == other.FixedSettle {
		s.Settle = max(s.Settle, other.Settle)
	} else if other.FixedSettle {
		s.Settle, s.FixedSettle = other.Settle, true
	}
	if s.MaxLifetime != 0 && other.MaxLifetime != 0 {
		s.MaxLifetime = max(s.MaxLifetime, other.MaxLifetime)
	} else {
		s.MaxLifetime = 0
	}
	s.WaitCost = max(s.WaitCost, other.WaitCost)
	if s.HoursPerDay != 0 && other.HoursPerDay != 0 {
		s.HoursPerDay += other.HoursPerDay
	} else {
		s.HoursPerDay = 0
	}
	if other.OverBudget == WaitForNextDay {
		s.OverBudget = other.OverBudget
	}
	return s
}

// explicit returns the services that the file names.
func (s Set) explicit() []endpoints.ServiceID {
	if s.Auto {
		return s.Fixed
	}
	return s.Services
}

func union[T ~string](a, b []T) []T {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// adopt adds the sets that are deployed and that the file does not name.
func (c *Installation) adopt(sets map[scheduler.SetName]SetFacts) {
	first := map[string]scheduler.SetName{} // the set that those of a VPC live as
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		if vpc := sets[name].VPC; first[vpc] == "" {
			first[vpc] = name
		}
	}
	for _, name := range first {
		if _, known := c.Host(name); !known {
			c.Sets[name] = (&SetSection{}).resolve(sets[name])
		}
	}
}

// Host returns the set that a set lives as, and false if there is no such set.
func (c *Installation) Host(name scheduler.SetName) (scheduler.SetName, bool) {
	if host, ok := c.hosts[name]; ok {
		return host, true
	}
	return name, c.HasSet(name)
}

// HasSet reports whether there is a set of a name that has a stack of its own.
func (c *Installation) HasSet(name scheduler.SetName) bool {
	_, ok := c.Sets[name]
	return ok
}

// Members maps every set of the file to the set that it lives as.
func (c *Installation) Members() map[scheduler.SetName]scheduler.SetName {
	out := maps.Clone(c.hosts)
	for name := range c.Sets {
		out[name] = name
	}
	return out
}

// Path returns the path that the configuration was read from.
func (c *Installation) Path() string { return c.path }

// Settings returns the times that decisions are made with, by set.
func (c *Installation) Settings() map[scheduler.SetName]scheduler.Settings {
	out := map[scheduler.SetName]scheduler.Settings{}
	for name, s := range c.Sets {
		v := scheduler.DefaultSettings()
		v.Basis = c.Billing
		v.Settle, v.FixedSettle, v.MaxLifetime = s.Settle, s.FixedSettle, s.MaxLifetime
		v.HoursPerDay, v.HoursPerHour = s.HoursPerDay, s.hoursPerHour()
		v.FailOverBudget = s.OverBudget == FailRuns
		if c.Margin != 0 {
			v = v.WithMargin(c.Margin)
		}
		v.WaitCost, v.HourCost = s.WaitCost, float64(v.HoursPerHour)*c.EndpointPrice
		for _, j := range slices.Sorted(maps.Keys(c.Jobs)) {
			job := c.Jobs[j]
			if job.Set != name {
				continue
			}
			if job.MaxConcurrent > 0 {
				if v.MaxConcurrent == nil {
					v.MaxConcurrent = map[scheduler.JobName]int{}
				}
				v.MaxConcurrent[j] = job.MaxConcurrent
			}
			if job.Schedule != nil {
				v.Schedules = append(v.Schedules,
					scheduler.Schedule{Job: j, MaxDelay: job.MaxDelay, Times: job.Schedule})
			}
		}
		out[name] = v
	}
	return out
}

// RunUSD returns what the endpoints of a run's set cost while its task ran, in USD; false where
// the price is not known or the run has not ended.
func (c *Installation) RunUSD(run scheduler.Run) (float64, bool) {
	if c.EndpointPrice == 0 || run.StartedAt.IsZero() || run.FinishedAt.IsZero() {
		return 0, false
	}
	hours := run.FinishedAt.Sub(run.StartedAt).Hours() * float64(c.Settings()[run.Set].HoursPerHour)
	return hours * c.EndpointPrice, true
}

// Matching returns the names of the jobs whose patterns an event matches, in
// order of name. The event is decoded JSON.
func (c *Installation) Matching(event map[string]any) []scheduler.JobName {
	var out []scheduler.JobName
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		matches := func(p *eventpattern.Pattern) bool { return p.MatchMap(event) }
		if slices.ContainsFunc(c.Jobs[name].patterns, matches) {
			out = append(out, name)
		}
	}
	return out
}

// Decides reports whether runs of a job decide hooks of deployments.
func (c *Installation) Decides(job scheduler.JobName) bool {
	for _, d := range c.Deployments {
		if slices.Contains(d.Jobs(), job) {
			return true
		}
	}
	return false
}

// SecurityGroups returns the security groups that jobs and deployments of a set name, each
// once, in order, and whether every job names some. The mirror has one of its own.
func (c *Installation) SecurityGroups(set scheduler.SetName) (groups []string, all bool) {
	all = true
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		if j := c.Jobs[name]; j.Set == set && !j.Made {
			groups = append(groups, j.SecurityGroups...)
			all = all && len(j.SecurityGroups) > 0
		}
	}
	for _, d := range c.Deployments {
		if d.Set == set {
			groups = append(groups, d.SecurityGroups...)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), all
}

// hoursPerHour returns how many endpoint-hours an hour of the set is billed as.
func (s Set) hoursPerHour() int {
	services, err := endpoints.Resolve(s.Services)
	if err != nil {
		return 0 // refused when the file was read
	}
	n := 0
	for _, svc := range services {
		if svc.Type == endpoints.Interface {
			n += s.Zones
		}
	}
	return n
}
