package endpoints

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Subnet is a subnet that jobs of a set run in.
type Subnet struct {
	ID, VPC string
	// Zone is the Availability Zone's name, such as us-east-1a.
	Zone string
	// CIDR is the IPv4 block, such as 10.0.1.0/24.
	CIDR string
	// RouteTable is the table that the subnet uses, its own or the main one.
	RouteTable string
	// WayOut is the target of its default route, such as a NAT gateway; empty if it
	// has none.
	WayOut string
	// Free is the number of free addresses in it; 0 means unknown, below 0 means
	// none.
	Free int
}

// Endpoint is a VPC endpoint as EC2 describes it.
type Endpoint struct {
	ID string
	// Service is the endpoint service name, such as com.amazonaws.us-east-1.logs.
	Service string
	Type    Type
	// State is lower case: pending, available, deleting, failed ...
	State      string
	PrivateDNS bool
	// RouteTables are the tables that a gateway endpoint is attached to.
	RouteTables []string
	// Owned is true if the endpoint carries the owner tag of this set.
	Owned bool
	// Tags are the endpoint's tags; may be nil.
	Tags map[string]string
	// SecurityGroups and Subnets are those of an interface endpoint.
	SecurityGroups, Subnets []string
	// Policy is the endpoint policy as JSON; empty is full access.
	Policy string
	// RequesterManaged is true if an AWS service created it for the account;
	// Account is its owner.
	RequesterManaged bool
	Account          string
}

// VPC is what a plan has to know about a VPC before endpoints are created in
// it.
type VPC struct {
	ID           string
	DNSSupport   bool
	DNSHostnames bool
	Subnets      []Subnet
	// Offered maps each endpoint service name that the Region offers to the
	// zones in which it is offered. A gateway's zones do not count.
	Offered map[string][]string
	// Endpoints are all endpoints in the VPC that are not deleted.
	Endpoints []Endpoint
	// Zones are the Route 53 private hosted zones associated with the VPC, without
	// those owned by AWS services.
	Zones []HostedZone
	// SharedBy is the account that shares the subnets with this one; empty if they
	// are its own.
	SharedBy string
}

// HostedZone is a private hosted zone of Route 53.
type HostedZone struct {
	ID string
	// Name is the domain without a trailing dot.
	Name string
	// Account is its owner.
	Account string
}

// GatewayMode is where the S3 gateway endpoint belongs.
type GatewayMode string

// The gateway modes: permanent gateways are outside the endpoint stack (they
// are free, and adding one resets open connections); with set they are created
// and deleted with the set.
const (
	GatewayPermanent GatewayMode = "permanent"
	GatewaySet       GatewayMode = "set"
)

// Join merges the views of one VPC that were read for two sets.
func Join(a, b VPC) VPC {
	for _, s := range b.Subnets {
		if !slices.ContainsFunc(a.Subnets, func(x Subnet) bool { return x.ID == s.ID }) {
			a.Subnets = append(slices.Clone(a.Subnets), s)
		}
	}
	offered := map[string][]string{}
	for _, m := range []map[string][]string{a.Offered, b.Offered} {
		for name, zones := range m {
			offered[name] = zones
		}
	}
	a.Offered = offered
	return a
}

// Request is what a set needs from its VPC.
type Request struct {
	Region   string
	Services []Service
	// Zones is the number of zones to place interface endpoints in. An endpoint
	// in one zone serves the whole VPC; 0 means 1.
	Zones   int
	Gateway GatewayMode
	// Avoid are zones to be used only if no other will do: endpoints could not be
	// created there for lack of capacity.
	Avoid []string
}

// Adopted is a service that is already served by an endpoint or hosted zone
// that Drawbridge does not own.
type Adopted struct {
	Service ServiceID
	// Endpoint is the id of the endpoint or of the hosted zone, Why the reason that
	// it serves.
	Endpoint, Why string
}

// Skipped is another owner's endpoint that neither serves the service nor
// conflicts with ours.
type Skipped struct {
	Service       ServiceID
	Endpoint, Why string
}

// Plan is what to create. Planning twice gives the same plan, regardless of the
// order of the input.
type Plan struct {
	// Create are the services that the stack must contain, in order of ID.
	Create []Service
	// Adopt are the services that are served already, Skip those that only seem
	// to be.
	Adopt []Adopted
	Skip  []Skipped
	// Subnets are the endpoint subnets, one per zone. Elsewhere are those of
	// services that are not offered in all these zones.
	Subnets   []Subnet
	Elsewhere map[ServiceID][]Subnet
	// RouteTables are the existing route tables for gateways of the stack.
	RouteTables []string
}

// SubnetsOf returns the subnets of a service's interface endpoint.
func (p Plan) SubnetsOf(id ServiceID) []Subnet {
	if s, ok := p.Elsewhere[id]; ok {
		return s
	}
	return p.Subnets
}

// PerHour returns the endpoint-hours billed for one hour of the created endpoints.
func (p Plan) PerHour() int {
	n := 0
	for _, s := range p.Create {
		if s.Type == Interface {
			n += len(p.SubnetsOf(s.ID))
		}
	}
	return n
}

// PlanError reports what is wrong with a VPC or a set, and the remedy.
type PlanError struct{ What, Remedy string }

func (e *PlanError) Error() string { return e.What }

// Hint returns the remedy.
func (e *PlanError) Hint() string { return e.Remedy }

func refuse(remedy, format string, args ...any) *PlanError {
	return &PlanError{What: fmt.Sprintf(format, args...), Remedy: remedy}
}

// Make decides which endpoints a set needs in vpc in addition to the existing
// ones. It returns a *PlanError if they cannot be created in the VPC.
func Make(r Request, vpc VPC) (Plan, error) {
	if err := Check(vpc); err != nil {
		return Plan{}, err
	}
	var p Plan
	for _, s := range r.Services {
		name := s.Name(r.Region)
		if _, ok := vpc.Offered[name]; !ok {
			return Plan{}, refuse("leave "+string(s.ID)+" out of the set's services, or check the Region",
				"service %s (%s) is not offered in %s", s.ID, name, r.Region)
		}
		foreign, skipped, err := adoptable(s, r.Region, vpc)
		if err != nil {
			return Plan{}, err
		}
		p.Skip = append(p.Skip, skipped...)
		switch {
		case foreign != nil:
			p.Adopt = append(p.Adopt, *foreign)
		case s.Type == Gateway && r.Gateway != GatewaySet:
			return Plan{}, refuse("create a gateway endpoint for "+name+" on the route tables "+
				strings.Join(RouteTables(vpc.Subnets), ", ")+
				", or set s3Gateway: set", "no permanent %s gateway endpoint in %s", s.ID, vpc.ID)
		default:
			p.Create = append(p.Create, s)
		}
	}
	if vpc.SharedBy != "" && len(p.Create) > 0 {
		return Plan{}, refuse("install Drawbridge in account "+vpc.SharedBy+", or have it create endpoints for "+
			names(p.Create)+" there",
			"the subnets in %s are shared by account %s, and only the owner can create endpoints there",
			vpc.ID, vpc.SharedBy)
	}
	if err := p.place(r, vpc); err != nil {
		return Plan{}, err
	}
	p.RouteTables = RouteTables(vpc.Subnets)
	return p, nil
}

// Zones returns the zones that the interface endpoints go to.
func (p Plan) Zones() []string {
	var out []string
	for _, n := range p.Subnets {
		out = append(out, n.Zone)
	}
	return out
}

// Check returns an error if no endpoint with private DNS can be created in the
// VPC.
func Check(vpc VPC) error {
	if len(vpc.Subnets) == 0 {
		return refuse("name at least one subnet under sets.<name>.subnets", "the set has no subnets")
	}
	for _, s := range vpc.Subnets {
		if s.VPC != vpc.ID {
			return refuse("use subnets of one VPC in a set, and one set per VPC", "subnet %s is in %s, subnet %s in %s",
				vpc.Subnets[0].ID, vpc.Subnets[0].VPC, s.ID, s.VPC)
		}
	}
	for _, a := range []struct {
		on   bool
		name string
	}{{vpc.DNSSupport, "enableDnsSupport"}, {vpc.DNSHostnames, "enableDnsHostnames"}} {
		if !a.on {
			return refuse("turn it on: aws ec2 modify-vpc-attribute --vpc-id "+vpc.ID+" --"+kebab(a.name)+
				" '{\"Value\":true}'",
				"%s has %s off, which private DNS requires", vpc.ID, a.name)
		}
	}
	return nil
}

func kebab(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func names(services []Service) string {
	out := make([]string, len(services))
	for i, s := range services {
		out[i] = string(s.ID)
	}
	return strings.Join(out, ", ")
}

// adoptable returns the endpoint or zone of another owner that serves s in the
// whole VPC, or nil, and those that only seem to. An endpoint in creation or
// deletion, which holds the name without serving it, is an error.
func adoptable(s Service, region string, vpc VPC) (*Adopted, []Skipped, error) {
	var skipped []Skipped
	skip := func(e Endpoint, why string) { skipped = append(skipped, Skipped{s.ID, e.ID, why}) }
	for _, e := range vpc.Endpoints {
		if e.Owned || e.Service != s.Name(region) || e.Type != s.Type || e.State == "deleted" {
			continue
		}
		switch {
		case e.State == "failed" || e.State == "rejected" || e.State == "expired":
			skip(e, "it is "+e.State+" and does not serve")
		case s.Type == Gateway && (e.State != "available" || !Covers(e.RouteTables, RouteTables(vpc.Subnets))):
			skip(e, "it is not on all of the route tables "+strings.Join(RouteTables(vpc.Subnets), ", "))
		case s.Type == Interface && !e.PrivateDNS:
			skip(e, "its private DNS is off: it answers only to its own name and does not conflict with ours")
		case e.State != "available":
			return nil, nil, refuse("wait until "+e.ID+" is available or deleted, or leave "+string(s.ID)+
				" out of the set's services",
				"private DNS name %s in %s is taken by %s, which is %s and not ours", s.ID, vpc.ID, e.ID, e.State)
		default:
			return &Adopted{s.ID, e.ID, whose(e)}, skipped, nil
		}
	}
	if z, ok := vpc.zoneOf(s, region); ok {
		return &Adopted{
			s.ID, z.ID, fmt.Sprintf("the private hosted zone of account %s answers for %s here, and an endpoint "+
				"with private DNS would conflict with it", z.Account, z.Name),
		}, skipped, nil
	}
	return nil, skipped, nil
}

// zoneOf returns the private hosted zone that answers for a service in the VPC.
func (v VPC) zoneOf(s Service, region string) (HostedZone, bool) {
	name := strings.TrimPrefix(s.PrivateDNS(region), "*.")
	i := slices.IndexFunc(v.Zones, func(z HostedZone) bool { return name != "" && z.Name == name })
	if i < 0 {
		return HostedZone{}, false
	}
	return v.Zones[i], true
}

// whose describes the endpoint that already serves a service.
func whose(e Endpoint) string {
	switch {
	case e.Type == Gateway:
		return "it is on all route tables"
	case e.RequesterManaged:
		return "an AWS service created it and holds the name in the whole VPC; the service may delete it"
	}
	return "it holds the name in the whole VPC"
}

// Covers reports whether have contains all of want.
func Covers(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// RouteTables returns the route tables of subnets, each once, in order.
func RouteTables(subnets []Subnet) []string {
	var out []string
	for _, s := range subnets {
		if s.RouteTable != "" {
			out = append(out, s.RouteTable)
		}
	}
	sort.Strings(out)
	return slices.Compact(out)
}

// place chooses one subnet per zone, in the requested number of zones. It prefers zones
// that offer every service to create, have room and are not to be avoided. A
// service that is not offered in the chosen zones is placed where it is offered.
func (p *Plan) place(r Request, vpc VPC) error {
	subnets := onePerZone(vpc.Subnets, interfaces(p.Create))
	want := max(r.Zones, 1)
	if len(subnets) < want {
		return refuse("add a subnet in another zone, or reduce sets.<name>.zones",
			"the set's subnets cover too few zones (%d, want %d)", len(subnets), want)
	}
	lacks := func(n Subnet) []string { return lacking(r.Region, p.Create, vpc, n.Zone) }
	slices.SortStableFunc(subnets, func(a, b Subnet) int {
		if d := len(lacks(a)) - len(lacks(b)); d != 0 {
			return d
		}
		return reluctance(a, r, interfaces(p.Create)) - reluctance(b, r, interfaces(p.Create))
	})
	p.Subnets = slices.Clone(subnets[:want])
	slices.SortFunc(p.Subnets, func(a, b Subnet) int { return strings.Compare(a.Zone, b.Zone) })
	for _, s := range p.Create {
		offers := func(n Subnet) bool { return slices.Contains(vpc.Offered[s.Name(r.Region)], n.Zone) }
		if s.Type != Interface || !slices.ContainsFunc(p.Subnets, func(n Subnet) bool { return !offers(n) }) {
			continue
		}
		own := slices.DeleteFunc(slices.Clone(p.Subnets), func(n Subnet) bool { return !offers(n) })
		if i := slices.IndexFunc(subnets, offers); len(own) == 0 && i >= 0 {
			own = []Subnet{subnets[i]}
		}
		if len(own) == 0 {
			return refuse("add a subnet in one of the zones "+strings.Join(vpc.Offered[s.Name(r.Region)], ", ")+
				", or leave "+string(s.ID)+" out",
				"service %s is not offered in any zone of the set's subnets", s.ID)
		}
		if p.Elsewhere == nil {
			p.Elsewhere = map[ServiceID][]Subnet{}
		}
		p.Elsewhere[s.ID] = own
	}
	return nil
}

// interfaces counts the interface endpoints among services.
func interfaces(services []Service) int {
	n := 0
	for _, s := range services {
		if s.Type == Interface {
			n++
		}
	}
	return n
}

// full reports whether a subnet has no room for n endpoints.
func (s Subnet) full(n int) bool { return s.Free != 0 && s.Free < n }

// reluctance orders zones that offer the same services: those with room and
// without capacity problems come first.
func reluctance(n Subnet, r Request, endpoints int) int {
	cost := 0
	if n.full(endpoints) {
		cost += 2
	}
	if slices.Contains(r.Avoid, n.Zone) {
		cost++
	}
	return cost
}

// onePerZone returns one subnet per zone, with room for n endpoints if possible,
// in order of zone.
func onePerZone(all []Subnet, n int) []Subnet {
	subnets := slices.Clone(all)
	slices.SortFunc(subnets, func(a, b Subnet) int {
		switch {
		case a.Zone != b.Zone:
			return strings.Compare(a.Zone, b.Zone)
		case a.full(n) != b.full(n):
			return map[bool]int{true: 1, false: -1}[a.full(n)]
		}
		return strings.Compare(a.ID, b.ID)
	})
	return slices.CompactFunc(subnets, func(a, b Subnet) bool { return a.Zone == b.Zone })
}

func lacking(region string, create []Service, vpc VPC, zone string) []string {
	var out []string
	for _, s := range create {
		if s.Type == Interface && !slices.Contains(vpc.Offered[s.Name(region)], zone) {
			out = append(out, string(s.ID))
		}
	}
	return out
}
