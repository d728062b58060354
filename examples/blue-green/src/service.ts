import * as cdk from "aws-cdk-lib";
import * as ecs from "aws-cdk-lib/aws-ecs";
import * as iam from "aws-cdk-lib/aws-iam";
import { Construct } from "constructs";
import { Network } from "./network";

export interface ServiceProps extends cdk.StackProps {
  readonly network: Network;
  readonly family: string;
}

/** The cluster, and the service that ECS deploys blue/green, with a pause at which Drawbridge answers. */
export class Service extends cdk.Stack {
  readonly cluster = "web";
  readonly name = "web";

  constructor(scope: Construct, id: string, props: ServiceProps) {
    super(scope, id, props);
    const n = props.network;
    const cluster = new ecs.CfnCluster(this, "Cluster", { clusterName: this.cluster });
    const shifts = new iam.Role(this, "ShiftsTraffic", {
      assumedBy: new iam.ServicePrincipal("ecs.amazonaws.com"),
      managedPolicies: [iam.ManagedPolicy.fromAwsManagedPolicyName("AmazonECSInfrastructureRolePolicyForLoadBalancers")],
    });
    const service = new ecs.CfnService(this, "Service", {
      cluster: this.cluster,
      serviceName: this.name,
      launchType: "FARGATE",
      // No desiredCount: a new service begins with one task, and an update leaves as many as scaling wants.
      healthCheckGracePeriodSeconds: 120,
      taskDefinition: props.family, // the family: whichever revision was registered last
      networkConfiguration: { awsvpcConfiguration: { subnets: n.subnets, securityGroups: [n.tasks.attrGroupId] } },
      loadBalancers: [{
        containerName: props.family,
        containerPort: 8080,
        targetGroupArn: n.blue.ref,
        advancedConfiguration: {
          alternateTargetGroupArn: n.green.ref, productionListenerRule: n.productionRule?.attrRuleArn, testListenerRule: n.testRule?.attrRuleArn,
          roleArn: shifts.roleArn,
        },
      }],
      deploymentConfiguration: {
        strategy: "BLUE_GREEN",
        bakeTimeInMinutes: 10,
        lifecycleHooks: [{
          targetType: "PAUSE", lifecycleStages: ["POST_TEST_TRAFFIC_SHIFT"],
          timeoutConfiguration: { timeoutInMinutes: 60, action: "ROLLBACK" },
        }],
        alarms: { alarmNames: n.alarms, enable: true, rollback: true },
      },
    });
    service.addResourceDependency(cluster);
  }
}
