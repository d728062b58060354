package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"drawbridge/internal/install"
)

type templateCmd struct {
	connectFlags
	functionsFlag
	Roles bool   `help:"Print the template of a stack that holds the roles alone, for whoever may create roles."`
	Code  string `help:"Folder to write the functions' code to, for the bucket that the template names." type:"path" placeholder:"DIR"`
}

// Help is the longer text of --help; kong calls it.
func (templateCmd) Help() string {
	return "Reads the account and creates nothing. The template's parameters have defaults, so that a console, a " +
		"pipeline or a service catalogue can deploy it; drawbridge deploy takes the stack over later. It begins with the " +
		"commands."
}

// Run prints the template, with the commands that deploy it at its head.
func (c *templateCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	ss.install.RolesFrom = c.RolesFrom
	code, err := ss.code(ctx, c.functionsFlag)
	if err != nil {
		return err
	}
	before, err := ss.install.Installed(ctx, ss.config.Name)
	if errors.Is(err, install.ErrNotInstalled) {
		before, err = nil, nil
	}
	if err != nil {
		return err
	}
	p, err := ss.install.Prepare(ctx, ss.file, ss.text, code, before)
	if err != nil {
		return err
	}
	template, stack := p.Template, p.Name
	if c.Roles {
		template, stack = p.Roles, p.Name+"-roles"
	}
	body, err := template()
	if err != nil {
		return err
	}
	c.commands(s.out, stack, p.Tags())
	if _, err := s.out.Write(body); err != nil || c.Code == "" {
		return err
	}
	return p.WriteCode(c.Code)
}

// commands writes how the template is deployed, as comments.
func (c *templateCmd) commands(w io.Writer, stack string, tags map[string]string) {
	var given []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		given = append(given, k+"="+tags[k])
	}
	parameters := ""
	if !c.Roles {
		parameters = " --parameter-overrides CodeBucket=BUCKET"
		fmt.Fprintln(w, "# Put what --code writes into a bucket of yours, in this Region:")
		fmt.Fprintln(w, "# aws s3 cp --recursive CODE s3://BUCKET/")
	}
	fmt.Fprintln(w, "# Then deploy this file:")
	fmt.Fprintf(w, "# aws cloudformation deploy --stack-name %s --template-file FILE --capabilities CAPABILITY_NAMED_IAM%s "+
		"--tags %s\n", stack, parameters, strings.Join(given, " "))
}
