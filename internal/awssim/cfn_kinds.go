package awssim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/eventpattern"
)

// kinds are the types of resource that the sandbox simulates. createOnly are the
// properties whose change replaces the resource.
//
// Source of createOnly: the resource types' schemas in the CloudFormation registry.
var kinds map[string]resourceKind

func init() { // a variable's initialiser would refer to itself: creations look up kinds
	kinds = map[string]resourceKind{
		"AWS::EC2::VPCEndpoint":                 {create: createEndpointResource, remove: removeEndpointResource, update: updateEndpointResource, createOnly: []string{"ServiceName", "VpcEndpointType", "VpcId"}},
		"AWS::EC2::VPC":                         {create: createVPCResource, remove: removeVPCResource, update: updateVPCResource, createOnly: []string{"CidrBlock"}},
		"AWS::EC2::Subnet":                      {create: createSubnetResource, remove: removeSubnetResource, update: retagResource, createOnly: []string{"VpcId", "CidrBlock", "AvailabilityZone"}},
		"AWS::EC2::RouteTable":                  {create: createRouteTableResource, remove: removeRouteTableResource, update: retagResource, createOnly: []string{"VpcId"}},
		"AWS::EC2::Route":                       {create: createRouteResource, remove: removeRouteResource, createOnly: []string{"RouteTableId", "DestinationCidrBlock"}},
		"AWS::EC2::SecurityGroup":               {create: createGroupResource, remove: removeGroupResource, update: updateGroupResource, createOnly: []string{"GroupDescription", "GroupName", "VpcId"}},
		"AWS::EC2::SecurityGroupIngress":        {create: createIngressResource, remove: removeRuleOfGroup, createOnly: []string{"GroupId", "IpProtocol", "FromPort", "ToPort", "CidrIp", "SourceSecurityGroupId"}},
		"AWS::EC2::SecurityGroupEgress":         {create: createEgressResource, remove: removeRuleOfGroup, createOnly: []string{"GroupId", "IpProtocol", "FromPort", "ToPort", "CidrIp", "DestinationSecurityGroupId"}},
		"AWS::IAM::Role":                        {create: createRoleResource, remove: removeRoleResource, update: updateRoleResource, createOnly: []string{"RoleName", "Path"}},
		"AWS::Logs::LogGroup":                   {create: createLogGroupResource, remove: removeLogGroupResource, createOnly: []string{"LogGroupName"}},
		"AWS::SQS::Queue":                       {create: createQueueResource, remove: removeQueueResource, update: updateQueueResource, createOnly: []string{"QueueName", "FifoQueue"}},
		"AWS::SQS::QueuePolicy":                 {create: createPlainResource, remove: removeNothing},
		"AWS::ECS::Cluster":                     {create: createClusterResource, remove: removeClusterResource, createOnly: []string{"ClusterName"}},
		"AWS::DynamoDB::Table":                  {create: createTableResource, remove: removeTableResource, createOnly: []string{"TableName", "KeySchema", "LocalSecondaryIndexes"}},
		"AWS::Lambda::Function":                 {create: createFunctionResource, remove: removeFunctionResource, update: updateFunctionResource, createOnly: []string{"FunctionName", "PackageType"}},
		"AWS::Lambda::Permission":               {create: createPlainResource, remove: removeNothing, createOnly: []string{"FunctionName", "Action", "Principal", "SourceArn", "SourceAccount"}},
		"AWS::Lambda::EventSourceMapping":       {create: createMappingResource, remove: removeMappingResource, update: updateMappingResource, createOnly: []string{"EventSourceArn"}},
		"AWS::Lambda::EventInvokeConfig":        {create: createInvokeConfigResource, remove: removeNothing, update: updateInvokeConfigResource, createOnly: []string{"FunctionName", "Qualifier"}},
		"AWS::Events::Rule":                     {create: createRuleResource, remove: removeRuleResource, update: updateRuleResource, createOnly: []string{"Name"}},
		"AWS::Scheduler::ScheduleGroup":         {create: createScheduleGroupResource, remove: removeScheduleGroupResource, createOnly: []string{"Name"}},
		"AWS::CloudWatch::Alarm":                {create: createAlarmResource, remove: removeAlarmResource, update: updateAlarmResource, createOnly: []string{"AlarmName"}},
		"AWS::IAM::Policy":                      {create: createInlinePolicy, remove: removeInlinePolicy, update: updateInlinePolicy, createOnly: []string{"PolicyName", "Roles"}},
		"AWS::IAM::ManagedPolicy":               {create: createManagedPolicy, remove: removeManagedPolicy, update: updateManagedPolicy, createOnly: []string{"Description", "ManagedPolicyName"}},
		"AWS::S3::Bucket":                       {create: createBucketResource, remove: removeBucketResource, createOnly: []string{"BucketName"}},
		"AWS::S3::BucketPolicy":                 {create: createPlainResource, remove: removeNothing, createOnly: []string{"Bucket"}},
		"AWS::ECR::Repository":                  {create: createImagesResource, remove: removeImagesResource, update: updateImagesResource, createOnly: []string{"RepositoryName"}},
		"AWS::ECS::TaskDefinition":              {create: createDefinitionResource, remove: removeDefinitionResource, createOnly: []string{"Family", "Cpu", "Memory", "NetworkMode", "RequiresCompatibilities", "TaskRoleArn", "ExecutionRoleArn", "RuntimePlatform", "ContainerDefinitions", "EphemeralStorage"}},
		"AWS::Lambda::Url":                      {create: createURLResource, remove: removeNothing, createOnly: []string{"TargetFunctionArn"}},
		"AWS::SecretsManager::Secret":           {create: createSecretResource, remove: removeSecretResource, createOnly: []string{"Name"}},
		"AWS::Scheduler::Schedule":              {create: createScheduleResource, remove: removeScheduleResource, createOnly: []string{"Name", "GroupName"}},
		"AWS::EC2::SubnetRouteTableAssociation": {create: createAssociationResource, remove: removeAssociationResource, createOnly: []string{"RouteTableId", "SubnetId"}},
		"AWS::CloudWatch::Dashboard":            {create: createPlainResource, remove: removeNothing, createOnly: []string{"DashboardName"}},
	}
}

// kindOf returns how resources of a type are made, and false for a type that the
// sandbox does not simulate.
func kindOf(name string) (resourceKind, bool) {
	k, ok := kinds[name]
	return k, ok
}

// isKind reports whether the sandbox simulates a type of resource.
func isKind(name string) bool {
	_, ok := kinds[name]
	return ok
}

// soon ends a resource's change after the time that small changes take.
func (s *Sim) soon(finish func(error)) { s.clock.after(stepTakes, func() { finish(nil) }) }

// createPlainResource makes a resource that has no effect in the sandbox: dashboards,
// policies of queues, permissions of functions.
func createPlainResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	r.physical = text(r.properties, "DashboardName")
	if r.physical == "" {
		r.physical = st.name + "-" + r.logical + "-" + s.digest(st.id+r.logical, 12)
	}
	s.soon(finish)
	return nil
}

func createEgressResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	g := s.group(text(r.properties, "GroupId"))
	if g == nil {
		return errf("InvalidGroup.NotFound", "The security group '%s' does not exist", text(r.properties, "GroupId"))
	}
	ps, err := s.rules(&resource{properties: map[string]any{"one": []any{r.properties}}}, "one", "DestinationSecurityGroupId")
	if err != nil {
		return err
	}
	r.physical = "sgr-" + s.id("sgr", 17)
	ps[0].id = r.physical
	g.egress = append(g.egress, ps...)
	s.soon(finish)
	return nil
}

// removeRuleOfGroup removes a rule of a security group that is a resource of its
// own.
func removeRuleOfGroup(s *Sim, r *resource, finish func(error)) {
	if g := s.group(text(r.properties, "GroupId")); g != nil {
		mine := func(p permission) bool { return p.id == r.physical }
		g.ingress, g.egress = slices.DeleteFunc(g.ingress, mine), slices.DeleteFunc(g.egress, mine)
	}
	s.soon(finish)
}

func updateEndpointResource(s *Sim, st *stack, r *resource) error {
	e := s.endpoint(r.physical)
	if e == nil {
		return errf("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", r.physical)
	}
	e.subnets, e.groups, e.tables = list(r.properties, "SubnetIds"), list(r.properties, "SecurityGroupIds"), list(r.properties, "RouteTableIds")
	s.ec2.changed()
	return s.retagEndpoint(st, r, e)
}

func updateGroupResource(s *Sim, st *stack, r *resource) error {
	g := s.group(r.physical)
	if g == nil {
		return errf("InvalidGroup.NotFound", "The security group '%s' does not exist", r.physical)
	}
	in, err := s.rules(r, "SecurityGroupIngress", "SourceSecurityGroupId")
	if err != nil {
		return err
	}
	g.ingress = in
	s.ec2.tags[g.id] = stackTags(st, r)
	s.ec2.changed()
	return nil
}

func createTableResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	in := map[string]any{}
	for k, v := range r.properties {
		switch k {
		case "TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification", "Tags":
		default:
			in[k] = v
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if _, err := op(s.createTable)(s.callTo("dynamodb", "CreateTable", body)); err != nil {
		return err
	}
	r.physical = text(r.properties, "TableName")
	r.attributes["Arn"] = s.arn("dynamodb", "table/"+r.physical)
	if t, err := s.dynamoTable(r.physical); err == nil {
		if ttl, ok := r.properties["TimeToLiveSpecification"].(map[string]any); ok {
			t.ttl = text(ttl, "AttributeName")
		}
		if sse, ok := r.properties["SSESpecification"].(map[string]any); ok {
			t.kmsKey = text(sse, "KMSMasterKeyId")
		}
	}
	s.clock.after(10*time.Second, func() { finish(nil) })
	return nil
}

func removeTableResource(s *Sim, r *resource, finish func(error)) {
	s.dynamo.tables = slices.DeleteFunc(s.dynamo.tables, func(t *dynamoTable) bool { return t.name == r.physical })
	s.soon(finish)
}

func updateQueueResource(s *Sim, _ *stack, r *resource) error {
	q := find(s.sqs.queues, func(q *queue) bool { return q.url(s) == r.physical })
	if q == nil {
		return errf("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
	}
	attributes, err := queueProperties(r)
	if err != nil {
		return err
	}
	for k, v := range attributes {
		q.attributes[k] = v
	}
	return nil
}

func removeClusterResource(s *Sim, r *resource, finish func(error)) {
	s.ecs.clusters = slices.DeleteFunc(s.ecs.clusters, func(c string) bool { return c == r.physical })
	s.soon(finish)
}

func createScheduleGroupResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "Name")
	if slices.Contains(s.timers.groups, name) {
		return errf("ConflictException", "Schedule group %s already exists.", name)
	}
	s.timers.groups = append(s.timers.groups, name)
	r.physical = name
	r.attributes["Arn"] = s.groupARN(name)
	s.soon(finish)
	return nil
}

func removeScheduleGroupResource(s *Sim, r *resource, finish func(error)) {
	s.removeScheduleGroup(r.physical)
	s.soon(finish)
}

// ruleOf reads a rule from its properties.
func ruleOf(r *resource) (*rule, error) {
	out := &rule{name: text(r.properties, "Name"), schedule: text(r.properties, "ScheduleExpression"), description: text(r.properties, "Description"), state: text(r.properties, "State")}
	if out.state == "" {
		out.state = "ENABLED"
	}
	if p, ok := r.properties["EventPattern"]; ok {
		body, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		out.pattern = string(body)
		if out.compiled, err = eventpattern.Compile(body); err != nil {
			return nil, errf("InvalidEventPatternException", "Event pattern is not valid. Reason: %v", err)
		}
	}
	if out.schedule != "" {
		if err := ruleSchedule(out.schedule); err != nil {
			return nil, err
		}
	}
	for _, t := range objects(r.properties, "Targets") {
		out.targets = append(out.targets, ruleTarget{ID: text(t, "Id"), Arn: text(t, "Arn"), Input: text(t, "Input")})
	}
	return out, nil
}

func createRuleResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	x, err := ruleOf(r)
	if err != nil {
		return err
	}
	if x.name == "" {
		x.name = st.name + "-" + r.logical + "-" + strings.ToUpper(s.digest(st.id+r.logical, 12))
	}
	if s.rule(x.name) != nil {
		return reasonf("%s already exists in stack or account", x.name)
	}
	s.events.rules = append(s.events.rules, x)
	s.planRule(x)
	r.physical = x.name
	r.attributes["Arn"] = s.ruleARN(x.name)
	s.soon(finish)
	return nil
}

func updateRuleResource(s *Sim, _ *stack, r *resource) error {
	x, err := ruleOf(r)
	if err != nil {
		return err
	}
	old := s.rule(r.physical)
	if old == nil {
		return errf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", r.physical)
	}
	s.clock.cancel(old.next)
	*old = *x
	s.planRule(old)
	return nil
}

func removeRuleResource(s *Sim, r *resource, finish func(error)) {
	if x := s.rule(r.physical); x != nil {
		s.clock.cancel(x.next)
		s.events.rules = slices.DeleteFunc(s.events.rules, func(y *rule) bool { return y == x })
	}
	s.soon(finish)
}

// NoBucket is the bucket of a function whose code StandIn gave.
const NoBucket = "none"

// applyFunction gives a function what its resource says.
func (s *Sim) applyFunction(f *function, r *resource) error {
	s.retire(f)
	f.role, f.memory = text(r.properties, "Role"), 128
	if _, given := r.properties["MemorySize"]; given {
		if _, err := fmt.Sscan(text(r.properties, "MemorySize"), &f.memory); err != nil || f.memory < 128 || f.memory > 10240 {
			return reasonf("Value %s at 'memorySize' failed to satisfy constraint: Member must have value between 128 and 10240", text(r.properties, "MemorySize"))
		}
	}
	before := f.reserved
	if f.reserved = 0; r.properties["ReservedConcurrentExecutions"] != nil {
		if _, err := fmt.Sscan(text(r.properties, "ReservedConcurrentExecutions"), &f.reserved); err != nil {
			return reasonf("ReservedConcurrentExecutions %v is not a number", r.properties["ReservedConcurrentExecutions"])
		}
	}
	if least := min(keptUnreserved, s.concurrency()); f.reserved > 0 && s.unreserved()+before-f.reserved < least {
		f.reserved = before
		return errf("InvalidParameterValueException", "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", least)
	}
	f.timeout = 3 * time.Second
	var seconds int
	if _, err := fmt.Sscan(text(r.properties, "Timeout"), &seconds); err == nil {
		f.timeout = time.Duration(seconds) * time.Second
	}
	f.architectures = list(r.properties, "Architectures")
	f.environment = map[string]string{}
	env, _ := r.properties["Environment"].(map[string]any)
	variables, _ := env["Variables"].(map[string]any)
	for k, v := range variables {
		f.environment[k] = fmt.Sprint(v)
	}
	if err := checkEnvironment(f.environment); err != nil {
		return err
	}
	f.loops = text(r.properties, "RecursiveLoop") == "Allow"
	code, _ := r.properties["Code"].(map[string]any)
	bucket, key := text(code, "S3Bucket"), text(code, "S3Key")
	if local, ok := s.lambda.local[f.name]; ok && bucket == NoBucket { // installed with the sandbox, until a deployment replaces it
		f.handler, f.bootstrap, f.directory = local.Handler, local.Bootstrap, ""
		for k, v := range local.Environment {
			f.environment[k] = v
		}
		return nil
	}
	if !s.roleServes(f.role, "lambda.amazonaws.com") {
		return errf("InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
	}
	b, ok := s.s3.buckets[bucket]
	if !ok {
		return errf("InvalidParameterValueException", "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist")
	}
	o, ok := b.objects[key]
	if !ok {
		return errf("InvalidParameterValueException", "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.")
	}
	return s.load(f, o.bytes())
}

func createFunctionResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "FunctionName")
	if name == "" {
		name = st.name + "-" + r.logical + "-" + s.digest(st.id+r.logical, 12)
	}
	if s.function(name) != nil {
		return errf("ResourceConflictException", "Function already exist: %s", name)
	}
	f := &function{name: name, created: s.clock.time()}
	if err := s.applyFunction(f, r); err != nil {
		return err
	}
	s.lambda.functions = append(s.lambda.functions, f)
	r.physical = name
	r.attributes["Arn"] = s.functionARN(name)
	s.clock.after(5*time.Second, func() { finish(nil) })
	return nil
}

func updateFunctionResource(s *Sim, _ *stack, r *resource) error {
	f := s.function(r.physical)
	if f == nil {
		return notFound("Function not found: %s", s.functionARN(r.physical))
	}
	return s.applyFunction(f, r)
}

func removeFunctionResource(s *Sim, r *resource, finish func(error)) {
	if f := s.function(r.physical); f != nil {
		s.lambda.functions = slices.DeleteFunc(s.lambda.functions, func(x *function) bool { return x == f })
		s.closeFunction(f)
	}
	s.soon(finish)
}

func mappingNumbers(r *resource) (batch, concurrency int) {
	batch, concurrency = 10, 1000
	_, _ = fmt.Sscan(text(r.properties, "BatchSize"), &batch) // absent for the usual
	if scaling, ok := r.properties["ScalingConfig"].(map[string]any); ok {
		_, _ = fmt.Sscan(text(scaling, "MaximumConcurrency"), &concurrency)
	}
	return batch, concurrency
}

func createMappingResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	q := find(s.sqs.queues, func(q *queue) bool { return q.arn(s) == text(r.properties, "EventSourceArn") })
	f := s.function(text(r.properties, "FunctionName"))
	if q == nil || f == nil {
		return errf("InvalidParameterValueException", "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not exist.")
	}
	if denied := s.mayRead(f.role, q); denied != nil {
		return deniedByRole(denied, "The provided execution role does not have permissions to call %s on SQS")
	}
	batch, concurrency := mappingNumbers(r)
	m := s.addMapping(q, f, batch, concurrency)
	r.physical = m.id
	r.attributes["Id"] = m.id
	s.soon(finish)
	return nil
}

func updateMappingResource(s *Sim, _ *stack, r *resource) error {
	if m := find(s.lambda.mappings, func(m *mapping) bool { return m.id == r.physical }); m != nil {
		m.batch, m.concurrency = mappingNumbers(r)
	}
	return nil
}

func removeMappingResource(s *Sim, r *resource, finish func(error)) {
	if m := find(s.lambda.mappings, func(m *mapping) bool { return m.id == r.physical }); m != nil {
		m.queue.readers = slices.DeleteFunc(m.queue.readers, func(x *Reader) bool { return x == m.reader })
		s.lambda.mappings = slices.DeleteFunc(s.lambda.mappings, func(x *mapping) bool { return x == m })
	}
	s.soon(finish)
}

func createInvokeConfigResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	r.physical = text(r.properties, "FunctionName") + "|" + text(r.properties, "Qualifier")
	if err := updateInvokeConfigResource(s, st, r); err != nil {
		return err
	}
	s.soon(finish)
	return nil
}

func updateInvokeConfigResource(s *Sim, _ *stack, r *resource) error {
	f := s.function(text(r.properties, "FunctionName"))
	if f == nil {
		return notFound("Function not found: %s", s.functionARN(text(r.properties, "FunctionName")))
	}
	destinations, _ := r.properties["DestinationConfig"].(map[string]any)
	failure, _ := destinations["OnFailure"].(map[string]any)
	if arn := text(failure, "Destination"); strings.Contains(arn, ":sqs:") {
		if denied := s.allows(f.role, question("sqs:SendMessage", arn)); denied != nil {
			return deniedByRole(denied, "The function's execution role does not have permissions to call %s on arn:aws:sqs")
		}
	}
	f.onFailure = text(failure, "Destination")
	return nil
}

// createSecretResource makes a secret, with a text that is given or made up.
func createSecretResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "Name")
	if name == "" {
		name = r.logical + "-" + s.digest(st.id+r.logical, 12)
	}
	if _, ok := s.secret.secrets[name]; ok {
		return errf("ResourceExistsException", "The operation failed because the secret %s already exists.", name)
	}
	value := text(r.properties, "SecretString")
	if _, made := r.properties["GenerateSecretString"]; made {
		value = s.digest("secret string "+name, 32)
	}
	s.secret.secrets[name] = secretValue{value, s.clock.time(), text(r.properties, "KmsKeyId")}
	r.physical = s.secretARN(name)
	r.attributes["Id"] = r.physical
	s.soon(finish)
	return nil
}

func removeSecretResource(s *Sim, r *resource, finish func(error)) {
	for name := range s.secret.secrets {
		if s.secretARN(name) == r.physical {
			delete(s.secret.secrets, name)
		}
	}
	s.soon(finish)
}

// createScheduleResource makes a schedule of EventBridge Scheduler.
func createScheduleResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "Name")
	if name == "" {
		name = st.name + "-" + r.logical + "-" + s.digest(st.id+r.logical, 12)
	}
	body, err := json.Marshal(r.properties)
	if err != nil {
		return err
	}
	var in scheduleInput
	if err := json.Unmarshal(body, &in); err != nil {
		return reasonf("Properties validation failed for resource %s with message:\n%v", r.logical, err)
	}
	x, err := s.newSchedule(name, &in)
	if err != nil {
		return err
	}
	if s.schedule(x.group, x.name) != nil {
		return errf("ConflictException", "Schedule %s already exists.", x.name)
	}
	s.timers.schedules = append(s.timers.schedules, x)
	s.planSchedule(x)
	r.physical = name
	r.attributes["Arn"] = s.scheduleARN(x)
	s.soon(finish)
	return nil
}

func removeScheduleResource(s *Sim, r *resource, finish func(error)) {
	group := text(r.properties, "GroupName")
	if group == "" {
		group = "default"
	}
	s.forgetSchedule(group, r.physical)
	s.soon(finish)
}
