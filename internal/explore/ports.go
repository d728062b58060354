package explore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// callKind is a method of a port.
type callKind uint8

const (
	loadSet callKind = iota
	saveSet
	live
	ended
	record
	recordAll
	begin
	advance
	advanceAll
	loadRun
	prepare
	extend
	create
	describeStack
	countEndpoints
	deleteStack
	sweepEndpoints
	readNeeds
	startTasks
	countTasks
	describeTasks
	stopTask
	setTimer
	wakeLauncher
	wakeReaper
	askRun
	sendLetter
	sleep
	readTask
	callKinds
)

var callNames = [callKinds]string{
	"LoadSet", "SaveSet", "Live", "Ended", "Record", "RecordAll", "Begin", "Advance", "AdvanceAll", "Run", "Prepare",
	"UpdateStack", "CreateStack", "DescribeStacks", "DescribeVpcEndpoints", "DeleteStack", "DeleteVpcEndpoints",
	"DescribeTaskDefinition", "RunTask", "ListTasks", "DescribeTasks", "StopTask", "CreateSchedule", "InvokeLauncher",
	"InvokeReaper", "InvokeEvent", "SendMessage", "sleep", "task-event",
}

func (k callKind) String() string { return callNames[k] }

// ports are the ports of one invocation: each call stops it until the story goes on with it.
type ports struct {
	inv   *invocation
	yield func(struct{}) bool
	at    int
	now   time.Time
}

// gate stops the invocation at a call, and returns the reply; at once if it had it before.
func (p *ports) gate(c call) reply {
	if p.at == len(p.inv.log) {
		p.inv.pending = c
		if !p.yield(struct{}{}) {
			panic(killed{})
		}
	}
	r := p.inv.log[p.at]
	p.at++
	p.now = r.now
	return r
}

func (p *ports) do(k callKind, f func(w *world, v Variant) reply) reply {
	return p.gate(call{kind: k, do: f})
}

func fail(err error, format string, args ...any) reply {
	return reply{err: fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)}
}

// storePort is the table. Its conditions are those of internal/store: a test holds the two to each other.
type storePort struct{ p *ports }

func (s storePort) LoadSet(_ context.Context, name scheduler.SetName) (scheduler.Set, error) {
	r := s.p.do(loadSet, func(w *world, _ Variant) reply { return w.loadSet(name) })
	if r.err != nil {
		return scheduler.Set{}, r.err
	}
	return r.v.(*setRecord).Set, nil
}

func (s storePort) SaveSet(_ context.Context, set scheduler.Set) (scheduler.Set, error) {
	r := s.p.do(saveSet, func(w *world, _ Variant) reply { return w.saveSet(set) })
	if r.err != nil {
		return set, r.err
	}
	return r.v.(*setRecord).Set, nil
}

// held is what Live returns.
type held struct {
	runs  []scheduler.Run
	holds []scheduler.Hold
}

func (s storePort) Live(_ context.Context, name scheduler.SetName) ([]scheduler.Run, []scheduler.Hold, error) {
	r := s.p.do(live, func(w *world, _ Variant) reply { return w.live(name) })
	if r.err != nil {
		return nil, nil, r.err
	}
	h := r.v.(held)
	return slices.Clone(h.runs), slices.Clone(h.holds), nil
}

func (s storePort) Ended(_ context.Context, name scheduler.SetName, after time.Time) ([]scheduler.Run, error) {
	r := s.p.do(ended, func(w *world, _ Variant) reply { return w.ended(name, after) })
	runs, _ := r.v.([]scheduler.Run)
	return slices.Clone(runs), r.err
}

func (s storePort) Record(_ context.Context, run scheduler.Run) (scheduler.Run, error) {
	r := s.p.do(record, func(w *world, _ Variant) reply { return w.record(run) })
	if known, ok := r.v.(*runRecord); ok {
		return known.Run, r.err
	}
	return run, r.err
}

func (s storePort) RecordAll(_ context.Context, runs []scheduler.Run) error {
	runs = slices.Clone(runs)
	return s.p.do(recordAll, func(w *world, _ Variant) reply { return w.recordAll(runs) }).err
}

func (s storePort) Begin(_ context.Context, name scheduler.SetName, runs []scheduler.Run, fresh bool) error {
	runs = slices.Clone(runs)
	return s.p.do(begin, func(w *world, _ Variant) reply { return w.begin(name, runs, fresh) }).err
}

func (s storePort) Advance(_ context.Context, runs []scheduler.Run, from ...scheduler.RunState) error {
	runs, k := slices.Clone(runs), advance
	if len(runs) > 1 {
		k = advanceAll
	}
	return s.p.do(k, func(w *world, _ Variant) reply { return w.advance(runs, from) }).err
}

func (s storePort) Source(context.Context, scheduler.Run) ([]byte, error) { return nil, nil }

func (s storePort) Run(_ context.Context, set scheduler.SetName, id scheduler.RunID) (scheduler.Run, bool, error) {
	r := s.p.do(loadRun, func(w *world, _ Variant) reply {
		i := w.runIndex(id)
		if i < 0 || w.runs[i].Set != set {
			return reply{}
		}
		return reply{v: w.runs[i], sum: w.runs[i].sum}
	})
	if known, ok := r.v.(*runRecord); ok && r.err == nil {
		return known.Run, true, nil
	}
	return scheduler.Run{}, false, r.err
}

// Prepare plans a set: what is listed, or what its jobs need.
func (p *ports) Prepare(_ context.Context, set scheduler.SetName, wish reconcile.Wish) (reconcile.Prepared, error) {
	r := p.do(prepare, func(w *world, v Variant) reply {
		if v == Refused {
			return fail(reconcile.ErrRefused, "plan set %s", set)
		}
		services := w.serves(set, wish.Needs)
		return reply{v: services, sum: uint64(len(services))}
	})
	if r.err != nil {
		return reconcile.Prepared{}, r.err
	}
	services := r.v.([]string)
	return reconcile.Prepared{
		Services: services, Creates: services, Endpoints: len(services), PerHour: len(services), Zones: []string{"a"},
	}, nil
}

// Extend adds endpoints to a set's stack.
func (p *ports) Extend(_ context.Context, set scheduler.SetName, id scheduler.StackID, _ reconcile.LifeID, _ int,
	of reconcile.Prepared) (endpoints, perHour int, err error) {
	services := of.Services
	r := p.do(extend, func(w *world, v Variant) reply { return w.extend(set, id, services, v) })
	if r.err != nil {
		return 0, 0, r.err
	}
	return r.v.(int), r.v.(int), nil
}

// Create makes a set's stack.
func (p *ports) Create(_ context.Context, set scheduler.SetName, of reconcile.LifeID,
	prepared reconcile.Prepared) (scheduler.StackID, error) {
	services := prepared.Services
	r := p.do(create, func(w *world, v Variant) reply { return w.create(set, of, services, v) })
	if r.err != nil {
		return "", r.err
	}
	return r.v.(scheduler.StackID), nil
}

// Stack shows a set's stack.
func (p *ports) Stack(_ context.Context, set scheduler.SetName, id scheduler.StackID) (reconcile.StackSeen, error) {
	r := p.do(describeStack, func(w *world, v Variant) reply { return w.describe(set, id, v == Stale) })
	if r.err != nil {
		return reconcile.StackSeen{}, r.err
	}
	return r.v.(reconcile.StackSeen), nil
}

// Endpoints counts a set's endpoints.
func (p *ports) Endpoints(_ context.Context, set scheduler.SetName, id scheduler.StackID,
	_ bool) (scheduler.EndpointCount, error) {
	if id == "" {
		return scheduler.EndpointCount{}, nil
	}
	r := p.do(countEndpoints, func(w *world, _ Variant) reply { return w.count(set, id) })
	n, _ := r.v.(scheduler.EndpointCount)
	return n, r.err
}

// Coming counts the endpoints of a stack that is changing.
func (p *ports) Coming(_ context.Context, set scheduler.SetName) (scheduler.EndpointCount, error) {
	r := p.do(countEndpoints, func(w *world, _ Variant) reply { return w.count(set, "") })
	n, _ := r.v.(scheduler.EndpointCount)
	return n, r.err
}

// Delete deletes a set's stack.
func (p *ports) Delete(_ context.Context, set scheduler.SetName, id scheduler.StackID, force bool) error {
	return p.do(deleteStack, func(w *world, v Variant) reply { return w.deleteStack(set, id, force, v) }).err
}

// Sweep deletes what a stack left behind.
func (p *ports) Sweep(_ context.Context, set scheduler.SetName, id scheduler.StackID) error {
	return p.do(sweepEndpoints, func(w *world, _ Variant) reply { return w.sweepEndpoints(set, id) }).err
}

// Of returns what a job needs, where its set does not list it.
func (p *ports) Of(_ context.Context, set scheduler.SetName, job scheduler.JobName) ([]string, string, error) {
	if !p.inv.setup.set(set).Auto {
		return nil, "", nil
	}
	r := p.do(readNeeds, func(w *world, _ Variant) reply {
		i, _ := w.job(job)
		return reply{v: w.needs[i], sum: uint64(len(w.needs[i]))}
	})
	needs, _ := r.v.([]string)
	return needs, string(job) + ":1", r.err
}

// Start starts tasks.
func (p *ports) Start(_ context.Context, runs []scheduler.Run) []reconcile.Started {
	runs = slices.Clone(runs)
	return startedOf(p.do(startTasks, func(w *world, v Variant) reply { return w.start(runs, v) }), len(runs))
}

// startedOf spreads the reply to a wave over its runs.
func startedOf(r reply, runs int) []reconcile.Started {
	out := make([]reconcile.Started, runs)
	arns, _ := r.v.([]string)
	for i := range out {
		if out[i].Err = r.err; r.err == nil {
			out[i].ARN = arns[i]
		}
	}
	return out
}

// Active counts a set's tasks.
func (p *ports) Active(_ context.Context, set scheduler.SetName) (int, error) {
	r := p.do(countTasks, func(w *world, v Variant) reply { return w.active(set, v == Stale) })
	n, _ := r.v.(int)
	return n, r.err
}

// Describe shows the tasks of runs.
func (p *ports) Describe(_ context.Context, runs []scheduler.Run) (map[scheduler.RunID]scheduler.Task, error) {
	runs = slices.Clone(runs)
	r := p.do(describeTasks, func(w *world, v Variant) reply { return w.describeTasks(runs, v == Stale) })
	out := map[scheduler.RunID]scheduler.Task{}
	shown, _ := r.v.([]scheduler.Task)
	for i, t := range shown {
		if t.ARN != "" {
			out[runs[i].ID] = t
		}
	}
	return out, r.err
}

// Stop stops a run's task.
func (p *ports) Stop(_ context.Context, run scheduler.Run, _ string) error {
	return p.do(stopTask, func(w *world, _ Variant) reply { return w.stop(run.TaskARN) }).err
}

// Explain explains nothing: ECS's own words are enough for a story.
func (p *ports) Explain(context.Context, scheduler.Run, scheduler.Task) (*scheduler.Explanation, error) {
	return nil, nil
}

// stoppedTask is the task that an event tells of.
func (p *ports) stoppedTask(arn string) (scheduler.Task, bool) {
	r := p.do(readTask, func(w *world, _ Variant) reply {
		for i := range w.tasks {
			if w.tasks[i].arn == arn {
				return reply{v: w.tasks[i].shown(false, w.now)}
			}
		}
		return reply{}
	})
	t, ok := r.v.(scheduler.Task)
	return t, ok
}

// Set sets a set's timer.
func (p *ports) Set(_ context.Context, set scheduler.SetName, before, at time.Time) error {
	return p.do(setTimer, func(w *world, _ Variant) reply {
		w.queue = slices.DeleteFunc(w.queue, func(d delivery) bool {
			return d.kind == timer && d.set == set && (d.at.Equal(before) || d.at.Equal(at))
		})
		w.send(delivery{at: scheduler.Latest(at, w.now), kind: timer, set: set})
		return reply{}
	}).err
}

// wakerPort invokes the other function, or another invocation of the same.
type wakerPort struct{ p *ports }

func (k wakerPort) Launcher(_ context.Context, set scheduler.SetName, _ string) error {
	return k.p.do(wakeLauncher, func(w *world, _ Variant) reply {
		w.send(delivery{at: w.now, kind: launcherWake, set: set})
		return reply{}
	}).err
}

func (k wakerPort) Reaper(_ context.Context, set scheduler.SetName, _ string) error {
	return k.p.do(wakeReaper, func(w *world, _ Variant) reply {
		w.send(delivery{at: w.now, kind: reaperWake, set: set})
		return reply{}
	}).err
}

func (k wakerPort) Event(_ context.Context, job scheduler.JobName, id string) error {
	return k.p.do(askRun, func(w *world, _ Variant) reply {
		run := scheduler.RunID(string(job) + "/" + id)
		w.accept(run)
		w.send(delivery{at: w.now, kind: submit, run: run})
		return reply{}
	}).err
}

func (k wakerPort) Ended(context.Context, scheduler.Run) error { return nil }

// Send puts a run on the dead-letter queue.
func (p *ports) Send(_ context.Context, run scheduler.Run) error {
	return p.do(sendLetter, func(w *world, _ Variant) reply {
		w.deadLetter(run.ID, run.Reason)
		return reply{}
	}).err
}

// Now returns the time of the last reply, by the clock of the machine that the invocation is on.
func (p *ports) Now() time.Time { return p.now.Add(p.inv.skew) }

// Sleep waits.
func (p *ports) Sleep(_ context.Context, d time.Duration) error {
	return p.gate(call{kind: sleep, sleep: max(d, 0)}).err
}

// journalPort drops what it is told.
type journalPort struct{}

func (journalPort) Decided(scheduler.Set, scheduler.Decision)                {}
func (journalPort) Entered(scheduler.Set, scheduler.Set, scheduler.Decision) {}
func (journalPort) Paid(scheduler.Set, int)                                  {}
func (journalPort) Explained(scheduler.Run)                                  {}
func (journalPort) Ended(scheduler.Run)                                      {}
func (journalPort) Failed(scheduler.SetName, string, error)                  {}
