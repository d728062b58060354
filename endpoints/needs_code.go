package endpoints

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// deployments adds the services that CodeDeploy's targets and lifecycle hooks
// call.
//
// Source: "Use CodeDeploy with Amazon Virtual Private Cloud",
// https://docs.aws.amazon.com/codedeploy/latest/userguide/vpc-endpoints.html
// (agents on instances need both endpoints; Lambda and ECS deployments are made
// by the service itself).
func (c *collector) deployments(appSpecs, functions [][]byte) error {
	services := 0
	named := map[string]bool{} // the hooks that AppSpecs name
	for _, text := range appSpecs {
		kind, hooks, err := appSpecKind(text)
		if err != nil {
			return err
		}
		switch kind {
		case "server":
			c.need("codedeploy", "AppSpec for EC2 and on-premises: the agent polls CodeDeploy")
			c.need("codedeploy-commands-secure", "AppSpec for EC2 and on-premises: the agent reports through it")
		case "service":
			services++
			for _, h := range hooks {
				named[h] = true
			}
		}
	}
	seen := map[string]bool{}
	for _, text := range functions {
		f, err := hookFunction(text)
		if err != nil {
			return err
		}
		name, subnets := f.FunctionName, f.VpcConfig.SubnetIds
		seen[name] = true
		if len(subnets) > 0 && (len(appSpecs) == 0 && !c.invoked[name] || services > 0) {
			c.need("codedeploy", "lifecycle hook %s runs in the VPC and reports to CodeDeploy", name)
			c.spare("codedeploy", "take the hook "+name+" out of the VPC, or report from a function outside it")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !seen[name] {
			c.unseen = append(c.unseen,
				"lifecycle hook "+name+
					": if it runs in the VPC, it needs codedeploy; pass the output of "+
					"aws lambda get-function-configuration with --hook-function")
		}
	}
	return nil
}

// lambdaFunction is the name and the VPC configuration of a Lambda function.
type lambdaFunction struct {
	FunctionName string
	VpcConfig    struct{ SubnetIds []string }
}

// hookFunction reads the output of aws lambda get-function-configuration or
// get-function.
func hookFunction(text []byte) (lambdaFunction, error) {
	var f struct {
		Outer lambdaFunction `json:"Configuration"`
		lambdaFunction
	}
	const command = "aws lambda get-function-configuration"
	if err := decode(text, "hook function", command, &f); err != nil {
		return lambdaFunction{}, err
	}
	if f.FunctionName != "" {
		return f.lambdaFunction, nil
	}
	if f.Outer.FunctionName == "" {
		return lambdaFunction{}, &PlanError{
			"read hook function: FunctionName is missing", "pass the output of " + command,
		}
	}
	return f.Outer, nil
}

// appSpecKind returns the target of an AppSpec (server, or service for Lambda
// and ECS) and the functions that it names as hooks.
func appSpecKind(text []byte) (kind string, hooks []string, err error) {
	var spec struct {
		OS        string            `json:"os"`
		Files     []json.RawMessage `json:"files"`
		Hooks     json.RawMessage   `json:"hooks"`
		Resources []map[string]struct{ Type string }
	}
	if json.Unmarshal(text, &spec) != nil {
		return "", nil, &PlanError{
			"read AppSpec: invalid format", "pass the AppSpec of the deployment, in JSON or YAML",
		}
	}
	var named []map[string]string
	if json.Unmarshal(spec.Hooks, &named) == nil {
		for _, h := range named {
			for event, f := range h {
				if err := checkEvent(event, spec.Resources); err != nil {
					return "", nil, err
				}
				if name := functionName(f); name != "" {
					hooks = append(hooks, name)
				}
			}
		}
	}
	for _, r := range spec.Resources {
		for _, x := range r {
			if x.Type == "AWS::Lambda::Function" || x.Type == "AWS::ECS::Service" {
				return "service", hooks, nil
			}
		}
	}
	if spec.OS != "" || len(spec.Files) > 0 {
		return "server", nil, nil
	}
	return "", nil, &PlanError{
		"read AppSpec: it names neither os and files nor Resources of Lambda or ECS",
		"pass the AppSpec of the deployment, in JSON or YAML",
	}
}

// The lifecycle events of ECS and Lambda deployments at which a hook may be, and those that
// are CodeDeploy's own.
//
// Source: https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
var (
	ecsEvents = []string{
		"BeforeInstall", "AfterInstall", "AfterAllowTestTraffic", "BeforeAllowTraffic", "AfterAllowTraffic",
	}
	lambdaEvents = []string{"BeforeAllowTraffic", "AfterAllowTraffic"}
	ownEvents    = []string{"Install", "AllowTestTraffic", "AllowTraffic"}
)

// checkEvent refuses a hook at a lifecycle event that takes none.
func checkEvent(event string, resources []map[string]struct{ Type string }) error {
	takes := ecsEvents
	for _, r := range resources {
		for _, x := range r {
			if x.Type == "AWS::Lambda::Function" {
				takes = lambdaEvents
			}
		}
	}
	switch {
	case slices.Contains(takes, event):
		return nil
	case slices.Contains(ownEvents, event):
		return &PlanError{
			fmt.Sprintf("read AppSpec: it has a hook at %s, which is CodeDeploy's own and takes none", event),
			"use one of " + strings.Join(takes, ", "),
		}
	}
	return &PlanError{
		fmt.Sprintf("read AppSpec: it has a hook at %s, which is not a lifecycle event of such a deployment",
			event),
		"use one of " + strings.Join(takes, ", "),
	}
}

// functionName returns the name in a function's ARN, without its qualifier, or the
// name itself.
func functionName(given string) string {
	if _, rest, ok := strings.Cut(given, ":function:"); ok {
		given = rest
	}
	name, _, _ := strings.Cut(given, ":")
	return name
}

type project struct {
	ARN         string `json:"arn"`
	Name        string `json:"name"`
	Source      source `json:"source"`
	Environment struct {
		Image                string `json:"image"`
		EnvironmentVariables []struct {
			Name  string `json:"name"`
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"environmentVariables"`
		RegistryCredential struct {
			Credential string `json:"credential"`
		} `json:"registryCredential"`
	} `json:"environment"`
	Artifacts struct {
		Type string `json:"type"`
	} `json:"artifacts"`
	Cache struct {
		Type string `json:"type"`
	} `json:"cache"`
	SecondarySources   []source `json:"secondarySources"`
	SecondaryArtifacts []struct {
		Type string `json:"type"`
	} `json:"secondaryArtifacts"`
	VPC struct {
		ID string `json:"vpcId"`
	} `json:"vpcConfig"`
	Logs struct {
		CloudWatch struct {
			Status string `json:"status"`
		} `json:"cloudWatchLogs"`
		S3 struct {
			Status string `json:"status"`
		} `json:"s3Logs"`
	} `json:"logsConfig"`
}

type source struct {
	Type     string `json:"type"`
	Location string `json:"location"`
	// Buildspec is its text or its location.
	Buildspec string `json:"buildspec"`
}

// projects adds the services that CodeBuild projects in a VPC call. A project
// outside a VPC needs nothing.
//
// Source: "Use AWS CodeBuild with Amazon Virtual Private Cloud",
// https://docs.aws.amazon.com/codebuild/latest/userguide/vpc-support.html
func (c *collector) projects(text []byte) error {
	var outer struct {
		Projects []project `json:"projects"`
		project
	}
	list := []project{}
	const command = "aws codebuild batch-get-projects"
	err := json.Unmarshal(text, &outer)
	switch {
	case err == nil && outer.Projects != nil:
		list = outer.Projects
	case err == nil && outer.Name != "":
		list = []project{outer.project}
	case err != nil && json.Unmarshal(text, &list) != nil:
		return decode(text, "CodeBuild projects", command, &outer)
	}
	if len(list) == 0 {
		return &PlanError{
			"read CodeBuild projects: no projects in the input", "pass the output of aws codebuild batch-get-projects",
		}
	}
	for _, p := range list {
		if p.VPC.ID != "" {
			c.project(p)
		}
	}
	return nil
}

func (c *collector) project(p project) {
	of := "CodeBuild project " + p.Name
	c.region = cmp.Or(regionOf(p.ARN), c.base)
	if !strings.HasPrefix(p.Environment.Image, "aws/codebuild/") {
		c.image(container{of: of, Name: p.Name, Image: p.Environment.Image})
	}
	if p.Logs.CloudWatch.Status != "DISABLED" {
		c.need("logs", "%s: its log", of)
	}
	if p.Logs.S3.Status == "ENABLED" || p.Artifacts.Type == "S3" || p.Artifacts.Type == "CODEPIPELINE" ||
		slices.ContainsFunc(p.SecondaryArtifacts, func(a struct {
			Type string `json:"type"`
		}) bool {
			return a.Type == "S3"
		}) || p.Cache.Type == "S3" {
		c.need("s3", "%s: artifacts, cache or log in S3", of)
	}
	for _, s := range append([]source{p.Source}, p.SecondarySources...) {
		switch s.Type {
		case "CODECOMMIT":
			if m := codeCommitHost.FindStringSubmatch(s.Location); m != nil && c.region != "" && m[1] != c.region {
				c.cannot("mirror the repository to "+c.region, "%s: source %s is in %s, but the build runs in %s", of,
					s.Location, m[1], c.region)
				continue
			}
			c.need("git-codecommit", "%s: source %s", of, s.Location)
		case "S3", "CODEPIPELINE":
			c.need("s3", "%s: source in S3", of)
		case "", "NO_SOURCE":
		default:
			c.cannot("fetch the source with CodePipeline, which delivers it through S3", "%s: source %s at %s",
				of, s.Type, s.Location)
		}
	}
	for _, v := range p.Environment.EnvironmentVariables {
		switch v.Type {
		case "PARAMETER_STORE":
			c.need("ssm", "%s: variable %s", of, v.Name)
		case "SECRETS_MANAGER":
			c.secret(of, "secretsmanager", secret{v.Name, v.Value})
		}
	}
	if s := p.Environment.RegistryCredential.Credential; s != "" {
		c.secret(of, "secretsmanager", secret{"registry credentials", s})
	}
	c.buildspec(of, p.Source.Buildspec)
}

// codeCommitHost matches the hosts where CodeCommit serves git.
var codeCommitHost = regexp.MustCompile(`^https://git-codecommit(?:-fips)?\.([a-z0-9-]+)\.`)

// buildspec adds the services that a buildspec inside the project needs. A buildspec
// in the source cannot be read here.
//
// Source: "Build specification reference for CodeBuild",
// https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html, and
// "View a running build in Session Manager" for codebuild-breakpoint.
func (c *collector) buildspec(of, text string) {
	section := ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		key, value, isKey := strings.Cut(trimmed, ":")
		switch {
		case strings.Contains(trimmed, "codebuild-breakpoint"):
			c.need("ssmmessages", "%s: its buildspec stops at codebuild-breakpoint for a session", of)
		case !isKey || strings.HasPrefix(trimmed, "#"):
		case key == "secrets-manager" || key == "parameter-store":
			section = key
		case indent <= 2:
			section = ""
		case section == "secrets-manager":
			c.secret(of, "secretsmanager", secret{strings.Trim(key, `"' `), strings.Trim(value, `"' `)})
		case section == "parameter-store":
			c.need("ssm", "%s: variable %s", of, strings.Trim(key, `"' `))
		}
	}
}

// pipeline is the output of aws codepipeline get-pipeline.
type pipeline struct {
	Name   string `json:"name"`
	Stages []struct {
		Actions []pipelineAction `json:"actions"`
	} `json:"stages"`
}

type pipelineAction struct {
	Name string `json:"name"`
	Kind struct {
		Owner    string `json:"owner"`
		Provider string `json:"provider"`
	} `json:"actionTypeId"`
	Configuration map[string]string `json:"configuration"`
}

// pipeline adds the services that a pipeline's actions inside the VPC call.
// CodePipeline itself makes its calls from outside; a CodeBuild project is read from
// its own description.
//
// Source: "Invoke an AWS Lambda function in a pipeline" and "Create a custom action",
// https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html
func (c *collector) pipeline(text []byte, functions [][]byte) error {
	var outer struct {
		Pipeline pipeline `json:"pipeline"`
		pipeline
	}
	const command = "aws codepipeline get-pipeline"
	if err := decode(text, "pipeline", command, &outer); err != nil {
		return err
	}
	p := outer.Pipeline
	if len(p.Stages) == 0 {
		p = outer.pipeline
	}
	if len(p.Stages) == 0 {
		return &PlanError{"read pipeline: stages is missing", "pass the output of " + command}
	}
	inside := map[string]bool{} // function names; true if it runs in the VPC
	for _, text := range functions {
		f, err := hookFunction(text)
		if err != nil {
			return err
		}
		inside[f.FunctionName] = len(f.VpcConfig.SubnetIds) > 0
	}
	for _, s := range p.Stages {
		for _, a := range s.Actions {
			c.action(fmt.Sprintf("pipeline %s: action %s", p.Name, a.Name), a, inside)
		}
	}
	return nil
}

func (c *collector) action(of string, a pipelineAction, inside map[string]bool) {
	if a.Kind.Owner == "Custom" {
		c.need("codepipeline", "%s: the worker of its custom action polls CodePipeline", of)
		c.need("s3", "%s: the worker of its custom action reads and writes artifacts", of)
		return
	}
	name := functionName(a.Configuration["FunctionName"])
	if a.Kind.Provider != "Lambda" || name == "" {
		return
	}
	c.invoked[name] = true
	switch runs, known := inside[name]; {
	case !known:
		c.unseen = append(c.unseen,
			of+": if function "+name+
				" runs in the VPC, it needs codepipeline; pass the output of "+
				"aws lambda get-function-configuration with --hook-function")
	case runs:
		c.need("codepipeline", "%s: function %s runs in the VPC and reports its result", of, name)
		c.spare("codepipeline", "take function "+name+" out of the VPC")
		c.need("s3", "%s: function %s reads its artifacts", of, name)
	}
}
