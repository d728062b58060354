package deployments

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"drawbridge/internal/deployments/section"
)

// event is any event that reaches the function of the hooks.
type event struct {
	Job        *pipelineJob    `json:"CodePipeline.job"`
	Reason     string          `json:"reason"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	DetailType string          `json:"detail-type"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
	ecsHook
	codeDeployHook
}

// Handle takes events of deployments, the calls of their hooks, a pipeline's job, and the
// look of every minute. function is the name of the function that was invoked. Events that
// concern no deployment of the configuration are ignored.
func (k *Keeper) Handle(ctx context.Context, function string, payload []byte) (any, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("event is not a JSON object: %w", err)
	}
	switch {
	case strings.HasPrefix(function, section.HookPrefix):
		return nil, k.hooked(ctx, function, e.codeDeployHook)
	case e.Job != nil:
		return nil, k.asked(ctx, *e.Job)
	case e.ARN != "" || e.Stage != "":
		return k.called(ctx, e.ecsHook)
	case e.Reason != "", e.Source == "aws.events":
		return nil, k.Sweep(ctx)
	case e.Source != "" && e.Account != k.app.Place.Account:
		k.app.Log.Warn("an event of another account is ignored", zap.String("account", e.Account),
			zap.String("source", e.Source))
		return nil, nil
	}
	return nil, k.notified(ctx, e)
}

// notified takes an event of a service that deploys.
func (k *Keeper) notified(ctx context.Context, e event) error {
	var d struct {
		// of CodeDeploy
		DeploymentID, DeploymentGroup, Application string
		// of ECS
		HookID, EventName, LifecycleStage, ServiceDeploymentARN string
		ExpiresAt                                               time.Time
		// of CodePipeline and CodeBuild
		Pipeline  string
		Execution string `json:"execution-id"`
		Project   string `json:"project-name"`
		Build     string `json:"build-id"`
	}
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		return fmt.Errorf("read an event of %s: %w", e.Source, err)
	}
	switch {
	case e.Source == "aws.codedeploy":
		return k.beginCodeDeploy(ctx, d.DeploymentID, d.Application, d.DeploymentGroup)
	case e.DetailType == "ECS Deployment State Change" && len(e.Resources) > 0:
		_, service, _ := strings.Cut(e.Resources[0], ":service/")
		cluster, name, ok := strings.Cut(service, "/")
		if !ok {
			return nil // the ARN of an old kind of service names no cluster, and such a one has no hooks
		}
		return k.beginECS(ctx, cluster, name, d.EventName)
	case e.DetailType == "ECS Hook State Change":
		hook := ""
		if d.EventName == "HOOK_AWAITING_ACTION" {
			hook = d.HookID
		}
		return k.paused(ctx, d.ServiceDeploymentARN, hook, d.LifecycleStage, d.ExpiresAt)
	case e.Source == "aws.codepipeline":
		return k.lookAt(ctx, func(x section.Deployment) bool { return section.Matches(x.Pipeline, d.Pipeline) },
			d.Pipeline+"/"+d.Execution)
	case e.Source == "aws.codebuild":
		return k.beginBuild(ctx, d.Project, d.Build[strings.LastIndex(d.Build, "/")+1:])
	}
	return fmt.Errorf("event is of no deployment: %s of %s", e.DetailType, e.Source)
}
