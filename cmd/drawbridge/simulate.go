package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"drawbridge/internal/replay"
	"drawbridge/internal/view"
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
	all := make([]view.Simulated, 0, len(c.Trace))
	for _, path := range c.Trace {
		t, err := replay.ReadFile(path)
		if err != nil {
			return err
		}
		r, err := replay.Run(t, options)
		if err != nil {
			return err
		}
		v := view.NewSimulated(t.Name, policyName, basis, r)
		v.HourUSD, v.Delay = options.HourCost, (c.Raise + c.Lower + c.MaxDelay).Seconds()
		v.CostUSD = float64(r.Hours*c.Services*c.Zones)*c.Price + c.WaitCost*r.Waited.Hours()
		if c.Output == "table" {
			pair, _ := replay.LambdaPair(t, options)
			v.Others = [3]int{replay.AlwaysOn(t, basis), pair, replay.IdleTimeout(t, options)}
		}
		all = append(all, v)
	}
	out := bufio.NewWriterSize(s.out, 1<<16)
	if c.Output == "json" {
		err = json.NewEncoder(out).Encode(all)
	} else {
		err = view.WriteSimulated(out, all)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}
