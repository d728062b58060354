// Package cfn makes endpoint sets real: it writes the CloudFormation template
// of a set and creates, watches and deletes its stack through a service role.
package cfn

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"

	"drawbridge/endpoints"
)

// EndpointType is CloudFormation's type of an endpoint, the only one in a set's stack.
const EndpointType = "AWS::EC2::VPCEndpoint"

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
	// Elsewhere are the subnets of services that do not go into Subnets.
	Elsewhere map[endpoints.ServiceID][]string
	// SecurityGroups are the groups of the endpoints; the base stack holds them.
	SecurityGroups []string
	// RouteTables are the existing tables that a gateway is attached to.
	RouteTables []string
	// NoPrivateDNS leaves the services' own names alone: such endpoints can exist next to
	// others in the VPC, and serve nobody who does not name them.
	NoPrivateDNS bool
	// Tags are further tags of each endpoint.
	Tags map[string]string
}

// Object is a part of a template.
type Object = map[string]any

// Template returns the stack's template as JSON. The same spec gives the same
// bytes, whatever the order of its lists.
func Template(s Spec) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	resources := Object{}
	for _, svc := range s.Services {
		if svc.Type == endpoints.Gateway {
			resources[LogicalID(svc.ID)] = s.gateway(svc)
			continue
		}
		resources[LogicalID(svc.ID)] = s.endpoint(svc)
	}
	t := Object{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description": fmt.Sprintf("VPC endpoints of the Drawbridge set %s; created and deleted on demand",
			s.Set),
		"Resources": resources,
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
	case len(s.SecurityGroups) == 0:
		return fmt.Errorf("template of set %s: the endpoints have no security group", s.Set)
	}
	return nil
}

// merged returns the live template of a set with the resources of another that it
// lacks, the number of endpoints in it, and how many endpoint-hours an hour of them
// is billed as.
func merged(live, more []byte) (template []byte, endpoints, perHour int, err error) {
	var whole map[string]any
	var other struct{ Resources Object }
	if err := json.Unmarshal(live, &whole); err != nil {
		return nil, 0, 0, fmt.Errorf("read the live template: %w", err)
	}
	if err := json.Unmarshal(more, &other); err != nil {
		return nil, 0, 0, fmt.Errorf("read the template: %w", err)
	}
	resources, ok := whole["Resources"].(Object)
	if !ok {
		return nil, 0, 0, fmt.Errorf("read the live template: it has no resources")
	}
	for id, r := range other.Resources {
		if _, ok := resources[id]; !ok {
			resources[id] = r
		}
	}
	for _, r := range resources {
		of, _ := r.(Object)
		properties, _ := of["Properties"].(Object)
		subnets, _ := properties["SubnetIds"].([]any)
		endpoints++
		perHour += len(subnets) // a gateway has none
	}
	template, err = json.MarshalIndent(whole, "", "  ")
	return append(template, '\n'), endpoints, perHour, err
}

// LogicalID returns the logical id of the service's endpoint: "ecr.api" gives
// EcrApiEndpoint.
func LogicalID(id endpoints.ServiceID) string { return pascal(string(id)) + "Endpoint" }

func (s Spec) endpoint(svc endpoints.Service) Object {
	subnets := s.Subnets
	if own, ok := s.Elsewhere[svc.ID]; ok {
		subnets = own
	}
	p := Object{
		"VpcEndpointType":   "Interface",
		"ServiceName":       svc.Name(s.Region),
		"VpcId":             s.VPC,
		"SubnetIds":         sorted(subnets),
		"SecurityGroupIds":  sorted(s.SecurityGroups),
		"PrivateDnsEnabled": !s.NoPrivateDNS,
		"Tags":              s.tags(string(svc.ID)),
	}
	if svc.Policy {
		p["PolicyDocument"] = endpointPolicy(svc)
	}
	return Object{"Type": EndpointType, "Properties": p}
}

func (s Spec) gateway(svc endpoints.Service) Object {
	return gateway(svc, s.Region, s.VPC, s.RouteTables, s.tags(string(svc.ID)))
}

// gateway is a gateway endpoint on existing route tables.
func gateway(svc endpoints.Service, region, vpc string, routeTables []string, tags []any) Object {
	return Object{"Type": EndpointType, "Properties": Object{
		"VpcEndpointType": "Gateway",
		"ServiceName":     svc.Name(region),
		"VpcId":           vpc,
		"RouteTableIds":   sorted(routeTables),
		"PolicyDocument":  endpointPolicy(svc),
		"Tags":            tags,
	}}
}

// endpointPolicy lets the account's own principals through. ECR's image layers are in a
// bucket of AWS and are fetched by URLs that ECR signed, so the S3 gateway lets
// everybody read that bucket too.
//
// Source of the bucket's name: "Amazon ECR interface VPC endpoints",
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
func endpointPolicy(svc endpoints.Service) Object {
	statements := []any{Object{
		"Sid":       "OwnAccount",
		"Effect":    "Allow",
		"Principal": "*",
		"Action":    "*",
		"Resource":  "*",
		"Condition": Object{"StringEquals": Object{"aws:PrincipalAccount": Object{"Ref": "AWS::AccountId"}}},
	}}
	if svc.ID == "s3" {
		statements = append(statements, Object{
			"Sid":       "ImageLayers",
			"Effect":    "Allow",
			"Principal": "*",
			"Action":    "s3:GetObject",
			"Resource":  Object{"Fn::Sub": "arn:${AWS::Partition}:s3:::prod-${AWS::Region}-starport-layer-bucket/*"},
		})
	}
	return Object{"Version": "2012-10-17", "Statement": statements}
}

func (s Spec) tags(name string) []any {
	out := []any{
		Object{"Key": "Name", "Value": s.Owner + "-" + s.Set + "-" + name},
		Object{"Key": OwnerTag, "Value": s.Owner},
		Object{"Key": SetTag, "Value": s.Set},
	}
	for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
		out = append(out, Object{"Key": k, "Value": s.Tags[k]})
	}
	return out
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	sort.Strings(out)
	return slices.Compact(out)
}
