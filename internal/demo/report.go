package demo

import (
	"fmt"
	"strings"
	"time"

	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/replay"
	"drawbridge/internal/sandbox"
	"drawbridge/scheduler"
)

// deletionTakes is how long an endpoint's deletion takes in the simulation.
const deletionTakes = 2 * time.Minute

// report builds the report from the ledger.
func report(c *config.Installation, t replay.Trace, l awssim.Ledger) Report {
	r := Report{Day: t.Arrivals[0].At.Format("Monday, 2 January 2006"), Calls: l.Calls}
	r.Periods, r.Endpoints = sandbox.Periods(c.Billing, l)
	r.Services = services(l)
	r.Runs = runs(t, l)
	options := replay.Options{Basis: c.Billing, Raise: scheduler.DefaultRaise, Lower: deletionTakes}
	hours := 0
	for _, p := range r.Periods {
		hours += p.PaidHours
	}
	pair, interrupted := replay.LambdaPair(t, options)
	cost := func(name string, hours, interrupted int) Cost {
		return Cost{name, hours, float64(hours*r.Endpoints) * Price, interrupted}
	}
	lost := 0
	for _, task := range l.Tasks {
		if !task.HadEndpoints {
			lost++
		}
	}
	r.Costs = []Cost{
		cost("Drawbridge", hours, lost), cost("Lambda pair, deletes by age", pair, interrupted),
		cost("always on", 24, 0),
	}
	r.Promises = sandbox.Check(c.Billing, l, len(t.Arrivals))
	return r
}

// services returns the short names of the services that the endpoints serve.
func services(l awssim.Ledger) []string {
	var out []string
	for _, e := range l.Endpoints {
		if e.Type == "interface" {
			_, short, _ := strings.Cut(strings.TrimPrefix(e.Service, "com.amazonaws."), ".")
			out = scheduler.Union(out, []string{short})
		}
	}
	return out
}

func runs(t replay.Trace, l awssim.Ledger) []Run {
	tasks := map[string]awssim.LedgerTask{}
	for _, task := range l.Tasks {
		if id, _, ok := scheduler.ParseTaskGroup(task.Group); ok {
			tasks[string(id)] = task
		}
	}
	var out []Run
	for i, a := range t.Arrivals {
		id := fmt.Sprintf("push-%02d", i+1)
		r := Run{ID: id, Arrived: a.At, ExitCode: -1}
		if task, ok := tasks["build/"+id]; ok {
			r.Started, r.Finished = unix(task.Created), unix(task.Stopped)
			r.Wait = r.Started.Sub(a.At).Seconds()
			if task.ExitCode != nil {
				r.ExitCode = *task.ExitCode
			}
		}
		out = append(out, r)
	}
	return out
}

func unix(f *float64) time.Time {
	if f == nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(*f * 1000)).UTC()
}
