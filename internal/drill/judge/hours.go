package judge

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// hour is a paid hour.
const hour = 3600.0

// life is when an endpoint was paid for.
type life struct{ from, deleting, until float64 }

// endpoints is promises 4 to 6, VPC by VPC.
func (j judging) endpoints(basis string) {
	lives := map[string]map[string][]life{} // of our endpoints, by VPC and service
	for _, e := range j.Endpoints {
		if e.Stack == "" || e.Type != "interface" {
			continue
		}
		l := life{*e.Created, j.Now, j.Now}
		if e.Deleting != nil {
			l.deleting = *e.Deleting
		}
		if e.Deleted == nil {
			j.breaks(Left, "endpoint %s of %s still stands", e.ID, e.Service)
		} else {
			l.until = *e.Deleted
		}
		if lives[e.VPC] == nil {
			lives[e.VPC] = map[string][]life{}
		}
		lives[e.VPC][e.Service] = append(lives[e.VPC][e.Service], l)
	}
	for _, vpc := range slices.Sorted(maps.Keys(lives)) {
		j.vpc(basis, vpc, lives[vpc])
	}
}

func (j judging) vpc(basis, vpc string, services map[string][]life) {
	most, again := 0, 0
	first, last := math.Inf(1), 0.0
	for _, service := range slices.Sorted(maps.Keys(services)) {
		of := services[service]
		slices.SortFunc(of, func(a, b life) int { return cmp.Compare(a.from, b.from) })
		hours, twice := hoursOf(basis, of)
		most, again = max(most, hours), max(again, twice)
		first = min(first, of[0].from)
		last = max(last, of[len(of)-1].until)
		for i, l := range of {
			if i > 0 && l.from < of[i-1].until {
				j.breaks(Clash, "two endpoints of %s in %s", service, vpc)
			}
		}
	}
	j.out.Hours += most
	if always := int(math.Ceil(last/hour) - math.Floor(first/hour)); most > always+1 {
		j.breaks(Dearer, "%s paid %d hours, always-on %d", vpc, most, always)
	}
	if again > 0 && !j.story.Failures {
		j.breaks(Dearer, "%s paid an hour twice, %d times", vpc, again)
	}
	for _, service := range slices.Sorted(maps.Keys(services)) {
		for _, l := range services[service] {
			if j.idle(basis, vpc, l) {
				return // once is enough
			}
		}
	}
}

// idle reports whether an endpoint was there for an hour in which nothing needed it, or went while
// something held it, which are breaks.
func (j judging) idle(basis, vpc string, l life) bool {
	needed := l.from
	for _, h := range j.needs(vpc) {
		if h.From < l.deleting {
			needed = max(needed, min(h.Until, l.deleting))
		}
		if h.held && h.From < l.deleting && l.deleting < h.Until {
			j.breaks(CutOff, "an endpoint of %s was deleted at %s, under a hold", vpc, clock(l.deleting))
			return true
		}
	}
	from := l.from
	if basis == "clock" {
		from = math.Floor(from/hour) * hour
	}
	boundary := from + max(math.Ceil((needed+margin-from)/hour), 1)*hour
	if j.story.Any && boundary >= j.story.From && boundary <= j.story.Until+hour {
		boundary += slack + j.story.Spare
	}
	if l.until > boundary {
		j.breaks(Idle, "endpoints of %s, needed until %s, stood until %s, beyond the hour's end at %s", vpc,
			clock(needed), clock(l.until), clock(boundary))
		return true
	}
	return false
}

// margin is how long before the end of an hour a deletion has to begin to be over by then: what is
// needed until later than that may stay for the next one.
const margin = 5 * 60

// slack is how late a look may be that makes up for a lost one, and what a deletion takes.
const slack = 10 * 60

// need is a time in which a VPC's endpoints were needed.
type need struct {
	Hold
	held bool
}

// needs returns when the endpoints of a VPC were needed: from each event to its task's end, and as
// long as they were held.
func (j judging) needs(vpc string) []need {
	var out []need
	for _, h := range j.story.Holds {
		if h.VPC == vpc {
			out = append(out, need{h, true})
		}
	}
	for _, t := range j.Tasks {
		until := j.Now
		if t.Stopped != nil {
			until = *t.Stopped
		}
		if job, ok := jobOf(t.Group); ok && j.story.VPCs[job] == vpc { // who says that it is ours is not cut off either
			out = append(out, need{Hold{vpc, *t.Created, until}, false})
		}
	}
	for _, e := range j.story.Events {
		if at, ended := j.waited(e.ID); ended && j.story.VPCs[e.Job] == vpc {
			out = append(out, need{Hold{vpc, e.At, at}, false})
		}
	}
	for _, run := range j.story.Scheduled {
		job, id, _ := strings.Cut(run, "/")
		if at, ended := j.waited(id); ended && j.story.VPCs[job] == vpc {
			out = append(out, need{Hold{vpc, at - hour, at}, false}) // as long as a run waits that cannot start
		}
	}
	return out
}

// waited returns when an event's task was asked for, or when it became a dead letter.
func (j judging) waited(id string) (until float64, ended bool) {
	if at, ran := j.out.Starts[id]; ran {
		return at, true
	}
	at, dead := j.out.died[id]
	return at, dead
}

// jobOf returns the job that a task's group names, as in drawbridge:1:JOB/ID.
func jobOf(group string) (job string, ok bool) {
	parts := strings.SplitN(group, ":", 3)
	if len(parts) < 3 || parts[0] != "drawbridge" {
		return "", false
	}
	job, _, ok = strings.Cut(parts[2], "/")
	return job, ok
}

// clock shows an instant by its time of day.
func clock(at float64) string { return time.UnixMilli(int64(at * 1000)).UTC().Format(time.TimeOnly) }

// hoursOf counts the paid hours of one endpoint's lives, in order: hours of the clock that each
// touches, or hours since each creation. twice counts those that began while the hour before
// was still paid for.
func hoursOf(basis string, lives []life) (hours, twice int) {
	paid := math.Inf(-1)
	for _, l := range lives {
		from := l.from
		if basis == "clock" {
			from = math.Floor(from/hour) * hour
		}
		n := max(int(math.Ceil((l.until-from)/hour)), 1)
		if l.from < paid {
			twice++
		}
		hours, paid = hours+n, from+float64(n)*hour
	}
	return hours, twice
}
