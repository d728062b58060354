package cfn

import (
	"encoding/json"
	"fmt"
	"slices"
)

// The limits of a role's policies, in characters, and how many managed ones it may
// have.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxInline, maxManaged = 10240, 6144
	managedPolicies       = 10
)

// policiesOf returns the policies of a role: one, inline, or, where that would be too
// long, several that are not. They hold pseudo parameters for CloudFormation to fill
// in, which are longer than what they stand for. There are none for a role that may do
// nothing.
func (b Base) policiesOf(role Role) ([]object, error) {
	whole := b.policyOf(role)
	if whole == nil {
		return nil, nil
	}
	if length(whole) <= maxInline {
		return []object{whole}, nil
	}
	var out []object
	var current []any
	add := func(statement object) {
		if next := policy(append(slices.Clone(current), statement)); len(current) > 0 && length(next) > maxManaged {
			out, current = append(out, policy(current)), nil
		}
		current = append(current, statement)
	}
	statements, _ := whole["Statement"].([]any)
	for _, s := range statements {
		for _, part := range cut(s.(object)) {
			add(part)
		}
	}
	out = append(out, policy(current))
	if len(out) > managedPolicies {
		return nil, fmt.Errorf("the %s role would need %d policies, and may have %d: split the repositories over several installations", role, len(out), managedPolicies)
	}
	return out, nil
}

func policy(statements []any) object {
	return object{"Version": "2012-10-17", "Statement": statements}
}

// cut parts a statement that is too long by its resources.
func cut(statement object) []object {
	resources, _ := statement["Resource"].([]any)
	const most = 25 // of the longest, which are some 200 characters
	if len(resources) <= most {
		return []object{statement}
	}
	var out []object
	for part := range slices.Chunk(resources, most) {
		copied := object{}
		for k, v := range statement {
			copied[k] = v
		}
		copied["Resource"], copied["Sid"] = part, fmt.Sprintf("%v%d", statement["Sid"], len(out)+1)
		out = append(out, copied)
	}
	return out
}

// length is how many characters a policy has, without blanks, before anything is
// filled in.
func length(v object) int {
	text, err := json.Marshal(v)
	if err != nil {
		return 0 // texts and lists of texts always encode
	}
	return len(text)
}
