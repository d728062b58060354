package dynamodb

import (
	"drawbridge/internal/awssim/kernel"
)

func (s *Service) listTableTags(_ *kernel.Call,
	in *struct{ ResourceArn, NextToken string }) (*struct{ Tags kernel.TagList }, error) {
	t, err := s.Table(in.ResourceArn)
	if err != nil {
		return nil, kernel.Errorf("ResourceNotFoundException", "Requested resource not found: ResourcArn: %s not found",
			in.ResourceArn)
	}
	return &struct{ Tags kernel.TagList }{s.TagList(s.tableARN(t.Name))}, nil
}

func (s *Service) tagTable(_ *kernel.Call, in *struct {
	ResourceArn string
	Tags        kernel.TagList
}) (*kernel.None, error) {
	t, err := s.Table(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	s.TagResource(s.tableARN(t.Name), in.Tags.ByKey())
	return &kernel.None{}, nil
}

func (s *Service) untagTable(_ *kernel.Call, in *struct {
	ResourceArn string
	TagKeys     []string
}) (*kernel.None, error) {
	t, err := s.Table(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	s.UntagResource(s.tableARN(t.Name), in.TagKeys)
	return &kernel.None{}, nil
}
