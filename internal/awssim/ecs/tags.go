package ecs

import (
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// ecsTags is the same list with ECS's lower-case member names.
func (s *Service) ecsTags(arn string) []ecsTag {
	l := []ecsTag{}
	for _, t := range s.TagList(arn) {
		l = append(l, ecsTag(t))
	}
	return l
}

type ecsTagsInput struct {
	ResourceArn string
	Tags        []ecsTag
	TagKeys     []string
}

// ecsTagged rejects an ECS ARN that has no taggable resource.
func (s *Service) ecsTagged(arn string) error {
	_, resource, _ := strings.Cut(arn, s.Options.Account+":")
	kind, name, _ := strings.Cut(resource, "/")
	switch kind {
	case "cluster":
		_, err := s.clusterName(name)
		return err
	case "task-definition":
		if kernel.Find(s.Definitions, func(d *taskDefinition) bool { return d.ARN(s) == arn }) != nil {
			return nil
		}
	case "task":
		if kernel.Find(s.Tasks, func(t *task) bool { return t.ARN == arn }) != nil {
			return nil
		}
	}
	return kernel.Errorf("InvalidParameterException", "The specified resource is not found: %s", arn)
}

func (s *Service) listECSTags(_ *kernel.Call, in *ecsTagsInput) (*struct {
	Tags []ecsTag `json:"tags"`
}, error) {
	if err := s.ecsTagged(in.ResourceArn); err != nil {
		return nil, err
	}
	return &struct {
		Tags []ecsTag `json:"tags"`
	}{s.ecsTags(in.ResourceArn)}, nil
}

func (s *Service) tagECS(_ *kernel.Call, in *ecsTagsInput) (*kernel.None, error) {
	if err := s.ecsTagged(in.ResourceArn); err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		s.TagResource(in.ResourceArn, map[string]string{t.Key: t.Value})
	}
	return &kernel.None{}, nil
}

func (s *Service) untagECS(_ *kernel.Call, in *ecsTagsInput) (*kernel.None, error) {
	if err := s.ecsTagged(in.ResourceArn); err != nil {
		return nil, err
	}
	s.UntagResource(in.ResourceArn, in.TagKeys)
	return &kernel.None{}, nil
}
