package cloudformation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/logs"
	"drawbridge/internal/awssim/sqs"
)

// resourceKind is how a stack creates, updates and deletes a type of resource.
// create and remove call finish when the resource is stable, immediately or
// later; an error that create returns also fails the resource.
type resourceKind struct {
	Create func(s *Service, st *Stack, r *Resource, finish func(error)) error
	remove func(s *Service, r *Resource, finish func(error))
	// update changes the resource in place; nil means that there is nothing to do.
	update func(s *Service, st *Stack, r *Resource) error
	// settle waits until what was updated is as it is to be; nil means that it is at once.
	settle func(s *Service, st *Stack, r *Resource, finish func(error))
	// createOnly are the properties whose change replaces the resource.
	createOnly []string
}

// Made returns the kind of the resource; its type was checked with the template.
func (r *Resource) Made() resourceKind {
	k, _ := kindOf(r.Kind)
	return k
}

// reason is why a resource failed, in CloudFormation's own words.
type reason string

func (r reason) Error() string { return string(r) }

func reasonf(format string, args ...any) error { return reason(fmt.Sprintf(format, args...)) }

// only rejects properties that the type does not have, and requires the
// mandatory ones.
func only(r *Resource, required, optional []string) error {
	for _, k := range kernel.SortedKeys(r.Properties) {
		if !slices.Contains(required, k) && !slices.Contains(optional, k) {
			return reasonf("Properties validation failed for resource %s with message:\n#: extraneous key [%s] is "+
				"not permitted", r.Logical, k)
		}
	}
	for _, k := range required {
		if _, ok := r.Properties[k]; !ok {
			return reasonf("Properties validation failed for resource %s with message:\n#: required key [%s] not found",
				r.Logical, k)
		}
	}
	return nil
}

// StackTags are the tags of a resource: its own, and those of its stack.
func StackTags(st *Stack, r *Resource) []ec2.Tag {
	var out []ec2.Tag
	add := func(k, v string) {
		if !slices.ContainsFunc(out, func(t ec2.Tag) bool { return t.Key == k }) {
			out = append(out, ec2.Tag{Key: k, Value: v})
		}
	}
	for _, t := range kernel.Objects(r.Properties, "Tags") {
		add(kernel.Text(t, "Key"), kernel.Text(t, "Value"))
	}
	for _, t := range st.Tags {
		add(t.Key, t.Value)
	}
	add("aws:cloudformation:stack-name", st.Name)
	add("aws:cloudformation:stack-id", st.ID)
	add("aws:cloudformation:logical-id", r.Logical)
	return out
}

func createEndpointResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	if err := only(r, []string{"ServiceName", "VpcId"}, []string{
		"VpcEndpointType", "SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled", "Tags", "PolicyDocument",
		"RouteTableIds", "IpAddressType", "DnsOptions",
	}); err != nil {
		return err
	}
	private := kernel.Text(r.Properties, "PrivateDnsEnabled") == "true"
	policy := ""
	if p, ok := r.Properties["PolicyDocument"]; ok {
		b, err := json.Marshal(p)
		if err != nil {
			return err
		}
		policy = string(b)
	}
	spec := ec2.EndpointSpec{
		Service: kernel.Text(r.Properties, "ServiceName"), Kind: kernel.Text(r.Properties, "VpcEndpointType"),
		VPC: kernel.Text(r.Properties, "VpcId"), Stack: st.Name, Policy: policy,
		Subnets: kernel.Texts(r.Properties, "SubnetIds"), Groups: kernel.Texts(r.Properties, "SecurityGroupIds"),
		Tables: kernel.Texts(r.Properties, "RouteTableIds"), PrivateDNS: &private, Tags: s.bornWith(st, r),
	}
	if denied := s.deniedCreation(st, spec); denied != nil {
		return denied
	}
	e, err := s.EC2.AddEndpoint(spec)
	if err != nil {
		return err
	}
	s.tagLater(st, r, e, finish)
	r.Physical = e.ID
	r.Attributes["Id"], r.Attributes["CreationTimestamp"] = e.ID, e.Created.UTC().Format(time.RFC3339)
	e.OnAvailable = append(e.OnAvailable, func() { finish(nil) })
	e.OnFailed = append(e.OnFailed, func() {
		finish(reasonf("Resource handler returned message: \"%s\" (HandlerErrorCode: NotStabilized)", e.Failure))
	})
	return nil
}

func removeEndpointResource(s *Service, r *Resource, finish func(error)) {
	e := s.EC2.Endpoint(r.Physical)
	if e == nil || !e.DeletedAt(s.Clock.Now()).IsZero() {
		s.Clock.After(0, func() { finish(nil) })
		return
	}
	e.OnDeleted = append(e.OnDeleted, func() { finish(nil) })
	s.EC2.RemoveEndpoint(e)
}

func createGroupResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	if err := only(r, []string{"GroupDescription"}, []string{
		"GroupName", "VpcId", "SecurityGroupIngress", "SecurityGroupEgress", "Tags",
	}); err != nil {
		return err
	}
	vpc := kernel.Text(r.Properties, "VpcId")
	if s.EC2.VPC(vpc) == nil {
		return kernel.Errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", vpc)
	}
	name := kernel.Text(r.Properties, "GroupName")
	if name == "" {
		name = st.Name + "-" + r.Logical + "-" + strings.ToUpper(s.Digest(st.ID+r.Logical, 12))
	}
	if slices.ContainsFunc(s.EC2.Groups, func(g *ec2.SecurityGroup) bool { return g.VPC == vpc && g.Name == name }) {
		return kernel.Errorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, vpc)
	}
	in, err := s.rules(r, "SecurityGroupIngress", "SourceSecurityGroupId")
	if err != nil {
		return err
	}
	out, err := s.rules(r, "SecurityGroupEgress", "DestinationSecurityGroupId")
	if err != nil {
		return err
	}
	g := s.EC2.AddGroup("sg-"+s.NewID("sg", 17), vpc, name, kernel.Text(r.Properties, "GroupDescription"))
	g.Ingress = in
	if len(out) > 0 {
		g.Egress = out
	}
	s.EC2.Tags[g.ID] = StackTags(st, r)
	r.Physical = g.ID
	r.Attributes["GroupId"] = g.ID
	r.Attributes["VpcId"] = vpc
	r.Attributes["Id"] = g.ID
	s.Clock.After(3*time.Second, func() { finish(nil) })
	return nil
}

func (s *Service) rules(r *Resource, key, groupKey string) ([]ec2.Permission, error) {
	var out []ec2.Permission
	for _, m := range kernel.Objects(r.Properties, key) {
		p := ec2.Permission{
			Protocol: kernel.Text(m, "IpProtocol"), CIDR: kernel.Text(m, "CidrIp"), Group: kernel.Text(m, groupKey),
			PrefixList: kernel.Text(m, "DestinationPrefixListId"), Description: kernel.Text(m, "Description"),
		}
		_, _ = fmt.Sscan(kernel.Text(m, "FromPort"), &p.From) // absent for all protocols
		_, _ = fmt.Sscan(kernel.Text(m, "ToPort"), &p.To)
		if p.Group != "" && s.EC2.Group(p.Group) == nil {
			return nil, kernel.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", p.Group)
		}
		out = append(out, p)
	}
	return out, nil
}

// groupPatience is how long CloudFormation tries to delete a group in use.
const groupPatience = 10 * time.Minute

func removeGroupResource(s *Service, r *Resource, finish func(error)) {
	deadline := s.Clock.Now().Add(groupPatience)
	var try func()
	try = func() {
		err := s.EC2.RemoveGroup(r.Physical)
		var e *kernel.APIError
		if errors.As(err, &e) && e.Code == "InvalidGroup.NotFound" {
			err = nil
		}
		if err != nil && s.Clock.Now().Before(deadline) {
			s.Clock.After(20*time.Second, try)
			return
		}
		finish(err)
	}
	s.Clock.After(stepTakes, try)
}

func createIngressResource(s *Service, _ *Stack, r *Resource, finish func(error)) error {
	g := s.EC2.Group(kernel.Text(r.Properties, "GroupId"))
	if g == nil {
		return kernel.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist",
			kernel.Text(r.Properties, "GroupId"))
	}
	ps, err := s.rules(&Resource{Properties: map[string]any{"one": []any{r.Properties}}}, "one",
		"SourceSecurityGroupId")
	if err != nil {
		return err
	}
	r.Physical = "sgr-" + s.NewID("sgr", 17)
	ps[0].ID = r.Physical
	g.Ingress = append(g.Ingress, ps...)
	s.Clock.After(stepTakes, func() { finish(nil) })
	return nil
}

func removeNothing(s *Service, _ *Resource, finish func(error)) {
	s.Clock.After(stepTakes, func() { finish(nil) })
}

func createRoleResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "RoleName")
	if name == "" {
		name = st.Name + "-" + r.Logical + "-" + strings.ToUpper(s.Digest(st.ID+r.Logical, 12))
	}
	if s.IAM.Role(name) != nil {
		return kernel.Errorf("EntityAlreadyExists", "Role with name %s already exists.", name)
	}
	role := s.IAM.AddRole(name, "")
	role.Judged = true
	r.Physical = name
	r.Attributes["Arn"], r.Attributes["RoleId"] = role.ARN, role.ID
	if err := updateRoleResource(s, st, r); err != nil {
		return err
	}
	s.Clock.After(10*time.Second, func() { finish(nil) })
	return nil
}

func updateRoleResource(s *Service, _ *Stack, r *Resource) error {
	role := s.IAM.Role(r.Physical)
	if role == nil {
		return iam.NoRole(r.Physical)
	}
	trust, err := json.Marshal(r.Properties["AssumeRolePolicyDocument"])
	if err != nil {
		return err
	}
	if err := iam.CheckTrust(string(trust)); err != nil {
		return err
	}
	role.Trust = string(trust)
	// New policies are attached first, then old ones detached: in between, the
	// role has the permissions of both.
	wanted := kernel.Texts(r.Properties, "ManagedPolicyArns")
	for _, policy := range wanted {
		if err := s.IAM.Attach(role, policy); err != nil {
			return err
		}
	}
	attached := role.Policies
	role.Policies = map[string]string{}
	for _, policy := range wanted {
		role.Policies[policy] = attached[policy]
	}
	for policy, body := range attached {
		if slices.Contains(s.IAM.Named[policy], role.Name) { // a policy that names the role
			role.Policies[policy] = body
		}
	}
	role.Boundary = kernel.Text(r.Properties, "PermissionsBoundary")
	whole := 0
	for _, p := range kernel.Objects(r.Properties, "Policies") {
		body, err := json.Marshal(p["PolicyDocument"])
		if err != nil {
			return err
		}
		if whole += len(body); whole > iam.MaxInlinePolicies {
			return kernel.Errorf("LimitExceeded", "Maximum policy size of %d bytes exceeded for role %s",
				iam.MaxInlinePolicies, role.Name)
		}
		role.Policies[kernel.Text(p, "PolicyName")] = string(body)
	}
	return nil
}

func removeRoleResource(s *Service, r *Resource, finish func(error)) {
	s.IAM.Roles = slices.DeleteFunc(s.IAM.Roles, func(x *iam.Role) bool { return x.Name == r.Physical })
	removeNothing(s, r, finish)
}

func createLogGroupResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "LogGroupName")
	if name == "" {
		name = st.Name + "-" + r.Logical
	}
	if s.Logs.LogGroup(name) != nil {
		return kernel.Errorf("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	s.Logs.AddLogGroup(name)
	r.Physical = name
	r.Attributes["Arn"] = s.ARN("logs", "log-group:"+name+":*")
	s.Clock.After(stepTakes, func() { finish(nil) })
	return nil
}

func removeLogGroupResource(s *Service, r *Resource, finish func(error)) {
	s.Logs.Groups = slices.DeleteFunc(s.Logs.Groups, func(g *logs.LogGroup) bool { return g.Name == r.Physical })
	removeNothing(s, r, finish)
}

func createQueueResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "QueueName")
	if name == "" {
		name = st.Name + "-" + r.Logical + "-" + s.Digest(st.ID+r.Logical, 12)
	}
	attributes, err := queueProperties(r)
	if err != nil {
		return err
	}
	q, err := s.SQS.AddQueue(name, attributes)
	if err != nil {
		return err
	}
	r.Physical = q.URL(s.SQS)
	r.Attributes["Arn"] = q.ARN(s.SQS)
	r.Attributes["QueueName"] = name
	r.Attributes["QueueUrl"] = q.URL(s.SQS)
	s.Clock.After(stepTakes, func() { finish(nil) })
	return nil
}

func queueProperties(r *Resource) (map[string]string, error) {
	attributes := map[string]string{}
	for k, v := range r.Properties {
		switch v := v.(type) {
		case map[string]any:
			b, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			attributes[k] = string(b)
		case string, float64, bool:
			if k != "QueueName" {
				attributes[k] = fmt.Sprint(v)
			}
		}
	}
	return attributes, nil
}

func removeQueueResource(s *Service, r *Resource, finish func(error)) {
	s.SQS.Queues = slices.DeleteFunc(s.SQS.Queues, func(q *sqs.Queue) bool { return q.URL(s.SQS) == r.Physical })
	removeNothing(s, r, finish)
}

func createClusterResource(s *Service, st *Stack, r *Resource, finish func(error)) error {
	name := kernel.Text(r.Properties, "ClusterName")
	if name == "" {
		name = st.Name + "-" + r.Logical
	}
	if err := s.ECS.ECSLinked(); err != nil && !st.Before {
		return err
	}
	s.ECS.AddCluster(name)
	r.Physical = name
	r.Attributes["Arn"] = s.ECS.ClusterARN(name)
	s.Clock.After(stepTakes, func() { finish(nil) })
	return nil
}
