package scheduler

import (
	"strings"
	"testing"
	"time"
)

// TestCappedRunsHoldNothingByThemselves: runs beyond maxConcurrent wait for those that have
// a task, and runs that are put off to the next generation take no place from each other.
func TestCappedRunsHoldNothingByThemselves(t *testing.T) {
	at := func(clock string) time.Time {
		v, err := time.Parse("15:04", clock)
		if err != nil {
			t.Fatal(err)
		}
		return v.AddDate(2026, 0, 0).UTC()
	}
	set := Set{Name: "main", Phase: Available, Life: Life{BilledFrom: at("10:00"), Usable: at("10:03"), Services: []string{"logs"}, Endpoints: 1, Generation: 1}}
	s := DefaultSettings()
	s.MaxConcurrent = map[JobName]int{"a": 1}
	run := func(state RunState, delay time.Duration) Run {
		return Run{Job: "a", Set: "main", Progress: Progress{State: state, Attempt: 1, StartedAt: at("10:31"), StartingAt: at("10:31")}, Request: Request{ReceivedAt: at("10:30"), MaxDelay: delay, MaxRuntime: time.Hour}}
	}
	for _, tt := range []struct {
		name                      string
		now                       time.Time
		runs                      []Run
		waiting, capped, deferred int
		live                      bool
	}{
		{"one place, two that wait", at("10:40"), []Run{run(Waiting, 0), run(Waiting, 0)}, 1, 1, 0, true},
		{"the place is taken", at("10:40"), []Run{run(Running, 0), run(Waiting, 0)}, 0, 1, 0, true},
		{"two that are put off", at("10:56"), []Run{run(Waiting, 6*time.Hour), run(Waiting, 6*time.Hour)}, 0, 0, 2, false},
		{"one that is put off, and one that runs", at("10:56"), []Run{run(Running, 0), run(Waiting, 6*time.Hour)}, 0, 0, 1, true},
	} {
		d := DemandOf(tt.runs, nil, s, set, tt.now)
		if d.Waiting != tt.waiting || d.Capped != tt.capped || d.Deferred != tt.deferred || d.Live() != tt.live {
			t.Errorf("%s: %d waiting, %d capped, %d deferred, live %t; want %d, %d, %d, %t", tt.name, d.Waiting, d.Capped, d.Deferred, d.Live(), tt.waiting, tt.capped, tt.deferred, tt.live)
		}
	}
	running, waiting := run(Running, 0), run(Waiting, 0)
	if why := WhyWaiting(at("10:40"), s, set, waiting, running, waiting); !strings.Contains(why, "maxConcurrent") {
		t.Errorf("it waits because it %q", why)
	}
	if why := WhyWaiting(at("10:40"), s, set, waiting, waiting); strings.Contains(why, "maxConcurrent") {
		t.Errorf("with room it waits because it %q", why)
	}
}
