package cfn

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"github.com/goccy/go-yaml"

	"drawbridge/endpoints"
)

// SchemaTag is the tag of the base stack that names the shape of what the
// installation stores, as a number. Schema is the number of this version; a
// deployment over a stack with a higher one is refused.
const (
	SchemaTag = "drawbridge:schema"
	Schema    = 1
)

// Base is what the base stack of an installation holds: all that Drawbridge owns
// save the endpoint stacks of the sets and the bucket that holds its code.
// Nothing of it costs by the hour.
type Base struct {
	// Name is the installation's name.
	Name   string
	Region string
	Sets   []BaseSet
	Jobs   []BaseJob
	// Observe leaves out every right to change what lies outside.
	Observe bool
	// Architecture of the functions: arm64 or x86_64.
	Architecture string
	// LogRetention is how long the functions' logs are kept, in days.
	LogRetention int
	// ReservedConcurrency of each function; 0 reserves none.
	ReservedConcurrency int
	// KMSKey is the ARN of a customer-managed key of the table, the queues and the log
	// groups; empty for AWS's own.
	KMSKey string
	// ECSCluster is the name of a cluster to make; empty makes none.
	ECSCluster string
	// Monitored says that there are alarms and a dashboard, AllMetrics that every figure is a
	// metric, and not those of the alarms alone.
	Monitored, AllMetrics bool
	// PaidHoursPerDay is the number of endpoint-hours a day above which an alarm
	// sounds; 0 leaves that alarm out.
	PaidHoursPerDay int
	// SweepMinutes is how often the sweep comes by.
	SweepMinutes int
	// Additions are what other products add.
	Additions []Addition
	// RolesFrom is the stack that holds the roles; empty if the base stack makes them. See Roles.
	RolesFrom string
	// Defaults are default values of the template's parameters, by name.
	Defaults map[string]string

	names Names
}

// BaseSet is an endpoint set of the base stack.
type BaseSet struct {
	Name, VPC string
	// Others are the sets of the same VPC that live as this one.
	Others   []string
	Services []endpoints.Service
	// Auto says that the services follow from the jobs, so that others may be asked
	// for later.
	Auto bool
	// Subnets are where endpoints may go.
	Subnets []string
	// RouteTables are the subnets' tables, CIDRs the IPv4 blocks of the VPC.
	RouteTables, CIDRs []string
	// PermanentGateway makes an S3 gateway on the tables in the base stack,
	// SetGateway lets the set's own stack make one.
	PermanentGateway, SetGateway bool
	// TaskGroups are the security groups that jobs name. MakeTaskGroup adds one
	// for the jobs that name none.
	TaskGroups    []string
	MakeTaskGroup bool
	// EndpointGroups are given security groups of the endpoints; without any one
	// is made, which lets the tasks' groups in.
	EndpointGroups []string
	// S3PrefixList is the id of the prefix list of S3's addresses in the Region.
	S3PrefixList string
	// HasMaximum says that the set has a maximum lifetime, HasBudget that it has
	// a number of hours a day.
	HasMaximum, HasBudget bool
}

// BaseJob is a job as far as the base stack depends on it.
type BaseJob struct {
	Name                    string
	Cluster, TaskDefinition string
	// Roles are the ARNs of the task role and the execution role.
	Roles []string
	// Patterns are event patterns as JSON.
	Patterns []json.RawMessage
}

// Installed is what the functions and the command line learn about the base stack
// that they belong to. It travels in the stack's outputs: what grows with the number
// of sets has no room in a function's environment, and only the stack itself knows
// the security groups that it makes.
type Installed struct {
	Sets map[string]InstalledSet `json:"sets"`
	// Observe says that the installation only observes.
	Observe bool `json:"observe,omitempty"`
	// TaskGroups are the security groups of additions' tasks, by job.
	TaskGroups map[string]string `json:"taskGroups,omitempty"`
}

// InstalledSet is what the base stack holds for a set.
type InstalledSet struct {
	VPC string `json:"vpc"`
	// Services are what a set whose services follow from its jobs was deployed with.
	Services               []string `json:"services,omitempty"`
	TaskSecurityGroup      string   `json:"taskSecurityGroup,omitempty"`
	EndpointSecurityGroups []string `json:"endpointSecurityGroups"`
}

// installedOutput begins the names of the outputs that hold Installed: the first has
// this name, the others a number behind it.
const installedOutput = "Installed"

// maxOutput is how long a part of Installed may be, in bytes. CloudFormation documents
// no limit for an output's value; this is the one of its parameters.
const maxOutput = 4096

// InstalledOf reads Installed from the outputs of a base stack, by name. Without any
// it is an installation that knows nothing.
func InstalledOf(outputs map[string]string) (Installed, error) {
	in := Installed{Sets: map[string]InstalledSet{}, TaskGroups: map[string]string{}}
	for n := 1; ; n++ {
		name := installedOutput
		if n > 1 {
			name += strconv.Itoa(n)
		}
		text, ok := outputs[name]
		if !ok {
			return in, nil
		}
		var part Installed
		if err := json.Unmarshal([]byte(text), &part); err != nil {
			return in, fmt.Errorf("read output %s: %w", name, err)
		}
		maps.Copy(in.Sets, part.Sets)
		in.Observe = in.Observe || part.Observe
		maps.Copy(in.TaskGroups, part.TaskGroups)
	}
}

// The template's parameters. The code is in a bucket under two keys; the others
// may be left empty.
const (
	ParameterCodeBucket   = "CodeBucket"
	ParameterLauncherCode = "LauncherCode"
	ParameterReaperCode   = "ReaperCode"
	ParameterBoundary     = "PermissionsBoundary"
	ParameterAlarmTopic   = "AlarmTopic"
)

// Timing of the functions. The event source mapping's concurrency keeps a burst
// on a warm set within the rate of RunTask.
const (
	FunctionSeconds  = 900
	functionMemory   = 256 // in MB; goMemory of it is the Go runtime's
	goMemory         = "200MiB"
	batchSize        = 10
	batchConcurrency = 2
	maxReceives      = 20 // a message that is given back comes again after half a minute, and later each time
	deadLetterDays   = 14
)

// maxResources is how many resources a template may hold.
//
// Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const maxResources = 500

// Template returns the base stack's template as YAML. The same base gives the
// same bytes.
func (b Base) Template() ([]byte, error) {
	return asYAML(b.Name)(b.JSON())
}

// asYAML turns a template's JSON into YAML.
func asYAML(name string) func([]byte, error) ([]byte, error) {
	return func(compact []byte, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		out, err := yaml.JSONToYAML(compact)
		if err != nil {
			return nil, fmt.Errorf("encode the template of %s: %w", name, err)
		}
		return out, nil
	}
}

// JSON returns the base stack's template as JSON without blanks.
func (b Base) JSON() ([]byte, error) {
	b.names = NamesOf(b.Name, b.Region)
	r := Object{}
	b.addStore(r)
	if err := b.addRoles(r); err != nil {
		return nil, err
	}
	b.addFunctions(r)
	b.addRules(r)
	for _, s := range b.Sets {
		b.addSet(r, s)
	}
	b.addAlarms(r)
	for _, a := range b.Additions {
		maps.Copy(r, a.Resources)
	}
	if !b.Monitored {
		unmonitored(r)
	}
	outputs := b.outputs()
	if b.RolesFrom != "" {
		b.moveRoles(r, outputs)
	}
	if len(r) > maxResources {
		return nil, fmt.Errorf("the base stack would hold %d resources, and CloudFormation takes %d: name "+
			"endpointSecurityGroups of the sets and securityGroups of the jobs, of which the stack makes one each "+
			"otherwise, or split the sets over several installations", len(r), maxResources)
	}
	conditions := Object{"HasAlarmTopic": has(ParameterAlarmTopic)}
	if b.RolesFrom == "" {
		conditions["HasBoundary"] = has(ParameterBoundary)
	}
	return encode(b.Name, Object{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description": fmt.Sprintf("Drawbridge installation %s: everything but the endpoints, which "+
			"come and go in stacks of their own", b.Name),
		"Parameters": b.parameters(),
		"Conditions": conditions,
		"Resources":  r,
		"Outputs":    outputs,
	})
}

// parameters are those of the base stack: the code is required unless Defaults name it,
// the others may be left empty.
func (b Base) parameters() Object {
	out := Object{
		ParameterCodeBucket: b.parameter(ParameterCodeBucket, "Bucket that holds the functions' code"),
		ParameterAlarmTopic: b.parameter(ParameterAlarmTopic,
			"ARN of the SNS topic that alarms go to; empty for none"),
	}
	if b.RolesFrom == "" {
		out[ParameterBoundary] = b.boundary()
	}
	for _, f := range b.Functions() {
		out[f.Parameter] = b.parameter(f.Parameter, "Key of the "+f.Code+"'s zip")
	}
	return out
}

func (b Base) boundary() Object {
	return b.parameter(ParameterBoundary, "ARN of a permissions boundary for every role; empty for none")
}

func (b Base) parameter(name, description string) Object {
	p := Object{"Type": "String", "Description": description}
	value, given := b.Defaults[name]
	if given || name == ParameterBoundary || name == ParameterAlarmTopic {
		p["Default"] = value
	}
	return p
}

// encode writes a template as JSON without blanks.
func encode(name string, template Object) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(template); err != nil {
		return nil, fmt.Errorf("encode the template of %s: %w", name, err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func has(parameter string) Object {
	return Object{"Fn::Not": []any{Object{"Fn::Equals": []any{Ref(parameter), ""}}}}
}

// Ref refers to a parameter or a resource.
func Ref(name string) Object { return Object{"Ref": name} }

// Att refers to an attribute of a resource.
func Att(name, attribute string) Object { return Object{"Fn::GetAtt": []string{name, attribute}} }

func optional(condition, parameter string) Object {
	return Object{"Fn::If": []any{condition, Ref(parameter), Ref("AWS::NoValue")}}
}

// Resource is a resource of a type.
func Resource(kind string, properties Object) Object {
	return Object{"Type": kind, "Properties": properties}
}

func (b Base) outputs() Object {
	out := Object{
		"Table":       Object{"Description": "The table of sets, runs and holds", "Value": Ref("Table")},
		"EventsQueue": Object{"Description": "The queue that takes job events", "Value": Ref("Events")},
		"Launcher":    Object{"Description": "The launcher function", "Value": Ref("Launcher")},
		"Reaper":      Object{"Description": "The reaper function", "Value": Ref("Reaper")},
		"DeadLetters": Object{"Description": "The queue of events that could not be done", "Value": Ref("DeadLetters")},
	}
	for n, part := range b.installed() {
		name := installedOutput
		if n > 0 {
			name += strconv.Itoa(n + 1)
		}
		out[name] = Object{"Description": "What the functions know of this stack", "Value": Sub(part)}
	}
	for _, a := range b.Additions {
		maps.Copy(out, a.Outputs)
	}
	for _, s := range b.Sets {
		if s.MakeTaskGroup {
			out[taskGroupID(s.Name)] = Object{
				"Description": "The security group of tasks of set " + s.Name,
				"Value":       Att(taskGroupID(s.Name), "GroupId"),
			}
		}
	}
	return out
}

// tableEncryption is by the given key, or by the one that DynamoDB has for the account.
func (b Base) tableEncryption() Object {
	if b.KMSKey == "" {
		return Object{"SSEEnabled": true}
	}
	return Object{"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": b.KMSKey}
}

// LogGroup is a log group of the installation.
func (b Base) LogGroup(name string) Object {
	p := Object{"LogGroupName": name, "RetentionInDays": b.LogRetention}
	if b.KMSKey != "" {
		p["KmsKeyId"] = b.KMSKey
	}
	g := Resource("AWS::Logs::LogGroup", p)
	g["DeletionPolicy"], g["UpdateReplacePolicy"] = "Delete", "Delete"
	return g
}

// addStore adds the table, the two queues, the group of timers and, where the
// installation brings one, the cluster.
func (b Base) addStore(r Object) {
	attribute := func(name string) Object { return Object{"AttributeName": name, "AttributeType": "S"} }
	key := func(name, kind string) Object { return Object{"AttributeName": name, "KeyType": kind} }
	table := Resource("AWS::DynamoDB::Table", Object{
		"TableName":            b.names.Table,
		"BillingMode":          "PAY_PER_REQUEST",
		"AttributeDefinitions": []any{attribute("set"), attribute("item"), attribute("live")},
		"KeySchema":            []any{key("set", "HASH"), key("item", "RANGE")},
		"LocalSecondaryIndexes": []any{Object{
			"IndexName": "live", "KeySchema": []any{key("set", "HASH"), key("live", "RANGE")},
			"Projection": Object{"ProjectionType": "ALL"},
		}},
		"TimeToLiveSpecification":          Object{"AttributeName": "expires", "Enabled": true},
		"PointInTimeRecoverySpecification": Object{"PointInTimeRecoveryEnabled": true},
		"SSESpecification":                 b.tableEncryption(),
	})
	table["DeletionPolicy"], table["UpdateReplacePolicy"] = "Delete", "Retain"
	r["Table"] = table
	b.addQueues(r)
	r["Timers"] = Resource("AWS::Scheduler::ScheduleGroup", Object{"Name": b.names.ScheduleGroup})
	if b.ECSCluster != "" {
		r["Cluster"] = Resource("AWS::ECS::Cluster", Object{"ClusterName": b.ECSCluster})
	}
}

// addQueues adds the queue of events and that of dead letters, with who may send to them.
func (b Base) addQueues(r Object) {
	queue := func(name string, properties Object) Object {
		properties["QueueName"] = name
		if b.KMSKey == "" {
			properties["SqsManagedSseEnabled"] = true
		} else {
			properties["KmsMasterKeyId"] = b.KMSKey
		}
		q := Resource("AWS::SQS::Queue", properties)
		q["DeletionPolicy"], q["UpdateReplacePolicy"] = "Delete", "Delete"
		return q
	}
	r["DeadLetters"] = queue(b.names.DeadLetters, Object{"MessageRetentionPeriod": deadLetterDays * 24 * 3600})
	r["Events"] = queue(b.names.Events,
		Object{"VisibilityTimeout": FunctionSeconds, "MessageRetentionPeriod": 4 * 24 * 3600,
			"RedrivePolicy": Object{"deadLetterTargetArn": Att("DeadLetters", "Arn"), "maxReceiveCount": maxReceives}})
	tls := func(queue string) Object {
		return Object{
			"Sid": "OnlyEncrypted", "Effect": "Deny", "Principal": "*", "Action": "sqs:*",
			"Resource": Att(queue, "Arn"), "Condition": Object{"Bool": Object{"aws:SecureTransport": "false"}},
		}
	}
	events := []any{tls("Events")}
	if rules := b.jobRules(); len(rules) > 0 {
		var sources []any
		for _, rule := range rules {
			sources = append(sources, Att(rule.id, "Arn"))
		}
		events = append(events,
			Object{"Sid": "JobEvents", "Effect": "Allow", "Principal": Object{"Service": "events.amazonaws.com"},
				"Action": "sqs:SendMessage", "Resource": Att("Events", "Arn"),
				"Condition": Object{
					"ArnEquals":            Object{"aws:SourceArn": sources},
					"StringEqualsIfExists": Object{"aws:SourceAccount": Ref("AWS::AccountId")},
				}})
	}
	r["EventsPolicy"] = Resource("AWS::SQS::QueuePolicy", Object{
		"Queues": []any{Ref("Events")}, "PolicyDocument": Object{"Version": "2012-10-17", "Statement": events},
	})
	r["DeadLettersPolicy"] = Resource("AWS::SQS::QueuePolicy", Object{
		"Queues":         []any{Ref("DeadLetters")},
		"PolicyDocument": Object{"Version": "2012-10-17", "Statement": []any{tls("DeadLetters")}},
	})
}

// roles returns the roles of the base stack, in the order in which they are listed.
func (b Base) roles() []RoleSpec {
	n := NamesOf(b.Name, b.Region)
	out := []RoleSpec{
		{LauncherRole, "LauncherRole", n.LauncherRole, "lambda"}, {ReaperRole, "ReaperRole", n.ReaperRole, "lambda"},
		{ServiceRole, "ServiceRole", n.StackRole, "cloudformation"}, {TimerRole, "TimerRole", n.TimerRole, "scheduler"},
	}
	for _, a := range b.Additions {
		out = append(out, a.Roles...)
	}
	return out
}

// trusts are the conditions under which each service may assume a role.
func (b Base) trusts() map[string]Object {
	// Lambda, CloudFormation and ECS (for hooks) are not documented to say for whom they assume a role,
	// which has to be one of their caller's own account in any case.
	ifTold := Object{"StringEqualsIfExists": Object{"aws:SourceAccount": Ref("AWS::AccountId")}}
	// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
	ofTasks := Object{
		"StringEquals": Object{"aws:SourceAccount": Ref("AWS::AccountId")},
		"ArnLike":      Object{"aws:SourceArn": Sub(ARN("ecs", "*"))},
	}
	ofTimers := Object{
		"StringEquals": Object{"aws:SourceAccount": Ref("AWS::AccountId")},
		"ArnEquals":    Object{"aws:SourceArn": Sub(ARN("scheduler", "schedule-group/"+b.names.ScheduleGroup))},
	}
	return map[string]Object{
		"lambda": ifTold, "cloudformation": ifTold, "ecs-tasks": ofTasks, "scheduler": ofTimers, "ecs": ifTold,
	}
}

func (b Base) addRoles(r Object) error {
	trusts := b.trusts()
	for _, x := range b.roles() {
		policies, err := b.policiesOf(x.Role)
		if err != nil {
			return err
		}
		condition, known := trusts[x.Service]
		if !known {
			return fmt.Errorf("role %s: no trust policy is known for service %q", x.Name, x.Service)
		}
		if policies == nil {
			continue // it has nothing to do
		}
		trust := Object{
			"Effect": "Allow", "Principal": Object{"Service": x.Service + ".amazonaws.com"}, "Action": "sts:AssumeRole",
			"Condition": condition,
		}
		p := Object{
			"RoleName":                 x.Name,
			"Description":              "Drawbridge " + b.Name + ": " + string(x.Role),
			"AssumeRolePolicyDocument": Object{"Version": "2012-10-17", "Statement": []any{trust}},
			"PermissionsBoundary":      optional("HasBoundary", ParameterBoundary),
			"Tags":                     b.Tags(""),
		}
		p["ManagedPolicyArns"] = b.addPolicies(r, x.ID, x.Role, policies)
		r[x.ID] = Resource("AWS::IAM::Role", p)
	}
	return nil
}

// addPolicies adds a role's policies and returns what the role attaches. The role names
// its policies, not they the role: so they are there before it, and before all that
// Lambda and CloudFormation check against it.
func (b Base) addPolicies(r Object, id string, role Role, policies []Object) []any {
	var attached []any
	for n, document := range policies {
		policy := policyID(id, n, len(policies), document)
		r[policy] = Resource("AWS::IAM::ManagedPolicy", Object{
			"Description": fmt.Sprintf("Drawbridge %s: %s", b.Name, role), "PolicyDocument": document,
		})
		attached = append(attached, Ref(policy))
	}
	return attached
}

func (b Base) addFunctions(r Object) {
	for _, x := range b.Functions() {
		logs := x.ID + "Logs"
		r[logs] = b.LogGroup("/aws/lambda/" + x.Name)
		p := Object{
			"FunctionName": x.Name, "Description": "Drawbridge " + b.Name + ": " + x.What,
			"Runtime": "provided.al2023", "Handler": "bootstrap", "Architectures": []any{b.Architecture},
			"Role": Att(x.Role, "Arn"), "Timeout": x.Seconds, "MemorySize": functionMemory,
			"Code":        Object{"S3Bucket": Ref(ParameterCodeBucket), "S3Key": Ref(x.Parameter)},
			"Environment": Object{"Variables": Object{"GOMEMLIMIT": goMemory}},
			// A launcher and a reaper that wake each other are no accident: what the one may
			// not do it leaves to the other. The sweep would make up for a chain that
			// Lambda cuts, but the event that was cut would end as a dead letter.
			"RecursiveLoop": "Allow",
		}
		if len(x.Subnets) > 0 {
			p["VpcConfig"] = Object{"SubnetIds": x.Subnets, "SecurityGroupIds": x.Groups}
		}
		if x.Reserved > 0 {
			p["ReservedConcurrentExecutions"] = x.Reserved
		}
		f := Resource("AWS::Lambda::Function", p)
		f["DependsOn"] = logs // or Lambda would make the group itself, without an end to it
		r[x.ID] = f
	}
	r["LauncherEvents"] = Resource("AWS::Lambda::EventSourceMapping", Object{
		"EventSourceArn": Att("Events", "Arn"), "FunctionName": Ref("Launcher"), "BatchSize": batchSize,
		"FunctionResponseTypes": []any{"ReportBatchItemFailures"},
		"ScalingConfig":         Object{"MaximumConcurrency": batchConcurrency},
	})
	r["LauncherFailures"] = Resource("AWS::Lambda::EventInvokeConfig", Object{
		"FunctionName": Ref("Launcher"), "Qualifier": "$LATEST", "MaximumRetryAttempts": 2,
		"DestinationConfig": Object{"OnFailure": Object{"Destination": Att("DeadLetters", "Arn")}},
	})
	r["ReaperFailures"] = Resource("AWS::Lambda::EventInvokeConfig", Object{
		"FunctionName": Ref("Reaper"), "Qualifier": "$LATEST", "MaximumRetryAttempts": 2,
	})
}

// installed returns Installed as JSON, in parts that are no longer than an output
// may be, with references for CloudFormation to fill in.
func (b Base) installed() []string {
	encode := func(in Installed) string {
		text, err := json.Marshal(in)
		if err != nil {
			return "" // texts always encode
		}
		return string(text)
	}
	part := Installed{Sets: map[string]InstalledSet{}, TaskGroups: map[string]string{}, Observe: b.Observe}
	for _, a := range b.Additions {
		if a.TaskGroup != nil {
			part.TaskGroups[a.TaskGroup.Job] = "${" + a.TaskGroup.ID + ".GroupId}"
		}
	}
	var out []string
	for _, s := range b.Sets {
		for _, name := range append([]string{s.Name}, s.Others...) {
			part.Sets[name] = b.installedSet(s)
			// No reference is shorter than what stands in its place.
			if len(encode(part)) > maxOutput && len(part.Sets) > 1 {
				delete(part.Sets, name)
				out = append(out, encode(part))
				part = Installed{Sets: map[string]InstalledSet{name: b.installedSet(s)}}
			}
		}
	}
	return append(out, encode(part))
}

func (b Base) installedSet(s BaseSet) InstalledSet {
	is := InstalledSet{VPC: s.VPC, EndpointSecurityGroups: sorted(s.EndpointGroups)}
	if len(s.EndpointGroups) == 0 {
		is.EndpointSecurityGroups = []string{"${" + endpointGroupID(s.Name) + ".GroupId}"}
	}
	if s.Auto {
		for _, svc := range s.Services {
			is.Services = append(is.Services, string(svc.ID))
		}
	}
	if s.MakeTaskGroup {
		is.TaskSecurityGroup = "${" + taskGroupID(s.Name) + ".GroupId}"
	}
	return is
}

// rule is a rule of EventBridge.
type rule struct {
	id, name, description string
	pattern               json.RawMessage
	rate                  string
	target                string
}

func (b Base) jobRules() []rule {
	var out []rule
	for _, j := range b.Jobs {
		for i, p := range j.Patterns {
			out = append(out, rule{
				id:   fmt.Sprintf("Job%sPattern%d", IDPart(j.Name), i),
				name: fmt.Sprintf("%s-job-%s-%d", b.Name, j.Name, i), description: "events that start job " + j.Name,
				pattern: p, target: "Events",
			})
		}
	}
	return out
}

func (b Base) reaperRules() []rule {
	pattern := func(v Object) json.RawMessage {
		text, err := json.Marshal(v)
		if err != nil {
			return nil // texts always encode
		}
		return text
	}
	return []rule{
		{id: "TaskStopped", name: b.names.Reaper + "-tasks", description: "tasks of ours that have stopped",
			target: "Reaper",
			pattern: pattern(Object{"source": []string{"aws.ecs"}, "detail-type": []string{"ECS Task State Change"},
				"detail": Object{
					"lastStatus": []string{"STOPPED"}, "startedBy": []any{Object{"prefix": b.Name + "/"}},
				}})},
		{id: "StackChanged", name: b.names.Reaper + "-stacks", description: "endpoint stacks of ours that have changed",
			target: "Reaper",
			pattern: pattern(Object{"source": []string{"aws.cloudformation"},
				"detail-type": []string{"CloudFormation Stack Status Change"},
				"detail":      Object{"stack-id": []any{Object{"wildcard": "*:stack/" + b.Name + "-set-*"}}}})},
		{
			id: "Sweep", name: b.names.Reaper + "-sweep",
			description: "the look at every set that makes up for whatever was lost", target: "Reaper",
			rate: fmt.Sprintf("rate(%d minutes)", b.SweepMinutes),
		},
	}
}

// ofThisAccount has a pattern match events of the installation's account alone, unless
// it names accounts itself: another account may put events on a bus too.
func ofThisAccount(pattern json.RawMessage) any {
	var p Object
	if err := json.Unmarshal(pattern, &p); err != nil || p["account"] != nil {
		return pattern
	}
	p["account"] = []any{Ref("AWS::AccountId")}
	return p
}

func (b Base) addRules(r Object) {
	for _, x := range append(b.reaperRules(), b.jobRules()...) {
		p := Object{
			"Name": x.name, "Description": "Drawbridge " + b.Name + ": " + x.description, "State": "ENABLED",
			"Targets": []any{Object{"Id": "target", "Arn": Att(x.target, "Arn")}},
		}
		if x.rate != "" {
			p["ScheduleExpression"] = x.rate
		} else {
			p["EventPattern"] = ofThisAccount(x.pattern)
		}
		r[x.id] = Resource("AWS::Events::Rule", p)
		if x.target == "Reaper" {
			r[x.id+"Permission"] = Resource("AWS::Lambda::Permission", Object{
				"FunctionName": Ref("Reaper"), "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com",
				"SourceArn": Att(x.id, "Arn"),
			})
		}
	}
}

// Tags are the tags of a resource that say whose it is, and its name if it has one.
// Those of the stack reach a VPC endpoint late or never, so what counts stands on each
// resource.
//
// Source: aws-cloudformation/cloudformation-coverage-roadmap#196 and #358.
func (b Base) Tags(name string) []any {
	owner := Object{"Key": OwnerTag, "Value": b.Name}
	if name == "" {
		return []any{owner}
	}
	return []any{Object{"Key": "Name", "Value": b.Name + "-" + name}, owner}
}

func taskGroupID(set string) string     { return "TaskSecurityGroup" + IDPart(set) }
func endpointGroupID(set string) string { return "EndpointSecurityGroup" + IDPart(set) }

// addTaskGroup adds the security group of tasks: out by HTTPS to S3 through its
// gateway and to the VPC, where the endpoints are, ours and those of others that are
// adopted; nothing in.
func (b Base) addTaskGroup(r Object, s BaseSet) {
	r[taskGroupID(s.Name)] = Resource("AWS::EC2::SecurityGroup", Object{
		"GroupDescription": "Drawbridge set " + s.Name + ": tasks", "VpcId": s.VPC,
		"SecurityGroupEgress": TaskEgress(s),
		"Tags":                b.Tags(s.Name + "-tasks"),
	})
}

// TaskEgress lets tasks out to S3 and to the endpoints in the VPC.
func TaskEgress(s BaseSet) []any {
	out := func(key, value, what string) Object {
		return Object{
			"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, key: value, "Description": "HTTPS to " + what,
		}
	}
	egress := []any{out("DestinationPrefixListId", s.S3PrefixList, "S3 through its gateway")}
	for _, block := range sorted(s.CIDRs) {
		egress = append(egress, out("CidrIp", block, "endpoints in the VPC"))
	}
	return egress
}

// addSet adds what a set needs for ever: security groups and the S3 gateway,
// which are free, and which a deletion of endpoints must not wait for.
func (b Base) addSet(r Object, s BaseSet) {
	if s.MakeTaskGroup {
		b.addTaskGroup(r, s)
	}
	if len(s.EndpointGroups) == 0 {
		var in []any
		from := func(group any, what string) {
			in = append(in, Object{
				"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "SourceSecurityGroupId": group,
				"Description": "HTTPS from " + what,
			})
		}
		for _, g := range sorted(s.TaskGroups) {
			from(g, "the tasks in "+g)
		}
		if s.MakeTaskGroup {
			from(Att(taskGroupID(s.Name), "GroupId"), "the tasks")
		}
		for _, a := range b.Additions {
			if g := a.TaskGroup; g != nil && g.Set == s.Name {
				from(Att(g.ID, "GroupId"), g.Who)
			}
		}
		group := Object{
			"GroupDescription": "Drawbridge set " + s.Name + ": endpoints",
			"VpcId":            s.VPC,
			// Without an egress rule of its own a group lets everything out.
			"SecurityGroupEgress": []any{Object{
				"IpProtocol": "-1", "CidrIp": "127.0.0.1/32", "Description": "nothing goes out",
			}},
			"Tags": b.Tags(s.Name + "-endpoints"),
		}
		if len(in) > 0 { // a set without jobs has no tasks to let in
			group["SecurityGroupIngress"] = in
		}
		r[endpointGroupID(s.Name)] = Resource("AWS::EC2::SecurityGroup", group)
	}
	if s.PermanentGateway {
		svc, err := endpoints.Lookup("s3")
		if err == nil {
			r["S3Gateway"+IDPart(s.Name)] = gateway(svc, b.Region, s.VPC, s.RouteTables, b.Tags(s.Name+"-s3"))
		}
	}
}
