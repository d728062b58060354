import * as cdk from "aws-cdk-lib";
import * as scaling from "aws-cdk-lib/aws-applicationautoscaling";
import { Construct } from "constructs";

export interface ScalingProps extends cdk.StackProps {
  readonly cluster: string;
  readonly service: string;
}

/** One to four tasks, at 60 % of CPU or memory. A task that scaling adds needs the endpoints too. */
export class Scaling extends cdk.Stack {
  constructor(scope: Construct, id: string, props: ScalingProps) {
    super(scope, id, props);
    const resourceId = `service/${props.cluster}/${props.service}`;
    const target = new scaling.CfnScalableTarget(this, "Target", {
      serviceNamespace: "ecs", scalableDimension: "ecs:service:DesiredCount", resourceId, minCapacity: 1, maxCapacity: 4,
    });
    for (const [name, metric] of [["Cpu", "ECSServiceAverageCPUUtilization"], ["Memory", "ECSServiceAverageMemoryUtilization"]]) {
      new scaling.CfnScalingPolicy(this, name, {
        policyName: `web-${name.toLowerCase()}`,
        policyType: "TargetTrackingScaling",
        scalingTargetId: target.ref,
        targetTrackingScalingPolicyConfiguration: {
          targetValue: 60, predefinedMetricSpecification: { predefinedMetricType: metric }, scaleInCooldown: 300, scaleOutCooldown: 60,
        },
      });
    }
  }
}
