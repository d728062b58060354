package forecast

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// seen returns the history of arrivals.
func seen(arrivals ...time.Time) History {
	var h History
	for _, at := range arrivals {
		h = h.Saw(at)
	}
	return h
}

// working returns one arrival at nine on each working day of some weeks.
func working(weeks int) []time.Time {
	var out []time.Time
	for day := range 7 * weeks {
		if at := monday.AddDate(0, 0, day).Add(9*time.Hour + 10*time.Minute); at.Weekday() != time.Saturday && at.Weekday() != time.Sunday {
			out = append(out, at)
		}
	}
	return out
}

// TestHistoryKnowsTheSeason tells the hour in which something comes from the others.
func TestHistoryKnowsTheSeason(t *testing.T) {
	h := seen(working(8)...)
	next := monday.AddDate(0, 0, 56)
	for _, tt := range []struct {
		name        string
		now, at     time.Time
		least, most float64
	}{
		{"Monday at nine, on Sunday evening", next.Add(-3 * time.Hour), next.Add(9 * time.Hour), 0.5, 1},
		{"Monday at nine, at nine", next.Add(9 * time.Hour), next.Add(9 * time.Hour), 0.5, 1},
		{"Monday night", next.Add(3 * time.Hour), next.Add(3 * time.Hour), 0, 0.1},
		{"Sunday at nine", next.Add(-15 * time.Hour), next.Add(-15 * time.Hour), 0, 0.2},
	} {
		if got := h.Chance(tt.now, tt.at); got < tt.least || got > tt.most {
			t.Errorf("%s: chance %.3f, want %.2f to %.2f", tt.name, got, tt.least, tt.most)
		}
	}
	if got := new(History).Chance(monday, monday); got != 0 {
		t.Errorf("without any arrival the chance is %g", got)
	}
}

// TestHistoryTakesAnything: chances are probabilities, and a long silence closed at
// once is like one closed hour by hour.
func TestHistoryTakesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := History{}
		at := monday.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "begin")))
		for range rapid.IntRange(1, 60).Draw(t, "arrivals") {
			at = at.Add(time.Duration(rapid.Int64Range(-1e9, 2e15).Draw(t, "gap")))
			h = h.Saw(at)
		}
		silence := time.Duration(rapid.Int64Range(0, 9e15).Draw(t, "silence"))
		for n := range 30 {
			p := h.Chance(at.Add(silence), at.Add(silence+time.Duration(n)*17*time.Minute))
			if math.IsNaN(p) || p < 0 || p > 1 {
				t.Fatalf("chance %g", p)
			}
		}
		if h.Hour < h.First || len(h.Week) != weekHours {
			t.Fatalf("hours %d to %d", h.First, h.Hour)
		}
	})
	slow, quick := seen(working(6)...), seen(working(6)...)
	end := hourOf(quick.Last) + quietHours + 3*weekHours
	for slow.Hour < end {
		slow.close()
	}
	quick = quick.until(float64(end) * 3600)
	for i := range slow.Week {
		if d := int(slow.Week[i]) - int(quick.Week[i]); d < -3 || d > 3 { // each rounds down
			t.Errorf("hour %d of the week: %d and %d thousandths", i, slow.Week[i], quick.Week[i])
		}
	}
	for i := range slow.Recent {
		if d := slow.Recent[i] - quick.Recent[i]; d < -1e-3 || d > 1e-3 {
			t.Errorf("recent %d: %g and %g", i, slow.Recent[i], quick.Recent[i])
		}
	}
}
