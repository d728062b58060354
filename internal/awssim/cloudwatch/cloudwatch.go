// Package cloudwatch simulates CloudWatch: metrics and alarms.
package cloudwatch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/sqs"
)

// Service is the simulated CloudWatch.
type Service struct {
	*kernel.Kernel
	sqs *sqs.Service

	metrics map[string][]point // by metricKey, in order of time
	alarms  []*MetricAlarm
	// Changed is told when SetAlarmState changes the state of an alarm.
	Changed func(name, state string)
}

// point is a metric's data within one minute.
type point struct {
	minute           time.Time
	sum, least, most float64
	count            float64
}

// keptMetrics is how long points are kept: twice the longest period of our alarms.
const keptMetrics = 48 * time.Hour

type dimension struct{ Name, Value string }

// MetricAlarm has the members of PutMetricAlarm that are simulated; the API's field
// names are CloudFormation's property names.
type MetricAlarm struct {
	AlarmName               string
	AlarmDescription        string
	Namespace               string
	MetricName              string
	Statistic               string
	Dimensions              []dimension
	Period                  int
	EvaluationPeriods       int
	DatapointsToAlarm       int
	Threshold               float64
	ComparisonOperator      string
	TreatMissingData        string
	Unit                    string
	ActionsEnabled          *bool
	AlarmActions            []string
	OKActions               []string
	InsufficientDataActions []string
	Tags                    kernel.TagList `json:",omitempty"`
	// Metrics are those of an expression, which is not computed: such an alarm has no data.
	Metrics []any `json:",omitempty"`
	alarmState
}

// alarmState is the state of an alarm.
type alarmState struct {
	state  string
	reason string
	since  time.Time
	// set is when SetAlarmState set it: the next assessment is a while after.
	set time.Time
}

// New puts the service into an account.
func New(k *kernel.Kernel, sqs *sqs.Service) *Service {
	s := &Service{Kernel: k, sqs: sqs, metrics: map[string][]point{}, Changed: func(string, string) {}}
	k.Register(&kernel.API{Name: "monitoring", Prefix: "GraniteServiceVersion20100801", Protocol: kernel.JSON10,
		Space: "com.amazonaws.cloudwatch", Ops: map[string]kernel.Operation{
			"PutMetricData":       kernel.Op(s.putMetricData),
			"GetMetricStatistics": kernel.Op(s.getMetricStatistics),
			"PutMetricAlarm":      kernel.Op(s.putMetricAlarm),
			"DescribeAlarms":      kernel.Op(s.describeAlarms),
			"DeleteAlarms":        kernel.Op(s.deleteAlarms),
			"SetAlarmState":       kernel.Op(s.setAlarmState),
			"ListTagsForResource": kernel.Op(s.listAlarmTags),
			"TagResource":         kernel.Op(s.tagAlarm),
			"UntagResource":       kernel.Op(s.untagAlarm),
		}})
	return s
}

func metricKey(namespace, name string, dimensions []dimension) string {
	d := slices.Clone(dimensions)
	slices.SortFunc(d, func(a, b dimension) int { return cmp.Compare(a.Name, b.Name) })
	return fmt.Sprint(namespace, "\x00", name, "\x00", d)
}

// kept returns how long the points of a metric are kept.
func kept(key string) time.Duration {
	if strings.HasPrefix(key, endpointMetrics) {
		return 15 * 24 * time.Hour
	}
	return keptMetrics
}

// endpointMetrics is the namespace of interface endpoints. Its points are kept by the hour.
const endpointMetrics = "AWS/PrivateLinkEndpoints"

// observe adds a value to a metric, count times.
func (s *Service) observe(key string, at time.Time, value, count float64) {
	points := s.metrics[key]
	minute := at.Truncate(time.Minute)
	i, found := slices.BinarySearchFunc(points, minute, func(p point, t time.Time) int { return p.minute.Compare(t) })
	if !found {
		points = slices.Insert(points, i, point{minute: minute, least: value, most: value})
	}
	p := &points[i]
	p.sum, p.count = p.sum+value*count, p.count+count
	p.least, p.most = min(p.least, value), max(p.most, value)
	old := s.Clock.Now().Add(-kept(key))
	s.metrics[key] = slices.DeleteFunc(points, func(p point) bool { return p.minute.Before(old) })
}

// Endpoint counts bytes that an interface endpoint has processed.
//
// Source: https://docs.aws.amazon.com/vpc/latest/privatelink/privatelink-cloudwatch-metrics.html
func (s *Service) Endpoint(service, id, vpc string, bytes float64) {
	s.observe(metricKey(endpointMetrics, "BytesProcessed", []dimension{
		{"Endpoint Type", "Interface"}, {"Service Name", service}, {"VPC Endpoint Id", id}, {"VPC Id", vpc},
	}), s.Clock.Now().Truncate(time.Hour), bytes, 1)
}

// ObserveLog extracts the metrics from a log line in the embedded metric format.
//
// Source:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func (s *Service) ObserveLog(line string) {
	if !strings.Contains(line, `"CloudWatchMetrics"`) {
		return
	}
	var values map[string]any
	var head struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if json.Unmarshal([]byte(line), &values) != nil || json.Unmarshal([]byte(line), &head) != nil {
		return
	}
	for _, block := range head.AWS.CloudWatchMetrics {
		for _, names := range block.Dimensions {
			var d []dimension
			for _, n := range names {
				d = append(d, dimension{n, fmt.Sprint(values[n])})
			}
			for _, m := range block.Metrics {
				many, ok := values[m.Name].([]any)
				if !ok {
					many = []any{values[m.Name]}
				}
				for _, v := range many {
					if n, ok := v.(float64); ok {
						s.observe(metricKey(block.Namespace, m.Name, d), time.UnixMilli(head.AWS.Timestamp), n, 1)
					}
				}
			}
		}
	}
}

// metricError is an error whose code has no "Exception" for older clients.
func metricError(code, format string, args ...any) *kernel.APIError {
	e := kernel.Errorf(code+"Exception", format, args...)
	e.QueryCode = code
	return e
}

func invalidMetric(format string, args ...any) *kernel.APIError {
	return metricError("InvalidParameterValue", format, args...)
}

func missingMetric(format string, args ...any) *kernel.APIError {
	e := kernel.Errorf("MissingRequiredParameterException", format, args...)
	e.QueryCode = "MissingParameter"
	return e
}

type statisticValues struct{ SampleCount, Sum, Minimum, Maximum float64 }

func (s *Service) putMetricData(_ *kernel.Call, in *struct {
	Namespace  string
	MetricData []struct {
		MetricName        string
		Dimensions        []dimension
		Timestamp         *float64
		Value             *float64
		Values, Counts    []float64
		Unit              string
		StorageResolution int
		StatisticValues   *statisticValues
	}
}) (*kernel.None, error) {
	if in.Namespace == "" || strings.HasPrefix(in.Namespace, "AWS/") {
		return nil, invalidMetric("The value AWS/ for parameter Namespace is invalid.")
	}
	if len(in.MetricData) > 1000 {
		return nil, invalidMetric("The collection MetricData must not have a size greater than 1000.")
	}
	for i, m := range in.MetricData {
		switch {
		case m.MetricName == "":
			return nil, missingMetric("The parameter MetricData.member.%d.MetricName is required.", i+1)
		case len(m.Dimensions) > 30:
			return nil, invalidMetric("The collection MetricData.member.%d.Dimensions must not have a size greater "+
				"than 30.", i+1)
		case m.Value == nil && m.StatisticValues == nil && len(m.Values) == 0:
			return nil, missingMetric("At least one of the parameters must be specified.")
		case len(m.Counts) > 0 && len(m.Counts) != len(m.Values):
			return nil, invalidMetric("The parameters MetricData.member.%d.Values and MetricData.member.%d.Counts "+
				"must be of the same size.", i+1, i+1)
		}
	}
	for _, m := range in.MetricData {
		at := s.Clock.Now()
		if m.Timestamp != nil {
			at = time.Unix(0, int64(*m.Timestamp*1e9))
		}
		key := metricKey(in.Namespace, m.MetricName, m.Dimensions)
		if m.Value != nil {
			s.observe(key, at, *m.Value, 1)
		}
		for i, v := range m.Values {
			count := 1.0
			if len(m.Counts) > 0 {
				count = m.Counts[i]
			}
			s.observe(key, at, v, count)
		}
		if m.StatisticValues != nil {
			s.observeAll(key, at, *m.StatisticValues)
		}
	}
	return &kernel.None{}, nil
}

// observeAll counts samples of which only the summary is known.
func (s *Service) observeAll(key string, at time.Time, v statisticValues) {
	if v.SampleCount > 0 {
		s.observe(key, at, v.Minimum, 1)
	}
	if v.SampleCount > 1 {
		s.observe(key, at, v.Maximum, 1)
	}
	if v.SampleCount > 2 {
		s.observe(key, at, (v.Sum-v.Minimum-v.Maximum)/(v.SampleCount-2), v.SampleCount-2)
	}
}

// points returns the points of a metric from from to to. SQS's own metrics are known
// only for now.
func (s *Service) points(namespace, name string, dimensions []dimension, from, to time.Time) []point {
	if namespace == "AWS/SQS" && name == "ApproximateNumberOfMessagesVisible" && len(dimensions) == 1 &&
		!to.Before(s.Clock.Now()) {
		for _, q := range s.sqs.Queues {
			if q.Name != dimensions[0].Value {
				continue
			}
			n := 0.0
			for _, m := range q.Messages {
				if !m.Visible.After(s.Clock.Now()) {
					n++
				}
			}
			return []point{{s.Clock.Now().Truncate(time.Minute), n, n, n, 1}}
		}
	}
	var out []point
	for _, p := range s.metrics[metricKey(namespace, name, dimensions)] {
		if !p.minute.Before(from) && p.minute.Before(to) {
			out = append(out, p)
		}
	}
	return out
}

// statistic sums up points; ok is false if there are none.
func statistic(name string, points []point) (value float64, ok bool) {
	if len(points) == 0 {
		return 0, false
	}
	all := points[0]
	for _, p := range points[1:] {
		all.sum, all.count = all.sum+p.sum, all.count+p.count
		all.least, all.most = min(all.least, p.least), max(all.most, p.most)
	}
	switch name {
	case "Minimum":
		return all.least, true
	case "Maximum":
		return all.most, true
	case "Average":
		return all.sum / all.count, true
	case "SampleCount":
		return all.count, true
	}
	return all.sum, true
}

type statisticsReply struct {
	Label      string
	Datapoints []map[string]any
}

func (s *Service) getMetricStatistics(_ *kernel.Call, in *struct {
	Namespace, MetricName, Unit    string
	Dimensions                     []dimension
	StartTime, EndTime             float64
	Period                         int
	Statistics, ExtendedStatistics []string
}) (*statisticsReply, error) {
	if in.Period < 60 || in.Period%60 != 0 {
		return nil, invalidMetric("The parameter Period must be a multiple of 60.")
	}
	if in.StartTime >= in.EndTime {
		return nil, metricError("InvalidParameterCombination",
			"The parameter StartTime must be less than the parameter EndTime.")
	}
	out := &statisticsReply{in.MetricName, []map[string]any{}}
	period := time.Duration(in.Period) * time.Second
	end := time.Unix(0, int64(in.EndTime*1e9))
	for at := time.Unix(0, int64(in.StartTime*1e9)).Truncate(period); at.Before(end); at = at.Add(period) {
		points := s.points(in.Namespace, in.MetricName, in.Dimensions, at, at.Add(period))
		if len(points) == 0 {
			continue
		}
		d := map[string]any{"Timestamp": kernel.Stamp{Time: at}, "Unit": cmp.Or(in.Unit, "None")}
		for _, name := range in.Statistics {
			d[name], _ = statistic(name, points)
		}
		out.Datapoints = append(out.Datapoints, d)
	}
	return out, nil
}

var comparisons = map[string]func(a, b float64) bool{
	"GreaterThanThreshold":          func(a, b float64) bool { return a > b },
	"GreaterThanOrEqualToThreshold": func(a, b float64) bool { return a >= b },
	"LessThanThreshold":             func(a, b float64) bool { return a < b },
	"LessThanOrEqualToThreshold":    func(a, b float64) bool { return a <= b },
}

// CheckAlarm rejects what PutMetricAlarm rejects.
func CheckAlarm(a *MetricAlarm) error {
	switch {
	case a.AlarmName == "":
		return kernel.Errorf("ValidationError",
			"1 validation error detected: Value null at 'alarmName' failed to satisfy constraint: Member must not "+
				"be null")
	case comparisons[a.ComparisonOperator] == nil:
		return kernel.Errorf("ValidationError",
			"1 validation error detected: Value '%s' at 'comparisonOperator' failed to satisfy constraint: Member "+
				"must satisfy enum value set", a.ComparisonOperator)
	case len(a.Metrics) > 0 && a.MetricName == "" && a.EvaluationPeriods > 0:
	case a.MetricName == "" || a.Namespace == "" || a.Period == 0 || a.EvaluationPeriods == 0:
		return kernel.Errorf("ValidationError", "MetricName, Namespace, Period and EvaluationPeriods must be specified")
	case a.Period != 10 && a.Period != 20 && a.Period != 30 && a.Period%60 != 0:
		return kernel.Errorf("ValidationError", "Period must be 10, 20, 30 or a multiple of 60")
	case a.Period*a.EvaluationPeriods > 7*86400 || a.Period < 3600 && a.Period*a.EvaluationPeriods > 86400:
		return kernel.Errorf("ValidationError",
			"Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).")
	case !slices.Contains([]string{"", "breaching", "notBreaching", "ignore", "missing"}, a.TreatMissingData):
		return kernel.Errorf("ValidationError", "The value %s for parameter TreatMissingData is not supported.",
			a.TreatMissingData)
	}
	return nil
}

func (s *Service) putMetricAlarm(_ *kernel.Call, in *MetricAlarm) (*kernel.None, error) {
	if err := CheckAlarm(in); err != nil {
		return nil, err
	}
	if s.alarm(in.AlarmName) == nil { // tags of an existing alarm are not changed
		s.TagResource(s.AlarmARN(in.AlarmName), in.Tags.ByKey())
	}
	s.AddAlarm(in)
	return &kernel.None{}, nil
}

// AddAlarm adds an alarm, replacing one of that name.
func (s *Service) AddAlarm(a *MetricAlarm) {
	a.state = "INSUFFICIENT_DATA"
	a.reason = "Unchecked: Initial alarm creation"
	a.since = s.Clock.Now()
	if old := s.alarm(a.AlarmName); old != nil {
		a.state = old.state
		a.reason = old.reason
		a.since = old.since
		s.RemoveAlarm(a.AlarmName)
	}
	s.alarms = append(s.alarms, a)
}

func (s *Service) alarm(name string) *MetricAlarm {
	return kernel.Find(s.alarms, func(a *MetricAlarm) bool { return a.AlarmName == name })
}

// AlarmARN returns the ARN of an alarm by its name.
func (s *Service) AlarmARN(name string) string { return s.ARN("cloudwatch", "alarm:"+name) }

// RemoveAlarm deletes an alarm by its name.
func (s *Service) RemoveAlarm(name string) {
	delete(s.Tags, s.AlarmARN(name))
	s.alarms = slices.DeleteFunc(s.alarms, func(a *MetricAlarm) bool { return a.AlarmName == name })
}

func (s *Service) deleteAlarms(_ *kernel.Call, in *struct{ AlarmNames []string }) (*kernel.None, error) {
	for _, name := range in.AlarmNames {
		s.RemoveAlarm(name)
	}
	return &kernel.None{}, nil
}

// setFor is how long a state that was set lasts. An alarm without data keeps it for longer
// than a period.
const setFor = 7 * time.Minute

// State returns the state of an alarm by name; "" if there is none.
func (s *Service) State(name string) string {
	a := kernel.Find(s.alarms, func(a *MetricAlarm) bool { return a.AlarmName == name })
	if a == nil {
		return ""
	}
	s.assess(a)
	return a.state
}

func (s *Service) setAlarmState(_ *kernel.Call, in *struct {
	AlarmName, StateValue, StateReason, StateReasonData string
}) (*kernel.None, error) {
	a := kernel.Find(s.alarms, func(a *MetricAlarm) bool { return a.AlarmName == in.AlarmName })
	if a == nil {
		return nil, kernel.Errorf("ResourceNotFound", "Unknown")
	}
	before, now := a.state, s.Clock.Now()
	a.state, a.reason = in.StateValue, in.StateReason
	a.since, a.set = now, now
	state := func(value string) map[string]any {
		return map[string]any{"value": value, "reason": in.StateReason, "timestamp": now.UTC().Format(time.RFC3339)}
	}
	s.Emit("aws.cloudwatch", "CloudWatch Alarm State Change", []string{s.AlarmARN(a.AlarmName)}, map[string]any{
		"alarmName": a.AlarmName, "state": state(a.state), "previousState": state(before),
	})
	s.Changed(a.AlarmName, a.state)
	return &kernel.None{}, nil
}

// assess computes the current state of an alarm.
func (s *Service) assess(a *MetricAlarm) {
	now := s.Clock.Now()
	if !a.set.IsZero() && now.Sub(a.set) < setFor {
		return
	}
	if len(a.Metrics) > 0 {
		a.state = "INSUFFICIENT_DATA"
		if a.TreatMissingData == "notBreaching" {
			a.state = "OK"
		}
		return
	}
	period := time.Duration(a.Period) * time.Second
	end := now.Truncate(time.Minute).Add(time.Minute)
	breaching, missing := 0, 0
	var said []string
	for i := range a.EvaluationPeriods {
		to := end.Add(-time.Duration(i) * period)
		value, ok := statistic(a.Statistic, s.points(a.Namespace, a.MetricName, a.Dimensions, to.Add(-period), to))
		switch {
		case ok:
			said = append(said, strconv.FormatFloat(value, 'f', 1, 64))
			if comparisons[a.ComparisonOperator](value, a.Threshold) {
				breaching++
			}
		case a.TreatMissingData == "breaching":
			breaching++
		case a.TreatMissingData != "notBreaching":
			missing++
		}
	}
	state := "OK"
	switch {
	case breaching >= cmp.Or(a.DatapointsToAlarm, a.EvaluationPeriods):
		state = "ALARM"
	case missing == a.EvaluationPeriods && a.TreatMissingData == "ignore":
		return
	case missing == a.EvaluationPeriods:
		state = "INSUFFICIENT_DATA"
	}
	if state != a.state {
		a.state, a.since = state, now
	}
	a.reason = fmt.Sprintf("Threshold Crossed: %d datapoints [%s] compared with the threshold (%.1f).", len(said),
		strings.Join(said, ", "), a.Threshold)
	if len(said) == 0 {
		a.reason = "Insufficient Data: no datapoints were received."
	}
}

func (s *Service) describeAlarms(_ *kernel.Call, in *struct {
	AlarmNames, AlarmTypes                    []string
	AlarmNamePrefix, StateValue, ActionPrefix string
	ChildrenOfAlarmName, ParentsOfAlarmName   string
	NextToken                                 string
	MaxRecords                                int
}) (*struct {
	MetricAlarms    []map[string]any
	CompositeAlarms []map[string]any
}, error) {
	out := &struct {
		MetricAlarms    []map[string]any
		CompositeAlarms []map[string]any
	}{[]map[string]any{}, []map[string]any{}}
	for _, a := range s.alarms {
		s.assess(a)
		if len(in.AlarmNames) > 0 && !slices.Contains(in.AlarmNames, a.AlarmName) ||
			!strings.HasPrefix(a.AlarmName, in.AlarmNamePrefix) || in.StateValue != "" && in.StateValue != a.state {
			continue
		}
		x := map[string]any{
			"AlarmName": a.AlarmName, "AlarmArn": s.AlarmARN(a.AlarmName), "AlarmDescription": a.AlarmDescription,
			"Namespace": a.Namespace, "MetricName": a.MetricName,
			"Statistic": a.Statistic, "Dimensions": append([]dimension{}, a.Dimensions...), "Period": a.Period,
			"EvaluationPeriods": a.EvaluationPeriods, "Threshold": a.Threshold,
			"ComparisonOperator": a.ComparisonOperator, "ActionsEnabled": a.ActionsEnabled == nil || *a.ActionsEnabled,
			"AlarmActions":            append([]string{}, a.AlarmActions...),
			"OKActions":               append([]string{}, a.OKActions...),
			"InsufficientDataActions": append([]string{}, a.InsufficientDataActions...),
			"StateValue":              a.state, "StateReason": a.reason,
			"StateUpdatedTimestamp": kernel.Stamp{Time: a.since},
		}
		if len(a.Metrics) > 0 {
			x["Metrics"] = a.Metrics
			delete(x, "MetricName")
			delete(x, "Namespace")
			delete(x, "Statistic")
			delete(x, "Period")
		}
		if a.TreatMissingData != "" {
			x["TreatMissingData"] = a.TreatMissingData
		}
		if a.DatapointsToAlarm > 0 {
			x["DatapointsToAlarm"] = a.DatapointsToAlarm
		}
		out.MetricAlarms = append(out.MetricAlarms, x)
	}
	return out, nil
}

// PlainNumbers turns the strings that CloudFormation accepts as numbers into
// numbers.
func PlainNumbers(properties map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range properties {
		if text, ok := v.(string); ok &&
			slices.Contains([]string{"Period", "EvaluationPeriods", "DatapointsToAlarm", "Threshold"}, k) {
			if n, err := strconv.ParseFloat(text, 64); err == nil {
				v = n
			}
		}
		out[k] = v
	}
	return out
}
