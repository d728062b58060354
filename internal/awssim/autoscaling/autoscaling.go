// Package autoscaling simulates EC2 Auto Scaling as far as a cluster of ECS needs it: launch
// templates, and groups of instances that run their agent.
package autoscaling

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"time"

	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated Auto Scaling.
type Service struct {
	*kernel.Kernel
	ec2 *ec2.Service
	// Reach reports whether a service can be reached from a subnet by security groups.
	Reach func(subnet string, groups []string, service string) bool

	// Ended is told of each instance that ends.
	Ended func(id string)

	templates []*LaunchTemplate
	groups    []*Group
}

// LaunchTemplate is a launch template in its latest version.
type LaunchTemplate struct {
	ID      string
	Version int
	Data    map[string]any
}

// Group is a group of instances.
type Group struct {
	Name           string
	Template       *LaunchTemplate
	Min, Max, Want int
	Subnets        []string
	Instances      []*Instance
	created        time.Time
}

// Instance is an instance of a group. Cluster is the cluster of ECS that its agent joins, as
// its user data says; empty for none.
type Instance struct {
	ID, Subnet, Zone, Cluster string
	Groups                    []string
	Version                   int
	Launched                  time.Time
	// Ready is set once it has started and run its user data.
	Ready bool
	Signals
}

// Signals are whether an instance signals its stack at its end, and could.
type Signals struct{ wanted, Sent bool }

// bootTakes is how long an instance takes until its user data has run.
const bootTakes = 90 * time.Second

// New puts the service into an account.
func New(k *kernel.Kernel, network *ec2.Service) *Service {
	s := &Service{Kernel: k, ec2: network}
	k.Register(&kernel.API{
		Name: "autoscaling", Protocol: kernel.Query, Endpoint: "autoscaling",
		XMLNS: "http://autoscaling.amazonaws.com/doc/2011-01-01/", Ops: map[string]kernel.Operation{
			"DescribeAutoScalingGroups": kernel.Op(s.describeGroups),
		},
	})
	return s
}

// Put creates a launch template, or a new version of one.
func (s *Service) Put(id string, data map[string]any) *LaunchTemplate {
	t := s.Template(id)
	if t == nil {
		t = &LaunchTemplate{ID: "lt-" + s.NewID("launch template", 17)}
		s.templates = append(s.templates, t)
	}
	t.Version++
	t.Data = data
	return t
}

// Template finds a launch template by id, or nil.
func (s *Service) Template(id string) *LaunchTemplate {
	return kernel.Find(s.templates, func(t *LaunchTemplate) bool { return t.ID == id })
}

// Add creates a group and starts its instances.
func (s *Service) Add(g *Group) {
	g.created = s.Clock.Now()
	s.groups = append(s.groups, g)
	s.Keep(g)
}

// Group finds a group by name, or nil.
func (s *Service) Group(name string) *Group {
	return kernel.Find(s.groups, func(g *Group) bool { return g.Name == name })
}

// Keep starts and ends instances until a group has as many as it wants.
func (s *Service) Keep(g *Group) {
	for len(g.Instances) < g.Want {
		s.launch(g)
	}
	for len(g.Instances) > g.Want {
		s.End(g, g.Instances[0])
	}
}

// End ends an instance.
func (s *Service) End(g *Group, i *Instance) {
	g.Instances = slices.DeleteFunc(g.Instances, func(x *Instance) bool { return x == i })
	s.Ended(i.ID)
}

// Of are the instances of a cluster whose agent is connected now: it speaks to ECS all the
// time, and what runs goes on without it.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/vpc-endpoints.html
func (s *Service) Of(cluster string) []*Instance {
	var out []*Instance
	for _, g := range s.groups {
		for _, i := range g.Instances {
			if i.Cluster == cluster && i.Ready && s.reaches(i, "ecs", "ecs-agent", "ecs-telemetry") {
				out = append(out, i)
			}
		}
	}
	return out
}

func (s *Service) reaches(i *Instance, services ...string) bool {
	return !slices.ContainsFunc(services, func(id string) bool { return !s.Reach(i.Subnet, i.Groups, id) })
}

var (
	clusterPattern = regexp.MustCompile(`ECS_CLUSTER=(\S+)`)
	signalPattern  = regexp.MustCompile(`cfn-signal|signal-resource|SignalResource`)
)

// launch starts an instance in the subnet that has the fewest.
func (s *Service) launch(g *Group) {
	subnet := g.Subnets[0]
	count := func(id string) (n int) {
		for _, i := range g.Instances {
			if i.Subnet == id {
				n++
			}
		}
		return n
	}
	for _, id := range g.Subnets {
		if count(id) < count(subnet) {
			subnet = id
		}
	}
	i := &Instance{
		ID: "i-" + s.NewID("instance", 17), Subnet: subnet, Version: g.Template.Version, Launched: s.Clock.Now(),
		Groups: kernel.Texts(g.Template.Data, "SecurityGroupIds"),
	}
	if sub := s.ec2.Subnet(subnet); sub != nil {
		i.Zone = sub.Zone
	}
	text, _ := base64.StdEncoding.DecodeString(kernel.Text(g.Template.Data, "UserData")) // none is fine
	if m := clusterPattern.FindSubmatch(text); m != nil {
		i.Cluster = string(m[1])
	}
	i.wanted = signalPattern.Match(text)
	g.Instances = append(g.Instances, i)
	s.Clock.After(bootTakes, func() {
		i.Ready = true
		i.Sent = i.wanted && s.reaches(i, "cloudformation", "ecs", "ecs-agent", "ecs-telemetry")
	})
}

type groupXML struct {
	Name      string                      `xml:"AutoScalingGroupName"`
	ARN       string                      `xml:"AutoScalingGroupARN"`
	Min       int                         `xml:"MinSize"`
	Max       int                         `xml:"MaxSize"`
	Want      int                         `xml:"DesiredCapacity"`
	Cooldown  int                         `xml:"DefaultCooldown"`
	Zones     kernel.Members[string]      `xml:"AvailabilityZones"`
	Check     string                      `xml:"HealthCheckType"`
	Instances kernel.Members[instanceXML] `xml:"Instances"`
	Created   kernel.Stamp                `xml:"CreatedTime"`
	Subnets   string                      `xml:"VPCZoneIdentifier"`
}

type instanceXML struct {
	ID        string `xml:"InstanceId"`
	Zone      string `xml:"AvailabilityZone"`
	State     string `xml:"LifecycleState"`
	Health    string `xml:"HealthStatus"`
	Protected bool   `xml:"ProtectedFromScaleIn"`
	Template  struct {
		ID      string `xml:"LaunchTemplateId"`
		Version string `xml:"Version"`
	} `xml:"LaunchTemplate"`
}

func (s *Service) describeGroups(_ *kernel.Call, in *struct {
	AutoScalingGroupNames []string
	NextToken             string
	MaxRecords            int
}) (*struct {
	Groups kernel.Members[groupXML] `xml:"AutoScalingGroups"`
}, error) {
	out := &struct {
		Groups kernel.Members[groupXML] `xml:"AutoScalingGroups"`
	}{}
	for _, g := range s.groups {
		if len(in.AutoScalingGroupNames) > 0 && !slices.Contains(in.AutoScalingGroupNames, g.Name) {
			continue
		}
		arn := "autoScalingGroup:" + s.Digest(g.Name, 8) + ":autoScalingGroupName/" + g.Name
		x := groupXML{
			Name: g.Name, ARN: s.ARN("autoscaling", arn),
			Min: g.Min, Max: g.Max, Want: g.Want, Cooldown: 300, Check: "EC2", Created: kernel.Stamp{Time: g.created},
		}
		for n, id := range g.Subnets {
			if n > 0 {
				x.Subnets += ","
			}
			x.Subnets += id
			if sub := s.ec2.Subnet(id); sub != nil {
				x.Zones.Member = append(x.Zones.Member, sub.Zone)
			}
		}
		for _, i := range g.Instances {
			y := instanceXML{ID: i.ID, Zone: i.Zone, State: "InService", Health: "Healthy"}
			if !i.Ready {
				y.State = "Pending"
			}
			y.Template.ID, y.Template.Version = g.Template.ID, strconv.Itoa(i.Version)
			x.Instances.Member = append(x.Instances.Member, y)
		}
		out.Groups.Member = append(out.Groups.Member, x)
	}
	return out, nil
}

// Remove removes a launch template by id, or a group by name with its instances.
func (s *Service) Remove(given string) {
	s.templates = slices.DeleteFunc(s.templates, func(t *LaunchTemplate) bool { return t.ID == given })
	if g := s.Group(given); g != nil {
		for len(g.Instances) > 0 {
			s.End(g, g.Instances[0])
		}
	}
	s.groups = slices.DeleteFunc(s.groups, func(g *Group) bool { return g.Name == given })
}
