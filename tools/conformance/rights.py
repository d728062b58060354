"""Holds docs/policies to AWS's own schemas of the resources that the base stack is made of.

CloudFormation makes them with the rights of whoever deploys. Each schema lists the permissions that its handlers need: every one
must be in a deployer's policies, unless it is for a property that no template has, and nothing else may be, unless the command
line calls it itself.
"""
import fnmatch
import glob
import json
import os
import re

import cfnlint

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
POLICIES = os.path.join(ROOT, "docs/policies")
LIMIT = 6144  # characters of a managed policy, white space not counted

# What no template has a property for.
NEEDLESS = {
    "dynamodb:": r"AssociateTableReplica|BatchWriteItem|CreateTableReplica|DescribeImport|ImportTable|Scan|UpdateItem|.*ResourcePolicy|"
                 r".*KinesisStreamingDestination|.*ContributorInsights",
    "kinesis:|kms:|firehose:|vpc-lattice:|vpce:|s3files:|s3tables:|elasticfilesystem:": r".*",
    "logs:": r".*(ResourcePolicy|ResourcePolicies|DataProtection|Index|BearerToken|Delivery|DeletionProtection).*|.*LogStream.*|PutLogEvents",
    "s3:": r".*(Analytics|Cors|CORS|Metadata|Metrics|Replication|Website|Accelerate|Abac|Acl|Logging|Notification|ObjectLock|Ownership|"
           r"Intelligent|Inventory|REST|ListTagsForResource|TagResource|UntagResource).*|Get.*Configuration|GetBucket.*|"
           r"DeleteBucket(Encryption|Lifecycle)|GetObjectVersion|GetObjectMetadata",
    "iam:": r".*(Group|User)Policy",
    "ecs:": r".*AccountSetting.*",
    "ec2:": r"UpdateSecurityGroupRuleDescriptions.*",
    "lambda:": r".*(CodeSigning|Recursion|Scaling|RuntimeManagement|Layer|CapacityProvider|RuntimeAlias).*|PublishVersion",
}

# What the command line calls itself: to plan, to deploy, to look, and to remove.
DIRECT = """
cloudformation:CreateChangeSet cloudformation:DeleteChangeSet cloudformation:DescribeChangeSet cloudformation:ExecuteChangeSet
cloudformation:ListChangeSets cloudformation:DescribeStacks cloudformation:DescribeStackEvents cloudformation:DescribeStackResources
cloudformation:ListStackResources cloudformation:ListStacks cloudformation:DeleteStack cloudformation:TagResource
cloudformation:UntagResource cloudformation:UpdateTerminationProtection
s3:CreateBucket s3:DeleteBucket s3:GetBucketTagging s3:PutBucketTagging s3:PutBucketPolicy s3:PutBucketPublicAccessBlock
s3:PutEncryptionConfiguration s3:ListBucket s3:DeleteObject s3:GetObject s3:PutObject
iam:SimulatePrincipalPolicy iam:CreateServiceLinkedRole lambda:GetAccountSettings lambda:GetFunctionConfiguration lambda:InvokeFunction
servicequotas:GetServiceQuota route53:ListHostedZonesByVPC ec2:GetManagedPrefixListEntries ec2:Describe*
dynamodb:GetItem dynamodb:PutItem dynamodb:DeleteItem dynamodb:Query
ecs:DescribeTaskDefinition ecs:DescribeTasks ecs:ListTasks ecr:DescribeImages secretsmanager:DescribeSecret ssm:GetParameters
""".split()


def stop(text):
    raise SystemExit("rights: " + text)


def schemas(kinds):
    """The permissions that the handlers of each kind of resource need."""
    out = {}
    for path in glob.glob(os.path.join(os.path.dirname(cfnlint.__file__), "data/schemas/resources/*.json")):
        with open(path) as f:
            schema = json.load(f)
        if schema.get("typeName") in kinds:
            handlers = schema.get("handlers", {})
            out[schema["typeName"]] = {p for k in ("create", "read", "update", "delete") for p in handlers.get(k, {}).get("permissions", [])}
    return out


def needless(permission):
    service, action = permission.split(":", 1)
    return any(re.match(services, service + ":") and re.fullmatch(actions, action) for services, actions in NEEDLESS.items())


def findings(allowed, handlers):
    """What is missing in the actions that are allowed, and what is too much."""
    for kind, permissions in sorted(handlers.items()):
        for p in sorted(permissions):
            if not needless(p) and not any(fnmatch.fnmatchcase(p, a) for a in allowed):
                yield f"{kind} needs {p}"
    every = set().union(*handlers.values())
    for a in sorted(allowed):
        if a not in DIRECT and a not in every:
            yield f"nothing needs {a}"


def main():
    kinds = set()
    for path in glob.glob(os.path.join(ROOT, "internal/install/testdata/*.yaml")):
        kinds |= set(re.findall(r"^\s+Type: (AWS::\S+)$", open(path).read(), re.M))
    handlers = schemas(kinds)
    if kinds - set(handlers):
        stop(f"no schema of {', '.join(sorted(kinds - set(handlers)))}")
    allowed = set()
    for name in ("deployer", "deployer-resources", "deployer-mirror"):
        text = open(os.path.join(POLICIES, name + ".json")).read()
        policy = json.loads(text)
        if len(json.dumps(policy, separators=(",", ":"))) > LIMIT:
            stop(f"{name}.json is longer than a managed policy may be")
        for s in policy["Statement"]:
            allowed |= set(s["Action"])
    found = list(findings(allowed, handlers))
    if found:
        stop("; ".join(found))
    # A check that finds nothing wrong in what is wrong would be none.
    if list(findings(allowed - {"iam:CreateRole"}, handlers)) != ["AWS::IAM::Role needs iam:CreateRole"]:
        stop("a right that is missing is not found")
    if list(findings(allowed | {"s3:ListAllMyBuckets"}, handlers)) != ["nothing needs s3:ListAllMyBuckets"]:
        stop("a right that is too much is not found")
    print(f"rights: {len(allowed)} actions of a deployer, held to the schemas of {len(kinds)} kinds of resources")


main()
