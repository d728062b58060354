package endpoints

import (
	"encoding/json"
	"fmt"
	"strings"
)

// deployments adds what CodeDeploy's targets and lifecycle hooks call.
//
// Source: "Use CodeDeploy with Amazon Virtual Private Cloud",
// https://docs.aws.amazon.com/codedeploy/latest/userguide/vpc-endpoints.html
// (agents on instances need both endpoints; Lambda and ECS deployments are made
// by the service itself).
func (c *collector) deployments(appSpecs, functions [][]byte) error {
	hooks := false
	for _, text := range appSpecs {
		kind, err := appSpecKind(text)
		if err != nil {
			return err
		}
		switch kind {
		case "server":
			c.need("codedeploy", "AppSpec for EC2 and on-premises: the agent polls CodeDeploy")
			c.need("codedeploy-commands-secure", "AppSpec for EC2 and on-premises: the agent reports by it")
		case "service":
			hooks = true
		}
	}
	for _, text := range functions {
		var f struct {
			Outer struct {
				FunctionName string
				VpcConfig    struct{ SubnetIds []string }
			} `json:"Configuration"`
			FunctionName string
			VpcConfig    struct{ SubnetIds []string }
		}
		if err := json.Unmarshal(text, &f); err != nil {
			return fmt.Errorf("read hook function: %w", err)
		}
		name, subnets := f.FunctionName, f.VpcConfig.SubnetIds
		if name == "" {
			name, subnets = f.Outer.FunctionName, f.Outer.VpcConfig.SubnetIds
		}
		if name == "" {
			return &PlanError{"read hook function: it has no FunctionName", "give what aws lambda get-function-configuration prints"}
		}
		if len(subnets) > 0 && (hooks || len(appSpecs) == 0) {
			c.need("codedeploy", "lifecycle hook %s runs in the VPC and reports to CodeDeploy", name)
			c.spare("codedeploy", "take the hook "+name+" out of the VPC, or let a function outside of it report")
		}
	}
	return nil
}

// appSpecKind says what an AppSpec deploys to: server, or service for Lambda and
// ECS.
func appSpecKind(text []byte) (string, error) {
	var spec struct {
		OS        string            `json:"os"`
		Files     []json.RawMessage `json:"files"`
		Hooks     json.RawMessage   `json:"hooks"`
		Resources []map[string]struct{ Type string }
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		return "", fmt.Errorf("read AppSpec: %w", err)
	}
	for _, r := range spec.Resources {
		for _, x := range r {
			if x.Type == "AWS::Lambda::Function" || x.Type == "AWS::ECS::Service" {
				return "service", nil
			}
		}
	}
	if spec.OS != "" || len(spec.Files) > 0 {
		return "server", nil
	}
	return "", &PlanError{"read AppSpec: it names neither os and files nor Resources of Lambda or ECS", "give the AppSpec of the deployment, in JSON or YAML"}
}

type project struct {
	Name        string `json:"name"`
	Source      source `json:"source"`
	Environment struct {
		Image                string `json:"image"`
		EnvironmentVariables []struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"environmentVariables"`
	} `json:"environment"`
	Artifacts struct {
		Type string `json:"type"`
	} `json:"artifacts"`
	Cache struct {
		Type string `json:"type"`
	} `json:"cache"`
	SecondarySources []source `json:"secondarySources"`
	VPC              struct {
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
}

// projects adds what CodeBuild projects in a VPC reach. One outside of a VPC
// needs nothing.
//
// Source: "Use AWS CodeBuild with Amazon Virtual Private Cloud",
// https://docs.aws.amazon.com/codebuild/latest/userguide/vpc-support.html
func (c *collector) projects(text []byte) error {
	var outer struct {
		Projects []project `json:"projects"`
		project
	}
	list := []project{}
	err := json.Unmarshal(text, &outer)
	switch {
	case err == nil && outer.Projects != nil:
		list = outer.Projects
	case err == nil && outer.Name != "":
		list = []project{outer.project}
	case err != nil && json.Unmarshal(text, &list) != nil:
		return fmt.Errorf("read CodeBuild projects: %w", err)
	}
	if len(list) == 0 {
		return &PlanError{"read CodeBuild projects: there are none", "give what aws codebuild batch-get-projects prints"}
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
	if !strings.HasPrefix(p.Environment.Image, "aws/codebuild/") {
		c.image(container{Name: p.Name, Image: p.Environment.Image})
	}
	if p.Logs.CloudWatch.Status != "DISABLED" {
		c.need("logs", "%s: its log", of)
	}
	if p.Logs.S3.Status == "ENABLED" || p.Artifacts.Type == "S3" || p.Artifacts.Type == "CODEPIPELINE" || p.Cache.Type == "S3" {
		c.need("s3", "%s: artifacts, cache or log in S3", of)
	}
	for _, s := range append([]source{p.Source}, p.SecondarySources...) {
		switch s.Type {
		case "CODECOMMIT":
			c.need("git-codecommit", "%s: source %s", of, s.Location)
		case "S3", "CODEPIPELINE":
			c.need("s3", "%s: source in S3", of)
		case "", "NO_SOURCE":
		default:
			c.cannot("take the source by CodePipeline, which hands it over in S3", "%s: source %s at %s", of, s.Type, s.Location)
		}
	}
	for _, v := range p.Environment.EnvironmentVariables {
		switch v.Type {
		case "PARAMETER_STORE":
			c.need("ssm", "%s: variable %s", of, v.Name)
		case "SECRETS_MANAGER":
			c.need("secretsmanager", "%s: variable %s", of, v.Name)
		}
	}
}
