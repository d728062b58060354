package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
	"drawbridge/internal/clock"
	"drawbridge/scheduler"
)

// waker invokes the other function, or another run of the same, without waiting.
type waker struct {
	api interface {
		Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
	}
	names  cfn.Names
	bus    bus
	events queue
	// decides reports whether runs of a job decide hooks of deployments.
	decides func(scheduler.JobName) bool
}

// Ended tells the event bus, and the function that follows deployments if the run decides a
// hook.
func (w *waker) Ended(ctx context.Context, run scheduler.Run) error {
	err := w.bus.ended(ctx, run)
	if w.decides(run.Job) {
		err = errors.Join(err, w.invoke(ctx, w.names.Hook, map[string]any{
			"reason": "run " + string(run.ID) + " has ended",
		}))
	}
	return err
}

// Launcher asks for a launcher.
func (w *waker) Launcher(ctx context.Context, set scheduler.SetName, reason string) error {
	return w.wake(ctx, w.names.Launcher, set, reason)
}

// Reaper asks for a reaper.
func (w *waker) Reaper(ctx context.Context, set scheduler.SetName, reason string) error {
	return w.wake(ctx, w.names.Reaper, set, reason)
}

// Event puts an event on the events queue, which keeps it for as long as AWS fails; Lambda would
// try an invocation three times within minutes.
func (w *waker) Event(ctx context.Context, job scheduler.JobName, id string) error {
	body, err := json.Marshal(map[string]string{"job": string(job), "id": id})
	if err != nil {
		return fmt.Errorf("ask for a run of %s: %w", job, err)
	}
	return awserr.Mark(w.events.send(ctx, string(body)), "ask for a run of %s", job)
}

func (w *waker) wake(ctx context.Context, function string, set scheduler.SetName, reason string) error {
	return w.invoke(ctx, function, map[string]any{"set": string(set), "reason": reason})
}

// invoke invokes a function without waiting for it.
func (w *waker) invoke(ctx context.Context, function string, event map[string]any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("wake %s: %w", function, err)
	}
	_, err = w.api.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: aws.String(function), InvocationType: types.InvocationTypeEvent, Payload: payload,
	})
	return awserr.Mark(err, "wake %s with %s", function, payload)
}

// queue is a queue of SQS.
type queue struct {
	api interface {
		SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	}
	url string
}

func (q queue) send(ctx context.Context, body string) error {
	_, err := q.api.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body})
	return err
}

// deadLetters puts events that nobody can do on the dead-letter queue, each with
// its reason.
type deadLetters struct {
	queue
	clock clock.Clock
}

// Letter is a message of the dead-letter queue.
type Letter struct {
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
	Run    string `json:"run,omitempty"`
	At     string `json:"at"`
	// Event is the event as it came: JSON if it was, else a string; of one that has no
	// room in a message the beginning, and EventBytes how long it was.
	Event      any `json:"event"`
	EventBytes int `json:"eventBytes,omitempty"`
}

// notKept stands in for an event of which nothing else is kept.
type notKept struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Kept returns what is kept of an event: all of it up to limit bytes, else its size and
// digest, by which its sender finds it.
func Kept(event []byte, limit int) []byte {
	if len(event) <= limit {
		return event
	}
	sum := sha256.Sum256(event)
	out, err := json.Marshal(map[string]notKept{"notKept": {len(event), hex.EncodeToString(sum[:])}})
	if err != nil {
		return nil // numbers and texts always encode
	}
	return out
}

// Send puts a run's event on the queue.
func (d *deadLetters) Send(ctx context.Context, run scheduler.Run) error {
	return d.send(ctx, Letter{
		Reason: run.Reason, Run: string(run.ID), Event: eventOf(run.Source), EventBytes: missing(run.Source),
	})
}

func (d *deadLetters) put(ctx context.Context, event []byte, reason, hint string) error {
	return d.send(ctx, Letter{Reason: reason, Hint: hint, Event: eventOf(event), EventBytes: missing(event)})
}

// missing returns how long an event was that is not kept; 0 for one that is.
func missing(event []byte) int {
	var of struct {
		NotKept notKept `json:"notKept"`
	}
	if !bytes.HasPrefix(event, []byte(`{"notKept":`)) || json.Unmarshal(event, &of) != nil {
		return 0
	}
	return of.NotKept.Bytes
}

func eventOf(event []byte) any {
	if json.Valid(event) {
		return json.RawMessage(event)
	}
	return string(event)
}

// maxLetter is how long a message may be, and shownEvent how much is shown of an event
// that has no room in one, in bytes.
//
// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const maxLetter, shownEvent = 1 << 20, 16 << 10

func (d *deadLetters) send(ctx context.Context, l Letter) error {
	l.At = d.clock.Now().UTC().Format(time.RFC3339)
	body, err := l.encode()
	if err == nil && body.Len() > maxLetter {
		event, _ := l.Event.(json.RawMessage)
		text := string(event)
		if s, ok := l.Event.(string); ok {
			text = s
		}
		l.Event, l.EventBytes = strings.ToValidUTF8(text[:min(len(text), shownEvent)], ""), len(text)
		body, err = l.encode()
	}
	if err != nil {
		return fmt.Errorf("write dead letter: %w", err)
	}
	return awserr.Mark(d.queue.send(ctx, strings.TrimSpace(body.String())), "send dead letter")
}

func (l Letter) encode() (*strings.Builder, error) {
	body := &strings.Builder{}
	enc := json.NewEncoder(body)
	enc.SetEscapeHTML(false) // for people to read
	err := enc.Encode(l)
	return body, err
}

// journal writes decisions and ends to the log and to the metrics.
type journal struct {
	log     *zap.Logger
	metrics *Metrics
}

// Decided logs a decision; waiting is for debugging alone.
func (j *journal) Decided(set scheduler.Set, d scheduler.Decision) {
	fields := []zap.Field{
		zap.String("set", string(set.Name)), zap.Int("generation", set.Generation),
		zap.String("phase", string(set.Phase)),
		zap.String("action", string(d.Action)), zap.String("reason", d.Reason),
	}
	if !d.Next.IsZero() {
		fields = append(fields, zap.Time("next", d.Next.UTC()))
	}
	if d.Action == scheduler.Wait || d.Action == scheduler.Idle {
		j.log.Debug("decided", fields...)
		return
	}
	j.log.Info("decided", fields...)
}

// Entered counts what a decision has changed.
func (j *journal) Entered(before, after scheduler.Set, d scheduler.Decision) {
	j.metrics.Entered(before, after, d)
}

// Paid logs endpoint-hours that have begun.
func (j *journal) Paid(set scheduler.Set, endpointHours int) {
	j.log.Info("paid", zap.String("set", string(set.Name)), zap.Int("generation", set.Generation),
		zap.Int("endpointHours", endpointHours),
		zap.Int("today", set.DayHours), zap.Int("total", set.TotalHours))
	j.metrics.Paid(set.Name, endpointHours)
}

// Explained logs why a task did not start, or what it lost.
func (j *journal) Explained(run scheduler.Run) {
	j.log.Warn("task explained", zap.String("run", string(run.ID)), zap.String("set", string(run.Set)),
		zap.Int("attempt", run.Attempt), zap.String("task", run.TaskARN),
		zap.String("cause", run.Cause), zap.String("diagnosis", run.Diagnosis), zap.String("stopCode", run.StopCode),
		zap.String("stopReason", run.StopReason))
	j.metrics.Explained(run)
}

// Ended logs the end of a run.
func (j *journal) Ended(run scheduler.Run) {
	j.log.Info("run ended", zap.String("run", string(run.ID)), zap.String("set", string(run.Set)),
		zap.String("outcome", string(run.Outcome)),
		zap.Int("attempt", run.Attempt), zap.String("task", run.TaskARN), zap.String("reason", run.Reason))
	j.metrics.Ended(run)
}

// Failed logs an effect that failed.
func (j *journal) Failed(set scheduler.SetName, effect string, err error) {
	j.log.Warn("effect failed", zap.String("set", string(set)), zap.String("effect", effect), zap.Error(err))
}
