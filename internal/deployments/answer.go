package deployments

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
)

// askAgain is after how long a run that is not recorded is asked for again: an invocation
// that was lost.
const askAgain = time.Minute

// answer goes on with each hook that AWS waits at: judges it, checks, asks for its run, and
// answers AWS once it is decided.
func (k *Keeper) answer(ctx context.Context, r *Record, d section.Deployment) error {
	var errs []error
	for _, f := range slices.Clone(r.Firings) {
		if f.Told.IsZero() {
			errs = append(errs, k.answerOne(ctx, r, d.Hooks[f.Hook], f.Key))
		}
	}
	return errors.Join(errs...)
}

// answerOne goes on with one hook, which does h; nil if the configuration does not name it.
func (k *Keeper) answerOne(ctx context.Context, r *Record, h *section.Hook, key string) error {
	if err := k.judge(ctx, r, h, key); err != nil {
		return err
	}
	f := r.firing(key)
	if f != nil && f.Outcome == "" && r.State == "" {
		return nil // nothing is known of the deployment yet
	}
	if f != nil && f.Outcome == "" && len(h.Checks) > 0 && k.hasTime(ctx) {
		if err := k.check(ctx, r, h, key); err != nil {
			k.app.Log.Warn("a check could not be made", zap.Stringer("deployment", *r), zap.Error(err))
		}
		if err := k.judge(ctx, r, h, key); err != nil {
			return err
		}
		f = r.firing(key)
	}
	switch now := k.app.Clock.Now(); {
	case f == nil: // it was so long ago that it is forgotten
		return nil
	case f.Outcome != "":
		return k.tell(ctx, r, *f)
	case h.Job != "" && now.Sub(f.Asked) >= askAgain && !f.Begun:
		if err := k.ask(ctx, r, h.Job, *f); err != nil {
			return err
		}
		return k.change(ctx, r, func(r *Record) {
			if f := r.firing(key); f != nil {
				f.Asked = now
			}
		})
	}
	return nil
}

// judge decides a hook, if it can be decided.
func (k *Keeper) judge(ctx context.Context, r *Record, h *section.Hook, key string) error {
	f := r.firing(key)
	if f == nil || f.Outcome != "" {
		return nil
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
	return k.change(ctx, r, func(r *Record) {
		f := r.firing(key)
		switch {
		case f == nil:
		case f.Via != ByPause && r.takesBack():
			f.decide(Succeeded, "the deployment is being rolled back, which is not checked")
		case h == nil:
			f.decide(Failed, "the configuration names no hook %s under deployments.%s", f.Hook, r.Name)
		default:
			if f.Run == "" && h.Job != "" {
				f.Run, _ = scheduler.NewRunID(h.Job, f.runEvent(r)) // ids of AWS fit
			}
			f.Begun = run != nil
			f.judge(h, run, now)
		}
	})
}

// hasTime reports whether there is time for a slice of a check before the function ends.
func (k *Keeper) hasTime(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > slice+20*time.Second
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
	return k.told(ctx, r, f.Key)
}

// told writes down that AWS had the answer of a hook.
func (k *Keeper) told(ctx context.Context, r *Record, key string) error {
	return k.change(ctx, r, func(r *Record) {
		if f := r.firing(key); f != nil && f.Told.IsZero() {
			f.Told = k.app.Clock.Now()
		}
	})
}

// ask asks the launcher for the run that decides a hook. The same hook always asks for the
// same run.
func (k *Keeper) ask(ctx context.Context, r *Record, job scheduler.JobName, f Firing) error {
	return k.app.Ask(ctx, job, f.runEvent(r), map[string]string{
		"deployment": r.ID, "kind": string(r.Kind), "name": r.Name, "hook": f.Hook,
	})
}
