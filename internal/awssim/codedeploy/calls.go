package codedeploy

import (
	"slices"
	"strings"

	"drawbridge/internal/awssim/ecs"
	"drawbridge/internal/awssim/kernel"
)

type deploymentJSON struct {
	ApplicationName      string        `json:"applicationName"`
	DeploymentGroupName  string        `json:"deploymentGroupName"`
	DeploymentConfigName string        `json:"deploymentConfigName"`
	DeploymentID         string        `json:"deploymentId"`
	Revision             revision      `json:"revision"`
	Status               string        `json:"status"`
	ErrorInformation     *errorInfo    `json:"errorInformation,omitempty"`
	CreateTime           *kernel.Stamp `json:"createTime"`
	StartTime            *kernel.Stamp `json:"startTime,omitempty"`
	CompleteTime         *kernel.Stamp `json:"completeTime,omitempty"`
	Creator              string        `json:"creator"`
	RollbackInfo         *rollbackInfo `json:"rollbackInfo,omitempty"`
	AutoRollback         *autoRollback `json:"autoRollbackConfiguration,omitempty"`
	BlueGreen            *blueGreen    `json:"blueGreenDeploymentConfiguration,omitempty"`
	ComputePlatform      string        `json:"computePlatform"`
}

func (s *Service) getDeployment(_ *kernel.Call, in *struct{ DeploymentID string }) (*struct {
	Info deploymentJSON `json:"deploymentInfo"`
}, error) {
	d, err := s.deploymentOf(in.DeploymentID)
	if err != nil {
		return nil, err
	}
	return &struct {
		Info deploymentJSON `json:"deploymentInfo"`
	}{deploymentJSON{
		d.group.application.name, d.group.DeploymentGroupName, d.config, d.id, d.revision, d.status, d.failure,
		kernel.StampOf(d.created), kernel.StampOf(d.started), kernel.StampOf(d.completed), d.creator, d.rollback,
		d.back,
		d.group.BlueGreen, d.group.application.platform,
	}}, nil
}

func (s *Service) listDeployments(_ *kernel.Call, in *struct {
	ApplicationName, DeploymentGroupName, ExternalID, NextToken string
	IncludeOnlyStatuses                                         []string
	CreateTimeRange                                             *map[string]any
}) (*struct {
	Deployments []string `json:"deployments"`
}, error) {
	out := &struct {
		Deployments []string `json:"deployments"`
	}{[]string{}}
	for _, d := range slices.Backward(s.deployments) {
		if (in.ApplicationName == "" || d.group.application.name == in.ApplicationName) &&
			(in.DeploymentGroupName == "" || d.group.DeploymentGroupName == in.DeploymentGroupName) &&
			(len(in.IncludeOnlyStatuses) == 0 || slices.Contains(in.IncludeOnlyStatuses, d.status)) {
			out.Deployments = append(out.Deployments, d.id)
		}
	}
	return out, nil
}

// targetID is the id of a deployment's one target.
func (d *deployment) targetID() string {
	if d.green != nil {
		v := d.group.EcsServices[0]
		return v.ClusterName + ":" + v.ServiceName
	}
	return strings.Join([]string{kernel.Text(d.spec.target(), "Name"), kernel.Text(d.spec.target(), "Alias")}, ":")
}

func (s *Service) listTargets(_ *kernel.Call, in *struct {
	DeploymentID, NextToken string
	TargetFilters           map[string][]string
}) (*struct {
	TargetIDs []string `json:"targetIds"`
}, error) {
	d, err := s.deploymentOf(in.DeploymentID)
	if err != nil {
		return nil, err
	}
	return &struct {
		TargetIDs []string `json:"targetIds"`
	}{[]string{d.targetID()}}, nil
}

type eventJSON struct {
	Name        string            `json:"lifecycleEventName"`
	Status      string            `json:"status"`
	StartTime   *kernel.Stamp     `json:"startTime,omitempty"`
	EndTime     *kernel.Stamp     `json:"endTime,omitempty"`
	Diagnostics map[string]string `json:"diagnostics,omitempty"`
}

type taskSetJSON struct {
	Identifier    string  `json:"identifer"` //nolint:misspell // so the API spells it
	DesiredCount  int     `json:"desiredCount"`
	PendingCount  int     `json:"pendingCount"`
	RunningCount  int     `json:"runningCount"`
	Status        string  `json:"status"`
	TrafficWeight float64 `json:"trafficWeight"`
	Label         string  `json:"taskSetLabel"`
}

type targetJSON struct {
	DeploymentID string          `json:"deploymentId"`
	TargetID     string          `json:"targetId"`
	Status       string          `json:"status"`
	Events       []eventJSON     `json:"lifecycleEvents"`
	TaskSets     []taskSetJSON   `json:"taskSetsInfo,omitempty"`
	Function     *functionTarget `json:"lambdaFunctionInfo,omitempty"`
	UpdatedAt    *kernel.Stamp   `json:"lastUpdatedAt"`
}

type functionTarget struct {
	FunctionName   string  `json:"functionName"`
	FunctionAlias  string  `json:"functionAlias"`
	CurrentVersion string  `json:"currentVersion"`
	TargetVersion  string  `json:"targetVersion"`
	Weight         float64 `json:"targetVersionWeight"`
}

func (s *Service) getTarget(_ *kernel.Call, in *struct{ DeploymentID, TargetID string }) (*struct {
	Target map[string]any `json:"deploymentTarget"`
}, error) {
	d, err := s.deploymentOf(in.DeploymentID)
	if err != nil {
		return nil, err
	}
	if in.TargetID != d.targetID() {
		return nil, kernel.Errorf("DeploymentTargetDoesNotExistException", "Deployment target %s does not exist",
			in.TargetID)
	}
	t := targetJSON{
		DeploymentID: d.id, TargetID: in.TargetID, UpdatedAt: kernel.StampOf(s.Clock.Now()), Events: []eventJSON{},
	}
	t.Status = map[string]string{
		"Created": "Pending", "Queued": "Pending", "InProgress": "InProgress", "Ready": "Ready",
		"Succeeded": "Succeeded",
		"Failed":    "Failed", "Stopped": "Failed",
	}[d.status]
	for _, e := range d.events {
		j := eventJSON{
			Name: e.name, Status: e.status, StartTime: kernel.StampOf(e.started), EndTime: kernel.StampOf(e.ended),
		}
		if e.message != "" {
			j.Diagnostics = map[string]string{"errorCode": "UnknownError", "message": e.message}
		}
		t.Events = append(t.Events, j)
	}
	if d.green == nil {
		p := d.spec.target()
		t.Function = &functionTarget{
			kernel.Text(p, "Name"), kernel.Text(p, "Alias"), kernel.Text(p, "CurrentVersion"),
			kernel.Text(p, "TargetVersion"), d.weight / 100,
		}
		return &struct {
			Target map[string]any `json:"deploymentTarget"`
		}{map[string]any{"deploymentTargetType": "LambdaTarget", "lambdaTarget": t}}, nil
	}
	for label, set := range map[string]*ecs.TaskSet{"Blue": d.blue, "Green": d.green} {
		st := set.State()
		j := taskSetJSON{st.ID, st.Desired, st.Pending, st.Running, "ACTIVE", st.Weight, label}
		if label == "Green" && d.status == "Succeeded" || label == "Blue" && d.status != "Succeeded" {
			j.Status = "PRIMARY"
		}
		t.TaskSets = append(t.TaskSets, j)
	}
	slices.SortFunc(t.TaskSets, func(a, b taskSetJSON) int { return strings.Compare(a.Label, b.Label) })
	return &struct {
		Target map[string]any `json:"deploymentTarget"`
	}{map[string]any{"deploymentTargetType": "ECSTarget", "ecsTarget": t}}, nil
}

func (s *Service) stopDeployment(_ *kernel.Call, in *struct {
	DeploymentID        string
	AutoRollbackEnabled bool
}) (*struct {
	Status  string `json:"status"`
	Message string `json:"statusMessage"`
}, error) {
	d, err := s.deploymentOf(in.DeploymentID)
	if err != nil {
		return nil, err
	}
	if d.over() {
		return nil, kernel.Errorf("DeploymentAlreadyCompletedException", "The deployment %s is already completed.",
			d.id)
	}
	why := ""
	if in.AutoRollbackEnabled {
		why = "DEPLOYMENT_STOP_ON_REQUEST"
		d.back = &autoRollback{Enabled: true}
	}
	s.stop(d, "The deployment was stopped by a user.", why)
	return &struct {
		Status  string `json:"status"`
		Message string `json:"statusMessage"`
	}{"Succeeded", "No more commands will be scheduled for execution in the deployment instances."}, nil
}

func (s *Service) continueDeployment(_ *kernel.Call,
	in *struct{ DeploymentID, DeploymentWaitType string }) (*kernel.None, error) {
	d, err := s.deploymentOf(in.DeploymentID)
	if err != nil {
		return nil, err
	}
	if d.waiting == nil {
		return nil, kernel.Errorf("DeploymentIsNotInReadyStateException", "The deployment %s is not waiting.", d.id)
	}
	s.Clock.Cancel(d.next)
	d.waiting()
	return &kernel.None{}, nil
}

func (s *Service) putStatus(_ *kernel.Call, in *struct {
	DeploymentID, LifecycleEventHookExecutionID, Status string
}) (*struct {
	ID string `json:"lifecycleEventHookExecutionId"`
}, error) {
	d, err := s.deploymentOf(in.DeploymentID)
	if err != nil {
		return nil, err
	}
	if in.Status != "Succeeded" && in.Status != "Failed" {
		return nil, kernel.Errorf("InvalidLifecycleEventHookExecutionStatusException",
			"Invalid status %s: it must be Succeeded or Failed.", in.Status)
	}
	n := slices.IndexFunc(d.events, func(e *event) bool {
		return e.execution != "" && e.execution == in.LifecycleEventHookExecutionID
	})
	if n < 0 {
		return nil, kernel.Errorf("InvalidLifecycleEventHookExecutionIdException",
			"The lifecycle event hook execution id is not valid.")
	}
	e := d.events[n]
	if e.status != "InProgress" || d.over() {
		return nil, kernel.Errorf("LifecycleEventAlreadyCompletedException",
			"The lifecycle event %s of deployment %s has already completed.", e.name, d.id)
	}
	out := &struct {
		ID string `json:"lifecycleEventHookExecutionId"`
	}{in.LifecycleEventHookExecutionID}
	if in.Status == "Failed" {
		s.fail(d, e, "HOOK_EXECUTION_FAILURE", "The lifecycle event hook "+e.name+" reported that it failed.")
		return out, nil
	}
	e.status, e.ended = "Succeeded", s.Clock.Now()
	s.Clock.Cancel(d.next)
	s.Clock.After(0, func() { s.enter(d, n+1) })
	return out, nil
}
