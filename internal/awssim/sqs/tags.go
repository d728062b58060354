package sqs

import (
	"drawbridge/internal/awssim/kernel"
)

func (s *Service) listQueueTags(_ *kernel.Call, in *struct{ QueueUrl string }) (*struct {
	Tags map[string]string `json:",omitempty"`
}, error) {
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	return &struct {
		Tags map[string]string `json:",omitempty"`
	}{s.Tags[q.ARN(s)]}, nil
}

func (s *Service) tagQueue(_ *kernel.Call, in *struct {
	QueueUrl string
	Tags     map[string]string
}) (*kernel.None, error) {
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	s.TagResource(q.ARN(s), in.Tags)
	return &kernel.None{}, nil
}

func (s *Service) untagQueue(_ *kernel.Call, in *struct {
	QueueUrl string
	TagKeys  []string
}) (*kernel.None, error) {
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	s.UntagResource(q.ARN(s), in.TagKeys)
	return &kernel.None{}, nil
}
