package cfn

import (
	"slices"
	"strings"

	"drawbridge/endpoints"
)

// Role names one of the roles that an installation owns.
type Role string

// The roles.
const (
	LauncherRole Role = "launcher"
	ReaperRole   Role = "reaper"
	ServiceRole  Role = "cloudformation"
	TimerRole    Role = "scheduler"
)

// Statement is one statement of a role's policy, with the reason for it. Texts
// may hold CloudFormation's pseudo parameters, such as ${AWS::AccountId}.
type Statement struct {
	Role      Role
	Sid       string
	Actions   []string
	Resources []string
	// Condition is the statement's Condition block; nil for none.
	Condition map[string]map[string]any
	// Why says what the role needs the statement for.
	Why string
	// Acts marks rights to change what lies outside of the installation. An
	// installation that only observes has none of them.
	Acts bool
}

// Permissions returns every statement of every role, the one source of the base
// stack's policies and of docs/permissions.md.
func (b Base) Permissions() []Statement {
	b.names = NamesOf(b.Name, b.Region)
	var out []Statement
	for _, role := range []Role{LauncherRole, ReaperRole} {
		out = append(out, b.shared(role)...)
	}
	out = append(out, b.launcher()...)
	out = append(out, b.reaper()...)
	out = append(out, b.serviceRole()...)
	out = append(out, b.UseKey(LauncherRole, "dynamodb", "sqs")...)
	out = append(out, b.UseKey(ReaperRole, "dynamodb", "sqs")...)
	for _, a := range b.Additions {
		out = append(out, a.Statements...)
	}
	out = append(out,
		Statement{Role: TimerRole, Sid: "WakeReaper", Actions: []string{"lambda:InvokeFunction"},
			Resources: []string{b.function(b.names.Reaper)},
			Why:       "a set's timer invokes the reaper"})
	if b.Observe {
		out = slices.DeleteFunc(out, func(s Statement) bool { return s.Acts })
	}
	order := map[Role]int{}
	for n, r := range b.roles() {
		order[r.Role] = n
	}
	slices.SortStableFunc(out, func(x, y Statement) int { return order[x.Role] - order[y.Role] })
	return out
}

// UseKey lets a role use the customer-managed key, if there is one, by way of the table or
// the queues alone: services are dynamodb and sqs.
//
// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
// and https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
func (b Base) UseKey(role Role, services ...string) []Statement {
	if b.KMSKey == "" {
		return nil
	}
	var hosts []string
	for _, s := range services {
		hosts = append(hosts, s+"."+b.Region+"."+endpoints.DNSSuffix(b.Region))
	}
	return []Statement{{
		Role: role, Sid: "UseKey", Actions: []string{"kms:Decrypt", "kms:GenerateDataKey"},
		Resources: []string{b.KMSKey}, Condition: equals("kms:ViaService", hosts...),
		Why: "the contents of the table and of the queues are under the installation's own key",
	}}
}

// ARN returns the ARN of a resource in the stack's account and Region.
func ARN(service, resource string) string {
	return "arn:${AWS::Partition}:" + service + ":${AWS::Region}:${AWS::AccountId}:" + resource
}

// RoleARN returns the ARN of a role of the stack's account.
func RoleARN(name string) string { return "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/" + name }

func (b Base) function(name string) string { return ARN("lambda", "function:"+name) }

// maxNamedStacks is up to how many sets each stack stands in the policies by its name. With
// more of them the policies would not hold them all, and one pattern stands for them:
// no other installation has a name that it fits, and it is still of this account.
const maxNamedStacks = 25

// setStacks are the stacks of every set, in every generation, and of the further names.
func (b Base) setStacks(more ...string) []string {
	if len(b.Sets) > maxNamedStacks {
		return []string{ARN("cloudformation", "stack/"+b.Name+"-set-*/*")}
	}
	var out []string
	for _, s := range b.Sets {
		more = append(more, s.Name)
	}
	for _, name := range more {
		out = append(out, ARN("cloudformation", "stack/"+b.Name+"-set-"+name+"/*"))
	}
	return sorted(out)
}

// SelftestPrefix begins the names of the sets of a selftest, which no configuration has.
const SelftestPrefix = "selftest-"

// SelftestSet is the set that the stack of a selftest in a mode of CloudFormation belongs
// to, standard or express.
func SelftestSet(mode string) string { return SelftestPrefix + mode }

// selftestSets are all of them: the reaper deletes what a selftest left behind.
var selftestSets = []string{SelftestSet("standard"), SelftestSet("express")}

// ofEndpoints is the condition that a stack is made or changed with the service role, and
// holds endpoints alone.
func (b Base) ofEndpoints() map[string]map[string]any {
	return map[string]map[string]any{
		"StringEquals":              {"cloudformation:RoleArn": RoleARN(b.names.StackRole)},
		"ForAllValues:StringEquals": {"cloudformation:ResourceTypes": EndpointType},
		"Null":                      {"cloudformation:ResourceTypes": "false"},
	}
}

func equals(key string, values ...string) map[string]map[string]any {
	return map[string]map[string]any{"StringEquals": {key: OneOrMore(values)}}
}

// OneOrMore returns the value of a condition: one as it is, more as a list.
func OneOrMore(values []string) any {
	if len(values) == 1 {
		return values[0]
	}
	return values
}

func (b Base) shared(role Role) []Statement {
	function, logs := b.names.Launcher, "the launcher"
	stacks := b.setStacks()
	store := []string{"dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"}
	if role == ReaperRole {
		function = b.names.Reaper
		logs = "the reaper"
		store = store[1:]
		stacks = b.setStacks(selftestSets...)
	}
	return []Statement{
		{Role: role, Sid: "Store", Actions: store, Resources: []string{ARN("dynamodb", "table/"+b.names.Table)},
			Why: "sets, runs and holds are read and written, each write under a condition"},
		{Role: role, Sid: "StoreIndex", Actions: []string{"dynamodb:Query"},
			Resources: []string{ARN("dynamodb", "table/"+b.names.Table+"/index/live")},
			Why:       "what holds a set is one query of the table's index"},
		{Role: role, Sid: "ReadInstallation", Actions: []string{"cloudformation:DescribeStacks"},
			Resources: []string{ARN("cloudformation", "stack/"+b.names.Stack+"/*")},
			Why:       "the base stack's outputs name the sets' VPCs and security groups"},
		{Role: role, Sid: "ReadStacks",
			Actions: []string{
				"cloudformation:DescribeStackEvents", "cloudformation:DescribeStackResources",
				"cloudformation:DescribeStacks",
			}, Resources: stacks,
			Why: "whether a set's stack is there, what it holds, and why it failed"},
		{Role: role, Sid: "ReadEndpoints", Actions: []string{"ec2:DescribeVpcEndpoints"}, Resources: []string{"*"},
			Why: "whether the endpoints are available, and whose they are; EC2 knows no resources for reads"},
		{Role: role, Sid: "ReadHostedZones", Actions: []string{"ec2:DescribeVpcs", "route53:ListHostedZonesByVPC"},
			Resources: []string{"*"},
			Why: "a private hosted zone may answer for a service's name in the VPC; Route 53 asks EC2 for the " +
				"VPC, and knows no resources for this read"},
		{Role: role, Sid: "Wake", Actions: []string{"lambda:InvokeFunction"},
			Resources: []string{b.function(b.names.Launcher), b.function(b.names.Reaper)},
			Why:       "each side wakes the other for what it may not do itself, and a successor when its time is up"},
		{Role: role, Sid: "SetTimer", Actions: []string{"scheduler:CreateSchedule", "scheduler:DeleteSchedule"},
			Resources: []string{ARN("scheduler", "schedule/"+b.names.ScheduleGroup+"/*")},
			Why:       "the one timer of each set"},
		{Role: role, Sid: "PassTimerRole", Actions: []string{"iam:PassRole"},
			Resources: []string{RoleARN(b.names.TimerRole)},
			Condition: equals("iam:PassedToService", "scheduler.amazonaws.com"),
			Why:       "the timer invokes the reaper with this role"},
		{Role: role, Sid: "Send", Actions: []string{"sqs:SendMessage"},
			Resources: []string{ARN("sqs", b.names.DeadLetters), ARN("sqs", b.names.Events)},
			Why: "what can never become a run, or never ran, is put aside with its reason; a run whose scheduled " +
				"time has come waits in the queue like every other"},
		{Role: role, Sid: "TellEnds", Actions: []string{"events:PutEvents"},
			Resources: []string{ARN("events", "event-bus/default")},
			Condition: map[string]map[string]any{
				"ForAllValues:StringEquals": {"events:source": "drawbridge"}, "Null": {"events:source": "false"},
			},
			Why: "the end of each run is an event, for whoever follows a job"},
		{Role: role, Sid: "Logs", Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resources: []string{ARN("logs", "log-group:/aws/lambda/"+function+":*")},
			Why:       "the log of " + logs + "; the group itself belongs to the base stack"},
	}
}

func (b Base) launcher() []Statement {
	out := []Statement{
		{Role: LauncherRole, Sid: "ReceiveEvents",
			Actions: []string{
				"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
			}, Resources: []string{ARN("sqs", b.names.Events)},
			Why: "Lambda reads the events queue with the function's role"},
		{Role: LauncherRole, Sid: "ReadNetwork",
			Actions:   []string{"ec2:DescribeRouteTables", "ec2:DescribeSubnets", "ec2:DescribeVpcEndpointServices"},
			Resources: []string{"*"},
			Why:       "where endpoints can go is planned before each creation; these reads allow only *"},
		{Role: LauncherRole, Sid: "ReadVPCs", Actions: []string{"ec2:DescribeVpcAttribute"}, Resources: b.vpcs(),
			Why: "private DNS needs both DNS attributes of the VPC"},
		{Role: LauncherRole, Sid: "CreateSetStack", Actions: []string{"cloudformation:CreateStack"},
			Resources: b.setStacks(),
			Condition: b.ofEndpoints(), Acts: true,
			Why: "endpoints come up as one stack, made with the service role and no other"},
		{Role: LauncherRole, Sid: "TagSetStack", Actions: []string{"cloudformation:TagResource"},
			Resources: b.setStacks(),
			Condition: equals("cloudformation:CreateAction", "CreateStack"), Acts: true,
			Why: "the stack is born with its tags, which CloudFormation authorises apart from its creation"},
		{Role: LauncherRole, Sid: "PassServiceRole", Actions: []string{"iam:PassRole"},
			Resources: []string{RoleARN(b.names.StackRole)},
			Condition: equals("iam:PassedToService", "cloudformation.amazonaws.com"), Acts: true,
			Why: "CloudFormation makes and removes the endpoints with this role"},
	}
	if slices.ContainsFunc(b.Sets, func(s BaseSet) bool { return s.Auto }) {
		out = append(out,
			Statement{Role: LauncherRole, Sid: "ReadTaskDefinitions", Actions: []string{"ecs:DescribeTaskDefinition"},
				Resources: []string{"*"},
				Why: "with services: auto, what a job needs follows from its newest task definition; ECS " +
					"knows no resources for this read"},
			Statement{Role: LauncherRole, Sid: "ReadSetTemplate", Actions: []string{"cloudformation:GetTemplate"},
				Resources: b.setStacks(),
				Why:       "what a set has stays as it is when something is added to it", Acts: true},
			Statement{Role: LauncherRole, Sid: "ExtendSetStack", Actions: []string{"cloudformation:UpdateStack"},
				Resources: b.setStacks(),
				Condition: b.ofEndpoints(), Acts: true,
				Why: "with services: auto, a job that needs more than the set that is up has adds an endpoint to " +
					"its stack, with the service role and no other"})
	}
	return append(out, b.runTasks()...)
}

// runTasks is what the launcher needs to run the jobs' tasks.
func (b Base) runTasks() []Statement {
	var out []Statement
	var definitions, clusters, roles []string
	for _, j := range b.Jobs {
		definitions = append(definitions, definitionARN(j.TaskDefinition))
		clusters = append(clusters, clusterARN(j.Cluster))
		roles = append(roles, j.Roles...)
	}
	if len(definitions) > 0 {
		out = append(out,
			Statement{Role: LauncherRole, Sid: "RunTasks", Actions: []string{"ecs:RunTask"},
				Resources: sorted(definitions), Acts: true,
				Condition: map[string]map[string]any{
					"ArnEquals":       {"ecs:cluster": OneOrMore(sorted(clusters))},
					"StringNotEquals": {"ecs:enable-execute-command": "true"},
				},
				Why: "the jobs' tasks, in the jobs' clusters, and nobody can open a shell in them"})
	}
	if len(roles) > 0 {
		out = append(out,
			Statement{Role: LauncherRole, Sid: "PassTaskRoles", Actions: []string{"iam:PassRole"},
				Resources: sorted(roles), Acts: true,
				Condition: equals("iam:PassedToService", "ecs-tasks.amazonaws.com"),
				Why:       "the roles that the jobs' task definitions name"})
	}
	return out
}

// vpcs are the sets' VPCs.
func (b Base) vpcs() []string {
	var out []string
	for _, s := range b.Sets {
		out = append(out, ARN("ec2", "vpc/"+s.VPC))
	}
	return sorted(out)
}

// definitionARN returns the ARN pattern of every revision of a task definition
// that is given as a family, a family and revision, or an ARN.
func definitionARN(given string) string {
	return ARN("ecs", "task-definition/"+Family(given)+":*")
}

// Family returns the family of a task definition that is given as a family, a
// family and revision, or an ARN.
func Family(given string) string {
	family, _, _ := strings.Cut(given[strings.LastIndex(given, "/")+1:], ":")
	return family
}

func clusterARN(given string) string {
	if strings.HasPrefix(given, "arn:") {
		return given
	}
	return ARN("ecs", "cluster/"+given)
}

func (b Base) reaper() []Statement {
	var clusters []string
	for _, j := range b.Jobs {
		clusters = append(clusters, clusterARN(j.Cluster))
	}
	var tasks []string
	for _, c := range sorted(clusters) {
		tasks = append(tasks, strings.Replace(c, ":cluster/", ":task/", 1)+"/*")
	}
	inClusters := map[string]map[string]any{"ArnEquals": {"ecs:cluster": OneOrMore(sorted(clusters))}}
	if len(clusters) == 0 {
		inClusters, tasks = nil, []string{ARN("ecs", "task/*")}
	}
	return []Statement{
		{Role: ReaperRole, Sid: "DeleteSetStack", Actions: []string{"cloudformation:DeleteStack"},
			Resources: b.setStacks(selftestSets...), Acts: true,
			Why: "an idle set goes at the end of its paid hour; CloudFormation uses the role that the stack was " +
				"made with"},
		{Role: ReaperRole, Sid: "SweepEndpoints", Actions: []string{"ec2:DeleteVpcEndpoints"},
			Resources: []string{ARN("ec2", "vpc-endpoint/*")}, Acts: true,
			Condition: b.ofService(equals("aws:ResourceTag/"+OwnerTag, b.Name)),
			Why: "endpoints of ours that a failed deletion left outside of any stack; EC2 knows no condition " +
				"on their VPC, which the reaper looks at itself"},
		{Role: ReaperRole, Sid: "ListTasks", Actions: []string{"ecs:ListTasks"}, Resources: []string{"*"},
			Condition: inClusters,
			Why:       "no stack is deleted under a task; ECS knows the cluster alone for this read"},
		{Role: ReaperRole, Sid: "ReadTasks", Actions: []string{"ecs:DescribeTasks"}, Resources: tasks,
			Condition: inClusters,
			Why:       "the end of a task is seen even if its event was lost"},
		{Role: ReaperRole, Sid: "StopTasks", Actions: []string{"ecs:StopTask"}, Resources: tasks, Condition: inClusters,
			Acts: true,
			Why:  "a task that runs longer than its job's maxRuntime is stopped"},
		{Role: ReaperRole, Sid: "ReadTaskDefinitions", Actions: []string{"ecs:DescribeTaskDefinition"},
			Resources: []string{"*"},
			Why:       "where a task's log lies, and what it needed; ECS knows no resources for this read"},
		{Role: ReaperRole, Sid: "ReadNetwork",
			Actions:   []string{"ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets"},
			Resources: []string{"*"},
			Why:       "why a task could not start is read off what surrounds it; these reads allow only *"},
		{Role: ReaperRole, Sid: "ReadVPCs", Actions: []string{"ec2:DescribeVpcAttribute"}, Resources: b.vpcs(),
			Why: "an endpoint answers by its service's name only if both DNS attributes of the VPC are on"},
	}
}

// serviceRole is what CloudFormation may do with endpoints: in the sets' VPCs,
// for the sets' services, with our owner tag.
//
// Source of the permissions that the resource type needs: the handlers of
// AWS::EC2::VPCEndpoint in the CloudFormation registry, and the dependent actions
// of ec2:CreateVpcEndpoint in the Service Authorization Reference.
func (b Base) serviceRole() []Statement {
	var vpcs, subnets, groups, tables []string
	for _, s := range b.Sets {
		vpcs, subnets = append(vpcs, ARN("ec2", "vpc/"+s.VPC)), append(subnets, each("subnet/", s.Subnets)...)
		groups = append(groups, each("security-group/", s.EndpointGroups)...)
		if len(s.EndpointGroups) == 0 {
			groups = append(groups, ARN("ec2", "security-group/${"+endpointGroupID(s.Name)+".GroupId}"))
		}
		if s.SetGateway {
			tables = append(tables, each("route-table/", s.RouteTables)...)
		}
	}
	ours := "aws:ResourceTag/" + OwnerTag
	services := b.serviceNames()
	out := []Statement{
		{Role: ServiceRole, Sid: "CreateEndpoints", Actions: []string{"ec2:CreateVpcEndpoint"},
			Resources: []string{ARN("ec2", "vpc-endpoint/*")}, Condition: equals("ec2:VpceServiceName", services...),
			Acts: true,
			Why: "endpoints of the sets' services; CloudFormation may give them their tags in a call of its own, " +
				"so the request need not carry them"},
		{Role: ServiceRole, Sid: "CreateEndpointsIn", Actions: []string{"ec2:CreateVpcEndpoint"},
			Resources: sorted(append(append(append(vpcs, subnets...), groups...), tables...)), Acts: true,
			Why: "only in the sets' VPCs and subnets, behind the sets' security groups"},
		{Role: ServiceRole, Sid: "TagEndpoints", Actions: []string{"ec2:CreateTags"},
			Resources: []string{ARN("ec2", "vpc-endpoint/*")}, Acts: true,
			Condition: map[string]map[string]any{"StringEqualsIfExists": {
				"aws:RequestTag/" + OwnerTag: b.Name, ours: b.Name,
			}},
			Why: "tags at birth and later: of endpoints that are ours or nobody's yet, never another owner's tag"},
		{Role: ServiceRole, Sid: "UntagEndpoints", Actions: []string{"ec2:DeleteTags"},
			Resources: []string{ARN("ec2", "vpc-endpoint/*")}, Condition: equals(ours, b.Name), Acts: true,
			Why: "CloudFormation takes a tag away that an update leaves out"},
		{Role: ServiceRole, Sid: "DeleteEndpoints", Actions: []string{"ec2:DeleteVpcEndpoints"},
			Resources: []string{ARN("ec2", "vpc-endpoint/*")}, Condition: b.ofService(equals(ours, b.Name)), Acts: true,
			Why: "endpoints of the sets' services that carry the owner tag"},
		{Role: ServiceRole, Sid: "DeleteUntagged", Actions: []string{"ec2:DeleteVpcEndpoints"},
			Resources: []string{ARN("ec2", "vpc-endpoint/*")}, Acts: true,
			Condition: b.ofService(map[string]map[string]any{"Null": {ours: "true"}}),
			Why: "a creation that is undone before its endpoint was tagged; CloudFormation deletes what its " +
				"stack holds, and nothing else"},
		{Role: ServiceRole, Sid: "ReadEndpoints",
			Actions: []string{
				"ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcEndpoints", "ec2:DescribeVpcs",
			}, Resources: []string{"*"}, Acts: true,
			Why: "CloudFormation waits until an endpoint is available, or gone, and looks up what it names; EC2 " +
				"knows no resources for reads"},
	}
	return append(out, b.privateDNS())
}

// privateDNS is the right to tie a service's own hosted zone to the sets' VPCs.
func (b Base) privateDNS() Statement {
	var zoneVPCs []string
	for _, s := range b.Sets {
		zoneVPCs = append(zoneVPCs, "VPCId="+s.VPC+",VPCRegion="+b.Region)
	}
	zoneVPCs = sorted(zoneVPCs)
	zones := map[string]map[string]any{"ForAllValues:StringEquals": {"route53:VPCs": OneOrMore(zoneVPCs)}}
	if len(zoneVPCs) > maxNamedVPCs {
		zones = map[string]map[string]any{"ForAllValues:StringLike": {"route53:VPCs": "VPCId=*,VPCRegion=" + b.Region}}
	}
	return Statement{
		Role: ServiceRole, Sid: "PrivateDNS", Actions: []string{"route53:AssociateVPCWithHostedZone"},
		Resources: []string{"arn:${AWS::Partition}:route53:::hostedzone/*"}, Acts: true, Condition: zones,
		Why: "EC2 ties the service's own hosted zone to the VPC, one of the sets', when an endpoint has private " +
			"DNS; the zone belongs to AWS and has no name in advance",
	}
}

// maxNamedVPCs is up to how many VPCs the right to tie zones to them names: more have no
// room in a policy.
const maxNamedVPCs = 100

// serviceNames are the names of the endpoint services that any set may have.
func (b Base) serviceNames() []string {
	var names []string
	for _, s := range b.Sets {
		served := s.Services
		if s.Auto {
			served = append(slices.Clone(served), endpoints.All()...)
		}
		for _, svc := range served {
			names = append(names, svc.Name(b.Region))
		}
	}
	return sorted(names)
}

// ofService adds to a condition that an endpoint is of one of the services that the sets
// may have. Where that is the whole catalogue it says so by the names' beginnings: a
// role's policies hold 10,240 characters.
func (b Base) ofService(condition map[string]map[string]any) map[string]map[string]any {
	names, operator := b.serviceNames(), "StringEquals"
	if slices.ContainsFunc(b.Sets, func(s BaseSet) bool { return s.Auto }) {
		operator = "StringLike"
		for i, n := range names {
			prefix, _, _ := strings.Cut(n, "."+b.Region+".")
			names[i] = prefix + "." + b.Region + ".*"
		}
	}
	if condition[operator] == nil {
		condition[operator] = map[string]any{}
	}
	condition[operator]["ec2:VpceServiceName"] = OneOrMore(sorted(names))
	return condition
}

func each(kind string, ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = ARN("ec2", kind+id)
	}
	return out
}

// policyOf returns the inline policy of a role, with pseudo parameters for
// CloudFormation to fill in; nil for a role that may do nothing.
func (b Base) policyOf(role Role) Object {
	var statements []any
	for _, s := range b.Permissions() {
		if s.Role != role {
			continue
		}
		st := Object{
			"Sid": s.Sid, "Effect": "Allow", "Action": slices.Sorted(slices.Values(s.Actions)),
			"Resource": subs(s.Resources),
		}
		if s.Condition != nil {
			condition := Object{}
			for op, keys := range s.Condition {
				m := Object{}
				for k, v := range keys {
					switch v := v.(type) {
					case string:
						m[k] = Sub(v)
					case []string:
						m[k] = subs(v)
					}
				}
				condition[op] = m
			}
			st["Condition"] = condition
		}
		statements = append(statements, st)
	}
	if statements == nil {
		return nil
	}
	return Object{"Version": "2012-10-17", "Statement": statements}
}

// Sub wraps a text that holds a reference in Fn::Sub.
func Sub(text string) any {
	if strings.Contains(text, "${") {
		return Object{"Fn::Sub": text}
	}
	return text
}

func subs(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = Sub(t)
	}
	return out
}
