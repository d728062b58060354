// Package launcher is the launcher Lambda: job events in, endpoints up, Fargate
// tasks started.
package launcher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"go.uber.org/zap"

	"drawbridge/internal/app"
	"drawbridge/internal/hint"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// Launcher handles the events of one launcher function.
type Launcher struct {
	app *app.App

	mu     sync.Mutex
	minute time.Time                 // that taken counts in
	taken  map[scheduler.JobName]int // events from the queue
}

// New returns a Launcher for an installation.
func New(a *app.App) *Launcher { return &Launcher{app: a} }

// Answer is the answer of a direct call, one run each.
type Answer struct {
	Run   scheduler.RunID `json:"run"`
	State string          `json:"state"`
	// Phase is the phase of the set that the run needs.
	Phase scheduler.Phase `json:"phase"`
	// ExpectedStart is when the task should start, or has started; null while the
	// set is paused.
	ExpectedStart *time.Time `json:"expectedStart"`
	Task          string     `json:"task,omitempty"`
	Reason        string     `json:"reason,omitempty"`
}

// Handle takes a batch of SQS messages, an event of EventBridge, a direct call,
// or the request to look at a set. id is the request's id, until when its time is
// nearly up.
func (l *Launcher) Handle(ctx context.Context, payload []byte, id string, until time.Time) (any, error) {
	var shape struct {
		Records json.RawMessage   `json:"Records"`
		Set     scheduler.SetName `json:"set"`
		Reason  string            `json:"reason"`
	}
	if err := json.Unmarshal(payload, &shape); err != nil {
		return nil, notObject(payload)
	}
	switch {
	case shape.Records != nil:
		var batch events.SQSEvent
		if err := json.Unmarshal(payload, &batch); err != nil {
			return nil, reject("read SQS batch: %v", err)
		}
		return l.batch(ctx, batch, id), nil
	case shape.Set != "":
		l.app.Log.Info("woken", zap.String("set", string(shape.Set)), zap.String("reason", shape.Reason))
		return nil, l.look(ctx, shape.Set, id, until)
	}
	runs, err := l.runs(payload, id)
	if err != nil && len(runs) == 0 {
		return nil, err
	}
	if err != nil { // some of its jobs can take it; the others are no reason to take it twice
		if err := l.deadLetter(ctx, "direct call "+id, payload, err); err != nil {
			return nil, err
		}
	}
	return l.direct(ctx, runs, id)
}

// look reconciles a set. A look that fails loses no event: it is logged
// and counted, and the next one, at the latest the sweep's, continues. So it is not
// reported as a failed invocation, which would end in the dead-letter queue.
func (l *Launcher) look(ctx context.Context, set scheduler.SetName, id string, until time.Time) error {
	_, err := l.app.Reconciler(reconcile.Launcher, id).Reconcile(ctx, set, reconcile.Look{Until: until})
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		l.app.Log.Error("look failed", zap.String("set", string(set)), zap.Error(err))
		l.app.Metrics.LookFailed(set)
	}
	return nil
}

// direct submits the runs of one event and answers for them.
func (l *Launcher) direct(ctx context.Context, runs []scheduler.Run, id string) (any, error) {
	var answers []Answer
	for _, run := range runs {
		recorded, set, err := l.app.Reconciler(reconcile.Launcher, id).Submit(ctx, run.Set, []scheduler.Run{run})
		if err != nil {
			return nil, err
		}
		r := recorded[0]
		a := Answer{Run: r.ID, State: string(r.State), Phase: set.Phase, Task: r.TaskARN, Reason: r.Reason}
		start := r.StartedAt
		if start.IsZero() {
			start = scheduler.ExpectedStart(l.app.Clock.Now(), l.app.Config.Settings()[run.Set], set, r)
		}
		start = start.UTC().Truncate(time.Second)
		a.ExpectedStart = &start
		if set.Pause != nil && r.State == scheduler.Waiting {
			a.ExpectedStart, a.Reason = nil, "waits for the end of the pause: "+set.Pause.String()
		}
		answers = append(answers, a)
	}
	if len(answers) == 1 {
		return answers[0], nil
	}
	return answers, nil
}

// batch handles SQS messages. Only those that failed for now are given back; an
// event that can never become a run goes to the dead-letter queue with its
// reason, and blocks nobody.
func (l *Launcher) batch(ctx context.Context, in events.SQSEvent, id string) events.SQSEventResponse {
	var out events.SQSEventResponse
	given := map[string]bool{}
	giveBack := func(message string) {
		if !given[message] {
			given[message] = true
			out.BatchItemFailures = append(out.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: message})
		}
	}
	bySet := map[scheduler.SetName][]scheduler.Run{}
	messages := map[scheduler.RunID]string{}
	var order []scheduler.SetName
	for _, m := range in.Records {
		runs, err := l.runs([]byte(m.Body), m.MessageId)
		if err != nil && l.deadLetter(ctx, "message "+m.MessageId, []byte(m.Body), err) != nil {
			giveBack(m.MessageId)
			continue
		}
		if runs, err = l.admitted(runs, m); err != nil &&
			l.deadLetter(ctx, "message "+m.MessageId, []byte(m.Body), err) != nil {
			giveBack(m.MessageId)
			continue
		}
		for _, r := range runs {
			if _, twice := messages[r.ID]; twice {
				continue // the same event twice in one batch
			}
			messages[r.ID] = m.MessageId
			if bySet[r.Set] == nil {
				order = append(order, r.Set)
			}
			bySet[r.Set] = append(bySet[r.Set], r)
		}
	}
	for _, set := range order {
		_, _, err := l.app.Reconciler(reconcile.Launcher, id).Submit(ctx, set, bySet[set])
		if err == nil {
			continue
		}
		l.app.Log.Warn("submit failed", zap.String("set", string(set)), zap.Error(err))
		for _, r := range bySet[set] {
			giveBack(messages[r.ID])
		}
	}
	for _, m := range in.Records {
		if given[m.MessageId] {
			l.hasten(ctx, m)
		}
	}
	return out
}

// hasten has a message that is given back come again after half a minute, and twice as
// late each time, ten minutes at most. Otherwise it would stay away for as long as a
// function may run.
func (l *Launcher) hasten(ctx context.Context, m events.SQSMessage) {
	n, err := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	if err != nil {
		n = 1
	}
	if err := l.app.Delay(ctx, m.ReceiptHandle, min(30*time.Second<<min(n-1, 6), 10*time.Minute)); err != nil {
		l.app.Log.Warn("message stays away", zap.String("message", m.MessageId), zap.Error(err))
	}
}

func (l *Launcher) deadLetter(ctx context.Context, what string, event []byte, cause error) error {
	remedy := hint.Of(cause)
	l.app.Log.Warn("event rejected", zap.String("event", what), zap.Error(cause), zap.String("hint", remedy))
	err := l.app.DeadLetter(ctx, l.kept(event), cause.Error(), remedy)
	if err != nil {
		l.app.Log.Error("dead letter not sent", zap.String("event", what), zap.Error(err))
	}
	return err
}

// rejected is an event that can never become a run.
type rejected struct{ what, hint string }

func (e *rejected) Error() string { return e.what }

// Hint returns what to do.
func (e *rejected) Hint() string { return e.hint }

func reject(format string, args ...any) *rejected {
	return &rejected{
		fmt.Sprintf(format, args...),
		`send {"job": "NAME", "id": "UNIQUE", "overrides": {...}} or an EventBridge event that a job's pattern matches`,
	}
}

// notObject says in what way an event is not a JSON object.
func notObject(payload []byte) error {
	if json.Valid(payload) {
		return reject("event is JSON, but not a JSON object with members of the right types: %.80s", payload)
	}
	return reject("event is not a JSON object: %.80q", payload)
}

// jsonObject decodes an event for matching: numbers are compared as numbers.
func jsonObject(payload []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(payload)) == 0 {
		return nil, reject("event is empty")
	}
	if deeper(payload, maxDepth) {
		return nil, &rejected{
			fmt.Sprintf("the event is nested more than %d levels deep", maxDepth),
			"send what the job needs, not all of what it came from",
		}
	}
	var event map[string]any
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, notObject(payload)
	}
	return event, nil
}

// maxDepth is how deep an event may be nested: EventBridge's own are a handful of levels.
const maxDepth = 64

// deeper reports whether JSON is nested deeper than so many levels.
func deeper(payload []byte, levels int) bool {
	depth, text := 0, false
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > levels {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
