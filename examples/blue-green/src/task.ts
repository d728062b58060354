import * as cdk from "aws-cdk-lib";
import * as ecr from "aws-cdk-lib/aws-ecr";
import * as ecs from "aws-cdk-lib/aws-ecs";
import * as logs from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";

export interface TaskProps extends cdk.StackProps {
  readonly repository: ecr.IRepository;
}

/** The task definitions: of the service, and of the smoke test that decides at its hook. */
export class Task extends cdk.Stack {
  readonly family = "web";

  constructor(scope: Construct, id: string, props: TaskProps) {
    super(scope, id, props);
    for (const family of [this.family, "smoke"]) {
      const task = new ecs.FargateTaskDefinition(this, family, { family, cpu: 256, memoryLimitMiB: 512 });
      task.addContainer(family, {
        image: ecs.ContainerImage.fromEcrRepository(props.repository, "1"),
        command: family === "smoke" ? ["smoke"] : undefined,
        portMappings: family === "smoke" ? undefined : [{ containerPort: 8080 }],
        logging: ecs.LogDrivers.awsLogs({
          logGroup: new logs.LogGroup(this, `${family}-logs`, {
            logGroupName: `/web/${family}`, retention: logs.RetentionDays.ONE_MONTH, removalPolicy: cdk.RemovalPolicy.DESTROY,
          }),
          streamPrefix: family,
        }),
      });
    }
  }
}
