package drill

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// role is a role of IAM as it was.
type role struct {
	name, trust string
	attached    []string // the ARNs of policies
	inline      map[string]string
}

// removeRole deletes the role by which CloudFormation makes endpoints; undo makes it again.
func removeRole(s *stage) (undo func() error, err error) {
	r, err := s.readRole(s.names().StackRole)
	if err != nil {
		return nil, fmt.Errorf("read role %s: %w", s.names().StackRole, err)
	}
	for p := range r.inline {
		if err := s.gone(func() error {
			_, err := s.iam.DeleteRolePolicy(s.ctx, &iam.DeleteRolePolicyInput{RoleName: &r.name, PolicyName: &p})
			return err
		}); err != nil {
			return nil, err
		}
	}
	for _, p := range r.attached {
		if err := s.gone(func() error {
			_, err := s.iam.DetachRolePolicy(s.ctx, &iam.DetachRolePolicyInput{RoleName: &r.name, PolicyArn: &p})
			return err
		}); err != nil {
			return nil, err
		}
	}
	return func() error { return s.restore(r) }, s.gone(func() error {
		_, err := s.iam.DeleteRole(s.ctx, &iam.DeleteRoleInput{RoleName: &r.name})
		return err
	})
}

// gone insists on a deletion. What is not there was deleted, and the reply was lost.
func (s *stage) gone(do func() error) error {
	return s.insist(func() error {
		err := do()
		var missing *iamtypes.NoSuchEntityException
		if errors.As(err, &missing) {
			return nil
		}
		return err
	})
}

// readRole reads a role with its policies, which IAM encodes as URLs are.
func (s *stage) readRole(name string) (r role, err error) {
	err = s.insist(func() error {
		r = role{name: name, inline: map[string]string{}}
		got, err := s.iam.GetRole(s.ctx, &iam.GetRoleInput{RoleName: &name})
		if err != nil {
			return err
		}
		if r.trust, err = url.QueryUnescape(aws.ToString(got.Role.AssumeRolePolicyDocument)); err != nil {
			return err
		}
		attached, err := s.iam.ListAttachedRolePolicies(s.ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &name})
		if err != nil {
			return err
		}
		for _, p := range attached.AttachedPolicies {
			r.attached = append(r.attached, aws.ToString(p.PolicyArn))
		}
		inline, err := s.iam.ListRolePolicies(s.ctx, &iam.ListRolePoliciesInput{RoleName: &name})
		if err != nil {
			return err
		}
		for _, p := range inline.PolicyNames {
			got, err := s.iam.GetRolePolicy(s.ctx, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &p})
			if err != nil {
				return err
			}
			if r.inline[p], err = url.QueryUnescape(aws.ToString(got.PolicyDocument)); err != nil {
				return err
			}
		}
		return nil
	})
	return r, err
}

// restore makes a role again as it was.
func (s *stage) restore(r role) error {
	if err := s.insist(func() error {
		_, err := s.iam.CreateRole(s.ctx, &iam.CreateRoleInput{RoleName: &r.name, AssumeRolePolicyDocument: &r.trust})
		var there *iamtypes.EntityAlreadyExistsException
		if errors.As(err, &there) {
			return nil // it was made, and the reply was lost
		}
		return err
	}); err != nil {
		return err
	}
	for _, p := range r.attached {
		if err := s.insist(func() error {
			_, err := s.iam.AttachRolePolicy(s.ctx, &iam.AttachRolePolicyInput{RoleName: &r.name, PolicyArn: &p})
			return err
		}); err != nil {
			return err
		}
	}
	for p, document := range r.inline {
		if err := s.insist(func() error {
			_, err := s.iam.PutRolePolicy(s.ctx, &iam.PutRolePolicyInput{
				RoleName: &r.name, PolicyName: &p, PolicyDocument: &document,
			})
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
