package sandbox

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	cdtypes "github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"drawbridge/internal/awssim"
	"drawbridge/internal/deployments"
	"drawbridge/internal/deployments/section"
	"drawbridge/internal/doctor/finding"
)

// hook invokes a function of the deployments and returns its answer and its error.
func (w deploying) hook(function, payload string) (answer, failure string) {
	w.t.Helper()
	out, err := w.lambda.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: &function, Payload: []byte(payload)})
	if err != nil {
		w.t.Fatal(err)
	}
	if out.FunctionError != nil {
		return "", string(out.Payload)
	}
	return string(out.Payload), ""
}

func TestWhatConcernsNoDeploymentIsSaid(t *testing.T) {
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		const codeDeploy = "CodeDeployHook_drawbridge_web_AfterInstall"
		for _, tt := range []struct{ name, function, payload, failure, answer string }{
			{"hook without ids", codeDeploy, `{}`, "without DeploymentId", ""},
			{"hook without its execution", codeDeploy, `{"DeploymentId": "d-ABCDEFGHI"}`, "LifecycleEventHookExecutionId", ""},
			{"hook of a deployment that is gone", codeDeploy, `{"DeploymentId": "d-ABCDEFGHI", "LifecycleEventHookExecutionId": "x"}`, "", "null"},
			{"ECS hook without a deployment", "drawbridge-hook", `{"lifecycleStage": "POST_SCALE_UP"}`, "without a service deployment", ""},
			{"ECS hook of a service of others", "drawbridge-hook", `{"executionId": "x", "lifecycleStage": "POST_SCALE_UP", "resourceArn": "arn:aws:ecs:us-east-1:123456789012:service-deployment/c/other/1"}`, "no section of deployments", ""},
			{"event of another account", "drawbridge-hook", `{"source": "aws.codedeploy", "account": "999999999999", "detail-type": "x", "detail": {}}`, "", "null"},
			{"event of a group of others", "drawbridge-hook", `{"source": "aws.codedeploy", "account": "123456789012", "detail-type": "x", "detail": {"application": "other", "deploymentGroup": "g", "deploymentId": "d-ABCDEFGHI"}}`, "", "null"},
			{"event of nothing", "drawbridge-hook", `{"source": "aws.s3", "account": "123456789012", "detail-type": "Object Created", "detail": {}}`, "of no deployment", ""},
			{"no JSON", "drawbridge-hook", `[1]`, "not a JSON object", ""},
		} {
			answer, failure := w.hook(tt.function, tt.payload)
			if answer != tt.answer || !strings.Contains(failure, tt.failure) || (failure != "") != (tt.failure != "") {
				t.Errorf("%s: answer %q, error %q; want %q, %q", tt.name, answer, failure, tt.answer, tt.failure)
			}
		}
		time.Sleep(3 * time.Minute)
		if n := len(w.interfaces()); n != 0 {
			t.Errorf("%d endpoints came up", n)
		}
	})
}

func TestTwoDeploymentsAtOnceAndOneStoppedByHand(t *testing.T) {
	longStory(t)
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		w.group()
		id := w.deploy(appSpec())
		w.serve(ecstypes.DeploymentConfiguration{Strategy: ecstypes.DeploymentStrategyBlueGreen})
		time.Sleep(time.Minute) // the set is on its way up
		if _, err := w.codeDeploy.StopDeployment(w.t.Context(), &codedeploy.StopDeploymentInput{DeploymentId: &id}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		if d := w.deployment(); d.Status != ecstypes.ServiceDeploymentStatusSuccessful {
			t.Errorf("the other deployment %s, want it to go on", d.Status)
		}
		all, err := w.store().AllDeployments(w.t.Context(), "main")
		if err != nil || len(all) != 2 {
			t.Fatalf("%d records, %v, want two", len(all), err)
		}
		for _, text := range all {
			var r deployments.Record
			if err := json.Unmarshal(text, &r); err != nil || r.Ended.IsZero() || r.Held {
				t.Errorf("record %+v, %v, want it ended", r, err)
			}
		}
		time.Sleep(2 * time.Hour)
		w.lowered()
	})
}

func TestADeploymentThatOutlastsTheSetLetsItGo(t *testing.T) {
	longStory(t)
	text := strings.Replace(deploysWeb, "    subnets: [subnet-1, subnet-2]\n", "    subnets: [subnet-1, subnet-2]\n    maxLifetime: 1h\n", 1)
	inDeploying(t, strings.Replace(text, "{job: smoke}", "{job: smoke, timeout: 12h}", 1), awssim.Options{}, func(w deploying) {
		w.serve(pausing(ecstypes.DeploymentStrategyBlueGreen, "POST_SCALE_UP")) // which nobody answers
		time.Sleep(3 * time.Hour)
		if r := w.record(); r.Ended.IsZero() || !strings.Contains(r.Why, "maxLifetime") {
			t.Errorf("record %+v, want it ended by the set's maximum lifetime", r)
		}
		w.lowered()
	})
}

func TestAHookOfCodeDeployIsAnsweredWhateverFails(t *testing.T) {
	longStory(t)
	for _, tt := range []struct{ name, fault, value string }{
		{"killed before it is written down", "kill", "CodeDeployHook_drawbridge_web_AfterInstall:1"},
		{"killed after it is written down", "kill-after", "CodeDeployHook_drawbridge_web_AfterInstall:3"},
		{"the store refuses", "deny", "dynamodb:PutItem"},
		{"CodeDeploy may not be told", "throttle", "0.3"},
		{"invoked asynchronously", "async-hooks", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inDeployingWorld(t, awssim.Options{}, func(w deploying) {
				w.group()
				if tt.name == "killed before it is written down" {
					w.fault("async-hooks", "", 0) // invoked once, nobody else would know of it
				}
				id := w.deploy(appSpec("AfterInstall"))
				for range 40 { // until the hook is about to be called
					time.Sleep(10 * time.Second)
					if tasks := w.sim.Ledger().Tasks; len(tasks) > 0 && tasks[len(tasks)-1].Started != nil {
						break
					}
				}
				lasts := 2 * time.Minute
				if tt.fault == "throttle" {
					lasts = 10 * time.Minute
				}
				w.fault(tt.fault, tt.value, lasts)
				time.Sleep(50 * time.Minute)
				out, err := w.codeDeploy.GetDeploymentTarget(w.t.Context(), &codedeploy.GetDeploymentTargetInput{DeploymentId: &id, TargetId: aws.String("c:blue")})
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range out.DeploymentTarget.EcsTarget.LifecycleEvents {
					if *e.LifecycleEventName == "AfterInstall" && (e.Status == cdtypes.LifecycleEventStatusInProgress || e.Status == cdtypes.LifecycleEventStatusPending) {
						t.Errorf("the hook is %s after 50 minutes; record %+v", e.Status, w.record())
					}
				}
				for _, f := range w.record().Firings {
					if f.Told.IsZero() {
						t.Errorf("the record does not say that hook %+v was answered", f)
					}
				}
			})
		})
	}
}

func TestDoctorSaysWhatADeploymentWouldMeet(t *testing.T) {
	text := strings.Replace(deploysWeb, "AfterInstall: {job: smoke}", "AfterAllowTestTraffic: {job: smoke}", 1)
	text = strings.Replace(text, "codeDeploy: web/*", "codeDeploy: web/prod", 1)
	inDeploying(t, text, awssim.Options{}, func(w deploying) {
		w.group()
		alarms := cloudwatch.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		if _, err := alarms.PutMetricAlarm(w.t.Context(), &cloudwatch.PutMetricAlarmInput{
			AlarmName: aws.String("web-5xx"), Namespace: aws.String("AWS/ApplicationELB"), MetricName: aws.String("HTTPCode_Target_5XX_Count"), Statistic: "Sum",
			Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: "GreaterThanThreshold",
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := alarms.SetAlarmState(w.t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("web-5xx"), StateValue: cwtypes.StateValueAlarm, StateReason: aws.String("a test")}); err != nil {
			t.Fatal(err)
		}
		c := pausing(ecstypes.DeploymentStrategyBlueGreen, "POST_SCALE_UP")
		c.Alarms = &ecstypes.DeploymentAlarms{AlarmNames: []string{"web-5xx"}, Enable: true, Rollback: true}
		w.serve(c)
		said := map[finding.Result][]string{}
		for _, f := range append(w.found("deployments"), w.found("alarms")...) {
			said[f.Result] = append(said[f.Result], f.Found)
		}
		for result, texts := range map[finding.Result][]string{
			finding.Failed:  {"has no test listener", "alarm web-5xx sounds"},
			finding.Warning: {"pauses at POST_SCALE_UP", "has no hook at POST_TEST_TRAFFIC_SHIFT"},
		} {
			for _, want := range texts {
				if !strings.Contains(strings.Join(said[result], "\n"), want) {
					t.Errorf("%s: %q, want %q", result, said[result], want)
				}
			}
		}
	})
}

func TestAnAlarmThatSoundsTakesADeploymentBack(t *testing.T) {
	longStory(t)
	inDeployingWorld(t, awssim.Options{}, func(w deploying) {
		alarms := cloudwatch.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		if _, err := alarms.PutMetricAlarm(w.t.Context(), &cloudwatch.PutMetricAlarmInput{
			AlarmName: aws.String("bad"), Namespace: aws.String("n"), MetricName: aws.String("m"), Statistic: "Sum", Period: aws.Int32(60),
			EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: "GreaterThanThreshold",
		}); err != nil {
			t.Fatal(err)
		}
		c := ecstypes.DeploymentConfiguration{Strategy: ecstypes.DeploymentStrategyBlueGreen, BakeTimeInMinutes: aws.Int32(30), Alarms: &ecstypes.DeploymentAlarms{AlarmNames: []string{"bad"}, Enable: true, Rollback: true}}
		w.serve(c)
		time.Sleep(20 * time.Minute) // it bakes
		if _, err := alarms.SetAlarmState(w.t.Context(), &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("bad"), StateValue: cwtypes.StateValueAlarm, StateReason: aws.String("a test")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if d := w.deployment(); d.Status != ecstypes.ServiceDeploymentStatusRollbackSuccessful {
			t.Errorf("deployment %s at %s", d.Status, d.LifecycleStage)
		}
		if r := w.record(); r.Ended.IsZero() {
			t.Errorf("record %+v, want it ended", r)
		}
	})
}

func TestADeploymentOfALambdaFunction(t *testing.T) {
	longStory(t)
	text := strings.Replace(deploysWeb, "AfterInstall: {job: smoke}", "BeforeAllowTraffic: {job: smoke}", 1)
	text = strings.Replace(text, "BeforeInstall: {job: smoke}", "AfterAllowTraffic: {job: smoke}", 1)
	inDeploying(t, text, awssim.Options{}, func(w deploying) {
		role := w.sim.AddRole("codedeploy", "codedeploy.amazonaws.com")
		_, err := w.codeDeploy.CreateApplication(w.t.Context(), &codedeploy.CreateApplicationInput{ApplicationName: aws.String("web"), ComputePlatform: "Lambda"})
		if err == nil {
			_, err = w.codeDeploy.CreateDeploymentGroup(w.t.Context(), &codedeploy.CreateDeploymentGroupInput{
				ApplicationName: aws.String("web"), DeploymentGroupName: aws.String("prod"), ServiceRoleArn: &role, DeploymentConfigName: aws.String("CodeDeployDefault.LambdaCanary10Percent5Minutes"),
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		spec := "version: 0.0\nResources:\n  - f:\n      Type: AWS::Lambda::Function\n      Properties: {Name: f, Alias: live, CurrentVersion: '1', TargetVersion: '2'}\nHooks:\n"
		for _, event := range []string{"BeforeAllowTraffic", "AfterAllowTraffic"} {
			spec += "  - " + event + ": " + section.HookFunction("drawbridge", "web", event) + "\n"
		}
		id := w.deploy(&cdtypes.RevisionLocation{RevisionType: "AppSpecContent", AppSpecContent: &cdtypes.AppSpecContent{Content: &spec}})
		time.Sleep(30 * time.Minute)
		d := w.status(id)
		if d.Status != cdtypes.DeploymentStatusSucceeded || d.CompleteTime.Sub(*d.StartTime) < 5*time.Minute {
			t.Errorf("deployment %s, want Succeeded after its canary", d.Status)
		}
		if r := w.record(); r.Ended.IsZero() || len(r.Firings) != 2 || w.jobsRun() != 2 {
			t.Errorf("record %+v, %d runs, want it ended with two hooks, each with its run", r, w.jobsRun())
		}
		time.Sleep(2 * time.Hour)
		w.lowered()
	})
}
