package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"drawbridge/internal/app"
	"drawbridge/internal/deployments/listener"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// Share is how much of its requests a listener, or a rule of one, sends to a target group:
// its weight, 0 to 999.
type Share struct {
	Group  string
	Weight int32
}

// Shares are those of a listener or a rule, in its own order.
type Shares []Share

// String names the groups that get requests.
func (s Shares) String() string {
	var out []string
	for _, x := range s {
		if x.Weight > 0 {
			out = append(out, fmt.Sprintf("%s (%d)", groupName(x.Group), x.Weight))
		}
	}
	if len(out) == 0 {
		return "no target group"
	}
	return strings.Join(out, ", ")
}

// groups are those that get requests.
func (s Shares) groups() (out []string) {
	for _, x := range s {
		if x.Weight > 0 {
			out = append(out, x.Group)
		}
	}
	return out
}

// total is the sum of the weights.
func (s Shares) total() (n int32) {
	for _, x := range s {
		n += x.Weight
	}
	return n
}

// same reports whether requests go to the same groups in the same proportion.
func (s Shares) same(t Shares) bool {
	weights := map[string]int32{}
	for _, x := range s {
		weights[x.Group] += x.Weight * t.total()
	}
	for _, x := range t {
		weights[x.Group] -= x.Weight * s.total()
	}
	for _, difference := range weights {
		if difference != 0 {
			return false
		}
	}
	return (s.total() == 0) == (t.total() == 0)
}

// groupName is the name of a target group, from its ARN.
func groupName(arn string) string {
	parts := strings.Split(lastPart(arn), "/")
	return parts[min(1, len(parts)-1)]
}

// Traffic is where a listener, or a rule, sent its requests around a deployment: Before when it
// was first seen, After at the last look while it was under way.
type Traffic struct {
	Listener      string
	Before, After Shares
}

// Watch is what is known of the listeners of a section between its deployments.
type Watch struct {
	Name      string
	Set       scheduler.SetName
	Listeners []Watched
	// Seen is the day on which it was looked at last.
	Seen time.Time
	// Version counts its writes.
	Version int64
}

// Watched is a listener or a rule that is watched.
type Watched struct {
	Listener string
	// Left is where the deployment By left its requests; where it first sent them, if By is
	// empty.
	Left Shares
	By   string `json:",omitempty"`
	// Moved is what has become of that without a deployment; nil for nothing.
	Moved *Moved `json:",omitempty"`
}

// Moved is where requests go that no deployment has sent there.
type Moved struct {
	Since time.Time
	To    Shares
	// Idle is the first of the target groups that has no healthy target; empty if all have.
	Idle string `json:",omitempty"`
	// Gone says that there is no such listener, or rule.
	Gone bool `json:",omitempty"`
}

// fails reports whether requests are known to be answered by nobody; m may be nil.
func (m *Moved) fails() bool { return m != nil && (m.Idle != "" || m.Gone) }

// Cause says what happened.
func (w Watched) Cause() string {
	if w.Moved.Gone {
		return "there is no " + lastPart(w.Listener)
	}
	text := fmt.Sprintf("%s sends its requests to %s", lastPart(w.Listener), w.Moved.To)
	if w.Moved.Idle != "" {
		text += fmt.Sprintf("; %s has no healthy target", groupName(w.Moved.Idle))
	}
	if w.By != "" {
		return fmt.Sprintf("%s; deployment %s left it at %s", text, w.By, w.Left)
	}
	return fmt.Sprintf("%s; it was at %s, and no deployment has moved it", text, w.Left)
}

// Remedy is what to do about it.
func (w Watched) Remedy() string {
	if w.Moved.Gone {
		return "correct listeners, and run drawbridge deploy"
	}
	return "restore its weights, or deploy again; a stack update that includes the listener or rule resets them, so " +
		"keep its action out of stacks that are updated"
}

// shares reads where a listener's default rule, or a rule, sends its requests.
func (k *Keeper) shares(ctx context.Context, arn string) (Shares, error) {
	rules, err := listener.Rules(ctx, k.clients.ELB, arn)
	if err != nil {
		return nil, err
	}
	s := Shares{}
	for _, rule := range rules {
		for _, a := range rule.Actions {
			if a.ForwardConfig == nil {
				continue
			}
			for _, g := range a.ForwardConfig.TargetGroups {
				s = append(s, Share{aws.ToString(g.TargetGroupArn), aws.ToInt32(g.Weight)})
			}
		}
	}
	return s, nil
}

// shifting reports whether a deployment may still shift the traffic of listeners that are
// watched, although it may hold its set no longer. A pipeline or a build shifts none: it may
// update the stack that resets it.
func (r *Record) shifting() bool {
	return (r.Kind == ECS || r.Kind == CodeDeploy) && len(r.Traffic) > 0 && !r.Over
}

// traffic takes note of where the section's listeners send their requests, while a
// deployment that shifts them is under way, or is over. No deployment sends them to a target
// group without a healthy target. What was moved before it stays named until it is shifted, or
// the deployment has brought targets to where it goes.
func (k *Keeper) traffic(ctx context.Context, r *Record, d section.Deployment, over bool) error {
	if r.Kind != ECS && r.Kind != CodeDeploy || len(d.Listeners) == 0 {
		return nil
	}
	var known Watch
	if _, err := k.app.Store.Traffic(ctx, d.Set, r.Name, &known); err != nil {
		return err
	}
	var errs []error
	for _, arn := range d.Listeners {
		to, err := k.shares(ctx, arn)
		if listener.IsGone(err) {
			continue // the look between deployments names it
		}
		idle, left := "", known.of(arn).Left
		if err == nil && (over || left != nil && !left.same(to)) {
			idle, err = k.idle(ctx, to)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		now := k.app.Clock.Now()
		errs = append(errs, k.change(ctx, r, func(r *Record) {
			i := slices.IndexFunc(r.Traffic, func(t Traffic) bool { return t.Listener == arn })
			if i < 0 {
				i = len(r.Traffic)
				r.Traffic = append(r.Traffic, Traffic{Listener: arn, Before: to})
			}
			r.Traffic[i].After = to
		}), k.changeWatch(ctx, r.Name, d.Set, func(w *Watch) {
			x := w.of(arn)
			moved := x.Moved != nil && x.Moved.To.same(to)
			switch {
			case idle != "" && x.Left != nil && !x.Left.same(to):
				if !moved {
					x.Moved = &Moved{Since: now, To: to, Idle: idle}
				}
			case !moved || over && idle == "":
				*x = Watched{Listener: arn, Left: to, By: r.ID}
			}
		}))
	}
	return errors.Join(errs...)
}

// of returns what is known of a listener, which may be nothing.
func (w *Watch) of(arn string) *Watched {
	i := slices.IndexFunc(w.Listeners, func(x Watched) bool { return x.Listener == arn })
	if i < 0 {
		i = len(w.Listeners)
		w.Listeners = append(w.Listeners, Watched{Listener: arn})
	}
	return &w.Listeners[i]
}

// changeWatch changes what is known of a section's listeners, as often as others are faster.
func (k *Keeper) changeWatch(ctx context.Context, name string, set scheduler.SetName, change func(*Watch)) error {
	for range tries {
		var w Watch
		if _, err := k.app.Store.Traffic(ctx, set, name, &w); err != nil {
			return err
		}
		before, err := json.Marshal(w)
		if err != nil {
			return err
		}
		w.Name, w.Set = name, set
		change(&w)
		after, err := json.Marshal(w)
		if err != nil || string(after) == string(before) {
			return err
		}
		w.Version++
		err = k.app.Store.SaveTraffic(ctx, set, name, w.Version-1, w, k.app.Clock.Now())
		if !errors.Is(err, reconcile.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("change what is known of the listeners of %s: %w, %d times", name, reconcile.ErrConflict, tries)
}

// watchTraffic looks whether the listeners of sections without a deployment under way still
// send their requests where the last one left them, and returns how many send them where nobody
// answers.
func (k *Keeper) watchTraffic(ctx context.Context, shifting map[string]bool) (failing int, err error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(k.app.Config.Deployments)) {
		d := k.app.Config.Deployments[name]
		if len(d.Listeners) == 0 {
			continue
		}
		var w Watch
		if _, err := k.app.Store.Traffic(ctx, d.Set, name, &w); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, arn := range d.Listeners {
			moved := w.of(arn).Moved
			if !shifting[name] {
				found, err := k.moved(ctx, name, d, arn, &w)
				if err == nil {
					moved = found
				}
				errs = append(errs, err)
			}
			if moved.fails() {
				failing++
			}
		}
	}
	return failing, errors.Join(errs...)
}

// moved looks at one listener, of which before was known, and returns where its requests go
// if no deployment has sent them there. Where a deployment was looked at meanwhile, the next look
// says it.
func (k *Keeper) moved(ctx context.Context, name string, d section.Deployment, arn string,
	before *Watch) (*Moved, error) {
	known := *before.of(arn)
	now := k.app.Clock.Now()
	to, err := k.shares(ctx, arn)
	at := &Moved{Since: now, To: to, Gone: listener.IsGone(err)}
	switch {
	case err != nil && !at.Gone:
		return nil, err
	case !at.Gone && (known.Left == nil || known.Left.same(to)):
		at = nil
	case !at.Gone:
		if at.Idle, err = k.idle(ctx, to); err != nil {
			return nil, err
		}
	}
	if at != nil && known.Moved != nil && known.Moved.To.same(to) && known.Moved.Gone == at.Gone {
		at.Since = known.Moved.Since
	}
	stale := false
	err = k.changeWatch(ctx, name, d.Set, func(w *Watch) {
		if stale = w.Version != before.Version; stale {
			return
		}
		w.Listeners = slices.DeleteFunc(w.Listeners, func(x Watched) bool {
			return !slices.Contains(d.Listeners, x.Listener)
		})
		x := w.of(arn)
		if x.Left == nil {
			x.Left = to
		}
		x.Moved, w.Seen = at, now.Truncate(24*time.Hour)
	})
	if err != nil {
		return nil, err
	}
	if _, err := k.app.Store.Traffic(ctx, d.Set, name, before); err != nil {
		return nil, err
	}
	if stale {
		return before.of(arn).Moved, nil
	}
	if at != nil && at.Since.Equal(now) {
		x := Watched{Listener: arn, Left: known.Left, By: known.By, Moved: at}
		k.app.Log.Warn("traffic was moved without a deployment", zap.String("section", name),
			zap.String("cause", x.Cause()), zap.String("hint", x.Remedy()))
	}
	return at, nil
}

// idle returns the first of the target groups that get requests and have no healthy target;
// "" if all have.
func (k *Keeper) idle(ctx context.Context, to Shares) (string, error) {
	for _, group := range to.groups() {
		p, err := k.healthy(ctx, group)
		if err != nil {
			return "", err
		}
		if p.Healthy == 0 {
			return group, nil
		}
	}
	return "", nil
}

// Watches returns what is known of the listeners of every section, in order of name.
func Watches(ctx context.Context, a *app.App) (out []Watch, err error) {
	for _, name := range slices.Sorted(maps.Keys(a.Config.Deployments)) {
		d := a.Config.Deployments[name]
		if len(d.Listeners) == 0 {
			continue
		}
		var w Watch
		known, err := a.Store.Traffic(ctx, d.Set, name, &w)
		if err != nil {
			return nil, err
		}
		if known {
			w.Listeners = slices.DeleteFunc(w.Listeners, func(x Watched) bool {
				return !slices.Contains(d.Listeners, x.Listener)
			})
			out = append(out, w)
		}
	}
	return out, nil
}
