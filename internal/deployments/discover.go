package deployments

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codebuild"
	cbtypes "github.com/aws/aws-sdk-go-v2/service/codebuild/types"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"drawbridge/internal/awserr"
	"drawbridge/internal/deployments/section"
)

// discover begins deployments that are under way and of which no event has arrived: neither
// CodeDeploy nor CodeBuild promises to send each. A name with a * is not asked for, and
// executions of pipelines begin with their own action.
func (k *Keeper) discover(ctx context.Context) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(k.app.Config.Deployments)) {
		d := k.app.Config.Deployments[name]
		for _, source := range []struct {
			kind     Kind
			of       func(section.Deployment) string
			underway func(ctx context.Context, named string) ([]string, error)
		}{
			{ECS, func(d section.Deployment) string { return d.ECSService }, k.underwayECS},
			{CodeDeploy, func(d section.Deployment) string { return d.CodeDeploy }, k.underwayCodeDeploy},
			{Build, func(d section.Deployment) string { return d.CodeBuild }, k.underwayBuilds},
		} {
			named := source.of(d)
			if named == "" || strings.Contains(named, "*") {
				continue
			}
			ids, err := source.underway(ctx, named)
			if err != nil {
				errs = append(errs, fmt.Errorf("look for deployments of %s: %w", named, err))
			}
			for _, id := range ids {
				errs = append(errs, k.found(ctx, source.kind, id, func(d section.Deployment) bool {
					return section.Matches(source.of(d), named)
				}))
			}
		}
	}
	return errors.Join(errs...)
}

// found begins a deployment that is under way, and looks at it unless it is known.
func (k *Keeper) found(ctx context.Context, kind Kind, id string, fits func(section.Deployment) bool) error {
	name, d, ok := k.matching(fits)
	if !ok {
		return nil
	}
	r, err := k.begin(ctx, kind, id, name, d)
	if err != nil || r.State != "" {
		return err
	}
	return k.look(ctx, r)
}

// underwayECS returns the deployments of CLUSTER/SERVICE that have not ended.
func (k *Keeper) underwayECS(ctx context.Context, named string) (ids []string, err error) {
	cluster, _, _ := strings.Cut(named, "/")
	out, err := k.clients.ECS.ListServiceDeployments(ctx, &ecs.ListServiceDeploymentsInput{
		Cluster: &cluster, Service: aws.String(k.app.Place.ARN("ecs", "service/"+named)), Status: goingECS,
	})
	switch awserr.Code(err) {
	case "ServiceNotFoundException", "ClusterNotFoundException":
		return nil, nil
	}
	if err != nil {
		return nil, awserr.Mark(err, "list the deployments of service %s", named)
	}
	for _, d := range out.ServiceDeployments {
		if id, _, _, ok := ecsID(aws.ToString(d.ServiceDeploymentArn)); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// underwayCodeDeploy returns the deployments of APPLICATION/GROUP that have not ended.
func (k *Keeper) underwayCodeDeploy(ctx context.Context, named string) ([]string, error) {
	application, group, _ := strings.Cut(named, "/")
	out, err := k.clients.CodeDeploy.ListDeployments(ctx, &codedeploy.ListDeploymentsInput{
		ApplicationName: &application, DeploymentGroupName: &group, IncludeOnlyStatuses: []types.DeploymentStatus{
			types.DeploymentStatusCreated, types.DeploymentStatusQueued, types.DeploymentStatusInProgress,
			types.DeploymentStatusReady,
		},
	})
	switch awserr.Code(err) {
	case "ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException":
		return nil, nil
	}
	if err != nil {
		return nil, awserr.Mark(err, "list the deployments of group %s", named)
	}
	return out.Deployments, nil
}

// latestBuilds is how many of a project's builds are looked at: those before have ended, or
// have been heard of.
const latestBuilds = 10

// underwayBuilds returns the builds of a project that have not ended.
func (k *Keeper) underwayBuilds(ctx context.Context, project string) (ids []string, err error) {
	list, err := k.clients.CodeBuild.ListBuildsForProject(ctx, &codebuild.ListBuildsForProjectInput{
		ProjectName: &project, SortOrder: cbtypes.SortOrderTypeDescending,
	})
	if awserr.Code(err) == "ResourceNotFoundException" || err == nil && len(list.Ids) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, awserr.Mark(err, "list the builds of project %s", project)
	}
	out, err := k.clients.CodeBuild.BatchGetBuilds(ctx, &codebuild.BatchGetBuildsInput{
		Ids: list.Ids[:min(len(list.Ids), latestBuilds)],
	})
	if err != nil {
		return nil, awserr.Mark(err, "get the builds of project %s", project)
	}
	for _, b := range out.Builds {
		if b.BuildStatus == cbtypes.StatusTypeInProgress {
			ids = append(ids, aws.ToString(b.Id))
		}
	}
	return ids, nil
}
