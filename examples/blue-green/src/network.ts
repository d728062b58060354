import * as cdk from "aws-cdk-lib";
import * as cloudwatch from "aws-cdk-lib/aws-cloudwatch";
import * as ec2 from "aws-cdk-lib/aws-ec2";
import * as elb from "aws-cdk-lib/aws-elasticloadbalancingv2";
import { Construct } from "constructs";

/** Who deploys the service. */
export type Controller = "ECS" | "CODE_DEPLOY";

export interface NetworkProps extends cdk.StackProps {
  readonly controller: Controller;
}

/** The network: subnets without a way out, the load balancer with its two target groups, and the alarms on them. */
export class Network extends cdk.Stack {
  readonly subnets: string[];
  readonly tasks: ec2.CfnSecurityGroup;
  readonly smoke: ec2.CfnSecurityGroup;
  readonly blue: elb.CfnTargetGroup;
  readonly green: elb.CfnTargetGroup;
  readonly production: elb.CfnListener;
  readonly test: elb.CfnListener;
  /** What ECS shifts. CodeDeploy shifts the listeners themselves. */
  readonly productionRule?: elb.CfnListenerRule;
  readonly testRule?: elb.CfnListenerRule;
  readonly testAddress: string;
  readonly alarms: string[] = [];

  constructor(scope: Construct, id: string, props: NetworkProps) {
    super(scope, id, props);
    const vpc = new ec2.Vpc(this, "Vpc", {
      maxAzs: 2,
      natGateways: 0,
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [{ name: "private", subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 24 }],
    });
    this.subnets = vpc.isolatedSubnets.map((s) => s.subnetId);
    const s3: string | undefined = this.node.tryGetContext("s3PrefixList");
    if (!s3) {
      throw new Error("s3PrefixList is not in cdk.context.json: ./deploy.sh writes it");
    }
    const https = { ipProtocol: "tcp", fromPort: 443, toPort: 443, cidrIp: vpc.vpcCidrBlock, description: "endpoints in the VPC" };
    // The layers of images come from S3 through its free gateway; its addresses are a prefix list of the Region.
    const images = {
      ipProtocol: "tcp", fromPort: 443, toPort: 443, destinationPrefixListId: s3, description: "S3 through its gateway",
    };
    const balancerGroup = new ec2.CfnSecurityGroup(this, "BalancerSecurityGroup", {
      groupDescription: "web: the load balancer, from within the VPC alone",
      vpcId: vpc.vpcId,
      securityGroupIngress: [80, 9001].map((port) => ({
        ipProtocol: "tcp", fromPort: port, toPort: port, cidrIp: vpc.vpcCidrBlock, description: "from within the VPC",
      })),
      securityGroupEgress: [{ ipProtocol: "tcp", fromPort: 8080, toPort: 8080, cidrIp: vpc.vpcCidrBlock, description: "the tasks" }],
    });
    this.tasks = new ec2.CfnSecurityGroup(this, "TaskSecurityGroup", {
      groupDescription: "web: the tasks",
      vpcId: vpc.vpcId,
      securityGroupIngress: [{
        ipProtocol: "tcp", fromPort: 8080, toPort: 8080, cidrIp: vpc.vpcCidrBlock, description: "the load balancer, and checks",
      }],
      securityGroupEgress: [https, images],
    });
    this.smoke = new ec2.CfnSecurityGroup(this, "SmokeSecurityGroup", {
      groupDescription: "web: the smoke test, which asks the test listener",
      vpcId: vpc.vpcId,
      securityGroupEgress: [https, images, {
        ipProtocol: "tcp", fromPort: 9001, toPort: 9001, cidrIp: vpc.vpcCidrBlock, description: "the test listener",
      }],
    });
    const balancer = new elb.CfnLoadBalancer(this, "Balancer", {
      name: "web", scheme: "internal", type: "application", subnets: this.subnets, securityGroups: [balancerGroup.attrGroupId],
      loadBalancerAttributes: [{ key: "routing.http.drop_invalid_header_fields.enabled", value: "true" }],
    });
    const group = (name: string) => new elb.CfnTargetGroup(this, name, {
      name: `web-${name.toLowerCase()}`, protocol: "HTTP", port: 8080, targetType: "ip", vpcId: vpc.vpcId, healthCheckPath: "/health",
      healthCheckIntervalSeconds: 10, matcher: { httpCode: "200" },
      targetGroupAttributes: [{ key: "deregistration_delay.timeout_seconds", value: "30" }],
    });
    this.testAddress = `http://${balancer.attrDnsName}:9001/`;
    this.blue = group("Blue");
    this.green = group("Green");
    const listener = (name: string, port: number) => new elb.CfnListener(this, name, {
      loadBalancerArn: balancer.ref, port, protocol: "HTTP", defaultActions: [{ type: "forward", targetGroupArn: this.blue.ref }],
    });
    this.production = listener("Production", 80);
    this.test = listener("Test", 9001);
    // A deployment shifts weights. Any update of the listener or rule by its stack would set them back: so they are here, in
    // the stack that hardly ever changes.
    const rule = (name: string, of: elb.CfnListener) => new elb.CfnListenerRule(this, name, {
      listenerArn: of.ref,
      priority: 1,
      conditions: [{ field: "path-pattern", values: ["/*"] }],
      actions: [{
        type: "forward",
        forwardConfig: { targetGroups: [{ targetGroupArn: this.blue.ref, weight: 100 }, { targetGroupArn: this.green.ref, weight: 0 }] },
      }],
    });
    if (props.controller === "ECS") {
      this.productionRule = rule("ProductionRule", this.production);
      this.testRule = rule("TestRule", this.test);
    }
    this.watch("blue", this.blue, balancer);
    this.watch("green", this.green, balancer);
    new cdk.CfnOutput(this, "VpcId", { value: vpc.vpcId });
    new cdk.CfnOutput(this, "Subnets", { value: cdk.Fn.join(",", this.subnets) });
    new cdk.CfnOutput(this, "TaskGroup", { value: this.tasks.attrGroupId });
    new cdk.CfnOutput(this, "SmokeGroup", { value: this.smoke.attrGroupId });
    new cdk.CfnOutput(this, "TestAddress", { value: this.testAddress });
    new cdk.CfnOutput(this, "Shifted", { value: this.productionRule?.attrRuleArn ?? this.production.attrListenerArn });
  }

  /**
   * Alarms on a target group: unhealthy targets, and more than a fifth of its answers 5xx. Not on the load balancer's own
   * 5xx: a request to the test listener while it has no targets would raise that alarm, and stop a deployment.
   */
  private watch(name: string, group: elb.CfnTargetGroup, balancer: elb.CfnLoadBalancer) {
    const dimensionsMap = { TargetGroup: group.attrTargetGroupFullName, LoadBalancer: balancer.attrLoadBalancerFullName };
    const metric = (metricName: string, statistic: string) =>
      new cloudwatch.Metric({ namespace: "AWS/ApplicationELB", metricName, statistic, dimensionsMap, period: cdk.Duration.minutes(1) });
    const alarm = (kind: string, threshold: number, of: cloudwatch.IMetric) => {
      const alarmName = `web-${name}-${kind}`;
      new cloudwatch.Alarm(this, `${name}-${kind}`, {
        alarmName, metric: of, threshold, evaluationPeriods: 2, comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
      });
      this.alarms.push(alarmName);
    };
    alarm("unhealthy", 0, metric("UnHealthyHostCount", "Maximum"));
    alarm("5xx", 0.2, new cloudwatch.MathExpression({
      expression: "IF(all > 0, bad / all, 0)",
      usingMetrics: { bad: metric("HTTPCode_Target_5XX_Count", "Sum"), all: metric("RequestCount", "Sum") },
      period: cdk.Duration.minutes(1),
    }));
  }
}
