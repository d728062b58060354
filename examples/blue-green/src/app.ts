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

// Hardly ever changes.
const network = new Network(app, "WebNetwork", { env, synthesizer: synthesizer() });
// Never changes: images outlive services.
const repository = new Repository(app, "WebRepository", { env, synthesizer: synthesizer() });
// Changes with each image, whose tag deploy.sh writes into cdk.context.json.
const task = new Task(app, "WebTask", {
  env, synthesizer: synthesizer(), repository: repository.images, testAddress: network.testAddress,
});
// Names the family of its task definition, not a revision: a deployment does not show in `cdk diff`.
const service = new Service(app, "WebService", { env, synthesizer: synthesizer(), network, family: task.family });
service.addStackDependency(task);
// Apart, because a change of the scaling must not touch the service.
new Scaling(app, "WebScaling", { env, synthesizer: synthesizer(), cluster: service.cluster, service: service.name })
  .addStackDependency(service);
