package sandbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codebuild"
	cbtypes "github.com/aws/aws-sdk-go-v2/service/codebuild/types"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	cdtypes "github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/internal/awssim"
	"drawbridge/internal/deployments"
)

const deploysAllKinds = `
sets:
  main: {subnets: [subnet-1, subnet-2]}
jobs:
  smoke: {set: main, cluster: c, taskDefinition: smoke, securityGroups: [sg-1]}
deployments:
  build: {set: main, codeBuild: tests}
  gone: {set: main, ecsService: c/gone, codeDeploy: gone/gone, codeBuild: gone}
  group: {set: main, codeDeploy: web/prod}
  web:
    set: main
    ecsService: c/web
    hooks:
      POST_TEST_TRAFFIC_SHIFT: {job: smoke}
`

// build starts a build of project tests, which takes 20 minutes.
func (w deploying) build() {
	w.t.Helper()
	client := codebuild.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
	_, err := client.CreateProject(w.t.Context(), &codebuild.CreateProjectInput{
		Name: aws.String("tests"), ServiceRole: aws.String(w.sim.AddRole("build", "codebuild.amazonaws.com")),
		Source: &cbtypes.ProjectSource{Type: "NO_SOURCE"}, Artifacts: &cbtypes.ProjectArtifacts{Type: "NO_ARTIFACTS"},
		Environment: &cbtypes.ProjectEnvironment{
			Type: "LINUX_CONTAINER", Image: aws.String("i"), ComputeType: "BUILD_GENERAL1_SMALL",
			EnvironmentVariables: []cbtypes.EnvironmentVariable{{Name: aws.String("SANDBOX_RUN_FOR"), Value: aws.String("20m")}},
		},
	})
	if err == nil {
		_, err = client.StartBuild(w.t.Context(), &codebuild.StartBuildInput{ProjectName: aws.String("tests")})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestADeploymentOfWhichNoEventArrivesIsFound(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		kind  deployments.Kind
		start func(w deploying)
	}{
		{deployments.ECS, func(w deploying) {
			w.serve(pausing(ecstypes.DeploymentStrategyBlueGreen, "POST_TEST_TRAFFIC_SHIFT"))
		}},
		{deployments.CodeDeploy, func(w deploying) {
			w.group()
			w.deploy(appSpec())
		}},
		{deployments.Build, deploying.build},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			inDeploying(t, deploysAllKinds, awssim.Options{}, func(w deploying) {
				w.fault("unsent-events", "", 0)
				began := time.Now()
				tt.start(w)
				time.Sleep(3 * time.Minute)
				if r := w.record(); r.Kind != tt.kind || !r.Held || r.Began.Sub(began) > 2*time.Minute {
					t.Errorf("after three minutes the record is %+v, want one that holds the set within two", r)
				}
				time.Sleep(30 * time.Minute)
				r := w.record()
				if r.Ended.IsZero() || !r.Released {
					t.Errorf("record %+v, want one that has ended", r)
				}
				if tt.kind == deployments.ECS && (len(r.Firings) != 1 || r.Firings[0].Outcome != deployments.Succeeded) {
					t.Errorf("hooks %+v, want the pause continued", r.Firings)
				}
				time.Sleep(2 * time.Hour)
				w.lowered()
				if all, err := w.store().AllDeployments(w.t.Context(), "main"); err != nil || len(all) != 1 {
					t.Errorf("%d records, %v, want one: a deployment is found once", len(all), err)
				}
			})
		})
	}
}

func TestARollBackWhoseHooksAreCalledIsNotChecked(t *testing.T) {
	longStory(t)
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		w.fault("hooks-in-roll-back", "", 0)
		w.define("smoke", map[string]string{"SANDBOX_EXIT_CODE": "3"})
		w.group()
		id := w.deploy(appSpec("AfterInstall"))
		time.Sleep(15 * time.Minute)
		back := w.status(aws.ToString(w.status(id).RollbackInfo.RollbackDeploymentId))
		if back.Status != cdtypes.DeploymentStatusSucceeded {
			t.Errorf("the roll-back is %s after 15 minutes, want Succeeded", back.Status)
		}
		r := w.record()
		if len(r.Firings) != 1 || r.Firings[0].Run != "" || !strings.Contains(r.Firings[0].Reason, "not checked") {
			t.Errorf("hooks of the roll-back %+v, want one that succeeded without a run", r.Firings)
		}
		if n := w.jobsRun(); n != 1 {
			t.Errorf("the job ran %d times, want once, for the deployment", n)
		}
	})
}

func TestAHookOfTheirsHangsInARollBackAndIsSeen(t *testing.T) {
	longStory(t)
	inDeploying(t, withFunctions("ecr.api, ecr.dkr, logs, s3"), awssim.Options{}, func(w deploying) {
		w.fault("hooks-in-roll-back", "", 0)
		w.group()
		id := w.deploy(w.theirs([]string{"subnet-2"}, []string{"sg-1"}))
		time.Sleep(10 * time.Minute)
		_, err := w.codeDeploy.StopDeployment(w.t.Context(), &codedeploy.StopDeploymentInput{DeploymentId: &id, AutoRollbackEnabled: aws.Bool(true)})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Minute)
		if r := w.record(); r.Of != id || r.Hang == nil || !strings.Contains(r.Hang.Cause, "no codedeploy endpoint") {
			t.Errorf("record %+v, want the roll-back of %s, hanging", r, id)
		}
	})
}

func TestTheSetIsLetGoWhateverECSMakesOfAHookThatFails(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		name, fault string
		broken      int // calls of the hook that throw, before it answers; -1: all of them say FAILED
		want        ecstypes.ServiceDeploymentStatus
	}{
		{name: "fails in the roll-back too", broken: -1, want: ecstypes.ServiceDeploymentStatusRollbackSuccessful},
		{name: "which fails then", fault: "roll-back-hook-fails", broken: -1, want: ecstypes.ServiceDeploymentStatusRollbackFailed},
		{name: "throws once", broken: 1, want: ecstypes.ServiceDeploymentStatusRollbackSuccessful},
		{name: "throws once, and is retried", fault: "retry-hooks", broken: 1, want: ecstypes.ServiceDeploymentStatusSuccessful},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inDeployingWorld(t, awssim.Options{}, func(w deploying) {
				if tt.fault != "" {
					w.fault(tt.fault, "", 0)
				}
				calls := 0
				w.sim.AddFunction("theirs", w.sim.AddRole("theirs", "lambda.amazonaws.com"), nil, nil, func(context.Context, []byte) ([]byte, error) {
					if calls++; tt.broken < 0 {
						return []byte(`{"hookStatus": "FAILED"}`), nil
					}
					if calls <= tt.broken {
						return nil, errors.New("it throws")
					}
					return []byte(`{"hookStatus": "SUCCEEDED"}`), nil
				})
				c := w.function(ecstypes.DeploymentStrategyBlueGreen, "TEST_TRAFFIC_SHIFT")
				c.LifecycleHooks[0].HookTargetArn = aws.String("arn:aws:lambda:us-east-1:123456789012:function:theirs")
				c.LifecycleHooks[0].RoleArn = aws.String(w.sim.AddRole("calls-theirs", "ecs.amazonaws.com"))
				w.serve(c)
				time.Sleep(30 * time.Minute)
				if d := w.deployment(); d.Status != tt.want {
					t.Errorf("deployment %s at %s, %v, want %s", d.Status, d.LifecycleStage, aws.ToString(d.StatusReason), tt.want)
				}
				if r := w.record(); !r.Released || r.State != string(tt.want) {
					t.Errorf("record %+v, want one that ended %s", r, tt.want)
				}
				time.Sleep(2 * time.Hour)
				w.lowered()
			})
		})
	}
}
