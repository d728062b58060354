package scheduler

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"drawbridge/scheduler/forecast"
)

// TestHistoryIsBounded: after a hundred thousand arrivals what is learned is as large
// as after a thousand, and every chance is one.
func TestHistoryIsBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	set := Set{}
	at := monday
	for n := range 100_000 {
		at = at.Add(time.Duration(random.ExpFloat64() * float64(20*time.Minute)))
		set = set.Arrived(Settings{WaitCost: 5, HourCost: 0.07, Raise: 150 * time.Second}, at, n%7 == 0)
		set.Learned = set.Learned.Ran(JobName(fmt.Sprintf("a-job-with-a-name-of-its-own-%02d", n%40)), time.Duration(random.IntN(1e9))*time.Microsecond)
		set.Learned.Raise, set.Learned.Lower = set.Learned.Raise.add(time.Duration(random.IntN(2e11))), set.Learned.Lower.add(time.Duration(random.IntN(2e11)))
	}
	for n := range 100 {
		reason := fmt.Sprintf("absent, to be raised ahead at %02d:00:00: a run comes between 14:00:00 and 15:00:00 with a chance of 21 %%, so its wait is expected to cost 0.050 USD; the hour costs 0.050", n%24)
		set = set.Remember(Entry{at.Add(time.Duration(n) * time.Hour), n, Available, Keep, reason})
	}
	set.Services, set.StackID = []string{"codedeploy", "ecr.api", "ecr.dkr", "logs", "s3", "secretsmanager"}, "arn:aws:cloudformation:us-east-1:123456789012:stack/drawbridge-set-main/0b7e3f60-1111-2222-3333-444455556666"
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 8<<10 || len(set.Learned.Runs) > maxJobs {
		t.Errorf("the set takes %d bytes and %d jobs, want 8 KB and %d", len(text), len(set.Learned.Runs), maxJobs)
	}
	var again Set
	if err := json.Unmarshal(text, &again); err != nil || again.Learned.History != set.Learned.History {
		t.Errorf("what is learned does not survive the store: %v", err)
	}
}

// BenchmarkDecide decides about an idle set at the end of an hour, and about one that
// is absent and looks a day ahead.
func BenchmarkDecide(b *testing.B) {
	s := Settings{Basis: Creation, Margin: 2 * time.Minute, Lower: 2 * time.Minute, Raise: 150 * time.Second, WaitCost: 0.5, HourCost: 0.07, MaxFailures: 5}
	set := Set{Learned: Learned{History: seen(working(20)...)}}
	last := set.Learned.lastArrival()
	for _, tt := range []struct {
		name  string
		phase Phase
		now   time.Time
	}{{"keep", Available, last.Add(58 * time.Minute)}, {"ahead", Absent, last.Add(3 * time.Hour)}, {"ahead of a quiet month", Absent, last.AddDate(0, 1, 0)}} {
		b.Run(tt.name, func(b *testing.B) {
			set.Phase, set.BilledFrom = tt.phase, last
			b.ReportAllocs()
			for b.Loop() {
				Decide(tt.now, s, set, Demand{}, Observed{})
			}
		})
	}
}

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// seen returns the history of arrivals.
func seen(arrivals ...time.Time) forecast.History {
	var h forecast.History
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
