package ecs

import (
	"time"

	"drawbridge/internal/awssim/iam"
)

// linkTakes is how long a service-linked role that was just made cannot be assumed.
const linkTakes = 8 * time.Second

// ECSLinked refuses what ECS cannot do without its service-linked role. In an account
// that never used ECS the first request makes the role, and comes too soon for it.
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
