package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"go.uber.org/zap"

	"drawbridge/internal/awserr"
	"drawbridge/internal/deployments/section"
	"drawbridge/internal/hint"
)

// ofCodeDeploy returns the section of a deployment group's deployments.
func (k *Keeper) ofCodeDeploy(application, group string) (name string, d section.Deployment, ok bool) {
	return k.matching(func(d section.Deployment) bool { return section.Matches(d.CodeDeploy, application+"/"+group) })
}

// beginCodeDeploy begins a deployment of a group.
func (k *Keeper) beginCodeDeploy(ctx context.Context, id, application, group string) error {
	name, d, ok := k.ofCodeDeploy(application, group)
	if !ok {
		return nil
	}
	r, err := k.begin(ctx, CodeDeploy, id, name, d)
	if err != nil {
		return err
	}
	return k.look(ctx, r)
}

// overCodeDeploy are the states of a deployment that has ended.
var overCodeDeploy = []types.DeploymentStatus{
	types.DeploymentStatusSucceeded, types.DeploymentStatusFailed, types.DeploymentStatusStopped,
}

// observeCodeDeploy reads a deployment. One whose lifecycle events have all succeeded waits
// for the end of the old tasks alone, and needs nothing.
func (k *Keeper) observeCodeDeploy(ctx context.Context, r *Record) (seen, error) {
	out, err := k.clients.CodeDeploy.GetDeployment(ctx, &codedeploy.GetDeploymentInput{DeploymentId: &r.ID})
	if awserr.Code(err) == "DeploymentDoesNotExistException" {
		return seen{state: "Gone", over: true, gone: true, why: "CodeDeploy does not know it"}, nil
	}
	if err != nil {
		return seen{}, awserr.Mark(err, "get %s", r)
	}
	d := out.DeploymentInfo
	s := seen{
		state: string(d.Status), over: slices.Contains(overCodeDeploy, d.Status), started: aws.ToTime(d.CreateTime),
	}
	if d.RollbackInfo != nil {
		s.of = aws.ToString(d.RollbackInfo.RollbackTriggeringDeploymentId)
	}
	if s.over {
		s.why = fmt.Sprintf("it ended %s", d.Status)
		if e := d.ErrorInformation; e != nil {
			s.why += fmt.Sprintf(" (%s): %s", e.Code, aws.ToString(e.Message))
		}
		return s, nil
	}
	events, err := k.eventsOf(ctx, r)
	if err != nil {
		return s, err
	}
	done := 0
	for _, e := range events {
		switch e.Status {
		case types.LifecycleEventStatusInProgress:
			s.at, s.atSince = aws.ToString(e.LifecycleEventName), aws.ToTime(e.StartTime)
			// A roll-back was not seen to call hooks: one that stays at an event does.
			back := d.Creator == types.DeploymentCreatorCodeDeployRollback
			if !back || k.app.Clock.Now().Sub(s.atSince) > heardWithin {
				s.function = hooksOf(d.Revision)[s.at]
			}
		case types.LifecycleEventStatusSucceeded:
			done++
		}
	}
	if len(events) > 0 && done == len(events) {
		s.over = true
		s.why = "the traffic is shifted and its last hook has succeeded: it waits for the old tasks to end, which " +
			"needs no endpoint"
	}
	return s, nil
}

// eventsOf returns the lifecycle events of a deployment's target; none while it has none.
func (k *Keeper) eventsOf(ctx context.Context, r *Record) ([]types.LifecycleEvent, error) {
	targets, err := k.clients.CodeDeploy.ListDeploymentTargets(ctx, &codedeploy.ListDeploymentTargetsInput{
		DeploymentId: &r.ID,
	})
	if awserr.Code(err) == "DeploymentNotStartedException" || err == nil && len(targets.TargetIds) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, awserr.Mark(err, "list the targets of %s", r)
	}
	out, err := k.clients.CodeDeploy.GetDeploymentTarget(ctx, &codedeploy.GetDeploymentTargetInput{
		DeploymentId: &r.ID, TargetId: &targets.TargetIds[0],
	})
	if err != nil {
		return nil, awserr.Mark(err, "get the target of %s", r)
	}
	switch t := out.DeploymentTarget; {
	case t == nil:
	case t.EcsTarget != nil:
		return t.EcsTarget.LifecycleEvents, nil
	case t.LambdaTarget != nil:
		return t.LambdaTarget.LifecycleEvents, nil
	}
	return nil, nil
}

// codeDeployHook is the event of a hook of CodeDeploy. It does not name its lifecycle event:
// the function that it comes to does.
type codeDeployHook struct {
	Deployment string `json:"DeploymentId"`
	Execution  string `json:"LifecycleEventHookExecutionId"`
}

// hooked takes a hook of CodeDeploy. Once it is written down it is answered by whoever looks;
// what keeps it from being written down is answered with Failed at once, because CodeDeploy
// would wait for an hour otherwise.
func (k *Keeper) hooked(ctx context.Context, function string, h codeDeployHook) (err error) {
	if h.Deployment == "" || h.Execution == "" {
		return hint.New("event of a CodeDeploy hook without DeploymentId or LifecycleEventHookExecutionId: there is "+
			"nothing to answer", "name the function under Hooks of an AppSpec; it is not to be invoked otherwise")
	}
	written := false
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
		if err != nil && !written {
			k.app.Log.Error("the hook fails", zap.String("deployment", h.Deployment), zap.Error(err))
			err = errors.Join(err, k.reportFailed(h))
		}
	}()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-lastWords))
		defer cancel()
	}
	name, event, ok := section.HookOf(k.app.Config.Name, k.app.Config.Deployments, function)
	if !ok {
		return fmt.Errorf("no hook of the configuration belongs to function %s", function)
	}
	r, err := k.begin(ctx, CodeDeploy, h.Deployment, name, k.app.Config.Deployments[name])
	if err != nil {
		return err
	}
	now := k.app.Clock.Now()
	err = k.change(ctx, r, func(r *Record) {
		r.fired(Firing{
			Hook: event, ID: h.Execution, Via: ByCodeDeploy, Began: now, Expires: now.Add(section.CodeDeployWaits),
		})
	})
	if err != nil {
		return err
	}
	written = true
	err = k.look(ctx, r)
	if awserr.Code(err) == "AccessDeniedException" {
		return fmt.Errorf("the hook of a deployment that may not be read fails: %w",
			errors.Join(err, k.reportFailed(h)))
	}
	if err != nil {
		k.app.Log.Warn("the hook is written down, and the next look goes on", zap.Stringer("deployment", *r),
			zap.Error(err))
	}
	return nil
}

// lastWords is how long before the function's end a hook that is not written down is
// answered.
const lastWords = 5 * time.Second

// reportFailed answers a hook of CodeDeploy with Failed, whatever else does not work.
func (k *Keeper) reportFailed(h codeDeployHook) error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords-time.Second)
	defer cancel()
	return put(ctx, k.clients.CodeDeploy, h.Deployment, h.Execution, types.LifecycleEventStatusFailed)
}

// failUnheard answers a hook of CodeDeploy with Failed where there is no installation to write
// it down in. Any other event is left to who sent it.
func failUnheard(ctx context.Context, client *codedeploy.Client, function string, payload []byte) error {
	var h codeDeployHook
	if !strings.HasPrefix(function, section.HookPrefix) || json.Unmarshal(payload, &h) != nil || h.Execution == "" {
		return nil
	}
	return put(ctx, client, h.Deployment, h.Execution, types.LifecycleEventStatusFailed)
}

// putStatus answers a hook of CodeDeploy.
func (k *Keeper) putStatus(ctx context.Context, r *Record, f Firing) error {
	status := types.LifecycleEventStatusSucceeded
	if f.Outcome == Failed {
		status = types.LifecycleEventStatusFailed
	}
	return put(ctx, k.clients.CodeDeploy, r.ID, f.ID, status)
}

// put tells CodeDeploy the outcome of a hook. One that it does not wait for is done.
func put(ctx context.Context, client *codedeploy.Client, deployment, execution string,
	status types.LifecycleEventStatus) error {
	_, err := client.PutLifecycleEventHookExecutionStatus(ctx,
		&codedeploy.PutLifecycleEventHookExecutionStatusInput{
			DeploymentId: &deployment, LifecycleEventHookExecutionId: &execution, Status: status,
		})
	switch awserr.Code(err) {
	case "LifecycleEventAlreadyCompletedException":
		return nil // answered before, or the deployment has ended
	case "DeploymentDoesNotExistException", "InvalidLifecycleEventHookExecutionIdException":
		return nil // there is nobody to tell
	}
	return awserr.Mark(err, "report %s for a hook of deployment %s", status, deployment)
}
