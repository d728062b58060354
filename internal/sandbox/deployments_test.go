package sandbox

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codebuild"
	cbtypes "github.com/aws/aws-sdk-go-v2/service/codebuild/types"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	cdtypes "github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	cptypes "github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/internal/awssim"
	"drawbridge/internal/deployments"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
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

// pipeline creates a pipeline that asks for the endpoints before it builds, and starts it.
func (w deploying) pipeline(parameters string) (*codepipeline.Client, string) {
	w.t.Helper()
	c := AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper())
	client, builds := codepipeline.NewFromConfig(c), codebuild.NewFromConfig(c)
	if _, err := builds.CreateProject(w.t.Context(), &codebuild.CreateProjectInput{
		Name: aws.String("tests"), ServiceRole: aws.String(w.sim.AddRole("build", "codebuild.amazonaws.com")),
		Source: &cbtypes.ProjectSource{Type: "NO_SOURCE"}, Artifacts: &cbtypes.ProjectArtifacts{Type: "NO_ARTIFACTS"},
		Environment: &cbtypes.ProjectEnvironment{Type: "LINUX_CONTAINER", Image: aws.String("i"), ComputeType: "BUILD_GENERAL1_SMALL"},
	}); err != nil {
		w.t.Fatal(err)
	}
	stage := func(name, category, provider string, configuration map[string]string) cptypes.StageDeclaration {
		return cptypes.StageDeclaration{Name: &name, Actions: []cptypes.ActionDeclaration{{
			Name: &name, Configuration: configuration,
			ActionTypeId: &cptypes.ActionTypeId{Category: cptypes.ActionCategory(category), Owner: "AWS", Provider: &provider, Version: aws.String("1")},
		}}}
	}
	_, err := client.CreatePipeline(w.t.Context(), &codepipeline.CreatePipelineInput{Pipeline: &cptypes.PipelineDeclaration{
		Name: aws.String("web"), RoleArn: aws.String(w.sim.AddRole("pipeline", "codepipeline.amazonaws.com")),
		Stages: []cptypes.StageDeclaration{
			stage("Source", "Source", "S3", nil),
			stage("Endpoints", "Invoke", "Lambda", map[string]string{"FunctionName": "drawbridge-hook", "UserParameters": parameters}),
			stage("Build", "Build", "CodeBuild", map[string]string{"ProjectName": "tests"}),
		},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := client.StartPipelineExecution(w.t.Context(), &codepipeline.StartPipelineExecutionInput{Name: aws.String("web")})
	if err != nil {
		w.t.Fatal(err)
	}
	return client, *out.PipelineExecutionId
}

// ended returns the state of an execution.
func (w deploying) ended(client *codepipeline.Client, id string) cptypes.PipelineExecutionStatus {
	w.t.Helper()
	out, err := client.GetPipelineExecution(w.t.Context(), &codepipeline.GetPipelineExecutionInput{PipelineName: aws.String("web"), PipelineExecutionId: &id})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.PipelineExecution.Status
}

const asksForEndpoints = `{"pipeline": "web", "execution": "#{codepipeline.PipelineExecutionId}"}`

const deploysByPipeline = `
sets:
  main: {subnets: [subnet-1, subnet-2]}
jobs:
  smoke: {set: main, cluster: c, taskDefinition: smoke, securityGroups: [sg-1]}
deployments:
  web: {set: main, pipeline: we*, codeBuild: lone-*}
`

func TestAPipelineWaitsForTheEndpointsAndHoldsThemToItsEnd(t *testing.T) {
	longStory(t)
	for _, fault := range []string{"", "continue-after=3m", "jobs-twice", "lost-events=0.5"} {
		t.Run(fault, func(t *testing.T) {
			inDeploying(t, deploysByPipeline, awssim.Options{}, func(w deploying) {
				if name, value, _ := strings.Cut(fault, "="); name != "" {
					w.fault(name, value, 0)
				}
				client, id := w.pipeline(asksForEndpoints)
				time.Sleep(4 * time.Minute)
				for _, e := range w.interfaces() {
					if e.Available == nil {
						t.Errorf("after 4 minutes %s is not available", e.Service)
					}
				}
				time.Sleep(10 * time.Minute)
				if s := w.ended(client, id); s != cptypes.PipelineExecutionStatusSucceeded {
					t.Errorf("execution %s, want Succeeded", s)
				}
				if r := w.record(); r.ID != "web/"+id || r.Ended.IsZero() || !strings.Contains(r.Why, "Succeeded") {
					t.Errorf("record %+v, want one that ended with its execution", r)
				}
				time.Sleep(2 * time.Hour)
				w.lowered()
			})
		})
	}
}

func TestAPipelineIsToldWhyThereAreNoEndpoints(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		name, parameters string
		before           func(w deploying)
	}{
		{name: "no parameters", parameters: "{}"},
		{name: "not JSON", parameters: "web"},
		{name: "paused", parameters: asksForEndpoints, before: func(w deploying) {
			set, err := w.store().LoadSet(w.t.Context(), "main")
			if err == nil {
				set.Pause = &scheduler.Pause{At: time.Now(), By: "me"}
				_, err = w.store().SaveSet(w.t.Context(), set)
			}
			if err != nil {
				w.t.Fatal(err)
			}
		}},
		{name: "they do not come up", parameters: asksForEndpoints, before: func(w deploying) { w.fault("fail-create", "", 0) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inDeploying(t, deploysByPipeline, awssim.Options{}, func(w deploying) {
				if tt.before != nil {
					tt.before(w)
				}
				client, id := w.pipeline(tt.parameters)
				time.Sleep(3 * time.Hour)
				if s := w.ended(client, id); s != cptypes.PipelineExecutionStatusFailed {
					t.Errorf("execution %s, want Failed", s)
				}
				if w.sim.Ledger().Calls["codepipeline:PutJobFailureResult"] != 1 {
					t.Error("the pipeline was not told why")
				}
			})
		})
	}
}

func TestABuildHoldsTheSet(t *testing.T) {
	longStory(t)
	inDeploying(t, deploysByPipeline, awssim.Options{}, func(w deploying) {
		builds := codebuild.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		_, err := builds.CreateProject(w.t.Context(), &codebuild.CreateProjectInput{
			Name: aws.String("lone-tests"), ServiceRole: aws.String(w.sim.AddRole("build", "codebuild.amazonaws.com")),
			Source: &cbtypes.ProjectSource{Type: "NO_SOURCE"}, Artifacts: &cbtypes.ProjectArtifacts{Type: "NO_ARTIFACTS"},
			Environment: &cbtypes.ProjectEnvironment{Type: "LINUX_CONTAINER", Image: aws.String("i"), ComputeType: "BUILD_GENERAL1_SMALL", EnvironmentVariables: []cbtypes.EnvironmentVariable{
				{Name: aws.String("SANDBOX_RUN_FOR"), Value: aws.String("80m")},
			}},
		})
		if err == nil {
			_, err = builds.StartBuild(w.t.Context(), &codebuild.StartBuildInput{ProjectName: aws.String("lone-tests")})
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(79 * time.Minute)
		for _, e := range w.interfaces() {
			if e.Deleting != nil {
				t.Fatalf("%s was deleted under the build", e.Service)
			}
		}
		time.Sleep(5 * time.Minute)
		if r := w.record(); r.Ended.IsZero() || r.State != "SUCCEEDED" {
			t.Errorf("record %+v, want one that ended SUCCEEDED", r)
		}
	})
}

// function is a lifecycle hook of ECS that calls our function.
func (w deploying) function(strategy ecstypes.DeploymentStrategy, stages ...ecstypes.DeploymentLifecycleHookStage) ecstypes.DeploymentConfiguration {
	out := w.sim.StackOutputs("drawbridge")
	return ecstypes.DeploymentConfiguration{Strategy: strategy, LinearConfiguration: &ecstypes.LinearConfiguration{StepPercent: aws.Float64(50), StepBakeTimeInMinutes: aws.Int32(1)}, LifecycleHooks: []ecstypes.DeploymentLifecycleHook{{
		TargetType: ecstypes.DeploymentLifecycleHookTargetTypeAwsLambda, HookTargetArn: aws.String(out["Hook"]), RoleArn: aws.String(out["HookRole"]), LifecycleStages: stages,
	}}}
}

func TestAHookThatECSCallsAnswersWhenItsJobHasEnded(t *testing.T) {
	longStory(t)
	for exit, want := range map[string]ecstypes.ServiceDeploymentStatus{"0": ecstypes.ServiceDeploymentStatusSuccessful, "1": ecstypes.ServiceDeploymentStatusRollbackSuccessful} {
		t.Run("exit code "+exit, func(t *testing.T) {
			inDeployingWorld(t, awssim.Options{}, func(w deploying) {
				w.define("smoke", map[string]string{"SANDBOX_EXIT_CODE": exit, "SANDBOX_RUN_FOR": "20m"})
				w.serve(w.function(ecstypes.DeploymentStrategyBlueGreen, "POST_TEST_TRAFFIC_SHIFT"))
				time.Sleep(50 * time.Minute)
				if d := w.deployment(); d.Status != want {
					t.Errorf("deployment %s at %s, want %s", d.Status, d.LifecycleStage, want)
				}
				if n := w.jobsRun(); n != 1 {
					t.Errorf("the job ran %d times, want once", n)
				}
			})
		})
	}
}

// jobsRun returns how often job smoke ran.
func (w deploying) jobsRun() int {
	n := 0
	for _, task := range w.sim.Ledger().Tasks {
		if strings.HasPrefix(task.Group, "drawbridge:") && task.ExitCode != nil {
			n++
		}
	}
	return n
}

func TestEachStepOfALinearDeploymentHasItsOwnRun(t *testing.T) {
	longStory(t)
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		c := pausing(ecstypes.DeploymentStrategyLinear, "PRE_PRODUCTION_TRAFFIC_SHIFT")
		c.LinearConfiguration = &ecstypes.LinearConfiguration{StepPercent: aws.Float64(25), StepBakeTimeInMinutes: aws.Int32(1)}
		w.serve(c)
		time.Sleep(40 * time.Minute)
		if d := w.deployment(); d.Status != ecstypes.ServiceDeploymentStatusSuccessful {
			t.Errorf("deployment %s at %s", d.Status, d.LifecycleStage)
		}
		if n := w.jobsRun(); n != 4 {
			t.Errorf("the job ran %d times, want once for each of 4 steps", n)
		}
	})
}

func TestAPauseIsAnsweredWhateverBecomesOfItsJobOrEvent(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		name   string
		before func(w deploying)
		want   ecstypes.ServiceDeploymentStatus
		runs   int
	}{
		{name: "events come twice", before: func(w deploying) { w.fault("duplicate-events", "1", 0) }, want: ecstypes.ServiceDeploymentStatusSuccessful, runs: 1},
		{name: "events are lost", before: func(w deploying) { w.fault("lost-events", "1", 0) }, want: "", runs: 0},
		{name: "events are late", before: func(w deploying) { w.fault("late-events", "4m", 0) }, want: ecstypes.ServiceDeploymentStatusSuccessful, runs: 1},
		{name: "the task hangs", before: func(w deploying) { w.define("smoke", map[string]string{"SANDBOX_RUN_FOR": "100h"}) }, want: ecstypes.ServiceDeploymentStatusRollbackSuccessful},
		{name: "the task cannot start", before: func(w deploying) {
			if _, err := w.ecs.RegisterTaskDefinition(w.t.Context(), &ecs.RegisterTaskDefinitionInput{
				Family: aws.String("smoke"), NetworkMode: "awsvpc", Cpu: aws.String("256"), Memory: aws.String("512"),
				ContainerDefinitions: []ecstypes.ContainerDefinition{{Name: aws.String("smoke"), Image: aws.String("nowhere")}},
			}); err != nil {
				w.t.Fatal(err)
			}
		}, want: ecstypes.ServiceDeploymentStatusRollbackSuccessful},
		{name: "ECS refuses the task", before: func(w deploying) { w.fault("refuse-tasks", "", 0) }, want: ecstypes.ServiceDeploymentStatusRollbackSuccessful},
		{name: "ECS does not tell of the failure", before: func(w deploying) {
			w.define("smoke", map[string]string{"SANDBOX_EXIT_CODE": "1"})
			w.fault("no-failed-event", "", 0)
		}, want: ecstypes.ServiceDeploymentStatusRollbackSuccessful, runs: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inDeployingWorld(t, awssim.Options{}, func(w deploying) {
				tt.before(w)
				w.serve(pausing(ecstypes.DeploymentStrategyBlueGreen, "POST_TEST_TRAFFIC_SHIFT"))
				time.Sleep(2 * time.Hour)
				if tt.want == "" { // nothing was ever heard of it: once one event comes, all is seen
					w.fault("lost-events", "off", 0)
					w.ecsEvent()
					time.Sleep(2 * time.Hour)
					tt.want, tt.runs = ecstypes.ServiceDeploymentStatusSuccessful, 1
				}
				if d := w.deployment(); d.Status != tt.want {
					t.Errorf("deployment %s at %s, want %s; record %+v", d.Status, d.LifecycleStage, tt.want, w.record())
				}
				if n := w.jobsRun(); tt.runs > 0 && n != tt.runs {
					t.Errorf("the job ran %d times, want %d", n, tt.runs)
				}
			})
		})
	}
}

// ecsEvent sends an event of the service as ECS does.
func (w deploying) ecsEvent() {
	w.sim.Publish("aws.ecs", "ECS Deployment State Change", []string{"arn:aws:ecs:us-east-1:123456789012:service/c/web"}, map[string]any{
		"eventType": "INFO", "eventName": "SERVICE_DEPLOYMENT_IN_PROGRESS", "deploymentId": "ecs-svc/1",
	})
}

func TestAPauseThatExpiresIsRolledBackBefore(t *testing.T) {
	longStory(t)
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		w.define("smoke", map[string]string{"SANDBOX_RUN_FOR": "40m"})
		c := pausing(ecstypes.DeploymentStrategyBlueGreen, "POST_TEST_TRAFFIC_SHIFT")
		c.LifecycleHooks[0].TimeoutConfiguration = &ecstypes.DeploymentLifecycleHookTimeoutConfiguration{TimeoutInMinutes: aws.Int32(10), Action: "CONTINUE"}
		w.serve(c)
		time.Sleep(time.Hour)
		if d := w.deployment(); d.Status != ecstypes.ServiceDeploymentStatusRollbackSuccessful {
			t.Errorf("deployment %s, want rolled back: the pause would have gone on with its check unfinished", d.Status)
		}
		if r := w.record(); len(r.Firings) != 1 || !strings.Contains(r.Firings[0].Reason, "before the hook expires") {
			t.Errorf("hooks %+v", r.Firings)
		}
	})
}
