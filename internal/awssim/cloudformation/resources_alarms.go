package cloudformation

import (
	"cmp"
	"encoding/json"

	"drawbridge/internal/awssim/cloudwatch"
	"drawbridge/internal/awssim/kernel"
)

// alarmOf reads the alarm of a template.
func alarmOf(s *Service, st *Stack, r *Resource) (*cloudwatch.MetricAlarm, error) {
	a := &cloudwatch.MetricAlarm{}
	raw, err := json.Marshal(cloudwatch.PlainNumbers(r.Properties))
	if err == nil {
		err = json.Unmarshal(raw, a)
	}
	if err != nil {
		return nil, kernel.Errorf("ValidationError", "%v", err)
	}
	a.AlarmName = cmp.Or(a.AlarmName, st.Name+"-"+r.Logical+"-"+s.Digest(st.ID+r.Logical, 12))
	return a, cloudwatch.CheckAlarm(a)
}

func createAlarmResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	a, err := alarmOf(s, st, r)
	if err != nil {
		return err
	}
	s.CloudWatch.AddAlarm(a)
	r.Physical = a.AlarmName
	r.Attributes["Arn"] = s.CloudWatch.AlarmARN(a.AlarmName)
	s.soon(finish)
	return nil
}

func updateAlarmResource(s *Service, st *Stack, r *Resource) error {
	a, err := alarmOf(s, st, r)
	if err != nil {
		return err
	}
	s.CloudWatch.AddAlarm(a)
	return nil
}

func removeAlarmResource(s *Service, r *Resource, finish func(error)) {
	s.CloudWatch.RemoveAlarm(r.Physical)
	s.soon(finish)
}
