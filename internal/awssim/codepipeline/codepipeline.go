// Package codepipeline simulates CodePipeline: pipelines whose stages run one after the
// other, with actions that fetch a source, build, invoke a function and wait for its answer,
// deploy, or wait for an approval.
package codepipeline

import (
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/codebuild"
	"drawbridge/internal/awssim/codeconnections"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/lambda"
	"drawbridge/internal/awssim/s3"
)

// Service is the simulated CodePipeline.
type Service struct {
	*kernel.Kernel
	builds      *codebuild.Service
	connections *codeconnections.Service
	iam         *iam.Service
	lambda      *lambda.Service
	s3          *s3.Service

	pipelines  []*pipeline
	executions []*execution
	jobs       map[string]*job
}

// pipeline is a pipeline, as the API has it.
type pipeline struct {
	Name          string        `json:"name"`
	RoleArn       string        `json:"roleArn"`
	ArtifactStore artifactStore `json:"artifactStore,omitzero"`
	Stages        []stage       `json:"stages"`
	Version       int           `json:"version,omitempty"`
	PipelineType  string        `json:"pipelineType,omitempty"`
	ExecutionMode string        `json:"executionMode,omitempty"`

	created, updated time.Time
}

type artifactStore struct {
	Type          string             `json:"type"`
	Location      string             `json:"location"`
	EncryptionKey *map[string]string `json:"encryptionKey,omitempty"`
}

type stage struct {
	Name    string   `json:"name"`
	Actions []action `json:"actions"`
}

type action struct {
	Name            string            `json:"name"`
	ActionTypeID    actionType        `json:"actionTypeId"`
	RunOrder        int               `json:"runOrder,omitempty"`
	Configuration   map[string]string `json:"configuration,omitempty"`
	OutputArtifacts []artifactName    `json:"outputArtifacts,omitempty"`
	InputArtifacts  []artifactName    `json:"inputArtifacts,omitempty"`
	Region          string            `json:"region,omitempty"`
	Namespace       string            `json:"namespace,omitempty"`
	RoleArn         string            `json:"roleArn,omitempty"`
	TimeoutMinutes  int               `json:"timeoutInMinutes,omitempty"`
}

type artifactName struct {
	Name string `json:"name"`
}

type actionType struct {
	Category string `json:"category"`
	Owner    string `json:"owner"`
	Provider string `json:"provider"`
	Version  string `json:"version"`
}

// New puts the service into an account.
func New(k *kernel.Kernel, builds *codebuild.Service, connections *codeconnections.Service, roles *iam.Service,
	functions *lambda.Service, objects *s3.Service) *Service {
	s := &Service{
		Kernel: k, builds: builds, connections: connections, iam: roles, lambda: functions, s3: objects,
		jobs: map[string]*job{},
	}
	k.Register(&kernel.API{
		Name: "codepipeline", Prefix: "CodePipeline_20150709", Protocol: kernel.JSON11, Endpoint: "codepipeline",
		Asks: s.questions, Ops: map[string]kernel.Operation{
			"CreatePipeline":         kernel.Op(s.createPipeline),
			"UpdatePipeline":         kernel.Op(s.updatePipeline),
			"DeletePipeline":         kernel.Op(s.deletePipeline),
			"ListPipelines":          kernel.Op(s.listPipelines),
			"GetPipeline":            kernel.Op(s.getPipeline),
			"GetPipelineState":       kernel.Op(s.getState),
			"StartPipelineExecution": kernel.Op(s.startExecution),
			"StopPipelineExecution":  kernel.Op(s.stopExecution),
			"GetPipelineExecution":   kernel.Op(s.getExecution),
			"ListPipelineExecutions": kernel.Op(s.listExecutions),
			"ListActionExecutions":   kernel.Op(s.listActions),
			"RetryStageExecution":    kernel.Op(s.retryStage),
			"PutApprovalResult":      kernel.Op(s.putApproval),
			"PutJobSuccessResult":    kernel.Op(s.putSuccess),
			"PutJobFailureResult":    kernel.Op(s.putFailure),
		},
	})
	return s
}

func (s *Service) questions(c *kernel.Call) []kernel.Question {
	name := c.Field("name") + c.Field("pipelineName")
	if at := c.Field("stageName"); at != "" { // approvals and retries are permitted by stage and action
		name += strings.TrimSuffix("/"+at+"/"+c.Field("actionName"), "/")
	}
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
	if err := s.check(&p); err != nil {
		return nil, err
	}
	p.Version = 1
	p.created, p.updated = s.Clock.Now(), s.Clock.Now()
	s.pipelines = append(s.pipelines, &p)
	return &pipelineReply{&p}, nil
}

// check refuses what CodePipeline refuses, or what is not simulated, and sets what is left out.
//
// Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-pipeline-structure.html
func (s *Service) check(p *pipeline) error {
	if len(p.Stages) < 2 {
		return kernel.Errorf("InvalidStructureException", "Pipeline has fewer stages than the minimum allowed, 2")
	}
	made := map[string]bool{}
	for i := range p.Stages {
		for j := range p.Stages[i].Actions {
			a := &p.Stages[i].Actions[j]
			a.RunOrder = max(a.RunOrder, 1)
			source := a.ActionTypeID.Category == "Source"
			switch {
			case source != (i == 0):
				return kernel.Errorf("InvalidStructureException",
					"Only the first stage, and all of its actions, can be of the category Source")
			case runs[a.ActionTypeID.Provider] == nil:
				return kernel.Errorf("InvalidActionDeclarationException",
					"the sandbox does not simulate actions of %s", a.ActionTypeID.Provider)
			}
			for _, in := range a.InputArtifacts {
				if !made[in.Name] {
					return kernel.Errorf("InvalidStructureException",
						"The input artifact %s of action %s is not an output of an earlier action", in.Name, a.Name)
				}
			}
		}
		for _, a := range p.Stages[i].Actions {
			for _, out := range a.OutputArtifacts {
				made[out.Name] = true
			}
		}
	}
	return nil
}

func (s *Service) updatePipeline(_ *kernel.Call, in *struct{ Pipeline pipeline }) (*pipelineReply, error) {
	p, err := s.pipeline(in.Pipeline.Name)
	if err != nil {
		return nil, err
	}
	next := in.Pipeline
	if err := s.check(&next); err != nil {
		return nil, err
	}
	next.Version = p.Version + 1
	next.created, next.updated = p.created, s.Clock.Now()
	s.pipelines[slices.Index(s.pipelines, p)] = &next // an execution goes on with what it began with
	return &pipelineReply{&next}, nil
}

func (s *Service) deletePipeline(_ *kernel.Call, in *struct{ Name string }) (*kernel.None, error) {
	s.Remove(in.Name)
	return &kernel.None{}, nil
}

// Remove removes a pipeline.
func (s *Service) Remove(name string) {
	s.pipelines = slices.DeleteFunc(s.pipelines, func(p *pipeline) bool { return p.Name == name })
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
