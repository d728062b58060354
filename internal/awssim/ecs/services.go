package ecs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/autoscaling"
	"drawbridge/internal/awssim/elbv2"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/lambda"
)

// Services are the simulated services of ECS, with their deployments.
type Services struct {
	*Service
	lambda    *lambda.Service
	elb       *elbv2.Service
	instances *autoscaling.Service

	services []*service
}

// service is an ECS service. One with the CODE_DEPLOY controller is deployed by CodeDeploy,
// which moves its revisions itself.
type service struct {
	name, cluster string
	controller    string
	definition    *taskDefinition
	desired       int
	network       vpcConfiguration
	balancers     []loadBalancer
	configuration deploymentConfiguration
	created       time.Time
	number        string // of its deployments, as in ecs-svc/N
	deployments   []*deployment
	current       *revision
	gone          bool
	onInstances   bool // of EC2, in its network
}

// revision is a service revision, or a task set of CodeDeploy's, with its tasks.
type revision struct {
	arn        string
	service    *service
	definition *taskDefinition
	created    time.Time
	tasks      []*task
	wanted     int
	// production and test are its shares of the traffic, in percent.
	production, test float64
	failures         int         // tasks that did not start, in a row
	placing          *kernel.Due // when an instance is looked for again
	// ready is called once all wanted tasks run.
	ready func()
	// group is the ARN of the target group that its tasks are in; empty without one.
	group   string
	targets map[*task]*elbv2.Target
}

type loadBalancer struct {
	TargetGroupArn        string                    `json:"targetGroupArn,omitempty"`
	LoadBalancerName      string                    `json:"loadBalancerName,omitempty"`
	ContainerName         string                    `json:"containerName,omitempty"`
	ContainerPort         int                       `json:"containerPort,omitempty"`
	AdvancedConfiguration *advancedLoadBalancerJSON `json:"advancedConfiguration,omitempty"`
}

type advancedLoadBalancerJSON struct {
	AlternateTargetGroupArn string `json:"alternateTargetGroupArn,omitempty"`
	ProductionListenerRule  string `json:"productionListenerRule,omitempty"`
	TestListenerRule        string `json:"testListenerRule,omitempty"`
	RoleArn                 string `json:"roleArn,omitempty"`
}

// deploymentConfiguration is how a service is deployed, as the API has it.
type deploymentConfiguration struct {
	Strategy                 string           `json:"strategy,omitempty"`
	BakeTimeInMinutes        int              `json:"bakeTimeInMinutes,omitempty"`
	MaximumPercent           int              `json:"maximumPercent,omitempty"`
	MinimumHealthyPercent    int              `json:"minimumHealthyPercent,omitempty"`
	LifecycleHooks           []hook           `json:"lifecycleHooks,omitempty"`
	LinearConfiguration      *linearJSON      `json:"linearConfiguration,omitempty"`
	CanaryConfiguration      *canaryJSON      `json:"canaryConfiguration,omitempty"`
	Alarms                   *alarmsJSON      `json:"alarms,omitempty"`
	DeploymentCircuitBreaker *map[string]bool `json:"deploymentCircuitBreaker,omitempty"`
}

type linearJSON struct {
	StepPercent           float64 `json:"stepPercent"`
	StepBakeTimeInMinutes int     `json:"stepBakeTimeInMinutes"`
}

type canaryJSON struct {
	CanaryPercent           float64 `json:"canaryPercent"`
	CanaryBakeTimeInMinutes int     `json:"canaryBakeTimeInMinutes"`
}

type alarmsJSON struct {
	AlarmNames []string `json:"alarmNames"`
	Enable     bool     `json:"enable"`
	Rollback   bool     `json:"rollback"`
}

// NewServices adds services to ECS.
func NewServices(s *Service, functions *lambda.Service, balancers *elbv2.Service,
	instances *autoscaling.Service) *Services {
	x := &Services{Service: s, lambda: functions, elb: balancers, instances: instances}
	s.changed = x.taskChanged
	instances.Ended = x.instanceEnded
	balancers.Direct = x.direct
	for name, op := range map[string]kernel.Operation{
		"CreateService":              kernel.Op(x.createService),
		"UpdateService":              kernel.Op(x.updateService),
		"DeleteService":              kernel.Op(x.deleteService),
		"DescribeServices":           kernel.Op(x.describeServices),
		"ListServices":               kernel.Op(x.listServices),
		"ListServiceDeployments":     kernel.Op(x.listDeployments),
		"DescribeServiceDeployments": kernel.Op(x.describeDeployments),
		"DescribeServiceRevisions":   kernel.Op(x.describeRevisions),
		"StopServiceDeployment":      kernel.Op(x.stopDeployment),
		"ContinueServiceDeployment":  kernel.Op(x.continueDeployment),
	} {
		s.api.Ops[name] = op
	}
	return x
}

func (s *Services) arnOf(v *service) string { return s.ARN("ecs", "service/"+v.cluster+"/"+v.name) }

// find finds a service by name or ARN in a cluster, or nil.
func (s *Services) find(cluster, given string) *service {
	name := given[strings.LastIndex(given, "/")+1:]
	return kernel.Find(s.services, func(v *service) bool { return v.name == name && v.cluster == cluster && !v.gone })
}

func (s *Services) serviceOf(cluster, given string) (*service, error) {
	name, err := s.clusterName(cluster)
	if err != nil {
		return nil, err
	}
	if v := s.find(name, given); v != nil {
		return v, nil
	}
	return nil, kernel.Errorf("ServiceNotFoundException", "Service not found.")
}

type serviceInput struct {
	Cluster, ServiceName, TaskDefinition, LaunchType, PlatformVersion, ClientToken string
	Role, SchedulingStrategy, PropagateTags, AvailabilityZoneRebalancing           string
	DesiredCount                                                                   *int
	DeploymentController                                                           struct{ Type string }
	DeploymentConfiguration                                                        deploymentConfiguration
	NetworkConfiguration                                                           struct {
		AwsvpcConfiguration vpcConfiguration
	}
	LoadBalancers                              []loadBalancer
	HealthCheckGracePeriodSeconds              int
	Tags                                       []ecsTag
	EnableECSManagedTags, EnableExecuteCommand bool
}

type serviceReply struct {
	Service serviceJSON `json:"service"`
}

func (s *Services) createService(_ *kernel.Call, in *serviceInput) (*serviceReply, error) {
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	if s.find(cluster, in.ServiceName) != nil {
		return nil, bad("Creation of service was not idempotent.")
	}
	d := s.definition(in.TaskDefinition)
	if d == nil {
		return nil, kernel.Errorf("ClientException", "TaskDefinition not found.")
	}
	if err := checkHooks(in.DeploymentConfiguration.LifecycleHooks); err != nil {
		return nil, err
	}
	n := in.NetworkConfiguration.AwsvpcConfiguration
	onInstances := in.LaunchType == "EC2" && kernel.Text(d.raw, "networkMode") != "awsvpc"
	if !onInstances && (len(n.Subnets) == 0 || s.ec2.Subnet(n.Subnets[0]) == nil) {
		return nil, bad("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	}
	v := &service{
		name: in.ServiceName, cluster: cluster, controller: in.DeploymentController.Type, definition: d, desired: 1,
		network: n, balancers: in.LoadBalancers, configuration: in.DeploymentConfiguration, created: s.Clock.Now(),
		number: s.Digest("ecs-svc "+cluster+in.ServiceName, 16),
	}
	v.onInstances = onInstances
	if in.DesiredCount != nil {
		v.desired = *in.DesiredCount
	}
	if v.controller == "" {
		v.controller = "ECS"
	}
	s.services = append(s.services, v)
	if v.controller == "ECS" {
		s.deploy(v)
	} else {
		v.current = s.revise(v, d)
		v.current.production = 100
		s.scale(v.current, v.desired)
	}
	return &serviceReply{s.serviceJSON(v)}, nil
}

// revise adds a revision of a service.
func (s *Services) revise(v *service, d *taskDefinition) *revision {
	return &revision{
		arn:     s.ARN("ecs", fmt.Sprintf("service-revision/%s/%s/%s", v.cluster, v.name, s.NewID("revision", 19))),
		service: v, definition: d, created: s.Clock.Now(), group: v.groupOf(), targets: map[*task]*elbv2.Target{},
	}
}

func (s *Services) updateService(_ *kernel.Call, in *struct {
	Cluster, Service, TaskDefinition, PlatformVersion string
	DesiredCount                                      *int
	ForceNewDeployment                                bool
	DeploymentConfiguration                           *deploymentConfiguration
	LoadBalancers                                     []loadBalancer
	NetworkConfiguration                              *struct {
		AwsvpcConfiguration vpcConfiguration
	}
}) (*serviceReply, error) {
	v, err := s.serviceOf(in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	if v.controller == "CODE_DEPLOY" && (in.TaskDefinition != "" || in.LoadBalancers != nil ||
		in.NetworkConfiguration != nil) {
		return nil, bad("Unable to update task definition on services with a CODE_DEPLOY deployment controller. " +
			"Use AWS CodeDeploy to trigger a new deployment.")
	}
	if in.DeploymentConfiguration != nil {
		if err := checkHooks(in.DeploymentConfiguration.LifecycleHooks); err != nil {
			return nil, err
		}
		v.configuration = *in.DeploymentConfiguration
	}
	if in.DesiredCount != nil {
		v.desired = *in.DesiredCount
		if v.current != nil {
			s.scale(v.current, v.desired)
		}
	}
	deploys := in.ForceNewDeployment
	if in.TaskDefinition != "" {
		d := s.definition(in.TaskDefinition)
		if d == nil {
			return nil, kernel.Errorf("ClientException", "TaskDefinition not found.")
		}
		deploys = deploys || d != v.definition
		v.definition = d
	}
	if deploys {
		s.deploy(v)
	}
	return &serviceReply{s.serviceJSON(v)}, nil
}

func (s *Services) deleteService(_ *kernel.Call, in *struct {
	Cluster, Service string
	Force            bool
}) (*serviceReply, error) {
	v, err := s.serviceOf(in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	if v.desired > 0 && !in.Force {
		return nil, bad("The service cannot be stopped while it is scaled above 0.")
	}
	s.remove(v)
	return &serviceReply{s.serviceJSON(v)}, nil
}

// remove removes a service: its deployments stop, and so do its tasks.
func (s *Services) remove(v *service) {
	v.gone = true
	for _, d := range v.deployments {
		if !d.over() {
			s.finish(d, "STOPPED", "")
			s.scale(d.target, 0)
		}
	}
	if v.current != nil {
		s.scale(v.current, 0)
	}
}

type serviceJSON struct {
	ServiceArn              string                    `json:"serviceArn"`
	ServiceName             string                    `json:"serviceName"`
	ClusterArn              string                    `json:"clusterArn"`
	Status                  string                    `json:"status"`
	LoadBalancers           []loadBalancer            `json:"loadBalancers"`
	DesiredCount            int                       `json:"desiredCount"`
	RunningCount            int                       `json:"runningCount"`
	PendingCount            int                       `json:"pendingCount"`
	LaunchType              string                    `json:"launchType"`
	TaskDefinition          string                    `json:"taskDefinition"`
	DeploymentController    map[string]string         `json:"deploymentController"`
	DeploymentConfiguration deploymentConfiguration   `json:"deploymentConfiguration"`
	NetworkConfiguration    map[string]map[string]any `json:"networkConfiguration,omitempty"`
	CreatedAt               *kernel.Stamp             `json:"createdAt"`
	CurrentDeployment       string                    `json:"currentServiceDeployment,omitempty"`
	Events                  []struct{}                `json:"events"`
	TaskSets                []taskSetJSON             `json:"taskSets,omitempty"`
}

type taskSetJSON struct {
	ID             string        `json:"id"`
	ARN            string        `json:"taskSetArn"`
	ServiceArn     string        `json:"serviceArn"`
	ClusterArn     string        `json:"clusterArn"`
	StartedBy      string        `json:"startedBy"`
	Status         string        `json:"status"`
	TaskDefinition string        `json:"taskDefinition"`
	Desired        int           `json:"computedDesiredCount"`
	Pending        int           `json:"pendingCount"`
	Running        int           `json:"runningCount"`
	CreatedAt      *kernel.Stamp `json:"createdAt"`
}

// taskSets are the task sets of a service that CodeDeploy deploys; the one with most of the
// traffic is the primary one.
func (s *Services) taskSets(v *service) []taskSetJSON {
	var out []taskSetJSON
	for _, r := range s.revisions(v) {
		running, pending := r.counts()
		if r != v.current && r.wanted == 0 {
			continue
		}
		id := "ecs-svc/" + s.Digest("task set "+r.arn, 19)
		j := taskSetJSON{
			id, s.ARN("ecs", "task-set/"+v.cluster+"/"+v.name+"/"+id), s.arnOf(v), s.ClusterARN(v.cluster),
			"CODE_DEPLOY", "ACTIVE", r.definition.ARN(s.Service), r.wanted, pending, running, kernel.StampOf(r.created),
		}
		if r.production > 50 {
			j.Status = "PRIMARY"
		}
		out = append(out, j)
	}
	return out
}

func (s *Services) serviceJSON(v *service) serviceJSON {
	out := serviceJSON{
		ServiceArn: s.arnOf(v), ServiceName: v.name, ClusterArn: s.ClusterARN(v.cluster), Status: "ACTIVE",
		LoadBalancers: append([]loadBalancer{}, v.balancers...), DesiredCount: v.desired, LaunchType: v.launchType(),
		TaskDefinition: v.definition.ARN(s.Service), DeploymentController: map[string]string{"type": v.controller},
		DeploymentConfiguration: v.configuration, CreatedAt: kernel.StampOf(v.created), Events: []struct{}{},
		NetworkConfiguration: map[string]map[string]any{"awsvpcConfiguration": {
			"subnets":        append([]string{}, v.network.Subnets...),
			"securityGroups": append([]string{}, v.network.SecurityGroups...),
		}},
	}
	if v.onInstances {
		out.NetworkConfiguration = nil
	}
	if v.gone {
		out.Status = "DRAINING"
	}
	for _, r := range s.revisions(v) {
		running, pending := r.counts()
		out.RunningCount, out.PendingCount = out.RunningCount+running, out.PendingCount+pending
	}
	if v.controller == "CODE_DEPLOY" {
		out.TaskSets = s.taskSets(v)
		return out
	}
	if n := len(v.deployments); n > 0 {
		out.CurrentDeployment = v.deployments[n-1].arn
	}
	return out
}

func (v *service) launchType() string {
	if v.onInstances {
		return "EC2"
	}
	return "FARGATE"
}

// revisions are those that may have tasks.
func (s *Services) revisions(v *service) []*revision {
	var out []*revision
	if v.current != nil {
		out = append(out, v.current)
	}
	for _, d := range v.deployments {
		for _, r := range []*revision{d.target, d.source} {
			if r != nil && !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

func (r *revision) counts() (running, pending int) {
	for _, t := range r.tasks {
		switch t.status {
		case "RUNNING":
			running++
		case "PENDING", "PROVISIONING":
			pending++
		}
	}
	return running, pending
}

func (s *Services) describeServices(_ *kernel.Call, in *struct {
	Cluster           string
	Services, Include []string
}) (*struct {
	Services []serviceJSON `json:"services"`
	Failures []failureJSON `json:"failures"`
}, error) {
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &struct {
		Services []serviceJSON `json:"services"`
		Failures []failureJSON `json:"failures"`
	}{[]serviceJSON{}, []failureJSON{}}
	for _, given := range in.Services {
		if v := s.find(cluster, given); v != nil {
			out.Services = append(out.Services, s.serviceJSON(v))
			continue
		}
		out.Failures = append(out.Failures, failureJSON{
			s.ARN("ecs", "service/"+cluster+"/"+given[strings.LastIndex(given, "/")+1:]), "MISSING",
		})
	}
	return out, nil
}

func (s *Services) listServices(_ *kernel.Call, in *struct {
	Cluster, NextToken, LaunchType, SchedulingStrategy string
	MaxResults                                         int
}) (*struct {
	ServiceArns []string `json:"serviceArns"`
}, error) {
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &struct {
		ServiceArns []string `json:"serviceArns"`
	}{[]string{}}
	for _, v := range s.services {
		if v.cluster == cluster && !v.gone {
			out.ServiceArns = append(out.ServiceArns, s.arnOf(v))
		}
	}
	return out, nil
}

// scale has a revision run so many tasks.
func (s *Services) scale(r *revision, wanted int) {
	r.wanted = wanted
	s.keep(r)
}

// keep starts and stops tasks of a revision until it has what it wants.
func (s *Services) keep(r *revision) {
	live := slices.DeleteFunc(slices.Clone(r.tasks), func(t *task) bool { return !t.stopping.IsZero() })
	for n := len(live); n < r.wanted; n++ {
		in := &runTaskInput{StartedBy: "ecs-svc/" + r.service.number, Group: "service:" + r.service.name}
		if r.service.onInstances {
			if t := s.place(in, r, n); t != nil {
				r.tasks = append(r.tasks, t)
				continue
			}
			s.Clock.Cancel(r.placing) // one look is due at a time
			r.placing = s.Clock.After(placeEvery, func() { s.keep(r) })
			return
		}
		in.NetworkConfiguration.AwsvpcConfiguration = r.service.network
		subnets := r.service.network.Subnets
		sub := s.ec2.Subnet(subnets[n%len(subnets)])
		r.tasks = append(r.tasks, s.addTask(in, r.service.cluster, r.definition, sub, n))
	}
	for n := len(live); n > r.wanted; n-- {
		s.beginStop(live[n-1], "ServiceSchedulerInitiated", "Scaling activity initiated by deployment "+
			"ecs-svc/"+r.service.number, "", nil)
	}
	s.checkReady(r)
}

// placeEvery is how often ECS looks for an instance for a task.
const placeEvery = 30 * time.Second

// place starts a task of a service on the instance that has the fewest of it, in the zone that
// has the fewest, as the strategy spread does; nil where no agent is connected.
func (s *Services) place(in *runTaskInput, r *revision, n int) *task {
	load := func(is func(*task) bool) (n int) {
		for _, t := range r.tasks {
			if t.stopping.IsZero() && is(t) {
				n++
			}
		}
		return n
	}
	var best *autoscaling.Instance
	least := 0
	for _, i := range s.instances.Of(r.service.cluster) {
		tasks := 100*load(func(t *task) bool { return t.subnet.Zone == i.Zone }) +
			load(func(t *task) bool { return t.instance == i.ID })
		if best == nil || tasks < least {
			best, least = i, tasks
		}
	}
	if best == nil {
		return nil
	}
	in.NetworkConfiguration.AwsvpcConfiguration.SecurityGroups = best.Groups
	t := s.addTask(in, r.service.cluster, r.definition, s.ec2.Subnet(best.Subnet), n)
	t.instance = best.ID
	return t
}

// instanceEnded ends the tasks of an instance that is gone.
func (s *Services) instanceEnded(id string) {
	for _, t := range s.Tasks {
		if t.instance == id {
			s.beginStop(t, "TerminationNotice", "Host EC2 (instance "+id+") terminated.", "", nil)
		}
	}
}

// checkReady tells who waits for a revision that all its tasks run.
func (s *Services) checkReady(r *revision) {
	if running, _ := r.counts(); r.ready != nil && running >= r.wanted {
		ready := r.ready
		r.ready = nil
		s.Clock.After(healthTakes, func() { s.whenHealthy(r, ready) })
	}
}

// whenHealthy waits until the load balancer takes each task of a revision for healthy.
func (s *Services) whenHealthy(r *revision, ready func()) {
	for _, target := range r.targets {
		if !s.elb.Healthy(r.group, target) {
			s.Clock.After(healthTakes, func() { s.whenHealthy(r, ready) })
			return
		}
	}
	ready()
}

// healthTakes is how long a running task takes to be healthy, retryTakes after how long a
// task that did not start is replaced, at first.
const healthTakes, retryTakes = 10 * time.Second, 10 * time.Second

// taskChanged follows the tasks of services: one that has stopped is replaced, later each
// time that none could start.
func (s *Services) taskChanged(t *task) {
	for _, v := range s.services {
		for _, r := range s.revisions(v) {
			if !slices.Contains(r.tasks, t) {
				continue
			}
			switch t.status {
			case "DEPROVISIONING":
				s.leave(r, t)
			case "RUNNING":
				r.failures = 0
				s.join(r, t)
				s.checkReady(r)
			case "STOPPED":
				if t.Started.IsZero() {
					r.failures++
				}
				s.Clock.After(retryTakes<<min(r.failures, 6), func() { s.keep(r) })
			}
			return
		}
	}
}

// TaskSet is a task set of a service that CodeDeploy deploys.
type TaskSet struct {
	services *Services
	revision *revision
}

// TaskSetState is a task set as CodeDeploy shows it.
type TaskSetState struct {
	ID                        string
	Desired, Running, Pending int
	Weight                    float64
}

// TaskSets returns the present task set of a service, and a new one for a task definition,
// which has no tasks yet. It reports what is wrong with either.
func (s *Services) TaskSets(cluster, name, definition string) (present, next *TaskSet, err error) {
	v := s.find(cluster, name)
	if v == nil {
		return nil, nil, kernel.Errorf("ServiceNotFoundException", "Service not found.")
	}
	d := s.definition(definition)
	if d == nil {
		return nil, nil, bad("Unable to describe task definition.")
	}
	r := s.revise(v, d)
	r.group = "" // CodeDeploy says which
	return &TaskSet{s, v.current}, &TaskSet{s, r}, nil
}

// Controller returns the deployment controller of a service, "" if there is none.
func (s *Services) Controller(cluster, name string) string {
	if v := s.find(cluster, name); v != nil {
		return v.controller
	}
	return ""
}

// Raise starts the task set's tasks, as many as the service wants, and calls ready once all
// are healthy.
func (t *TaskSet) Raise(ready func()) {
	v := t.revision.service
	v.deployments = append(v.deployments, &deployment{service: v, target: t.revision, finished: v.created})
	t.revision.ready = ready
	t.services.scale(t.revision, v.desired)
}

// Roles are the roles of the task set's task definition, which whoever starts it passes.
func (t *TaskSet) Roles() []string {
	var out []string
	for _, k := range []string{"executionRoleArn", "taskRoleArn"} {
		if role := kernel.Text(t.revision.definition.raw, k); role != "" {
			out = append(out, role)
		}
	}
	return out
}

// Lower stops the task set's tasks.
func (t *TaskSet) Lower() { t.services.scale(t.revision, 0) }

// Shift gives the task set a share of the traffic, in percent.
func (t *TaskSet) Shift(percent float64) { t.revision.production = percent }

// Promote makes the task set the service's present one.
func (t *TaskSet) Promote() {
	t.revision.service.current, t.revision.service.definition = t.revision, t.revision.definition
}

// State is the task set as it is now.
func (t *TaskSet) State() TaskSetState {
	running, pending := t.revision.counts()
	return TaskSetState{
		"ecs-svc/" + t.services.Digest(t.revision.arn, 19), t.revision.wanted, running, pending, t.revision.production,
	}
}

// Remove removes a service by ARN, with its tasks.
func (s *Services) Remove(arn string) {
	for _, v := range s.services {
		if s.arnOf(v) == arn && !v.gone {
			s.remove(v)
		}
	}
}

// Deployed returns the state of a service's last deployment; "" for one that CodeDeploy
// deploys.
func (s *Services) Deployed(arn string) string {
	for _, v := range s.services {
		if s.arnOf(v) != arn || v.gone {
			continue
		}
		if v.controller != "ECS" && v.current != nil {
			if running, _ := v.current.counts(); running < v.desired {
				return "IN_PROGRESS"
			}
		}
		if v.controller == "ECS" && len(v.deployments) > 0 {
			return v.deployments[len(v.deployments)-1].status
		}
	}
	return ""
}
