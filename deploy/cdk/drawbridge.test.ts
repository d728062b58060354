// Run with drawbridge on the PATH, in an account or a sandbox that holds what drawbridge.yaml names.
import * as assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { App, Aws, Stack } from "aws-cdk-lib";
import { Match, Template } from "aws-cdk-lib/assertions";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { Drawbridge, DrawbridgeProps } from "./drawbridge";

const synthesised = (props: Partial<DrawbridgeProps> = {}) =>
  new Drawbridge(new App(), "Installation", { config: "drawbridge.yaml", ...props });

/** The template without what the CDK writes in its own way: where the code is, and the order of tags. */
function compared(template: Template) {
  const { Resources, Conditions, Outputs } = structuredClone(template.toJSON());
  for (const { Type, Properties } of Object.values<any>(Resources)) {
    if (Type === "AWS::Lambda::Function") {
      delete Properties.Code;
    }
    if (Array.isArray(Properties?.Tags)) {
      Properties.Tags.sort((a: any, b: any) => (a.Key < b.Key ? -1 : 1));
    }
  }
  return { Resources, Conditions, Outputs };
}

test("it is the stack that drawbridge deploy would make", () => {
  const stack = synthesised();
  assert.equal(stack.stackName, "drawbridge");
  assert.deepEqual(stack.tags.tagValues(), { "drawbridge:owner": "drawbridge", "drawbridge:schema": "1" });
  const template = Template.fromStack(stack);
  template.resourceCountIs("AWS::Lambda::Function", 2);
  template.allResourcesProperties("AWS::Lambda::Function", {
    Code: { S3Bucket: Match.anyValue(), S3Key: Match.stringLikeRegexp("[.]zip$") },
  });
  const templateFile = path.join(mkdtempSync(path.join(tmpdir(), "drawbridge-")), "template.yaml");
  writeFileSync(templateFile, execFileSync("drawbridge", ["template"], { stdio: ["ignore", "pipe", "ignore"] }));
  const printed = new Stack(new App(), "Printed", { analyticsReporting: false });
  new CfnInclude(printed, "Template", { templateFile });
  assert.deepEqual(compared(template), compared(Template.fromStack(printed)));
});

test("the configuration may be an object", () => {
  const config = {
    sets: { main: { subnets: ["subnet-0a1b2c3d4e5f60001"], services: ["ecr.api", "ecr.dkr", "logs", "s3"] } },
    jobs: { hello: { set: "main", cluster: "hello", taskDefinition: "hello", securityGroups: ["sg-0a1b2c3d4e5f60001"] } },
  };
  Template.fromStack(synthesised({ config })).resourceCountIs("AWS::DynamoDB::Table", 1);
  assert.throws(() => synthesised({ config: { ...config, name: Aws.ACCOUNT_ID } }), /known only when it is deployed/);
  assert.throws(() => synthesised({ config: { ...config, jbos: {} } }), /jbos/);
});

test("parameters of the template can be given", () => {
  const template = Template.fromStack(synthesised({ parameters: { AlarmTopic: "arn:aws:sns:us-east-1:123456789012:alarms" } }));
  template.allResourcesProperties("AWS::CloudWatch::Alarm", Match.not({ AlarmActions: Match.absent() }));
});

test("what is missing is said", () => {
  assert.throws(() => synthesised({ program: "no-such-drawbridge" }), /no-such-drawbridge is not there/);
  assert.throws(() => synthesised({ config: "nowhere.yaml" }), /drawbridge template: .*nowhere.yaml/);
});
