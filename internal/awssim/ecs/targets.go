package ecs

import (
	"strconv"
	"strings"

	"drawbridge/internal/awssim/elbv2"
)

// groupOf is the target group for the next revision of a service: the one that the present
// revision's tasks are not in; "" without any.
func (v *service) groupOf() string {
	if len(v.balancers) == 0 {
		return ""
	}
	b := v.balancers[0]
	if a := b.AdvancedConfiguration; a != nil && v.current != nil && v.current.group == b.TargetGroupArn {
		return a.AlternateTargetGroupArn
	}
	return b.TargetGroupArn
}

// join puts a running task into the target group of its revision.
func (s *Services) join(r *revision, t *task) {
	if r.group == "" || r.targets[t] != nil {
		return
	}
	port := 80
	if len(r.service.balancers) > 0 && r.service.balancers[0].ContainerPort > 0 {
		port = r.service.balancers[0].ContainerPort
	}
	ip := s.address(t)
	if t.instance != "" { // in the instance's network, at a port of its own
		n, _ := strconv.ParseUint(s.Digest("port "+t.id, 4), 16, 16) // digits
		ip, port = t.instance, 32768+int(n)%28232
	}
	r.targets[t] = t.target(ip, port)
	s.elb.Register(r.group, r.targets[t])
}

// direct returns what answers at the address of a running task, on any port.
func (s *Services) direct(ip string) *elbv2.Target {
	for _, t := range s.Tasks {
		if t.status == "RUNNING" && s.address(t) == ip {
			return t.target(ip, 0)
		}
	}
	return nil
}

// launchType and platform are where a task runs.
func (t *task) launchType() string {
	if t.instance != "" {
		return "EC2"
	}
	return "FARGATE"
}

func (t *task) platform() string {
	if t.instance != "" {
		return ""
	}
	return "1.4.0"
}

// target is what answers for a task: its program, or SANDBOX_ANSWERS.
func (t *task) target(ip string, port int) *elbv2.Target {
	if t.program != nil {
		return &elbv2.Target{IP: ip, Port: port, Answer: t.program.asked, Address: t.program.address()}
	}
	return &elbv2.Target{IP: ip, Port: port, Answer: t.answers()}
}

// leave takes a task out of its target group.
func (s *Services) leave(r *revision, t *task) {
	if x := r.targets[t]; x != nil {
		s.elb.Deregister(r.group, x)
		delete(r.targets, t)
	}
}

// address is the private address of a task.
func (s *Service) address(t *task) string {
	block, _, _ := strings.Cut(t.subnet.CIDR, "/")
	n, _ := strconv.ParseUint(s.Digest("address "+t.id, 2), 16, 8) // digits
	return block[:strings.LastIndex(block, ".")+1] + strconv.Itoa(4+int(n)%250)
}

// answers is how a task answers requests: as SANDBOX_ANSWERS in its environment says, with
// one status after the other, as in 200,500, from the second on; /health has the first. Without it each is
// answered with 200.
func (t *task) answers() func(path string) (int, string) {
	given := t.Environment()["SANDBOX_ANSWERS"]
	if given == "" {
		given = "200"
	}
	list, n := strings.Split(given, ","), 0
	return func(path string) (int, string) {
		at := 0
		if path != "/health" {
			n++
			at = n % len(list)
		}
		status, err := strconv.Atoi(list[at])
		if err != nil {
			status = 500
		}
		return status, t.Definition.Family + " " + strconv.Itoa(t.Definition.Revision)
	}
}

// In puts the task set's tasks into a target group, by ARN or name, unless they are in one;
// with "" nothing changes. It returns the ARN of the group that they are in.
func (t *TaskSet) In(group string) string {
	if t.revision.group == "" && group != "" {
		t.revision.group = t.services.elb.Group(group).ARN
		for _, x := range t.revision.tasks {
			if x.status == "RUNNING" {
				t.services.join(t.revision, x)
			}
		}
	}
	return t.revision.group
}

// route gives the new revision a share of what a rule of the load balancer forwards. It does
// not look at what stood there.
func (s *Services) route(d *deployment, percent float64, rule func(*advancedLoadBalancerJSON) string) {
	for _, b := range d.service.balancers {
		a := b.AdvancedConfiguration
		if a == nil || rule(a) == "" {
			continue
		}
		to := []elbv2.Weight{{TargetGroupArn: d.target.group, Weight: int(percent)}}
		if d.source != nil && d.source.group != d.target.group {
			to = append(to, elbv2.Weight{TargetGroupArn: d.source.group, Weight: 100 - int(percent)})
		}
		_ = s.elb.SetWeights(rule(a), to...) // a rule that is gone forwards nothing
	}
}

// testTraffic gives the new revision all of the test traffic, or none.
func (s *Services) testTraffic(d *deployment, percent float64) {
	d.target.test = percent
	s.route(d, percent, func(a *advancedLoadBalancerJSON) string { return a.TestListenerRule })
}
