"""Holds the sandbox to account by what AWS wrote.

1. boto3 and the AWS CLI drive a sandbox through create, describe, wait, run, invoke and delete, and through wrong input,
   which has to fail with AWS's code at AWS's moment.
2. The same happy paths run on moto, where moto does the operation properly (docs/conformance.md lists where it does not).
3. The store's tests, and the sandbox's own DynamoDB tests, run on AWS's DynamoDB Local.
4. Every reply that the sandbox gave, here and in the Go tests, is validated against botocore's models.

With --endpoint the happy paths of 2 run on that endpoint instead, by the credentials of --profile: on another simulation,
or on AWS itself ("aws": each service's own endpoint), where they refuse to touch anything without --yes-this-costs. All
that they make bears one prefix, and is removed at the end, whatever happens.
"""
import argparse
import concurrent.futures
import contextlib
import glob
import gzip
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.parse
import urllib.request

import boto3
import botocore.config
import botocore.exceptions

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
REPLIES = os.path.join(BUILD, "replies.jsonl")
GIVEN = dict(os.environ)
ENV = dict(os.environ, AWS_ACCESS_KEY_ID="AKIACONFORMANCE", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1", AWS_REGION="us-east-1",
           AWS_PAGER="", AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true")
os.environ.update(ENV)
passed = 0


def check(ok, what):
    global passed
    if not ok:
        raise SystemExit(f"conformance: {what}")
    passed += 1


def fails(code, what, call):
    """The call must fail with exactly that code."""
    try:
        call()
    except botocore.exceptions.ClientError as e:
        check(e.response["Error"]["Code"] == code, f"{what}: code {e.response['Error']['Code']} ({e.response['Error']['Message']}), want {code}")
        return e
    check(False, f"{what}: succeeded, want {code}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def process(command, ready, **more):
    p = subprocess.Popen(command, **{"cwd": ROOT, **more}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield ready(p)
    finally:
        p.send_signal(signal.SIGTERM)
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()


def clients(endpoint):
    config = botocore.config.Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
    session = boto3.session.Session()  # the default one is not for several threads
    return lambda service: session.client(service, endpoint_url=endpoint, config=config)


def post(endpoint, path, body):
    return json.load(urllib.request.urlopen(urllib.request.Request(endpoint + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")))


# The Region, the prefix of all names, how often a waiter looks, how a queue is read, and what is to be undone: on AWS
# another than here.
REGION, PREFIX, PATIENCE, POLL = "us-east-1", "", 20, {}
undoing = []


def name(short):
    return PREFIX + short


def undo(step):
    undoing.append(step)


def clean_up():
    """Removes what the paths made, the newest first. What is gone already does not matter; what cannot go is named."""
    left = []
    for step in reversed(undoing):
        try:
            step()
        except botocore.exceptions.ClientError as e:
            if not any(word in e.response["Error"]["Code"] + e.response["Error"]["Message"] for word in ("NotFound", "NonExistent", "NoSuch", "does not exist")):
                left.append(str(e))
        except botocore.exceptions.WaiterError as e:
            left.append(str(e))
    undoing.clear()
    return left


def network(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    undo(lambda: ec2.delete_vpc(VpcId=vpc))
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=REGION + "a")["Subnet"]["SubnetId"]
    undo(lambda: ec2.delete_subnet(SubnetId=subnet))
    group = ec2.create_security_group(GroupName="tasks", Description="tasks", VpcId=vpc)["GroupId"]
    undo(lambda: ec2.delete_security_group(GroupId=group))
    return vpc, subnet, group


def template(vpc, subnet, group, service="logs"):
    return json.dumps({"Parameters": {"Service": {"Type": "String", "Default": service}}, "Resources": {
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "endpoints", "VpcId": vpc, "SecurityGroupIngress": [
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "SourceSecurityGroupId": group}]}},
        "Endpoint": {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Interface", "VpcId": vpc, "SubnetIds": [subnet], "PrivateDnsEnabled": True,
                     "SecurityGroupIds": [{"Fn::GetAtt": ["Group", "GroupId"]}], "ServiceName": {"Fn::Sub": "com.amazonaws.${AWS::Region}.${Service}"}}}},
        "Outputs": {"Id": {"Value": {"Ref": "Endpoint"}}}})


def stack_path(client, advance, deletes_endpoints=True):
    """CloudFormation and EC2, the happy path; also on moto."""
    ec2, cfn = client("ec2"), client("cloudformation")
    vpc, subnet, group = network(ec2)
    check(ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailabilityZone"] == REGION + "a", "the subnet's zone")
    check(ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"], "DNS host names are on")
    undo(lambda: (cfn.delete_stack(StackName=name("s")), cfn.get_waiter("stack_delete_complete").wait(StackName=name("s"))))
    stack = cfn.create_stack(StackName=name("s"), TemplateBody=template(vpc, subnet, group), Tags=[{"Key": "owner", "Value": "me"}])["StackId"]
    advance(300)
    cfn.get_waiter("stack_create_complete").wait(StackName=name("s"), WaiterConfig={"Delay": 1, "MaxAttempts": PATIENCE})
    found = cfn.describe_stacks(StackName=name("s"))["Stacks"][0]
    check(found["StackId"] == stack and found["StackStatus"] == "CREATE_COMPLETE" and found["Tags"] == [{"Key": "owner", "Value": "me"}], "the stack as described")
    endpoint = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"][0]
    check(endpoint["State"] == "available" and endpoint["ServiceName"].endswith(".logs"), "the endpoint is available")
    check([o["OutputValue"] for o in found["Outputs"]] == [endpoint["VpcEndpointId"]], "the stack's output")
    check(len(cfn.describe_stack_resources(StackName=name("s"))["StackResources"]) == 2, "two resources")
    check(any(e["ResourceStatus"] == "CREATE_COMPLETE" for e in cfn.describe_stack_events(StackName=name("s"))["StackEvents"]), "events")
    fails("AlreadyExistsException", "a second stack of the same name", lambda: cfn.create_stack(StackName=name("s"), TemplateBody=template(vpc, subnet, group)))
    cfn.delete_stack(StackName=name("s"))
    advance(300)
    cfn.get_waiter("stack_delete_complete").wait(StackName=name("s"), WaiterConfig={"Delay": 1, "MaxAttempts": PATIENCE})
    fails("ValidationError", "describing a deleted stack by name", lambda: cfn.describe_stacks(StackName=name("s")))
    left = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"]
    check((not left) == deletes_endpoints, "the endpoint goes with its stack")
    return vpc, subnet, group


def store_path(client):
    """DynamoDB's conditions; also on moto."""
    db = client("dynamodb")
    db.create_table(TableName=name("test"), BillingMode="PAY_PER_REQUEST", AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}], KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}])
    undo(lambda: db.delete_table(TableName=name("test")))
    db.get_waiter("table_exists").wait(TableName=name("test"), WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    put = dict(TableName=name("test"), Item={"k": {"S": "a"}, "n": {"N": "1"}}, ConditionExpression="attribute_not_exists(k)")
    db.put_item(**put)
    fails("ConditionalCheckFailedException", "putting twice", lambda: db.put_item(**put))
    new = db.update_item(TableName=name("test"), Key={"k": {"S": "a"}}, UpdateExpression="SET #n = #n + :one", ConditionExpression="#n = :one", ExpressionAttributeNames={"#n": "n"},
                         ExpressionAttributeValues={":one": {"N": "1"}}, ReturnValues="ALL_NEW")["Attributes"]
    check(new["n"] == {"N": "2"}, "the counter counts")
    e = fails("TransactionCanceledException", "a transaction whose condition fails", lambda: db.transact_write_items(TransactItems=[
        {"Put": {"TableName": name("test"), "Item": {"k": {"S": "b"}}}},
        {"ConditionCheck": {"TableName": name("test"), "Key": {"k": {"S": "a"}}, "ConditionExpression": "#n = :one", "ExpressionAttributeNames": {"#n": "n"}, "ExpressionAttributeValues": {":one": {"N": "1"}}}}]))
    check([r["Code"] for r in e.response["CancellationReasons"]] == ["None", "ConditionalCheckFailed"], "the transaction's reasons")
    check("Item" not in db.get_item(TableName=name("test"), Key={"k": {"S": "b"}}), "a cancelled transaction writes nothing")
    db.delete_table(TableName=name("test"))


def queue_path(client, advance):
    """SQS with visibility and redrive; also on moto."""
    sqs = client("sqs")
    dead = sqs.create_queue(QueueName=name("dead"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    q = sqs.create_queue(QueueName=name("q"), Attributes={"VisibilityTimeout": "1", "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})})["QueueUrl"]
    undo(lambda: (sqs.delete_queue(QueueUrl=q), sqs.delete_queue(QueueUrl=dead)))
    sqs.send_message(QueueUrl=q, MessageBody="hello", MessageAttributes={"a": {"DataType": "String", "StringValue": "b"}})
    first = sqs.receive_message(QueueUrl=q, AttributeNames=["All"], MessageAttributeNames=["All"], **POLL)["Messages"][0]
    check(first["Body"] == "hello" and first["Attributes"]["ApproximateReceiveCount"] == "1", "the message")
    check("Messages" not in sqs.receive_message(QueueUrl=q), "a message that is being worked on is hidden")
    for _ in range(2):
        advance(2)
        sqs.receive_message(QueueUrl=q, **POLL)
    check([m["Body"] for m in sqs.receive_message(QueueUrl=dead, **POLL).get("Messages", [])] == ["hello"], "the message is redriven after two tries")
    fails("AWS.SimpleQueueService.NonExistentQueue", "a queue that is not there", lambda: sqs.get_queue_url(QueueName=name("nope")))


def timer_path(client, role):
    """Scheduler from create to delete; also on moto."""
    s = client("scheduler")
    target = {"Arn": f"arn:aws:lambda:{REGION}:{role.split(':')[4]}:function:f", "RoleArn": role, "Input": "{}"}
    args = dict(Name=name("n"), ScheduleExpression="at(2040-01-01T00:00:00)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target, ActionAfterCompletion="DELETE")
    s.create_schedule(**args)
    undo(lambda: s.delete_schedule(Name=args["Name"]))
    fails("ConflictException", "creating a schedule twice", lambda: s.create_schedule(**args))
    s.update_schedule(**dict(args, ScheduleExpression="at(2041-01-01T00:00:00)"))
    check(s.get_schedule(Name=name("n"))["ScheduleExpression"] == "at(2041-01-01T00:00:00)", "the schedule has moved")
    s.delete_schedule(Name=name("n"))
    fails("ResourceNotFoundException", "a schedule that is not there", lambda: s.get_schedule(Name=name("n")))


def sandbox_only(client, advance, endpoint, vpc, subnet, group):
    """What moto does not do as AWS does."""
    ec2, cfn, ecs, events, scheduler, logs, iam, sts = (client(s) for s in ("ec2", "cloudformation", "ecs", "events", "scheduler", "logs", "iam", "sts"))
    body = template(vpc, subnet, group)
    # At the call.
    fails("ValidationError", "a stack name with an underscore", lambda: cfn.create_stack(StackName="a_b", TemplateBody=body))
    fails("ValidationError", "an undeclared parameter", lambda: cfn.create_stack(StackName="x", TemplateBody=body, Parameters=[{"ParameterKey": "Nope", "ParameterValue": "1"}]))
    role = '{"Resources":{"R":{"Type":"AWS::IAM::Role","Properties":{"AssumeRolePolicyDocument":{"Statement":[]}}}}}'
    fails("InsufficientCapabilitiesException", "a missing capability", lambda: cfn.create_stack(StackName="x", TemplateBody=role))
    fails("ValidationError", "an unknown resource type", lambda: cfn.create_stack(StackName="x", TemplateBody='{"Resources":{"R":{"Type":"AWS::Nope::Nope"}}}'))
    fails("ValidationError", "a reference to nothing", lambda: cfn.create_stack(StackName="x", TemplateBody='{"Resources":{"R":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":{"Ref":"Nope"}}}}}'))
    fails("ValidationError", "a role that cannot be assumed", lambda: cfn.create_stack(StackName="x", TemplateBody=body, RoleARN="arn:aws:iam::123456789012:role/nope-at-all"))
    fails("InvalidServiceName", "an endpoint of a service that is not there", lambda: ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.nope", VpcEndpointType="Interface"))
    fails("InvalidVpcId.NotFound", "an endpoint in a VPC that is not there", lambda: ec2.create_vpc_endpoint(VpcId="vpc-00000000", ServiceName="com.amazonaws.us-east-1.logs", VpcEndpointType="Interface"))
    fails("InvalidSubnetID.NotFound", "a subnet that is not there", lambda: ec2.describe_subnets(SubnetIds=["subnet-00000000"]))
    # As a failed resource that rolls the stack back.
    for name, spoiled, reason in (("service", template(vpc, subnet, group, "nope"), "does not exist"), ("vpc", template("vpc-00000000", subnet, group), "does not exist")):
        cfn.create_stack(StackName=name, TemplateBody=spoiled)
        check(cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_IN_PROGRESS", f"{name}: in progress at first")
        advance(60)
        check(cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE", f"{name}: rolled back")
        check(any(reason in e.get("ResourceStatusReason", "") for e in cfn.describe_stack_events(StackName=name)["StackEvents"]), f"{name}: the reason stands in the events")
        fails("ValidationError", f"{name}: updating a stack that was rolled back", lambda: cfn.update_stack(StackName=name, TemplateBody=body))
        cfn.delete_stack(StackName=name)
        advance(60)
    # A second endpoint with the same private DNS name.
    cfn.create_stack(StackName="one", TemplateBody=body)
    advance(200)
    fails("ValidationError", "an update with no change", lambda: cfn.update_stack(StackName="one", TemplateBody=body))
    cfn.create_stack(StackName="two", TemplateBody=body)
    advance(60)
    check(cfn.describe_stacks(StackName="two")["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE", "a second private DNS name rolls the stack back")
    check(any("conflicting DNS domain" in e.get("ResourceStatusReason", "") for e in cfn.describe_stack_events(StackName="two")["StackEvents"]), "and says why")
    owned = cfn.describe_stack_resources(StackName="one", LogicalResourceId="Group")["StackResources"][0]["PhysicalResourceId"]
    fails("DependencyViolation", "deleting a security group in use", lambda: ec2.delete_security_group(GroupId=owned))
    fails("ValidationError", "forcing a stack that did not fail", lambda: cfn.delete_stack(StackName="one", DeletionMode="FORCE_DELETE_STACK"))
    # ECS.
    ecs.create_cluster(clusterName="c")
    logs.create_log_group(logGroupName="/t")
    fails("ResourceAlreadyExistsException", "a log group twice", lambda: logs.create_log_group(logGroupName="/t"))
    definition = ecs.register_task_definition(family="t", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512", containerDefinitions=[
        {"name": "t", "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/t:1", "essential": True, "logConfiguration": {"logDriver": "awslogs", "options": {
            "awslogs-group": "/t", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "t"}}}])["taskDefinition"]["taskDefinitionArn"]
    fails("ClientException", "a CPU and memory pair that Fargate does not offer", lambda: ecs.register_task_definition(family="odd", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="8192", containerDefinitions=[{"name": "t", "image": "t"}]))
    run = dict(cluster="c", taskDefinition="t", launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}})
    fails("ClusterNotFoundException", "a cluster that is not there", lambda: ecs.run_task(**dict(run, cluster="nope")))
    fails("InvalidParameterException", "a startedBy of 129 characters", lambda: ecs.run_task(**dict(run, startedBy="x" * 129)))
    fails("InvalidParameterException", "a task in a subnet that is not there", lambda: ecs.run_task(**dict(run, networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-00000000"]}})))
    fails("InvalidParameterException", "startedBy with another filter", lambda: ecs.list_tasks(cluster="c", startedBy="me", family="t"))
    first = ecs.run_task(**dict(run, clientToken="token", startedBy="me"))["tasks"][0]["taskArn"]
    check(ecs.run_task(**dict(run, clientToken="token", startedBy="me"))["tasks"][0]["taskArn"] == first, "the same token gives the same task")
    e = fails("ConflictException", "the same token with other parameters", lambda: ecs.run_task(**dict(run, clientToken="token", startedBy="you")))
    check(e.response["resourceIds"] == [first], "the conflict names the task")
    check(ecs.list_tasks(cluster="c", startedBy="me")["taskArns"] == [first], "the task is listed")
    advance(120)
    stopped = ecs.describe_tasks(cluster="c", tasks=[first])["tasks"][0]
    check(stopped["lastStatus"] == "STOPPED" and stopped["stoppedReason"].startswith("ResourceInitializationError"), "a task without its endpoints does not start")
    check(ecs.describe_tasks(cluster="c", tasks=["0" * 32])["failures"][0]["reason"] == "MISSING", "a task that is not there")
    ecs.deregister_task_definition(taskDefinition=definition)
    fails("ClientException", "a task definition that is not there", lambda: ecs.run_task(**dict(run, taskDefinition="nope")))
    fails("InvalidParameterException", "an inactive task definition", lambda: ecs.run_task(**dict(run, taskDefinition=definition)))
    # Events, schedules, functions.
    fails("InvalidEventPatternException", "a bad pattern", lambda: events.put_rule(Name="r", EventPattern='{"source": "x"}'))
    events.put_rule(Name="r", EventPattern='{"source": ["me"]}')
    q = client("sqs").create_queue(QueueName="bus")["QueueUrl"]
    events.put_targets(Rule="r", Targets=[{"Id": "q", "Arn": "arn:aws:sqs:us-east-1:123456789012:bus"}])
    sent = events.put_events(Entries=[{"Source": "me", "DetailType": "d", "Detail": "{}"}, {"Source": "me", "DetailType": "d", "Detail": "nope"}])
    check(sent["FailedEntryCount"] == 1 and sent["Entries"][1]["ErrorCode"] == "MalformedDetail", "a malformed detail fails alone")
    advance(2)
    check(json.loads(client("sqs").receive_message(QueueUrl=q)["Messages"][0]["Body"])["source"] == "me", "the event is delivered")
    fails("ValidationException", "deleting a rule with targets", lambda: events.delete_rule(Name="r"))
    arn = iam.create_role(RoleName="timer", AssumeRolePolicyDocument=json.dumps({"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "scheduler.amazonaws.com"}}]}))["Role"]["Arn"]
    fails("MalformedPolicyDocument", "a trust policy without an effect", lambda: iam.create_role(RoleName="bad", AssumeRolePolicyDocument=json.dumps({"Statement": [{"Principal": {"Service": "scheduler.amazonaws.com"}}]})))
    fails("NoSuchEntity", "a role that is not there", lambda: iam.get_role(RoleName="nope"))
    bad = dict(Name="b", FlexibleTimeWindow={"Mode": "OFF"}, Target={"Arn": "arn:aws:sqs:us-east-1:123456789012:bus", "RoleArn": arn, "Input": "tick"})
    fails("ValidationException", "a bad schedule expression", lambda: scheduler.create_schedule(ScheduleExpression="at(tomorrow)", **bad))
    at = time.gmtime(post(endpoint, "/_sim/advance", {"seconds": 0})["now"] + 60)
    scheduler.create_schedule(ScheduleExpression=time.strftime("at(%Y-%m-%dT%H:%M:%S)", at), ActionAfterCompletion="DELETE", **bad)
    client("sqs").purge_queue(QueueUrl=q)
    advance(121)
    check(client("sqs").receive_message(QueueUrl=q)["Messages"][0]["Body"] == "tick", "a one-time schedule fires within the minute")
    advance(60)  # Scheduler deletes a completed schedule a while later
    fails("ResourceNotFoundException", "a schedule that was deleted after completion", lambda: scheduler.get_schedule(Name="b"))
    check(sts.get_caller_identity()["Account"] == "123456789012", "the account")
    fails("ResourceNotFoundException", "a function that is not there", lambda: client("lambda").invoke(FunctionName="nope"))
    s3 = client("s3")
    s3.create_bucket(Bucket="b")
    s3.put_object(Bucket="b", Key="k/l", Body=b"x")
    check(s3.get_object(Bucket="b", Key="k/l")["Body"].read() == b"x" and s3.list_objects_v2(Bucket="b")["KeyCount"] == 1, "an object")
    fails("NoSuchKey", "an object that is not there", lambda: s3.get_object(Bucket="b", Key="nope"))
    client("secretsmanager").create_secret(Name="s", SecretString="hush")
    check(client("secretsmanager").get_secret_value(SecretId="s")["SecretString"] == "hush", "a secret")
    fails("ResourceNotFoundException", "a secret that is not there", lambda: client("secretsmanager").get_secret_value(SecretId="nope"))
    for service, call in (("dynamodb", lambda c: c.list_backups()), ("ecs", lambda c: c.list_account_settings()), ("sqs", lambda c: c.list_dead_letter_source_queues(QueueUrl=q))):
        fails("UnknownOperationException", f"an action of {service} that the sandbox does not know", lambda: call(client(service)))
    fails("InvalidAction", "an action of EC2 that the sandbox does not know", lambda: ec2.describe_volumes())
    fails("InvalidAction", "an action of CloudFormation that the sandbox does not know", lambda: cfn.list_exports())


def cloudwatch_by(protocol, endpoint):
    """A client of CloudWatch that speaks one of its three protocols: the SDKs differ in which they choose."""
    session = botocore.session.get_session()
    loader = session.get_component("data_loader")
    load = loader.load_service_model

    def with_protocol(service, kind, *args, **kwargs):
        model = load(service, kind, *args, **kwargs)
        if service == "cloudwatch" and kind == "service-2":
            model["metadata"].update(protocol=protocol, protocols=[protocol])
        return model

    loader.load_service_model = with_protocol
    return session.create_client("cloudwatch", REGION, endpoint_url=endpoint, config=botocore.config.Config(retries={"max_attempts": 1}))


def alarm_path(watch, protocol):
    """Metrics and alarms, in one of CloudWatch's protocols."""
    job = [{"Name": "Protocol", "Value": protocol}]
    arn = f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:late"
    watch.put_metric_alarm(AlarmName="late", Namespace="Team", MetricName="Late", Dimensions=job, Statistic="Sum", Period=300, EvaluationPeriods=1, Threshold=2,
                           ComparisonOperator="GreaterThanThreshold", AlarmActions=["arn:aws:sns:us-east-1:123456789012:a"], Tags=[{"Key": "team", "Value": "data"}])
    alarm = lambda: watch.describe_alarms(AlarmNames=["late"])["MetricAlarms"][0]
    check(alarm()["StateValue"] == "INSUFFICIENT_DATA", f"an alarm without data, by {protocol}")
    check(alarm()["ActionsEnabled"] and alarm()["Threshold"] == 2 and alarm()["AlarmActions"][0].endswith(":a"), f"the alarm, by {protocol}: {alarm()}")
    check(alarm()["StateUpdatedTimestamp"].year > 2000, "when the alarm changed")
    check(watch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "data"}], f"the alarm's tags, by {protocol}")
    datum = lambda **value: watch.put_metric_data(Namespace="Team", MetricData=[{"MetricName": "Late", "Dimensions": job, **value}])
    datum(Value=1)
    check(alarm()["StateValue"] == "OK", f"an alarm below its threshold, by {protocol}")
    datum(Values=[1.5, 0.5], Counts=[1, 2], Timestamp=alarm()["StateUpdatedTimestamp"])
    check(alarm()["StateValue"] == "ALARM" and "3.5" in watch.describe_alarms(StateValue="ALARM")["MetricAlarms"][0]["StateReason"], f"an alarm above its threshold, by {protocol}")
    fails("InvalidParameterValue", f"metrics in AWS's own namespace, by {protocol}", lambda: watch.put_metric_data(Namespace="AWS/EC2", MetricData=[{"MetricName": "x", "Value": 1}]))
    watch.delete_alarms(AlarmNames=["late"])
    check(not watch.describe_alarms(AlarmNames=["late"])["MetricAlarms"], f"the alarm is gone, by {protocol}")


def account_path(client, endpoint):
    """What an account is made of by the AWS CLI, the CDK and Terraform beside stacks: repositories, tags, schedules that repeat, metrics and alarms."""
    ecr, logs, watch, sqs, scheduler, db, iam, ec2 = (client(s) for s in ("ecr", "logs", "cloudwatch", "sqs", "scheduler", "dynamodb", "iam", "ec2"))
    made = ecr.create_repository(repositoryName="team/etl", tags=[{"Key": "team", "Value": "data"}])["repository"]
    check(made["repositoryUri"].endswith(".dkr.ecr.us-east-1.amazonaws.com/team/etl"), f"the repository: {made}")
    fails("RepositoryAlreadyExistsException", "the same repository again", lambda: ecr.create_repository(repositoryName="team/etl"))
    fails("InvalidParameterException", "a repository's name in capitals", lambda: ecr.create_repository(repositoryName="ETL"))
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []})
    ecr.put_image(repositoryName="team/etl", imageManifest=manifest, imageTag="1")
    fails("ImageAlreadyExistsException", "the same image again", lambda: ecr.put_image(repositoryName="team/etl", imageManifest=manifest, imageTag="1"))
    check(ecr.describe_images(repositoryName="team/etl", imageIds=[{"imageTag": "1"}])["imageDetails"][0]["imageTags"] == ["1"], "the image")
    fails("ImageNotFoundException", "an image that is not there", lambda: ecr.describe_images(repositoryName="team/etl", imageIds=[{"imageTag": "2"}]))
    check(ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [{"Key": "team", "Value": "data"}], "the repository's tags")
    fails("RepositoryNotEmptyException", "deleting a repository with images", lambda: ecr.delete_repository(repositoryName="team/etl"))
    ecr.delete_repository(repositoryName="team/etl", force=True)
    fails("RepositoryNotFoundException", "a repository that is not there", lambda: ecr.describe_repositories(repositoryNames=["team/etl"]))

    logs.create_log_group(logGroupName="/tagged", tags={"team": "data"})
    logs.put_retention_policy(logGroupName="/tagged", retentionInDays=14)
    fails("InvalidParameterException", "a retention of eight days", lambda: logs.put_retention_policy(logGroupName="/tagged", retentionInDays=8))
    group = logs.describe_log_groups(logGroupNamePrefix="/tagged")["logGroups"][0]
    check(group["retentionInDays"] == 14 and logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {"team": "data"}, f"the log group: {group}")
    url = sqs.create_queue(QueueName="tagged", tags={"team": "data"})["QueueUrl"]
    sqs.untag_queue(QueueUrl=url, TagKeys=["team"])
    check("Tags" not in sqs.list_queue_tags(QueueUrl=url), "a queue's tags")
    table = db.create_table(TableName="tagged", BillingMode="PAY_PER_REQUEST", AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}], KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}], Tags=[{"Key": "team", "Value": "data"}])["TableDescription"]["TableArn"]
    check(db.list_tags_of_resource(ResourceArn=table)["Tags"] == [{"Key": "team", "Value": "data"}], "a table's tags")
    db.delete_table(TableName="tagged")

    role = "arn:aws:iam::123456789012:role/timer"
    for expression, bad in (("rate(5 minutes)", False), ("cron(0 3 * * ? *)", False), ("rate(0 minutes)", True), ("cron(0 3 * * * *)", True), ("at(2001-01-01T00:00:00)", True)):
        call = lambda expression=expression: scheduler.create_schedule(Name="often", ScheduleExpression=expression, FlexibleTimeWindow={"Mode": "OFF"}, Target={"Arn": "arn:aws:sqs:us-east-1:123456789012:tagged", "RoleArn": role})
        if bad:
            fails("ValidationException", f"the schedule {expression}", call)
        else:
            call()
            scheduler.delete_schedule(Name="often")

    for protocol in ("smithy-rpc-v2-cbor", "json", "query"):
        alarm_path(cloudwatch_by(protocol, endpoint), protocol)
    state = lambda name: watch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]
    dead = sqs.get_queue_url(QueueName="drawbridge-dead-letters")["QueueUrl"]
    check(state("drawbridge-dead-letters") == "OK", "no dead letter, no alarm")
    sqs.send_message(QueueUrl=dead, MessageBody="{}")
    check(state("drawbridge-dead-letters") == "ALARM", "a dead letter sounds its alarm")
    sqs.purge_queue(QueueUrl=dead)

    check(ec2.describe_prefix_lists()["PrefixLists"] and "NetworkInterfaces" in ec2.describe_network_interfaces(), "prefix lists and interfaces")
    check("Tags" in iam.list_role_tags(RoleName="timer") and "InstanceProfiles" in iam.list_instance_profiles_for_role(RoleName="timer"), "what Terraform reads of a role")


def drawbridge_path(client, advance, endpoint):
    """A job, by the real binaries."""
    lam, sqs = client("lambda"), client("sqs")
    check({f["FunctionName"] for f in lam.list_functions()["Functions"]} >= {"drawbridge-launcher", "drawbridge-reaper"}, "the functions are installed")
    answer = json.load(lam.invoke(FunctionName="drawbridge-launcher", Payload=json.dumps({"job": "hello", "id": "direct"}))["Payload"])
    check(answer["run"] == "hello/direct" and answer["phase"] == "absent" and "expectedStart" in answer, f"the answer of a direct call: {answer}")
    url = sqs.get_queue_url(QueueName="drawbridge-events")["QueueUrl"]
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(i), "MessageBody": json.dumps({"job": "hello", "id": f"queued-{i}"})} for i in range(3)])
    advance(4000)
    ledger = json.load(urllib.request.urlopen(endpoint + "/_sim/ledger"))
    check(len([t for t in ledger["tasks"] if t["started_by"] == "drawbridge/main" and t["exit_code"] == 0 and t["had_endpoints"]]) == 4, "four runs")
    check(all(e["deleted"] for e in ledger["endpoints"] if e["stack"] == "drawbridge-set-main"), "the endpoints are gone")


def aws(endpoint, *args, fail=None):
    p = subprocess.run([os.path.join(os.path.dirname(sys.executable), "aws"), "--endpoint-url", endpoint, "--output", "json", *args], capture_output=True, text=True, env=ENV)
    if fail:
        check(p.returncode != 0 and fail in p.stderr, f"aws {' '.join(args)}: {p.stderr.strip()}, want {fail}")
        return None
    check(p.returncode == 0, f"aws {' '.join(args)}: {p.stderr.strip()}")
    return json.loads(p.stdout) if p.stdout.strip() else None


def change_set_path(client, advance, vpc, subnet, group):
    """Change sets, updates in place and by replacement, protection: sandbox only, moto does not carry updates out."""
    cfn, sqs = client("cloudformation"), client("sqs")
    text = lambda visible, name="changed": json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, "VisibilityTimeout": visible}},
                                                                     "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": vpc}}}})
    fails("ValidationError", "an update of a stack that is not there", lambda: cfn.create_change_set(StackName="cs", ChangeSetName="c0", TemplateBody=text(30)))
    made = cfn.create_change_set(StackName="cs", ChangeSetName="c1", ChangeSetType="CREATE", TemplateBody=text(30))
    check(cfn.describe_stacks(StackName="cs")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS", "a stack in review")
    fails("InvalidChangeSetStatus", "a change set that is not worked out", lambda: cfn.execute_change_set(ChangeSetName=made["Id"]))
    advance(10)
    cfn.get_waiter("change_set_create_complete").wait(ChangeSetName=made["Id"], WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    changes = cfn.describe_change_set(ChangeSetName=made["Id"])["Changes"]
    check([(c["ResourceChange"]["Action"], c["ResourceChange"]["LogicalResourceId"]) for c in changes] == [("Add", "Group"), ("Add", "Queue")], "two additions")
    cfn.execute_change_set(ChangeSetName=made["Id"])
    advance(60)
    cfn.get_waiter("stack_create_complete").wait(StackName="cs", WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    fails("ValidationError", "a second creation", lambda: cfn.create_change_set(StackName="cs", ChangeSetName="c2", ChangeSetType="CREATE", TemplateBody=text(30)))
    cfn.create_change_set(StackName="cs", ChangeSetName="same", TemplateBody=text(30))
    advance(10)
    same = cfn.describe_change_set(StackName="cs", ChangeSetName="same")
    check(same["Status"] == "FAILED" and "didn't contain changes" in same["StatusReason"], "a change set without changes")
    fails("InvalidChangeSetStatus", "a failed change set", lambda: cfn.execute_change_set(StackName="cs", ChangeSetName="same"))
    for name, visible, queue, replacement in (("in-place", 40, "changed", "False"), ("replaced", 40, "renamed", "True")):
        cfn.create_change_set(StackName="cs", ChangeSetName=name, TemplateBody=text(visible, queue))
        advance(10)
        change = cfn.describe_change_set(StackName="cs", ChangeSetName=name)["Changes"][0]["ResourceChange"]
        check((change["Action"], change["Replacement"]) == ("Modify", replacement), f"{name}: {change}")
        cfn.execute_change_set(StackName="cs", ChangeSetName=name)
        advance(60)
        cfn.get_waiter("stack_update_complete").wait(StackName="cs", WaiterConfig={"Delay": 1, "MaxAttempts": 5})
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        check(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["VisibilityTimeout"] == "40", f"{name}: the queue")
    fails("AWS.SimpleQueueService.NonExistentQueue", "the queue that was replaced", lambda: sqs.get_queue_url(QueueName="changed"))
    fails("ChangeSetNotFound", "a change set that is not there", lambda: cfn.describe_change_set(StackName="cs", ChangeSetName="nope"))
    cfn.update_termination_protection(StackName="cs", EnableTerminationProtection=True)
    fails("ValidationError", "deleting a protected stack", lambda: cfn.delete_stack(StackName="cs"))
    cfn.update_termination_protection(StackName="cs", EnableTerminationProtection=False)
    cfn.delete_stack(StackName="cs")
    advance(60)
    fails("ValidationError", "the stack is gone", lambda: cfn.describe_stacks(StackName="cs"))


def elsewhere_path():
    """The paths as they run on any endpoint, on a sandbox with a running clock; and that a real account is not touched unasked."""
    me = [sys.executable, os.path.abspath(__file__), "--endpoint"]
    command = [os.path.join(BUILD, "drawbridge"), "sandbox", "--listen", "127.0.0.1:0", "--speed", "1"]
    with process(command, ready_sandbox, env=dict(ENV, DRAWBRIDGE_SANDBOX_RECORD=REPLIES)) as endpoint:
        p = subprocess.run(me + [endpoint], env=ENV, capture_output=True, text=True)
        check(p.returncode == 0 and "left behind" not in p.stdout, f"the paths on any endpoint: {p.stdout}{p.stderr}")
        ledger = json.load(urllib.request.urlopen(endpoint + "/_sim/ledger"))
        check(ledger["endpoints"] and all(e["deleted"] for e in ledger["endpoints"]), "they leave no endpoint")
    p = subprocess.run(me + ["aws"], env=ENV, capture_output=True, text=True)
    check(p.returncode == 1 and "--yes-this-costs" in p.stderr, f"a real account unasked: {p.stdout}{p.stderr}")


def outside_path():
    """A sandbox outside of the source tree: the command line serves as the functions, a later deployment counts, and a
    running clock that is moved goes through the timers on the way."""
    with tempfile.TemporaryDirectory() as work:
        program, config = os.path.join(work, "drawbridge"), os.path.join(work, "drawbridge.yaml")
        shutil.copy(os.path.join(BUILD, "drawbridge"), program)
        with open(os.path.join(ROOT, "examples/hello/drawbridge.yaml")) as f:
            text = f.read()
        with open(config, "w") as f:
            f.write(text)
        command = [program, "sandbox", "--listen", "127.0.0.1:0", "--speed", "1", "--config", config]
        with process(command, ready_sandbox, env=dict(ENV, DRAWBRIDGE_SANDBOX_RECORD=REPLIES), cwd=work) as endpoint:
            client = clients(endpoint)
            def invoke(job):
                return json.load(client("lambda").invoke(FunctionName="drawbridge-launcher", Payload=json.dumps({"job": job, "id": "outside"}))["Payload"])
            check(invoke("hello").get("run") == "hello/outside", "the command line's own program serves as the launcher")
            check("run" not in invoke("later"), "a job that is not there yet")
            with open(config, "w") as f:
                f.write(text.replace("\n  hello:\n", "\n  later:\n    set: main\n    cluster: hello\n    taskDefinition: hello\n    container: hello\n  hello:\n", 1))
            env = dict(ENV, AWS_ENDPOINT_URL=endpoint, DRAWBRIDGE_CONFIG=config, DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", "arm64"))
            post(endpoint, "/_sim/advance", {"seconds": 2 * 3600})
            p = subprocess.run([program, "deploy", "--yes"], env=env, cwd=work, capture_output=True, text=True)
            check(p.returncode == 0, f"a later deployment: {p.stdout[-1500:]}{p.stderr[-1500:]}")
            check(invoke("later").get("run") == "later/outside", "a later deployment changes what runs")
            sqs, scheduler = client("sqs"), client("scheduler")
            queue = sqs.create_queue(QueueName="ticks")["QueueUrl"]
            trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "scheduler.amazonaws.com"}}]}
            role = client("iam").create_role(RoleName="ticker", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
            at = time.gmtime(post(endpoint, "/_sim/advance", {"seconds": 0})["now"] + 1800)
            scheduler.create_schedule(Name="tick", ScheduleExpression=time.strftime("at(%Y-%m-%dT%H:%M:%S)", at), FlexibleTimeWindow={"Mode": "OFF"},
                                      Target={"Arn": "arn:aws:sqs:us-east-1:123456789012:ticks", "RoleArn": role, "Input": "tick"})
            post(endpoint, "/_sim/advance", {"seconds": 3600})
            check([m["Body"] for m in sqs.receive_message(QueueUrl=queue).get("Messages", [])] == ["tick"], "a running clock that is moved goes through its timers")


def keys_path():
    """A sandbox that was told its keys refuses others, each service in its own way."""
    command = [os.path.join(BUILD, "drawbridge"), "sandbox", "--listen", "127.0.0.1:0", "--speed", "0", "--access-key", "AKIAKNOWN"]
    with process(command, ready_sandbox, env=dict(ENV, DRAWBRIDGE_SANDBOX_RECORD=REPLIES)) as endpoint:
        client = clients(endpoint)
        known = boto3.client("sts", endpoint_url=endpoint, aws_access_key_id="AKIAKNOWN", aws_secret_access_key="secret")
        check(known.get_caller_identity()["Account"] == "123456789012", "a key that the account knows")
        for service, code, call in (("sts", "InvalidClientTokenId", lambda c: c.get_caller_identity()), ("ec2", "AuthFailure", lambda c: c.describe_vpcs()),
                                    ("sqs", "UnrecognizedClientException", lambda c: c.list_queues()), ("lambda", "UnrecognizedClientException", lambda c: c.list_functions()), ("s3", "InvalidAccessKeyId", lambda c: c.list_buckets())):
            fails(code, f"a key that nobody has, to {service}", lambda: call(client(service)))


def handmade_path():
    """An account that was made by the AWS CLI alone: the doctor finds nothing wrong, and a job runs in it."""
    binary = os.path.join(BUILD, "drawbridge")
    command = [binary, "sandbox", "--listen", "127.0.0.1:0", "--speed", "300"]
    host = os.path.join(ROOT, "dist", "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64")
    with tempfile.TemporaryDirectory() as work, process(command, ready_sandbox, env=dict(ENV, DRAWBRIDGE_FUNCTIONS=host, DRAWBRIDGE_SANDBOX_RECORD=REPLIES)) as endpoint:
        run = lambda *args: aws(endpoint, *args)
        vpc = run("ec2", "create-vpc", "--cidr-block", "10.7.0.0/16")["Vpc"]["VpcId"]
        run("ec2", "modify-vpc-attribute", "--vpc-id", vpc, "--enable-dns-hostnames", '{"Value": true}')
        table = run("ec2", "create-route-table", "--vpc-id", vpc)["RouteTable"]["RouteTableId"]
        subnets = []
        for n, zone in enumerate(("us-east-1a", "us-east-1b")):
            subnets.append(run("ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", f"10.7.{n}.0/24", "--availability-zone", zone)["Subnet"]["SubnetId"])
            run("ec2", "associate-route-table", "--route-table-id", table, "--subnet-id", subnets[-1])
        run("ecs", "create-cluster", "--cluster-name", "jobs")
        run("ecr", "create-repository", "--repository-name", "etl", "--image-tag-mutability", "IMMUTABLE")
        run("ecr", "put-image", "--repository-name", "etl", "--image-tag", "1", "--image-manifest", json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}))
        run("logs", "create-log-group", "--log-group-name", "/jobs/etl")
        trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]})
        role = run("iam", "create-role", "--role-name", "etl-execution", "--assume-role-policy-document", trust)["Role"]["Arn"]
        run("iam", "attach-role-policy", "--role-name", "etl-execution", "--policy-arn", "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy")
        container = {"name": "etl", "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/etl:1", "essential": True,
                     "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/jobs/etl", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "etl"}}}
        run("ecs", "register-task-definition", "--family", "etl", "--requires-compatibilities", "FARGATE", "--network-mode", "awsvpc", "--cpu", "256", "--memory", "512",
            "--execution-role-arn", role, "--container-definitions", json.dumps([container]))
        config = os.path.join(work, "drawbridge.yaml")
        env = dict(ENV, AWS_ENDPOINT_URL=endpoint, DRAWBRIDGE_CONFIG=config, DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", "arm64"))
        for args in (f"init --vpc {vpc} --task-definition etl --cluster jobs", "doctor", "deploy --yes", "doctor", "run etl --id first --wait", "destroy --force --yes"):
            p = subprocess.run([binary, *args.split()], env=env, cwd=work, capture_output=True, text=True)
            check(p.returncode == 0 and " failed" not in p.stdout.replace(" 0 failed", ""), f"in an account made by the AWS CLI, drawbridge {args} ended with {p.returncode}: {p.stdout[-3000:]}{p.stderr[-1500:]}")


def cdk_path():
    """An account that was made by the CDK's own CLI: a job runs in it, nothing of it is changed, and the CDK takes it down."""
    binary, modules, app = os.path.join(BUILD, "drawbridge"), os.path.join(ROOT, "tools", "npm", "node_modules"), os.path.join(ROOT, "tools", "conformance", "cdk")
    command = [binary, "sandbox", "--listen", "127.0.0.1:0", "--speed", "300"]
    host = os.path.join(ROOT, "dist", "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64")
    with tempfile.TemporaryDirectory() as work, process(command, ready_sandbox, env=dict(ENV, DRAWBRIDGE_FUNCTIONS=host, DRAWBRIDGE_SANDBOX_RECORD=REPLIES)) as endpoint:
        config = os.path.join(work, "drawbridge.yaml")
        env = dict(ENV, AWS_ENDPOINT_URL=endpoint, NODE_PATH=modules, NODE_OPTIONS="--no-warnings", CI="true", DRAWBRIDGE_CONFIG=config, DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", "arm64"))
        def run(*command, cwd):
            p = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True)
            check(p.returncode == 0 and " failed" not in p.stdout.replace(" 0 failed", ""), f"in an account made by the CDK, {command} ended with {p.returncode}: {p.stdout[-3000:]}{p.stderr[-3000:]}")
        def cdk(*args):
            run(os.path.join(modules, ".bin", "cdk"), "--output", os.path.join(work, "cdk.out"), *args, cwd=app)
        aws(endpoint, "s3api", "create-bucket", "--bucket", "assets")
        cdk("deploy", "--require-approval", "never")
        client = clients(endpoint)
        aws(endpoint, "ecr", "put-image", "--repository-name", "etl", "--image-tag", "1", "--image-manifest", json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}))
        (vpc,) = client("cloudformation").describe_stacks(StackName="Jobs")["Stacks"][0]["Outputs"]
        for args in (f"init --vpc {vpc['OutputValue']} --task-definition etl --cluster jobs", "deploy --yes", "doctor", "run etl --id first --wait", "destroy --force --yes"):
            run(binary, *args.split(), cwd=work)
        check([e["State"] for e in client("ec2").describe_vpc_endpoints(Filters=[{"Name": "service-name", "Values": ["com.amazonaws.us-east-1.ssm"]}])["VpcEndpoints"]] == ["available"], "the CDK's own endpoint was left alone")
        cdk("diff", "--fail")
        cdk("destroy", "--force")
        fails("InvalidVpcID.NotFound", "the CDK's VPC", lambda: client("ec2").describe_vpcs(VpcIds=[vpc["OutputValue"]]))


class Example:
    """One of the examples in a sandbox of its own, where images are built, pushed and run, by the commands of its README."""

    # The clock is slow enough that what has to be answered within a simulated hour is, however busy the machine is; wait moves it.
    def __init__(self, stack, folder, speed, *more):
        self.work = stack.enter_context(tempfile.TemporaryDirectory())
        self.binary, self.modules = os.path.join(BUILD, "drawbridge"), os.path.join(ROOT, "tools", "npm", "node_modules")
        machine = "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64"
        shutil.copytree(os.path.join(ROOT, "examples"), os.path.join(self.work, "examples"), ignore=shutil.ignore_patterns("node_modules", "out", "cdk.*.json", "cdk.out", "drawbridge.deployed.yaml"))
        self.app, self.service = os.path.join(self.work, "examples", folder), os.path.join(self.work, "examples", "service")
        subprocess.run(["go", "build", "-o", self.work, "./tools/docker"], cwd=ROOT, check=True)
        # The images are for this machine here, which runs what is in them.
        self.env = dict(ENV, CI="true", NODE_OPTIONS="--no-warnings", TMPDIR=self.work, HOME=os.environ.get("HOME", self.work), DRAWBRIDGE_CONFIG=os.path.join(self.app, "drawbridge.deployed.yaml"),
                        DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", "arm64"), PATH=os.pathsep.join([self.work, BUILD, os.path.join(ROOT, "tools", "venv", "bin"), os.path.join(self.modules, ".bin"), os.environ["PATH"]]))
        command = [self.binary, "sandbox", "--listen", "127.0.0.1:0", "--speed", speed, "--run-code", "--repository", "example/service=" + self.service, *more]
        self.endpoint = stack.enter_context(process(command, ready_sandbox, env=dict(self.env, DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", machine), DRAWBRIDGE_SANDBOX_RECORD=REPLIES)))
        self.env["AWS_ENDPOINT_URL"], self.client = self.endpoint, clients(self.endpoint)
        with open(os.path.join(self.app, "README.md")) as f:
            self.page = f.read()
        self.swap = {"amd64": machine, "npm install\n": "", "npx cdk bootstrap\n": ""}  # the packages are there, and a bucket for assets

    def run(self, *command, **more):
        p = subprocess.run(command, env={**self.env, **more}, cwd=self.app, capture_output=True, text=True, timeout=600)
        check(p.returncode == 0, f"{self.app}: {command} ended with {p.returncode}: {p.stdout[-3000:]}{p.stderr[-3000:]}")
        return p.stdout

    def follow(self, heading, **swap):
        """Runs the commands under a heading of the README."""
        (part,) = [part for part in self.page.split("\n## ") if part.startswith(heading + "\n")]
        commands = "\n".join(part.split("```")[1::2])
        check(commands.strip(), f"no commands under {heading}")
        for old, new in {**self.swap, **swap}.items():
            commands = commands.replace(old, new)
        out = self.run("sh", "-euc", commands + "\nenv -0 >" + os.path.join(self.work, "env"))
        with open(os.path.join(self.work, "env")) as f:
            self.env.update({k: v for k, _, v in (line.partition("=") for line in f.read().split("\0")) if k in ("AWS_REGION", "ACCOUNT", "REGISTRY", "CONNECTION")})
        return out

    def advance(self, seconds):
        post(self.endpoint, "/_sim/advance", {"seconds": seconds})

    def wait(self, look, step=10, rounds=300):
        """Lets simulated time pass until look returns something."""
        for _ in range(rounds):
            found = look()
            if found:
                return found
            self.advance(step)
        check(False, f"{self.app}: nothing came of {look} at line {look.__code__.co_firstlineno} in {step * rounds} s; drawbridge status: {self.run('drawbridge', 'status')}")

    def somebody(self, policy):
        """Credentials of somebody whose role has a policy of the example, and that alone, as environment variables."""
        iam, sts = self.client("iam"), self.client("sts")
        account = sts.get_caller_identity()["Account"]
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}]}
        role = iam.create_role(RoleName=policy, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        iam.attach_role_policy(RoleName=policy, PolicyArn=f"arn:aws:iam::{account}:policy/{policy}")
        keys = sts.assume_role(RoleArn=role, RoleSessionName="somebody")["Credentials"]
        return {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"], "AWS_SESSION_TOKEN": keys["SessionToken"]}

    def handshake(self):
        """What a user does in the console, once, for a connection to a git host."""
        arn = self.client("codeconnections").create_connection(ConnectionName="git", ProviderType="GitHub")["ConnectionArn"]
        post(self.endpoint, "/_sim/handshake", {"connection": arn})
        return arn

    def executed(self, pipeline):
        """The latest execution of a pipeline, once it has ended, with the actions that failed."""
        client = self.client("codepipeline")
        def look():
            newest = client.list_pipeline_executions(pipelineName=pipeline)["pipelineExecutionSummaries"][0]
            return newest["status"] not in ("InProgress", "Stopping") and newest
        e = self.wait(look)
        failed = [(a["actionName"], a["output"]["executionResult"].get("errorDetails")) for a in client.list_action_executions(pipelineName=pipeline, filter={"pipelineExecutionId": e["pipelineExecutionId"]})["actionExecutionDetails"] if a["status"] == "Failed"]
        return e["status"], failed

    def endpoints_go(self, times):
        """The endpoints go, and each was up for the hours of something in times, which are pairs of beginning and end: it comes
        meanwhile, and goes in the hour of the end, of which Drawbridge may hear a little later."""
        late = 600
        def last(ended):
            return (ended + late) // 3600 * 3600 + 3600 + late
        self.wait(lambda: not self.client("ec2").describe_vpc_endpoints(Filters=[{"Name": "vpc-endpoint-type", "Values": ["Interface"]}])["VpcEndpoints"], 60, 120)
        ledger = json.load(urllib.request.urlopen(self.endpoint + "/_sim/ledger"))
        for e in [e for e in ledger["endpoints"] if e["type"] == "interface"]:
            check(any(began <= e["created"] <= ended for began, ended in times) and e["deleted"] <= max(last(ended) for began, ended in times if began <= e["deleted"]), f"endpoint {e} was up for the hours of deployments alone: {times}")

    def costs(self):
        """The page's cost a month is what estimate says."""
        (estimate,) = [line.split() for line in self.page.splitlines() if line.startswith("drawbridge estimate ")]
        said = json.loads(self.run(*estimate, "--output", "json"))
        month = {o["option"]: o["usdPerMonth"] for o in said["options"]}
        check(f"{said['ownUsdPerMonth']['cloudWatchWithoutFreeTier']:.2f} more" in self.page, f"the page's cost of CloudWatch: {said['ownUsdPerMonth']}")
        check(all(f"{month[option]:.2f}" in self.page for option in ("Drawbridge", "endpoints, always on")), f"the page's cost a month: {month}")


class BlueGreen(Example):
    def __init__(self, stack):
        super().__init__(stack, "blue-green", "40")
        os.symlink(self.modules, os.path.join(self.app, "node_modules"))
        self.swap.update({"--force\n": "--force --yes\n", "cdk destroy": "cdk destroy --force"})  # nobody is there to confirm
        (s3,) = self.client("ec2").describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}])["PrefixLists"]
        with open(os.path.join(self.app, "cdk.context.json"), "w") as f:
            json.dump({"account": "123456789012", "region": "us-east-1", "assets": "assets", "s3PrefixList": s3["PrefixListId"], "availability-zones:account=123456789012:region=us-east-1": ["us-east-1a", "us-east-1b"]}, f)
        aws(self.endpoint, "s3api", "create-bucket", "--bucket", "assets")

    def production(self):
        """The weights of the production traffic, by target group."""
        (arn,) = [o["OutputValue"] for o in self.client("cloudformation").describe_stacks(StackName="WebNetwork")["Stacks"][0]["Outputs"] if o["OutputKey"] == "Shifted"]
        elb = self.client("elbv2")
        (action,) = elb.describe_rules(RuleArns=[arn])["Rules"][0]["Actions"] if ":listener-rule/" in arn else elb.describe_listeners(ListenerArns=[arn])["Listeners"][0]["DefaultActions"]
        return sorted((g["TargetGroupArn"].split("/")[1], g["Weight"]) for g in action["ForwardConfig"]["TargetGroups"] if g["Weight"])

    def reset(self, group):
        """Sends the production traffic to a target group, as an update of the stack that has the rule does."""
        elb = self.client("elbv2")
        (arn,) = [o["OutputValue"] for o in self.client("cloudformation").describe_stacks(StackName="WebNetwork")["Stacks"][0]["Outputs"] if o["OutputKey"] == "Shifted"]
        (target,) = elb.describe_target_groups(Names=[group])["TargetGroups"]
        elb.modify_rule(RuleArn=arn, Actions=[{"Type": "forward", "TargetGroupArn": target["TargetGroupArn"]}])

    def lints(self):
        templates = sorted(glob.glob(os.path.join(self.app, "cdk.out", "*.template.json")))
        self.run("cfn-lint", "--non-zero-exit-code", "informational", "--regions", "us-east-1", "--", *templates)
        self.run(sys.executable, "-W", "ignore", os.path.join(ROOT, "tools", "conformance", "templates.py"), os.path.join(ROOT, "tools", "checkov-venv", "bin", "checkov"), *templates)


def blue_green_path():
    """examples/blue-green, as its README says: a good deployment goes through, and a bad one is rolled back at its hook."""
    with contextlib.ExitStack() as stack:
        x = BlueGreen(stack)
        ecs = x.client("ecs")
        def newest():
            d = ecs.list_service_deployments(cluster="web", service="web")["serviceDeployments"][0]
            return d["status"] not in ("PENDING", "IN_PROGRESS", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS") and d["status"]
        x.follow("Bring it up")
        before = x.production()
        x.follow("Deploy")
        check(x.wait(newest) == "SUCCESSFUL", "a deployment whose tasks answer well goes through")
        after = x.production()
        check(before != after and len(after) == 1, f"the production traffic before {before}, after {after}")
        definition = ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]
        definition = {k: definition[k] for k in ("family", "containerDefinitions", "networkMode", "requiresCompatibilities", "cpu", "memory", "executionRoleArn", "taskRoleArn") if k in definition}
        check(definition["containerDefinitions"][0]["image"].endswith("/web:2"), f"the revision deployed: {definition}")
        definition["containerDefinitions"][0]["environment"] = [{"name": "FAIL_EVERY", "value": "2"}]
        ecs.register_task_definition(**definition)
        ecs.update_service(cluster="web", service="web", taskDefinition="web")
        ended = x.wait(newest)
        check(ended == "ROLLBACK_SUCCESSFUL", f"a deployment that fails half of its requests is rolled back, not {ended}: {x.run('drawbridge', 'status')}")
        check(x.production() == after, f"the production traffic after a roll-back: {x.production()}, before: {after}")
        shown = x.run("drawbridge", "status")
        check("failed at POST_TEST_TRAFFIC_SHIFT" in shown and ("500" in shown or "exit code 1" in shown), f"drawbridge status says what was wrong: {shown}")
        moved = "Traffic of web moved without a deployment"
        check(moved not in shown, f"no traffic is moved but by deployments: {shown}")
        ((kept, _),) = after
        idle = {"web-blue": "web-green", "web-green": "web-blue"}[kept]
        x.reset(idle)
        shown = x.wait(lambda: next((s for s in [x.run("drawbridge", "status")] if moved in s), None), 30, 20)
        check(f"{idle} has no healthy target" in shown and f"left it at {kept}" in shown, f"drawbridge status says what moved the traffic: {shown}")
        x.reset(kept)
        x.wait(lambda: moved not in x.run("drawbridge", "status"), 30, 20)
        deployed = [ecs.describe_service_deployments(serviceDeploymentArns=[d["serviceDeploymentArn"]])["serviceDeployments"][0] for d in ecs.list_service_deployments(cluster="web", service="web")["serviceDeployments"]]
        x.endpoints_go([(d["createdAt"].timestamp(), d["finishedAt"].timestamp()) for d in deployed])
        x.lints()
        x.costs()
        x.follow("Remove it")


def code_deploy_path():
    """examples/blue-green with CodeDeploy and a pipeline: a push is built and deployed, and a bad one is rolled back at its hook."""
    with contextlib.ExitStack() as stack:
        x = BlueGreen(stack)
        x.env.update(CONNECTION=x.handshake(), SOURCE="example/service", CONTROLLER="CODE_DEPLOY")
        now = lambda: post(x.endpoint, "/_sim/advance", {"seconds": 0})["now"]
        began = now()
        x.follow("Bring it up")
        held = (began, now())  # by the script itself, for the first tasks
        status, failed = x.executed("web")
        check((status, failed) == ("Succeeded", []), f"the pipeline's first execution: {status}, {failed}")
        after = x.production()
        check(after == [("web-green", 100)], f"the production traffic after the first deployment: {after}")
        (primary,) = [t for t in x.client("ecs").describe_services(cluster="web", services=["web"])["services"][0]["taskSets"] if t["status"] == "PRIMARY"]
        image = x.client("ecs").describe_task_definition(taskDefinition=primary["taskDefinition"])["taskDefinition"]["containerDefinitions"][0]["image"]
        check(image.split("/")[1].startswith("web:") and not image.endswith(":1"), f"the image deployed: {image}")
        with open(os.path.join(x.service, "Dockerfile"), "a") as f:
            f.write("ENV FAIL_EVERY=2\n")
        x.follow("With CodeDeploy and a pipeline")
        status, failed = x.executed("web")
        check(status == "Failed" and [name for name, _ in failed] == ["Deploy"], f"the pipeline with a bad revision: {status}, {failed}")
        deploy = x.client("codedeploy")
        def deployments():
            found = [deploy.get_deployment(deploymentId=d)["deploymentInfo"] for d in deploy.list_deployments(applicationName="web", deploymentGroupName="web")["deployments"]]
            return all("completeTime" in d for d in found) and found
        deployed = x.wait(deployments)
        check(x.production() == after, f"the production traffic after a roll-back: {x.production()}, before: {after}")
        check(sorted(d["status"] for d in deployed) == ["Failed", "Succeeded", "Succeeded"] and deployed[0]["creator"] == "codeDeployRollback", f"deployments: {[(d['creator'], d['status']) for d in deployed]}")
        runs = x.client("codepipeline").list_pipeline_executions(pipelineName="web")["pipelineExecutionSummaries"]
        x.endpoints_go([(e["startTime"].timestamp(), e["lastUpdateTime"].timestamp()) for e in runs] + [held])
        x.lints()
        x.follow("Remove it")


def pipeline_path():
    """examples/pipeline, as its README says: built in the VPC, approved, executed, with its secret nowhere but where it is read."""
    secret, token = "a-greeting-that-nobody-else-sees", "a-token-of-the-build-alone"
    with contextlib.ExitStack() as stack:
        templates = os.path.join(ROOT, "examples", "pipeline", "infrastructure")
        infrastructure = stack.enter_context(tempfile.TemporaryDirectory())
        shutil.copytree(templates, infrastructure, dirs_exist_ok=True)
        x = Example(stack, "pipeline", "20", "--repository", "example/infrastructure=" + infrastructure)
        x.env.update(CONNECTION=x.handshake(), APPLICATION="example/service", INFRASTRUCTURE="example/infrastructure")
        with open(os.path.join(x.work, "secret"), "w") as f:
            f.write(f"{secret}\n{token}\n")
        x.swap.update({"\n./deploy.sh": "\n./deploy.sh <" + f.name})
        # The CLI looks every half minute; here that is half an hour.
        x.swap.update({"aws cloudformation wait stack-delete-complete --stack-name ": "gone() { while status=$(aws cloudformation describe-stacks --stack-name $1 --query Stacks[0].StackStatus --output text 2>/dev/null); do [ $status = DELETE_IN_PROGRESS ]; sleep 1; done; }; gone "})
        x.follow("Bring it up")
        pipeline, cloudformation = x.client("codepipeline"), x.client("cloudformation")
        def stage(name):
            (found,) = [s for s in pipeline.get_pipeline_state(name="hello")["stageStates"] if s["stageName"] == name]
            return found
        def approval():
            state = pipeline.list_pipeline_executions(pipelineName="hello")["pipelineExecutionSummaries"][0]
            if state["status"] != "InProgress":
                check(False, f"the execution ended {x.executed('hello')}")
            return stage("Approve")["actionStates"][0].get("latestExecution", {}).get("status") == "InProgress"
        x.wait(approval)
        developer, operator = x.somebody("hello-developers"), x.somebody("hello-operators")
        read = ("aws", "codepipeline", "get-pipeline-state", "--name", "hello", "--query", "stageStates[?stageName=='Approve'].actionStates[0].latestExecution.token", "--output", "text")
        token_of_approval = x.run(*read, **developer).strip()
        for what, who, command in (
            ("a developer approves", developer, f"codepipeline put-approval-result --pipeline-name hello --stage-name Approve --action-name Operators --token {token_of_approval} --result summary=mine,status=Approved"),
            ("a developer reads the token of the build", developer, "ssm get-parameter --name /hello/build/token --with-decryption"),
            ("a developer reads the operators' change set", developer, "cloudformation describe-stacks --stack-name hello-cluster"),
            ("a developer stops an execution", developer, f"codepipeline stop-pipeline-execution --pipeline-name hello --pipeline-execution-id 11111111-2222-3333-4444-555555555555"),
            ("an operator reads the token of the build", operator, "ssm get-parameter --name /hello/build/token --with-decryption"),
            ("an operator executes a change set past the approval", operator, "cloudformation execute-change-set --stack-name hello-cluster --change-set-name any"),
        ):
            p = subprocess.run(["aws", *command.split()], env={**x.env, **who}, capture_output=True, text=True)
            check(p.returncode != 0 and "AccessDenied" in p.stderr and "not authorized to perform" in p.stderr, f"{what}: {p.returncode}, {p.stdout}{p.stderr}, want it denied")
        before, x.env = x.env, {**x.env, **operator}
        changes = x.follow("Approve")
        x.env = before
        check("AWS::AutoScaling::AutoScalingGroup" in changes and "AWS::ECS::Service" in changes, f"both change sets are shown before they are executed: {changes}")
        status, failed = x.executed("hello")
        check((status, failed) == ("Succeeded", []), f"the pipeline's first execution: {status}, {failed}")
        address = [o["OutputValue"] for o in cloudformation.describe_stacks(StackName="hello-network")["Stacks"][0]["Outputs"] if o["OutputKey"] == "Address"][0]
        browser = urllib.request.build_opener(urllib.request.ProxyHandler({"http": x.endpoint}))
        answer = browser.open(address).read().decode()
        check(answer.strip() == "hello, with a secret: true", f"the service answers {answer!r}")
        (service,) = x.client("ecs").describe_services(cluster="hello", services=["hello"])["services"]
        check((service["launchType"], service["runningCount"]) == ("EC2", 2), f"the service: {service}")
        def serving():
            """The targets that stay: those that leave are shown until their requests have had their time."""
            (b,) = service["loadBalancers"]
            found = x.client("elbv2").describe_target_health(TargetGroupArn=b["targetGroupArn"])["TargetHealthDescriptions"]
            return [t for t in found if t["TargetHealth"]["State"] != "draining"]
        targets = serving()
        check(len({t["Target"]["Id"] for t in targets}) == 2 and all(t["Target"]["Port"] >= 32768 for t in targets), f"on two instances, at ports of their own: {targets}")
        # The secret is in no layer, no configuration, no manifest, no log, no template and no pipeline.
        password = x.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
        def registry(path):
            return urllib.request.urlopen(urllib.request.Request(x.endpoint + "/v2/hello/" + path, headers={"Authorization": "Basic " + password})).read()
        (image,) = x.client("ecr").describe_images(repositoryName="hello")["imageDetails"]
        manifest = json.loads(registry("manifests/" + image["imageDigest"]))
        parts = [registry("blobs/" + p["digest"]) for p in [manifest["config"], *manifest["layers"]]]
        parts += [gzip.decompress(p) for p in parts if p[:2] == b"\x1f\x8b"]
        check(len(parts) > 2 and any(b"hello, with a secret" in p for p in parts) and not any(s.encode() in p for p in parts for s in (secret, token)), "the image has its program, and no secret")
        logs = x.client("logs")
        said = [e["message"] for g in ("/hello/build", "/hello/service") for e in logs.filter_log_events(logGroupName=g)["events"]]
        check(any("ok" in m for m in said) and any("listening" in m for m in said) and not any(s in m for m in said for s in (secret, token)), f"the logs: {said}")
        shown = (json.dumps(pipeline.get_pipeline(name="hello"), default=str) + json.dumps(x.client("codebuild").batch_get_projects(names=["hello"]), default=str))
        check(secret not in shown and token not in shown, "the pipeline and its project name the secrets alone")
        # Pull requests: what is wrong is said before the merge.
        builds = x.client("codebuild")
        def checked():
            (b,) = builds.batch_get_builds(ids=[builds.start_build(projectName="hello-checks", sourceVersion="pr/1")["build"]["id"]])["builds"]
            return x.wait(lambda: builds.batch_get_builds(ids=[b["id"]])["builds"][0]["buildStatus"].replace("IN_PROGRESS", ""))
        check(checked() == "SUCCEEDED", f"the operators' repository is checked: {[e['message'] for e in logs.filter_log_events(logGroupName='/hello/build')['events']][-20:]}")
        with open(os.path.join(infrastructure, "application.yaml")) as f:
            text = f.read()
        with open(os.path.join(infrastructure, "application.yaml"), "w") as f:
            f.write(text.replace("Image:", "Picture:", 1).replace("!Ref Image", "!Ref Picture"))
        check(checked() == "FAILED" and any("application.yaml has no parameter Image" in e["message"] for e in logs.filter_log_events(logGroupName="/hello/build")["events"]), "an override that the template does not have is found before the merge")
        with open(os.path.join(infrastructure, "application.yaml"), "w") as f:
            f.write(text)
        # A new machine image rolls through the instances, one after the other, while the service answers.
        with open(os.path.join(infrastructure, "cluster.yaml")) as f:
            text = f.read()
        with open(os.path.join(infrastructure, "cluster.yaml"), "w") as f:
            f.write(text.replace("Default: t3.small", "Default: t3.medium"))
        before = {t["Target"]["Id"] for t in targets}
        x.follow("Deploy")
        x.wait(approval)
        x.follow("Approve")
        status, failed = x.executed("hello")
        check((status, failed) == ("Succeeded", []), f"an execution that changes the instances: {status}, {failed}")
        targets = serving()
        check(len(targets) == 2 and not before & {t["Target"]["Id"] for t in targets}, f"both instances are new: {targets}, before {before}")
        check(browser.open(address).status == 200, "the service answers after its instances were replaced")
        runs = pipeline.list_pipeline_executions(pipelineName="hello")["pipelineExecutionSummaries"]
        x.endpoints_go([(e["startTime"].timestamp(), e["lastUpdateTime"].timestamp()) for e in runs])
        check(browser.open(address).status == 200, "the service answers without the endpoints")
        x.costs()
        x.follow("Remove it")


def quickstart_path():
    """The commands of docs/quickstart.md by the AWS CLI, on the sandbox that the page starts."""
    with open(os.path.join(ROOT, "docs", "quickstart.md")) as f:
        page = f.read()
    with contextlib.ExitStack() as stack:
        command = [os.path.join(BUILD, "drawbridge"), "sandbox", "--listen", "127.0.0.1:0", "--config", "examples/hello/drawbridge.yaml", "--speed", "60"]
        endpoint = stack.enter_context(process(command, ready_sandbox, cwd=ROOT, env=dict(ENV, DRAWBRIDGE_SANDBOX_RECORD=REPLIES)))
        (part,) = [part for part in page.split("\n## ") if part.startswith("By the AWS CLI\n")]
        exports = "".join(line.replace("http://127.0.0.1:4577", endpoint) + "\n" for line in page.splitlines() if line.startswith("export AWS_"))
        check(endpoint in exports, f"docs/quickstart.md exports {exports}")
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])

        def shell(line):
            env = {k: v for k, v in ENV.items() if not k.startswith("AWS_") or k.endswith("_FILE")}
            return subprocess.run(["sh", "-euc", exports + line], cwd=ROOT, env=dict(env, PATH=path), capture_output=True, text=True)

        for line, shows in zip(part.split("```")[1].strip().splitlines(), ['"MessageId"', '"FailedEntryCount": 0', '"StackStatus"'], strict=True):
            for _ in range(60):  # the stack is there once the launcher has the event
                p = shell(line)
                if p.returncode == 0:
                    break
            check(shows in p.stdout, f"{line} shows {p.stdout}{p.stderr}, want {shows}")


def install_path():
    """The ways to install of docs/install.md, by the AWS CLI, in an account that Drawbridge was removed from."""
    with open(os.path.join(ROOT, "docs", "install.md")) as f:
        page = f.read()
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory())
        machine = "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64"
        config = os.path.join(work, "drawbridge.yaml")
        shutil.copy(os.path.join(ROOT, "examples", "hello", "drawbridge.yaml"), config)
        env = dict(ENV, DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", machine))
        command = [os.path.join(BUILD, "drawbridge"), "sandbox", "--listen", "127.0.0.1:0", "--config", config, "--speed", "60"]
        endpoint = stack.enter_context(process(command, ready_sandbox, env=dict(env, DRAWBRIDGE_SANDBOX_RECORD=REPLIES)))
        env.update(AWS_ENDPOINT_URL=endpoint, DRAWBRIDGE_CONFIG=config, BUCKET="code-of-ours", PATH=os.pathsep.join([BUILD, os.path.dirname(sys.executable), os.environ["PATH"]]))

        def shell(commands, fail=None):
            p = subprocess.run(["sh", "-euc", commands], cwd=work, env=env, capture_output=True, text=True, timeout=600)
            check(p.returncode != 0 and fail in p.stderr if fail else p.returncode == 0, f"{commands}: {p.returncode} {p.stdout}{p.stderr}")
            return p.stdout + p.stderr

        def way(heading):
            (part,) = [part for part in page.split("\n## ") if part.startswith(heading + "\n")]
            return shell("\n".join(part.split("```")[1::2]))

        shell("drawbridge destroy --force --yes")
        check("absent" in way("With CloudFormation alone"), "the stack that the AWS CLI made is an installation")
        changed = json.loads(shell("drawbridge plan -o json 2>/dev/null"))["changes"]
        check({c["id"] for c in changed} == {"Launcher", "Reaper"} and all(c["properties"] == ["Code"] for c in changed), f"deploy changes where the code is alone: {changed}")
        shell("drawbridge deploy --yes && drawbridge run hello --id taken-over --wait && drawbridge destroy --force --yes")
        with open(config) as f:
            text = f.read()
        with open(config, "w") as f:
            f.write(text.replace("    subnets:", "    endpointSecurityGroups: [sg-0a1b2c3d4e5f60001]\n    subnets:", 1))
        way("With roles from somebody else")
        shell("drawbridge run hello --id apart --wait")
        kinds = shell("aws cloudformation list-stack-resources --stack-name drawbridge --query 'StackResourceSummaries[].ResourceType' --output text")
        check("AWS::IAM" not in kinds and "AWS::Lambda::Function" in kinds, f"the base stack holds no role: {kinds}")
        with open(config, "a") as f:
            f.write("  second: {set: main, cluster: other, taskDefinition: hello, securityGroups: [sg-0a1b2c3d4e5f60001]}\n")
        shell("drawbridge deploy --yes --force", fail="are those of another configuration")


def image_path():
    """The mirror's image as make image writes it: pushed by the command line, run as the task, from a server and a bundle to CodeCommit."""
    image = os.path.join(BUILD, "drawbridge-mirror_dev.oci.tar")
    machine = "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64"
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory())
        # What it is made of: two architectures, small, a user without rights, and every program that a run starts.
        layout, root = os.path.join(work, "layout"), os.path.join(work, "root")
        blob = lambda of: os.path.join(layout, "blobs", *of["digest"].split(":"))
        def read(path):
            with open(path) as f:
                return json.load(f)
        with tarfile.open(image) as f:
            f.extractall(layout, filter="data")
        (index,) = read(os.path.join(layout, "index.json"))["manifests"]
        for m in read(blob(index))["manifests"]:
            arch, manifest = m["platform"]["architecture"], read(blob(m))
            conf = read(blob(manifest["config"]))
            check(conf["architecture"] == arch and conf["config"]["User"] == "10001:10001" and conf["config"]["Entrypoint"] == ["/usr/local/bin/mirror"], f"the image's configuration: {conf}")
            size = 0
            for layer in manifest["layers"]:
                with gzip.open(blob(layer)) as f:
                    size += len(f.read())
                with tarfile.open(blob(layer)) as f:
                    files = f.getmembers()
                    check(not [m.name for m in files if m.isfile() and m.mode & 0o6000 or m.isdev()], "the image holds no set-user-ID program and no device")
                    check(not [m.name for m in files if m.isdir() and m.mode & 0o5 != 0o5 and os.path.basename(m.name) not in ("root", "private", "partial")], "its user may enter the image's folders")
                    check(not [m.name for m in files if m.isfile() and (m.name.startswith("./etc/ssl/") or "/lib/" in m.name or "/bin/" in m.name) and not m.name.startswith("./var/") and not m.mode & 0o4], "its user may read what runs")
                    check(not {"./etc/hostname", "./etc/resolv.conf"} & {m.name for m in files}, "nothing is of the machine that built it")
                    if arch == machine:
                        f.extractall(root, filter="tar")
            check(size < 120 << 20, f"the image for {arch} has {size} bytes unpacked")
        check({m["platform"]["architecture"] for m in read(blob(index))["manifests"]} == {"amd64", "arm64"}, "the image's architectures")
        inside = ["bwrap", "--ro-bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--unshare-user", "--uid", "10001", "--gid", "10001", "--clearenv", "--"]
        for command, said in (("git version", "git version 2."), ("ssh -G a.example", "hostname a.example"), ("cd /tmp; : >a; sort a | cmp - a && true && echo same", "same"),
                              ("/usr/lib/git-core/git-remote-https x 2>&1 || true", "x"), (". /etc/os-release; echo $ID $VERSION_ID", "debian 12"), ("/usr/local/bin/mirror --help 2>&1 || true", "credential")):
            p = subprocess.run([*inside, "/bin/sh", "-c", command], capture_output=True, text=True)
            check(said in p.stdout, f"in the image {command} says {p.stdout}{p.stderr}, want {said}")
        with open(os.path.join(root, "var/lib/dpkg/status")) as f:
            check({"git", "openssh-client", "libc6"} <= {line.split()[1] for line in f if line.startswith("Package: ")}, "a scanner finds the packages")

        repositories = os.path.join(work, "served")
        git("init", "-q", "--bare", "--initial-branch=main", os.path.join(repositories, "app.git"))
        git("init", "-q", "--initial-branch=main", os.path.join(work, "app"))
        git("commit", "-q", "--allow-empty", "-m", "one", cwd=os.path.join(work, "app"))
        git("push", "-q", os.path.join(repositories, "app.git"), "main", cwd=os.path.join(work, "app"))
        git("bundle", "create", "-q", os.path.join(work, "x.bundle"), "--all", cwd=os.path.join(work, "app"))
        subprocess.run(["go", "build", "-o", work, "./tools/gitserve"], cwd=ROOT, check=True)
        source = stack.enter_context(process([os.path.join(work, "gitserve"), repositories], lambda p: p.stdout.readline().strip()))
        config = os.path.join(work, "drawbridge.yaml")
        with open(config, "w") as f:
            f.write("""ecsCluster: drawbridge
sets:
  main: {subnets: [subnet-0a1b2c3d4e5f60001], services: auto}
mirror:
  set: main
  sourceNetworks: [10.20.0.0/24]
  repositories:
    app: {source: {url: "%s/app.git"}, target: {codecommit: app, create: true}}
    inbox: {source: {bundle: "s3://drawbridge-mirror-123456789012-us-east-1/inbox/x.bundle"}, target: {codecommit: inbox, create: true}}
""" % source)
        env = dict(ENV, DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", machine), DRAWBRIDGE_SANDBOX_RECORD=REPLIES)
        command = [os.path.join(BUILD, "drawbridge"), "sandbox", "--listen", "127.0.0.1:0", "--config", config, "--speed", "60", "--run-code"]
        endpoint = stack.enter_context(process(command, ready_sandbox, env=env))
        env.update(AWS_ENDPOINT_URL=endpoint, DRAWBRIDGE_CONFIG=config)

        def drawbridge(*args, fail=None):
            p = subprocess.run([os.path.join(BUILD, "drawbridge"), *args], cwd=work, env=env, capture_output=True, text=True, timeout=600)
            check(p.returncode != 0 and fail in p.stderr if fail else p.returncode == 0, f"drawbridge {' '.join(args)}: {p.returncode} {p.stdout}{p.stderr}")
            return p.stdout + p.stderr

        drawbridge("mirror", "push-image", os.path.join(work, "x.bundle"), fail="holds no image")
        check("Would push " + index["digest"] in drawbridge("mirror", "push-image", image, "--dry-run"), "what is pushed is told before")
        check(f"Pushed {index['digest']} to repository drawbridge-mirror with the tag dev" in drawbridge("mirror", "push-image", image), "the image is pushed")
        check("already" in drawbridge("mirror", "push-image", image), "pushed again it is there already")
        drawbridge("deploy", "--yes")
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x").upload_file(
            os.path.join(work, "x.bundle"), "drawbridge-mirror-123456789012-us-east-1", "inbox/x.bundle")
        drawbridge("run", "mirror", "--id", "in-its-image", "--wait")
        logged = drawbridge("logs", "mirror/in-its-image")
        head = git("rev-parse", "HEAD", cwd=os.path.join(work, "app"))
        for name in ("app", "inbox"):
            url = f"{endpoint}/v1/repos/{name}"
            ours = ["-c", "credential.helper=", "-c", f"credential.helper=!{os.path.join(BUILD, 'mirror')} credential codecommit", "-c", "credential.UseHttpPath=true"]
            check(f"{head}\trefs/heads/main" in git(*ours, "ls-remote", url, AWS_ENDPOINT_URL=endpoint), f"the replica of {name} holds what was pushed: {logged}")


def construct_path():
    """The package for the AWS CDK: its own tests, and the app of docs/install.md deployed by the CDK's CLI and taken over."""
    with open(os.path.join(ROOT, "docs", "install.md")) as f:
        (app,) = re.findall(r"```ts\n(.*?)```", f.read(), re.DOTALL)
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory())
        machine = "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64"
        config, modules, npm = os.path.join(work, "drawbridge.yaml"), os.path.join(work, "node_modules"), os.path.join(ROOT, "tools", "npm", "node_modules")
        shutil.copy(os.path.join(ROOT, "examples", "hello", "drawbridge.yaml"), config)
        os.mkdir(modules)
        for name in ("aws-cdk-lib", "constructs", "@types", "undici-types"):
            os.symlink(os.path.join(npm, name), os.path.join(modules, name))
        with tarfile.open(os.path.join(BUILD, "drawbridge-cdk-0.0.0.tgz")) as f:
            f.extractall(work, filter="data")
        os.rename(os.path.join(work, "package"), os.path.join(modules, "drawbridge-cdk"))
        # The CDK's own bootstrap stack is not there: whoever deploys uploads.
        with open(os.path.join(work, "app.ts"), "w") as f:
            f.write('import { CliCredentialsStackSynthesizer } from "aws-cdk-lib";\n' + app.replace(
                "new App()", 'new App({ defaultStackSynthesizer: new CliCredentialsStackSynthesizer({ fileAssetsBucketName: "assets", bucketPrefix: "" }) })'))
        env = dict(ENV, DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", machine))
        command = [os.path.join(BUILD, "drawbridge"), "sandbox", "--listen", "127.0.0.1:0", "--config", config, "--no-install", "--speed", "60"]
        endpoint = stack.enter_context(process(command, ready_sandbox, env=dict(env, DRAWBRIDGE_SANDBOX_RECORD=REPLIES)))
        env.update(AWS_ENDPOINT_URL=endpoint, AWS_REGION="us-east-1", NODE_OPTIONS="--no-warnings", CI="true", PATH=os.pathsep.join([BUILD, os.environ["PATH"]]))

        def run(*command, cwd=work):
            p = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600)
            check(p.returncode == 0, f"{' '.join(command)}: {p.returncode} {p.stdout[-3000:]}{p.stderr[-3000:]}")
            return p.stdout + p.stderr

        def cdk(*args):
            return run(os.path.join(npm, ".bin", "cdk"), "--app", "node app.js", *args)

        run("node", "--test", os.path.join(BUILD, "cdk", "drawbridge.test.js"))
        run(os.path.join(npm, ".bin", "tsc"), "--target", "ES2022", "--module", "CommonJS", "--strict", "--skipLibCheck", "app.ts")
        aws(endpoint, "s3api", "create-bucket", "--bucket", "assets")
        cdk("deploy", "--require-approval", "never")
        cdk("diff", "--fail", "--no-change-set")
        run("drawbridge", "run", "hello", "--id", "by-the-cdk", "--wait")
        changed = json.loads(run("sh", "-c", "drawbridge plan -o json 2>/dev/null"))["changes"]
        check({c["id"] for c in changed} == {"Launcher", "Reaper"}, f"deploy changes where the code is alone: {changed}")
        run("drawbridge", "deploy", "--yes")
        run("drawbridge", "run", "hello", "--id", "taken-over", "--wait")
        run("drawbridge", "destroy", "--force", "--yes")


def state_path():
    """A sandbox that keeps its account: another process finds what was made, what was under way, and the same time."""
    with tempfile.TemporaryDirectory() as work:
        state = os.path.join(work, "account")
        def command(*more):
            return [os.path.join(BUILD, "drawbridge"), "sandbox", "--listen", "127.0.0.1:0", "--speed", "0", "--start", "2026-05-14T09:00:00Z", "--config", "examples/hello/drawbridge.yaml", "--state", state, *more]
        env = dict(ENV, DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64"))
        def ledger(endpoint):
            return {k: v for k, v in json.load(urllib.request.urlopen(endpoint + "/_sim/ledger")).items() if k in ("now", "endpoints", "tasks", "stacks")}
        with process(command(), ready_sandbox, env=env) as endpoint:
            client = clients(endpoint)
            vpc = client("ec2").create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
            client("s3").create_bucket(Bucket="kept")
            client("s3").put_object(Bucket="kept", Key="k", Body=b"\x00kept")
            event = json.dumps({"job": "hello", "id": "kept", "overrides": {"containerOverrides": [{"name": "hello", "environment": [{"name": "SANDBOX_RUN_FOR", "value": "90m"}]}]}})
            client("lambda").invoke(FunctionName="drawbridge-launcher", Payload=event)
            post(endpoint, "/_sim/advance", {"seconds": 60})  # the endpoints are being created
            before = ledger(endpoint)
        with process(command(), ready_sandbox, env=env) as endpoint:
            client = clients(endpoint)
            check(ledger(endpoint) == before and len(before["endpoints"]) >= 5, f"the account after a restart: {ledger(endpoint)}, before: {before}")
            check(client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"] == "10.8.0.0/16", "the VPC after a restart")
            check(client("s3").get_object(Bucket="kept", Key="k")["Body"].read() == b"\x00kept", "an object after a restart")
            post(endpoint, "/_sim/advance", {"seconds": 3600})
            check([t["stopped"] for t in ledger(endpoint)["tasks"]] == [None], "the task of a set that was being raised when the sandbox ended")
        with process(command(), ready_sandbox, env=env) as endpoint:
            post(endpoint, "/_sim/advance", {"seconds": 4 * 3600})
            check(all(e["deleted"] for e in ledger(endpoint)["endpoints"] if e["type"] == "interface") and len(ledger(endpoint)["tasks"]) == 1, "after two restarts the run has ended once, and the endpoints are gone")
        p = subprocess.run(command("--seed", "7"), env=env, cwd=ROOT, capture_output=True, text=True)
        check(p.returncode == 1 and '--seed was "1", now "7"' in p.stderr, f"a state of other flags: {p.stderr}")


def deploy_path():
    """The arm64 functions, deployed from outside and carried out by the same program for this machine."""
    binary = os.path.join(BUILD, "drawbridge")
    host = os.path.join(ROOT, "dist", "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64")
    command = [binary, "sandbox", "--listen", "127.0.0.1:0", "--speed", "300", "--start", "2026-05-14T09:00:00Z", "--config", "examples/hello/drawbridge.yaml", "--no-install"]
    with process(command, ready_sandbox, env=dict(ENV, DRAWBRIDGE_FUNCTIONS=host, DRAWBRIDGE_SANDBOX_RECORD=REPLIES)) as endpoint:
        env = dict(ENV, AWS_ENDPOINT_URL=endpoint, DRAWBRIDGE_CONFIG=os.path.join(ROOT, "examples/hello/drawbridge.yaml"), DRAWBRIDGE_FUNCTIONS=os.path.join(ROOT, "dist", "arm64"))
        for args, want in (("deploy --yes", 0), ("run hello --id arm --wait --env SANDBOX_EXIT_CODE=7", 7), ("destroy --force --yes", 0)):
            p = subprocess.run([binary, *args.split()], env=env, capture_output=True, text=True)
            check(p.returncode == want, f"drawbridge {args} ended with {p.returncode}: {p.stdout[-1500:]}{p.stderr[-1500:]}")
            if args.startswith("deploy"):
                f = clients(endpoint)("lambda").get_function_configuration(FunctionName="drawbridge-launcher")
                check(f["Architectures"] == ["arm64"], f"the launcher is {f}")


def cli_path(endpoint, advance, subnet, group, vpc):
    """The AWS CLI: create, describe, wait, delete, run-task, list-tasks, create-schedule, send-message, put-events, invoke."""
    body = template(vpc, subnet, group, "sqs")
    aws(endpoint, "cloudformation", "create-stack", "--stack-name", "cli", "--template-body", body)
    advance(200)
    aws(endpoint, "cloudformation", "wait", "stack-create-complete", "--stack-name", "cli")
    check(aws(endpoint, "ec2", "describe-vpc-endpoints", "--filters", "Name=service-name,Values=com.amazonaws.us-east-1.sqs")["VpcEndpoints"][0]["State"] == "available", "the endpoint by the CLI")
    aws(endpoint, "cloudformation", "delete-stack", "--stack-name", "cli")
    advance(200)
    aws(endpoint, "cloudformation", "wait", "stack-delete-complete", "--stack-name", "cli")
    aws(endpoint, "cloudformation", "describe-stacks", "--stack-name", "cli", fail="does not exist")
    ran = aws(endpoint, "ecs", "run-task", "--cluster", "hello", "--task-definition", "hello", "--launch-type", "FARGATE", "--started-by", "cli", "--network-configuration",
              f"awsvpcConfiguration={{subnets=[{subnet}],securityGroups=[{group}]}}")["tasks"][0]["taskArn"]
    check(aws(endpoint, "ecs", "list-tasks", "--cluster", "hello", "--started-by", "cli")["taskArns"] == [ran], "the task by the CLI")
    aws(endpoint, "ecs", "stop-task", "--cluster", "hello", "--task", ran)
    aws(endpoint, "scheduler", "create-schedule", "--name", "cli", "--schedule-expression", "at(2040-01-01T00:00:00)", "--flexible-time-window", "Mode=OFF", "--target",
        "Arn=arn:aws:lambda:us-east-1:123456789012:function:drawbridge-reaper,RoleArn=arn:aws:iam::123456789012:role/drawbridge-scheduler-us-east-1")
    aws(endpoint, "scheduler", "delete-schedule", "--name", "cli")
    url = aws(endpoint, "sqs", "get-queue-url", "--queue-name", "drawbridge-events")["QueueUrl"]
    aws(endpoint, "sqs", "send-message", "--queue-url", url, "--message-body", '{"job":"hello","id":"cli"}')
    aws(endpoint, "events", "put-events", "--entries", '[{"Source":"example.hello","DetailType":"x","Detail":"{}"}]')
    out = os.path.join(BUILD, "invoke.json")
    aws(endpoint, "lambda", "invoke", "--function-name", "drawbridge-launcher", "--payload", '{"job":"nope"}', out)
    check("there is no job" in open(out).read(), "a direct call for an unknown job says so")
    advance(4000)
    aws(endpoint, "dynamodb", "describe-table", "--table-name", "drawbridge")
    aws(endpoint, "logs", "filter-log-events", "--log-group-name", "/aws/lambda/drawbridge-launcher", "--filter-pattern", "decided")


def endpoints_path(client, advance, endpoint, vpc, subnet, group):
    """Endpoints as they are changed while they are up, hosted zones, and prices."""
    ec2, cfn, zones, prices = client("ec2"), client("cloudformation"), client("route53"), client("pricing")
    two = lambda *services: json.dumps({"Resources": {s: {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Interface", "VpcId": vpc, "SubnetIds": [subnet], "PrivateDnsEnabled": True,
                                        "SecurityGroupIds": [group], "ServiceName": f"com.amazonaws.us-east-1.{s}"}} for s in services}})
    cfn.create_stack(StackName="grow", TemplateBody=two("kms"))
    advance(200)
    find = lambda service: ec2.describe_vpc_endpoints(Filters=[{"Name": "service-name", "Values": [f"com.amazonaws.us-east-1.{service}"]}, {"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"]
    kms = find("kms")[0]["VpcEndpointId"]
    cfn.update_stack(StackName="grow", TemplateBody=two("kms", "sts"))
    check(cfn.describe_stacks(StackName="grow")["Stacks"][0]["StackStatus"] == "UPDATE_IN_PROGRESS", "the stack is being updated")
    fails("ValidationError", "an update under an update", lambda: cfn.update_stack(StackName="grow", TemplateBody=two("kms", "sts", "sqs")))
    advance(200)
    cfn.get_waiter("stack_update_complete").wait(StackName="grow", WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    check(find("kms")[0]["VpcEndpointId"] == kms and find("sts")[0]["State"] == "available", "an update adds an endpoint and leaves the other")
    check("sts" in cfn.get_template(StackName="grow")["TemplateBody"]["Resources"], "the template of the stack as it is")
    cfn.update_stack(StackName="grow", TemplateBody=two("kms", "sts", "nope"))
    advance(300)
    check(cfn.describe_stacks(StackName="grow")["Stacks"][0]["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE" and find("kms")[0]["VpcEndpointId"] == kms, "a failed update leaves what was")
    ec2.modify_vpc_endpoint(VpcEndpointId=kms, PolicyDocument='{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}')
    check("Deny" in find("kms")[0]["PolicyDocument"], "the endpoint's policy")
    fails("InvalidVpcEndpointId.NotFound", "changing an endpoint that is not there", lambda: ec2.modify_vpc_endpoint(VpcEndpointId="vpce-00000000000000000", ResetPolicy=True))
    everywhere = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    egress = lambda: ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everywhere)
    check(not egress(), "nothing may leave")
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=everywhere)
    check(len(egress()) == 1, "everything may leave again")
    fails("InvalidPermission.Duplicate", "the same rule twice", lambda: ec2.authorize_security_group_egress(GroupId=group, IpPermissions=everywhere))
    found = zones.list_hosted_zones_by_vpc(VPCId=vpc, VPCRegion="us-east-1")["HostedZoneSummaries"]
    check({"OwningService": "vpce.amazonaws.com"} in [z["Owner"] for z in found], f"the zones of endpoints with private DNS: {found}")
    fails("InvalidInput", "hosted zones of a VPC that is not there", lambda: zones.list_hosted_zones_by_vpc(VPCId="vpc-00000000", VPCRegion="us-east-1"))
    match = lambda **fields: [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in fields.items()]
    listed = [json.loads(p) for p in prices.get_products(ServiceCode="AmazonVPC", FormatVersion="aws_v1", Filters=match(regionCode="us-east-1", productFamily="VpcEndpoint", endpointType="PrivateLink"))["PriceList"]]
    hours = [d["pricePerUnit"]["USD"] for p in listed if p["product"]["attributes"]["usagetype"].endswith("VpcEndpoint-Hours") for t in p["terms"]["OnDemand"].values() for d in t["priceDimensions"].values()]
    check([float(h) for h in hours] == [0.01], f"the price of an endpoint: {hours}")
    pages = prices.get_paginator("get_products").paginate(ServiceCode="AmazonVPC", PaginationConfig={"PageSize": 10})
    check(len({json.loads(p)["product"]["sku"] for page in pages for p in page["PriceList"]}) > 20, "the price list in pages")
    fails("NotFoundException", "prices of a service that is not there", lambda: prices.get_products(ServiceCode="AmazonNope"))
    fails("InvalidNextTokenException", "a bad page of prices", lambda: prices.get_products(ServiceCode="AmazonVPC", NextToken="nope"))
    cfn.delete_stack(StackName="grow")
    advance(200)
    now = post(endpoint, "/_sim/advance", {"seconds": 30 * 3600})["now"]
    hour = lambda back: time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(now - back * 3600))
    asked = dict(Granularity="HOURLY", Metrics=["UsageQuantity"], GroupBy=[{"Type": "DIMENSION", "Key": "USAGE_TYPE"}])
    billed = client("ce").get_cost_and_usage(TimePeriod={"Start": hour(48), "End": hour(0)}, **asked)["ResultsByTime"]
    check(sum(float(g["Metrics"]["UsageQuantity"]["Amount"]) for r in billed for g in r["Groups"] if g["Keys"][0].endswith("VpcEndpoint-Hours")) >= 2, f"the bill by the hour: {billed}")
    fails("ValidationException", "hours of the month before last", lambda: client("ce").get_cost_and_usage(TimePeriod={"Start": hour(1500), "End": hour(0)}, **asked))


def deployments_path(client, advance, endpoint, vpc, subnet, group):
    """Services, load balancers, CodeDeploy, pipelines and builds, as who deploys with them calls them."""
    ecs, elb, deploy = client("ecs"), client("elbv2"), client("codedeploy")
    ecs.create_cluster(clusterName="c")
    ecs.register_task_definition(family="t", containerDefinitions=[{"name": "t", "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/t:1"}])
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    balancer = elb.create_load_balancer(Name="web", Scheme="internal", Subnets=[subnet])["LoadBalancers"][0]["LoadBalancerArn"]
    fails("DuplicateLoadBalancerName", "a load balancer twice", lambda: elb.create_load_balancer(Name="web", Subnets=[subnet]))
    blue, green = (elb.create_target_group(Name=n, Protocol="HTTP", Port=80, TargetType="ip", VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"] for n in ("blue", "green"))
    listener = elb.create_listener(LoadBalancerArn=balancer, Port=80, Protocol="HTTP", DefaultActions=[{"Type": "forward", "TargetGroupArn": blue}])["Listeners"][0]["ListenerArn"]
    fails("TargetGroupNotFound", "a listener to no target group", lambda: elb.create_listener(LoadBalancerArn=balancer, Port=81, Protocol="HTTP", DefaultActions=[{"Type": "forward", "TargetGroupArn": blue + "0"}]))
    rule = elb.describe_rules(ListenerArn=listener)["Rules"][0]
    check(rule["IsDefault"] and rule["Actions"][0]["TargetGroupArn"] == blue, "the default rule")
    # ECS's own blue/green deployment, at a pause.
    fails("ClientException", "a service of no task definition", lambda: ecs.create_service(cluster="c", serviceName="x", taskDefinition="nope", networkConfiguration=network))
    fails("InvalidParameterException", "a pause where there is none", lambda: ecs.create_service(cluster="c", serviceName="x", taskDefinition="t", networkConfiguration=network, deploymentConfiguration={
        "strategy": "BLUE_GREEN", "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["TEST_TRAFFIC_SHIFT"]}]}))
    ecs.create_service(cluster="c", serviceName="web", taskDefinition="t", desiredCount=0, networkConfiguration=network, deploymentConfiguration={
        "strategy": "BLUE_GREEN", "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]})
    advance(60)
    brief = ecs.list_service_deployments(cluster="c", service="web")["serviceDeployments"][0]
    arn = brief["serviceDeploymentArn"]
    hook = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]["lifecycleHookDetails"][0]
    check(hook["status"] == "AWAITING_ACTION" and hook["hookId"].startswith("ecs-pause-"), "a deployment at its pause")
    fails("InvalidParameterException", "a hook that is not there", lambda: ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId="nope"))
    check(ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"], action="CONTINUE")["serviceDeploymentArn"] == arn, "a pause continued")
    fails("InvalidParameterException", "a pause continued twice", lambda: ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"]))
    advance(120)
    check(aws(endpoint, "ecs", "describe-service-deployments", "--service-deployment-arns", arn)["serviceDeployments"][0]["status"] == "SUCCESSFUL", "the deployment's end, by the AWS CLI")
    fails("ServiceDeploymentNotFoundException", "a deployment that is not there", lambda: ecs.stop_service_deployment(serviceDeploymentArn=arn + "0"))
    # CodeDeploy.
    ecs.create_service(cluster="c", serviceName="blue", taskDefinition="t", desiredCount=0, networkConfiguration=network, deploymentController={"type": "CODE_DEPLOY"})
    fails("InvalidParameterException", "a task definition of a service that CodeDeploy deploys", lambda: ecs.update_service(cluster="c", service="blue", taskDefinition="t"))
    fails("ApplicationDoesNotExistException", "a deployment of no application", lambda: deploy.create_deployment(applicationName="web", deploymentGroupName="g"))
    deploy.create_application(applicationName="web", computePlatform="ECS")
    role = "arn:aws:iam::123456789012:role/codedeploy"
    fails("InvalidECSServiceException", "a group of a service that ECS deploys", lambda: deploy.create_deployment_group(applicationName="web", deploymentGroupName="g", serviceRoleArn=role, ecsServices=[{"clusterName": "c", "serviceName": "web"}]))
    deploy.create_deployment_group(applicationName="web", deploymentGroupName="g", serviceRoleArn=role, ecsServices=[{"clusterName": "c", "serviceName": "blue"}])
    spec = {"version": 0.0, "Resources": [{"TargetService": {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": "t", "LoadBalancerInfo": {"ContainerName": "t", "ContainerPort": 80}}}}]}
    revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(spec)}}
    d = deploy.create_deployment(applicationName="web", deploymentGroupName="g", revision=revision)["deploymentId"]
    fails("DeploymentLimitExceededException", "a second deployment of a group", lambda: deploy.create_deployment(applicationName="web", deploymentGroupName="g", revision=revision))
    fails("InvalidLifecycleEventHookExecutionStatusException", "a hook that is Skipped", lambda: deploy.put_lifecycle_event_hook_execution_status(deploymentId=d, lifecycleEventHookExecutionId="x", status="Skipped"))
    fails("InvalidLifecycleEventHookExecutionIdException", "a hook of no execution", lambda: deploy.put_lifecycle_event_hook_execution_status(deploymentId=d, lifecycleEventHookExecutionId="x", status="Succeeded"))
    fails("DeploymentDoesNotExistException", "a deployment that is not there", lambda: deploy.get_deployment(deploymentId="d-000000000"))
    advance(120)
    check(aws(endpoint, "deploy", "get-deployment", "--deployment-id", d)["deploymentInfo"]["status"] == "Succeeded", "a deployment of CodeDeploy, by the AWS CLI")
    fails("DeploymentAlreadyCompletedException", "a deployment stopped that has ended", lambda: deploy.stop_deployment(deploymentId=d))
    target = deploy.list_deployment_targets(deploymentId=d)["targetIds"][0]
    events = deploy.get_deployment_target(deploymentId=d, targetId=target)["deploymentTarget"]["ecsTarget"]["lifecycleEvents"]
    check([e["status"] for e in events] == ["Succeeded"] * 6, "its lifecycle events")
    # Pipelines and builds.
    pipelines, builds = client("codepipeline"), client("codebuild")
    builds.create_project(name="tests", serviceRole=role, source={"type": "NO_SOURCE"}, artifacts={"type": "NO_ARTIFACTS"}, environment={"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"})
    fails("ResourceNotFoundException", "a build of no project", lambda: builds.start_build(projectName="nope"))
    kind = {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"}
    source = {"name": "Source", "actions": [{"name": "Source", "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}}]}
    build = {"name": "Build", "actions": [{"name": "Build", "actionTypeId": kind, "configuration": {"ProjectName": "tests"}}]}
    fails("InvalidStructureException", "a pipeline of one stage", lambda: pipelines.create_pipeline(pipeline={"name": "p", "roleArn": role, "stages": [source]}))
    pipelines.create_pipeline(pipeline={"name": "p", "roleArn": role, "stages": [source, build]})
    execution = pipelines.start_pipeline_execution(name="p")["pipelineExecutionId"]
    advance(600)
    check(pipelines.get_pipeline_execution(pipelineName="p", pipelineExecutionId=execution)["pipelineExecution"]["status"] == "Succeeded", "an execution that builds")
    fails("JobNotFoundException", "a job that is not there", lambda: pipelines.put_job_success_result(jobId="00000000-0000-4000-a000-000000000000"))
    fails("NoSuchDistribution", "an invalidation of no distribution", lambda: client("cloudfront").create_invalidation(DistributionId="E0", InvalidationBatch={"CallerReference": "r", "Paths": {"Quantity": 1, "Items": ["/*"]}}))


def git(*args, cwd=None, fail=None, **env):
    """git with credentials whose secret the sandbox takes for any key: the key itself."""
    keys = dict(AWS_ACCESS_KEY_ID="AKIAGIT", AWS_SECRET_ACCESS_KEY="AKIAGIT", GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1", GIT_TERMINAL_PROMPT="0",
                GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@example.com", GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@example.com")
    p = subprocess.run(["git", *args], cwd=cwd, env=dict(ENV, **{**keys, **env}), capture_output=True, text=True)
    if fail:
        check(p.returncode != 0 and fail in p.stderr, f"git {args} says {p.stderr[-300:]}, want {fail}")
        return ""
    check(p.returncode == 0, f"git {args}: {p.stderr[-500:]}")
    return p.stdout.strip()


def mirror_path(client, endpoint):
    """CodeCommit's API and its git over HTTPS, by boto3 and by the AWS CLI's own credential helper; S3's conditions and parts; secrets."""
    cc, s3, secrets = client("codecommit"), client("s3"), client("secretsmanager")
    made = cc.create_repository(repositoryName="conformance", repositoryDescription="x")["repositoryMetadata"]
    check(made["cloneUrlHttp"] == "https://git-codecommit.us-east-1.amazonaws.com/v1/repos/conformance" and "defaultBranch" not in made, f"the repository: {made}")
    check(cc.get_repository(repositoryName="conformance")["repositoryMetadata"]["Arn"].endswith(":conformance"), "the repository's ARN")
    check([r["repositoryName"] for r in cc.list_repositories()["repositories"]] == ["conformance"], "the list of repositories")
    fails("RepositoryNameExistsException", "the same repository again", lambda: cc.create_repository(repositoryName="conformance"))
    fails("InvalidRepositoryNameException", "a name that ends in .git", lambda: cc.create_repository(repositoryName="x.git"))
    fails("RepositoryDoesNotExistException", "a repository that is not there", lambda: cc.get_repository(repositoryName="nope"))

    url = endpoint + "/v1/repos/conformance"
    cli = ["-c", "credential.helper=", "-c", f"credential.helper=!{os.path.join(ROOT, 'tools/venv/bin/aws')} codecommit credential-helper --ignore-host-check $@", "-c", "credential.UseHttpPath=true"]
    with tempfile.TemporaryDirectory() as work:
        git("init", "-q", "--initial-branch=trunk", work)
        git("commit", "-q", "--allow-empty", "-m", "one", cwd=work)
        head = git("rev-parse", "HEAD", cwd=work)
        git(*cli, "push", "-q", url, "HEAD:refs/heads/trunk", "HEAD:refs/heads/other", cwd=work)
        check(cc.get_repository(repositoryName="conformance")["repositoryMetadata"]["defaultBranch"] in ("trunk", "other"), "the first branch is the default one")
        check(head in git(*cli, "ls-remote", url), "what was pushed by the AWS CLI's credential helper")
        git(*cli, "ls-remote", url, AWS_SECRET_ACCESS_KEY="another", fail="403")
        git("-c", "credential.helper=", "ls-remote", url, fail="could not read Username")
        git(*cli, "ls-remote", endpoint + "/v1/repos/nope", fail="not found")
        git(*cli, "push", "-q", url, "HEAD:refs/pull/1/head", cwd=work, fail="hidden ref")
        ours = ["-c", "credential.helper=", "-c", f"credential.helper=!{os.path.join(BUILD, 'mirror')} credential codecommit", "-c", "credential.UseHttpPath=true"]
        check(git(*ours, "ls-remote", url, AWS_ENDPOINT_URL=endpoint) == git(*cli, "ls-remote", url), "our credential helper and the AWS CLI's see the same")

    # Both helpers, asked within the same second, answer to the byte alike, with and without a session token.
    for token in ("", "to/k+en=="):
        keys = dict(ENV, AWS_ACCESS_KEY_ID="AKIAX", AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI/K7MDENG", **({"AWS_SESSION_TOKEN": token} if token else {}))
        for host in ("git-codecommit.us-west-2.amazonaws.com", "git-codecommit-fips.us-east-1.amazonaws.com", "git-codecommit.cn-north-1.amazonaws.com.cn",
                     "vpce-0a1b2c3d-4e5f.git-codecommit.eu-central-1.vpce.amazonaws.com"):
            asked = f"protocol=https\nhost={host}\npath=v1/repos/my.repo-1\n\n"
            answer = lambda *command: subprocess.run([*command, "get"], input=asked, env=keys, capture_output=True, text=True).stdout.strip()
            stamp = lambda said: said.split("password=")[-1].split("Z")[0]
            for _ in range(30):
                theirs, same = answer(os.path.join(ROOT, "tools/venv/bin/aws"), "codecommit", "credential-helper"), answer(os.path.join(BUILD, "mirror"), "credential", "codecommit")
                check(len(stamp(theirs)) == 15, f"the AWS CLI's credential helper says {theirs!r} for {host}")
                if stamp(theirs) == stamp(same):
                    break
            check(same == theirs, f"{host}: the credential helpers differ: {same!r}, the AWS CLI's {theirs!r}")
    check(cc.delete_repository(repositoryName="conformance")["repositoryId"] == made["repositoryId"], "the repository is gone")
    check("repositoryId" not in cc.delete_repository(repositoryName="conformance"), "deleting it again is no error")

    s3.create_bucket(Bucket="conditions")
    first = s3.put_object(Bucket="conditions", Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    fails("PreconditionFailed", "an object that must not be there", lambda: s3.put_object(Bucket="conditions", Key="k", Body=b"2", IfNoneMatch="*"))
    second = s3.put_object(Bucket="conditions", Key="k", Body=b"2", IfMatch=first)["ETag"]
    fails("PreconditionFailed", "an object that has changed", lambda: s3.put_object(Bucket="conditions", Key="k", Body=b"3", IfMatch=first))
    fails("NoSuchKey", "an object that must be there", lambda: s3.put_object(Bucket="conditions", Key="new", Body=b"3", IfMatch=second))
    upload = s3.create_multipart_upload(Bucket="conditions", Key="big")["UploadId"]
    parts = [{"PartNumber": n, "ETag": s3.upload_part(Bucket="conditions", Key="big", UploadId=upload, PartNumber=n, Body=b"x" * size)["ETag"]} for n, size in ((1, 5 << 20), (2, 10))]
    fails("InvalidPartOrder", "parts in the wrong order", lambda: s3.complete_multipart_upload(Bucket="conditions", Key="big", UploadId=upload, MultipartUpload={"Parts": parts[::-1]}))
    check(s3.complete_multipart_upload(Bucket="conditions", Key="big", UploadId=upload, MultipartUpload={"Parts": parts})["ETag"].endswith('-2"'), "the ETag of parts")
    check(s3.head_object(Bucket="conditions", Key="big")["ContentLength"] == (5 << 20) + 10, "the whole object")
    fails("NoSuchUpload", "a complete upload", lambda: s3.upload_part(Bucket="conditions", Key="big", UploadId=upload, PartNumber=3, Body=b"x"))
    s3.abort_multipart_upload(Bucket="conditions", Key="big", UploadId=s3.create_multipart_upload(Bucket="conditions", Key="big")["UploadId"])
    check("EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket="conditions"), "no notifications")
    s3.put_bucket_notification_configuration(Bucket="conditions", NotificationConfiguration={"EventBridgeConfiguration": {}})
    check("EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket="conditions"), "notifications to EventBridge")

    arn = secrets.create_secret(Name="conformance", SecretString="a")["ARN"]
    secrets.put_secret_value(SecretId="conformance", SecretString="b")
    check(secrets.get_secret_value(SecretId=arn)["SecretString"] == "b" and secrets.describe_secret(SecretId=arn)["Name"] == "conformance", "the secret")
    fails("ResourceNotFoundException", "a secret that is not there", lambda: secrets.describe_secret(SecretId="nope"))


def ready_sandbox(p):
    line = p.stdout.readline()
    if not line.startswith('{"endpoint"'):
        p.terminate()
        check(False, f"the sandbox says {line}{p.stdout.read()}")
    return json.loads(line)["endpoint"]


def ready_http(url):
    def wait(p):
        for _ in range(300):
            try:
                urllib.request.urlopen(url, timeout=1)
                return url
            except urllib.error.HTTPError:
                return url
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"conformance: nothing listens at {url}")
    return wait


def sandbox():
    binary = os.path.join(BUILD, "drawbridge")
    subprocess.run(["go", "build", "-o", BUILD, "./cmd/drawbridge", "./cmd/mirror"], cwd=ROOT, check=True)
    command = [binary, "sandbox", "--listen", "127.0.0.1:0", "--speed", "0", "--config", "examples/hello/drawbridge.yaml"]
    # The CDK's Node takes longer than all the rest, on one CPU; its accounts are sandboxes of their own.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        beside = [pool.submit(path) for path in (install_path, image_path, construct_path, cdk_path, blue_green_path, code_deploy_path, pipeline_path)]
        with process(command, ready_sandbox, env=dict(ENV, DRAWBRIDGE_SANDBOX_RECORD=REPLIES)) as endpoint:
            def advance(seconds):
                post(endpoint, "/_sim/advance", {"seconds": seconds})
            client = clients(endpoint)
            vpc, subnet, group = stack_path(client, advance)
            store_path(client)
            queue_path(client, advance)
            timer_path(client, "arn:aws:iam::123456789012:role/drawbridge-scheduler-us-east-1")
            sandbox_only(client, advance, endpoint, vpc, subnet, group)
            deployments_path(client, advance, endpoint, vpc, subnet, group)
            drawbridge_path(client, advance, endpoint)
            account_path(client, endpoint)
            change_set_path(client, advance, vpc, subnet, group)
            endpoints_path(client, advance, endpoint, vpc, subnet, group)
            cli_path(endpoint, advance, subnet, group, vpc)
            mirror_path(client, endpoint)
        undoing.clear()  # the account is gone with its sandbox
        elsewhere_path()
        keys_path()
        outside_path()
        handmade_path()
        state_path()
        quickstart_path()
        deploy_path()
        for path in beside:
            path.result()


def moto():
    port = free_port()
    server = os.path.join(os.path.dirname(sys.executable), "moto_server")
    with process([server, "-H", "127.0.0.1", "-p", str(port)], ready_http(f"http://127.0.0.1:{port}"), env=ENV) as endpoint:
        client = clients(endpoint)
        role = client("iam").create_role(RoleName="timer", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        stack_path(client, lambda _: None, deletes_endpoints=False)  # moto forgets the stack and leaves its endpoint
        store_path(client)
        queue_path(client, lambda s: time.sleep(s))
        timer_path(client, role)
        undoing.clear()


def dynamodb_local():
    port, folder = free_port(), os.path.join(ROOT, "tools", "dynamodb-local")
    command = ["java", f"-Djava.library.path={folder}", "-cp", os.path.join(folder, "*"), "com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-port", str(port)]
    # It writes a file of its own where it runs.
    with tempfile.TemporaryDirectory() as work, process(command, ready_http(f"http://127.0.0.1:{port}"), cwd=work) as endpoint:
        p = subprocess.run(["go", "test", "-count=1", "-run", "DynamoDB", "-v", "./internal/store", "./internal/awssim/dynamodb"], cwd=ROOT, env=dict(ENV, DRAWBRIDGE_DYNAMODB_LOCAL=endpoint), capture_output=True, text=True)
        check(p.returncode == 0, f"the store on DynamoDB Local:\n{p.stdout[-4000:]}{p.stderr[-2000:]}")
        check(all(f"--- PASS: {name}/" in p.stdout or f"--- PASS: {name} " in p.stdout for name in ("TestDynamoDBRunIsRecordedOnce", "TestDynamoDBAnswersAsDynamoDBLocalDoes")) and p.stdout.count("--- PASS") > 30 and "on_DynamoDB_Local" in p.stdout, f"both packages must have run on DynamoDB Local:\n{p.stdout[-2000:]}")


def elsewhere(endpoint, profile, costs):
    """The happy paths on any endpoint: what AWS itself answers otherwise than here is a finding."""
    global REGION, PREFIX, PATIENCE, POLL
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
        os.environ.pop(variable, None)
    os.environ.update({k: v for k, v in GIVEN.items() if k.startswith("AWS_")})
    real = endpoint == "aws" or urllib.parse.urlparse(endpoint).hostname not in ("localhost", "127.0.0.1", "::1")  # whatever a proxy calls itself
    session = boto3.Session(profile_name=profile or None)
    REGION, PREFIX, PATIENCE = session.region_name or REGION, "conformance-" + secrets.token_hex(3) + "-", 600
    config = botocore.config.Config(region_name=REGION)
    client = lambda service: session.client(service, endpoint_url=None if endpoint == "aws" else endpoint, config=config)
    if real and not costs:
        raise SystemExit("conformance: this makes a VPC, a stack with one interface endpoint, a table, two queues, a role and a schedule in a real account, "
                         "and removes them; it costs about 0.02 USD. Say --yes-this-costs (to make: THIS_COSTS=yes) to do it.")
    POLL = {"WaitTimeSeconds": 5} if real else {}
    sim = None
    if not real:
        try:
            sim = post(endpoint, "/_sim/advance", {"seconds": 0})
        except OSError:
            pass  # not a sandbox of ours: its clock runs by itself
    def advance(seconds):
        if sim is None:
            time.sleep(min(seconds, 3))
        else:
            post(endpoint, "/_sim/advance", {"seconds": seconds})
    iam = client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "scheduler.amazonaws.com"}}]}
    began = time.time()
    try:
        print(f"account {client('sts').get_caller_identity()['Account']}, Region {REGION}, names {PREFIX}*", flush=True)
        stack_path(client, advance)
        store_path(client)
        queue_path(client, advance)
        role = iam.create_role(RoleName=name("timer"), AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        undo(lambda: iam.delete_role(RoleName=name("timer")))
        advance(15)
        if real:
            time.sleep(15)  # until Scheduler can assume the new role
        timer_path(client, role)
    finally:
        left = clean_up()
        for what in left:
            print(f"left behind: {what}", flush=True)
    print(f"ok  {endpoint}: {passed} checks, {time.time() - began:.1f} s", flush=True)
    sys.exit(1 if left else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", metavar="URL", help='run on this endpoint alone; "aws" is AWS itself')
    parser.add_argument("--profile", help="of the AWS CLI's configuration, for --endpoint")
    parser.add_argument("--yes-this-costs", action="store_true", help="touch a real account")
    args = parser.parse_args()
    if args.endpoint:
        elsewhere(args.endpoint, args.profile, args.yes_this_costs)
    os.makedirs(BUILD, exist_ok=True)
    for name, part in (("sandbox by boto3 and the AWS CLI", sandbox), ("the same on moto", moto), ("the store on DynamoDB Local", dynamodb_local)):
        began, before = time.time(), passed
        part()
        print(f"ok  {name}: {passed - before} checks, {time.time() - began:.1f} s", flush=True)
    p = subprocess.run([sys.executable, os.path.join(ROOT, "tools", "conformance", "validate.py"), REPLIES])
    sys.exit(p.returncode)


if __name__ == "__main__":
    main()
