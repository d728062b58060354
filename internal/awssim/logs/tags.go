package logs

import (
	"strings"

	"drawbridge/internal/awssim/kernel"
)

type tagMap struct {
	Tags map[string]string `json:"tags"`
}

// logGroupByARN finds a log group by its ARN, with or without the star at its end.
func (s *Service) logGroupByARN(arn string) (*LogGroup, error) {
	_, name, _ := strings.Cut(arn, ":log-group:")
	if g := s.LogGroup(strings.TrimSuffix(name, ":*")); g != nil {
		return g, nil
	}
	return nil, noLogGroup
}

func (s *Service) logGroupARN(g *LogGroup) string { return s.ARN("logs", "log-group:"+g.Name) }

func (s *Service) listLogTags(_ *kernel.Call, in *struct{ ResourceArn string }) (*tagMap, error) {
	g, err := s.logGroupByARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	tags := s.Tags[s.logGroupARN(g)]
	if tags == nil {
		tags = map[string]string{}
	}
	return &tagMap{tags}, nil
}

func (s *Service) tagLogs(_ *kernel.Call, in *struct {
	ResourceArn string
	Tags        map[string]string
}) (*kernel.None, error) {
	g, err := s.logGroupByARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	s.TagResource(s.logGroupARN(g), in.Tags)
	return &kernel.None{}, nil
}

func (s *Service) untagLogs(_ *kernel.Call, in *struct {
	ResourceArn string
	TagKeys     []string
}) (*kernel.None, error) {
	g, err := s.logGroupByARN(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	s.UntagResource(s.logGroupARN(g), in.TagKeys)
	return &kernel.None{}, nil
}
