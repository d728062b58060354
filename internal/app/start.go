package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"go.uber.org/zap"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/clock"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// ConfigVariable is the environment variable that names the configuration file
// of a Lambda. Without it the file is next to the binary.
const ConfigVariable = "DRAWBRIDGE_CONFIG"

// Start is what a Lambda begins with.
type Start struct {
	File    *config.File
	Place   Place
	Clients Clients
	Clock   clock.Clock
	Log     *zap.Logger
	// Metrics is where metrics are written, standard output.
	Metrics io.Writer
}

// LambdaFile loads the configuration file of a Lambda.
func LambdaFile() (*config.File, error) {
	path := os.Getenv(ConfigVariable)
	if path == "" {
		path = filepath.Join(os.Getenv("LAMBDA_TASK_ROOT"), "drawbridge.yaml")
	}
	return config.Load(path)
}

// App reads what the base stack knows of the sets, and wires the App of the installation.
// A stack that is still being made has nothing to tell yet, which is temporary.
func (s Start) App(ctx context.Context) (*App, error) {
	stack := cfn.NamesOf(s.File.InstallationName(), s.Place.Region).Stack
	out, err := s.Clients.CloudFormation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{
		StackName: aws.String(stack),
	})
	if err != nil {
		return nil, awserr.Mark(err, "describe stack %s", stack)
	}
	if len(out.Stacks) == 0 || len(out.Stacks[0].Outputs) == 0 {
		return nil, fmt.Errorf("describe stack %s: %w: it has no outputs yet", stack, reconcile.ErrTemporary)
	}
	in, err := cfn.InstalledOf(cfn.Outputs(out.Stacks[0]))
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", stack, err)
	}
	c := config.Resolve(s.File, FactsOf(in, s.Place.Region))
	return New(c, s.Place, s.Clients, s.Clock, s.Log, s.Metrics), nil
}

// FactsOf returns what a base stack knows, for its configuration.
func FactsOf(in cfn.Installed, region string) config.Facts {
	out := config.Facts{
		Region: region, Sets: map[scheduler.SetName]config.SetFacts{}, TaskGroups: map[scheduler.JobName]string{},
	}
	for job, group := range in.TaskGroups {
		out.TaskGroups[scheduler.JobName(job)] = group
	}
	for name, s := range in.Sets {
		f := config.SetFacts{
			VPC: s.VPC, TaskSecurityGroup: s.TaskSecurityGroup, EndpointSecurityGroups: s.EndpointSecurityGroups,
		}
		for _, id := range s.Services {
			f.Services = append(f.Services, endpoints.ServiceID(id))
		}
		out.Sets[scheduler.SetName(name)] = f
	}
	return out
}
