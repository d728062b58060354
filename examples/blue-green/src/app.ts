// A service in private subnets without a way out, behind an internal load balancer with a test listener, in stacks that
// are split by how often they change.
import * as cdk from "aws-cdk-lib";
import { Network } from "./network";
import { Repository } from "./repository";
import { Scaling } from "./scaling";
import { Service } from "./service";
import { Task } from "./task";

declare const process: { env: Record<string, string | undefined> };

const app = new cdk.App();
const env = {
  account: app.node.tryGetContext("account") ?? process.env.CDK_DEFAULT_ACCOUNT,
  region: app.node.tryGetContext("region") ?? process.env.CDK_DEFAULT_REGION,
};
// A bootstrapped account needs no synthesizer here; the test's account is not bootstrapped.
const assets: string | undefined = app.node.tryGetContext("assets");
const synthesizer = () =>
  assets ? new cdk.CliCredentialsStackSynthesizer({ fileAssetsBucketName: assets, bucketPrefix: "" }) : undefined;

// Once a year.
const network = new Network(app, "WebNetwork", { env, synthesizer: synthesizer() });
// Once: images outlive services.
const repository = new Repository(app, "WebRepository", { env, synthesizer: synthesizer() });
// With each change of the service's shape. The pipeline registers newer revisions, which this stack does not know of.
const task = new Task(app, "WebTask", { env, synthesizer: synthesizer(), repository: repository.images });
// The service by the family of its task definition, not by a revision: a deployment is no drift.
const service = new Service(app, "WebService", { env, synthesizer: synthesizer(), network, family: task.family });
service.addStackDependency(task);
// Apart, because a change of the scaling must not touch the service.
new Scaling(app, "WebScaling", { env, synthesizer: synthesizer(), cluster: service.cluster, service: service.name })
  .addStackDependency(service);
