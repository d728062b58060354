package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	"drawbridge/internal/doctor/finding"
	"drawbridge/scheduler"
)

func (d *Doctor) cluster(ctx context.Context, name string) {
	t := d.findings.Topic("cluster", name, "tasks run in it")
	if name == d.config.ECSCluster {
		t.OK("deploy creates it")
		return
	}
	out, err := d.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{name}})
	switch {
	case err != nil:
		t.Unread(err)
	case len(out.Clusters) == 0:
		t.Fail("create it, or have deploy create it with ecsCluster: "+name, "it does not exist in %s", d.place.Region)
	case aws.ToString(out.Clusters[0].Status) != "ACTIVE":
		t.Fail("use an active cluster", "it is %s", aws.ToString(out.Clusters[0].Status))
	default:
		t.OK("active")
	}
}

func (d *Doctor) job(ctx context.Context, name scheduler.JobName) {
	job := d.config.Jobs[name]
	t := d.findings.Topic("task definition", "job "+string(name), "it defines what the job runs")
	out, err := d.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{
		TaskDefinition: aws.String(job.TaskDefinition),
	})
	if err != nil {
		if code := awserr.Code(err); code == "ClientException" && job.Made {
			t.OK("deploy creates it")
			d.needs(ctx, name)
		} else if code == "ClientException" {
			t.Fail("register "+job.TaskDefinition+" in "+d.place.Region, "%s: %s", job.TaskDefinition,
				finding.Said(err))
		} else {
			t.Unread(err)
		}
		return
	}
	def := out.TaskDefinition
	id := fmt.Sprintf("%s:%d", aws.ToString(def.Family), def.Revision)
	switch {
	case def.Status != types.TaskDefinitionStatusActive:
		t.Fail("name an active revision", "%s is %s", id, def.Status)
	case def.NetworkMode != types.NetworkModeAwsvpc:
		t.Fail("register it with network mode awsvpc", "%s has network mode %s", id, def.NetworkMode)
	case !slices.Contains(def.RequiresCompatibilities, types.CompatibilityFargate):
		t.Fail("register it with FARGATE in requiresCompatibilities", "%s is not for Fargate", id)
	default:
		t.OK("%s, %s CPU units, %s MiB", id, aws.ToString(def.Cpu), aws.ToString(def.Memory))
	}
	d.container(name, job, def)
	d.needs(ctx, name)
	if role := aws.ToString(def.ExecutionRoleArn); d.role(ctx, name, "execution role", role, true) {
		d.policies(ctx, name, role, def)
	}
	d.role(ctx, name, "task role", aws.ToString(def.TaskRoleArn), false)
	d.vcpus(ctx, name, def)
	for _, c := range def.ContainerDefinitions {
		d.image(ctx, name, aws.ToString(c.Image))
		d.secrets(ctx, name, c)
		d.logGroup(ctx, name, c)
	}
}

func (d *Doctor) container(name scheduler.JobName, job config.Job, def *types.TaskDefinition) {
	t := d.findings.Topic("container", "job "+string(name), "events are passed to it")
	var names []string
	for _, c := range def.ContainerDefinitions {
		names = append(names, aws.ToString(c.Name))
	}
	if !slices.Contains(names, job.Container) {
		t.Fail("set jobs."+string(name)+".container to one of "+strings.Join(names, ", "),
			"the task definition has no container %s", job.Container)
		return
	}
	t.OK("%s", job.Container)
}

// role checks a role of the task definition and its trust policy. It reports whether tasks can
// assume one.
func (d *Doctor) role(ctx context.Context, name scheduler.JobName, kind, roleARN string, needed bool) bool {
	t := d.findings.Topic(kind, "job "+string(name),
		map[bool]string{
			true:  "Fargate pulls the image, reads secrets and writes logs with it",
			false: "the job's own calls to AWS are made with it",
		}[needed])
	if roleARN == "" {
		if needed {
			t.Fail("give the task definition an execution role with AmazonECSTaskExecutionRolePolicy",
				"the task definition names none")
		} else {
			t.OK("the task definition names none")
		}
		return false
	}
	role := roleARN[strings.LastIndex(roleARN, "/")+1:]
	out, err := d.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: &role})
	if awserr.Code(err) == "NoSuchEntity" {
		t.Fail("create it, or register the task definition with another role", "role %s does not exist", role)
		return false
	}
	if err != nil {
		t.Unread(err)
		return false
	}
	trust, err := url.QueryUnescape(aws.ToString(out.Role.AssumeRolePolicyDocument))
	if err != nil {
		t.Unread(err)
		return false
	}
	if !strings.Contains(trust, "ecs-tasks.amazonaws.com") {
		t.Fail("allow ecs-tasks.amazonaws.com to assume it", "%s cannot be assumed by ECS tasks", role)
		return false
	}
	t.OK("%s", role)
	return true
}

// vcpus compares a task's size with the quota of Fargate.
func (d *Doctor) vcpus(ctx context.Context, name scheduler.JobName, def *types.TaskDefinition) {
	t := d.findings.Topic("quota", "job "+string(name), "Fargate runs a limited number of vCPUs at a time")
	limit, err := d.quota(ctx, "fargate", "L-3032A538")
	if err != nil {
		t.Unread(err)
		return
	}
	units, err := strconv.ParseFloat(aws.ToString(def.Cpu), 64)
	if err != nil {
		return // checked by ECS itself
	}
	if n := limit * 1024 / units; n < 1 {
		t.Fail("request a higher quota in Service Quotas (fargate, L-3032A538)",
			"one task takes %.2f vCPUs (quota %.0f)",
			units/1024, limit)
	} else {
		t.OK("tasks at a time with nothing else running: %.0f (quota %.0f vCPUs)", n, limit)
	}
}

// image checks an image in the account's own registry.
func (d *Doctor) image(ctx context.Context, name scheduler.JobName, image string) {
	t := d.findings.Topic("image", "job "+string(name),
		"a private subnet reaches only the ECR registry of its Region")
	if p := endpoints.Placeholder(image); p != "" {
		t.Warn("register a revision that names an image, as the pipeline's first execution does, before the job runs",
			"%s is not an image yet: %s is a placeholder; it is taken for one in ECR", image, p)
		return
	}
	host, path, _ := strings.Cut(image, "/")
	account, rest, private := strings.Cut(host, ".dkr.ecr.")
	if !private {
		t.Fail("push it to ECR in "+d.place.Region, "%s is not in a private ECR registry", image)
		return
	}
	if region, _, _ := strings.Cut(rest, "."); region != d.place.Region {
		t.Fail("push it to ECR in "+d.place.Region, "%s is in %s", image, region)
		return
	}
	repository, tag, tagged := strings.Cut(path, ":")
	id := ecrtypes.ImageIdentifier{ImageTag: aws.String("latest")}
	if tagged {
		id.ImageTag = &tag
	}
	if before, digest, ok := strings.Cut(path, "@"); ok {
		repository, id = before, ecrtypes.ImageIdentifier{ImageDigest: &digest}
		repository, _, _ = strings.Cut(repository, ":")
	}
	_, err := d.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{
		RegistryId: &account, RepositoryName: &repository, ImageIds: []ecrtypes.ImageIdentifier{id},
	})
	switch awserr.Code(err) {
	case "RepositoryNotFoundException":
		t.Fail("aws ecr create-repository --repository-name "+repository+", and push the image",
			"there is no repository %s in account %s", repository, account)
	case "ImageNotFoundException":
		t.Fail("push "+image, "repository %s has no image %s", repository,
			cmp.Or(aws.ToString(id.ImageTag), aws.ToString(id.ImageDigest)))
	default:
		if err != nil {
			t.Unread(err)
			return
		}
		t.OK("%s", image)
	}
}

// secrets looks for the secrets and parameters that a container is given.
func (d *Doctor) secrets(ctx context.Context, name scheduler.JobName, c types.ContainerDefinition) {
	t := d.findings.Topic("secrets", "job "+string(name), "a task whose secret is missing does not start")
	all := slices.Clone(c.Secrets)
	if c.LogConfiguration != nil {
		all = append(all, c.LogConfiguration.SecretOptions...)
	}
	if r := c.RepositoryCredentials; r != nil && r.CredentialsParameter != nil {
		all = append(all, types.Secret{
			Name: aws.String("credentials of the registry"), ValueFrom: r.CredentialsParameter,
		})
	}
	for _, s := range all {
		from := aws.ToString(s.ValueFrom)
		if a, err := arn.Parse(from); err == nil && a.Service == "secretsmanager" {
			out, err := d.vault.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{
				SecretId: aws.String(secretARN(from)),
			})
			switch {
			case awserr.Code(err) == "ResourceNotFoundException":
				t.Fail("create it in Secrets Manager, or correct its ARN", "%s: there is no secret %s",
					aws.ToString(s.Name), secretARN(from))
			case err != nil:
				t.Unread(err)
			case out.DeletedDate != nil:
				t.Fail("aws secretsmanager restore-secret --secret-id "+aws.ToString(out.ARN),
					"%s: secret %s is being deleted", aws.ToString(s.Name), aws.ToString(out.Name))
			default:
				t.OK("%s: %s", aws.ToString(s.Name), aws.ToString(out.Name))
			}
			continue
		}
		parameter := parameterName(from)
		out, err := d.parameters.GetParameters(ctx, &ssm.GetParametersInput{
			Names: []string{parameter}, WithDecryption: aws.Bool(false),
		})
		switch {
		case err != nil:
			t.Unread(err)
		case len(out.InvalidParameters) > 0:
			t.Fail("create it in Parameter Store, or correct its name", "%s: there is no parameter %s",
				aws.ToString(s.Name), parameter)
		default:
			t.OK("%s: parameter %s", aws.ToString(s.Name), parameter)
		}
	}
}

// logGroup looks for the group that a container logs to: Fargate does not make it.
func (d *Doctor) logGroup(ctx context.Context, name scheduler.JobName, c types.ContainerDefinition) {
	t := d.findings.Topic("log group", "job "+string(name), "a task whose log group is missing does not start")
	if c.LogConfiguration == nil {
		d.findings.Topic("log", "job "+string(name),
			"a run that fails leaves no trace, and drawbridge logs shows nothing").
			Warn("give it the awslogs driver with a group, the Region and a stream prefix", "container %s has no log",
				aws.ToString(c.Name))
		return
	}
	if c.LogConfiguration.LogDriver != types.LogDriverAwslogs {
		return
	}
	group := c.LogConfiguration.Options["awslogs-group"]
	if c.LogConfiguration.Options["awslogs-create-group"] == "true" {
		t.OK("%s, made by the task if it is missing", group)
		return
	}
	out, err := d.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group})
	if err != nil {
		t.Unread(err)
		return
	}
	for _, g := range out.LogGroups {
		if aws.ToString(g.LogGroupName) == group {
			t.OK("%s", group)
			return
		}
	}
	t.Fail("aws logs create-log-group --log-group-name "+group, "%s does not exist", group)
}
