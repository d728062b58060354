// Package eventbridge simulates EventBridge: the default bus, rules and their targets.
package eventbridge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/lambda"
	"drawbridge/internal/awssim/sqs"
	"drawbridge/internal/eventpattern"
	times "drawbridge/internal/schedule"
)

// Service is the simulated EventBridge.
type Service struct {
	*kernel.Kernel
	lambda *lambda.Service
	sqs    *sqs.Service

	Rules []*Rule
}

// Rule is a rule of the default bus, with its targets.
type Rule struct {
	Name, Pattern, Schedule, Description, State, role string
	Compiled                                          *eventpattern.Pattern
	Targets                                           []RuleTarget
	Next                                              *kernel.Due
}

// RuleTarget is one target of a rule.
type RuleTarget struct {
	ID               string `json:"Id"`
	Arn              string
	RoleArn          string            `json:",omitempty"`
	Input            string            `json:",omitempty"`
	InputPath        string            `json:",omitempty"`
	InputTransformer *json.RawMessage  `json:",omitempty"`
	DeadLetterConfig map[string]string `json:",omitempty"`
	RetryPolicy      map[string]int    `json:",omitempty"`
	SqsParameters    map[string]string `json:",omitempty"`
}

// New puts the service into an account.
func New(k *kernel.Kernel, lambda *lambda.Service, sqs *sqs.Service) *Service {
	s := &Service{Kernel: k, lambda: lambda, sqs: sqs}
	s.Bus = s.Emit
	k.Register(&kernel.API{Name: "events", Prefix: "AWSEvents", Protocol: kernel.JSON11, Asks: s.questions,
		Ops: map[string]kernel.Operation{
			"PutRule":           kernel.Op(s.putRule),
			"DescribeRule":      kernel.Op(s.describeRule),
			"ListRules":         kernel.Op(s.listRules),
			"DeleteRule":        kernel.Op(s.deleteRule),
			"PutTargets":        kernel.Op(s.putTargets),
			"RemoveTargets":     kernel.Op(s.removeTargets),
			"ListTargetsByRule": kernel.Op(s.listTargets),
			"PutEvents":         kernel.Op(s.putEvents),
		}})
	return s
}

// Rule finds a rule by name, or nil.
func (s *Service) Rule(name string) *Rule {
	return kernel.Find(s.Rules, func(r *Rule) bool { return r.Name == name })
}

// RuleARN returns the ARN of a rule by its name.
func (s *Service) RuleARN(name string) string { return s.ARN("events", "rule/"+name) }

func (s *Service) putRule(_ *kernel.Call, in *struct {
	Name, EventPattern, ScheduleExpression, State, Description, RoleArn, EventBusName string
	Tags                                                                              []kernel.Tag
}) (*struct{ RuleArn string }, error) {
	if in.EventBusName != "" && in.EventBusName != "default" {
		return nil, kernel.Errorf("ResourceNotFoundException", "Event bus %s does not exist.", in.EventBusName)
	}
	if in.EventPattern == "" && in.ScheduleExpression == "" {
		return nil, kernel.Errorf("ValidationException",
			"Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	r := &Rule{
		Name: in.Name, Pattern: in.EventPattern, Schedule: in.ScheduleExpression, Description: in.Description,
		State: in.State, role: in.RoleArn,
	}
	if r.State == "" {
		r.State = "ENABLED"
	}
	if in.EventPattern != "" {
		var err error
		if r.Compiled, err = eventpattern.Compile([]byte(in.EventPattern)); err != nil {
			return nil, kernel.Errorf("InvalidEventPatternException", "Event pattern is not valid. Reason: %v", err)
		}
	}
	if in.ScheduleExpression != "" {
		if err := RuleSchedule(in.ScheduleExpression); err != nil {
			return nil, err
		}
	}
	if old := s.Rule(in.Name); old != nil {
		s.Clock.Cancel(old.Next)
		r.Targets = old.Targets
		*old = *r
		r = old
	} else {
		s.Rules = append(s.Rules, r)
	}
	s.PlanRule(r)
	return &struct{ RuleArn string }{s.RuleARN(in.Name)}, nil
}

// RuleSchedule rejects an invalid schedule expression: rules support rate and cron,
// in UTC.
func RuleSchedule(expression string) error {
	if _, err := parseRate(expression); err == nil {
		return nil
	}
	if _, err := times.Parse(expression, "UTC"); err != nil || !strings.HasPrefix(expression, "cron(") {
		return kernel.Errorf("ValidationException", "Parameter ScheduleExpression is not valid.")
	}
	return nil
}

// DueIn returns the time until a valid expression is next due: a rate counts from
// now, cron by the clock.
func (s *Service) DueIn(expression, zone string) (time.Duration, bool) {
	if every, err := parseRate(expression); err == nil {
		return every, true
	}
	expected, err := times.Parse(expression, zone)
	if err != nil {
		return 0, false
	}
	now := s.Clock.Now()
	next := expected.Next(now)
	return next.Sub(now), next.After(now)
}

// parseRate reads rate(N unit).
func parseRate(expression string) (time.Duration, error) {
	inner, ok := strings.CutPrefix(expression, "rate(")
	inner, closed := strings.CutSuffix(inner, ")")
	var n int
	var unit string
	if _, err := fmt.Sscanf(inner, "%d %s", &n, &unit); !ok || !closed || err != nil || n < 1 {
		return 0, fmt.Errorf("not a rate: %s", expression)
	}
	if (n == 1) == strings.HasSuffix(unit, "s") {
		return 0, fmt.Errorf("not a rate: %s", expression)
	}
	switch strings.TrimSuffix(unit, "s") {
	case "minute":
		return time.Duration(n) * time.Minute, nil
	case "hour":
		return time.Duration(n) * time.Hour, nil
	case "day":
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return 0, fmt.Errorf("not a rate: %s", expression)
}

// PlanRule plans the next firing of a scheduled rule.
func (s *Service) PlanRule(r *Rule) {
	if r.Schedule == "" || r.State != "ENABLED" {
		return
	}
	wait, ok := s.DueIn(r.Schedule, "UTC")
	if !ok {
		return // never again
	}
	r.Next = s.Clock.After(wait, func() {
		s.fire(r, s.newEvent("aws.events", "Scheduled Event", []string{s.RuleARN(r.Name)}, map[string]any{}))
		s.PlanRule(r)
	})
}

func (s *Service) describeRule(_ *kernel.Call, in *struct{ Name, EventBusName string }) (*ruleJSON, error) {
	r := s.Rule(in.Name)
	if r == nil {
		return nil, kernel.Errorf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", in.Name)
	}
	j := s.ruleJSON(r)
	return &j, nil
}

type ruleJSON struct {
	Name               string
	Arn                string
	EventPattern       string `json:",omitempty"`
	ScheduleExpression string `json:",omitempty"`
	State              string
	Description        string `json:",omitempty"`
	RoleArn            string `json:",omitempty"`
	EventBusName       string
}

func (s *Service) ruleJSON(r *Rule) ruleJSON {
	return ruleJSON{r.Name, s.RuleARN(r.Name), r.Pattern, r.Schedule, r.State, r.Description, r.role, "default"}
}

func (s *Service) listRules(_ *kernel.Call, in *struct {
	NamePrefix, EventBusName, NextToken string
	Limit                               int
}) (*struct{ Rules []ruleJSON }, error) {
	out := &struct{ Rules []ruleJSON }{[]ruleJSON{}}
	for _, r := range s.Rules {
		if strings.HasPrefix(r.Name, in.NamePrefix) {
			out.Rules = append(out.Rules, s.ruleJSON(r))
		}
	}
	return out, nil
}

func (s *Service) deleteRule(_ *kernel.Call, in *struct {
	Name, EventBusName string
	Force              bool
}) (*kernel.None, error) {
	r := s.Rule(in.Name)
	if r == nil {
		return &kernel.None{}, nil
	}
	if len(r.Targets) > 0 {
		return nil, kernel.Errorf("ValidationException", "Rule can't be deleted since it has targets.")
	}
	s.Clock.Cancel(r.Next)
	s.Rules = slices.DeleteFunc(s.Rules, func(x *Rule) bool { return x == r })
	return &kernel.None{}, nil
}

type failedTargets struct {
	FailedEntryCount int
	FailedEntries    []struct{}
}

func (s *Service) putTargets(_ *kernel.Call, in *struct {
	Rule, EventBusName string
	Targets            []RuleTarget
}) (*failedTargets, error) {
	r := s.Rule(in.Rule)
	if r == nil {
		return nil, kernel.Errorf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", in.Rule)
	}
	for _, t := range in.Targets {
		if t.InputTransformer != nil || t.InputPath != "" {
			return nil, kernel.Errorf("ValidationException",
				"the sandbox does not simulate input transformers of targets")
		}
		r.Targets = append(slices.DeleteFunc(r.Targets, func(o RuleTarget) bool { return o.ID == t.ID }), t)
	}
	return &failedTargets{0, []struct{}{}}, nil
}

func (s *Service) removeTargets(_ *kernel.Call, in *struct {
	Rule, EventBusName string
	Ids                []string
	Force              bool
}) (*failedTargets, error) {
	r := s.Rule(in.Rule)
	if r == nil {
		return nil, kernel.Errorf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", in.Rule)
	}
	r.Targets = slices.DeleteFunc(r.Targets, func(o RuleTarget) bool { return slices.Contains(in.Ids, o.ID) })
	return &failedTargets{0, []struct{}{}}, nil
}

func (s *Service) listTargets(_ *kernel.Call, in *struct {
	Rule, EventBusName, NextToken string
	Limit                         int
}) (*struct{ Targets []RuleTarget }, error) {
	r := s.Rule(in.Rule)
	if r == nil {
		return nil, kernel.Errorf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", in.Rule)
	}
	return &struct{ Targets []RuleTarget }{append([]RuleTarget{}, r.Targets...)}, nil
}

// questions asks for each event that is put by its bus, its source and its detail type.
//
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
func (s *Service) questions(c *kernel.Call) (out []kernel.Question) {
	var in struct{ Entries []putEntry }
	if c.Action != "PutEvents" || json.Unmarshal(c.Body, &in) != nil {
		return []kernel.Question{kernel.May(c.Permission(), "*")}
	}
	for _, e := range in.Entries {
		bus := s.ARN("events", "event-bus/"+cmp.Or(e.EventBusName, "default"))
		out = append(out, kernel.May("events:PutEvents", bus, "events:source", []string{e.Source}, "events:detail-type",
			e.DetailType))
	}
	return out
}

type putEntry struct {
	Time                                                  *float64
	Source, DetailType, Detail, EventBusName, TraceHeader string
	Resources                                             []string
}

type putResult struct {
	EventID      string `json:"EventId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

// maxEvents is the size limit of a PutEvents request, in bytes.
const maxEvents = 1 << 20

func (s *Service) putEvents(c *kernel.Call, in *struct {
	Entries    []putEntry
	EndpointID string `json:"EndpointId"`
}) (*struct {
	FailedEntryCount int
	Entries          []putResult
}, error) {
	if len(in.Entries) == 0 || len(in.Entries) > 10 {
		return nil, kernel.Errorf("ValidationException",
			"%d validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length "+
				"less than or equal to 10", 1)
	}
	if len(c.Body) > maxEvents {
		return nil, kernel.Errorf("ValidationException", "Total size of the entries in the request is over the limit.")
	}
	out := &struct {
		FailedEntryCount int
		Entries          []putResult
	}{}
	for _, e := range in.Entries {
		r := s.putEvent(e)
		if r.ErrorCode != "" {
			out.FailedEntryCount++
		}
		out.Entries = append(out.Entries, r)
	}
	return out, nil
}

func (s *Service) putEvent(e putEntry) putResult {
	for _, p := range []struct{ name, value string }{
		{"Source", e.Source}, {"DetailType", e.DetailType}, {"Detail", e.Detail},
	} {
		if p.value == "" {
			return putResult{
				ErrorCode: "InvalidArgument",
				ErrorMessage: fmt.Sprintf("Parameter %s is not valid. Reason: %s is a required argument.", p.name,
					p.name),
			}
		}
	}
	if strings.HasPrefix(e.Source, "aws.") {
		return putResult{ErrorCode: "NotAuthorizedForSourceException", ErrorMessage: "Not authorized for the source."}
	}
	var detail map[string]any
	if json.Unmarshal([]byte(e.Detail), &detail) != nil {
		return putResult{ErrorCode: "MalformedDetail", ErrorMessage: "Detail is malformed."}
	}
	return putResult{EventID: s.Emit(e.Source, e.DetailType, e.Resources, detail)}
}

// busEvent is an event as EventBridge delivers it to targets.
type busEvent struct {
	Version    string         `json:"version"`
	ID         string         `json:"id"`
	DetailType string         `json:"detail-type"`
	Source     string         `json:"source"`
	Account    string         `json:"account"`
	Time       string         `json:"time"`
	Region     string         `json:"region"`
	Resources  []string       `json:"resources"`
	Detail     map[string]any `json:"detail"`
}

func (s *Service) newEvent(source, detailType string, resources []string, detail map[string]any) busEvent {
	if resources == nil {
		resources = []string{}
	}
	return busEvent{
		"0", s.UUID("event"), detailType, source, s.Options.Account, s.Clock.Now().UTC().Format("2006-01-02T15:04:05Z"),
		s.Options.Region, resources, detail,
	}
}

// Emit puts an event on the default bus and returns its id. The lock is held.
func (s *Service) Emit(source, detailType string, resources []string, detail map[string]any) string {
	e := s.newEvent(source, detailType, resources, detail)
	body, err := json.Marshal(e)
	if err != nil {
		return ""
	}
	for _, r := range s.Rules {
		if r.Compiled != nil && r.State == "ENABLED" && r.Compiled.Match(body) {
			s.fire(r, e)
		}
	}
	return e.ID
}

// eventTakes is how long EventBridge takes to reach a target.
const eventTakes = 500 * time.Millisecond

// fire delivers an event to a rule's targets.
func (s *Service) fire(r *Rule, e busEvent) {
	for _, t := range r.Targets {
		body, err := json.Marshal(e)
		if err != nil {
			continue
		}
		if t.Input != "" {
			body = []byte(t.Input)
		}
		s.Deliver(eventTakes, true, func() { s.Target(t.Arn, body) })
	}
}

// Target delivers a payload to a Lambda function or a queue by ARN.
func (s *Service) Target(arn string, body []byte) {
	if strings.Contains(arn, ":lambda:") {
		if f := s.lambda.Function(arn); f != nil {
			s.lambda.InvokeAsync(f, body)
		}
		return
	}
	if q := kernel.Find(s.sqs.Queues, func(q *sqs.Queue) bool { return q.ARN(s.sqs) == arn }); q != nil {
		s.sqs.Enqueue(q, string(body), nil, 0)
	}
}
