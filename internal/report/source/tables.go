package source

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/audit"
	"drawbridge/internal/awssim"
	"drawbridge/internal/drill"
	"drawbridge/internal/report"
	"drawbridge/internal/sandbox"
	"drawbridge/scheduler"
)

// epoch returns the time of seconds since 1970.
func epoch(s float64) time.Time { return time.UnixMilli(int64(s * 1000)).UTC() }

// moment returns the time of seconds since 1970; nil is none.
func moment(s *float64) time.Time {
	if s == nil {
		return time.Time{}
	}
	return epoch(*s)
}

// span widens a report so that it holds what lasted from one time until another.
func span(r *report.Report, from, until time.Time) {
	if r.From.IsZero() || from.Before(r.From) {
		r.From = from
	}
	r.Until = scheduler.Latest(r.Until, from, until)
}

// ledger is the report of what a sandbox saw. Its stacks that have endpoints are sets.
func ledger(l awssim.Ledger) (report.Report, error) {
	r := report.Report{
		Title: "What a simulated AWS saw",
		Notes: []string{"A ledger has tasks, not events: a run that never had a task is not in it, and no wait " +
			"is known. " +
			"Hours are clock hours."},
	}
	stacks := map[string]awssim.Ledger{}
	services := map[string][]string{}
	for _, e := range l.Endpoints {
		if e.Stack == "" || e.Type != "interface" || e.Created == nil {
			continue
		}
		part := stacks[e.Stack]
		part.Endpoints = append(part.Endpoints, e)
		stacks[e.Stack] = part
		services[e.Stack] = scheduler.Union(services[e.Stack], []string{e.Service[strings.LastIndex(e.Service,
			".")+1:]})
		span(&r, epoch(*e.Created), epoch(l.Now))
	}
	for _, name := range slices.Sorted(maps.Keys(stacks)) {
		part := stacks[name]
		part.Now = l.Now
		for _, s := range l.Stacks {
			if s.Created != nil {
				part.Stacks = append(part.Stacks, s)
			}
		}
		set := report.Set{Name: setOf(name), Basis: scheduler.Clock, Services: services[name], Delay: delay.Seconds()}
		var periods []sandbox.Period
		periods, set.Endpoints = sandbox.Periods(scheduler.Clock, part)
		for _, p := range periods {
			set.Generations = append(set.Generations, generation(p))
		}
		r.Sets = append(r.Sets, set)
	}
	addTasks(&r, l)
	if r.From.IsZero() {
		r.From, r.Until = epoch(l.Now), epoch(l.Now)
	}
	return r, nil
}

// addTasks adds the tasks that Drawbridge started, as runs.
func addTasks(r *report.Report, l awssim.Ledger) {
	for _, t := range l.Tasks {
		if t.Created == nil {
			continue
		}
		id, _, ours := scheduler.ParseTaskGroup(t.Group)
		if !ours {
			continue
		}
		job, _, _ := strings.Cut(string(id), "/")
		_, set, _ := strings.Cut(t.StartedBy, "/")
		x := report.Run{
			ID: string(id), Job: job, Set: set, Received: moment(t.Created), Started: moment(t.Created),
			Finished: moment(t.Stopped), Outcome: outcome(moment(t.Stopped), t.ExitCode), WaitUnknown: true, ExitCode: t.ExitCode,
		}
		if t.StopReason != nil && x.Outcome == string(scheduler.FailedRun) {
			x.Reason = *t.StopReason
		}
		if !t.HadEndpoints {
			x.Outcome, x.Reason = string(scheduler.FailedRun), "it lost an endpoint that it needed. "+x.Reason
		}
		r.Runs = append(r.Runs, x)
		span(r, epoch(*t.Created), epoch(l.Now))
	}
}

// setOf returns the set that a stack is named for, or the stack's name.
func setOf(stack string) string {
	if _, set, ok := strings.Cut(stack, "-set-"); ok {
		return set
	}
	return stack
}

// drilled is the report of drills: no timeline, but what each fault did.
func drilled(d drill.Report) (report.Report, error) {
	r := report.Report{Title: fmt.Sprintf("%s with seed %d", scheduler.Count(len(d.Outcomes), "drill"), d.Seed)}
	t := report.Table{
		Title: "Drills",
		Head:  []string{"drill", "accepted", "finished", "dead-lettered", "extra hours", "to heal", "breaks"},
	}
	reasons := report.Table{Title: "Why runs were dead-lettered", Head: []string{"drill", "runs", "reason"}}
	breaks := map[string]int{}
	for _, o := range append([]drill.Outcome{d.Day, d.Morning}, d.Outcomes...) {
		broken := "none"
		if len(o.Breaks) > 0 {
			var all []string
			for _, b := range o.Breaks {
				breaks[string(b.Kind)]++
				all = append(all, fmt.Sprintf("%s: %s", b.Kind, b.What))
			}
			broken = strings.Join(all, "; ")
		}
		heal := time.Duration(o.Heal) * time.Second
		t.Rows = append(t.Rows, []string{
			o.Name, fmt.Sprint(o.Accepted), fmt.Sprint(o.Finished), fmt.Sprint(o.Dead), fmt.Sprint(o.Over),
			heal.String(), broken,
		})
		for _, why := range slices.Sorted(maps.Keys(o.Reasons)) {
			reasons.Rows = append(reasons.Rows, []string{o.Name, fmt.Sprint(o.Reasons[why]), why})
		}
	}
	r.Tables = append(r.Tables, t)
	if len(reasons.Rows) > 0 {
		r.Tables = append(r.Tables, reasons)
	}
	r.Notes = append(
		r.Notes,
		fmt.Sprintf("The same drills again: drawbridge drill --seed %d. Extra hours are those over the day, "+
			"or the morning, without faults.", d.Seed),
	)
	for _, kind := range slices.Sorted(maps.Keys(breaks)) {
		r.Notes = append(r.Notes, fmt.Sprintf("Broken, %s: %s.", scheduler.Count(breaks[kind], "time"), kind))
	}
	return r, nil
}

// audited is the report of an account's endpoints.
func audited(a audit.Report) (report.Report, error) {
	r := report.Report{
		Title: fmt.Sprintf("Interface endpoints of account %s in "+
			"%s", a.Account, a.Region), From: a.From, Until: a.Until,
	}
	vpcs := report.Table{
		Title: "VPCs", Head: []string{"VPC", "endpoints", "busy hours", "USD a month", "with Drawbridge",
			"without idle ones", "advice"},
	}
	for _, v := range a.VPCs {
		vpcs.Rows = append(vpcs.Rows, []string{
			v.ID, fmt.Sprint(v.Endpoints), fmt.Sprintf("%d of %d", v.BusyHours, v.Hours), dollars(v.USDPerMonth),
			dollars(v.WithDrawbridge), dollars(v.WithoutIdle), v.Advice,
		})
	}
	all := report.Table{
		Title: "Endpoints", Head: []string{"endpoint", "VPC", "service", "zones", "busy hours", "GB", "USD a month",
			"advice"},
	}
	for _, e := range a.Endpoints {
		all.Rows = append(all.Rows, []string{
			e.ID, e.VPC, e.Service, strings.Join(e.Zones, ", "), fmt.Sprintf("%d of %d", e.BusyHours, e.Hours),
			fmt.Sprintf("%.2f", e.GB), dollars(e.USDPerMonth), e.Advice,
		})
	}
	r.Tables = []report.Table{vpcs, all}
	if a.Saving != nil {
		r.Advice = append(
			r.Advice,
			fmt.Sprintf("Of %s USD a month, %s could be saved.", dollars(a.USDPerMonth), dollars(a.Saving)),
		)
	}
	return r, nil
}

func dollars(v *float64) string {
	if v == nil {
		return "?"
	}
	return fmt.Sprintf("%.2f", *v)
}
