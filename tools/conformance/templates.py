"""Holds the base stack to account: cfn-guard with the project's own rules, checkov, and moto.

Each rule of cfn-guard must find a template that breaks it, so that none of them passes for want of anything to look at.
"""
import copy
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GUARD = os.path.join(ROOT, "tools/npm/node_modules/@cdklabs/cdk-validator-cfnguard/bin/ubuntu",
                     "aarch64" if platform.machine() in ("aarch64", "arm64") else "x86_64", "cfn-guard")
RULES = os.path.join(ROOT, "tools/base.guard")
EXAMPLES = [os.path.join(ROOT, "examples/pipeline", p) for p in ("network.yaml", "infrastructure/cluster.yaml", "infrastructure/application.yaml", "infrastructure/pipeline.yaml")]
TEMPLATES = [os.path.join(ROOT, p) for p in ("cfn/templates/base.yaml", "internal/install/testdata/everything.yaml", "internal/install/testdata/observe.yaml", "internal/install/testdata/mirror.yaml")]


def stop(text):
    raise SystemExit("templates: " + text)


def guard(path, rules=RULES):
    """The rules that a template keeps and those that it breaks."""
    p = subprocess.run([GUARD, "validate", "-r", rules, "-d", path, "-o", "json", "--structured", "-S", "none"], capture_output=True, text=True)
    if p.returncode not in (0, 19):
        stop(f"cfn-guard ended with {p.returncode}: {p.stdout}{p.stderr}")
    report = json.loads(p.stdout)[0]
    name = lambda rules: {r["Rule"]["name"] if isinstance(r, dict) else r for r in rules}
    return name(report["compliant"]), name(report["not_compliant"]), report


def breaking(rule, t):
    """Breaks a template in the way that a rule forbids."""
    r = t["Resources"]
    kind = lambda k: next(x for x in r.values() if x["Type"] == k)["Properties"]
    statement = kind("AWS::IAM::ManagedPolicy")["PolicyDocument"]["Statement"][0]
    {
        "table_is_safe": lambda: kind("AWS::DynamoDB::Table").pop("SSESpecification"),
        "queues_are_encrypted": lambda: kind("AWS::SQS::Queue").pop("SqsManagedSseEnabled"),
        "functions_are_outside_the_vpc": lambda: kind("AWS::Lambda::Function").update(VpcConfig={"SubnetIds": ["subnet-1"]}),
        "logs_end": lambda: kind("AWS::Logs::LogGroup").pop("RetentionInDays"),
        "roles_are_bounded": lambda: kind("AWS::IAM::Role").update(ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"]),
        "actions_are_named_one_by_one": lambda: statement.update(Action=["dynamodb:*"]),
        "roles_are_passed_to_one_service": lambda: statement.update(Action=["iam:PassRole"], Resource=["*"]),
        "nothing_is_open_to_everybody": lambda: kind("AWS::EC2::SecurityGroup")["SecurityGroupEgress"][0].update(CidrIp="0.0.0.0/0"),
        "nothing_costs_by_the_hour": lambda: r.update(Nat={"Type": "AWS::EC2::NatGateway", "Properties": {"SubnetId": "subnet-1"}}),
        "functions_are_called_by_rules_alone": lambda: kind("AWS::Lambda::Permission").pop("SourceArn"),
        "the_webhook_alone_has_an_address": lambda: kind("AWS::Lambda::Url").update(TargetFunctionArn={"Ref": "Launcher"}),
        "buckets_are_closed": lambda: kind("AWS::S3::Bucket").pop("PublicAccessBlockConfiguration"),
        "tasks_have_no_capabilities": lambda: kind("AWS::ECS::TaskDefinition")["ContainerDefinitions"][0].update(Privileged=True),
    }[rule]()
    return t


def with_guard():
    rules = [line.split()[1] for line in open(RULES) if line.startswith("rule ")]
    for path in TEMPLATES:
        kept, broken, report = guard(path)
        if broken:
            stop(f"{os.path.relpath(path, ROOT)} breaks {', '.join(sorted(broken))}: {json.dumps(report['not_compliant'])[:2000]}")
    kept = {path: guard(path)[0] for path in TEMPLATES}
    for rule in rules:
        looked = [path for path in TEMPLATES if rule in kept[path]]
        if not looked:
            stop(f"the rule {rule} looked at nothing")
        good = yaml.safe_load(open(looked[0]))
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(breaking(rule, copy.deepcopy(good)), f)
            f.flush()
            if rule not in guard(f.name)[1]:
                stop(f"the rule {rule} does not notice a template that breaks it")
    print(f"cfn-guard: {len(rules)} rules kept by {len(TEMPLATES)} templates, and each of them fails when it is broken")


def with_checkov(checkov):
    for path in TEMPLATES:
        # checkov looks for secrets in the template's own path too: 40 letters and slashes
        # in a row would be one, so the path must not be the checkout's.
        with tempfile.TemporaryDirectory(prefix="templates-") as folder:
            apart = shutil.copy(path, folder)
            p = subprocess.run([checkov, "-f", apart, "--config-file", os.path.join(ROOT, "tools/checkov.yaml"), "-o", "json"], capture_output=True, text=True, cwd=ROOT)
        try:
            report = json.loads(p.stdout)
            s = report["summary"]
        except (ValueError, KeyError):
            stop(f"checkov on {path}: {p.stdout[:500]}{p.stderr[:500]}")
        if s["parsing_errors"] or not s["resource_count"] or not s["passed"]:
            stop(f"checkov read {path} wrongly: {s}")
        if s["failed"] or p.returncode:
            stop("checkov: " + "; ".join(f"{c['check_id']} {c['resource']} {c['check_name']}" for c in report["results"]["failed_checks"]))
        print(f"checkov: {s['passed']} checks passed by {os.path.relpath(path, ROOT)}")


def breaking_example(rule, templates):
    """Breaks the templates of the examples in the way that a rule forbids, and returns the one that is broken."""
    def one(kind):
        return next((t, r["Properties"]) for t in templates for r in t["Resources"].values() if r["Type"] == kind)
    def broken(kind, break_it):
        t, properties = one(kind)
        break_it(properties)
        return t
    statements = lambda p: p["PolicyDocument"]["Statement"] if "PolicyDocument" in p else p["Policies"][0]["PolicyDocument"]["Statement"]
    passing = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"}
    return {
        "logs_end": lambda: broken("AWS::Logs::LogGroup", lambda p: p.pop("RetentionInDays")),
        "roles_are_passed_to_one_service": lambda: broken("AWS::IAM::Role", lambda p: p.update(Policies=[{"PolicyName": "p", "PolicyDocument": {"Statement": [passing]}}])),
        "generated_roles_are_passed_to_one_service": lambda: {"Resources": {"P": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": {"Statement": [passing]}}}}},
        "nothing_is_open_to_everybody": lambda: broken("AWS::EC2::SecurityGroup", lambda p: p["SecurityGroupEgress"][0].update(CidrIp="0.0.0.0/0")),
        "balancers_are_internal": lambda: broken("AWS::ElasticLoadBalancingV2::LoadBalancer", lambda p: p.update(Scheme="internet-facing")),
        "buckets_are_closed": lambda: broken("AWS::S3::Bucket", lambda p: p.pop("PublicAccessBlockConfiguration")),
        "images_end_and_stay_what_they_are": lambda: broken("AWS::ECR::Repository", lambda p: p.pop("LifecyclePolicy")),
        "machines_are_closed": lambda: broken("AWS::EC2::LaunchTemplate", lambda p: p["LaunchTemplateData"].pop("MetadataOptions")),
        "builds_read_their_secrets": lambda: broken("AWS::CodeBuild::Project", lambda p: p["Environment"]["EnvironmentVariables"][1].pop("Type")),
        "tasks_read_their_secrets": lambda: broken("AWS::ECS::TaskDefinition", lambda p: p["ContainerDefinitions"][0].update(Environment=[{"Name": "DB_PASSWORD", "Value": "x"}])),
    }[rule]()


def examples(checkov, paths):
    """The templates of the examples against cfn-guard and checkov."""
    rules = os.path.join(ROOT, "tools/examples.guard")
    kept = set()
    for path in paths:
        good, bad, report = guard(path, rules)
        if bad:
            stop(f"{path} breaks {sorted(bad)}: {json.dumps(report['not_compliant'])[:3000]}")
        kept |= good
    p = subprocess.run([checkov, "--config-file", os.path.join(ROOT, "tools/examples-checkov.yaml"), "-o", "json", *[x for path in paths for x in ("-f", path)]], capture_output=True, text=True)
    try:
        reports = json.loads(p.stdout)
    except json.JSONDecodeError:
        stop(f"checkov: {p.stdout}{p.stderr}")
    if isinstance(reports, dict):
        reports = [reports]
    failed = [f"{c['check_id']} {c['resource']} {c['check_name']}" for r in reports for c in r.get("results", {}).get("failed_checks", [])]
    passed = sum(r["summary"]["passed"] for r in reports if "summary" in r)
    if failed or passed == 0:
        stop("checkov: " + ("; ".join(failed) or p.stdout))
    return kept, passed


def with_examples(checkov):
    kept, passed = examples(checkov, EXAMPLES)
    with tempfile.TemporaryDirectory() as work:
        from cfnlint.decode import cfn_yaml
        for rule in re.findall(r"^rule (\w+)", open(os.path.join(ROOT, "tools/examples.guard")).read(), re.M):
            t = breaking_example(rule, [json.loads(json.dumps(cfn_yaml.load(path))) for path in EXAMPLES])
            path = os.path.join(work, rule + ".json")
            with open(path, "w") as f:
                json.dump(t, f)
            if rule not in guard(path, os.path.join(ROOT, "tools/examples.guard"))[1]:
                stop(f"cfn-guard: nothing breaks rule {rule}")
            if rule not in kept and not rule.startswith("generated_"):
                stop(f"cfn-guard: no example has what rule {rule} looks at")
    print(f"examples: {len(kept)} rules of cfn-guard kept, {passed} checks of checkov passed by {len(EXAMPLES)} templates")


# What moto 5.2.5 makes of the base stack by CloudFormation; it has no type for the others, or does not make them properly.
MOTO = ["AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::Logs::LogGroup", "AWS::Lambda::Function", "AWS::Events::Rule",
        "AWS::EC2::SecurityGroup", "AWS::EC2::VPCEndpoint"]


def moto_part(t, vpc, table, group):
    """The resources that moto knows, with references to the others left out."""
    keep = {k: v for k, v in t["Resources"].items() if v["Type"] in MOTO}
    text = json.dumps(keep).replace("vpc-0000000000000d0a0", vpc).replace("sg-0a1b2c3d4e5f60001", group)
    keep = json.loads(text)
    for k, v in keep.items():
        if v["Type"] == "AWS::EC2::VPCEndpoint":
            v["Properties"]["RouteTableIds"] = [table]
    return {"AWSTemplateFormatVersion": "2010-09-09", "Parameters": t["Parameters"], "Conditions": t["Conditions"], "Resources": keep,
            "Outputs": {k: v for k, v in t["Outputs"].items() if k.startswith("Installed")}}


def with_moto():
    import boto3
    from moto import mock_aws
    t = yaml.safe_load(open(TEMPLATES[0]))
    with mock_aws():
        client = lambda s: boto3.client(s, region_name="us-east-1")
        ec2, cfn, s3 = client("ec2"), client("cloudformation"), client("s3")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
        tasks = ec2.create_security_group(GroupName="tasks", Description="tasks", VpcId=vpc)["GroupId"]
        s3.create_bucket(Bucket="code")
        body = open(os.path.join(ROOT, "dist/launcher-arm64.zip"), "rb").read()
        s3.put_object(Bucket="code", Key="l.zip", Body=body)
        s3.put_object(Bucket="code", Key="r.zip", Body=body)
        part = moto_part(t, vpc, table, tasks)
        cfn.create_stack(StackName="drawbridge", TemplateBody=json.dumps(part), Capabilities=["CAPABILITY_NAMED_IAM"], Parameters=[
            {"ParameterKey": k, "ParameterValue": v} for k, v in {"CodeBucket": "code", "LauncherCode": "l.zip", "ReaperCode": "r.zip"}.items()])
        status = cfn.describe_stacks(StackName="drawbridge")["Stacks"][0]["StackStatus"]
        if status != "CREATE_COMPLETE":
            stop(f"moto: the stack is {status}")
        made = {r["LogicalResourceId"] for r in cfn.describe_stack_resources(StackName="drawbridge")["StackResources"]}
        if made != set(part["Resources"]):
            stop(f"moto did not make {sorted(set(part['Resources']) - made)}")
        db = client("dynamodb").describe_table(TableName="drawbridge")["Table"]
        if [k["AttributeName"] for k in db["KeySchema"]] != ["set", "item"] or db["LocalSecondaryIndexes"][0]["IndexName"] != "live":
            stop(f"moto: the table is {db}")
        sqs = client("sqs")
        redrive = json.loads(sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName="drawbridge-events")["QueueUrl"], AttributeNames=["All"])["Attributes"]["RedrivePolicy"])
        if not redrive["deadLetterTargetArn"].endswith(":drawbridge-dead-letters"):
            stop(f"moto: redrive policy {redrive}")
        f = client("lambda").get_function_configuration(FunctionName="drawbridge-launcher")
        if f["Runtime"] != "provided.al2023" or f["Timeout"] != 900:  # moto loses Architectures
            stop(f"moto: the launcher is {f}")
        outputs = {o["OutputKey"]: o["OutputValue"] for o in cfn.describe_stacks(StackName="drawbridge")["Stacks"][0]["Outputs"]}
        installed = json.loads(outputs["Installed"])
        group = installed["sets"]["main"]["endpointSecurityGroups"][0]
        if ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"] != vpc:
            stop(f"moto: the endpoints' group {group} is not in {vpc}")
        rules = {r["Name"] for r in client("events").list_rules()["Rules"]}
        if not {"drawbridge-reaper-tasks", "drawbridge-reaper-stacks", "drawbridge-reaper-sweep", "drawbridge-job-hello-0"} <= rules:
            stop(f"moto: rules {rules}")
        cfn.delete_stack(StackName="drawbridge")
        if client("dynamodb").list_tables()["TableNames"] or client("lambda").list_functions()["Functions"]:
            stop("moto: something is left after the deletion")
    print(f"moto: {len(part['Resources'])} of {len(t['Resources'])} resources of the base stack, made, looked at and deleted")


if __name__ == "__main__":
    if len(sys.argv) > 2:  # templates that were made elsewhere
        kept, passed = examples(sys.argv[1], sys.argv[2:])
        print(f"{len(kept)} rules of cfn-guard kept, {passed} checks of checkov passed")
        sys.exit()
    with_guard()
    with_checkov(sys.argv[1])
    with_examples(sys.argv[1])
    with_moto()
