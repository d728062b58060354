"""Validates recorded replies of the sandbox, byte by byte, against botocore's API models.

    python validate.py REPLIES.jsonl

A successful reply must hold every required member, no member that the model does not know, and only values of
the model's types and enumerations. A failure must have a code that the model, or every AWS API, knows.
"""
import base64
import gzip  # noqa: F401  botocore's loader reads compressed models by itself
import json
import sys
import xml.etree.ElementTree as ET

import botocore.loaders
import botocore.model

LOADER = botocore.loaders.Loader()
MODELS = {}
# Errors that any API may answer with; models do not repeat them.
COMMON = {
    "AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken", "ExpiredTokenException", "InternalFailure", "InternalError", "InternalServerError",
    "InternalServerException", "InvalidAction", "InvalidClientTokenId", "MalformedQueryString", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
    "NotImplemented", "RequestExpired", "RequestLimitExceeded", "SerializationException", "ServerException", "ServiceException", "Throttling", "ThrottlingException",
    "UnknownOperationException", "UnrecognizedClientException", "ValidationError", "ValidationException", "InvalidParameterValue", "InvalidParameterValueException",
}
# EC2's and S3's models list no errors at all; these are documented in their error code references.
UNLISTED = {
    "ec2": {"DependencyViolation", "DryRunOperation", "DuplicateSubnetsInSameZone", "InvalidGroup.Duplicate", "InvalidGroup.NotFound", "InvalidParameter", "InvalidPolicyDocument", "InvalidRouteTableID.NotFound",
            "InvalidPermission.Duplicate", "InvalidPermission.NotFound", "InvalidRouteTableId.NotFound", "InvalidSecurityGroupId.NotFound", "InvalidServiceName", "InvalidSubnetID.NotFound", "InvalidSubnetId.NotFound", "InvalidVpcEndpointId.NotFound",
            "InvalidVpcID.NotFound", "InvalidVpcId.NotFound", "MissingParameter", "RouteAlreadyExists", "UnauthorizedOperation"},
    "s3": {"EntityTooSmall", "InvalidAccessKeyId", "InvalidArgument", "InvalidPart", "InvalidPartOrder", "NoSuchUpload", "PreconditionFailed", "NoSuchBucket", "NoSuchKey", "NoSuchTagSet", "BucketNotEmpty", "BucketAlreadyOwnedByYou"},
    "sqs": {"QueueDoesNotExist", "QueueNameExists", "ReceiptHandleIsInvalid"},
    "events": {"NotAuthorizedForSourceException"},
    "lambda": {"InvalidParameterValueException"},
    "monitoring": {"MissingRequiredParameterException"},
}


# What AWS answers and its model leaves out: the stack's own event while an update clears up behind itself.
UNLISTED_VALUES = {
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",  # a stage of ECS's guide
}

# Services whose model is filed under another name than their signatures bear.
FILED = {"servicequotas": "service-quotas", "monitoring": "cloudwatch", "elasticloadbalancing": "elbv2"}


def model(service):
    if service not in MODELS:
        MODELS[service] = botocore.model.ServiceModel(LOADER.load_service_model(FILED.get(service, service), "service-2"), service)
    return MODELS[service]


class Bad(Exception):
    pass


def check_json(shape, value, path):
    kind = shape.type_name
    if value is None:
        raise Bad(f"{path} is null")
    if kind == "structure":
        if shape.metadata.get("document"):
            return
        expect(isinstance(value, dict), path, "object", value)
        members = {m.serialization.get("name", n): (n, m) for n, m in shape.members.items()}
        for key in value:
            if key not in members:
                raise Bad(f"{path} has the unknown member {key}")
            check_json(members[key][1], value[key], f"{path}.{key}")
        for name in shape.required_members:
            key = shape.members[name].serialization.get("name", name)
            if key not in value:
                raise Bad(f"{path} lacks the required member {key}")
    elif kind == "list":
        expect(isinstance(value, list), path, "list", value)
        for i, v in enumerate(value):
            check_json(shape.member, v, f"{path}[{i}]")
    elif kind == "map":
        expect(isinstance(value, dict), path, "map", value)
        for k, v in value.items():
            check_json(shape.value, v, f"{path}[{k}]")
    elif kind == "timestamp":
        expect(isinstance(value, (int, float)), path, "seconds", value)
    elif kind in ("integer", "long"):
        expect(isinstance(value, int) and not isinstance(value, bool), path, "whole number", value)
    elif kind in ("float", "double"):
        expect(isinstance(value, (int, float)), path, "number", value)
    elif kind == "boolean":
        expect(isinstance(value, bool), path, "boolean", value)
    elif kind == "blob":
        expect(isinstance(value, str), path, "base64", value)
        base64.b64decode(value)
    else:
        check_string(shape, value, path)


def check_string(shape, value, path):
    expect(isinstance(value, str), path, "string", value)
    if shape.enum and value not in shape.enum and value not in UNLISTED_VALUES and value.lower() not in [e.lower() for e in shape.enum]:
        raise Bad(f"{path} is {value!r}, not one of {', '.join(shape.enum[:8])}")


def expect(ok, path, kind, value):
    if not ok:
        raise Bad(f"{path} is {str(value)[:60]!r}, not a {kind}")


def local(tag):
    return tag.split("}")[-1]


def check_xml(shape, node, path):
    kind = shape.type_name
    if kind == "structure":
        members = {}
        for name, m in shape.members.items():
            if m.serialization.get("location"):
                continue
            key = m.serialization.get("name", name)
            if m.type_name == "list" and m.serialization.get("flattened"):
                key = m.member.serialization.get("name", key)
            members[key] = m
        for child in node:
            key = local(child.tag)
            if key not in members:
                raise Bad(f"{path} has the unknown element {key}")
            m = members[key]
            if m.type_name == "list" and m.serialization.get("flattened"):
                check_xml(m.member, child, f"{path}.{key}")
            else:
                check_xml(m, child, f"{path}.{key}")
        have = {local(c.tag) for c in node}
        for name in shape.required_members:
            key = shape.members[name].serialization.get("name", name)
            if key not in have:
                raise Bad(f"{path} lacks the required element {key}")
    elif kind == "list":
        item = shape.member.serialization.get("name", "member")
        for i, child in enumerate(node):
            if local(child.tag) != item:
                raise Bad(f"{path} has an element {local(child.tag)} where {item} belongs")
            check_xml(shape.member, child, f"{path}[{i}]")
    elif kind == "map":
        return
    else:
        text = node.text or ""
        if len(node):
            raise Bad(f"{path} has elements where a {kind} belongs")
        if kind in ("integer", "long"):
            int(text)
        elif kind == "boolean":
            expect(text in ("true", "false"), path, "boolean", text)
        elif kind == "timestamp":
            expect("T" in text and text.endswith("Z"), path, "ISO 8601 instant", text)
        elif kind == "string":
            check_string(shape, text, path)


def check_success(service, op, line):
    shape = op.output_shape
    protocol = model(service).metadata["protocol"]
    body = line["body"]
    if protocol in ("query", "ec2"):
        root = ET.fromstring(body)
        if local(root.tag) != op.name + "Response":
            raise Bad(f"the root element is {local(root.tag)}")
        if protocol == "ec2":
            if shape is not None:
                for child in list(root):
                    if local(child.tag) == "requestId":
                        root.remove(child)
                if not (op.name + "Response" and set(local(c.tag) for c in root) == {"return"}):
                    check_xml(shape, root, op.name)
            return
        for child in root:
            if local(child.tag) == "ResponseMetadata":
                continue
            if shape is None or local(child.tag) != shape.serialization.get("resultWrapper"):
                raise Bad(f"unexpected element {local(child.tag)}")
            check_xml(shape, child, op.name)
        return
    if shape is None:
        if body not in ("", "{}"):
            raise Bad(f"a body where the operation has none: {body[:60]!r}")
        return
    payload = shape.serialization.get("payload")
    if payload and shape.members[payload].type_name in ("blob", "string"):
        return
    if protocol == "rest-xml" and payload:
        check_xml(shape.members[payload], ET.fromstring(body), op.name)
        return
    if protocol == "rest-xml":
        if body:
            check_xml(shape, ET.fromstring(body), op.name)
        return
    value = json.loads(body) if body else {}
    if protocol == "rest-json":
        if line["status"] == 204 and not body:
            return
        outside = {n for n, m in shape.members.items() if m.serialization.get("location")}
        inner = {k: v for k, v in value.items()}
        shape_members = {m.serialization.get("name", n): m for n, m in shape.members.items() if n not in outside}
        for k in inner:
            if k not in shape_members:
                raise Bad(f"{op.name} has the unknown member {k}")
            check_json(shape_members[k], inner[k], f"{op.name}.{k}")
        for name in shape.required_members:
            if name not in outside and shape.members[name].serialization.get("name", name) not in inner:
                raise Bad(f"{op.name} lacks the required member {name}")
        return
    check_json(shape, value, op.name)


def check_failure(service, op, line):
    body, protocol = line["body"], model(service).metadata["protocol"]
    if op is not None and op.name == "Invoke" and not body:
        return
    if protocol in ("query", "ec2", "rest-xml"):
        if not body:
            return  # HEAD
        code = next((e.text for e in ET.fromstring(body).iter() if local(e.tag) == "Code"), None)
    elif protocol == "rest-json":
        code = line["headers"].get("x-amzn-errortype")
    else:
        code = json.loads(body).get("__type", "").split("#")[-1]
    if not code:
        raise Bad("an error without a code")
    known = set(COMMON) | UNLISTED.get(service, set())
    for shape in op.error_shapes if op is not None else []:
        known |= {shape.name, shape.metadata.get("error", {}).get("code", shape.name)}
        if code in (shape.name, shape.metadata.get("error", {}).get("code")) and protocol not in ("query", "ec2", "rest-xml"):
            value = json.loads(body)
            value = {k: v for k, v in value.items() if k not in ("__type",)}
            members = {m.serialization.get("name", n): m for n, m in shape.members.items()}
            for k, v in value.items():
                key = k if k in members else {"message": "Message", "Message": "message"}.get(k, k)
                if key not in members and key.lower() != "message":  # every error has a message, whatever its model says
                    raise Bad(f"error {code} has the unknown member {k}")
                if key in members:
                    check_json(members[key], v, f"{code}.{k}")
    if code not in known:
        raise Bad(f"the error code {code} is none of the operation's")


def validate(path):
    seen, bad, operations = 0, {}, set()
    checked = set()
    with open(path, encoding="utf-8") as f:
        for text in f:
            line = json.loads(text)
            key = (line["service"], line["operation"], line["status"], line["body"])
            seen += 1
            if key in checked:
                continue
            checked.add(key)
            service, name = line["service"], line["operation"]
            try:
                op = model(service).operation_model(name) if name in model(service).operation_names else None
                if line["status"] < 300:
                    if op is None:
                        raise Bad("success for an operation that is not in the model")
                    operations.add(f"{service}:{name}")
                    check_success(service, op, line)
                else:
                    check_failure(service, op, line)
            except Exception as e:  # noqa: BLE001  every kind of failure is a finding
                bad.setdefault(f"{service}:{name} {line['status']}: {type(e).__name__}: {e}", line["body"][:400])
    return seen, len(checked), sorted(operations), bad


def main():
    seen, distinct, operations, bad = validate(sys.argv[1])
    for finding, body in bad.items():
        print(finding, "\n   ", body)
    print(f"{seen} replies, {distinct} distinct, {len(operations)} operations, {len(bad)} findings")
    if seen == 0:
        sys.exit("no replies were recorded: the check has nothing to check")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
