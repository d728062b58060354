// Package codedeploy simulates CodeDeploy for ECS and Lambda: applications, deployment
// groups, deployments with their lifecycle events and hooks, time-outs and roll-backs.
package codedeploy

import (
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"drawbridge/internal/awssim/ecs"
	"drawbridge/internal/awssim/elbv2"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/lambda"
)

// Service is the simulated CodeDeploy.
type Service struct {
	*kernel.Kernel
	ecs    *ecs.Services
	iam    *iam.Service
	lambda *lambda.Service
	elb    *elbv2.Service
	// State returns the state of an alarm by name.
	State func(alarm string) string

	applications []*application
	deployments  []*deployment
}

type application struct {
	name, id, platform string
	created            time.Time
	groups             []*group
}

// group is a deployment group, as the API has it.
type group struct {
	application *application
	id          string
	groupInput
}

type groupInput struct {
	ApplicationName     string         `json:"applicationName"`
	DeploymentGroupName string         `json:"deploymentGroupName"`
	ConfigName          string         `json:"deploymentConfigName,omitempty"`
	ServiceRoleArn      string         `json:"serviceRoleArn"`
	EcsServices         []ecsService   `json:"ecsServices,omitempty"`
	LoadBalancerInfo    *balancerInfo  `json:"loadBalancerInfo,omitempty"`
	DeploymentStyle     map[string]any `json:"deploymentStyle,omitempty"`
	BlueGreen           *blueGreen     `json:"blueGreenDeploymentConfiguration,omitempty"`
	AutoRollback        *autoRollback  `json:"autoRollbackConfiguration,omitempty"`
	Alarms              *alarms        `json:"alarmConfiguration,omitempty"`
}

type ecsService struct {
	ServiceName string `json:"serviceName"`
	ClusterName string `json:"clusterName"`
}

type blueGreen struct {
	TerminateBlue   *terminateBlue `json:"terminateBlueInstancesOnDeploymentSuccess,omitempty"`
	DeploymentReady *readyOption   `json:"deploymentReadyOption,omitempty"`
}

type terminateBlue struct {
	Action string `json:"action,omitempty"`
	Wait   int    `json:"terminationWaitTimeInMinutes,omitempty"`
}

type readyOption struct {
	ActionOnTimeout   string `json:"actionOnTimeout,omitempty"`
	WaitTimeInMinutes int    `json:"waitTimeInMinutes,omitempty"`
}

type autoRollback struct {
	Enabled bool     `json:"enabled"`
	Events  []string `json:"events,omitempty"`
}

type alarms struct {
	Enabled                bool                `json:"enabled"`
	IgnorePollAlarmFailure bool                `json:"ignorePollAlarmFailure,omitempty"`
	Alarms                 []map[string]string `json:"alarms,omitempty"`
}

// New puts the service into an account.
func New(k *kernel.Kernel, services *ecs.Services, roles *iam.Service, functions *lambda.Service,
	balancers *elbv2.Service) *Service {
	s := &Service{Kernel: k, ecs: services, iam: roles, lambda: functions, elb: balancers,
		State: func(string) string { return "" }}
	k.Register(&kernel.API{
		Name: "codedeploy", Prefix: "CodeDeploy_20141006", Protocol: kernel.JSON11, Endpoint: "codedeploy",
		Asks: s.questions, Ops: map[string]kernel.Operation{
			"CreateApplication":                    kernel.Op(s.createApplication),
			"CreateDeploymentGroup":                kernel.Op(s.createGroup),
			"GetDeploymentGroup":                   kernel.Op(s.getGroup),
			"ListApplications":                     kernel.Op(s.listApplications),
			"ListDeploymentGroups":                 kernel.Op(s.listGroups),
			"CreateDeployment":                     kernel.Op(s.createDeployment),
			"GetDeployment":                        kernel.Op(s.getDeployment),
			"ListDeployments":                      kernel.Op(s.listDeployments),
			"ListDeploymentTargets":                kernel.Op(s.listTargets),
			"GetDeploymentTarget":                  kernel.Op(s.getTarget),
			"StopDeployment":                       kernel.Op(s.stopDeployment),
			"ContinueDeployment":                   kernel.Op(s.continueDeployment),
			"PutLifecycleEventHookExecutionStatus": kernel.Op(s.putStatus),
		},
	})
	return s
}

// questions asks for deployments by their group, as CodeDeploy's actions have it.
func (s *Service) questions(c *kernel.Call) []kernel.Question {
	named := func(app, name string) []kernel.Question {
		return []kernel.Question{kernel.May(c.Permission(), s.ARN("codedeploy", "deploymentgroup:"+app+"/"+name))}
	}
	switch c.Action {
	case "GetDeploymentGroup", "CreateDeploymentGroup":
		return named(c.Field("applicationName"), c.Field("deploymentGroupName"))
	case "CreateDeployment", "ListDeployments":
		return named(c.Field("applicationName"), c.Field("deploymentGroupName"))
	case "GetDeployment", "StopDeployment", "ContinueDeployment":
		if d := s.deployment(c.Field("deploymentId")); d != nil {
			return named(d.group.application.name, d.group.DeploymentGroupName)
		}
		return nil // it is of no group that a policy could name
	}
	return []kernel.Question{kernel.May(c.Permission(), "*")}
}

func (s *Service) application(name string) (*application, error) {
	if name == "" {
		return nil, kernel.Errorf("ApplicationNameRequiredException", "Application name is required.")
	}
	if a := kernel.Find(s.applications, func(a *application) bool { return a.name == name }); a != nil {
		return a, nil
	}
	return nil, kernel.Errorf("ApplicationDoesNotExistException", "No application found for name: %s", name)
}

func (s *Service) group(app, name string) (*group, error) {
	a, err := s.application(app)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, kernel.Errorf("DeploymentGroupNameRequiredException", "Deployment group name is required.")
	}
	if g := kernel.Find(a.groups, func(g *group) bool { return g.DeploymentGroupName == name }); g != nil {
		return g, nil
	}
	return nil, kernel.Errorf("DeploymentGroupDoesNotExistException", "No Deployment Group found for name: %s", name)
}

func (s *Service) createApplication(_ *kernel.Call, in *struct {
	ApplicationName, ComputePlatform string
	Tags                             []kernel.Tag
}) (*struct {
	ApplicationID string `json:"applicationId"`
}, error) {
	if _, err := s.application(in.ApplicationName); err == nil {
		return nil, kernel.Errorf("ApplicationAlreadyExistsException", "Application already exists: %s",
			in.ApplicationName)
	}
	a := &application{in.ApplicationName, s.UUID("application"), in.ComputePlatform, s.Clock.Now(), nil}
	s.applications = append(s.applications, a)
	return &struct {
		ApplicationID string `json:"applicationId"`
	}{a.id}, nil
}

func (s *Service) createGroup(_ *kernel.Call, in *groupInput) (*struct {
	DeploymentGroupID string `json:"deploymentGroupId"`
}, error) {
	a, err := s.application(in.ApplicationName)
	if err != nil {
		return nil, err
	}
	if _, err := s.group(in.ApplicationName, in.DeploymentGroupName); err == nil {
		return nil, kernel.Errorf("DeploymentGroupAlreadyExistsException", "Deployment group %s already exists",
			in.DeploymentGroupName)
	}
	for _, v := range in.EcsServices {
		if s.ecs.Controller(v.ClusterName, v.ServiceName) != "CODE_DEPLOY" {
			return nil, kernel.Errorf("InvalidECSServiceException",
				"The ECS service %s must be configured for a CODE_DEPLOY deployment controller.", v.ServiceName)
		}
		for _, other := range s.groups() {
			if slices.Contains(other.EcsServices, v) {
				return nil, kernel.Errorf("ECSServiceMappingLimitExceededException",
					"The ECS service %s is associated with another deployment group.", v.ServiceName)
			}
		}
	}
	g := &group{a, s.UUID("group"), *in}
	if g.ConfigName == "" {
		g.ConfigName = map[string]string{
			"ECS": "CodeDeployDefault.ECSAllAtOnce", "Lambda": "CodeDeployDefault.LambdaAllAtOnce",
		}[a.platform]
	}
	a.groups = append(a.groups, g)
	return &struct {
		DeploymentGroupID string `json:"deploymentGroupId"`
	}{g.id}, nil
}

func (s *Service) groups() []*group {
	var out []*group
	for _, a := range s.applications {
		out = append(out, a.groups...)
	}
	return out
}

type groupJSON struct {
	groupInput
	ID       string `json:"deploymentGroupId"`
	Platform string `json:"computePlatform"`
}

func (s *Service) getGroup(_ *kernel.Call, in *struct{ ApplicationName, DeploymentGroupName string }) (*struct {
	Info groupJSON `json:"deploymentGroupInfo"`
}, error) {
	g, err := s.group(in.ApplicationName, in.DeploymentGroupName)
	if err != nil {
		return nil, err
	}
	return &struct {
		Info groupJSON `json:"deploymentGroupInfo"`
	}{groupJSON{g.groupInput, g.id, g.application.platform}}, nil
}

func (s *Service) listApplications(_ *kernel.Call, _ *struct{ NextToken string }) (*struct {
	Applications []string `json:"applications"`
}, error) {
	out := &struct {
		Applications []string `json:"applications"`
	}{[]string{}}
	for _, a := range s.applications {
		out.Applications = append(out.Applications, a.name)
	}
	return out, nil
}

func (s *Service) listGroups(_ *kernel.Call, in *struct{ ApplicationName, NextToken string }) (*struct {
	ApplicationName  string   `json:"applicationName"`
	DeploymentGroups []string `json:"deploymentGroups"`
}, error) {
	a, err := s.application(in.ApplicationName)
	if err != nil {
		return nil, err
	}
	out := &struct {
		ApplicationName  string   `json:"applicationName"`
		DeploymentGroups []string `json:"deploymentGroups"`
	}{a.name, []string{}}
	for _, g := range a.groups {
		out.DeploymentGroups = append(out.DeploymentGroups, g.DeploymentGroupName)
	}
	return out, nil
}

// spec is an AppSpec file for ECS or Lambda.
type spec struct {
	Resources []map[string]struct {
		Type       string         `yaml:"Type"`
		Properties map[string]any `yaml:"Properties"`
	} `yaml:"Resources"`
	Hooks []map[string]string `yaml:"Hooks"`
}

// parseSpec reads an AppSpec, YAML or JSON.
func parseSpec(text string) (spec, error) {
	var out spec
	// Keys are in both cases in the wild: those of Lambda's in CodeDeploy's guide are lower.
	for _, word := range []string{"resources:", "hooks:"} {
		text = strings.Replace(text, "\n"+word, "\n"+strings.ToUpper(word[:1])+word[1:], 1)
	}
	if err := yaml.Unmarshal([]byte(text), &out); err != nil || len(out.Resources) != 1 {
		return out, kernel.Errorf("InvalidRevisionException", "The AppSpec file is not valid.")
	}
	return out, nil
}

// hookFor returns the function at a lifecycle event, "" without one.
func (x spec) hookFor(event string) string {
	for _, h := range x.Hooks {
		if f, ok := h[event]; ok {
			return f
		}
	}
	return ""
}

// target returns the one resource's properties.
func (x spec) target() map[string]any {
	for _, r := range x.Resources[0] {
		return r.Properties
	}
	return nil
}

// Remove removes an application, or a deployment group of one.
func (s *Service) Remove(app, name string) {
	if name == "" {
		s.applications = slices.DeleteFunc(s.applications, func(a *application) bool { return a.name == app })
		return
	}
	if a, err := s.application(app); err == nil {
		a.groups = slices.DeleteFunc(a.groups, func(g *group) bool { return g.DeploymentGroupName == name })
	}
}
