package elbv2

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// TargetGroup is a target group with its targets.
type TargetGroup struct {
	ARN, Name, path, matcher, vpc string
	port                          int
	targets                       []*Target
	leaving                       []leaving
	next                          int
}

// leaving is a target that was taken out of its group, and is shown until its requests have
// had their time.
type leaving struct {
	target *Target
	until  time.Time
}

// drainTakes is the default of deregistration_delay.timeout_seconds.
const drainTakes = 5 * time.Minute

// Target is what answers at an address.
type Target struct {
	IP   string
	Port int
	// Registered is when it joined its group: it is healthy a while after.
	Registered time.Time
	// Answer answers a request; it is called with the simulation's lock held.
	Answer func(path string) (status int, body string)
	// Address is the host and port of the local program that the target is; empty for none.
	Address string
}

// healthTakes is how long a target's health checks take until it counts as healthy.
const healthTakes = 10 * time.Second

// Group finds a target group by ARN or name, or nil.
func (s *Service) Group(given string) *TargetGroup {
	return kernel.Find(s.groups, func(g *TargetGroup) bool { return g.ARN == given || g.Name == given })
}

// Register adds a target to a group.
func (s *Service) Register(group string, t *Target) {
	if g := s.Group(group); g != nil {
		t.Registered = s.Clock.Now()
		g.targets = append(g.targets, t)
	}
}

// Deregister takes a target out of a group.
func (s *Service) Deregister(group string, t *Target) {
	if g := s.Group(group); g != nil {
		g.targets = slices.DeleteFunc(g.targets, func(x *Target) bool { return x == t })
		g.leaving = append(g.leaving, leaving{t, s.Clock.Now().Add(drainTakes)})
	}
}

type groupsReply struct {
	Groups kernel.Members[groupXML] `xml:"TargetGroups"`
}

type groupXML struct {
	ARN       string                 `xml:"TargetGroupArn"`
	Name      string                 `xml:"TargetGroupName"`
	Protocol  string                 `xml:"Protocol"`
	Port      int                    `xml:"Port"`
	VPC       string                 `xml:"VpcId"`
	Type      string                 `xml:"TargetType"`
	Path      string                 `xml:"HealthCheckPath"`
	Matcher   string                 `xml:"Matcher>HttpCode"`
	Balancers kernel.Members[string] `xml:"LoadBalancerArns"`
	// Full is the name in metrics, which CloudFormation alone shows.
	Full string `xml:"-"`
}

func (s *Service) groupXML(g *TargetGroup) groupXML {
	out := groupXML{
		ARN: g.ARN, Name: g.Name, Protocol: "HTTP", Port: g.port, VPC: g.vpc, Type: "ip", Path: g.path,
		Matcher: g.matcher,
		Full:    g.ARN[strings.LastIndex(g.ARN, ":")+1:],
	}
	for _, l := range s.listeners {
		for _, r := range l.rules {
			if slices.ContainsFunc(r.forward, func(w Weight) bool { return w.TargetGroupArn == g.ARN }) &&
				!slices.Contains(out.Balancers.Member, l.balancer.arn) {
				out.Balancers.Member = append(out.Balancers.Member, l.balancer.arn)
			}
		}
	}
	return out
}

func (s *Service) createGroup(_ *kernel.Call, in *struct {
	Name, Protocol, TargetType, HealthCheckPath, HealthCheckProtocol string
	VpcID                                                            string `query:"VpcId"`
	Port                                                             int
	Matcher                                                          struct {
		HTTPCode string `query:"HttpCode"`
	}
	Tags []kernel.Tag
}) (*groupsReply, error) {
	if s.Group(in.Name) != nil {
		return nil, kernel.Errorf("DuplicateTargetGroupName",
			"A target group with the same name '%s' exists, but with different settings", in.Name)
	}
	g := &TargetGroup{
		ARN: s.arn("targetgroup", in.Name+"/"+s.NewID("targetgroup", 16)), Name: in.Name, path: in.HealthCheckPath,
		matcher: in.Matcher.HTTPCode, vpc: in.VpcID, port: in.Port,
	}
	if g.path == "" {
		g.path = "/"
	}
	if g.matcher == "" {
		g.matcher = "200"
	}
	s.groups = append(s.groups, g)
	out := &groupsReply{}
	out.Groups.Member = []groupXML{s.groupXML(g)}
	return out, nil
}

func (s *Service) describeGroups(_ *kernel.Call, in *struct {
	LoadBalancerArn, Marker string
	TargetGroupArns, Names  []string
	PageSize                int
}) (*groupsReply, error) {
	out := &groupsReply{}
	for _, g := range s.groups {
		if (len(in.TargetGroupArns) == 0 || slices.Contains(in.TargetGroupArns, g.ARN)) &&
			(len(in.Names) == 0 || slices.Contains(in.Names, g.Name)) {
			out.Groups.Member = append(out.Groups.Member, s.groupXML(g))
		}
	}
	return out, nil
}

type healthXML struct {
	ID          string `xml:"Target>Id"`
	Port        int    `xml:"Target>Port"`
	State       string `xml:"TargetHealth>State"`
	Reason      string `xml:"TargetHealth>Reason,omitempty"`
	Description string `xml:"TargetHealth>Description,omitempty"`
}

// health is what a group's checks say of a target: its state, and why where it is not
// healthy.
func (s *Service) health(g *TargetGroup, t *Target) (state, reason string) {
	if s.Clock.Now().Sub(t.Registered) < healthTakes {
		return "initial", "Elb.RegistrationInProgress"
	}
	status, _ := t.Answer(g.path)
	if !fits(g.matcher, status) {
		return "unhealthy", "Target.ResponseCodeMismatch"
	}
	return "healthy", ""
}

// Healthy reports whether a target of a group is healthy.
func (s *Service) Healthy(group string, t *Target) bool {
	g := s.Group(group)
	if g == nil {
		return true
	}
	state, _ := s.health(g, t)
	return state == "healthy"
}

// fits reports whether a status is among those of a matcher, such as 200-299,301.
func fits(matcher string, status int) bool {
	for _, part := range strings.Split(matcher, ",") {
		from, to, is := strings.Cut(part, "-")
		if !is {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA == nil && errB == nil && a <= status && status <= b {
			return true
		}
	}
	return false
}

func (s *Service) describeHealth(_ *kernel.Call, in *struct {
	TargetGroupArn string
	Include        []string
}) (*struct {
	Targets kernel.Members[healthXML] `xml:"TargetHealthDescriptions"`
}, error) {
	g := s.Group(in.TargetGroupArn)
	if g == nil {
		return nil, kernel.Errorf("TargetGroupNotFound", "One or more target groups not found")
	}
	out := &struct {
		Targets kernel.Members[healthXML] `xml:"TargetHealthDescriptions"`
	}{}
	used := len(s.groupXML(g).Balancers.Member) > 0
	for _, t := range g.targets {
		state, reason := s.health(g, t)
		if !used {
			state, reason = "unused", "Target.NotInUse"
		}
		out.Targets.Member = append(out.Targets.Member, healthXML{ID: t.IP, Port: t.Port, State: state, Reason: reason})
	}
	now := s.Clock.Now()
	g.leaving = slices.DeleteFunc(g.leaving, func(l leaving) bool { return !now.Before(l.until) })
	for _, l := range g.leaving {
		if used {
			out.Targets.Member = append(out.Targets.Member, healthXML{
				ID: l.target.IP, Port: l.target.Port, State: "draining", Reason: "Target.DeregistrationInProgress",
			})
		}
	}
	return out, nil
}

// Carry answers a request to a load balancer or to a target, by host and port; nil for
// another host. A target that is a local program gets the request as it is.
func (s *Service) Carry(r *http.Request) *http.Response {
	s.Mu.Lock()
	t, known := s.targetOf(r)
	if !known {
		s.Mu.Unlock()
		return nil
	}
	a := answer{http.StatusServiceUnavailable, "503 Service Temporarily Unavailable"}
	if t != nil && t.Address == "" {
		a.status, a.body = t.Answer(r.URL.Path)
	}
	s.Mu.Unlock()
	if t == nil || t.Address == "" {
		return reply(r, a)
	}
	on := r.Clone(r.Context())
	on.URL.Host, on.RequestURI = t.Address, ""
	on.Header.Set("X-Forwarded-For", "127.0.0.1")
	res, err := direct.RoundTrip(on)
	if err != nil {
		return reply(r, answer{http.StatusBadGateway, "502 Bad Gateway"})
	}
	return res
}

// direct carries requests to local programs.
var direct = &http.Transport{DisableKeepAlives: true}

// targetOf returns the target that answers a request, nil without a healthy one. The host is
// known if it is a load balancer or a target.
func (s *Service) targetOf(r *http.Request) (t *Target, known bool) {
	host, port, err := net.SplitHostPort(r.URL.Host)
	if err != nil {
		host, port = r.URL.Host, "80"
	}
	n, _ := strconv.Atoi(port) // 0 is the port of nothing
	s.carried++
	for _, l := range s.listeners {
		if strings.EqualFold(l.balancer.dns, host) && l.port == n {
			return s.balanced(l, r.URL.Path), true
		}
	}
	t = s.Direct(host)
	return t, t != nil
}

type answer struct {
	status int
	body   string
}

// balanced returns the target that answers, by the rule that fits and its weights; nil where
// a group has none that is healthy.
func (s *Service) balanced(l *listener, path string) *Target {
	r := l.rules[len(l.rules)-1]
	for _, x := range l.rules {
		if slices.ContainsFunc(x.paths, func(p string) bool { return kernel.Wildcard(p, path) }) {
			r = x
			break
		}
	}
	total := 0
	for _, w := range r.forward {
		total += w.Weight
	}
	if total == 0 {
		return nil
	}
	at := s.carried * 61 % total // spread over the weights
	for _, w := range r.forward {
		if at -= w.Weight; at < 0 {
			return s.fromGroup(s.Group(w.TargetGroupArn))
		}
	}
	return nil
}

func (s *Service) fromGroup(g *TargetGroup) *Target {
	for range g.targets {
		g.next++
		t := g.targets[g.next%len(g.targets)]
		if state, _ := s.health(g, t); state == "healthy" {
			return t
		}
	}
	return nil
}

func reply(r *http.Request, a answer) *http.Response {
	return &http.Response{
		StatusCode: a.status, Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), Proto: "HTTP/1.1",
		ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"text/plain"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}
}
