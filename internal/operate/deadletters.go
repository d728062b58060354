package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/scheduler"
)

// Letter is a dead letter as it is shown.
type Letter struct {
	At     string          `json:"at"`
	Run    scheduler.RunID `json:"run,omitempty"`
	Reason string          `json:"reason"`
	Hint   string          `json:"hint,omitempty"`
	// Event goes back into the queue.
	Event string `json:"event"`

	// id is the identity of an event that has none of its own.
	id string
	// Wake is the set that a wake-up was for: that is not an event. Missing is how long an
	// event was that was not kept; 0 for one that was.
	Wake    scheduler.SetName `json:"-"`
	Missing int               `json:"-"`
	receipt string
}

// LettersHidden is how long letters are kept from other readers while somebody decides.
const LettersHidden = 5 * time.Minute

// ReceiveLetters takes up to limit letters off the dead-letter queue for LettersHidden.
func ReceiveLetters(ctx context.Context, api *sqs.Client, a *app.App, limit int) ([]Letter, error) {
	letters := []Letter{}
	url := aws.String(app.QueueURL(a.Place, a.Names.DeadLetters))
	for empty := 0; len(letters) < limit && empty < 3; {
		out, err := api.ReceiveMessage(ctx,
			&sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: int32(min(10, limit-len(letters))),
				VisibilityTimeout: int32(LettersHidden.Seconds()), WaitTimeSeconds: 1,
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
func readLetter(body string) Letter {
	var own struct {
		app.Letter
		Event json.RawMessage `json:"event"` // as it came, to the byte
	}
	if json.Unmarshal([]byte(body), &own) == nil && own.Reason != "" && len(own.Event) > 0 {
		return Letter{
			At: own.At, Run: scheduler.RunID(own.Run), Reason: own.Reason, Hint: own.Hint, Event: eventText(own.Event),
			Missing: own.EventBytes,
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
		l := Letter{
			At: record.Timestamp, Reason: "the launcher failed three times: " + record.ResponsePayload.ErrorMessage,
			Event: string(record.RequestPayload), id: record.RequestContext.RequestID,
		}
		var wake struct{ Set scheduler.SetName }
		if json.Unmarshal(record.RequestPayload, &wake) == nil {
			l.Wake = wake.Set
		}
		return l
	}
	return Letter{Reason: "the launcher gave the message back time after time", Event: body}
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

// withID returns the event with the identity that it had, if it has none of its
// own: that of its run, its message or its request, which are others now. So it
// stays the same run.
func withID(l Letter) string {
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

// RemoveLetter deletes a letter.
func RemoveLetter(ctx context.Context, api *sqs.Client, a *app.App, l Letter) error {
	_, err := api.DeleteMessage(ctx, &sqs.DeleteMessageInput{
		QueueUrl: aws.String(app.QueueURL(a.Place, a.Names.DeadLetters)), ReceiptHandle: &l.receipt,
	})
	return awserr.Mark(err, "remove a dead letter")
}

// GiveLettersBack lets letters be seen by others again at once.
func GiveLettersBack(ctx context.Context, api *sqs.Client, a *app.App, letters []Letter) error {
	for _, l := range letters {
		_, err := api.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: aws.String(app.QueueURL(a.Place, a.Names.DeadLetters)), ReceiptHandle: &l.receipt,
			VisibilityTimeout: 0,
		})
		if err != nil {
			return awserr.Mark(err, "give the letters back")
		}
	}
	return nil
}

// PutBack puts a letter's event back into the queue of events.
func PutBack(ctx context.Context, api *sqs.Client, a *app.App, l Letter) error {
	_, err := api.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: aws.String(app.QueueURL(a.Place, a.Names.Events)), MessageBody: aws.String(withID(l)),
	})
	return awserr.Mark(err, "put an event back")
}
