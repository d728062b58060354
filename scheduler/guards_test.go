package scheduler

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDecideWithPausesGuardsAndTakeDowns(t *testing.T) {
	plain := DefaultSettings()
	limited := plain
	limited.MaxLifetime, limited.HoursPerDay, limited.HoursPerHour = 2*time.Hour, 10, 5
	failing := limited
	failing.FailOverBudget = true
	paused := func(s Set) Set {
		s.Pause = &Pause{At: At("09:00:00"), By: "user/a", Reason: "lunch"}
		return s
	}
	doomed := func(s Set) Set {
		s.TakeDown = "drawbridge destroy"
		return paused(s)
	}
	spent := func(n int) Set {
		s := in(Absent, "09:00:00")
		s.Day, s.DayHours = dayOf(At("10:00:00")), n
		return s
	}
	yesterday := spent(10)
	yesterday.Day = dayOf(At("10:00:00").Add(-24 * time.Hour))
	held := Demand{Holds: 1, HeldUntil: At("12:00:00")}

	for _, tt := range []struct {
		name   string
		now    string
		s      Settings
		set    Set
		demand Demand
		seen   Observed
		want   Action
		reason string
	}{
		{"a hold raises an absent set", "10:00:00", plain, in(Absent, "09:00:00"), held, Observed{}, Create, "a hold asks for it until 12:00:00"},
		{"paused and absent: nothing is created for a run", "10:00:00", plain, paused(in(Absent, "09:00:00")), Demand{Waiting: 2}, Observed{}, Idle, "paused since"},
		{"paused and absent: nothing is created for a hold", "10:00:00", plain, paused(in(Absent, "09:00:00")), held, Observed{}, Idle, "by user/a (lunch)"},
		{"paused while creating: what was begun is ended", "10:01:00", plain, paused(in(Creating, "10:00:00")), Demand{Waiting: 1}, Observed{Stack: StackMissing}, Create, ""},
		{"paused and available: a run is not started", "10:10:00", plain, paused(up("10:00:00")), Demand{Waiting: 1}, Observed{}, Wait, "idle"},
		{"paused and available: a start under way is ended", "10:10:00", plain, paused(up("10:00:00")), Demand{Starting: 1, Resumable: 1}, Observed{}, Start, ""},
		{"paused: what is up is still taken down, runs waiting or not", "10:55:00", plain, paused(up("10:00:00")), Demand{Waiting: 1}, Observed{}, Drain, ""},
		{"paused: not under a task", "10:55:00", plain, paused(up("10:00:00")), Demand{Running: 1, Waiting: 1}, Observed{}, Wait, ""},
		{"paused and draining: a run that waits does not reopen it", "10:55:10", plain, paused(draining("10:00:00")), Demand{Waiting: 1}, Observed{}, Delete, ""},
		{"to be taken down: at once, whatever is paid", "10:10:00", plain, doomed(up("10:00:00")), Demand{Waiting: 1, Holds: 1}, Observed{}, Drain, "to be taken down: drawbridge destroy"},
		{"to be taken down: not under a task", "10:10:00", plain, doomed(up("10:00:00")), Demand{Running: 1}, Observed{}, Wait, ""},
		{"to be taken down: nor under a task that ECS alone shows", "10:10:00", plain, doomed(draining("10:00:00")), Demand{}, Observed{Tasks: 1}, Reopen, ""},
		{"to be taken down and draining: delete", "10:10:00", plain, doomed(draining("10:00:00")), Demand{Waiting: 1, Holds: 1}, Observed{}, Delete, "taken down"},
		{"within the budget: create", "10:00:00", limited, spent(5), Demand{Waiting: 1}, Observed{}, Create, ""},
		{"an hour would go over the budget: wait for tomorrow", "10:00:00", limited, spent(6), Demand{Waiting: 1}, Observed{}, Wait, "6 of 10 endpoint-hours of today are spent"},
		{"an hour would go over the budget: give up where that is configured", "10:00:00", failing, spent(6), Demand{Waiting: 1}, Observed{}, GiveUp, "over budget"},
		{"over the budget, and only a hold asks: wait", "10:00:00", failing, spent(6), held, Observed{}, Wait, "tomorrow"},
		{"yesterday's hours do not count", "10:00:00", limited, yesterday, Demand{Waiting: 1}, Observed{}, Create, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Decide(At(tt.now), tt.s, tt.set, tt.demand, tt.seen)
			if d.Action != tt.want || !strings.Contains(d.Reason, tt.reason) {
				t.Errorf("Decide(%s) = %s (%s), want %s (... %s ...)", tt.now, d.Action, d.Reason, tt.want, tt.reason)
			}
		})
	}
}

func TestPromise2DecideDeletesNothingUnderATaskWhateverIsSwitched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s, set, d, o := anySituation(t)
		if rapid.Bool().Draw(t, "paused") {
			set.Pause = &Pause{At: now, By: "somebody"}
		}
		if rapid.Bool().Draw(t, "doomed") {
			set.TakeDown = "test"
		}
		if rapid.Bool().Draw(t, "limited") {
			s.MaxLifetime, s.HoursPerDay, s.HoursPerHour = time.Hour, 5, 5
		}
		got := Decide(now, s, set, d, o)
		if (got.Action == Drain || set.Phase == Draining && got.Action == Delete) && (d.Running+d.Starting > 0 || set.Phase == Draining && o.Tasks > 0) {
			t.Fatalf("decides to %s in phase %s although %s and %d tasks", got.Action, set.Phase, d, o.Tasks)
		}
		if set.Pause != nil && set.Phase == Absent && got.Action == Create {
			t.Fatalf("creates although it is paused")
		}
		if set.Pause != nil && got.Action == Start && d.Resumable == 0 {
			t.Fatalf("starts although it is paused")
		}
	})
}

func TestAccountCountsEachPaidHourOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		basis := rapid.SampledFrom([]Basis{Clock, Creation}).Draw(t, "basis")
		from := At("10:00:00").Add(time.Duration(rapid.IntRange(0, 3599).Draw(t, "from")) * time.Second)
		set := Set{Phase: Available, Life: Life{BilledFrom: from, PerHour: rapid.IntRange(1, 6).Draw(t, "per hour")}}
		total := 0
		now := from
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "later")) * time.Second)
			var n int
			set, n = set.CountHours(basis, now)
			total += n
		}
		want := PaidHours(basis, from, now.Add(time.Nanosecond)) * set.PerHour
		if total != want || set.TotalHours != want {
			t.Fatalf("counted %d (total %d), want %d", total, set.TotalHours, want)
		}
	})
}

func TestAHoldCountsNoLongerThanTheMaximumLifetime(t *testing.T) {
	s := DefaultSettings()
	s.MaxLifetime = 2 * time.Hour
	long := Hold{Owner: "a", Since: At("10:00:00"), Expires: At("18:00:00")}
	old := Hold{Owner: "b", Expires: At("18:00:00")} // of a time when nobody noted since when
	for _, tt := range []struct {
		name string
		now  string
		hold Hold
		s    Settings
		want int
	}{
		{"a second before it: it counts", "11:59:59", long, s, 1},
		{"at it: it counts no longer", "12:00:00", long, s, 0},
		{"without a maximum: it counts", "12:00:00", long, DefaultSettings(), 1},
		{"not known since when: until it expires", "17:59:59", old, s, 1},
		{"expired", "18:00:00", old, s, 0},
	} {
		if got := DemandOf(nil, []Hold{tt.hold}, tt.s, Set{}, At(tt.now)).Holds; got != tt.want {
			t.Errorf("%s: %d holds, want %d", tt.name, got, tt.want)
		}
	}
}

func TestTakeDownEndsWithTheGeneration(t *testing.T) {
	set := up("10:00:00")
	set.TakeDown = "drawbridge destroy"
	set.Phase = Deleting
	if next := Next(At("10:30:00"), DefaultSettings(), set, Decision{Action: Forget}, Observed{}); next.TakeDown != "" || next.Phase != Absent {
		t.Errorf("after the deletion the set is %s, to be taken down %q", next.Phase, next.TakeDown)
	}
}

// TestAlwaysOnStaysAsItWas: an hour that has passed is compared with what the configuration was
// then, whatever it is now.
func TestAlwaysOnStaysAsItWas(t *testing.T) {
	at := time.Date(2026, 5, 14, 9, 10, 0, 0, time.UTC)
	var set Set
	set, _ = set.CountHours(Clock, at)
	set.AlwaysPerHour = 5
	if n := set.AlwaysOnHours(Clock, at.Add(100*time.Minute)); n != 10 {
		t.Errorf("by 10:50 it is %d, want 2 hours of 5", n)
	}
	set, _ = set.CountHours(Clock, at.Add(100*time.Minute))
	set.AlwaysPerHour = 3 // deployed with fewer endpoints
	for later, want := range map[time.Duration]int{100 * time.Minute: 10, 109 * time.Minute: 10, 111 * time.Minute: 13, 231 * time.Minute: 19, time.Minute: 10} {
		if n := set.AlwaysOnHours(Clock, at.Add(later)); n != want {
			t.Errorf("%s after the first count it is %d, want %d", later, n, want)
		}
	}
}

// TestAFailureThatLastsIsNotRepeated: twice shows that nobody has mended it.
func TestAFailureThatLastsIsNotRepeated(t *testing.T) {
	s, now := DefaultSettings(), time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)
	set := Set{Name: "main"}
	set.Phase, set.FailingSince = Absent, now
	for failures, want := range map[int][2]bool{1: {false, false}, 2: {false, true}, 4: {false, true}, 5: {true, true}} {
		set.Failures = failures
		for i, lasts := range []bool{false, true} {
			set.FailureLasts = lasts
			if got := set.Hopeless(s, now.Add(10*time.Minute)); got != want[i] {
				t.Errorf("%d failures, lasting %t: hopeless %t", failures, lasts, got)
			}
		}
	}
}
