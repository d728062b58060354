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
// executions of pipelines begin with their own action. The sections of what it finds are added
// to shifting.
func (k *Keeper) discover(ctx context.Context, shifting map[string]bool) error {
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
				r, err := k.found(ctx, source.kind, id, func(d section.Deployment) bool {
					return section.Matches(source.of(d), named)
				})
				errs = append(errs, err)
				if r.shifting() {
					shifting[r.Name] = true
				}
			}
		}
	}
	return errors.Join(errs...)
}

// found begins a deployment that is under way, and looks at it unless it is known.
func (k *Keeper) found(ctx context.Context, kind Kind, id string, fits func(section.Deployment) bool) (r Record,
	err error) {
	defer recovered(&err)
	name, d, ok := k.matching(fits)
	if !ok {
		return r, nil
	}
	begun, err := k.begin(ctx, kind, id, name, d)
	if err == nil && begun.State == "" {
		err = k.look(ctx, begun)
	}
	return *begun, err
}

// underwayECS returns the deployments of CLUSTER/SERVICE that have not ended.
func (k *Keeper) underwayECS(ctx context.Context, named string) (ids []string, err error) {
	cluster, _, _ := strings.Cut(named, "/")
	in := &ecs.ListServiceDeploymentsInput{
		Cluster: &cluster, Service: aws.String(k.app.Place.ARN("ecs", "service/"+named)), Status: goingECS,
	}
	for { // the SDK has no paginator for it
		out, err := k.clients.ECS.ListServiceDeployments(ctx, in)
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
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return ids, nil
		}
	}
}

// underwayCodeDeploy returns the deployments of APPLICATION/GROUP that have not ended.
func (k *Keeper) underwayCodeDeploy(ctx context.Context, named string) (ids []string, err error) {
	application, group, _ := strings.Cut(named, "/")
	pages := codedeploy.NewListDeploymentsPaginator(k.clients.CodeDeploy, &codedeploy.ListDeploymentsInput{
		ApplicationName: &application, DeploymentGroupName: &group, IncludeOnlyStatuses: []types.DeploymentStatus{
			types.DeploymentStatusCreated, types.DeploymentStatusQueued, types.DeploymentStatusInProgress,
			types.DeploymentStatusBaking, types.DeploymentStatusReady,
		},
	})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		switch awserr.Code(err) {
		case "ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException":
			return nil, nil
		}
		if err != nil {
			return nil, awserr.Mark(err, "list the deployments of group %s", named)
		}
		ids = append(ids, out.Deployments...)
	}
	return ids, nil
}

// latestBuilds is how many of a project's builds are looked at, the newest: as many as
// BatchGetBuilds takes.
const latestBuilds = 100

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
