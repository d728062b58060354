#!/bin/sh
# Brings up the network, Drawbridge and the pipeline, in this order; the pipeline then makes the rest. It may be repeated.
#
#   CONNECTION=ARN APPLICATION=ORG/NAME INFRASTRUCTURE=ORG/NAME ./deploy.sh
set -eu
cd "$(dirname "$0")"
: "${AWS_REGION:?name the Region}" "${CONNECTION:?the ARN of the connection to your git host}"
: "${APPLICATION:?the repository of the developers, as ORG/NAME}" "${INFRASTRUCTURE:?that of the operators, as ORG/NAME}"
status=$(aws codeconnections get-connection --connection-arn "$CONNECTION" --query Connection.ConnectionStatus --output text)
if [ "$status" != AVAILABLE ]; then
	echo "connection $CONNECTION is $status: complete it in the console, under Developer Tools, Settings, Connections" >&2
	exit 1
fi
list=$(aws ec2 describe-managed-prefix-lists --filters "Name=prefix-list-name,Values=com.amazonaws.$AWS_REGION.s3" \
	--query 'PrefixLists[0].PrefixListId' --output text)
aws cloudformation deploy --stack-name hello-network --template-file network.yaml --no-fail-on-empty-changeset \
	--parameter-overrides "S3PrefixList=$list"

output() {
	aws cloudformation describe-stacks --stack-name hello-network \
		--query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}
subnets=$(output Subnets) instances=$(output InstanceGroup) builds=$(output BuildGroup)
sed -e "s/SUBNETS/$subnets/" -e "s/INSTANCES/$instances/" -e "s/BUILDS/$builds/" drawbridge.yaml >drawbridge.deployed.yaml
# The cluster and the tasks come with what is deployed after it: --force goes on without them.
drawbridge deploy --config drawbridge.deployed.yaml --yes --force

# The secrets have to be there before the first build. They are read from the terminal, or a line each from a pipe, and are in no
# argument of a command.
file=
trap 'rm -f "$file"' EXIT
trap 'exit 130' INT TERM
for name in /hello/greeting /hello/build/token; do
	if aws ssm get-parameter --name "$name" --query Parameter.Name --output text 2>/dev/null; then
		continue
	fi
	file=$(umask 077 && mktemp)
	python3 -c '
import getpass, json, os, sys
name = sys.argv[1]
if sys.stdin.isatty():
    value = getpass.getpass(f"The secret {name}: ")
else:  # a byte at a time: the next line is for the next secret
    value = b""
    while (c := os.read(0, 1)) not in (b"", b"\n"):
        value += c
    value = value.decode()
print(json.dumps({"Name": name, "Type": "SecureString", "KeyId": "alias/hello", "Value": value}))' "$name" >"$file"
	aws ssm put-parameter --cli-input-json "file://$file" --query Version --output text
	rm -f "$file"
done
aws cloudformation deploy --stack-name hello-pipeline --template-file infrastructure/pipeline.yaml --capabilities CAPABILITY_NAMED_IAM \
	--no-fail-on-empty-changeset \
	--parameter-overrides "Connection=$CONNECTION" "Application=$APPLICATION" "Infrastructure=$INFRASTRUCTURE"
drawbridge status --config drawbridge.deployed.yaml
