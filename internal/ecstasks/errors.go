package ecstasks

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// class is what a refusal of RunTask means for the run.
type class int

// The classes: a passing refusal may be gone in seconds or minutes, a lasting one
// needs somebody to change something.
const (
	lasting class = iota
	passing
)

// refusal is a text by which RunTask refuses a task.
type refusal struct {
	// text is what the error or the failure holds, in lower case.
	text  string
	class class
	// remedy says what to do; %s in it is the job's task definition, or cluster.
	remedy string
	// source is where the text was seen.
	source string
}

// refusals are the texts that RunTask is known to refuse tasks with; the first that
// fits tells. EC2's troubles come inside InvalidParameterException, whose other texts
// last.
var refusals = []refusal{
	{
		"capacity is unavailable", passing, "name subnets in more zones under the set; drawbridge tries each in turn",
		"https://repost.aws/knowledge-center/ecs-fargate-runtask-capacity",
	},
	{
		"limit on the number of vcpus", passing,
		"raise the quota Fargate On-Demand vCPU resource count (Service Quotas, L-3032A538)",
		"https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html",
	},
	{
		"limit on the number of tasks", passing, "raise the quota of Fargate tasks in Service Quotas",
		"awslabs/fargatecli issues",
	},
	{
		"neither a task nor a failure", passing,
		"ECS answers so at the quota of vCPUs: raise Fargate On-Demand vCPU resource count (Service Quotas, " +
			"L-3032A538)", "PrefectHQ/prefect-aws#282",
	},
	{
		"concurrent limit", passing, "raise the quota of Fargate tasks in Service Quotas",
		"aws/containers-roadmap issues",
	},
	{
		"service linked role", passing,
		"create it with aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com, unless it is a " +
			"minute old", "awslabs/fargatecli#35",
	},
	{"requestlimitexceeded", passing, "", "dask/dask-cloudprovider#56"},
	{"request limit exceeded", passing, "", "dask/dask-cloudprovider#56"},
	{"internalerror", passing, "", "cdklabs/construct-hub#415"},
	{"an internal error has occurred", passing, "", "cdklabs/construct-hub#415"},
	{"internalfailure", passing, "", "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"},
	{"unavailable", passing, "", "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"},
	{"requesttimeout", passing, "", "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"},
	{"throttl", passing, "", "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/throttling.html"},
	{"rate exceeded", passing, "", "https://docs.aws.amazon.com/AmazonECS/latest/userguide/throttling.html"},
	{
		"insufficientfreeaddresses", passing, "free addresses in the job's subnets, or add a subnet in another zone",
		"https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html",
	},
	{
		"networkinterfacelimitexceeded", passing, "raise the quota of network interfaces of the Region",
		"https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html",
	},
	{
		"resource:eni", passing, "free addresses in the job's subnets, or raise the quota of network interfaces",
		"https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html",
	},
	{
		"taskdefinition is inactive", lasting, "register task definition %s again, or name an active revision",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"taskdefinition not found", lasting, "there is no task definition %s in this Region",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"cluster", lasting, "there is no cluster %s in this Region, or it was deleted",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"override for container", lasting, "set jobs.<name>.container to a container of the task definition",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"overrides length", lasting,
		"map what the container needs of the event under jobs.<name>.environment: ECS takes 8192 characters of " +
			"overrides", "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"subnet", lasting, "check the set's subnets",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"security group", lasting, "check the job's securityGroups",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"no fargate configuration exists", lasting,
		"register the task definition with a pair of CPU and memory that Fargate offers",
		"https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html",
	},
	{
		"platform version", lasting, "let the task definition ask for what platform version 1.4.0 has",
		"https://docs.aws.amazon.com/AmazonECS/latest/developerguide/platform-fargate.html",
	},
}

// known returns the row for a text of RunTask; a text that nobody has seen lasts.
func known(text string) refusal {
	text = strings.ToLower(text)
	for _, r := range refusals {
		if strings.Contains(text, r.text) {
			return r
		}
	}
	return refusal{class: lasting}
}

// refusedError is a task that ECS does not run as it is asked for, or not yet.
type refusedError struct {
	run   scheduler.RunID
	job   *config.Job
	row   refusal
	cause error
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("run task of %s: %s", e.run, awserr.Brief(e.cause))
}

func (e *refusedError) Unwrap() []error {
	if e.row.class == passing {
		return []error{reconcile.ErrNotStarted, e.cause}
	}
	return []error{reconcile.ErrRefused, e.cause}
}

// Hint returns the remedy; none if there is none to tell.
func (e *refusedError) Hint() string {
	switch {
	case strings.HasPrefix(e.row.text, "taskdefinition"):
		return fmt.Sprintf(e.row.remedy, e.job.TaskDefinition)
	case e.row.text == "cluster":
		return fmt.Sprintf(e.row.remedy, e.job.Cluster)
	case e.row.remedy != "":
		return e.row.remedy
	}
	var api interface{ Hint() string }
	if errors.As(awserr.Mark(e.cause, "run task"), &api) {
		return api.Hint()
	}
	return ""
}

// refused reads an error of RunTask. A conflict about the client token means that
// the attempt has its task already, from before the configuration was changed; one that
// names no task that ECS remembers the token of a start which it refused.
func (t *Tasks) refused(run scheduler.Run, job *config.Job, err error) (string, error) {
	var conflict *types.ConflictException
	if errors.As(err, &conflict) {
		if len(conflict.ResourceIds) > 0 {
			return conflict.ResourceIds[0], nil
		}
		return "", &refusedError{run.ID, job, refusal{class: passing}, err}
	}
	row := known(err.Error())
	if awserr.Throttled(err) { // too soon, and no task: the same call may be made again at once
		return "", fmt.Errorf("run task of %s: %w: %w: %s", run.ID, reconcile.ErrTemporary, reconcile.ErrNotStarted,
			awserr.Brief(err))
	}
	if awserr.Temporary(err) {
		return "", awserr.Mark(err, "run task of %s", run.ID)
	}
	return "", &refusedError{run.ID, job, row, err}
}

// answered returns the task of an answer of RunTask, or why there is none.
func answered(run scheduler.Run, job *config.Job, out *ecs.RunTaskOutput) (string, error) {
	if len(out.Tasks) > 0 {
		return aws.ToString(out.Tasks[0].TaskArn), nil
	}
	cause := errors.New("ECS answered with neither a task nor a failure")
	if len(out.Failures) > 0 {
		cause = errors.New(strings.TrimSpace(aws.ToString(out.Failures[0].Reason) + " " +
			aws.ToString(out.Failures[0].Detail)))
	}
	row := known(cause.Error())
	if row.text == "" { // a failure that nobody has seen was made by no error of the caller's
		row = refusal{class: passing}
	}
	return "", &refusedError{run.ID, job, row, cause}
}
