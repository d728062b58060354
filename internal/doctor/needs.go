package doctor

import (
	"context"
	"slices"
	"strings"

	"drawbridge/endpoints"
	"drawbridge/scheduler"
)

// needs compares the services that a job needs with those of its set.
func (d *Doctor) needs(ctx context.Context, name scheduler.JobName) {
	t := d.findings.Topic("services", "job "+string(name),
		"a task whose endpoint is missing does not start, or cannot do its work")
	set := d.config.Jobs[name].Set
	r, _, err := d.tasks.Requirements(ctx, name)
	if err != nil {
		t.Unread(err)
		return
	}
	have, err := d.tasks.Services(ctx, set)
	if err != nil {
		t.Unread(err)
		return
	}
	bad := false
	for _, n := range r.Services {
		if !slices.ContainsFunc(have, func(s endpoints.Service) bool { return s.ID == n.Service }) {
			bad = true
			t.Fail("add it to sets."+string(set)+".services, or set services: auto", "set %s does not have %s: %s", set,
				n.Service, strings.Join(n.Because, "; "))
		}
	}
	for _, u := range r.Unreachable {
		if !strings.Contains(u.What, ": image ") { // checked separately
			bad = true
			t.Fail(u.Remedy, "%s", u.What)
		}
	}
	if !bad {
		t.OK("set %s has %s", set, joinIDs(r.IDs()))
	}
}

// idle looks for services that no job of a set seems to need.
func (d *Doctor) idle(ctx context.Context, set scheduler.SetName) {
	if d.config.Sets[set].Auto {
		return
	}
	have, err := d.tasks.Services(ctx, set)
	if err != nil {
		return // reported with the set
	}
	needed := map[endpoints.ServiceID]bool{}
	jobs := 0
	for name, j := range d.config.Jobs {
		if j.Set != set {
			continue
		}
		r, _, err := d.tasks.Requirements(ctx, name)
		if err != nil {
			return // reported with the job
		}
		jobs++
		for _, id := range r.IDs() {
			needed[id] = true
		}
	}
	var idle []endpoints.ServiceID
	for _, s := range have {
		if s.Type == endpoints.Interface && !needed[s.ID] {
			idle = append(idle, s.ID)
		}
	}
	t := d.findings.Topic("needed services", "set "+string(set), "each endpoint is paid by the hour in each zone")
	switch {
	case jobs == 0:
	case len(idle) > 0:
		t.Warn("remove what the programs do not call either, or set services: auto and name their calls under "+
			"jobs.<name>.services", "no task definition of its jobs seems to need %s", joinIDs(idle))
	default:
		t.OK("its jobs need all of them")
	}
}

func joinIDs(ids []endpoints.ServiceID) string {
	if len(ids) == 0 {
		return "no services to check"
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return strings.Join(out, ", ")
}
