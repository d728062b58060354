package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// goneAfter is how long after it was first heard of a deployment that AWS does not know is
// taken to be gone: what was just begun may not be seen everywhere yet.
const goneAfter = 10 * time.Minute

// look looks at a deployment: what AWS shows of it, its hold, its hooks. What AWS does not
// tell now leaves the rest as it is known.
func (k *Keeper) look(ctx context.Context, r *Record) error {
	d, configured := k.app.Config.Deployments[r.Name]
	s, unseen := k.observe(ctx, r)
	now := k.app.Clock.Now()
	err := k.change(ctx, r, func(r *Record) {
		notYet := s.gone && now.Sub(r.Began) < goneAfter
		if unseen == nil && !notYet {
			r.see(s, d, now)
		}
		switch {
		case !r.Ended.IsZero():
		case !configured:
			r.end(now, "the configuration does not name it")
			r.Over = true
		case !now.Before(r.Expires):
			r.end(now, "it held the set for %s, the longest that it may (maxDuration, or the set's maxLifetime)",
				r.Expires.Sub(r.Began))
		}
	})
	if err != nil {
		return errors.Join(unseen, err)
	}
	if r.Ended.IsZero() {
		err = k.hold(ctx, r)
	} else {
		err = k.release(ctx, r)
	}
	err = errors.Join(unseen, err, k.answer(ctx, r, d))
	if unseen != nil {
		return err
	}
	if err := k.note(ctx, r, s, d); err != nil { // the next look does it
		k.app.Log.Warn("where the traffic goes is not known", zap.Stringer("deployment", *r), zap.Error(err))
	}
	return errors.Join(err, k.watch(ctx, r, s, d))
}

// note takes note of the traffic of a deployment, for the last time once it shifts nothing more.
func (k *Keeper) note(ctx context.Context, r *Record, s seen, d section.Deployment) error {
	if r.Over {
		return nil
	}
	if err := k.traffic(ctx, r, d, s.over); err != nil {
		return err
	}
	return k.change(ctx, r, func(r *Record) { r.Over = s.over && !r.Ended.IsZero() })
}

// see takes over what AWS shows.
func (r *Record) see(s seen, d section.Deployment, now time.Time) {
	if s.at != r.At {
		r.At, r.AtSince = s.at, now
	}
	if !s.atSince.IsZero() {
		r.AtSince = s.atSince
	}
	if r.Started.IsZero() {
		r.Started = s.started
	}
	r.State, r.Of = s.state, s.of
	for _, f := range s.pauses {
		if _, ours := d.Hooks[f.Hook]; ours {
			r.fired(f).unanswered(now)
		}
	}
	switch {
	case r.Kind == Pipeline && !s.over && !r.Ended.IsZero() && now.Before(r.Expires):
		// a stage of the execution is retried: it needs the set again
		r.Ended, r.Why = time.Time{}, ""
		r.Released, r.Over = false, false
	case s.over && r.Ended.IsZero():
		r.end(now, "%s", s.why)
	}
	if s.over {
		r.close(now)
		r.Over = r.Over || len(d.Listeners) == 0
	}
}

// hold has a deployment hold its set, and wakes the launcher, which raises it.
func (k *Keeper) hold(ctx context.Context, r *Record) error {
	if r.Held || r.State == "" { // nothing is known of it yet
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

// release ends a deployment's hold, which may stand although the record does not say so.
func (k *Keeper) release(ctx context.Context, r *Record) error {
	if r.Released {
		return nil
	}
	if err := k.app.Store.Release(ctx, r.Set, Owner(r.ID)); err != nil {
		return err
	}
	k.app.Log.Info("deployment ended", zap.Stringer("deployment", *r), zap.String("state", r.State),
		zap.String("reason", r.Why))
	if err := k.change(ctx, r, func(r *Record) { r.Held, r.Released = false, true }); err != nil {
		return err
	}
	return k.app.Wake(ctx, reconcile.Reaper, r.Set, "released by "+r.String())
}

// Sweep looks at every deployment that has not ended, and for those that nobody told of. One
// that fails does not keep the others from being looked at; the next look of it is in a minute.
func (k *Keeper) Sweep(ctx context.Context) error {
	hanging, shifting := 0, map[string]bool{}
	for _, set := range slices.Sorted(maps.Keys(k.app.Config.Sets)) {
		found, err := k.app.Store.Deployments(ctx, set)
		if err != nil {
			return err
		}
		for _, text := range found {
			r, err := k.lookSafely(ctx, text)
			if err != nil {
				k.app.Log.Error("look at a deployment failed", zap.Stringer("deployment", r), zap.Error(err))
			}
			if r.Hang != nil {
				hanging++
			}
			if r.shifting() {
				shifting[r.Name] = true
			}
		}
	}
	if err := k.discover(ctx, shifting); err != nil {
		k.app.Log.Error("look for deployments failed", zap.Error(err))
	}
	failing, err := k.watchTraffic(ctx, shifting)
	if err != nil {
		k.app.Log.Error("look at listeners failed", zap.Error(err))
	}
	k.app.Metrics.Hanging(hanging + failing)
	return nil
}

// lookSafely looks at a deployment as it is stored, and turns a panic into an error.
func (k *Keeper) lookSafely(ctx context.Context, text json.RawMessage) (r Record, err error) {
	defer recovered(&err)
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read a deployment: %w", err)
	}
	return r, k.look(ctx, &r)
}

// recovered turns a panic into an error; it is deferred.
func recovered(err *error) {
	if panicked := recover(); panicked != nil {
		*err = fmt.Errorf("panic: %v", panicked)
	}
}
