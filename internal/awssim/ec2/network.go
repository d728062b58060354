// Package ec2 simulates the part of EC2 around VPCs and their endpoints.
package ec2

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/awssim/kernel"
)

// Network holds the resources: VPCs with subnets, route tables and security groups,
// and their endpoints.
type Network struct {
	*kernel.Kernel

	vpcs        []*vpc
	Subnets     []*Subnet
	Tables      []*RouteTable
	Groups      []*SecurityGroup
	Endpoints   []*Endpoint
	offered     map[string][]string // endpoint service name -> zones
	HostedZones []*HostedZone
	Tags        map[string][]Tag
	tokens      map[string]string
	Changed     func()                 // is called when the network or an endpoint has changed
	NetworkRefs func(group string) int // tasks' network interfaces that use a group
	// ACLs are the network ACLs that close a subnet.
	ACLs []*ACL
}

// Service is the simulated EC2.
type Service struct {
	*Network
}

type vpc struct {
	ID, CIDR                 string
	DNSSupport, DNSHostnames bool
}

// Subnet belongs to the account, unless owner names another that shares it. free
// is the number of its free addresses.
type Subnet struct {
	ID, VPC, Zone, CIDR, Owner string
	Free                       int
}

// FreeAddresses is the number of usable addresses in a block of 256.
const FreeAddresses = 251

// RouteTable is a route table with its routes and the subnets that use it.
type RouteTable struct {
	ID, VPC string
	main    bool
	Subnets []string
	Routes  []Route
}

// Route maps a destination to a target: "local", or the id of a gateway.
type Route struct{ Destination, Target string }

// SecurityGroup is a security group with its rules.
type SecurityGroup struct {
	ID, VPC, Name, description string
	Ingress, Egress            []Permission
}

// Permission is one rule of a security group: one source each.
type Permission struct {
	Protocol, CIDR, Group, PrefixList, Description string
	From, To                                       int
	ID                                             string // of a rule that is a resource of its own
}

// Tag is a tag as EC2 writes it.
type Tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// Endpoint keeps its whole life; its state at an instant follows from it.
type Endpoint struct {
	ID         string
	Service    string
	Kind       string
	VPC        string
	Stack      string
	Subnets    []string
	Groups     []string
	Tables     []string
	PrivateDNS bool
	policy     string
	Life
	RequesterManaged bool
	Tags             []Tag
	clientToken      string
}

// Life is the history of an endpoint, and its planned events.
type Life struct {
	Created         time.Time
	Available       time.Time
	Deleting        time.Time
	deleted         time.Time // planned while deleting
	failed          bool
	Failure         string
	pendingForever  bool
	deletingForEver bool
	creation        *kernel.Due
	removal         *kernel.Due
	OnAvailable     []func()
	OnDeleted       []func()
	OnFailed        []func()
}

// AvailableAt returns when the endpoint became available; zero if it is not, at now.
func (e *Endpoint) AvailableAt(now time.Time) time.Time {
	if e.pendingForever || e.failed || e.Available.After(now) || !e.Deleting.IsZero() && e.Available.After(e.Deleting) {
		return time.Time{}
	}
	return e.Available
}

// DeletedAt returns when the endpoint was gone; zero if it is not, at now.
func (e *Endpoint) DeletedAt(now time.Time) time.Time {
	if e.Deleting.IsZero() || e.deletingForEver || e.deleted.After(now) {
		return time.Time{}
	}
	return e.deleted
}

// State returns the endpoint's state at t in EC2's spelling, or "" if EC2 no
// longer shows it.
func (e *Endpoint) State(t time.Time) string {
	switch {
	case t.Before(e.Created) || !e.DeletedAt(t).IsZero():
		return ""
	case !e.Deleting.IsZero() && !t.Before(e.Deleting):
		return "deleting"
	case e.failed:
		return "failed"
	case !e.AvailableAt(t).IsZero():
		return "available"
	}
	return "pending"
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{&Network{
		Kernel: k, offered: map[string][]string{}, Tags: map[string][]Tag{}, tokens: map[string]string{},
	}}
	for _, svc := range endpoints.All() {
		s.offered[svc.Name(s.Options.Region)] = s.Zones()
	}
	k.Register(&kernel.API{Name: "ec2", Asks: s.ec2Questions, Protocol: kernel.EC2Query,
		XMLNS: "http://ec2.amazonaws.com/doc/2016-11-15/", Ops: map[string]kernel.Operation{
			"CreateVpc":                     kernel.Op(s.createVpc),
			"DescribeVpcs":                  kernel.Op(s.describeVpcs),
			"DeleteVpc":                     kernel.Op(s.deleteVpc),
			"ModifyVpcAttribute":            kernel.Op(s.modifyVpcAttribute),
			"DescribeVpcAttribute":          kernel.Op(s.describeVpcAttribute),
			"CreateSubnet":                  kernel.Op(s.createSubnet),
			"DescribeSubnets":               kernel.Op(s.describeSubnets),
			"DeleteSubnet":                  kernel.Op(s.deleteSubnet),
			"CreateRouteTable":              kernel.Op(s.createRouteTable),
			"CreateRoute":                   kernel.Op(s.CreateRoute),
			"DeleteRoute":                   kernel.Op(s.DeleteRoute),
			"DeleteRouteTable":              kernel.Op(s.deleteRouteTable),
			"DisassociateRouteTable":        kernel.Op(s.disassociateRouteTable),
			"DeleteTags":                    kernel.Op(s.deleteTags),
			"AssociateRouteTable":           kernel.Op(s.associateRouteTable),
			"DescribeRouteTables":           kernel.Op(s.describeRouteTables),
			"CreateSecurityGroup":           kernel.Op(s.createSecurityGroup),
			"AuthorizeSecurityGroupIngress": kernel.Op(s.authorizeIngress),
			"AuthorizeSecurityGroupEgress":  kernel.Op(s.authorizeEgress),
			"RevokeSecurityGroupIngress":    kernel.Op(s.revokeIngress),
			"RevokeSecurityGroupEgress":     kernel.Op(s.revokeEgress),
			"ModifyVpcEndpoint":             kernel.Op(s.modifyVpcEndpoint),
			"DescribeSecurityGroups":        kernel.Op(s.describeSecurityGroups),
			"DeleteSecurityGroup":           kernel.Op(s.deleteSecurityGroup),
			"DescribeManagedPrefixLists":    kernel.Op(s.describeManagedPrefixLists),
			"DescribePrefixLists":           kernel.Op(s.describePrefixLists),
			"DescribeAvailabilityZones":     kernel.Op(s.describeZones),
			"CreateVpcEndpoint":             kernel.Op(s.createVpcEndpoint),
			"DescribeVpcEndpoints":          kernel.Op(s.describeVpcEndpoints),
			"DeleteVpcEndpoints":            kernel.Op(s.deleteVpcEndpoints),
			"DescribeVpcEndpointServices":   kernel.Op(s.describeEndpointServices),
			"DescribeNetworkInterfaces":     kernel.Op(s.describeNetworkInterfaces),
			"DescribeNetworkAcls":           kernel.Op(s.describeACLs),
			"CreateTags":                    kernel.Op(s.createTags),
			"DescribeTags":                  kernel.Op(s.describeTags),
		}})
	return s
}

// Zones returns the Region's availability zones.
func (s *Network) Zones() []string {
	return []string{s.Options.Region + "a", s.Options.Region + "b", s.Options.Region + "c"}
}

// VPC finds a VPC by id, or nil.
func (s *Network) VPC(id string) *vpc {
	return kernel.Find(s.vpcs, func(v *vpc) bool { return v.ID == id })
}

// Subnet finds a subnet by id, or nil.
func (s *Network) Subnet(id string) *Subnet {
	return kernel.Find(s.Subnets, func(v *Subnet) bool { return v.ID == id })
}

// Group finds a security group by id, or nil.
func (s *Network) Group(id string) *SecurityGroup {
	return kernel.Find(s.Groups, func(v *SecurityGroup) bool { return v.ID == id })
}

// Table finds a route table by id, or nil.
func (s *Network) Table(id string) *RouteTable {
	return kernel.Find(s.Tables, func(v *RouteTable) bool { return v.ID == id })
}

// TableOf returns the route table that a subnet uses: its own or the main one.
func (s *Network) TableOf(sub *Subnet) *RouteTable {
	var main *RouteTable
	for _, t := range s.Tables {
		if t.VPC != sub.VPC {
			continue
		}
		if slices.Contains(t.Subnets, sub.ID) {
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

// matches reports whether a resource with the given attributes passes all
// filters. Unknown filters are errors, as on AWS.
func matches(filters []filter, tags []Tag, attrs map[string][]string) (bool, error) {
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
				return false, kernel.Errorf("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
			}
		}
		if !slices.ContainsFunc(f.Value, func(want string) bool {
			return slices.ContainsFunc(have, func(h string) bool { return kernel.Wildcard(want, h) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

type tagSpec struct {
	ResourceType string
	Tag          []Tag
}

func tagsOf(specs []tagSpec) []Tag {
	var out []Tag
	for _, sp := range specs {
		out = append(out, sp.Tag...)
	}
	return out
}

type vpcXML struct {
	VpcID     string                 `xml:"vpcId"`
	State     string                 `xml:"state"`
	Cidr      string                 `xml:"cidrBlock"`
	OwnerID   string                 `xml:"ownerId"`
	IsDefault bool                   `xml:"isDefault"`
	Tenancy   string                 `xml:"instanceTenancy"`
	Options   string                 `xml:"dhcpOptionsId"`
	Blocks    kernel.Items[blockXML] `xml:"cidrBlockAssociationSet"`
	Tags      kernel.Items[Tag]      `xml:"tagSet"`
}

type blockXML struct {
	ID    string `xml:"associationId"`
	Cidr  string `xml:"cidrBlock"`
	State string `xml:"cidrBlockState>state"`
}

func (s *Network) vpcXML(v *vpc) vpcXML {
	return vpcXML{
		v.ID, "available", v.CIDR, s.Options.Account, false, "default", "dopt-" + s.Digest("dopt", 17),
		kernel.Items[blockXML]{Item: []blockXML{{
			"vpc-cidr-assoc-" + strings.TrimPrefix(v.ID, "vpc-"), v.CIDR, "associated",
		}}}, kernel.Items[Tag]{Item: s.Tags[v.ID]},
	}
}

// AddVPC adds a VPC with its default security group and main route table.
func (s *Network) AddVPC(id, cidr string) *vpc {
	v := &vpc{ID: id, CIDR: cidr, DNSSupport: true}
	s.vpcs = append(s.vpcs, v)
	s.Tables = append(s.Tables, &RouteTable{
		ID: "rtb-" + s.NewID("rtb", 17), VPC: id, main: true, Routes: []Route{{cidr, "local"}},
	})
	s.AddGroup("sg-"+s.NewID("sg", 17), id, "default", "default VPC security group")
	return v
}

// AddGroup adds a security group that allows all outbound traffic.
func (s *Network) AddGroup(id, vpc, name, description string) *SecurityGroup {
	g := &SecurityGroup{
		ID: id, VPC: vpc, Name: name, description: description,
		Egress: []Permission{{Protocol: "-1", CIDR: "0.0.0.0/0"}},
	}
	if name == "default" {
		g.Ingress = []Permission{{Protocol: "-1", Group: id}}
	}
	s.Groups = append(s.Groups, g)
	return g
}

func (s *Network) createVpc(_ *kernel.Call, in *struct {
	CidrBlock        string
	TagSpecification []tagSpec
	InstanceTenancy  string
	DryRun           bool

	AmazonProvidedIPv6CidrBlock bool `query:"AmazonProvidedIpv6CidrBlock"`
}) (*struct {
	Vpc vpcXML `xml:"vpc"`
}, error) {
	if in.AmazonProvidedIPv6CidrBlock {
		return nil, kernel.Errorf("UnsupportedOperation", "the sandbox does not simulate IPv6 blocks of a VPC")
	}
	if in.CidrBlock == "" {
		return nil, kernel.Errorf("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' must be provided.")
	}
	v := s.AddVPC("vpc-"+s.NewID("vpc", 17), in.CidrBlock)
	s.Tags[v.ID] = tagsOf(in.TagSpecification)
	return &struct {
		Vpc vpcXML `xml:"vpc"`
	}{s.vpcXML(v)}, nil
}

func (s *Network) describeVpcs(_ *kernel.Call, in *struct {
	VpcID  []string `query:"VpcId"`
	Filter []filter
	pages
}) (*struct {
	Vpcs kernel.Items[vpcXML] `xml:"vpcSet"`
}, error) {
	out := &struct {
		Vpcs kernel.Items[vpcXML] `xml:"vpcSet"`
	}{}
	for _, id := range in.VpcID {
		if s.VPC(id) == nil {
			return nil, kernel.Errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
		}
	}
	for _, v := range s.vpcs {
		ok, err := matches(in.Filter, s.Tags[v.ID], map[string][]string{
			"vpc-id": {v.ID}, "cidr": {v.CIDR}, "state": {"available"}, "isDefault": {"false"}, "is-default": {"false"},
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.VpcID) == 0 || slices.Contains(in.VpcID, v.ID)) {
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

func (s *Network) deleteVpc(_ *kernel.Call, in *struct {
	VpcID string `query:"VpcId"`
}) (*done, error) {
	if err := s.RemoveVPC(in.VpcID); err != nil {
		return nil, err
	}
	return yes, nil
}

// NoVPC is the error for a VPC that does not exist.
func NoVPC(id string) error {
	return kernel.Errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
}

// RemoveVPC deletes an empty VPC.
func (s *Network) RemoveVPC(id string) error {
	if s.VPC(id) == nil {
		return NoVPC(id)
	}
	now := s.Clock.Now()
	if slices.ContainsFunc(s.Subnets, func(n *Subnet) bool { return n.VPC == id }) ||
		slices.ContainsFunc(s.Groups, func(g *SecurityGroup) bool { return g.VPC == id && g.Name != "default" }) ||
		slices.ContainsFunc(s.Tables, func(t *RouteTable) bool { return t.VPC == id && !t.main }) ||
		slices.ContainsFunc(s.Endpoints, func(e *Endpoint) bool { return e.VPC == id && e.State(now) != "" }) {
		return kernel.Errorf("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", id)
	}
	s.vpcs = slices.DeleteFunc(s.vpcs, func(v *vpc) bool { return v.ID == id })
	s.Groups = slices.DeleteFunc(s.Groups, func(g *SecurityGroup) bool { return g.VPC == id })
	s.Tables = slices.DeleteFunc(s.Tables, func(t *RouteTable) bool { return t.VPC == id })
	return nil
}

type boolValue struct{ Value bool }

func (s *Network) modifyVpcAttribute(_ *kernel.Call, in *struct {
	VpcID              string     `query:"VpcId"`
	EnableDNSSupport   *boolValue `query:"EnableDnsSupport"`
	EnableDNSHostnames *boolValue `query:"EnableDnsHostnames"`
}) (*done, error) {
	v := s.VPC(in.VpcID)
	if v == nil {
		return nil, kernel.Errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", in.VpcID)
	}
	if in.EnableDNSSupport != nil {
		v.DNSSupport = in.EnableDNSSupport.Value
	}
	if in.EnableDNSHostnames != nil {
		v.DNSHostnames = in.EnableDNSHostnames.Value
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

func (s *Network) describeVpcAttribute(_ *kernel.Call, in *struct {
	VpcID     string `query:"VpcId"`
	Attribute string
	DryRun    bool
}) (*vpcAttributeXML, error) {
	v := s.VPC(in.VpcID)
	if v == nil {
		return nil, kernel.Errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", in.VpcID)
	}
	out := &vpcAttributeXML{VpcID: v.ID}
	switch in.Attribute {
	case "enableDnsSupport":
		out.DNSSupport = &valueXML{v.DNSSupport}
	case "enableDnsHostnames":
		out.DNSHostnames = &valueXML{v.DNSHostnames}
	case "enableNetworkAddressUsageMetrics":
		out.UsageMetrics = &valueXML{}
	default:
		return nil, kernel.Errorf("InvalidParameterValue",
			"Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, nil
}

type subnetXML struct {
	SubnetID  string            `xml:"subnetId"`
	ARN       string            `xml:"subnetArn"`
	State     string            `xml:"state"`
	VpcID     string            `xml:"vpcId"`
	Cidr      string            `xml:"cidrBlock"`
	Available int               `xml:"availableIpAddressCount"`
	Zone      string            `xml:"availabilityZone"`
	OwnerID   string            `xml:"ownerId"`
	Tags      kernel.Items[Tag] `xml:"tagSet"`
}

func (s *Network) subnetXML(n *Subnet) subnetXML {
	return subnetXML{
		n.ID, s.ARN("ec2", "subnet/"+n.ID), "available", n.VPC, n.CIDR, n.Free, n.Zone,
		cmp.Or(n.Owner, s.Options.Account), kernel.Items[Tag]{Item: s.Tags[n.ID]},
	}
}

func (s *Network) createSubnet(_ *kernel.Call, in *struct {
	VpcID            string `query:"VpcId"`
	CidrBlock        string
	AvailabilityZone string
	TagSpecification []tagSpec
}) (*struct {
	Subnet subnetXML `xml:"subnet"`
}, error) {
	n, err := s.AddSubnet(in.VpcID, in.AvailabilityZone, in.CidrBlock)
	if err != nil {
		return nil, err
	}
	s.Tags[n.ID] = tagsOf(in.TagSpecification)
	return &struct {
		Subnet subnetXML `xml:"subnet"`
	}{s.subnetXML(n)}, nil
}

// AddSubnet creates a subnet; zone "" is the Region's first.
func (s *Network) AddSubnet(vpc, zone, cidr string) (*Subnet, error) {
	if s.VPC(vpc) == nil {
		return nil, NoVPC(vpc)
	}
	if zone == "" {
		zone = s.Zones()[0]
	}
	if !slices.Contains(s.Zones(), zone) {
		return nil, kernel.Errorf("InvalidParameterValue",
			"Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the "+
				"following availability zones: %s.", zone, strings.Join(s.Zones(), ", "))
	}
	n := &Subnet{ID: "subnet-" + s.NewID("subnet", 17), VPC: vpc, Zone: zone, CIDR: cidr, Free: FreeAddresses}
	s.Subnets = append(s.Subnets, n)
	return n, nil
}

func (s *Network) describeSubnets(_ *kernel.Call, in *struct {
	SubnetID []string `query:"SubnetId"`
	Filter   []filter
	pages
}) (*struct {
	Subnets kernel.Items[subnetXML] `xml:"subnetSet"`
}, error) {
	out := &struct {
		Subnets kernel.Items[subnetXML] `xml:"subnetSet"`
	}{}
	for _, id := range in.SubnetID {
		if s.Subnet(id) == nil {
			return nil, kernel.Errorf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
		}
	}
	for _, n := range s.Subnets {
		ok, err := matches(in.Filter, s.Tags[n.ID], map[string][]string{
			"vpc-id": {n.VPC}, "subnet-id": {n.ID}, "availability-zone": {n.Zone}, "availabilityZone": {n.Zone},
			"state": {"available"}, "cidr-block": {n.CIDR},
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.SubnetID) == 0 || slices.Contains(in.SubnetID, n.ID)) {
			out.Subnets.Item = append(out.Subnets.Item, s.subnetXML(n))
		}
	}
	return out, nil
}

func (s *Network) deleteSubnet(_ *kernel.Call, in *struct {
	SubnetID string `query:"SubnetId"`
}) (*done, error) {
	if err := s.RemoveSubnet(in.SubnetID); err != nil {
		return nil, err
	}
	return yes, nil
}

// RemoveSubnet deletes a subnet that nothing uses.
func (s *Network) RemoveSubnet(id string) error {
	if s.Subnet(id) == nil {
		return kernel.Errorf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
	}
	now := s.Clock.Now()
	if slices.ContainsFunc(s.Endpoints, func(e *Endpoint) bool {
		return slices.Contains(e.Subnets, id) && e.State(now) != ""
	}) {
		return kernel.Errorf("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", id)
	}
	s.Subnets = slices.DeleteFunc(s.Subnets, func(n *Subnet) bool { return n.ID == id })
	for _, t := range s.Tables {
		t.Subnets = slices.DeleteFunc(t.Subnets, func(n string) bool { return n == id })
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
	ID           string                       `xml:"routeTableId"`
	VpcID        string                       `xml:"vpcId"`
	OwnerID      string                       `xml:"ownerId"`
	Routes       kernel.Items[routeXML]       `xml:"routeSet"`
	Associations kernel.Items[associationXML] `xml:"associationSet"`
	Tags         kernel.Items[Tag]            `xml:"tagSet"`
}

func (s *Network) tableXML(t *RouteTable) tableXML {
	x := tableXML{ID: t.ID, VpcID: t.VPC, OwnerID: s.Options.Account, Tags: kernel.Items[Tag]{Item: s.Tags[t.ID]}}
	for _, r := range t.Routes {
		x.Routes.Item = append(x.Routes.Item, routeXML{
			Destination: r.Destination, Gateway: r.Target, State: "active", Origin: "CreateRouteTable",
		})
	}
	for _, e := range s.Endpoints {
		if e.Kind == "Gateway" && slices.Contains(e.Tables, t.ID) && e.State(s.Clock.Now()) == "available" {
			x.Routes.Item = append(x.Routes.Item, routeXML{
				PrefixList: s.PrefixList(e.Service), Gateway: e.ID, State: "active", Origin: "CreateRoute",
			})
		}
	}
	if t.main {
		x.Associations.Item = append(x.Associations.Item, associationXML{
			"rtbassoc-" + s.Digest("main"+t.ID, 17), t.ID, "", true,
		})
	}
	for _, n := range t.Subnets {
		x.Associations.Item = append(x.Associations.Item, associationXML{s.associationID(n), t.ID, n, false})
	}
	return x
}

// associations are the ids of a route table's associations.
func (s *Network) associations(t *RouteTable) []string {
	var ids []string
	for _, a := range s.tableXML(t).Associations.Item {
		ids = append(ids, a.ID)
	}
	return ids
}

// PrefixList returns the id of the prefix list of an endpoint service.
func (s *Network) PrefixList(service string) string { return "pl-" + s.Digest(service, 8) }

func (s *Network) createRouteTable(_ *kernel.Call, in *struct {
	VpcID            string `query:"VpcId"`
	TagSpecification []tagSpec
	ClientToken      string
}) (*struct {
	Table tableXML `xml:"routeTable"`
}, error) {
	t, err := s.AddRouteTable(in.VpcID)
	if err != nil {
		return nil, err
	}
	s.Tags[t.ID] = tagsOf(in.TagSpecification)
	return &struct {
		Table tableXML `xml:"routeTable"`
	}{s.tableXML(t)}, nil
}

// AddRouteTable adds a route table to a VPC.
func (s *Network) AddRouteTable(vpc string) (*RouteTable, error) {
	v := s.VPC(vpc)
	if v == nil {
		return nil, NoVPC(vpc)
	}
	t := &RouteTable{ID: "rtb-" + s.NewID("rtb", 17), VPC: vpc, Routes: []Route{{v.CIDR, "local"}}}
	s.Tables = append(s.Tables, t)
	return t, nil
}

// RouteInput is the input of CreateRoute.
type RouteInput struct {
	RouteTableID         string `query:"RouteTableId"`
	DestinationCidrBlock string
	GatewayID            string `query:"GatewayId"`
	NatGatewayID         string `query:"NatGatewayId"`
	TransitGatewayID     string `query:"TransitGatewayId"`
	NetworkInterfaceID   string `query:"NetworkInterfaceId"`
	DryRun               bool
}

// CreateRoute adds a route to a table.
func (s *Network) CreateRoute(_ *kernel.Call, in *RouteInput) (*done, error) {
	t := s.Table(in.RouteTableID)
	if t == nil {
		return nil, kernel.Errorf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist",
			in.RouteTableID)
	}
	target := in.GatewayID + in.NatGatewayID + in.TransitGatewayID + in.NetworkInterfaceID
	if target == "" {
		return nil, kernel.Errorf("MissingParameter",
			"The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, "+
				"vpcPeeringConnectionId, transitGatewayId")
	}
	if slices.ContainsFunc(t.Routes, func(r Route) bool { return r.Destination == in.DestinationCidrBlock }) {
		return nil, kernel.Errorf("RouteAlreadyExists", "The route identified by %s already exists.",
			in.DestinationCidrBlock)
	}
	t.Routes = append(t.Routes, Route{in.DestinationCidrBlock, target})
	s.Changed()
	return yes, nil
}

// DeleteRoute deletes a route of a table by its destination.
func (s *Network) DeleteRoute(_ *kernel.Call, in *RouteInput) (*done, error) {
	t := s.Table(in.RouteTableID)
	if t == nil {
		return nil, kernel.Errorf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist",
			in.RouteTableID)
	}
	left := slices.DeleteFunc(slices.Clone(t.Routes), func(r Route) bool {
		return r.Destination == in.DestinationCidrBlock && r.Target != "local"
	})
	if len(left) == len(t.Routes) {
		return nil, kernel.Errorf("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s",
			in.DestinationCidrBlock, in.RouteTableID)
	}
	t.Routes = left
	s.Changed()
	return yes, nil
}

func (s *Network) deleteRouteTable(_ *kernel.Call, in *struct {
	RouteTableID string `query:"RouteTableId"`
	DryRun       bool
}) (*done, error) {
	if err := s.RemoveRouteTable(in.RouteTableID); err != nil {
		return nil, err
	}
	return yes, nil
}

func noTable(id string) error {
	return kernel.Errorf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", id)
}

// RemoveRouteTable deletes a route table that no subnet uses.
func (s *Network) RemoveRouteTable(id string) error {
	t := s.Table(id)
	if t == nil {
		return noTable(id)
	}
	if t.main || len(t.Subnets) > 0 {
		return kernel.Errorf("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", id)
	}
	s.Tables = slices.DeleteFunc(s.Tables, func(x *RouteTable) bool { return x == t })
	return nil
}

// associationID names the association of a subnet with its table.
func (s *Network) associationID(subnet string) string {
	return "rtbassoc-" + s.Digest("assoc"+subnet, 17)
}

func (s *Network) disassociateRouteTable(_ *kernel.Call, in *struct {
	AssociationID string `query:"AssociationId"`
	DryRun        bool
}) (*done, error) {
	if err := s.Disassociate(in.AssociationID); err != nil {
		return nil, err
	}
	return yes, nil
}

// Disassociate removes a subnet from its route table.
func (s *Network) Disassociate(association string) error {
	for _, t := range s.Tables {
		for _, n := range t.Subnets {
			if s.associationID(n) == association {
				t.Subnets = slices.DeleteFunc(t.Subnets, func(x string) bool { return x == n })
				return nil
			}
		}
	}
	return kernel.Errorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", association)
}

func (s *Network) associateRouteTable(_ *kernel.Call, in *struct {
	RouteTableID string `query:"RouteTableId"`
	SubnetID     string `query:"SubnetId"`
}) (*struct {
	ID    string `xml:"associationId"`
	State struct {
		State string `xml:"state"`
	} `xml:"associationState"`
}, error) {
	id, err := s.Associate(in.RouteTableID, in.SubnetID)
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

// Associate makes a subnet use a route table, and returns the association's id.
func (s *Network) Associate(table, subnet string) (string, error) {
	t := s.Table(table)
	if t == nil {
		return "", noTable(table)
	}
	if s.Subnet(subnet) == nil {
		return "", kernel.Errorf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", subnet)
	}
	for _, other := range s.Tables {
		other.Subnets = slices.DeleteFunc(other.Subnets, func(n string) bool { return n == subnet })
	}
	t.Subnets = append(t.Subnets, subnet)
	return s.associationID(subnet), nil
}

func (s *Network) describeRouteTables(_ *kernel.Call, in *struct {
	RouteTableID []string `query:"RouteTableId"`
	Filter       []filter
	pages
}) (*struct {
	Tables kernel.Items[tableXML] `xml:"routeTableSet"`
}, error) {
	out := &struct {
		Tables kernel.Items[tableXML] `xml:"routeTableSet"`
	}{}
	for _, id := range in.RouteTableID {
		if s.Table(id) == nil {
			return nil, kernel.Errorf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", id)
		}
	}
	for _, t := range s.Tables {
		ok, err := matches(in.Filter, s.Tags[t.ID], map[string][]string{
			"vpc-id": {t.VPC}, "route-table-id": {t.ID}, "association.subnet-id": t.Subnets,
			"association.route-table-association-id": s.associations(t), "association.main": {fmt.Sprint(t.main)},
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.RouteTableID) == 0 || slices.Contains(in.RouteTableID, t.ID)) {
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
	Protocol string                  `xml:"ipProtocol"`
	From     *int                    `xml:"fromPort"`
	To       *int                    `xml:"toPort"`
	Groups   kernel.Items[pairXML]   `xml:"groups"`
	Ranges   kernel.Items[rangeXML]  `xml:"ipRanges"`
	Lists    kernel.Items[listXML]   `xml:"prefixListIds"`
	Ranges6  kernel.Items[range6XML] `xml:"ipv6Ranges"`
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
	ID          string                      `xml:"groupId"`
	Name        string                      `xml:"groupName"`
	Description string                      `xml:"groupDescription"`
	VpcID       string                      `xml:"vpcId"`
	OwnerID     string                      `xml:"ownerId"`
	ARN         string                      `xml:"securityGroupArn"`
	Ingress     kernel.Items[permissionXML] `xml:"ipPermissions"`
	Egress      kernel.Items[permissionXML] `xml:"ipPermissionsEgress"`
	Tags        kernel.Items[Tag]           `xml:"tagSet"`
}

func (s *Network) permissionsXML(ps []Permission) kernel.Items[permissionXML] {
	var out kernel.Items[permissionXML]
	for _, p := range ps {
		x := permissionXML{Protocol: p.Protocol}
		if p.Protocol != "-1" {
			x.From, x.To = &p.From, &p.To
		}
		switch {
		case p.Group != "":
			x.Groups.Item = append(x.Groups.Item, pairXML{p.Group, s.Options.Account, p.Description})
		case p.PrefixList != "":
			x.Lists.Item = append(x.Lists.Item, listXML{p.PrefixList, p.Description})
		case strings.Contains(p.CIDR, ":"):
			x.Ranges6.Item = append(x.Ranges6.Item, range6XML{p.CIDR, p.Description})
		default:
			x.Ranges.Item = append(x.Ranges.Item, rangeXML{p.CIDR, p.Description})
		}
		out.Item = append(out.Item, x)
	}
	return out
}

func (s *Network) createSecurityGroup(_ *kernel.Call, in *struct {
	GroupName, GroupDescription string
	VpcID                       string `query:"VpcId"`
	TagSpecification            []tagSpec
}) (*struct {
	ID   string            `xml:"groupId"`
	ARN  string            `xml:"securityGroupArn"`
	Tags kernel.Items[Tag] `xml:"tagSet"`
}, error) {
	if s.VPC(in.VpcID) == nil {
		return nil, kernel.Errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", in.VpcID)
	}
	if slices.ContainsFunc(s.Groups, func(g *SecurityGroup) bool {
		return g.VPC == in.VpcID && g.Name == in.GroupName
	}) {
		return nil, kernel.Errorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'",
			in.GroupName, in.VpcID)
	}
	g := s.AddGroup("sg-"+s.NewID("sg", 17), in.VpcID, in.GroupName, in.GroupDescription)
	s.Tags[g.ID] = tagsOf(in.TagSpecification)
	return &struct {
		ID   string            `xml:"groupId"`
		ARN  string            `xml:"securityGroupArn"`
		Tags kernel.Items[Tag] `xml:"tagSet"`
	}{g.ID, s.ARN("ec2", "security-group/"+g.ID), kernel.Items[Tag]{Item: s.Tags[g.ID]}}, nil
}

// ruleIn adds rules to a security group or removes them.
type ruleIn struct {
	GroupID       string         `query:"GroupId"`
	IPPermissions []permissionIn `query:"IpPermissions"`
	IPProtocol    string         `query:"IpProtocol"`
	FromPort      int
	ToPort        int
	CidrIP        string `query:"CidrIp"`
}

// permissions returns the requested rules, one source each.
func (s *Network) permissions(in *ruleIn) (*SecurityGroup, []Permission, error) {
	g := s.Group(in.GroupID)
	if g == nil {
		return nil, nil, kernel.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", in.GroupID)
	}
	var out []Permission
	if in.CidrIP != "" {
		out = append(out, Permission{Protocol: in.IPProtocol, From: in.FromPort, To: in.ToPort, CIDR: in.CidrIP})
	}
	for _, p := range in.IPPermissions {
		x := Permission{Protocol: p.IPProtocol, From: p.FromPort, To: p.ToPort}
		if x.Protocol == "-1" {
			x.From, x.To = 0, 0
		}
		for _, r := range p.IPRanges {
			y := x
			y.CIDR, y.Description = r.CidrIP, r.Description
			out = append(out, y)
		}
		for _, r := range p.IPv6Ranges {
			y := x
			y.CIDR, y.Description = r.CidrIPv6, r.Description
			out = append(out, y)
		}
		for _, r := range p.Groups {
			if s.Group(r.GroupID) == nil {
				return nil, nil, kernel.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist",
					r.GroupID)
			}
			y := x
			y.Group, y.Description = r.GroupID, r.Description
			out = append(out, y)
		}
		for _, r := range p.PrefixListIDs {
			y := x
			y.PrefixList, y.Description = r.PrefixListID, r.Description
			out = append(out, y)
		}
	}
	return g, out, nil
}

func (s *Network) authorizeIngress(_ *kernel.Call, in *ruleIn) (*done, error) {
	g, ps, err := s.permissions(in)
	if err != nil {
		return nil, err
	}
	if g.Ingress, err = more(g.Ingress, ps); err != nil {
		return nil, err
	}
	return yes, nil
}

func (s *Network) authorizeEgress(_ *kernel.Call, in *ruleIn) (*done, error) {
	g, ps, err := s.permissions(in)
	if err != nil {
		return nil, err
	}
	if g.Egress, err = more(g.Egress, ps); err != nil {
		return nil, err
	}
	return yes, nil
}

func (s *Network) revokeIngress(_ *kernel.Call, in *ruleIn) (*done, error) {
	g, ps, err := s.permissions(in)
	if err != nil {
		return nil, err
	}
	if g.Ingress, err = less(g.Ingress, ps); err != nil {
		return nil, err
	}
	s.Changed()
	return yes, nil
}

func (s *Network) revokeEgress(_ *kernel.Call, in *ruleIn) (*done, error) {
	g, ps, err := s.permissions(in)
	if err != nil {
		return nil, err
	}
	if g.Egress, err = less(g.Egress, ps); err != nil {
		return nil, err
	}
	s.Changed()
	return yes, nil
}

// more returns list with added, less returns it without gone; descriptions do not
// matter.
func more(list, added []Permission) ([]Permission, error) {
	for _, x := range added {
		if slices.ContainsFunc(list, x.same) {
			return nil, kernel.Errorf("InvalidPermission.Duplicate", "the specified rule %q already exists",
				"peer: "+cmp.Or(x.CIDR, x.Group, x.PrefixList)+", "+x.Protocol)
		}
	}
	return append(list, added...), nil
}

func less(list, gone []Permission) ([]Permission, error) {
	for _, x := range gone {
		if !slices.ContainsFunc(list, x.same) {
			return nil, kernel.Errorf("InvalidPermission.NotFound",
				"The specified rule does not exist in this security group.")
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(p Permission) bool {
		return slices.ContainsFunc(gone, p.same)
	}), nil
}

func (p Permission) same(x Permission) bool {
	return x.Protocol == p.Protocol && (x.Protocol == "-1" || x.From == p.From && x.To == p.To) && x.CIDR == p.CIDR &&
		x.Group == p.Group && x.PrefixList == p.PrefixList
}

func (s *Network) describeSecurityGroups(_ *kernel.Call, in *struct {
	GroupID []string `query:"GroupId"`
	Filter  []filter
	pages
}) (*struct {
	Groups kernel.Items[groupXML] `xml:"securityGroupInfo"`
}, error) {
	out := &struct {
		Groups kernel.Items[groupXML] `xml:"securityGroupInfo"`
	}{}
	for _, id := range in.GroupID {
		if s.Group(id) == nil {
			return nil, kernel.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
	}
	for _, g := range s.Groups {
		ok, err := matches(in.Filter, s.Tags[g.ID], map[string][]string{
			"vpc-id": {g.VPC}, "group-id": {g.ID}, "group-name": {g.Name},
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.GroupID) == 0 || slices.Contains(in.GroupID, g.ID)) {
			out.Groups.Item = append(out.Groups.Item,
				groupXML{g.ID, g.Name, g.description, g.VPC, s.Options.Account, s.ARN("ec2", "security-group/"+g.ID),
					s.permissionsXML(g.Ingress), s.permissionsXML(g.Egress), kernel.Items[Tag]{Item: s.Tags[g.ID]}})
		}
	}
	return out, nil
}

func (s *Network) deleteSecurityGroup(_ *kernel.Call, in *struct {
	GroupID string `query:"GroupId"`
}) (*done, error) {
	if err := s.RemoveGroup(in.GroupID); err != nil {
		return nil, err
	}
	return yes, nil
}

// RemoveGroup deletes a security group that nothing uses.
func (s *Network) RemoveGroup(id string) error {
	if s.Group(id) == nil {
		return kernel.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
	}
	now := s.Clock.Now()
	inUse := slices.ContainsFunc(s.Endpoints, func(e *Endpoint) bool {
		return slices.Contains(e.Groups, id) && e.State(now) != ""
	})
	for _, g := range s.Groups {
		inUse = inUse ||
			g.ID != id && slices.ContainsFunc(append(slices.Clone(g.Ingress), g.Egress...), func(p Permission) bool {
				return p.Group == id
			})
	}
	if inUse || s.NetworkRefs(id) > 0 {
		return kernel.Errorf("DependencyViolation", "resource %s has a dependent object", id)
	}
	s.Groups = slices.DeleteFunc(s.Groups, func(g *SecurityGroup) bool { return g.ID == id })
	return nil
}

type zoneXML struct {
	Name   string `xml:"zoneName"`
	ID     string `xml:"zoneId"`
	State  string `xml:"zoneState"`
	Region string `xml:"regionName"`
}

func (s *Network) describeZones(_ *kernel.Call, in *struct {
	ZoneName []string
	Filter   []filter
	pages
}) (*struct {
	Zones kernel.Items[zoneXML] `xml:"availabilityZoneInfo"`
}, error) {
	out := &struct {
		Zones kernel.Items[zoneXML] `xml:"availabilityZoneInfo"`
	}{}
	for i, z := range s.Zones() {
		if len(in.ZoneName) == 0 || slices.Contains(in.ZoneName, z) {
			out.Zones.Item = append(out.Zones.Item, zoneXML{
				z, fmt.Sprintf("use1-az%d", i+1), "available", s.Options.Region,
			})
		}
	}
	return out, nil
}

func (s *Network) createTags(_ *kernel.Call, in *struct {
	ResourceID []string `query:"ResourceId"`
	Tag        []Tag
}) (*done, error) {
	for _, id := range in.ResourceID {
		for _, t := range in.Tag {
			s.Tags[id] = append(slices.DeleteFunc(s.Tags[id], func(o Tag) bool { return o.Key == t.Key }), t)
			if e := s.Endpoint(id); e != nil {
				e.Tags = append(slices.DeleteFunc(e.Tags, func(o Tag) bool { return o.Key == t.Key }), t)
			}
		}
	}
	return yes, nil
}

func (s *Network) deleteTags(_ *kernel.Call, in *struct {
	ResourceID []string `query:"ResourceId"`
	Tag        []Tag
	DryRun     bool
}) (*done, error) {
	gone := func(o Tag) bool {
		return len(in.Tag) == 0 || slices.ContainsFunc(in.Tag, func(t Tag) bool {
			return t.Key == o.Key && (t.Value == "" || t.Value == o.Value)
		})
	}
	for _, id := range in.ResourceID {
		s.Tags[id] = slices.DeleteFunc(slices.Clone(s.Tags[id]), gone)
		if e := s.Endpoint(id); e != nil {
			e.Tags = s.Tags[id]
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

func (s *Network) describeTags(_ *kernel.Call, in *struct {
	Filter []filter
	pages
}) (*struct {
	Tags kernel.Items[tagXML] `xml:"tagSet"`
}, error) {
	out := &struct {
		Tags kernel.Items[tagXML] `xml:"tagSet"`
	}{}
	kinds := map[string]string{
		"vpc": "vpc", "subnet": "subnet", "sg": "security-group", "rtb": "route-table", "vpce": "vpc-endpoint",
	}
	for _, id := range kernel.SortedKeys(s.Tags) {
		prefix, _, _ := strings.Cut(id, "-")
		for _, t := range s.Tags[id] {
			ok, err := matches(in.Filter, nil, map[string][]string{
				"resource-id": {id}, "key": {t.Key}, "value": {t.Value}, "resource-type": {kinds[prefix]},
			})
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
