package drill

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"drawbridge/cfn"
	"drawbridge/internal/awssim"
	"drawbridge/internal/drill/judge"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/store"
)

//go:embed setup.yaml
var setup []byte

// start is the first instant of every drill.
var start = time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)

// The names of the account.
const (
	dataVPC, mainVPC = "vpc-0000000000000d0a0", "vpc-0000000000000d0a1" // by the names of their sets
	cluster          = "jobs"
)

// vpcs are where the tasks of jobs run.
var vpcs = map[string]string{
	"build": mainVPC, "patient": mainVPC, "smoke": mainVPC, "mirror": mainVPC, "load": dataVPC, "report": dataVPC,
}

// stage is the account that a drill is played in.
type stage struct {
	*sandbox.Served
	ctx   context.Context
	story judge.Story
	// theirEndpoint is the id of another's endpoint, which has no tags.
	theirEndpoint string

	aws     aws.Config
	queue   *sqs.Client
	ecs     *ecs.Client
	ec2     *ec2.Client
	iam     *iam.Client
	stacks  *cloudformation.Client
	records *store.Store
}

// open makes an account with Drawbridge in it, whose functions are the programs at the given
// paths, by name.
func open(ctx context.Context, programs map[string]string, seed int64) (*stage, error) {
	served, err := sandbox.Serve(ctx, awssim.Options{Start: start, Seed: seed}, "setup.yaml", setup, programs)
	if err != nil {
		return nil, err
	}
	c := sandbox.AWSConfig(served.Sim, served.Endpoint, http.DefaultTransport)
	c.RetryMaxAttempts = 1 // whoever acts here repeats by himself
	s := &stage{
		Served: served, ctx: ctx, aws: c, queue: sqs.NewFromConfig(c), ecs: ecs.NewFromConfig(c),
		ec2: ec2.NewFromConfig(c), iam: iam.NewFromConfig(c), stacks: cloudformation.NewFromConfig(c),
	}
	s.records = store.New(dynamodb.NewFromConfig(c), s.names().Table)
	if err := s.others(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *stage) names() cfn.Names { return cfn.NamesOf(s.Installed.Name, s.Sim.Region()) }

// until lets time pass up to an instant.
func (s *stage) until(at time.Time) error {
	if d := at.Sub(s.Sim.Now()); d > 0 {
		s.Sim.Advance(d)
	}
	return s.ctx.Err()
}

// insist repeats what fails for the moment as a patient person does: ten times in a row, and
// again a minute later, for three hours.
func (s *stage) insist(do func() error) error {
	var err error
	for range 180 {
		for range 10 {
			if err = do(); err == nil || s.ctx.Err() != nil {
				return err
			}
		}
		s.Sim.Advance(time.Minute)
	}
	return err
}

// others adds what belongs to other people, with names and tags like ours: it is there in
// every drill.
func (s *stage) others() error {
	out, err := s.stacks.CreateStack(s.ctx, &cloudformation.CreateStackInput{
		StackName:    aws.String("drawbridge-set-main-2"),
		TemplateBody: aws.String(`{"Resources":{"Theirs":{"Type":"AWS::SQS::Queue"}}}`),
	})
	if err != nil {
		return fmt.Errorf("another's stack: %w", err)
	}
	s.story.Foreign = append(s.story.Foreign, aws.ToString(out.StackId))
	s.Sim.AddSecurityGroup("sg-theirs", mainVPC, "theirs", "10.0.0.0/8")
	if s.theirEndpoint, err = s.Sim.AddEndpoint("com.amazonaws."+s.Sim.Region()+".kms", "Interface", mainVPC,
		[]string{"subnet-main-a"}, []string{"sg-theirs"}, nil); err != nil {
		return fmt.Errorf("another's endpoint: %w", err)
	}
	var tags []ec2types.Tag
	for k, v := range map[string]string{
		cfn.OwnerTag: s.Installed.Name, cfn.SetTag: "main", cfn.GenerationTag: "1",
	} {
		tags = append(tags, ec2types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	_, err = s.ec2.CreateVpcEndpoint(s.ctx, &ec2.CreateVpcEndpointInput{
		ServiceName: aws.String("com.amazonaws." + s.Sim.Region() + ".logs"), VpcEndpointType: "Interface",
		VpcId: aws.String(mainVPC), SubnetIds: []string{"subnet-main-a"}, SecurityGroupIds: []string{"sg-theirs"},
		PrivateDnsEnabled: aws.Bool(false), TagSpecifications: []ec2types.TagSpecification{{
			ResourceType: "vpc-endpoint", Tags: tags,
		}},
	})
	if err != nil {
		return fmt.Errorf("another's endpoint with our tags: %w", err)
	}
	return nil
}
