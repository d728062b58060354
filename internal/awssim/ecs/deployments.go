package ecs

import (
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// deployment is a service deployment of ECS's own: from one revision to another, stage by
// stage.
type deployment struct {
	arn, id                    string
	service                    *service
	source, target             *revision
	status, stage, reason      string
	created, started, finished time.Time
	rolledBack                 time.Time
	configuration              deploymentConfiguration
	hooks                      []*firing // of the present stage
	next                       *kernel.Due
	left                       []stage
}

// stage is a step of a deployment. Production is the share of the traffic that the new
// revision gets with it; bake is how long it lasts beyond its hooks.
type stage struct {
	name       string
	production float64
	bake       time.Duration
}

// stageTakes is how long a stage without a wait of its own takes.
const stageTakes = 5 * time.Second

// over reports whether the deployment has come to an end.
func (d *deployment) over() bool { return !d.finished.IsZero() }

// stages are those of a strategy, in order. Linear and canary deployments go through those
// of the production traffic at every step.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html
func (c deploymentConfiguration) stages() []stage {
	if c.Strategy == "" || c.Strategy == "ROLLING" {
		return []stage{{name: "SCALE_UP"}, {name: "CLEAN_UP", production: 100}}
	}
	out := []stage{
		{name: "PRE_SCALE_UP"}, {name: "SCALE_UP"}, {name: "POST_SCALE_UP"}, {name: "TEST_TRAFFIC_SHIFT"},
		{name: "POST_TEST_TRAFFIC_SHIFT"},
	}
	step := func(percent float64, bake time.Duration) {
		out = append(out, stage{name: "PRE_PRODUCTION_TRAFFIC_SHIFT"},
			stage{name: "PRODUCTION_TRAFFIC_SHIFT", production: percent, bake: bake})
	}
	switch c.Strategy {
	case "LINEAR":
		l := linearJSON{10, 6}
		if c.LinearConfiguration != nil {
			l = *c.LinearConfiguration
		}
		for p := l.StepPercent; p < 100; p += l.StepPercent {
			step(p, time.Duration(l.StepBakeTimeInMinutes)*time.Minute)
		}
	case "CANARY":
		y := canaryJSON{5, 10}
		if c.CanaryConfiguration != nil {
			y = *c.CanaryConfiguration
		}
		step(y.CanaryPercent, time.Duration(y.CanaryBakeTimeInMinutes)*time.Minute)
	}
	step(100, 0)
	return append(out, stage{name: "POST_PRODUCTION_TRAFFIC_SHIFT"},
		stage{name: "BAKE_TIME", bake: time.Duration(c.BakeTimeInMinutes) * time.Minute}, stage{name: "CLEAN_UP"})
}

// deploy begins a deployment of a service. One that is under way stops.
func (s *Services) deploy(v *service) {
	for _, d := range v.deployments {
		if !d.over() {
			s.finish(d, "STOPPED", "")
			s.scale(d.target, 0)
		}
	}
	id := s.NewID("deployment", 21)
	d := &deployment{
		arn: s.ARN("ecs", "service-deployment/"+v.cluster+"/"+v.name+"/"+id), id: id, service: v, source: v.current,
		target: s.revise(v, v.definition), status: "PENDING", created: s.Clock.Now(), configuration: v.configuration,
		left: v.configuration.stages(),
	}
	v.deployments = append(v.deployments, d)
	d.next = s.Clock.After(stageTakes, func() {
		d.status, d.started = "IN_PROGRESS", s.Clock.Now()
		s.tell(d, "INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS", "in progress.")
		s.advance(d)
	})
}

// tell sends ECS's event about a service's deployment, which does not name the deployment.
func (s *Services) tell(d *deployment, kind, name, what string) {
	id := "ecs-svc/" + d.service.number
	s.Emit("aws.ecs", "ECS Deployment State Change", []string{s.arnOf(d.service)}, map[string]any{
		"eventType": kind, "eventName": name, "clusterArn": s.ClusterARN(d.service.cluster), "deploymentId": id,
		"updatedAt": s.Clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"reason":    "ECS deployment " + id + " " + what,
	})
}

// advance enters the next stage of a deployment, or ends it.
func (s *Services) advance(d *deployment) {
	if len(d.left) == 0 {
		s.finish(d, "SUCCESSFUL", "")
		s.tell(d, "INFO", "SERVICE_DEPLOYMENT_COMPLETED", "completed.")
		return
	}
	step := d.left[0]
	d.left, d.stage = d.left[1:], step.name
	hooks := func() { s.fire(d, func() { s.advance(d) }) }
	wait := stageTakes
	switch step.name {
	case "SCALE_UP":
		d.target.ready = func() {
			if !d.over() && d.stage == "SCALE_UP" && d.status == "IN_PROGRESS" {
				hooks()
			}
		}
		s.scale(d.target, d.service.desired)
		return
	case "TEST_TRAFFIC_SHIFT":
		s.testTraffic(d, 100)
	case "PRODUCTION_TRAFFIC_SHIFT":
		s.shift(d, step.production)
		wait += step.bake
	case "BAKE_TIME":
		wait += step.bake
	case "CLEAN_UP":
		s.shift(d, 100)
		d.target.test = 0
		d.service.current = d.target
		if d.source != nil {
			s.scale(d.source, 0)
		}
	}
	d.next = s.Clock.After(wait, hooks)
}

// shift gives the new revision its share of the traffic.
func (s *Services) shift(d *deployment, percent float64) {
	d.target.production = percent
	if d.source != nil {
		d.source.production = 100 - percent
	}
	s.route(d, percent, func(a *advancedLoadBalancerJSON) string { return a.ProductionListenerRule })
}

// finish ends a deployment.
func (s *Services) finish(d *deployment, status, reason string) {
	s.Clock.Cancel(d.next)
	d.status, d.finished = status, s.Clock.Now()
	d.hooks = nil
	if reason != "" {
		d.reason = reason
	}
}

// rollBack takes a deployment back: the traffic at once, then the tasks. The hooks of the
// traffic's stages are called again, with nothing left for the new revision.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html
func (s *Services) rollBack(d *deployment, reason string) {
	if d.over() || d.status != "IN_PROGRESS" && d.status != "PENDING" {
		return
	}
	s.Clock.Cancel(d.next)
	d.status, d.reason = "ROLLBACK_REQUESTED", reason
	d.rolledBack = s.Clock.Now()
	d.hooks, d.left = nil, nil
	if _, silent := s.FaultOn("no-failed-event"); !silent {
		s.tell(d, "ERROR", "SERVICE_DEPLOYMENT_FAILED", "failed: "+reason)
	}
	again := []string{"TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"}
	if d.target.test == 0 && d.target.production == 0 {
		again = nil
	}
	var step func()
	step = func() {
		if d.over() {
			return
		}
		if len(again) == 0 {
			s.scale(d.target, 0)
			d.stage = "CLEAN_UP"
			s.finish(d, "ROLLBACK_SUCCESSFUL", reason)
			s.tell(d, "INFO", "SERVICE_DEPLOYMENT_COMPLETED", "completed.")
			return
		}
		d.stage = again[0]
		again = again[1:]
		s.fire(d, step)
	}
	d.next = s.Clock.After(stageTakes, func() {
		d.status = "ROLLBACK_IN_PROGRESS"
		s.tell(d, "INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS", "in progress.")
		s.shift(d, 0)
		s.testTraffic(d, 0)
		step()
	})
}

// Alarm tells that an alarm begins to sound: deployments under way that watch it are taken
// back. One that sounded before they began is ignored.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
func (s *Services) Alarm(name string) {
	for _, v := range s.services {
		for _, d := range v.deployments {
			if a := d.configuration.Alarms; !d.over() && a != nil && a.Enable && a.Rollback &&
				slices.Contains(a.AlarmNames, name) {
				s.rollBack(d, "deployment failed: alarm detected")
			}
		}
	}
}

// deploymentOf finds a deployment by ARN, or nil.
func (s *Services) deploymentOf(arn string) *deployment {
	for _, v := range s.services {
		if d := kernel.Find(v.deployments, func(d *deployment) bool { return d.arn == arn }); d != nil {
			return d
		}
	}
	return nil
}

type briefJSON struct {
	ServiceDeploymentArn     string        `json:"serviceDeploymentArn"`
	ServiceArn               string        `json:"serviceArn"`
	ClusterArn               string        `json:"clusterArn"`
	Status                   string        `json:"status"`
	StatusReason             string        `json:"statusReason,omitempty"`
	TargetServiceRevisionArn string        `json:"targetServiceRevisionArn"`
	CreatedAt                *kernel.Stamp `json:"createdAt"`
	StartedAt                *kernel.Stamp `json:"startedAt,omitempty"`
	FinishedAt               *kernel.Stamp `json:"finishedAt,omitempty"`
}

// deploymentKept is how long ECS lists a deployment that has ended.
const deploymentKept = 90 * 24 * time.Hour

func (s *Services) listDeployments(_ *kernel.Call, in *struct {
	Cluster, Service, NextToken string
	MaxResults                  int
	Status                      []string
	CreatedAt                   *map[string]any
}) (*struct {
	ServiceDeployments []briefJSON `json:"serviceDeployments"`
}, error) {
	v, err := s.serviceOf(in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	out := &struct {
		ServiceDeployments []briefJSON `json:"serviceDeployments"`
	}{[]briefJSON{}}
	for _, d := range slices.Backward(v.deployments) {
		if len(in.Status) > 0 && !slices.Contains(in.Status, d.status) ||
			d.over() && s.Clock.Now().Sub(d.finished) > deploymentKept {
			continue
		}
		out.ServiceDeployments = append(out.ServiceDeployments, briefJSON{
			d.arn, s.arnOf(v), s.ClusterARN(v.cluster), d.status, d.reason, d.target.arn, kernel.StampOf(d.created),
			kernel.StampOf(d.started), kernel.StampOf(d.finished),
		})
	}
	return out, nil
}

type revisionJSON struct {
	Arn        string  `json:"arn"`
	Requested  int     `json:"requestedTaskCount"`
	Running    int     `json:"runningTaskCount"`
	Pending    int     `json:"pendingTaskCount"`
	Production float64 `json:"requestedProductionTrafficWeight"`
	Test       float64 `json:"requestedTestTrafficWeight"`
}

func (r *revision) json() revisionJSON {
	running, pending := r.counts()
	return revisionJSON{r.arn, r.wanted, running, pending, r.production, r.test}
}

type deploymentJSON struct {
	ServiceDeploymentArn    string                  `json:"serviceDeploymentArn"`
	ServiceArn              string                  `json:"serviceArn"`
	ClusterArn              string                  `json:"clusterArn"`
	Status                  string                  `json:"status"`
	StatusReason            string                  `json:"statusReason,omitempty"`
	LifecycleStage          string                  `json:"lifecycleStage,omitempty"`
	CreatedAt               *kernel.Stamp           `json:"createdAt"`
	StartedAt               *kernel.Stamp           `json:"startedAt,omitempty"`
	FinishedAt              *kernel.Stamp           `json:"finishedAt,omitempty"`
	UpdatedAt               *kernel.Stamp           `json:"updatedAt,omitempty"`
	SourceServiceRevisions  []revisionJSON          `json:"sourceServiceRevisions"`
	TargetServiceRevision   revisionJSON            `json:"targetServiceRevision"`
	DeploymentConfiguration deploymentConfiguration `json:"deploymentConfiguration"`
	LifecycleHookDetails    []hookJSON              `json:"lifecycleHookDetails"`
	Rollback                *rollbackJSON           `json:"rollback,omitempty"`
}

type rollbackJSON struct {
	Reason             string        `json:"reason,omitempty"`
	StartedAt          *kernel.Stamp `json:"startedAt"`
	ServiceRevisionArn string        `json:"serviceRevisionArn,omitempty"`
}

func (s *Services) describeDeployments(_ *kernel.Call, in *struct{ ServiceDeploymentArns []string }) (*struct {
	ServiceDeployments []deploymentJSON `json:"serviceDeployments"`
	Failures           []failureJSON    `json:"failures"`
}, error) {
	out := &struct {
		ServiceDeployments []deploymentJSON `json:"serviceDeployments"`
		Failures           []failureJSON    `json:"failures"`
	}{[]deploymentJSON{}, []failureJSON{}}
	if len(in.ServiceDeploymentArns) == 0 {
		return nil, bad("Service deployments cannot be empty.")
	}
	for _, arn := range in.ServiceDeploymentArns {
		d := s.deploymentOf(arn)
		if d == nil {
			out.Failures = append(out.Failures, failureJSON{arn, "MISSING"})
			continue
		}
		j := deploymentJSON{
			ServiceDeploymentArn: d.arn, ServiceArn: s.arnOf(d.service), ClusterArn: s.ClusterARN(d.service.cluster),
			Status: d.status, StatusReason: d.reason, LifecycleStage: d.stage, CreatedAt: kernel.StampOf(d.created),
			StartedAt: kernel.StampOf(d.started), FinishedAt: kernel.StampOf(d.finished),
			UpdatedAt: kernel.StampOf(s.Clock.Now()), TargetServiceRevision: d.target.json(),
			SourceServiceRevisions: []revisionJSON{}, DeploymentConfiguration: d.configuration,
			LifecycleHookDetails: []hookJSON{},
		}
		if d.source != nil {
			j.SourceServiceRevisions = append(j.SourceServiceRevisions, d.source.json())
		}
		if !d.rolledBack.IsZero() {
			j.Rollback = &rollbackJSON{Reason: d.reason, StartedAt: kernel.StampOf(d.rolledBack)}
			if d.source != nil {
				j.Rollback.ServiceRevisionArn = d.source.arn
			}
		}
		for _, f := range d.hooks {
			j.LifecycleHookDetails = append(j.LifecycleHookDetails, f.json())
		}
		out.ServiceDeployments = append(out.ServiceDeployments, j)
	}
	return out, nil
}

func (s *Services) describeRevisions(_ *kernel.Call, in *struct{ ServiceRevisionArns []string }) (*struct {
	ServiceRevisions []map[string]any `json:"serviceRevisions"`
	Failures         []failureJSON    `json:"failures"`
}, error) {
	out := &struct {
		ServiceRevisions []map[string]any `json:"serviceRevisions"`
		Failures         []failureJSON    `json:"failures"`
	}{[]map[string]any{}, []failureJSON{}}
	for _, arn := range in.ServiceRevisionArns {
		found := false
		for _, v := range s.services {
			for _, r := range s.revisions(v) {
				if r.arn != arn {
					continue
				}
				found = true
				out.ServiceRevisions = append(out.ServiceRevisions, map[string]any{
					"serviceRevisionArn": r.arn, "serviceArn": s.arnOf(v), "clusterArn": s.ClusterARN(v.cluster),
					"taskDefinition": r.definition.ARN(s.Service), "createdAt": kernel.Stamp{Time: r.created},
					"launchType": "FARGATE",
				})
			}
		}
		if !found {
			out.Failures = append(out.Failures, failureJSON{arn, "MISSING"})
		}
	}
	return out, nil
}

type arnReply struct {
	ServiceDeploymentArn string `json:"serviceDeploymentArn"`
}

func (s *Services) stopDeployment(_ *kernel.Call,
	in *struct{ ServiceDeploymentArn, StopType string }) (*arnReply, error) {
	d := s.deploymentOf(in.ServiceDeploymentArn)
	switch {
	case d == nil:
		return nil, kernel.Errorf("ServiceDeploymentNotFoundException", "Service deployment not found.")
	case d.over() || strings.HasPrefix(d.status, "ROLLBACK"):
		return nil, kernel.Errorf("ConflictException",
			"The service deployment is in a state that does not allow it to be stopped.")
	case in.StopType == "ABORT":
		d.service.current = d.target
		s.finish(d, "STOPPED", "Service deployment stopped.")
	default:
		s.rollBack(d, "Service deployment rolled back on request.")
	}
	return &arnReply{d.arn}, nil
}
