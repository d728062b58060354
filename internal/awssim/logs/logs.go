// Package logs simulates CloudWatch Logs.
package logs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated CloudWatch Logs.
type Service struct {
	*kernel.Kernel

	Groups []*LogGroup
}

// LogGroup is a log group with its streams.
type LogGroup struct {
	Name    string
	created time.Time
	days    int // retention of events; 0 for ever
	streams map[string][]logEvent
}

type logEvent struct {
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
}

// maxLogEvents bounds the events of a stream.
const maxLogEvents = 20000

// Write adds a line to a stream.
func (g *LogGroup) Write(stream, line string, at time.Time) {
	g.streams[stream] = append(g.streams[stream], logEvent{at.UnixMilli(), line, at.UnixMilli()})
	if n := len(g.streams[stream]); n > maxLogEvents {
		g.streams[stream] = g.streams[stream][n-maxLogEvents/2:]
	}
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k}
	k.Register(&kernel.API{Name: "logs", Asks: s.logQuestions, Endpoint: "logs", Prefix: "Logs_20140328",
		Protocol: kernel.JSON11,
		Ops: map[string]kernel.Operation{
			"CreateLogGroup":     kernel.Op(s.createLogGroup),
			"DescribeLogGroups":  kernel.Op(s.describeLogGroups),
			"DeleteLogGroup":     kernel.Op(s.deleteLogGroup),
			"DescribeLogStreams": kernel.Op(s.describeLogStreams),
			"GetLogEvents":       kernel.Op(s.getLogEvents),
			"FilterLogEvents":    kernel.Op(s.filterLogEvents),

			"PutRetentionPolicy":    kernel.Op(s.putRetention),
			"DeleteRetentionPolicy": kernel.Op(s.deleteRetention),
			"ListTagsForResource":   kernel.Op(s.listLogTags),
			"TagResource":           kernel.Op(s.tagLogs),
			"UntagResource":         kernel.Op(s.untagLogs),
		}})
	return s
}

// LogGroup finds a log group by name, or nil.
func (s *Service) LogGroup(name string) *LogGroup {
	return kernel.Find(s.Groups, func(g *LogGroup) bool { return g.Name == name })
}

// AddLogGroup returns the log group of that name, and adds it if there is none.
func (s *Service) AddLogGroup(name string) *LogGroup {
	if g := s.LogGroup(name); g != nil {
		return g
	}
	g := &LogGroup{Name: name, created: s.Clock.Now(), streams: map[string][]logEvent{}}
	s.Groups = append(s.Groups, g)
	return g
}

var noLogGroup = kernel.Errorf("ResourceNotFoundException", "The specified log group does not exist.")

func (s *Service) createLogGroup(_ *kernel.Call, in *struct {
	LogGroupName, KmsKeyId, LogGroupClass string
	Tags                                  map[string]string
}) (*kernel.None, error) {
	if s.LogGroup(in.LogGroupName) != nil {
		return nil, kernel.Errorf("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	s.TagResource(s.logGroupARN(s.AddLogGroup(in.LogGroupName)), in.Tags)
	return &kernel.None{}, nil
}

// retentions are the days for which CloudWatch Logs keeps events.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
var retentions = []int{
	1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
}

func (s *Service) putRetention(_ *kernel.Call, in *struct {
	LogGroupName    string
	RetentionInDays int
}) (*kernel.None, error) {
	g := s.LogGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	if !slices.Contains(retentions, in.RetentionInDays) {
		return nil, kernel.Errorf("InvalidParameterException",
			"1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must "+
				"satisfy enum value set", in.RetentionInDays)
	}
	g.days = in.RetentionInDays
	return &kernel.None{}, nil
}

func (s *Service) deleteRetention(_ *kernel.Call, in *struct{ LogGroupName string }) (*kernel.None, error) {
	g := s.LogGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	g.days = 0
	return &kernel.None{}, nil
}

type logGroupJSON struct {
	LogGroupName      string `json:"logGroupName"`
	CreationTime      int64  `json:"creationTime"`
	MetricFilterCount int    `json:"metricFilterCount"`
	Arn               string `json:"arn"`
	StoredBytes       int64  `json:"storedBytes"`
	Days              int    `json:"retentionInDays,omitempty"`
	LogGroupArn       string `json:"logGroupArn"`
	Class             string `json:"logGroupClass"`
}

func (s *Service) describeLogGroups(_ *kernel.Call, in *struct {
	LogGroupNamePrefix, NextToken string
	Limit                         int
}) (*struct {
	LogGroups []logGroupJSON `json:"logGroups"`
}, error) {
	out := &struct {
		LogGroups []logGroupJSON `json:"logGroups"`
	}{[]logGroupJSON{}}
	for _, g := range s.Groups {
		if strings.HasPrefix(g.Name, in.LogGroupNamePrefix) {
			out.LogGroups = append(out.LogGroups, logGroupJSON{
				g.Name, g.created.UnixMilli(), 0, s.logGroupARN(g) + ":*", 0, g.days, s.logGroupARN(g), "STANDARD",
			})
		}
	}
	return out, nil
}

func (s *Service) deleteLogGroup(_ *kernel.Call, in *struct{ LogGroupName string }) (*kernel.None, error) {
	if s.LogGroup(in.LogGroupName) == nil {
		return nil, noLogGroup
	}
	delete(s.Tags, s.ARN("logs", "log-group:"+in.LogGroupName))
	s.Groups = slices.DeleteFunc(s.Groups, func(g *LogGroup) bool { return g.Name == in.LogGroupName })
	return &kernel.None{}, nil
}

type logStreamJSON struct {
	LogStreamName string `json:"logStreamName"`
	CreationTime  int64  `json:"creationTime"`
	Arn           string `json:"arn"`
	StoredBytes   int64  `json:"storedBytes"`
}

func (s *Service) describeLogStreams(_ *kernel.Call, in *struct {
	LogGroupName, LogStreamNamePrefix, OrderBy, NextToken string
	Descending                                            bool
	Limit                                                 int
}) (*struct {
	LogStreams []logStreamJSON `json:"logStreams"`
}, error) {
	g := s.LogGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	out := &struct {
		LogStreams []logStreamJSON `json:"logStreams"`
	}{[]logStreamJSON{}}
	for _, name := range kernel.SortedKeys(g.streams) {
		if strings.HasPrefix(name, in.LogStreamNamePrefix) {
			out.LogStreams = append(out.LogStreams, logStreamJSON{
				name, g.streams[name][0].Timestamp, s.ARN("logs", "log-group:"+g.Name+":log-stream:"+name), 0,
			})
		}
	}
	return out, nil
}

func (s *Service) getLogEvents(_ *kernel.Call, in *struct {
	LogGroupName, LogStreamName, NextToken string
	StartTime, EndTime                     int64
	Limit                                  int
	StartFromHead                          bool
}) (*struct {
	Events            []logEvent `json:"events"`
	NextForwardToken  string     `json:"nextForwardToken"`
	NextBackwardToken string     `json:"nextBackwardToken"`
}, error) {
	g := s.LogGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	events, ok := g.streams[in.LogStreamName]
	if !ok {
		return nil, kernel.Errorf("ResourceNotFoundException", "The specified log stream does not exist.")
	}
	start := 0
	_, _ = fmt.Sscanf(in.NextToken, "f/%d", &start) // empty on the first page
	start = min(start, len(events))
	return &struct {
		Events            []logEvent `json:"events"`
		NextForwardToken  string     `json:"nextForwardToken"`
		NextBackwardToken string     `json:"nextBackwardToken"`
	}{append([]logEvent{}, events[start:]...), fmt.Sprintf("f/%d", len(events)), fmt.Sprintf("b/%d", start)}, nil
}

type filteredEvent struct {
	LogStreamName string `json:"logStreamName"`
	logEvent
	EventID string `json:"eventId"`
}

func (s *Service) filterLogEvents(_ *kernel.Call, in *struct {
	LogGroupName, FilterPattern, LogStreamNamePrefix, NextToken string
	LogStreamNames                                              []string
	StartTime, EndTime                                          int64
	Limit                                                       int
	Interleaved                                                 bool
}) (*struct {
	Events []filteredEvent `json:"events"`
}, error) {
	g := s.LogGroup(in.LogGroupName)
	if g == nil {
		return nil, noLogGroup
	}
	out := &struct {
		Events []filteredEvent `json:"events"`
	}{[]filteredEvent{}}
	for _, name := range kernel.SortedKeys(g.streams) {
		if !strings.HasPrefix(name, in.LogStreamNamePrefix) ||
			len(in.LogStreamNames) > 0 && !slices.Contains(in.LogStreamNames, name) {
			continue
		}
		for i, e := range g.streams[name] {
			if e.Timestamp >= in.StartTime && (in.EndTime == 0 || e.Timestamp <= in.EndTime) &&
				strings.Contains(e.Message, strings.Trim(in.FilterPattern, `"`)) {
				out.Events = append(out.Events, filteredEvent{name, e, fmt.Sprintf("%s%08d", s.Digest(name, 48), i)})
			}
		}
	}
	slices.SortStableFunc(out.Events, func(a, b filteredEvent) int { return int(a.Timestamp - b.Timestamp) })
	return out, nil
}

// logQuestions returns the IAM questions of a call to CloudWatch Logs: on the stream that it
// reads.
func (s *Service) logQuestions(c *kernel.Call) []kernel.Question {
	resource := "*"
	if c.Action == "GetLogEvents" {
		resource = s.ARN("logs", "log-group:"+c.Field("logGroupName")+":log-stream:"+c.Field("logStreamName"))
	}
	return []kernel.Question{kernel.May(c.Permission(), resource)}
}
