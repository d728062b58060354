package sandbox

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	cdtypes "github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/internal/awssim"
	"drawbridge/internal/deployments"
	"drawbridge/internal/deployments/section"
)

const deploysWeb = `
sets:
  main:
    subnets: [subnet-1, subnet-2]
jobs:
  smoke:
    set: main
    cluster: c
    taskDefinition: smoke
    securityGroups: [sg-1]
    maxRuntime: 3h
deployments:
  web:
    set: main
    ecsService: c/web
    codeDeploy: web/*
    hooks:
      POST_TEST_TRAFFIC_SHIFT: {job: smoke}
      PRE_PRODUCTION_TRAFFIC_SHIFT: {job: smoke}
      AfterInstall: {job: smoke}
      BeforeInstall: {job: smoke}
`

// deploying is a world with a service to deploy.
type deploying struct {
	*world
	ecs        *ecs.Client
	codeDeploy *codedeploy.Client
}

func inDeployingWorld(t *testing.T, o awssim.Options, story func(w deploying)) {
	t.Helper()
	inDeploying(t, deploysWeb, o, story)
}

func inDeploying(t *testing.T, text string, o awssim.Options, story func(w deploying)) {
	t.Helper()
	inWorld(t, text, o, func(w *world) {
		c := AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper())
		d := deploying{w, ecs.NewFromConfig(c), codedeploy.NewFromConfig(c)}
		d.define("web", nil)
		story(d)
	})
}

// define registers a task definition like that of job smoke.
func (w deploying) define(family string, environment map[string]string) {
	w.t.Helper()
	var env []ecstypes.KeyValuePair
	for k, v := range environment {
		env = append(env, ecstypes.KeyValuePair{Name: &k, Value: &v})
	}
	_, err := w.ecs.RegisterTaskDefinition(w.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: &family, NetworkMode: "awsvpc", Cpu: aws.String("256"), Memory: aws.String("512"),
		RequiresCompatibilities: []ecstypes.Compatibility{"FARGATE"},
		ContainerDefinitions: []ecstypes.ContainerDefinition{{
			Name: &family, Image: aws.String("123456789012.dkr.ecr.us-east-1.amazonaws.com/" + family + ":1"),
			Environment: env,
		}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// serve creates the service, with pauses of the given stages.
func (w deploying) serve(c ecstypes.DeploymentConfiguration) {
	w.t.Helper()
	_, err := w.ecs.CreateService(w.t.Context(), &ecs.CreateServiceInput{
		Cluster: aws.String("c"), ServiceName: aws.String("web"), TaskDefinition: aws.String("web"), DesiredCount: aws.Int32(2),
		DeploymentConfiguration: &c,
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: []string{"subnet-1", "subnet-2"}, SecurityGroups: []string{"sg-1"},
		}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func pausing(strategy ecstypes.DeploymentStrategy, stages ...ecstypes.DeploymentLifecycleHookStage) ecstypes.DeploymentConfiguration {
	return ecstypes.DeploymentConfiguration{Strategy: strategy, LifecycleHooks: []ecstypes.DeploymentLifecycleHook{{
		TargetType: ecstypes.DeploymentLifecycleHookTargetTypePause, LifecycleStages: stages,
	}}}
}

// deployment returns the service's last deployment.
func (w deploying) deployment() ecstypes.ServiceDeployment {
	w.t.Helper()
	l, err := w.ecs.ListServiceDeployments(w.t.Context(), &ecs.ListServiceDeploymentsInput{Cluster: aws.String("c"), Service: aws.String("web")})
	if err != nil || len(l.ServiceDeployments) == 0 {
		w.t.Fatalf("deployments %v, %v", l, err)
	}
	out, err := w.ecs.DescribeServiceDeployments(w.t.Context(), &ecs.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{*l.ServiceDeployments[0].ServiceDeploymentArn}})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.ServiceDeployments[0]
}

// record returns the last record of a deployment of the set.
func (w deploying) record() deployments.Record {
	w.t.Helper()
	all, err := w.store().AllDeployments(w.t.Context(), "main")
	if err != nil || len(all) == 0 {
		w.t.Fatalf("records %s, %v", all, err)
	}
	var last deployments.Record
	for _, text := range all {
		var r deployments.Record
		if err := json.Unmarshal(text, &r); err != nil {
			w.t.Fatal(err)
		}
		if r.Began.After(last.Began) {
			last = r
		}
	}
	return last
}

// settled fails the test unless the set is gone, and nothing that runs without an end was
// cut off.
func (w deploying) lowered() {
	w.t.Helper()
	for _, e := range w.interfaces() {
		if e.Deleted == nil {
			w.t.Errorf("endpoint %s of %s still stands", e.ID, e.Service)
		}
	}
}

func TestADeploymentHoldsItsSetAndAPauseRunsItsJob(t *testing.T) {
	longStory(t)
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		w.serve(pausing(ecstypes.DeploymentStrategyBlueGreen, "POST_TEST_TRAFFIC_SHIFT"))
		time.Sleep(20 * time.Minute)
		d := w.deployment()
		if d.Status != ecstypes.ServiceDeploymentStatusSuccessful {
			t.Fatalf("deployment %s at %s, %v", d.Status, d.LifecycleStage, aws.ToString(d.StatusReason))
		}
		r := w.record()
		if r.Kind != deployments.ECS || r.Held || r.Ended.IsZero() || len(r.Firings) != 1 || r.Firings[0].Outcome != deployments.Succeeded {
			t.Errorf("record %+v, want one that has ended with one hook that succeeded", r)
		}
		time.Sleep(2 * time.Hour)
		w.lowered()
	})
}

func TestAPauseWhoseJobFailsRollsBack(t *testing.T) {
	longStory(t)
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		w.define("smoke", map[string]string{"SANDBOX_EXIT_CODE": "1"})
		w.serve(pausing(ecstypes.DeploymentStrategyBlueGreen, "POST_TEST_TRAFFIC_SHIFT"))
		time.Sleep(20 * time.Minute)
		if d := w.deployment(); d.Status != ecstypes.ServiceDeploymentStatusRollbackSuccessful {
			t.Errorf("deployment %s at %s", d.Status, d.LifecycleStage)
		}
		if r := w.record(); len(r.Firings) != 1 || r.Firings[0].Outcome != deployments.Failed || !strings.Contains(r.Firings[0].Reason, "failed") {
			t.Errorf("hooks %+v, want one that failed with its run", r.Firings)
		}
	})
}

// appSpec is a revision for CodeDeploy with our hooks.
func appSpec(hooks ...string) *cdtypes.RevisionLocation {
	text := "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      Properties:\n" +
		"        TaskDefinition: arn:aws:ecs:us-east-1:123456789012:task-definition/web:1\n" +
		"        LoadBalancerInfo: {ContainerName: web, ContainerPort: 80}\n"
	if len(hooks) > 0 {
		text += "Hooks:\n"
	}
	for _, event := range hooks {
		text += "  - " + event + ": " + section.HookFunction("drawbridge", "web", event) + "\n"
	}
	return &cdtypes.RevisionLocation{RevisionType: "AppSpecContent", AppSpecContent: &cdtypes.AppSpecContent{Content: &text}}
}

// group makes a service that CodeDeploy deploys, with its deployment group.
func (w deploying) group() {
	w.t.Helper()
	_, err := w.ecs.CreateService(w.t.Context(), &ecs.CreateServiceInput{
		Cluster: aws.String("c"), ServiceName: aws.String("blue"), TaskDefinition: aws.String("web"), DesiredCount: aws.Int32(1),
		DeploymentController: &ecstypes.DeploymentController{Type: "CODE_DEPLOY"},
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: []string{"subnet-1"}, SecurityGroups: []string{"sg-1"},
		}},
	})
	if err == nil {
		_, err = w.codeDeploy.CreateApplication(w.t.Context(), &codedeploy.CreateApplicationInput{ApplicationName: aws.String("web"), ComputePlatform: "ECS"})
	}
	if err == nil {
		_, err = w.codeDeploy.CreateDeploymentGroup(w.t.Context(), &codedeploy.CreateDeploymentGroupInput{
			ApplicationName: aws.String("web"), DeploymentGroupName: aws.String("prod"),
			ServiceRoleArn: aws.String(w.sim.AddRole("codedeploy", "codedeploy.amazonaws.com")),
			EcsServices:    []cdtypes.ECSService{{ClusterName: aws.String("c"), ServiceName: aws.String("blue")}},
			BlueGreenDeploymentConfiguration: &cdtypes.BlueGreenDeploymentConfiguration{
				TerminateBlueInstancesOnDeploymentSuccess: &cdtypes.BlueInstanceTerminationOption{Action: "TERMINATE", TerminationWaitTimeInMinutes: 300},
			},
			AutoRollbackConfiguration: &cdtypes.AutoRollbackConfiguration{Enabled: true, Events: []cdtypes.AutoRollbackEvent{"DEPLOYMENT_FAILURE"}},
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w deploying) deploy(r *cdtypes.RevisionLocation) string {
	w.t.Helper()
	out, err := w.codeDeploy.CreateDeployment(w.t.Context(), &codedeploy.CreateDeploymentInput{
		ApplicationName: aws.String("web"), DeploymentGroupName: aws.String("prod"), Revision: r,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.DeploymentId
}

func (w deploying) status(id string) cdtypes.DeploymentInfo {
	w.t.Helper()
	out, err := w.codeDeploy.GetDeployment(w.t.Context(), &codedeploy.GetDeploymentInput{DeploymentId: &id})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.DeploymentInfo
}

func TestACodeDeployHookIsAnsweredByItsJobAndTheSetIsFreeBeforeTheOldTasksEnd(t *testing.T) {
	longStory(t)
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		w.group()
		id := w.deploy(appSpec("BeforeInstall", "AfterInstall"))
		time.Sleep(30 * time.Minute)
		r := w.record()
		if r.ID != id || r.Ended.IsZero() || !strings.Contains(r.Why, "old tasks") || len(r.Firings) != 2 {
			t.Errorf("record %+v, want one that needs nothing more, with two hooks", r)
		}
		if d := w.status(id); d.Status != cdtypes.DeploymentStatusInProgress {
			t.Errorf("deployment %s, want InProgress until the old tasks end", d.Status)
		}
		time.Sleep(2 * time.Hour)
		w.lowered()
		time.Sleep(4 * time.Hour)
		if d := w.status(id); d.Status != cdtypes.DeploymentStatusSucceeded {
			t.Errorf("deployment %s, want Succeeded", d.Status)
		}
	})
}

func TestAFailedCodeDeployHookRollsBackAndTheRollBackHoldsToo(t *testing.T) {
	longStory(t)
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		w.define("smoke", map[string]string{"SANDBOX_EXIT_CODE": "3"})
		w.group()
		id := w.deploy(appSpec("AfterInstall"))
		time.Sleep(30 * time.Minute)
		d := w.status(id)
		if d.Status != cdtypes.DeploymentStatusFailed || d.ErrorInformation.Code != cdtypes.ErrorCodeHookExecutionFailure {
			t.Fatalf("deployment %s, %+v", d.Status, d.ErrorInformation)
		}
		r := w.record()
		if r.ID != aws.ToString(d.RollbackInfo.RollbackDeploymentId) || r.Of != id || r.Ended.IsZero() {
			t.Errorf("record %+v, want that of the roll-back of %s, ended", r, id)
		}
	})
}

// theirs adds a hook function of a user's in the VPC, which reports as it should, and
// returns the revision that names it.
func (w deploying) theirs(subnets, groups []string) *cdtypes.RevisionLocation {
	const name = "CodeDeployHook_theirs"
	c := AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper())
	c.RetryMaxAttempts = 1
	client := codedeploy.NewFromConfig(c)
	w.sim.AddFunction(name, w.sim.AddRole(name, "lambda.amazonaws.com"), subnets, groups, func(ctx context.Context, payload []byte) ([]byte, error) {
		var e struct{ DeploymentID, LifecycleEventHookExecutionID string }
		if err := json.Unmarshal(payload, &e); err != nil {
			return nil, err
		}
		for { // as one that is written well tries
			_, err := client.PutLifecycleEventHookExecutionStatus(ctx, &codedeploy.PutLifecycleEventHookExecutionStatusInput{
				DeploymentId: &e.DeploymentID, LifecycleEventHookExecutionId: &e.LifecycleEventHookExecutionID, Status: "Succeeded",
			})
			if err == nil || w.sim.Sleep(ctx, 10*time.Second) != nil {
				return []byte(`{}`), err
			}
		}
	})
	r := appSpec()
	text := *r.AppSpecContent.Content + "Hooks:\n  - AfterInstall: " + name + "\n"
	r.AppSpecContent.Content = &text
	return r
}

const deploysWithFunctions = `
sets:
  main:
    subnets: [subnet-1, subnet-2]
    services: [SERVICES]
jobs:
  smoke: {set: main, cluster: c, taskDefinition: smoke, securityGroups: [sg-1]}
deployments:
  web: {set: main, codeDeploy: web/prod, functions: [CodeDeployHook_theirs], pipeline: web}
`

func withFunctions(services string) string {
	return strings.Replace(deploysWithFunctions, "SERVICES", services, 1)
}

func TestAHookOfTheirsHangsForAnHourWithoutItsEndpointAndIsSeen(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		name, services, want string
		groups               []string
		before               func(w deploying)
		cured                bool
	}{
		{name: "no endpoint", services: "ecr.api, ecr.dkr, logs, s3", want: "has no codedeploy endpoint"},
		{name: "security group", services: "codedeploy, ecr.api, ecr.dkr, logs, s3", groups: []string{"sg-other"}, want: "do not allow HTTPS in", before: func(w deploying) {
			w.sim.AddSecurityGroup("sg-other", w.config.Sets["main"].VPC, "other")
		}},
		{name: "network ACL", services: "codedeploy, ecr.api, ecr.dkr, logs, s3", want: "network ACL", before: func(w deploying) { w.sim.CloseSubnet("subnet-2") }},
		{name: "cured", services: "codedeploy, ecr.api, ecr.dkr, logs, s3", cured: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inDeploying(t, withFunctions(tt.services), awssim.Options{}, func(w deploying) {
				w.group()
				if tt.before != nil {
					tt.before(w)
				}
				groups := tt.groups
				if groups == nil {
					groups = []string{"sg-1"}
				}
				id := w.deploy(w.theirs([]string{"subnet-2"}, groups))
				seen := time.Time{}
				for range 200 {
					time.Sleep(30 * time.Second)
					r := w.record()
					if r.Hang != nil && seen.IsZero() {
						seen = time.Now()
						if !strings.Contains(r.Hang.Cause, tt.want) || r.Hang.Remedy == "" {
							t.Errorf("cause %q, remedy %q, want %q", r.Hang.Cause, r.Hang.Remedy, tt.want)
						}
						if since := seen.Sub(r.AtSince); since > 2*time.Minute {
							t.Errorf("seen after %s, want two minutes at most", since)
						}
					}
				}
				d := w.status(id)
				if tt.cured {
					if !seen.IsZero() || d.Status == cdtypes.DeploymentStatusFailed {
						t.Errorf("deployment %s, hang seen %s, want neither", d.Status, seen)
					}
					return
				}
				if d.Status != cdtypes.DeploymentStatusFailed || d.CompleteTime.Sub(*d.StartTime) < time.Hour || seen.IsZero() {
					t.Errorf("deployment %s after %s, hang seen %v; want Failed after an hour, and seen", d.Status, aws.ToTime(d.CompleteTime).Sub(*d.StartTime), seen)
				}
			})
		})
	}
}
