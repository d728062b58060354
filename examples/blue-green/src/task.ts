import * as cdk from "aws-cdk-lib";
import * as ecr from "aws-cdk-lib/aws-ecr";
import * as ecs from "aws-cdk-lib/aws-ecs";
import * as logs from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";

export interface TaskProps extends cdk.StackProps {
  readonly repository: ecr.IRepository;
  /** What the smoke test asks: the test listener. */
  readonly testAddress: string;
}

/** The task definitions: of the service, and of the smoke test that decides at its hook. */
export class Task extends cdk.Stack {
  readonly family = "web";
  /** Roles of the service's task definition. */
  readonly roles: string[] = [];

  constructor(scope: Construct, id: string, props: TaskProps) {
    super(scope, id, props);
    const tag: string | undefined = this.node.tryGetContext("imageTag");
    if (!tag) {
      throw new Error("imageTag is not in cdk.context.json: IMAGE=... ./deploy.sh writes it");
    }
    for (const family of [this.family, "smoke"]) {
      const task = new ecs.FargateTaskDefinition(this, family, { family, cpu: 256, memoryLimitMiB: 512 });
      task.addContainer(family, {
        image: ecs.ContainerImage.fromEcrRepository(props.repository, tag),
        command: family === "smoke" ? ["smoke"] : undefined,
        environment: family === "smoke" ? { TEST_ADDRESS: props.testAddress } : undefined,
        portMappings: family === "smoke" ? undefined : [{ containerPort: 8080 }],
        logging: ecs.LogDrivers.awsLogs({
          logGroup: new logs.LogGroup(this, `${family}-logs`, {
            logGroupName: `/web/${family}`, retention: logs.RetentionDays.ONE_MONTH, removalPolicy: cdk.RemovalPolicy.DESTROY,
          }),
          streamPrefix: family,
          // Between deployments there may be no way to CloudWatch Logs: a task must not stand still for it.
          mode: ecs.AwsLogDriverMode.NON_BLOCKING,
        }),
      });
      if (family === this.family) {
        this.roles.push(task.taskRole.roleArn, task.obtainExecutionRole().roleArn);
      }
      // A roll-back needs the revision before: a newer one does not deregister it.
      (task.node.defaultChild as ecs.CfnTaskDefinition).applyRemovalPolicy(cdk.RemovalPolicy.RETAIN);
    }
  }
}
