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
		cloudfront.NewFromConfig(everywhere), codebuild.NewFromConfig(c), codedeploy.NewFromConfig(c), codepipeline.NewFromConfig(c), ecs.NewFromConfig(c),
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
func Function(ctx context.Context, s app.Start) (Handle, error) {
	if section.IsProbe(lambdacontext.FunctionName) {
		return Probe(probe.New(s.Clock)), nil
	}
	a, err := s.App(ctx)
	if err != nil {
		return nil, err
	}
	k := New(a, NewClients(app.LambdaAWS()), nil)
	return func(ctx context.Context, payload []byte, _ string, _ time.Time) (any, error) {
		return k.Handle(ctx, lambdacontext.FunctionName, payload)
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
	// over says that it has ended, or needs its set no longer, why says so in a sentence.
	over bool
	why  string
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

// matching returns the sections that a deployment of a kind belongs to, in order of name.
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
	err := k.app.Store.SaveDeployment(ctx, r.Set, r.ID, r.Version-1, r.Ended.IsZero() || r.Held || r.open(), r,
		k.app.Clock.Now())
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

// look looks at a deployment: what AWS shows of it, its hold, its hooks.
func (k *Keeper) look(ctx context.Context, r *Record) error {
	d, configured := k.app.Config.Deployments[r.Name]
	s, err := k.observe(ctx, r)
	if err != nil {
		return err
	}
	now := k.app.Clock.Now()
	err = k.change(ctx, r, func(r *Record) {
		if s.at != r.At {
			r.At, r.AtSince = s.at, now
		}
		r.State, r.Of = s.state, s.of
		for _, f := range s.pauses {
			if _, ours := d.Hooks[f.Hook]; ours {
				r.fired(f)
			}
		}
		switch {
		case !r.Ended.IsZero():
		case s.over:
			r.end(now, "%s", s.why)
			r.close(now)
		case !configured:
			r.end(now, "the configuration does not name it any more")
		case !now.Before(r.Expires):
			r.end(now, "it held the set for %s, the longest that it may (maxDuration, or the set's maxLifetime)",
				r.Expires.Sub(r.Began))
		}
	})
	if err != nil {
		return err
	}
	if r.Ended.IsZero() {
		err = k.hold(ctx, r)
	} else {
		err = k.release(ctx, r)
	}
	return errors.Join(err, k.answer(ctx, r, d), k.watch(ctx, r, s, d))
}

// hold has a deployment hold its set, and wakes the launcher, which raises it.
func (k *Keeper) hold(ctx context.Context, r *Record) error {
	if r.Held {
		return nil
	}
	h := scheduler.Hold{Owner: Owner(r.ID), Reason: r.String(), Since: r.Began, Expires: r.Expires}
	err := k.app.Store.Hold(ctx, r.Set, h)
	if errors.Is(err, reconcile.ErrConflict) {
		k.app.Log.Info("the set is being deleted; the deployment holds it once that is done",
			zap.Stringer("deployment", *r), zap.String("set", string(r.Set)))
		return nil // the next look holds it
	}
	if err != nil {
		return err
	}
	if err := k.change(ctx, r, func(r *Record) { r.Held = true }); err != nil {
		return err
	}
	return k.app.Wake(ctx, reconcile.Launcher, r.Set, "held by "+r.String())
}

// release ends a deployment's hold.
func (k *Keeper) release(ctx context.Context, r *Record) error {
	if !r.Held {
		return nil
	}
	if err := k.app.Store.Release(ctx, r.Set, Owner(r.ID)); err != nil {
		return err
	}
	k.app.Log.Info("deployment ended", zap.Stringer("deployment", *r), zap.String("state", r.State),
		zap.String("reason", r.Why))
	if err := k.change(ctx, r, func(r *Record) { r.Held = false }); err != nil {
		return err
	}
	return k.app.Wake(ctx, reconcile.Reaper, r.Set, "released by "+r.String())
}

// askAgain is after how long a run that is not recorded is asked for again: an invocation
// that was lost.
const askAgain = time.Minute

// answer goes on with each hook that AWS waits at: asks for its run, judges it, tells AWS.
func (k *Keeper) answer(ctx context.Context, r *Record, d section.Deployment) error {
	var errs []error
	for _, f := range slices.Clone(r.Firings) {
		if f.Told.IsZero() {
			errs = append(errs, k.answerOne(ctx, r, d, f.ID))
		}
	}
	return errors.Join(errs...)
}

func (k *Keeper) answerOne(ctx context.Context, r *Record, d section.Deployment, id string) error {
	f := r.firing(id)
	h := d.Hooks[f.Hook]
	if h != nil && f.Outcome == "" && !strings.HasPrefix(r.State, "ROLLBACK") {
		if err := k.check(ctx, r, h, id); err != nil {
			k.app.Log.Warn("a check could not be made", zap.Error(err))
		}
		f = r.firing(id)
	}
	var run *scheduler.Run
	if h != nil && f.Run != "" {
		x, known, err := k.app.Store.Run(ctx, k.app.Config.Jobs[h.Job].Set, f.Run)
		if err != nil {
			return err
		}
		if known {
			run = &x
		}
	}
	now := k.app.Clock.Now()
	if err := k.change(ctx, r, func(r *Record) {
		f := r.firing(id)
		switch {
		case f.Via == ByFunction && strings.HasPrefix(r.State, "ROLLBACK"):
			f.decide(Succeeded, "the deployment is being rolled back, which is not checked")
		case h == nil:
			f.decide(Failed, "deployments.%s of the configuration has no hook %s any more", r.Name, f.Hook)
		default:
			if f.Run == "" && h.Job != "" {
				f.Run, _ = scheduler.NewRunID(h.Job, f.runEvent(r)) // ids of AWS fit
			}
			f.judge(h, run, now)
		}
	}); err != nil {
		return err
	}
	f = r.firing(id)
	if f.Outcome != "" {
		return k.tell(ctx, r, *f)
	}
	if h.Job != "" && run == nil && now.Sub(f.Asked) >= askAgain {
		if err := k.ask(ctx, r, h.Job, *f); err != nil {
			return err
		}
		return k.change(ctx, r, func(r *Record) { r.firing(id).Asked = now })
	}
	return nil
}

// tell answers AWS, as the hook was called.
func (k *Keeper) tell(ctx context.Context, r *Record, f Firing) error {
	var err error
	switch f.Via {
	case ByPause:
		err = k.continueECS(ctx, r, f)
	case ByCodeDeploy:
		err = k.putStatus(ctx, r, f)
	case ByFunction: // the answer is what the function returns
		return nil
	}
	if err != nil {
		return err
	}
	k.app.Log.Info("hook answered", zap.Stringer("deployment", *r), zap.String("hook", f.Hook),
		zap.String("outcome", string(f.Outcome)), zap.String("reason", f.Reason))
	return k.told(ctx, r, f.ID)
}

// told writes down that AWS had the answer of a hook.
func (k *Keeper) told(ctx context.Context, r *Record, id string) error {
	return k.change(ctx, r, func(r *Record) {
		if f := r.firing(id); f != nil && f.Told.IsZero() {
			f.Told = k.app.Clock.Now()
		}
	})
}

// ask asks the launcher for the run that decides a hook. The same hook always asks for the
// same run.
func (k *Keeper) ask(ctx context.Context, r *Record, job scheduler.JobName, f Firing) error {
	return k.app.Ask(ctx, job, f.runEvent(r), map[string]string{
		"deployment": r.ID, "kind": string(r.Kind), "name": r.Name, "hook": f.Hook, "hookId": f.ID,
	})
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

// Sweep looks at every deployment that has not ended.
func (k *Keeper) Sweep(ctx context.Context) error {
	var errs []error
	hanging := 0
	for _, set := range slices.Sorted(maps.Keys(k.app.Config.Sets)) {
		found, err := k.app.Store.Deployments(ctx, set)
		errs = append(errs, err)
		for _, text := range found {
			var r Record
			if err := json.Unmarshal(text, &r); err != nil {
				errs = append(errs, err)
				continue
			}
			if err := k.look(ctx, &r); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", r, err))
			}
			if r.Hang != nil {
				hanging++
			}
		}
	}
	k.app.Metrics.Hanging(hanging)
	return errors.Join(errs...)
}
