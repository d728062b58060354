package drill

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
	"drawbridge/internal/config"
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
	mainVPC = "vpc-0000000000000d0a1" // data is the first set by name
	cluster = "jobs"
)

// stage is the account that a drill is played in.
type stage struct {
	ctx       context.Context
	sim       *awssim.Sim
	config    string // the path of the functions' configuration
	installed *config.Installation
	story     judge.Story
	closers   []func()
	// theirEndpoint is the id of another's endpoint, which has no tags.
	theirEndpoint string

	aws     aws.Config
	queue   *sqs.Client
	ecs     *ecs.Client
	ec2     *ec2.Client
	iam     *iam.Client
	stacks  *cloudformation.Client
	table   *dynamodb.Client
	records *store.Store
}

// open makes an account with Drawbridge in it, whose functions are the programs at the given
// paths, by name.
func open(ctx context.Context, bootstraps map[string]string, seed int64) (s *stage, err error) {
	s = &stage{ctx: ctx, sim: awssim.New(awssim.Options{Start: start, Seed: seed})}
	s.closers = append(s.closers, s.sim.Close)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.sim.SetAddress(listener.Addr().String())
	server := &http.Server{Handler: s.sim, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with Close
	s.closers = append(s.closers, func() { _ = server.Close() })
	folder, err := os.MkdirTemp("", "drawbridge-drill-")
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = os.RemoveAll(folder) }) // a temporary folder
	s.config = filepath.Join(folder, "drawbridge.yaml")
	if err := os.WriteFile(s.config, setup, 0o600); err != nil {
		return nil, err
	}
	file, err := config.Parse("setup.yaml", setup)
	if err != nil {
		return nil, err
	}
	if s.installed, err = sandbox.Install(s.sim, file, sandbox.Functions{
		Bootstraps: bootstraps, ConfigPath: s.config,
	}); err != nil {
		return nil, err
	}
	c := sandbox.AWSConfig(s.sim, "http://"+listener.Addr().String(), http.DefaultTransport)
	c.RetryMaxAttempts = 1 // time stands still while an SDK waits
	s.aws = c
	s.queue, s.ecs, s.ec2, s.iam = sqs.NewFromConfig(c), ecs.NewFromConfig(c), ec2.NewFromConfig(c), iam.NewFromConfig(c)
	s.stacks, s.table = cloudformation.NewFromConfig(c), dynamodb.NewFromConfig(c)
	s.records = store.New(s.table, cfn.NamesOf(s.installed.Name, s.sim.Region()).Table)
	return s, s.others()
}

// close ends the account.
func (s *stage) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// until lets time pass up to an instant.
func (s *stage) until(at time.Time) error {
	if d := at.Sub(s.sim.Now()); d > 0 {
		s.sim.Advance(d)
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
		s.sim.Advance(time.Minute)
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
	s.sim.AddSecurityGroup("sg-theirs", mainVPC, "theirs", "10.0.0.0/8")
	add := func(service string) (string, error) {
		return s.sim.AddEndpoint("com.amazonaws."+s.sim.Region()+"."+service, "Interface", mainVPC,
			[]string{"subnet-main-a"}, []string{"sg-theirs"}, nil)
	}
	if s.theirEndpoint, err = add("kms"); err != nil {
		return fmt.Errorf("another's endpoint: %w", err)
	}
	id, err := add("ssm")
	if err != nil {
		return fmt.Errorf("another's endpoint with our tags: %w", err)
	}
	var tags []ec2types.Tag
	for k, v := range map[string]string{
		cfn.OwnerTag: s.installed.Name, cfn.SetTag: "main", cfn.GenerationTag: "1",
	} {
		tags = append(tags, ec2types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	if _, err := s.ec2.CreateTags(s.ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: tags}); err != nil {
		return fmt.Errorf("another's endpoint: %w", err)
	}
	return nil
}
