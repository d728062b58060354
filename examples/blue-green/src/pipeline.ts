import * as cdk from "aws-cdk-lib";
import * as codebuild from "aws-cdk-lib/aws-codebuild";
import * as codepipeline from "aws-cdk-lib/aws-codepipeline";
import * as ecr from "aws-cdk-lib/aws-ecr";
import * as iam from "aws-cdk-lib/aws-iam";
import * as logs from "aws-cdk-lib/aws-logs";
import * as s3 from "aws-cdk-lib/aws-s3";
import { Construct } from "constructs";

export interface PipelineProps extends cdk.StackProps {
  readonly repository: ecr.IRepository;
  /** The connection to the git host, made in the console, and the repository behind it, as ORG/NAME. */
  readonly connection: string;
  readonly source: string;
  readonly family: string;
  readonly roles: string[];
  readonly application: string;
  readonly group: string;
}

/** From a push to a deployment: the image is built while the endpoints come up. */
export class Pipeline extends cdk.Stack {
  constructor(scope: Construct, id: string, props: PipelineProps) {
    super(scope, id, props);
    const hook = `arn:${this.partition}:lambda:${this.region}:${this.account}:function:drawbridge-hook`;
    const artifacts = new s3.Bucket(this, "Artifacts", {
      encryption: s3.BucketEncryption.S3_MANAGED, blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL, enforceSSL: true,
      lifecycleRules: [{ expiration: cdk.Duration.days(30) }],
    });
    const log = new logs.LogGroup(this, "BuildLog", {
      logGroupName: "/web/build", retention: logs.RetentionDays.ONE_MONTH, removalPolicy: cdk.RemovalPolicy.DESTROY,
    });
    const builds = new iam.Role(this, "Builds", { assumedBy: new iam.ServicePrincipal("codebuild.amazonaws.com") });
    props.repository.grantPullPush(builds);
    props.repository.grantRead(builds);
    log.grantWrite(builds);
    artifacts.grantReadWrite(builds);
    builds.addToPolicy(new iam.PolicyStatement({ actions: ["ecs:DescribeTaskDefinition"], resources: ["*"] })); // takes no resource
    const project = new codebuild.CfnProject(this, "Build", {
      name: "web",
      serviceRole: builds.roleArn,
      source: { type: "CODEPIPELINE", buildSpec: this.buildspec(props) },
      artifacts: { type: "CODEPIPELINE" },
      environment: {
        type: "LINUX_CONTAINER", image: "aws/codebuild/amazonlinux-x86_64-standard:5.0", computeType: "BUILD_GENERAL1_SMALL",
        privilegedMode: true, // docker build
        environmentVariables: [{ name: "REPOSITORY", value: props.repository.repositoryUri }],
      },
      logsConfig: { cloudWatchLogs: { status: "ENABLED", groupName: log.logGroupName } },
    });
    const runs = new iam.Role(this, "Runs", { assumedBy: new iam.ServicePrincipal("codepipeline.amazonaws.com") });
    artifacts.grantReadWrite(runs);
    artifacts.grantPutAcl(runs); // of a source behind a connection
    const may = (resources: string[], ...actions: string[]) => runs.addToPolicy(new iam.PolicyStatement({ actions, resources }));
    may([props.connection], "codeconnections:UseConnection");
    may([project.attrArn], "codebuild:StartBuild", "codebuild:BatchGetBuilds");
    may([hook], "lambda:InvokeFunction");
    const deploy = (kind: string, name: string) => `arn:${this.partition}:codedeploy:${this.region}:${this.account}:${kind}:${name}`;
    may([deploy("application", props.application)], "codedeploy:GetApplication", "codedeploy:GetApplicationRevision",
      "codedeploy:RegisterApplicationRevision");
    may([deploy("deploymentgroup", `${props.application}/${props.group}`)], "codedeploy:CreateDeployment", "codedeploy:GetDeployment");
    may([deploy("deploymentconfig", "*")], "codedeploy:GetDeploymentConfig");
    may(["*"], "ecs:RegisterTaskDefinition"); // takes no resource
    runs.addToPolicy(new iam.PolicyStatement({
      actions: ["iam:PassRole"], resources: props.roles,
      conditions: { StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
    }));
    const action = (name: string, category: string, provider: string, configuration: Record<string, string>, more = {}) => ({
      name, configuration, actionTypeId: { category, owner: "AWS", provider, version: "1" }, ...more,
    });
    const pipeline = new codepipeline.CfnPipeline(this, "Pipeline", {
      name: "web",
      pipelineType: "V2",
      executionMode: "QUEUED",
      roleArn: runs.roleArn,
      artifactStore: { type: "S3", location: artifacts.bucketName },
      stages: [
        { name: "Source", actions: [action("Source", "Source", "CodeStarSourceConnection", {
          ConnectionArn: props.connection, FullRepositoryId: props.source, BranchName: "main",
        }, { outputArtifacts: [{ name: "Source" }], namespace: "Source" })] },
        // Neither waits for the other: the endpoints take minutes to come up, and so does the build.
        { name: "Build", actions: [
          action("Image", "Build", "CodeBuild", {
            ProjectName: project.ref,
            EnvironmentVariables: JSON.stringify([{ name: "COMMIT", value: "#{Source.CommitId}", type: "PLAINTEXT" }]),
          }, { inputArtifacts: [{ name: "Source" }], outputArtifacts: [{ name: "Image" }] }),
          action("Endpoints", "Invoke", "Lambda", {
            FunctionName: "drawbridge-hook",
            UserParameters: JSON.stringify({ pipeline: "web", execution: "#{codepipeline.PipelineExecutionId}" }),
          }),
        ] },
        { name: "Deploy", actions: [action("Deploy", "Deploy", "CodeDeployToECS", {
          ApplicationName: props.application, DeploymentGroupName: props.group,
          TaskDefinitionTemplateArtifact: "Image", AppSpecTemplateArtifact: "Image",
          Image1ArtifactName: "Image", Image1ContainerName: "IMAGE1_NAME",
        }, { inputArtifacts: [{ name: "Image" }] })] },
      ],
    });
    const policy = runs.node.tryFindChild("DefaultPolicy")?.node.defaultChild as iam.CfnPolicy;
    pipeline.addResourceDependency(policy);
  }

  /**
   * Builds the image, and the three files of the deployment. The task definition is the newest one, whoever registered it,
   * so a change of CPU, of a role or of a variable is deployed with the next image.
   */
  private buildspec(props: PipelineProps): string {
    const registered = ["taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt", "registeredBy"];
    return cdk.Stack.of(this).toJsonString({
      version: "0.2",
      phases: {
        pre_build: { commands: [
          "aws ecr get-login-password | docker login --username AWS --password-stdin ${REPOSITORY%%/*}",
          "export TAG=$(printf %.12s $COMMIT)",
        ] },
        build: { commands: [
          "CGO_ENABLED=0 go build -o service .",
          // A tag is not written twice: what was built of a commit is what is deployed of it.
          `if ! aws ecr describe-images --repository-name \${REPOSITORY#*/} --image-ids imageTag=$TAG >/dev/null 2>&1; then
docker build --platform linux/amd64 -t $REPOSITORY:$TAG . && docker push $REPOSITORY:$TAG
fi`,
        ] },
        post_build: { commands: [
          `aws ecs describe-task-definition --task-definition ${props.family} --query taskDefinition >newest.json`,
          `python3 -c 'import json
d = json.load(open("newest.json"))
for k in ${JSON.stringify(registered)}: d.pop(k, None)
d["containerDefinitions"][0]["image"] = "<IMAGE1_NAME>"
json.dump(d, open("taskdef.json", "w"))'`,
          "printf '{\"ImageURI\": \"%s\"}' $REPOSITORY:$TAG >imageDetail.json",
        ] },
      },
      artifacts: { files: ["taskdef.json", "imageDetail.json", "appspec.yaml"] },
    });
  }
}
