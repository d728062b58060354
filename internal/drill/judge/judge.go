// Package judge says what became of a story, by the ledger of the simulated AWS alone. It
// imports nothing that decides: what it counts, it counts itself. All times are epoch seconds.
package judge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"drawbridge/internal/awssim"
)

// EventVariable is the variable of a container that names the event which its task is for.
const EventVariable = "DRILL_EVENT"

// Event is one event that was accepted: sent, and taken by the queue.
type Event struct {
	// ID is its id, Job the job that it asks for.
	ID, Job string
	// At is when it was accepted.
	At float64
	// SHA256 is the digest of its text, in hexadecimal: a large event is kept as that alone.
	SHA256 string
	// Refused matches the reason of the dead letter that an invalid event has to become; nil for
	// a valid one.
	Refused *regexp.Regexp
}

// Hold is a time in which a VPC's endpoints may not go: held by hand, or by a deployment.
type Hold struct {
	VPC         string
	From, Until float64
}

// Story is what was done to the account.
type Story struct {
	Events []Event
	// Scheduled are the runs that schedules start, as JOB/ID, each of which has to run once.
	Scheduled []string
	// VPCs are where the tasks of jobs run, by job.
	VPCs map[string]string
	// Hooks are the jobs that deployments start, each run of which has to run once.
	Hooks []string
	Holds []Hold
	Faults
	// Stolen is what somebody who means harm got, and should not have.
	Stolen []string
	// Foreign are ids of stacks and tasks that belong to others, as all endpoints without a stack
	// do.
	Foreign []string
}

// Faults are what went wrong, as far as it explains what would be a break otherwise. The zero
// value is a day without faults.
type Faults struct {
	// Any is true if anything went wrong at all: invocations may fail then.
	Any bool
	// Kills are how many handlers were to be killed.
	Kills int
	// Reasons match what the dead letter of a valid event may give as its reason.
	Reasons []*regexp.Regexp
	// Unready is how long, in seconds, endpoints refuse connections after AWS has called them
	// available: a task that is started by then does not start, which is nobody's mistake.
	Unready float64
	// Failures is true where a stack, an endpoint or a deletion may fail, so that an hour may be
	// paid twice.
	Failures bool
	// From and Until are when the first fault began and the last one had ended.
	From, Until float64
	// Spare is how much longer than to the end of its paid hour a set may stand while there are
	// faults, in seconds.
	Spare float64
}

// Kind is a kind of break, in the words of the report.
type Kind string

// The kinds.
const (
	Lost    Kind = "lost"                     // an accepted event that neither ran nor became a dead letter
	Doubled Kind = "ran twice"                // one that ran twice, or ran and became a dead letter
	CutOff  Kind = "cut off"                  // a task that lost its endpoints, or was stopped, while it ran
	Early   Kind = "too early"                // a task that did not start because an endpoint was not ready
	Late    Kind = "too late"                 // a run that waited although nothing was wrong any more
	Untrue  Kind = "untrue"                   // a dead letter whose reason is not what happened
	Left    Kind = "left behind"              // something that still stands, or goes on
	Idle    Kind = "idle"                     // endpoints that stood into an hour that nobody needed
	Dearer  Kind = "dearer"                   // more paid hours than always-on, or an hour paid twice
	Clash   Kind = "clash"                    // two endpoints of one service in one VPC
	Touched Kind = "touched foreign resource" // something of others that was changed
	Stuck   Kind = "deployment stuck"         // a deployment that did not come to its end
	Failed  Kind = "function failed"          // an invocation that failed, or was killed, without a fault
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
	// KilledAt is when the last handler was killed.
	KilledAt float64
	// Calls are how many calls each function made in one invocation at most.
	Calls map[string]int
	// PeakMiB is the most memory that a handler had, 0 if unknown.
	PeakMiB int
	Breaks  []Break
	died    map[string]float64 // when each event became a dead letter
}

// judging is a ledger with the story that it is the truth of.
type judging struct {
	awssim.Ledger
	story Story
	out   *Result
}

// Judge says what became of a story in which nothing more is going to happen. basis is clock or
// creation.
func Judge(s Story, l awssim.Ledger, basis string) Result {
	j := judging{l, s, &Result{
		Accepted: len(s.Events), Starts: map[string]float64{}, Reasons: map[string]int{}, Struck: l.Struck,
		Calls: map[string]int{}, died: map[string]float64{}, Breaks: []Break{},
	}}
	j.invocations()
	j.events()
	j.tasks()
	j.endpoints(basis)
	j.leftovers()
	j.foreign()
	return *j.out
}

func (j judging) breaks(k Kind, format string, args ...any) {
	j.out.Breaks = append(j.out.Breaks, Break{k, fmt.Sprintf(format, args...)})
}

// ours reports whether a task was started for a run, and not by somebody who says so.
func (j judging) ours(t awssim.LedgerTask) bool {
	return strings.HasPrefix(t.Group, "drawbridge:") && !slices.Contains(j.story.Foreign, t.ARN)
}

// invocations looks at how the functions fared.
func (j judging) invocations() {
	killed, failed := 0, 0
	for _, i := range j.Invocations {
		j.out.Calls[i.Function] = max(j.out.Calls[i.Function], i.Calls)
		j.out.PeakMiB = max(j.out.PeakMiB, i.PeakMiB)
		switch {
		case i.Ended == nil:
			j.breaks(Left, "%s still runs", i.Function)
		case *i.Outcome == "killed":
			killed++
			j.out.KilledAt = max(j.out.KilledAt, *i.Ended)
		case *i.Outcome != "ok":
			failed++
		}
	}
	if killed > j.story.Kills {
		j.breaks(Failed, "%d invocations were killed, %d of them by the drill: what was left ran out of memory", killed,
			j.story.Kills)
	}
	if failed > 0 && !j.story.Any {
		j.breaks(Failed, "%d invocations failed, and nothing was wrong", failed)
	}
}

// letter is what is read of a dead letter: one of ours, or of Lambda for an invocation that failed
// three times.
type letter struct {
	Reason         string          `json:"reason"`
	Run            string          `json:"run"`
	Event          json.RawMessage `json:"event"`
	RequestPayload json.RawMessage `json:"requestPayload"`
}

// events is promise 3.
func (j judging) events() {
	ran, letters := map[string]int{}, map[string][]string{}
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
		id, reason := j.read(m.Body)
		letters[id] = append(letters[id], reason)
		j.out.died[id] = max(j.out.died[id], m.At)
	}
	for _, e := range j.story.Events {
		j.once(e, ran[e.ID], letters[e.ID])
		delete(letters, e.ID)
	}
	j.scheduledRuns(scheduled, letters)
	for id, reasons := range letters {
		j.breaks(Untrue, "dead letter of %q, which nobody sent: %q", id, reasons)
	}
}

// read returns the id of the event that a dead letter holds, and its reason.
func (j judging) read(body string) (id, reason string) {
	var m letter
	_ = json.Unmarshal([]byte(body), &m) // what is none of ours has no reason
	if m.Reason == "" {
		j.breaks(Untrue, "a dead letter gives no reason: %.300s", body)
		m.Event = slices.Concat(m.RequestPayload, []byte(body))
	} else {
		j.out.Reasons[m.Reason]++
	}
	_, id, _ = strings.Cut(m.Run, "/")
	if found := idOf.FindSubmatch(m.Event); found != nil {
		id = string(found[1])
	}
	for _, e := range j.story.Events {
		if e.SHA256 != "" && bytes.Contains(m.Event, []byte(e.SHA256)) {
			id = e.ID
		}
	}
	return id, m.Reason
}

// idOf finds the id in an event, as an object or as the beginning of a text that holds one.
var idOf = regexp.MustCompile(`\\?"id\\?":\\?"([^"\\]+)`)

// once counts what became of an event.
func (j judging) once(e Event, ran int, letters []string) {
	dead := len(letters)
	switch {
	case ran+dead == 0:
		j.breaks(Lost, "event %s neither ran nor is a dead letter", e.ID)
	case ran > 1 || ran > 0 && dead > 0 || dead > 1 && !j.story.Any:
		j.breaks(Doubled, "event %s ran %d times and has %d dead letters", e.ID, ran, dead)
	case ran > 0 && e.Refused != nil:
		j.breaks(Doubled, "invalid event %s ran", e.ID)
	}
	if ran > 0 {
		j.out.Finished++
	} else if dead > 0 {
		j.out.Dead++
	}
	for _, reason := range letters {
		j.explained(e, reason)
	}
}

// explained looks at whether the reason of an event's dead letter is what happened.
func (j judging) explained(e Event, reason string) {
	patterns := j.story.Reasons
	if e.Refused != nil {
		patterns = []*regexp.Regexp{e.Refused}
	}
	if reason != "" && !slices.ContainsFunc(patterns, func(r *regexp.Regexp) bool { return r.MatchString(reason) }) {
		j.breaks(Untrue, "dead letter of %s: nothing in the drill explains the reason %q", e.ID, reason)
	}
}

// scheduledRuns counts the runs that no event of ours asked for, and takes their letters away.
func (j judging) scheduledRuns(ran map[string]int, letters map[string][]string) {
	for run, n := range ran {
		job, _, _ := strings.Cut(run, "/")
		hook := slices.Contains(j.story.Hooks, job)
		if hook {
			j.out.Accepted++
			j.out.Finished++
		}
		if n > 1 || !hook && !slices.Contains(j.story.Scheduled, run) {
			j.breaks(Doubled, "run %s, of no event, ran %d times", run, n)
		}
	}
	for _, run := range j.story.Scheduled {
		_, id, _ := strings.Cut(run, "/")
		j.out.Accepted++
		switch dead := len(letters[id]); {
		case ran[run] > 0:
			j.out.Finished++
			if dead > 0 {
				j.breaks(Doubled, "run %s of a schedule ran and is a dead letter", run)
			}
		case dead > 0:
			j.out.Dead++
			j.explained(Event{ID: run}, letters[id][0])
		default:
			j.breaks(Lost, "run %s of a schedule did not run", run)
		}
		delete(letters, id)
	}
}

// notStarted matches why a task stopped that could not start for want of an endpoint.
var notStarted = regexp.MustCompile("ResourceInitializationError|CannotPullContainerError")

// tasks is promises 1 and 2.
func (j judging) tasks() {
	for _, t := range j.Tasks {
		if !j.ours(t) {
			continue
		}
		why := ""
		if t.StopReason != nil {
			why = *t.StopReason
		}
		failed := notStarted.MatchString(why)
		switch {
		case t.Stopped == nil:
			j.breaks(Left, "task %s of %s still runs", t.ARN, t.Group)
		case failed && !j.unready(t):
			j.breaks(Early, "the task of %s did not start: %s", t.Group, why)
		case !failed && !t.HadEndpoints:
			j.breaks(CutOff, "the task of %s lost an endpoint while it ran", t.Group)
		case t.StopCode != nil && *t.StopCode == "UserInitiated":
			j.breaks(CutOff, "the task of %s was stopped", t.Group)
		}
	}
}

// unready reports whether AWS had called an endpoint available, which refused connections when a
// task was started.
func (j judging) unready(t awssim.LedgerTask) bool {
	return j.story.Unready > 0 && slices.ContainsFunc(j.Endpoints, func(e awssim.LedgerEndpoint) bool {
		return e.Stack != "" && e.Available != nil && *e.Available <= *t.Created &&
			*t.Created < *e.Available+j.story.Unready
	})
}

// leftovers is promise 5, at the end.
func (j judging) leftovers() {
	for _, s := range j.Stacks {
		if s.Deleted == nil && !slices.Contains(j.story.Foreign, s.ID) {
			j.breaks(Left, "stack %s is %s", s.Name, s.Status)
		}
	}
}

// foreign is promise 7.
func (j judging) foreign() {
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
