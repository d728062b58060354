package scheduler

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var priced = Settings{Basis: Creation, Margin: 2 * time.Minute, Lower: 2 * time.Minute, Raise: 150 * time.Second, WaitCost: 20, HourCost: 0.07, MaxFailures: 5}

// TestWorth keeps an idle set where a run is likely, and raises it before.
func TestWorth(t *testing.T) {
	set := Set{Learned: Learned{History: seen(working(12)...)}}
	monday := monday.AddDate(0, 0, 84)
	idle := set
	idle.Phase, idle.BilledFrom = Available, monday.Add(8*time.Hour-5*time.Minute)
	if d := Decide(idle.BilledFrom.Add(58*time.Minute), priced, idle, Demand{}, Observed{}); d.Action != Keep || !strings.Contains(d.Reason, "with a chance of") {
		t.Errorf("an idle set at nine on Monday: %+v, want keep with the chance", d)
	}
	idle.BilledFrom = monday.Add(2 * time.Hour)
	if d := Decide(idle.BilledFrom.Add(58*time.Minute), priced, idle, Demand{}, Observed{}); d.Action != Drain {
		t.Errorf("an idle set on Monday night: %+v, want drain", d)
	}
	free := priced
	free.WaitCost = 0
	idle.BilledFrom = monday.Add(8*time.Hour - 5*time.Minute)
	if d := Decide(idle.BilledFrom.Add(58*time.Minute), free, idle, Demand{}, Observed{}); d.Action != Drain {
		t.Errorf("without a price on waiting: %+v, want drain", d)
	}
	absent := set
	absent.Phase = Absent
	d := Decide(monday.Add(-2*time.Hour), priced, absent, Demand{}, Observed{})
	if d.Action != Wait || d.Next.Before(monday.Add(7*time.Hour)) || d.Next.After(monday.Add(9*time.Hour+10*time.Minute)) || !strings.Contains(d.Reason, "raised ahead") {
		t.Errorf("an absent set on Sunday evening: %+v, want to be raised before nine", d)
	}
	if d = Decide(d.Next, priced, absent, Demand{}, Observed{}); d.Action != Create || !strings.Contains(d.Reason, "ahead: a run comes between") {
		t.Errorf("then: %+v, want create", d)
	}
}

// outcome is what a set spends on gaps between arrivals: on hours in which it stands
// idle, and on waits. keep reports whether an idle set is kept at a boundary.
func outcome(s Settings, gaps []time.Duration, keep func(set *Set, now time.Time) bool) (float64, Set) {
	now := monday
	set := Set{Phase: Available, Life: Life{BilledFrom: now}}
	set = set.Arrived(s, now, true)
	cost := 0.0
	for _, gap := range gaps {
		arrives := now.Add(gap)
		up := true
		for b := Boundary(s.Basis, set.BilledFrom, now); up && !b.Add(-s.Lower).After(arrives); b = b.Add(PaidHour) {
			if !keep(&set, b.Add(-s.Lower)) {
				set = lower(b.Add(-s.Lower), s, set)
				up = false
				break
			}
			cost += s.HourCost
		}
		if !up {
			set.Phase = Absent
			cost += s.coldStart() + s.HourCost
		}
		set = set.Arrived(s, arrives, !up)
		if now = arrives; !up {
			set.Phase, set.BilledFrom = Available, now
		}
	}
	return cost, set
}

// TestLuckBounds: whoever chooses the gaps, and knows how the set decides, makes
// following the history cost at most what the documentation says against the best
// fixed time-out.
func TestLuckBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := priced
		s.WaitCost = rapid.SampledFrom([]float64{2, 5, 20, 60}).Draw(t, "waitCost")
		n := rapid.IntRange(50, 300).Draw(t, "gaps")
		style := rapid.IntRange(0, 2).Draw(t, "style")
		var gaps []time.Duration
		for range n {
			switch style {
			case 0: // anything
				gaps = append(gaps, time.Duration(rapid.IntRange(1, 200*3600).Draw(t, "gap"))*time.Second)
			case 1: // long or short
				gaps = append(gaps, rapid.SampledFrom([]time.Duration{20 * time.Minute, 90 * time.Minute, 26 * time.Hour}).Draw(t, "gap"))
			default: // habits that break off
				gaps = append(gaps, time.Duration(1+len(gaps)/40%3*30)*time.Hour)
			}
		}
		own, _ := outcome(s, gaps, func(set *Set, now time.Time) bool { ok, _ := set.worth(s, now); return ok })
		best := math.Inf(1)
		for _, hours := range []float64{0, .5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 48, 96, 1e6} {
			fixed, _ := outcome(s, gaps, func(set *Set, now time.Time) bool {
				return now.Sub(set.Learned.lastArrival()).Hours() < hours
			})
			best = min(best, fixed)
		}
		if bound := 2*grace*best + (graceHours+2)*s.HourCost + (graceWaits+2)*s.coldStart(); own > bound {
			t.Fatalf("following the history cost %.2f USD, the best time-out %.2f: more than the bound of %.2f", own, best, bound)
		}
	})
}

// TestMisledFollowsTheRule: an adversary who sends nothing while the set is up and a
// run as soon as it is gone.
func TestMisledFollowsTheRule(t *testing.T) {
	now, set := monday, Set{Phase: Available, Life: Life{BilledFrom: monday}}
	set = set.Arrived(priced, now, true)
	for range 400 {
		b := Boundary(priced.Basis, set.BilledFrom, now)
		for ok := true; ok; b = b.Add(PaidHour) {
			ok, _ = set.worth(priced, b.Add(-priced.Lower))
		}
		set = lower(b.Add(-PaidHour-priced.Lower), priced, set)
		set.Phase = Absent
		now = b.Add(-PaidHour + time.Minute)
		set = set.Arrived(priced, now, true)
		set.Phase, set.BilledFrom = Available, now
	}
	if limit := (graceHours+10)*priced.HourCost + (graceWaits+2)*priced.coldStart(); set.Learned.Luck.Regret > limit {
		t.Errorf("regret %.2f, beyond %.2f", set.Learned.Luck.Regret, limit)
	}
}
