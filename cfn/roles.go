package cfn

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// The outputs of a stack of roles, and of a base stack that has its roles from one.
const (
	// OutputStatements is a digest of the roles' statements, which the base stack has to agree with.
	OutputStatements = "Statements"
	// OutputRolesFrom is the name of the stack that a base stack has its roles from.
	OutputRolesFrom = "RolesFrom"
)

// Roles returns the template of a stack that holds the roles of the base stack and
// nothing else, as YAML, for those who may create roles to deploy before it. It is a
// GroupError if a role names a security group that the base stack would make.
func (b Base) Roles() ([]byte, error) {
	r, digest, err := b.rolesApart()
	if err != nil {
		return nil, err
	}
	outputs := Object{OutputStatements: Object{"Description": "A digest of what the roles may do", "Value": digest}}
	for _, x := range b.roles() {
		if r[x.ID] != nil {
			what := "Drawbridge " + b.Name + ": " + string(x.Role)
			outputs[x.ID] = Object{"Description": what, "Value": Att(x.ID, "Arn")}
		}
	}
	return asYAML(b.Name)(encode(b.Name, Object{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              fmt.Sprintf("Drawbridge installation %s: its roles", b.Name),
		"Parameters":               Object{ParameterBoundary: b.boundary()},
		"Conditions":               Object{"HasBoundary": has(ParameterBoundary)},
		"Resources":                r,
		"Outputs":                  outputs,
	}))
}

// RolesDigest names what the roles may do: it is the output Statements of a stack of roles.
func (b Base) RolesDigest() (string, error) {
	_, digest, err := b.rolesApart()
	return digest, err
}

var ofAStack = regexp.MustCompile(`\$\{([^:}]+)\}`)

// rolesApart returns the roles and their policies as resources of a stack of their own, and their digest.
func (b Base) rolesApart() (Object, string, error) {
	b.names = NamesOf(b.Name, b.Region)
	r := Object{}
	if err := b.addRoles(r); err != nil {
		return nil, "", err
	}
	text, err := encode(b.Name, r)
	if err != nil {
		return nil, "", err
	}
	if m := ofAStack.FindSubmatch(text); m != nil {
		for _, s := range b.Sets {
			if string(m[1]) == endpointGroupID(s.Name)+".GroupId" {
				return nil, "", &GroupError{s.Name}
			}
		}
		return nil, "", fmt.Errorf("a role names %s, which the base stack makes", m[1])
	}
	sum := sha256.Sum256(text)
	return r, hex.EncodeToString(sum[:8]), nil
}

// GroupError reports a set whose endpoints' security group the base stack makes, so that
// no role can name it beforehand.
type GroupError struct{ Set string }

func (e *GroupError) Error() string {
	return fmt.Sprintf("set %s: a stack of roles cannot name the endpoints' security group, which the base stack would "+
		"make", e.Set)
}

// Hint returns the remedy.
func (e *GroupError) Hint() string {
	return "make a security group that lets HTTPS in from the tasks, and name it in sets." + e.Set + ".endpointSecurityGroups"
}

// moveRoles takes the roles out of the base stack and has everything else name them as IAM does.
func (b Base) moveRoles(resources, outputs Object) {
	arns := map[string]string{}
	for _, x := range b.roles() {
		arns[x.ID] = RoleARN(x.Name)
	}
	byName := func(o Object) (any, bool) {
		of, ok := o["Fn::GetAtt"].([]string)
		if !ok || arns[of[0]] == "" {
			return nil, false
		}
		return Sub(arns[of[0]]), true
	}
	for _, id := range slices.Collect(maps.Keys(resources)) {
		switch kind, _ := resources[id].(Object)["Type"].(string); kind {
		case "AWS::IAM::Role", "AWS::IAM::ManagedPolicy":
			delete(resources, id)
		default:
			resources[id] = rewritten(resources[id], byName)
		}
	}
	for id := range outputs {
		outputs[id] = rewritten(outputs[id], byName)
	}
	outputs[OutputRolesFrom] = Object{"Description": "The stack that holds the roles", "Value": b.RolesFrom}
}
