package awssim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// timersState is EventBridge Scheduler.
type timersState struct {
	groups    []string
	schedules []*schedule
}

type schedule struct {
	name, group       string
	expression, state string
	timezone          string
	description, then string
	window            flexibleWindow
	target            scheduleTarget
	created, modified time.Time
	next              *event
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

func (s *Sim) newTimers() *service {
	s.timers = &timersState{groups: []string{"default"}}
	return &service{name: "scheduler", route: schedulerAction, asks: s.scheduleQuestions, protocol: restJSON, ops: map[string]operation{
		"CreateSchedule":      op(s.createSchedule),
		"UpdateSchedule":      op(s.updateSchedule),
		"GetSchedule":         op(s.getSchedule),
		"DeleteSchedule":      op(s.deleteSchedule),
		"ListSchedules":       op(s.listSchedules),
		"CreateScheduleGroup": op(s.createScheduleGroup),
		"GetScheduleGroup":    op(s.getScheduleGroup),
		"DeleteScheduleGroup": op(s.deleteScheduleGroup),
		"ListTagsForResource": op(s.listScheduleTags),
	}}
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
		return map[string]string{"POST": "CreateSchedule", "PUT": "UpdateSchedule", "GET": "GetSchedule", "DELETE": "DeleteSchedule", "GET list": "ListSchedules"}[key]
	case "schedule-groups":
		return map[string]string{"POST": "CreateScheduleGroup", "GET": "GetScheduleGroup", "DELETE": "DeleteScheduleGroup"}[key]
	}
	return ""
}

// pathName returns the last part of the request's path, unescaped.
func (c *call) pathName() string {
	path := c.request.URL.EscapedPath()
	name, err := url.PathUnescape(path[strings.LastIndex(path, "/")+1:])
	if err != nil {
		return ""
	}
	return name
}

type scheduleInput struct {
	ClientToken, Description, EndDate, GroupName, KmsKeyArn string
	FlexibleTimeWindow                                      *flexibleWindow
	ScheduleExpression, ScheduleExpressionTimezone          string
	StartDate                                               json.RawMessage
	State                                                   string
	ActionAfterCompletion                                   string
	Target                                                  *scheduleTarget
}

type scheduleARN struct{ ScheduleArn string }

func (s *Sim) schedule(group, name string) *schedule {
	if group == "" {
		group = "default"
	}
	return find(s.timers.schedules, func(x *schedule) bool { return x.group == group && x.name == name })
}

func (s *Sim) scheduleARN(x *schedule) string {
	return s.arn("scheduler", "schedule/"+x.group+"/"+x.name)
}

func notFound(format string, args ...any) *apiError {
	return errf("ResourceNotFoundException", format, args...).status(http.StatusNotFound)
}

// readSchedule reads the schedule of a call.
func (s *Sim) readSchedule(c *call, in *scheduleInput) (*schedule, error) {
	return s.newSchedule(c.pathName(), in)
}

// newSchedule checks what Scheduler checks at the call.
func (s *Sim) newSchedule(name string, in *scheduleInput) (*schedule, error) {
	group := in.GroupName
	if group == "" {
		group = "default"
	}
	if !slices.Contains(s.timers.groups, group) {
		return nil, notFound("Schedule group %s does not exist.", group)
	}
	if in.FlexibleTimeWindow == nil {
		return nil, errf("ValidationException", "1 validation error detected: Value null at 'flexibleTimeWindow' failed to satisfy constraint: Member must not be null")
	}
	if in.Target == nil {
		return nil, errf("ValidationException", "1 validation error detected: Value null at 'target' failed to satisfy constraint: Member must not be null")
	}
	if len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return nil, errf("ValidationException", "1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [0-9a-zA-Z-_.]+", name)
	}
	if _, ok := s.dueIn(in.ScheduleExpression, in.ScheduleExpressionTimezone); !ok { // one in the past is reported to be refused
		return nil, errf("ValidationException", "Invalid Schedule Expression %s.", in.ScheduleExpression)
	}
	if !s.roleServes(in.Target.RoleArn, "scheduler.amazonaws.com") {
		return nil, errf("ValidationException", "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
	}
	x := &schedule{
		name: name, group: group, expression: in.ScheduleExpression, timezone: in.ScheduleExpressionTimezone, state: in.State, description: in.Description,
		then: in.ActionAfterCompletion, window: *in.FlexibleTimeWindow, target: *in.Target, created: s.clock.time(), modified: s.clock.time(),
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

// plan plans the next firing: within the minute that the schedule names.
func (s *Sim) planSchedule(x *schedule) {
	s.clock.cancel(x.next)
	due, ok := s.dueIn(x.expression, x.timezone)
	if !ok || x.state != "ENABLED" {
		return
	}
	late := time.Duration(s.digest("late "+x.name+x.expression, 2)[0]%60) * time.Second // up to a minute
	x.next = s.clock.after(due+late, func() {
		body := []byte(x.target.Input)
		arn := x.target.Arn
		if !s.happens("lost-timers", 1) && s.allows(x.target.RoleArn, question("lambda:InvokeFunction", arn)) == nil {
			s.deliver(0, false, func() { s.target(arn, body) })
		}
		switch once := strings.HasPrefix(x.expression, "at("); {
		case !once:
			s.planSchedule(x)
		case x.then == "DELETE":
			s.clock.after(lateDeletion, func() { s.forgetSchedule(x.group, x.name) })
		}
	})
}

// lateDeletion is how long after its last invocation a schedule is deleted that
// is to be. A time that was written under its name meanwhile goes with it.
//
// Source: "shortly after", as AWS puts it; that a newer time is lost is inferred.
const lateDeletion = 40 * time.Second

func (s *Sim) forgetSchedule(group, name string) {
	s.timers.schedules = slices.DeleteFunc(s.timers.schedules, func(x *schedule) bool {
		gone := x.group == group && x.name == name
		if gone {
			s.clock.cancel(x.next)
		}
		return gone
	})
}

func (s *Sim) createSchedule(c *call, in *scheduleInput) (*scheduleARN, error) {
	x, err := s.readSchedule(c, in)
	if err != nil {
		return nil, err
	}
	if s.schedule(x.group, x.name) != nil {
		return nil, errf("ConflictException", "Schedule %s already exists.", x.name).status(http.StatusConflict)
	}
	s.timers.schedules = append(s.timers.schedules, x)
	s.planSchedule(x)
	return &scheduleARN{s.scheduleARN(x)}, nil
}

// updateSchedule replaces every field of a schedule.
func (s *Sim) updateSchedule(c *call, in *scheduleInput) (*scheduleARN, error) {
	x, err := s.readSchedule(c, in)
	if err != nil {
		return nil, err
	}
	old := s.schedule(x.group, x.name)
	if old == nil {
		return nil, notFound("Schedule %s does not exist.", x.name)
	}
	s.clock.cancel(old.next)
	x.created = old.created
	*old = *x
	s.planSchedule(old)
	return &scheduleARN{s.scheduleARN(old)}, nil
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
	CreationDate               stamp
	LastModificationDate       stamp
}

func (s *Sim) getSchedule(c *call, _ *none) (*scheduleJSON, error) {
	x := s.schedule(c.request.URL.Query().Get("groupName"), c.pathName())
	if x == nil {
		return nil, notFound("Schedule %s does not exist.", c.pathName())
	}
	return &scheduleJSON{s.scheduleARN(x), x.name, x.group, x.expression, x.timezone, x.description, x.state, x.then, x.window, x.target, stamp{x.created}, stamp{x.modified}}, nil
}

func (s *Sim) deleteSchedule(c *call, _ *none) (*none, error) {
	x := s.schedule(c.request.URL.Query().Get("groupName"), c.pathName())
	if x == nil {
		return nil, notFound("Schedule %s does not exist.", c.pathName())
	}
	s.clock.cancel(x.next)
	s.timers.schedules = slices.DeleteFunc(s.timers.schedules, func(y *schedule) bool { return y == x })
	return &none{}, nil
}

type scheduleSummary struct {
	Arn, Name, GroupName, State string
	CreationDate                stamp
	LastModificationDate        stamp
	Target                      struct{ Arn string }
}

func (s *Sim) listSchedules(c *call, _ *none) (*struct{ Schedules []scheduleSummary }, error) {
	q := c.request.URL.Query()
	out := &struct{ Schedules []scheduleSummary }{[]scheduleSummary{}}
	for _, x := range s.timers.schedules {
		group := q.Get("ScheduleGroup")
		if (group == "" || group == x.group) && strings.HasPrefix(x.name, q.Get("NamePrefix")) {
			out.Schedules = append(out.Schedules, scheduleSummary{s.scheduleARN(x), x.name, x.group, x.state, stamp{x.created}, stamp{x.modified}, struct{ Arn string }{x.target.Arn}})
		}
	}
	return out, nil
}

func (s *Sim) groupARN(name string) string { return s.arn("scheduler", "schedule-group/"+name) }

func (s *Sim) createScheduleGroup(c *call, in *struct {
	ClientToken string
	Tags        []cfnTag
}) (*struct{ ScheduleGroupArn string }, error) {
	name := c.pathName()
	if slices.Contains(s.timers.groups, name) {
		return nil, errf("ConflictException", "Schedule group %s already exists.", name).status(http.StatusConflict)
	}
	s.timers.groups = append(s.timers.groups, name)
	s.tagResource(s.groupARN(name), tagList(in.Tags).byKey())
	return &struct{ ScheduleGroupArn string }{s.groupARN(name)}, nil
}

func (s *Sim) getScheduleGroup(c *call, _ *none) (*struct{ Arn, Name, State string }, error) {
	if !slices.Contains(s.timers.groups, c.pathName()) {
		return nil, notFound("Schedule group %s does not exist.", c.pathName())
	}
	return &struct{ Arn, Name, State string }{s.groupARN(c.pathName()), c.pathName(), "ACTIVE"}, nil
}

func (s *Sim) deleteScheduleGroup(c *call, _ *none) (*none, error) {
	name := c.pathName()
	if !slices.Contains(s.timers.groups, name) {
		return nil, notFound("Schedule group %s does not exist.", name)
	}
	s.removeScheduleGroup(name)
	return &none{}, nil
}

// removeScheduleGroup removes a group and every schedule in it.
func (s *Sim) removeScheduleGroup(name string) {
	for _, x := range s.timers.schedules {
		if x.group == name {
			s.clock.cancel(x.next)
		}
	}
	s.timers.schedules = slices.DeleteFunc(s.timers.schedules, func(x *schedule) bool { return x.group == name })
	s.timers.groups = slices.DeleteFunc(s.timers.groups, func(g string) bool { return g == name })
}
