package main

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	cdtypes "github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	cptypes "github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/internal/awssim"
	"drawbridge/internal/sandbox"
)

const deployed = "../../examples/deployments/drawbridge.yaml"

// service creates the example's service, which ECS deploys itself or CodeDeploy does.
func (a *account) service(c aws.Config, name, controller string) {
	a.t.Helper()
	in := &ecs.CreateServiceInput{
		Cluster: aws.String("apps"), ServiceName: &name, TaskDefinition: aws.String("web"), DesiredCount: aws.Int32(1),
		DeploymentController: &ecstypes.DeploymentController{Type: ecstypes.DeploymentControllerType(controller)},
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: []string{"subnet-0a1b2c3d4e5f60001"}, SecurityGroups: []string{"sg-0a1b2c3d4e5f60003"},
		}},
	}
	if controller == "ECS" {
		in.DeploymentConfiguration = &ecstypes.DeploymentConfiguration{Strategy: "BLUE_GREEN", LifecycleHooks: []ecstypes.DeploymentLifecycleHook{{
			TargetType: "PAUSE", LifecycleStages: []ecstypes.DeploymentLifecycleHookStage{"POST_TEST_TRAFFIC_SHIFT"},
		}}}
	}
	if _, err := ecs.NewFromConfig(c).CreateService(a.t.Context(), in); err != nil {
		a.t.Fatal(err)
	}
}

// status returns what drawbridge status prints.
func (a *account) status() string {
	a.t.Helper()
	var out bytes.Buffer
	a.t.Setenv("AWS_ENDPOINT_URL", a.endpoint)
	a.t.Setenv("AWS_ACCESS_KEY_ID", awssim.InProcessKey)
	a.t.Setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
	a.t.Setenv("AWS_REGION", "us-east-1")
	if code := run(a.t.Context(), []string{"status", "--config", deployed}, &out, os.Stderr); code != exitDone {
		a.t.Fatalf("status ended with %d: %s", code, &out)
	}
	return out.String()
}

func TestEndToEndDeploymentsHoldTheirSetAndTheirHooksAreAnswered(t *testing.T) {
	a := open(t, deployed)
	sim := awssim.New(awssim.Options{}) // for its Region alone
	defer sim.Close()
	c := sandbox.AWSConfig(sim, a.endpoint, http.DefaultTransport)
	a.service(c, "web", "ECS")
	for waited := 0; ; waited++ {
		s := a.status()
		if strings.Contains(s, "POST_TEST_TRAFFIC_SHIFT") && strings.Contains(s, "1 open") {
			break
		}
		if waited == 30 {
			t.Fatalf("status says\n%s\nwant the deployment at its pause", s)
		}
		a.advance(0.5)
	}
	a.advance(10)
	if s := a.status(); !strings.Contains(s, "SUCCESSFUL") || !strings.Contains(s, "1 ok") {
		t.Errorf("status says\n%s\nwant the deployment SUCCESSFUL with its hook ok", s)
	}
	a.service(c, "blue", "CODE_DEPLOY")
	client := codedeploy.NewFromConfig(c)
	_, err := client.CreateApplication(t.Context(), &codedeploy.CreateApplicationInput{ApplicationName: aws.String("web"), ComputePlatform: "ECS"})
	if err == nil {
		_, err = client.CreateDeploymentGroup(t.Context(), &codedeploy.CreateDeploymentGroupInput{
			ApplicationName: aws.String("web"), DeploymentGroupName: aws.String("production"),
			ServiceRoleArn: aws.String("arn:aws:iam::123456789012:role/codedeploy"),
			EcsServices:    []cdtypes.ECSService{{ClusterName: aws.String("apps"), ServiceName: aws.String("blue")}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.CreateDeployment(t.Context(), &codedeploy.CreateDeploymentInput{
		ApplicationName: aws.String("web"), DeploymentGroupName: aws.String("production"),
		Revision: &cdtypes.RevisionLocation{RevisionType: "AppSpecContent", AppSpecContent: &cdtypes.AppSpecContent{Content: aws.String(`version: 0.0
Resources:
  - TargetService:
      Type: AWS::ECS::Service
      Properties:
        TaskDefinition: web
        LoadBalancerInfo: {ContainerName: web, ContainerPort: 80}
Hooks:
  - AfterInstall: CodeDeployHook_drawbridge_web_AfterInstall
`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.advance(20)
	got, err := client.GetDeployment(t.Context(), &codedeploy.GetDeploymentInput{DeploymentId: out.DeploymentId})
	if err != nil || got.DeploymentInfo.Status != cdtypes.DeploymentStatusSucceeded {
		t.Errorf("deployment %v, %v, want Succeeded\n%s", got.DeploymentInfo, err, a.status())
	}
	pipelines := codepipeline.NewFromConfig(c)
	_, err = pipelines.CreatePipeline(t.Context(), &codepipeline.CreatePipelineInput{Pipeline: &cptypes.PipelineDeclaration{
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
	a.advance(60)
	for _, e := range a.ledger().Endpoints {
		if e.Type == "interface" && e.Deleted == nil {
			t.Errorf("%s still stands", e.Service)
		}
	}
}
