package replay

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"drawbridge/scheduler"
)

// anyTrace draws a short trace.
func anyTrace(t *rapid.T) Trace {
	now := time.Unix(1_800_000_000, 0).UTC()
	trace := Trace{Name: "t"}
	for range rapid.IntRange(1, 30).Draw(t, "arrivals") {
		now = now.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "gap")) * time.Second)
		trace.Arrivals = append(trace.Arrivals, Arrival{At: now, Duration: time.Duration(rapid.IntRange(0, 9000).Draw(t, "duration")) * time.Second})
	}
	return trace
}

// TestReplayKeepsThePromises: whatever the delay budget and the price on waiting.
func TestReplayKeepsThePromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trace := anyTrace(t)
		o := Options{Basis: rapid.SampledFrom([]scheduler.Basis{scheduler.Clock, scheduler.Creation}).Draw(t, "basis"), Raise: 150 * time.Second, Lower: 120 * time.Second, HourCost: 0.07}
		o.MaxDelay = rapid.SampledFrom([]time.Duration{0, 0, time.Minute, 10 * time.Minute, time.Hour, 4 * time.Hour}).Draw(t, "maxDelay")
		o.WaitCost = rapid.SampledFrom([]float64{0, 0, 1, 5, 60}).Draw(t, "waitCost")
		r, err := Run(trace, o)
		if err != nil {
			t.Fatal(err)
		}
		hours := 0
		for i, p := range r.Periods {
			if i > 0 && p.Created.Before(r.Periods[i-1].Deleted) {
				t.Fatalf("period %d overlaps the one before", i)
			}
			if p.Available.Sub(p.Created) != o.Raise || p.Deleted.Sub(p.Deleting) != o.Lower {
				t.Fatalf("period %+v", p)
			}
			if b := scheduler.Boundary(o.Basis, p.Created, p.Deleted.Add(-1)); !b.Equal(p.Deleted) {
				t.Fatalf("deleted at %s, the paid hour ends at %s", p.Deleted, b)
			}
			hours += scheduler.PaidHours(o.Basis, p.Created, p.Deleted)
		}
		if hours != r.Hours {
			t.Fatalf("%d hours claimed, %d paid", r.Hours, hours)
		}
		last := trace.Arrivals[0].At
		for i, j := range r.Jobs {
			inside := false
			for _, p := range r.Periods {
				inside = inside || !j.Started.Before(p.Available) && !j.Finished.After(p.Deleting)
			}
			if !inside || j.Started.Before(j.Arrived) || j.Started.Sub(j.Arrived) > o.MaxDelay+o.Raise+o.Lower || j.Finished.Sub(j.Started) != trace.Arrivals[i].Duration {
				t.Fatalf("job %d: %+v in %+v", i, j, r.Periods)
			}
			if j.Finished.After(last) {
				last = j.Finished
			}
		}
		if always := scheduler.PaidHours(o.Basis, trace.Arrivals[0].At, last.Add(o.Lower)); r.Hours > always+1 {
			t.Fatalf("%d hours, always-on %d", r.Hours, always)
		}
	})
}

// leastHours is what a clairvoyant pays, hours counted from creation, whose jobs start
// when they arrive and whose endpoints come and go in no time: the cheapest way to cut
// the jobs into generations, of all ways.
func leastHours(arrivals []Arrival) int {
	best := make([]int, len(arrivals)+1) // of the first n jobs
	for n := 1; n <= len(arrivals); n++ {
		best[n] = 1 << 30
		for first := n - 1; first >= 0; first-- {
			end := arrivals[first].At
			for _, a := range arrivals[first:n] {
				end = later(end, a.At.Add(a.Duration))
			}
			overlaps := false
			for _, a := range arrivals[:first] {
				overlaps = overlaps || a.At.Add(a.Duration).After(arrivals[first].At)
			}
			if !overlaps {
				best[n] = min(best[n], best[first]+max(scheduler.PaidHours(scheduler.Creation, arrivals[first].At, end), 1))
			}
		}
	}
	return best[len(arrivals)]
}

// TestDeletingAtTheBoundaryIsOptimal: without a price on waiting nothing is cheaper,
// though nothing was known in advance.
func TestDeletingAtTheBoundaryIsOptimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_800_000_000, 0).UTC()
		trace := Trace{Name: "small"}
		for range rapid.IntRange(1, 12).Draw(t, "arrivals") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "gap")) * 5 * time.Minute)
			length := time.Duration(rapid.IntRange(0, 30).Draw(t, "length"))*5*time.Minute + 30*time.Second
			trace.Arrivals = append(trace.Arrivals, Arrival{At: now, Duration: length})
		}
		r, err := Run(trace, Options{Basis: scheduler.Creation})
		if err != nil {
			t.Fatal(err)
		}
		if least := leastHours(trace.Arrivals); r.Hours != least {
			t.Fatalf("%d hours, %d are enough: %+v", r.Hours, least, trace.Arrivals)
		}
	})
}

func TestReplayEndsWhateverTheTimes(t *testing.T) {
	trace := Trace{Name: "t", Arrivals: []Arrival{{At: time.Unix(1_800_000_000, 0).UTC(), Duration: time.Minute}, {At: time.Unix(1_800_003_600, 0).UTC()}}}
	for _, basis := range []scheduler.Basis{scheduler.Clock, scheduler.Creation} {
		for _, lower := range []time.Duration{0, time.Millisecond, time.Second, 59*time.Minute + 59*time.Second} {
			for _, raise := range []time.Duration{0, time.Millisecond, 3 * time.Hour} {
				r, err := Run(trace, Options{Basis: basis, Raise: raise, Lower: lower})
				if err != nil || len(r.Periods) == 0 || r.Hours > 12 {
					t.Errorf("%s, raise %s, lower %s: %d hours, %v", basis, raise, lower, r.Hours, err)
				}
			}
		}
	}
}

func TestReferences(t *testing.T) {
	noon := time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)
	trace := Trace{Arrivals: []Arrival{{At: noon, Duration: 5 * time.Minute}, {At: noon.Add(55 * time.Minute), Duration: 10 * time.Minute}}}
	o := Options{Basis: scheduler.Clock, Raise: 150 * time.Second, Lower: 120 * time.Second}
	if got := AlwaysOn(trace, o.Basis); got != 2 {
		t.Errorf("always on: %d hours, want 2", got)
	}
	// Created 12:00:30, deleted at the tick of 13:00, gone 13:02: two clock hours,
	// and the second job is cut off.
	if hours, cut := LambdaPair(trace, o); hours != 2 || cut != 1 {
		t.Errorf("Lambda pair: %d hours, %d cut off, want 2 and 1", hours, cut)
	}
	// Each job with its own quarter of an hour: 12:00 to 12:25, 12:55 to 13:25.
	if got := IdleTimeout(trace, o); got != 3 {
		t.Errorf("idle time-out: %d hours, want 3", got)
	}
}
