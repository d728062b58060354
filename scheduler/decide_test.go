package scheduler

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// up is a set that is available on the clock basis with the default margin.
func up(created string) Set {
	return Set{Name: "main", Phase: Available, Since: At(created), Life: Life{Generation: 1, BilledFrom: At(created), Usable: At(created)}}
}

func in(p Phase, since string) Set {
	return Set{Name: "main", Phase: p, Since: At(since), Life: Life{Generation: 1, BilledFrom: At(since)}}
}

func TestDecide(t *testing.T) {
	s := DefaultSettings()
	ready := EndpointCount{Available: 5}
	settling := up("10:00:00")
	settling.Usable = At("10:05:00")
	early := in(Absent, "10:56:00")
	early.PaidUntil = At("11:00:00")
	failing := in(Absent, "10:00:00")
	failing.Failures, failing.Failure, failing.RetryAt = 2, "no room", At("10:01:00")
	hopeless := failing
	hopeless.Failures = s.MaxFailures
	twice := in(Deleting, "10:56:00")
	twice.Deletions = MaxDeletions

	for _, tt := range []struct {
		name   string
		now    string
		set    Set
		demand Demand
		seen   Observed
		want   Action
		next   string
	}{
		{"absent and idle: nothing", "10:00:00", in(Absent, "09:00:00"), Demand{}, Observed{}, Idle, ""},
		{"absent and a run waits: create", "10:00:00", in(Absent, "09:00:00"), Demand{Waiting: 1}, Observed{}, Create, ""},
		{"absent and a start was left behind: create", "10:00:00", in(Absent, "09:00:00"), Demand{Starting: 1}, Observed{}, Create, ""},
		{"a second before the hour that is paid ends: wait for it", "10:59:59", early, Demand{Waiting: 1}, Observed{}, Wait, "11:00:01"},
		{"when it ends: a second more, as clocks differ", "11:00:00", early, Demand{Waiting: 1}, Observed{}, Wait, "11:00:01"},
		{"when it is over by any clock: create", "11:00:01", early, Demand{Waiting: 1}, Observed{}, Create, ""},
		{"a second before the retry: wait", "10:00:59", failing, Demand{Waiting: 1}, Observed{}, Wait, "10:01:00"},
		{"at the retry: create", "10:01:00", failing, Demand{Waiting: 1}, Observed{}, Create, ""},
		{"too many failures: give up", "10:01:00", hopeless, Demand{Waiting: 1, Failed: 1}, Observed{}, GiveUp, ""},
		{"too many failures before the run came: a try", "10:01:00", hopeless, Demand{Waiting: 1}, Observed{}, Create, ""},
		{"too many failures and nobody waits: nothing", "10:01:00", hopeless, Demand{}, Observed{}, Idle, ""},
		{"absent and a stack of ours is there: delete it", "10:00:00", in(Absent, "09:00:00"), Demand{}, Observed{Stack: StackComplete}, Delete, ""},
		{"absent and a stack of others is there: leave it", "10:00:00", in(Absent, "09:00:00"), Demand{}, Observed{Stack: StackForeign}, Idle, ""},

		{"creating without a stack: create", "10:00:05", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackMissing}, Create, ""},
		{"creating: wait", "10:01:00", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackBusy}, Wait, "10:01:03"},
		{"complete but an endpoint pends: wait", "10:01:00", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackComplete, Endpoints: EndpointCount{Available: 4, Pending: 1}}, Wait, "10:01:03"},
		{"complete but no endpoint is shown yet: wait", "10:01:00", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackComplete}, Wait, "10:01:03"},
		{"all available but the stack is not complete: wait", "10:01:00", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackBusy, Endpoints: ready}, Wait, "10:01:03"},
		{"complete and all available: open", "10:02:30", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackComplete, Endpoints: ready}, Open, ""},
		{"complete, the runs are gone: open all the same", "10:02:30", in(Creating, "10:00:00"), Demand{}, Observed{Stack: StackComplete, Endpoints: ready}, Open, ""},
		{"an endpoint failed: fail", "10:02:30", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackComplete, Endpoints: EndpointCount{Available: 4, Failed: 1}}, Fail, ""},
		{"rolling back: fail", "10:02:30", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackRollingBack}, Fail, ""},
		{"rolled back: fail", "10:02:30", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackBroken}, Fail, ""},
		{"deleted by somebody: fail", "10:02:30", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackDeleting}, Fail, ""},
		{"the name is taken: fail", "10:02:30", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackForeign}, Fail, ""},
		{"a second before the time-out: wait", "10:39:59", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackBusy}, Wait, "10:40:02"},
		{"at the time-out: fail", "10:40:00", in(Creating, "10:00:00"), Demand{Waiting: 1}, Observed{Stack: StackBusy}, Fail, ""},

		{"settling: wait", "10:04:59", settling, Demand{Waiting: 1}, Observed{}, Wait, "10:05:00"},
		{"settled: start", "10:05:00", settling, Demand{Waiting: 1}, Observed{}, Start, ""},
		{"a start that somebody left behind: start", "10:05:00", settling, Demand{Starting: 1, Resumable: 1}, Observed{}, Start, ""},
		{"a start under way: wait", "10:05:00", settling, Demand{Starting: 1}, Observed{}, Wait, "10:55:00"},
		{"idle a second before the margin: keep", "10:54:59", up("10:00:00"), Demand{}, Observed{}, Wait, "10:55:00"},
		{"idle at the margin: drain", "10:55:00", up("10:00:00"), Demand{}, Observed{}, Drain, ""},
		{"idle at the last moment: drain", "10:57:00", up("10:00:00"), Demand{}, Observed{}, Drain, ""},
		{"idle a second after it: the next hour is begun anyhow, keep", "10:57:01", up("10:00:00"), Demand{}, Observed{}, Wait, "11:55:00"},
		{"in use before the margin: keep", "10:54:59", up("10:00:00"), Demand{Running: 1}, Observed{}, Wait, "10:55:00"},
		{"in use at the margin: look once more before the hour is lost", "10:55:00", up("10:00:00"), Demand{Running: 1}, Observed{}, Wait, "10:56:45"},
		{"in use at that look: pay another hour", "10:56:45", up("10:00:00"), Demand{Running: 1}, Observed{}, Wait, "11:55:00"},
		{"in use at the last moment: pay another hour", "10:57:00", up("10:00:00"), Demand{Running: 1}, Observed{}, Wait, "11:55:00"},
		{"held: keep", "10:55:00", up("10:00:00"), Demand{Holds: 1}, Observed{}, Wait, "10:56:45"},
		{"a task will have run too long before that: look then", "10:10:00", up("10:00:00"), Demand{Running: 1, NextDeadline: At("10:20:00")}, Observed{}, Wait, "10:20:00"},
		{"a task has run too long: stop it", "10:20:00", up("10:00:00"), Demand{Running: 1, Overdue: 1}, Observed{}, Stop, ""},
		{"the stack was deleted by somebody: forget it", "10:20:00", up("10:00:00"), Demand{}, Observed{Stack: StackMissing}, Forget, ""},
		{"the stack is being deleted by somebody: drain first", "10:20:00", up("10:00:00"), Demand{}, Observed{Stack: StackDeleting}, Drain, ""},

		{"draining and a run came: reopen", "10:55:10", draining("10:00:00"), Demand{Waiting: 1}, Observed{}, Reopen, ""},
		{"draining and ECS shows a task: reopen", "10:55:10", draining("10:00:00"), Demand{}, Observed{Tasks: 1}, Reopen, ""},
		{"draining and nothing holds it: delete", "10:55:10", draining("10:00:00"), Demand{}, Observed{}, Delete, ""},
		{"draining was interrupted and the hour is over: reopen", "11:03:00", draining("10:00:00"), Demand{}, Observed{}, Reopen, ""},

		{"deleting and the stack is still complete: delete", "10:56:00", in(Deleting, "10:56:00"), Demand{}, Observed{Stack: StackComplete}, Delete, ""},
		{"deleting: wait", "10:56:00", in(Deleting, "10:56:00"), Demand{}, Observed{Stack: StackDeleting}, Wait, "10:56:05"},
		{"the deletion failed: again", "10:56:00", in(Deleting, "10:56:00"), Demand{}, Observed{Stack: StackDeleteFailed}, Delete, ""},
		{"it failed again: force", "10:56:00", twice, Demand{}, Observed{Stack: StackDeleteFailed}, Force, ""},
		{"gone and endpoints are left: sweep", "10:56:00", in(Deleting, "10:56:00"), Demand{}, Observed{Stack: StackMissing, Endpoints: EndpointCount{Available: 1}}, Sweep, ""},
		{"gone and the last endpoints go: wait", "10:56:00", in(Deleting, "10:56:00"), Demand{}, Observed{Stack: StackMissing, Endpoints: EndpointCount{Deleting: 1}}, Wait, "10:56:05"},
		{"all gone: forget", "10:56:00", in(Deleting, "10:56:00"), Demand{}, Observed{Stack: StackMissing}, Forget, ""},
		{"failed and rolled back: delete", "10:56:00", in(Failed, "10:56:00"), Demand{}, Observed{Stack: StackBroken}, Delete, ""},
		{"failed and rolling back: wait", "10:56:00", in(Failed, "10:56:00"), Demand{}, Observed{Stack: StackRollingBack}, Wait, "10:56:05"},
		{"failed and somebody else has the name: forget", "10:56:00", in(Failed, "10:56:00"), Demand{}, Observed{Stack: StackForeign}, Forget, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Decide(At(tt.now), s, tt.set, tt.demand, tt.seen)
			next := ""
			if !d.Next.IsZero() {
				next = d.Next.Format("15:04:05")
			}
			if d.Action != tt.want || next != tt.next {
				t.Errorf("Decide(%s) = %s, next %s (%s), want %s, next %s", tt.now, d.Action, next, d.Reason, tt.want, tt.next)
			}
			if d.Reason == "" || strings.Contains(d.Reason, "\n") {
				t.Errorf("reason %q, want one line", d.Reason)
			}
		})
	}
}

func draining(created string) Set {
	s := up(created)
	s.Phase = Draining
	return s
}

// anySituation draws a set with all that may be seen of it.
func anySituation(t *rapid.T) (time.Time, Settings, Set, Demand, Observed) {
	s := DefaultSettings()
	s.Basis = rapid.SampledFrom([]Basis{Clock, Creation}).Draw(t, "basis")
	created := At("00:00:00").Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "created")) * time.Second)
	now := created.Add(time.Duration(rapid.IntRange(0, 3*3600).Draw(t, "age")) * time.Second)
	set := Set{Name: "main", Since: created, Phase: rapid.SampledFrom([]Phase{Absent, Creating, Available, Draining, Deleting, Failed}).Draw(t, "phase"), Life: Life{Generation: 1, BilledFrom: created, Usable: created.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "usable")) * time.Second)}}
	n := func(name string) int { return rapid.IntRange(0, 2).Draw(t, name) }
	d := Demand{Waiting: n("waiting"), Starting: n("starting"), Running: n("running"), Holds: n("holds")}
	o := Observed{
		Stack:     rapid.SampledFrom([]StackState{StackUnknown, StackMissing, StackBusy, StackComplete, StackRollingBack, StackBroken, StackDeleting, StackDeleteFailed, StackForeign}).Draw(t, "stack"),
		Endpoints: EndpointCount{Pending: n("pending"), Available: n("available"), Failed: n("failed"), Deleting: n("deleting")},
		Tasks:     n("tasks"),
	}
	return now, s, set, d, o
}

func TestPromise1DecideStartsNothingBeforeTheSetIsUsable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s, set, d, o := anySituation(t)
		if got := Decide(now, s, set, d, o); got.Action == Start && (set.Phase != Available || now.Before(set.Usable)) {
			t.Fatalf("starts in phase %s, %s before it is usable", set.Phase, set.Usable.Sub(now))
		}
	})
}

func TestPromise2DecideDeletesNothingThatIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s, set, d, o := anySituation(t)
		got := Decide(now, s, set, d, o)
		held := d.Live()
		if set.Phase == Available && broken(set, o) != "" { // what only waits, waits for a stack that can serve
			held = d.Running+d.Starting+d.Holds > 0
		}
		if (got.Action == Drain || set.Phase == Draining && got.Action == Delete) && (held || set.Phase == Draining && o.Tasks > 0) {
			t.Fatalf("decides to %s in phase %s although %s and %d tasks", got.Action, set.Phase, d, o.Tasks)
		}
	})
}

func TestPromise5DecideAlwaysLooksAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s, set, d, o := anySituation(t)
		got := Decide(now, s, set, d, o)
		if got.Action == Wait && !got.Next.After(now) {
			t.Fatalf("waits until %s at %s", got.Next, now)
		}
		if got.Action == Idle && set.Phase != Absent {
			t.Fatalf("is settled in phase %s", set.Phase)
		}
		if got.Next.Sub(now) > 2*PaidHour {
			t.Fatalf("looks again after %s", got.Next.Sub(now))
		}
	})
}

func TestPromise6DecideDrainsOnlyWhereTheHourIsUsedUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s, set, d, o := anySituation(t)
		if got := Decide(now, s, set, d, o); got.Action == Drain && broken(set, o) == "" { // a stack that cannot serve goes at once
			left := Boundary(s.Basis, set.BilledFrom, now).Sub(now)
			if left > s.Margin || left < s.Lower {
				t.Fatalf("drains %s before the boundary, want %s to %s", left, s.Lower, s.Margin)
			}
		}
	})
}

func TestPromise7DecideDeletesNoForeignStack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s, set, d, o := anySituation(t)
		o.Stack = StackForeign
		set.Phase = rapid.SampledFrom([]Phase{Absent, Creating, Available, Deleting, Failed}).Draw(t, "phase again")
		if got := Decide(now, s, set, d, o); got.Action == Delete || got.Action == Force {
			t.Fatalf("decides to %s a stack that is not ours in phase %s", got.Action, set.Phase)
		}
	})
}

func TestDecidingAgainChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s, set, d, o := anySituation(t)
		first, second := Decide(now, s, set, d, o), Decide(now, s, set, d, o)
		if first != second {
			t.Fatalf("%+v, then %+v", first, second)
		}
	})
}

func TestNextKeepsTheNextGenerationOutOfThePaidHour(t *testing.T) {
	s := DefaultSettings()
	set := Next(At("10:56:00"), s, draining("10:00:00"), Decision{Action: Delete}, Observed{})
	set = Next(At("10:58:00"), s, set, Decision{Action: Forget}, Observed{})
	if set.Phase != Absent || !set.PaidUntil.Equal(At("11:00:00")) {
		t.Errorf("set %+v, want absent and paid until 11:00:00", set)
	}
	failed := Next(At("10:02:00"), s, in(Creating, "10:00:00"), Decision{Action: Fail, Reason: "why"}, Observed{})
	failed = Next(At("10:03:00"), s, failed, Decision{Action: Forget}, Observed{})
	if failed.Failures != 1 || !failed.RetryAt.Equal(At("10:03:30")) || failed.Failure != "why" {
		t.Errorf("set %+v, want one failure and the next try in half a minute", failed)
	}
	if got := retryAfter(50); got != 15*time.Minute {
		t.Errorf("retryAfter(50) = %s, want 15m", got)
	}
}

func TestDecisionRecordIsBounded(t *testing.T) {
	var s Set
	for i := range 100 {
		s = s.Remember(Entry{Generation: i})
	}
	if len(s.Decisions) != maxDecisions || s.Decisions[0].Generation != 100-maxDecisions {
		t.Errorf("%d decisions, the first of generation %d", len(s.Decisions), s.Decisions[0].Generation)
	}
}

func TestExpectedStart(t *testing.T) {
	s := DefaultSettings()
	paid := in(Deleting, "10:56:00")
	paid.PaidUntil = At("11:00:00")
	serving := up("10:00:00")
	serving.Services = []string{"logs"}
	for _, tt := range []struct {
		name string
		set  Set
		want string
	}{
		{"available", serving, "10:57:00"},
		{"available, without what it needs", up("10:00:00"), "10:59:30"},
		{"absent", in(Absent, "10:00:00"), "10:59:30"},
		{"creating", in(Creating, "10:56:00"), "10:58:30"},
		{"deleting in an hour that is paid", paid, "11:02:30"},
	} {
		if got := ExpectedStart(At("10:57:00"), s, tt.set, Run{Request: Request{Needs: []string{"logs"}}}).Format("15:04:05"); got != tt.want {
			t.Errorf("%s: expected start %s, want %s", tt.name, got, tt.want)
		}
	}
}
