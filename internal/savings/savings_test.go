package savings

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"drawbridge/scheduler"
)

var begin = time.Date(2026, 5, 4, 8, 0, 0, 0, time.UTC)

// every returns runs at the given distances, each of five minutes.
func every(n int, gaps ...time.Duration) []scheduler.Run {
	var out []scheduler.Run
	at := begin
	for i := range n {
		out = append(out, scheduler.Run{ID: scheduler.RunID(fmt.Sprint("j/", i)), Job: "j", Progress: scheduler.Progress{State: scheduler.Finished, StartedAt: at.Add(3 * time.Minute)}, End: scheduler.End{Outcome: scheduler.Succeeded, FinishedAt: at.Add(8 * time.Minute)}, Request: scheduler.Request{ReceivedAt: at}})
		at = at.Add(gaps[i%len(gaps)])
	}
	return out
}

// named gives runs to a job, later in the day.
func named(job scheduler.JobName, later time.Duration, runs []scheduler.Run) []scheduler.Run {
	for i, r := range runs {
		runs[i].Job = job
		runs[i].ReceivedAt, runs[i].StartedAt, runs[i].FinishedAt = r.ReceivedAt.Add(later), r.StartedAt.Add(later), r.FinishedAt.Add(later)
	}
	return runs
}

func TestAdvice(t *testing.T) {
	for _, tt := range []struct {
		name   string
		runs   []scheduler.Run
		change func(*Input)
		says   []string
		not    string
	}{
		{"nothing yet", nil, nil, []string{"No run has been recorded yet."}, "saved"},
		{"too few", every(3, time.Hour), nil, []string{"Too few runs for advice (3)."}, "saved"},
		{"runs that would share an hour", every(60, 70*time.Minute, 22*time.Hour), nil, []string{"A maxDelay of 1h for all jobs would have saved 50 %, 1.75 USD; the mean wait of a run would have been"}, "Always-on endpoints would have cost"},
		{"one of two jobs that would", append(named("nightly", 8*time.Hour, every(30, 24*time.Hour)), named("pushes", 0, every(60, 70*time.Minute, 22*time.Hour+50*time.Minute))...), nil, []string{"A maxDelay of 1h on job pushes alone would have saved"}, "for all jobs"},
		{"runs that never would", every(30, 24*time.Hour), nil, nil, "would have saved"},
		{"a run in each hour", every(200, 50*time.Minute), nil, []string{"Always-on endpoints would have cost less, or hardly more: 167 paid hours against 166"}, ""},
		{"waits that are dear", every(100, 2*time.Hour), func(in *Input) { in.Settings.WaitCost = 50 }, nil, "A maxDelay of 10m"},
		{"a service to spare", every(30, 24*time.Hour), func(in *Input) { in.Avoidable = []Avoidable{{"logs", "send the log to S3"}} }, []string{"Without logs one endpoint in 5 would not have been paid, 0.30 USD: send the log to S3."}, ""},
		{"a price that is not known", every(60, 70*time.Minute, 22*time.Hour), func(in *Input) { in.Price = 0 }, []string{"would have saved 50 %; the mean wait"}, "USD"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{Set: "main", Runs: tt.runs, Settings: scheduler.DefaultSettings(), EndpointHours: 5, Price: 0.01, Now: begin}
			in.Settings.HourCost = 0.05
			if n := len(tt.runs); n > 0 {
				in.Now = tt.runs[n-1].FinishedAt.Add(time.Hour)
			}
			if tt.change != nil {
				tt.change(&in)
			}
			r, err := Make(in)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(r.Advice, "\n")
			for _, want := range tt.says {
				if !strings.Contains(text, want) {
					t.Errorf("advice %q, want %q (%+v)", text, want, r.Options)
				}
			}
			if tt.not != "" && strings.Contains(text, tt.not) {
				t.Errorf("advice %q, want nothing of %q", text, tt.not)
			}
		})
	}
}
