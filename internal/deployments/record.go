// Package deployments has deployments hold the endpoint sets that they need, for as long as
// they need them, and answers their lifecycle hooks.
//
// A deployment has a record in the store from the first that is heard of it, and a hold of
// its set. What is known of it is read from AWS each time (a source for each service that
// deploys); events, hooks, jobs of a pipeline and the look of every minute are only reasons
// to look. A hook has a firing in the record: what decides it, its outcome, and whether AWS
// was told. So any step may crash, and be done again by whoever looks next.
package deployments

import (
	"fmt"
	"strings"
	"time"

	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
)

// Kind is who deploys.
type Kind string

// The kinds.
const (
	ECS        Kind = "ecs"
	CodeDeploy Kind = "codedeploy"
	Pipeline   Kind = "pipeline"
	Build      Kind = "build"
)

// Record is a deployment as it is stored.
type Record struct {
	// ID is the deployment's own: of CodeDeploy d-..., of ECS CLUSTER/SERVICE/ID, of a
	// pipeline NAME/EXECUTION, of a build PROJECT:ID.
	ID   string
	Kind Kind
	// Name is its section of the configuration, Set the set that it holds.
	Name string
	Set  scheduler.SetName
	// Began is when it was first heard of, Expires when it holds no longer, whatever becomes
	// of it.
	Began, Expires time.Time
	// State is its state in AWS's own words, At its present lifecycle stage or event, since
	// when it is there.
	State, At string
	AtSince   time.Time `json:",omitzero"`
	// Of is the deployment that it takes back; empty for one that does not.
	Of string `json:",omitempty"`
	// Started is when AWS began it; zero if that is not known.
	Started time.Time `json:",omitzero"`
	// Held says that its hold is stored, Released that it was taken back.
	Held, Released bool `json:",omitempty"`
	// Ended is when it needed the set no longer, Why says why.
	Ended time.Time `json:",omitzero"`
	Why   string    `json:",omitempty"`
	// Firings are its hooks as they were called, in order, at most maxFirings.
	Firings []Firing `json:",omitempty"`
	// Over says that AWS has ended it, or it needs nothing more, and that where it left the
	// traffic is recorded: it is not looked at any more.
	Over bool `json:",omitempty"`
	// Traffic is where the section's listeners sent their requests before it and after it.
	Traffic []Traffic `json:",omitempty"`
	// Hang is why it cannot go on; nil if it can, as far as is known.
	Hang *Hang `json:",omitempty"`
	// Version counts its writes.
	Version int64
}

// Hang is what keeps a deployment from going on.
type Hang struct {
	Since         time.Time
	Cause, Remedy string
}

// Firing is one call of a hook: by CodeDeploy at a lifecycle event, by ECS at a stage, or a
// pause of ECS.
type Firing struct {
	// Key is its own within the record. Hook is the stage or event, ID what AWS calls it.
	Key, Hook, ID string
	Via           Via
	// Began is when it was first heard of, Expires when the deployment waits no longer.
	Began, Expires time.Time
	// Run is the run that decides it, Asked when it was asked for last, Begun says that it is
	// recorded.
	Run   scheduler.RunID `json:",omitempty"`
	Asked time.Time       `json:",omitzero"`
	Begun bool            `json:",omitempty"`
	// Busy is until when one look makes its checks: others leave them.
	Busy time.Time `json:",omitzero"`
	// Checks are how far its checks have come, in the configuration's order.
	Checks []Progress `json:",omitempty"`
	// Outcome is what came of it, with the reason; empty while that is open.
	Outcome Outcome `json:",omitempty"`
	Reason  string  `json:",omitempty"`
	// Told is when AWS had the answer.
	Told time.Time `json:",omitzero"`
}

// Via is how a hook is called and answered.
type Via string

// The ways.
const (
	ByFunction   Via = "function"   // ECS calls, and calls again
	ByPause      Via = "pause"      // ECS waits for ContinueServiceDeployment
	ByCodeDeploy Via = "codedeploy" // CodeDeploy waits for PutLifecycleEventHookExecutionStatus
)

// Outcome is what a hook decides.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"
)

// maxFirings bounds what is kept of the hooks of one deployment. A linear deployment has
// some at each of its steps.
const maxFirings = 60

// Owner is the owner of a deployment's hold.
func Owner(id string) string { return "deployment/" + id }

// String names it for people.
func (r Record) String() string {
	switch r.Kind {
	case ECS:
		return "ECS deployment " + r.ID
	case CodeDeploy:
		return "CodeDeploy deployment " + r.ID
	case Pipeline:
		return "execution " + r.ID
	case Build:
		return "build " + r.ID
	}
	return "deployment " + r.ID
}

// firing returns the call of a hook by its key, or nil.
func (r *Record) firing(key string) *Firing {
	for i := range r.Firings {
		if r.Firings[i].Key == key {
			return &r.Firings[i]
		}
	}
	return nil
}

// fired adds a call of a hook, unless it is known. AWS does not say whether the id of a
// call of ECS is another one at each stage, and each time that a stage comes again: here it
// is, whatever it is there.
func (r *Record) fired(f Firing) *Firing {
	again := 0
	for i := range r.Firings {
		x := &r.Firings[i]
		if x.ID != f.ID || x.Hook != f.Hook {
			continue
		}
		if f.Via != ByFunction || x.Told.IsZero() || !r.AtSince.After(x.Told) {
			return x
		}
		again++
	}
	f.Key = f.ID + "/" + f.Hook
	if again > 0 {
		f.Key += fmt.Sprint("/", again)
	}
	if len(r.Firings) == maxFirings {
		r.Firings = r.Firings[1:]
	}
	r.Firings = append(r.Firings, f)
	return &r.Firings[len(r.Firings)-1]
}

// open reports whether a hook waits for an answer.
func (r *Record) open() bool {
	for _, f := range r.Firings {
		if f.Told.IsZero() {
			return true
		}
	}
	return false
}

// takesBack reports whether the deployment takes another one, or itself, back.
func (r *Record) takesBack() bool { return r.Of != "" || strings.HasPrefix(r.State, "ROLLBACK") }

// end has the deployment need its set no longer.
func (r *Record) end(now time.Time, format string, args ...any) {
	r.Ended, r.Why = now, fmt.Sprintf(format, args...)
	r.Hang = nil
}

// close decides the hooks of a deployment that has ended without waiting for them. AWS is told
// nevertheless, where it can be: it may have been mistaken.
func (r *Record) close(now time.Time) {
	for i := range r.Firings {
		f := &r.Firings[i]
		if !f.Told.IsZero() {
			continue
		}
		f.decide(Failed, "the deployment ended first")
		if f.Via == ByFunction { // which nobody calls any more
			f.Told = now
		}
	}
}

// unanswered has a pause be answered again, at which AWS still waits a while after it had the
// answer.
func (f *Firing) unanswered(now time.Time) {
	if !f.Told.IsZero() && now.Sub(f.Told) > time.Minute {
		f.Told = time.Time{}
	}
}

// decide ends a hook with an outcome.
func (f *Firing) decide(o Outcome, format string, args ...any) {
	if f.Outcome == "" {
		f.Outcome, f.Reason = o, fmt.Sprintf(format, args...)
	}
}

// beforeExpiry is how long before AWS waits no longer a hook has to be answered.
const beforeExpiry = 90 * time.Second

// judge decides a hook by its run, which is nil while it is not known, and by the time that
// it may take.
func (f *Firing) judge(h *section.Hook, run *scheduler.Run, now time.Time) {
	checked := len(f.Checks) == len(h.Checks)
	for i, p := range f.Checks {
		checked = checked && p.Done && p.Problem == ""
		if p.Done && p.Problem != "" && i < len(h.Checks) {
			f.decide(Failed, "check %s: %s", h.Checks[i], p.Problem)
		}
	}
	if h.Job == "" && checked {
		f.decide(Succeeded, "all checks succeeded")
	}
	timeout := time.Duration(h.Timeout)
	open := fmt.Sprintf("run %s has", f.Run)
	if !checked {
		open = "its checks have"
	}
	switch {
	case run != nil && run.State == scheduler.Finished && run.Outcome != scheduler.Succeeded:
		f.decide(Failed, "run %s %s: %s", f.Run, run.Outcome, run.Reason)
	case run != nil && run.State == scheduler.Finished && checked:
		f.decide(Succeeded, "run %s succeeded", f.Run)
	case !now.Before(f.Began.Add(timeout)):
		f.decide(Failed, "%s not ended within %s%s", open, timeout, f.lastProblem())
	case !f.Expires.IsZero() && !now.Before(f.Expires.Add(-beforeExpiry)):
		f.decide(Failed, "%s not ended before the hook expires at %s%s", open, f.Expires.UTC().Format("15:04:05"),
			f.lastProblem())
	}
}

// lastProblem is what was wrong with a check when it was made last, as the end of a sentence.
func (f *Firing) lastProblem() string {
	for _, p := range f.Checks {
		if p.Problem != "" {
			return ": " + p.Problem
		}
	}
	return ""
}
