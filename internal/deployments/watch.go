package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/goccy/go-yaml"
	"go.uber.org/zap"

	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler/reconcile"
)

// hooksOf returns the functions that a revision names at lifecycle events; none where the
// AppSpec is not in the revision itself.
func hooksOf(r *types.RevisionLocation) map[string]string {
	if r == nil || r.AppSpecContent == nil {
		return nil
	}
	text := aws.ToString(r.AppSpecContent.Content)
	var spec struct{ Hooks []map[string]string } // in either case
	if plain, err := yaml.YAMLToJSON([]byte(text)); err != nil || json.Unmarshal(plain, &spec) != nil {
		return nil
	}
	out := map[string]string{}
	for _, h := range spec.Hooks {
		for event, function := range h {
			out[event] = function[strings.LastIndex(function, ":")+1:]
		}
	}
	return out
}

// watch sees whether the function of others that a deployment waits for can report from where
// it runs: one that cannot would cost an hour.
func (k *Keeper) watch(ctx context.Context, r *Record, s seen, d section.Deployment) error {
	hang, err := k.hang(ctx, r, s, d)
	if err != nil {
		return err
	}
	now := k.app.Clock.Now()
	return k.change(ctx, r, func(r *Record) {
		switch {
		case hang == nil || !r.Ended.IsZero():
			r.Hang = nil
		case r.Hang == nil || r.Hang.Cause != hang.Cause:
			hang.Since = now
			r.Hang = hang
			k.app.Log.Warn("deployment hangs", zap.Stringer("deployment", *r), zap.String("at", r.At),
				zap.String("cause", hang.Cause), zap.String("hint", hang.Remedy))
		}
	})
}

// hang returns why a deployment cannot go on; nil if it can, as far as is known.
func (k *Keeper) hang(ctx context.Context, r *Record, s seen, d section.Deployment) (*Hang, error) {
	set, err := k.app.Store.LoadSet(ctx, d.Set)
	if err != nil {
		return nil, err
	}
	now := k.app.Clock.Now()
	if usable, why := Usable(set, now); !usable && set.Failure != "" && r.Held && now.Sub(r.Began) > raisedWithin {
		return &Hang{
			Cause:  fmt.Sprintf("the endpoints of set %s are not there: %s", d.Set, why),
			Remedy: fmt.Sprintf("drawbridge why %s shows what was tried", d.Set),
		}, nil
	}
	if s.function == "" {
		return nil, nil
	}
	if _, event, ours := section.HookOf(k.app.Config.Name, k.app.Config.Deployments, s.function); ours {
		return k.unheard(r, event), nil // it is outside of the VPC
	}
	found, broken, err := k.path(ctx, d, s.function)
	if err != nil || !broken {
		return nil, err
	}
	return &Hang{Cause: found.What + ": " + found.Why, Remedy: found.Remedy}, nil
}

// raisedWithin is how soon the endpoints that a deployment holds are there, after one failure
// at most.
const raisedWithin = 8 * time.Minute

// heardWithin is how soon a hook that CodeDeploy calls has been heard of.
const heardWithin = time.Minute

// unheard returns why a deployment waits at a hook of ours that was never heard of: it cannot be
// answered, for only the call says with what.
func (k *Keeper) unheard(r *Record, event string) *Hang {
	if r.At != event || k.app.Clock.Now().Sub(r.AtSince) < heardWithin ||
		slices.ContainsFunc(r.Firings, func(f Firing) bool { return f.Hook == event }) {
		return nil
	}
	return &Hang{
		Cause: fmt.Sprintf("CodeDeploy waits at %s, and its call of the hook has not arrived", event),
		Remedy: "look at the log of the function, stop the deployment (aws deploy stop-deployment --deployment-id " +
			r.ID + "), and deploy again",
	}
}

// path says why a function does not reach CodeDeploy from where it runs. One that may not be
// read, or runs in no VPC, does as far as is known.
func (k *Keeper) path(ctx context.Context, d section.Deployment, function string) (endpoints.Diagnosis, bool, error) {
	out, err := k.clients.Lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{
		FunctionName: &function,
	})
	if err = awserr.Mark(err, "read where function %s runs", function); err != nil {
		if errors.Is(err, reconcile.ErrTemporary) {
			return endpoints.Diagnosis{}, false, err
		}
		k.app.Log.Warn("whether a hook reaches CodeDeploy is not known", zap.Error(err))
		return endpoints.Diagnosis{}, false, nil
	}
	if out.VpcConfig == nil || len(out.VpcConfig.SubnetIds) == 0 {
		return endpoints.Diagnosis{}, false, nil
	}
	set, err := k.app.Store.LoadSet(ctx, d.Set)
	if err != nil {
		return endpoints.Diagnosis{}, false, err
	}
	usable, _ := Usable(set, k.app.Clock.Now())
	return k.app.Path(ctx, d.Set, out.VpcConfig.SubnetIds, out.VpcConfig.SecurityGroupIds, "codedeploy",
		"hook function "+function, usable)
}

// broken returns why hook functions of others that a section names do not reach CodeDeploy;
// "" if they do.
func (k *Keeper) broken(ctx context.Context, d section.Deployment) (string, error) {
	for _, function := range slices.Sorted(slices.Values(d.Functions)) {
		found, broken, err := k.path(ctx, d, function)
		if err != nil {
			return "", err
		}
		if broken {
			return found.String(), nil
		}
	}
	return "", nil
}
