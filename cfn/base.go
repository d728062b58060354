package cfn

import (
	"bytes"
	"cmp"
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
	// PaidHoursPerDay is the number of endpoint-hours a day above which an alarm
	// sounds; 0 leaves that alarm out.
	PaidHoursPerDay int
	// SweepMinutes is how often the sweep comes by.
	SweepMinutes int
	// Mirror is nil without a mirror.
	Mirror *BaseMirror

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
	// MirrorSecurityGroup is the security group of the mirror's tasks.
	MirrorSecurityGroup string `json:"mirrorSecurityGroup,omitempty"`
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
	in := Installed{Sets: map[string]InstalledSet{}}
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
		in.MirrorSecurityGroup = cmp.Or(in.MirrorSecurityGroup, part.MirrorSecurityGroup)
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
	webhookSeconds   = 60
	deadLetterDays   = 14
)

// maxResources is how many resources a template may hold.
//
// Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
const maxResources = 500

// Template returns the base stack's template as YAML. The same base gives the
// same bytes.
func (b Base) Template() ([]byte, error) {
	compact, err := b.JSON()
	if err != nil {
		return nil, err
	}
	out, err := yaml.JSONToYAML(compact)
	if err != nil {
		return nil, fmt.Errorf("encode the template of %s: %w", b.Name, err)
	}
	return out, nil
}

// JSON returns the base stack's template as JSON without blanks.
func (b Base) JSON() ([]byte, error) {
	b.names = NamesOf(b.Name, b.Region)
	r := object{}
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
	if b.Mirror != nil {
		if len(b.Mirror.Settings) > maxSettings {
			return nil, fmt.Errorf("the mirror's repositories take %d bytes of the task definition, which has room "+
				"for %d: use fewer or shorter entries", len(b.Mirror.Settings), maxSettings)
		}
		b.addMirror(r)
	}
	if len(r) > maxResources {
		return nil, fmt.Errorf("the base stack would hold %d resources, and CloudFormation takes %d: name "+
			"endpointSecurityGroups of the sets and securityGroups of the jobs, of which the stack makes one each "+
			"otherwise, or split the sets over several installations", len(r), maxResources)
	}
	text := func(description, def string, more ...any) object {
		p := object{"Type": "String", "Description": description}
		if len(more) == 0 {
			p["Default"] = def
		}
		return p
	}
	parameters := object{
		ParameterCodeBucket:   text("Bucket that holds the functions' code", "", true),
		ParameterLauncherCode: text("Key of the launcher's zip", "", true),
		ParameterReaperCode:   text("Key of the reaper's zip", "", true),
		ParameterBoundary:     text("ARN of a permissions boundary for every role; empty for none", ""),
		ParameterAlarmTopic:   text("ARN of the SNS topic that alarms go to; empty for none", ""),
	}
	if b.receives() {
		parameters[ParameterWebhookCode] = text("Key of the webhook function's zip", "", true)
	}
	t := object{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description": fmt.Sprintf("Drawbridge installation %s: everything but the endpoints, which "+
			"come and go in stacks of their own", b.Name),
		"Parameters": parameters,
		"Conditions": object{"HasBoundary": has(ParameterBoundary), "HasAlarmTopic": has(ParameterAlarmTopic)},
		"Resources":  r,
		"Outputs":    b.outputs(),
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(t); err != nil {
		return nil, fmt.Errorf("encode the template of %s: %w", b.Name, err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func has(parameter string) object {
	return object{"Fn::Not": []any{object{"Fn::Equals": []any{ref(parameter), ""}}}}
}

func ref(name string) object { return object{"Ref": name} }

func att(name, attribute string) object { return object{"Fn::GetAtt": []string{name, attribute}} }

func optional(condition, parameter string) object {
	return object{"Fn::If": []any{condition, ref(parameter), ref("AWS::NoValue")}}
}

func resource(kind string, properties object) object {
	return object{"Type": kind, "Properties": properties}
}

func (b Base) outputs() object {
	out := object{
		"Table":       object{"Description": "The table of sets, runs and holds", "Value": ref("Table")},
		"EventsQueue": object{"Description": "The queue that takes job events", "Value": ref("Events")},
		"Launcher":    object{"Description": "The launcher function", "Value": ref("Launcher")},
		"Reaper":      object{"Description": "The reaper function", "Value": ref("Reaper")},
		"DeadLetters": object{"Description": "The queue of events that could not be done", "Value": ref("DeadLetters")},
	}
	for n, part := range b.installed() {
		name := installedOutput
		if n > 0 {
			name += strconv.Itoa(n + 1)
		}
		out[name] = object{"Description": "What the functions know of this stack", "Value": sub(part)}
	}
	if b.Mirror != nil {
		out["MirrorBucket"] = object{
			"Description": "The mirror's bucket; bundles go into " + MirrorInbox + "/", "Value": ref("MirrorBucket"),
		}
		if b.Mirror.Image == "" {
			out["MirrorImages"] = object{
				"Description": "Where the mirror's image goes; its tags stay as they are",
				"Value":       att("MirrorImages", "RepositoryUri"),
			}
		}
	}
	if b.receives() {
		out["WebhookURL"] = object{
			"Description": "Where git servers report pushes, with the repository's name behind it",
			"Value":       att("WebhookURL", "FunctionUrl"),
		}
	}
	for _, s := range b.Sets {
		if s.MakeTaskGroup {
			out[taskGroupID(s.Name)] = object{
				"Description": "The security group of tasks of set " + s.Name,
				"Value":       att(taskGroupID(s.Name), "GroupId"),
			}
		}
	}
	return out
}

// tableEncryption is by the given key, or by the one that DynamoDB has for the account.
func (b Base) tableEncryption() object {
	if b.KMSKey == "" {
		return object{"SSEEnabled": true}
	}
	return object{"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": b.KMSKey}
}

// logGroup is a log group of the installation.
func (b Base) logGroup(name string) object {
	p := object{"LogGroupName": name, "RetentionInDays": b.LogRetention}
	if b.KMSKey != "" {
		p["KmsKeyId"] = b.KMSKey
	}
	g := resource("AWS::Logs::LogGroup", p)
	g["DeletionPolicy"], g["UpdateReplacePolicy"] = "Delete", "Delete"
	return g
}

// addStore adds the table, the two queues, the group of timers and, where the
// installation brings one, the cluster.
func (b Base) addStore(r object) {
	attribute := func(name string) object { return object{"AttributeName": name, "AttributeType": "S"} }
	key := func(name, kind string) object { return object{"AttributeName": name, "KeyType": kind} }
	table := resource("AWS::DynamoDB::Table", object{
		"TableName":            b.names.Table,
		"BillingMode":          "PAY_PER_REQUEST",
		"AttributeDefinitions": []any{attribute("set"), attribute("item"), attribute("live")},
		"KeySchema":            []any{key("set", "HASH"), key("item", "RANGE")},
		"LocalSecondaryIndexes": []any{object{
			"IndexName": "live", "KeySchema": []any{key("set", "HASH"), key("live", "RANGE")},
			"Projection": object{"ProjectionType": "ALL"},
		}},
		"TimeToLiveSpecification":          object{"AttributeName": "expires", "Enabled": true},
		"PointInTimeRecoverySpecification": object{"PointInTimeRecoveryEnabled": true},
		"SSESpecification":                 b.tableEncryption(),
	})
	table["DeletionPolicy"], table["UpdateReplacePolicy"] = "Delete", "Retain"
	r["Table"] = table
	b.addQueues(r)
	r["Timers"] = resource("AWS::Scheduler::ScheduleGroup", object{"Name": b.names.ScheduleGroup})
	if b.ECSCluster != "" {
		r["Cluster"] = resource("AWS::ECS::Cluster", object{"ClusterName": b.ECSCluster})
	}
}

// addQueues adds the queue of events and that of dead letters, with who may send to them.
func (b Base) addQueues(r object) {
	queue := func(name string, properties object) object {
		properties["QueueName"] = name
		if b.KMSKey == "" {
			properties["SqsManagedSseEnabled"] = true
		} else {
			properties["KmsMasterKeyId"] = b.KMSKey
		}
		q := resource("AWS::SQS::Queue", properties)
		q["DeletionPolicy"], q["UpdateReplacePolicy"] = "Delete", "Delete"
		return q
	}
	r["DeadLetters"] = queue(b.names.DeadLetters, object{"MessageRetentionPeriod": deadLetterDays * 24 * 3600})
	r["Events"] = queue(b.names.Events,
		object{"VisibilityTimeout": FunctionSeconds, "MessageRetentionPeriod": 4 * 24 * 3600,
			"RedrivePolicy": object{"deadLetterTargetArn": att("DeadLetters", "Arn"), "maxReceiveCount": maxReceives}})
	tls := func(queue string) object {
		return object{
			"Sid": "OnlyEncrypted", "Effect": "Deny", "Principal": "*", "Action": "sqs:*",
			"Resource": att(queue, "Arn"), "Condition": object{"Bool": object{"aws:SecureTransport": "false"}},
		}
	}
	events := []any{tls("Events")}
	if rules := b.jobRules(); len(rules) > 0 {
		var sources []any
		for _, rule := range rules {
			sources = append(sources, att(rule.id, "Arn"))
		}
		events = append(events,
			object{"Sid": "JobEvents", "Effect": "Allow", "Principal": object{"Service": "events.amazonaws.com"},
				"Action": "sqs:SendMessage", "Resource": att("Events", "Arn"),
				"Condition": object{
					"ArnEquals":            object{"aws:SourceArn": sources},
					"StringEqualsIfExists": object{"aws:SourceAccount": ref("AWS::AccountId")},
				}})
	}
	r["EventsPolicy"] = resource("AWS::SQS::QueuePolicy", object{
		"Queues": []any{ref("Events")}, "PolicyDocument": object{"Version": "2012-10-17", "Statement": events},
	})
	r["DeadLettersPolicy"] = resource("AWS::SQS::QueuePolicy", object{
		"Queues":         []any{ref("DeadLetters")},
		"PolicyDocument": object{"Version": "2012-10-17", "Statement": []any{tls("DeadLetters")}},
	})
}

func (b Base) addRoles(r object) error {
	// Lambda and CloudFormation are not documented to say for whom they assume a role,
	// which has to be one of their caller's own account in any case.
	ifTold := object{"StringEqualsIfExists": object{"aws:SourceAccount": ref("AWS::AccountId")}}
	// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
	ofTasks := object{
		"StringEquals": object{"aws:SourceAccount": ref("AWS::AccountId")},
		"ArnLike":      object{"aws:SourceArn": sub(arn("ecs", "*"))},
	}
	for _, x := range []struct {
		id, name, service string
		role              Role
		condition         object
	}{
		{"LauncherRole", b.names.LauncherRole, "lambda", LauncherRole, ifTold},
		{"ReaperRole", b.names.ReaperRole, "lambda", ReaperRole, ifTold},
		{"ServiceRole", b.names.StackRole, "cloudformation", ServiceRole, ifTold},
		{"MirrorRole", b.names.MirrorRole, "ecs-tasks", MirrorRole, ofTasks},
		{"MirrorExecutionRole", b.names.MirrorExecutionRole, "ecs-tasks", MirrorExecutionRole, ofTasks},
		{"WebhookRole", b.names.WebhookRole, "lambda", WebhookRole, ifTold},
		{
			"TimerRole", b.names.TimerRole, "scheduler", TimerRole,
			object{
				"StringEquals": object{"aws:SourceAccount": ref("AWS::AccountId")},
				"ArnEquals":    object{"aws:SourceArn": sub(arn("scheduler", "schedule-group/"+b.names.ScheduleGroup))},
			},
		},
	} {
		policies, err := b.policiesOf(x.role)
		if err != nil {
			return err
		}
		if policies == nil {
			continue // it has nothing to do
		}
		trust := object{
			"Effect": "Allow", "Principal": object{"Service": x.service + ".amazonaws.com"}, "Action": "sts:AssumeRole",
		}
		if x.condition != nil {
			trust["Condition"] = x.condition
		}
		p := object{
			"RoleName":                 x.name,
			"Description":              "Drawbridge " + b.Name + ": " + string(x.role),
			"AssumeRolePolicyDocument": object{"Version": "2012-10-17", "Statement": []any{trust}},
			"PermissionsBoundary":      optional("HasBoundary", ParameterBoundary),
			"Tags":                     b.tags(""),
		}
		p["ManagedPolicyArns"] = b.addPolicies(r, x.id, x.role, policies)
		r[x.id] = resource("AWS::IAM::Role", p)
	}
	return nil
}

// addPolicies adds a role's policies and returns what the role attaches. The role names
// its policies, not they the role: so they are there before it, and before all that
// Lambda and CloudFormation check against it.
func (b Base) addPolicies(r object, id string, role Role, policies []object) []any {
	var attached []any
	for n, document := range policies {
		policy := policyID(id, n, len(policies), document)
		r[policy] = resource("AWS::IAM::ManagedPolicy", object{
			"Description": fmt.Sprintf("Drawbridge %s: %s", b.Name, role), "PolicyDocument": document,
		})
		attached = append(attached, ref(policy))
	}
	return attached
}

func (b Base) addFunctions(r object) {
	functions := []struct{ id, name, role, code, logs, what string }{
		{
			"Launcher", b.names.Launcher, "LauncherRole", ParameterLauncherCode, "LauncherLogs",
			"job events in, endpoints up, Fargate tasks started",
		},
		{
			"Reaper", b.names.Reaper, "ReaperRole", ParameterReaperCode, "ReaperLogs",
			"tasks followed to their end, idle endpoints taken down",
		},
	}
	if b.receives() {
		functions = append(functions, struct{ id, name, role, code, logs, what string }{
			"Webhook", b.names.Webhook, "WebhookRole", ParameterWebhookCode, "WebhookLogs",
			"pushes in, events of job mirror out",
		})
	}
	for _, x := range functions {
		r[x.logs] = b.logGroup("/aws/lambda/" + x.name)
		p := object{
			"FunctionName": x.name, "Description": "Drawbridge " + b.Name + ": " + x.what,
			"Runtime": "provided.al2023", "Handler": "bootstrap", "Architectures": []any{b.Architecture},
			"Role": att(x.role, "Arn"), "Timeout": FunctionSeconds, "MemorySize": functionMemory,
			"Code":        object{"S3Bucket": ref(ParameterCodeBucket), "S3Key": ref(x.code)},
			"Environment": object{"Variables": object{"GOMEMLIMIT": goMemory}},
			// A launcher and a reaper that wake each other are no accident: what the one may
			// not do it leaves to the other. The sweep would make up for a chain that
			// Lambda cuts, but the event that was cut would end as a dead letter.
			"RecursiveLoop": "Allow",
		}
		reserved := b.ReservedConcurrency
		if x.id == "Webhook" {
			p["Timeout"], reserved = webhookSeconds, b.Mirror.WebhookConcurrency
		}
		if reserved > 0 {
			p["ReservedConcurrentExecutions"] = reserved
		}
		f := resource("AWS::Lambda::Function", p)
		f["DependsOn"] = x.logs // or Lambda would make the group itself, without an end to it
		r[x.id] = f
	}
	r["LauncherEvents"] = resource("AWS::Lambda::EventSourceMapping", object{
		"EventSourceArn": att("Events", "Arn"), "FunctionName": ref("Launcher"), "BatchSize": batchSize,
		"FunctionResponseTypes": []any{"ReportBatchItemFailures"},
		"ScalingConfig":         object{"MaximumConcurrency": batchConcurrency},
	})
	r["LauncherFailures"] = resource("AWS::Lambda::EventInvokeConfig", object{
		"FunctionName": ref("Launcher"), "Qualifier": "$LATEST", "MaximumRetryAttempts": 2,
		"DestinationConfig": object{"OnFailure": object{"Destination": att("DeadLetters", "Arn")}},
	})
	r["ReaperFailures"] = resource("AWS::Lambda::EventInvokeConfig", object{
		"FunctionName": ref("Reaper"), "Qualifier": "$LATEST", "MaximumRetryAttempts": 2,
	})
}

// receives reports whether there is a webhook function.
func (b Base) receives() bool { return b.Mirror != nil && b.Mirror.Receives }

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
	part := Installed{Sets: map[string]InstalledSet{}, Observe: b.Observe}
	if b.Mirror != nil {
		part.MirrorSecurityGroup = "${" + mirrorGroupID + ".GroupId}"
	}
	var out []string
	for _, s := range b.Sets {
		for _, name := range append([]string{s.Name}, s.Others...) {
			part.Sets[name] = b.installedSet(s)
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
				id:   fmt.Sprintf("Job%sPattern%d", logical(j.Name), i),
				name: fmt.Sprintf("%s-job-%s-%d", b.Name, j.Name, i), description: "events that start job " + j.Name,
				pattern: p, target: "Events",
			})
		}
	}
	return out
}

func (b Base) reaperRules() []rule {
	pattern := func(v object) json.RawMessage {
		text, err := json.Marshal(v)
		if err != nil {
			return nil // texts always encode
		}
		return text
	}
	return []rule{
		{id: "TaskStopped", name: b.names.Reaper + "-tasks", description: "tasks of ours that have stopped",
			target: "Reaper",
			pattern: pattern(object{"source": []string{"aws.ecs"}, "detail-type": []string{"ECS Task State Change"},
				"detail": object{
					"lastStatus": []string{"STOPPED"}, "startedBy": []any{object{"prefix": b.Name + "/"}},
				}})},
		{id: "StackChanged", name: b.names.Reaper + "-stacks", description: "endpoint stacks of ours that have changed",
			target: "Reaper",
			pattern: pattern(object{"source": []string{"aws.cloudformation"},
				"detail-type": []string{"CloudFormation Stack Status Change"},
				"detail":      object{"stack-id": []any{object{"wildcard": "*:stack/" + b.Name + "-set-*"}}}})},
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
	var p object
	if err := json.Unmarshal(pattern, &p); err != nil || p["account"] != nil {
		return pattern
	}
	p["account"] = []any{ref("AWS::AccountId")}
	return p
}

func (b Base) addRules(r object) {
	for _, x := range append(b.reaperRules(), b.jobRules()...) {
		p := object{
			"Name": x.name, "Description": "Drawbridge " + b.Name + ": " + x.description, "State": "ENABLED",
			"Targets": []any{object{"Id": "target", "Arn": att(x.target, "Arn")}},
		}
		if x.rate != "" {
			p["ScheduleExpression"] = x.rate
		} else {
			p["EventPattern"] = ofThisAccount(x.pattern)
		}
		r[x.id] = resource("AWS::Events::Rule", p)
		if x.target == "Reaper" {
			r[x.id+"Permission"] = resource("AWS::Lambda::Permission", object{
				"FunctionName": ref("Reaper"), "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com",
				"SourceArn": att(x.id, "Arn"),
			})
		}
	}
}

// tags are the tags of a resource that say whose it is, and its name if it has one.
// Those of the stack reach a VPC endpoint late or never, so what counts stands on each
// resource.
//
// Source: aws-cloudformation/cloudformation-coverage-roadmap#196 and #358.
func (b Base) tags(name string) []any {
	owner := object{"Key": OwnerTag, "Value": b.Name}
	if name == "" {
		return []any{owner}
	}
	return []any{object{"Key": "Name", "Value": b.Name + "-" + name}, owner}
}

func taskGroupID(set string) string     { return "TaskSecurityGroup" + logical(set) }
func endpointGroupID(set string) string { return "EndpointSecurityGroup" + logical(set) }

// addTaskGroup adds the security group of tasks: out by HTTPS to S3 through its
// gateway and to the VPC, where the endpoints are, ours and those of others that are
// adopted; nothing in.
func (b Base) addTaskGroup(r object, s BaseSet) {
	r[taskGroupID(s.Name)] = resource("AWS::EC2::SecurityGroup", object{
		"GroupDescription": "Drawbridge set " + s.Name + ": tasks", "VpcId": s.VPC,
		"SecurityGroupEgress": taskEgress(s),
		"Tags":                b.tags(s.Name + "-tasks"),
	})
}

// taskEgress lets tasks out to S3 and to the endpoints in the VPC.
func taskEgress(s BaseSet) []any {
	out := func(key, value, what string) object {
		return object{
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
func (b Base) addSet(r object, s BaseSet) {
	if s.MakeTaskGroup {
		b.addTaskGroup(r, s)
	}
	if len(s.EndpointGroups) == 0 {
		var in []any
		from := func(group any, what string) {
			in = append(in, object{
				"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "SourceSecurityGroupId": group,
				"Description": "HTTPS from " + what,
			})
		}
		for _, g := range sorted(s.TaskGroups) {
			from(g, "the tasks in "+g)
		}
		if s.MakeTaskGroup {
			from(att(taskGroupID(s.Name), "GroupId"), "the tasks")
		}
		if b.Mirror != nil && b.Mirror.Set == s.Name {
			from(att(mirrorGroupID, "GroupId"), "the mirror")
		}
		group := object{
			"GroupDescription": "Drawbridge set " + s.Name + ": endpoints",
			"VpcId":            s.VPC,
			// Without an egress rule of its own a group lets everything out.
			"SecurityGroupEgress": []any{object{
				"IpProtocol": "-1", "CidrIp": "127.0.0.1/32", "Description": "nothing goes out",
			}},
			"Tags": b.tags(s.Name + "-endpoints"),
		}
		if len(in) > 0 { // a set without jobs has no tasks to let in
			group["SecurityGroupIngress"] = in
		}
		r[endpointGroupID(s.Name)] = resource("AWS::EC2::SecurityGroup", group)
	}
	if s.PermanentGateway {
		svc, err := endpoints.Lookup("s3")
		if err == nil {
			r["S3Gateway"+logical(s.Name)] = gateway(svc, b.Region, s.VPC, s.RouteTables, b.tags(s.Name+"-s3"))
		}
	}
}
