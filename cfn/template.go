// Package cfn makes endpoint sets real: it writes the CloudFormation template
// of a set and creates, watches and deletes its stack through a service role.
package cfn

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"drawbridge/endpoints"
)

// Tag keys that mark what Drawbridge made. What does not carry OwnerTag with the
// installation's name is never changed or deleted.
const (
	OwnerTag      = "drawbridge:owner"
	SetTag        = "drawbridge:set"
	GenerationTag = "drawbridge:generation"
)

// Spec is what one set's endpoint stack holds.
type Spec struct {
	// Owner is the installation's name, Set the set's.
	Owner, Set string
	Region     string
	VPC        string
	// Services are created in full; Subnets are where interface endpoints go.
	Services []endpoints.Service
	Subnets  []string
	// SecurityGroups are the tasks' groups that may reach the endpoints. If
	// there are none, CIDRs may.
	SecurityGroups []string
	CIDRs          []string
	// RouteTables are the existing tables that a gateway is attached to.
	RouteTables []string
}

type object = map[string]any

const securityGroup = "EndpointSecurityGroup"

// Template returns the stack's template as JSON. The same spec gives the same
// bytes, whatever the order of its lists.
func Template(s Spec) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	resources := object{}
	needGroup := false
	for _, svc := range s.Services {
		if svc.Type == endpoints.Gateway {
			resources[LogicalID(svc.ID)] = s.gateway(svc)
			continue
		}
		needGroup = true
		resources[LogicalID(svc.ID)] = s.endpoint(svc)
	}
	if needGroup {
		resources[securityGroup] = s.group()
	}
	t := object{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              fmt.Sprintf("VPC endpoints of the Drawbridge set %s; created and deleted on demand", s.Set),
		"Resources":                resources,
	}
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the template of set %s: %w", s.Set, err)
	}
	return append(b, '\n'), nil
}

func (s Spec) check() error {
	switch {
	case len(s.Services) == 0:
		return fmt.Errorf("template of set %s: no endpoint to create", s.Set)
	case len(s.SecurityGroups) == 0 && len(s.CIDRs) == 0:
		return fmt.Errorf("template of set %s: neither security groups nor CIDR blocks may reach the endpoints", s.Set)
	}
	for _, c := range s.CIDRs {
		if strings.HasSuffix(c, "/0") {
			return fmt.Errorf("template of set %s: CIDR block %s opens the endpoints to everybody", s.Set, c)
		}
	}
	return nil
}

// LogicalID returns the logical id of the service's endpoint: "ecr.api" gives
// EcrApiEndpoint.
func LogicalID(id endpoints.ServiceID) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(string(id), func(r rune) bool { return r == '.' || r == '-' }) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String() + "Endpoint"
}

func (s Spec) endpoint(svc endpoints.Service) object {
	p := object{
		"VpcEndpointType":   "Interface",
		"ServiceName":       svc.Name(s.Region),
		"VpcId":             s.VPC,
		"SubnetIds":         sorted(s.Subnets),
		"SecurityGroupIds":  []any{object{"Fn::GetAtt": []string{securityGroup, "GroupId"}}},
		"PrivateDnsEnabled": true,
		"Tags":              s.tags(string(svc.ID)),
	}
	if svc.Policy {
		p["PolicyDocument"] = s.policy(svc)
	}
	return object{"Type": "AWS::EC2::VPCEndpoint", "Properties": p}
}

func (s Spec) gateway(svc endpoints.Service) object {
	return object{"Type": "AWS::EC2::VPCEndpoint", "Properties": object{
		"VpcEndpointType": "Gateway",
		"ServiceName":     svc.Name(s.Region),
		"VpcId":           s.VPC,
		"RouteTableIds":   sorted(s.RouteTables),
		"PolicyDocument":  s.policy(svc),
		"Tags":            s.tags(string(svc.ID)),
	}}
}

// policy lets the account's own principals through. ECR's image layers lie in a
// bucket of AWS and are fetched by URLs that ECR signed, so the S3 gateway lets
// everybody read that bucket too.
//
// Source of the bucket's name: "Amazon ECR interface VPC endpoints",
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
func (s Spec) policy(svc endpoints.Service) object {
	statements := []any{object{
		"Sid":       "OwnAccount",
		"Effect":    "Allow",
		"Principal": "*",
		"Action":    "*",
		"Resource":  "*",
		"Condition": object{"StringEquals": object{"aws:PrincipalAccount": object{"Ref": "AWS::AccountId"}}},
	}}
	if svc.ID == "s3" {
		statements = append(statements, object{
			"Sid":       "ImageLayers",
			"Effect":    "Allow",
			"Principal": "*",
			"Action":    "s3:GetObject",
			"Resource":  object{"Fn::Sub": "arn:${AWS::Partition}:s3:::prod-${AWS::Region}-starport-layer-bucket/*"},
		})
	}
	return object{"Version": "2012-10-17", "Statement": statements}
}

// group lets port 443 in from the tasks and nothing out: without an egress rule
// of its own a security group would let everything out.
func (s Spec) group() object {
	var in []any
	rule := func(key, value, from string) {
		in = append(in, object{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, key: value, "Description": "HTTPS from " + from})
	}
	for _, g := range sorted(s.SecurityGroups) {
		rule("SourceSecurityGroupId", g, "the tasks in "+g)
	}
	if len(s.SecurityGroups) == 0 {
		for _, c := range sorted(s.CIDRs) {
			rule("CidrIp", c, "the subnet "+c)
		}
	}
	return object{"Type": "AWS::EC2::SecurityGroup", "Properties": object{
		"GroupDescription":     "Drawbridge set " + s.Set + ": tasks reach their VPC endpoints",
		"VpcId":                s.VPC,
		"SecurityGroupIngress": in,
		"SecurityGroupEgress": []any{object{"IpProtocol": "-1", "CidrIp": "127.0.0.1/32",
			"Description": "nothing goes out"}},
		"Tags": s.tags("endpoints"),
	}}
}

func (s Spec) tags(name string) []any {
	return []any{
		object{"Key": "Name", "Value": s.Owner + "-" + s.Set + "-" + name},
		object{"Key": OwnerTag, "Value": s.Owner},
		object{"Key": SetTag, "Value": s.Set},
	}
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	sort.Strings(out)
	return slices.Compact(out)
}
