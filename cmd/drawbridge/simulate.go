package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"drawbridge/internal/replay"
	"drawbridge/scheduler"
)

// policyName is the one policy there is: hold until the end of the paid hour, delete
// what is idle then, but for what --max-delay and --wait-cost change.
const policyName = "boundary"

type simulateCmd struct {
	Trace    []string      `help:"CSV of arrivals (arrival_epoch_s,duration_s). Repeatable." required:"" placeholder:"FILE.csv" sep:"none"`
	Billing  string        `help:"Where paid hours begin: ${enum}." enum:"clock,creation" default:"clock"`
	Raise    time.Duration `help:"How long a creation takes." default:"150s"`
	Lower    time.Duration `help:"How long a deletion takes." default:"120s"`
	MaxDelay time.Duration `help:"How long a job may wait, creation and deletion not counted." default:"0s"`
	WaitCost float64       `help:"Price of an hour of waiting in USD: counted into the cost, and weighed against the hours." default:"0"`
	Price    float64       `help:"Price of an endpoint-hour in one zone in USD." default:"0.014"`
	Services int           `help:"Number of interface endpoints." default:"5"`
	Zones    int           `help:"Number of zones." default:"1"`
	Policy   string        `help:"Policy: ${enum}." enum:"boundary" default:"boundary"`
	Output   string        `short:"o" help:"Output: ${enum}." enum:"table,json" default:"table"`
}

// simulated is one trace's object of the JSON output; times are epoch seconds.
type simulated struct {
	Trace   string            `json:"trace"`
	Policy  string            `json:"policy"`
	Billing scheduler.Basis   `json:"billing"`
	Periods []simulatedPeriod `json:"periods"`
	Jobs    []simulatedJob    `json:"jobs"`
	Hours   int               `json:"hours"`
	CostUSD float64           `json:"cost_usd"`
	waited  time.Duration
	// others are the hours that others would have paid: always on, a Lambda pair
	// that deletes by age, a 15-minute idle time-out.
	others [3]int
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

// Validate refuses numbers that make no sense; kong calls it.
func (c *simulateCmd) Validate() error {
	switch {
	case c.Raise < 0 || c.Lower < 0 || c.MaxDelay < 0:
		return fmt.Errorf("--raise, --lower and --max-delay cannot be negative")
	case c.Lower >= time.Hour:
		return fmt.Errorf("--lower %s: a deletion that takes an hour or more never ends within the hour that is paid",
			c.Lower)
	case math.IsNaN(c.WaitCost) || math.IsNaN(c.Price) || c.WaitCost > 1e9 || c.Price > 1e9:
		return fmt.Errorf("--wait-cost and --price are USD, at most 1e9")
	case c.WaitCost < 0 || c.Price < 0 || c.Services < 0 || c.Zones < 0:
		return fmt.Errorf("--wait-cost, --price, --services and --zones cannot be negative")
	}
	return nil
}

// Run replays every trace and prints all of them at the end, or none.
func (c *simulateCmd) Run(s streams) error {
	basis, err := scheduler.ParseBasis(c.Billing)
	if err != nil {
		return err
	}
	options := replay.Options{
		Basis: basis, Raise: c.Raise, Lower: c.Lower, MaxDelay: c.MaxDelay, WaitCost: c.WaitCost,
		HourCost: float64(c.Services*c.Zones) * c.Price,
	}
	all := make([]simulated, 0, len(c.Trace))
	for _, path := range c.Trace {
		t, err := replay.ReadFile(path)
		if err != nil {
			return err
		}
		r, err := replay.Run(t, options)
		if err != nil {
			return err
		}
		v := c.describe(t.Name, basis, r)
		if c.Output == "table" {
			pair, _ := replay.LambdaPair(t, options)
			v.others = [3]int{replay.AlwaysOn(t, basis), pair, replay.IdleTimeout(t, options)}
		}
		all = append(all, v)
	}
	out := bufio.NewWriterSize(s.out, 1<<16)
	if c.Output == "json" {
		err = json.NewEncoder(out).Encode(all)
	} else {
		err = writeSimulated(out, all)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

func (c *simulateCmd) describe(name string, basis scheduler.Basis, r replay.Result) simulated {
	v := simulated{
		Trace: name, Policy: policyName, Billing: basis, Hours: r.Hours, waited: r.Waited,
		Periods: make([]simulatedPeriod, len(r.Periods)), Jobs: make([]simulatedJob, len(r.Jobs)),
		CostUSD: float64(r.Hours*c.Services*c.Zones)*c.Price + c.WaitCost*r.Waited.Hours(),
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

func writeSimulated(w io.Writer, all []simulated) error {
	if _, err := fmt.Fprintf(w, "%-24s %6s %6s %9s %9s  %s\n", "TRACE", "JOBS", "HOURS", "USD", "MEAN WAIT",
		"ALWAYS ON, BY AGE, IDLE 15 MIN"); err != nil {
		return err
	}
	for _, v := range all {
		mean := (v.waited / time.Duration(len(v.Jobs))).Round(time.Second)
		if _, err := fmt.Fprintf(w, "%-24s %6d %6d %9.2f %9s  %d, %d, %d\n", v.Trace, len(v.Jobs), v.Hours, v.CostUSD,
			mean, v.others[0], v.others[1], v.others[2]); err != nil {
			return err
		}
	}
	return nil
}
