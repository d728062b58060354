// Package elbv2 simulates application load balancers: listeners, rules and target groups,
// which carry real HTTP to what answers for their targets.
package elbv2

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated Elastic Load Balancing.
type Service struct {
	*kernel.Kernel
	balancers []*balancer
	groups    []*TargetGroup
	listeners []*listener
	carried   int // requests
	// Direct returns what answers at a private address, or nil.
	Direct func(ip string) *Target
}

type balancer struct {
	arn, name, dns, scheme, vpc string
	groups, subnets             []string
}

// listener is a listener with its rules; the last of them is its default rule.
type listener struct {
	arn      string
	balancer *balancer
	port     int
	rules    []*rule
}

// rule forwards what fits a path to target groups by their weights.
type rule struct {
	arn, priority string // default has the priority default
	paths         []string
	forward       []Weight
}

// Weight is a target group with its share of the requests.
type Weight struct {
	TargetGroupArn string
	Weight         int
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k}
	k.Carry = s.Carry
	k.Register(&kernel.API{
		Name: "elasticloadbalancing", Protocol: kernel.Query, Endpoint: "elasticloadbalancing",
		XMLNS: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/", Ops: map[string]kernel.Operation{
			"CreateLoadBalancer":    kernel.Op(s.createBalancer),
			"CreateTargetGroup":     kernel.Op(s.createGroup),
			"CreateListener":        kernel.Op(s.createListener),
			"CreateRule":            kernel.Op(s.createRule),
			"ModifyListener":        kernel.Op(s.modifyListener),
			"ModifyRule":            kernel.Op(s.modifyRule),
			"DescribeLoadBalancers": kernel.Op(s.describeBalancers),
			"DescribeTargetGroups":  kernel.Op(s.describeGroups),
			"DescribeListeners":     kernel.Op(s.describeListeners),
			"DescribeRules":         kernel.Op(s.describeRules),
			"DescribeTargetHealth":  kernel.Op(s.describeHealth),
		},
	})
	return s
}

func (s *Service) arn(kind, path string) string { return s.ARN("elasticloadbalancing", kind+"/"+path) }

type balancerXML struct {
	ARN     string                  `xml:"LoadBalancerArn"`
	Name    string                  `xml:"LoadBalancerName"`
	DNS     string                  `xml:"DNSName"`
	Scheme  string                  `xml:"Scheme"`
	VPC     string                  `xml:"VpcId"`
	Type    string                  `xml:"Type"`
	State   string                  `xml:"State>Code"`
	Groups  kernel.Members[string]  `xml:"SecurityGroups"`
	Address string                  `xml:"IpAddressType"`
	Zones   kernel.Members[zoneXML] `xml:"AvailabilityZones"`
	// Full is the name in metrics, which CloudFormation alone shows.
	Full string `xml:"-"`
}

type zoneXML struct {
	Subnet string `xml:"SubnetId"`
}

func (b *balancer) xml() balancerXML {
	out := balancerXML{
		ARN: b.arn, Name: b.name, DNS: b.dns, Scheme: b.scheme, VPC: b.vpc, Type: "application", State: "active",
		Address: "ipv4", Full: b.arn[strings.Index(b.arn, ":loadbalancer/")+len(":loadbalancer/"):],
	}
	out.Groups.Member = append([]string{}, b.groups...)
	for _, n := range b.subnets {
		out.Zones.Member = append(out.Zones.Member, zoneXML{n})
	}
	return out
}

type balancersReply struct {
	Balancers kernel.Members[balancerXML] `xml:"LoadBalancers"`
}

func (s *Service) createBalancer(_ *kernel.Call, in *struct {
	Name, Scheme, Type, IPAddressType string
	Subnets, SecurityGroups           []string
	Tags                              []kernel.Tag
}) (*balancersReply, error) {
	if slices.ContainsFunc(s.balancers, func(b *balancer) bool { return b.name == in.Name }) {
		return nil, kernel.Errorf("DuplicateLoadBalancerName",
			"A load balancer with the same name '%s' exists, but with different settings", in.Name)
	}
	id := s.NewID("balancer", 16)
	b := &balancer{
		arn: s.arn("loadbalancer", "app/"+in.Name+"/"+id), name: in.Name, scheme: in.Scheme, groups: in.SecurityGroups,
		subnets: in.Subnets, dns: in.Name + "-" + id[:10] + "." + s.Options.Region + ".elb.amazonaws.com",
	}
	if b.scheme == "" {
		b.scheme = "internet-facing"
	}
	if b.scheme == "internal" {
		b.dns = "internal-" + b.dns
	}
	s.balancers = append(s.balancers, b)
	out := &balancersReply{}
	out.Balancers.Member = []balancerXML{b.xml()}
	return out, nil
}

func (s *Service) describeBalancers(_ *kernel.Call, in *struct {
	LoadBalancerArns, Names []string
	Marker                  string
	PageSize                int
}) (*balancersReply, error) {
	out := &balancersReply{}
	for _, b := range s.balancers {
		if (len(in.LoadBalancerArns) == 0 || slices.Contains(in.LoadBalancerArns, b.arn)) &&
			(len(in.Names) == 0 || slices.Contains(in.Names, b.name)) {
			out.Balancers.Member = append(out.Balancers.Member, b.xml())
		}
	}
	return out, nil
}

type actionIn struct {
	Type, TargetGroupArn string
	Order                int
	ForwardConfig        struct{ TargetGroups []Weight }
}

// forwards returns what actions forward to.
func forwards(actions []actionIn) []Weight {
	var out []Weight
	for _, a := range actions {
		if len(a.ForwardConfig.TargetGroups) > 0 {
			return a.ForwardConfig.TargetGroups
		}
		if a.TargetGroupArn != "" {
			out = []Weight{{a.TargetGroupArn, 1}}
		}
	}
	return out
}

type listenersReply struct {
	Listeners kernel.Members[listenerXML] `xml:"Listeners"`
}

type listenerXML struct {
	ARN      string                    `xml:"ListenerArn"`
	Balancer string                    `xml:"LoadBalancerArn"`
	Port     int                       `xml:"Port"`
	Protocol string                    `xml:"Protocol"`
	Actions  kernel.Members[actionXML] `xml:"DefaultActions"`
}

type actionXML struct {
	Type    string                    `xml:"Type"`
	Group   string                    `xml:"TargetGroupArn,omitempty"`
	Forward kernel.Members[weightXML] `xml:"ForwardConfig>TargetGroups"`
}

type weightXML struct {
	Group  string `xml:"TargetGroupArn"`
	Weight int    `xml:"Weight"`
}

// xml is the rule's action. With more than one group none stands alone.
func (r *rule) xml() kernel.Members[actionXML] {
	a := actionXML{Type: "forward"}
	for _, w := range r.forward {
		a.Forward.Member = append(a.Forward.Member, weightXML{w.TargetGroupArn, w.Weight})
	}
	if len(r.forward) == 1 {
		a.Group = r.forward[0].TargetGroupArn
	}
	var out kernel.Members[actionXML]
	out.Member = []actionXML{a}
	return out
}

func (l *listener) xml() listenerXML {
	return listenerXML{l.arn, l.balancer.arn, l.port, "HTTP", l.rules[len(l.rules)-1].xml()}
}

func (s *Service) createListener(_ *kernel.Call, in *struct {
	LoadBalancerArn, Protocol, SslPolicy string
	Port                                 int
	DefaultActions                       []actionIn
	Tags                                 []kernel.Tag
}) (*listenersReply, error) {
	b := kernel.Find(s.balancers, func(b *balancer) bool { return b.arn == in.LoadBalancerArn })
	if b == nil {
		return nil, kernel.Errorf("LoadBalancerNotFound", "Load balancer '%s' not found", in.LoadBalancerArn)
	}
	if err := s.check(forwards(in.DefaultActions)); err != nil {
		return nil, err
	}
	path := strings.TrimPrefix(b.arn, s.arn("loadbalancer", "")) + "/" + s.NewID("listener", 16)
	l := &listener{arn: s.arn("listener", path), balancer: b, port: in.Port}
	l.rules = []*rule{{
		arn: s.arn("listener-rule", path+"/"+s.NewID("rule", 16)), priority: "default",
		forward: forwards(in.DefaultActions),
	}}
	s.listeners = append(s.listeners, l)
	out := &listenersReply{}
	out.Listeners.Member = []listenerXML{l.xml()}
	return out, nil
}

// check refuses target groups that are not there.
func (s *Service) check(list []Weight) error {
	for _, w := range list {
		if s.Group(w.TargetGroupArn) == nil {
			return kernel.Errorf("TargetGroupNotFound", "Target group '%s' not found", w.TargetGroupArn)
		}
		if w.Weight < 0 || w.Weight > 999 {
			return kernel.Errorf("ValidationError", "Weight must be between 0 and 999")
		}
	}
	return nil
}

func (s *Service) listener(arn string) (*listener, error) {
	if l := kernel.Find(s.listeners, func(l *listener) bool { return l.arn == arn }); l != nil {
		return l, nil
	}
	return nil, kernel.Errorf("ListenerNotFound", "Listener '%s' not found", arn)
}

func (s *Service) modifyListener(_ *kernel.Call, in *struct {
	ListenerArn, Protocol, SslPolicy string
	Port                             int
	DefaultActions                   []actionIn
}) (*listenersReply, error) {
	l, err := s.listener(in.ListenerArn)
	if err == nil {
		err = s.check(forwards(in.DefaultActions))
	}
	if err != nil {
		return nil, err
	}
	if f := forwards(in.DefaultActions); f != nil {
		l.rules[len(l.rules)-1].forward = f
	}
	out := &listenersReply{}
	out.Listeners.Member = []listenerXML{l.xml()}
	return out, nil
}

func (s *Service) describeListeners(_ *kernel.Call, in *struct {
	LoadBalancerArn, Marker string
	PageSize                int
	ListenerArns            []string
}) (*listenersReply, error) {
	out := &listenersReply{}
	for _, arn := range in.ListenerArns {
		if _, err := s.listener(arn); err != nil {
			return nil, err
		}
	}
	for _, l := range s.listeners {
		if l.balancer.arn == in.LoadBalancerArn || slices.Contains(in.ListenerArns, l.arn) {
			out.Listeners.Member = append(out.Listeners.Member, l.xml())
		}
	}
	return out, nil
}

type rulesReply struct {
	Rules kernel.Members[ruleXML] `xml:"Rules"`
}

type ruleXML struct {
	ARN        string                       `xml:"RuleArn"`
	Priority   string                       `xml:"Priority"`
	Default    bool                         `xml:"IsDefault"`
	Conditions kernel.Members[conditionXML] `xml:"Conditions"`
	Actions    kernel.Members[actionXML]    `xml:"Actions"`
}

type conditionXML struct {
	Field  string                 `xml:"Field"`
	Values kernel.Members[string] `xml:"Values"`
}

func (r *rule) reply() ruleXML {
	out := ruleXML{ARN: r.arn, Priority: r.priority, Default: r.priority == "default", Actions: r.xml()}
	if len(r.paths) > 0 {
		c := conditionXML{Field: "path-pattern"}
		c.Values.Member = r.paths
		out.Conditions.Member = []conditionXML{c}
	}
	return out
}

func (s *Service) createRule(_ *kernel.Call, in *struct {
	ListenerArn string
	Priority    int
	Conditions  []struct {
		Field             string
		Values            []string
		PathPatternConfig struct{ Values []string }
	}
	Actions []actionIn
	Tags    []kernel.Tag
}) (*rulesReply, error) {
	l, err := s.listener(in.ListenerArn)
	if err == nil {
		err = s.check(forwards(in.Actions))
	}
	if err != nil {
		return nil, err
	}
	r := &rule{priority: strconv.Itoa(in.Priority), forward: forwards(in.Actions)}
	for _, c := range in.Conditions {
		if c.Field != "path-pattern" {
			return nil, kernel.Errorf("ValidationError", "the sandbox simulates path-pattern conditions alone")
		}
		r.paths = append(append(r.paths, c.Values...), c.PathPatternConfig.Values...)
	}
	r.arn = strings.Replace(l.arn, ":listener/", ":listener-rule/", 1) + "/" + s.NewID("rule", 16)
	l.rules = append([]*rule{r}, l.rules...)
	slices.SortStableFunc(l.rules, func(a, b *rule) int { return rank(a) - rank(b) })
	out := &rulesReply{}
	out.Rules.Member = []ruleXML{r.reply()}
	return out, nil
}

// rank orders rules; the default one is the last.
func rank(r *rule) int {
	n, err := strconv.Atoi(r.priority)
	if err != nil {
		return 1 << 20
	}
	return n
}

func (s *Service) rule(arn string) (*rule, error) {
	for _, l := range s.listeners {
		if r := kernel.Find(l.rules, func(r *rule) bool { return r.arn == arn }); r != nil {
			return r, nil
		}
	}
	return nil, kernel.Errorf("RuleNotFound", "Rule '%s' not found", arn)
}

func (s *Service) modifyRule(_ *kernel.Call, in *struct {
	RuleArn string
	Actions []actionIn
}) (*rulesReply, error) {
	r, err := s.rule(in.RuleArn)
	if err == nil {
		err = s.check(forwards(in.Actions))
	}
	if err != nil {
		return nil, err
	}
	r.forward = forwards(in.Actions)
	out := &rulesReply{}
	out.Rules.Member = []ruleXML{r.reply()}
	return out, nil
}

func (s *Service) describeRules(_ *kernel.Call, in *struct {
	ListenerArn, Marker string
	PageSize            int
	RuleArns            []string
}) (*rulesReply, error) {
	out := &rulesReply{}
	for _, arn := range in.RuleArns {
		r, err := s.rule(arn)
		if err != nil {
			return nil, err
		}
		out.Rules.Member = append(out.Rules.Member, r.reply())
	}
	if in.ListenerArn == "" {
		return out, nil
	}
	l, err := s.listener(in.ListenerArn)
	if err != nil {
		return nil, err
	}
	for _, r := range l.rules {
		out.Rules.Member = append(out.Rules.Member, r.reply())
	}
	return out, nil
}

// SetWeights has a rule, or a listener's default rule, forward as given.
func (s *Service) SetWeights(arn string, to ...Weight) error {
	if l, err := s.listener(arn); err == nil {
		l.rules[len(l.rules)-1].forward = to
		return nil
	}
	r, err := s.rule(arn)
	if err != nil {
		return fmt.Errorf("shift traffic: %w", err)
	}
	r.forward = to
	return nil
}

// Remove removes a load balancer, target group, listener or rule by ARN.
func (s *Service) Remove(arn string) {
	s.balancers = slices.DeleteFunc(s.balancers, func(b *balancer) bool { return b.arn == arn })
	s.groups = slices.DeleteFunc(s.groups, func(g *TargetGroup) bool { return g.ARN == arn })
	s.listeners = slices.DeleteFunc(s.listeners, func(l *listener) bool {
		return l.arn == arn || l.balancer.arn == arn
	})
	for _, l := range s.listeners {
		l.rules = slices.DeleteFunc(l.rules, func(r *rule) bool { return r.arn == arn })
	}
}
