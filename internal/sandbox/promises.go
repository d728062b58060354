package sandbox

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"drawbridge/internal/awssim"
	"drawbridge/scheduler"
)

// Period is one life of the endpoints.
type Period struct {
	Created   time.Time `json:"created"`
	Available time.Time `json:"available"`
	Deleting  time.Time `json:"deleting"`
	Deleted   time.Time `json:"deleted"`
	PaidHours int       `json:"paid_hours"`
	// Failed is true if not all of them became available.
	Failed bool `json:"failed,omitempty"`
}

// Promise is one promise with its evidence.
type Promise struct {
	Number   int    `json:"number"`
	Name     string `json:"name"`
	Kept     bool   `json:"kept"`
	Evidence string `json:"evidence"`
}

// Periods returns the lives of the set's interface endpoints, and how many there
// are in each.
func Periods(basis scheduler.Basis, l awssim.Ledger) ([]Period, int) {
	byStack := map[string]*Period{}
	count := map[string]int{}
	var order []string
	for _, e := range l.Endpoints {
		if e.Stack == "" || e.Type != "interface" {
			continue
		}
		life := lifeOf(e, l)
		if byStack[life] == nil {
			byStack[life] = &Period{Created: unix(e.Created)}
			order = append(order, life)
		}
		count[life]++
		p := byStack[life]
		if at := unix(e.Created); at.Before(p.Created) {
			p.Created = at
		}
		p.Failed = p.Failed || e.Available == nil
		p.Available = latest(p.Available, unix(e.Available))
		p.Deleting = unix(e.Deleting)
		p.Deleted = latest(p.Deleted, unix(e.Deleted))
	}
	sort.Slice(order, func(i, j int) bool { return byStack[order[i]].Created.Before(byStack[order[j]].Created) })
	var out []Period
	n := 0
	for _, stack := range order {
		p := *byStack[stack]
		end := p.Deleted
		if end.IsZero() {
			end = unix(&l.Now)
		}
		p.PaidHours = scheduler.PaidHours(basis, p.Created, end)
		out = append(out, p)
		n = max(n, count[stack])
	}
	return out, n
}

// lifeOf returns the id of the stack, among those of the same name, that an
// endpoint was created in.
func lifeOf(e awssim.LedgerEndpoint, l awssim.Ledger) string {
	for _, s := range l.Stacks {
		if s.Name == e.Stack && *s.Created <= *e.Created && (s.Deleted == nil || *e.Created <= *s.Deleted) {
			return s.ID
		}
	}
	return e.Stack
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Check checks promises 1 to 7 on a ledger at whose end no stack should exist.
// accepted is the number of different events sent; each must have ended as a run
// or as a dead letter.
func Check(basis scheduler.Basis, l awssim.Ledger, accepted int) []Promise {
	return []Promise{
		readyBeforeRun(l), neverUnderATask(l), exactlyOnce(l, accepted), oneEndpoint(l), nothingLeft(l),
		neverDearer(basis, l), onlyItsOwn(l),
	}
}

// addedAfter is how long after the first endpoint of a stack, in seconds, another
// one is taken for an addition.
const addedAfter = 60

func readyBeforeRun(l awssim.Ledger) Promise {
	early := 0
	first := map[string]float64{} // when the first endpoint of a stack was created
	for _, e := range l.Endpoints {
		if at, ok := first[lifeOf(e, l)]; !ok || *e.Created < at {
			first[lifeOf(e, l)] = *e.Created
		}
	}
	for _, t := range l.Tasks {
		before := false
		for _, e := range l.Endpoints {
			// An endpoint added to an existing set concerns only the tasks that
			// need it; HadEndpoints covers those.
			added := *e.Created > first[lifeOf(e, l)]+addedAfter
			if e.Type == "interface" && !added && *e.Created <= *t.Created &&
				(e.Deleted == nil || *e.Deleted > *t.Created) && (e.Available == nil || *e.Available > *t.Created) {
				before = true
			}
		}
		if before {
			early++
		}
	}
	return Promise{
		1, "ready before run", early == 0,
		fmt.Sprintf("%s, %d started before an endpoint was available", scheduler.Count(len(l.Tasks), "task"), early),
	}
}

func neverUnderATask(l awssim.Ledger) Promise {
	lost := 0
	for _, t := range l.Tasks {
		if !t.HadEndpoints {
			lost++
		}
	}
	return Promise{
		2, "never under a task", lost == 0,
		fmt.Sprintf("%d of %s lost an endpoint", lost, scheduler.Count(len(l.Tasks), "task")),
	}
}

func exactlyOnce(l awssim.Ledger, accepted int) Promise {
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
	kept := twice == 0 && len(ran)+len(l.DeadLetters) == accepted
	return Promise{
		3, "exactly once", kept,
		fmt.Sprintf("%d events, %d runs, %d ran twice, %d dead letters", accepted, len(ran), twice, len(l.DeadLetters)),
	}
}

func oneEndpoint(l awssim.Ledger) Promise {
	clashes := 0
	for i, a := range l.Endpoints {
		for _, b := range l.Endpoints[i+1:] {
			if a.Service == b.Service && a.VPC == b.VPC && a.Type == "interface" && *a.Created < end(b, l) &&
				*b.Created < end(a, l) {
				clashes++
			}
		}
	}
	return Promise{
		4, "one endpoint per VPC and service", clashes == 0,
		fmt.Sprintf("%d endpoints, %d at the same time for the same service", len(l.Endpoints), clashes),
	}
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
	return Promise{
		5, "nothing left behind", left == 0,
		fmt.Sprintf("%d stacks, %d stacks and endpoints left", len(l.Stacks), left),
	}
}

func neverDearer(basis scheduler.Basis, l awssim.Ledger) Promise {
	ps, _ := Periods(basis, l)
	hours, again := 0, 0
	for i, p := range ps {
		hours += p.PaidHours
		if i > 0 && ps[i-1].Failed {
			continue // a failure forces another creation
		}
		if i > 0 && ps[i-1].Created.Add(time.Duration(ps[i-1].PaidHours)*time.Hour).After(p.Created) &&
			basis == scheduler.Creation {
			again++
		}
		if i > 0 && basis == scheduler.Clock &&
			!p.Created.Truncate(time.Hour).After(ps[i-1].Deleted.Add(-1).Truncate(time.Hour)) {
			again++
		}
	}
	always := 0
	if len(ps) > 0 {
		always = scheduler.PaidHours(basis, ps[0].Created, latest(ps[len(ps)-1].Deleted, ps[len(ps)-1].Created))
	}
	return Promise{
		6, "never dearer", hours <= always+1 && again == 0,
		fmt.Sprintf("%d paid hours, always-on over the same time %d; %d re-created within a paid hour", hours, always,
			again),
	}
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
		if !strings.Contains(s.Name, "-set-") && s.Deleted != nil {
			touched++
		}
	}
	return Promise{
		7, "only its own", touched == 0, fmt.Sprintf("endpoints of others: %d, of them touched: %d", foreign, touched),
	}
}

func unix(f *float64) time.Time {
	if f == nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(*f * 1000)).UTC()
}
