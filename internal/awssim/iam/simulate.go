package iam

import (
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
		return nil, kernel.Errorf("InvalidInput", "Invalid Entity Arn: %s does not clearly define entity type and name.",
			in.PolicySourceArn)
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
			out.EvaluationResults.Member = append(out.EvaluationResults.Member, evaluationXML{
				EvalActionName: action, EvalResourceName: resource, EvalDecision: decision,
			})
		}
	}
	return out, nil
}

// permits answers one question without recording it.
func (s *Service) permits(role string, q kernel.Question) bool {
	if v, on := s.FaultOn("deny"); on && strings.EqualFold(v, q.Action) {
		return false
	}
	r := s.Role(role)
	return r == nil || !r.Judged && len(r.Policies) == 0 || r.May(s, q)
}
