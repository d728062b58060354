// A service in private subnets without a way out, behind an internal load balancer with a test listener, in stacks that
// are split by how often they change.
import * as cdk from "aws-cdk-lib";
import { CodeDeployService } from "./codedeploy";
import { Controller, Network } from "./network";
import { Pipeline } from "./pipeline";
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

// Who deploys: ECS itself, or CodeDeploy. deploy.sh writes it into cdk.context.json.
const controller: Controller = app.node.tryGetContext("controller") ?? "ECS";

// Hardly ever changes.
const network = new Network(app, "WebNetwork", { env, synthesizer: synthesizer(), controller });
// Never changes: images outlive services.
const repository = new Repository(app, "WebRepository", { env, synthesizer: synthesizer() });
// Changes with each image, whose tag deploy.sh writes into cdk.context.json.
const task = new Task(app, "WebTask", {
  env, synthesizer: synthesizer(), repository: repository.images, testAddress: network.testAddress,
});
// Names the family of its task definition, not a revision: a deployment does not show in `cdk diff`.
const common = { env, synthesizer: synthesizer(), network, family: task.family };
const service = controller === "ECS" ? new Service(app, "WebService", common)
  : new CodeDeployService(app, "WebService", { ...common, roles: task.roles });
service.addStackDependency(task);
// Apart, because a change of the scaling must not touch the service.
new Scaling(app, "WebScaling", { env, synthesizer: synthesizer(), cluster: service.cluster, service: service.name })
  .addStackDependency(service);
// With a connection to a git host, each push is deployed.
const connection: string | undefined = app.node.tryGetContext("connection");
const source: string | undefined = app.node.tryGetContext("source");
if (connection && source && service instanceof CodeDeployService) {
  new Pipeline(app, "WebPipeline", {
    env, synthesizer: synthesizer(), repository: repository.images, connection, source, family: task.family, roles: task.roles,
    application: service.application, group: service.group,
  }).addStackDependency(service);
}
