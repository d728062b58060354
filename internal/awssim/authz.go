package awssim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// authorisation is a question that IAM answers before a call takes effect: may
// the role do the action to the resource in this context. A call may ask several.
//
// Source of actions, resources and keys: the Service Authorization Reference,
// https://docs.aws.amazon.com/service-authorization/latest/reference/
type authorisation struct {
	Role     string         `json:"role"`
	Policies []string       `json:"policies"`
	Action   string         `json:"action"`
	Resource string         `json:"resource"`
	Context  map[string]any `json:"context,omitempty"`
}

// CallsVariable is the environment variable that names a file which receives every
// question of authorisation that roles raised in the simulations of a process,
// with the roles' policies, as lines of JSON.
const CallsVariable = "DRAWBRIDGE_SANDBOX_CALLS"

// callRecorder writes each question once, whatever the ids in it.
type callRecorder struct {
	mu   sync.Mutex
	out  io.Writer
	seen map[string]bool
}

var calls = sync.OnceValue(func() *callRecorder {
	path := os.Getenv(CallsVariable)
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(fmt.Sprintf("record calls: %v", err)) // the proof would miss what is tested here
	}
	return &callRecorder{out: f, seen: map[string]bool{}}
})

var anyID = regexp.MustCompile(`[0-9a-f]{6,}(-[0-9a-f]{4,})*`)

func (r *callRecorder) write(key string, v any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	line, err := json.Marshal(v)
	if err == nil {
		_, _ = r.out.Write(append(line, '\n')) // the proof says how many it saw
	}
}

// ask records questions that a role raises. Calls of people, who have no role of
// ours, are not recorded.
func (s *Sim) ask(roleARN string, qs ...authorisation) {
	rec := calls()
	role := s.role(roleARN)
	if rec == nil || role == nil || len(role.policies) == 0 {
		return
	}
	var hashes []string
	for _, name := range sortedKeys(role.policies) {
		sum := sha256.Sum256([]byte(role.policies[name]))
		hash := hex.EncodeToString(sum[:8])
		hashes = append(hashes, hash)
		rec.write("policy "+hash, map[string]any{"policy": hash, "name": role.name, "document": json.RawMessage(role.policies[name])})
	}
	for _, q := range qs {
		q.Role, q.Policies = role.arn, hashes
		text, err := json.Marshal(q)
		if err != nil {
			continue
		}
		rec.write(anyID.ReplaceAllString(string(text), "ID"), q)
	}
}

func question(action, resource string, context ...any) authorisation {
	q := authorisation{Action: action, Resource: resource}
	for i := 0; i+1 < len(context); i += 2 {
		if q.Context == nil {
			q.Context = map[string]any{}
		}
		q.Context[fmt.Sprint(context[i])] = context[i+1]
	}
	return q
}

func passRole(role, service string) authorisation {
	return question("iam:PassRole", role, "iam:PassedToService", service)
}

// questions returns what a call asks of IAM.
func (c *call) questions() []authorisation {
	if c.service.asks == nil {
		return []authorisation{question(c.permission(), "*")}
	}
	return c.service.asks(c)
}

// permission is the action of IAM that bears the call's name.
func (c *call) permission() string { return c.service.name + ":" + c.action }

// field returns a text in the call's JSON body; empty where there is none.
func (c *call) field(name string) string {
	var text string
	_ = json.Unmarshal(c.members()[name], &text) // absent is empty
	return text
}

// members are the parts of the call's JSON body; none of a form.
func (c *call) members() map[string]json.RawMessage {
	var body map[string]json.RawMessage
	_ = json.Unmarshal(c.body, &body) // forms have no members
	return body
}

// lambdaQuestions returns what a call to Lambda asks.
func (s *Sim) lambdaQuestions(c *call) []authorisation {
	if functionName(c) == "" {
		return []authorisation{question(c.permission(), "*")}
	}
	return []authorisation{question("lambda:InvokeFunction", s.functionARN(s.nameOf(functionName(c))))}
}

// scheduleQuestions returns what a call to EventBridge Scheduler asks.
func (s *Sim) scheduleQuestions(c *call) []authorisation {
	group := c.field("GroupName")
	if group == "" { // where nothing has a body
		group = c.request.URL.Query().Get("groupName")
	}
	qs := []authorisation{question(c.permission(), s.arn("scheduler", "schedule/"+group+"/"+c.pathName()))}
	var target scheduleTarget
	if json.Unmarshal(c.members()["Target"], &target) == nil && target.RoleArn != "" {
		qs = append(qs, passRole(target.RoleArn, "scheduler.amazonaws.com"))
	}
	return qs
}

// secretQuestions returns what a call to Secrets Manager asks.
func secretQuestions(c *call) []authorisation {
	return []authorisation{question(c.permission(), c.field("SecretId"))}
}

// repositoryQuestions returns what a call to CodeCommit asks.
func (s *Sim) repositoryQuestions(c *call) []authorisation {
	return []authorisation{question(c.permission(), s.arn("codecommit", c.field("repositoryName")))}
}

// zoneQuestions returns what a call to Route 53 asks.
func zoneQuestions(c *call) []authorisation {
	return []authorisation{question(c.permission(), "*"), question("ec2:DescribeVpcs", "*")}
}

// queueQuestions returns what a call to SQS asks.
func (s *Sim) queueQuestions(c *call) []authorisation {
	url := c.field("QueueUrl")
	name := url[strings.LastIndex(url, "/")+1:]
	return append([]authorisation{question(c.permission(), s.arn("sqs", name))}, s.queueKey(name, c.action)...)
}

// stackQuestions returns what a call to CloudFormation asks.
func (s *Sim) stackQuestions(c *call) []authorisation {
	q := question(c.permission(), s.stackResource(c.form.Get("StackName")))
	q.Context = map[string]any{}
	var kinds []string
	for n := 1; c.form.Has(fmt.Sprintf("ResourceTypes.member.%d", n)); n++ {
		kinds = append(kinds, c.form.Get(fmt.Sprintf("ResourceTypes.member.%d", n)))
	}
	if kinds != nil {
		q.Context["cloudformation:ResourceTypes"] = kinds
	}
	qs := []authorisation{q}
	if role := c.form.Get("RoleARN"); role != "" {
		q.Context["cloudformation:RoleArn"] = role
		qs = append(qs, passRole(role, "cloudformation.amazonaws.com"))
	}
	return append(qs, s.stackTagQuestions(c, q.Resource)...)
}

// stackTagQuestions returns what the tags of a call to CloudFormation ask: they are
// authorised apart from the call.
//
// Source: the statements CloudFormationTagOnCreate of AWS's managed policies
// (SecretsManagerReadWrite, AWSControlTowerServiceRolePolicy).
func (s *Sim) stackTagQuestions(c *call, stack string) []authorisation {
	q := question("cloudformation:TagResource", stack, "cloudformation:CreateAction", c.action)
	var keys []string
	for n := 1; c.form.Has(fmt.Sprintf("Tags.member.%d.Key", n)); n++ {
		key := c.form.Get(fmt.Sprintf("Tags.member.%d.Key", n))
		keys = append(keys, key)
		q.Context["aws:RequestTag/"+key] = c.form.Get(fmt.Sprintf("Tags.member.%d.Value", n))
	}
	st := s.stackLive(c.form.Get("StackName"))
	if c.action == "ExecuteChangeSet" && st != nil { // the tags were given before
		if cs := find(st.changeSets, func(cs *changeSet) bool {
			return cs.id == c.form.Get("ChangeSetName") || cs.name == c.form.Get("ChangeSetName")
		}); cs != nil {
			for _, t := range cs.tags {
				keys, q.Context["aws:RequestTag/"+t.Key] = append(keys, t.Key), t.Value
			}
		}
	}
	if keys == nil {
		return nil
	}
	slices.Sort(keys)
	q.Context["aws:TagKeys"] = keys
	out := []authorisation{q}
	var gone []string
	if st != nil && c.action == "UpdateStack" {
		for _, t := range st.tags {
			if !slices.Contains(keys, t.Key) {
				gone = append(gone, t.Key)
			}
		}
	}
	if gone != nil {
		slices.Sort(gone)
		u := question("cloudformation:UntagResource", stack, "cloudformation:CreateAction", c.action)
		u.Context["aws:TagKeys"] = gone
		out = append(out, u)
	}
	return out
}

// nameOf returns the name of a function that is given by name or ARN.
func (s *Sim) nameOf(function string) string {
	return strings.TrimPrefix(function, s.arn("lambda", "function:"))
}

// tableQuestions returns what a call to DynamoDB asks: one for each item of a transaction.
func (s *Sim) tableQuestions(c *call) []authorisation {
	table := func(name string) string { return s.arn("dynamodb", "table/"+name) }
	if c.action != "TransactWriteItems" {
		resource := table(c.field("TableName"))
		if index := c.field("IndexName"); index != "" {
			resource += "/index/" + index
		}
		return append([]authorisation{question(c.permission(), resource)}, s.tableKey(c.field("TableName"))...)
	}
	var entries []map[string]struct{ TableName string }
	_ = json.Unmarshal(c.members()["TransactItems"], &entries) // checked by the operation
	var out []authorisation
	for _, e := range entries {
		for kind, x := range e {
			name := map[string]string{"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}[kind]
			out = append(append(out, question("dynamodb:"+name, table(x.TableName))), s.tableKey(x.TableName)...)
		}
	}
	return out
}

// stackResource returns the resource of a stack that is given by name or id.
func (s *Sim) stackResource(given string) string {
	if strings.HasPrefix(given, "arn:") {
		return given
	}
	if st := s.stackLive(given); st != nil {
		return st.id
	}
	return s.arn("cloudformation", "stack/"+given+"/00000000-0000-4000-a000-000000000000")
}

// ec2Questions returns what a call to EC2 asks.
func (s *Sim) ec2Questions(c *call) []authorisation {
	switch c.action {
	case "DescribeVpcAttribute":
		return []authorisation{question(c.permission(), s.arn("ec2", "vpc/"+c.form.Get("VpcId")))}
	case "DeleteVpcEndpoints":
	default:
		return []authorisation{question(c.permission(), "*")}
	}
	var out []authorisation
	for n := 1; c.form.Has(fmt.Sprintf("VpcEndpointId.%d", n)); n++ {
		if e := s.endpoint(c.form.Get(fmt.Sprintf("VpcEndpointId.%d", n))); e != nil {
			out = append(out, s.deleteEndpointQuestion(e))
		}
	}
	return out
}

func (s *Sim) deleteEndpointQuestion(e *vpcEndpoint) authorisation {
	q := question("ec2:DeleteVpcEndpoints", s.arn("ec2", "vpc-endpoint/"+e.id), "ec2:VpceServiceName", e.service)
	for _, t := range s.ec2.tags[e.id] {
		q.Context["aws:ResourceTag/"+t.Key] = t.Value
	}
	return q
}

// ecsQuestions returns what a call to ECS asks.
func (s *Sim) ecsQuestions(c *call) []authorisation {
	action, body := c.permission(), c.members()
	given := c.field("cluster")
	short := given[strings.LastIndex(given, "/")+1:]
	cluster := s.clusterARN(short)
	switch c.action {
	case "RunTask":
		d := s.definition(c.field("taskDefinition"))
		if d == nil {
			return nil
		}
		var exec bool
		_ = json.Unmarshal(body["enableExecuteCommand"], &exec) // absent is false
		qs := []authorisation{question(action, d.arn(s), "ecs:cluster", cluster, "ecs:enable-execute-command", fmt.Sprint(exec))}
		for _, key := range []string{"executionRoleArn", "taskRoleArn"} {
			if role, ok := d.raw[key].(string); ok && role != "" {
				qs = append(qs, passRole(role, "ecs-tasks.amazonaws.com"))
			}
		}
		return qs
	case "ListTasks":
		return []authorisation{question(action, s.arn("ecs", "container-instance/"+short+"/00000000000000000000000000000000"), "ecs:cluster", cluster)}
	case "DescribeTasks", "StopTask":
		var ids []string
		if json.Unmarshal(body["tasks"], &ids) != nil {
			ids = []string{c.field("task")}
		}
		var out []authorisation
		for _, id := range ids {
			if !strings.HasPrefix(id, "arn:") {
				id = s.arn("ecs", "task/"+short+"/"+id)
			}
			out = append(out, question(action, id, "ecs:cluster", cluster))
		}
		return out
	}
	return []authorisation{question(action, "*")}
}

// askForLogs records that Lambda writes a function's log with the function's role.
func (s *Sim) askForLogs(f *function, stream string) {
	resource := s.arn("logs", "log-group:/aws/lambda/"+f.name+":log-stream:"+stream)
	s.ask(f.role, question("logs:CreateLogStream", resource), question("logs:PutLogEvents", resource))
}

// queueKey is what a queue under a customer-managed key asks of it.
//
// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
func (s *Sim) queueKey(name, action string) []authorisation {
	q, err := s.queue(name)
	if err != nil || q.attributes["KmsMasterKeyId"] == "" {
		return nil
	}
	actions := map[string][]string{"SendMessage": {"kms:GenerateDataKey", "kms:Decrypt"}, "ReceiveMessage": {"kms:Decrypt"}}[action]
	return s.viaKey(q.attributes["KmsMasterKeyId"], "sqs", actions...)
}

func (s *Sim) viaKey(key, service string, actions ...string) []authorisation {
	var out []authorisation
	for _, a := range actions {
		out = append(out, question(a, key, "kms:ViaService", service+"."+s.suffix()))
	}
	return out
}

// tableKey is what a table under a customer-managed key asks of it.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
func (s *Sim) tableKey(name string) []authorisation {
	t, err := s.dynamoTable(name)
	if err != nil || t.kmsKey == "" {
		return nil
	}
	return s.viaKey(t.kmsKey, "dynamodb", "kms:Decrypt")
}

// mayPoll answers whether Lambda may read a mapping's queue with the function's
// role.
func (s *Sim) mayPoll(m *mapping) *authorisation { return s.mayRead(m.function.role, m.queue) }

func (s *Sim) mayRead(role string, q *queue) *authorisation {
	var qs []authorisation
	for _, action := range []string{"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"} {
		qs = append(append(qs, question("sqs:"+action, q.arn(s))), s.queueKey(q.name, action)...)
	}
	return s.allows(role, qs...)
}

// endpointReads are what CloudFormation looks up for an endpoint.
//
// Source: the handlers of AWS::EC2::VPCEndpoint in the CloudFormation registry.
func endpointReads() []authorisation {
	var qs []authorisation
	for _, action := range []string{"DescribeVpcEndpoints", "DescribeSubnets", "DescribeSecurityGroups", "DescribeVpcs"} {
		qs = append(qs, question("ec2:"+action, "*"))
	}
	return qs
}

// createEndpointQuestions returns what the creation of an endpoint asks, with the
// tags that the request carries.
//
// Source: the dependent actions of ec2:CreateVpcEndpoint in the Service
// Authorization Reference.
func (s *Sim) createEndpointQuestions(in endpointSpec) []authorisation {
	born := question("ec2:CreateVpcEndpoint", s.arn("ec2", "vpc-endpoint/vpce-00000000000000000"), "ec2:VpceServiceName", in.service)
	endpoint := born.Resource
	keys := requestTags(born.Context, in.tags)
	qs := append(endpointReads(), born, question("ec2:CreateVpcEndpoint", s.arn("ec2", "vpc/"+in.vpc), "ec2:VpcID", in.vpc))
	if len(keys) > 0 {
		tagged := question("ec2:CreateTags", endpoint, "ec2:CreateAction", "CreateVpcEndpoint")
		requestTags(tagged.Context, in.tags)
		qs = append(qs, tagged)
	}
	for kind, ids := range map[string][]string{"subnet/": in.subnets, "security-group/": in.groups, "route-table/": in.tables} {
		for _, id := range ids {
			qs = append(qs, question("ec2:CreateVpcEndpoint", s.arn("ec2", kind+id), "ec2:Vpc", s.arn("ec2", "vpc/"+in.vpc)))
		}
	}
	if in.privateDNS != nil && *in.privateDNS {
		qs = append(qs, question("route53:AssociateVPCWithHostedZone", s.partition()+"route53:::hostedzone/Z0"+strings.ToUpper(s.digest(in.service, 12)), "route53:VPCs", "VPCId="+in.vpc+",VPCRegion="+s.options.Region))
	}
	return qs
}

// requestTags adds the tags of a request to a question's context, without
// CloudFormation's own, and returns their keys.
func requestTags(context map[string]any, tags []tag) []string {
	var keys []string
	for _, t := range tags {
		if !strings.HasPrefix(t.Key, "aws:") {
			keys = append(keys, t.Key)
			context["aws:RequestTag/"+t.Key] = t.Value
		}
	}
	slices.Sort(keys)
	if keys != nil {
		context["aws:TagKeys"] = keys
	}
	return keys
}

// tagEndpointQuestion asks to give an endpoint that is there more tags, or, by
// action DeleteTags, to take some away.
func (s *Sim) tagEndpointQuestion(action string, e *vpcEndpoint, tags []tag) authorisation {
	q := question("ec2:"+action, s.arn("ec2", "vpc-endpoint/"+e.id))
	q.Context = map[string]any{}
	requestTags(q.Context, tags)
	for _, t := range s.ec2.tags[e.id] {
		q.Context["aws:ResourceTag/"+t.Key] = t.Value
	}
	return q
}
