package view

import (
	"fmt"
	"io"
	"time"

	"drawbridge/internal/replay"
	"drawbridge/scheduler"
)

// Simulated is one trace's object of the JSON output; times are epoch seconds.
type Simulated struct {
	Trace   string            `json:"trace"`
	Policy  string            `json:"policy"`
	Billing scheduler.Basis   `json:"billing"`
	Periods []simulatedPeriod `json:"periods"`
	Jobs    []simulatedJob    `json:"jobs"`
	Hours   int               `json:"hours"`
	CostUSD float64           `json:"cost_usd"`
	// HourUSD is what an hour of all endpoints costs, Delay how long a run may wait for them, in seconds.
	HourUSD float64 `json:"hour_usd"`
	Delay   float64 `json:"delay_s"`
	waited  time.Duration
	// Others are the hours that others would have paid: always on, a Lambda pair
	// that deletes by age, a 15-minute idle time-out.
	Others [3]int `json:"-"`
}

type simulatedPeriod struct {
	Created   float64 `json:"created"`
	Available float64 `json:"available"`
	Deleting  float64 `json:"deleting"`
	Deleted   float64 `json:"deleted"`
}

type simulatedJob struct {
	Arrived  float64 `json:"arrived"`
	Started  float64 `json:"started"`
	Finished float64 `json:"finished"`
}

// NewSimulated describes what came of a trace, but for its cost.
func NewSimulated(trace, policy string, basis scheduler.Basis, r replay.Result) Simulated {
	v := Simulated{
		Trace: trace, Policy: policy, Billing: basis, Hours: r.Hours, waited: r.Waited,
		Periods: make([]simulatedPeriod, len(r.Periods)), Jobs: make([]simulatedJob, len(r.Jobs)),
	}
	for i, p := range r.Periods {
		v.Periods[i] = simulatedPeriod{
			replay.Epoch(p.Created), replay.Epoch(p.Available), replay.Epoch(p.Deleting), replay.Epoch(p.Deleted),
		}
	}
	for i, j := range r.Jobs {
		v.Jobs[i] = simulatedJob{replay.Epoch(j.Arrived), replay.Epoch(j.Started), replay.Epoch(j.Finished)}
	}
	return v
}

// WriteSimulated writes what came of each trace, for people.
func WriteSimulated(w io.Writer, all []Simulated) error {
	if _, err := fmt.Fprintf(w, "%-24s %6s %6s %9s %9s  %s\n", "TRACE", "JOBS", "HOURS", "USD", "MEAN WAIT",
		"ALWAYS ON, BY AGE, IDLE 15 MIN"); err != nil {
		return err
	}
	for _, v := range all {
		mean := (v.waited / time.Duration(len(v.Jobs))).Round(time.Second)
		if _, err := fmt.Fprintf(w, "%-24s %6d %6d %9.2f %9s  %d, %d, %d\n", v.Trace, len(v.Jobs), v.Hours, v.CostUSD,
			mean, v.Others[0], v.Others[1], v.Others[2]); err != nil {
			return err
		}
	}
	return nil
}
