package awssim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/eventpattern"
	times "drawbridge/internal/schedule"
)

type eventsState struct {
	rules []*rule
}

type rule struct {
	name, pattern, schedule, description, state, role string
	compiled                                          *eventpattern.Pattern
	targets                                           []ruleTarget
	next                                              *event
}

type ruleTarget struct {
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

func (s *Sim) newEvents() *service {
	s.events = &eventsState{}
	s.bus = s.emit
	return &service{name: "events", prefix: "AWSEvents", protocol: json11, ops: map[string]operation{
		"PutRule":           op(s.putRule),
		"DescribeRule":      op(s.describeRule),
		"ListRules":         op(s.listRules),
		"DeleteRule":        op(s.deleteRule),
		"PutTargets":        op(s.putTargets),
		"RemoveTargets":     op(s.removeTargets),
		"ListTargetsByRule": op(s.listTargets),
		"PutEvents":         op(s.putEvents),
	}}
}

func (s *Sim) rule(name string) *rule {
	return find(s.events.rules, func(r *rule) bool { return r.name == name })
}

func (s *Sim) ruleARN(name string) string { return s.arn("events", "rule/"+name) }

func (s *Sim) putRule(_ *call, in *struct {
	Name, EventPattern, ScheduleExpression, State, Description, RoleArn, EventBusName string
	Tags                                                                              []cfnTag
}) (*struct{ RuleArn string }, error) {
	if in.EventBusName != "" && in.EventBusName != "default" {
		return nil, errf("ResourceNotFoundException", "Event bus %s does not exist.", in.EventBusName)
	}
	if in.EventPattern == "" && in.ScheduleExpression == "" {
		return nil, errf("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	r := &rule{name: in.Name, pattern: in.EventPattern, schedule: in.ScheduleExpression, description: in.Description, state: in.State, role: in.RoleArn}
	if r.state == "" {
		r.state = "ENABLED"
	}
	if in.EventPattern != "" {
		var err error
		if r.compiled, err = eventpattern.Compile([]byte(in.EventPattern)); err != nil {
			return nil, errf("InvalidEventPatternException", "Event pattern is not valid. Reason: %v", err)
		}
	}
	if in.ScheduleExpression != "" {
		if err := ruleSchedule(in.ScheduleExpression); err != nil {
			return nil, err
		}
	}
	if old := s.rule(in.Name); old != nil {
		s.clock.cancel(old.next)
		r.targets = old.targets
		*old = *r
		r = old
	} else {
		s.events.rules = append(s.events.rules, r)
	}
	s.planRule(r)
	return &struct{ RuleArn string }{s.ruleARN(in.Name)}, nil
}

// ruleSchedule refuses what a rule cannot be scheduled by: it knows rate and cron, in
// UTC.
func ruleSchedule(expression string) error {
	if _, err := parseRate(expression); err == nil {
		return nil
	}
	if _, err := times.Parse(expression, "UTC"); err != nil || !strings.HasPrefix(expression, "cron(") {
		return errf("ValidationException", "Parameter ScheduleExpression is not valid.")
	}
	return nil
}

// dueIn returns how long from now an expression is due next, that was checked: a rate
// counts from now, cron by the clock.
func (s *Sim) dueIn(expression, zone string) (time.Duration, bool) {
	if every, err := parseRate(expression); err == nil {
		return every, true
	}
	expected, err := times.Parse(expression, zone)
	if err != nil {
		return 0, false
	}
	now := s.clock.time()
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

// planRule plans the next firing of a scheduled rule.
func (s *Sim) planRule(r *rule) {
	if r.schedule == "" || r.state != "ENABLED" {
		return
	}
	wait, ok := s.dueIn(r.schedule, "UTC")
	if !ok {
		return // never again
	}
	r.next = s.clock.after(wait, func() {
		s.fire(r, s.newEvent("aws.events", "Scheduled Event", []string{s.ruleARN(r.name)}, map[string]any{}))
		s.planRule(r)
	})
}

func (s *Sim) describeRule(_ *call, in *struct{ Name, EventBusName string }) (*ruleJSON, error) {
	r := s.rule(in.Name)
	if r == nil {
		return nil, errf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", in.Name)
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

func (s *Sim) ruleJSON(r *rule) ruleJSON {
	return ruleJSON{r.name, s.ruleARN(r.name), r.pattern, r.schedule, r.state, r.description, r.role, "default"}
}

func (s *Sim) listRules(_ *call, in *struct {
	NamePrefix, EventBusName, NextToken string
	Limit                               int
}) (*struct{ Rules []ruleJSON }, error) {
	out := &struct{ Rules []ruleJSON }{[]ruleJSON{}}
	for _, r := range s.events.rules {
		if strings.HasPrefix(r.name, in.NamePrefix) {
			out.Rules = append(out.Rules, s.ruleJSON(r))
		}
	}
	return out, nil
}

func (s *Sim) deleteRule(_ *call, in *struct {
	Name, EventBusName string
	Force              bool
}) (*none, error) {
	r := s.rule(in.Name)
	if r == nil {
		return &none{}, nil
	}
	if len(r.targets) > 0 {
		return nil, errf("ValidationException", "Rule can't be deleted since it has targets.")
	}
	s.clock.cancel(r.next)
	s.events.rules = slices.DeleteFunc(s.events.rules, func(x *rule) bool { return x == r })
	return &none{}, nil
}

type failedTargets struct {
	FailedEntryCount int
	FailedEntries    []struct{}
}

func (s *Sim) putTargets(_ *call, in *struct {
	Rule, EventBusName string
	Targets            []ruleTarget
}) (*failedTargets, error) {
	r := s.rule(in.Rule)
	if r == nil {
		return nil, errf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", in.Rule)
	}
	for _, t := range in.Targets {
		if t.InputTransformer != nil || t.InputPath != "" {
			return nil, errf("ValidationException", "the sandbox does not simulate input transformers of targets")
		}
		r.targets = append(slices.DeleteFunc(r.targets, func(o ruleTarget) bool { return o.ID == t.ID }), t)
	}
	return &failedTargets{0, []struct{}{}}, nil
}

func (s *Sim) removeTargets(_ *call, in *struct {
	Rule, EventBusName string
	Ids                []string
	Force              bool
}) (*failedTargets, error) {
	r := s.rule(in.Rule)
	if r == nil {
		return nil, errf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", in.Rule)
	}
	r.targets = slices.DeleteFunc(r.targets, func(o ruleTarget) bool { return slices.Contains(in.Ids, o.ID) })
	return &failedTargets{0, []struct{}{}}, nil
}

func (s *Sim) listTargets(_ *call, in *struct {
	Rule, EventBusName, NextToken string
	Limit                         int
}) (*struct{ Targets []ruleTarget }, error) {
	r := s.rule(in.Rule)
	if r == nil {
		return nil, errf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", in.Rule)
	}
	return &struct{ Targets []ruleTarget }{append([]ruleTarget{}, r.targets...)}, nil
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

func (s *Sim) putEvents(c *call, in *struct {
	Entries    []putEntry
	EndpointID string `json:"EndpointId"`
}) (*struct {
	FailedEntryCount int
	Entries          []putResult
}, error) {
	if len(in.Entries) == 0 || len(in.Entries) > 10 {
		return nil, errf("ValidationException", "%d validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length less than or equal to 10", 1)
	}
	if len(c.body) > maxEvents {
		return nil, errf("ValidationException", "Total size of the entries in the request is over the limit.")
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

func (s *Sim) putEvent(e putEntry) putResult {
	for _, p := range []struct{ name, value string }{{"Source", e.Source}, {"DetailType", e.DetailType}, {"Detail", e.Detail}} {
		if p.value == "" {
			return putResult{ErrorCode: "InvalidArgument", ErrorMessage: fmt.Sprintf("Parameter %s is not valid. Reason: %s is a required argument.", p.name, p.name)}
		}
	}
	if strings.HasPrefix(e.Source, "aws.") {
		return putResult{ErrorCode: "NotAuthorizedForSourceException", ErrorMessage: "Not authorized for the source."}
	}
	var detail map[string]any
	if json.Unmarshal([]byte(e.Detail), &detail) != nil {
		return putResult{ErrorCode: "MalformedDetail", ErrorMessage: "Detail is malformed."}
	}
	return putResult{EventID: s.emit(e.Source, e.DetailType, e.Resources, detail)}
}

// busEvent is an event as EventBridge hands it to targets.
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

func (s *Sim) newEvent(source, detailType string, resources []string, detail map[string]any) busEvent {
	if resources == nil {
		resources = []string{}
	}
	return busEvent{"0", s.uuid("event"), detailType, source, s.options.Account, s.clock.time().UTC().Format("2006-01-02T15:04:05Z"), s.options.Region, resources, detail}
}

// Publish puts an event of any source on the default bus, as AWS services do, and
// returns its id.
func (s *Sim) Publish(source, detailType string, resources []string, detail map[string]any) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.emit(source, detailType, resources, detail)
}

func (s *Sim) emit(source, detailType string, resources []string, detail map[string]any) string {
	e := s.newEvent(source, detailType, resources, detail)
	body, err := json.Marshal(e)
	if err != nil {
		return ""
	}
	for _, r := range s.events.rules {
		if r.compiled != nil && r.state == "ENABLED" && r.compiled.Match(body) {
			s.fire(r, e)
		}
	}
	return e.ID
}

// eventTakes is how long EventBridge takes to reach a target.
const eventTakes = 500 * time.Millisecond

// fire hands an event to a rule's targets.
func (s *Sim) fire(r *rule, e busEvent) {
	for _, t := range r.targets {
		body, err := json.Marshal(e)
		if err != nil {
			continue
		}
		if t.Input != "" {
			body = []byte(t.Input)
		}
		s.deliver(eventTakes, true, func() { s.target(t.Arn, body) })
	}
}

// target delivers a payload to a Lambda function or a queue by ARN.
func (s *Sim) target(arn string, body []byte) {
	if strings.Contains(arn, ":lambda:") {
		if f := s.function(arn); f != nil {
			s.invokeAsync(f, body)
		}
		return
	}
	if q := find(s.sqs.queues, func(q *queue) bool { return q.arn(s) == arn }); q != nil {
		s.enqueue(q, string(body), nil, 0)
	}
}
