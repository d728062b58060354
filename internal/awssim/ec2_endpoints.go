package awssim

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
)

// gatewayTakes is how long a gateway endpoint takes to come or go.
const gatewayTakes = 2 * time.Second

// failAfter is how long an endpoint is pending before it fails.
const failAfter = 20 * time.Second

func (s *Sim) endpoint(id string) *vpcEndpoint {
	return find(s.ec2.endpoints, func(e *vpcEndpoint) bool { return e.id == id })
}

// endpointSpec is what an endpoint is created from, by a call or by a stack.
type endpointSpec struct {
	service, kind, vpc, stack, policy, token string
	subnets, groups, tables                  []string
	privateDNS                               *bool
	tags                                     []tag
}

// addEndpoint creates an endpoint, or refuses as EC2 does.
func (s *Sim) addEndpoint(in endpointSpec) (*vpcEndpoint, error) {
	if id, ok := s.ec2.tokens[in.token]; ok && in.token != "" {
		return s.endpoint(id), nil
	}
	if in.kind == "" {
		in.kind = "Gateway"
	}
	if err := s.checkEndpoint(in); err != nil {
		return nil, err
	}
	e := &vpcEndpoint{
		id: "vpce-" + s.id("vpce", 17), service: in.service, kind: in.kind, vpc: in.vpc, stack: in.stack, subnets: in.subnets, groups: in.groups,
		tables: in.tables, privateDNS: in.kind == "Interface" && (in.privateDNS == nil || *in.privateDNS), policy: in.policy,
		created: s.clock.time(), tags: in.tags, clientToken: in.token,
	}
	if e.kind == "Interface" && len(e.groups) == 0 {
		e.groups = []string{find(s.ec2.groups, func(g *securityGroup) bool { return g.vpc == in.vpc && g.name == "default" }).id}
	}
	if in.token != "" {
		s.ec2.tokens[in.token] = e.id
	}
	s.ec2.tags[e.id] = in.tags
	s.ec2.endpoints = append(s.ec2.endpoints, e)
	s.growEndpoint(e)
	return e, nil
}

// growEndpoint plans how the endpoint becomes available, or fails.
func (s *Sim) growEndpoint(e *vpcEndpoint) {
	takes := gatewayTakes
	if e.kind == "Interface" {
		takes = s.options.Raise + s.delay("slow-create", 5*time.Minute)
		if _, stuck := s.faultOn("stuck-create"); stuck {
			e.pendingForever = true
			e.creation = s.clock.after(time.Minute, func() { // until the fault is off
				e.pendingForever = false
				s.growEndpoint(e)
			})
			return
		}
	}
	which, on := s.faultOn("fail-create")
	if s.zoneFull(e) || on && (which == "" && e.kind == "Interface" || which != "" && strings.HasSuffix(e.service, "."+which)) {
		e.creation = s.clock.after(failAfter, func() {
			e.failed, e.failure = true, "The endpoint could not be created for want of capacity in the zone"
			runAll(e.onFailed)
		})
		e.pendingForever = true
		return
	}
	e.available = latestOf(e.created.Add(takes), s.clock.time())
	e.creation = s.clock.at(e.available, func() { runAll(e.onAvailable) })
}

func runAll(fs []func()) {
	for _, f := range fs {
		f()
	}
}

func (s *Sim) checkEndpoint(in endpointSpec) error {
	zones, ok := s.ec2.offered[in.service]
	if !ok {
		return errf("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", in.service)
	}
	v := s.vpc(in.vpc)
	if v == nil {
		return errf("InvalidVpcId.NotFound", "The Vpc Id %s does not exist", in.vpc)
	}
	if in.kind == "Gateway" {
		return s.checkGateway(in)
	}
	if len(in.tables) > 0 {
		return errf("InvalidParameter", "Route table IDs are only supported for Gateway type VPC Endpoint.")
	}
	seen := map[string]bool{}
	for _, id := range in.subnets {
		n := s.subnet(id)
		switch {
		case n == nil || n.vpc != in.vpc:
			return errf("InvalidSubnetId.NotFound", "The subnet ID '%s' does not exist", id)
		case n.owner != "":
			return errf("UnauthorizedOperation", "This operation does not support shared VPCs.").status(http.StatusForbidden)
		case n.free < 1:
			return errf("InsufficientFreeAddressesInSubnet", "The subnet '%s' does not have enough free addresses to satisfy the request.", id)
		case seen[n.zone]:
			return errf("DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone of %s. VPC endpoint subnets should be in different availability zones supported by the VPC endpoint service.", id)
		case !slices.Contains(zones, n.zone):
			return errf("InvalidParameter", "The VPC endpoint service %s does not support the availability zone of the subnet: %s.", in.service, id)
		}
		seen[n.zone] = true
	}
	for _, id := range in.groups {
		if g := s.group(id); g == nil || g.vpc != in.vpc {
			return errf("InvalidSecurityGroupId.NotFound", "The security group '%s' does not exist", id)
		}
	}
	if in.privateDNS == nil || *in.privateDNS {
		return s.checkPrivateDNS(in, v)
	}
	return nil
}

// zoneFull says whether an endpoint goes where there is no capacity for it.
func (s *Sim) zoneFull(e *vpcEndpoint) bool {
	zone, on := s.faultOn("full-zone")
	return on && e.kind == "Interface" && slices.ContainsFunc(e.subnets, func(id string) bool {
		n := s.subnet(id)
		return n != nil && (zone == "" || n.zone == zone)
	})
}

func (s *Sim) checkGateway(in endpointSpec) error {
	if len(in.subnets) > 0 {
		return errf("InvalidParameter", "Subnet IDs are only supported for Interface and GatewayLoadBalancer type VPC Endpoints.")
	}
	for _, id := range in.tables {
		if t := s.table(id); t == nil || t.vpc != in.vpc {
			return errf("InvalidRouteTableId.NotFound", "The routeTable ID '%s' does not exist", id)
		}
		for _, e := range s.ec2.endpoints {
			if e.service == in.service && slices.Contains(e.tables, id) && e.state(s.clock.time()) != "" {
				return errf("RouteAlreadyExists", "route table %s already has a route with destination-prefix-list-id %s", id, s.prefixList(in.service))
			}
		}
	}
	return nil
}

func (s *Sim) checkPrivateDNS(in endpointSpec, v *vpc) error {
	if !v.dnsSupport || !v.dnsHostnames {
		return errf("InvalidParameter", "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for %s", v.id)
	}
	if s.zoneOf(in.service, in.vpc) != nil {
		return errf("InvalidParameter", "private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s", s.privateDNSName(in.service), in.vpc)
	}
	for _, e := range s.ec2.endpoints {
		if e.vpc == in.vpc && e.service == in.service && e.privateDNS && e.state(s.clock.time()) != "" {
			return errf("InvalidParameter", "private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s", s.privateDNSName(in.service), in.vpc)
		}
	}
	return nil
}

func (s *Sim) privateDNSName(service string) string {
	for _, svc := range endpoints.All() {
		if svc.Name(s.options.Region) == service {
			return svc.PrivateDNS(s.options.Region)
		}
	}
	return ""
}

// removeEndpoint begins the deletion of an endpoint. One that is being deleted
// stays as it is.
func (s *Sim) removeEndpoint(e *vpcEndpoint) {
	if !e.deleting.IsZero() {
		return
	}
	s.clock.cancel(e.creation)
	e.deleting = s.clock.time()
	takes := gatewayTakes
	if e.kind == "Interface" {
		takes = s.options.Lower + s.delay("slow-delete", 5*time.Minute)
	}
	s.ec2.changed()
	s.finishRemoval(e, takes)
}

// finishRemoval plans the end of a deletion, once it is not stuck any more.
func (s *Sim) finishRemoval(e *vpcEndpoint, takes time.Duration) {
	if _, stuck := s.faultOn("stuck-delete"); stuck && e.kind == "Interface" {
		e.deletingForEver = true
		e.removal = s.clock.after(time.Minute, func() { s.finishRemoval(e, takes) })
		return
	}
	e.deletingForEver = false
	e.deleted = latestOf(e.deleting.Add(takes), s.clock.time())
	e.removal = s.clock.at(e.deleted, func() { runAll(e.onDeleted) })
}

func latestOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// serving returns the usable endpoint by which a task with the given security
// groups in a subnet reaches the service at t, or nil.
func (s *Sim) serving(service string, sub *subnet, groups []string, t time.Time) *vpcEndpoint {
	v := s.vpc(sub.vpc)
	if s.zoneOf(service, sub.vpc) != nil {
		return &vpcEndpoint{}
	}
	for _, e := range s.ec2.endpoints {
		if e.service != service || e.vpc != sub.vpc || e.state(t) != "available" || !s.letsOut(groups, e) {
			continue
		}
		if e.kind == "Gateway" {
			if table := s.tableOf(sub); table != nil && slices.Contains(e.tables, table.id) {
				return e
			}
			continue
		}
		settled := e.availableAt(t).Add(s.delay("unsettled", time.Minute))
		if e.privateDNS && v.dnsSupport && v.dnsHostnames && !t.Before(settled) && s.letsIn(e.groups, sub, groups) {
			return e
		}
	}
	return nil
}

// httpsTo says whether a rule lets port 443 through between a security group and
// a network.
func (p permission) httpsTo(groups []string, network string) bool {
	if p.protocol != "-1" && (p.protocol != "tcp" || p.from > 443 || p.to < 443) {
		return false
	}
	if p.group != "" {
		return slices.Contains(groups, p.group)
	}
	outer, err := netip.ParsePrefix(p.cidr)
	inner, ierr := netip.ParsePrefix(network)
	return err == nil && ierr == nil && outer.Contains(inner.Addr()) && outer.Bits() <= inner.Bits()
}

// letsIn says whether any of an endpoint's groups lets port 443 in from a task.
func (s *Sim) letsIn(endpointGroups []string, sub *subnet, taskGroups []string) bool {
	for _, id := range endpointGroups {
		if g := s.group(id); g != nil && slices.ContainsFunc(g.ingress, func(p permission) bool { return p.httpsTo(taskGroups, sub.cidr) }) {
			return true
		}
	}
	return false
}

// letsOut says whether any of a task's groups lets port 443 out to an endpoint.
func (s *Sim) letsOut(taskGroups []string, e *vpcEndpoint) bool {
	for _, id := range taskGroups {
		g := s.group(id)
		if g == nil {
			continue
		}
		for _, p := range g.egress {
			if e.kind == "Gateway" {
				if p.prefixList == s.prefixList(e.service) || p.httpsTo(nil, "0.0.0.0/0") {
					return true
				}
				continue
			}
			for _, n := range e.subnets {
				if sub := s.subnet(n); sub != nil && p.httpsTo(e.groups, sub.cidr) {
					return true
				}
			}
		}
	}
	return false
}

// lets says whether the endpoint's policy lets an action on a resource pass, for a
// principal of the account or, with a URL that AWS signed itself, for another.
func (e *vpcEndpoint) lets(action, resource string, own bool) bool {
	if e.policy == "" {
		return true
	}
	var document map[string]any
	if json.Unmarshal([]byte(e.policy), &document) != nil {
		return true
	}
	allowed := false
	for _, m := range objects(document, "Statement") {
		hits := func(key, value string) bool {
			one, _ := m[key].(string)
			return slices.ContainsFunc(append(list(m, key), one), func(p string) bool { return wildcard(p, value) })
		}
		_, conditional := m["Condition"]
		if !hits("Action", action) || !hits("Resource", resource) || conditional && !own {
			continue
		}
		if text(m, "Effect") == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s *Sim) modifyVpcEndpoint(_ *call, in *struct {
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
	e := s.endpoint(in.VpcEndpointID)
	if e == nil || e.state(s.clock.time()) == "" {
		return nil, errf("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", in.VpcEndpointID)
	}
	if in.PolicyDocument != "" && !json.Valid([]byte(in.PolicyDocument)) {
		return nil, errf("InvalidPolicyDocument", "The policy document is not valid JSON")
	}
	if in.PolicyDocument != "" || in.ResetPolicy {
		e.policy = in.PolicyDocument
	}
	e.tables, e.groups = exchanged(e.tables, in.AddRouteTableID, in.RemoveRouteTableID), exchanged(e.groups, in.AddSecurityGroupID, in.RemoveSecurityGroupID)
	if in.PrivateDNSEnabled != nil {
		e.privateDNS = *in.PrivateDNSEnabled
	}
	s.ec2.changed()
	return yes, nil
}

// exchanged returns have with more and without gone.
func exchanged(have, more, gone []string) []string {
	out := slices.DeleteFunc(slices.Clone(have), func(x string) bool { return slices.Contains(gone, x) || slices.Contains(more, x) })
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
	ID         string             `xml:"vpcEndpointId"`
	Type       string             `xml:"vpcEndpointType"`
	VpcID      string             `xml:"vpcId"`
	Service    string             `xml:"serviceName"`
	State      string             `xml:"state"`
	Policy     string             `xml:"policyDocument"`
	Tables     texts              `xml:"routeTableIdSet"`
	Subnets    texts              `xml:"subnetIdSet"`
	Groups     items[groupRefXML] `xml:"groupSet"`
	PrivateDNS bool               `xml:"privateDnsEnabled"`
	Managed    bool               `xml:"requesterManaged"`
	Interfaces texts              `xml:"networkInterfaceIdSet"`
	DNS        items[dnsXML]      `xml:"dnsEntrySet"`
	Created    stamp              `xml:"creationTimestamp"`
	Tags       items[tag]         `xml:"tagSet"`
	OwnerID    string             `xml:"ownerId"`
	LastError  *lastErrorXML      `xml:"lastError"`
	Failure    string             `xml:"failureReason,omitempty"`
	ServiceReg string             `xml:"serviceRegion"`
}

func (s *Sim) endpointXML(e *vpcEndpoint, state string) endpointXML {
	x := endpointXML{
		ID: e.id, Type: e.kind, VpcID: e.vpc, Service: e.service, State: state, Policy: e.policy, Tables: texts{e.tables}, Subnets: texts{e.subnets},
		PrivateDNS: e.privateDNS, Managed: e.requesterManaged, Created: stamp{e.created}, Tags: items[tag]{e.tags}, OwnerID: s.options.Account, ServiceReg: s.options.Region,
	}
	if x.Policy == "" {
		x.Policy = `{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}`
	}
	if state == "failed" {
		x.LastError = &lastErrorXML{"InsufficientCapacity", e.failure}
		x.Failure = e.failure
	}
	if e.kind == "Interface" {
		for _, n := range e.subnets {
			x.Interfaces.Item = append(x.Interfaces.Item, interfaceID(s, e, n))
		}
		x.DNS.Item = append(x.DNS.Item, dnsXML{e.id + "-" + s.digest(e.id, 8) + "." + strings.TrimPrefix(e.service, "com.amazonaws.") + ".vpce.amazonaws.com", "Z7HUB22UULQXV"})
		if name := s.privateDNSName(e.service); e.privateDNS && name != "" {
			x.DNS.Item = append(x.DNS.Item, dnsXML{name, "Z" + strings.ToUpper(s.digest("zone"+name, 13))})
		}
	}
	for _, g := range e.groups {
		name := ""
		if group := s.group(g); group != nil {
			name = group.name
		}
		x.Groups.Item = append(x.Groups.Item, groupRefXML{g, name})
	}
	return x
}

func (s *Sim) createVpcEndpoint(_ *call, in *struct {
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
		return nil, errf("InvalidPolicyDocument", "The policy document is not valid JSON")
	}
	e, err := s.addEndpoint(endpointSpec{
		service: in.ServiceName, kind: in.VpcEndpointType, vpc: in.VpcID, policy: in.PolicyDocument, token: in.ClientToken, subnets: in.SubnetID,
		groups: in.SecurityGroupID, tables: in.RouteTableID, privateDNS: in.PrivateDNSEnabled, tags: tagsOf(in.TagSpecification),
	})
	if err != nil {
		return nil, err
	}
	return &struct {
		Endpoint    endpointXML `xml:"vpcEndpoint"`
		ClientToken string      `xml:"clientToken,omitempty"`
	}{s.endpointXML(e, e.state(s.clock.time())), in.ClientToken}, nil
}

func (s *Sim) describeVpcEndpoints(_ *call, in *struct {
	VpcEndpointID []string `query:"VpcEndpointId"`
	Filter        []filter
	pages
}) (*struct {
	Endpoints items[endpointXML] `xml:"vpcEndpointSet"`
}, error) {
	out := &struct {
		Endpoints items[endpointXML] `xml:"vpcEndpointSet"`
	}{}
	t := s.asOf()
	for _, id := range in.VpcEndpointID {
		if e := s.endpoint(id); e == nil || e.state(t) == "" {
			return nil, errf("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", id)
		}
	}
	for _, e := range s.ec2.endpoints {
		state := e.state(t)
		ok, err := matches(in.Filter, e.tags, map[string][]string{
			"vpc-id": {e.vpc}, "vpc-endpoint-id": {e.id}, "service-name": {e.service}, "vpc-endpoint-state": {state}, "vpc-endpoint-type": {e.kind},
		})
		if err != nil {
			return nil, err
		}
		if state != "" && ok && (len(in.VpcEndpointID) == 0 || slices.Contains(in.VpcEndpointID, e.id)) {
			out.Endpoints.Item = append(out.Endpoints.Item, s.endpointXML(e, state))
		}
	}
	return out, nil
}

type unsuccessfulXML struct {
	ResourceID string       `xml:"resourceId"`
	Error      lastErrorXML `xml:"error"`
}

func (s *Sim) deleteVpcEndpoints(_ *call, in *struct {
	VpcEndpointID []string `query:"VpcEndpointId"`
	DryRun        bool
}) (*struct {
	Unsuccessful items[unsuccessfulXML] `xml:"unsuccessful"`
}, error) {
	out := &struct {
		Unsuccessful items[unsuccessfulXML] `xml:"unsuccessful"`
	}{}
	for _, id := range in.VpcEndpointID {
		e := s.endpoint(id)
		if e == nil || e.state(s.clock.time()) == "" {
			out.Unsuccessful.Item = append(out.Unsuccessful.Item, unsuccessfulXML{id, lastErrorXML{"InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '" + id + "' does not exist"}})
			continue
		}
		s.removeEndpoint(e)
	}
	return out, nil
}

type serviceTypeXML struct {
	Type string `xml:"serviceType"`
}

type endpointServiceXML struct {
	Name    string                `xml:"serviceName"`
	ID      string                `xml:"serviceId"`
	Types   items[serviceTypeXML] `xml:"serviceType"`
	Zones   texts                 `xml:"availabilityZoneSet"`
	Owner   string                `xml:"owner"`
	Private string                `xml:"privateDnsName,omitempty"`
	Policy  bool                  `xml:"vpcEndpointPolicySupported"`
	Accept  bool                  `xml:"acceptanceRequired"`
	Manages bool                  `xml:"managesVpcEndpoints"`
	Region  string                `xml:"serviceRegion"`
}

func (s *Sim) describeEndpointServices(_ *call, in *struct {
	ServiceName   []string
	ServiceRegion []string
	Filter        []filter
	pages
}) (*struct {
	Names   texts                     `xml:"serviceNameSet"`
	Details items[endpointServiceXML] `xml:"serviceDetailSet"`
}, error) {
	out := &struct {
		Names   texts                     `xml:"serviceNameSet"`
		Details items[endpointServiceXML] `xml:"serviceDetailSet"`
	}{}
	for _, name := range in.ServiceName {
		if _, ok := s.ec2.offered[name]; !ok {
			return nil, errf("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", name)
		}
	}
	for _, svc := range endpoints.All() {
		name := svc.Name(s.options.Region)
		zones, ok := s.ec2.offered[name]
		if !ok || len(in.ServiceName) > 0 && !slices.Contains(in.ServiceName, name) {
			continue
		}
		kind := "Interface"
		if svc.Type == endpoints.Gateway {
			kind = "Gateway"
		}
		pass, err := matches(in.Filter, nil, map[string][]string{"service-name": {name}, "service-type": {kind}, "owner": {"amazon"}})
		if err != nil {
			return nil, err
		}
		if !pass {
			continue
		}
		out.Names.Item = append(out.Names.Item, name)
		out.Details.Item = append(out.Details.Item, endpointServiceXML{name, "vpce-svc-" + s.digest(name, 17), items[serviceTypeXML]{[]serviceTypeXML{{kind}}},
			texts{zones}, "amazon", svc.PrivateDNS(s.options.Region), svc.Policy, false, false, s.options.Region})
	}
	return out, nil
}

// WithholdService takes a service out of a zone, or of the Region if zone is "".
func (s *Sim) WithholdService(service, zone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if zone == "" {
		delete(s.ec2.offered, service)
		return
	}
	s.ec2.offered[service] = slices.DeleteFunc(slices.Clone(s.ec2.offered[service]), func(z string) bool { return z == zone })
}

type interfaceXML struct {
	ID          string           `xml:"networkInterfaceId"`
	SubnetID    string           `xml:"subnetId"`
	VpcID       string           `xml:"vpcId"`
	Zone        string           `xml:"availabilityZone"`
	Description string           `xml:"description"`
	OwnerID     string           `xml:"ownerId"`
	RequesterID string           `xml:"requesterId"`
	Managed     bool             `xml:"requesterManaged"`
	Status      string           `xml:"status"`
	Type        string           `xml:"interfaceType"`
	Address     string           `xml:"privateIpAddress"`
	Groups      items[groupRef]  `xml:"groupSet"`
	Addresses   items[addressIP] `xml:"privateIpAddressesSet"`
}

type groupRef struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type addressIP struct {
	Address string `xml:"privateIpAddress"`
	Primary bool   `xml:"primary"`
}

func interfaceID(s *Sim, e *vpcEndpoint, subnet string) string {
	return "eni-" + s.digest(e.id+subnet, 17)
}

// describeNetworkInterfaces knows the interfaces of endpoints alone.
func (s *Sim) describeNetworkInterfaces(_ *call, in *struct {
	Filter     []filter
	Interfaces []string `query:"NetworkInterfaceId"`
	MaxResults int
	NextToken  string
}) (*struct {
	Interfaces items[interfaceXML] `xml:"networkInterfaceSet"`
}, error) {
	out := &struct {
		Interfaces items[interfaceXML] `xml:"networkInterfaceSet"`
	}{}
	seen := map[string]bool{}
	for _, e := range s.ec2.endpoints {
		if e.kind != "Interface" || e.state(s.clock.time()) == "" {
			continue
		}
		for _, id := range e.subnets {
			n := s.subnet(id)
			x := interfaceXML{ID: interfaceID(s, e, id), SubnetID: id, VpcID: e.vpc, Description: "VPC Endpoint Interface " + e.id, OwnerID: s.options.Account, RequesterID: "amazon-vpce", Managed: true, Status: "in-use", Type: "vpc_endpoint"}
			if n != nil {
				x.Zone = n.zone
				// The first four addresses of a subnet are AWS's own.
				if block, err := netip.ParsePrefix(n.cidr); err == nil {
					a := block.Addr()
					for range 5 + int(s.digest(x.ID, 2)[0])%8 {
						a = a.Next()
					}
					x.Address = a.String()
					x.Addresses.Item = []addressIP{{x.Address, true}}
				}
			}
			for _, g := range e.groups {
				if group := s.group(g); group != nil {
					x.Groups.Item = append(x.Groups.Item, groupRef{g, group.name})
				}
			}
			ok, err := matches(in.Filter, nil, map[string][]string{
				"network-interface-id": {x.ID}, "subnet-id": {id}, "vpc-id": {e.vpc}, "group-id": e.groups, "description": {x.Description}, "interface-type": {x.Type}, "status": {x.Status},
				"attachment.instance-owner-id": {}, "attachment.instance-id": {}, "requester-managed": {"true"}, "requester-id": {x.RequesterID},
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
			return nil, errf("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
		}
	}
	return out, nil
}
