package codepipeline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// execution is one execution of a pipeline.
type execution struct {
	id, status       string
	pipeline         *pipeline
	stage            int
	order            int
	open             map[string]*run // actions of the present stage and order that run
	failed           string
	stopping         bool
	waiting          bool // for the present stage, which another execution is in
	runs             []*run
	artifacts        map[string]string // keys in the artifact store
	variables        map[string]string // by NAMESPACE.KEY
	started, updated time.Time
}

// run is one run of an action in an execution.
type run struct {
	id, status, summary, external string
	execution                     *execution
	stage                         int
	action                        action
	began, changed                time.Time
	code, message                 string // of a failure
	variables                     map[string]string
	token                         string // of an approval
}

// outcome is how an action ended. An empty code is success.
type outcome struct {
	code, message, summary, external string
	variables                        map[string]string
}

// failure is a failed outcome.
func failure(code, format string, args ...any) outcome {
	return outcome{code: code, message: fmt.Sprintf(format, args...)}
}

type executionID struct {
	ID string `json:"pipelineExecutionId"`
}

func (s *Service) startExecution(_ *kernel.Call, in *struct{ Name, ClientRequestToken string }) (*executionID, error) {
	p, err := s.pipeline(in.Name)
	if err != nil {
		return nil, err
	}
	e := &execution{
		id: s.UUID("execution"), status: "InProgress", pipeline: p, open: map[string]*run{},
		artifacts: map[string]string{}, variables: map[string]string{}, started: s.Clock.Now(), updated: s.Clock.Now(),
	}
	e.variables["codepipeline.PipelineExecutionId"] = e.id
	s.executions = append(s.executions, e)
	s.tell(e, "STARTED")
	s.Clock.After(time.Second, func() { s.enter(e) })
	return &executionID{e.id}, nil
}

// tell sends CodePipeline's event about an execution.
func (s *Service) tell(e *execution, state string) { s.emit(e, "Pipeline", state, nil) }

// emit sends an event about an execution, one of its stages, or an action.
//
// Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html
func (s *Service) emit(e *execution, of, state string, more map[string]any) {
	detail := map[string]any{
		"pipeline": e.pipeline.Name, "execution-id": e.id, "state": state, "version": e.pipeline.Version,
	}
	for k, v := range more {
		detail[k] = v
	}
	s.Emit("aws.codepipeline", "CodePipeline "+of+" Execution State Change",
		[]string{s.ARN("codepipeline", e.pipeline.Name)}, detail)
}

func (s *Service) tellStage(e *execution, state string) {
	s.emit(e, "Stage", state, map[string]any{"stage": e.pipeline.Stages[e.stage].Name})
}

func (s *Service) tellAction(r *run, state string) {
	t := r.action.ActionTypeID
	more := map[string]any{
		"stage": r.execution.pipeline.Stages[r.stage].Name, "action": r.action.Name, "region": s.Options.Region,
		"type": map[string]string{
			"owner": t.Owner, "category": t.Category, "provider": t.Provider, "version": t.Version,
		},
		"action-execution-id": r.id,
	}
	if r.external != "" || r.code != "" {
		result := map[string]string{"external-execution-id": r.external, "external-execution-summary": r.message}
		if r.code != "" {
			result["error-code"] = r.code
		}
		more["execution-result"] = result
	}
	s.emit(r.execution, "Action", state, more)
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
	if e.order == 0 {
		if s.occupied(e) {
			e.waiting = true
			return
		}
		s.tellStage(e, "STARTED")
	}
	next := e.next(nil)
	if len(next) == 0 {
		s.tellStage(e, "SUCCEEDED")
		left := e.stage
		e.stage, e.order = e.stage+1, 0
		s.enter(e)
		s.admit(e.pipeline.Name, left)
		return
	}
	e.order = next[0].RunOrder
	s.begin(e, next)
}

// occupied reports whether another execution is in the stage that one comes to: but for the
// mode PARALLEL, a stage has one at a time.
//
// Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/concepts-how-it-works.html
func (s *Service) occupied(e *execution) bool {
	return e.pipeline.ExecutionMode != "PARALLEL" && slices.ContainsFunc(s.executions, func(x *execution) bool {
		return x != e && x.pipeline.Name == e.pipeline.Name && x.stage == e.stage && x.order > 0 &&
			(x.status == "InProgress" || x.status == "Stopping")
	})
}

// admit lets the next execution into a stage that has become free: the first that waits in the
// mode QUEUED, else the last, which supersedes the others.
func (s *Service) admit(pipeline string, stage int) {
	var waiting []*execution
	for _, x := range s.executions {
		if x.waiting && x.pipeline.Name == pipeline && x.stage == stage && x.status == "InProgress" {
			waiting = append(waiting, x)
		}
	}
	if len(waiting) == 0 {
		return
	}
	next := waiting[0]
	if next.pipeline.ExecutionMode != "QUEUED" {
		next = waiting[len(waiting)-1]
		for _, x := range waiting[:len(waiting)-1] {
			s.end(x, "Superseded", "SUPERSEDED")
		}
	}
	next.waiting = false
	s.Clock.After(time.Second, func() { s.enter(next) })
}

// next are the actions of the present stage that come after the present order. With only,
// none but those.
func (e *execution) next(only []string) []action {
	var next []action
	for _, a := range e.pipeline.Stages[e.stage].Actions {
		if a.RunOrder <= e.order || only != nil && !slices.Contains(only, a.Name) ||
			len(next) > 0 && a.RunOrder > next[0].RunOrder {
			continue
		}
		if len(next) > 0 && a.RunOrder < next[0].RunOrder {
			next = nil
		}
		next = append(next, a)
	}
	return next
}

// begin runs actions at the same time.
func (s *Service) begin(e *execution, actions []action) {
	var all []*run
	for _, a := range actions {
		r := &run{
			id: s.UUID("action"), status: "InProgress", execution: e, stage: e.stage, action: a, began: s.Clock.Now(),
			changed: s.Clock.Now(),
		}
		e.open[a.Name], e.runs = r, append(e.runs, r)
		all = append(all, r)
		s.tellAction(r, "STARTED")
	}
	for _, r := range all {
		configuration, missing := e.resolve(r.action.Configuration)
		if missing != "" {
			s.later(r, failure("ConfigurationError", "The variable %s is not there", missing))
			continue
		}
		r.action.Configuration = configuration
		runs[r.action.ActionTypeID.Provider](s, r)
	}
}

var variablePattern = regexp.MustCompile(`#\{([^}]+)\}`)

// resolve puts the values of variables into a configuration, and names the first that is missing.
func (e *execution) resolve(in map[string]string) (out map[string]string, missing string) {
	out = map[string]string{}
	for k, v := range in {
		out[k] = variablePattern.ReplaceAllStringFunc(v, func(ref string) string {
			name := strings.TrimSuffix(strings.TrimPrefix(ref, "#{"), "}")
			value, ok := e.variables[name]
			if !ok {
				missing = name
			}
			return value
		})
	}
	return out, missing
}

// later ends an action a moment later, as nothing ends in the call that begins it.
func (s *Service) later(r *run, o outcome) { s.Clock.After(time.Second, func() { s.done(r, o) }) }

// done ends an action. Once all that run with it have ended the execution goes on, or has
// failed.
func (s *Service) done(r *run, o outcome) {
	e := r.execution
	if e.status != "InProgress" && !e.stopping || e.open[r.action.Name] != r {
		return
	}
	delete(e.open, r.action.Name)
	r.status, r.changed = "Succeeded", s.Clock.Now()
	r.summary, r.variables = o.summary, o.variables
	r.code, r.message = o.code, o.message
	if o.external != "" {
		r.external = o.external
	}
	e.updated = r.changed
	if r.action.Namespace != "" {
		for k, v := range o.variables {
			e.variables[r.action.Namespace+"."+k] = v
		}
	}
	state := "SUCCEEDED"
	if o.code != "" {
		state, e.failed = "FAILED", r.action.Name
		r.status = "Failed"
	}
	s.tellAction(r, state)
	switch {
	case len(e.open) > 0:
	case e.stopping:
		s.end(e, "Stopped", "STOPPED")
	case e.failed != "":
		s.tellStage(e, "FAILED")
		s.end(e, "Failed", "FAILED")
	default:
		s.enter(e)
	}
}

func (s *Service) end(e *execution, status, state string) {
	e.status, e.stopping = status, false
	e.updated = s.Clock.Now()
	s.tell(e, state)
	if !e.waiting {
		s.admit(e.pipeline.Name, e.stage)
	}
	e.waiting = false
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
		for _, r := range e.open {
			r.status, r.changed = "Abandoned", s.Clock.Now()
		}
		e.open = map[string]*run{}
		s.end(e, "Stopped", "STOPPED")
	} else {
		e.status, e.stopping = "Stopping", true
		s.tell(e, "STOPPING")
	}
	return &executionID{e.id}, nil
}

func (s *Service) retryStage(_ *kernel.Call, in *struct {
	PipelineName, StageName, PipelineExecutionID, RetryMode string
}) (*executionID, error) {
	e, err := s.executionOf(in.PipelineName, in.PipelineExecutionID)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(e.pipeline.Stages, func(x stage) bool { return x.Name == in.StageName })
	if at < 0 {
		return nil, kernel.Errorf("StageNotFoundException", "Stage %s is not there", in.StageName)
	}
	if e.status != "Failed" || e.stage != at {
		return nil, kernel.Errorf("StageNotRetryableException",
			"Unable to retry the stage %s: it has not failed in this execution", in.StageName)
	}
	for _, x := range s.executions {
		if x.pipeline == e.pipeline && e.pipeline.ExecutionMode != "PARALLEL" && x.started.After(e.started) &&
			slices.ContainsFunc(x.runs, func(r *run) bool { return r.stage >= at }) {
			return nil, kernel.Errorf("NotLatestPipelineExecutionException", "The stage %s has failed in a later run "+
				"of the pipeline and the pipelineExecutionId associated with the request is out of date", in.StageName)
		}
	}
	e.status, e.failed = "InProgress", ""
	s.tell(e, "RESUMED")
	if in.RetryMode == "ALL_ACTIONS" {
		e.order = 0
		s.Clock.After(time.Second, func() { s.enter(e) })
		return &executionID{e.id}, nil
	}
	var again []string
	for _, a := range e.pipeline.Stages[at].Actions {
		if last := e.last(at, a.Name); last != nil && last.status == "Failed" {
			again = append(again, a.Name)
		}
	}
	s.tellStage(e, "RESUMED")
	s.Clock.After(time.Second, func() {
		e.order-- // the failed ones are of the present order
		next := e.next(again)
		e.order++
		s.begin(e, next)
	})
	return &executionID{e.id}, nil
}

// last returns the latest run of an action, or nil.
func (e *execution) last(stage int, name string) *run {
	for _, r := range slices.Backward(e.runs) {
		if r.stage == stage && r.action.Name == name {
			return r
		}
	}
	return nil
}
