// Package sqs simulates SQS: queues, visibility time-outs and redrive.
package sqs

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// MappingTakes is how long an event source mapping takes to see a message.
const MappingTakes = 100 * time.Millisecond

// Service is the simulated SQS.
type Service struct {
	*kernel.Kernel

	Queues []*Queue
}

// Queue is a queue with its messages.
type Queue struct {
	Name       string
	Attributes map[string]string
	Messages   []*Message
	created    time.Time
	Readers    []*Reader // readers of its messages
}

// Message is one message of a queue.
type Message struct {
	ID, Body, Receipt string
	Attributes        map[string]messageAttribute
	Sent, Visible     time.Time
	first             time.Time
	received          int
	source            *Queue // where a dead letter came from
}

type messageAttribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k}
	k.Register(&kernel.API{Name: "sqs", Asks: s.queueQuestions, Endpoint: "sqs", Prefix: "AmazonSQS",
		Protocol: kernel.JSON10, Space: "com.amazonaws.sqs", Ops: map[string]kernel.Operation{
			"CreateQueue":             kernel.Op(s.createQueue),
			"GetQueueUrl":             kernel.Op(s.getQueueURL),
			"GetQueueAttributes":      kernel.Op(s.getQueueAttributes),
			"SetQueueAttributes":      kernel.Op(s.setQueueAttributes),
			"ListQueues":              kernel.Op(s.listQueues),
			"DeleteQueue":             kernel.Op(s.deleteQueue),
			"PurgeQueue":              kernel.Op(s.purgeQueue),
			"SendMessage":             kernel.Op(s.sendMessage),
			"SendMessageBatch":        kernel.Op(s.sendMessageBatch),
			"ReceiveMessage":          kernel.Op(s.receiveMessage),
			"DeleteMessage":           kernel.Op(s.deleteMessage),
			"DeleteMessageBatch":      kernel.Op(s.deleteMessageBatch),
			"ChangeMessageVisibility": kernel.Op(s.changeVisibility),
			"ListQueueTags":           kernel.Op(s.listQueueTags),
			"TagQueue":                kernel.Op(s.tagQueue),
			"UntagQueue":              kernel.Op(s.untagQueue),
		}})
	return s
}

// ARN returns the queue's ARN.
func (q *Queue) ARN(s *Service) string { return s.ARN("sqs", q.Name) }

// URL returns the queue's URL.
func (q *Queue) URL(s *Service) string {
	host := s.Address
	if host == "" {
		host = "sqs." + s.Suffix()
	}
	return "http://" + host + "/" + s.Options.Account + "/" + q.Name
}

// Number returns a numeric attribute; normal if it is not a number.
func (q *Queue) Number(name string, normal int) int {
	n, err := strconv.Atoi(q.Attributes[name])
	if err != nil {
		return normal
	}
	return n
}

// redrive returns the dead-letter queue's ARN and its maximum receive count; 0
// if there is none.
func (q *Queue) redrive() (arn string, count int) {
	var p struct {
		DeadLetterTargetArn string          `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(q.Attributes["RedrivePolicy"]), &p) != nil {
		return "", 0
	}
	count, _ = strconv.Atoi(strings.Trim(string(p.MaxReceiveCount), `"`)) // without it, nothing is redriven
	return p.DeadLetterTargetArn, count
}

// DeadLetterQueues are the queues that others redrive to, and those with a
// matching name.
func (st *Service) DeadLetterQueues() []*Queue {
	var out []*Queue
	for _, q := range st.Queues {
		if strings.Contains(q.Name, "dead-letter") {
			out = append(out, q)
			continue
		}
		for _, o := range st.Queues {
			if arn, _ := o.redrive(); strings.HasSuffix(arn, ":"+q.Name) {
				out = append(out, q)
				break
			}
		}
	}
	return out
}

func (s *Service) queue(url string) (*Queue, error) {
	name := url[strings.LastIndex(url, "/")+1:]
	if q := kernel.Find(s.Queues, func(q *Queue) bool { return q.Name == name }); q != nil {
		return q, nil
	}
	e := kernel.Errorf("QueueDoesNotExist", "The specified queue does not exist.")
	e.QueryCode = "AWS.SimpleQueueService.NonExistentQueue"
	return nil, e
}

var queueAttributes = []string{
	"DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "Policy", "ReceiveMessageWaitTimeSeconds",
	"VisibilityTimeout", "RedrivePolicy",
	"RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled",
}

// AddQueue adds a queue, or returns the one of that name and those attributes.
func (s *Service) AddQueue(name string, attributes map[string]string) (*Queue, error) {
	for k := range attributes {
		if !slices.Contains(queueAttributes, k) {
			e := kernel.Errorf("InvalidAttributeName", "Unknown Attribute %s.", k)
			e.QueryCode = "InvalidAttributeName"
			return nil, e
		}
	}
	if q := kernel.Find(s.Queues, func(q *Queue) bool { return q.Name == name }); q != nil {
		for k, v := range attributes {
			if q.Attributes[k] != v {
				e := kernel.Errorf("QueueNameExists",
					"A queue already exists with the same name and a different value for attribute %s", k)
				e.QueryCode = "QueueAlreadyExists"
				return nil, e
			}
		}
		return q, nil
	}
	q := &Queue{Name: name, Attributes: map[string]string{
		"DelaySeconds": "0", "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600",
		"ReceiveMessageWaitTimeSeconds": "0", "VisibilityTimeout": "30", "SqsManagedSseEnabled": "true",
	}, created: s.Clock.Now()}
	for k, v := range attributes {
		q.Attributes[k] = v
	}
	s.Queues = append(s.Queues, q)
	return q, nil
}

type queueURL struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *Service) createQueue(_ *kernel.Call, in *struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}) (*queueURL, error) {
	q, err := s.AddQueue(in.QueueName, in.Attributes)
	if err != nil {
		return nil, err
	}
	s.TagResource(q.ARN(s), in.Tags)
	return &queueURL{q.URL(s)}, nil
}

func (s *Service) getQueueURL(_ *kernel.Call,
	in *struct{ QueueName, QueueOwnerAWSAccountId string }) (*queueURL, error) {
	q, err := s.queue(in.QueueName)
	if err != nil {
		return nil, err
	}
	return &queueURL{q.URL(s)}, nil
}

type queueAttributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

func (s *Service) getQueueAttributes(_ *kernel.Call, in *struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}) (*queueAttributesOutput, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	hidden := 0
	for _, m := range q.Messages {
		if m.Visible.After(now) {
			hidden++
		}
	}
	all := map[string]string{
		"QueueArn": q.ARN(s), "ApproximateNumberOfMessages": strconv.Itoa(len(q.Messages) - hidden),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden),
		"ApproximateNumberOfMessagesDelayed":    "0", "CreatedTimestamp": strconv.FormatInt(q.created.Unix(), 10),
		"LastModifiedTimestamp": strconv.FormatInt(q.created.Unix(), 10),
	}
	for k, v := range q.Attributes {
		all[k] = v
	}
	out := &queueAttributesOutput{map[string]string{}}
	for k, v := range all {
		if slices.Contains(in.AttributeNames, "All") || slices.Contains(in.AttributeNames, k) {
			out.Attributes[k] = v
		}
	}
	return out, nil
}

func (s *Service) setQueueAttributes(_ *kernel.Call, in *struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}) (*kernel.None, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	for k, v := range in.Attributes {
		q.Attributes[k] = v
	}
	return &kernel.None{}, nil
}

func (s *Service) listQueues(_ *kernel.Call, in *struct {
	QueueNamePrefix, NextToken string
	MaxResults                 int
}) (*struct {
	QueueURLs []string `json:"QueueUrls"`
}, error) {
	out := &struct {
		QueueURLs []string `json:"QueueUrls"`
	}{[]string{}}
	for _, q := range s.Queues {
		if strings.HasPrefix(q.Name, in.QueueNamePrefix) {
			out.QueueURLs = append(out.QueueURLs, q.URL(s))
		}
	}
	return out, nil
}

func (s *Service) deleteQueue(_ *kernel.Call, in *queueURL) (*kernel.None, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	delete(s.Tags, q.ARN(s))
	s.Queues = slices.DeleteFunc(s.Queues, func(x *Queue) bool { return x == q })
	return &kernel.None{}, nil
}

func (s *Service) purgeQueue(_ *kernel.Call, in *queueURL) (*kernel.None, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	q.Messages = nil
	return &kernel.None{}, nil
}

type sendEntry struct {
	ID                      string `json:"Id"`
	MessageBody             string
	DelaySeconds            int
	MessageAttributes       map[string]messageAttribute
	MessageSystemAttributes map[string]messageAttribute
}

type sentMessage struct {
	MD5OfMessageBody       string
	MD5OfMessageAttributes string `json:",omitempty"`
	MessageID              string `json:"MessageId"`
}

// maxMessage is SQS's limit on a message, in bytes.
const maxMessage = 1 << 20

func parameterError(format string, args ...any) *kernel.APIError {
	e := kernel.Errorf("InvalidParameterValueException", "One or more parameters are invalid. Reason: "+format, args...)
	e.QueryCode = "InvalidParameterValue"
	return e
}

// Enqueue puts a message on a queue.
func (s *Service) Enqueue(q *Queue, body string, attributes map[string]messageAttribute, delay time.Duration) *Message {
	now := s.Clock.Now()
	m := &Message{ID: s.UUID("message"), Body: body, Attributes: attributes, Sent: now, Visible: now.Add(delay)}
	q.Messages = append(q.Messages, m)
	s.pump(q, delay+MappingTakes)
	return m
}

func (s *Service) send(q *Queue, e sendEntry) (*sentMessage, error) {
	if e.MessageBody == "" {
		return nil, parameterError("Empty message body")
	}
	if len(e.MessageBody) > q.Number("MaximumMessageSize", maxMessage) {
		return nil, parameterError("Message must be shorter than %d bytes.", q.Number("MaximumMessageSize", maxMessage))
	}
	delay := time.Duration(max(e.DelaySeconds, q.Number("DelaySeconds", 0))) * time.Second
	m := s.Enqueue(q, e.MessageBody, e.MessageAttributes, delay+s.Delay("late-events", time.Minute))
	return &sentMessage{Md5Hex(e.MessageBody), md5OfAttributes(e.MessageAttributes), m.ID}, nil
}

// Md5Hex returns the MD5 of a text as SQS shows it.
func Md5Hex(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes is the digest that SDKs check: names, types and values with
// their lengths, in order of name.
func md5OfAttributes(attributes map[string]messageAttribute) string {
	if len(attributes) == 0 {
		return ""
	}
	h := md5.New()
	put := func(b []byte) {
		h.Write([]byte{byte(len(b) >> 24), byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))})
		h.Write(b)
	}
	for _, k := range kernel.SortedKeys(attributes) {
		a := attributes[k]
		put([]byte(k))
		put([]byte(a.DataType))
		if a.StringValue != nil {
			h.Write([]byte{1})
			put([]byte(*a.StringValue))
		} else {
			h.Write([]byte{2})
			put(a.BinaryValue)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (s *Service) sendMessage(_ *kernel.Call, in *struct {
	QueueURL                string `json:"QueueUrl"`
	MessageBody             string
	DelaySeconds            int
	MessageAttributes       map[string]messageAttribute
	MessageSystemAttributes map[string]messageAttribute
}) (*sentMessage, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	return s.send(q, sendEntry{"", in.MessageBody, in.DelaySeconds, in.MessageAttributes, in.MessageSystemAttributes})
}

type batchError struct {
	ID          string `json:"Id"`
	SenderFault bool
	Code        string
	Message     string
}

// batchReply answers a batch: the entries that went well, and the others.
type batchReply[T any] struct {
	Successful []T
	Failed     []batchError
}

type batchSent struct {
	ID string `json:"Id"`
	sentMessage
}

func (s *Service) sendMessageBatch(_ *kernel.Call, in *struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []sendEntry
}) (*batchReply[batchSent], error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(len(in.Entries), "SendMessageBatchRequestEntry"); err != nil {
		return nil, err
	}
	out := &batchReply[batchSent]{[]batchSent{}, []batchError{}}
	for _, e := range in.Entries {
		m, err := s.send(q, e)
		if err != nil {
			out.Failed = append(out.Failed, batchError{e.ID, true, "InvalidParameterValue", err.Error()})
			continue
		}
		out.Successful = append(out.Successful, batchSent{e.ID, *m})
	}
	return out, nil
}

func checkBatch(n int, entry string) error {
	switch {
	case n == 0:
		e := kernel.Errorf("EmptyBatchRequest", "There should be at least one %s in the request.", entry)
		e.QueryCode = "AWS.SimpleQueueService.EmptyBatchRequest"
		return e
	case n > 10:
		e := kernel.Errorf("TooManyEntriesInBatchRequest",
			"Maximum number of entries per request are 10. You have sent %d.", n)
		e.QueryCode = "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
		return e
	}
	return nil
}

// Take receives up to n visible messages. Those received too often go to the
// dead-letter queue.
func (s *Service) Take(q *Queue, n int, visibility time.Duration) []*Message {
	now := s.Clock.Now()
	arn, limit := q.redrive()
	var out []*Message
	for _, m := range slices.Clone(q.Messages) {
		if m.Visible.After(now) || len(out) == n {
			continue
		}
		if limit > 0 && m.received >= limit {
			q.Drop(m)
			if dlq := kernel.Find(s.Queues, func(x *Queue) bool { return x.ARN(s) == arn }); dlq != nil {
				dlq.Messages = append(dlq.Messages, &Message{
					ID: m.ID, Body: m.Body, Attributes: m.Attributes, Sent: now, Visible: now, source: q,
				})
			}
			continue
		}
		if m.received++; m.received == 1 {
			m.first = now
		}
		m.Visible = now.Add(visibility)
		m.Receipt = s.NewID("receipt", 48)
		out = append(out, m)
		s.pump(q, visibility)
		if s.Happens("duplicate-events", 0.5) {
			m.Visible = now.Add(time.Second) // delivered again while it is being processed
			s.pump(q, time.Second)
		}
	}
	return out
}

// Drop deletes a message.
func (q *Queue) Drop(m *Message) {
	q.Messages = slices.DeleteFunc(q.Messages, func(x *Message) bool { return x == m })
}

type receivedMessage struct {
	MessageID              string `json:"MessageId"`
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string           `json:",omitempty"`
	MessageAttributes      map[string]messageAttribute `json:",omitempty"`
	MD5OfMessageAttributes string                      `json:",omitempty"`
}

// SystemAttributes returns the system attributes of a message.
func (s *Service) SystemAttributes(m *Message) map[string]string {
	return map[string]string{
		"ApproximateReceiveCount": strconv.Itoa(m.received), "SentTimestamp": strconv.FormatInt(m.Sent.UnixMilli(), 10),
		"SenderId":                         s.Options.Account,
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10),
	}
}

func (s *Service) receiveMessage(_ *kernel.Call, in *struct {
	QueueURL                    string `json:"QueueUrl"`
	MaxNumberOfMessages         int
	VisibilityTimeout           *int
	WaitTimeSeconds             int
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	ReceiveRequestAttemptId     string
}) (*struct {
	Messages []receivedMessage `json:",omitempty"`
}, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	n := max(in.MaxNumberOfMessages, 1)
	if n > 10 {
		return nil, parameterError("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between "+
			"1 and 10, if provided.", n)
	}
	visibility := q.Number("VisibilityTimeout", 30)
	if in.VisibilityTimeout != nil {
		visibility = *in.VisibilityTimeout
	}
	out := &struct {
		Messages []receivedMessage `json:",omitempty"`
	}{}
	for _, m := range s.Take(q, n, time.Duration(visibility)*time.Second) {
		r := receivedMessage{MessageID: m.ID, ReceiptHandle: m.Receipt, MD5OfBody: Md5Hex(m.Body), Body: m.Body}
		if len(in.AttributeNames)+len(in.MessageSystemAttributeNames) > 0 {
			r.Attributes = s.SystemAttributes(m)
		}
		if len(in.MessageAttributeNames) > 0 {
			r.MessageAttributes, r.MD5OfMessageAttributes = m.Attributes, md5OfAttributes(m.Attributes)
		}
		out.Messages = append(out.Messages, r)
	}
	return out, nil
}

func (q *Queue) byReceipt(receipt string) (*Message, error) {
	if m := kernel.Find(q.Messages, func(m *Message) bool { return m.Receipt == receipt }); m != nil && receipt != "" {
		return m, nil
	}
	e := kernel.Errorf("ReceiptHandleIsInvalid", "The input receipt handle \"%s\" is not a valid receipt handle.",
		receipt)
	e.QueryCode = "ReceiptHandleIsInvalid"
	return nil, e
}

// received returns a queue and the message that a receipt of it is for.
func (s *Service) received(url, receipt string) (*Queue, *Message, error) {
	q, err := s.queue(url)
	if err != nil {
		return nil, nil, err
	}
	m, err := q.byReceipt(receipt)
	return q, m, err
}

func (s *Service) deleteMessage(_ *kernel.Call, in *struct {
	QueueURL      string `json:"QueueUrl"`
	ReceiptHandle string
}) (*kernel.None, error) {
	q, m, err := s.received(in.QueueURL, in.ReceiptHandle)
	if err != nil {
		return nil, err
	}
	q.Drop(m)
	return &kernel.None{}, nil
}

type batchDeleted struct {
	ID string `json:"Id"`
}

func (s *Service) deleteMessageBatch(_ *kernel.Call, in *struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID            string `json:"Id"`
		ReceiptHandle string
	}
}) (*batchReply[batchDeleted], error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(len(in.Entries), "DeleteMessageBatchRequestEntry"); err != nil {
		return nil, err
	}
	out := &batchReply[batchDeleted]{Failed: []batchError{}}
	for _, e := range in.Entries {
		m, err := q.byReceipt(e.ReceiptHandle)
		if err != nil {
			out.Failed = append(out.Failed, batchError{e.ID, true, "ReceiptHandleIsInvalid", err.Error()})
			continue
		}
		q.Drop(m)
		out.Successful = append(out.Successful, batchDeleted{e.ID})
	}
	return out, nil
}

func (s *Service) changeVisibility(_ *kernel.Call, in *struct {
	QueueURL          string `json:"QueueUrl"`
	ReceiptHandle     string
	VisibilityTimeout int
}) (*kernel.None, error) {
	q, m, err := s.received(in.QueueURL, in.ReceiptHandle)
	if err != nil {
		return nil, err
	}
	wait := time.Duration(in.VisibilityTimeout) * time.Second
	m.Visible = s.Clock.Now().Add(wait)
	s.pump(q, wait)
	return &kernel.None{}, nil
}

// Reader checks a queue whenever one of its messages may have become visible.
type Reader struct{ Look func() }

// pump calls the queue's readers once d has passed.
func (s *Service) pump(q *Queue, d time.Duration) {
	for _, r := range q.Readers {
		s.Clock.After(d, r.Look)
	}
}
