// Package vpc reads a VPC and its endpoints from EC2, and deletes endpoints that a
// set's stack left behind.
package vpc

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/scheduler"
)

// ec2API is the part of *ec2.Client that Reader calls.
type ec2API interface {
	DescribeSubnets(context.Context, *ec2.DescribeSubnetsInput,
		...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error)
	DescribeVpcAttribute(context.Context, *ec2.DescribeVpcAttributeInput,
		...func(*ec2.Options)) (*ec2.DescribeVpcAttributeOutput, error)
	DescribeRouteTables(context.Context, *ec2.DescribeRouteTablesInput,
		...func(*ec2.Options)) (*ec2.DescribeRouteTablesOutput, error)
	DescribeVpcEndpointServices(context.Context, *ec2.DescribeVpcEndpointServicesInput,
		...func(*ec2.Options)) (*ec2.DescribeVpcEndpointServicesOutput, error)
	DescribeVpcEndpoints(context.Context, *ec2.DescribeVpcEndpointsInput,
		...func(*ec2.Options)) (*ec2.DescribeVpcEndpointsOutput, error)
	DescribeSecurityGroups(context.Context, *ec2.DescribeSecurityGroupsInput,
		...func(*ec2.Options)) (*ec2.DescribeSecurityGroupsOutput, error)
	DescribeNetworkAcls(context.Context, *ec2.DescribeNetworkAclsInput,
		...func(*ec2.Options)) (*ec2.DescribeNetworkAclsOutput, error)
	DeleteVpcEndpoints(context.Context, *ec2.DeleteVpcEndpointsInput,
		...func(*ec2.Options)) (*ec2.DeleteVpcEndpointsOutput, error)
}

var _ ec2API = (*ec2.Client)(nil)

// zonesAPI is the part of *route53.Client that Reader calls.
type zonesAPI interface {
	ListHostedZonesByVPC(context.Context, *route53.ListHostedZonesByVPCInput,
		...func(*route53.Options)) (*route53.ListHostedZonesByVPCOutput, error)
}

var _ zonesAPI = (*route53.Client)(nil)

// Tag is a tag that marks the resources of a set.
type Tag struct{ Key, Value string }

// Reader reads VPCs in one Region.
type Reader struct {
	api             ec2API
	zones           zonesAPI
	region, account string
}

// New returns a Reader for an account.
func New(api ec2API, zones zonesAPI, region, account string) *Reader {
	return &Reader{api, zones, region, account}
}

// Inspect returns what a plan needs to know about the VPC of subnets. owned are
// the ids of the set's own endpoints.
func (r *Reader) Inspect(ctx context.Context, subnets []string, services []endpoints.Service,
	owned []string) (endpoints.VPC, error) {
	v, err := r.subnets(ctx, subnets)
	if err != nil {
		return v, err
	}
	for _, read := range []func(context.Context, *endpoints.VPC) error{
		r.dns, r.routeTables, r.hostedZones,
		func(ctx context.Context, v *endpoints.VPC) error { return r.offered(ctx, v, services) },
		func(ctx context.Context, v *endpoints.VPC) error { return r.endpoints(ctx, v, owned) },
	} {
		if err := read(ctx, &v); err != nil {
			return v, err
		}
	}
	return v, nil
}

func (r *Reader) subnets(ctx context.Context, ids []string) (endpoints.VPC, error) {
	var v endpoints.VPC
	out, err := r.api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: ids})
	if err != nil {
		if strings.HasPrefix(awserr.Code(err), "InvalidSubnetID") {
			return v, &endpoints.PlanError{
				What:   fmt.Sprintf("describe subnets %s: %v", strings.Join(ids, ", "), err),
				Remedy: "name subnets of this account and Region under sets.<name>.subnets",
			}
		}
		return v, awserr.Mark(err, "describe subnets %s", strings.Join(ids, ", "))
	}
	for _, s := range out.Subnets {
		if owner := aws.ToString(s.OwnerId); owner != r.account {
			v.SharedBy = owner
		}
		free := int(aws.ToInt32(s.AvailableIpAddressCount))
		if free == 0 && s.AvailableIpAddressCount != nil {
			free = -1
		}
		v.Subnets = append(v.Subnets, endpoints.Subnet{
			ID: aws.ToString(s.SubnetId), VPC: aws.ToString(s.VpcId), Zone: aws.ToString(s.AvailabilityZone),
			CIDR: aws.ToString(s.CidrBlock), Free: free,
		})
	}
	if len(v.Subnets) > 0 {
		v.ID = v.Subnets[0].VPC
	}
	return v, nil
}

func (r *Reader) dns(ctx context.Context, v *endpoints.VPC) error {
	for _, a := range []types.VpcAttributeName{
		types.VpcAttributeNameEnableDnsSupport, types.VpcAttributeNameEnableDnsHostnames,
	} {
		out, err := r.api.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{
			VpcId: aws.String(v.ID), Attribute: a,
		})
		if err != nil {
			return awserr.Mark(err, "describe %s of %s", a, v.ID)
		}
		if out.EnableDnsSupport != nil {
			v.DNSSupport = aws.ToBool(out.EnableDnsSupport.Value)
		}
		if out.EnableDnsHostnames != nil {
			v.DNSHostnames = aws.ToBool(out.EnableDnsHostnames.Value)
		}
	}
	return nil
}

// routeTables gives every subnet its route table, its own or the VPC's main one,
// and the table's default route.
func (r *Reader) routeTables(ctx context.Context, v *endpoints.VPC) error {
	out, err := r.api.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{
		Filters: []types.Filter{filter("vpc-id", v.ID)},
	})
	if err != nil {
		return awserr.Mark(err, "describe the route tables of %s", v.ID)
	}
	wayOut := map[string]string{}
	for _, t := range out.RouteTables {
		for _, x := range t.Routes {
			if aws.ToString(x.DestinationCidrBlock) == "0.0.0.0/0" && x.State != types.RouteStateBlackhole {
				wayOut[aws.ToString(t.RouteTableId)] = cmp.Or(aws.ToString(x.NatGatewayId),
					aws.ToString(x.TransitGatewayId), aws.ToString(x.NetworkInterfaceId),
					aws.ToString(x.VpcPeeringConnectionId))
			}
		}
		for _, a := range t.Associations {
			for i := range v.Subnets {
				s := &v.Subnets[i]
				if aws.ToString(a.SubnetId) == s.ID || aws.ToBool(a.Main) && s.RouteTable == "" {
					s.RouteTable = aws.ToString(t.RouteTableId)
				}
			}
		}
	}
	for i, s := range v.Subnets {
		v.Subnets[i].WayOut = wayOut[s.RouteTable]
	}
	return nil
}

// hostedZones reads the private hosted zones associated with the VPC. It leaves
// out those owned by AWS services, such as those of endpoints. It ignores missing
// permission: CloudFormation then reports a conflict, late but clearly.
func (r *Reader) hostedZones(ctx context.Context, v *endpoints.VPC) error {
	in := &route53.ListHostedZonesByVPCInput{VPCId: aws.String(v.ID), VPCRegion: r53types.VPCRegion(r.region)}
	for {
		out, err := r.zones.ListHostedZonesByVPC(ctx, in)
		if awserr.Code(err) == "AccessDenied" || awserr.Code(err) == "AccessDeniedException" {
			return nil
		}
		if err != nil {
			return awserr.Mark(err, "list the hosted zones of %s", v.ID)
		}
		for _, z := range out.HostedZoneSummaries {
			if z.Owner != nil && z.Owner.OwningService == nil {
				v.Zones = append(v.Zones, endpoints.HostedZone{
					ID: aws.ToString(z.HostedZoneId), Name: strings.TrimSuffix(aws.ToString(z.Name), "."),
					Account: aws.ToString(z.Owner.OwningAccount),
				})
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return nil
		}
	}
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

func (r *Reader) offered(ctx context.Context, v *endpoints.VPC, services []endpoints.Service) error {
	v.Offered = map[string][]string{}
	var names []string
	for _, s := range services {
		names = append(names, s.Name(r.region))
	}
	// By filter, not by name: a name that is not offered fails the call.
	out, err := r.api.DescribeVpcEndpointServices(ctx, &ec2.DescribeVpcEndpointServicesInput{
		Filters: []types.Filter{filter("service-name", names...)},
	})
	if err != nil {
		return awserr.Mark(err, "describe endpoint services")
	}
	for _, d := range out.ServiceDetails {
		v.Offered[aws.ToString(d.ServiceName)] = append(v.Offered[aws.ToString(d.ServiceName)], d.AvailabilityZones...)
	}
	return nil
}

func (r *Reader) endpoints(ctx context.Context, v *endpoints.VPC, owned []string) error {
	list, err := r.list(ctx, filter("vpc-id", v.ID))
	if err != nil {
		return awserr.Mark(err, "describe the endpoints of %s", v.ID)
	}
	for _, e := range list {
		v.Endpoints = append(v.Endpoints, endpoints.Endpoint{
			ID: aws.ToString(e.VpcEndpointId), Service: aws.ToString(e.ServiceName),
			Type: endpoints.Type(strings.ToLower(string(e.VpcEndpointType))), State: stateOf(e),
			PrivateDNS: aws.ToBool(e.PrivateDnsEnabled), RouteTables: e.RouteTableIds,
			Owned: slices.Contains(owned, aws.ToString(e.VpcEndpointId)), Tags: tagMap(e.Tags),
			SecurityGroups: groupIDs(e.Groups), Subnets: e.SubnetIds, Policy: aws.ToString(e.PolicyDocument),
			RequesterManaged: aws.ToBool(e.RequesterManaged), Account: aws.ToString(e.OwnerId),
		})
	}
	return nil
}

func groupIDs(groups []types.SecurityGroupIdentifier) []string {
	var out []string
	for _, g := range groups {
		out = append(out, aws.ToString(g.GroupId))
	}
	return out
}

// stateOf returns an endpoint's state in lower case: EC2 answers in lower case
// while the SDK's constants are capitalised.
func stateOf(e types.VpcEndpoint) string { return strings.ToLower(string(e.State)) }

func carries(tags []types.Tag, want []Tag) bool {
	for _, w := range want {
		if !slices.ContainsFunc(tags, func(t types.Tag) bool {
			return aws.ToString(t.Key) == w.Key && aws.ToString(t.Value) == w.Value
		}) {
			return false
		}
	}
	return true
}

func tagMap(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

func (r *Reader) list(ctx context.Context, filters ...types.Filter) ([]types.VpcEndpoint, error) {
	var all []types.VpcEndpoint
	var next *string
	for {
		out, err := r.api.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{Filters: filters, NextToken: next})
		if err != nil {
			return nil, err
		}
		all = append(all, out.VpcEndpoints...)
		if next = out.NextToken; aws.ToString(next) == "" {
			return all, nil
		}
	}
}

// Bounds say where an endpoint of a set can be: in VPC, of one of Services (their
// names as EC2 writes them), with all of Tags.
type Bounds struct {
	VPC      string
	Services []string
	Tags     []Tag
}

func (b Bounds) include(e types.VpcEndpoint) bool {
	return b.VPC != "" && aws.ToString(e.VpcId) == b.VPC && slices.Contains(b.Services, aws.ToString(e.ServiceName)) &&
		carries(e.Tags, b.Tags)
}

// byID lists endpoints. It queries by filter: a query by id fails as a whole once one of
// them is gone.
func (r *Reader) byID(ctx context.Context, ids []string) ([]types.VpcEndpoint, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	list, err := r.list(ctx, filter("vpc-endpoint-id", ids...))
	return list, awserr.Mark(err, "describe endpoints %s", strings.Join(ids, ", "))
}

// Count counts the endpoints with these ids, within bounds if there are any.
func (r *Reader) Count(ctx context.Context, ids []string, within *Bounds) (scheduler.EndpointCount, error) {
	list, err := r.byID(ctx, ids)
	if err != nil {
		return scheduler.EndpointCount{}, err
	}
	if within != nil {
		list = slices.DeleteFunc(list, func(e types.VpcEndpoint) bool { return !within.include(e) })
	}
	return count(list), nil
}

// CountTagged counts the endpoints within bounds, whoever created them.
func (r *Reader) CountTagged(ctx context.Context, within Bounds) (scheduler.EndpointCount, error) {
	list, err := r.Tagged(ctx, within.Tags...)
	return count(slices.DeleteFunc(list, func(e types.VpcEndpoint) bool { return !within.include(e) })), err
}

// Tagged lists the endpoints that carry all of tags, in any VPC.
func (r *Reader) Tagged(ctx context.Context, tags ...Tag) ([]types.VpcEndpoint, error) {
	var filters []types.Filter
	for _, t := range tags {
		filters = append(filters, filter("tag:"+t.Key, t.Value))
	}
	list, err := r.list(ctx, filters...)
	return list, awserr.Mark(err, "describe the endpoints with tag %s=%s", tags[0].Key, tags[0].Value)
}

// Stranger is an endpoint with an installation's owner tag that belongs to none of its
// stacks: left behind unexpectedly, or tagged by another user. It is billed, and never
// deleted by us.
type Stranger struct {
	ID, Service, VPC string
	// Set is the set that its tags name, Created its creation time.
	Set     string
	Created time.Time
}

func (s Stranger) String() string {
	of := ""
	if s.Set != "" {
		of = " of set " + s.Set
	}
	return fmt.Sprintf("%s (%s in %s)%s", s.ID, s.Service, s.VPC, of)
}

// Strangers lists the interface endpoints that carry an installation's owner tag and are
// not among those that held returns for the set that their tags name.
func (r *Reader) Strangers(ctx context.Context, owner string,
	held func(set string) ([]string, error)) ([]Stranger, error) {
	list, err := r.Tagged(ctx, Tag{cfn.OwnerTag, owner})
	if err != nil {
		return nil, err
	}
	bySet := map[string][]string{}
	var out []Stranger
	for _, e := range list {
		if s := stateOf(e); e.VpcEndpointType != types.VpcEndpointTypeInterface || s == "deleting" || s == "deleted" {
			continue
		}
		set := tagMap(e.Tags)[cfn.SetTag]
		if _, asked := bySet[set]; !asked {
			if bySet[set], err = held(set); err != nil {
				return nil, err
			}
		}
		if id := aws.ToString(e.VpcEndpointId); !slices.Contains(bySet[set], id) {
			out = append(out, Stranger{
				id, aws.ToString(e.ServiceName), aws.ToString(e.VpcId), set, aws.ToTime(e.CreationTimestamp),
			})
		}
	}
	slices.SortFunc(out, func(x, y Stranger) int { return strings.Compare(x.ID, y.ID) })
	return out, nil
}

func count(list []types.VpcEndpoint) scheduler.EndpointCount {
	var c scheduler.EndpointCount
	for _, e := range list {
		switch stateOf(e) {
		case "available":
			c.Available++
		case "pending", "pendingacceptance", "partial":
			c.Pending++
		case "deleting":
			c.Deleting++
		case "deleted":
			continue
		default: // failed, rejected, expired
			c.Failed++
			c.FailureReason = fmt.Sprintf("%s (%s) is %s", aws.ToString(e.VpcEndpointId), aws.ToString(e.ServiceName),
				stateOf(e))
			if e.LastError != nil {
				c.FailureReason += ": " + aws.ToString(e.LastError.Message)
				c.NoCapacity = c.NoCapacity ||
					cfn.IsCapacity(aws.ToString(e.LastError.Code)+" "+aws.ToString(e.LastError.Message))
			}
		}
		if at := aws.ToTime(e.CreationTimestamp); e.VpcEndpointType == types.VpcEndpointTypeInterface && !at.IsZero() &&
			(c.FirstCreated.IsZero() || at.Before(c.FirstCreated)) {
			c.FirstCreated = at
		}
	}
	return c
}

// Sweep deletes the endpoints with these ids that are within bounds.
func (r *Reader) Sweep(ctx context.Context, held []string, within Bounds) error {
	list, err := r.byID(ctx, held)
	if err != nil {
		return err
	}
	var ids []string
	for _, e := range list {
		if s := stateOf(e); within.include(e) && s != "deleting" && s != "deleted" {
			ids = append(ids, aws.ToString(e.VpcEndpointId))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	out, err := r.api.DeleteVpcEndpoints(ctx, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: ids})
	if err != nil {
		return awserr.Mark(err, "delete endpoints %s", strings.Join(ids, ", "))
	}
	for _, u := range out.Unsuccessful { // a reply that succeeds may list failures
		if u.Error != nil && !strings.Contains(aws.ToString(u.Error.Code), "NotFound") {
			return fmt.Errorf("delete endpoint %s: %s: %s", aws.ToString(u.ResourceId), aws.ToString(u.Error.Code),
				aws.ToString(u.Error.Message))
		}
	}
	return nil
}
