// Package app wires the adapters to the scheduler, for the Lambdas and the
// command line alike.
package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	awsscheduler "github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/clock"
	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/store"
	"drawbridge/internal/timers"
	"drawbridge/internal/vpc"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// Place is where an installation lies.
type Place struct{ Region, Account string }

// ARN returns the ARN of a resource of the installation.
func (p Place) ARN(service, resource string) string {
	a := arn.ARN{
		Partition: endpoints.Partition(p.Region), Service: service, Region: p.Region, AccountID: p.Account,
		Resource: resource,
	}
	if service == "iam" {
		a.Region = ""
	}
	return a.String()
}

// DNSSuffix returns the domain that the Region's service hosts end in.
func (p Place) DNSSuffix() string { return endpoints.DNSSuffix(p.Region) }

// PlaceOf reads the place from the ARN of a function that runs there.
func PlaceOf(functionARN string) (Place, error) {
	a, err := arn.Parse(functionARN)
	if err != nil || a.Service != "lambda" || !strings.HasPrefix(a.Resource, "function:") {
		return Place{}, fmt.Errorf("find the account: %q is not the ARN of a function", functionARN)
	}
	return Place{Region: a.Region, Account: a.AccountID}, nil
}

// Clients are the AWS clients that an App needs.
type Clients struct {
	CloudFormation *cloudformation.Client
	DynamoDB       *dynamodb.Client
	EC2            *ec2.Client
	ECS            *ecs.Client
	EventBridge    *eventbridge.Client
	Lambda         *lambda.Client
	Route53        *route53.Client
	Scheduler      *awsscheduler.Client
	SQS            *sqs.Client
}

// NewClients builds the clients from one configuration.
func NewClients(c aws.Config) Clients {
	return Clients{
		CloudFormation: cloudformation.NewFromConfig(c), DynamoDB: dynamodb.NewFromConfig(c), EC2: ec2.NewFromConfig(c),
		ECS: ecs.NewFromConfig(c), EventBridge: eventbridge.NewFromConfig(c),
		Lambda: lambda.NewFromConfig(c), Route53: route53.NewFromConfig(c), Scheduler: awsscheduler.NewFromConfig(c),
		SQS: sqs.NewFromConfig(c),
	}
}

// LambdaAWS returns the SDK's configuration in a Lambda, where Region and
// credentials are in the environment. It follows AWS_ENDPOINT_URL to a simulation on this
// machine, and nowhere else: whoever can set a variable would see all that a function
// sends. The SDK's own
// loader looks in many more places, and its packages are half of the time that
// a function takes to start.
func LambdaAWS() aws.Config {
	c := aws.Config{
		Region: os.Getenv("AWS_REGION"),
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials,
			error) {
			return aws.Credentials{
				AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
				Source:       "environment",
			}, nil
		})),
	}
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); clock.Loopback(endpoint) {
		c.BaseEndpoint = aws.String(endpoint)
	}
	if clock.Loopback(os.Getenv(clock.Variable)) {
		// Simulated time stands still while a call is tried again.
		c.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 5 * time.Millisecond })
		}
	}
	return c
}

// App is an installation as one side of it sees it.
type App struct {
	Config  *config.Installation
	Names   cfn.Names
	Place   Place
	Clock   clock.Clock
	Log     *zap.Logger
	Store   *store.Store
	Tasks   *ecstasks.Tasks
	Stacks  *cfn.Stacks
	Metrics *Metrics
	ports   reconcile.Ports
	made    *setStacks
	queue   *deadLetters
	waker   *waker
	clients Clients
}

// New wires an App. Metrics are written to metrics, a Lambda's standard output. log and
// metrics may not be nil. An installation that only observes gets stacks and tasks that
// exist nowhere but in its table.
func New(c *config.Installation, at Place, clients Clients, ck clock.Clock, log *zap.Logger, metrics io.Writer) *App {
	n := cfn.NamesOf(c.Name, at.Region)
	a := &App{
		Config: c, Names: n, Place: at, Clock: ck, Log: log, Metrics: &Metrics{out: metrics, clock: ck, config: c},
		Stacks: cfn.NewStacks(clients.CloudFormation, c.Name, at.ARN("iam", "role/"+n.StackRole)).WithTags(c.Tags),
		Store:  store.New(clients.DynamoDB, n.Table),
		Tasks:  ecstasks.New(clients.ECS, c),
		queue:  &deadLetters{queue{clients.SQS, QueueURL(at, n.DeadLetters)}, ck}, clients: clients,
	}
	network := vpc.New(clients.EC2, clients.Route53, at.Region, at.Account)
	a.waker = &waker{
		clients.Lambda, n, bus{clients.EventBridge, c}, queue{clients.SQS, QueueURL(at, n.Events)}, c.Decides,
	}
	made := &setStacks{c, at.Region, a.Stacks, network, a.Tasks, ck}
	a.made = made
	a.ports = reconcile.Ports{
		Store: a.Store, Stacks: made, Tasks: a.Tasks, Waker: a.waker, DeadLetters: a.queue, Clock: ck,
		Needs: &needs{c, a.Tasks}, Explainer: &explainer{c, at.Region, network, a.Tasks},
		Timers: timers.New(clients.Scheduler, n.ScheduleGroup, at.ARN("lambda", "function:"+n.Reaper),
			at.ARN("iam", "role/"+n.TimerRole)),
	}
	if c.Mode == config.Observe {
		a.ports.Stacks, a.ports.Tasks = &observedStacks{made, a.Store, ck}, observedTasks{ck}
	}
	return a
}

// QueueURL returns the URL of a queue. SDKs read the queue's name from it and
// call their own endpoint.
func QueueURL(at Place, name string) string {
	return "https://sqs." + at.Region + "." + endpoints.DNSSuffix(at.Region) + "/" + at.Account + "/" + name
}

// Reconciler returns a Reconciler that acts with side's rights; me names the
// invocation.
func (a *App) Reconciler(side reconcile.Side, me string) *reconcile.Reconciler {
	ports := a.ports
	ports.Journal = &journal{a.Log.With(zap.String("side", string(side)), zap.String("invocation", me)), a.Metrics}
	return reconcile.New(side, me, a.Config.Settings(), ports)
}

// Path says why a call from subnets, with security groups, does not reach a service, in the
// VPC of a set; while that is not up, how it will be then. It returns false if, as far as can be
// seen, it does. It only reads.
func (a *App) Path(ctx context.Context, set scheduler.SetName, subnets, groups []string, service endpoints.ServiceID,
	who string, up bool) (endpoints.Diagnosis, bool, error) {
	s := a.Config.Sets[set]
	scene := endpoints.Scene{
		Set: string(set), Region: a.Place.Region, Services: s.Services, Subnets: subnets, Groups: groups,
	}
	v, _, err := a.made.vpc.Look(ctx, subnets, groups)
	if err == nil && v.ID != s.VPC {
		return endpoints.Diagnosis{
			Cause: endpoints.OtherVPC, Service: service, What: who + " cannot reach " + string(service),
			Why:    fmt.Sprintf("it is in %s, and set %s in %s", v.ID, set, s.VPC),
			Remedy: "put it into the subnets of the set",
		}, true, nil
	}
	if err == nil { // the subnets of the endpoints with it
		all := append(slices.Clone(subnets), s.Subnets...)
		slices.Sort(all)
		scene.VPC, scene.SecurityGroups, err = a.made.vpc.Look(ctx, slices.Compact(all), groups)
	}
	if !up {
		scene = scene.Presumed()
		for i := range scene.VPC.Endpoints {
			if e := &scene.VPC.Endpoints[i]; e.Type == endpoints.Interface {
				e.ID = "of the set"
				e.SecurityGroups, e.Subnets = s.EndpointSecurityGroups, s.Subnets[:1]
			}
		}
		var err error
		if scene.SecurityGroups, err = a.made.vpc.Groups(ctx,
			append(slices.Clone(groups), s.EndpointSecurityGroups...)); err != nil {
			return endpoints.Diagnosis{}, false, err
		}
	}
	if err == nil {
		scene.ACLs, err = a.made.vpc.ACLs(ctx, s.VPC)
	}
	if err != nil {
		return endpoints.Diagnosis{}, false, err
	}
	d, broken := endpoints.Path(scene, service, who)
	return d, broken, nil
}

// Prepare works out what the launcher would create for a set now. It only reads.
func (a *App) Prepare(ctx context.Context, set scheduler.SetName) (reconcile.Prepared, error) {
	return a.made.Prepare(ctx, set, reconcile.Wish{})
}

// settled is how old an endpoint is before it is asked whose it is: until then the stack
// that makes it may not know it yet.
const settled = time.Hour

// Strangers lists the endpoints that carry our owner tag and belong to no stack of a
// configured set. They are left alone.
func (a *App) Strangers(ctx context.Context) ([]vpc.Stranger, error) {
	all, err := a.made.vpc.Strangers(ctx, a.Config.Name, func(set string) ([]string, error) {
		if !a.Config.HasSet(scheduler.SetName(set)) {
			return nil, nil
		}
		return a.made.held(ctx, scheduler.SetName(set), "")
	})
	return slices.DeleteFunc(all, func(s vpc.Stranger) bool { return a.Clock.Now().Sub(s.Created) < settled }), err
}

// EndSelftest deletes the stack of a selftest that was killed before it could clean up.
func (a *App) EndSelftest(ctx context.Context, set string) error {
	st, err := a.Stacks.Describe(ctx, set, "")
	if err != nil || st.State == cfn.Missing || st.State == cfn.Foreign || st.State == cfn.Deleting {
		return awserr.Mark(err, "selftest")
	}
	a.Log.Warn("a selftest left its stack behind; it is deleted", zap.String("stack", st.ID),
		zap.String("status", st.Status))
	return awserr.Mark(a.Stacks.Delete(ctx, set, st.ID, st.State == cfn.DeleteFailed, a.Clock.Now()), "selftest")
}

// Ask asks a launcher for a run of a job, which is handed what.
func (a *App) Ask(ctx context.Context, job scheduler.JobName, id string, what map[string]string) error {
	return a.waker.invoke(ctx, a.Names.Launcher, map[string]any{"job": string(job), "id": id, "event": what})
}

// Wake asks a function to look at a set.
func (a *App) Wake(ctx context.Context, side reconcile.Side, set scheduler.SetName, reason string) error {
	if side == reconcile.Reaper {
		return a.ports.Waker.Reaper(ctx, set, reason)
	}
	return a.ports.Waker.Launcher(ctx, set, reason)
}

// Ended tells who waits for a run that it has ended, as the reaper does for the runs that it
// ends.
func (a *App) Ended(ctx context.Context, run scheduler.Run) error { return a.waker.Ended(ctx, run) }

// Delay has a message that was given back come again after d: its own time-out is as
// long as a function may take.
func (a *App) Delay(ctx context.Context, receipt string, d time.Duration) error {
	_, err := a.clients.SQS.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: aws.String(QueueURL(a.Place, a.Names.Events)), ReceiptHandle: aws.String(receipt),
		VisibilityTimeout: int32(d / time.Second),
	})
	return awserr.Mark(err, "delay a message of %s", a.Names.Events)
}

// DeadLetter sends an event that cannot become a run to the dead-letter queue.
func (a *App) DeadLetter(ctx context.Context, event []byte, reason, hint string) error {
	return a.queue.put(ctx, event, reason, hint)
}
