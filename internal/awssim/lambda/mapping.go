package lambda

import (
	"encoding/json"
	"time"

	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/sqs"
)

// mayPoll returns what keeps Lambda from reading a mapping's queue with the
// function's role, or nil.
func (s *Service) mayPoll(m *Mapping) *kernel.Question { return s.MayRead(m.function.Role, m.Queue) }

// MayRead asks whether a role may read a queue; it returns what is denied, or nil.
func (s *Service) MayRead(role string, q *sqs.Queue) *kernel.Question {
	var qs []kernel.Question
	for _, action := range []string{"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"} {
		qs = append(append(qs, kernel.May("sqs:"+action, q.ARN(s.sqs))), s.sqs.QueueKey(q.Name, action)...)
	}
	return s.iam.Allows(role, qs...)
}

// Mapping is an event source mapping: it reads a queue for a function.
type Mapping struct {
	ID          string
	Queue       *sqs.Queue
	function    *Function
	Batch       int
	Concurrency int
	active      int
	Reader      *sqs.Reader
}

// poll passes waiting messages to the function, in batches.
func (s *Service) poll(m *Mapping) {
	for m.active < m.Concurrency && s.mayPoll(m) == nil {
		visibility := time.Duration(m.Queue.Number("VisibilityTimeout", 30)) * time.Second
		batch := s.sqs.Take(m.Queue, m.Batch, visibility)
		if len(batch) == 0 {
			return
		}
		m.active++
		body, err := json.Marshal(map[string]any{"Records": s.records(m.Queue, batch)})
		if err != nil {
			return
		}
		s.invoke(m.function, body, func(r invokeResult) {
			m.active--
			m.settleBatch(batch, r)
			s.poll(m)
		})
		if s.Clock.Speed == 0 {
			s.Clock.After(0, func() { s.poll(m) }) // the next batch once this handler has ended or sleeps
			return
		}
	}
}

func (s *Service) records(q *sqs.Queue, batch []*sqs.Message) []map[string]any {
	var out []map[string]any
	for _, m := range batch {
		attributes := map[string]any{}
		for k, a := range m.Attributes {
			attributes[k] = map[string]any{"stringValue": a.StringValue, "dataType": a.DataType}
		}
		out = append(out, map[string]any{
			"messageId": m.ID, "receiptHandle": m.Receipt, "body": m.Body, "attributes": s.sqs.SystemAttributes(m),
			"messageAttributes": attributes,
			"md5OfBody":         sqs.Md5Hex(m.Body), "eventSource": "aws:sqs", "eventSourceARN": q.ARN(s.sqs),
			"awsRegion": s.Options.Region,
		})
	}
	return out
}

// settleBatch deletes the messages that the function has processed. The others
// become visible again when their visibility time-out ends.
func (m *Mapping) settleBatch(batch []*sqs.Message, r invokeResult) {
	if r.outcome != "ok" {
		return
	}
	var answer struct {
		BatchItemFailures []struct {
			ItemIdentifier string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	_ = json.Unmarshal(r.payload, &answer) // no answer means that all succeeded
	failed := map[string]bool{}
	for _, f := range answer.BatchItemFailures {
		failed[f.ItemIdentifier] = true
	}
	for _, msg := range batch {
		if !failed[msg.ID] {
			m.Queue.Drop(msg)
		}
	}
}
