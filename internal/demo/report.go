package demo

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/replay"
	"drawbridge/scheduler"
)

// report works the ledger up.
func report(c *config.Config, t replay.Trace, l awssim.Ledger) Report {
	r := Report{Day: t.Arrivals[0].At.Format("Monday, 2 January 2006"), Calls: l.Calls}
	r.Periods, r.Endpoints = periods(c, l)
	r.Runs = runs(t, l)
	options := replay.Options{Basis: c.Billing, Raise: scheduler.DefaultRaise, Lower: scheduler.DefaultLower}
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
	r.Costs = []Cost{cost("Drawbridge", hours, lost), cost("Lambda pair, deletes by age", pair, interrupted), cost("always on", 24, 0)}
	r.Promises = Check(c, l)
	return r
}

// periods returns the lives of the set's interface endpoints, and how many there
// are in each.
func periods(c *config.Config, l awssim.Ledger) ([]Period, int) {
	byStack := map[float64]*Period{}
	count := map[float64]int{}
	var order []float64
	for _, e := range l.Endpoints {
		if e.Stack == "" || e.Type != "interface" {
			continue
		}
		at := *e.Created
		if byStack[at] == nil {
			byStack[at] = &Period{Created: unix(e.Created)}
			order = append(order, at)
		}
		count[at]++
		p := byStack[at]
		p.Available, p.Deleting, p.Deleted = latest(p.Available, unix(e.Available)), unix(e.Deleting), latest(p.Deleted, unix(e.Deleted))
	}
	sort.Float64s(order)
	var out []Period
	n := 0
	for _, at := range order {
		p := *byStack[at]
		end := p.Deleted
		if end.IsZero() {
			end = unix(&l.Now)
		}
		p.PaidHours = scheduler.PaidHours(c.Billing, p.Created, end)
		out = append(out, p)
		n = max(n, count[at])
	}
	return out, n
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
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

// Check holds the ledger of a whole day against promises 1 to 7.
func Check(c *config.Config, l awssim.Ledger) []Promise {
	return []Promise{
		readyBeforeRun(l), neverUnderATask(l), exactlyOnce(l), oneEndpoint(l), nothingLeft(l), neverDearer(c, l), onlyItsOwn(l),
	}
}

func readyBeforeRun(l awssim.Ledger) Promise {
	early := 0
	for _, t := range l.Tasks {
		for _, e := range l.Endpoints {
			if e.Type == "interface" && *e.Created <= *t.Created && (e.Deleted == nil || *e.Deleted > *t.Created) && (e.Available == nil || *e.Available > *t.Created) {
				early++
			}
		}
	}
	return Promise{1, "ready before run", early == 0, fmt.Sprintf("%d tasks, %d started before an endpoint was available", len(l.Tasks), early)}
}

func neverUnderATask(l awssim.Ledger) Promise {
	lost := 0
	for _, t := range l.Tasks {
		if !t.HadEndpoints {
			lost++
		}
	}
	return Promise{2, "never under a task", lost == 0, fmt.Sprintf("%d of %d tasks lost an endpoint", lost, len(l.Tasks))}
}

func exactlyOnce(l awssim.Ledger) Promise {
	ran := map[scheduler.RunID]int{}
	for _, t := range l.Tasks {
		if id, _, ok := scheduler.ParseTaskGroup(t.Group); ok && t.ExitCode != nil {
			ran[id]++
		}
	}
	twice := 0
	for _, n := range ran {
		if n > 1 {
			twice++
		}
	}
	return Promise{3, "exactly once", twice == 0, fmt.Sprintf("%d runs, %d ran twice, %d dead letters", len(ran), twice, len(l.DeadLetters))}
}

func oneEndpoint(l awssim.Ledger) Promise {
	clashes := 0
	for i, a := range l.Endpoints {
		for _, b := range l.Endpoints[i+1:] {
			if a.Service == b.Service && a.VPC == b.VPC && a.Type == "interface" && *a.Created < end(b, l) && *b.Created < end(a, l) {
				clashes++
			}
		}
	}
	return Promise{4, "one endpoint per VPC and service", clashes == 0, fmt.Sprintf("%d endpoints, %d at the same time for the same service", len(l.Endpoints), clashes)}
}

func end(e awssim.LedgerEndpoint, l awssim.Ledger) float64 {
	if e.Deleted == nil {
		return l.Now
	}
	return *e.Deleted
}

func nothingLeft(l awssim.Ledger) Promise {
	left := 0
	for _, s := range l.Stacks {
		if s.Status != "DELETE_COMPLETE" {
			left++
		}
	}
	for _, e := range l.Endpoints {
		if e.Stack != "" && e.Deleted == nil {
			left++
		}
	}
	return Promise{5, "nothing left behind", left == 0, fmt.Sprintf("%d stacks, %d stacks and endpoints left", len(l.Stacks), left)}
}

func neverDearer(c *config.Config, l awssim.Ledger) Promise {
	ps, _ := periods(c, l)
	hours, again := 0, 0
	for i, p := range ps {
		hours += p.PaidHours
		if i > 0 && ps[i-1].Created.Add(time.Duration(ps[i-1].PaidHours)*time.Hour).After(p.Created) && c.Billing == scheduler.Creation {
			again++
		}
		if i > 0 && c.Billing == scheduler.Clock && !p.Created.Truncate(time.Hour).After(ps[i-1].Deleted.Add(-1).Truncate(time.Hour)) {
			again++
		}
	}
	always := 0
	if len(ps) > 0 {
		always = scheduler.PaidHours(c.Billing, ps[0].Created, latest(ps[len(ps)-1].Deleted, ps[len(ps)-1].Created))
	}
	return Promise{6, "never dearer", hours <= always+1 && again == 0, fmt.Sprintf("%d paid hours, always-on over the same time %d; %d re-created within a paid hour", hours, always, again)}
}

func onlyItsOwn(l awssim.Ledger) Promise {
	touched := 0
	foreign := 0
	for _, e := range l.Endpoints {
		if e.Stack == "" {
			foreign++
			if e.Deleting != nil {
				touched++
			}
		}
	}
	for _, s := range l.Stacks {
		if !strings.HasPrefix(s.Name, "drawbridge-set-") && s.Deleted != nil {
			touched++
		}
	}
	return Promise{7, "only its own", touched == 0, fmt.Sprintf("%d endpoints of others, %d of them touched", foreign, touched)}
}
