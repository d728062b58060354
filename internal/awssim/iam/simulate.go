package iam

import (
	"slices"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

type evaluationXML struct {
	EvalActionName, EvalResourceName, EvalDecision string
	MissingContextValues                           kernel.Members[string]
}

// simulate answers what a principal's policies say of actions on resources: of a role as its
// calls are judged, of a user that all is allowed.
//
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (s *Service) simulate(_ *kernel.Call, in *struct {
	PolicySourceArn           string
	ActionNames, ResourceArns []string
	Marker                    string
	MaxItems                  int
}) (*struct {
	EvaluationResults kernel.Members[evaluationXML]
	IsTruncated       bool
}, error) {
	role := ""
	if strings.Contains(in.PolicySourceArn, ":role/") {
		r := s.Role(in.PolicySourceArn)
		if r == nil {
			return nil, NoRole(in.PolicySourceArn[strings.LastIndex(in.PolicySourceArn, "/")+1:])
		}
		role = r.ARN
	} else if !strings.Contains(in.PolicySourceArn, ":user/") {
		return nil, kernel.Errorf("InvalidInput",
			"Invalid Entity Arn: %s does not clearly define entity type and name.", in.PolicySourceArn)
	}
	if len(in.ResourceArns) == 0 {
		in.ResourceArns = []string{"*"}
	}
	out := &struct {
		EvaluationResults kernel.Members[evaluationXML]
		IsTruncated       bool
	}{}
	for _, resource := range in.ResourceArns {
		for _, action := range in.ActionNames {
			decision := "implicitDeny"
			if s.permits(role, kernel.May(action, resource)) {
				decision = "allowed"
			}
			result := evaluationXML{EvalActionName: action, EvalResourceName: resource, EvalDecision: decision}
			result.MissingContextValues.Member = s.conditionKeys(role, kernel.May(action, resource))
			out.EvaluationResults.Member = append(out.EvaluationResults.Member, result)
		}
	}
	return out, nil
}

// conditionKeys returns the keys that conditions on an action ask for, none of which is given.
func (s *Service) conditionKeys(role string, q kernel.Question) (keys []string) {
	r := s.Role(role)
	if r == nil {
		return nil
	}
	for _, body := range r.Policies {
		for _, x := range s.statementsOf(body) {
			if !x.concerns(q) {
				continue
			}
			for _, wanted := range x.Condition {
				for key := range wanted {
					keys = append(keys, key)
				}
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// permits answers one question without recording it.
func (s *Service) permits(role string, q kernel.Question) bool {
	if v, on := s.Active("deny"); on && strings.EqualFold(v, q.Action) {
		return false
	}
	r := s.Role(role)
	return r == nil || !r.Judged && len(r.Policies) == 0 || r.May(s, q)
}

// roleQuestions returns the IAM questions of a call to IAM: on the role that it names, where it
// names one.
func (s *Service) roleQuestions(c *kernel.Call) []kernel.Question {
	resource := "*"
	if name := c.Form.Get("RoleName"); name != "" {
		resource = s.GlobalARN("iam", "role/"+name)
		if r := s.Role(name); r != nil {
			resource = r.ARN
		}
	}
	if source := c.Form.Get("PolicySourceArn"); source != "" {
		resource = source
	}
	return []kernel.Question{kernel.May(c.Permission(), resource)}
}
