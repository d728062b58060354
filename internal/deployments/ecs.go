package deployments

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"go.uber.org/zap"

	"drawbridge/internal/awserr"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler/reconcile"
)

// ofECS returns the section of an ECS service's deployments.
func (k *Keeper) ofECS(cluster, service string) (name string, d section.Deployment, ok bool) {
	return k.matching(func(d section.Deployment) bool { return section.Matches(d.ECSService, cluster+"/"+service) })
}

// ecsID returns the id of a service deployment, CLUSTER/SERVICE/ID, from its ARN, and
// false for any other text.
func ecsID(arn string) (id, cluster, service string, ok bool) {
	_, id, ok = strings.Cut(arn, ":service-deployment/")
	parts := strings.Split(id, "/")
	if !ok || len(parts) != 3 {
		return "", "", "", false
	}
	return id, parts[0], parts[1], true
}

func (k *Keeper) ecsARN(id string) string { return k.app.Place.ARN("ecs", "service-deployment/"+id) }

// goingECS are the states of a service deployment that has not ended.
var goingECS = []types.ServiceDeploymentStatus{
	types.ServiceDeploymentStatusPending, types.ServiceDeploymentStatusInProgress,
	types.ServiceDeploymentStatusStopRequested, types.ServiceDeploymentStatusRollbackRequested,
	types.ServiceDeploymentStatusRollbackInProgress,
}

// beginECS begins the deployments that a service has under way: ECS's event names the
// service alone.
func (k *Keeper) beginECS(ctx context.Context, cluster, service, event string) error {
	name, d, ok := k.ofECS(cluster, service)
	if !ok {
		return nil
	}
	ids, err := k.underwayECS(ctx, cluster+"/"+service)
	if err != nil {
		return err
	}
	if len(ids) == 0 && event == "SERVICE_DEPLOYMENT_IN_PROGRESS" {
		return fmt.Errorf("list the deployments of service %s/%s: %w: ECS tells of one and lists none", cluster,
			service, reconcile.ErrTemporary)
	}
	for _, id := range ids {
		r, err := k.begin(ctx, ECS, id, name, d)
		if err != nil {
			return err
		}
		if err := k.look(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// observeECS reads a service deployment. One that ECS has forgotten is over.
func (k *Keeper) observeECS(ctx context.Context, r *Record) (seen, error) {
	arn := k.ecsARN(r.ID)
	out, err := k.clients.ECS.DescribeServiceDeployments(ctx, &ecs.DescribeServiceDeploymentsInput{
		ServiceDeploymentArns: []string{arn},
	})
	if err != nil {
		return seen{}, awserr.Mark(err, "describe %s", r)
	}
	if len(out.ServiceDeployments) == 0 {
		return seen{state: "GONE", over: true, gone: true, why: "ECS does not know it"}, nil
	}
	d := out.ServiceDeployments[0]
	s := seen{
		state: string(d.Status), at: string(d.LifecycleStage), over: !slices.Contains(goingECS, d.Status),
		started: aws.ToTime(d.CreatedAt),
	}
	if s.over {
		s.why = fmt.Sprintf("it ended %s", d.Status)
		if reason := aws.ToString(d.StatusReason); reason != "" {
			s.why += ": " + reason
		}
	}
	for _, h := range d.LifecycleHookDetails {
		if h.TargetType == types.DeploymentLifecycleHookTargetTypePause &&
			h.Status == types.DeploymentLifecycleHookStatusAwaitingAction {
			s.pauses = append(s.pauses, Firing{
				Hook: s.at, ID: aws.ToString(h.HookId), Via: ByPause, Began: k.app.Clock.Now(),
				Expires: aws.ToTime(h.ExpiresAt),
			})
		}
	}
	return s, nil
}

// paused takes note of a pause that ECS has told of, and looks.
func (k *Keeper) paused(ctx context.Context, arn, hook, stage string, expires time.Time) error {
	id, cluster, service, ok := ecsID(arn)
	name, d, ours := k.ofECS(cluster, service)
	if !ok || !ours {
		return nil
	}
	r, err := k.begin(ctx, ECS, id, name, d)
	if err != nil {
		return err
	}
	if _, hooked := d.Hooks[stage]; hooked && hook != "" {
		err = k.change(ctx, r, func(r *Record) {
			r.fired(Firing{Hook: stage, ID: hook, Via: ByPause, Began: k.app.Clock.Now(), Expires: expires})
		})
		if err != nil {
			return err
		}
	}
	return k.look(ctx, r)
}

// continueECS ends a pause. One that has ended by itself, or with its deployment, needs no
// answer.
func (k *Keeper) continueECS(ctx context.Context, r *Record, f Firing) error {
	action := types.DeploymentLifecycleHookActionContinue
	if f.Outcome == Failed {
		action = types.DeploymentLifecycleHookActionRollback
	}
	_, err := k.clients.ECS.ContinueServiceDeployment(ctx, &ecs.ContinueServiceDeploymentInput{
		ServiceDeploymentArn: aws.String(k.ecsARN(r.ID)), HookId: aws.String(f.ID), Action: action,
	})
	switch awserr.Code(err) {
	case "InvalidParameterException", "ServiceDeploymentNotFoundException":
		return nil
	}
	return awserr.Mark(err, "continue %s at %s", r, f.Hook)
}

// ecsHook is the event of a hook that ECS calls.
type ecsHook struct {
	ExecutionID string `json:"executionId"`
	Stage       string `json:"lifecycleStage"`
	ARN         string `json:"resourceArn"`
}

// ecsAnswer is the answer to it.
type ecsAnswer struct {
	Status string `json:"hookStatus"`
	// Delay is after how many seconds ECS calls again.
	Delay int `json:"callBackDelay,omitempty"`
}

// callBack is after how many seconds ECS is to ask again for a hook that is not decided.
const callBack = 15

// called answers a hook that ECS calls, again and again until it is decided. It answers
// IN_PROGRESS where it cannot tell: an error would roll the deployment back.
func (k *Keeper) called(ctx context.Context, h ecsHook) (any, error) {
	id, cluster, service, ok := ecsID(h.ARN)
	if !ok || h.Stage == "" {
		return nil, fmt.Errorf("event of an ECS hook without a service deployment or a stage: %q at %q", h.ARN, h.Stage)
	}
	name, d, ours := k.ofECS(cluster, service)
	if !ours {
		return nil, fmt.Errorf("no section of deployments names service %s/%s: its hook at %s fails", cluster, service,
			h.Stage)
	}
	if h.ExecutionID == "" { // older events have none
		h.ExecutionID = id[strings.LastIndex(id, "/")+1:] + "-" + h.Stage
	}
	r, err := k.begin(ctx, ECS, id, name, d)
	if err == nil {
		err = k.look(ctx, r) // at which stage it is now
	}
	key := ""
	if r != nil && r.ID != "" {
		err = errors.Join(err, k.change(ctx, r, func(r *Record) {
			key = r.fired(Firing{Hook: h.Stage, ID: h.ExecutionID, Via: ByFunction, Began: k.app.Clock.Now()}).Key
		}), k.answer(ctx, r, d))
	}
	if err != nil {
		k.app.Log.Warn("a look failed while ECS asks", zap.String("deployment", id), zap.Error(err))
	}
	if key == "" {
		return ecsAnswer{"IN_PROGRESS", callBack}, nil
	}
	f := r.firing(key)
	if f == nil || f.Outcome == "" {
		return ecsAnswer{"IN_PROGRESS", callBack}, nil
	}
	if err := k.told(ctx, r, key); err != nil { // the answer stands, and is the same the next time
		k.app.Log.Warn("an answer is not written down", zap.Stringer("deployment", *r), zap.Error(err))
	}
	if f.Outcome == Failed {
		return ecsAnswer{Status: "FAILED"}, nil
	}
	return ecsAnswer{Status: "SUCCEEDED"}, nil
}

// runEvent is the event id of the run that decides a hook. CodeDeploy's own id of a call is
// long, and secret enough not to be shown.
func (f Firing) runEvent(r *Record) string {
	sum := sha256.Sum256([]byte(f.Key))
	return strings.ReplaceAll(r.ID, "/", "-") + "-" + f.Hook + "-" + hex.EncodeToString(sum[:6])
}
