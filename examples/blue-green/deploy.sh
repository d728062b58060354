#!/bin/sh
# Brings up all of it in the order that a first installation needs: the network and the images, Drawbridge, and the service
# last, because the pause in its creation has to find somebody who answers it. With the next image, it deploys that.
#
#   IMAGE=ACCOUNT.dkr.ecr.REGION.amazonaws.com/web:1 ./deploy.sh
set -eu
cd "$(dirname "$0")"
: "${AWS_REGION:?name the Region}" "${IMAGE:?name the image, with its tag, as in ACCOUNT.dkr.ecr.REGION.amazonaws.com/web:1}"
tag=${IMAGE##*:}
list=$(aws ec2 describe-managed-prefix-lists --filters "Name=prefix-list-name,Values=com.amazonaws.$AWS_REGION.s3" \
	--query 'PrefixLists[0].PrefixListId' --output text)
node -e '
	const fs = require("fs"), file = "cdk.context.json"
	const context = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : {}
	const [s3PrefixList, imageTag] = process.argv.slice(1)
	fs.writeFileSync(file, JSON.stringify({ ...context, s3PrefixList, imageTag }, null, 2) + "\n")
' "$list" "$tag"

npx tsc
npx cdk deploy --require-approval never WebNetwork WebRepository WebTask
# A tag of the repository is not written twice.
aws ecr describe-images --repository-name web --image-ids "imageTag=$tag" >/dev/null 2>&1 || docker push "$IMAGE"

output() {
	aws cloudformation describe-stacks --stack-name WebNetwork \
		--query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}
subnets=$(output Subnets) tasks=$(output TaskGroup) smoke=$(output SmokeGroup) address=$(output TestAddress)
sed -e "s/SUBNETS/$subnets/" -e "s/TASKGROUP/$tasks/" -e "s/SMOKEGROUP/$smoke/" -e "s|TESTADDRESS|$address|" \
	drawbridge.yaml >drawbridge.deployed.yaml
drawbridge deploy --config drawbridge.deployed.yaml --yes
npx cdk deploy --require-approval never --all

newest=$(aws ecs describe-task-definition --task-definition web --query taskDefinition.taskDefinitionArn --output text)
deployed=$(aws ecs describe-services --cluster web --services web --query 'services[0].taskDefinition' --output text)
if [ "$newest" != "$deployed" ]; then
	aws ecs update-service --cluster web --service web --task-definition "$newest" --query service.serviceArn --output text
fi
drawbridge status --config drawbridge.deployed.yaml
