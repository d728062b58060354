package kernel

import (
	"encoding/json"
	"fmt"
)

// Question is a question that IAM answers before a call takes effect: may the
// role do the action on the resource in this context. A call may ask several.
//
// Source of actions, resources and keys: the Service Authorization Reference,
// https://docs.aws.amazon.com/service-authorization/latest/reference/
type Question struct {
	Role     string         `json:"role"`
	Policies []string       `json:"policies"`
	Action   string         `json:"action"`
	Resource string         `json:"resource"`
	Context  map[string]any `json:"context,omitempty"`
}

// May asks whether a role may do an action on a resource; the rest are alternating
// keys and values of the context.
func May(action, resource string, context ...any) Question {
	q := Question{Action: action, Resource: resource}
	for i := 0; i+1 < len(context); i += 2 {
		if q.Context == nil {
			q.Context = map[string]any{}
		}
		q.Context[fmt.Sprint(context[i])] = context[i+1]
	}
	return q
}

// PassRole asks whether a role may be passed to a service.
func PassRole(role, service string) Question {
	return May("iam:PassRole", role, "iam:PassedToService", service)
}

// Questions returns the IAM questions of a call.
func (c *Call) Questions() []Question {
	if c.API.Asks == nil {
		return []Question{May(c.Permission(), "*")}
	}
	return c.API.Asks(c)
}

// Permission is the IAM action with the call's name.
func (c *Call) Permission() string {
	if c.API.Name == "monitoring" { // as its endpoint is called, but not its actions
		return "cloudwatch:" + c.Action
	}
	return c.API.Name + ":" + c.Action
}

// Field returns a string in the call's JSON body; empty if there is none.
func (c *Call) Field(name string) string {
	var text string
	_ = json.Unmarshal(c.JSONBody()[name], &text) // absent is empty
	return text
}

// JSONBody returns the members of the call's JSON body; none for a form.
func (c *Call) JSONBody() map[string]json.RawMessage {
	var body map[string]json.RawMessage
	_ = json.Unmarshal(c.Body, &body) // forms have no members
	return body
}

// ViaKey asks whether a customer-managed key may be used through a service.
func (s *Kernel) ViaKey(key, service string, actions ...string) []Question {
	var out []Question
	for _, a := range actions {
		out = append(out, May(a, key, "kms:ViaService", service+"."+s.Suffix()))
	}
	return out
}
