package cloudformation

import (
	"fmt"
	"slices"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// stackQuestions returns the IAM questions of a call to CloudFormation.
func (s *Service) stackQuestions(c *kernel.Call) []kernel.Question {
	resource := s.stackResource(c.Form.Get("StackName"))
	if c.Action == "ListStacks" {
		resource = "*" // which of all, it does not say
	}
	if set := c.Form.Get("ChangeSetName"); !c.Form.Has("StackName") && set != "" { // its ARN tells the stack
		if st, _, err := s.changeSetOf("", set); err == nil {
			resource = st.ID
		}
	}
	q := kernel.May(c.Permission(), resource)
	q.Context = map[string]any{}
	var kinds []string
	for n := 1; c.Form.Has(fmt.Sprintf("ResourceTypes.member.%d", n)); n++ {
		kinds = append(kinds, c.Form.Get(fmt.Sprintf("ResourceTypes.member.%d", n)))
	}
	if kinds != nil {
		q.Context["cloudformation:ResourceTypes"] = kinds
	}
	qs := []kernel.Question{q}
	if role := c.Form.Get("RoleARN"); role != "" {
		q.Context["cloudformation:RoleArn"] = role
		qs = append(qs, kernel.PassRole(role, "cloudformation.amazonaws.com"))
	}
	return append(qs, s.stackTagQuestions(c, q.Resource)...)
}

// stackTagQuestions returns the IAM questions of the tags in a call to
// CloudFormation: they are authorised separately from the call.
//
// Source: the statements CloudFormationTagOnCreate of AWS's managed policies
// (SecretsManagerReadWrite, AWSControlTowerServiceRolePolicy).
func (s *Service) stackTagQuestions(c *kernel.Call, stack string) []kernel.Question {
	q := kernel.May("cloudformation:TagResource", stack, "cloudformation:CreateAction", c.Action)
	var keys []string
	for n := 1; c.Form.Has(fmt.Sprintf("Tags.member.%d.Key", n)); n++ {
		key := c.Form.Get(fmt.Sprintf("Tags.member.%d.Key", n))
		keys = append(keys, key)
		q.Context["aws:RequestTag/"+key] = c.Form.Get(fmt.Sprintf("Tags.member.%d.Value", n))
	}
	st := s.StackLive(c.Form.Get("StackName"))
	if c.Action == "ExecuteChangeSet" && st != nil { // the tags were given before
		if cs := kernel.Find(st.changeSets, func(cs *changeSet) bool {
			return cs.id == c.Form.Get("ChangeSetName") || cs.name == c.Form.Get("ChangeSetName")
		}); cs != nil {
			for _, t := range cs.tags {
				keys, q.Context["aws:RequestTag/"+t.Key] = append(keys, t.Key), t.Value
			}
		}
	}
	if keys == nil {
		return nil
	}
	slices.Sort(keys)
	q.Context["aws:TagKeys"] = keys
	out := []kernel.Question{q}
	var gone []string
	if st != nil && c.Action == "UpdateStack" {
		for _, t := range st.Tags {
			if !slices.Contains(keys, t.Key) {
				gone = append(gone, t.Key)
			}
		}
	}
	if gone != nil {
		slices.Sort(gone)
		u := kernel.May("cloudformation:UntagResource", stack, "cloudformation:CreateAction", c.Action)
		u.Context["aws:TagKeys"] = gone
		out = append(out, u)
	}
	return out
}

// stackResource returns the IAM resource of a stack given by name or id.
func (s *Service) stackResource(given string) string {
	if strings.HasPrefix(given, "arn:") {
		return given
	}
	if st := s.StackLive(given); st != nil {
		return st.ID
	}
	return s.ARN("cloudformation", "stack/"+given+"/00000000-0000-4000-a000-000000000000")
}
