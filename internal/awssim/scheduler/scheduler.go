// Package scheduler simulates EventBridge Scheduler: schedules that fire within their minute.
package scheduler

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/eventbridge"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
)

// scheduleQuestions returns the IAM questions of a call to EventBridge
// Scheduler.
func (s *Service) scheduleQuestions(c *kernel.Call) []kernel.Question {
	group := c.Field("GroupName")
	if group == "" { // where requests have no body
		group = c.Request.URL.Query().Get("groupName")
	}
	qs := []kernel.Question{kernel.May(c.Permission(), s.ARN("scheduler", "schedule/"+group+"/"+c.PathName()))}
	var target scheduleTarget
	if json.Unmarshal(c.JSONBody()["Target"], &target) == nil && target.RoleArn != "" {
		qs = append(qs, kernel.PassRole(target.RoleArn, "scheduler.amazonaws.com"))
	}
	return qs
}

// listScheduleTags answers for schedule groups: schedules themselves carry no tags.
func (s *Service) listScheduleTags(c *kernel.Call, _ *kernel.None) (*struct{ Tags kernel.TagList }, error) {
	return &struct{ Tags kernel.TagList }{s.TagList(c.PathName())}, nil
}

// Service is the simulated EventBridge Scheduler.
type Service struct {
	*kernel.Kernel
	eventbridge *eventbridge.Service
	iam         *iam.Service

	Groups    []string
	Schedules []*schedule
}

type schedule struct {
	Name, Group       string
	expression, state string
	timezone          string
	description, then string
	window            flexibleWindow
	target            scheduleTarget
	created, modified time.Time
	next              *kernel.Due
}

type flexibleWindow struct {
	Mode                   string
	MaximumWindowInMinutes int `json:",omitempty"`
}

type scheduleTarget struct {
	Arn              string
	RoleArn          string
	Input            string            `json:",omitempty"`
	DeadLetterConfig map[string]string `json:",omitempty"`
	RetryPolicy      map[string]int    `json:",omitempty"`
}

// New puts the service into an account.
func New(k *kernel.Kernel, eventbridge *eventbridge.Service, iam *iam.Service) *Service {
	s := &Service{Kernel: k, eventbridge: eventbridge, iam: iam, Groups: []string{"default"}}
	k.Register(&kernel.API{Name: "scheduler", Route: schedulerAction, Asks: s.scheduleQuestions,
		Protocol: kernel.RESTJSON, Ops: map[string]kernel.Operation{
			"CreateSchedule":      kernel.Op(s.createSchedule),
			"UpdateSchedule":      kernel.Op(s.updateSchedule),
			"GetSchedule":         kernel.Op(s.getSchedule),
			"DeleteSchedule":      kernel.Op(s.deleteSchedule),
			"ListSchedules":       kernel.Op(s.listSchedules),
			"CreateScheduleGroup": kernel.Op(s.createScheduleGroup),
			"GetScheduleGroup":    kernel.Op(s.getScheduleGroup),
			"DeleteScheduleGroup": kernel.Op(s.deleteScheduleGroup),
			"ListTagsForResource": kernel.Op(s.listScheduleTags),
		}})
	return s
}

// schedulerAction finds the operation by method and path.
func schedulerAction(r *http.Request, parts []string) string {
	key := r.Method
	if parts[0] == "tags" && r.Method == http.MethodGet {
		return "ListTagsForResource"
	}
	if len(parts) > 2 {
		return ""
	}
	if len(parts) == 1 {
		key += " list"
	}
	switch parts[0] {
	case "schedules":
		return map[string]string{
			"POST": "CreateSchedule", "PUT": "UpdateSchedule", "GET": "GetSchedule", "DELETE": "DeleteSchedule",
			"GET list": "ListSchedules",
		}[key]
	case "schedule-groups":
		return map[string]string{
			"POST": "CreateScheduleGroup", "GET": "GetScheduleGroup", "DELETE": "DeleteScheduleGroup",
		}[key]
	}
	return ""
}

// ScheduleInput is a schedule as given by calls and templates.
type ScheduleInput struct {
	ClientToken, Description, EndDate, GroupName, KmsKeyArn string
	FlexibleTimeWindow                                      *flexibleWindow
	ScheduleExpression, ScheduleExpressionTimezone          string
	StartDate                                               json.RawMessage
	State                                                   string
	ActionAfterCompletion                                   string
	Target                                                  *scheduleTarget
}

type scheduleARN struct{ ScheduleArn string }

// Schedule finds a schedule by group and name, or nil.
func (s *Service) Schedule(group, name string) *schedule {
	if group == "" {
		group = "default"
	}
	return kernel.Find(s.Schedules, func(x *schedule) bool { return x.Group == group && x.Name == name })
}

// ScheduleARN returns the ARN of a schedule.
func (s *Service) ScheduleARN(x *schedule) string {
	return s.ARN("scheduler", "schedule/"+x.Group+"/"+x.Name)
}

// readSchedule reads the schedule of a call.
func (s *Service) readSchedule(c *kernel.Call, in *ScheduleInput) (*schedule, error) {
	return s.NewSchedule(c.PathName(), in)
}

// NewSchedule makes the checks that Scheduler makes at the call.
func (s *Service) NewSchedule(name string, in *ScheduleInput) (*schedule, error) {
	group := in.GroupName
	if group == "" {
		group = "default"
	}
	if !slices.Contains(s.Groups, group) {
		return nil, kernel.NotFound("Schedule group %s does not exist.", group)
	}
	if in.FlexibleTimeWindow == nil {
		return nil, kernel.Errorf("ValidationException",
			"1 validation error detected: Value null at 'flexibleTimeWindow' failed to satisfy constraint: Member "+
				"must not be null")
	}
	if in.Target == nil {
		return nil, kernel.Errorf("ValidationException",
			"1 validation error detected: Value null at 'target' failed to satisfy constraint: Member must not be null")
	}
	if len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return nil, kernel.Errorf("ValidationException",
			"1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy "+
				"regular expression pattern: [0-9a-zA-Z-_.]+", name)
	}
	// Scheduler is reported to reject one in the past
	if _, ok := s.eventbridge.DueIn(in.ScheduleExpression, in.ScheduleExpressionTimezone); !ok {
		return nil, kernel.Errorf("ValidationException", "Invalid Schedule Expression %s.", in.ScheduleExpression)
	}
	if !s.iam.RoleServes(in.Target.RoleArn, "scheduler.amazonaws.com") {
		return nil, kernel.Errorf("ValidationException",
			"The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
	}
	x := &schedule{
		Name: name, Group: group, expression: in.ScheduleExpression, timezone: in.ScheduleExpressionTimezone,
		state: in.State, description: in.Description,
		then: in.ActionAfterCompletion, window: *in.FlexibleTimeWindow, target: *in.Target, created: s.Clock.Now(),
		modified: s.Clock.Now(),
	}
	if x.state == "" {
		x.state = "ENABLED"
	}
	if x.then == "" {
		x.then = "NONE"
	}
	if x.timezone == "" {
		x.timezone = "UTC"
	}
	return x, nil
}

// PlanSchedule schedules the next firing, within the minute that the schedule
// names.
func (s *Service) PlanSchedule(x *schedule) {
	s.Clock.Cancel(x.next)
	due, ok := s.eventbridge.DueIn(x.expression, x.timezone)
	if !ok || x.state != "ENABLED" {
		return
	}
	late := time.Duration(s.Digest("late "+x.Name+x.expression, 2)[0]%60) * time.Second // up to a minute
	x.next = s.Clock.After(due+late, func() {
		body := []byte(x.target.Input)
		arn := x.target.Arn
		if !s.Happens("lost-timers", 1) &&
			s.iam.Allows(x.target.RoleArn, kernel.May("lambda:InvokeFunction", arn)) == nil {
			s.Deliver(0, false, func() { s.eventbridge.Target(arn, body) })
		}
		switch once := strings.HasPrefix(x.expression, "at("); {
		case !once:
			s.PlanSchedule(x)
		case x.then == "DELETE":
			s.Clock.After(lateDeletion, func() { s.ForgetSchedule(x.Group, x.Name) })
		}
	})
}

// lateDeletion is how long after its last invocation a self-deleting schedule
// is deleted. A newer time written under its name meanwhile is lost.
//
// Source: "shortly after", as AWS puts it; that a newer time is lost is inferred.
const lateDeletion = 40 * time.Second

// ForgetSchedule deletes a schedule; a missing one is not an error.
func (s *Service) ForgetSchedule(group, name string) {
	s.Schedules = slices.DeleteFunc(s.Schedules, func(x *schedule) bool {
		gone := x.Group == group && x.Name == name
		if gone {
			s.Clock.Cancel(x.next)
		}
		return gone
	})
}

func (s *Service) createSchedule(c *kernel.Call, in *ScheduleInput) (*scheduleARN, error) {
	x, err := s.readSchedule(c, in)
	if err != nil {
		return nil, err
	}
	if s.Schedule(x.Group, x.Name) != nil {
		return nil, kernel.Errorf("ConflictException", "Schedule %s already exists.",
			x.Name).WithStatus(http.StatusConflict)
	}
	s.Schedules = append(s.Schedules, x)
	s.PlanSchedule(x)
	return &scheduleARN{s.ScheduleARN(x)}, nil
}

// updateSchedule replaces every field of a schedule.
func (s *Service) updateSchedule(c *kernel.Call, in *ScheduleInput) (*scheduleARN, error) {
	x, err := s.readSchedule(c, in)
	if err != nil {
		return nil, err
	}
	old := s.Schedule(x.Group, x.Name)
	if old == nil {
		return nil, kernel.NotFound("Schedule %s does not exist.", x.Name)
	}
	s.Clock.Cancel(old.next)
	x.created = old.created
	*old = *x
	s.PlanSchedule(old)
	return &scheduleARN{s.ScheduleARN(old)}, nil
}

type scheduleJSON struct {
	Arn, Name, GroupName       string
	ScheduleExpression         string
	ScheduleExpressionTimezone string
	Description                string `json:",omitempty"`
	State                      string
	ActionAfterCompletion      string
	FlexibleTimeWindow         flexibleWindow
	Target                     scheduleTarget
	CreationDate               kernel.Stamp
	LastModificationDate       kernel.Stamp
}

func (s *Service) getSchedule(c *kernel.Call, _ *kernel.None) (*scheduleJSON, error) {
	x := s.Schedule(c.Request.URL.Query().Get("groupName"), c.PathName())
	if x == nil {
		return nil, kernel.NotFound("Schedule %s does not exist.", c.PathName())
	}
	return &scheduleJSON{
		s.ScheduleARN(x), x.Name, x.Group, x.expression, x.timezone, x.description, x.state, x.then, x.window, x.target,
		kernel.Stamp{Time: x.created}, kernel.Stamp{Time: x.modified},
	}, nil
}

func (s *Service) deleteSchedule(c *kernel.Call, _ *kernel.None) (*kernel.None, error) {
	x := s.Schedule(c.Request.URL.Query().Get("groupName"), c.PathName())
	if x == nil {
		return nil, kernel.NotFound("Schedule %s does not exist.", c.PathName())
	}
	s.Clock.Cancel(x.next)
	s.Schedules = slices.DeleteFunc(s.Schedules, func(y *schedule) bool { return y == x })
	return &kernel.None{}, nil
}

type scheduleSummary struct {
	Arn, Name, GroupName, State string
	CreationDate                kernel.Stamp
	LastModificationDate        kernel.Stamp
	Target                      struct{ Arn string }
}

func (s *Service) listSchedules(c *kernel.Call, _ *kernel.None) (*struct{ Schedules []scheduleSummary }, error) {
	q := c.Request.URL.Query()
	out := &struct{ Schedules []scheduleSummary }{[]scheduleSummary{}}
	for _, x := range s.Schedules {
		group := q.Get("ScheduleGroup")
		if (group == "" || group == x.Group) && strings.HasPrefix(x.Name, q.Get("NamePrefix")) {
			out.Schedules = append(out.Schedules, scheduleSummary{
				s.ScheduleARN(x), x.Name, x.Group, x.state, kernel.Stamp{Time: x.created},
				kernel.Stamp{Time: x.modified}, struct{ Arn string }{x.target.Arn},
			})
		}
	}
	return out, nil
}

// GroupARN returns the ARN of a schedule group.
func (s *Service) GroupARN(name string) string { return s.ARN("scheduler", "schedule-group/"+name) }

func (s *Service) createScheduleGroup(c *kernel.Call, in *struct {
	ClientToken string
	Tags        []kernel.Tag
}) (*struct{ ScheduleGroupArn string }, error) {
	name := c.PathName()
	if slices.Contains(s.Groups, name) {
		return nil, kernel.Errorf("ConflictException", "Schedule group %s already exists.",
			name).WithStatus(http.StatusConflict)
	}
	s.Groups = append(s.Groups, name)
	s.TagResource(s.GroupARN(name), kernel.TagList(in.Tags).ByKey())
	return &struct{ ScheduleGroupArn string }{s.GroupARN(name)}, nil
}

func (s *Service) getScheduleGroup(c *kernel.Call, _ *kernel.None) (*struct{ Arn, Name, State string }, error) {
	if !slices.Contains(s.Groups, c.PathName()) {
		return nil, kernel.NotFound("Schedule group %s does not exist.", c.PathName())
	}
	return &struct{ Arn, Name, State string }{s.GroupARN(c.PathName()), c.PathName(), "ACTIVE"}, nil
}

func (s *Service) deleteScheduleGroup(c *kernel.Call, _ *kernel.None) (*kernel.None, error) {
	name := c.PathName()
	if !slices.Contains(s.Groups, name) {
		return nil, kernel.NotFound("Schedule group %s does not exist.", name)
	}
	s.RemoveScheduleGroup(name)
	return &kernel.None{}, nil
}

// RemoveScheduleGroup removes a group and every schedule in it.
func (s *Service) RemoveScheduleGroup(name string) {
	for _, x := range s.Schedules {
		if x.Group == name {
			s.Clock.Cancel(x.next)
		}
	}
	s.Schedules = slices.DeleteFunc(s.Schedules, func(x *schedule) bool { return x.Group == name })
	s.Groups = slices.DeleteFunc(s.Groups, func(g string) bool { return g == name })
}
