package cloudwatch

import (
	"net/http"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// alarmByARN returns an error that names the missing alarm.
func (s *Service) alarmByARN(arn string) error {
	name := arn[strings.LastIndex(arn, ":")+1:]
	if a := s.alarm(name); a == nil || arn != s.AlarmARN(name) {
		return kernel.Errorf("ResourceNotFoundException", "Unknown resource: %s", arn).WithStatus(http.StatusNotFound)
	}
	return nil
}

func (s *Service) listAlarmTags(_ *kernel.Call,
	in *struct{ ResourceARN string }) (*struct{ Tags kernel.TagList }, error) {
	if err := s.alarmByARN(in.ResourceARN); err != nil {
		return nil, err
	}
	return &struct{ Tags kernel.TagList }{s.TagList(in.ResourceARN)}, nil
}

func (s *Service) tagAlarm(_ *kernel.Call, in *struct {
	ResourceARN string
	Tags        kernel.TagList
}) (*kernel.None, error) {
	if err := s.alarmByARN(in.ResourceARN); err != nil {
		return nil, err
	}
	s.TagResource(in.ResourceARN, in.Tags.ByKey())
	return &kernel.None{}, nil
}

func (s *Service) untagAlarm(_ *kernel.Call, in *struct {
	ResourceARN string
	TagKeys     []string
}) (*kernel.None, error) {
	if err := s.alarmByARN(in.ResourceARN); err != nil {
		return nil, err
	}
	s.UntagResource(in.ResourceARN, in.TagKeys)
	return &kernel.None{}, nil
}
