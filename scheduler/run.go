package scheduler

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// JobName names a job of the configuration.
type JobName string

// RunID identifies a run: the job's name, a slash and the event's id. The same
// event asked for twice is the same run.
type RunID string

// MaxEventID is the longest event id that is accepted, in bytes.
const MaxEventID = 200

// NewRunID returns the id of job's run for the event with the given id. Ids are
// 1 to MaxEventID bytes of printable ASCII without blanks.
func NewRunID(job JobName, event string) (RunID, error) {
	if event == "" {
		return "", fmt.Errorf("run of job %s: the event has no id", job)
	}
	if len(event) > MaxEventID {
		return "", fmt.Errorf("run of job %s: the event id has %d bytes, at most %d are allowed", job, len(event),
			MaxEventID)
	}
	for i := range len(event) {
		if event[i] < '!' || event[i] > '~' {
			return "", fmt.Errorf("run of job %s: the event id %q holds a character that is not printable ASCII", job,
				event)
		}
	}
	return RunID(string(job) + "/" + event), nil
}

// RunState is how far a run has come.
type RunState string

// The states. A run is waiting until the intent to start it is stored, starting
// until its task is recorded, running until its task has stopped. It may go back
// from starting or running to waiting for another attempt.
const (
	Waiting  RunState = "waiting"
	Starting RunState = "starting"
	Running  RunState = "running"
	Finished RunState = "finished"
)

// Outcome is how a finished run ended.
type Outcome string

// The outcomes. A dead-lettered run never did its work; its event is in the
// dead-letter queue with the reason.
const (
	Succeeded    Outcome = "succeeded"
	FailedRun    Outcome = "failed"
	TimedOut     Outcome = "timed-out"
	Lost         Outcome = "lost"
	DeadLettered Outcome = "dead-lettered"
	Cancelled    Outcome = "cancelled"
)

// MaxAttempts is how often a run's task is started before the run is given up.
const MaxAttempts = 3

// Run is one execution of a job, asked for by one event. In its item the fields of the
// three groups are next to each other.
type Run struct {
	ID  RunID
	Job JobName
	Set SetName
	Request
	Progress
	End
}

// Request is what was asked for.
type Request struct {
	Event string
	// Overrides is the task override as JSON in ECS's own shape; may be empty.
	Overrides []byte
	// Source is the event as it was received, for the dead-letter queue; SourceApart is
	// true if it is kept apart from the run, because it is large.
	Source      []byte
	SourceApart bool `json:",omitempty"`
	// Cluster is the ECS cluster that the task runs in; empty in runs of the first
	// version, whose job names it.
	Cluster string
	// Needs are the services that the task reaches, where that follows from its
	// definition; empty if the set's own list says it. Definition is the revision
	// that they were read from, which the task is started with; empty with Needs.
	Needs      []string `json:",omitempty"`
	Definition string   `json:",omitempty"`
	// MaxRuntime is how long the task may run; 0 means as long as it likes.
	MaxRuntime time.Duration
	// StartTimeout is how long ECS may refuse the task for the moment before the run is
	// given up; 0 is DefaultStartTimeout.
	StartTimeout time.Duration `json:",omitempty"`
	// MaxDelay is how long the run may wait in addition to the raising and lowering of
	// its set.
	MaxDelay   time.Duration `json:",omitempty"`
	ReceivedAt time.Time
}

// Progress is how far a run has come.
type Progress struct {
	State RunState
	// Attempt counts the starts, from 1; 0 while none was tried.
	Attempt int
	// Refusals counts the starts that ECS refused for the moment, without a task having
	// come of them. Untried is true if nobody is known to have tried the present attempt,
	// or no task came of it: a run that waits makes the same one, and one that was
	// left starting has to find its endpoints.
	Refusals int  `json:",omitempty"`
	Untried  bool `json:",omitempty"`
	// StartingAt is when the intent of the present attempt was stored.
	StartingAt time.Time
	StartedAt  time.Time
	// StopAsked is when the task was asked to stop, for running too long or by who cancelled it.
	StopAsked   time.Time
	CancelledBy string `json:",omitempty"`
	TaskARN     string
	// Reason says in a sentence why the run is where it is.
	Reason string
}

// End is how a run ended, or its last attempt.
type End struct {
	FinishedAt time.Time
	// RecordedAt is when the end was written down.
	RecordedAt time.Time `json:",omitzero"`
	Outcome    Outcome
	// Cause is, in a word, why the last attempt's task did not start or what it
	// lost, Diagnosis the same in a sentence; both empty if it did neither.
	Cause, Diagnosis string
	ExitCode         *int
	StopCode         string
	StopReason       string
	LogGroup         string
	LogStream        string
}

// askAgain is how long after a task was asked to stop it is asked again.
const askAgain = 5 * time.Minute

// Cancel returns the run as somebody cancels it: one that waits has ended, one whose task runs is
// to be stopped. It returns false for a run that has ended, or is being started: whether a task
// comes of it is known soon.
func (r Run) Cancel(by string, now time.Time) (Run, bool) {
	r.CancelledBy = by
	switch r.State {
	case Waiting:
		r.State, r.Outcome, r.FinishedAt, r.RecordedAt = Finished, Cancelled, now, now
		r.Reason = "cancelled by " + by + " before it started"
	case Running:
		r.StopAsked, r.Reason = now, "its task is being stopped: cancelled by "+by
	default:
		return r, false
	}
	return r, true
}

// Deadline returns when the run's task has to be asked to stop, first or again;
// zero if it may run as long as it likes.
func (r Run) Deadline() time.Time {
	switch {
	case r.State != Running || r.MaxRuntime <= 0 && r.CancelledBy == "":
		return time.Time{}
	case !r.StopAsked.IsZero():
		return r.StopAsked.Add(askAgain)
	}
	return r.StartedAt.Add(r.MaxRuntime)
}

// ClientToken returns the token that makes RunTask of the run's attempt happen
// once: 64 hexadecimal characters, the most that ECS takes. A start that ECS has
// refused, and said so, is another start: ECS may remember the refusal by its token.
func (r Run) ClientToken() string {
	text := fmt.Appendf(nil, "%s\n%s\n%d", r.Set, r.ID, r.Attempt)
	if r.Refusals > 0 {
		text = fmt.Appendf(text, "\n%d", r.Refusals)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// left reports whether the start of a run was left behind: it is old enough for
// somebody else to try it again.
func (r Run) left(now time.Time) bool {
	return r.State == Starting && now.Sub(r.StartingAt) >= ResumeAfter
}

// Resumable reports whether a start that was left behind can be tried again: one that
// nobody is known to have tried needs its endpoints, as a run that waits does.
func (r Run) Resumable(set Set, now time.Time) bool {
	return r.left(now) && (!r.Untried || set.Serves(r))
}

// RefusalTimeout returns how long ECS may refuse the run's task.
func (r Run) RefusalTimeout() time.Duration {
	if r.StartTimeout > 0 {
		return r.StartTimeout
	}
	return DefaultStartTimeout
}

// groupPrefix begins the task group of every task that Drawbridge starts.
const groupPrefix = "drawbridge:"

// TaskGroup returns the group that the task of the run's attempt belongs to. It
// comes back in every event about the task and names the run.
func (r Run) TaskGroup() string { return fmt.Sprintf("%s%d:%s", groupPrefix, r.Attempt, r.ID) }

// ParseTaskGroup returns the run and attempt that a task group names, and false
// for the group of a task that Drawbridge did not start.
func ParseTaskGroup(group string) (id RunID, attempt int, ok bool) {
	rest, ok := strings.CutPrefix(group, groupPrefix)
	if !ok {
		return "", 0, false
	}
	n, name, ok := strings.Cut(rest, ":")
	if !ok || len(n) != 1 || n[0] < '1' || n[0] > '0'+MaxAttempts {
		return "", 0, false
	}
	return RunID(name), int(n[0] - '0'), true
}

// Hold is a claim that keeps a set up in addition to its runs: of a deployment, or by
// hand.
type Hold struct {
	Owner, Reason string
	// Since is when it was taken or renewed; zero if that is not known.
	Since, Expires time.Time
}

// Until returns when the hold ends: when it expires, or when it has lasted for
// the set's maximum lifetime.
func (h Hold) Until(s Settings) time.Time {
	if end := h.Since.Add(s.MaxLifetime); s.MaxLifetime > 0 && !h.Since.IsZero() && end.Before(h.Expires) {
		return end
	}
	return h.Expires
}

// Task is an ECS task as far as a run's end depends on it.
type Task struct {
	ARN        string
	Group      string
	Definition string
	Stopped    bool
	StopCode   string
	StopReason string
	ExitCode   *int
	Containers []TaskContainer
	// Explanation is why it did not start, or what it lost; nil if it did neither,
	// or nobody asked.
	Explanation *Explanation
	StartedAt   time.Time
	StoppedAt   time.Time
	LogGroup    string
	LogStream   string
}

// TaskContainer is a container of a stopped task.
type TaskContainer struct {
	Name, Reason string
	ExitCode     *int
}

// Explanation says why a task did not start, or what it lost while it ran.
type Explanation struct {
	// Cause is a word for it, Text a sentence with the remedy.
	Cause, Text string
	// Lasting says that another attempt would end the same way.
	Lasting bool
}

// Conclude returns the run as it stands after its task has stopped at now:
// finished, or waiting for another attempt if the task could not start for want
// of an endpoint that had not settled.
func (r Run) Conclude(t Task, now time.Time) Run {
	r.TaskARN = t.ARN
	r.StopCode = t.StopCode
	r.StopReason = t.StopReason
	r.ExitCode = t.ExitCode
	r.LogGroup, r.LogStream = t.LogGroup, t.LogStream
	why, lasting := brief(t.StopReason), false
	r.Cause, r.Diagnosis = "", ""
	if e := t.Explanation; e != nil {
		r.Cause, r.Diagnosis = e.Cause, e.Text
		why, lasting = e.Text, e.Lasting
	}
	if startFailed(t) && r.Attempt < MaxAttempts && !lasting && r.CancelledBy == "" {
		r.State = Waiting
		r.Reason = fmt.Sprintf("attempt %d could not start (%s); it is started again", r.Attempt, why)
		return r
	}
	r.State, r.FinishedAt = Finished, now
	if !t.StoppedAt.IsZero() {
		r.FinishedAt = t.StoppedAt
	}
	switch {
	case r.CancelledBy != "" && (t.StopCode == "UserInitiated" || t.ExitCode == nil):
		r.Outcome, r.Reason = Cancelled, "cancelled by "+r.CancelledBy
	case !r.StopAsked.IsZero() && t.StopCode == "UserInitiated":
		r.Outcome, r.Reason = TimedOut, fmt.Sprintf("stopped after its maximum run time of %s", r.MaxRuntime)
	case t.ExitCode != nil && *t.ExitCode == 0:
		r.Outcome, r.Reason = Succeeded, "exit code 0"
	case t.ExitCode != nil:
		r.Outcome, r.Reason = FailedRun, fmt.Sprintf("exit code %d", *t.ExitCode)
	default:
		r.Outcome, r.Reason = FailedRun, fmt.Sprintf("stopped without an exit code in attempt %d: %s", r.Attempt, why)
	}
	if t.ExitCode != nil && r.Diagnosis != "" {
		r.Reason += "; " + r.Diagnosis
	}
	return r
}

// startFailed reports whether the task failed before its containers ran, in a way
// that a missing or unsettled endpoint causes.
//
// Source: stop codes of the ECS API; the two error names as Fargate gives them
// when an image, a secret or a log group cannot be reached.
func startFailed(t Task) bool {
	if t.ExitCode != nil {
		return false
	}
	reasons := []string{t.StopReason}
	for _, c := range t.Containers {
		reasons = append(reasons, c.Reason)
	}
	for _, s := range reasons {
		if strings.HasPrefix(s, "ResourceInitializationError") || strings.HasPrefix(s, "CannotPullContainerError") {
			return true
		}
	}
	return false
}

// brief shortens a text of AWS for a sentence of ours.
func brief(s string) string {
	if s == "" {
		return "no reason given"
	}
	if len(s) > 160 {
		return s[:157] + "..."
	}
	return s
}
