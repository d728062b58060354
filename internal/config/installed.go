package config

import (
	"maps"
	"slices"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/scheduler"
)

// Apply takes over what the installation knows of its sets: their VPCs, and the
// security groups that its base stack made for those that name none. Sets in one
// VPC become one from then on. What in does not know stays as it is.
func (c *Config) Apply(in cfn.Installed) {
	for name, s := range c.Sets {
		known, ok := in.Sets[string(name)]
		if !ok {
			continue
		}
		s.vpc = known.VPC
		if s.auto {
			s.Services = nil
			for _, id := range known.Services {
				s.Services = append(s.Services, endpoints.ServiceID(id))
			}
		}
		if len(s.EndpointSecurityGroups) == 0 {
			s.EndpointSecurityGroups = known.EndpointSecurityGroups
		}
		for _, j := range c.Jobs {
			if j.Set == name && len(j.SecurityGroups) == 0 && known.TaskSecurityGroup != "" && !j.made {
				j.SecurityGroups = []string{known.TaskSecurityGroup}
			}
		}
	}
	if j := c.Jobs[MirrorJob]; j != nil && j.made && in.MirrorSecurityGroup != "" {
		j.SecurityGroups = []string{in.MirrorSecurityGroup}
	}
	c.share()
}

// Hosts returns, for each set, the set that it lives as: itself, or the first by
// name of those in its VPC.
func (c *Config) Hosts(vpcs map[scheduler.SetName]string) map[scheduler.SetName]scheduler.SetName {
	first := map[string]scheduler.SetName{}
	out := map[scheduler.SetName]scheduler.SetName{}
	for _, name := range slices.Sorted(maps.Keys(c.Sets)) {
		vpc := vpcs[name]
		if host, ok := first[vpc]; ok && vpc != "" {
			out[name] = host
			continue
		}
		first[vpc], out[name] = name, name
	}
	return out
}

// share makes one set of those in one VPC: private DNS allows one endpoint a
// service there. Jobs keep their own subnets.
func (c *Config) share() {
	vpcs := map[scheduler.SetName]string{}
	for name, s := range c.Sets {
		vpcs[name] = s.vpc
	}
	hosts := c.Hosts(vpcs)
	c.hosts = map[scheduler.SetName]scheduler.SetName{}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		host := hosts[name]
		if host == name {
			continue
		}
		c.hosts[name] = host
		merge(c.Sets[host], c.Sets[name])
		for _, j := range c.Jobs {
			if j.Set == name {
				j.Set = host
			}
		}
		delete(c.Sets, name)
	}
}

// merge adds what other asks for to s. The longer of two times and the wider of
// two limits hold; a limit that one of them does not have, neither has.
func merge(s, other *Set) {
	s.Subnets = union(s.Subnets, other.Subnets)
	if s.auto || other.auto {
		s.fixed = union(s.explicit(), other.explicit())
		s.auto = true
	}
	s.Services = union(s.Services, other.Services)
	s.EndpointSecurityGroups = union(s.EndpointSecurityGroups, other.EndpointSecurityGroups)
	s.Zones = max(s.Zones, other.Zones)
	if other.S3Gateway == endpoints.GatewayPermanent {
		s.S3Gateway = other.S3Gateway
	}
	if *other.Settle > *s.Settle {
		s.Settle = other.Settle
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
}

// explicit returns the services that the file names.
func (s *Set) explicit() []endpoints.ServiceID {
	if s.auto {
		return s.fixed
	}
	return s.Services
}

func union[T ~string](a, b []T) []T {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// Host returns the set that a set lives as, and false if there is no such set.
func (c *Config) Host(name scheduler.SetName) (scheduler.SetName, bool) {
	if host, ok := c.hosts[name]; ok {
		return host, true
	}
	_, ok := c.Sets[name]
	return name, ok
}

// Members maps every set of the file to the set that it lives as.
func (c *Config) Members() map[scheduler.SetName]scheduler.SetName {
	out := maps.Clone(c.hosts)
	if out == nil {
		out = map[scheduler.SetName]scheduler.SetName{}
	}
	for name := range c.Sets {
		out[name] = name
	}
	return out
}

// Clone returns a copy that shares nothing that Apply changes.
func (c *Config) Clone() *Config {
	out := *c
	out.Sets, out.Jobs = map[scheduler.SetName]*Set{}, map[scheduler.JobName]*Job{}
	for name, s := range c.Sets {
		copied := *s
		copied.Subnets, copied.Services = slices.Clone(s.Subnets), slices.Clone(s.Services)
		out.Sets[name] = &copied
	}
	for name, j := range c.Jobs {
		copied := *j
		out.Jobs[name] = &copied
	}
	return &out
}

// Adopt adds the sets that are installed and that the file does not name any more,
// each with the defaults: what operates an installation must see all of it.
func (c *Config) Adopt(in cfn.Installed) {
	first := map[string]string{} // the set that those of a VPC live as
	for _, name := range slices.Sorted(maps.Keys(in.Sets)) {
		if vpc := in.Sets[name].VPC; first[vpc] == "" {
			first[vpc] = name
		}
	}
	for _, name := range first {
		set := scheduler.SetName(name)
		if _, known := c.Members()[set]; known {
			continue
		}
		s := &Set{vpc: in.Sets[name].VPC, EndpointSecurityGroups: in.Sets[name].EndpointSecurityGroups}
		s.defaults()
		c.Sets[set] = s
	}
}
