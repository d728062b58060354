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
	// Free is how many addresses are free in it.
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
	// Owned says that the endpoint carries the owner tag of this set.
	Owned bool
	// Tags are the endpoint's tags; may be nil.
	Tags map[string]string
	// SecurityGroups and Subnets are those of an interface endpoint.
	SecurityGroups, Subnets []string
	// Policy is the endpoint policy as JSON; empty is full access.
	Policy string
	// RequesterManaged says that a service of AWS made it for the account, Account
	// is whose it is.
	RequesterManaged bool
	Account          string
}

// VPC is what a plan has to know of a VPC before endpoints are made in it.
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
}

// GatewayMode says who keeps the S3 gateway endpoint.
type GatewayMode string

// The gateway modes: permanent gateways stand outside the endpoint stack
// (they are free, and adding one resets open connections); with set they live
// and die with the set.
const (
	GatewayPermanent GatewayMode = "permanent"
	GatewaySet       GatewayMode = "set"
)

// Join returns a VPC that was looked at for two sets as one.
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

// Request is what a set asks of its VPC.
type Request struct {
	Region   string
	Services []Service
	// Zones is how many zones to place interface endpoints in. An endpoint in
	// one zone serves the whole VPC; 0 means 1.
	Zones   int
	Gateway GatewayMode
}

// Adopted is a service that an endpoint of somebody else already serves.
type Adopted struct {
	Service  ServiceID
	Endpoint string
}

// Plan says what to create. Planning twice gives the same plan, whatever the
// order of the input.
type Plan struct {
	// Create are the services that the stack has to hold, in order of ID.
	Create []Service
	// Adopt are the services that are served already.
	Adopt []Adopted
	// Subnets are the endpoint subnets, one a zone.
	Subnets []Subnet
	// RouteTables are the existing tables for gateways of the stack.
	RouteTables []string
}

// PlanError says what is wrong with a VPC or a set, and what to do.
type PlanError struct{ What, Remedy string }

func (e *PlanError) Error() string { return e.What }

// Hint returns the remedy.
func (e *PlanError) Hint() string { return e.Remedy }

func refuse(remedy, format string, args ...any) *PlanError {
	return &PlanError{What: fmt.Sprintf(format, args...), Remedy: remedy}
}

// Make decides which endpoints a set needs in vpc beside those that are there.
// It returns a *PlanError if the VPC cannot hold them.
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
		foreign, err := adoptable(s, name, vpc)
		if err != nil {
			return Plan{}, err
		}
		switch {
		case foreign != "":
			p.Adopt = append(p.Adopt, Adopted{s.ID, foreign})
		case s.Type == Gateway && r.Gateway != GatewaySet:
			return Plan{}, refuse("create a gateway endpoint for "+name+" on the route tables "+strings.Join(RouteTables(vpc.Subnets), ", ")+
				", or set s3Gateway: set", "no permanent %s gateway endpoint in %s", s.ID, vpc.ID)
		default:
			p.Create = append(p.Create, s)
		}
	}
	var err error
	if p.Subnets, err = place(r, p.Create, vpc); err != nil {
		return Plan{}, err
	}
	p.RouteTables = RouteTables(vpc.Subnets)
	return p, nil
}

// Check reports what keeps any endpoint with private DNS out of the VPC.
func Check(vpc VPC) error {
	if len(vpc.Subnets) == 0 {
		return refuse("name at least one subnet under sets.<name>.subnets", "the set has no subnets")
	}
	for _, s := range vpc.Subnets {
		if s.VPC != vpc.ID {
			return refuse("use subnets of one VPC in a set, and one set a VPC", "subnet %s is in %s, subnet %s in %s", vpc.Subnets[0].ID, vpc.Subnets[0].VPC, s.ID, s.VPC)
		}
	}
	for _, a := range []struct {
		on   bool
		name string
	}{{vpc.DNSSupport, "enableDnsSupport"}, {vpc.DNSHostnames, "enableDnsHostnames"}} {
		if !a.on {
			return refuse("turn it on: aws ec2 modify-vpc-attribute --vpc-id "+vpc.ID+" --"+kebab(a.name)+" '{\"Value\":true}'",
				"%s has %s off, private DNS needs it", vpc.ID, a.name)
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

// adoptable returns the id of a foreign endpoint that serves s in the whole VPC,
// "" if there is none, and an error if a foreign endpoint blocks the name and
// does not serve it.
func adoptable(s Service, name string, vpc VPC) (string, error) {
	for _, e := range vpc.Endpoints {
		if e.Owned || e.Service != name || e.Type != s.Type || e.State == "deleted" {
			continue
		}
		if s.Type == Gateway {
			if e.State == "available" && Covers(e.RouteTables, RouteTables(vpc.Subnets)) {
				return e.ID, nil
			}
			continue
		}
		if !e.PrivateDNS {
			continue // it does not hold the name, so ours can stand beside it
		}
		if e.State != "available" {
			return "", refuse("wait until "+e.ID+" is available or deleted, or leave "+string(s.ID)+" out of the set's services",
				"private DNS name %s in %s is taken by %s, which is %s and not ours", s.ID, vpc.ID, e.ID, e.State)
		}
		return e.ID, nil
	}
	return "", nil
}

// Covers says whether have holds all of want.
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

// place chooses one subnet a zone, in order of zone and id, from the zones that
// every interface service to be created is offered in.
func place(r Request, create []Service, vpc VPC) ([]Subnet, error) {
	subnets := slices.Clone(vpc.Subnets)
	sort.Slice(subnets, func(i, j int) bool {
		if subnets[i].Zone != subnets[j].Zone {
			return subnets[i].Zone < subnets[j].Zone
		}
		return subnets[i].ID < subnets[j].ID
	})
	want := max(r.Zones, 1)
	var out []Subnet
	var missing []string
	for _, s := range subnets {
		if len(out) > 0 && out[len(out)-1].Zone == s.Zone {
			continue
		}
		if lacks := lacking(r.Region, create, vpc, s.Zone); len(lacks) > 0 {
			missing = append(missing, s.Zone+" lacks "+strings.Join(lacks, ", "))
			continue
		}
		if out = append(out, s); len(out) == want {
			return out, nil
		}
	}
	if len(out) == 0 || len(missing) > 0 {
		return nil, refuse("add a subnet in a zone that offers them, or leave the services out",
			"%d of %d zones for the set's endpoints: %s", len(out), want, strings.Join(slices.Compact(missing), "; "))
	}
	return nil, refuse("add a subnet in another zone, or lower sets.<name>.zones", "the set's subnets lie in %d zones, zones: %d is asked for", len(out), want)
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
