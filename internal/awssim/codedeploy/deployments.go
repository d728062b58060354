package codedeploy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/ecs"
	"drawbridge/internal/awssim/kernel"
)

// deployment is a deployment with its one target.
type deployment struct {
	id, status, creator, config string
	group                       *group
	revision                    revision
	spec                        spec
	created, started, completed time.Time
	events                      []*event
	rollback                    *rollbackInfo
	failure                     *errorInfo
	back                        *autoRollback
	blue, green                 *ecs.TaskSet
	weight                      float64 // of a Lambda's new version
	next                        *kernel.Due
	waiting                     func() // until ContinueDeployment
	returns                     *deployment
}

// event is a lifecycle event.
type event struct {
	name, status   string
	started, ended time.Time
	execution      string // the opaque id of the hook's execution; "" without one
	message        string
}

type revision struct {
	RevisionType   string          `json:"revisionType"`
	AppSpecContent *appSpecContent `json:"appSpecContent,omitempty"`
	String         *appSpecContent `json:"string,omitempty"`
}

type appSpecContent struct {
	Content string `json:"content"`
	SHA256  string `json:"sha256,omitempty"`
}

type rollbackInfo struct {
	RollbackDeploymentID           string `json:"rollbackDeploymentId,omitempty"`
	RollbackMessage                string `json:"rollbackMessage,omitempty"`
	RollbackTriggeringDeploymentID string `json:"rollbackTriggeringDeploymentId,omitempty"`
}

type errorInfo struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// eventsOf are the lifecycle events of a platform, in order.
//
// Source: https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-steps-ecs.html
func eventsOf(g *group) []string {
	if g.application.platform == "Lambda" {
		return []string{"BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"}
	}
	out := []string{"BeforeInstall", "Install", "AfterInstall"}
	if p := g.pair(); p != nil && p.Test != nil {
		out = append(out, "AllowTestTraffic", "AfterAllowTestTraffic")
	}
	return append(out, "BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic")
}

// The times of a deployment.
const (
	beginTakes = 2 * time.Second
	eventTakes = 200 * time.Millisecond // one without a hook
	shiftTakes = 20 * time.Second
	// patience is how long CodeDeploy waits for a hook's answer, or for tasks to be healthy.
	patience = time.Hour
)

// deployment finds a deployment by id, or nil.
func (s *Service) deployment(id string) *deployment {
	return kernel.Find(s.deployments, func(d *deployment) bool { return d.id == id })
}

var idPattern = regexp.MustCompile(`^d-[A-Z0-9]{9}$`)

func (s *Service) deploymentOf(id string) (*deployment, error) {
	if id == "" {
		return nil, kernel.Errorf("DeploymentIdRequiredException", "Deployment id is required.")
	}
	if !idPattern.MatchString(id) {
		return nil, kernel.Errorf("InvalidDeploymentIdException", "The deployment id is not valid: %s", id)
	}
	if d := s.deployment(id); d != nil {
		return d, nil
	}
	return nil, kernel.Errorf("DeploymentDoesNotExistException", "The deployment %s could not be found", id)
}

func (d *deployment) over() bool { return !d.completed.IsZero() }

type deploymentID struct {
	DeploymentID string `json:"deploymentId"`
}

func (s *Service) createDeployment(_ *kernel.Call, in *struct {
	ApplicationName, DeploymentGroupName, DeploymentConfigName, Description string
	Revision                                                                revision
	AutoRollbackConfiguration                                               *autoRollback
}) (*deploymentID, error) {
	g, err := s.group(in.ApplicationName, in.DeploymentGroupName)
	if err != nil {
		return nil, err
	}
	for _, d := range s.deployments {
		if d.group == g && !d.over() {
			return nil, kernel.Errorf("DeploymentLimitExceededException",
				"The Deployment Group '%s' already has an active Deployment '%s'", in.DeploymentGroupName, d.id)
		}
	}
	content := in.Revision.AppSpecContent
	if content == nil {
		content = in.Revision.String
	}
	if content == nil {
		return nil, kernel.Errorf("RevisionRequiredException", "the sandbox takes AppSpecContent and String revisions")
	}
	x, err := parseSpec(content.Content)
	if err != nil {
		return nil, err
	}
	d := &deployment{
		id: "d-" + strings.ToUpper(s.NewID("codedeploy", 9)), status: "Created", creator: "user", group: g,
		config: in.DeploymentConfigName, revision: in.Revision, spec: x, created: s.Clock.Now(), back: g.AutoRollback,
	}
	if d.config == "" {
		d.config = g.ConfigName
	}
	if in.AutoRollbackConfiguration != nil {
		d.back = in.AutoRollbackConfiguration
	}
	if g.application.platform == "ECS" {
		definition := fmt.Sprint(x.target()["TaskDefinition"])
		service := g.EcsServices[0]
		if d.blue, d.green, err = s.ecs.TaskSets(service.ClusterName, service.ServiceName, definition); err != nil {
			return nil, kernel.Errorf("InvalidRevisionException", "%v", err)
		}
		s.place(d)
	}
	s.start(d)
	return &deploymentID{d.id}, nil
}

// start begins a deployment.
func (s *Service) start(d *deployment) {
	for _, name := range eventsOf(d.group) {
		d.events = append(d.events, &event{name: name, status: "Pending"})
	}
	s.deployments = append(s.deployments, d)
	d.next = s.Clock.After(beginTakes, func() {
		d.status, d.started = "InProgress", s.Clock.Now()
		s.tell(d, "START")
		if service := s.forbidden(d); service != "" {
			s.fail(d, nil, "IAM_ROLE_PERMISSIONS", "The IAM role "+d.group.ServiceRoleArn+
				" does not give you permission to perform operations in the following AWS service: "+service+".")
			return
		}
		if a := d.group.Alarms; d.creator == "user" && a != nil && a.Enabled {
			for _, m := range a.Alarms {
				if s.State(m["name"]) == "ALARM" {
					s.Alarm(m["name"])
				}
			}
		}
		s.enter(d, 0)
	})
}

// forbidden returns the AWS service in which the group's role may not do what the deployment
// needs: pass the roles of the task definition, or invoke a hook. AWS's limited roles may do
// both by name alone.
func (s *Service) forbidden(d *deployment) string {
	if d.creator != "user" {
		return ""
	}
	if d.green != nil {
		for _, role := range d.green.Roles() {
			if s.iam.Allows(d.group.ServiceRoleArn, kernel.PassRole(role, "ecs-tasks.amazonaws.com")) != nil {
				return "AmazonECS"
			}
		}
	}
	for _, e := range d.events {
		f := d.spec.hookFor(e.name)
		if f == "" {
			continue
		}
		fn := s.lambda.Function(f)
		if fn == nil || s.iam.Allows(d.group.ServiceRoleArn,
			kernel.May("lambda:InvokeFunction", s.lambda.FunctionARN(fn.Name))) != nil ||
			strings.Contains(d.group.ServiceRoleArn, "Limited") && !strings.HasPrefix(fn.Name, "CodeDeployHook_") {
			return "AWSLambda"
		}
	}
	return ""
}

// tell sends CodeDeploy's event about a deployment.
func (s *Service) tell(d *deployment, state string) {
	app, name := d.group.application.name, d.group.DeploymentGroupName
	s.Emit("aws.codedeploy", "CodeDeploy Deployment State-change Notification", []string{
		s.ARN("codedeploy", "application:"+app), s.ARN("codedeploy", "deploymentgroup:"+app+"/"+name),
	}, map[string]any{
		"instanceGroupId": d.group.id, "region": s.Options.Region, "application": app, "deploymentId": d.id,
		"state": state, "deploymentGroup": name,
	})
}

// enter begins the nth lifecycle event.
func (s *Service) enter(d *deployment, n int) {
	if d.over() {
		return
	}
	if n == len(d.events) {
		s.endBlue(d)
		return
	}
	e := d.events[n]
	e.status, e.started = "InProgress", s.Clock.Now()
	done := func() {
		if e.status == "InProgress" && !d.over() {
			e.status, e.ended = "Succeeded", s.Clock.Now()
			s.Clock.Cancel(d.next)
			s.enter(d, n+1)
		}
	}
	rollingBack := d.creator != "user"
	switch {
	case e.name == "Install" && !rollingBack:
		d.next = s.Clock.After(patience, func() {
			s.fail(d, e, "HEALTH_CONSTRAINTS", "The deployment timed out while waiting for the replacement task set "+
				"to become healthy.")
		})
		d.green.Raise(done)
	case e.name == "AllowTestTraffic" && !rollingBack:
		s.allowTest(d)
		d.next = s.Clock.After(shiftTakes, done)
	case e.name == "AllowTraffic":
		s.allowTraffic(d, done)
	default:
		function := d.spec.hookFor(e.name)
		if _, on := s.FaultOn("hooks-in-roll-back"); function == "" || rollingBack && !on {
			d.next = s.Clock.After(eventTakes, done)
			return
		}
		s.call(d, e, function)
	}
}

// call calls a hook, and waits an hour for what it reports. What the function returns, or
// that it throws, does not answer it.
func (s *Service) call(d *deployment, e *event, function string) {
	e.execution = base64.StdEncoding.EncodeToString([]byte(`{"encryptedData":"` + s.NewID("execution", 40) + `"}`))
	d.next = s.Clock.After(patience, func() {
		s.fail(d, e, "HOOK_EXECUTION_FAILURE", "The overall deployment failed because one or more of the lifecycle "+
			"event hooks timed out.")
	})
	body, err := json.Marshal(map[string]string{
		"DeploymentId": d.id, "LifecycleEventHookExecutionId": e.execution,
	})
	fn := s.lambda.Function(function)
	if err != nil || fn == nil {
		return
	}
	if _, on := s.FaultOn("async-hooks"); on {
		s.lambda.InvokeAsync(fn, body)
		return
	}
	s.lambda.Call(fn, body, func(bool, []byte) {})
}

// allowTraffic shifts the traffic as the deployment's configuration says.
func (s *Service) allowTraffic(d *deployment, done func()) {
	steps, first, every := steps(d.config)
	if d.creator != "user" {
		steps = []float64{100}
	}
	shift := func(percent float64) {
		d.weight = percent
		if d.green == nil {
			return
		}
		to, from := d.green, d.blue
		if d.returns != nil { // back to what was there
			to, from = d.blue, d.green
		}
		to.Shift(percent)
		from.Shift(100 - percent)
		s.route(d, percent, to, from)
	}
	var step func(n int)
	step = func(n int) {
		if d.over() {
			return
		}
		shift(steps[n])
		if n == len(steps)-1 {
			d.next = s.Clock.After(eventTakes, done)
			return
		}
		d.next = s.Clock.After(every, func() { step(n + 1) })
	}
	go1 := func() { d.next = s.Clock.After(first, func() { step(0) }) }
	if o := readiness(d.group); o != nil && o.ActionOnTimeout == "STOP_DEPLOYMENT" && d.creator == "user" {
		d.status, d.waiting = "Ready", func() { d.status, d.waiting = "InProgress", nil; go1() }
		s.tell(d, "READY")
		d.next = s.Clock.After(time.Duration(o.WaitTimeInMinutes)*time.Minute, func() {
			s.stop(d, "The deployment was not continued in time.", "")
		})
		return
	}
	go1()
}

func readiness(g *group) *readyOption {
	if g.BlueGreen == nil {
		return nil
	}
	return g.BlueGreen.DeploymentReady
}

var configPattern = regexp.MustCompile(`(Linear|Canary)(\d+)PercentEvery?(\d+)Minutes?$|` +
	`(Canary)(\d+)Percent(\d+)Minutes$`)

// steps are the shares of a predefined configuration, with the time to the first and
// between them.
func steps(config string) (shares []float64, first, every time.Duration) {
	m := configPattern.FindStringSubmatch(config)
	if m == nil {
		return []float64{100}, shiftTakes, 0
	}
	p, _ := strconv.ParseFloat(m[2]+m[5], 64) // digits
	n, _ := strconv.Atoi(m[3] + m[6])         // digits
	if m[1]+m[4] == "Canary" {
		return []float64{p, 100}, shiftTakes, time.Duration(n) * time.Minute
	}
	for x := p; x < 100; x += p {
		shares = append(shares, x)
	}
	return append(shares, 100), shiftTakes, time.Duration(n) * time.Minute
}

// endBlue waits as long as the group says, and ends the old task set and the deployment.
func (s *Service) endBlue(d *deployment) {
	end := func() {
		if d.over() {
			return
		}
		if d.green != nil && d.returns == nil {
			d.green.Promote()
			d.blue.Lower()
		}
		s.finish(d, "Succeeded", "SUCCESS")
	}
	wait := time.Duration(0)
	if b := d.group.BlueGreen; b != nil && b.TerminateBlue != nil && d.creator == "user" {
		wait = time.Duration(b.TerminateBlue.Wait) * time.Minute
	}
	if d.green == nil {
		wait = 0
	}
	d.waiting = end
	d.next = s.Clock.After(max(wait, eventTakes), end)
}

func (s *Service) finish(d *deployment, status, state string) {
	s.Clock.Cancel(d.next)
	d.status, d.completed = status, s.Clock.Now()
	d.waiting = nil
	for _, e := range d.events {
		switch e.status {
		case "Pending":
			e.status = "Skipped"
		case "InProgress":
			e.status, e.ended = "Failed", s.Clock.Now()
		}
	}
	s.tell(d, state)
}

// fail ends a deployment at an event, and rolls it back if it is to be.
func (s *Service) fail(d *deployment, e *event, code, message string) {
	if d.over() {
		return
	}
	d.failure = &errorInfo{code, message}
	if e != nil {
		e.message = message
	}
	s.finish(d, "Failed", "FAILURE")
	if e != nil && e.name != "BeforeInstall" {
		s.rollBack(d, "DEPLOYMENT_FAILURE")
	}
}

// stop ends a deployment on request or for an alarm.
func (s *Service) stop(d *deployment, message, why string) {
	if message != "" {
		d.failure = &errorInfo{map[bool]string{
			true: "ALARM_ACTIVE", false: "MANUAL_STOP",
		}[why == "DEPLOYMENT_STOP_ON_ALARM"], message}
	}
	installed := d.events[0].status == "Succeeded" // before that nothing can be rolled back
	s.finish(d, "Stopped", "STOP")
	if why != "" && installed {
		s.rollBack(d, why)
	}
}

// rollBack starts the deployment that takes another one back, with no hooks and no new
// task set.
func (s *Service) rollBack(d *deployment, why string) {
	if d.back == nil || !d.back.Enabled || d.creator != "user" ||
		len(d.back.Events) > 0 && !slices.Contains(d.back.Events, why) {
		return
	}
	config := "CodeDeployDefault.ECSAllAtOnce"
	if d.green == nil {
		config = "CodeDeployDefault.LambdaAllAtOnce"
	}
	b := &deployment{
		id: "d-" + strings.ToUpper(s.NewID("codedeploy", 9)), status: "Created", creator: "codeDeployRollback",
		group: d.group, config: config, revision: d.revision, spec: d.spec, created: s.Clock.Now(), blue: d.blue,
		green: d.green, returns: d,
	}
	d.rollback = &rollbackInfo{RollbackDeploymentID: b.id, RollbackMessage: fmt.Sprintf(
		"Deployment %s terminated. Automatic rollback is triggered with a DeploymentId %s.", d.id, b.id)}
	b.rollback = &rollbackInfo{RollbackTriggeringDeploymentID: d.id, RollbackMessage: fmt.Sprintf(
		"Deployment %s is triggered to roll back deployment %s.", b.id, d.id)}
	if d.green != nil {
		s.Clock.After(shiftTakes, d.green.Lower)
	}
	s.start(b)
}

// Alarm tells that an alarm sounds: deployments of groups that watch it stop.
func (s *Service) Alarm(name string) {
	for _, d := range s.deployments {
		a := d.group.Alarms
		if d.over() || d.creator != "user" || a == nil || !a.Enabled || !slices.ContainsFunc(a.Alarms,
			func(m map[string]string) bool { return m["name"] == name }) {
			continue
		}
		s.stop(d, "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, "+
			"and "+
			"the affected deployments have been stopped. Activated alarms: <"+name+">", "DEPLOYMENT_STOP_ON_ALARM")
	}
}
