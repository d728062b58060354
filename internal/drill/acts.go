package drill

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"drawbridge/internal/drill/judge"
	"drawbridge/scheduler"
)

// What people do in an account, in a drill.

// send puts an event on the queue, as often as it takes until the queue has it, and writes
// down that it was accepted.
func (s *stage) send(body string, e judge.Event) error {
	if err := s.put(body); err != nil {
		return fmt.Errorf("send %s: %w", e.ID, err)
	}
	e.At, e.SHA256 = epoch(s.Sim.Now()), fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	s.story.Events = append(s.story.Events, e)
	return nil
}

func (s *stage) put(body string) error {
	return s.insist(func() error {
		_, err := s.queue.SendMessage(s.ctx, &sqs.SendMessageInput{
			QueueUrl: s.queueURL(), MessageBody: aws.String(body),
		})
		return err
	})
}

// waiting reports whether the queue still holds events.
func (s *stage) waiting() (bool, error) {
	counts := []sqstypes.QueueAttributeName{
		"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
	}
	waiting := false
	err := s.insist(func() error {
		out, err := s.queue.GetQueueAttributes(s.ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: s.queueURL(), AttributeNames: counts,
		})
		if err != nil {
			return err
		}
		waiting = false
		for _, name := range counts {
			waiting = waiting || out.Attributes[string(name)] != "0"
		}
		return nil
	})
	return waiting, err
}

func (s *stage) queueURL() *string {
	return aws.String("http://queue/" + s.names().Events)
}

// message is an event that asks for a run of a job, whose program takes a while.
func message(job, id string, takes time.Duration) string {
	environment := []map[string]string{
		{"name": judge.EventVariable, "value": id}, {"name": "SANDBOX_RUN_FOR", "value": takes.String()},
	}
	b, err := json.Marshal(map[string]any{
		"job": job, "id": id, "overrides": map[string]any{"containerOverrides": []any{map[string]any{
			"name": job, "environment": environment,
		}}},
	})
	if err != nil {
		panic(err) // texts always encode
	}
	return string(b)
}

// ask sends an event for a run of a job.
func (s *stage) ask(job, id string, takes time.Duration) error {
	return s.send(message(job, id, takes), judge.Event{ID: id, Job: job})
}

// noJob and steers are why invalid events are refused.
var (
	noJob  = regexp.MustCompile(`^there is no job "nope`)
	steers = regexp.MustCompile(`does not allow an event to set the variable "LD_PRELOAD"`)
)

// burst sends twelve events in a second, each third twice, one that names no job, and one that
// sets a variable which steers programs.
func (s *stage) burst() error {
	for i := range 12 {
		id := fmt.Sprintf("burst-%d", i)
		if err := s.ask("build", id, 4*time.Minute); err != nil {
			return err
		}
		if i%3 == 0 {
			if err := s.put(message("build", id, 4*time.Minute)); err != nil {
				return err
			}
		}
	}
	if err := s.send(`{"job":"nope","id":"bad"}`, judge.Event{ID: "bad", Refused: noJob}); err != nil {
		return err
	}
	return s.send(strings.Replace(message("build", "steered", time.Minute), "SANDBOX_RUN_FOR", "LD_PRELOAD", 1),
		judge.Event{ID: "steered", Refused: steers})
}

// hold keeps a set up by hand.
func (s *stage) hold(set string, lasts time.Duration) error {
	return s.insist(func() error {
		now := s.Sim.Now()
		err := s.records.Hold(s.ctx, scheduler.SetName(set), scheduler.Hold{
			Owner: "somebody", Reason: "looks around", Since: now, Expires: now.Add(lasts),
		})
		if err == nil {
			s.story.Holds = append(s.story.Holds, judge.Hold{
				VPC: mainVPC, From: epoch(now), Until: epoch(now.Add(lasts)),
			})
		}
		return err
	})
}

// jobsNetwork is where the jobs of set main run.
func jobsNetwork() *ecstypes.NetworkConfiguration {
	return &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
		Subnets: []string{"subnet-main-a", "subnet-main-b"}, SecurityGroups: []string{"sg-main"},
	}}
}

// theirs runs a task of somebody else's in the jobs' cluster, unless ECS has no room for it. The
// set is not theirs: if it is down, their task does not start.
func (s *stage) theirs(definition, group, startedBy string, takes time.Duration) error {
	in := &ecs.RunTaskInput{
		Cluster: aws.String(cluster), TaskDefinition: &definition, LaunchType: "FARGATE",
		StartedBy: aws.String(startedBy), Group: aws.String(group), NetworkConfiguration: jobsNetwork(),
		ClientToken: aws.String(group), Overrides: &ecstypes.TaskOverride{
			ContainerOverrides: []ecstypes.ContainerOverride{{
				Name: &definition, Environment: []ecstypes.KeyValuePair{
					{Name: aws.String("SANDBOX_RUN_FOR"), Value: aws.String(takes.String())},
				},
			}},
		},
	}
	return s.insist(func() error {
		out, err := s.ecs.RunTask(s.ctx, in)
		if err == nil && len(out.Tasks) == 1 {
			s.story.Foreign = append(s.story.Foreign, aws.ToString(out.Tasks[0].TaskArn))
		}
		return err
	})
}

// batch is a task of other people's that has nothing to do with us.
func (s *stage) batch() error { return s.theirs("web", "their-batch", "them", 2*time.Hour) }

// deploy makes the service, whose first deployment waits for job smoke.
func (s *stage) deploy() error {
	return s.insist(func() error {
		_, err := s.ecs.CreateService(s.ctx, &ecs.CreateServiceInput{
			Cluster: aws.String(cluster), ServiceName: aws.String("web"), TaskDefinition: aws.String("web"),
			DesiredCount: aws.Int32(1), NetworkConfiguration: jobsNetwork(),
			DeploymentConfiguration: &ecstypes.DeploymentConfiguration{
				Strategy: ecstypes.DeploymentStrategyBlueGreen,
				LifecycleHooks: []ecstypes.DeploymentLifecycleHook{{
					TargetType:      ecstypes.DeploymentLifecycleHookTargetTypePause,
					LifecycleStages: []ecstypes.DeploymentLifecycleHookStage{"POST_TEST_TRAFFIC_SHIFT"},
				}},
			},
		})
		var known *ecstypes.InvalidParameterException // it was made, and the reply was lost
		if errors.As(err, &known) && strings.Contains(err.Error(), "idempotent") {
			return nil
		}
		return err
	})
}

// deployed returns the state of the service's deployment.
func (s *stage) deployed() (state ecstypes.ServiceDeploymentStatus, err error) {
	err = s.insist(func() error {
		list, err := s.ecs.ListServiceDeployments(s.ctx, &ecs.ListServiceDeploymentsInput{
			Cluster: aws.String(cluster), Service: aws.String("web"),
		})
		if err != nil || len(list.ServiceDeployments) == 0 {
			return errors.Join(errors.New("no deployment"), err)
		}
		state = list.ServiceDeployments[0].Status
		return nil
	})
	return state, err
}

// redeploy replaces the functions, and what they are configured to do, in mid-flight.
func redeploy(s *stage) (undo func() error, err error) {
	put := func(text string) error {
		if err := os.WriteFile(s.Config, []byte(text), 0o600); err != nil {
			return err
		}
		s.Sim.Redeploy()
		return nil
	}
	changed := strings.Replace(string(setup), "maxDelay: 45m", "maxDelay: 20m", 1)
	return func() error { return put(string(setup)) }, put("margin: 8m\n" + changed)
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
