package install

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	"drawbridge/internal/functions"
	"drawbridge/internal/hint"
)

// Prepare surveys the account and works out the base stack and its code; before is the
// base stack as it is deployed, nil if there is none. It creates nothing.
func (i *Installer) Prepare(ctx context.Context, file *config.File, text []byte,
	code map[string]functions.Code, before *Stack) (*Plan, error) {
	p := &Plan{
		Name: file.InstallationName(), Creates: before == nil, before: before, uploads: map[string][]byte{},
		versions: map[string]string{}, code: map[string][]byte{},
	}
	var err error
	if p.Survey, err = i.Read(ctx, file); err != nil {
		return nil, err
	}
	architecture, err := sameArchitecture(code)
	if err != nil {
		return nil, err
	}
	c := p.Survey.Config
	if p.base, err = Base(c, p.Survey.Facts, architecture); err != nil {
		return nil, err
	}
	p.parameters = map[string]string{
		cfn.ParameterCodeBucket: i.Bucket(c.Name), cfn.ParameterAlarmTopic: c.AlarmTopic,
	}
	if p.base.RolesFrom = i.rolesOf(before); p.base.RolesFrom == "" {
		p.parameters[cfn.ParameterBoundary] = c.PermissionsBoundary
	}
	for _, f := range p.base.Functions() {
		zipped, err := functions.Zip(code[f.Code].Bootstrap, text)
		if err != nil {
			return nil, err
		}
		key := functions.Key(f.Code, zipped)
		p.uploads[key] = zipped
		p.parameters[f.Parameter] = key
		p.code[f.Name] = zipped
	}
	return p, nil
}

// Template returns the base stack's template as YAML, with what this plan would give its
// parameters as their defaults. Where the code is, whoever deploys it says.
func (p *Plan) Template() ([]byte, error) {
	b := p.base
	b.Defaults = maps.Clone(p.parameters)
	delete(b.Defaults, cfn.ParameterCodeBucket)
	return b.Template()
}

// Roles returns the template of a stack that holds the roles alone, as YAML.
func (p *Plan) Roles() ([]byte, error) {
	b := p.base
	b.Defaults = map[string]string{cfn.ParameterBoundary: p.Survey.Config.PermissionsBoundary}
	return b.Roles()
}

// Tags are those that the base stack has to carry.
func (p *Plan) Tags() map[string]string { return Tags(p.Survey.Config) }

// WriteCode writes the functions' zips into a folder, under the keys that the template names.
func (p *Plan) WriteCode(folder string) error {
	for _, key := range slices.Sorted(maps.Keys(p.uploads)) {
		name := filepath.Join(folder, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(name, p.uploads[key], 0o600); err != nil {
			return err
		}
	}
	return nil
}

// rolesOf returns the stack that holds the roles of a base stack: the one that RolesFrom
// names, or else the one that the deployed stack has them from; empty if the base stack
// makes them.
func (i *Installer) rolesOf(base *Stack) string {
	if i.RolesFrom != "" || base == nil {
		return i.RolesFrom
	}
	return base.Outputs[cfn.OutputRolesFrom]
}

// MakesRoles reports whether a deployment makes the roles itself.
func (i *Installer) MakesRoles(ctx context.Context, name string) bool {
	base, err := i.Installed(ctx, name)
	if err != nil {
		base = nil // whatever is wrong with it is said elsewhere
	}
	return i.rolesOf(base) == ""
}

// checkRoles sees that the stack of roles holds those that the plan needs.
func (i *Installer) checkRoles(ctx context.Context, p *Plan) error {
	from := p.base.RolesFrom
	want, err := p.base.RolesDigest()
	if err != nil {
		return err
	}
	const update = "whoever may create roles deploys what drawbridge template --roles prints; docs/install.md shows how"
	out, err := i.Clients.CloudFormation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &from})
	if err != nil && !cfn.IsMissing(err) {
		return awserr.Mark(err, "describe stack %s", from)
	}
	if err != nil || len(out.Stacks) == 0 {
		return hint.With(fmt.Errorf("there is no stack %s with roles", from), update)
	}
	if got := cfn.Outputs(out.Stacks[0])[cfn.OutputStatements]; got != want {
		return hint.With(errors.New("the roles in stack "+from+" are those of another configuration"), update)
	}
	return nil
}
