package cfn

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"

	"drawbridge/endpoints"
)

// The limit of a managed policy, in characters without blanks, and how many of them a
// role may have.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxManaged      = 6144
	managedPolicies = 10
)

// policiesOf returns the policies of a role, as many as it takes. They hold pseudo
// parameters for CloudFormation to fill in. There are none for a role that may do
// nothing.
func (b Base) policiesOf(role Role) ([]Object, error) {
	whole := b.policyOf(role)
	if whole == nil {
		return nil, nil
	}
	var out []Object
	var current []any
	room := func(statement Object) bool {
		return b.length(policy(append(slices.Clone(current), statement))) <= maxManaged
	}
	statements, _ := whole["Statement"].([]any)
	for _, s := range statements {
		rest, part := s.(Object), 1
		for rest != nil {
			var head Object
			if head, rest = split(rest, part, room); head == nil {
				if len(current) == 0 {
					return nil, fmt.Errorf("the %s role's statement %v is longer than a policy may be", role,
						rest["Sid"])
				}
				out, current = append(out, policy(current)), nil
				continue
			}
			current = append(current, head)
			part++
		}
	}
	out = append(out, policy(current))
	if len(out) > managedPolicies {
		return nil, fmt.Errorf("the %s role would need %d policies, and may have %d: split the repositories, jobs "+
			"or sets over several installations", role, len(out), managedPolicies)
	}
	return out, nil
}

func policy(statements []any) Object {
	return Object{"Version": "2012-10-17", "Statement": statements}
}

// split takes as much of a statement as there is room for, resource by resource, and
// returns what is left of it; nothing at all if not one resource has room.
func split(statement Object, part int, room func(Object) bool) (head, rest Object) {
	resources, _ := statement["Resource"].([]any)
	with := func(resources []any, part int) Object {
		copied := Object{}
		maps.Copy(copied, statement)
		if len(resources) > 0 {
			copied["Resource"] = resources
		}
		if part > 1 {
			copied["Sid"] = fmt.Sprintf("%v%d", statement["Sid"], part)
		}
		return copied
	}
	if whole := with(resources, part); room(whole) {
		return whole, nil
	}
	n := sort.Search(len(resources), func(i int) bool { return !room(with(resources[:i+1], part)) })
	if n == 0 {
		return nil, statement
	}
	rest = Object{}
	maps.Copy(rest, statement)
	rest["Resource"] = resources[n:]
	return with(resources[:n], part), rest
}

// keptPolicies is up to how many policies a deployment replaces all that change: the
// old ones stay attached until the role has the new ones, so that at no moment a right
// is missing. With more of them old and new together would exceed what a role may have;
// they are changed in place then.
const keptPolicies = managedPolicies / 2

// policyID returns the logical id of the nth of count policies of a role. It names the
// content, so that another content is another policy.
func policyID(role string, n, count int, document Object) string {
	if count > keptPolicies {
		return fmt.Sprintf("%sPolicy%d", role, n+1)
	}
	text, err := json.Marshal(document)
	if err != nil {
		return "" // texts and lists of texts always encode
	}
	sum := sha256.Sum256(text)
	return role + "Policy" + strings.ToUpper(hex.EncodeToString(sum[:4]))
}

var reference = regexp.MustCompile(`\$\{[^}]*\}`)

// length is how many characters a policy has for IAM, without blanks: with what
// CloudFormation fills in.
func (b Base) length(v Object) int {
	text, err := json.Marshal(filled(v, b.Region))
	if err != nil {
		return 0 // texts and lists of texts always encode
	}
	return len(text)
}

// filled returns v with texts in place of references, of the length that they have in
// the account.
func filled(v any, region string) any {
	return rewritten(v, func(o Object) (any, bool) {
		text, ok := o["Fn::Sub"].(string)
		return reference.ReplaceAllStringFunc(text, func(name string) string {
			switch name {
			case "${AWS::Partition}":
				return endpoints.Partition(region)
			case "${AWS::Region}":
				return region
			case "${AWS::AccountId}":
				return "123456789012"
			}
			return "sg-0123456789abcdef0"
		}), ok
	})
}

// rewritten returns a value of a template with what to makes of its objects, wherever to reports that it makes something.
func rewritten(v any, to func(Object) (any, bool)) any {
	switch v := v.(type) {
	case Object:
		if x, ok := to(v); ok {
			return x
		}
		out := Object{}
		for k, x := range v {
			out[k] = rewritten(x, to)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = rewritten(x, to)
		}
		return out
	}
	return v
}
