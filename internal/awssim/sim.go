// Package awssim is a simulated AWS, as far as private Fargate jobs behind VPC endpoints
// need it: one package per service over one kernel, on one HTTP handler. It has its own
// clock, a ledger of what really happened, and faults on demand.
package awssim

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"drawbridge/internal/awssim/autoscaling"
	"drawbridge/internal/awssim/cloudformation"
	"drawbridge/internal/awssim/cloudfront"
	"drawbridge/internal/awssim/cloudwatch"
	"drawbridge/internal/awssim/codebuild"
	"drawbridge/internal/awssim/codecommit"
	"drawbridge/internal/awssim/codeconnections"
	"drawbridge/internal/awssim/codedeploy"
	"drawbridge/internal/awssim/codepipeline"
	"drawbridge/internal/awssim/costexplorer"
	"drawbridge/internal/awssim/dynamodb"
	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/ecr"
	"drawbridge/internal/awssim/ecs"
	"drawbridge/internal/awssim/elbv2"
	"drawbridge/internal/awssim/eventbridge"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/kms"
	"drawbridge/internal/awssim/lambda"
	"drawbridge/internal/awssim/logs"
	"drawbridge/internal/awssim/pricing"
	"drawbridge/internal/awssim/route53"
	"drawbridge/internal/awssim/s3"
	"drawbridge/internal/awssim/scheduler"
	"drawbridge/internal/awssim/secretsmanager"
	"drawbridge/internal/awssim/servicequotas"
	"drawbridge/internal/awssim/sqs"
	"drawbridge/internal/awssim/ssm"
)

// Options configure a simulation; see kernel.Options.
type Options = kernel.Options

// Handler is a function that runs in this process.
type Handler = lambda.Handler

// Local is local code that replaces a function's zip; see lambda.Local.
type Local = lambda.Local

// NoBucket is the bucket of a function whose code StandIn gave.
const NoBucket = cloudformation.NoBucket

// InProcessKey is the access key of code inside the simulation's own process.
const InProcessKey = kernel.InProcessKey

// Sim is a simulated AWS: an account with the services in it. It is an http.Handler.
type Sim struct {
	*kernel.Kernel

	cloudformation *cloudformation.Service
	cloudfront     *cloudfront.Service
	codecommit     *codecommit.Service
	connections    *codeconnections.Service
	codedeploy     *codedeploy.Service
	dynamodb       *dynamodb.Service
	ec2            *ec2.Service
	ecr            *ecr.Service
	ecs            *ecs.Service
	elb            *elbv2.Service
	eventbridge    *eventbridge.Service
	iam            *iam.Service
	lambda         *lambda.Service
	logs           *logs.Service
	pricing        *pricing.Service
	s3             *s3.Service
	sqs            *sqs.Service
	hosts          map[string]bool // that take connections
}

// New returns a simulation and starts its clock. Close ends it.
func New(o Options) *Sim {
	k := kernel.New(o)
	k.Mu.Lock()
	defer k.Mu.Unlock()
	s := &Sim{Kernel: k, hosts: map[string]bool{}}
	s.iam = iam.New(k)
	s.logs = logs.New(k)
	s.s3 = s3.New(k)
	s.sqs = sqs.New(k)
	s.dynamodb = dynamodb.New(k)
	s.ecr = ecr.New(k)
	s.ecr.Serve(s.iam)
	s.pricing = pricing.New(k)
	s.ec2 = ec2.New(k)
	metrics := cloudwatch.New(k, s.sqs)
	secrets := secretsmanager.New(k, s.iam)
	s.ecs = ecs.New(k, metrics, s.ec2, s.iam, s.logs)
	s.ecs.Pulled = s.ecr.Pulled
	s.lambda = lambda.New(k, metrics, s.iam, s.logs, s.sqs)
	s.elb = elbv2.New(k)
	s.lambda.Reach = func(f *lambda.Function, service string) bool {
		return s.ecs.Reaches(f.Subnets[0], f.Groups, service)
	}
	instances := autoscaling.New(k, s.ec2)
	instances.Reach = s.ecs.Reaches
	services := ecs.NewServices(s.ecs, s.lambda, s.elb, instances)
	s.cloudfront = cloudfront.New(k)
	ssm.New(k)
	s.connections = codeconnections.New(k)
	builds := codebuild.New(k, s.logs)
	builds.Reach = s.ecs.Reaches
	pipelines := codepipeline.New(k, builds, s.connections, s.iam, s.lambda, s.s3)
	s.codedeploy = codedeploy.New(k, services, s.iam, s.lambda, s.elb)
	s.codedeploy.State = metrics.State
	metrics.Changed = func(name, state string) {
		if state == "ALARM" {
			s.codedeploy.Alarm(name)
			services.Alarm(name)
		}
	}
	s.eventbridge = eventbridge.New(k, s.lambda, s.sqs)
	schedules := scheduler.New(k, s.eventbridge, s.iam)
	s.codecommit = codecommit.New(k, s.iam)
	costexplorer.New(k, s.ec2)
	route53.New(k, s.ec2)
	servicequotas.New(k, s.ecs)
	s.cloudformation = cloudformation.New(k, cloudformation.Services{
		AutoScaling: instances, CloudWatch: metrics, CodeBuild: builds, CodeDeploy: s.codedeploy,
		CodePipeline: pipelines,
		ECSServices:  services, ELB: s.elb, DynamoDB: s.dynamodb, EC2: s.ec2, ECR: s.ecr, ECS: s.ecs,
		EventBridge: s.eventbridge, IAM: s.iam, KMS: kms.New(k), Lambda: s.lambda,
		Logs: s.logs, S3: s.s3, Scheduler: schedules, SecretsManager: secrets, SQS: s.sqs,
	})
	k.Paths["/_sim/"] = s.ServeControl
	if !o.NewAccount {
		s.iam.LinkECS().Created = time.Time{}
	}
	return s
}

// Tag wraps a transport so that calls of handlers in this process are
// attributed to them.
func Tag(next http.RoundTripper) http.RoundTripper { return lambda.Tag(next) }

// InvocationID returns the request id of the invocation that ctx belongs to, or
// "" outside of one.
func InvocationID(ctx context.Context) string { return lambda.InvocationID(ctx) }

// FunctionName returns the name of the function whose invocation ctx belongs to.
func FunctionName(ctx context.Context) string { return lambda.FunctionName(ctx) }

// Budget returns when the invocation that ctx belongs to times out.
func (s *Sim) Budget(ctx context.Context) time.Time { return s.lambda.Budget(ctx) }

// Sleep makes the invocation that ctx belongs to sleep for d of simulated time.
func (s *Sim) Sleep(ctx context.Context, d time.Duration) error { return s.lambda.Pause(ctx, d) }

// Dial connects to an address that AddHost has added.
func (s *Sim) Dial(_ context.Context, _, address string) (net.Conn, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if !s.hosts[address] {
		return nil, fmt.Errorf("dial tcp %s: i/o timeout", address)
	}
	near, far := net.Pipe()
	_ = far.Close() // nothing is said
	return near, nil
}

// AddHost adds an address in the VPC, as HOST:PORT, that takes connections.
func (s *Sim) AddHost(address string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.hosts[address] = true
}

// OnGit calls do before each git request is answered, with whether it is part of a
// push, to simulate another client in between.
func (s *Sim) OnGit(do func(push bool)) { s.codecommit.OnGit(do) }

// GitFolder returns the bare repository that stands for one of CodeCommit's, "" if
// there is none.
func (s *Sim) GitFolder(repository string) string { return s.codecommit.GitFolder(repository) }

// WithholdService removes an endpoint service from a zone, or everywhere if zone is
// empty.
func (s *Sim) WithholdService(service, zone string) { s.ec2.WithholdService(service, zone) }

// SetPrice changes the price of a usage type in a Region.
func (s *Sim) SetPrice(region, usage, usd string) { s.pricing.SetPrice(region, usage, usd) }

// Recorder returns a writer for Options.Record that appends to the file which the
// environment names; see kernel.Recorder.
func Recorder() (io.Writer, error) { return kernel.Recorder() }

// FaultHelp says what each fault does, in order of name.
var FaultHelp = kernel.FaultHelp
