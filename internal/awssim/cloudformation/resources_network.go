package cloudformation

// These resources serve templates that create their own network, as those of the
// CDK and of Terraform users do.

import (
	"encoding/json"
	"errors"
	"strings"

	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
)

// removal completes the deletion of a resource with the result of its API call: a
// missing resource counts as deleted.
func (s *Service) removal(err error, finish func(error)) {
	var e *kernel.APIError
	if errors.As(err, &e) && (strings.HasSuffix(e.Code, ".NotFound") || e.Code == "NoSuchEntity") {
		err = nil
	}
	s.Clock.After(stepTakes, func() { finish(err) })
}

func createVPCResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	if err := only(r, []string{"CidrBlock"}, []string{
		"EnableDnsSupport", "EnableDnsHostnames", "InstanceTenancy", "Tags",
	}); err != nil {
		return err
	}
	v := s.EC2.AddVPC("vpc-"+s.NewID("vpc", 17), kernel.Text(r.Properties, "CidrBlock"))
	r.Physical = v.ID
	r.Attributes["VpcId"], r.Attributes["CidrBlock"] = v.ID, v.CIDR
	r.Attributes["DefaultSecurityGroup"] = kernel.Find(s.EC2.Groups, func(g *ec2.SecurityGroup) bool {
		return g.VPC == v.ID
	}).ID
	s.soon(finish)
	return updateVPCResource(s, st, r)
}

func updateVPCResource(s *Service, st *Stack, r *Resource) error {
	v := s.EC2.VPC(r.Physical)
	if v == nil {
		return ec2.NoVPC(r.Physical)
	}
	v.DNSSupport, v.DNSHostnames = kernel.Text(r.Properties, "EnableDnsSupport") != "false", kernel.Text(r.Properties,
		"EnableDnsHostnames") == "true"
	s.EC2.Tags[v.ID] = StackTags(st, r)
	s.EC2.Changed()
	return nil
}

func removeVPCResource(s *Service, r *Resource, finish func(error)) {
	s.removal(s.EC2.RemoveVPC(r.Physical), finish)
}

func createSubnetResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	if err := only(r, []string{"VpcId"}, []string{
		"CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch", "Tags",
	}); err != nil {
		return err
	}
	n, err := s.EC2.AddSubnet(kernel.Text(r.Properties, "VpcId"), kernel.Text(r.Properties, "AvailabilityZone"),
		kernel.Text(r.Properties, "CidrBlock"))
	if err != nil {
		return err
	}
	r.Physical = n.ID
	r.Attributes["SubnetId"] = n.ID
	r.Attributes["AvailabilityZone"] = n.Zone
	r.Attributes["VpcId"] = n.VPC
	r.Attributes["CidrBlock"] = n.CIDR
	s.soon(finish)
	return retagResource(s, st, r)
}

func removeSubnetResource(s *Service, r *Resource, finish func(error)) {
	s.removal(s.EC2.RemoveSubnet(r.Physical), finish)
}

// retagResource gives a resource of EC2 the tags of its template and its stack.
func retagResource(s *Service, st *Stack, r *Resource) error {
	s.EC2.Tags[r.Physical] = StackTags(st, r)
	return nil
}

func createRouteTableResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	if err := only(r, []string{"VpcId"}, []string{"Tags"}); err != nil {
		return err
	}
	t, err := s.EC2.AddRouteTable(kernel.Text(r.Properties, "VpcId"))
	if err != nil {
		return err
	}
	r.Physical, r.Attributes["RouteTableId"] = t.ID, t.ID
	s.soon(finish)
	return retagResource(s, st, r)
}

func removeRouteTableResource(s *Service, r *Resource, finish func(error)) {
	s.removal(s.EC2.RemoveRouteTable(r.Physical), finish)
}

func createRouteResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	in := &ec2.RouteInput{
		RouteTableID:         kernel.Text(r.Properties, "RouteTableId"),
		DestinationCidrBlock: kernel.Text(r.Properties, "DestinationCidrBlock"),
		GatewayID:            kernel.Text(r.Properties, "GatewayId"),
		NatGatewayID:         kernel.Text(r.Properties, "NatGatewayId"),
		TransitGatewayID:     kernel.Text(r.Properties, "TransitGatewayId"),
		NetworkInterfaceID:   kernel.Text(r.Properties, "NetworkInterfaceId"),
	}
	if _, err := s.EC2.CreateRoute(nil, in); err != nil {
		return err
	}
	r.Physical = in.RouteTableID + "|" + in.DestinationCidrBlock
	s.soon(finish)
	return nil
}

func removeRouteResource(s *Service, r *Resource, finish func(error)) {
	table, destination, _ := strings.Cut(r.Physical, "|")
	_, err := s.EC2.DeleteRoute(nil, &ec2.RouteInput{RouteTableID: table, DestinationCidrBlock: destination})
	s.removal(err, finish)
}

func createAssociationResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	id, err := s.EC2.Associate(kernel.Text(r.Properties, "RouteTableId"), kernel.Text(r.Properties, "SubnetId"))
	if err != nil {
		return err
	}
	r.Physical, r.Attributes["Id"] = id, id
	s.soon(finish)
	return nil
}

func removeAssociationResource(s *Service, r *Resource, finish func(error)) {
	s.removal(s.EC2.Disassociate(r.Physical), finish)
}

// createInlinePolicy adds an inline policy to the roles that it names.
func createInlinePolicy(s *Service, st *Stack, r *Resource, finish func(error)) error {
	if err := only(r, []string{"PolicyDocument", "PolicyName"}, []string{"Roles"}); err != nil {
		return err
	}
	r.Physical = st.Name + "-" + strings.ToUpper(s.Digest(st.ID+r.Logical, 12))
	s.soon(finish)
	return updateInlinePolicy(s, st, r)
}

func updateInlinePolicy(s *Service, _ *Stack, r *Resource) error {
	roles := kernel.Texts(r.Properties, "Roles")
	if len(roles) == 0 {
		return reasonf("At least one of [Groups,Roles,Users] must be non-empty.")
	}
	body, err := json.Marshal(r.Properties["PolicyDocument"])
	if err != nil {
		return err
	}
	for _, name := range roles {
		role := s.IAM.Role(name)
		if role == nil {
			return iam.NoRole(name)
		}
		role.Policies[kernel.Text(r.Properties, "PolicyName")] = string(body)
	}
	return nil
}

func removeInlinePolicy(s *Service, r *Resource, finish func(error)) {
	for _, name := range kernel.Texts(r.Properties, "Roles") {
		if role := s.IAM.Role(name); role != nil {
			delete(role.Policies, kernel.Text(r.Properties, "PolicyName"))
		}
	}
	s.soon(finish)
}
