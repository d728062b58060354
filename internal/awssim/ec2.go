package awssim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
)

type ec2State struct {
	vpcs        []*vpc
	subnets     []*subnet
	tables      []*routeTable
	groups      []*securityGroup
	endpoints   []*vpcEndpoint
	offered     map[string][]string // endpoint service name -> zones
	hostedZones []*hostedZone
	tags        map[string][]tag
	tokens      map[string]string
	changed     func()                 // is called when the network or an endpoint has changed
	networkRefs func(group string) int // tasks' network interfaces that use a group
}

type vpc struct {
	id, cidr                 string
	dnsSupport, dnsHostnames bool
}

// subnet belongs to the account, unless owner names another that shares it. free
// is how many addresses it has left.
type subnet struct {
	id, vpc, zone, cidr, owner string
	free                       int
}

// freeAddresses is how many addresses a block of 256 has for networks of its own.
const freeAddresses = 251

type routeTable struct {
	id, vpc string
	main    bool
	subnets []string
	routes  []route
}

type route struct{ destination, target string }

type securityGroup struct {
	id, vpc, name, description string
	ingress, egress            []permission
}

// permission is one rule of a security group: one source each.
type permission struct {
	protocol, cidr, group, prefixList, description string
	from, to                                       int
	id                                             string // of a rule that is a resource of its own
}

type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// vpcEndpoint keeps its whole life; its state at an instant follows from it.
type vpcEndpoint struct {
	id, service, kind, vpc, stack    string
	subnets, groups, tables          []string
	privateDNS                       bool
	policy                           string
	created, available, deleting     time.Time
	deleted                          time.Time // planned while deleting
	failed                           bool
	failure                          string
	requesterManaged                 bool
	pendingForever, deletingForEver  bool
	tags                             []tag
	clientToken                      string
	creation, removal                *event
	onAvailable, onDeleted, onFailed []func()
}

func (e *vpcEndpoint) availableAt(now time.Time) time.Time {
	if e.pendingForever || e.failed || e.available.After(now) || !e.deleting.IsZero() && e.available.After(e.deleting) {
		return time.Time{}
	}
	return e.available
}

func (e *vpcEndpoint) deletedAt(now time.Time) time.Time {
	if e.deleting.IsZero() || e.deletingForEver || e.deleted.After(now) {
		return time.Time{}
	}
	return e.deleted
}

// state returns the endpoint's state at t in EC2's spelling, or "" if EC2 no
// longer shows it.
func (e *vpcEndpoint) state(t time.Time) string {
	switch {
	case t.Before(e.created) || !e.deletedAt(t).IsZero():
		return ""
	case !e.deleting.IsZero() && !t.Before(e.deleting):
		return "deleting"
	case e.failed:
		return "failed"
	case !e.availableAt(t).IsZero():
		return "available"
	}
	return "pending"
}

func (s *Sim) newEC2() *service {
	s.ec2 = &ec2State{offered: map[string][]string{}, tags: map[string][]tag{}, tokens: map[string]string{}}
	for _, svc := range endpoints.All() {
		s.ec2.offered[svc.Name(s.options.Region)] = s.zones()
	}
	return &service{name: "ec2", asks: s.ec2Questions, protocol: ec2Query, xmlns: "http://ec2.amazonaws.com/doc/2016-11-15/", ops: map[string]operation{
		"CreateVpc":                     op(s.createVpc),
		"DescribeVpcs":                  op(s.describeVpcs),
		"DeleteVpc":                     op(s.deleteVpc),
		"ModifyVpcAttribute":            op(s.modifyVpcAttribute),
		"DescribeVpcAttribute":          op(s.describeVpcAttribute),
		"CreateSubnet":                  op(s.createSubnet),
		"DescribeSubnets":               op(s.describeSubnets),
		"DeleteSubnet":                  op(s.deleteSubnet),
		"CreateRouteTable":              op(s.createRouteTable),
		"CreateRoute":                   op(s.createRoute),
		"DeleteRoute":                   op(s.deleteRoute),
		"DeleteRouteTable":              op(s.deleteRouteTable),
		"DisassociateRouteTable":        op(s.disassociateRouteTable),
		"DeleteTags":                    op(s.deleteTags),
		"AssociateRouteTable":           op(s.associateRouteTable),
		"DescribeRouteTables":           op(s.describeRouteTables),
		"CreateSecurityGroup":           op(s.createSecurityGroup),
		"AuthorizeSecurityGroupIngress": op(s.authorizeIngress),
		"AuthorizeSecurityGroupEgress":  op(s.authorizeEgress),
		"RevokeSecurityGroupIngress":    op(s.revokeIngress),
		"RevokeSecurityGroupEgress":     op(s.revokeEgress),
		"ModifyVpcEndpoint":             op(s.modifyVpcEndpoint),
		"DescribeSecurityGroups":        op(s.describeSecurityGroups),
		"DeleteSecurityGroup":           op(s.deleteSecurityGroup),
		"DescribeManagedPrefixLists":    op(s.describeManagedPrefixLists),
		"DescribePrefixLists":           op(s.describePrefixLists),
		"DescribeAvailabilityZones":     op(s.describeZones),
		"CreateVpcEndpoint":             op(s.createVpcEndpoint),
		"DescribeVpcEndpoints":          op(s.describeVpcEndpoints),
		"DeleteVpcEndpoints":            op(s.deleteVpcEndpoints),
		"DescribeVpcEndpointServices":   op(s.describeEndpointServices),
		"DescribeNetworkInterfaces":     op(s.describeNetworkInterfaces),
		"CreateTags":                    op(s.createTags),
		"DescribeTags":                  op(s.describeTags),
	}}
}

func (s *Sim) zones() []string {
	return []string{s.options.Region + "a", s.options.Region + "b", s.options.Region + "c"}
}

func (s *Sim) vpc(id string) *vpc {
	return find(s.ec2.vpcs, func(v *vpc) bool { return v.id == id })
}
func (s *Sim) subnet(id string) *subnet {
	return find(s.ec2.subnets, func(v *subnet) bool { return v.id == id })
}
func (s *Sim) group(id string) *securityGroup {
	return find(s.ec2.groups, func(v *securityGroup) bool { return v.id == id })
}
func (s *Sim) table(id string) *routeTable {
	return find(s.ec2.tables, func(v *routeTable) bool { return v.id == id })
}

func find[T any](list []*T, is func(*T) bool) *T {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i]
	}
	return nil
}

// tableOf returns the route table that a subnet uses: its own or the main one.
func (s *Sim) tableOf(sub *subnet) *routeTable {
	var main *routeTable
	for _, t := range s.ec2.tables {
		if t.vpc != sub.vpc {
			continue
		}
		if slices.Contains(t.subnets, sub.id) {
			return t
		}
		if t.main {
			main = t
		}
	}
	return main
}

// filter is a filter of a Describe call.
type filter struct {
	Name  string
	Value []string
}

// matches says whether a resource with the given attributes passes all filters.
// Unknown filters are errors, as on AWS.
func matches(filters []filter, tags []tag, attrs map[string][]string) (bool, error) {
	for _, f := range filters {
		var have []string
		switch key, ok := strings.CutPrefix(f.Name, "tag:"); {
		case ok:
			for _, t := range tags {
				if t.Key == key {
					have = append(have, t.Value)
				}
			}
		case f.Name == "tag-key":
			for _, t := range tags {
				have = append(have, t.Key)
			}
		default:
			if have, ok = attrs[f.Name]; !ok {
				return false, errf("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
			}
		}
		if !slices.ContainsFunc(f.Value, func(want string) bool {
			return slices.ContainsFunc(have, func(h string) bool { return wildcard(want, h) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

// wildcard matches text against a pattern with * and ?.
func wildcard(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	switch pattern[0] {
	case '*':
		for i := 0; i <= len(text); i++ {
			if wildcard(pattern[1:], text[i:]) {
				return true
			}
		}
		return false
	case '?':
		return text != "" && wildcard(pattern[1:], text[1:])
	}
	return text != "" && text[0] == pattern[0] && wildcard(pattern[1:], text[1:])
}

type tagSpec struct {
	ResourceType string
	Tag          []tag
}

func tagsOf(specs []tagSpec) []tag {
	var out []tag
	for _, sp := range specs {
		out = append(out, sp.Tag...)
	}
	return out
}

type vpcXML struct {
	VpcID     string          `xml:"vpcId"`
	State     string          `xml:"state"`
	Cidr      string          `xml:"cidrBlock"`
	OwnerID   string          `xml:"ownerId"`
	IsDefault bool            `xml:"isDefault"`
	Tenancy   string          `xml:"instanceTenancy"`
	Options   string          `xml:"dhcpOptionsId"`
	Blocks    items[blockXML] `xml:"cidrBlockAssociationSet"`
	Tags      items[tag]      `xml:"tagSet"`
}

type blockXML struct {
	ID    string `xml:"associationId"`
	Cidr  string `xml:"cidrBlock"`
	State string `xml:"cidrBlockState>state"`
}

func (s *Sim) vpcXML(v *vpc) vpcXML {
	return vpcXML{v.id, "available", v.cidr, s.options.Account, false, "default", "dopt-" + s.digest("dopt", 17), items[blockXML]{[]blockXML{{"vpc-cidr-assoc-" + strings.TrimPrefix(v.id, "vpc-"), v.cidr, "associated"}}}, items[tag]{s.ec2.tags[v.id]}}
}

func (s *Sim) addVpc(id, cidr string) *vpc {
	v := &vpc{id: id, cidr: cidr, dnsSupport: true}
	s.ec2.vpcs = append(s.ec2.vpcs, v)
	s.ec2.tables = append(s.ec2.tables, &routeTable{id: "rtb-" + s.id("rtb", 17), vpc: id, main: true, routes: []route{{cidr, "local"}}})
	s.addGroup("sg-"+s.id("sg", 17), id, "default", "default VPC security group")
	return v
}

func (s *Sim) addGroup(id, vpc, name, description string) *securityGroup {
	g := &securityGroup{id: id, vpc: vpc, name: name, description: description, egress: []permission{{protocol: "-1", cidr: "0.0.0.0/0"}}}
	if name == "default" {
		g.ingress = []permission{{protocol: "-1", group: id}}
	}
	s.ec2.groups = append(s.ec2.groups, g)
	return g
}

func (s *Sim) createVpc(_ *call, in *struct {
	CidrBlock        string
	TagSpecification []tagSpec
	InstanceTenancy  string
	DryRun           bool

	AmazonProvidedIPv6CidrBlock bool `query:"AmazonProvidedIpv6CidrBlock"`
}) (*struct {
	Vpc vpcXML `xml:"vpc"`
}, error) {
	if in.AmazonProvidedIPv6CidrBlock {
		return nil, errf("UnsupportedOperation", "the sandbox does not simulate IPv6 blocks of a VPC")
	}
	if in.CidrBlock == "" {
		return nil, errf("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' must be provided.")
	}
	v := s.addVpc("vpc-"+s.id("vpc", 17), in.CidrBlock)
	s.ec2.tags[v.id] = tagsOf(in.TagSpecification)
	return &struct {
		Vpc vpcXML `xml:"vpc"`
	}{s.vpcXML(v)}, nil
}

func (s *Sim) describeVpcs(_ *call, in *struct {
	VpcID  []string `query:"VpcId"`
	Filter []filter
	pages
}) (*struct {
	Vpcs items[vpcXML] `xml:"vpcSet"`
}, error) {
	out := &struct {
		Vpcs items[vpcXML] `xml:"vpcSet"`
	}{}
	for _, id := range in.VpcID {
		if s.vpc(id) == nil {
			return nil, errf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
		}
	}
	for _, v := range s.ec2.vpcs {
		ok, err := matches(in.Filter, s.ec2.tags[v.id], map[string][]string{"vpc-id": {v.id}, "cidr": {v.cidr}, "state": {"available"}, "isDefault": {"false"}, "is-default": {"false"}})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.VpcID) == 0 || slices.Contains(in.VpcID, v.id)) {
			out.Vpcs.Item = append(out.Vpcs.Item, s.vpcXML(v))
		}
	}
	return out, nil
}

// pages are the paging parameters that every Describe call takes; the sandbox
// answers with one page.
type pages struct {
	MaxResults int
	NextToken  string
	DryRun     bool
}

type done struct {
	Return bool `xml:"return"`
}

var yes = &done{true}

func (s *Sim) deleteVpc(_ *call, in *struct {
	VpcID string `query:"VpcId"`
}) (*done, error) {
	if err := s.removeVpc(in.VpcID); err != nil {
		return nil, err
	}
	return yes, nil
}

func noVPC(id string) error {
	return errf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
}

func (s *Sim) removeVpc(id string) error {
	if s.vpc(id) == nil {
		return noVPC(id)
	}
	now := s.clock.time()
	if slices.ContainsFunc(s.ec2.subnets, func(n *subnet) bool { return n.vpc == id }) ||
		slices.ContainsFunc(s.ec2.groups, func(g *securityGroup) bool { return g.vpc == id && g.name != "default" }) ||
		slices.ContainsFunc(s.ec2.tables, func(t *routeTable) bool { return t.vpc == id && !t.main }) ||
		slices.ContainsFunc(s.ec2.endpoints, func(e *vpcEndpoint) bool { return e.vpc == id && e.state(now) != "" }) {
		return errf("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", id)
	}
	s.ec2.vpcs = slices.DeleteFunc(s.ec2.vpcs, func(v *vpc) bool { return v.id == id })
	s.ec2.groups = slices.DeleteFunc(s.ec2.groups, func(g *securityGroup) bool { return g.vpc == id })
	s.ec2.tables = slices.DeleteFunc(s.ec2.tables, func(t *routeTable) bool { return t.vpc == id })
	return nil
}

type boolValue struct{ Value bool }

func (s *Sim) modifyVpcAttribute(_ *call, in *struct {
	VpcID              string     `query:"VpcId"`
	EnableDNSSupport   *boolValue `query:"EnableDnsSupport"`
	EnableDNSHostnames *boolValue `query:"EnableDnsHostnames"`
}) (*done, error) {
	v := s.vpc(in.VpcID)
	if v == nil {
		return nil, errf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", in.VpcID)
	}
	if in.EnableDNSSupport != nil {
		v.dnsSupport = in.EnableDNSSupport.Value
	}
	if in.EnableDNSHostnames != nil {
		v.dnsHostnames = in.EnableDNSHostnames.Value
	}
	return yes, nil
}

type valueXML struct {
	Value bool `xml:"value"`
}

type vpcAttributeXML struct {
	VpcID        string    `xml:"vpcId"`
	DNSSupport   *valueXML `xml:"enableDnsSupport"`
	DNSHostnames *valueXML `xml:"enableDnsHostnames"`
	UsageMetrics *valueXML `xml:"enableNetworkAddressUsageMetrics"`
}

func (s *Sim) describeVpcAttribute(_ *call, in *struct {
	VpcID     string `query:"VpcId"`
	Attribute string
	DryRun    bool
}) (*vpcAttributeXML, error) {
	v := s.vpc(in.VpcID)
	if v == nil {
		return nil, errf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", in.VpcID)
	}
	out := &vpcAttributeXML{VpcID: v.id}
	switch in.Attribute {
	case "enableDnsSupport":
		out.DNSSupport = &valueXML{v.dnsSupport}
	case "enableDnsHostnames":
		out.DNSHostnames = &valueXML{v.dnsHostnames}
	case "enableNetworkAddressUsageMetrics":
		out.UsageMetrics = &valueXML{}
	default:
		return nil, errf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, nil
}

type subnetXML struct {
	SubnetID  string     `xml:"subnetId"`
	ARN       string     `xml:"subnetArn"`
	State     string     `xml:"state"`
	VpcID     string     `xml:"vpcId"`
	Cidr      string     `xml:"cidrBlock"`
	Available int        `xml:"availableIpAddressCount"`
	Zone      string     `xml:"availabilityZone"`
	OwnerID   string     `xml:"ownerId"`
	Tags      items[tag] `xml:"tagSet"`
}

func (s *Sim) subnetXML(n *subnet) subnetXML {
	return subnetXML{n.id, s.arn("ec2", "subnet/"+n.id), "available", n.vpc, n.cidr, n.free, n.zone, cmp.Or(n.owner, s.options.Account), items[tag]{s.ec2.tags[n.id]}}
}

func (s *Sim) createSubnet(_ *call, in *struct {
	VpcID            string `query:"VpcId"`
	CidrBlock        string
	AvailabilityZone string
	TagSpecification []tagSpec
}) (*struct {
	Subnet subnetXML `xml:"subnet"`
}, error) {
	n, err := s.addSubnet(in.VpcID, in.AvailabilityZone, in.CidrBlock)
	if err != nil {
		return nil, err
	}
	s.ec2.tags[n.id] = tagsOf(in.TagSpecification)
	return &struct {
		Subnet subnetXML `xml:"subnet"`
	}{s.subnetXML(n)}, nil
}

// addSubnet makes a subnet; zone "" is the Region's first.
func (s *Sim) addSubnet(vpc, zone, cidr string) (*subnet, error) {
	if s.vpc(vpc) == nil {
		return nil, noVPC(vpc)
	}
	if zone == "" {
		zone = s.zones()[0]
	}
	if !slices.Contains(s.zones(), zone) {
		return nil, errf("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.", zone, strings.Join(s.zones(), ", "))
	}
	n := &subnet{id: "subnet-" + s.id("subnet", 17), vpc: vpc, zone: zone, cidr: cidr, free: freeAddresses}
	s.ec2.subnets = append(s.ec2.subnets, n)
	return n, nil
}

func (s *Sim) describeSubnets(_ *call, in *struct {
	SubnetID []string `query:"SubnetId"`
	Filter   []filter
	pages
}) (*struct {
	Subnets items[subnetXML] `xml:"subnetSet"`
}, error) {
	out := &struct {
		Subnets items[subnetXML] `xml:"subnetSet"`
	}{}
	for _, id := range in.SubnetID {
		if s.subnet(id) == nil {
			return nil, errf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
		}
	}
	for _, n := range s.ec2.subnets {
		ok, err := matches(in.Filter, s.ec2.tags[n.id], map[string][]string{"vpc-id": {n.vpc}, "subnet-id": {n.id}, "availability-zone": {n.zone}, "availabilityZone": {n.zone}, "state": {"available"}, "cidr-block": {n.cidr}})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.SubnetID) == 0 || slices.Contains(in.SubnetID, n.id)) {
			out.Subnets.Item = append(out.Subnets.Item, s.subnetXML(n))
		}
	}
	return out, nil
}

func (s *Sim) deleteSubnet(_ *call, in *struct {
	SubnetID string `query:"SubnetId"`
}) (*done, error) {
	if err := s.removeSubnet(in.SubnetID); err != nil {
		return nil, err
	}
	return yes, nil
}

func (s *Sim) removeSubnet(id string) error {
	if s.subnet(id) == nil {
		return errf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
	}
	now := s.clock.time()
	if slices.ContainsFunc(s.ec2.endpoints, func(e *vpcEndpoint) bool { return slices.Contains(e.subnets, id) && e.state(now) != "" }) {
		return errf("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", id)
	}
	s.ec2.subnets = slices.DeleteFunc(s.ec2.subnets, func(n *subnet) bool { return n.id == id })
	for _, t := range s.ec2.tables {
		t.subnets = slices.DeleteFunc(t.subnets, func(n string) bool { return n == id })
	}
	return nil
}

type associationXML struct {
	ID       string `xml:"routeTableAssociationId"`
	TableID  string `xml:"routeTableId"`
	SubnetID string `xml:"subnetId,omitempty"`
	Main     bool   `xml:"main"`
}

type routeXML struct {
	Destination string `xml:"destinationCidrBlock,omitempty"`
	PrefixList  string `xml:"destinationPrefixListId,omitempty"`
	Gateway     string `xml:"gatewayId"`
	State       string `xml:"state"`
	Origin      string `xml:"origin"`
}

type tableXML struct {
	ID           string                `xml:"routeTableId"`
	VpcID        string                `xml:"vpcId"`
	OwnerID      string                `xml:"ownerId"`
	Routes       items[routeXML]       `xml:"routeSet"`
	Associations items[associationXML] `xml:"associationSet"`
	Tags         items[tag]            `xml:"tagSet"`
}

func (s *Sim) tableXML(t *routeTable) tableXML {
	x := tableXML{ID: t.id, VpcID: t.vpc, OwnerID: s.options.Account, Tags: items[tag]{s.ec2.tags[t.id]}}
	for _, r := range t.routes {
		x.Routes.Item = append(x.Routes.Item, routeXML{Destination: r.destination, Gateway: r.target, State: "active", Origin: "CreateRouteTable"})
	}
	for _, e := range s.ec2.endpoints {
		if e.kind == "Gateway" && slices.Contains(e.tables, t.id) && e.state(s.clock.time()) == "available" {
			x.Routes.Item = append(x.Routes.Item, routeXML{PrefixList: s.prefixList(e.service), Gateway: e.id, State: "active", Origin: "CreateRoute"})
		}
	}
	if t.main {
		x.Associations.Item = append(x.Associations.Item, associationXML{"rtbassoc-" + s.digest("main"+t.id, 17), t.id, "", true})
	}
	for _, n := range t.subnets {
		x.Associations.Item = append(x.Associations.Item, associationXML{s.associationID(n), t.id, n, false})
	}
	return x
}

// associations are the ids of a route table's associations.
func (s *Sim) associations(t *routeTable) []string {
	var ids []string
	for _, a := range s.tableXML(t).Associations.Item {
		ids = append(ids, a.ID)
	}
	return ids
}

func (s *Sim) prefixList(service string) string { return "pl-" + s.digest(service, 8) }

func (s *Sim) createRouteTable(_ *call, in *struct {
	VpcID            string `query:"VpcId"`
	TagSpecification []tagSpec
	ClientToken      string
}) (*struct {
	Table tableXML `xml:"routeTable"`
}, error) {
	t, err := s.addRouteTable(in.VpcID)
	if err != nil {
		return nil, err
	}
	s.ec2.tags[t.id] = tagsOf(in.TagSpecification)
	return &struct {
		Table tableXML `xml:"routeTable"`
	}{s.tableXML(t)}, nil
}

func (s *Sim) addRouteTable(vpc string) (*routeTable, error) {
	v := s.vpc(vpc)
	if v == nil {
		return nil, noVPC(vpc)
	}
	t := &routeTable{id: "rtb-" + s.id("rtb", 17), vpc: vpc, routes: []route{{v.cidr, "local"}}}
	s.ec2.tables = append(s.ec2.tables, t)
	return t, nil
}

type routeInput struct {
	RouteTableID         string `query:"RouteTableId"`
	DestinationCidrBlock string
	GatewayID            string `query:"GatewayId"`
	NatGatewayID         string `query:"NatGatewayId"`
	TransitGatewayID     string `query:"TransitGatewayId"`
	NetworkInterfaceID   string `query:"NetworkInterfaceId"`
	DryRun               bool
}

func (s *Sim) createRoute(_ *call, in *routeInput) (*done, error) {
	t := s.table(in.RouteTableID)
	if t == nil {
		return nil, errf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", in.RouteTableID)
	}
	target := in.GatewayID + in.NatGatewayID + in.TransitGatewayID + in.NetworkInterfaceID
	if target == "" {
		return nil, errf("MissingParameter", "The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, vpcPeeringConnectionId, transitGatewayId")
	}
	if slices.ContainsFunc(t.routes, func(r route) bool { return r.destination == in.DestinationCidrBlock }) {
		return nil, errf("RouteAlreadyExists", "The route identified by %s already exists.", in.DestinationCidrBlock)
	}
	t.routes = append(t.routes, route{in.DestinationCidrBlock, target})
	s.ec2.changed()
	return yes, nil
}

func (s *Sim) deleteRoute(_ *call, in *routeInput) (*done, error) {
	t := s.table(in.RouteTableID)
	if t == nil {
		return nil, errf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", in.RouteTableID)
	}
	left := slices.DeleteFunc(slices.Clone(t.routes), func(r route) bool { return r.destination == in.DestinationCidrBlock && r.target != "local" })
	if len(left) == len(t.routes) {
		return nil, errf("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", in.DestinationCidrBlock, in.RouteTableID)
	}
	t.routes = left
	s.ec2.changed()
	return yes, nil
}

func (s *Sim) deleteRouteTable(_ *call, in *struct {
	RouteTableID string `query:"RouteTableId"`
	DryRun       bool
}) (*done, error) {
	if err := s.removeRouteTable(in.RouteTableID); err != nil {
		return nil, err
	}
	return yes, nil
}

func noTable(id string) error {
	return errf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", id)
}

func (s *Sim) removeRouteTable(id string) error {
	t := s.table(id)
	if t == nil {
		return noTable(id)
	}
	if t.main || len(t.subnets) > 0 {
		return errf("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", id)
	}
	s.ec2.tables = slices.DeleteFunc(s.ec2.tables, func(x *routeTable) bool { return x == t })
	return nil
}

// associationID names the association of a subnet with its table.
func (s *Sim) associationID(subnet string) string { return "rtbassoc-" + s.digest("assoc"+subnet, 17) }

func (s *Sim) disassociateRouteTable(_ *call, in *struct {
	AssociationID string `query:"AssociationId"`
	DryRun        bool
}) (*done, error) {
	if err := s.disassociate(in.AssociationID); err != nil {
		return nil, err
	}
	return yes, nil
}

func (s *Sim) disassociate(association string) error {
	for _, t := range s.ec2.tables {
		for _, n := range t.subnets {
			if s.associationID(n) == association {
				t.subnets = slices.DeleteFunc(t.subnets, func(x string) bool { return x == n })
				return nil
			}
		}
	}
	return errf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", association)
}

func (s *Sim) associateRouteTable(_ *call, in *struct {
	RouteTableID string `query:"RouteTableId"`
	SubnetID     string `query:"SubnetId"`
}) (*struct {
	ID    string `xml:"associationId"`
	State struct {
		State string `xml:"state"`
	} `xml:"associationState"`
}, error) {
	id, err := s.associate(in.RouteTableID, in.SubnetID)
	if err != nil {
		return nil, err
	}
	out := &struct {
		ID    string `xml:"associationId"`
		State struct {
			State string `xml:"state"`
		} `xml:"associationState"`
	}{ID: id}
	out.State.State = "associated"
	return out, nil
}

// associate makes a subnet use a route table, and returns the association's id.
func (s *Sim) associate(table, subnet string) (string, error) {
	t := s.table(table)
	if t == nil {
		return "", noTable(table)
	}
	if s.subnet(subnet) == nil {
		return "", errf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", subnet)
	}
	for _, other := range s.ec2.tables {
		other.subnets = slices.DeleteFunc(other.subnets, func(n string) bool { return n == subnet })
	}
	t.subnets = append(t.subnets, subnet)
	return s.associationID(subnet), nil
}

func (s *Sim) describeRouteTables(_ *call, in *struct {
	RouteTableID []string `query:"RouteTableId"`
	Filter       []filter
	pages
}) (*struct {
	Tables items[tableXML] `xml:"routeTableSet"`
}, error) {
	out := &struct {
		Tables items[tableXML] `xml:"routeTableSet"`
	}{}
	for _, id := range in.RouteTableID {
		if s.table(id) == nil {
			return nil, errf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", id)
		}
	}
	for _, t := range s.ec2.tables {
		ok, err := matches(in.Filter, s.ec2.tags[t.id], map[string][]string{
			"vpc-id": {t.vpc}, "route-table-id": {t.id}, "association.subnet-id": t.subnets, "association.route-table-association-id": s.associations(t), "association.main": {fmt.Sprint(t.main)},
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.RouteTableID) == 0 || slices.Contains(in.RouteTableID, t.id)) {
			out.Tables.Item = append(out.Tables.Item, s.tableXML(t))
		}
	}
	return out, nil
}

type permissionIn struct {
	IPProtocol       string `query:"IpProtocol"`
	FromPort, ToPort int
	IPRanges         []struct {
		CidrIP      string `query:"CidrIp"`
		Description string
	} `query:"IpRanges"`
	IPv6Ranges []struct {
		CidrIPv6    string `query:"CidrIpv6"`
		Description string
	} `query:"Ipv6Ranges"`
	Groups []struct {
		GroupID     string `query:"GroupId"`
		UserID      string `query:"UserId"`
		VpcID       string `query:"VpcId"`
		Description string
	}
	PrefixListIDs []struct {
		PrefixListID string `query:"PrefixListId"`
		Description  string
	} `query:"PrefixListIds"`
}

type pairXML struct {
	GroupID     string `xml:"groupId"`
	UserID      string `xml:"userId"`
	Description string `xml:"description,omitempty"`
}

type rangeXML struct {
	CidrIP      string `xml:"cidrIp"`
	Description string `xml:"description,omitempty"`
}

type permissionXML struct {
	Protocol string           `xml:"ipProtocol"`
	From     *int             `xml:"fromPort"`
	To       *int             `xml:"toPort"`
	Groups   items[pairXML]   `xml:"groups"`
	Ranges   items[rangeXML]  `xml:"ipRanges"`
	Lists    items[listXML]   `xml:"prefixListIds"`
	Ranges6  items[range6XML] `xml:"ipv6Ranges"`
}

type range6XML struct {
	Cidr        string `xml:"cidrIpv6"`
	Description string `xml:"description,omitempty"`
}

type listXML struct {
	ID          string `xml:"prefixListId"`
	Description string `xml:"description,omitempty"`
}

type groupXML struct {
	ID          string               `xml:"groupId"`
	Name        string               `xml:"groupName"`
	Description string               `xml:"groupDescription"`
	VpcID       string               `xml:"vpcId"`
	OwnerID     string               `xml:"ownerId"`
	ARN         string               `xml:"securityGroupArn"`
	Ingress     items[permissionXML] `xml:"ipPermissions"`
	Egress      items[permissionXML] `xml:"ipPermissionsEgress"`
	Tags        items[tag]           `xml:"tagSet"`
}

func (s *Sim) permissionsXML(ps []permission) items[permissionXML] {
	var out items[permissionXML]
	for _, p := range ps {
		x := permissionXML{Protocol: p.protocol}
		if p.protocol != "-1" {
			x.From, x.To = &p.from, &p.to
		}
		switch {
		case p.group != "":
			x.Groups.Item = append(x.Groups.Item, pairXML{p.group, s.options.Account, p.description})
		case p.prefixList != "":
			x.Lists.Item = append(x.Lists.Item, listXML{p.prefixList, p.description})
		case strings.Contains(p.cidr, ":"):
			x.Ranges6.Item = append(x.Ranges6.Item, range6XML{p.cidr, p.description})
		default:
			x.Ranges.Item = append(x.Ranges.Item, rangeXML{p.cidr, p.description})
		}
		out.Item = append(out.Item, x)
	}
	return out
}

func (s *Sim) createSecurityGroup(_ *call, in *struct {
	GroupName, GroupDescription string
	VpcID                       string `query:"VpcId"`
	TagSpecification            []tagSpec
}) (*struct {
	ID   string     `xml:"groupId"`
	ARN  string     `xml:"securityGroupArn"`
	Tags items[tag] `xml:"tagSet"`
}, error) {
	if s.vpc(in.VpcID) == nil {
		return nil, errf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", in.VpcID)
	}
	if slices.ContainsFunc(s.ec2.groups, func(g *securityGroup) bool { return g.vpc == in.VpcID && g.name == in.GroupName }) {
		return nil, errf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", in.GroupName, in.VpcID)
	}
	g := s.addGroup("sg-"+s.id("sg", 17), in.VpcID, in.GroupName, in.GroupDescription)
	s.ec2.tags[g.id] = tagsOf(in.TagSpecification)
	return &struct {
		ID   string     `xml:"groupId"`
		ARN  string     `xml:"securityGroupArn"`
		Tags items[tag] `xml:"tagSet"`
	}{g.id, s.arn("ec2", "security-group/"+g.id), items[tag]{s.ec2.tags[g.id]}}, nil
}

// ruleIn adds rules to a security group or takes them away.
type ruleIn struct {
	GroupID       string         `query:"GroupId"`
	IPPermissions []permissionIn `query:"IpPermissions"`
	IPProtocol    string         `query:"IpProtocol"`
	FromPort      int
	ToPort        int
	CidrIP        string `query:"CidrIp"`
}

// permissions returns the rules that are asked for, one source each.
func (s *Sim) permissions(in *ruleIn) (*securityGroup, []permission, error) {
	g := s.group(in.GroupID)
	if g == nil {
		return nil, nil, errf("InvalidGroup.NotFound", "The security group '%s' does not exist", in.GroupID)
	}
	var out []permission
	if in.CidrIP != "" {
		out = append(out, permission{protocol: in.IPProtocol, from: in.FromPort, to: in.ToPort, cidr: in.CidrIP})
	}
	for _, p := range in.IPPermissions {
		x := permission{protocol: p.IPProtocol, from: p.FromPort, to: p.ToPort}
		if x.protocol == "-1" {
			x.from, x.to = 0, 0
		}
		for _, r := range p.IPRanges {
			y := x
			y.cidr, y.description = r.CidrIP, r.Description
			out = append(out, y)
		}
		for _, r := range p.IPv6Ranges {
			y := x
			y.cidr, y.description = r.CidrIPv6, r.Description
			out = append(out, y)
		}
		for _, r := range p.Groups {
			if s.group(r.GroupID) == nil {
				return nil, nil, errf("InvalidGroup.NotFound", "The security group '%s' does not exist", r.GroupID)
			}
			y := x
			y.group, y.description = r.GroupID, r.Description
			out = append(out, y)
		}
		for _, r := range p.PrefixListIDs {
			y := x
			y.prefixList, y.description = r.PrefixListID, r.Description
			out = append(out, y)
		}
	}
	return g, out, nil
}

func (s *Sim) authorizeIngress(_ *call, in *ruleIn) (*done, error) {
	g, ps, err := s.permissions(in)
	if err != nil {
		return nil, err
	}
	if g.ingress, err = more(g.ingress, ps); err != nil {
		return nil, err
	}
	return yes, nil
}

func (s *Sim) authorizeEgress(_ *call, in *ruleIn) (*done, error) {
	g, ps, err := s.permissions(in)
	if err != nil {
		return nil, err
	}
	if g.egress, err = more(g.egress, ps); err != nil {
		return nil, err
	}
	return yes, nil
}

func (s *Sim) revokeIngress(_ *call, in *ruleIn) (*done, error) {
	g, ps, err := s.permissions(in)
	if err != nil {
		return nil, err
	}
	if g.ingress, err = less(g.ingress, ps); err != nil {
		return nil, err
	}
	s.ec2.changed()
	return yes, nil
}

func (s *Sim) revokeEgress(_ *call, in *ruleIn) (*done, error) {
	g, ps, err := s.permissions(in)
	if err != nil {
		return nil, err
	}
	if g.egress, err = less(g.egress, ps); err != nil {
		return nil, err
	}
	s.ec2.changed()
	return yes, nil
}

// more returns list with added, less returns it without gone; descriptions do not
// matter.
func more(list, added []permission) ([]permission, error) {
	for _, x := range added {
		if slices.ContainsFunc(list, x.same) {
			return nil, errf("InvalidPermission.Duplicate", "the specified rule %q already exists", "peer: "+cmp.Or(x.cidr, x.group, x.prefixList)+", "+x.protocol)
		}
	}
	return append(list, added...), nil
}

func less(list, gone []permission) ([]permission, error) {
	for _, x := range gone {
		if !slices.ContainsFunc(list, x.same) {
			return nil, errf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(p permission) bool { return slices.ContainsFunc(gone, p.same) }), nil
}

func (p permission) same(x permission) bool {
	return x.protocol == p.protocol && (x.protocol == "-1" || x.from == p.from && x.to == p.to) && x.cidr == p.cidr && x.group == p.group && x.prefixList == p.prefixList
}

func (s *Sim) describeSecurityGroups(_ *call, in *struct {
	GroupID []string `query:"GroupId"`
	Filter  []filter
	pages
}) (*struct {
	Groups items[groupXML] `xml:"securityGroupInfo"`
}, error) {
	out := &struct {
		Groups items[groupXML] `xml:"securityGroupInfo"`
	}{}
	for _, id := range in.GroupID {
		if s.group(id) == nil {
			return nil, errf("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
	}
	for _, g := range s.ec2.groups {
		ok, err := matches(in.Filter, s.ec2.tags[g.id], map[string][]string{"vpc-id": {g.vpc}, "group-id": {g.id}, "group-name": {g.name}})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.GroupID) == 0 || slices.Contains(in.GroupID, g.id)) {
			out.Groups.Item = append(out.Groups.Item, groupXML{g.id, g.name, g.description, g.vpc, s.options.Account, s.arn("ec2", "security-group/"+g.id),
				s.permissionsXML(g.ingress), s.permissionsXML(g.egress), items[tag]{s.ec2.tags[g.id]}})
		}
	}
	return out, nil
}

func (s *Sim) deleteSecurityGroup(_ *call, in *struct {
	GroupID string `query:"GroupId"`
}) (*done, error) {
	if err := s.removeGroup(in.GroupID); err != nil {
		return nil, err
	}
	return yes, nil
}

func (s *Sim) removeGroup(id string) error {
	if s.group(id) == nil {
		return errf("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
	}
	now := s.clock.time()
	inUse := slices.ContainsFunc(s.ec2.endpoints, func(e *vpcEndpoint) bool { return slices.Contains(e.groups, id) && e.state(now) != "" })
	for _, g := range s.ec2.groups {
		inUse = inUse || g.id != id && slices.ContainsFunc(append(slices.Clone(g.ingress), g.egress...), func(p permission) bool { return p.group == id })
	}
	if inUse || s.ec2.networkRefs(id) > 0 {
		return errf("DependencyViolation", "resource %s has a dependent object", id)
	}
	s.ec2.groups = slices.DeleteFunc(s.ec2.groups, func(g *securityGroup) bool { return g.id == id })
	return nil
}

type zoneXML struct {
	Name   string `xml:"zoneName"`
	ID     string `xml:"zoneId"`
	State  string `xml:"zoneState"`
	Region string `xml:"regionName"`
}

func (s *Sim) describeZones(_ *call, in *struct {
	ZoneName []string
	Filter   []filter
	pages
}) (*struct {
	Zones items[zoneXML] `xml:"availabilityZoneInfo"`
}, error) {
	out := &struct {
		Zones items[zoneXML] `xml:"availabilityZoneInfo"`
	}{}
	for i, z := range s.zones() {
		if len(in.ZoneName) == 0 || slices.Contains(in.ZoneName, z) {
			out.Zones.Item = append(out.Zones.Item, zoneXML{z, fmt.Sprintf("use1-az%d", i+1), "available", s.options.Region})
		}
	}
	return out, nil
}

func (s *Sim) createTags(_ *call, in *struct {
	ResourceID []string `query:"ResourceId"`
	Tag        []tag
}) (*done, error) {
	for _, id := range in.ResourceID {
		for _, t := range in.Tag {
			s.ec2.tags[id] = append(slices.DeleteFunc(s.ec2.tags[id], func(o tag) bool { return o.Key == t.Key }), t)
			if e := s.endpoint(id); e != nil {
				e.tags = append(slices.DeleteFunc(e.tags, func(o tag) bool { return o.Key == t.Key }), t)
			}
		}
	}
	return yes, nil
}

func (s *Sim) deleteTags(_ *call, in *struct {
	ResourceID []string `query:"ResourceId"`
	Tag        []tag
	DryRun     bool
}) (*done, error) {
	gone := func(o tag) bool {
		return len(in.Tag) == 0 || slices.ContainsFunc(in.Tag, func(t tag) bool { return t.Key == o.Key && (t.Value == "" || t.Value == o.Value) })
	}
	for _, id := range in.ResourceID {
		s.ec2.tags[id] = slices.DeleteFunc(slices.Clone(s.ec2.tags[id]), gone)
		if e := s.endpoint(id); e != nil {
			e.tags = s.ec2.tags[id]
		}
	}
	return yes, nil
}

type tagXML struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

func (s *Sim) describeTags(_ *call, in *struct {
	Filter []filter
	pages
}) (*struct {
	Tags items[tagXML] `xml:"tagSet"`
}, error) {
	out := &struct {
		Tags items[tagXML] `xml:"tagSet"`
	}{}
	kinds := map[string]string{"vpc": "vpc", "subnet": "subnet", "sg": "security-group", "rtb": "route-table", "vpce": "vpc-endpoint"}
	for _, id := range sortedKeys(s.ec2.tags) {
		prefix, _, _ := strings.Cut(id, "-")
		for _, t := range s.ec2.tags[id] {
			ok, err := matches(in.Filter, nil, map[string][]string{"resource-id": {id}, "key": {t.Key}, "value": {t.Value}, "resource-type": {kinds[prefix]}})
			if err != nil {
				return nil, err
			}
			if ok {
				out.Tags.Item = append(out.Tags.Item, tagXML{id, kinds[prefix], t.Key, t.Value})
			}
		}
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
