package codepipeline

import (
	"encoding/json"
	"slices"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// job is one call of an action's function.
type job struct {
	run      *run
	expires  *kernel.Due
	answered bool
}

// The times of a job. AWS does not say how long it waits before it calls a function again:
// the fault continue-after says it here.
const (
	answerWithin  = 20 * time.Minute
	actionWithin  = 24 * time.Hour
	continueAfter = 30 * time.Second
)

// invoke calls an action's function with a new job.
func (s *Service) invoke(r *run, token string) {
	id := s.UUID("job")
	j := &job{run: r}
	s.jobs[id] = j
	data := map[string]any{
		"actionConfiguration": map[string]any{"configuration": r.action.Configuration}, "inputArtifacts": []any{},
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
	f := s.lambda.Function(r.action.Configuration["FunctionName"])
	if err != nil || f == nil || s.iam.Allows(s.roleOf(r),
		kernel.May("lambda:InvokeFunction", s.lambda.FunctionARN(f.Name))) != nil {
		s.later(r, failure("PermissionError", "The AWS Lambda function %s could not be invoked",
			r.action.Configuration["FunctionName"]))
		return
	}
	j.expires = s.Clock.After(answerWithin, func() {
		j.answered = true
		s.done(r, failure("JobTimedOut", "The AWS Lambda function %s failed to return a result.", f.Name))
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
	ExecutionDetails         struct {
		Summary, ExternalExecutionID string
		PercentComplete              int
	}
	CurrentRevision map[string]any
}) (*kernel.RawReply, error) {
	if in.ContinuationToken != "" && len(in.OutputVariables) > 0 {
		return nil, kernel.Errorf("ValidationException", "Output variables cannot be set with a continuation token.")
	}
	j, err := s.answer(in.JobID)
	if err != nil {
		return nil, err
	}
	r := j.run
	if in.ContinuationToken == "" {
		s.done(r, outcome{
			summary: in.ExecutionDetails.Summary, external: in.ExecutionDetails.ExternalExecutionID,
			variables: in.OutputVariables,
		})
		return &kernel.RawReply{Status: 200}, nil
	}
	r.summary = in.ExecutionDetails.Summary
	wait := continueAfter
	if d := s.Delay("continue-after", continueAfter); d > 0 {
		wait = d
	}
	s.Clock.After(wait, func() {
		if s.Clock.Now().Sub(r.began) > actionWithin {
			s.done(r, failure("JobTimedOut", "The action ran for more than 24 hours"))
			return
		}
		if r.execution.open[r.action.Name] == r {
			s.invoke(r, in.ContinuationToken)
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
	s.done(j.run, failure(in.FailureDetails.Type, "%s", in.FailureDetails.Message))
	return &kernel.RawReply{Status: 200}, nil
}
