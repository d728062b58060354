package sandbox

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/awserr"
	"drawbridge/internal/awssim"
)

// approved is a pipeline that waits for an approval, with what a test does to it.
type approved struct {
	t      *testing.T
	sim    *awssim.Sim
	client *codepipeline.Client
}

// newApproved creates the pipeline and starts three executions of it, one after the other.
func newApproved(t *testing.T, mode types.ExecutionMode) approved {
	t.Helper()
	sim := awssim.New(awssim.Options{})
	t.Cleanup(sim.Close)
	p := approved{t, sim, codepipeline.NewFromConfig(AWSConfig(sim, "http://aws.invalid", sim.RoundTripper()))}
	stage := func(name, category, provider string) types.StageDeclaration {
		return types.StageDeclaration{Name: &name, Actions: []types.ActionDeclaration{{
			Name: &name, TimeoutInMinutes: map[bool]*int32{true: aws.Int32(60)}[provider == "Manual"],
			ActionTypeId: &types.ActionTypeId{
				Category: types.ActionCategory(category), Owner: "AWS", Provider: &provider, Version: aws.String("1"),
			},
		}}}
	}
	_, err := p.client.CreatePipeline(t.Context(), &codepipeline.CreatePipelineInput{Pipeline: &types.PipelineDeclaration{
		Name: aws.String("p"), RoleArn: aws.String(sim.AddRole("p", "codepipeline.amazonaws.com")), ExecutionMode: mode,
		Stages: []types.StageDeclaration{stage("Source", "Source", "S3"), stage("Approve", "Approval", "Manual")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		in := &codepipeline.StartPipelineExecutionInput{Name: aws.String("p")}
		if _, err := p.client.StartPipelineExecution(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		sim.Advance(time.Minute)
	}
	return p
}

// answer gives the approval that is waited for.
func (p approved) answer(status types.ApprovalStatus) {
	p.t.Helper()
	state, err := p.client.GetPipelineState(p.t.Context(), &codepipeline.GetPipelineStateInput{Name: aws.String("p")})
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = p.client.PutApprovalResult(p.t.Context(), &codepipeline.PutApprovalResultInput{
		PipelineName: aws.String("p"), StageName: aws.String("Approve"), ActionName: aws.String("Approve"),
		Token:  state.StageStates[1].ActionStates[0].LatestExecution.Token,
		Result: &types.ApprovalResult{Status: status, Summary: aws.String("read")},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.sim.Advance(time.Minute)
}

// statuses are those of the executions, the first one first.
func (p approved) statuses() []types.PipelineExecutionStatus {
	p.t.Helper()
	in := &codepipeline.ListPipelineExecutionsInput{PipelineName: aws.String("p")}
	out, err := p.client.ListPipelineExecutions(p.t.Context(), in)
	if err != nil {
		p.t.Fatal(err)
	}
	var all []types.PipelineExecutionStatus
	for _, e := range out.PipelineExecutionSummaries {
		all = append([]types.PipelineExecutionStatus{e.Status}, all...)
	}
	return all
}

func (p approved) want(want ...types.PipelineExecutionStatus) {
	p.t.Helper()
	if d := cmp.Diff(want, p.statuses()); d != "" {
		p.t.Error(d)
	}
}

const (
	running    = types.PipelineExecutionStatusInProgress
	succeeded  = types.PipelineExecutionStatusSucceeded
	failed     = types.PipelineExecutionStatusFailed
	superseded = types.PipelineExecutionStatusSuperseded
)

// TestAStageHasOneExecutionAtATime shows who comes next into a stage.
func TestAStageHasOneExecutionAtATime(t *testing.T) {
	t.Run("queued: in turn", func(t *testing.T) {
		p := newApproved(t, types.ExecutionModeQueued)
		p.want(running, running, running)
		p.answer(types.ApprovalStatusApproved)
		p.want(succeeded, running, running)
		p.answer(types.ApprovalStatusRejected)
		p.want(succeeded, failed, running)
		p.answer(types.ApprovalStatusApproved)
		p.want(succeeded, failed, succeeded)
	})
	t.Run("superseded: the newest", func(t *testing.T) {
		p := newApproved(t, types.ExecutionModeSuperseded)
		p.answer(types.ApprovalStatusApproved)
		p.want(succeeded, superseded, running)
	})
	t.Run("an approval in time, or none", func(t *testing.T) {
		p := newApproved(t, types.ExecutionModeQueued)
		p.sim.Advance(time.Hour)
		p.want(failed, running, running)
		p.answer(types.ApprovalStatusApproved)
		p.want(failed, succeeded, running)
	})
}

// TestAStageIsRetried runs the failed action of a stage again.
func TestAStageIsRetried(t *testing.T) {
	p := newApproved(t, types.ExecutionModeParallel)
	p.answer(types.ApprovalStatusRejected)
	if err := p.retry(); err != nil {
		t.Fatal(err)
	}
	p.want(running, running, running)
	p = newApproved(t, types.ExecutionModeQueued)
	p.answer(types.ApprovalStatusRejected) // the next one enters the stage
	if err := p.retry(); awserr.Code(err) != "NotLatestPipelineExecutionException" {
		t.Errorf("a retry of a stage that a later execution is in: %v", err)
	}
	p.want(failed, running, running)
}

// retry has the stage of the execution that failed retried.
func (p approved) retry() error {
	p.t.Helper()
	t := p.t
	list, err := p.client.ListPipelineExecutions(t.Context(), &codepipeline.ListPipelineExecutionsInput{PipelineName: aws.String("p")})
	if err != nil {
		t.Fatal(err)
	}
	var id *string
	for _, e := range list.PipelineExecutionSummaries {
		if e.Status == failed {
			id = e.PipelineExecutionId
		}
	}
	_, err = p.client.RetryStageExecution(t.Context(), &codepipeline.RetryStageExecutionInput{
		PipelineName: aws.String("p"), StageName: aws.String("Approve"), PipelineExecutionId: id,
		RetryMode: types.StageRetryModeFailedActions,
	})
	p.sim.Advance(time.Minute)
	return err
}
