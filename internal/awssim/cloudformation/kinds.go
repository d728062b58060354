package cloudformation

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/dynamodb"
	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/eventbridge"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/lambda"
	"drawbridge/internal/awssim/scheduler"
	"drawbridge/internal/awssim/secretsmanager"
	"drawbridge/internal/awssim/sqs"
	"drawbridge/internal/eventpattern"
)

// kinds are the types of resource that the sandbox simulates. createOnly are the
// properties whose change replaces the resource.
//
// Source of createOnly: the resource types' schemas in the CloudFormation registry.
var kinds map[string]resourceKind

func init() { // a variable's initialiser would refer to itself: creations look up kinds
	kinds = map[string]resourceKind{}
	for _, some := range []map[string]resourceKind{
		networkKinds(), computeKinds(), storeKinds(), controlKinds(), balancerKinds(), releaseKinds(),
		instanceKinds(),
	} {
		maps.Copy(kinds, some)
	}
}

// networkKinds are the types of EC2.
func networkKinds() map[string]resourceKind {
	return map[string]resourceKind{
		"AWS::EC2::VPCEndpoint": {
			Create: createEndpointResource, remove: removeEndpointResource, update: updateEndpointResource,
			createOnly: []string{"ServiceName", "VpcEndpointType", "VpcId"},
		},
		"AWS::EC2::VPC": {
			Create: createVPCResource, remove: removeVPCResource, update: updateVPCResource,
			createOnly: []string{"CidrBlock"},
		},
		"AWS::EC2::Subnet": {
			Create: createSubnetResource, remove: removeSubnetResource, update: retagResource,
			createOnly: []string{"VpcId", "CidrBlock", "AvailabilityZone"},
		},
		"AWS::EC2::RouteTable": {
			Create: createRouteTableResource, remove: removeRouteTableResource, update: retagResource,
			createOnly: []string{"VpcId"},
		},
		"AWS::EC2::Route": {
			Create: createRouteResource, remove: removeRouteResource,
			createOnly: []string{"RouteTableId", "DestinationCidrBlock"},
		},
		"AWS::EC2::SecurityGroup": {
			Create: createGroupResource, remove: removeGroupResource, update: updateGroupResource,
			createOnly: []string{"GroupDescription", "GroupName", "VpcId"},
		},
		"AWS::EC2::SecurityGroupIngress": {
			Create: createIngressResource, remove: removeRuleOfGroup,
			createOnly: []string{"GroupId", "IpProtocol", "FromPort", "ToPort", "CidrIp", "SourceSecurityGroupId"},
		},
		"AWS::EC2::SecurityGroupEgress": {
			Create: createEgressResource, remove: removeRuleOfGroup,
			createOnly: []string{"GroupId", "IpProtocol", "FromPort", "ToPort", "CidrIp", "DestinationSecurityGroupId"},
		},
		"AWS::EC2::SubnetRouteTableAssociation": {
			Create: createAssociationResource, remove: removeAssociationResource,
			createOnly: []string{"RouteTableId", "SubnetId"},
		},
	}
}

// computeKinds are the types of Lambda, ECS and ECR.
func computeKinds() map[string]resourceKind {
	return map[string]resourceKind{
		"AWS::ECS::Cluster": {
			Create: createClusterResource, remove: removeClusterResource, createOnly: []string{"ClusterName"},
		},
		"AWS::Lambda::Function": {
			Create: createFunctionResource, remove: removeFunctionResource, update: updateFunctionResource,
			createOnly: []string{"FunctionName", "PackageType"},
		},
		"AWS::Lambda::Permission": {
			Create: createPlainResource, remove: removeNothing,
			createOnly: []string{"FunctionName", "Action", "Principal", "SourceArn", "SourceAccount"},
		},
		"AWS::Lambda::EventSourceMapping": {
			Create: createMappingResource, remove: removeMappingResource, update: updateMappingResource,
			createOnly: []string{"EventSourceArn"},
		},
		"AWS::Lambda::EventInvokeConfig": {
			Create: createInvokeConfigResource, remove: removeNothing, update: updateInvokeConfigResource,
			createOnly: []string{"FunctionName", "Qualifier"},
		},
		"AWS::ECR::Repository": {
			Create: createImagesResource, remove: removeImagesResource, update: updateImagesResource,
			createOnly: []string{"RepositoryName"},
		},
		"AWS::ECS::TaskDefinition": {
			Create: createDefinitionResource, remove: removeDefinitionResource,
			createOnly: []string{
				"Family", "Cpu", "Memory", "NetworkMode", "RequiresCompatibilities", "TaskRoleArn", "ExecutionRoleArn",
				"RuntimePlatform", "ContainerDefinitions", "EphemeralStorage",
			},
		},
		"AWS::Lambda::Url": {
			Create: createURLResource, remove: removeNothing, createOnly: []string{"TargetFunctionArn"},
		},
	}
}

// storeKinds are the types that keep data: of DynamoDB, S3, SQS, Logs and Secrets Manager.
func storeKinds() map[string]resourceKind {
	return map[string]resourceKind{
		"AWS::Logs::LogGroup": {
			Create: createLogGroupResource, remove: removeLogGroupResource, createOnly: []string{"LogGroupName"},
		},
		"AWS::SQS::Queue": {
			Create: createQueueResource, remove: removeQueueResource, update: updateQueueResource,
			createOnly: []string{"QueueName", "FifoQueue"},
		},
		"AWS::SQS::QueuePolicy": {Create: createPlainResource, remove: removeNothing},
		"AWS::DynamoDB::Table": {
			Create: createTableResource, remove: removeTableResource,
			createOnly: []string{"TableName", "KeySchema", "LocalSecondaryIndexes"},
		},
		"AWS::S3::Bucket": {
			Create: createBucketResource, remove: removeBucketResource, createOnly: []string{"BucketName"},
		},
		"AWS::S3::BucketPolicy": {
			Create: createPlainResource, remove: removeNothing, createOnly: []string{"Bucket"},
		},
		"AWS::SecretsManager::Secret": {
			Create: createSecretResource, remove: removeSecretResource, createOnly: []string{"Name"},
		},
	}
}

// controlKinds are the types of IAM, EventBridge and CloudWatch.
func controlKinds() map[string]resourceKind {
	return map[string]resourceKind{
		"AWS::IAM::Role": {
			Create: createRoleResource, remove: removeRoleResource, update: updateRoleResource,
			createOnly: []string{"RoleName", "Path"},
		},
		"AWS::Events::Rule": {
			Create: createRuleResource, remove: removeRuleResource, update: updateRuleResource,
			createOnly: []string{"Name"},
		},
		"AWS::Scheduler::ScheduleGroup": {
			Create: createScheduleGroupResource, remove: removeScheduleGroupResource, createOnly: []string{"Name"},
		},
		"AWS::ApplicationAutoScaling::ScalableTarget": {
			Create: createPlainResource, remove: removeNothing, createOnly: []string{"ResourceId"},
		},
		"AWS::ApplicationAutoScaling::ScalingPolicy": {
			Create: createPlainResource, remove: removeNothing, createOnly: []string{"PolicyName"},
		},
		"AWS::CloudWatch::Alarm": {
			Create: createAlarmResource, remove: removeAlarmResource, update: updateAlarmResource,
			createOnly: []string{"AlarmName"},
		},
		"AWS::IAM::Policy": {
			Create: createInlinePolicy, remove: removeInlinePolicy, update: updateInlinePolicy,
			createOnly: []string{"PolicyName", "Roles"},
		},
		"AWS::IAM::ManagedPolicy": {
			Create: createManagedPolicy, remove: removeManagedPolicy, update: updateManagedPolicy,
			createOnly: []string{"Description", "ManagedPolicyName"},
		},
		"AWS::Scheduler::Schedule": {
			Create: createScheduleResource, remove: removeScheduleResource, createOnly: []string{"Name", "GroupName"},
		},
		"AWS::CloudWatch::Dashboard": {
			Create: createPlainResource, remove: removeNothing, createOnly: []string{"DashboardName"},
		},
	}
}

// kindOf returns the kind of a resource type, and false for a type that the
// sandbox does not simulate.
func kindOf(name string) (resourceKind, bool) {
	k, ok := kinds[name]
	return k, ok
}

// IsKind reports whether the sandbox simulates a type of resource.
func IsKind(name string) bool {
	_, ok := kinds[name]
	return ok
}

// soon completes a resource's change after the usual time of small changes.
func (s *Service) soon(finish func(error)) { s.Clock.After(stepTakes, func() { finish(nil) }) }

// createPlainResource creates a resource that has no effect in the sandbox:
// dashboards, policies of queues, permissions of functions.
func createPlainResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	r.Physical = kernel.Text(r.Properties, "DashboardName")
	if r.Physical == "" {
		r.Physical = st.Name + "-" + r.Logical + "-" + s.Digest(st.ID+r.Logical, 12)
	}
	s.soon(finish)
	return nil
}

func createEgressResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	g := s.EC2.Group(kernel.Text(r.Properties, "GroupId"))
	if g == nil {
		return kernel.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist",
			kernel.Text(r.Properties, "GroupId"))
	}
	ps, err := s.rules(&Resource{Properties: map[string]any{"one": []any{r.Properties}}}, "one",
		"DestinationSecurityGroupId")
	if err != nil {
		return err
	}
	r.Physical = "sgr-" + s.NewID("sgr", 17)
	ps[0].ID = r.Physical
	g.Egress = append(g.Egress, ps...)
	s.soon(finish)
	return nil
}

// removeRuleOfGroup removes a rule of a security group that is a resource of its
// own.
func removeRuleOfGroup(s *Service, r *Resource, finish func(error)) {
	if g := s.EC2.Group(kernel.Text(r.Properties, "GroupId")); g != nil {
		mine := func(p ec2.Permission) bool { return p.ID == r.Physical }
		g.Ingress, g.Egress = slices.DeleteFunc(g.Ingress, mine), slices.DeleteFunc(g.Egress, mine)
	}
	s.soon(finish)
}

func updateEndpointResource(s *Service, st *Stack, r *Resource) error {
	e := s.EC2.Endpoint(r.Physical)
	if e == nil {
		return kernel.Errorf("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", r.Physical)
	}
	e.Subnets = kernel.Texts(r.Properties, "SubnetIds")
	e.Groups = kernel.Texts(r.Properties, "SecurityGroupIds")
	e.Tables = kernel.Texts(r.Properties, "RouteTableIds")
	s.EC2.Changed()
	return s.retagEndpoint(st, r, e)
}

func updateGroupResource(s *Service, st *Stack, r *Resource) error {
	g := s.EC2.Group(r.Physical)
	if g == nil {
		return kernel.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", r.Physical)
	}
	in, err := s.rules(r, "SecurityGroupIngress", "SourceSecurityGroupId")
	if err != nil {
		return err
	}
	g.Ingress = in
	s.EC2.Tags[g.ID] = StackTags(st, r)
	s.EC2.Changed()
	return nil
}

func createTableResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	in := map[string]any{}
	for k, v := range r.Properties {
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
	if _, err := kernel.Op(s.DynamoDB.CreateTable)(s.CallTo("dynamodb", "CreateTable", body)); err != nil {
		return err
	}
	r.Physical = kernel.Text(r.Properties, "TableName")
	r.Attributes["Arn"] = s.ARN("dynamodb", "table/"+r.Physical)
	if t, err := s.DynamoDB.Table(r.Physical); err == nil {
		if ttl, ok := r.Properties["TimeToLiveSpecification"].(map[string]any); ok {
			t.Ttl = kernel.Text(ttl, "AttributeName")
		}
		if sse, ok := r.Properties["SSESpecification"].(map[string]any); ok {
			t.KMSKey = kernel.Text(sse, "KMSMasterKeyId")
		}
	}
	s.Clock.After(10*time.Second, func() { finish(nil) })
	return nil
}

func removeTableResource(s *Service, r *Resource, finish func(error)) {
	s.DynamoDB.Tables = slices.DeleteFunc(s.DynamoDB.Tables, func(t *dynamodb.Table) bool {
		return t.Name == r.Physical
	})
	s.soon(finish)
}

func updateQueueResource(s *Service, _ *Stack, r *Resource) error {
	q := kernel.Find(s.SQS.Queues, func(q *sqs.Queue) bool { return q.URL(s.SQS) == r.Physical })
	if q == nil {
		return kernel.Errorf("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
	}
	attributes, err := queueProperties(r)
	if err != nil {
		return err
	}
	for k, v := range attributes {
		q.Attributes[k] = v
	}
	return nil
}

func removeClusterResource(s *Service, r *Resource, finish func(error)) {
	s.ECS.Clusters = slices.DeleteFunc(s.ECS.Clusters, func(c string) bool { return c == r.Physical })
	s.soon(finish)
}

func createScheduleGroupResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "Name")
	if slices.Contains(s.Scheduler.Groups, name) {
		return kernel.Errorf("ConflictException", "Schedule group %s already exists.", name)
	}
	s.Scheduler.Groups = append(s.Scheduler.Groups, name)
	r.Physical = name
	r.Attributes["Arn"] = s.Scheduler.GroupARN(name)
	s.soon(finish)
	return nil
}

func removeScheduleGroupResource(s *Service, r *Resource, finish func(error)) {
	s.Scheduler.RemoveScheduleGroup(r.Physical)
	s.soon(finish)
}

// ruleOf reads a rule from its properties.
func ruleOf(r *Resource) (*eventbridge.Rule, error) {
	out := &eventbridge.Rule{
		Name: kernel.Text(r.Properties, "Name"), Schedule: kernel.Text(r.Properties, "ScheduleExpression"),
		Description: kernel.Text(r.Properties, "Description"), State: kernel.Text(r.Properties, "State"),
	}
	if out.State == "" {
		out.State = "ENABLED"
	}
	if p, ok := r.Properties["EventPattern"]; ok {
		body, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		out.Pattern = string(body)
		if out.Compiled, err = eventpattern.Compile(body); err != nil {
			return nil, kernel.Errorf("InvalidEventPatternException", "Event pattern is not valid. Reason: %v", err)
		}
	}
	if out.Schedule != "" {
		if err := eventbridge.RuleSchedule(out.Schedule); err != nil {
			return nil, err
		}
	}
	for _, t := range kernel.Objects(r.Properties, "Targets") {
		out.Targets = append(out.Targets, eventbridge.RuleTarget{
			ID: kernel.Text(t, "Id"), Arn: kernel.Text(t, "Arn"), Input: kernel.Text(t, "Input"),
		})
	}
	return out, nil
}

func createRuleResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	x, err := ruleOf(r)
	if err != nil {
		return err
	}
	if x.Name == "" {
		x.Name = st.Name + "-" + r.Logical + "-" + strings.ToUpper(s.Digest(st.ID+r.Logical, 12))
	}
	if s.EventBridge.Rule(x.Name) != nil {
		return reasonf("%s already exists in stack or account", x.Name)
	}
	s.EventBridge.Rules = append(s.EventBridge.Rules, x)
	s.EventBridge.PlanRule(x)
	r.Physical = x.Name
	r.Attributes["Arn"] = s.EventBridge.RuleARN(x.Name)
	s.soon(finish)
	return nil
}

func updateRuleResource(s *Service, _ *Stack, r *Resource) error {
	x, err := ruleOf(r)
	if err != nil {
		return err
	}
	old := s.EventBridge.Rule(r.Physical)
	if old == nil {
		return kernel.Errorf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", r.Physical)
	}
	s.Clock.Cancel(old.Next)
	*old = *x
	s.EventBridge.PlanRule(old)
	return nil
}

func removeRuleResource(s *Service, r *Resource, finish func(error)) {
	if x := s.EventBridge.Rule(r.Physical); x != nil {
		s.Clock.Cancel(x.Next)
		s.EventBridge.Rules = slices.DeleteFunc(s.EventBridge.Rules, func(y *eventbridge.Rule) bool { return y == x })
	}
	s.soon(finish)
}

// NoBucket is the bucket of a function whose code StandIn gave.
const NoBucket = "none"

// applyFunction gives a function the settings of its resource.
func (s *Service) applyFunction(f *lambda.Function, r *Resource) error {
	s.Lambda.Retire(f)
	f.Role = kernel.Text(r.Properties, "Role")
	if err := applyCapacity(s.Lambda, f, r); err != nil {
		return err
	}
	f.Architectures = kernel.Texts(r.Properties, "Architectures")
	f.Environment = map[string]string{}
	env, _ := r.Properties["Environment"].(map[string]any)
	variables, _ := env["Variables"].(map[string]any)
	for k, v := range variables {
		f.Environment[k] = fmt.Sprint(v)
	}
	if err := lambda.CheckEnvironment(f.Environment); err != nil {
		return err
	}
	f.Loops = kernel.Text(r.Properties, "RecursiveLoop") == "Allow"
	in, _ := r.Properties["VpcConfig"].(map[string]any)
	f.Subnets, f.Groups = kernel.Texts(in, "SubnetIds"), kernel.Texts(in, "SecurityGroupIds")
	if err := s.Lambda.JoinVPC(f); err != nil {
		return err
	}
	return applyCode(s, f, r)
}

// applyCapacity gives a function its memory, reserved concurrency and timeout.
func applyCapacity(l *lambda.Service, f *lambda.Function, r *Resource) error {
	f.Memory = 128
	if _, given := r.Properties["MemorySize"]; given {
		if _, err := fmt.Sscan(kernel.Text(r.Properties, "MemorySize"), &f.Memory); err != nil || f.Memory < 128 ||
			f.Memory > 10240 {
			return reasonf("Value %s at 'memorySize' failed to satisfy constraint: Member must have value between "+
				"128 and 10240", kernel.Text(r.Properties, "MemorySize"))
		}
	}
	before := f.Reserved
	if f.Reserved = 0; r.Properties["ReservedConcurrentExecutions"] != nil {
		if _, err := fmt.Sscan(kernel.Text(r.Properties, "ReservedConcurrentExecutions"), &f.Reserved); err != nil {
			return reasonf("ReservedConcurrentExecutions %v is not a number",
				r.Properties["ReservedConcurrentExecutions"])
		}
	}
	if least := min(lambda.KeptUnreserved, l.Concurrency()); f.Reserved > 0 &&
		l.Unreserved()+before-f.Reserved < least {
		f.Reserved = before
		return kernel.Errorf("InvalidParameterValueException",
			"Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "+
				"below its minimum value of [%d].", least)
	}
	f.Timeout = 3 * time.Second
	var seconds int
	if _, err := fmt.Sscan(kernel.Text(r.Properties, "Timeout"), &seconds); err == nil {
		f.Timeout = time.Duration(seconds) * time.Second
	}
	return nil
}

// applyCode loads a function's code from its bucket.
func applyCode(s *Service, f *lambda.Function, r *Resource) error {
	code, _ := r.Properties["Code"].(map[string]any)
	bucket, key := kernel.Text(code, "S3Bucket"), kernel.Text(code, "S3Key")
	// installed with the sandbox, until a deployment replaces it
	if local, ok := s.Lambda.Local[f.Name]; ok && bucket == NoBucket {
		f.Handler = local.Handler
		f.Bootstrap = local.Bootstrap
		f.Directory = ""
		for k, v := range local.Environment {
			f.Environment[k] = v
		}
		return nil
	}
	if !s.IAM.RoleServes(f.Role, "lambda.amazonaws.com") {
		return kernel.Errorf("InvalidParameterValueException",
			"The role defined for the function cannot be assumed by Lambda.")
	}
	b, ok := s.S3.Buckets[bucket]
	if !ok {
		return kernel.Errorf("InvalidParameterValueException",
			"Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket "+
				"does not exist")
	}
	o, ok := b.Objects[key]
	if !ok {
		return kernel.Errorf("InvalidParameterValueException",
			"Error occurred while GetObject. S3 Error Code: NoSuchKey. "+
				"S3 Error Message: The specified key does not exist.")
	}
	return s.Lambda.Load(f, o.Bytes())
}

func createFunctionResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "FunctionName")
	if name == "" {
		name = st.Name + "-" + r.Logical + "-" + s.Digest(st.ID+r.Logical, 12)
	}
	if s.Lambda.Function(name) != nil {
		return kernel.Errorf("ResourceConflictException", "Function already exist: %s", name)
	}
	f := &lambda.Function{Name: name, Created: s.Clock.Now()}
	if err := s.applyFunction(f, r); err != nil {
		return err
	}
	s.Lambda.Functions = append(s.Lambda.Functions, f)
	r.Physical = name
	r.Attributes["Arn"] = s.Lambda.FunctionARN(name)
	s.Clock.After(5*time.Second, func() { finish(nil) })
	return nil
}

func updateFunctionResource(s *Service, _ *Stack, r *Resource) error {
	f := s.Lambda.Function(r.Physical)
	if f == nil {
		return kernel.NotFound("Function not found: %s", s.Lambda.FunctionARN(r.Physical))
	}
	return s.applyFunction(f, r)
}

func removeFunctionResource(s *Service, r *Resource, finish func(error)) {
	if f := s.Lambda.Function(r.Physical); f != nil {
		s.Lambda.Functions = slices.DeleteFunc(s.Lambda.Functions, func(x *lambda.Function) bool { return x == f })
		s.Lambda.CloseFunction(f)
	}
	s.soon(finish)
}

func mappingNumbers(r *Resource) (batch, concurrency int) {
	batch, concurrency = 10, 1000
	_, _ = fmt.Sscan(kernel.Text(r.Properties, "BatchSize"), &batch) // absent for the usual
	if scaling, ok := r.Properties["ScalingConfig"].(map[string]any); ok {
		_, _ = fmt.Sscan(kernel.Text(scaling, "MaximumConcurrency"), &concurrency)
	}
	return batch, concurrency
}

func createMappingResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	q := kernel.Find(s.SQS.Queues, func(q *sqs.Queue) bool {
		return q.ARN(s.SQS) == kernel.Text(r.Properties, "EventSourceArn")
	})
	f := s.Lambda.Function(kernel.Text(r.Properties, "FunctionName"))
	if q == nil || f == nil {
		return kernel.Errorf("InvalidParameterValueException",
			"Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS "+
				"Error Message: The specified queue does not exist.")
	}
	if denied := s.Lambda.MayRead(f.Role, q); denied != nil {
		return deniedByRole(denied, "The provided execution role does not have permissions to call %s on SQS")
	}
	batch, concurrency := mappingNumbers(r)
	m := s.Lambda.AddMapping(q, f, batch, concurrency)
	r.Physical = m.ID
	r.Attributes["Id"] = m.ID
	s.soon(finish)
	return nil
}

func updateMappingResource(s *Service, _ *Stack, r *Resource) error {
	if m := kernel.Find(s.Lambda.Mappings, func(m *lambda.Mapping) bool { return m.ID == r.Physical }); m != nil {
		m.Batch, m.Concurrency = mappingNumbers(r)
	}
	return nil
}

func removeMappingResource(s *Service, r *Resource, finish func(error)) {
	if m := kernel.Find(s.Lambda.Mappings, func(m *lambda.Mapping) bool { return m.ID == r.Physical }); m != nil {
		m.Queue.Readers = slices.DeleteFunc(m.Queue.Readers, func(x *sqs.Reader) bool { return x == m.Reader })
		s.Lambda.Mappings = slices.DeleteFunc(s.Lambda.Mappings, func(x *lambda.Mapping) bool { return x == m })
	}
	s.soon(finish)
}

func createInvokeConfigResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	r.Physical = kernel.Text(r.Properties, "FunctionName") + "|" + kernel.Text(r.Properties, "Qualifier")
	if err := updateInvokeConfigResource(s, st, r); err != nil {
		return err
	}
	s.soon(finish)
	return nil
}

func updateInvokeConfigResource(s *Service, _ *Stack, r *Resource) error {
	f := s.Lambda.Function(kernel.Text(r.Properties, "FunctionName"))
	if f == nil {
		return kernel.NotFound("Function not found: %s",
			s.Lambda.FunctionARN(kernel.Text(r.Properties, "FunctionName")))
	}
	destinations, _ := r.Properties["DestinationConfig"].(map[string]any)
	failure, _ := destinations["OnFailure"].(map[string]any)
	if arn := kernel.Text(failure, "Destination"); strings.Contains(arn, ":sqs:") {
		if denied := s.IAM.Allows(f.Role, kernel.May("sqs:SendMessage", arn)); denied != nil {
			return deniedByRole(denied,
				"The function's execution role does not have permissions to call %s on arn:aws:sqs")
		}
	}
	f.OnFailure = kernel.Text(failure, "Destination")
	return nil
}

// createSecretResource creates a secret, with a given or generated text.
func createSecretResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "Name")
	if name == "" {
		name = r.Logical + "-" + s.Digest(st.ID+r.Logical, 12)
	}
	if _, ok := s.SecretsManager.Secrets[name]; ok {
		return kernel.Errorf("ResourceExistsException", "The operation failed because the secret %s already exists.",
			name)
	}
	value := kernel.Text(r.Properties, "SecretString")
	if _, made := r.Properties["GenerateSecretString"]; made {
		value = s.Digest("secret string "+name, 32)
	}
	s.SecretsManager.Secrets[name] = secretsmanager.SecretValue{
		Text: value, Created: s.Clock.Now(), Key: kernel.Text(r.Properties, "KmsKeyId"),
	}
	r.Physical = s.SecretsManager.SecretARN(name)
	r.Attributes["Id"] = r.Physical
	s.soon(finish)
	return nil
}

func removeSecretResource(s *Service, r *Resource, finish func(error)) {
	for name := range s.SecretsManager.Secrets {
		if s.SecretsManager.SecretARN(name) == r.Physical {
			delete(s.SecretsManager.Secrets, name)
		}
	}
	s.soon(finish)
}

// createScheduleResource creates a schedule of EventBridge Scheduler.
func createScheduleResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "Name")
	if name == "" {
		name = st.Name + "-" + r.Logical + "-" + s.Digest(st.ID+r.Logical, 12)
	}
	body, err := json.Marshal(r.Properties)
	if err != nil {
		return err
	}
	var in scheduler.ScheduleInput
	if err := json.Unmarshal(body, &in); err != nil {
		return reasonf("Properties validation failed for resource %s with message:\n%v", r.Logical, err)
	}
	x, err := s.Scheduler.NewSchedule(name, &in)
	if err != nil {
		return err
	}
	if s.Scheduler.Schedule(x.Group, x.Name) != nil {
		return kernel.Errorf("ConflictException", "Schedule %s already exists.", x.Name)
	}
	s.Scheduler.Schedules = append(s.Scheduler.Schedules, x)
	s.Scheduler.PlanSchedule(x)
	r.Physical = name
	r.Attributes["Arn"] = s.Scheduler.ScheduleARN(x)
	s.soon(finish)
	return nil
}

func removeScheduleResource(s *Service, r *Resource, finish func(error)) {
	group := kernel.Text(r.Properties, "GroupName")
	if group == "" {
		group = "default"
	}
	s.Scheduler.ForgetSchedule(group, r.Physical)
	s.soon(finish)
}
