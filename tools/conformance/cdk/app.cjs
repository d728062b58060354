// An account as the CDK's users bring it: a VPC without a way out, with what a job needs, and an endpoint and a schedule
// of theirs that Drawbridge has to leave alone. npm's modules lie in tools/npm.
const cdk = require("aws-cdk-lib");
const dynamodb = require("aws-cdk-lib/aws-dynamodb");
const ec2 = require("aws-cdk-lib/aws-ec2");
const ecr = require("aws-cdk-lib/aws-ecr");
const ecs = require("aws-cdk-lib/aws-ecs");
const iam = require("aws-cdk-lib/aws-iam");
const logs = require("aws-cdk-lib/aws-logs");
const scheduler = require("aws-cdk-lib/aws-scheduler");
const sqs = require("aws-cdk-lib/aws-sqs");

const app = new cdk.App();
const stack = new cdk.Stack(app, "Jobs", {
  synthesizer: new cdk.CliCredentialsStackSynthesizer({ fileAssetsBucketName: "assets", bucketPrefix: "" }),
  env: { account: "123456789012", region: "us-east-1" },
});
const vpc = new ec2.Vpc(stack, "Vpc", {
  maxAzs: 2,
  natGateways: 0,
  restrictDefaultSecurityGroup: false,
  subnetConfiguration: [{ name: "private", subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 24 }],
});
vpc.addInterfaceEndpoint("Ssm", { service: ec2.InterfaceVpcEndpointAwsService.SSM });
new ecs.CfnCluster(stack, "Cluster", { clusterName: "jobs" });
const repository = new ecr.Repository(stack, "Repository", {
  repositoryName: "etl",
  imageTagMutability: ecr.TagMutability.IMMUTABLE,
  removalPolicy: cdk.RemovalPolicy.DESTROY,
});
const task = new ecs.FargateTaskDefinition(stack, "Task", { family: "etl", cpu: 256, memoryLimitMiB: 512 });
task.addContainer("etl", {
  image: ecs.ContainerImage.fromEcrRepository(repository, "1"),
  logging: ecs.LogDrivers.awsLogs({
    logGroup: new logs.LogGroup(stack, "Logs", { logGroupName: "/jobs/etl", removalPolicy: cdk.RemovalPolicy.DESTROY }),
    streamPrefix: "etl",
  }),
});
const queue = new sqs.Queue(stack, "Queue", { enforceSSL: true });
new dynamodb.Table(stack, "Table", {
  partitionKey: { name: "id", type: dynamodb.AttributeType.STRING },
  billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
  removalPolicy: cdk.RemovalPolicy.DESTROY,
});
const role = new iam.Role(stack, "Sends", { assumedBy: new iam.ServicePrincipal("scheduler.amazonaws.com") });
queue.grantSendMessages(role);
new scheduler.CfnSchedule(stack, "Nightly", {
  scheduleExpression: "cron(0 3 * * ? *)",
  flexibleTimeWindow: { mode: "OFF" },
  target: { arn: queue.queueArn, roleArn: role.roleArn, input: "{}" },
});
new cdk.CfnOutput(stack, "VpcId", { value: vpc.vpcId });
