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
	"drawbridge/internal/hint"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// class is the consequence of a RunTask refusal for the run.
type class int

// A passing refusal may end in seconds or minutes, a lasting one needs a change
// by an operator.
const (
	lasting class = iota
	passing
)

// refusal is a text with which RunTask refuses a task.
type refusal struct {
	// text is part of the error or failure, in lower case.
	text  string
	class class
	// remedy is the remedy; %s in it is the job's task definition, or cluster.
	remedy string
	// source is where the text was seen.
	source string
}

// refusals are the known texts with which RunTask refuses tasks; the first match
// counts. EC2's errors come inside InvalidParameterException, whose other texts are
// lasting.
var refusals = []refusal{
	{
		"capacity is unavailable", passing, "name subnets in more zones under the set; drawbridge tries each in turn",
		"https://repost.aws/knowledge-center/ecs-fargate-runtask-capacity",
	},
	{
		"limit on the number of vcpus", passing,
		"request a higher quota of Fargate On-Demand vCPU resource count (Service Quotas, L-3032A538)",
		"https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html",
	},
	{
		"limit on the number of tasks", passing, "request a higher quota of Fargate tasks in Service Quotas",
		"awslabs/fargatecli issues",
	},
	{
		"neither a task nor a failure", passing,
		"this happens at the quota of vCPUs: request a higher Fargate On-Demand vCPU resource count (Service Quotas, " +
			"L-3032A538)", "PrefectHQ/prefect-aws#282",
	},
	{
		"concurrent limit", passing, "request a higher quota of Fargate tasks in Service Quotas",
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
		"networkinterfacelimitexceeded", passing, "request a higher quota of network interfaces in the Region",
		"https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html",
	},
	{
		"resource:eni", passing, "free addresses in the job's subnets, or request a higher quota of network interfaces",
		"https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html",
	},
	{
		"taskdefinition is inactive", lasting, "register task definition %s again, or name an active revision",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"taskdefinition not found", lasting, "task definition %s does not exist in this Region",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"cluster", lasting, "cluster %s does not exist in this Region, or was deleted",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"override for container", lasting, "set jobs.<name>.container to a container of the task definition",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
	},
	{
		"overrides length", lasting,
		"map the parts of the event that the container needs under jobs.<name>.environment: ECS accepts " +
			"8192 characters of overrides",
		"https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html",
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
		"register the task definition with a combination of CPU and memory that Fargate supports",
		"https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html",
	},
	{
		"platform version", lasting, "use only features of platform version 1.4.0 in the task definition",
		"https://docs.aws.amazon.com/AmazonECS/latest/developerguide/platform-fargate.html",
	},
}

// known returns the entry for a text of RunTask; an unknown text is lasting.
func known(text string) refusal {
	text = strings.ToLower(text)
	for _, r := range refusals {
		if strings.Contains(text, r.text) {
			return r
		}
	}
	return refusal{class: lasting}
}

// refusedError reports a task that ECS refuses to run, or does not run yet.
type refusedError struct {
	run   scheduler.RunID
	job   config.Job
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

// Hint returns the remedy, "" if there is none.
func (e *refusedError) Hint() string {
	switch {
	case strings.HasPrefix(e.row.text, "taskdefinition"):
		return fmt.Sprintf(e.row.remedy, e.job.TaskDefinition)
	case e.row.text == "cluster":
		return fmt.Sprintf(e.row.remedy, e.job.Cluster)
	case e.row.remedy != "":
		return e.row.remedy
	}
	return hint.Of(awserr.Mark(e.cause, "run task"))
}

// refused interprets an error of RunTask. A client token conflict means that the
// attempt already has its task, from before the configuration was changed; a conflict
// that names no task means that ECS remembers the token of a refused start.
func (t *Tasks) refused(run scheduler.Run, job config.Job, err error) (string, error) {
	var conflict *types.ConflictException
	if errors.As(err, &conflict) {
		if len(conflict.ResourceIds) > 0 {
			return conflict.ResourceIds[0], nil
		}
		return "", &refusedError{run.ID, job, refusal{class: passing}, err}
	}
	row := known(err.Error())
	if awserr.Throttled(err) { // throttled, and no task: the same call may be repeated at once
		return "", fmt.Errorf("run task of %s: %w: %w: %s", run.ID, reconcile.ErrTemporary, reconcile.ErrNotStarted,
			awserr.Brief(err))
	}
	if awserr.Temporary(err) {
		return "", awserr.Mark(err, "run task of %s", run.ID)
	}
	return "", &refusedError{run.ID, job, row, err}
}

// answered returns the task of a RunTask response, or why there is none.
func answered(run scheduler.Run, job config.Job, out *ecs.RunTaskOutput) (string, error) {
	if len(out.Tasks) > 0 {
		return aws.ToString(out.Tasks[0].TaskArn), nil
	}
	cause := errors.New("ECS returned neither a task nor a failure")
	if len(out.Failures) > 0 {
		cause = errors.New(strings.TrimSpace(aws.ToString(out.Failures[0].Reason) + " " +
			aws.ToString(out.Failures[0].Detail)))
	}
	row := known(cause.Error())
	if row.text == "" { // an unknown failure is not the caller's error
		row = refusal{class: passing}
	}
	return "", &refusedError{run.ID, job, row, cause}
}
