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
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"go.uber.org/zap"

	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
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
}

// Cause says what happened, Remedy what to do.
func (w Watched) Cause() string {
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
	return "give it its weights back, or deploy; an update of the stack that has it in its template resets them, so " +
		"keep its action out of stacks that are updated"
}

// shares reads where a listener's default rule, or a rule, sends its requests.
func (k *Keeper) shares(ctx context.Context, arn string) (Shares, error) {
	in := &elasticloadbalancingv2.DescribeRulesInput{RuleArns: []string{arn}}
	if strings.Contains(arn, ":listener/") {
		in = &elasticloadbalancingv2.DescribeRulesInput{ListenerArn: &arn}
	}
	out, err := k.clients.ELB.DescribeRules(ctx, in)
	if err != nil {
		return nil, awserr.Mark(err, "describe the rules of %s", arn)
	}
	s := Shares{}
	for _, rule := range out.Rules {
		if in.ListenerArn != nil && !aws.ToBool(rule.IsDefault) {
			continue
		}
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

// shifts reports whether deployments of a kind shift traffic: a pipeline or a build may update
// the stack that resets it.
func (r *Record) shifts() bool { return r.Kind == ECS || r.Kind == CodeDeploy }

// traffic takes note of where the section's listeners send their requests, while a
// deployment that shifts them is under way.
func (k *Keeper) traffic(ctx context.Context, r *Record, d section.Deployment) error {
	if !r.shifts() {
		return nil
	}
	var errs []error
	for _, arn := range d.Listeners {
		now, err := k.shares(ctx, arn)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, k.change(ctx, r, func(r *Record) {
			i := slices.IndexFunc(r.Traffic, func(t Traffic) bool { return t.Listener == arn })
			if i < 0 {
				i = len(r.Traffic)
				r.Traffic = append(r.Traffic, Traffic{Listener: arn, Before: now})
			}
			r.Traffic[i].After = now
		}), k.changeWatch(ctx, r.Name, r.Set, func(w *Watch) {
			*w.of(arn) = Watched{Listener: arn, Left: now, By: r.ID}
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
		err = k.app.Store.SaveTraffic(ctx, set, name, w.Version-1, w)
		if !errors.Is(err, reconcile.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("change what is known of the listeners of %s: %w, %d times", name, reconcile.ErrConflict, tries)
}

// watchTraffic looks whether the listeners of sections without a deployment under way still
// send their requests where the last one left them, and returns how many send them to a target
// group without a healthy target.
func (k *Keeper) watchTraffic(ctx context.Context, shifting map[string]bool) (idle int, err error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(k.app.Config.Deployments)) {
		d := k.app.Config.Deployments[name]
		if len(d.Listeners) == 0 || shifting[name] {
			continue
		}
		for _, arn := range d.Listeners {
			moved, err := k.moved(ctx, name, d.Set, arn)
			if err != nil {
				errs = append(errs, err)
			}
			if moved != nil && moved.Idle != "" {
				idle++
			}
		}
	}
	return idle, errors.Join(errs...)
}

// moved looks at one listener, and returns where its requests go if no deployment has sent
// them there.
func (k *Keeper) moved(ctx context.Context, name string, set scheduler.SetName, arn string) (*Moved, error) {
	to, err := k.shares(ctx, arn)
	if err != nil {
		return nil, err
	}
	idle := ""
	for _, group := range to.groups() {
		p, err := k.healthy(ctx, group)
		if err != nil {
			return nil, err
		}
		if p.Healthy == 0 && idle == "" {
			idle = group
		}
	}
	now := k.app.Clock.Now()
	var found Watched
	err = k.changeWatch(ctx, name, set, func(w *Watch) {
		x := w.of(arn)
		switch {
		case x.Left == nil:
			x.Left = to
		case x.Left.same(to):
			x.Moved = nil
		case x.Moved == nil || !x.Moved.To.same(to):
			x.Moved = &Moved{Since: now, To: to, Idle: idle}
		default:
			x.Moved.Idle = idle
		}
		found = *x
	})
	if err == nil && found.Moved != nil && found.Moved.Since.Equal(now) {
		k.app.Log.Warn("traffic was moved without a deployment", zap.String("section", name),
			zap.String("cause", found.Cause()), zap.String("hint", found.Remedy()))
	}
	return found.Moved, err
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
