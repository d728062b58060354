package sandbox

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/internal/awssim"
)

// serviceStack is a service behind a load balancer with ECS's own blue/green deployments, a
// deployment group, a project and a pipeline, as a user's stack has them.
const serviceStack = `
Resources:
  Balancer: {Type: "AWS::ElasticLoadBalancingV2::LoadBalancer", Properties: {Name: web, Scheme: internal, Subnets: [subnet-1, subnet-2], SecurityGroups: [sg-1]}}
  Blue: {Type: "AWS::ElasticLoadBalancingV2::TargetGroup", Properties: {Port: 80, Protocol: HTTP, TargetType: ip, VpcId: VPC, HealthCheckPath: /health}}
  Green: {Type: "AWS::ElasticLoadBalancingV2::TargetGroup", Properties: {Port: 80, Protocol: HTTP, TargetType: ip, VpcId: VPC, HealthCheckPath: /health}}
  Production:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties: {LoadBalancerArn: !Ref Balancer, Port: 80, Protocol: HTTP, DefaultActions: [{Type: forward, TargetGroupArn: !Ref Blue}]}
  ProductionRule:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties: {ListenerArn: !Ref Production, Priority: 1, Conditions: [{Field: path-pattern, Values: ["/*"]}], Actions: [{Type: forward, ForwardConfig: {TargetGroups: [{TargetGroupArn: !Ref Blue, Weight: 100}, {TargetGroupArn: !Ref Green, Weight: 0}]}}]}
  Service:
    Type: AWS::ECS::Service
    DependsOn: ProductionRule
    Properties:
      Cluster: c
      ServiceName: web
      TaskDefinition: web
      DesiredCount: 1
      NetworkConfiguration: {AwsvpcConfiguration: {Subnets: [subnet-1], SecurityGroups: [sg-1]}}
      LoadBalancers:
        - ContainerName: web
          ContainerPort: 8080
          TargetGroupArn: !Ref Blue
          AdvancedConfiguration: {AlternateTargetGroupArn: !Ref Green, ProductionListenerRule: !Ref ProductionRule, RoleArn: "arn:aws:iam::123456789012:role/elb"}
      DeploymentConfiguration:
        Strategy: BLUE_GREEN
        LifecycleHooks: [{TargetType: PAUSE, LifecycleStages: [POST_SCALE_UP]}]
  Blue2: {Type: "AWS::ECS::Service", Properties: {Cluster: c, ServiceName: blue, TaskDefinition: web, DesiredCount: 1, DeploymentController: {Type: CODE_DEPLOY}, NetworkConfiguration: {AwsvpcConfiguration: {Subnets: [subnet-1], SecurityGroups: [sg-1]}}}}
  Application: {Type: "AWS::CodeDeploy::Application", Properties: {ApplicationName: web, ComputePlatform: ECS}}
  Group:
    Type: AWS::CodeDeploy::DeploymentGroup
    DependsOn: Blue2
    Properties: {ApplicationName: !Ref Application, DeploymentGroupName: prod, ServiceRoleArn: "arn:aws:iam::123456789012:role/codedeploy", ECSServices: [{ClusterName: c, ServiceName: blue}]}
  Tests: {Type: "AWS::CodeBuild::Project", Properties: {Name: tests, ServiceRole: "arn:aws:iam::123456789012:role/build", Source: {Type: NO_SOURCE}, Artifacts: {Type: NO_ARTIFACTS}, Environment: {Type: LINUX_CONTAINER, Image: i, ComputeType: BUILD_GENERAL1_SMALL}}}
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: web
      RoleArn: arn:aws:iam::123456789012:role/pipeline
      Stages:
        - {Name: Source, Actions: [{Name: Source, ActionTypeId: {Category: Source, Owner: AWS, Provider: S3, Version: "1"}}]}
        - {Name: Endpoints, Actions: [{Name: Endpoints, ActionTypeId: {Category: Invoke, Owner: AWS, Provider: Lambda, Version: "1"}, Configuration: {FunctionName: drawbridge-hook, UserParameters: '{"pipeline": "web", "execution": "#{codepipeline.PipelineExecutionId}"}'}}]}
        - {Name: Build, Actions: [{Name: Build, ActionTypeId: {Category: Build, Owner: AWS, Provider: CodeBuild, Version: "1"}, Configuration: {ProjectName: !Ref Tests}}]}
Outputs:
  DNS: {Value: !GetAtt Balancer.DNSName}
`

func TestAStackMakesAServiceAndItsPauseIsAnsweredBeforeTheStackIsComplete(t *testing.T) {
	longStory(t)
	text := strings.Replace(strings.Replace(deploysWeb, "POST_TEST_TRAFFIC_SHIFT", "POST_SCALE_UP", 1), "    codeDeploy: web/*\n", "    codeDeploy: web/*\n    pipeline: web\n", 1)
	inDeploying(t, text, awssim.Options{}, func(w deploying) {
		c := AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper())
		stacks, name := cloudformation.NewFromConfig(c), aws.String("web")
		body := strings.ReplaceAll(serviceStack, "VpcId: VPC", "VpcId: "+w.config.Sets["main"].VPC)
		if _, err := stacks.CreateStack(w.t.Context(), &cloudformation.CreateStackInput{StackName: name, TemplateBody: &body}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		out, err := stacks.DescribeStacks(w.t.Context(), &cloudformation.DescribeStacksInput{StackName: name})
		if err != nil {
			t.Fatal(err)
		}
		if s := out.Stacks[0]; s.StackStatus != "CREATE_COMPLETE" || !strings.HasSuffix(aws.ToString(s.Outputs[0].OutputValue), ".elb.amazonaws.com") {
			t.Fatalf("stack %s: %s", s.StackStatus, aws.ToString(s.StackStatusReason))
		}
		if d := w.deployment(); d.Status != ecstypes.ServiceDeploymentStatusSuccessful || w.jobsRun() != 1 {
			t.Errorf("deployment %s, %d runs; want its pause answered by one", d.Status, w.jobsRun())
		}
		l, err := codepipeline.NewFromConfig(c).GetPipeline(w.t.Context(), &codepipeline.GetPipelineInput{Name: name})
		if err != nil || len(l.Pipeline.Stages) != 3 {
			t.Errorf("pipeline %v, %v", l, err)
		}
		if _, err := stacks.DeleteStack(w.t.Context(), &cloudformation.DeleteStackInput{StackName: name}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		w.lowered()
	})
}

func TestAnExportIsUsedByOtherStacksAndHoldsItsOwn(t *testing.T) {
	longStory(t)
	inDeploying(t, deploysWeb, awssim.Options{}, func(w deploying) {
		stacks := cloudformation.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		create := func(name, body string) error {
			_, err := stacks.CreateStack(w.t.Context(), &cloudformation.CreateStackInput{StackName: &name, TemplateBody: &body})
			time.Sleep(10 * time.Minute)
			return err
		}
		deleteAndLook := func(name string) (status, reason string) {
			if _, err := stacks.DeleteStack(w.t.Context(), &cloudformation.DeleteStackInput{StackName: &name}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			return w.stackEvents(stacks, name)
		}
		user := "Resources: {Logs: {Type: 'AWS::Logs::LogGroup', Properties: {LogGroupName: {'Fn::ImportValue': theirs}}}}"
		if err := create("early", user); err != nil {
			t.Fatal(err)
		}
		if status, reasons := w.stackEvents(stacks, "early"); status != "ROLLBACK_COMPLETE" || !strings.Contains(reasons, "No export named theirs found") {
			t.Errorf("a stack that imports what nobody exports: %s, %s", status, reasons)
		}
		if err := create("owner", "Resources: {Logs: {Type: 'AWS::Logs::LogGroup'}}\nOutputs: {Name: {Value: given, Export: {Name: theirs}}}"); err != nil {
			t.Fatal(err)
		}
		if err := create("user", user); err != nil {
			t.Fatal(err)
		}
		const held = "Delete canceled. Cannot delete export theirs as it is in use by user."
		if status, reason := deleteAndLook("owner"); status != "CREATE_COMPLETE" || !strings.HasPrefix(reason, held) {
			t.Errorf("the owner of an export in use is %q, %q; want CREATE_COMPLETE, %q", status, reason, held)
		}
		for body, want := range map[string]string{
			"Resources: {Logs: {Type: 'AWS::Logs::LogGroup'}}\nOutputs: {Name: {Value: other, Export: {Name: theirs}}}": "Export theirs cannot be updated as it is in use by user",
			"Resources: {Logs: {Type: 'AWS::Logs::LogGroup', Properties: {RetentionInDays: 7}}}":                        "Export theirs cannot be deleted as it is in use by user",
		} {
			if _, err := stacks.UpdateStack(w.t.Context(), &cloudformation.UpdateStackInput{StackName: aws.String("owner"), TemplateBody: &body}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			if status, reasons := w.stackEvents(stacks, "owner"); status != "UPDATE_ROLLBACK_COMPLETE" || !strings.Contains(reasons, want) {
				t.Errorf("an update that takes an export in use is %q, %q; want UPDATE_ROLLBACK_COMPLETE, %q", status, reasons, want)
			}
		}
		for _, name := range []string{"user", "owner"} {
			if _, reason := deleteAndLook(name); !strings.Contains(reason, "does not exist") {
				t.Errorf("stack %s after its deletion: %q", name, reason)
			}
		}
	})
}

// stackEvents returns the newest event's status, and the reasons of all of them.
func (w deploying) stackEvents(stacks *cloudformation.Client, name string) (status, reasons string) {
	out, err := stacks.DescribeStackEvents(w.t.Context(), &cloudformation.DescribeStackEventsInput{StackName: &name})
	if err != nil {
		return "", err.Error()
	}
	for _, e := range out.StackEvents {
		reasons += aws.ToString(e.ResourceStatusReason) + "\n"
	}
	return string(out.StackEvents[0].ResourceStatus), reasons
}
