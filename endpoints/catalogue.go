// Package endpoints knows which VPC endpoints a job needs, what they are called
// in each Region and partition, and which of them a VPC already has. It reads no
// clock and never calls AWS.
package endpoints

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Type is the kind of an endpoint, which decides how it is attached to a VPC.
type Type string

// Drawbridge works with two types. An interface endpoint is billed for every
// started hour in every zone; a gateway endpoint is free.
const (
	Interface Type = "interface"
	Gateway   Type = "gateway"
)

// ServiceID names an AWS service as an endpoint offers it: the part of the
// endpoint service name after the Region, such as "ecr.api".
type ServiceID string

// Service describes one AWS service that private tasks reach through an
// endpoint.
type Service struct {
	ID ServiceID
	// Type is Interface or Gateway.
	Type Type
	// Host is the private DNS name in the aws partition, with REGION as the
	// placeholder for the Region. It is empty for a gateway, which works
	// through routes.
	Host string
	// Policy is true if the service supports endpoint policies.
	Policy bool
	// Purpose is a short phrase for what a task uses the service for.
	Purpose string
}

// catalogue lists every service that a set may name, in order of ID.
//
// Source of names and of policy support: "AWS services that integrate with AWS
// PrivateLink", https://docs.aws.amazon.com/vpc/latest/privatelink/aws-services-privatelink-support.html
var catalogue = []Service{
	{"athena", Interface, "athena.REGION.amazonaws.com", true, "Athena queries"},
	{"autoscaling", Interface, "autoscaling.REGION.amazonaws.com", true, "EC2 Auto Scaling"},
	{"batch", Interface, "batch.REGION.amazonaws.com", true, "AWS Batch"},
	{"bedrock", Interface, "bedrock.REGION.amazonaws.com", true, "the Bedrock API"},
	{"bedrock-runtime", Interface, "bedrock-runtime.REGION.amazonaws.com", true, "models on Bedrock"},
	{"cloudformation", Interface, "cloudformation.REGION.amazonaws.com", true, "CloudFormation stacks"},
	{"codebuild", Interface, "codebuild.REGION.amazonaws.com", true, "calls to the CodeBuild API"},
	{"codecommit", Interface, "codecommit.REGION.amazonaws.com", true, "calls to the CodeCommit API"},
	{"codedeploy", Interface, "codedeploy.REGION.amazonaws.com", true, "CodeDeploy deployments and lifecycle hooks"},
	{
		"codedeploy-commands-secure", Interface, "codedeploy-commands-secure.REGION.amazonaws.com", true,
		"CodeDeploy agents on EC2 and on premises",
	},
	{"codepipeline", Interface, "codepipeline.REGION.amazonaws.com", true, "calls to the CodePipeline API"},
	{"dynamodb", Gateway, "", true, "DynamoDB tables"},
	{"ec2", Interface, "ec2.REGION.amazonaws.com", true, "the EC2 API"},
	{"ec2messages", Interface, "ec2messages.REGION.amazonaws.com", true, "Systems Manager on instances"},
	{"ecr.api", Interface, "api.ecr.REGION.amazonaws.com", true, "the login to a private ECR registry"},
	{"ecr.dkr", Interface, "*.dkr.ecr.REGION.amazonaws.com", true, "image manifests of a private ECR registry"},
	{"ecs", Interface, "ecs.REGION.amazonaws.com", true, "the ECS API; ECS tasks on EC2"},
	{"ecs-agent", Interface, "ecs-a.REGION.amazonaws.com", false, "the ECS agent on EC2"},
	{"ecs-telemetry", Interface, "ecs-t.REGION.amazonaws.com", false, "the ECS agent on EC2"},
	{
		"elasticfilesystem", Interface, "elasticfilesystem.REGION.amazonaws.com", true,
		"the EFS API and EFS with IAM authorisation",
	},
	{"elasticloadbalancing", Interface, "elasticloadbalancing.REGION.amazonaws.com", true, "load balancers"},
	{"events", Interface, "events.REGION.amazonaws.com", true, "EventBridge"},
	{"git-codecommit", Interface, "git-codecommit.REGION.amazonaws.com", true, "git over HTTPS to CodeCommit"},
	{"glue", Interface, "glue.REGION.amazonaws.com", true, "Glue jobs and the data catalogue"},
	{"kinesis-firehose", Interface, "firehose.REGION.amazonaws.com", true, "Firehose streams, as FireLens writes to"},
	{"kinesis-streams", Interface, "kinesis.REGION.amazonaws.com", true, "Kinesis streams, as FireLens writes to"},
	{"kms", Interface, "kms.REGION.amazonaws.com", true, "KMS keys that the task itself uses"},
	{"lambda", Interface, "lambda.REGION.amazonaws.com", true, "Lambda functions that the task calls"},
	{"logs", Interface, "logs.REGION.amazonaws.com", true, "the awslogs driver and CloudWatch Logs"},
	{"monitoring", Interface, "monitoring.REGION.amazonaws.com", true, "CloudWatch metrics"},
	{"rds", Interface, "rds.REGION.amazonaws.com", true, "the RDS API"},
	{"rds-data", Interface, "rds-data.REGION.amazonaws.com", true, "the Data API of Aurora"},
	{"redshift-data", Interface, "redshift-data.REGION.amazonaws.com", true, "the Data API of Redshift"},
	{"s3", Gateway, "", true, "image layers of ECR, S3 buckets, environment files"},
	{"sagemaker.api", Interface, "api.sagemaker.REGION.amazonaws.com", true, "the SageMaker API"},
	{"sagemaker.runtime", Interface, "runtime.sagemaker.REGION.amazonaws.com", true, "models on SageMaker"},
	{"secretsmanager", Interface, "secretsmanager.REGION.amazonaws.com", true, "secrets of the task definition"},
	{"servicediscovery", Interface, "servicediscovery.REGION.amazonaws.com", true, "the Cloud Map API"},
	{"sns", Interface, "sns.REGION.amazonaws.com", true, "SNS topics"},
	{"sqs", Interface, "sqs.REGION.amazonaws.com", true, "SQS queues"},
	{"ssm", Interface, "ssm.REGION.amazonaws.com", true, "SSM parameters of the task definition"},
	{"ssmmessages", Interface, "ssmmessages.REGION.amazonaws.com", true, "ECS Exec"},
	{"states", Interface, "states.REGION.amazonaws.com", true, "Step Functions"},
	{"sts", Interface, "sts.REGION.amazonaws.com", true, "roles that the task assumes"},
	{"textract", Interface, "textract.REGION.amazonaws.com", true, "Textract"},
	{"xray", Interface, "xray.REGION.amazonaws.com", true, "X-Ray traces"},
}

// Default returns the services of a set that names none: what a Fargate task
// with a private ECR image, awslogs, a Secrets Manager secret and a CodeDeploy
// hook needs, five interface endpoints and the free S3 gateway, in order of ID.
func Default() []ServiceID {
	return []ServiceID{"codedeploy", "ecr.api", "ecr.dkr", "logs", "s3", "secretsmanager"}
}

// Lookup returns the catalogue's entry for id. The error names the nearest ids.
func Lookup(id ServiceID) (Service, error) {
	i, ok := slices.BinarySearchFunc(catalogue, id, func(s Service, id ServiceID) int {
		return strings.Compare(string(s.ID), string(id))
	})
	if !ok {
		return Service{}, &UnknownServiceError{ID: id}
	}
	return catalogue[i], nil
}

// All returns the whole catalogue in order of ID. The slice is the caller's.
func All() []Service { return slices.Clone(catalogue) }

// Resolve looks up ids, drops duplicates and returns the services in order of
// ID, so that the order of the input does not matter.
func Resolve(ids []ServiceID) ([]Service, error) {
	var out []Service
	for _, id := range ids {
		s, err := Lookup(id)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return slices.CompactFunc(out, func(a, b Service) bool { return a.ID == b.ID }), nil
}

// prefixed are the services whose interface endpoint names start with a prefix of the
// partition; the others start with com.amazonaws everywhere.
//
// Source: aws-cdk-lib 2.276.0, aws-ec2/lib/vpc-endpoint.ts, getDefaultEndpointPrefix.
var prefixed = map[string]struct {
	prefix   string
	services []ServiceID
}{
	"aws-cn": {"cn.com.amazonaws.", []ServiceID{
		"athena", "autoscaling", "batch", "cloudformation", "codedeploy-commands-secure", "ec2", "ecr.api", "ecr.dkr",
		"elasticfilesystem", "kinesis-streams",
		"lambda", "monitoring", "rds", "redshift-data", "sagemaker.api", "sagemaker.runtime", "sqs", "states", "sts",
		"xray",
	}},
	"aws-eusc": {"eu.amazonaws.", []ServiceID{"ecr.api", "ecr.dkr"}},
}

// Name returns the endpoint service name in region, such as
// "com.amazonaws.us-east-1.ecr.api", or "cn.com.amazonaws.cn-north-1.ecr.api".
func (s Service) Name(region string) string {
	prefix := "com.amazonaws."
	if p := prefixed[Partition(region)]; s.Type == Interface && slices.Contains(p.services, s.ID) {
		prefix = p.prefix
	}
	return prefix + region + "." + string(s.ID)
}

// PrivateDNS returns the private DNS name that the endpoint answers for in
// region, or "" for a gateway.
func (s Service) PrivateDNS(region string) string {
	if s.Host == "" {
		return ""
	}
	return strings.Replace(s.Host, "REGION.amazonaws.com", region+"."+DNSSuffix(region), 1)
}

// Partition returns the partition that region belongs to: aws, aws-cn, aws-us-gov or
// aws-eusc.
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	case strings.HasPrefix(region, "eusc-"):
		return "aws-eusc"
	}
	return "aws"
}

// DNSSuffix returns the domain suffix of service hosts in region.
func DNSSuffix(region string) string {
	switch Partition(region) {
	case "aws-cn":
		return "amazonaws.com.cn"
	case "aws-eusc":
		return "amazonaws.eu"
	}
	return "amazonaws.com"
}

// BillingRegion returns the Region in which the partition of region serves its Price
// List and Cost Explorer, or an error for one that serves neither.
//
// Source: the endpoints of both services, https://docs.aws.amazon.com/general/latest/gr/billing.html
// and https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-Beijing.html
func BillingRegion(region string) (string, error) {
	switch p := Partition(region); p {
	case "aws":
		return "us-east-1", nil
	case "aws-cn":
		return "cn-northwest-1", nil
	default:
		return "", &noBillingError{p}
	}
}

// noBillingError reports a partition without prices and bills of its own.
type noBillingError struct{ partition string }

func (e *noBillingError) Error() string {
	return "partition " + e.partition + " serves neither a Price List nor Cost Explorer"
}

// Hint names the account and the setting to use instead.
func (e *noBillingError) Hint() string {
	return "its charges are on the bill of the linked account in partition aws: query that account, and set the " +
		"price in endpointPrice"
}

// UnknownServiceError reports a service that is not in the catalogue.
type UnknownServiceError struct{ ID ServiceID }

func (e *UnknownServiceError) Error() string { return fmt.Sprintf("unknown service %q", e.ID) }

// Hint lists the ids in the catalogue.
func (e *UnknownServiceError) Hint() string {
	ids := make([]string, len(catalogue))
	for i, s := range catalogue {
		ids[i] = string(s.ID)
	}
	return "use one of " + strings.Join(ids, ", ")
}
