package ec2

import (
	"fmt"
	"slices"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// ec2Questions returns the IAM questions of a call to EC2.
func (s *Service) ec2Questions(c *kernel.Call) []kernel.Question {
	switch c.Action {
	case "DescribeVpcAttribute":
		return []kernel.Question{kernel.May(c.Permission(), s.ARN("ec2", "vpc/"+c.Form.Get("VpcId")))}
	case "DeleteVpcEndpoints":
	default:
		return []kernel.Question{kernel.May(c.Permission(), "*")}
	}
	var out []kernel.Question
	for n := 1; c.Form.Has(fmt.Sprintf("VpcEndpointId.%d", n)); n++ {
		if e := s.Endpoint(c.Form.Get(fmt.Sprintf("VpcEndpointId.%d", n))); e != nil {
			out = append(out, s.DeleteEndpointQuestion(e))
		}
	}
	return out
}

// DeleteEndpointQuestion asks whether an endpoint may be deleted.
func (s *Service) DeleteEndpointQuestion(e *Endpoint) kernel.Question {
	q := kernel.May("ec2:DeleteVpcEndpoints", s.ARN("ec2", "vpc-endpoint/"+e.ID), "ec2:VpceServiceName", e.Service)
	for _, t := range s.Tags[e.ID] {
		q.Context["aws:ResourceTag/"+t.Key] = t.Value
	}
	return q
}

// EndpointReads are the Describe calls that CloudFormation makes for an
// endpoint.
//
// Source: the handlers of AWS::EC2::VPCEndpoint in the CloudFormation registry.
func EndpointReads() []kernel.Question {
	var qs []kernel.Question
	for _, action := range []string{
		"DescribeVpcEndpoints", "DescribeSubnets", "DescribeSecurityGroups", "DescribeVpcs",
	} {
		qs = append(qs, kernel.May("ec2:"+action, "*"))
	}
	return qs
}

// CreateEndpointQuestions returns the IAM questions of creating an endpoint, with
// the tags in the request.
//
// Source: the dependent actions of ec2:CreateVpcEndpoint in the Service
// Authorization Reference.
func (s *Service) CreateEndpointQuestions(in EndpointSpec) []kernel.Question {
	born := kernel.May("ec2:CreateVpcEndpoint", s.ARN("ec2", "vpc-endpoint/vpce-00000000000000000"),
		"ec2:VpceServiceName", in.Service)
	endpoint := born.Resource
	keys := requestTags(born.Context, in.Tags)
	qs := append(EndpointReads(), born,
		kernel.May("ec2:CreateVpcEndpoint", s.ARN("ec2", "vpc/"+in.VPC), "ec2:VpcID", in.VPC))
	if len(keys) > 0 {
		tagged := kernel.May("ec2:CreateTags", endpoint, "ec2:CreateAction", "CreateVpcEndpoint")
		requestTags(tagged.Context, in.Tags)
		qs = append(qs, tagged)
	}
	for kind, ids := range map[string][]string{
		"subnet/": in.Subnets, "security-group/": in.Groups, "route-table/": in.Tables,
	} {
		for _, id := range ids {
			qs = append(qs,
				kernel.May("ec2:CreateVpcEndpoint", s.ARN("ec2", kind+id), "ec2:Vpc", s.ARN("ec2", "vpc/"+in.VPC)))
		}
	}
	if in.PrivateDNS != nil && *in.PrivateDNS {
		qs = append(qs,
			kernel.May("route53:AssociateVPCWithHostedZone",
				s.Partition()+"route53:::hostedzone/Z0"+strings.ToUpper(s.Digest(in.Service, 12)), "route53:VPCs",
				"VPCId="+in.VPC+",VPCRegion="+s.Options.Region))
	}
	return qs
}

// requestTags adds the tags of a request to a question's context, without
// CloudFormation's own, and returns their keys.
func requestTags(context map[string]any, tags []Tag) []string {
	var keys []string
	for _, t := range tags {
		if !strings.HasPrefix(t.Key, "aws:") {
			keys = append(keys, t.Key)
			context["aws:RequestTag/"+t.Key] = t.Value
		}
	}
	slices.Sort(keys)
	if keys != nil {
		context["aws:TagKeys"] = keys
	}
	return keys
}

// TagEndpointQuestion asks whether tags may be added to an existing endpoint,
// or, with action DeleteTags, removed.
func (s *Service) TagEndpointQuestion(action string, e *Endpoint, tags []Tag) kernel.Question {
	q := kernel.May("ec2:"+action, s.ARN("ec2", "vpc-endpoint/"+e.ID))
	q.Context = map[string]any{}
	requestTags(q.Context, tags)
	for _, t := range s.Tags[e.ID] {
		q.Context["aws:ResourceTag/"+t.Key] = t.Value
	}
	return q
}
