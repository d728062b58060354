package drill

import (
	"encoding/json"
	"errors"
	"fmt"
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
// runs. The run has to be running a minute later.
func forge(s *stage) (func() error, error) {
	running := func() error {
		run, ok, err := s.records.Run(s.ctx, "main", "build/long")
		if err == nil && ok && run.State != scheduler.Running {
			s.story.Stolen = append(s.story.Stolen, "an event of another account ended run build/long")
		}
		return err
	}
	return func() error { return s.insist(running) }, s.insist(func() error {
		run, ok, err := s.records.Run(s.ctx, "main", "build/long")
		if err != nil || !ok || run.State != scheduler.Running {
			return errors.Join(errors.New("the run is not running yet"), err)
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
	for _, function := range []string{s.names().Launcher, s.names().Reaper} {
		key := ""
		for range 60 { // for an environment that is there
			if key = s.Sim.Steal(function); key != "" {
				break
			}
			s.Sim.Advance(time.Minute)
		}
		c := s.aws.Copy()
		c.Credentials = credentials.NewStaticCredentialsProvider(key, "sandbox", "sandbox")
		for _, t := range s.thefts(c) {
			if t.function != "" && t.function != function {
				continue
			}
			if err := s.insist(func() error { return s.attempt(function, t) }); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// theft is what a stolen role has to be refused: that of one function, or of any if it is "".
type theft struct {
	function, what string
	do             func() error
}

// attempt tries a theft. It returns an error that says nothing: neither success nor refusal.
func (s *stage) attempt(function string, t theft) error {
	err := t.do()
	if err == nil {
		s.story.Stolen = append(s.story.Stolen, fmt.Sprintf("%s could %s", function, t.what))
		return nil
	}
	var refused smithy.APIError
	if errors.As(err, &refused) && (strings.Contains(refused.ErrorCode(), "Denied") ||
		refused.ErrorCode() == "UnauthorizedOperation") {
		return nil
	}
	return err
}

func (s *stage) thefts(c aws.Config) []theft {
	stacks, tasks := cloudformation.NewFromConfig(c), ecs.NewFromConfig(c)
	network := ec2.NewFromConfig(c)
	deletes := func(name string) func() error {
		return func() error {
			_, err := stacks.DeleteStack(s.ctx, &cloudformation.DeleteStackInput{StackName: &name})
			return err
		}
	}
	creates := func(name string) func() error {
		return func() error {
			_, err := stacks.CreateStack(s.ctx, &cloudformation.CreateStackInput{
				StackName: &name, TemplateBody: aws.String(`{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}`),
			})
			return err
		}
	}
	starts := func(definition string) func() error {
		return func() error {
			_, err := tasks.RunTask(s.ctx, &ecs.RunTaskInput{
				Cluster: aws.String(cluster), TaskDefinition: &definition, LaunchType: "FARGATE",
				NetworkConfiguration: jobsNetwork(),
			})
			return err
		}
	}
	launcher, reaper := s.names().Launcher, s.names().Reaper
	return []theft{
		{"", "delete another's stack", deletes("drawbridge-set-main-2")},
		{"", "create another stack", creates("backdoor")},
		{"", "delete the installation", deletes(s.Installed.Name)},
		{"", "delete another's endpoint", func() error {
			_, err := network.DeleteVpcEndpoints(s.ctx, &ec2.DeleteVpcEndpointsInput{
				VpcEndpointIds: []string{s.theirEndpoint},
			})
			return err
		}},
		{launcher, "delete the stack of a set", deletes("drawbridge-set-main")},
		{launcher, "start a task of another definition", starts("web")},
		{reaper, "create the stack of a set", creates("drawbridge-set-main")},
		{reaper, "start a task", starts("build")},
	}
}
