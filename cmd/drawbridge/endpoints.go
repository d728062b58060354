package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/goccy/go-yaml"

	"drawbridge/endpoints"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/hint"
	"drawbridge/internal/mirror/section"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
)

type endpointsCmd struct {
	awsFlags
	TaskDefinition []string              `help:"File of aws ecs describe-task-definition, a family or an ARN." placeholder:"FILE"`
	AppSpec        []string              `name:"appspec" help:"AppSpec of a CodeDeploy deployment, in JSON or YAML." type:"existingfile" placeholder:"FILE"`
	HookFunction   []string              `help:"File of a hook's aws lambda get-function-configuration." type:"existingfile" placeholder:"FILE"`
	Codebuild      []string              `help:"What aws codebuild batch-get-projects prints." type:"existingfile" placeholder:"FILE"`
	Codepipeline   []string              `help:"What aws codepipeline get-pipeline prints." type:"existingfile" placeholder:"FILE"`
	Cluster        []string              `help:"File of aws ecs describe-clusters (--include CONFIGURATIONS)." type:"existingfile" placeholder:"FILE"`
	Exec           bool                  `help:"ECS Exec is used."`
	Mirror         bool                  `help:"A git mirror to CodeCommit runs."`
	MirrorCreates  bool                  `help:"The mirror creates repositories that are missing."`
	MirrorAssumes  bool                  `help:"The mirror assumes a role."`
	Hint           []endpoints.ServiceID `help:"Service that the programs call beyond their start." placeholder:"SERVICE"`
}

// Help is the longer text of --help; kong calls it.
func (endpointsCmd) Help() string {
	return "Needs no credentials unless a task definition is read from AWS. Exit code 1: something is unreachable; " +
		"everything is printed all the same."
}

// Run works out the endpoints that a workload needs, and why.
func (c *endpointsCmd) Run(ctx context.Context, s streams) error {
	w := endpoints.Workload{Region: c.Region, Exec: c.Exec, Hints: c.Hint}
	if c.Mirror || c.MirrorCreates || c.MirrorAssumes {
		w.Calls = section.Calls(c.MirrorCreates, c.MirrorAssumes)
	}
	if len(c.TaskDefinition)+len(c.AppSpec)+len(c.HookFunction)+len(c.Codebuild)+len(c.Codepipeline)+len(c.Hint) == 0 &&
		!c.Exec && w.Calls == nil {
		return &usageError{hint.With(
			errors.New("nothing to look at"),
			"name a --task-definition, an --appspec, a --hook-function or a --codebuild file",
		)}
	}
	for _, given := range c.TaskDefinition {
		text, err := c.definition(ctx, s, given)
		if err != nil {
			return err
		}
		w.TaskDefinitions = append(w.TaskDefinitions, text)
	}
	for _, in := range []struct {
		paths []string
		into  *[][]byte
	}{
		{c.AppSpec, &w.AppSpecs}, {c.HookFunction, &w.HookFunctions}, {c.Codebuild, &w.Projects},
		{c.Codepipeline, &w.Pipelines}, {c.Cluster, &w.Clusters},
	} {
		for _, path := range in.paths {
			text, err := readDocument(path)
			if err != nil {
				return err
			}
			*in.into = append(*in.into, text)
		}
	}
	r, err := w.Requirements()
	if err != nil {
		return err
	}
	ss := &session{streams: s, flags: c.awsFlags}
	if err := ss.print(r, func(w io.Writer, style output.Style) error {
		return view.WriteRequirements(w, style, r)
	}); err != nil {
		return err
	}
	if len(r.Unreachable) > 0 {
		return exitCode(exitFailed)
	}
	return nil
}

// definition returns a task definition as JSON: a file's, or that of AWS.
func (c *endpointsCmd) definition(ctx context.Context, s streams, given string) ([]byte, error) {
	text, err := readDocument(given)
	if !errors.Is(err, fs.ErrNotExist) || strings.ContainsAny(given, ".") && !arn.IsARN(given) {
		return text, err
	}
	ss, err := c.connect(ctx, s, "")
	if err != nil {
		return nil, err
	}
	_, text, err = ecstasks.Describe(ctx, ss.clients.ECS, given)
	if err != nil {
		return nil, hint.With(err, "aws ecs list-task-definition-families lists the families")
	}
	return text, nil
}

// readDocument reads a file of JSON or YAML as JSON.
func readDocument(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if json.Valid(text) {
		return text, nil
	}
	out, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, hint.With(
			fmt.Errorf("read %s: %s", path, yaml.FormatError(err, false, false)), "it is neither JSON nor YAML",
		)
	}
	return out, nil
}
