// Package codepipeline simulates CodePipeline: pipelines whose stages run one after the
// other, actions that invoke a function and wait for its answer, or build.
package codepipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/codebuild"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/lambda"
)

// Service is the simulated CodePipeline.
type Service struct {
	*kernel.Kernel
	builds *codebuild.Service
	iam    *iam.Service
	lambda *lambda.Service

	pipelines  []*pipeline
	executions []*execution
	jobs       map[string]*job
}

// pipeline is a pipeline, as the API has it.
type pipeline struct {
	Name          string         `json:"name"`
	RoleArn       string         `json:"roleArn"`
	ArtifactStore map[string]any `json:"artifactStore,omitempty"`
	Stages        []stage        `json:"stages"`
	Version       int            `json:"version,omitempty"`
	PipelineType  string         `json:"pipelineType,omitempty"`
	ExecutionMode string         `json:"executionMode,omitempty"`
}

type stage struct {
	Name    string   `json:"name"`
	Actions []action `json:"actions"`
}

type action struct {
	Name            string              `json:"name"`
	ActionTypeID    actionType          `json:"actionTypeId"`
	RunOrder        int                 `json:"runOrder,omitempty"`
	Configuration   map[string]string   `json:"configuration,omitempty"`
	OutputArtifacts []map[string]string `json:"outputArtifacts,omitempty"`
	InputArtifacts  []map[string]string `json:"inputArtifacts,omitempty"`
	Region          string              `json:"region,omitempty"`
	Namespace       string              `json:"namespace,omitempty"`
	RoleArn         string              `json:"roleArn,omitempty"`
}

type actionType struct {
	Category string `json:"category"`
	Owner    string `json:"owner"`
	Provider string `json:"provider"`
	Version  string `json:"version"`
}

// execution is one execution of a pipeline.
type execution struct {
	id, status string
	pipeline   *pipeline
	stage      int
	order      int
	open       map[string]bool // actions of the present stage and order that run
	failed     string
	stopping   bool
}

// job is one call of an action's function.
type job struct {
	execution *execution
	stage     int
	action    action
	began     time.Time // of the action
	expires   *kernel.Due
	answered  bool
}

// New puts the service into an account.
func New(k *kernel.Kernel, builds *codebuild.Service, roles *iam.Service, functions *lambda.Service) *Service {
	s := &Service{Kernel: k, builds: builds, iam: roles, lambda: functions, jobs: map[string]*job{}}
	k.Register(&kernel.API{
		Name: "codepipeline", Prefix: "CodePipeline_20150709", Protocol: kernel.JSON11, Endpoint: "codepipeline",
		Asks: s.questions, Ops: map[string]kernel.Operation{
			"CreatePipeline":         kernel.Op(s.createPipeline),
			"GetPipeline":            kernel.Op(s.getPipeline),
			"StartPipelineExecution": kernel.Op(s.startExecution),
			"StopPipelineExecution":  kernel.Op(s.stopExecution),
			"GetPipelineExecution":   kernel.Op(s.getExecution),
			"PutJobSuccessResult":    kernel.Op(s.putSuccess),
			"PutJobFailureResult":    kernel.Op(s.putFailure),
		},
	})
	return s
}

func (s *Service) questions(c *kernel.Call) []kernel.Question {
	name := c.Field("name") + c.Field("pipelineName")
	if name == "" {
		return []kernel.Question{kernel.May(c.Permission(), "*")}
	}
	return []kernel.Question{kernel.May(c.Permission(), s.ARN("codepipeline", name))}
}

func (s *Service) pipeline(name string) (*pipeline, error) {
	if p := kernel.Find(s.pipelines, func(p *pipeline) bool { return p.Name == name }); p != nil {
		return p, nil
	}
	return nil, kernel.Errorf("PipelineNotFoundException",
		"Account '%s' does not have a pipeline with name '%s'", s.Options.Account, name)
}

type pipelineReply struct {
	Pipeline *pipeline `json:"pipeline"`
}

func (s *Service) createPipeline(_ *kernel.Call, in *struct {
	Pipeline pipeline
	Tags     []kernel.Tag
}) (*pipelineReply, error) {
	if _, err := s.pipeline(in.Pipeline.Name); err == nil {
		return nil, kernel.Errorf("PipelineNameInUseException", "A pipeline with the name '%s' already exists",
			in.Pipeline.Name)
	}
	p := in.Pipeline
	p.Version = 1
	for i := range p.Stages {
		for j := range p.Stages[i].Actions {
			p.Stages[i].Actions[j].RunOrder = max(p.Stages[i].Actions[j].RunOrder, 1)
		}
	}
	s.pipelines = append(s.pipelines, &p)
	return &pipelineReply{&p}, nil
}

func (s *Service) getPipeline(_ *kernel.Call, in *struct {
	Name    string
	Version int
}) (*pipelineReply, error) {
	p, err := s.pipeline(in.Name)
	if err != nil {
		return nil, err
	}
	return &pipelineReply{p}, nil
}

type executionID struct {
	ID string `json:"pipelineExecutionId"`
}

func (s *Service) startExecution(_ *kernel.Call, in *struct{ Name, ClientRequestToken string }) (*executionID, error) {
	p, err := s.pipeline(in.Name)
	if err != nil {
		return nil, err
	}
	e := &execution{id: s.UUID("execution"), status: "InProgress", pipeline: p, open: map[string]bool{}}
	s.executions = append(s.executions, e)
	s.tell(e, "STARTED")
	s.Clock.After(time.Second, func() { s.enter(e) })
	return &executionID{e.id}, nil
}

// tell sends CodePipeline's event about an execution.
func (s *Service) tell(e *execution, state string) {
	s.Emit("aws.codepipeline", "CodePipeline Pipeline Execution State Change",
		[]string{s.ARN("codepipeline", e.pipeline.Name)}, map[string]any{
			"pipeline": e.pipeline.Name, "execution-id": e.id, "state": state, "version": e.pipeline.Version,
		})
}

// enter starts the actions of the present stage that come next, or goes to the next stage.
func (s *Service) enter(e *execution) {
	if e.status != "InProgress" {
		return
	}
	if e.stage == len(e.pipeline.Stages) {
		s.end(e, "Succeeded", "SUCCEEDED")
		return
	}
	var next []action
	for _, a := range e.pipeline.Stages[e.stage].Actions {
		if a.RunOrder > e.order && (len(next) == 0 || a.RunOrder <= next[0].RunOrder) {
			if len(next) > 0 && a.RunOrder < next[0].RunOrder {
				next = nil
			}
			next = append(next, a)
		}
	}
	if len(next) == 0 {
		e.stage, e.order = e.stage+1, 0
		s.enter(e)
		return
	}
	e.order = next[0].RunOrder
	for _, a := range next {
		e.open[a.Name] = true
	}
	for _, a := range next {
		s.run(e, a)
	}
}

// otherTakes is how long an action takes that is not simulated.
const otherTakes = 20 * time.Second

// run starts an action.
func (s *Service) run(e *execution, a action) {
	switch a.ActionTypeID.Provider {
	case "Lambda":
		s.call(e, a, s.Clock.Now(), "")
	case "CodeBuild":
		if s.builds.Start(a.Configuration["ProjectName"], nil, func(ok bool) { s.done(e, a, ok) }) == "" {
			s.Clock.After(0, func() { s.done(e, a, false) })
		}
	default:
		s.Clock.After(otherTakes, func() { s.done(e, a, true) })
	}
}

// done ends an action. Once all that run with it have ended the execution goes on, or has
// failed.
func (s *Service) done(e *execution, a action, ok bool) {
	if e.status != "InProgress" && !e.stopping {
		return
	}
	delete(e.open, a.Name)
	if !ok {
		e.failed = a.Name
	}
	switch {
	case len(e.open) > 0:
	case e.stopping:
		s.end(e, "Stopped", "STOPPED")
	case e.failed != "":
		s.end(e, "Failed", "FAILED")
	default:
		s.enter(e)
	}
}

func (s *Service) end(e *execution, status, state string) {
	e.status, e.stopping = status, false
	s.tell(e, state)
}

// The times of a job. AWS does not say how long it waits before it calls a function again:
// the fault continue-after says it here.
const (
	answerWithin  = 20 * time.Minute
	actionWithin  = 24 * time.Hour
	continueAfter = 30 * time.Second
)

// call calls an action's function with a new job.
func (s *Service) call(e *execution, a action, began time.Time, token string) {
	id := s.UUID("job")
	j := &job{execution: e, stage: e.stage, action: a, began: began}
	s.jobs[id] = j
	configuration := map[string]string{}
	for k, v := range a.Configuration {
		configuration[k] = strings.ReplaceAll(v, "#{codepipeline.PipelineExecutionId}", e.id)
	}
	data := map[string]any{
		"actionConfiguration": map[string]any{"configuration": configuration}, "inputArtifacts": []any{},
		"outputArtifacts": []any{}, "artifactCredentials": map[string]string{
			"accessKeyId": "ASIASANDBOXPIPELINE0", "secretAccessKey": "sandbox", "sessionToken": "sandbox",
		},
	}
	if token != "" {
		data["continuationToken"] = token
	}
	body, err := json.Marshal(map[string]any{"CodePipeline.job": map[string]any{
		"id": id, "accountId": s.Options.Account, "data": data,
	}})
	f := s.lambda.Function(configuration["FunctionName"])
	if err != nil || f == nil || s.iam.Allows(e.pipeline.RoleArn,
		kernel.May("lambda:InvokeFunction", s.lambda.FunctionARN(f.Name))) != nil {
		s.Clock.After(0, func() { s.done(e, a, false) })
		return
	}
	j.expires = s.Clock.After(answerWithin, func() {
		j.answered = true
		s.done(e, a, false)
	})
	s.lambda.InvokeAsync(f, body)
	if _, twice := s.FaultOn("jobs-twice"); twice {
		s.lambda.InvokeAsync(f, body)
	}
}

func (s *Service) answer(id string) (*job, error) {
	j := s.jobs[id]
	if j == nil {
		return nil, kernel.Errorf("JobNotFoundException", "Unable to find the job with id %s", id)
	}
	if j.answered {
		return nil, kernel.Errorf("InvalidJobStateException", "The job %s is already in a final state.", id)
	}
	j.answered = true
	s.Clock.Cancel(j.expires)
	return j, nil
}

func (s *Service) putSuccess(_ *kernel.Call, in *struct {
	JobID, ContinuationToken string
	OutputVariables          map[string]string
	ExecutionDetails         map[string]any
	CurrentRevision          map[string]any
}) (*kernel.RawReply, error) {
	if in.ContinuationToken != "" && len(in.OutputVariables) > 0 {
		return nil, kernel.Errorf("ValidationException", "Output variables cannot be set with a continuation token.")
	}
	j, err := s.answer(in.JobID)
	if err != nil {
		return nil, err
	}
	if in.ContinuationToken == "" {
		s.done(j.execution, j.action, true)
		return &kernel.RawReply{Status: 200}, nil
	}
	wait := continueAfter
	if d := s.Delay("continue-after", continueAfter); d > 0 {
		wait = d
	}
	s.Clock.After(wait, func() {
		if s.Clock.Now().Sub(j.began) > actionWithin {
			s.done(j.execution, j.action, false)
			return
		}
		if j.execution.open[j.action.Name] {
			s.call(j.execution, j.action, j.began, in.ContinuationToken)
		}
	})
	return &kernel.RawReply{Status: 200}, nil
}

func (s *Service) putFailure(_ *kernel.Call, in *struct {
	JobID          string
	FailureDetails struct{ Type, Message, ExternalExecutionID string }
}) (*kernel.RawReply, error) {
	kinds := []string{
		"JobFailed", "ConfigurationError", "PermissionError", "RevisionOutOfSync", "RevisionUnavailable",
		"SystemUnavailable",
	}
	if !slices.Contains(kinds, in.FailureDetails.Type) {
		return nil, kernel.Errorf("ValidationException", "Value '%s' at 'failureDetails.type' is not valid.",
			in.FailureDetails.Type)
	}
	j, err := s.answer(in.JobID)
	if err != nil {
		return nil, err
	}
	s.done(j.execution, j.action, false)
	return &kernel.RawReply{Status: 200}, nil
}

func (s *Service) executionOf(pipeline, id string) (*execution, error) {
	if _, err := s.pipeline(pipeline); err != nil {
		return nil, err
	}
	e := kernel.Find(s.executions, func(e *execution) bool { return e.pipeline.Name == pipeline && e.id == id })
	if e == nil {
		return nil, kernel.Errorf("PipelineExecutionNotFoundException",
			"Could not find execution %s of pipeline %s", id, pipeline)
	}
	return e, nil
}

func (s *Service) stopExecution(_ *kernel.Call, in *struct {
	PipelineName, PipelineExecutionID, Reason string
	Abandon                                   bool
}) (*executionID, error) {
	e, err := s.executionOf(in.PipelineName, in.PipelineExecutionID)
	if err != nil {
		return nil, err
	}
	if e.status != "InProgress" {
		return nil, kernel.Errorf("PipelineExecutionNotStoppableException", "Execution %s is %s", e.id, e.status)
	}
	if in.Abandon || len(e.open) == 0 {
		e.open = map[string]bool{}
		s.end(e, "Stopped", "STOPPED")
	} else {
		e.status, e.stopping = "Stopping", true
		s.tell(e, "STOPPING")
	}
	return &executionID{e.id}, nil
}

func (s *Service) getExecution(_ *kernel.Call, in *struct{ PipelineName, PipelineExecutionID string }) (*struct {
	Execution map[string]any `json:"pipelineExecution"`
}, error) {
	e, err := s.executionOf(in.PipelineName, in.PipelineExecutionID)
	if err != nil {
		return nil, err
	}
	return &struct {
		Execution map[string]any `json:"pipelineExecution"`
	}{map[string]any{
		"pipelineName": e.pipeline.Name, "pipelineVersion": e.pipeline.Version, "pipelineExecutionId": e.id,
		"status": e.status, "statusSummary": fmt.Sprintf("stage %d", e.stage+1),
	}}, nil
}

// Remove removes a pipeline.
func (s *Service) Remove(name string) {
	s.pipelines = slices.DeleteFunc(s.pipelines, func(p *pipeline) bool { return p.Name == name })
}
