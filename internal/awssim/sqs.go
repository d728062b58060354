package awssim

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

type sqsState struct {
	queues []*queue
}

type queue struct {
	name       string
	attributes map[string]string
	messages   []*message
	created    time.Time
	readers    []*Reader // what hands its messages on
}

type message struct {
	id, body, receipt string
	attributes        map[string]messageAttribute
	sent, visible     time.Time
	first             time.Time
	received          int
	source            *queue // where a dead letter came from
}

type messageAttribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

func (s *Sim) newSQS() *service {
	s.sqs = &sqsState{}
	return &service{name: "sqs", asks: s.queueQuestions, endpoint: "sqs", prefix: "AmazonSQS", protocol: json10, space: "com.amazonaws.sqs", ops: map[string]operation{
		"CreateQueue":             op(s.createQueue),
		"GetQueueUrl":             op(s.getQueueURL),
		"GetQueueAttributes":      op(s.getQueueAttributes),
		"SetQueueAttributes":      op(s.setQueueAttributes),
		"ListQueues":              op(s.listQueues),
		"DeleteQueue":             op(s.deleteQueue),
		"PurgeQueue":              op(s.purgeQueue),
		"SendMessage":             op(s.sendMessage),
		"SendMessageBatch":        op(s.sendMessageBatch),
		"ReceiveMessage":          op(s.receiveMessage),
		"DeleteMessage":           op(s.deleteMessage),
		"DeleteMessageBatch":      op(s.deleteMessageBatch),
		"ChangeMessageVisibility": op(s.changeVisibility),
		"ListQueueTags":           op(s.listQueueTags),
		"TagQueue":                op(s.tagQueue),
		"UntagQueue":              op(s.untagQueue),
	}}
}

func (q *queue) arn(s *Sim) string { return s.arn("sqs", q.name) }

func (q *queue) url(s *Sim) string {
	host := s.address
	if host == "" {
		host = "sqs." + s.suffix()
	}
	return "http://" + host + "/" + s.options.Account + "/" + q.name
}

func (q *queue) number(name string, normal int) int {
	n, err := strconv.Atoi(q.attributes[name])
	if err != nil {
		return normal
	}
	return n
}

// redrive returns the dead-letter queue's ARN and how often a message may be
// received before it goes there; 0 if there is none.
func (q *queue) redrive() (arn string, count int) {
	var p struct {
		DeadLetterTargetArn string          `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(q.attributes["RedrivePolicy"]), &p) != nil {
		return "", 0
	}
	count, _ = strconv.Atoi(strings.Trim(string(p.MaxReceiveCount), `"`)) // a policy without it redrives nothing
	return p.DeadLetterTargetArn, count
}

// deadLetterQueues are the queues that others redrive to, and those whose name
// says so.
func (st *sqsState) deadLetterQueues() []*queue {
	var out []*queue
	for _, q := range st.queues {
		if strings.Contains(q.name, "dead-letter") {
			out = append(out, q)
			continue
		}
		for _, o := range st.queues {
			if arn, _ := o.redrive(); strings.HasSuffix(arn, ":"+q.name) {
				out = append(out, q)
				break
			}
		}
	}
	return out
}

func (s *Sim) queue(url string) (*queue, error) {
	name := url[strings.LastIndex(url, "/")+1:]
	if q := find(s.sqs.queues, func(q *queue) bool { return q.name == name }); q != nil {
		return q, nil
	}
	e := errf("QueueDoesNotExist", "The specified queue does not exist.")
	e.QueryCode = "AWS.SimpleQueueService.NonExistentQueue"
	return nil, e
}

var queueAttributes = []string{
	"DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "Policy", "ReceiveMessageWaitTimeSeconds", "VisibilityTimeout", "RedrivePolicy",
	"RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled",
}

func (s *Sim) addQueue(name string, attributes map[string]string) (*queue, error) {
	for k := range attributes {
		if !slices.Contains(queueAttributes, k) {
			e := errf("InvalidAttributeName", "Unknown Attribute %s.", k)
			e.QueryCode = "InvalidAttributeName"
			return nil, e
		}
	}
	if q := find(s.sqs.queues, func(q *queue) bool { return q.name == name }); q != nil {
		for k, v := range attributes {
			if q.attributes[k] != v {
				e := errf("QueueNameExists", "A queue already exists with the same name and a different value for attribute %s", k)
				e.QueryCode = "QueueAlreadyExists"
				return nil, e
			}
		}
		return q, nil
	}
	q := &queue{name: name, attributes: map[string]string{
		"DelaySeconds": "0", "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0", "VisibilityTimeout": "30", "SqsManagedSseEnabled": "true",
	}, created: s.clock.time()}
	for k, v := range attributes {
		q.attributes[k] = v
	}
	s.sqs.queues = append(s.sqs.queues, q)
	return q, nil
}

type queueURL struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *Sim) createQueue(_ *call, in *struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}) (*queueURL, error) {
	q, err := s.addQueue(in.QueueName, in.Attributes)
	if err != nil {
		return nil, err
	}
	s.tagResource(q.arn(s), in.Tags)
	return &queueURL{q.url(s)}, nil
}

func (s *Sim) getQueueURL(_ *call, in *struct{ QueueName, QueueOwnerAWSAccountId string }) (*queueURL, error) {
	q, err := s.queue(in.QueueName)
	if err != nil {
		return nil, err
	}
	return &queueURL{q.url(s)}, nil
}

type queueAttributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

func (s *Sim) getQueueAttributes(_ *call, in *struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}) (*queueAttributesOutput, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	now := s.clock.time()
	hidden := 0
	for _, m := range q.messages {
		if m.visible.After(now) {
			hidden++
		}
	}
	all := map[string]string{
		"QueueArn": q.arn(s), "ApproximateNumberOfMessages": strconv.Itoa(len(q.messages) - hidden), "ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden),
		"ApproximateNumberOfMessagesDelayed": "0", "CreatedTimestamp": strconv.FormatInt(q.created.Unix(), 10), "LastModifiedTimestamp": strconv.FormatInt(q.created.Unix(), 10),
	}
	for k, v := range q.attributes {
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

func (s *Sim) setQueueAttributes(_ *call, in *struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}) (*none, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	for k, v := range in.Attributes {
		q.attributes[k] = v
	}
	return &none{}, nil
}

func (s *Sim) listQueues(_ *call, in *struct {
	QueueNamePrefix, NextToken string
	MaxResults                 int
}) (*struct {
	QueueURLs []string `json:"QueueUrls"`
}, error) {
	out := &struct {
		QueueURLs []string `json:"QueueUrls"`
	}{[]string{}}
	for _, q := range s.sqs.queues {
		if strings.HasPrefix(q.name, in.QueueNamePrefix) {
			out.QueueURLs = append(out.QueueURLs, q.url(s))
		}
	}
	return out, nil
}

func (s *Sim) deleteQueue(_ *call, in *queueURL) (*none, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	delete(s.tags, q.arn(s))
	s.sqs.queues = slices.DeleteFunc(s.sqs.queues, func(x *queue) bool { return x == q })
	return &none{}, nil
}

func (s *Sim) purgeQueue(_ *call, in *queueURL) (*none, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	q.messages = nil
	return &none{}, nil
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

func parameterError(format string, args ...any) *apiError {
	e := errf("InvalidParameterValueException", "One or more parameters are invalid. Reason: "+format, args...)
	e.QueryCode = "InvalidParameterValue"
	return e
}

// enqueue puts a message on a queue.
func (s *Sim) enqueue(q *queue, body string, attributes map[string]messageAttribute, delay time.Duration) *message {
	now := s.clock.time()
	m := &message{id: s.uuid("message"), body: body, attributes: attributes, sent: now, visible: now.Add(delay)}
	q.messages = append(q.messages, m)
	s.pump(q, delay+mappingTakes)
	return m
}

func (s *Sim) send(q *queue, e sendEntry) (*sentMessage, error) {
	if e.MessageBody == "" {
		return nil, parameterError("Empty message body")
	}
	if len(e.MessageBody) > q.number("MaximumMessageSize", maxMessage) {
		return nil, parameterError("Message must be shorter than %d bytes.", q.number("MaximumMessageSize", maxMessage))
	}
	delay := time.Duration(max(e.DelaySeconds, q.number("DelaySeconds", 0))) * time.Second
	m := s.enqueue(q, e.MessageBody, e.MessageAttributes, delay+s.delay("late-events", time.Minute))
	return &sentMessage{md5Hex(e.MessageBody), md5OfAttributes(e.MessageAttributes), m.id}, nil
}

func md5Hex(text string) string {
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
	for _, k := range sortedKeys(attributes) {
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

func (s *Sim) sendMessage(_ *call, in *struct {
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

type batchSent struct {
	ID string `json:"Id"`
	sentMessage
}

func (s *Sim) sendMessageBatch(_ *call, in *struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []sendEntry
}) (*struct {
	Successful []batchSent
	Failed     []batchError
}, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(len(in.Entries), "SendMessageBatchRequestEntry"); err != nil {
		return nil, err
	}
	out := &struct {
		Successful []batchSent
		Failed     []batchError
	}{[]batchSent{}, []batchError{}}
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
		e := errf("EmptyBatchRequest", "There should be at least one %s in the request.", entry)
		e.QueryCode = "AWS.SimpleQueueService.EmptyBatchRequest"
		return e
	case n > 10:
		e := errf("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent %d.", n)
		e.QueryCode = "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
		return e
	}
	return nil
}

// take receives up to n visible messages. Those received too often go to the
// dead-letter queue.
func (s *Sim) take(q *queue, n int, visibility time.Duration) []*message {
	now := s.clock.time()
	arn, limit := q.redrive()
	var out []*message
	for _, m := range slices.Clone(q.messages) {
		if m.visible.After(now) || len(out) == n {
			continue
		}
		if limit > 0 && m.received >= limit {
			q.drop(m)
			if dlq := find(s.sqs.queues, func(x *queue) bool { return x.arn(s) == arn }); dlq != nil {
				dlq.messages = append(dlq.messages, &message{id: m.id, body: m.body, attributes: m.attributes, sent: now, visible: now, source: q})
			}
			continue
		}
		if m.received++; m.received == 1 {
			m.first = now
		}
		m.visible = now.Add(visibility)
		m.receipt = s.id("receipt", 48)
		out = append(out, m)
		s.pump(q, visibility)
		if s.happens("duplicate-events", 0.5) {
			m.visible = now.Add(time.Second) // comes again although it is being worked on
			s.pump(q, time.Second)
		}
	}
	return out
}

func (q *queue) drop(m *message) {
	q.messages = slices.DeleteFunc(q.messages, func(x *message) bool { return x == m })
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

func (s *Sim) systemAttributes(m *message) map[string]string {
	return map[string]string{
		"ApproximateReceiveCount": strconv.Itoa(m.received), "SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10), "SenderId": s.options.Account,
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10),
	}
}

func (s *Sim) receiveMessage(_ *call, in *struct {
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
		return nil, parameterError("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", n)
	}
	visibility := q.number("VisibilityTimeout", 30)
	if in.VisibilityTimeout != nil {
		visibility = *in.VisibilityTimeout
	}
	out := &struct {
		Messages []receivedMessage `json:",omitempty"`
	}{}
	for _, m := range s.take(q, n, time.Duration(visibility)*time.Second) {
		r := receivedMessage{MessageID: m.id, ReceiptHandle: m.receipt, MD5OfBody: md5Hex(m.body), Body: m.body}
		if len(in.AttributeNames)+len(in.MessageSystemAttributeNames) > 0 {
			r.Attributes = s.systemAttributes(m)
		}
		if len(in.MessageAttributeNames) > 0 {
			r.MessageAttributes, r.MD5OfMessageAttributes = m.attributes, md5OfAttributes(m.attributes)
		}
		out.Messages = append(out.Messages, r)
	}
	return out, nil
}

func (q *queue) byReceipt(receipt string) (*message, error) {
	if m := find(q.messages, func(m *message) bool { return m.receipt == receipt }); m != nil && receipt != "" {
		return m, nil
	}
	e := errf("ReceiptHandleIsInvalid", "The input receipt handle \"%s\" is not a valid receipt handle.", receipt)
	e.QueryCode = "ReceiptHandleIsInvalid"
	return nil, e
}

func (s *Sim) deleteMessage(_ *call, in *struct {
	QueueURL      string `json:"QueueUrl"`
	ReceiptHandle string
}) (*none, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	m, err := q.byReceipt(in.ReceiptHandle)
	if err != nil {
		return nil, err
	}
	q.drop(m)
	return &none{}, nil
}

func (s *Sim) deleteMessageBatch(_ *call, in *struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID            string `json:"Id"`
		ReceiptHandle string
	}
}) (*struct {
	Successful []struct {
		ID string `json:"Id"`
	}
	Failed []batchError
}, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(len(in.Entries), "DeleteMessageBatchRequestEntry"); err != nil {
		return nil, err
	}
	out := &struct {
		Successful []struct {
			ID string `json:"Id"`
		}
		Failed []batchError
	}{Failed: []batchError{}}
	for _, e := range in.Entries {
		m, err := q.byReceipt(e.ReceiptHandle)
		if err != nil {
			out.Failed = append(out.Failed, batchError{e.ID, true, "ReceiptHandleIsInvalid", err.Error()})
			continue
		}
		q.drop(m)
		out.Successful = append(out.Successful, struct {
			ID string `json:"Id"`
		}{e.ID})
	}
	return out, nil
}

func (s *Sim) changeVisibility(_ *call, in *struct {
	QueueURL          string `json:"QueueUrl"`
	ReceiptHandle     string
	VisibilityTimeout int
}) (*none, error) {
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	m, err := q.byReceipt(in.ReceiptHandle)
	if err != nil {
		return nil, err
	}
	wait := time.Duration(in.VisibilityTimeout) * time.Second
	m.visible = s.clock.time().Add(wait)
	s.pump(q, wait)
	return &none{}, nil
}

// Reader looks at a queue whenever a message of it may have become visible.
type Reader struct{ Look func() }

// pump lets the queue's readers look at it once d has passed.
func (s *Sim) pump(q *queue, d time.Duration) {
	for _, r := range q.readers {
		s.clock.after(d, r.Look)
	}
}
