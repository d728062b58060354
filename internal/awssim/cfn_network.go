package awssim

import (
	"encoding/json"
	"errors"
	"strings"
)

// Templates that make a network of their own, as the CDK's and Terraform users' do:
// AWS::EC2::VPC, Subnet, RouteTable, Route, SubnetRouteTableAssociation, and the
// AWS::IAM::Policy that the CDK writes beside each role.

// removal ends the deletion of a resource by the call that deletes it: what is gone
// already was deleted.
func (s *Sim) removal(err error, finish func(error)) {
	var e *apiError
	if errors.As(err, &e) && (strings.HasSuffix(e.Code, ".NotFound") || e.Code == "NoSuchEntity") {
		err = nil
	}
	s.clock.after(stepTakes, func() { finish(err) })
}

func createVPCResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	if err := only(r, []string{"CidrBlock"}, []string{"EnableDnsSupport", "EnableDnsHostnames", "InstanceTenancy", "Tags"}); err != nil {
		return err
	}
	v := s.addVpc("vpc-"+s.id("vpc", 17), text(r.properties, "CidrBlock"))
	r.physical = v.id
	r.attributes["VpcId"], r.attributes["CidrBlock"] = v.id, v.cidr
	r.attributes["DefaultSecurityGroup"] = find(s.ec2.groups, func(g *securityGroup) bool { return g.vpc == v.id }).id
	s.soon(finish)
	return updateVPCResource(s, st, r)
}

func updateVPCResource(s *Sim, st *stack, r *resource) error {
	v := s.vpc(r.physical)
	if v == nil {
		return noVPC(r.physical)
	}
	v.dnsSupport, v.dnsHostnames = text(r.properties, "EnableDnsSupport") != "false", text(r.properties, "EnableDnsHostnames") == "true"
	s.ec2.tags[v.id] = stackTags(st, r)
	s.ec2.changed()
	return nil
}

func removeVPCResource(s *Sim, r *resource, finish func(error)) {
	s.removal(s.removeVpc(r.physical), finish)
}

func createSubnetResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	if err := only(r, []string{"VpcId"}, []string{"CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch", "Tags"}); err != nil {
		return err
	}
	n, err := s.addSubnet(text(r.properties, "VpcId"), text(r.properties, "AvailabilityZone"), text(r.properties, "CidrBlock"))
	if err != nil {
		return err
	}
	r.physical = n.id
	r.attributes["SubnetId"], r.attributes["AvailabilityZone"], r.attributes["VpcId"], r.attributes["CidrBlock"] = n.id, n.zone, n.vpc, n.cidr
	s.soon(finish)
	return retagResource(s, st, r)
}

func removeSubnetResource(s *Sim, r *resource, finish func(error)) {
	s.removal(s.removeSubnet(r.physical), finish)
}

// retagResource gives a resource of EC2 the tags of its template and its stack.
func retagResource(s *Sim, st *stack, r *resource) error {
	s.ec2.tags[r.physical] = stackTags(st, r)
	return nil
}

func createRouteTableResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	if err := only(r, []string{"VpcId"}, []string{"Tags"}); err != nil {
		return err
	}
	t, err := s.addRouteTable(text(r.properties, "VpcId"))
	if err != nil {
		return err
	}
	r.physical, r.attributes["RouteTableId"] = t.id, t.id
	s.soon(finish)
	return retagResource(s, st, r)
}

func removeRouteTableResource(s *Sim, r *resource, finish func(error)) {
	s.removal(s.removeRouteTable(r.physical), finish)
}

func createRouteResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	in := &routeInput{
		RouteTableID: text(r.properties, "RouteTableId"), DestinationCidrBlock: text(r.properties, "DestinationCidrBlock"), GatewayID: text(r.properties, "GatewayId"),
		NatGatewayID: text(r.properties, "NatGatewayId"), TransitGatewayID: text(r.properties, "TransitGatewayId"), NetworkInterfaceID: text(r.properties, "NetworkInterfaceId"),
	}
	if _, err := s.createRoute(nil, in); err != nil {
		return err
	}
	r.physical = in.RouteTableID + "|" + in.DestinationCidrBlock
	s.soon(finish)
	return nil
}

func removeRouteResource(s *Sim, r *resource, finish func(error)) {
	table, destination, _ := strings.Cut(r.physical, "|")
	_, err := s.deleteRoute(nil, &routeInput{RouteTableID: table, DestinationCidrBlock: destination})
	s.removal(err, finish)
}

func createAssociationResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	id, err := s.associate(text(r.properties, "RouteTableId"), text(r.properties, "SubnetId"))
	if err != nil {
		return err
	}
	r.physical, r.attributes["Id"] = id, id
	s.soon(finish)
	return nil
}

func removeAssociationResource(s *Sim, r *resource, finish func(error)) {
	s.removal(s.disassociate(r.physical), finish)
}

// createInlinePolicy makes a policy of the roles that it names.
func createInlinePolicy(s *Sim, st *stack, r *resource, finish func(error)) error {
	if err := only(r, []string{"PolicyDocument", "PolicyName"}, []string{"Roles"}); err != nil {
		return err
	}
	r.physical = st.name + "-" + strings.ToUpper(s.digest(st.id+r.logical, 12))
	s.soon(finish)
	return updateInlinePolicy(s, st, r)
}

func updateInlinePolicy(s *Sim, _ *stack, r *resource) error {
	roles := list(r.properties, "Roles")
	if len(roles) == 0 {
		return reasonf("At least one of [Groups,Roles,Users] must be non-empty.")
	}
	body, err := json.Marshal(r.properties["PolicyDocument"])
	if err != nil {
		return err
	}
	for _, name := range roles {
		role := s.role(name)
		if role == nil {
			return noRole(name)
		}
		role.policies[text(r.properties, "PolicyName")] = string(body)
	}
	return nil
}

func removeInlinePolicy(s *Sim, r *resource, finish func(error)) {
	for _, name := range list(r.properties, "Roles") {
		if role := s.role(name); role != nil {
			delete(role.policies, text(r.properties, "PolicyName"))
		}
	}
	s.soon(finish)
}
