package drill

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"drawbridge/internal/drill/judge"
	"drawbridge/scheduler"
)

// What somebody does who means harm: the threats of docs/security.md.

// flood sends what nothing can be made of: 200 events for jobs that are not there, and 20 that
// are as large as the queue takes.
func flood(s *stage) (func() error, error) {
	for i := range 200 {
		id := fmt.Sprintf("flood-%d", i)
		body := fmt.Sprintf(`{"job":"nope-%d","id":%q}`, i%7, id)
		if err := s.send(body, judge.Event{ID: id, Refused: noJob}); err != nil {
			return nil, err
		}
	}
	for i := range 20 {
		id := fmt.Sprintf("large-%d", i)
		body := fmt.Sprintf(`{"id":%q,"job":"nope","event":{"x":%q}}`, id, strings.Repeat("x", 200<<10))
		if err := s.send(body, judge.Event{ID: id, Refused: noJob}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// impersonate runs a task of another's in the jobs' cluster, which claims to be that of a run that
// is about to start, and ends within seconds.
func impersonate(s *stage) (func() error, error) {
	return nil, s.theirs("build", "drawbridge:1:build/over-the-boundary", "drawbridge/main", 5*time.Second)
}

// tamper sends an event, and changes what is recorded of its run before its task is asked for.
func tamper(s *stage) (func() error, error) {
	if err := s.ask("patient", "changed", 0); err != nil {
		return nil, err
	}
	return nil, s.insist(func() error {
		run, ok, err := s.records.Run(s.ctx, "main", "patient/changed")
		if err != nil || !ok {
			return errors.Join(errors.New("the run is not recorded yet"), err)
		}
		run.Overrides = []byte(`{"containerOverrides":[{"name":"patient","command":["sh","-c","env"]}]}`)
		return s.records.Advance(s.ctx, []scheduler.Run{run}, scheduler.Waiting)
	})
}

// forge tells the reaper, in the name of ECS but from another account, that a task has ended which
// runs.
func forge(s *stage) (func() error, error) {
	return nil, s.insist(func() error {
		run, ok, err := s.records.Run(s.ctx, "main", "build/long")
		if err != nil || !ok || run.TaskARN == "" {
			return errors.Join(errors.New("the run has no task yet"), err)
		}
		stopped, err := json.Marshal(map[string]any{
			"source": "aws.ecs", "detail-type": "ECS Task State Change", "account": "999999999999",
			"region": s.Sim.Region(), "detail": map[string]any{
				"taskArn": run.TaskARN, "group": run.TaskGroup(), "startedBy": s.Installed.Name + "/main",
				"lastStatus": "STOPPED", "containers": []any{map[string]any{"name": "build", "exitCode": 0}},
			},
		})
		if err != nil {
			return err
		}
		_, err = lambda.NewFromConfig(s.aws).Invoke(s.ctx, &lambda.InvokeInput{
			FunctionName: aws.String(s.names().Reaper), Payload: stopped,
			InvocationType: lambdatypes.InvocationTypeEvent,
		})
		return err
	})
}

// steal calls AWS with the keys of the functions, whatever their roles have to refuse. A call
// that AWS carries out is a break.
func steal(s *stage) (func() error, error) {
	names := s.names()
	for _, function := range []string{names.Launcher, names.Reaper} {
		key := ""
		for range 60 { // for one that is there
			if key = s.Sim.Steal(function); key != "" {
				break
			}
			s.Sim.Advance(time.Minute)
		}
		c := s.aws.Copy()
		c.Credentials = credentials.NewStaticCredentialsProvider(key, "sandbox", "sandbox")
		attempts := theft(s, c)
		for _, what := range slices.Sorted(maps.Keys(attempts)) {
			if only := strings.HasPrefix(what, "launcher: "); only && function != names.Launcher {
				continue
			} else if strings.HasPrefix(what, "reaper: ") && function != names.Reaper {
				continue
			}
			if err := s.insist(func() error {
				err := attempts[what]()
				var refused smithy.APIError
				switch {
				case err == nil:
					s.story.Stolen = append(s.story.Stolen, fmt.Sprintf("%s could %s", function, what))
					return nil
				case errors.As(err, &refused) && (strings.Contains(refused.ErrorCode(), "Denied") ||
					refused.ErrorCode() == "UnauthorizedOperation"):
					return nil
				}
				return err // of another kind: this says nothing
			}); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// theft is what a stolen role has to be refused: those of one function begin with its name.
func theft(s *stage, c aws.Config) map[string]func() error {
	stacks, tasks := cloudformation.NewFromConfig(c), ecs.NewFromConfig(c)
	network := ec2.NewFromConfig(c)
	deleteStack := func(name string) func() error {
		return func() error {
			_, err := stacks.DeleteStack(s.ctx, &cloudformation.DeleteStackInput{StackName: &name})
			return err
		}
	}
	createStack := func(name string) func() error {
		return func() error {
			_, err := stacks.CreateStack(s.ctx, &cloudformation.CreateStackInput{
				StackName: &name, TemplateBody: aws.String(`{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}`),
			})
			return err
		}
	}
	return map[string]func() error{
		"launcher: delete the stack of a set": deleteStack("drawbridge-set-main"),
		"reaper: create the stack of a set":   createStack("drawbridge-set-main"),
		"delete another's stack":              deleteStack("drawbridge-set-main-2"),
		"create another stack":                createStack("backdoor"),
		"delete the installation":             deleteStack(s.Installed.Name),
		"delete another's endpoint": func() error {
			_, err := network.DeleteVpcEndpoints(s.ctx, &ec2.DeleteVpcEndpointsInput{
				VpcEndpointIds: []string{s.theirEndpoint},
			})
			return err
		},
		"reaper: start a task": func() error {
			_, err := tasks.RunTask(s.ctx, &ecs.RunTaskInput{
				Cluster: aws.String(cluster), TaskDefinition: aws.String("build"), LaunchType: "FARGATE",
				NetworkConfiguration: jobsNetwork(),
			})
			return err
		},
		"launcher: start a task of another definition": func() error {
			_, err := tasks.RunTask(s.ctx, &ecs.RunTaskInput{
				Cluster: aws.String(cluster), TaskDefinition: aws.String("web"), LaunchType: "FARGATE",
				NetworkConfiguration: jobsNetwork(),
			})
			return err
		},
	}
}
