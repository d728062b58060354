package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

type replayCmd struct {
	awsFlags
	changeFlags
	Limit int `short:"n" help:"At most so many letters." default:"100"`
}

// Help is the longer text of --help; kong calls it.
func (replayCmd) Help() string {
	return "A letter whose event has become another run meanwhile is only shown.\n\nExit code 3: there are no dead " +
		"letters."
}

// letterView is a dead letter as it is shown.
type letterView struct {
	At     string          `json:"at"`
	Run    scheduler.RunID `json:"run,omitempty"`
	Reason string          `json:"reason"`
	Hint   string          `json:"hint,omitempty"`
	// Event goes back into the queue.
	Event string `json:"event"`

	// id is the identity of an event that has none of its own, wake the set that
	// a wake-up was for: that is not an event.
	id   string
	wake scheduler.SetName
	// missing is how long an event was that was not kept; 0 for one that was.
	missing int
	receipt string
}

// hidden is how long letters are kept from other readers while somebody decides.
const hidden = 5 * time.Minute

// Run shows the dead letters and puts them back.
func (c *replayCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	if c.Limit < 1 {
		return &usageError{&hinted{fmt.Errorf("--limit %d: no letters", c.Limit), "write 1 or more"}}
	}
	letters, err := c.receive(ctx, ss, a)
	if err != nil {
		return err
	}
	defer c.giveBack(context.WithoutCancel(ctx), ss, a, &letters)
	if err := ss.print(letters, func(w io.Writer, style output.Style) error {
		t := output.NewRows(style, "AT", "RUN", "REASON")
		for _, l := range letters {
			text := l.Reason
			if l.Hint != "" {
				text += "; " + l.Hint
			}
			t.Add(l.At, string(l.Run), text)
		}
		if t.Len() == 0 {
			_, err := fmt.Fprintln(w, "no dead letters")
			return err
		}
		return t.Write(w)
	}); err != nil {
		return err
	}
	if len(letters) == 0 {
		return exitCode(exitNothing)
	}
	if c.DryRun {
		ss.say("Would put %s back into %s.", count(len(letters), "event"), a.Names.Events)
		return nil
	}
	if err := ss.confirm(ctx, c.changeFlags,
		fmt.Sprintf("Put %s back into %s?", count(len(letters), "event"), a.Names.Events)); err != nil {
		return err
	}
	total := len(letters)
	done := 0
	for len(letters) > 0 {
		ok, err := c.put(ctx, ss, a, letters[0])
		if err != nil {
			return err
		}
		if ok {
			done++
		}
		letters = letters[1:]
	}
	ss.say("%d of %s back in the queue.", done, scheduler.Count(total, "event is", "events are"))
	return nil
}

// receive takes letters off the queue for a while.
func (c *replayCmd) receive(ctx context.Context, ss *session, a *app.App) ([]letterView, error) {
	letters := []letterView{}
	url := aws.String(app.QueueURL(ss.place, a.Names.DeadLetters))
	for empty := 0; len(letters) < c.Limit && empty < 3; {
		out, err := ss.clients.SQS.ReceiveMessage(ctx,
			&sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: int32(min(10, c.Limit-len(letters))),
				VisibilityTimeout: int32(hidden.Seconds()), WaitTimeSeconds: 1,
				MessageSystemAttributeNames: []types.MessageSystemAttributeName{
					types.MessageSystemAttributeNameSentTimestamp,
				}})
		if err != nil {
			return letters, awserr.Mark(err, "read the dead letters")
		}
		if len(out.Messages) == 0 {
			empty++ // one question does not reach every server of SQS
		}
		for _, m := range out.Messages {
			l := readLetter(aws.ToString(m.Body))
			if l.At == "" {
				l.At = sentAt(m.Attributes["SentTimestamp"])
			}
			if l.receipt = aws.ToString(m.ReceiptHandle); l.id == "" {
				l.id = aws.ToString(m.MessageId) // a message keeps its id on its way here
			}
			letters = append(letters, l)
		}
	}
	return letters, nil
}

func sentAt(millis string) string {
	var n int64
	if _, err := fmt.Sscan(millis, &n); err != nil {
		return ""
	}
	return time.UnixMilli(n).UTC().Format(time.RFC3339)
}

// readLetter reads a dead letter of any of its three kinds: our own, Lambda's
// record of an invocation that failed for good, or a message that SQS moved here
// as it was.
func readLetter(body string) letterView {
	var own struct {
		app.Letter
		Event json.RawMessage `json:"event"` // as it came, to the byte
	}
	if json.Unmarshal([]byte(body), &own) == nil && own.Reason != "" && len(own.Event) > 0 {
		return letterView{
			At: own.At, Run: scheduler.RunID(own.Run), Reason: own.Reason, Hint: own.Hint, Event: eventText(own.Event),
			missing: own.EventBytes,
		}
	}
	var record struct {
		RequestPayload  json.RawMessage `json:"requestPayload"`
		ResponsePayload struct {
			ErrorMessage string `json:"errorMessage"`
		} `json:"responsePayload"`
		RequestContext struct {
			RequestID string `json:"requestId"`
		} `json:"requestContext"`
		Timestamp string `json:"timestamp"`
	}
	if json.Unmarshal([]byte(body), &record) == nil && len(record.RequestPayload) > 0 {
		l := letterView{
			At: record.Timestamp, Reason: "the launcher failed three times: " + record.ResponsePayload.ErrorMessage,
			Event: string(record.RequestPayload), id: record.RequestContext.RequestID,
		}
		var wake struct{ Set scheduler.SetName }
		if json.Unmarshal(record.RequestPayload, &wake) == nil {
			l.wake = wake.Set
		}
		return l
	}
	return letterView{Reason: "the launcher gave the message back time after time", Event: body}
}

// eventText returns an event as it came: a text that was no JSON is quoted in the
// letter.
func eventText(event json.RawMessage) string {
	var text string
	if json.Unmarshal(event, &text) == nil {
		return text
	}
	return string(event)
}

// put forgets the run that a letter ended, puts its event back, and removes the
// letter. If that is interrupted the letter is still there.
func (c *replayCmd) put(ctx context.Context, ss *session, a *app.App, l letterView) (bool, error) {
	if l.missing > 0 {
		ss.say("The event of %s, %d bytes, was not kept (keepEvents): whoever sent it has to send it again. Its "+
			"letter stays.", cmp.Or(string(l.Run), "a letter"), l.missing)
		return false, nil
	}
	if l.wake != "" { // nothing was asked for: the set is looked at once more
		if err := a.Wake(ctx, reconcile.Launcher, l.wake, "drawbridge replay"); err != nil {
			return false, err
		}
		return true, c.remove(ctx, ss, a, l)
	}
	if l.Run != "" {
		r, err := findRun(ctx, a, l.Run)
		if err == nil {
			err = a.Store.Forget(ctx, r)
		}
		if errors.Is(err, reconcile.ErrConflict) {
			ss.say("%s is %s again and stays as it is; its letter is removed.", l.Run, r.State)
			return false, c.remove(ctx, ss, a, l)
		}
		var missing *hinted
		if err != nil && !errors.As(err, &missing) {
			return false, err
		}
	}
	if _, err := ss.clients.SQS.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: aws.String(app.QueueURL(ss.place, a.Names.Events)), MessageBody: aws.String(withID(l)),
	}); err != nil {
		return false, awserr.Mark(err, "put an event back")
	}
	return true, c.remove(ctx, ss, a, l)
}

// withID returns the event with the identity that it had, if it has none of its
// own: that of its run, its message or its request, which are others now. So it
// stays the same run.
func withID(l letterView) string {
	var event map[string]json.RawMessage
	if json.Unmarshal([]byte(l.Event), &event) != nil || event["id"] != nil {
		return l.Event
	}
	_, id, _ := strings.Cut(string(l.Run), "/")
	if id == "" {
		id = l.id
	}
	text, err := json.Marshal(id)
	if err != nil {
		return l.Event
	}
	event["id"] = text
	b, err := json.Marshal(event)
	if err != nil {
		return l.Event
	}
	return string(b)
}

func (c *replayCmd) remove(ctx context.Context, ss *session, a *app.App, l letterView) error {
	_, err := ss.clients.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{
		QueueUrl: aws.String(app.QueueURL(ss.place, a.Names.DeadLetters)), ReceiptHandle: &l.receipt,
	})
	return awserr.Mark(err, "remove a dead letter")
}

// giveBack lets the letters that are left be seen by others again at once.
func (c *replayCmd) giveBack(ctx context.Context, ss *session, a *app.App, letters *[]letterView) {
	for _, l := range *letters {
		_, err := ss.clients.SQS.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: aws.String(app.QueueURL(ss.place, a.Names.DeadLetters)), ReceiptHandle: &l.receipt,
			VisibilityTimeout: 0,
		})
		if err != nil {
			ss.say("the letters are seen again in %s: %v", hidden, err)
			return
		}
	}
}
