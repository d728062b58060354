#!/bin/sh
# Brings up all of it in the order that a first installation needs: the network and the images, Drawbridge, and the service
# last, because the pause in its creation has to find somebody who answers it.
#
#   IMAGE=ACCOUNT.dkr.ecr.REGION.amazonaws.com/web:1 ./deploy.sh
set -eu
cd "$(dirname "$0")"
region=${AWS_REGION:?name the Region}
list=$(aws ec2 describe-managed-prefix-lists --filters "Name=prefix-list-name,Values=com.amazonaws.$region.s3" \
	--query 'PrefixLists[0].PrefixListId' --output text)
node -e '
	const fs = require("fs"), file = "cdk.context.json"
	const context = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : {}
	fs.writeFileSync(file, JSON.stringify({ ...context, s3PrefixList: process.argv[1] }, null, 2) + "\n")
' "$list"

npx tsc
npx cdk deploy --require-approval never WebNetwork WebRepository WebTask
output() {
	aws cloudformation describe-stacks --stack-name WebNetwork \
		--query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}
sed -e "s/SUBNETS/$(output Subnets)/" -e "s/TASKGROUP/$(output TaskGroup)/" -e "s|TESTADDRESS|$(output TestAddress)|" \
	drawbridge.yaml >drawbridge.deployed.yaml
if [ -n "${IMAGE:-}" ]; then # the first image: it has to be there before the service is
	docker push "$IMAGE"
fi
drawbridge deploy --config drawbridge.deployed.yaml --yes
npx cdk deploy --require-approval never --all
drawbridge status --config drawbridge.deployed.yaml
