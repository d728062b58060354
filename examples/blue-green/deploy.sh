#!/bin/sh
# Brings up all of it in the order that a first installation needs: the network and the images, Drawbridge, and the service
# last, because the pause in its creation has to find somebody who answers it. With the next image, it deploys that.
#
#   IMAGE=ACCOUNT.dkr.ecr.REGION.amazonaws.com/web:1 ./deploy.sh
#
# CONTROLLER=CODE_DEPLOY has CodeDeploy deploy the service, from its creation on; CONNECTION=ARN and SOURCE=ORG/NAME add a
# pipeline to that.
set -eu
cd "$(dirname "$0")"
: "${AWS_REGION:?name the Region}" "${IMAGE:?name the image, with its tag, as in ACCOUNT.dkr.ecr.REGION.amazonaws.com/web:1}"
tag=${IMAGE##*:} controller=${CONTROLLER:-ECS}
case $controller in
ECS) config=drawbridge.yaml ;;
CODE_DEPLOY) config=drawbridge.codedeploy.yaml ;;
*)
	echo "CONTROLLER=$controller: want ECS or CODE_DEPLOY" >&2
	exit 2
	;;
esac
if [ -n "${CONNECTION:-}${SOURCE:-}" ] && { [ "$controller" = ECS ] || [ -z "${CONNECTION:-}" ] || [ -z "${SOURCE:-}" ]; }; then
	echo "a pipeline needs CONTROLLER=CODE_DEPLOY, CONNECTION and SOURCE; unset CONNECTION and SOURCE to go without" >&2
	exit 2
fi
list=$(aws ec2 describe-managed-prefix-lists --filters "Name=prefix-list-name,Values=com.amazonaws.$AWS_REGION.s3" \
	--query 'PrefixLists[0].PrefixListId' --output text)
node -e '
	const fs = require("fs"), file = "cdk.context.json"
	const context = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : {}
	const [s3PrefixList, imageTag, controller, connection, source] = process.argv.slice(1)
	fs.writeFileSync(file, JSON.stringify({ ...context, s3PrefixList, imageTag, controller, connection, source }, null, 2) + "\n")
' "$list" "$tag" "$controller" "${CONNECTION:-}" "${SOURCE:-}"

npx tsc
npx cdk deploy --require-approval never WebNetwork WebRepository WebTask
# A tag of the repository is not written twice.
aws ecr describe-images --repository-name web --image-ids "imageTag=$tag" >/dev/null 2>&1 || docker push "$IMAGE"

output() {
	aws cloudformation describe-stacks --stack-name WebNetwork \
		--query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}
subnets=$(output Subnets) tasks=$(output TaskGroup) smoke=$(output SmokeGroup) address=$(output TestAddress)
shifted=$(output Shifted)
sed -e "s/SUBNETS/$subnets/" -e "s/TASKGROUP/$tasks/" -e "s/SMOKEGROUP/$smoke/" -e "s|TESTADDRESS|$address|" \
	-e "s|SHIFTED|$shifted|" "$config" >drawbridge.deployed.yaml
# The cluster and the tasks come with what is deployed after it: --force goes on without them.
drawbridge deploy --config drawbridge.deployed.yaml --yes --force
if [ "$controller" = CODE_DEPLOY ]; then
	# The creation of the service is no deployment of CodeDeploy's: without a hold its first tasks could not pull.
	drawbridge hold main --deployment create --for 1h --reason "first tasks of web" --wait --config drawbridge.deployed.yaml
fi
npx cdk deploy --require-approval never --all
[ "$controller" = ECS ] || drawbridge release main --deployment create --config drawbridge.deployed.yaml

# An alarm that sounds already stops CodeDeploy at once, and ECS does not look at it again.
sounding=$(aws cloudwatch describe-alarms --alarm-name-prefix web- --state-value ALARM --query 'MetricAlarms[].AlarmName' --output text)
if [ -n "$sounding" ]; then
	echo "nothing is deployed while alarms sound: $sounding" >&2
	exit 1
fi
newest=$(aws ecs describe-task-definition --task-definition web --query taskDefinition.taskDefinitionArn --output text)
if [ -n "${CONNECTION:-}" ]; then
	echo "the pipeline deploys: it has started if it is new, and starts with each push"
elif [ "$controller" = CODE_DEPLOY ]; then
	deployed=$(aws ecs describe-services --cluster web --services web \
		--query "services[0].taskSets[?status=='PRIMARY'].taskDefinition" --output text)
	if [ "$newest" != "$deployed" ]; then
		node -e '
			const spec = require("fs").readFileSync("../service/appspec.yaml", "utf8").replace("<TASK_DEFINITION>", process.argv[1])
			console.log(JSON.stringify({ revisionType: "AppSpecContent", appSpecContent: { content: spec } }))
		' "$newest" >revision.json
		aws deploy create-deployment --application-name web --deployment-group-name web --revision file://revision.json \
			--query deploymentId --output text
	fi
else
	deployed=$(aws ecs describe-services --cluster web --services web --query 'services[0].taskDefinition' --output text)
	if [ "$newest" != "$deployed" ]; then
		aws ecs update-service --cluster web --service web --task-definition "$newest" --query service.serviceArn --output text
	fi
fi
drawbridge status --config drawbridge.deployed.yaml
