// Package ecstasks starts, follows and stops the ECS tasks of runs.
package ecstasks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// ecsAPI is the part of *ecs.Client that Tasks calls.
type ecsAPI interface {
	RunTask(context.Context, *ecs.RunTaskInput, ...func(*ecs.Options)) (*ecs.RunTaskOutput, error)
	ListTasks(context.Context, *ecs.ListTasksInput, ...func(*ecs.Options)) (*ecs.ListTasksOutput, error)
	DescribeTasks(context.Context, *ecs.DescribeTasksInput, ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error)
	DescribeTaskDefinition(context.Context, *ecs.DescribeTaskDefinitionInput,
		...func(*ecs.Options)) (*ecs.DescribeTaskDefinitionOutput, error)
	StopTask(context.Context, *ecs.StopTaskInput, ...func(*ecs.Options)) (*ecs.StopTaskOutput, error)
}

var _ ecsAPI = (*ecs.Client)(nil)

// Tasks are the tasks of one installation.
type Tasks struct {
	api    ecsAPI
	config *config.Installation

	mu    sync.Mutex
	known map[string]definition // by what names the task definition
}

// definition is a task definition that was read.
type definition struct {
	arn  string
	text []byte // as aws ecs describe-task-definition prints it
	log  logPlace
}

// logPlace is the log destination of a task definition's first container.
type logPlace struct{ group, prefix, container string }

// New returns the tasks of the jobs in c.
func New(api ecsAPI, c *config.Installation) *Tasks {
	return &Tasks{api: api, config: c, known: map[string]definition{}}
}

// StartedBy returns the startedBy value of a set's tasks in ECS.
func StartedBy(owner string, set scheduler.SetName) string { return owner + "/" + string(set) }

// SetOf returns the set whose tasks have this startedBy value.
func SetOf(owner, startedBy string) (scheduler.SetName, bool) {
	set, ok := strings.CutPrefix(startedBy, owner+"/")
	return scheduler.SetName(set), ok
}

// startTakes bounds a call of RunTask: well below the time after which another
// invocation retries the same start.
const startTakes = time.Minute

// Start runs the tasks of runs, all at once.
func (t *Tasks) Start(ctx context.Context, runs []scheduler.Run) []reconcile.Started {
	out := make([]reconcile.Started, len(runs))
	var wg sync.WaitGroup
	for i, run := range runs {
		wg.Go(func() { out[i].ARN, out[i].Err = t.start(ctx, run) })
	}
	wg.Wait()
	return out
}

// start runs the task of a run's attempt; the client token ensures that it happens
// once. After a refusal by ECS each attempt uses another of the job's subnets.
func (t *Tasks) start(ctx context.Context, run scheduler.Run) (string, error) {
	job, ok := t.config.Jobs[run.Job]
	if !ok {
		return "", fmt.Errorf("run task of %s: %w: job %s is no longer in the configuration", run.ID,
			reconcile.ErrRefused, run.Job)
	}
	subnets := job.Subnets
	if n := len(subnets); n > 1 && run.Refusals > 0 {
		subnets = subnets[(run.Refusals-1)%n:][:1]
	}
	in := &ecs.RunTaskInput{
		Cluster: aws.String(t.clusterOf(run)), TaskDefinition: aws.String(cmp.Or(run.Definition, job.TaskDefinition)),
		LaunchType: types.LaunchTypeFargate, Count: aws.Int32(1),
		ClientToken: aws.String(run.ClientToken()), StartedBy: aws.String(StartedBy(t.config.Name, run.Set)),
		Group: aws.String(run.TaskGroup()),
		NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{
			Subnets: subnets, SecurityGroups: job.SecurityGroups, AssignPublicIp: types.AssignPublicIpDisabled,
		}},
	}
	var err error
	if in.Overrides, err = recorded(run, job); err != nil {
		return "", fmt.Errorf("run task of %s: %w: %w", run.ID, reconcile.ErrRefused, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTakes)
	defer cancel()
	out, err := t.api.RunTask(ctx, in)
	if err != nil {
		return t.refused(run, job, err)
	}
	return answered(run, job, out)
}

// Active counts the set's tasks that ECS does not show as stopped.
func (t *Tasks) Active(ctx context.Context, set scheduler.SetName) (int, error) {
	n := 0
	for _, cluster := range t.clusters(set) {
		var next *string
		for {
			out, err := t.api.ListTasks(ctx, &ecs.ListTasksInput{
				Cluster: aws.String(cluster), StartedBy: aws.String(StartedBy(t.config.Name, set)), NextToken: next,
			})
			if isDeleted(err) {
				break // nothing runs there
			}
			if err != nil {
				return n, awserr.Mark(err, "list the tasks of set %s in cluster %s", set, cluster)
			}
			n += len(out.TaskArns)
			if next = out.NextToken; next == nil {
				break
			}
		}
	}
	return n, nil
}

// isDeleted reports whether an error means that a cluster does not exist or was
// deleted: nothing can run in it.
func isDeleted(err error) bool {
	var gone *types.ClusterNotFoundException
	return errors.As(err, &gone)
}

// clusterOf returns the cluster of a run's task, even if its job has changed; ""
// if nothing names it.
func (t *Tasks) clusterOf(r scheduler.Run) string {
	if r.Cluster != "" {
		return r.Cluster
	}
	if a, err := arn.Parse(r.TaskARN); err == nil {
		if parts := strings.Split(a.Resource, "/"); len(parts) == 3 { // task/CLUSTER/ID
			return parts[1]
		}
	}
	return t.config.Jobs[r.Job].Cluster
}

// clusters returns the clusters of a set's jobs, each once, in order of name.
func (t *Tasks) clusters(set scheduler.SetName) []string {
	seen := map[string]bool{}
	var out []string
	for _, j := range t.config.Jobs {
		if j.Set == set && !seen[j.Cluster] {
			seen[j.Cluster] = true
			out = append(out, j.Cluster)
		}
	}
	slices.Sort(out)
	return out
}

// describeBatch is how many tasks DescribeTasks accepts at once.
const describeBatch = 100

// Describe returns the tasks of runs that ECS still shows, by run.
func (t *Tasks) Describe(ctx context.Context, runs []scheduler.Run) (map[scheduler.RunID]scheduler.Task, error) {
	byCluster := map[string][]scheduler.Run{}
	found := map[scheduler.RunID]scheduler.Task{}
	unnamed := map[string][]scheduler.Run{}
	for _, r := range runs {
		switch cluster := t.clusterOf(r); {
		case cluster == "":
		case r.TaskARN != "":
			byCluster[cluster] = append(byCluster[cluster], r)
		default:
			unnamed[cluster] = append(unnamed[cluster], r)
		}
	}
	for cluster, rs := range unnamed {
		named, err := t.name(ctx, cluster, rs)
		if isDeleted(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		byCluster[cluster] = append(byCluster[cluster], named...)
	}
	for cluster, rs := range byCluster {
		for len(rs) > 0 {
			n := min(describeBatch, len(rs))
			if err := t.describe(ctx, cluster, rs[:n], found); err != nil && !isDeleted(err) {
				return nil, err
			}
			rs = rs[n:]
		}
	}
	return found, nil
}

// name finds the tasks of runs whose start was never recorded, among all tasks of
// their set that ECS shows, by their group and task definition. If several tasks have
// the name of one run, none is taken for its task: the client token of its start
// decides.
func (t *Tasks) name(ctx context.Context, cluster string, runs []scheduler.Run) ([]scheduler.Run, error) {
	byGroup := map[string]scheduler.Run{}
	for _, r := range runs {
		byGroup[r.TaskGroup()] = r
	}
	// ARNs by run name; a task that stops meanwhile is listed twice
	bearers := map[scheduler.RunID]map[string]bool{}
	for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
		var next *string
		for {
			list, err := t.api.ListTasks(ctx, &ecs.ListTasksInput{
				Cluster: aws.String(cluster), StartedBy: aws.String(StartedBy(t.config.Name, runs[0].Set)),
				DesiredStatus: status, NextToken: next,
			})
			if err != nil {
				return nil, awserr.Mark(err, "list the tasks of set %s in cluster %s", runs[0].Set, cluster)
			}
			if len(list.TaskArns) > 0 {
				out, err := t.api.DescribeTasks(ctx, &ecs.DescribeTasksInput{
					Cluster: aws.String(cluster), Tasks: list.TaskArns,
				})
				if err != nil {
					return nil, awserr.Mark(err, "describe %d tasks in cluster %s", len(list.TaskArns), cluster)
				}
				for _, task := range out.Tasks {
					r, ours := byGroup[aws.ToString(task.Group)]
					if j, known := t.config.Jobs[r.Job]; ours &&
						(!known || cfn.Family(aws.ToString(task.TaskDefinitionArn)) == cfn.Family(j.TaskDefinition)) {
						if bearers[r.ID] == nil {
							bearers[r.ID] = map[string]bool{}
						}
						bearers[r.ID][aws.ToString(task.TaskArn)] = true
					}
				}
			}
			if next = list.NextToken; next == nil {
				break
			}
		}
	}
	var named []scheduler.Run
	for _, r := range runs {
		if len(bearers[r.ID]) == 1 {
			for arn := range bearers[r.ID] {
				r.TaskARN = arn
			}
			named = append(named, r)
		}
	}
	return named, nil
}

func (t *Tasks) describe(ctx context.Context, cluster string, runs []scheduler.Run,
	found map[scheduler.RunID]scheduler.Task) error {
	byARN := map[string]scheduler.RunID{}
	in := &ecs.DescribeTasksInput{Cluster: aws.String(cluster)}
	for _, r := range runs {
		byARN[r.TaskARN] = r.ID
		in.Tasks = append(in.Tasks, r.TaskARN)
	}
	out, err := t.api.DescribeTasks(ctx, in)
	if err != nil {
		return awserr.Mark(err, "describe %d tasks in cluster %s", len(runs), cluster)
	}
	for _, task := range out.Tasks {
		v := scheduler.Task{
			ARN: aws.ToString(task.TaskArn), Group: aws.ToString(task.Group),
			Definition: aws.ToString(task.TaskDefinitionArn), Stopped: aws.ToString(task.LastStatus) == "STOPPED",
			StopCode: string(task.StopCode), StopReason: aws.ToString(task.StoppedReason),
			StartedAt: aws.ToTime(task.StartedAt), StoppedAt: aws.ToTime(task.StoppedAt),
		}
		for _, c := range task.Containers {
			v.ExitCode = worse(v.ExitCode, c.ExitCode)
			v.Containers = append(v.Containers, scheduler.TaskContainer{
				Name: aws.ToString(c.Name), Reason: aws.ToString(c.Reason), ExitCode: intOf(c.ExitCode),
			})
		}
		if v.Stopped {
			t.Locate(ctx, &v)
		}
		found[byARN[v.ARN]] = v
	}
	return nil
}

// worse returns the first exit code that is not 0.
func worse(a *int, b *int32) *int {
	if b == nil || a != nil && *a != 0 {
		return a
	}
	n := int(*b)
	return &n
}

func intOf(n *int32) *int {
	if n == nil {
		return nil
	}
	v := int(*n)
	return &v
}

// Locate fills in where the task logs to, as far as its definition can be read.
func (t *Tasks) Locate(ctx context.Context, task *scheduler.Task) {
	d, err := t.definition(ctx, task.Definition)
	if err != nil || d.log.group == "" {
		return // a record without a log stream is better than none
	}
	task.LogGroup = d.log.group
	task.LogStream = d.log.prefix + "/" + d.log.container + "/" + task.ARN[strings.LastIndex(task.ARN, "/")+1:]
}

// Definition returns a task definition as aws ecs describe-task-definition prints
// it.
func (t *Tasks) Definition(ctx context.Context, name string) ([]byte, error) {
	d, err := t.definition(ctx, name)
	return d.text, err
}

// definition reads a task definition. A definition named with its revision
// never changes, and is read once.
func (t *Tasks) definition(ctx context.Context, name string) (definition, error) {
	t.mu.Lock()
	d, ok := t.known[name]
	t.mu.Unlock()
	if ok || name == "" {
		return d, nil
	}
	def, text, err := Describe(ctx, t.api, name)
	if err != nil {
		return d, err
	}
	for _, c := range def.ContainerDefinitions {
		if l := c.LogConfiguration; l != nil && l.LogDriver == types.LogDriverAwslogs && d.log.group == "" {
			d.log = logPlace{l.Options["awslogs-group"], l.Options["awslogs-stream-prefix"], aws.ToString(c.Name)}
		}
	}
	d.arn, d.text = aws.ToString(def.TaskDefinitionArn), text
	if _, revision, ok := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":"); ok && revision != "" {
		t.mu.Lock()
		t.known[name] = d
		t.mu.Unlock()
	}
	return d, nil
}

// Stop stops a run's task. A missing task is success.
func (t *Tasks) Stop(ctx context.Context, run scheduler.Run, reason string) error {
	cluster := t.clusterOf(run)
	if cluster == "" || run.TaskARN == "" {
		return nil
	}
	_, err := t.api.StopTask(ctx, &ecs.StopTaskInput{
		Cluster: aws.String(cluster), Task: aws.String(run.TaskARN), Reason: aws.String(reason),
	})
	var gone *types.InvalidParameterException
	if errors.As(err, &gone) && strings.Contains(gone.ErrorMessage(), "not found") {
		return nil
	}
	return awserr.Mark(err, "stop task %s of %s", run.TaskARN, run.ID)
}
