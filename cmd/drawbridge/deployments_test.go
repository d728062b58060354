package main

import (
	"archive/zip"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/codebuild"
	cbtypes "github.com/aws/aws-sdk-go-v2/service/codebuild/types"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	cdtypes "github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	cptypes "github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"drawbridge/internal/awssim"
	"drawbridge/internal/clock"
	"drawbridge/internal/sandbox"
)

const deployed = "../../examples/deployments/drawbridge.yaml"

// deploying is an account with the example of deployments.
type deploying struct {
	*account
	config string // the path of drawbridge.yaml
	aws    aws.Config
	clock  *strideClock // of verbs: one that waits moves the account's clock
}

// openDeploying opens one; the configuration is the example's, with replaced in place of what
// it replaces.
func openDeploying(t *testing.T, replaced ...string) deploying {
	t.Helper()
	text, err := os.ReadFile(deployed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "drawbridge.yaml")
	if err := os.WriteFile(path, []byte(strings.NewReplacer(replaced...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	a := open(t, path)
	sim := awssim.New(awssim.Options{}) // for its Region alone
	defer sim.Close()
	ck := newStrideClock(a.endpoint)
	t.Cleanup(ck.Close)
	return deploying{a, path, sandbox.AWSConfig(sim, a.endpoint, http.DefaultTransport), ck}
}

// lowered fails the test unless all endpoints are gone two hours later: a run that is cut off may
// last into the next hour.
func (a deploying) lowered() {
	a.t.Helper()
	a.advance(130)
	for _, e := range a.ledger().Endpoints {
		if e.Type == "interface" && e.Deleted == nil {
			a.t.Errorf("%s still stands", e.Service)
		}
	}
}

// smoke gives the job that decides another image, and how long it runs.
func (a deploying) smoke(image, runs string) {
	a.t.Helper()
	_, err := ecs.NewFromConfig(a.aws).RegisterTaskDefinition(a.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("smoke"), NetworkMode: "awsvpc", Cpu: aws.String("256"), Memory: aws.String("512"),
		RequiresCompatibilities: []ecstypes.Compatibility{"FARGATE"},
		ContainerDefinitions: []ecstypes.ContainerDefinition{{
			Name: aws.String("smoke"), Image: &image,
			Environment: []ecstypes.KeyValuePair{{Name: aws.String("SANDBOX_RUN_FOR"), Value: &runs}},
		}},
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// pause is a hook that waits for an action.
var pause = ecstypes.DeploymentLifecycleHook{
	TargetType: "PAUSE", LifecycleStages: []ecstypes.DeploymentLifecycleHookStage{"POST_TEST_TRAFFIC_SHIFT"},
}

// service creates the example's service, which ECS deploys itself or CodeDeploy does.
func (a deploying) service(name, controller string, hooks ...ecstypes.DeploymentLifecycleHook) {
	a.t.Helper()
	a.balanced(name, controller, nil, hooks...)
}

// balanced creates it behind load balancers.
func (a deploying) balanced(name, controller string, behind []ecstypes.LoadBalancer, hooks ...ecstypes.DeploymentLifecycleHook) {
	a.t.Helper()
	c := &ecstypes.DeploymentConfiguration{Strategy: "BLUE_GREEN", LifecycleHooks: hooks}
	if len(hooks) == 0 {
		c = nil
	}
	a.create(name, controller, behind, c)
}

// create creates it with its own way of deployments.
func (a deploying) create(name, controller string, behind []ecstypes.LoadBalancer, c *ecstypes.DeploymentConfiguration) {
	a.t.Helper()
	in := &ecs.CreateServiceInput{LoadBalancers: behind,
		Cluster: aws.String("apps"), ServiceName: &name, TaskDefinition: aws.String("web"), DesiredCount: aws.Int32(1),
		DeploymentController: &ecstypes.DeploymentController{Type: ecstypes.DeploymentControllerType(controller)},
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: []string{"subnet-0a1b2c3d4e5f60001"}, SecurityGroups: []string{"sg-0a1b2c3d4e5f60003"},
		}},
	}
	in.DeploymentConfiguration = c
	if _, err := ecs.NewFromConfig(a.aws).CreateService(a.t.Context(), in); err != nil {
		a.t.Fatal(err)
	}
}

// run runs a verb of the command line, and returns what it prints.
func (a deploying) run(verb string, args ...string) string {
	a.t.Helper()
	var out bytes.Buffer
	a.t.Setenv("AWS_ENDPOINT_URL", a.endpoint)
	a.t.Setenv(clock.Variable, a.clock.URL)
	a.t.Setenv("AWS_ACCESS_KEY_ID", awssim.InProcessKey)
	a.t.Setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
	a.t.Setenv("AWS_REGION", "us-east-1")
	if code := run(a.t.Context(), append([]string{verb, "--config", a.config}, args...), &out, os.Stderr); code != exitDone {
		a.t.Fatalf("%s ended with %d: %s", verb, code, &out)
	}
	return out.String()
}

// until lets time pass until status says all of words, for a number of minutes at most.
func (a deploying) until(minutes int, words ...string) {
	a.t.Helper()
	for waited := 0; ; waited++ {
		s := a.run("status")
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s, w) }) {
			return
		}
		if waited == 2*minutes {
			a.t.Fatalf("status says\n%s\nwant %q within %d minutes", s, words, minutes)
		}
		a.advance(0.5)
	}
}

// codeDeploy makes a service, blue, that CodeDeploy deploys, with its deployment group.
func (a deploying) codeDeploy() *codedeploy.Client {
	a.t.Helper()
	a.service("blue", "CODE_DEPLOY")
	client := codedeploy.NewFromConfig(a.aws)
	_, err := client.CreateApplication(a.t.Context(), &codedeploy.CreateApplicationInput{ApplicationName: aws.String("web"), ComputePlatform: "ECS"})
	if err == nil {
		_, err = client.CreateDeploymentGroup(a.t.Context(), &codedeploy.CreateDeploymentGroupInput{
			ApplicationName: aws.String("web"), DeploymentGroupName: aws.String("production"),
			ServiceRoleArn: aws.String("arn:aws:iam::123456789012:role/codedeploy"),
			EcsServices:    []cdtypes.ECSService{{ClusterName: aws.String("apps"), ServiceName: aws.String("blue")}},
		})
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return client
}

// deploy begins a deployment of it with one hook.
func (a deploying) deploy(client *codedeploy.Client, event, function string) string {
	a.t.Helper()
	out, err := client.CreateDeployment(a.t.Context(), &codedeploy.CreateDeploymentInput{
		ApplicationName: aws.String("web"), DeploymentGroupName: aws.String("production"),
		Revision: &cdtypes.RevisionLocation{RevisionType: "AppSpecContent", AppSpecContent: &cdtypes.AppSpecContent{Content: aws.String(`version: 0.0
Resources:
  - TargetService:
      Type: AWS::ECS::Service
      Properties:
        TaskDefinition: web
        LoadBalancerInfo: {ContainerName: web, ContainerPort: 80}
Hooks:
  - ` + event + ": " + function + "\n")}},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return *out.DeploymentId
}

func (a deploying) deployment(client *codedeploy.Client, id string) cdtypes.DeploymentInfo {
	a.t.Helper()
	got, err := client.GetDeployment(a.t.Context(), &codedeploy.GetDeploymentInput{DeploymentId: &id})
	if err != nil {
		a.t.Fatal(err)
	}
	return *got.DeploymentInfo
}

func TestEndToEndDeploymentsHoldTheirSetAndTheirHooksAreAnswered(t *testing.T) {
	a := openDeploying(t)
	a.service("web", "ECS", pause)
	a.until(15, "POST_TEST_TRAFFIC_SHIFT", "1 open")
	a.advance(10)
	if s := a.run("status"); !strings.Contains(s, "SUCCESSFUL") || !strings.Contains(s, "1 ok") {
		t.Errorf("status says\n%s\nwant the deployment SUCCESSFUL with its hook ok", s)
	}
	client := a.codeDeploy()
	id := a.deploy(client, "AfterInstall", "CodeDeployHook_drawbridge_web_AfterInstall")
	a.advance(20)
	if d := a.deployment(client, id); d.Status != cdtypes.DeploymentStatusSucceeded {
		t.Errorf("deployment %+v, want Succeeded\n%s", d, a.run("status"))
	}
	a.fault("jobs-twice", "", 0)
	pipelines := codepipeline.NewFromConfig(a.aws)
	_, err := pipelines.CreatePipeline(t.Context(), &codepipeline.CreatePipelineInput{Pipeline: &cptypes.PipelineDeclaration{
		Name: aws.String("web"), RoleArn: aws.String("arn:aws:iam::123456789012:role/pipeline"),
		Stages: []cptypes.StageDeclaration{{Name: aws.String("Source"), Actions: []cptypes.ActionDeclaration{{
			Name: aws.String("Source"), ActionTypeId: &cptypes.ActionTypeId{Category: "Source", Owner: "AWS", Provider: aws.String("S3"), Version: aws.String("1")},
		}}}, {Name: aws.String("Endpoints"), Actions: []cptypes.ActionDeclaration{{
			Name: aws.String("Endpoints"), ActionTypeId: &cptypes.ActionTypeId{Category: "Invoke", Owner: "AWS", Provider: aws.String("Lambda"), Version: aws.String("1")},
			Configuration: map[string]string{"FunctionName": "drawbridge-hook", "UserParameters": `{"pipeline": "web", "execution": "#{codepipeline.PipelineExecutionId}"}`},
		}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	started, err := pipelines.StartPipelineExecution(t.Context(), &codepipeline.StartPipelineExecutionInput{Name: aws.String("web")})
	if err != nil {
		t.Fatal(err)
	}
	a.advance(10)
	execution, err := pipelines.GetPipelineExecution(t.Context(), &codepipeline.GetPipelineExecutionInput{PipelineName: aws.String("web"), PipelineExecutionId: started.PipelineExecutionId})
	if err != nil || execution.PipelineExecution.Status != cptypes.PipelineExecutionStatusSucceeded {
		t.Errorf("execution %v, %v, want Succeeded", execution, err)
	}
	a.lowered()
}

// A hook that ECS calls answers IN_PROGRESS until its run has ended, which takes longer than
// the function may; a build, and what a script says, hold the set as well; a deployment of
// which no event arrives is found.
func TestEndToEndDeploymentsOfOtherKinds(t *testing.T) {
	a := openDeploying(t, "    pipeline: web\n", "    codeBuild: tests\n", "maxRuntime: 15m", "maxRuntime: 1h", "timeout: 20m", "timeout: 40m")
	a.fault("unsent-events", "", 0)
	a.smoke("123456789012.dkr.ecr.us-east-1.amazonaws.com/smoke:1", "10m")
	stack, err := cloudformation.NewFromConfig(a.aws).DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String("drawbridge")})
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]*string{}
	for _, o := range stack.Stacks[0].Outputs {
		outputs[*o.OutputKey] = o.OutputValue
	}
	a.service("web", "ECS", ecstypes.DeploymentLifecycleHook{
		TargetType: "AWS_LAMBDA", HookTargetArn: outputs["Hook"], RoleArn: outputs["HookRole"], LifecycleStages: pause.LifecycleStages,
	})
	a.until(25, "POST_TEST_TRAFFIC_SHIFT", "1 open")
	a.until(25, "SUCCESSFUL", "1 ok")
	builds := codebuild.NewFromConfig(a.aws)
	_, err = builds.CreateProject(t.Context(), &codebuild.CreateProjectInput{
		Name: aws.String("tests"), ServiceRole: aws.String("arn:aws:iam::123456789012:role/build"),
		Source: &cbtypes.ProjectSource{Type: "NO_SOURCE"}, Artifacts: &cbtypes.ProjectArtifacts{Type: "NO_ARTIFACTS"},
		Environment: &cbtypes.ProjectEnvironment{Type: "LINUX_CONTAINER", Image: aws.String("i"), ComputeType: "BUILD_GENERAL1_SMALL"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = builds.StartBuild(t.Context(), &codebuild.StartBuildInput{ProjectName: aws.String("tests")}); err != nil {
		t.Fatal(err)
	}
	a.until(4, "build tests:", "IN_PROGRESS")
	a.until(8, "build tests:", "SUCCEEDED")
	a.run("hold", "main", "--deployment", "release-42", "--for", "3h", "--reason", "a script deploys")
	a.advance(70)
	if s := a.run("status"); !strings.Contains(s, "available") {
		t.Errorf("status says\n%s\nwant the set up in its next hour", s)
	}
	a.run("release", "main", "--deployment", "release-42")
	a.lowered()
}

// What becomes of a pause whose job does not come to an end, on the real binaries, and of one
// at each step.
func TestEndToEndAPauseIsAnsweredWhateverBecomesOfItsJob(t *testing.T) {
	const image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/smoke:1"
	expiring := pause
	expiring.TimeoutConfiguration = &ecstypes.DeploymentLifecycleHookTimeoutConfiguration{TimeoutInMinutes: aws.Int32(8), Action: "CONTINUE"}
	steps := pause
	steps.LifecycleStages = []ecstypes.DeploymentLifecycleHookStage{"PRE_PRODUCTION_TRAFFIC_SHIFT"}
	linear := &ecstypes.DeploymentConfiguration{Strategy: "LINEAR", LifecycleHooks: []ecstypes.DeploymentLifecycleHook{steps}, LinearConfiguration: &ecstypes.LinearConfiguration{
		StepPercent: aws.Float64(50), StepBakeTimeInMinutes: aws.Int32(1),
	}}
	paused := func(h ecstypes.DeploymentLifecycleHook) *ecstypes.DeploymentConfiguration {
		return &ecstypes.DeploymentConfiguration{Strategy: "BLUE_GREEN", LifecycleHooks: []ecstypes.DeploymentLifecycleHook{h}}
	}
	for _, tt := range []struct {
		name, image, runs, old, new string
		deploys                     *ecstypes.DeploymentConfiguration
		want                        []string
	}{
		{"hangs", image, "100h", "timeout: 20m", "timeout: 6m", paused(pause), []string{"ROLLBACK_SUCCESSFUL", "1 failed", "has not ended within 6m0s"}},
		{"cannot start", "nowhere", "1m", "", "", paused(pause), []string{"ROLLBACK_SUCCESSFUL", "1 failed"}},
		{"outlasts the pause", image, "30m", "", "", paused(expiring), []string{"ROLLBACK_SUCCESSFUL", "1 failed", "before the hook expires"}},
		{"outlasts the hold", image, "8m", "    pipeline: web\n", "    maxDuration: 5m\n", paused(pause), []string{"SUCCESSFUL", "1 ok"}},
		{"at each step", image, "1m", "POST_TEST_TRAFFIC_SHIFT:", "PRE_PRODUCTION_TRAFFIC_SHIFT:", linear, []string{"SUCCESSFUL", "2 ok"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := openDeploying(t, "          - tasks: {port: 8080, path: /health}\n", "", "        checks:\n", "", tt.old+" ", tt.new+" ", tt.old, tt.new)
			a.smoke(tt.image, tt.runs)
			a.create("web", "ECS", nil, tt.deploys)
			a.until(45, tt.want...)
			a.lowered()
		})
	}
}

// What a hook checks on the real binaries: a database, the test listener for a minute, the
// targets of the new tasks, and CloudFront, which may refuse.
func TestEndToEndChecksDecideAHook(t *testing.T) {
	database, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	sim := awssim.New(awssim.Options{Seed: 1}) // gives the ids that the sandbox gives
	defer sim.Close()
	sim.NewID("targetgroup", 16)
	green := "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/green/" + sim.NewID("targetgroup", 16)
	host := "internal-web-" + sim.NewID("balancer", 16)[:10] + ".us-east-1.elb.amazonaws.com"
	a := openDeploying(t, "        job: smoke\n", "", "          - tasks: {port: 8080, path: /health}\n", `          - tcp: '`+database.Addr().String()+`'
          - http: {url: 'http://`+host+`:9001/', for: 1m, every: 5s, bad: 0.1}
          - targets: `+green+`
          - invalidate: {distribution: E1, paths: [/*], mayFail: true}
`)
	elb := elasticloadbalancingv2.NewFromConfig(a.aws)
	made, err := elb.CreateLoadBalancer(t.Context(), &elasticloadbalancingv2.CreateLoadBalancerInput{
		Name: aws.String("web"), Scheme: "internal", Subnets: []string{"subnet-0a1b2c3d4e5f60001", "subnet-0a1b2c3d4e5f60002"},
	})
	if err != nil || *made.LoadBalancers[0].DNSName != host {
		t.Fatalf("load balancer %+v, %v, want it at %s", made, err, host)
	}
	groups := map[string]string{}
	for _, name := range []string{"blue", "green"} {
		out, err := elb.CreateTargetGroup(t.Context(), &elasticloadbalancingv2.CreateTargetGroupInput{
			Name: &name, Protocol: "HTTP", Port: aws.Int32(80), TargetType: "ip", HealthCheckPath: aws.String("/health"),
		})
		if err != nil {
			t.Fatal(err)
		}
		groups[name] = *out.TargetGroups[0].TargetGroupArn
	}
	rule := func(port int32) *string {
		out, err := elb.CreateListener(t.Context(), &elasticloadbalancingv2.CreateListenerInput{
			LoadBalancerArn: made.LoadBalancers[0].LoadBalancerArn, Port: &port, Protocol: "HTTP",
			DefaultActions: []elbtypes.Action{{Type: "forward", TargetGroupArn: aws.String(groups["green"])}},
		})
		if err != nil {
			t.Fatal(err)
		}
		rules, err := elb.DescribeRules(t.Context(), &elasticloadbalancingv2.DescribeRulesInput{ListenerArn: out.Listeners[0].ListenerArn})
		if err != nil {
			t.Fatal(err)
		}
		return rules.Rules[0].RuleArn
	}
	a.balanced("web", "ECS", []ecstypes.LoadBalancer{{
		ContainerName: aws.String("web"), ContainerPort: aws.Int32(8080), TargetGroupArn: aws.String(groups["green"]),
		AdvancedConfiguration: &ecstypes.AdvancedConfiguration{
			AlternateTargetGroupArn: aws.String(groups["blue"]), ProductionListenerRule: rule(80), TestListenerRule: rule(9001),
			RoleArn: aws.String("arn:aws:iam::123456789012:role/elb"),
		},
	}}, pause)
	a.until(20, "SUCCESSFUL", "1 ok")
	if n := a.ledger().Calls["ecs:RunTask"]; n != 0 {
		t.Errorf("%d tasks were run for checks", n)
	}
	a.lowered()
}

// broken is the zip of a hook function that ends before it reports.
func broken(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	f, err := z.CreateHeader(h)
	if err == nil {
		_, err = io.WriteString(f, "#!/bin/sh\nexit 1\n")
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEndToEndDeploymentsThatHangAreNamed(t *testing.T) {
	a := openDeploying(t)
	const theirs = "CodeDeployHook_theirs"
	role, err := iam.NewFromConfig(a.aws).CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName:                 aws.String("theirs"),
		AssumeRolePolicyDocument: aws.String(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = lambda.NewFromConfig(a.aws).CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String(theirs), Role: role.Role.Arn, Runtime: "provided.al2023",
		Handler: aws.String("bootstrap"), Code: &lambdatypes.FunctionCode{ZipFile: broken(t)},
		VpcConfig: &lambdatypes.VpcConfig{SubnetIds: []string{"subnet-0a1b2c3d4e5f60001"}, SecurityGroupIds: []string{"sg-0a1b2c3d4e5f60003"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	client := a.codeDeploy()
	id := a.deploy(client, "AfterInstall", theirs)
	a.until(10, "Deployment "+id+" cannot go on: hook function "+theirs+" cannot reach codedeploy", "add codedeploy to the set's services")
	if d := a.deployment(client, id); d.Status != cdtypes.DeploymentStatusInProgress {
		t.Errorf("deployment %s while it hangs, want InProgress", d.Status)
	}
	a.advance(60)
	if d := a.deployment(client, id); d.Status != cdtypes.DeploymentStatusFailed {
		t.Errorf("deployment %s an hour later, want Failed", d.Status)
	}
	a.lowered()
}

func TestEndToEndBadInputOfDeployments(t *testing.T) {
	a := openDeploying(t)
	client := lambda.NewFromConfig(a.aws)
	invoke := func(function, event string) (answer string, failed bool) {
		t.Helper()
		out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &function, Payload: []byte(event)})
		if err != nil {
			t.Fatal(err)
		}
		return string(out.Payload), out.FunctionError != nil
	}
	const ofCodeDeploy, hook = "CodeDeployHook_drawbridge_web_AfterInstall", "drawbridge-hook"
	gone := `"arn:aws:ecs:us-east-1:123456789012:service-deployment/apps/web/goneGoneGoneGoneGone1"`
	for _, tt := range []struct {
		name, function, event, want string
		failed                      bool
	}{
		{"a hook of CodeDeploy without ids", ofCodeDeploy, `{}`, "there is nothing to answer", true},
		{"not JSON", hook, `"hello"`, "not a JSON object", true},
		{"of a deployment that is gone", ofCodeDeploy, `{"DeploymentId": "d-ABCDEFGHI", "LifecycleEventHookExecutionId": "eyJ"}`, "null", false},
		{"of ECS without a stage", hook, `{"resourceArn": ` + gone + `}`, "without a service deployment or a stage", true},
		{"of a service that is not ours", hook, `{"resourceArn": "arn:aws:ecs:us-east-1:123456789012:service-deployment/apps/other/goneGoneGoneGoneGone1", "lifecycleStage": "PRE_SCALE_UP", "executionId": "x"}`, "no section of deployments names service apps/other", true},
		{"at a stage that the configuration does not name", hook, `{"resourceArn": ` + gone + `, "lifecycleStage": "PRE_SCALE_UP", "executionId": "x"}`, `"FAILED"`, false},
		{"an event of another account", hook, `{"source": "aws.codedeploy", "account": "999999999999", "detail": {"state": "START", "deploymentId": "d-ABCDEFGHI", "application": "web", "deploymentGroup": "production"}}`, "null", false},
		{"an event of something else", hook, `{"source": "aws.ec2", "account": "123456789012", "detail-type": "x", "detail": {}}`, "event is of no deployment", true},
		{"a job of a pipeline that nobody waits for", hook, `{"CodePipeline.job": {"id": "11111111-1111-1111-1111-111111111111", "accountId": "123456789012", "data": {"actionConfiguration": {"configuration": {"UserParameters": "{}"}}}}}`, "null", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, failed := invoke(tt.function, tt.event)
			if failed != tt.failed || !strings.Contains(answer, tt.want) {
				t.Errorf("answer %s, failed %v; want %q, %v", answer, failed, tt.want, tt.failed)
			}
		})
	}
	a.advance(5)
	for _, e := range a.ledger().Endpoints {
		if e.Type == "interface" {
			t.Errorf("%s was raised, want nothing", e.Service)
		}
	}
	// Two at once, of which one is stopped by hand while the set is raised.
	deploys := a.codeDeploy()
	id := a.deploy(deploys, "AfterInstall", ofCodeDeploy)
	a.service("web", "ECS", pause)
	a.advance(1)
	if _, err := deploys.StopDeployment(t.Context(), &codedeploy.StopDeploymentInput{DeploymentId: &id}); err != nil {
		t.Fatal(err)
	}
	a.until(20, "Stopped", "SUCCESSFUL", "1 ok")
	a.lowered()
}
