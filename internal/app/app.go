// Package app wires the adapters to the scheduler, for the Lambdas and the
// command line alike.
package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	awsscheduler "github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/clock"
	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/store"
	"drawbridge/internal/timers"
	"drawbridge/internal/vpc"
	"drawbridge/scheduler"
)

// Names are the names of what an installation owns.
type Names struct {
	Table, Events, DeadLetters, Launcher, Reaper, ScheduleGroup string
	// StackRole is CloudFormation's service role, TimerRole the one by which
	// Scheduler invokes the reaper.
	StackRole, TimerRole string
}

// NamesOf returns the names for the installation called name.
func NamesOf(name string) Names {
	return Names{
		Table: name, Events: name + "-events", DeadLetters: name + "-dead-letters", Launcher: name + "-launcher", Reaper: name + "-reaper", ScheduleGroup: name,
		StackRole: name + "-cloudformation", TimerRole: name + "-scheduler",
	}
}

// Place is where an installation lies.
type Place struct{ Region, Account string }

func (p Place) arn(service, resource string) string {
	region := p.Region
	if service == "iam" {
		region = ""
	}
	return "arn:" + endpoints.Partition(p.Region) + ":" + service + ":" + region + ":" + p.Account + ":" + resource
}

// PlaceOf reads the place from the ARN of a function that runs there.
func PlaceOf(functionARN string) (Place, error) {
	parts := strings.Split(functionARN, ":")
	if len(parts) < 7 || parts[2] != "lambda" {
		return Place{}, fmt.Errorf("find the account: %q is not the ARN of a function", functionARN)
	}
	return Place{Region: parts[3], Account: parts[4]}, nil
}

// Clients are the AWS clients that an App needs.
type Clients struct {
	CloudFormation *cloudformation.Client
	DynamoDB       *dynamodb.Client
	EC2            *ec2.Client
	ECS            *ecs.Client
	Lambda         *lambda.Client
	Scheduler      *awsscheduler.Client
	SQS            *sqs.Client
}

// NewClients builds the clients from one configuration.
func NewClients(c aws.Config) Clients {
	return Clients{
		CloudFormation: cloudformation.NewFromConfig(c), DynamoDB: dynamodb.NewFromConfig(c), EC2: ec2.NewFromConfig(c), ECS: ecs.NewFromConfig(c),
		Lambda: lambda.NewFromConfig(c), Scheduler: awsscheduler.NewFromConfig(c), SQS: sqs.NewFromConfig(c),
	}
}

// LambdaAWS returns the SDK's configuration in a Lambda, where Region and
// credentials are in the environment. It honours AWS_ENDPOINT_URL. The SDK's own
// loader looks in many more places, and its packages are half of the time that
// a function takes to start.
func LambdaAWS() aws.Config {
	c := aws.Config{
		Region: os.Getenv("AWS_REGION"),
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
				Source: "environment",
			}, nil
		})),
	}
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); endpoint != "" {
		c.BaseEndpoint = aws.String(endpoint)
	}
	if os.Getenv(clock.Variable) != "" {
		// Simulated time stands still while a call is tried again.
		c.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 5 * time.Millisecond })
		}
	}
	return c
}

// App is an installation as one side of it sees it.
type App struct {
	Config  *config.Config
	Names   Names
	Clock   clock.Clock
	Log     *zap.Logger
	Store   *store.Store
	Tasks   *ecstasks.Tasks
	Stacks  *cfn.Stacks
	Metrics *Metrics
	queue   *deadLetters
	stacks  *setStacks
	timers  *timers.Timers
	waker   *waker
}

// New wires an App. log and metrics may not be nil.
func New(c *config.Config, at Place, clients Clients, ck clock.Clock, log *zap.Logger, metrics *Metrics) *App {
	n := NamesOf(c.Name)
	stacks := cfn.NewStacks(clients.CloudFormation, c.Name, at.arn("iam", "role/"+n.StackRole))
	return &App{
		Config: c, Names: n, Clock: ck, Log: log, Metrics: metrics, Stacks: stacks,
		Store:  store.New(clients.DynamoDB, n.Table),
		Tasks:  ecstasks.New(clients.ECS, c),
		stacks: &setStacks{c, at.Region, stacks, vpc.New(clients.EC2, at.Region), ck},
		timers: timers.New(clients.Scheduler, n.ScheduleGroup, at.arn("lambda", "function:"+n.Reaper), at.arn("iam", "role/"+n.TimerRole)),
		waker:  &waker{clients.Lambda, n},
		queue:  &deadLetters{clients.SQS, queueURL(at, n.DeadLetters), ck},
	}
}

// queueURL returns the URL of a queue. SDKs read the queue's name from it and
// call their own endpoint.
func queueURL(at Place, name string) string {
	return "https://sqs." + at.Region + "." + endpoints.DNSSuffix(at.Region) + "/" + at.Account + "/" + name
}

// Reconciler returns a Reconciler that acts with side's rights; me names the
// invocation.
func (a *App) Reconciler(side scheduler.Side, me string) *scheduler.Reconciler {
	return scheduler.New(side, me, a.Config.Settings(), scheduler.Ports{
		Store: a.Store, Stacks: a.stacks, Tasks: a.Tasks, Timers: a.timers, Waker: a.waker, DeadLetters: a.queue, Clock: a.Clock,
		Journal: &journal{a.Log.With(zap.String("side", string(side)), zap.String("invocation", me)), a.Metrics},
	})
}

// Bury sends an event that cannot become a run to the dead-letter queue.
func (a *App) Bury(ctx context.Context, event []byte, reason, hint string) error {
	return a.queue.bury(ctx, event, reason, hint)
}

// ConfigVariable is the environment variable that names the configuration file
// of a Lambda. Without it the file lies beside the binary.
const ConfigVariable = "DRAWBRIDGE_CONFIG"

// LambdaConfig loads the configuration of a Lambda.
func LambdaConfig() (*config.Config, error) {
	path := os.Getenv(ConfigVariable)
	if path == "" {
		path = filepath.Join(os.Getenv("LAMBDA_TASK_ROOT"), "drawbridge.yaml")
	}
	return config.Load(path)
}
