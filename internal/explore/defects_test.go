package explore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// Defects of the ports, each designed to break a promise. The search has to find every one: one that it does not
// find it would not find in the code either.

type table interface {
	LoadSet(context.Context, scheduler.SetName) (scheduler.Set, error)
	SaveSet(context.Context, scheduler.Set) (scheduler.Set, error)
	Live(context.Context, scheduler.SetName) ([]scheduler.Run, []scheduler.Hold, error)
	Ended(context.Context, scheduler.SetName, time.Time) ([]scheduler.Run, error)
	Record(context.Context, scheduler.Run) (scheduler.Run, error)
	RecordAll(context.Context, []scheduler.Run) error
	Begin(context.Context, scheduler.SetName, []scheduler.Run, bool) error
	Advance(context.Context, []scheduler.Run, ...scheduler.RunState) error
	Source(context.Context, scheduler.Run) ([]byte, error)
	Run(context.Context, scheduler.SetName, scheduler.RunID) (scheduler.Run, bool, error)
}

func portsOf(to *reconcile.Ports) *ports { return to.Store.(storePort).p }

// noVersion writes a set whatever version is stored.
type noVersion struct{ table }

func (d noVersion) SaveSet(_ context.Context, set scheduler.Set) (scheduler.Set, error) {
	r := d.table.(storePort).p.do(saveSet, func(w *world, _ Variant) reply {
		set.Version = w.sets[w.setIndex(set.Name)].Version
		return w.saveSet(set)
	})
	if r.err != nil {
		return set, r.err
	}
	return r.v.(*setRecord).Set, nil
}

// noPhase begins runs whatever phase the set is in.
type noPhase struct{ table }

func (d noPhase) Begin(_ context.Context, _ scheduler.SetName, runs []scheduler.Run, _ bool) error {
	runs = slices.Clone(runs)
	return d.table.(storePort).p.do(begin, func(w *world, _ Variant) reply {
		for _, r := range runs {
			w.write(r)
		}
		return reply{}
	}).err
}

// noIdentity takes every event for a new one.
type noIdentity struct{ table }

func (d noIdentity) Record(_ context.Context, run scheduler.Run) (scheduler.Run, error) {
	return run, d.table.(storePort).p.do(record, func(w *world, _ Variant) reply {
		if i := w.runIndex(run.ID); i >= 0 {
			w.write(run)
			return reply{}
		}
		return w.record(run)
	}).err
}

// noState writes what became of runs whatever is stored.
type noState struct{ table }

func (d noState) Advance(_ context.Context, runs []scheduler.Run, _ ...scheduler.RunState) error {
	runs = slices.Clone(runs)
	return d.table.(storePort).p.do(advance, func(w *world, _ Variant) reply {
		for _, r := range runs {
			w.write(r)
		}
		return reply{}
	}).err
}

// noStarting does not see runs that are being started, noHolds not what holds the set.
type noStarting struct{ table }

func (d noStarting) Live(ctx context.Context, set scheduler.SetName) ([]scheduler.Run, []scheduler.Hold, error) {
	runs, holds, err := d.table.Live(ctx, set)
	return slices.DeleteFunc(runs, func(r scheduler.Run) bool { return r.State == scheduler.Starting }), holds, err
}

type noHolds struct{ table }

func (d noHolds) Live(ctx context.Context, set scheduler.SetName) ([]scheduler.Run, []scheduler.Hold, error) {
	runs, _, err := d.table.Live(ctx, set)
	return runs, nil, err
}

// newTokens starts a task at each call; noTasks sees none of them.
type newTokens struct{ *ports }

func (d newTokens) Start(_ context.Context, runs []scheduler.Run) []reconcile.Started {
	runs = slices.Clone(runs)
	return startedOf(d.do(startTasks, func(w *world, v Variant) reply {
		for i := range runs {
			runs[i].Refusals = 1000 + len(w.tasks)
		}
		return w.start(runs, v)
	}), len(runs))
}

type noTasks struct{ *ports }

func (d noTasks) Active(context.Context, scheduler.SetName) (int, error) { return 0, nil }

func (d noTasks) Describe(context.Context, []scheduler.Run) (map[scheduler.RunID]scheduler.Task, error) {
	return nil, nil
}

// noOwner takes stacks of others for its own.
type noOwner struct{ *ports }

func (d noOwner) Stack(ctx context.Context, set scheduler.SetName, id scheduler.StackID) (reconcile.StackSeen, error) {
	seen, err := d.ports.Stack(ctx, set, id)
	if seen.State == scheduler.StackForeign {
		seen.State = scheduler.StackComplete
	}
	return seen, err
}

// noLeft does not see what a forced deletion leaves behind.
type noLeft struct{ *ports }

func (d noLeft) Sweep(context.Context, scheduler.SetName, scheduler.StackID) error { return nil }

// noLetters drops dead letters, noWakes invocations of the other function.
type noLetters struct{}

func (noLetters) Send(context.Context, scheduler.Run) error { return nil }

type noWakes struct{ wakerPort }

func (noWakes) Launcher(context.Context, scheduler.SetName, string) error { return nil }

// lateClock is ten minutes behind.
type lateClock struct{ *ports }

func (d lateClock) Now() time.Time { return d.ports.Now().Add(-10 * time.Minute) }

func TestDesignedDefectsAreFound(t *testing.T) {
	store := func(of func(storePort) table) func(*reconcile.Ports) {
		return func(to *reconcile.Ports) { to.Store = of(to.Store.(storePort)) }
	}
	for _, d := range []struct {
		name   string
		breaks string // the promises, one of which it breaks
		world  string // in which it shows
		defect func(*reconcile.Ports)
	}{
		{"the version of a set is not checked", "12356", "no stack comes up", store(func(s storePort) table { return noVersion{s} })},
		{"runs begin in any phase", "12", "taken down", store(func(s storePort) table { return noPhase{s} })},
		{"an event that is known is recorded anew", "3", "one run, clock", store(func(s storePort) table { return noIdentity{s} })},
		{"a run is written whatever became of it", "3", "two sets", store(func(s storePort) table { return noState{s} })},
		{"runs that are being started do not hold their set", "123", "a run while it drains", store(func(s storePort) table { return noStarting{s} })},
		{"holds do not hold", "2", "a hold while it drains", store(func(s storePort) table { return noHolds{s} })},
		{"each try has a token of its own", "3", "one run, clock", func(to *reconcile.Ports) { to.Tasks = newTokens{portsOf(to)} }},
		{"tasks are not looked up", "23", "waitCost", func(to *reconcile.Ports) { to.Tasks = noTasks{portsOf(to)} }},
		{"a stack of somebody else is taken for ours", "7", "foreign stack", func(to *reconcile.Ports) { to.Stacks = noOwner{portsOf(to)} }},
		{"what a forced deletion leaves is not swept", "345", "no stack is deleted but by force", func(to *reconcile.Ports) { to.Stacks = noLeft{portsOf(to)} }},
		{"dead letters are dropped", "3", "no stack comes up", func(to *reconcile.Ports) { to.DeadLetters = noLetters{} }},
		{"the launcher is not woken", "35", "one run, clock", func(to *reconcile.Ports) { to.Waker = noWakes{wakerPort{portsOf(to)}} }},
		{"the clock is ten minutes behind", "56", "one run, clock", func(to *reconcile.Ports) { to.Clock = lateClock{portsOf(to)} }},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			found := find(d.world, d.defect)
			if found == nil {
				t.Fatal("no story finds it")
			}
			var promise int
			if _, err := fmt.Sscanf(found.Broke, "promise %d", &promise); err != nil || !strings.Contains(d.breaks, fmt.Sprint(promise)) {
				t.Errorf("broke %q, want one of promises %s", found.Broke, d.breaks)
			}
			t.Logf("%s: %q: %s", found.World, found.Wrongs, found.Broke)
		})
	}
}

// find looks for a defect in a world: in all stories with at most one thing that goes wrong, then in walks.
func find(name string, defect func(*reconcile.Ports)) *Found {
	worlds := Worlds()
	s := *worlds[slices.IndexFunc(worlds, func(s *Setup) bool { return s.Name == name })]
	s.Defect = defect
	if r := Search(&s, 1, 0); r.Found != nil {
		return r.Found
	}
	for seed := range uint64(2000) {
		if _, found := Walk(&s, seed, 0.05); found != nil {
			f := Shorten(&s, *found)
			return &f
		}
	}
	return nil
}
