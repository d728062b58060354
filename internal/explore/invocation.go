package explore

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// kind is what an invocation was called for.
type kind uint8

const (
	submit kind = iota
	launcherWake
	reaperWake
	timer
	stackChanged
	sweep
	taskStopped
	kinds
)

var kindNames = [kinds]string{"event", "launcher", "reaper", "timer", "stack-event", "sweep", "task-event"}

func (k kind) String() string { return kindNames[k] }

func (k kind) side() reconcile.Side {
	if k <= launcherWake {
		return reconcile.Launcher
	}
	return reconcile.Reaper
}

// What a function may take, and how much of it is kept for what has to be written at the end;
// and how long the reaper waits itself for a boundary.
const (
	functionTakes = 15 * time.Minute
	reserve       = 20 * time.Second
	sweepEvery    = 5 * time.Minute
	patience      = sweepEvery + 90*time.Second
)

// invocation is a function that was invoked and has not returned.
type invocation struct {
	id    int
	setup *Setup
	delivery
	began time.Time
	// log are the replies that it has had, sum tells them from others.
	log []reply
	sum sum
	// pending is the call that it stands at.
	pending call
	// wakes is when it goes on: the end of its sleep, or of a call that hangs.
	wakes time.Time

	resume func() (struct{}, bool)
	cancel func()
	err    error
}

// call is a call of a port. do carries it out on a world.
type call struct {
	kind  callKind
	sleep time.Duration
	do    func(w *world, v Variant) reply
}

// reply is what a port returned, and when.
type reply struct {
	v   any
	err error
	sum uint64
	now time.Time
}

// killed unwinds an invocation whose world is given up.
type killed struct{}

func newInvocation(w *world, d delivery) *invocation {
	w.serial++
	inv := &invocation{id: w.serial, setup: w.Setup, delivery: d, began: w.now}
	inv.sum = sum(17).add(uint64(d.kind)).instant(w.now).text(string(d.set)).text(string(d.run)).text(d.arn)
	return inv
}

func (inv *invocation) name() string { return fmt.Sprintf("%s-%d", inv.kind, inv.id) }

// clone returns the invocation for a copy of the world.
func (inv *invocation) clone() *invocation {
	out := *inv
	out.log = slices.Clip(inv.log)
	out.resume, out.cancel = nil, nil
	return &out
}

func (inv *invocation) drop() {
	if inv.cancel != nil {
		inv.cancel()
		inv.resume, inv.cancel = nil, nil
	}
}

// goOn runs the invocation to its next call, and reports whether there is one.
func (inv *invocation) goOn() bool {
	if inv.resume == nil {
		inv.resume, inv.cancel = iter.Pull(func(yield func(struct{}) bool) {
			defer func() {
				if r := recover(); r != nil {
					if _, ours := r.(killed); !ours {
						panic(r)
					}
				}
			}()
			p := &ports{inv: inv, yield: yield, now: inv.began}
			inv.err = p.run(context.Background())
		})
	}
	_, more := inv.resume()
	if !more {
		inv.drop()
	}
	return more
}

// take gives the invocation the reply to the call that it stands at, and runs it to the next.
func (inv *invocation) take(r reply) (more bool) {
	was := inv.pending.kind
	if inv.resume == nil && (!inv.goOn() || inv.pending.kind != was) { // in a copy of its world
		panic("explore: " + inv.name() + " goes elsewhere when it is run again")
	}
	inv.log = append(inv.log, r)
	inv.sum = inv.sum.add(r.sum).instant(r.now)
	if r.err != nil {
		inv.sum = inv.sum.text(r.err.Error())
	}
	return inv.goOn()
}

// run does what the functions do with what they are invoked with.
//
// It mirrors internal/launcher and internal/reaper, which read the events and log.
func (p *ports) run(ctx context.Context) error {
	inv := p.inv
	to := reconcile.Ports{
		Store: storePort{p}, Stacks: p, Tasks: p, Explainer: p, Needs: p, Timers: p, Waker: wakerPort{p},
		DeadLetters: p, Clock: p, Journal: journalPort{},
	}
	if inv.setup.Defect != nil {
		inv.setup.Defect(&to)
	}
	r := reconcile.New(inv.kind.side(), inv.name(), inv.setup.settings(), to)
	look := reconcile.Look{Until: inv.began.Add(functionTakes - reserve)}
	switch inv.kind {
	case submit:
		job, _, _ := cutRun(inv.run)
		_, j := inv.setup.job(job)
		_, _, err := r.Submit(ctx, j.Set, []scheduler.Run{{
			ID: inv.run, Job: job, Set: j.Set,
			Request: scheduler.Request{MaxRuntime: j.MaxRuntime, MaxDelay: j.MaxDelay},
		}})
		return err
	case launcherWake:
		_, _ = r.Reconcile(ctx, inv.set, look) // a look that fails is logged; the next one goes on
		return nil
	case taskStopped:
		t, ok := p.stoppedTask(inv.arn)
		if !ok {
			return nil
		}
		_, err := r.TaskStopped(ctx, inv.set, t)
		return err
	case sweep:
		look.Thorough = true
		if look.Patience = patience; len(inv.setup.Sets) > 1 {
			look.Patience, look.HandOver = 0, patience
		}
		var first error
		for _, s := range inv.setup.Sets {
			if _, err := r.Reconcile(ctx, s.Name, look); err != nil && first == nil {
				first = err
			}
		}
		return first
	case timer, reaperWake:
		look.Patience = patience
	}
	_, err := r.Reconcile(ctx, inv.set, look)
	return err
}

func cutRun(id scheduler.RunID) (scheduler.JobName, string, bool) {
	for i := range id {
		if id[i] == '/' {
			return scheduler.JobName(id[:i]), string(id[i+1:]), true
		}
	}
	return scheduler.JobName(id), "", false
}
