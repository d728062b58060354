package scheduler

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestSettleIsLearned lives through generations of sets whose endpoints need so long: a first
// attempt that waits less fails, and the set waits no longer than it must for most others.
func TestSettleIsLearned(t *testing.T) {
	for _, need := range []time.Duration{0, 500 * time.Millisecond, 3 * time.Second, 12 * time.Second, 25 * time.Second, time.Minute} {
		s, l := DefaultSettings(), Settling{}
		var waits []time.Duration
		failed := 0
		for generation := 1; generation <= 200; generation++ {
			wait := s.WithLearned(Learned{Settle: l}).Settle
			waits = append(waits, wait)
			if wait < need {
				failed++
				if next := l.Came(generation, s); next.After <= wait {
					t.Errorf("need %s: a failure at %s leads to %s", need, wait, next.After)
				}
				l = l.Came(generation, s)
			} else {
				l = l.Went(generation, s)
			}
			if l.After < 0 || l.After > maxSettle {
				t.Fatalf("need %s: waits %s", need, l.After)
			}
		}
		slices.Sort(waits)
		if median := waits[len(waits)/2]; median > need+10*time.Second {
			t.Errorf("need %s: the median wait is %s, more than 10 s longer", need, median)
		}
		if failed > 12 {
			t.Errorf("need %s: %d of 200 first attempts came too early", need, failed)
		}
	}
}

// TestWhatTeachesToSettle: only a first attempt of a run that waited for the endpoints, once a
// generation.
func TestWhatTeachesToSettle(t *testing.T) {
	usable := time.Date(2026, 5, 14, 9, 2, 50, 0, time.UTC)
	now := usable.Add(10 * time.Minute)
	zero := 0
	run := func(change func(*Run)) Run {
		r := Run{ID: "a/1"}
		r.ReceivedAt, r.StartingAt, r.StartedAt = usable.Add(-time.Minute), usable, usable.Add(time.Second)
		r.Attempt, r.State, r.ExitCode = 1, Finished, &zero
		change(&r)
		return r
	}
	set := Set{Name: "main"}
	set.Generation, set.Usable = 3, usable
	for _, tt := range []struct {
		name  string
		run   Run
		after time.Duration // 0 for nothing learned
	}{
		{"one that went well", run(func(*Run) {}), 15 * time.Second},
		{"one that runs for long enough", run(func(r *Run) { r.State, r.ExitCode = Running, nil }), 15 * time.Second},
		{"one that has just begun", run(func(r *Run) {
			r.State, r.ExitCode, r.StartedAt = Running, nil, now.Add(-time.Minute)
		}), 0},
		{"one that came too early", run(func(r *Run) {
			r.State, r.ExitCode, r.Cause = Waiting, nil, notReady
		}), 40 * time.Second},
		{"one that was started again", run(func(r *Run) { r.Attempt = 2 }), 40 * time.Second},
		{"one that failed for another reason", run(func(r *Run) {
			r.State, r.ExitCode, r.Cause = Waiting, nil, "security-group"
		}), 0},
		{"one that found the set up", run(func(r *Run) { r.ReceivedAt = usable.Add(time.Second) }), 0},
		{"one of an earlier generation", run(func(r *Run) { r.StartingAt = usable.Add(-time.Hour) }), 0},
	} {
		got, ok := set.learnSettle(DefaultSettings(), now, []Run{tt.run})
		if ok != (tt.after > 0) || got.Learned.Settle.After != tt.after {
			t.Errorf("%s: learned %v, wait %s; want %s", tt.name, ok, got.Learned.Settle.After, tt.after)
		}
		if _, again := got.learnSettle(DefaultSettings(), now, []Run{tt.run}); again {
			t.Errorf("%s: teaches twice", tt.name)
		}
	}
	fixed := DefaultSettings()
	fixed.FixedSettle = true
	if _, ok := set.learnSettle(fixed, now, []Run{run(func(*Run) {})}); ok {
		t.Error("a settle that is given is learned")
	}
}

// TestAWaitThatFailedIsTriedAgain: what AWS needed once it may not need for ever.
func TestAWaitThatFailedIsTriedAgain(t *testing.T) {
	s, l, random := DefaultSettings(), Settling{}, rand.New(rand.NewPCG(1, 2))
	for generation := 1; generation <= 1000; generation++ {
		if generation < 20 && random.IntN(2) == 0 {
			l = l.Came(generation, s)
		} else {
			l = l.Went(generation, s)
		}
	}
	if l.After > 5*time.Second {
		t.Errorf("after 980 generations that went well it waits %s", l.After)
	}
}
