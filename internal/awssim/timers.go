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
	return &service{name: "scheduler", protocol: restJSON, ops: map[string]operation{
		"CreateSchedule":      op(s.createSchedule),
		"UpdateSchedule":      op(s.updateSchedule),
		"GetSchedule":         op(s.getSchedule),
		"DeleteSchedule":      op(s.deleteSchedule),
		"ListSchedules":       op(s.listSchedules),
		"CreateScheduleGroup": op(s.createScheduleGroup),
		"GetScheduleGroup":    op(s.getScheduleGroup),
		"DeleteScheduleGroup": op(s.deleteScheduleGroup),
	}}
}

// restAction finds the operation of a REST service by method and path.
func restAction(service string, r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	key := r.Method
	if service == "s3" {
		return s3Action(r, parts)
	}
	if service == "route53" {
		return route53Action(r, parts)
	}
	if service == "lambda" {
		return lambdaAction(r, parts)
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

// readSchedule checks what Scheduler checks at the call.
func (s *Sim) readSchedule(c *call, in *scheduleInput) (*schedule, error) {
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
	name := c.pathName()
	if len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return nil, errf("ValidationException", "1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [0-9a-zA-Z-_.]+", name)
	}
	if _, _, err := s.scheduleDue(in.ScheduleExpression, in.ScheduleExpressionTimezone); err != nil {
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

// scheduleDue returns when an expression is due first, and how often then.
func (s *Sim) scheduleDue(expression, zone string) (time.Time, time.Duration, error) {
	if every, err := parseRate(expression); err == nil {
		return s.clock.time().Add(every), every, nil
	}
	loc := time.UTC
	if zone != "" {
		var err error
		if loc, err = time.LoadLocation(zone); err != nil {
			return time.Time{}, 0, err
		}
	}
	at, err := time.ParseInLocation("at(2006-01-02T15:04:05)", expression, loc)
	return at, 0, err
}

// plan plans the next firing: within the minute that the schedule names.
func (s *Sim) planSchedule(x *schedule) {
	s.clock.cancel(x.next)
	due, every, err := s.scheduleDue(x.expression, x.timezone)
	if err != nil || x.state != "ENABLED" {
		return
	}
	late := time.Duration(s.digest("late "+x.name+x.expression, 2)[0]%60) * time.Second // up to a minute
	wait := max(due.Sub(s.clock.time())+late, 0)
	x.next = s.clock.after(wait, func() {
		body := []byte(x.target.Input)
		arn := x.target.Arn
		s.ask(x.target.RoleArn, question("lambda:InvokeFunction", arn))
		s.deliver(0, false, func() { s.target(arn, body) })
		switch {
		case every > 0:
			s.planSchedule(x)
		case x.then == "DELETE":
			s.timers.schedules = slices.DeleteFunc(s.timers.schedules, func(y *schedule) bool { return y == x })
		}
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
