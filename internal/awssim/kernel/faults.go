package kernel

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// fault is an active fault.
type fault struct {
	value string
	until time.Time // zero: until it is turned off
}

// FaultHelp says what each fault does, in order of name.
var FaultHelp = []struct{ Name, Value, Help string }{
	{"async-hooks", "", "CodeDeploy invokes hooks asynchronously, with Lambda's retries (AWS does not say)"},
	{"bill", "clock|creation", "Cost Explorer shows paid hours on that basis (default clock)"},
	{
		"continue-after", "DURATION",
		"CodePipeline calls a function that continues again after DURATION (default 30s; AWS does not say)",
	},
	{
		"deny", "SERVICE:ACTION",
		"calls that need that action are denied as if no policy allowed it, CloudFormation with a role included",
	},
	{"duplicate-events", "P", "each event, message and timer is delivered twice with probability P (default 0.5)"},
	{
		"empty-change-set-fails", "",
		"CodePipeline fails an action whose change set has no changes (default: it succeeds; AWS does not say)",
	},
	{"expired-credentials", "", "every call fails with expired credentials"},
	{
		"fail-create", "SERVICE",
		"the endpoint of SERVICE (default: every one) fails while it is created; the stack rolls back",
	},
	{"fail-delete", "N", "the next N stack deletions (default 1) end in DELETE_FAILED"},
	{
		"full-zone", "ZONE",
		"interface endpoints in ZONE (default: every one) fail for lack of capacity; the stack rolls back",
	},
	{
		"hooks-in-roll-back", "",
		"CodeDeploy calls the hooks of a roll-back too (AWS does not say)",
	},
	{"jobs-twice", "", "CodePipeline calls an action's function twice for each job"},
	{"kill", "FUNCTION:N", "the next handler of FUNCTION is killed before its Nth call to AWS takes effect"},
	{"kill-after", "FUNCTION:N", "the next handler of FUNCTION is killed after its Nth call to AWS took effect"},
	{"full-fargate-zone", "ZONE", "RunTask finds no capacity in ZONE (default: in none)"},
	{"late-events", "DURATION", "events, messages and timers arrive DURATION later (default 60s)"},
	{
		"late-reply", "DURATION",
		"mutating calls take effect immediately and reply DURATION later (default 1s)",
	},
	{
		"lost-events", "P",
		"each EventBridge event is lost with probability P (default 0.5), but no message and no timer",
	},
	{"lost-reply", "P", "a call takes effect and its reply is lost, with probability P (default 0.1)"},
	{"lost-timers", "P", "each timer of EventBridge Scheduler is lost with probability P (default 1)"},
	{"no-capacity", "P", "RunTask returns a failure for lack of capacity, with probability P (default 0.5)"},
	{
		"no-failed-event", "",
		"ECS sends no SERVICE_DEPLOYMENT_FAILED for a deployment that a hook failed (AWS does not say)",
	},
	{
		"outage", "SERVICE",
		"every call to SERVICE (default: to any), such as dynamodb, fails with a 5xx error and has no effect",
	},
	{
		"refuse-tasks", "capacity|quota|quota-empty|throttled|internal|role",
		"RunTask fails temporarily for that reason (default capacity)",
	},
	{
		"retry-hooks", "N",
		"ECS calls a hook's function that failed N times more (default 2) before it rolls back (AWS does not say)",
	},
	{
		"roll-back-hook-fails", "",
		"a hook that fails while ECS rolls back ends the deployment ROLLBACK_FAILED (default: it goes on; AWS does " +
			"not say)",
	},
	{"server-error", "P", "a call fails with a 5xx error and has no effect, with probability P (default 0.1)"},
	{"slow-create", "DURATION", "endpoints need DURATION longer to become available (default 5m)"},
	{"slow-delete", "DURATION", "endpoints need DURATION longer to be gone (default 5m)"},
	{
		"stale-reads", "DURATION",
		"stacks, endpoints and tasks are described as they were DURATION ago (default 5s)",
	},
	{"stuck-create", "", "endpoints stay pending"},
	{"stuck-delete", "", "endpoints stay deleting"},
	{
		"stack-tags", "late|never",
		"tags of a stack reach its endpoints a minute after their creation (default), or never",
	},
	{"tags-apart", "", "CloudFormation creates endpoints without tags, and tags them with separate calls"},
	{"throttle", "P", "a call is throttled and has no effect, with probability P (default 0.1)"},
	{
		"unsent-events", "P",
		"an AWS service does not send an event, with probability P (default 1): some promise best effort alone",
	},
	{"vcpu-quota", "N", "the account may run N Fargate vCPUs at once (default 6)"},
	{"unsettled", "DURATION", "endpoints refuse connections for DURATION after they became available (default 60s)"},
}

// SetFault turns a fault on; forSeconds above 0 turns it off again by itself. The
// value "off" turns it off. Unknown names and values are errors.
func (s *Kernel) SetFault(name, value string, forSeconds float64) error {
	i := slices.IndexFunc(FaultHelp, func(f struct{ Name, Value, Help string }) bool { return f.Name == name })
	if i < 0 {
		return fmt.Errorf("unknown fault %q (want one of %s)", name, strings.Join(faultNames(), ", "))
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil && FaultHelp[i].Value == "DURATION" {
		value += "s" // a number is seconds
	}
	if err := checkFault(FaultHelp[i].Value, name, value); err != nil {
		return err
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if value == "off" {
		delete(s.faults, name)
		return nil
	}
	f := fault{value: value}
	if forSeconds > 0 {
		f.until = s.Clock.Now().Add(time.Duration(forSeconds * float64(time.Second)))
	}
	s.faults[name] = f
	return nil
}

func faultNames() []string {
	var names []string
	for _, f := range FaultHelp {
		names = append(names, f.Name)
	}
	sort.Strings(names)
	return names
}

func checkFault(kind, name, value string) error {
	if value == "" && kind != "FUNCTION:N" && kind != "SERVICE:ACTION" || value == "off" {
		return nil
	}
	var err error
	switch kind {
	case "P":
		var p float64
		if p, err = strconv.ParseFloat(value, 64); err == nil && (p < 0 || p > 1) {
			err = fmt.Errorf("out of range")
		}
	case "DURATION":
		_, err = time.ParseDuration(value)
	case "SERVICE:ACTION":
		if service, action, ok := strings.Cut(value, ":"); !ok || service == "" || action == "" {
			err = fmt.Errorf("not an action")
		}
	case "clock|creation", "late|never", "capacity|quota|quota-empty|throttled|internal|role":
		if !slices.Contains(strings.Split(kind, "|"), value) {
			err = fmt.Errorf("not one of them")
		}
	case "N":
		_, err = strconv.Atoi(value)
	case "FUNCTION:N":
		function, text, _ := strings.Cut(value, ":")
		var n int
		if n, err = strconv.Atoi(text); err == nil && (n < 1 || function == "") {
			err = fmt.Errorf("out of range")
		}
	case "":
		err = fmt.Errorf("no value")
	}
	if err != nil {
		return fmt.Errorf("invalid fault %s=%q (want %s)", name, value, kind)
	}
	return nil
}

// FaultOn returns the value of an active fault where it strikes, and counts that.
func (s *Kernel) FaultOn(name string) (string, bool) {
	v, on := s.Active(name)
	if on {
		s.Struck[name]++
	}
	return v, on
}

// Active returns the value of an active fault, which may not strike here.
func (s *Kernel) Active(name string) (string, bool) {
	f, ok := s.faults[name]
	if !ok {
		return "", false
	}
	if !f.until.IsZero() && !s.Clock.Now().Before(f.until) {
		delete(s.faults, name)
		return "", false
	}
	return f.value, true
}

// Strikes reports whether a fault that strikes N times, once by default, strikes now.
func (s *Kernel) Strikes(name string) bool {
	v, on := s.FaultOn(name)
	if !on {
		return false
	}
	n := 1
	if v != "" {
		_, _ = fmt.Sscan(v, &n) // checked when it was set
	}
	if n--; n <= 0 {
		delete(s.faults, name)
	} else {
		f := s.faults[name]
		f.value = fmt.Sprint(n)
		s.faults[name] = f
	}
	return true
}

// EndFault turns off a fault that strikes once.
func (s *Kernel) EndFault(name string) {
	s.Struck[name]++
	delete(s.faults, name)
}

// Happens draws whether a fault with a probability strikes this time.
func (s *Kernel) Happens(name string, p float64) bool {
	v, ok := s.Active(name)
	if !ok {
		return false
	}
	if v != "" {
		p, _ = strconv.ParseFloat(v, 64) // checked when it was set
	}
	strikes := s.draw(name) < p
	if strikes {
		s.Struck[name]++
	}
	return strikes
}

// Delay returns the duration of a fault, or 0 if it is off.
func (s *Kernel) Delay(name string, normal time.Duration) time.Duration {
	v, ok := s.FaultOn(name)
	if !ok {
		return 0
	}
	if v == "" {
		return normal
	}
	d, _ := time.ParseDuration(v) // checked when it was set
	return d
}

// refuse returns the error of a fault that prevents a call from taking effect.
func (s *Kernel) refuse(c *Call) *APIError {
	if _, ok := s.FaultOn("expired-credentials"); ok || strings.HasPrefix(c.AccessKey, "ASIAEXPIRED") {
		return c.denied("expired")
	}
	if s.Judge != nil {
		if e := s.Judge(c); e != nil {
			return e
		}
	}
	if s.Happens("throttle", 0.1) {
		code := "ThrottlingException"
		switch c.API.Protocol {
		case EC2Query:
			return Errorf("RequestLimitExceeded", "Request limit exceeded.").WithStatus(503)
		case Query:
			code = "Throttling"
		}
		e := Errorf(code, "Rate exceeded")
		if c.API.Protocol == RESTJSON {
			e.Status = 429
		}
		return e
	}
	if s.isOut(c.API.Name) || s.Happens("server-error", 0.1) {
		code := "InternalFailure"
		switch c.API.Name {
		case "dynamodb":
			code = "InternalServerError"
		case "ecs":
			code = "ServerException"
		case "ec2":
			code = "InternalError"
		case "scheduler", "sqs":
			code = "InternalServerException"
		case "lambda":
			code = "ServiceException"
		}
		return Errorf(code, "An internal error has occurred").WithStatus(500)
	}
	return nil
}

// isOut reports whether an outage of a service lasts.
func (s *Kernel) isOut(service string) bool {
	if v, on := s.Active("outage"); !on || v != "" && v != service {
		return false
	}
	s.Struck["outage"]++
	return true
}

// AsOf returns the time whose state a read shows: now, or earlier while reads
// are stale.
func (s *Kernel) AsOf() time.Time { return s.Clock.Now().Add(-s.Delay("stale-reads", 5*time.Second)) }

// Deliver delivers an event, message or timer after d, subject to the faults.
func (s *Kernel) Deliver(d time.Duration, lossy bool, run func()) {
	d += s.Delay("late-events", time.Minute)
	if !lossy || !s.Happens("lost-events", 0.5) {
		s.Clock.After(d, run)
	}
	if s.Happens("duplicate-events", 0.5) {
		s.Clock.After(d+time.Second, run)
	}
}
