package deployments

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/codebuild"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"go.uber.org/zap"

	"drawbridge/internal/app"
	"drawbridge/internal/deployments/probe"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// Clients are the AWS clients that a Keeper needs besides those of its App.
type Clients struct {
	CloudFront   *cloudfront.Client
	CodeBuild    *codebuild.Client
	CodeDeploy   *codedeploy.Client
	CodePipeline *codepipeline.Client
	ECS          *ecs.Client
	ELB          *elasticloadbalancingv2.Client
	Lambda       *lambda.Client
}

// NewClients builds the clients from one configuration.
func NewClients(c aws.Config) Clients {
	// CloudFront has one place for all Regions.
	everywhere := c.Copy()
	everywhere.Region = "us-east-1"
	return Clients{
		cloudfront.NewFromConfig(everywhere), codebuild.NewFromConfig(c), codedeploy.NewFromConfig(c),
		codepipeline.NewFromConfig(c), ecs.NewFromConfig(c),
		elasticloadbalancingv2.NewFromConfig(c), lambda.NewFromConfig(c),
	}
}

// Keeper keeps the deployments of an installation.
type Keeper struct {
	app     *app.App
	clients Clients
	// http calls addresses outside.
	http *http.Client
}

// New returns a Keeper, which calls addresses outside over transport; nil is the machine's.
func New(a *app.App, clients Clients, transport http.RoundTripper) *Keeper {
	return &Keeper{a, clients, &http.Client{Transport: transport}}
}

// Handle handles one event of a Lambda.
type Handle = func(ctx context.Context, payload []byte, id string, until time.Time) (any, error)

// Function builds the Lambda that follows the deployments of an installation, or the one
// that looks from within a VPC, where no API can be reached.
func Function(_ context.Context, s app.Start) (Handle, error) {
	name := lambdacontext.FunctionName
	if section.IsProbe(s.File.InstallationName(), name) {
		return Probe(probe.New(s.Clock)), nil
	}
	clients := NewClients(app.LambdaAWS())
	var k *Keeper
	return func(ctx context.Context, payload []byte, _ string, _ time.Time) (any, error) {
		if k == nil { // an environment handles one event at a time
			a, err := s.App(ctx)
			if err != nil {
				return nil, errors.Join(err, failUnheard(ctx, clients.CodeDeploy, name, payload))
			}
			k = New(a, clients, nil)
		}
		return k.Handle(ctx, name, payload)
	}, nil
}

// Probe returns the handler of the function that looks from within a VPC.
func Probe(p *probe.Prober) Handle {
	return func(ctx context.Context, payload []byte, _ string, _ time.Time) (any, error) {
		var r probe.Request
		if err := json.Unmarshal(payload, &r); err != nil {
			return nil, fmt.Errorf("read what to ask: %w", err)
		}
		return p.Run(ctx, r)
	}
}

// seen is what AWS shows of a deployment.
type seen struct {
	// state is its state in AWS's words, at its lifecycle stage or event.
	state, at string
	// over says that it has ended, or needs its set no longer, why says so in a sentence; gone
	// that AWS does not know it.
	over, gone bool
	why        string
	// started is when AWS began it, atSince when it came to its lifecycle event; zero if that
	// is not known.
	started, atSince time.Time
	// of is the deployment that it takes back.
	of string
	// function is the one that it waits for at its lifecycle event.
	function string
	// pauses are the hooks at which it waits for an action.
	pauses []Firing
}

// observe reads what AWS shows of a deployment.
func (k *Keeper) observe(ctx context.Context, r *Record) (seen, error) {
	switch r.Kind {
	case ECS:
		return k.observeECS(ctx, r)
	case CodeDeploy:
		return k.observeCodeDeploy(ctx, r)
	case Pipeline:
		return k.observePipeline(ctx, r)
	case Build:
		return k.observeBuild(ctx, r)
	}
	return seen{state: r.State}, nil
}

// matching returns the section that a deployment belongs to: the first that fits, in order of
// name. ok is false if none does.
func (k *Keeper) matching(fits func(section.Deployment) bool) (name string, d section.Deployment, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(k.app.Config.Deployments)) {
		if d := k.app.Config.Deployments[name]; fits(d) {
			return name, d, true
		}
	}
	return "", d, false
}

// begin writes a deployment down that was heard of, and has it hold its set. One that is
// known is returned as it stands.
func (k *Keeper) begin(ctx context.Context, kind Kind, id, name string, d section.Deployment) (*Record, error) {
	var r Record
	known, err := k.app.Store.Deployment(ctx, d.Set, id, &r)
	if err != nil || known {
		return &r, err
	}
	now := k.app.Clock.Now()
	r = Record{ID: id, Kind: kind, Name: name, Set: d.Set, Began: now, Expires: now.Add(time.Duration(d.MaxDuration))}
	if limit := k.app.Config.Settings()[d.Set].MaxLifetime; limit > 0 && now.Add(limit).Before(r.Expires) {
		r.Expires = now.Add(limit)
	}
	err = k.save(ctx, &r)
	if errors.Is(err, reconcile.ErrConflict) { // heard of twice at once
		_, err = k.app.Store.Deployment(ctx, d.Set, id, &r)
		return &r, err
	}
	k.app.Log.Info("deployment", zap.Stringer("deployment", r), zap.String("section", name),
		zap.String("set", string(r.Set)))
	return &r, err
}

// save writes a record.
func (k *Keeper) save(ctx context.Context, r *Record) error {
	r.Version++
	live := r.Ended.IsZero() || !r.Released || r.open() || !r.Over
	err := k.app.Store.SaveDeployment(ctx, r.Set, r.ID, r.Version-1, live, r, k.app.Clock.Now())
	if err != nil {
		r.Version--
	}
	return err
}

// tries is how often a record is changed again because another writer was faster.
const tries = 10

// change changes a record by what change makes of it, as often as others are faster.
func (k *Keeper) change(ctx context.Context, r *Record, change func(*Record)) error {
	for range tries {
		before, err := json.Marshal(r)
		if err != nil {
			return err
		}
		change(r)
		after, err := json.Marshal(r)
		if err != nil || string(after) == string(before) {
			return err
		}
		err = k.save(ctx, r)
		if !errors.Is(err, reconcile.ErrConflict) {
			return err
		}
		set, id := r.Set, r.ID
		*r = Record{}
		if _, err := k.app.Store.Deployment(ctx, set, id, r); err != nil {
			return err
		}
	}
	return fmt.Errorf("change %s: %w, %d times", r, reconcile.ErrConflict, tries)
}

// Followed reports whether a deployment has a record and has not ended.
func Followed(ctx context.Context, a *app.App, set scheduler.SetName, id string) (bool, error) {
	var r Record
	known, err := a.Store.Deployment(ctx, set, id, &r)
	return known && r.Ended.IsZero(), err
}

// List returns the deployments of every set that are kept, in order of when they began.
func List(ctx context.Context, a *app.App) ([]Record, error) {
	var out []Record
	for set := range a.Config.Sets {
		all, err := a.Store.AllDeployments(ctx, set)
		if err != nil {
			return nil, err
		}
		for _, text := range all {
			var r Record
			if err := json.Unmarshal(text, &r); err != nil {
				return nil, fmt.Errorf("read a deployment of set %s: %w", set, err)
			}
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(x, y Record) int {
		return cmp.Or(x.Began.Compare(y.Began), strings.Compare(x.ID, y.ID))
	})
	return out, nil
}
