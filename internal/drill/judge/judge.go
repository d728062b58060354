// Package judge says what became of a story, by the ledger of the simulated AWS alone. It
// imports nothing that decides: what it counts, it counts itself.
package judge

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"drawbridge/internal/awssim"
)

// EventVariable is the variable of a container that names the event which its task is for.
const EventVariable = "DRILL_EVENT"

// hour is a paid hour in seconds, as all times here are seconds.
const hour = 3600.0

// Event is one event that was accepted: sent, and taken by the queue.
type Event struct {
	ID string
	// At is when it was accepted, in epoch seconds.
	At float64
	// SHA256 is the digest of its text, in hexadecimal: a large event is kept as that alone.
	SHA256 string
	// Refused is true for an event that nothing can be made of: it has to become a dead letter.
	Refused bool
}

// Story is what was done to the account.
type Story struct {
	Events []Event
	// Scheduled are the runs that schedules start, as JOB/ID, each of which has to run once.
	Scheduled []string
	// Hooks are the jobs that deployments start, each run of which has to run once.
	Hooks []string
	// SchedulesLost is true where the account lost what starts the scheduled runs.
	SchedulesLost bool
	// Reasons match what a dead letter may give as its reason: what was really done.
	Reasons []*regexp.Regexp
	// Unready is true where endpoints refuse connections after AWS has called them available, so
	// that a task which does not start is nobody's mistake.
	Unready bool
	// Failures is true where a stack, an endpoint or a deletion may fail, so that an hour may be
	// paid twice.
	Failures bool
	// Stolen are calls with a stolen role that AWS did not refuse.
	Stolen []string
	// Foreign are ids of stacks and tasks that belong to others, as all endpoints without a stack
	// do.
	Foreign []string
	// From and Until are when the story began, and when the last fault had ended.
	From, Until float64
}

// Kind is a kind of break, in the words of the table.
type Kind string

// The kinds.
const (
	Lost    Kind = "lost"      // an accepted event that neither ran nor became a dead letter
	Doubled Kind = "doubled"   // one that ran twice, or ran and became a dead letter
	CutOff  Kind = "cut off"   // a task that lost its endpoints while it ran
	Early   Kind = "early"     // a task that did not start because an endpoint was not ready
	Untrue  Kind = "untrue"    // a dead letter whose reason is not what happened
	Left    Kind = "left"      // something that still stands, or goes on
	Dearer  Kind = "dearer"    // more paid hours than always-on, or an hour paid twice
	Clash   Kind = "clash"     // two endpoints of one service in one VPC
	Touched Kind = "not ours"  // something of others that was changed
	Stuck   Kind = "no answer" // a deployment that never came to its end
	// NotPlayed is a drill that could not be played to its end.
	NotPlayed Kind = "not played"
)

// Break is a promise that was not kept.
type Break struct {
	Kind Kind   `json:"kind"`
	What string `json:"what"`
}

// Result is what became of a story.
type Result struct {
	// Accepted counts events and scheduled runs; each of them has finished, or is a dead letter.
	Accepted, Finished, Dead int
	// Hours are paid hours of one endpoint, summed over the VPCs.
	Hours int
	// Starts are when the task of each event that ran was asked for.
	Starts map[string]float64
	// Reasons count the dead letters by their reason.
	Reasons map[string]int
	// Struck is how often each fault has struck.
	Struck map[string]int
	// Killed is how many handlers were killed, and KilledAt when the last one was.
	Killed   int
	KilledAt float64
	// Calls are how many calls each function made in one invocation at most.
	Calls map[string]int
	// PeakMiB is the most memory that a handler had, 0 if unknown.
	PeakMiB int
	Breaks  []Break
}

// ledger is a ledger with what is looked up often.
type ledger struct {
	awssim.Ledger
	story Story
	out   *Result
}

// Judge says what became of a story on which the curtain has fallen: nothing more is to happen.
// basis is clock or creation.
func Judge(s Story, l awssim.Ledger, basis string) Result {
	j := ledger{l, s, &Result{
		Accepted: len(s.Events), Starts: map[string]float64{}, Reasons: map[string]int{}, Struck: l.Struck,
		Calls: map[string]int{},
	}}
	for _, i := range l.Invocations {
		j.out.Calls[i.Function] = max(j.out.Calls[i.Function], i.Calls)
		j.out.PeakMiB = max(j.out.PeakMiB, i.PeakMiB)
		if i.Outcome != nil && *i.Outcome == "killed" {
			j.out.Killed++
			j.out.KilledAt = max(j.out.KilledAt, *i.Ended)
		}
	}
	j.events()
	j.tasks()
	j.endpoints(basis)
	j.leftovers()
	j.foreign()
	return *j.out
}

func (j ledger) breaks(k Kind, format string, args ...any) {
	j.out.Breaks = append(j.out.Breaks, Break{k, fmt.Sprintf(format, args...)})
}

// ours reports whether a task was started for a run, and not by somebody who says so.
func (j ledger) ours(t awssim.LedgerTask) bool {
	return strings.HasPrefix(t.Group, "drawbridge:") && !slices.Contains(j.story.Foreign, t.ARN)
}

// letter is what is read of a dead letter: ours, or one of Lambda's destination.
type letter struct {
	Reason string          `json:"reason"`
	Run    string          `json:"run"`
	Event  json.RawMessage `json:"event"`
}

// events is promise 3.
func (j ledger) events() {
	ran, dead := map[string]int{}, map[string]int{}
	scheduled := map[string]int{}
	for _, t := range j.Tasks {
		if !j.ours(t) || t.ExitCode == nil {
			continue // nothing of its program ran
		}
		if id := t.Environment[EventVariable]; id != "" {
			ran[id]++
			j.out.Starts[id] = *t.Created
			continue
		}
		run := strings.SplitN(t.Group, ":", 3)
		scheduled[run[len(run)-1]]++
	}
	for _, m := range j.DeadLetters {
		j.letter(m.Body, dead)
	}
	for _, e := range j.story.Events {
		j.once(e, ran[e.ID], dead[e.ID])
	}
	j.scheduledRuns(scheduled, dead)
}

// letter counts a dead letter for the event that it holds, and looks at its reason.
func (j ledger) letter(body string, dead map[string]int) {
	var m letter
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Reason == "" {
		j.breaks(Untrue, "a dead letter gives no reason: %.200s", body)
		return
	}
	j.out.Reasons[m.Reason]++
	if !slices.ContainsFunc(j.story.Reasons, func(r *regexp.Regexp) bool { return r.MatchString(m.Reason) }) {
		j.breaks(Untrue, "dead letter of %s: %q is not what happened", m.Run, m.Reason)
	}
	_, id, _ := strings.Cut(m.Run, "/")
	if found := idOf.FindSubmatch(m.Event); found != nil {
		id = string(found[1])
	}
	for _, e := range j.story.Events {
		if e.SHA256 != "" && bytes.Contains(m.Event, []byte(e.SHA256)) {
			id = e.ID
		}
	}
	dead[id]++
}

// idOf finds the id in an event, as an object or as the beginning of a text that holds one.
var idOf = regexp.MustCompile(`\\?"id\\?":\\?"([^"\\]+)`)

// once counts what became of an event.
func (j ledger) once(e Event, ran, dead int) {
	switch {
	case ran+dead == 0:
		j.breaks(Lost, "event %s neither ran nor is a dead letter", e.ID)
	case ran > 1 || ran > 0 && dead > 0:
		j.breaks(Doubled, "event %s ran %d times and has %d dead letters", e.ID, ran, dead)
	case ran > 0 && e.Refused:
		j.breaks(Doubled, "event %s ran, and nothing can be made of it", e.ID)
	}
	if ran > 0 {
		j.out.Finished++
	} else if dead > 0 {
		j.out.Dead++
	}
}

// scheduledRuns counts the runs that no event of ours asked for.
func (j ledger) scheduledRuns(ran, dead map[string]int) {
	wanted := slices.Clone(j.story.Scheduled)
	for run, n := range ran {
		i := slices.Index(wanted, run)
		if i >= 0 {
			wanted = slices.Delete(wanted, i, i+1)
			j.out.Accepted++
			j.out.Finished++
		}
		job, _, _ := strings.Cut(run, "/")
		if slices.Contains(j.story.Hooks, job) {
			i = 0
			j.out.Accepted++
			j.out.Finished++
		}
		if n > 1 || i < 0 {
			j.breaks(Doubled, "run %s, of no event, ran %d times", run, n)
		}
	}
	for _, run := range wanted {
		_, id, _ := strings.Cut(run, "/")
		switch {
		case dead[id] > 0:
			j.out.Accepted++
			j.out.Dead++
		case !j.story.SchedulesLost:
			j.out.Accepted++
			j.breaks(Lost, "run %s of a schedule did not run", run)
		}
	}
}

// tasks is promises 1 and 2.
func (j ledger) tasks() {
	for _, t := range j.Tasks {
		if !j.ours(t) {
			continue
		}
		why := ""
		if t.StopReason != nil {
			why = *t.StopReason
		}
		failed := strings.Contains(why, "ResourceInitializationError") || strings.Contains(why, "CannotPullContainerError")
		switch {
		case t.Stopped == nil:
			j.breaks(Left, "task %s of %s still runs", t.ARN, t.Group)
		case failed && !j.story.Unready:
			j.breaks(Early, "the task of %s did not start: %s", t.Group, why)
		case !failed && !t.HadEndpoints:
			j.breaks(CutOff, "the task of %s lost an endpoint while it ran", t.Group)
		}
	}
}

// life is when an endpoint was paid for.
type life struct{ from, until float64 }

// endpoints is promises 4 and 6, and what is left of 5.
func (j ledger) endpoints(basis string) {
	lives := map[string]map[string][]life{} // of our endpoints, by VPC and service
	for _, e := range j.Endpoints {
		if e.Stack == "" || e.Type != "interface" {
			continue
		}
		until := j.Now
		if e.Deleted == nil {
			j.breaks(Left, "endpoint %s of %s still stands", e.ID, e.Service)
		} else {
			until = *e.Deleted
		}
		if lives[e.VPC] == nil {
			lives[e.VPC] = map[string][]life{}
		}
		lives[e.VPC][e.Service] = append(lives[e.VPC][e.Service], life{*e.Created, until})
	}
	for vpc, services := range lives {
		most, first, again := 0, j.Now, 0
		for service, of := range services {
			slices.SortFunc(of, func(a, b life) int { return cmp.Compare(a.from, b.from) })
			hours, twice := hoursOf(basis, of)
			most, first, again = max(most, hours), min(first, of[0].from), max(again, twice)
			for i := 1; i < len(of); i++ {
				if of[i].from < of[i-1].until {
					j.breaks(Clash, "two endpoints of %s in %s", service, vpc)
				}
			}
		}
		j.out.Hours += most
		if always := int(math.Ceil((j.Now - first) / hour)); most > always+1 {
			j.breaks(Dearer, "%s paid %d hours, always-on %d", vpc, most, always)
		}
		if again > 0 && !j.story.Failures {
			j.breaks(Dearer, "%s paid an hour twice, %d times", vpc, again)
		}
	}
}

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

// leftovers is promise 5.
func (j ledger) leftovers() {
	for _, s := range j.Stacks {
		if s.Deleted == nil && !slices.Contains(j.story.Foreign, s.ID) {
			j.breaks(Left, "stack %s is %s", s.Name, s.Status)
		}
	}
	for _, i := range j.Invocations {
		if i.Ended == nil {
			j.breaks(Left, "%s still runs", i.Function)
		}
	}
}

// foreign is promise 7.
func (j ledger) foreign() {
	for _, what := range j.story.Stolen {
		j.breaks(Touched, "%s", what)
	}
	for _, e := range j.Endpoints {
		if e.Stack == "" && e.Deleting != nil {
			j.breaks(Touched, "endpoint %s was deleted", e.ID)
		}
	}
	for _, s := range j.Stacks {
		if slices.Contains(j.story.Foreign, s.ID) && s.Status != "CREATE_COMPLETE" {
			j.breaks(Touched, "stack %s is %s", s.Name, s.Status)
		}
	}
	for _, t := range j.Tasks {
		if slices.Contains(j.story.Foreign, t.ARN) && t.StopCode != nil && *t.StopCode == "UserInitiated" {
			j.breaks(Touched, "task %s was stopped", t.ARN)
		}
	}
}
