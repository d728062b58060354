package awssim

import (
	"encoding/json"
	"time"
)

// mappingTakes is how long an event source mapping takes to see a message.
const mappingTakes = 100 * time.Millisecond

// mapping is an event source mapping: it reads a queue for a function.
type mapping struct {
	id          string
	queue       *queue
	function    *function
	batch       int
	concurrency int
	active      int
	reader      *Reader
}

// poll hands waiting messages to the function, in batches.
func (s *Sim) poll(m *mapping) {
	for m.active < m.concurrency && s.mayPoll(m) == nil {
		visibility := time.Duration(m.queue.number("VisibilityTimeout", 30)) * time.Second
		batch := s.take(m.queue, m.batch, visibility)
		if len(batch) == 0 {
			return
		}
		m.active++
		body, err := json.Marshal(map[string]any{"Records": s.records(m.queue, batch)})
		if err != nil {
			return
		}
		s.invoke(m.function, body, func(r invokeResult) {
			m.active--
			s.settleBatch(m, batch, r)
			s.poll(m)
		})
		if s.clock.speed == 0 {
			s.clock.after(0, func() { s.poll(m) }) // the next batch once this handler has ended or sleeps
			return
		}
	}
}

func (s *Sim) records(q *queue, batch []*message) []map[string]any {
	var out []map[string]any
	for _, m := range batch {
		attributes := map[string]any{}
		for k, a := range m.attributes {
			attributes[k] = map[string]any{"stringValue": a.StringValue, "dataType": a.DataType}
		}
		out = append(out, map[string]any{
			"messageId": m.id, "receiptHandle": m.receipt, "body": m.body, "attributes": s.systemAttributes(m), "messageAttributes": attributes,
			"md5OfBody": md5Hex(m.body), "eventSource": "aws:sqs", "eventSourceARN": q.arn(s), "awsRegion": s.options.Region,
		})
	}
	return out
}

// settleBatch deletes the messages that the function has done. The others are
// seen again when their visibility time-out ends.
func (s *Sim) settleBatch(m *mapping, batch []*message, r invokeResult) {
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
		if !failed[msg.id] {
			m.queue.drop(msg)
		}
	}
}
