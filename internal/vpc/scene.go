package vpc

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
)

// Look returns the current state of a task's VPC, and the security groups of the
// task and of the endpoints, by id.
func (r *Reader) Look(ctx context.Context, subnets,
	groups []string) (endpoints.VPC, map[string]endpoints.SecurityGroup, error) {
	v, err := r.subnets(ctx, subnets)
	if err != nil {
		return v, nil, err
	}
	for _, read := range []func(context.Context, *endpoints.VPC) error{
		r.dns, r.routeTables, r.hostedZones,
		func(ctx context.Context, v *endpoints.VPC) error { return r.endpoints(ctx, v, nil) },
	} {
		if err := read(ctx, &v); err != nil {
			return v, nil, err
		}
	}
	ids := slices.Clone(groups)
	for _, e := range v.Endpoints {
		ids = append(ids, e.SecurityGroups...)
	}
	slices.Sort(ids)
	found, err := r.Groups(ctx, slices.Compact(ids))
	return v, found, err
}

// ACLs reads the network ACLs of a VPC.
func (r *Reader) ACLs(ctx context.Context, vpc string) ([]endpoints.ACL, error) {
	result, err := r.api.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{
		Filters: []types.Filter{filter("vpc-id", vpc)},
	})
	if err != nil {
		return nil, awserr.Mark(err, "describe the network ACLs of %s", vpc)
	}
	var out []endpoints.ACL
	for _, a := range result.NetworkAcls {
		acl := endpoints.ACL{ID: aws.ToString(a.NetworkAclId)}
		for _, x := range a.Associations {
			acl.Subnets = append(acl.Subnets, aws.ToString(x.SubnetId))
		}
		for _, e := range a.Entries {
			entry := endpoints.ACLEntry{
				Number: int(aws.ToInt32(e.RuleNumber)), Egress: aws.ToBool(e.Egress),
				Allow: e.RuleAction == types.RuleActionAllow, Protocol: aws.ToString(e.Protocol),
				CIDR: aws.ToString(e.CidrBlock),
			}
			if e.PortRange != nil {
				entry.From, entry.To = int(aws.ToInt32(e.PortRange.From)), int(aws.ToInt32(e.PortRange.To))
			}
			acl.Entries = append(acl.Entries, entry)
		}
		out = append(out, acl)
	}
	return out, nil
}

// Groups reads security groups. It queries by filter: a query by id fails if one
// of them is gone.
func (r *Reader) Groups(ctx context.Context, ids []string) (map[string]endpoints.SecurityGroup, error) {
	found := map[string]endpoints.SecurityGroup{}
	if len(ids) == 0 {
		return found, nil
	}
	out, err := r.api.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{filter("group-id", ids...)},
	})
	if err != nil {
		return nil, awserr.Mark(err, "describe %d security groups", len(ids))
	}
	for _, g := range out.SecurityGroups {
		id := aws.ToString(g.GroupId)
		found[id] = endpoints.SecurityGroup{
			ID: id, Ingress: rules(g.IpPermissions), Egress: rules(g.IpPermissionsEgress),
		}
	}
	return found, nil
}

func rules(permissions []types.IpPermission) []endpoints.Rule {
	var out []endpoints.Rule
	for _, p := range permissions {
		r := endpoints.Rule{
			Protocol: aws.ToString(p.IpProtocol), From: int(aws.ToInt32(p.FromPort)), To: int(aws.ToInt32(p.ToPort)),
		}
		if r.Protocol == "6" {
			r.Protocol = "tcp"
		}
		for _, x := range p.IpRanges {
			r.CIDRs = append(r.CIDRs, aws.ToString(x.CidrIp))
		}
		for _, x := range p.UserIdGroupPairs {
			r.Groups = append(r.Groups, aws.ToString(x.GroupId))
		}
		for _, x := range p.PrefixListIds {
			r.PrefixLists = append(r.PrefixLists, aws.ToString(x.PrefixListId))
		}
		out = append(out, r)
	}
	return out
}
