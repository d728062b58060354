// Drawbridge's base stack in an app of the AWS CDK. The template is the one that `drawbridge template` prints: what an
// installation consists of is said there alone.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { CfnResource, CfnTag, Lazy, Stack, StackProps, Stage, TagManager, Token, Validations } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { CfnFunction } from "aws-cdk-lib/aws-lambda";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { Construct } from "constructs";

/** What an installation is made from. */
export interface DrawbridgeProps extends Omit<StackProps, "stackName" | "description" | "tags"> {
  /**
   * The configuration: the path of a drawbridge.yaml, or its content as an object. What an object holds has to be known
   * when the app is synthesised: look a VPC up by Vpc.fromLookup.
   */
  readonly config: string | Record<string, unknown>;
  /** The command line. Default: drawbridge, from the PATH. */
  readonly program?: string;
  /** Values of the template's parameters, by their names. Default: those that the configuration gives. */
  readonly parameters?: Record<string, string>;
  /** The stack with the roles, if somebody else makes them: see `drawbridge template --roles`. Default: this one makes them. */
  readonly rolesFrom?: string;
}

/**
 * An installation of Drawbridge: its sets, jobs, functions and roles, as the one stack that `drawbridge deploy` would
 * make. The command line works on it as on its own.
 *
 * Synthesis calls `drawbridge template`, which reads the account (VPC, subnets, task definitions) with the credentials of
 * whoever synthesises, and creates nothing.
 */
export class Drawbridge extends Stack {
  /** The template, for what it holds. */
  readonly template: CfnInclude;

  constructor(scope: Construct, id: string, props: DrawbridgeProps) {
    const { config, program, parameters, rolesFrom, ...rest } = props;
    const folder = path.join(Stage.of(scope)?.outdir ?? tmpdir(), `drawbridge-${id}`);
    mkdirSync(folder, { recursive: true });
    const args = ["--config", configFile(config, folder), "--code", path.join(folder, "code")];
    if (props.env?.region !== undefined && !Token.isUnresolved(props.env.region)) {
      args.push("--region", props.env.region);
    }
    if (rolesFrom !== undefined) {
      args.push("--roles-from", rolesFrom);
    }
    const printed = print(program ?? "drawbridge", args);
    super(scope, id, { analyticsReporting: false, ...rest, ...identity(printed) });
    const file = path.join(folder, "template.yaml");
    writeFileSync(file, printed);
    this.template = new CfnInclude(this, "Template", { templateFile: file, parameters });
    for (const f of this.node.findAll().filter((c): c is CfnFunction => c instanceof CfnFunction)) {
      const parameter = this.resolve(f.code).s3Key?.Ref; // its default is a file's name below code
      if (parameter !== undefined) {
        const file = path.join(folder, "code", this.template.getParameter(parameter).default as string);
        const code = new Asset(this, `${parameter}Asset`, { path: file });
        f.code = { s3Bucket: code.s3BucketName, s3Key: code.s3ObjectKey };
        this.drop(parameter);
      }
    }
    this.drop("CodeBucket");
    for (const r of this.node.findAll()) {
      const tags = TagManager.of(r);
      const given = (r as { tags?: TagManager | CfnTag[] }).tags; // a list where the manager has them only when rendered
      if (!CfnResource.isCfnResource(r) || tags === undefined || !Array.isArray(given) && !Array.isArray(tags.renderTags())) {
        continue;
      }
      const own = Array.isArray(given) ? Object.fromEntries(given.map(({ key, value }) => [key, value])) : {};
      r.addPropertyOverride("Tags", Lazy.any({ produce: () => inOrder({ ...tags.tagValues(), ...own }) }, { omitEmptyArray: true }));
    }
    Validations.of(this).acknowledge({
      id: "CloudFormation-Validate::W1030", reason: "Without a value of a parameter, a condition leaves the property out.",
    });
  }

  /** Removes a parameter that nothing refers to any more. */
  private drop(name: string): void {
    const { node } = this.template.getParameter(name);
    node.scope?.node.tryRemoveChild(node.id);
  }
}

/** Returns tags in the template's order, by which a later deployment finds them unchanged. */
function inOrder(tags: Record<string, string>) {
  return Object.keys(tags).sort().map((key) => ({ Key: key, Value: tags[key] }));
}

/** Writes a configuration that is an object to a file: JSON is YAML. */
function configFile(config: string | Record<string, unknown>, folder: string): string {
  if (typeof config === "string") {
    return config;
  }
  const text = JSON.stringify(config, undefined, 2);
  if (Token.isUnresolved(text)) {
    throw new Error("the configuration holds a value that is known only when it is deployed; look VPCs up by " +
      "Vpc.fromLookup, and name clusters and task definitions by their names");
  }
  const file = path.join(folder, "drawbridge.yaml");
  writeFileSync(file, text);
  return file;
}

/** Returns what drawbridge template prints. */
function print(program: string, args: string[]): string {
  try {
    return execFileSync(program, ["template", ...args], {
      encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26,
    });
  } catch (e) {
    const { code, stderr } = e as { code?: string; stderr?: string };
    if (code === "ENOENT") {
      throw new Error(`${program} is not there: install the command line, or name it by program`);
    }
    throw new Error(`drawbridge template: ${stderr || e}`);
  }
}

/** Returns the stack's name and tags, by which Drawbridge knows it: the template's head says them. */
function identity(printed: string): StackProps {
  const said = /^# aws cloudformation deploy --stack-name (\S+) .*--tags (.+)$/m.exec(printed);
  if (said === null) {
    throw new Error("drawbridge template printed a template of another version: use the command line of this release");
  }
  const tags = Object.fromEntries(said[2].split(" ").map((tag) => tag.split("=", 2) as [string, string]));
  return { stackName: said[1], tags };
}
