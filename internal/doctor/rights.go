package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/scheduler"
)

// right is an action on a resource that somebody needs, and what for.
type right struct{ action, resource, what string }

// executionRights returns what a task's execution role needs to start it.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
func (d *Doctor) executionRights(ctx context.Context, def *types.TaskDefinition) (out []right) {
	add := func(what, resource string, actions ...string) {
		for _, a := range actions {
			if r := (right{a, resource, what}); !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	for _, c := range def.ContainerDefinitions {
		if host, path, _ := strings.Cut(aws.ToString(c.Image), "/"); strings.Contains(host, ".dkr.ecr.") {
			account, _, _ := strings.Cut(host, ".")
			repository, _, _ := strings.Cut(path, "@")
			repository, _, _ = strings.Cut(repository, ":")
			add("pull its image", "*", "ecr:GetAuthorizationToken")
			add("pull its image", d.arn("ecr", account, "repository/"+repository), "ecr:BatchGetImage",
				"ecr:GetDownloadUrlForLayer")
		}
		secrets := slices.Clone(c.Secrets)
		if l := c.LogConfiguration; l != nil && l.LogDriver == types.LogDriverAwslogs {
			stream := "log-group:" + l.Options["awslogs-group"] + ":log-stream:x"
			add("write its log", d.arn("logs", d.place.Account, stream),
				"logs:CreateLogStream", "logs:PutLogEvents")
			if l.Options["awslogs-create-group"] == "true" {
				add("make its log group", d.arn("logs", d.place.Account, "log-group:"+l.Options["awslogs-group"]+":*"),
					"logs:CreateLogGroup")
			}
			secrets = append(secrets, l.SecretOptions...)
		}
		for _, s := range secrets {
			from := aws.ToString(s.ValueFrom)
			if a, err := arn.Parse(from); err == nil && a.Service == "secretsmanager" {
				add("read the secret "+secretName(from), d.wholeARN(ctx, from), "secretsmanager:GetSecretValue")
			} else {
				add("read the parameter "+parameterName(from), d.parameterARN(from), "ssm:GetParameters")
			}
		}
	}
	return out
}

// wholeARN returns the ARN of the secret in a valueFrom as it is, which the valueFrom may have without
// its last letters; as it is written where the secret cannot be read.
func (d *Doctor) wholeARN(ctx context.Context, from string) string {
	out, err := d.vault.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(secretARN(from))})
	if err != nil || out.ARN == nil {
		return secretARN(from)
	}
	return *out.ARN
}

// arn returns the ARN of a resource in the doctor's Region.
func (d *Doctor) arn(service, account, resource string) string {
	return arn.ARN{
		Partition: endpoints.Partition(d.place.Region), Service: service, Region: d.place.Region,
		AccountID: account, Resource: resource,
	}.String()
}

// secretARN returns the ARN in a valueFrom, without the key, stage and version that may follow.
func secretARN(from string) string {
	parts := strings.SplitN(from, ":", 8)
	return strings.Join(parts[:min(7, len(parts))], ":")
}

func secretName(from string) string {
	a, err := arn.Parse(secretARN(from))
	if err != nil {
		return from
	}
	return strings.TrimPrefix(a.Resource, "secret:")
}

// parameterName returns the name of the parameter that a valueFrom means.
func parameterName(from string) string {
	if a, err := arn.Parse(from); err == nil {
		return strings.TrimPrefix(a.Resource, "parameter")
	}
	return from
}

func (d *Doctor) parameterARN(from string) string {
	if arn.IsARN(from) {
		return from
	}
	return d.arn("ssm", d.place.Account, "parameter/"+strings.TrimPrefix(from, "/"))
}

// policies checks that the execution role may do what starts the task, by IAM's own simulation.
func (d *Doctor) policies(ctx context.Context, name scheduler.JobName, role string, def *types.TaskDefinition) {
	t := d.findings.Topic("role policies", "job "+string(name),
		"a task whose execution role lacks a right does not start")
	missing, err := d.missing(ctx, role, d.executionRights(ctx, def))
	if err != nil {
		t.Unread(err)
		return
	}
	short := role[strings.LastIndex(role, "/")+1:]
	for _, m := range missing {
		t.Fail("attach AmazonECSTaskExecutionRolePolicy, or a policy that allows "+m.action+" on "+m.resource,
			"%s may not %s: no policy allows %s", short, m.what, m.action)
	}
	if len(missing) == 0 {
		t.OK("%s may pull, log and read what the task definition names", short)
	}
}

// missing returns the rights that a principal does not have. What depends on the context of a
// call, as a condition has it, counts as had.
func (d *Doctor) missing(ctx context.Context, principal string, rights []right) (out []right, err error) {
	byResource := map[string][]string{}
	for _, r := range rights {
		byResource[r.resource] = append(byResource[r.resource], r.action)
	}
	denied := map[string]bool{}
	for resource, actions := range byResource {
		in := &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: &principal, ActionNames: actions, ResourceArns: []string{resource},
		}
		pages := iam.NewSimulatePrincipalPolicyPaginator(d.iam, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, awserr.Mark(err, "simulate the policies of %s", principal)
			}
			for _, r := range page.EvaluationResults {
				if r.EvalDecision != iamtypes.PolicyEvaluationDecisionTypeAllowed && len(r.MissingContextValues) == 0 {
					denied[aws.ToString(r.EvalActionName)+" "+resource] = true
				}
			}
		}
	}
	for _, r := range rights {
		if denied[r.action+" "+r.resource] {
			out = append(out, r)
		}
	}
	return out, nil
}

// caller checks that who calls may deploy.
func (d *Doctor) caller(ctx context.Context) {
	t := d.findings.Topic("rights", "who calls", "drawbridge deploy stops half-way without a right")
	principal, err := d.principal(ctx)
	if err != nil {
		t.Unread(err)
		return
	}
	if principal == "" {
		return // the root user, or another that IAM does not simulate
	}
	rights := d.deployRights()
	if !d.installer.MakesRoles(ctx, d.config.Name) {
		rights = slices.DeleteFunc(rights, func(r right) bool { return r.action == "iam:CreateRole" })
	}
	missing, err := d.missing(ctx, principal, rights)
	if err != nil {
		t.Unread(err)
		return
	}
	var actions []string
	for _, m := range missing {
		actions = append(actions, m.action)
	}
	if len(actions) > 0 {
		t.Fail("add the statements of docs/policies/deployer.json", "%s lacks %s", principal,
			strings.Join(actions, ", "))
		return
	}
	t.OK("%s may deploy", principal)
}

// deployRights are the actions that a deployment begins with, of each service that it uses.
func (d *Doctor) deployRights() []right {
	name, partition := d.config.Name, endpoints.Partition(d.place.Region)
	role := fmt.Sprintf("arn:%s:iam::%s:role/%s-x", partition, d.place.Account, name)
	stack := d.arn("cloudformation", d.place.Account, "stack/"+name+"/x")
	bucket := "arn:" + partition + ":s3:::" + d.installer.Bucket(name)
	return []right{
		{"cloudformation:CreateChangeSet", stack, ""},
		{"cloudformation:ExecuteChangeSet", stack, ""},
		{"cloudformation:UpdateTerminationProtection", stack, ""},
		{"s3:CreateBucket", bucket, ""},
		{"s3:PutObject", bucket + "/x", ""},
		{"iam:CreateRole", role, ""},
		{"iam:PassRole", role, ""},
		{"lambda:CreateFunction", d.arn("lambda", d.place.Account, "function:"+name+"-launcher"), ""},
		{"dynamodb:CreateTable", d.arn("dynamodb", d.place.Account, "table/"+name), ""},
		{"sqs:CreateQueue", d.arn("sqs", d.place.Account, name+"-events"), ""},
		{"events:PutRule", d.arn("events", d.place.Account, "rule/"+name+"-x"), ""},
		{"scheduler:CreateScheduleGroup", d.arn("scheduler", d.place.Account, "schedule-group/"+name), ""},
		{"logs:CreateLogGroup", d.arn("logs", d.place.Account, "log-group:/aws/lambda/"+name+"-launcher"), ""},
		{"ec2:CreateSecurityGroup", "*", ""},
	}
}

// principal returns the ARN of who calls as IAM simulates it: of an assumed role, the role's.
// It is empty for one that IAM does not simulate.
func (d *Doctor) principal(ctx context.Context) (string, error) {
	id, err := sts.NewFromConfig(d.aws).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", awserr.Mark(err, "ask AWS who calls")
	}
	a, err := arn.Parse(aws.ToString(id.Arn))
	if err != nil {
		return "", fmt.Errorf("read who calls: %w", err)
	}
	switch kind, rest, _ := strings.Cut(a.Resource, "/"); kind {
	case "user":
		return a.String(), nil
	case "assumed-role":
		name, _, _ := strings.Cut(rest, "/")
		out, err := d.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
		if err != nil {
			return "", awserr.Mark(err, "read role %s", name)
		}
		return aws.ToString(out.Role.Arn), nil
	}
	return "", nil
}
