package iam

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// Allows answers the questions of a role, and records them for the proof of the
// policies. It returns the first one that no policy of the role allows; nil if all
// are allowed. A role that the sandbox created for tasks, and that has no policy,
// may do everything, as may one that nobody made; one that was deleted may do nothing.
func (s *Service) Allows(roleARN string, qs ...kernel.Question) *kernel.Question {
	for i, q := range qs {
		if v, on := s.Active("deny"); on && strings.EqualFold(v, q.Action) {
			s.Struck["deny"]++
			return &qs[i]
		}
	}
	s.Ask(roleARN, qs...)
	r := s.Role(roleARN)
	if r == nil && s.deleted[nameOf(roleARN)] && len(qs) > 0 {
		return &qs[0]
	}
	if r == nil || !r.Judged && len(r.Policies) == 0 {
		return nil
	}
	for i, q := range qs {
		if !r.May(s, q) {
			return &qs[i]
		}
	}
	return nil
}

// statement is a policy statement, as far as it is evaluated.
type statement struct {
	Effect                                   string
	Action, NotAction, Resource, NotResource oneOrMany
	Condition                                map[string]map[string]oneOrMany
}

// oneOrMany is a text or a list of texts.
type oneOrMany []string

// UnmarshalJSON reads a text, a list of texts, or a truth value.
func (o *oneOrMany) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if l, ok := v.([]any); ok {
		*o = kernel.TextsOf(l)
		return nil
	}
	*o = oneOrMany{fmt.Sprint(v)}
	return nil
}

func (o oneOrMany) match(value string, fold bool) bool {
	return slices.ContainsFunc(o, func(p string) bool {
		if fold {
			return kernel.Wildcard(strings.ToLower(p), strings.ToLower(value))
		}
		return kernel.Wildcard(p, value)
	})
}

// May reports whether the role's policies allow q. An explicit deny overrides
// any allow.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func (r *Role) May(s *Service, q kernel.Question) bool {
	allowed := false
	for _, body := range r.Policies {
		for _, x := range s.statementsOf(body) {
			if !x.concerns(q) || !x.holds(q, s) {
				continue
			}
			if x.Effect == "Deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

// statementsOf returns the statements of a policy; none if the policy cannot be
// parsed.
func (s *Service) statementsOf(body string) []statement {
	if known, ok := s.parsed[body]; ok {
		return known
	}
	var document struct{ Statement json.RawMessage }
	var all []statement
	if json.Unmarshal([]byte(body), &document) == nil && json.Unmarshal(document.Statement, &all) != nil {
		var one statement
		if json.Unmarshal(document.Statement, &one) == nil {
			all = []statement{one}
		}
	}
	s.parsed[body] = all
	return all
}

func (x statement) concerns(q kernel.Question) bool {
	action := x.Action.match(q.Action, true) || x.NotAction != nil && !x.NotAction.match(q.Action, true)
	return action &&
		(x.Resource.match(q.Resource, false) || x.NotResource != nil && !x.NotResource.match(q.Resource, false))
}

// holds reports whether all conditions of a statement hold for q.
func (x statement) holds(q kernel.Question, s *Service) bool {
	context := map[string][]string{"aws:principalaccount": {s.Options.Account}}
	lists := map[string]bool{} // the keys that may have several values
	for k, v := range q.Context {
		switch v := v.(type) {
		case []string:
			context[strings.ToLower(k)], lists[strings.ToLower(k)] = v, true
		default:
			context[strings.ToLower(k)] = []string{fmt.Sprint(v)}
		}
	}
	for operator, keys := range x.Condition {
		for key, wanted := range keys {
			values, there := context[strings.ToLower(key)]
			if lists[strings.ToLower(key)] && operator != "Null" && !strings.Contains(operator, ":") {
				return false // such a key is for ForAllValues and ForAnyValue
			}
			if !conditionHolds(operator, wanted, values, there) {
				return false
			}
		}
	}
	return true
}

// conditionHolds evaluates one key of a condition. An unknown operator never
// holds.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
func conditionHolds(operator string, wanted oneOrMany, values []string, there bool) bool {
	quantifier, base, ok := strings.Cut(operator, ":")
	if !ok {
		quantifier, base = "", operator
	}
	base, ifExists := strings.CutSuffix(base, "IfExists")
	if base == "Null" {
		return wanted.match(fmt.Sprint(!there), false)
	}
	if !there {
		return ifExists || quantifier == "ForAllValues" || strings.Contains(base, "Not")
	}
	one := func(v string) bool {
		switch base {
		case "StringEquals", "Bool":
			return slices.Contains(wanted, v)
		case "StringNotEquals":
			return !slices.Contains(wanted, v)
		case "StringEqualsIgnoreCase":
			return slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, v) })
		case "StringLike", "ArnEquals", "ArnLike":
			return wanted.match(v, false)
		case "StringNotLike", "ArnNotEquals", "ArnNotLike":
			return !wanted.match(v, false)
		}
		return false
	}
	if quantifier == "ForAllValues" {
		return !slices.ContainsFunc(values, func(v string) bool { return !one(v) })
	}
	return slices.ContainsFunc(values, one)
}

// authorise returns an error unless the caller may make a call: a function's or a
// task's role by its policies. Users may do everything, except what the fault deny
// denies.
func (s *Service) authorise(c *kernel.Call) *kernel.APIError {
	_, denying := s.Active("deny")
	role := c.Principal().RoleARN()
	if role == "" && !denying || c.API.Name == "sts" && c.Action == "GetCallerIdentity" { // which needs no right
		return nil
	}
	if denied := s.Allows(role, c.Questions()...); denied != nil {
		return s.deniedCall(c, *denied)
	}
	return nil
}

// deniedCall is how a service reports a denied call.
func (s *Service) deniedCall(c *kernel.Call, q kernel.Question) *kernel.APIError {
	what := fmt.Sprintf("User: %s is not authorized to perform: %s", s.callerARN(c), q.Action)
	if q.Resource != "*" {
		what += " on resource: " + q.Resource
	}
	what += " because no identity-based policy allows the " + q.Action + " action"
	switch c.API.Name {
	case "ec2":
		return kernel.Errorf("UnauthorizedOperation", "You are not authorized to perform this operation. %s",
			what).WithStatus(403)
	case "cloudformation", "iam", "sts", "s3", "route53", "monitoring":
		return kernel.Errorf("AccessDenied", "%s", what).WithStatus(403)
	case "sqs":
		e := kernel.Errorf("AccessDeniedException", "%s", what).WithStatus(403)
		e.QueryCode = "AccessDenied"
		return e
	case "lambda", "scheduler":
		return kernel.Errorf("AccessDeniedException", "%s", what).WithStatus(403)
	}
	return kernel.Errorf("AccessDeniedException", "%s", what)
}
