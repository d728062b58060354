package codepipeline

import (
	"slices"

	"drawbridge/internal/awssim/kernel"
)

type pipelineSummary struct {
	Name    string        `json:"name"`
	Version int           `json:"version"`
	Created *kernel.Stamp `json:"created"`
	Updated *kernel.Stamp `json:"updated"`
}

func (s *Service) listPipelines(_ *kernel.Call, _ *struct {
	NextToken  string
	MaxResults int
}) (*struct {
	Pipelines []pipelineSummary `json:"pipelines"`
}, error) {
	out := &struct {
		Pipelines []pipelineSummary `json:"pipelines"`
	}{[]pipelineSummary{}}
	for _, p := range s.pipelines {
		out.Pipelines = append(out.Pipelines, pipelineSummary{
			p.Name, p.Version, kernel.StampOf(p.created), kernel.StampOf(p.updated),
		})
	}
	return out, nil
}

type executionJSON struct {
	Pipeline string `json:"pipelineName"`
	Version  int    `json:"pipelineVersion"`
	ID       string `json:"pipelineExecutionId"`
	Status   string `json:"status"`
}

func (s *Service) getExecution(_ *kernel.Call, in *struct{ PipelineName, PipelineExecutionID string }) (*struct {
	Execution executionJSON `json:"pipelineExecution"`
}, error) {
	e, err := s.executionOf(in.PipelineName, in.PipelineExecutionID)
	if err != nil {
		return nil, err
	}
	return &struct {
		Execution executionJSON `json:"pipelineExecution"`
	}{executionJSON{e.pipeline.Name, e.pipeline.Version, e.id, e.status}}, nil
}

type executionSummary struct {
	ID      string        `json:"pipelineExecutionId"`
	Status  string        `json:"status"`
	Started *kernel.Stamp `json:"startTime"`
	Updated *kernel.Stamp `json:"lastUpdateTime"`
}

func (s *Service) listExecutions(_ *kernel.Call, in *struct {
	PipelineName, NextToken string
	MaxResults              int
}) (*struct {
	Executions []executionSummary `json:"pipelineExecutionSummaries"`
}, error) {
	if _, err := s.pipeline(in.PipelineName); err != nil {
		return nil, err
	}
	out := &struct {
		Executions []executionSummary `json:"pipelineExecutionSummaries"`
	}{[]executionSummary{}}
	for _, e := range slices.Backward(s.executions) {
		if e.pipeline.Name == in.PipelineName && (in.MaxResults == 0 || len(out.Executions) < in.MaxResults) {
			out.Executions = append(out.Executions, executionSummary{
				e.id, e.status, kernel.StampOf(e.started), kernel.StampOf(e.updated),
			})
		}
	}
	return out, nil
}

type errorJSON struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (r *run) error() *errorJSON {
	if r.code == "" {
		return nil
	}
	return &errorJSON{r.code, r.message}
}

type actionDetail struct {
	Execution string        `json:"pipelineExecutionId"`
	ID        string        `json:"actionExecutionId"`
	Version   int           `json:"pipelineVersion"`
	Stage     string        `json:"stageName"`
	Action    string        `json:"actionName"`
	Started   *kernel.Stamp `json:"startTime"`
	Updated   *kernel.Stamp `json:"lastUpdateTime"`
	Status    string        `json:"status"`
	Output    actionOutput  `json:"output"`
}

type actionOutput struct {
	Result struct {
		External string     `json:"externalExecutionId,omitempty"`
		Summary  string     `json:"externalExecutionSummary,omitempty"`
		Error    *errorJSON `json:"errorDetails,omitempty"`
	} `json:"executionResult"`
	Variables map[string]string `json:"outputVariables"`
}

func (s *Service) listActions(_ *kernel.Call, in *struct {
	PipelineName, NextToken string
	MaxResults              int
	Filter                  struct{ PipelineExecutionID string }
}) (*struct {
	Details []actionDetail `json:"actionExecutionDetails"`
}, error) {
	if _, err := s.pipeline(in.PipelineName); err != nil {
		return nil, err
	}
	out := &struct {
		Details []actionDetail `json:"actionExecutionDetails"`
	}{[]actionDetail{}}
	for _, e := range slices.Backward(s.executions) {
		if e.pipeline.Name != in.PipelineName ||
			in.Filter.PipelineExecutionID != "" && in.Filter.PipelineExecutionID != e.id {
			continue
		}
		for _, r := range slices.Backward(e.runs) {
			d := actionDetail{
				e.id, r.id, e.pipeline.Version, e.pipeline.Stages[r.stage].Name, r.action.Name,
				kernel.StampOf(r.began), kernel.StampOf(r.changed), r.status, actionOutput{Variables: r.variables},
			}
			d.Output.Result.External, d.Output.Result.Summary = r.external, r.summary
			d.Output.Result.Error = r.error()
			if d.Output.Variables == nil {
				d.Output.Variables = map[string]string{}
			}
			out.Details = append(out.Details, d)
		}
	}
	return out, nil
}

type stageState struct {
	Name    string        `json:"stageName"`
	Actions []actionState `json:"actionStates"`
	Latest  *stageLatest  `json:"latestExecution,omitempty"`
}

type stageLatest struct {
	Execution string `json:"pipelineExecutionId"`
	Status    string `json:"status"`
}

type actionState struct {
	Name   string        `json:"actionName"`
	Latest *actionLatest `json:"latestExecution,omitempty"`
}

type actionLatest struct {
	ID       string        `json:"actionExecutionId"`
	Status   string        `json:"status"`
	Summary  string        `json:"summary,omitempty"`
	Changed  *kernel.Stamp `json:"lastStatusChange"`
	Token    string        `json:"token,omitempty"`
	External string        `json:"externalExecutionId,omitempty"`
	Error    *errorJSON    `json:"errorDetails,omitempty"`
}

func (s *Service) getState(_ *kernel.Call, in *struct{ Name string }) (*struct {
	Name    string        `json:"pipelineName"`
	Version int           `json:"pipelineVersion"`
	Stages  []stageState  `json:"stageStates"`
	Created *kernel.Stamp `json:"created"`
	Updated *kernel.Stamp `json:"updated"`
}, error) {
	p, err := s.pipeline(in.Name)
	if err != nil {
		return nil, err
	}
	out := &struct {
		Name    string        `json:"pipelineName"`
		Version int           `json:"pipelineVersion"`
		Stages  []stageState  `json:"stageStates"`
		Created *kernel.Stamp `json:"created"`
		Updated *kernel.Stamp `json:"updated"`
	}{p.Name, p.Version, []stageState{}, kernel.StampOf(p.created), kernel.StampOf(p.updated)}
	for n, x := range p.Stages {
		out.Stages = append(out.Stages, s.stageState(p.Name, n, x))
	}
	return out, nil
}

// stageState is a stage as the latest execution that came to it has left it.
func (s *Service) stageState(pipeline string, n int, x stage) stageState {
	out := stageState{Name: x.Name, Actions: []actionState{}}
	var latest *execution
	for _, e := range s.executions {
		if e.pipeline.Name == pipeline && slices.ContainsFunc(e.runs, func(r *run) bool { return r.stage == n }) {
			latest = e
		}
	}
	for _, a := range x.Actions {
		state := actionState{Name: a.Name}
		if latest != nil {
			if r := latest.last(n, a.Name); r != nil {
				state.Latest = &actionLatest{
					r.id, r.status, r.summary, kernel.StampOf(r.changed), r.token, r.external, r.error(),
				}
			}
		}
		out.Actions = append(out.Actions, state)
	}
	if latest == nil {
		return out
	}
	out.Latest = &stageLatest{latest.id, "Succeeded"}
	if latest.stage == n {
		out.Latest.Status = latest.status
	}
	return out
}

func (s *Service) putApproval(_ *kernel.Call, in *struct {
	PipelineName, StageName, ActionName, Token string
	Result                                     struct{ Summary, Status string }
}) (*struct {
	At *kernel.Stamp `json:"approvedAt"`
}, error) {
	if _, err := s.pipeline(in.PipelineName); err != nil {
		return nil, err
	}
	asked := false
	for _, e := range s.executions {
		r := e.open[in.ActionName]
		if r == nil || e.pipeline.Name != in.PipelineName || e.pipeline.Stages[r.stage].Name != in.StageName {
			continue
		}
		if r.token == "" || r.token != in.Token {
			asked = true
			continue
		}
		o := outcome{summary: in.Result.Summary}
		if in.Result.Status == "Rejected" {
			o = failure("JobFailed", "Rejected: %s", in.Result.Summary)
		}
		s.done(r, o)
		return &struct {
			At *kernel.Stamp `json:"approvedAt"`
		}{kernel.StampOf(s.Clock.Now())}, nil
	}
	if asked {
		return nil, kernel.Errorf("InvalidApprovalTokenException", "The approval token is not valid.")
	}
	return nil, kernel.Errorf("ApprovalAlreadyCompletedException",
		"The approval action has already been approved or rejected.")
}
