package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codebuild"
	cbtypes "github.com/aws/aws-sdk-go-v2/service/codebuild/types"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"go.uber.org/zap"

	"drawbridge/internal/awserr"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// pipelineJob is a job of CodePipeline: an action that asks for the endpoints. It names
// neither pipeline nor execution; its user parameters do.
type pipelineJob struct {
	ID      string `json:"id"`
	Account string `json:"accountId"`
	Data    struct {
		Action struct {
			Configuration struct {
				UserParameters string `json:"UserParameters"`
			} `json:"configuration"`
		} `json:"actionConfiguration"`
		Token string `json:"continuationToken"`
	} `json:"data"`
}

// parameters are the user parameters of such an action.
type parameters struct {
	Pipeline  string `json:"pipeline"`
	Execution string `json:"execution"`
}

// wanted is what the user parameters of an action have to be.
const wanted = `write {"pipeline": "NAME", "execution": "#{codepipeline.PipelineExecutionId}"} as the action's user ` +
	`parameters`

// pipelineWaits is how long an action waits for the endpoints before it fails: longer than a
// creation may take, and the next after one that failed.
const pipelineWaits = 90 * time.Minute

// failsAfter is how long an action waits at least where another creation would fail for the
// same reason: the reason may be mended.
const failsAfter = 10 * time.Minute

// asked answers a job of a pipeline: success once the endpoints are usable, failure with the
// reason where they will not be, and otherwise that it goes on, which has CodePipeline ask
// again. An answer goes out each time.
//
// Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html
func (k *Keeper) asked(ctx context.Context, job pipelineJob) error {
	kind, reason, wait, err := k.ready(ctx, job)
	if err != nil {
		k.app.Log.Warn("the pipeline asks again", zap.String("job", job.ID), zap.Error(err))
		if !errors.Is(err, reconcile.ErrTemporary) {
			kind, reason = types.FailureTypeSystemUnavailable, err.Error()
		}
		wait = errors.Is(err, reconcile.ErrTemporary)
	}
	switch {
	case kind != "":
		k.app.Log.Warn("the pipeline's action fails", zap.String("job", job.ID), zap.String("reason", reason))
		_, err = k.clients.CodePipeline.PutJobFailureResult(ctx, &codepipeline.PutJobFailureResultInput{
			JobId: &job.ID, FailureDetails: &types.FailureDetails{Type: kind, Message: aws.String(clipped(reason))},
		})
	default:
		in := &codepipeline.PutJobSuccessResultInput{JobId: &job.ID}
		if wait {
			in.ContinuationToken = aws.String("endpoints")
		}
		_, err = k.clients.CodePipeline.PutJobSuccessResult(ctx, in)
	}
	switch awserr.Code(err) {
	case "InvalidJobStateException", "JobNotFoundException":
		return nil // answered before
	}
	return awserr.Mark(err, "answer job %s of a pipeline", job.ID)
}

// clipped bounds a message to what CodePipeline takes.
func clipped(text string) string { return strings.ToValidUTF8(text[:min(len(text), 4000)], "") }

// ready returns whether the endpoints that an action asks for are usable: a kind of failure
// with its reason, or that it has to wait.
func (k *Keeper) ready(ctx context.Context, job pipelineJob) (kind types.FailureType, reason string, wait bool,
	err error) {
	var p parameters
	text := job.Data.Action.Configuration.UserParameters
	if err := json.Unmarshal([]byte(text), &p); err != nil || p.Pipeline == "" || p.Execution == "" {
		return types.FailureTypeConfigurationError, fmt.Sprintf("the user parameters %q name no pipeline and "+
			"execution; %s", text, wanted), false, nil
	}
	if job.Account != k.app.Place.Account {
		return types.FailureTypePermissionError, "the job is of account " + job.Account, false, nil
	}
	name, d, ok := k.matching(func(d section.Deployment) bool { return section.Matches(d.Pipeline, p.Pipeline) })
	if !ok {
		return types.FailureTypeConfigurationError, fmt.Sprintf("no section of deployments names pipeline %s",
			p.Pipeline), false, nil
	}
	r, err := k.begin(ctx, Pipeline, p.Pipeline+"/"+p.Execution, name, d)
	if err == nil {
		err = k.look(ctx, r)
	}
	if err != nil {
		return "", "", false, err
	}
	if !r.Ended.IsZero() {
		return types.FailureTypeJobFailed, "set " + string(r.Set) + " is not held: " + r.Why, false, nil
	}
	set, err := k.app.Store.LoadSet(ctx, r.Set)
	if err != nil {
		return "", "", false, err
	}
	now := k.app.Clock.Now()
	broken, err := k.broken(ctx, d)
	if err != nil {
		return "", "", false, err
	}
	switch usable, why := Usable(set, now); {
	case broken != "":
		return types.FailureTypeConfigurationError, broken, false, nil
	case usable && r.Held:
		return "", "", false, nil
	case set.Pause != nil:
		return types.FailureTypeJobFailed, fmt.Sprintf("set %s is %s", set.Name, set.Pause), false, nil
	case set.FailureLasts && now.Sub(r.Began) > failsAfter:
		return types.FailureTypeJobFailed, fmt.Sprintf("set %s: %s", set.Name, set.Failure), false, nil
	case now.Sub(r.Began) > pipelineWaits:
		return types.FailureTypeJobFailed, fmt.Sprintf("set %s is not usable after %s: %s", set.Name, pipelineWaits,
			why), false, nil
	}
	return "", "", true, nil
}

// Usable reports whether the endpoints of a set can be used, and why not.
func Usable(set scheduler.Set, now time.Time) (bool, string) {
	switch {
	case set.Phase == scheduler.Available && !now.Before(set.Usable):
		return true, ""
	case set.Failure != "" && set.Phase != scheduler.Available:
		return false, set.Failure
	}
	return false, "it is " + string(set.Phase)
}

// lookAt looks at an execution that holds a set: only its action makes it one.
func (k *Keeper) lookAt(ctx context.Context, fits func(section.Deployment) bool, id string) error {
	_, d, ok := k.matching(fits)
	if !ok {
		return nil
	}
	var r Record
	known, err := k.app.Store.Deployment(ctx, d.Set, id, &r)
	if err != nil || !known {
		return err
	}
	return k.look(ctx, &r)
}

// observePipeline reads an execution.
func (k *Keeper) observePipeline(ctx context.Context, r *Record) (seen, error) {
	name, execution, _ := strings.Cut(r.ID, "/")
	out, err := k.clients.CodePipeline.GetPipelineExecution(ctx, &codepipeline.GetPipelineExecutionInput{
		PipelineName: &name, PipelineExecutionId: &execution,
	})
	switch awserr.Code(err) {
	case "PipelineExecutionNotFoundException", "PipelineNotFoundException":
		return seen{state: "Gone", over: true, gone: true, why: "CodePipeline does not know it"}, nil
	}
	if err != nil {
		return seen{}, awserr.Mark(err, "get %s", r)
	}
	status := out.PipelineExecution.Status
	s := seen{state: string(status)}
	if status != types.PipelineExecutionStatusInProgress && status != types.PipelineExecutionStatusStopping {
		s.over, s.why = true, "it ended "+s.state
	}
	return s, nil
}

// beginBuild begins a build of a project.
func (k *Keeper) beginBuild(ctx context.Context, project, id string) error {
	name, d, ok := k.matching(func(d section.Deployment) bool { return section.Matches(d.CodeBuild, project) })
	if !ok {
		return nil
	}
	r, err := k.begin(ctx, Build, id, name, d)
	if err != nil {
		return err
	}
	return k.look(ctx, r)
}

// observeBuild reads a build.
func (k *Keeper) observeBuild(ctx context.Context, r *Record) (seen, error) {
	out, err := k.clients.CodeBuild.BatchGetBuilds(ctx, &codebuild.BatchGetBuildsInput{Ids: []string{r.ID}})
	if err != nil {
		return seen{}, awserr.Mark(err, "get %s", r)
	}
	if len(out.Builds) == 0 {
		return seen{state: "GONE", over: true, gone: true, why: "CodeBuild does not know it"}, nil
	}
	b := out.Builds[0]
	s := seen{state: string(b.BuildStatus), at: aws.ToString(b.CurrentPhase)}
	if b.BuildStatus != cbtypes.StatusTypeInProgress {
		s.over, s.why = true, "it ended "+s.state
	}
	return s, nil
}
