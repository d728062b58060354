import * as cdk from "aws-cdk-lib";
import * as codedeploy from "aws-cdk-lib/aws-codedeploy";
import * as ecs from "aws-cdk-lib/aws-ecs";
import * as iam from "aws-cdk-lib/aws-iam";
import { Construct } from "constructs";
import { Network } from "./network";

export interface CodeDeployServiceProps extends cdk.StackProps {
  readonly network: Network;
  readonly family: string;
  /** Roles of the task definition, which CodeDeploy passes to new tasks. */
  readonly roles: string[];
}

/** The cluster, and the service that CodeDeploy deploys: a tenth of the traffic for five minutes, then all of it. */
export class CodeDeployService extends cdk.Stack {
  readonly cluster = "web";
  readonly name = "web";
  readonly application = "web";
  readonly group = "web";

  constructor(scope: Construct, id: string, props: CodeDeployServiceProps) {
    super(scope, id, props);
    const n = props.network;
    const cluster = new ecs.CfnCluster(this, "Cluster", { clusterName: this.cluster });
    const service = new ecs.CfnService(this, "Service", {
      cluster: this.cluster,
      serviceName: this.name,
      launchType: "FARGATE",
      // CloudFormation sends all properties with any change, and ECS refuses them: only CodeDeploy changes the service.
      deploymentController: { type: "CODE_DEPLOY" },
      healthCheckGracePeriodSeconds: 120,
      taskDefinition: props.family, // the family: whichever revision is the newest when the service is created
      networkConfiguration: { awsvpcConfiguration: { subnets: n.subnets, securityGroups: [n.tasks.attrGroupId] } },
      loadBalancers: [{ containerName: props.family, containerPort: 8080, targetGroupArn: n.blue.ref }],
    });
    service.addResourceDependency(cluster);
    const deploys = new iam.Role(this, "Deploys", {
      assumedBy: new iam.ServicePrincipal("codedeploy.amazonaws.com"),
      // It invokes no functions but those named CodeDeployHook_*, as Drawbridge's are.
      managedPolicies: [iam.ManagedPolicy.fromAwsManagedPolicyName("AWSCodeDeployRoleForECSLimited")],
    });
    deploys.addToPolicy(new iam.PolicyStatement({
      actions: ["iam:PassRole"], resources: props.roles,
      conditions: { StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
    }));
    const application = new codedeploy.CfnApplication(this, "Application", {
      applicationName: this.application, computePlatform: "ECS",
    });
    const group = new codedeploy.CfnDeploymentGroup(this, "Group", {
      applicationName: application.ref,
      deploymentGroupName: this.group,
      deploymentConfigName: "CodeDeployDefault.ECSCanary10Percent5Minutes",
      serviceRoleArn: deploys.roleArn,
      deploymentStyle: { deploymentType: "BLUE_GREEN", deploymentOption: "WITH_TRAFFIC_CONTROL" },
      ecsServices: [{ clusterName: this.cluster, serviceName: service.attrName }],
      blueGreenDeploymentConfiguration: {
        deploymentReadyOption: { actionOnTimeout: "CONTINUE_DEPLOYMENT", waitTimeInMinutes: 0 },
        // Until the old tasks end, one command takes the traffic back. Drawbridge does not hold the endpoints for that.
        terminateBlueInstancesOnDeploymentSuccess: { action: "TERMINATE", terminationWaitTimeInMinutes: 30 },
      },
      loadBalancerInfo: {
        targetGroupPairInfoList: [{
          targetGroups: [{ name: n.blue.attrTargetGroupName }, { name: n.green.attrTargetGroupName }],
          prodTrafficRoute: { listenerArns: [n.production.ref] },
          testTrafficRoute: { listenerArns: [n.test.ref] },
        }],
      },
      alarmConfiguration: { enabled: true, alarms: n.alarms.map((name) => ({ name })) },
      autoRollbackConfiguration: { enabled: true, events: ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"] },
    });
    const policy = deploys.node.tryFindChild("DefaultPolicy")?.node.defaultChild as iam.CfnPolicy;
    group.addResourceDependency(policy);
  }
}
