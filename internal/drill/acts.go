package drill

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"drawbridge/cfn"
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
	e.At, e.SHA256 = epoch(s.sim.Now()), fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	s.story.Events = append(s.story.Events, e)
	return nil
}

func (s *stage) put(body string) error {
	return s.insist(func() error {
		_, err := s.queue.SendMessage(s.ctx, &sqs.SendMessageInput{
			QueueUrl:    aws.String("http://queue/" + cfn.NamesOf(s.installed.Name, s.sim.Region()).Events),
			MessageBody: aws.String(body),
		})
		return err
	})
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
	return s.send(message(job, id, takes), judge.Event{ID: id})
}

// burst sends twelve events in a second, each third twice, and one that names no job.
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
	return s.send(`{"job":"nope","id":"bad"}`, judge.Event{ID: "bad", Refused: true})
}

// hold keeps a set up by hand.
func (s *stage) hold(set string, lasts time.Duration) error {
	return s.insist(func() error {
		now := s.sim.Now()
		return s.records.Hold(s.ctx, scheduler.SetName(set), scheduler.Hold{
			Owner: "somebody", Reason: "looks around", Since: now, Expires: now.Add(lasts),
		})
	})
}

// jobsNetwork is where the jobs of set main run.
func jobsNetwork() *ecstypes.NetworkConfiguration {
	return &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
		Subnets: []string{"subnet-main-a", "subnet-main-b"}, SecurityGroups: []string{"sg-main"},
	}}
}

// theirs runs a task of somebody else's in the jobs' cluster, for two hours, unless ECS has no
// room for it. The set is not theirs: if it is down, their task does not start.
func (s *stage) theirs(group, startedBy string) error {
	in := &ecs.RunTaskInput{
		Cluster: aws.String(cluster), TaskDefinition: aws.String("web"), LaunchType: "FARGATE",
		StartedBy: aws.String(startedBy), Group: aws.String(group), NetworkConfiguration: jobsNetwork(),
		ClientToken: aws.String(group), Overrides: &ecstypes.TaskOverride{
			ContainerOverrides: []ecstypes.ContainerOverride{{
				Name: aws.String("web"), Environment: []ecstypes.KeyValuePair{
					{Name: aws.String("SANDBOX_RUN_FOR"), Value: aws.String("2h")},
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
func (s *stage) batch() error { return s.theirs("their-batch", "them") }

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

// deployed reports whether the service's deployment has come to an end, and its state.
func (s *stage) deployed() (ended bool, state string, err error) {
	err = s.insist(func() error {
		list, err := s.ecs.ListServiceDeployments(s.ctx, &ecs.ListServiceDeploymentsInput{
			Cluster: aws.String(cluster), Service: aws.String("web"),
		})
		if err != nil || len(list.ServiceDeployments) == 0 {
			return errors.Join(errors.New("no deployment"), err)
		}
		state = string(list.ServiceDeployments[0].Status)
		return nil
	})
	switch ecstypes.ServiceDeploymentStatus(state) {
	case ecstypes.ServiceDeploymentStatusSuccessful, ecstypes.ServiceDeploymentStatusRollbackSuccessful:
		ended = true
	}
	return ended, state, err
}

// redeploy replaces the functions, and what they are configured to do, in mid-flight.
func redeploy(s *stage) (undo func() error, err error) {
	put := func(text string) error {
		if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
			return err
		}
		s.sim.Redeploy()
		return nil
	}
	changed := strings.Replace(string(setup), "maxDelay: 45m", "maxDelay: 20m", 1)
	return func() error { return put(string(setup)) }, put("margin: 8m\n" + changed)
}

// removeRole deletes the role by which CloudFormation makes endpoints; undo makes it again.
func removeRole(s *stage) (undo func() error, err error) {
	name := aws.String(cfn.NamesOf(s.installed.Name, s.sim.Region()).StackRole)
	var trust string
	var attached []iamtypes.AttachedPolicy
	inline := map[string]string{}
	if err := s.insist(func() error {
		role, err := s.iam.GetRole(s.ctx, &iam.GetRoleInput{RoleName: name})
		if err != nil {
			return err
		}
		trust = aws.ToString(role.Role.AssumeRolePolicyDocument)
		managed, err := s.iam.ListAttachedRolePolicies(s.ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name})
		if err != nil {
			return err
		}
		attached = managed.AttachedPolicies
		list, err := s.iam.ListRolePolicies(s.ctx, &iam.ListRolePoliciesInput{RoleName: name})
		if err != nil {
			return err
		}
		for _, p := range list.PolicyNames {
			got, err := s.iam.GetRolePolicy(s.ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: &p})
			if err != nil {
				return err
			}
			inline[p] = aws.ToString(got.PolicyDocument)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read role %s: %w", *name, err)
	}
	for p := range inline {
		if _, err := s.iam.DeleteRolePolicy(s.ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: &p}); err != nil {
			return nil, err
		}
	}
	for _, p := range attached {
		if _, err := s.iam.DetachRolePolicy(s.ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: p.PolicyArn}); err != nil {
			return nil, err
		}
	}
	if _, err := s.iam.DeleteRole(s.ctx, &iam.DeleteRoleInput{RoleName: name}); err != nil {
		return nil, err
	}
	return func() error {
		plain, err := url.QueryUnescape(trust)
		if err != nil {
			return err
		}
		if _, err := s.iam.CreateRole(s.ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: &plain}); err != nil {
			return err
		}
		for _, p := range attached {
			if _, err := s.iam.AttachRolePolicy(s.ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: p.PolicyArn}); err != nil {
				return err
			}
		}
		for p, document := range inline {
			if plain, err = url.QueryUnescape(document); err != nil {
				return err
			}
			if _, err := s.iam.PutRolePolicy(s.ctx, &iam.PutRolePolicyInput{
				RoleName: name, PolicyName: &p, PolicyDocument: &plain,
			}); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
