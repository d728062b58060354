package ec2

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/awssim/kernel"
)

// gatewayTakes is how long a gateway endpoint takes to be created or deleted.
const gatewayTakes = 2 * time.Second

// failAfter is how long an endpoint is pending before it fails.
const failAfter = 20 * time.Second

// Endpoint finds an endpoint by id, or nil.
func (s *Network) Endpoint(id string) *Endpoint {
	return kernel.Find(s.Endpoints, func(e *Endpoint) bool { return e.ID == id })
}

// EndpointSpec is the input for creating an endpoint, by a call or by a stack.
type EndpointSpec struct {
	Service, Kind, VPC, Stack, Policy, token string
	Subnets, Groups, Tables                  []string
	PrivateDNS                               *bool
	Tags                                     []Tag
}

// AddEndpoint creates an endpoint, or returns EC2's error.
func (s *Service) AddEndpoint(in EndpointSpec) (*Endpoint, error) {
	if id, ok := s.tokens[in.token]; ok && in.token != "" {
		return s.Endpoint(id), nil
	}
	if in.Kind == "" {
		in.Kind = "Gateway"
	}
	if err := s.checkEndpoint(in); err != nil {
		return nil, err
	}
	e := &Endpoint{
		ID: "vpce-" + s.NewID("vpce", 17), Service: in.Service, Kind: in.Kind, VPC: in.VPC, Stack: in.Stack,
		Subnets: in.Subnets, Groups: in.Groups, Tables: in.Tables,
		PrivateDNS: in.Kind == "Interface" && (in.PrivateDNS == nil || *in.PrivateDNS), policy: in.Policy,
		Tags: in.Tags, clientToken: in.token, Life: Life{Created: s.Clock.Now()},
	}
	if e.Kind == "Interface" && len(e.Groups) == 0 {
		e.Groups = []string{kernel.Find(s.Groups, func(g *SecurityGroup) bool {
			return g.VPC == in.VPC && g.Name == "default"
		}).ID}
	}
	if in.token != "" {
		s.tokens[in.token] = e.ID
	}
	s.Tags[e.ID] = in.Tags
	s.Endpoints = append(s.Endpoints, e)
	s.growEndpoint(e)
	return e, nil
}

// growEndpoint plans how the endpoint becomes available, or fails.
func (s *Service) growEndpoint(e *Endpoint) {
	takes := gatewayTakes
	if e.Kind == "Interface" {
		takes = s.Options.Raise + s.Delay("slow-create", 5*time.Minute)
		if _, stuck := s.FaultOn("stuck-create"); stuck {
			e.pendingForever = true
			e.creation = s.Clock.After(time.Minute, func() { // until the fault is off
				e.pendingForever = false
				s.growEndpoint(e)
			})
			return
		}
	}
	which, on := s.FaultOn("fail-create")
	if s.zoneFull(e) ||
		on && (which == "" && e.Kind == "Interface" || which != "" && strings.HasSuffix(e.Service, "."+which)) {
		e.creation = s.Clock.After(failAfter, func() {
			e.failed, e.Failure = true, "The endpoint could not be created for want of capacity in the zone"
			runAll(e.OnFailed)
		})
		e.pendingForever = true
		return
	}
	e.Available = latestOf(e.Created.Add(takes), s.Clock.Now())
	e.creation = s.Clock.At(e.Available, func() { runAll(e.OnAvailable) })
}

func runAll(fs []func()) {
	for _, f := range fs {
		f()
	}
}

func (s *Service) checkEndpoint(in EndpointSpec) error {
	zones, ok := s.offered[in.Service]
	if !ok {
		return kernel.Errorf("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", in.Service)
	}
	v := s.VPC(in.VPC)
	if v == nil {
		return kernel.Errorf("InvalidVpcId.NotFound", "The Vpc Id %s does not exist", in.VPC)
	}
	if in.Kind == "Gateway" {
		return s.checkGateway(in)
	}
	if len(in.Tables) > 0 {
		return kernel.Errorf("InvalidParameter", "Route table IDs are only supported for Gateway type VPC Endpoint.")
	}
	seen := map[string]bool{}
	for _, id := range in.Subnets {
		n := s.Subnet(id)
		switch {
		case n == nil || n.VPC != in.VPC:
			return kernel.Errorf("InvalidSubnetId.NotFound", "The subnet ID '%s' does not exist", id)
		case n.Owner != "":
			return kernel.Errorf("UnauthorizedOperation",
				"This operation does not support shared VPCs.").WithStatus(http.StatusForbidden)
		case n.Free < 1:
			return kernel.Errorf("InsufficientFreeAddressesInSubnet",
				"The subnet '%s' does not have enough free addresses to satisfy the request.", id)
		case seen[n.Zone]:
			return kernel.Errorf("DuplicateSubnetsInSameZone",
				"Found another VPC endpoint subnet in the availability zone of %s. VPC endpoint subnets should be "+
					"in different availability zones supported by the VPC endpoint service.", id)
		case !slices.Contains(zones, n.Zone):
			return kernel.Errorf("InvalidParameter",
				"The VPC endpoint service %s does not support the availability zone of the subnet: %s.", in.Service, id)
		}
		seen[n.Zone] = true
	}
	for _, id := range in.Groups {
		if g := s.Group(id); g == nil || g.VPC != in.VPC {
			return kernel.Errorf("InvalidSecurityGroupId.NotFound", "The security group '%s' does not exist", id)
		}
	}
	if in.PrivateDNS == nil || *in.PrivateDNS {
		return s.checkPrivateDNS(in, v)
	}
	return nil
}

// zoneFull reports whether one of the endpoint's zones has no capacity.
func (s *Service) zoneFull(e *Endpoint) bool {
	zone, on := s.FaultOn("full-zone")
	return on && e.Kind == "Interface" && slices.ContainsFunc(e.Subnets, func(id string) bool {
		n := s.Subnet(id)
		return n != nil && (zone == "" || n.Zone == zone)
	})
}

func (s *Service) checkGateway(in EndpointSpec) error {
	if len(in.Subnets) > 0 {
		return kernel.Errorf("InvalidParameter",
			"Subnet IDs are only supported for Interface and GatewayLoadBalancer type VPC Endpoints.")
	}
	for _, id := range in.Tables {
		if t := s.Table(id); t == nil || t.VPC != in.VPC {
			return kernel.Errorf("InvalidRouteTableId.NotFound", "The routeTable ID '%s' does not exist", id)
		}
		for _, e := range s.Endpoints {
			if e.Service == in.Service && slices.Contains(e.Tables, id) && e.State(s.Clock.Now()) != "" {
				return kernel.Errorf("RouteAlreadyExists",
					"route table %s already has a route with destination-prefix-list-id %s", id,
					s.PrefixList(in.Service))
			}
		}
	}
	return nil
}

func (s *Service) checkPrivateDNS(in EndpointSpec, v *vpc) error {
	if !v.DNSSupport || !v.DNSHostnames {
		return kernel.Errorf("InvalidParameter",
			"Enabling private DNS requires both enableDnsSupport and enableDnsHostnames "+
				"VPC attributes set to true for %s",
			v.ID)
	}
	if s.zoneOf(in.Service, in.VPC) != nil {
		return kernel.Errorf("InvalidParameter",
			"private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s",
			s.PrivateDNSName(in.Service), in.VPC)
	}
	for _, e := range s.Endpoints {
		if e.VPC == in.VPC && e.Service == in.Service && e.PrivateDNS && e.State(s.Clock.Now()) != "" {
			return kernel.Errorf("InvalidParameter",
				"private-dns-enabled cannot be set because there is already a conflicting DNS domain "+
					"for %s in the VPC %s",
				s.PrivateDNSName(in.Service), in.VPC)
		}
	}
	return nil
}

// PrivateDNSName returns the private DNS name of an endpoint service.
func (s *Service) PrivateDNSName(service string) string {
	for _, svc := range endpoints.All() {
		if svc.Name(s.Options.Region) == service {
			return svc.PrivateDNS(s.Options.Region)
		}
	}
	return ""
}

// RemoveEndpoint begins the deletion of an endpoint. One that is being deleted
// stays as it is.
func (s *Service) RemoveEndpoint(e *Endpoint) {
	if !e.Deleting.IsZero() {
		return
	}
	s.Clock.Cancel(e.creation)
	e.Deleting = s.Clock.Now()
	takes := gatewayTakes
	if e.Kind == "Interface" {
		takes = s.Options.Lower + s.Delay("slow-delete", 5*time.Minute)
	}
	s.Changed()
	s.finishRemoval(e, takes)
}

// finishRemoval schedules the end of a deletion, once it is no longer stuck.
func (s *Service) finishRemoval(e *Endpoint, takes time.Duration) {
	if _, stuck := s.FaultOn("stuck-delete"); stuck && e.Kind == "Interface" {
		e.deletingForEver = true
		e.removal = s.Clock.After(time.Minute, func() { s.finishRemoval(e, takes) })
		return
	}
	e.deletingForEver = false
	e.deleted = latestOf(e.Deleting.Add(takes), s.Clock.Now())
	e.removal = s.Clock.At(e.deleted, func() { runAll(e.OnDeleted) })
}

func latestOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Serving returns the usable endpoint by which a task with the given security
// groups in a subnet reaches the service at t, or nil.
func (s *Service) Serving(service string, sub *Subnet, groups []string, t time.Time) *Endpoint {
	v := s.VPC(sub.VPC)
	if s.zoneOf(service, sub.VPC) != nil {
		return &Endpoint{}
	}
	for _, e := range s.Endpoints {
		if e.Service != service || e.VPC != sub.VPC || e.State(t) != "available" || !s.letsOut(groups, e) {
			continue
		}
		if e.Kind == "Gateway" {
			if table := s.TableOf(sub); table != nil && slices.Contains(e.Tables, table.ID) {
				return e
			}
			continue
		}
		settled := e.AvailableAt(t).Add(s.Delay("unsettled", time.Minute))
		if e.PrivateDNS && v.DNSSupport && v.DNSHostnames && !t.Before(settled) &&
			s.letsIn(e.Groups, sub, groups) && !s.closed(sub.ID, e.Subnets) {
			return e
		}
	}
	return nil
}

// httpsTo reports whether a rule lets port 443 through between a security group
// and a network.
func (p Permission) httpsTo(groups []string, network string) bool {
	if p.Protocol != "-1" && (p.Protocol != "tcp" || p.From > 443 || p.To < 443) {
		return false
	}
	if p.Group != "" {
		return slices.Contains(groups, p.Group)
	}
	outer, err := netip.ParsePrefix(p.CIDR)
	inner, ierr := netip.ParsePrefix(network)
	return err == nil && ierr == nil && outer.Contains(inner.Addr()) && outer.Bits() <= inner.Bits()
}

// letsIn reports whether any of an endpoint's groups lets port 443 in from a
// task.
func (s *Service) letsIn(endpointGroups []string, sub *Subnet, taskGroups []string) bool {
	for _, id := range endpointGroups {
		if g := s.Group(id); g != nil && slices.ContainsFunc(g.Ingress, func(p Permission) bool {
			return p.httpsTo(taskGroups, sub.CIDR)
		}) {
			return true
		}
	}
	return false
}

// letsOut reports whether any of a task's groups lets port 443 out to an
// endpoint.
func (s *Service) letsOut(taskGroups []string, e *Endpoint) bool {
	for _, id := range taskGroups {
		g := s.Group(id)
		if g == nil {
			continue
		}
		for _, p := range g.Egress {
			if e.Kind == "Gateway" {
				if p.PrefixList == s.PrefixList(e.Service) || p.httpsTo(nil, "0.0.0.0/0") {
					return true
				}
				continue
			}
			for _, n := range e.Subnets {
				if sub := s.Subnet(n); sub != nil && p.httpsTo(e.Groups, sub.CIDR) {
					return true
				}
			}
		}
	}
	return false
}

// Lets reports whether the endpoint's policy allows an action on a resource,
// for a principal of the account or, with a URL signed by AWS itself, for
// another.
func (e *Endpoint) Lets(action, resource string, own bool) bool {
	if e.policy == "" {
		return true
	}
	var document map[string]any
	if json.Unmarshal([]byte(e.policy), &document) != nil {
		return true
	}
	allowed := false
	for _, m := range kernel.Objects(document, "Statement") {
		hits := func(key, value string) bool {
			one, _ := m[key].(string)
			return slices.ContainsFunc(append(kernel.Texts(m, key), one), func(p string) bool {
				return kernel.Wildcard(p, value)
			})
		}
		_, conditional := m["Condition"]
		if !hits("Action", action) || !hits("Resource", resource) || conditional && !own {
			continue
		}
		if kernel.Text(m, "Effect") == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s *Service) modifyVpcEndpoint(_ *kernel.Call, in *struct {
	VpcEndpointID         string `query:"VpcEndpointId"`
	ResetPolicy           bool
	PolicyDocument        string
	AddRouteTableID       []string `query:"AddRouteTableId"`
	RemoveRouteTableID    []string `query:"RemoveRouteTableId"`
	AddSecurityGroupID    []string `query:"AddSecurityGroupId"`
	RemoveSecurityGroupID []string `query:"RemoveSecurityGroupId"`
	PrivateDNSEnabled     *bool    `query:"PrivateDnsEnabled"`
	DryRun                bool
}) (*done, error) {
	e := s.Endpoint(in.VpcEndpointID)
	if e == nil || e.State(s.Clock.Now()) == "" {
		return nil, kernel.Errorf("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist",
			in.VpcEndpointID)
	}
	if in.PolicyDocument != "" && !json.Valid([]byte(in.PolicyDocument)) {
		return nil, kernel.Errorf("InvalidPolicyDocument", "The policy document is not valid JSON")
	}
	if in.PolicyDocument != "" || in.ResetPolicy {
		e.policy = in.PolicyDocument
	}
	e.Tables, e.Groups = exchanged(e.Tables, in.AddRouteTableID, in.RemoveRouteTableID), exchanged(e.Groups,
		in.AddSecurityGroupID, in.RemoveSecurityGroupID)
	if in.PrivateDNSEnabled != nil {
		e.PrivateDNS = *in.PrivateDNSEnabled
	}
	s.Changed()
	return yes, nil
}

// exchanged returns have plus more, minus gone.
func exchanged(have, more, gone []string) []string {
	out := slices.DeleteFunc(slices.Clone(have), func(x string) bool {
		return slices.Contains(gone, x) || slices.Contains(more, x)
	})
	return append(out, more...)
}

type dnsXML struct {
	Name string `xml:"dnsName"`
	Zone string `xml:"hostedZoneId"`
}

type groupRefXML struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type lastErrorXML struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type texts struct {
	Item []string `xml:"item"`
}

type endpointXML struct {
	ID         string                    `xml:"vpcEndpointId"`
	Type       string                    `xml:"vpcEndpointType"`
	VpcID      string                    `xml:"vpcId"`
	Service    string                    `xml:"serviceName"`
	State      string                    `xml:"state"`
	Policy     string                    `xml:"policyDocument"`
	Tables     texts                     `xml:"routeTableIdSet"`
	Subnets    texts                     `xml:"subnetIdSet"`
	Groups     kernel.Items[groupRefXML] `xml:"groupSet"`
	PrivateDNS bool                      `xml:"privateDnsEnabled"`
	Managed    bool                      `xml:"requesterManaged"`
	Interfaces texts                     `xml:"networkInterfaceIdSet"`
	DNS        kernel.Items[dnsXML]      `xml:"dnsEntrySet"`
	Created    kernel.Stamp              `xml:"creationTimestamp"`
	Tags       kernel.Items[Tag]         `xml:"tagSet"`
	OwnerID    string                    `xml:"ownerId"`
	LastError  *lastErrorXML             `xml:"lastError"`
	Failure    string                    `xml:"failureReason,omitempty"`
	ServiceReg string                    `xml:"serviceRegion"`
}

func (s *Service) endpointXML(e *Endpoint, state string) endpointXML {
	x := endpointXML{
		ID: e.ID, Type: e.Kind, VpcID: e.VPC, Service: e.Service, State: state, Policy: e.policy,
		Tables: texts{e.Tables}, Subnets: texts{e.Subnets},
		PrivateDNS: e.PrivateDNS, Managed: e.RequesterManaged, Created: kernel.Stamp{Time: e.Created},
		Tags: kernel.Items[Tag]{Item: e.Tags}, OwnerID: s.Options.Account, ServiceReg: s.Options.Region,
	}
	if x.Policy == "" {
		x.Policy = `{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}`
	}
	if state == "failed" {
		x.LastError = &lastErrorXML{"InsufficientCapacity", e.Failure}
		x.Failure = e.Failure
	}
	if e.Kind == "Interface" {
		for _, n := range e.Subnets {
			x.Interfaces.Item = append(x.Interfaces.Item, interfaceID(s, e, n))
		}
		x.DNS.Item = append(x.DNS.Item, dnsXML{
			e.ID + "-" + s.Digest(e.ID, 8) + "." + strings.TrimPrefix(e.Service, "com.amazonaws.") +
				".vpce.amazonaws.com", "Z7HUB22UULQXV",
		})
		if name := s.PrivateDNSName(e.Service); e.PrivateDNS && name != "" {
			x.DNS.Item = append(x.DNS.Item, dnsXML{name, "Z" + strings.ToUpper(s.Digest("zone"+name, 13))})
		}
	}
	for _, g := range e.Groups {
		name := ""
		if group := s.Group(g); group != nil {
			name = group.Name
		}
		x.Groups.Item = append(x.Groups.Item, groupRefXML{g, name})
	}
	return x
}

func (s *Service) createVpcEndpoint(_ *kernel.Call, in *struct {
	VpcID             string `query:"VpcId"`
	VpcEndpointType   string
	ServiceName       string
	PolicyDocument    string
	RouteTableID      []string `query:"RouteTableId"`
	SubnetID          []string `query:"SubnetId"`
	SecurityGroupID   []string `query:"SecurityGroupId"`
	PrivateDNSEnabled *bool    `query:"PrivateDnsEnabled"`
	TagSpecification  []tagSpec
	ClientToken       string
	IPAddressType     string `query:"IpAddressType"`
	DryRun            bool
}) (*struct {
	Endpoint    endpointXML `xml:"vpcEndpoint"`
	ClientToken string      `xml:"clientToken,omitempty"`
}, error) {
	if in.PolicyDocument != "" && !json.Valid([]byte(in.PolicyDocument)) {
		return nil, kernel.Errorf("InvalidPolicyDocument", "The policy document is not valid JSON")
	}
	e, err := s.AddEndpoint(EndpointSpec{
		Service: in.ServiceName, Kind: in.VpcEndpointType, VPC: in.VpcID, Policy: in.PolicyDocument,
		token: in.ClientToken, Subnets: in.SubnetID,
		Groups: in.SecurityGroupID, Tables: in.RouteTableID, PrivateDNS: in.PrivateDNSEnabled,
		Tags: tagsOf(in.TagSpecification),
	})
	if err != nil {
		return nil, err
	}
	return &struct {
		Endpoint    endpointXML `xml:"vpcEndpoint"`
		ClientToken string      `xml:"clientToken,omitempty"`
	}{s.endpointXML(e, e.State(s.Clock.Now())), in.ClientToken}, nil
}

func (s *Service) describeVpcEndpoints(_ *kernel.Call, in *struct {
	VpcEndpointID []string `query:"VpcEndpointId"`
	Filter        []filter
	pages
}) (*struct {
	Endpoints kernel.Items[endpointXML] `xml:"vpcEndpointSet"`
}, error) {
	out := &struct {
		Endpoints kernel.Items[endpointXML] `xml:"vpcEndpointSet"`
	}{}
	t := s.AsOf()
	for _, id := range in.VpcEndpointID {
		if e := s.Endpoint(id); e == nil || e.State(t) == "" {
			return nil, kernel.Errorf("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", id)
		}
	}
	for _, e := range s.Endpoints {
		state := e.State(t)
		ok, err := matches(in.Filter, e.Tags, map[string][]string{
			"vpc-id": {e.VPC}, "vpc-endpoint-id": {e.ID}, "service-name": {e.Service}, "vpc-endpoint-state": {state},
			"vpc-endpoint-type": {e.Kind},
		})
		if err != nil {
			return nil, err
		}
		if state != "" && ok && (len(in.VpcEndpointID) == 0 || slices.Contains(in.VpcEndpointID, e.ID)) {
			out.Endpoints.Item = append(out.Endpoints.Item, s.endpointXML(e, state))
		}
	}
	return out, nil
}

type unsuccessfulXML struct {
	ResourceID string       `xml:"resourceId"`
	Error      lastErrorXML `xml:"error"`
}

func (s *Service) deleteVpcEndpoints(_ *kernel.Call, in *struct {
	VpcEndpointID []string `query:"VpcEndpointId"`
	DryRun        bool
}) (*struct {
	Unsuccessful kernel.Items[unsuccessfulXML] `xml:"unsuccessful"`
}, error) {
	out := &struct {
		Unsuccessful kernel.Items[unsuccessfulXML] `xml:"unsuccessful"`
	}{}
	for _, id := range in.VpcEndpointID {
		e := s.Endpoint(id)
		if e == nil || e.State(s.Clock.Now()) == "" {
			out.Unsuccessful.Item = append(out.Unsuccessful.Item, unsuccessfulXML{
				id, lastErrorXML{"InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '" + id + "' does not exist"},
			})
			continue
		}
		s.RemoveEndpoint(e)
	}
	return out, nil
}

type serviceTypeXML struct {
	Type string `xml:"serviceType"`
}

type endpointServiceXML struct {
	Name    string                       `xml:"serviceName"`
	ID      string                       `xml:"serviceId"`
	Types   kernel.Items[serviceTypeXML] `xml:"serviceType"`
	Zones   texts                        `xml:"availabilityZoneSet"`
	Owner   string                       `xml:"owner"`
	Private string                       `xml:"privateDnsName,omitempty"`
	Policy  bool                         `xml:"vpcEndpointPolicySupported"`
	Accept  bool                         `xml:"acceptanceRequired"`
	Manages bool                         `xml:"managesVpcEndpoints"`
	Region  string                       `xml:"serviceRegion"`
}

func (s *Service) describeEndpointServices(_ *kernel.Call, in *struct {
	ServiceName   []string
	ServiceRegion []string
	Filter        []filter
	pages
}) (*struct {
	Names   texts                            `xml:"serviceNameSet"`
	Details kernel.Items[endpointServiceXML] `xml:"serviceDetailSet"`
}, error) {
	out := &struct {
		Names   texts                            `xml:"serviceNameSet"`
		Details kernel.Items[endpointServiceXML] `xml:"serviceDetailSet"`
	}{}
	for _, name := range in.ServiceName {
		if _, ok := s.offered[name]; !ok {
			return nil, kernel.Errorf("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", name)
		}
	}
	for _, svc := range endpoints.All() {
		name := svc.Name(s.Options.Region)
		zones, ok := s.offered[name]
		if !ok || len(in.ServiceName) > 0 && !slices.Contains(in.ServiceName, name) {
			continue
		}
		kind := "Interface"
		if svc.Type == endpoints.Gateway {
			kind = "Gateway"
		}
		pass, err := matches(in.Filter, nil, map[string][]string{
			"service-name": {name}, "service-type": {kind}, "owner": {"amazon"},
		})
		if err != nil {
			return nil, err
		}
		if !pass {
			continue
		}
		out.Names.Item = append(out.Names.Item, name)
		out.Details.Item = append(out.Details.Item,
			endpointServiceXML{name, "vpce-svc-" + s.Digest(name, 17),
				kernel.Items[serviceTypeXML]{Item: []serviceTypeXML{{kind}}},
				texts{zones}, "amazon", svc.PrivateDNS(s.Options.Region), svc.Policy, false, false, s.Options.Region})
	}
	return out, nil
}

// WithholdService takes a service out of a zone, or of the Region if zone is "".
func (s *Service) WithholdService(service, zone string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if zone == "" {
		delete(s.offered, service)
		return
	}
	s.offered[service] = slices.DeleteFunc(slices.Clone(s.offered[service]), func(z string) bool { return z == zone })
}

type interfaceXML struct {
	ID          string                  `xml:"networkInterfaceId"`
	SubnetID    string                  `xml:"subnetId"`
	VpcID       string                  `xml:"vpcId"`
	Zone        string                  `xml:"availabilityZone"`
	Description string                  `xml:"description"`
	OwnerID     string                  `xml:"ownerId"`
	RequesterID string                  `xml:"requesterId"`
	Managed     bool                    `xml:"requesterManaged"`
	Status      string                  `xml:"status"`
	Type        string                  `xml:"interfaceType"`
	Address     string                  `xml:"privateIpAddress"`
	Groups      kernel.Items[groupRef]  `xml:"groupSet"`
	Addresses   kernel.Items[addressIP] `xml:"privateIpAddressesSet"`
}

type groupRef struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type addressIP struct {
	Address string `xml:"privateIpAddress"`
	Primary bool   `xml:"primary"`
}

func interfaceID(s *Service, e *Endpoint, subnet string) string {
	return "eni-" + s.Digest(e.ID+subnet, 17)
}

// interfaceOf returns the network interface of an endpoint in a subnet.
func (s *Service) interfaceOf(e *Endpoint, subnet string) interfaceXML {
	x := interfaceXML{
		ID: interfaceID(s, e, subnet), SubnetID: subnet, VpcID: e.VPC, Description: "VPC Endpoint Interface " + e.ID,
		OwnerID: s.Options.Account, RequesterID: "amazon-vpce", Managed: true, Status: "in-use",
		Type: "vpc_endpoint",
	}
	if n := s.Subnet(subnet); n != nil {
		x.Zone = n.Zone
		// The first four addresses of a subnet are AWS's own.
		if block, err := netip.ParsePrefix(n.CIDR); err == nil {
			a := block.Addr()
			for range 5 + int(s.Digest(x.ID, 2)[0])%8 {
				a = a.Next()
			}
			x.Address = a.String()
			x.Addresses.Item = []addressIP{{x.Address, true}}
		}
	}
	for _, g := range e.Groups {
		if group := s.Group(g); group != nil {
			x.Groups.Item = append(x.Groups.Item, groupRef{g, group.Name})
		}
	}
	return x
}

// describeNetworkInterfaces knows only the interfaces of endpoints.
func (s *Service) describeNetworkInterfaces(_ *kernel.Call, in *struct {
	Filter     []filter
	Interfaces []string `query:"NetworkInterfaceId"`
	MaxResults int
	NextToken  string
}) (*struct {
	Interfaces kernel.Items[interfaceXML] `xml:"networkInterfaceSet"`
}, error) {
	out := &struct {
		Interfaces kernel.Items[interfaceXML] `xml:"networkInterfaceSet"`
	}{}
	seen := map[string]bool{}
	for _, e := range s.Endpoints {
		if e.Kind != "Interface" || e.State(s.Clock.Now()) == "" {
			continue
		}
		for _, id := range e.Subnets {
			x := s.interfaceOf(e, id)
			ok, err := matches(in.Filter, nil, map[string][]string{
				"network-interface-id": {x.ID}, "subnet-id": {id}, "vpc-id": {e.VPC}, "group-id": e.Groups,
				"description": {x.Description}, "interface-type": {x.Type}, "status": {x.Status},
				"attachment.instance-owner-id": {}, "attachment.instance-id": {}, "requester-managed": {"true"},
				"requester-id": {x.RequesterID},
			})
			if err != nil {
				return nil, err
			}
			if ok && (len(in.Interfaces) == 0 || slices.Contains(in.Interfaces, x.ID)) {
				seen[x.ID] = true
				out.Interfaces.Item = append(out.Interfaces.Item, x)
			}
		}
	}
	for _, id := range in.Interfaces {
		if !seen[id] && len(in.Filter) == 0 {
			return nil, kernel.Errorf("InvalidNetworkInterfaceID.NotFound",
				"The networkInterface ID '%s' does not exist", id)
		}
	}
	return out, nil
}
