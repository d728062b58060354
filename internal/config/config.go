// Package config reads drawbridge.yaml, the one file that the Lambdas and the command
// line share. A File is what is written there; Resolve combines it with what is known of
// the account into the Installation, which everything else takes.
package config

import (
	"cmp"
	"errors"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"drawbridge/endpoints"
	"drawbridge/internal/config/field"
	deployments "drawbridge/internal/deployments/section"
	"drawbridge/internal/mirror/section"
	"drawbridge/scheduler"
)

// File is drawbridge.yaml as it is written: what is left out is zero. The doc comment of
// a field is its reference.
type File struct {
	// Name is the installation's name. It begins the name of everything that the
	// installation owns, and is the value of its owner tag. Default drawbridge.
	Name string `yaml:"name"`
	// Region is the AWS Region. Default: where the command or function runs.
	Region string `yaml:"region"`
	// Billing says where paid hours begin: clock (default) or creation.
	Billing scheduler.Basis `yaml:"billing"`
	// Margin is how long before the end of a paid hour a deletion begins, 1m to
	// 30m; longer after a deletion that took longer. Default: 5m until three deletions
	// were seen, then what most of them took and two and a half minutes.
	Margin field.Duration `yaml:"margin"`
	// Mode is active (default), or observe: every event is taken and every decision
	// recorded, with the hours that would have been paid, but nothing is created; a
	// run counts as five minutes. The functions have no right to create anything
	// then.
	Mode Mode `yaml:"mode"`
	// ECSCluster is the name of an ECS cluster that the installation makes and
	// owns. Default: none.
	ECSCluster string `yaml:"ecsCluster"`
	// LogRetention is how long the functions' logs are kept, in days, one of those
	// that CloudWatch Logs takes. Default 30.
	LogRetention int `yaml:"logRetention"`
	// ReservedConcurrency is what each function reserves of the account's
	// concurrency. Default 0, nothing.
	ReservedConcurrency int `yaml:"reservedConcurrency"`
	// KMSKey is the ARN of a customer-managed key for the table, the two queues and the log
	// groups. Its policy has to let CloudWatch Logs, and EventBridge where jobs have
	// patterns, use it. Default: AWS's own keys.
	KMSKey string `yaml:"kmsKey"`
	// KeepEvents is up to how many KiB of an event are kept until its run has ended, for the
	// dead-letter queue, 0 to 256. Of a larger one its size and digest are kept: it runs,
	// and cannot be replayed. 0 keeps no event. Default 64.
	KeepEvents *int `yaml:"keepEvents"`
	// EventsPerMinute is how many events from the queue each environment of the launcher takes
	// for a job in a minute; what is more goes to the dead-letter queue, from where it can be
	// replayed. Schedules and drawbridge run are not counted. Default 0, any number.
	EventsPerMinute int `yaml:"eventsPerMinute"`
	// Tags are further tags of all that the installation makes, endpoints included, for the
	// allocation of costs: at most 40. Tasks have those of their own definitions. Default: none.
	Tags map[string]string `yaml:"tags"`
	// PermissionsBoundary is the ARN of a managed policy that bounds every role of
	// the installation. Default: none.
	PermissionsBoundary string `yaml:"permissionsBoundary"`
	MonitoringSection   `yaml:",inline"`
	// EndpointPrice is what an endpoint costs in a zone for an hour, in USD; waitCost is
	// weighed against it. Default: the Region's, where drawbridge prices knows it.
	EndpointPrice float64 `yaml:"endpointPrice"`
	// Sets are the endpoint sets by name. Sets whose subnets are in one VPC share
	// their endpoints: they live as the first of them by name, with the services of
	// all.
	Sets map[scheduler.SetName]*SetSection `yaml:"sets"`
	// Jobs are the jobs by name.
	Jobs map[scheduler.JobName]*JobSection `yaml:"jobs"`
	// Mirror is what mirrors git repositories into CodeCommit or elsewhere, as one more job.
	// Default: none.
	Mirror *section.Mirror `yaml:"mirror"`
	// Deployments say which deployments hold a set, and what their lifecycle hooks do, by
	// name. Default: none.
	Deployments map[string]*deployments.Deployment `yaml:"deployments"`

	path string
}

// InstallationName returns the name, or the default.
func (f *File) InstallationName() string { return cmp.Or(f.Name, "drawbridge") }

// Mode is whether an installation acts.
type Mode string

// The modes.
const (
	Active  Mode = "active"
	Observe Mode = "observe"
)

// Monitoring is how much of an installation CloudWatch watches.
type Monitoring string

// MonitoringSection is what CloudWatch watches, and who is told.
type MonitoringSection struct {
	// Monitoring is how much CloudWatch watches: none, nothing; alarms, with a dashboard that is
	// drawn from the logs, within what CloudWatch gives every account free; full, every figure
	// as a metric. Default alarms.
	Monitoring Monitoring `yaml:"monitoring"`
	// AlarmTopic is the ARN of an SNS topic that alarms go to. Default: none, the
	// alarms are seen in CloudWatch alone.
	AlarmTopic string `yaml:"alarmTopic"`
	// PaidHoursAlarm is the number of endpoint-hours a day, of all sets together,
	// above which an alarm sounds. Default 0, no such alarm.
	PaidHoursAlarm int `yaml:"paidHoursAlarm"`
}

// The levels of monitoring.
const (
	MonitorNothing Monitoring = "none"
	MonitorAlarms  Monitoring = "alarms"
	MonitorFully   Monitoring = "full"
)

// OverBudget says what becomes of runs that would begin an hour beyond a set's
// hoursPerDay.
type OverBudget string

// The ways. Wait keeps runs until the next day in UTC, Fail sends them to the
// dead-letter queue.
const (
	WaitForNextDay OverBudget = "wait"
	FailRuns       OverBudget = "fail"
)

// SetSection is an endpoint set of the file.
type SetSection struct {
	// Subnets are the subnets that the jobs run in, all of one VPC.
	Subnets []string `yaml:"subnets"`
	// Services are the services that the jobs reach; or auto: what the task
	// definitions of all its jobs need, read again before each creation and each
	// run. A job that needs more than a set that is up has extends it. Default:
	// codedeploy, ecr.api, ecr.dkr, logs, s3 and secretsmanager.
	Services ServiceList `yaml:"services"`
	// Zones is how many zones hold an endpoint of each service, 1 to 6. One serves
	// the whole VPC. Default 1.
	Zones int `yaml:"zones"`
	// S3Gateway says who keeps the free S3 gateway endpoint: permanent (default;
	// the base stack makes it once unless the subnets' route tables have it) or set
	// (it comes and goes with the set, which resets open connections to S3).
	S3Gateway endpoints.GatewayMode `yaml:"s3Gateway"`
	// EndpointSecurityGroups are the security groups of the endpoints; they must
	// let HTTPS in from the tasks. Default: the base stack makes one.
	EndpointSecurityGroups []string `yaml:"endpointSecurityGroups"`
	// Settle is how long after the last endpoint became available the first task
	// starts, 0s to 10m. Default: learned. It begins with 20s, shrinks while first attempts
	// succeed, and grows at once when one comes too early.
	Settle *field.Duration `yaml:"settle"`
	// MaxLifetime is how long a hold by hand may keep the set up, from when it was
	// taken. When the set itself is older an alarm sounds; a task is never cut off.
	// Default 0s, without an end.
	MaxLifetime field.Duration `yaml:"maxLifetime"`
	// HoursPerDay is the budget of the set in endpoint-hours a day, in UTC. No
	// generation begins beyond it; one that is up stays as long as tasks run.
	// Default 0, no budget.
	HoursPerDay int `yaml:"hoursPerDay"`
	// OverBudget says what becomes of runs that the budget does not allow: wait
	// (default), until the next day, or fail, into the dead-letter queue.
	OverBudget OverBudget `yaml:"overBudget"`
	// WaitCost is what an hour of a run's waiting costs, in USD. The idle set is then
	// kept, and raised ahead, where a run is so likely that its wait would cost more
	// than the hour. Default 0: paid hours alone count.
	WaitCost float64 `yaml:"waitCost"`
}

// ServiceList is a list of services, or the one word auto.
type ServiceList []endpoints.ServiceID

const auto = "auto"

// UnmarshalYAML reads a list, or auto.
func (l *ServiceList) UnmarshalYAML(node ast.Node) error {
	var word string
	if yaml.NodeToValue(node, &word) == nil {
		if word != auto {
			return field.At(node, "invalid services %q (want auto or a list such as [ecr.api, logs])", word)
		}
		*l = ServiceList{auto}
		return nil
	}
	return yaml.NodeToValue(node, (*[]endpoints.ServiceID)(l))
}

// JobSection is a job of the file.
type JobSection struct {
	// Set is the set that the job needs.
	Set scheduler.SetName `yaml:"set"`
	// Cluster is the ECS cluster's name or ARN.
	Cluster string `yaml:"cluster"`
	// TaskDefinition is the task definition's family, family:revision or ARN.
	TaskDefinition string `yaml:"taskDefinition"`
	// Container is the container that events are handed to. Default: the job's
	// name.
	Container string `yaml:"container"`
	// Services are what its programs call in addition to what its task definition shows; in a
	// set with services: auto they are added, otherwise the set has to name them. The
	// tag drawbridge:endpoints of a task definition does the same. Default: none.
	Services []endpoints.ServiceID `yaml:"services"`
	// Subnets are the job's own subnets, among those of the set. Default: all.
	Subnets []string `yaml:"subnets"`
	// SecurityGroups are the task's security groups. Default: the base stack makes
	// one for the set, which lets out to S3 and, by HTTPS, to the VPC, and nothing in.
	SecurityGroups []string `yaml:"securityGroups"`
	// MaxRuntime is how long a task may run before it is stopped; 0s is as long as
	// it likes. Default 24h.
	MaxRuntime *field.Duration `yaml:"maxRuntime"`
	// StartTimeout is how long ECS may refuse a run's task for the moment, for lack of
	// capacity or quota, once the endpoints are usable; then the run goes to
	// the dead-letter queue. 1m to 24h. Default 30m.
	StartTimeout field.Duration `yaml:"startTimeout"`
	// MaxConcurrent is how many tasks of the job may run at a time; further runs wait until
	// one has ended. Default 0, any number.
	MaxConcurrent int `yaml:"maxConcurrent"`
	// MaxDelay is how long a run may wait so that it shares paid hours with others,
	// not counting the creation and deletion of its endpoints; at most 168h. Default 0s.
	MaxDelay field.Duration `yaml:"maxDelay"`
	// Schedule starts the job at known times, for which its set is raised ahead:
	// cron(...), rate(...) or at(...) as EventBridge Scheduler has them, or the five
	// fields of cron. Default: none.
	Schedule string `yaml:"schedule"`
	// Timezone is the time zone of Schedule, such as Europe/Berlin. Default UTC.
	Timezone string `yaml:"timezone"`
	// Overrides are what an event may override: environment, command, cpu, memory,
	// or environment: [NAME, PREFIX_*] for those variables alone. Variables that
	// steer programs (AWS_*, ECS_*, LD_*, DRAWBRIDGE_*, PATH, proxies and their like)
	// never pass. Default: nothing.
	Overrides []Override `yaml:"overrides"`
	// On are event patterns, in EventBridge's own language; an event that matches
	// any of them starts the job. Default: none.
	On []map[string]any `yaml:"on"`
	// Environment maps variables of the container to places in the event, such
	// as $.detail.object.key. Default: the whole event in DRAWBRIDGE_EVENT.
	Environment map[string]string `yaml:"environment"`
}

// Read reads the text of the file at path, and expands it: see Expand.
func Read(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, ReadError(path, err)
	}
	return Expand(path, text)
}

// Load reads and checks the file at path. Errors say where and what to do; they
// are of type *Error.
func Load(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, ReadError(path, err)
	}
	return Parse(path, text)
}

// ReadError reports a file that cannot be read.
func ReadError(path string, err error) error {
	return &Error{
		Path: path, Problems: field.Problems{{
			What: err.Error(), Remedy: "name the file by --config, or write one with drawbridge init",
		}},
	}
}

// Parse reads the text of a file and checks it.
func Parse(path string, text []byte) (*File, error) {
	f := &File{path: path}
	if err := decode(text, f); err != nil {
		return nil, &Error{Path: path, Problems: field.Problems{unreadable(text, err)}}
	}
	if line := secondDocument(text); line > 0 {
		return nil, &Error{Path: path, Problems: field.Problems{{
			What: "a second YAML document begins here, and nobody would read it", Line: line,
			Remedy: "write everything in one document, without a line of --- in between",
		}}}
	}
	if problems := f.check(); len(problems) > 0 {
		locate(text, problems)
		return nil, &Error{Path: path, Problems: problems}
	}
	return f, nil
}

// decode reads the text of a file. The YAML library panics on some texts, as on a tag in place of a list.
func decode(text []byte, into *File) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it cannot be read as YAML: perhaps a tag (!) or an alias (*) stands where a list or " +
				"keys belong")
		}
	}()
	return yaml.UnmarshalWithOptions(text, into, yaml.Strict(), yaml.UseJSONUnmarshaler())
}
