package sandbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"drawbridge/internal/awssim"
)

// settles runs so many cold starts and returns how long after the last endpoint was available the
// first task of each was asked for, in order, and how many attempts came too early.
func settles(w *world, prefix string, colds int) (waits []time.Duration, early int) {
	for i := range colds {
		w.send(event(prefix + fmt.Sprint(i)))
		time.Sleep(4 * time.Hour)
	}
	l := w.sim.Ledger()
	first := map[float64]float64{} // the first task after each last endpoint
	for _, task := range l.Tasks {
		last := 0.0
		for _, e := range w.interfaces() {
			if *e.Available <= *task.Created {
				last = max(last, *e.Available)
			}
		}
		if at, seen := first[last]; !seen || *task.Created < at {
			first[last] = *task.Created
		}
		if task.ExitCode == nil {
			early++
		}
	}
	for _, last := range slices.Sorted(func(yield func(float64) bool) {
		for k := range first {
			if !yield(k) {
				return
			}
		}
	}) {
		waits = append(waits, time.Duration((first[last]-last)*float64(time.Second)))
	}
	return waits, early
}

// TestSettleIsLearnedFromColdStarts: a cold start is at most ten seconds over AWS's own time on the
// median, and endpoints that take longer than they did are met by a longer wait at once.
func TestSettleIsLearnedFromColdStarts(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		waits, early := settles(w, "a", 13)
		sorted := slices.Sorted(slices.Values(waits))
		if len(waits) != 13 || waits[0] < 20*time.Second || sorted[6] > 10*time.Second || early > 0 {
			t.Errorf("waits %v, %d came too early; want 20 s at first and at most 10 s on the median", waits, early)
		}
		w.fault("unsettled", "40s", 0)
		before := w.set().Learned.Settle.After
		waits, early = settles(w, "b", 6)
		if after := w.set().Learned.Settle; early == 0 || early > 5 || after.Failed == 0 || after.After <= before {
			t.Errorf("waits %v, %d came too early, learned %+v after %s", waits, early, after, before)
		}
		if ran := w.ran(); len(ran) != 13+6 {
			t.Errorf("ran %v, want all 19", ran)
		}
	})
	t.Run("a settle that the file gives stays", func(t *testing.T) {
		inWorld(t, job("    settle: 30s\n", ""), awssim.Options{}, func(w *world) {
			waits, _ := settles(w, "a", 4)
			for _, wait := range waits {
				if wait < 30*time.Second {
					t.Errorf("waits %v, want 30 s each", waits)
				}
			}
		})
	})
}
