package ecs

import (
	"time"

	"drawbridge/internal/awssim/iam"
)

// Reaches reports whether what runs in a subnet with the given security groups, without a
// public address, reaches a service.
func (s *Service) Reaches(subnet string, groups []string, service string) bool {
	t := &task{subnet: s.ec2.Subnet(subnet), groups: groups}
	return t.subnet != nil && (s.hasWayOut(t) || s.reach(t, service, "") != nil)
}

// linkTakes is how long a new service-linked role cannot be assumed.
const linkTakes = 8 * time.Second

// ECSLinked refuses calls that need ECS's service-linked role. In an account that
// never used ECS the first request creates the role, but fails because the role is
// too new.
//
// Source: aws-cloudformation/cloudformation-coverage-roadmap#818
func (s *Service) ECSLinked() error {
	r := s.iam.Role(iam.ECSRole)
	if r == nil {
		r = s.iam.LinkECS()
	}
	if !r.Created.IsZero() && s.Clock.Now().Sub(r.Created) < linkTakes {
		return bad("Unable to assume the service linked role. Please verify that the ECS service linked role exists.")
	}
	return nil
}
