package sqs

import (
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// queueQuestions returns the IAM questions of a call to SQS.
func (s *Service) queueQuestions(c *kernel.Call) []kernel.Question {
	url := c.Field("QueueUrl")
	name := url[strings.LastIndex(url, "/")+1:]
	return append([]kernel.Question{kernel.May(c.Permission(), s.ARN("sqs", name))}, s.QueueKey(name, c.Action)...)
}

// QueueKey is the IAM question that a queue raises for its customer-managed
// key.
//
// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
func (s *Service) QueueKey(name, action string) []kernel.Question {
	q, err := s.queue(name)
	if err != nil || q.Attributes["KmsMasterKeyId"] == "" {
		return nil
	}
	actions := map[string][]string{
		"SendMessage": {"kms:GenerateDataKey", "kms:Decrypt"}, "ReceiveMessage": {"kms:Decrypt"},
	}[action]
	return s.ViaKey(q.Attributes["KmsMasterKeyId"], "sqs", actions...)
}
