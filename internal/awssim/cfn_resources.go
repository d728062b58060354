package awssim

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// resourceKind is how a type of resource is made by a stack. create and remove
// call finish when the resource is stable, at once or later; an error that create
// returns fails the resource too.
type resourceKind struct {
	create func(s *Sim, st *stack, r *resource, finish func(error)) error
	remove func(s *Sim, r *resource, finish func(error))
	// update changes the resource in place; nil means that nothing has to be done.
	update func(s *Sim, st *stack, r *resource) error
	// createOnly are the properties whose change replaces the resource.
	createOnly []string
}

// made returns how the resource is made; its type was checked with the template.
func (r *resource) made() resourceKind {
	k, _ := kindOf(r.kind)
	return k
}

// reason is why a resource failed, in CloudFormation's own words.
type reason string

func (r reason) Error() string { return string(r) }

func reasonf(format string, args ...any) error { return reason(fmt.Sprintf(format, args...)) }

func text(props map[string]any, key string) string {
	if v, ok := props[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

func list(props map[string]any, key string) []string {
	l, _ := props[key].([]any)
	return textsOf(l)
}

func objects(props map[string]any, key string) []map[string]any {
	l, _ := props[key].([]any)
	var out []map[string]any
	for _, x := range l {
		if m, ok := x.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// only refuses properties that the type does not have, and demands the required.
func only(r *resource, required, optional []string) error {
	for _, k := range sortedKeys(r.properties) {
		if !slices.Contains(required, k) && !slices.Contains(optional, k) {
			return reasonf("Properties validation failed for resource %s with message:\n#: extraneous key [%s] is not permitted", r.logical, k)
		}
	}
	for _, k := range required {
		if _, ok := r.properties[k]; !ok {
			return reasonf("Properties validation failed for resource %s with message:\n#: required key [%s] not found", r.logical, k)
		}
	}
	return nil
}

// stackTags are the tags of a resource: its own, and those of its stack.
func stackTags(st *stack, r *resource) []tag {
	var out []tag
	add := func(k, v string) {
		if !slices.ContainsFunc(out, func(t tag) bool { return t.Key == k }) {
			out = append(out, tag{k, v})
		}
	}
	for _, t := range objects(r.properties, "Tags") {
		add(text(t, "Key"), text(t, "Value"))
	}
	for _, t := range st.tags {
		add(t.Key, t.Value)
	}
	add("aws:cloudformation:stack-name", st.name)
	add("aws:cloudformation:stack-id", st.id)
	add("aws:cloudformation:logical-id", r.logical)
	return out
}

func createEndpointResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	if err := only(r, []string{"ServiceName", "VpcId"}, []string{"VpcEndpointType", "SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled", "Tags", "PolicyDocument", "RouteTableIds", "IpAddressType", "DnsOptions"}); err != nil {
		return err
	}
	private := text(r.properties, "PrivateDnsEnabled") == "true"
	policy := ""
	if p, ok := r.properties["PolicyDocument"]; ok {
		b, err := json.Marshal(p)
		if err != nil {
			return err
		}
		policy = string(b)
	}
	spec := endpointSpec{
		service: text(r.properties, "ServiceName"), kind: text(r.properties, "VpcEndpointType"), vpc: text(r.properties, "VpcId"), stack: st.name, policy: policy,
		subnets: list(r.properties, "SubnetIds"), groups: list(r.properties, "SecurityGroupIds"), tables: list(r.properties, "RouteTableIds"), privateDNS: &private, tags: s.bornWith(st, r),
	}
	if denied := s.deniedCreation(st, spec); denied != nil {
		return denied
	}
	e, err := s.addEndpoint(spec)
	if err != nil {
		return err
	}
	s.tagLater(st, r, e, finish)
	r.physical = e.id
	r.attributes["Id"], r.attributes["CreationTimestamp"] = e.id, e.created.UTC().Format(time.RFC3339)
	e.onAvailable = append(e.onAvailable, func() { finish(nil) })
	e.onFailed = append(e.onFailed, func() {
		finish(reasonf("Resource handler returned message: \"%s\" (HandlerErrorCode: NotStabilized)", e.failure))
	})
	return nil
}

func removeEndpointResource(s *Sim, r *resource, finish func(error)) {
	e := s.endpoint(r.physical)
	if e == nil || !e.deletedAt(s.clock.time()).IsZero() {
		s.clock.after(0, func() { finish(nil) })
		return
	}
	e.onDeleted = append(e.onDeleted, func() { finish(nil) })
	s.removeEndpoint(e)
}

func createGroupResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	if err := only(r, []string{"GroupDescription"}, []string{"GroupName", "VpcId", "SecurityGroupIngress", "SecurityGroupEgress", "Tags"}); err != nil {
		return err
	}
	vpc := text(r.properties, "VpcId")
	if s.vpc(vpc) == nil {
		return errf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", vpc)
	}
	name := text(r.properties, "GroupName")
	if name == "" {
		name = st.name + "-" + r.logical + "-" + strings.ToUpper(s.digest(st.id+r.logical, 12))
	}
	if slices.ContainsFunc(s.ec2.groups, func(g *securityGroup) bool { return g.vpc == vpc && g.name == name }) {
		return errf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, vpc)
	}
	in, err := s.rules(r, "SecurityGroupIngress", "SourceSecurityGroupId")
	if err != nil {
		return err
	}
	out, err := s.rules(r, "SecurityGroupEgress", "DestinationSecurityGroupId")
	if err != nil {
		return err
	}
	g := s.addGroup("sg-"+s.id("sg", 17), vpc, name, text(r.properties, "GroupDescription"))
	g.ingress = in
	if len(out) > 0 {
		g.egress = out
	}
	s.ec2.tags[g.id] = stackTags(st, r)
	r.physical = g.id
	r.attributes["GroupId"], r.attributes["VpcId"], r.attributes["Id"] = g.id, vpc, g.id
	s.clock.after(3*time.Second, func() { finish(nil) })
	return nil
}

func (s *Sim) rules(r *resource, key, groupKey string) ([]permission, error) {
	var out []permission
	for _, m := range objects(r.properties, key) {
		p := permission{protocol: text(m, "IpProtocol"), cidr: text(m, "CidrIp"), group: text(m, groupKey), prefixList: text(m, "DestinationPrefixListId"), description: text(m, "Description")}
		_, _ = fmt.Sscan(text(m, "FromPort"), &p.from) // absent for all protocols
		_, _ = fmt.Sscan(text(m, "ToPort"), &p.to)
		if p.group != "" && s.group(p.group) == nil {
			return nil, errf("InvalidGroup.NotFound", "The security group '%s' does not exist", p.group)
		}
		out = append(out, p)
	}
	return out, nil
}

// groupPatience is how long CloudFormation tries to delete a group in use.
const groupPatience = 10 * time.Minute

func removeGroupResource(s *Sim, r *resource, finish func(error)) {
	deadline := s.clock.time().Add(groupPatience)
	var try func()
	try = func() {
		err := s.removeGroup(r.physical)
		var e *apiError
		if errors.As(err, &e) && e.Code == "InvalidGroup.NotFound" {
			err = nil
		}
		if err != nil && s.clock.time().Before(deadline) {
			s.clock.after(20*time.Second, try)
			return
		}
		finish(err)
	}
	s.clock.after(stepTakes, try)
}

func createIngressResource(s *Sim, _ *stack, r *resource, finish func(error)) error {
	g := s.group(text(r.properties, "GroupId"))
	if g == nil {
		return errf("InvalidGroup.NotFound", "The security group '%s' does not exist", text(r.properties, "GroupId"))
	}
	ps, err := s.rules(&resource{properties: map[string]any{"one": []any{r.properties}}}, "one", "SourceSecurityGroupId")
	if err != nil {
		return err
	}
	r.physical = "sgr-" + s.id("sgr", 17)
	ps[0].id = r.physical
	g.ingress = append(g.ingress, ps...)
	s.clock.after(stepTakes, func() { finish(nil) })
	return nil
}

func removeNothing(s *Sim, _ *resource, finish func(error)) {
	s.clock.after(stepTakes, func() { finish(nil) })
}

func createRoleResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "RoleName")
	if name == "" {
		name = st.name + "-" + r.logical + "-" + strings.ToUpper(s.digest(st.id+r.logical, 12))
	}
	if s.role(name) != nil {
		return errf("EntityAlreadyExists", "Role with name %s already exists.", name)
	}
	role := s.addRole(name, "")
	role.judged = true
	r.physical = name
	r.attributes["Arn"], r.attributes["RoleId"] = role.arn, role.id
	if err := updateRoleResource(s, st, r); err != nil {
		return err
	}
	s.clock.after(10*time.Second, func() { finish(nil) })
	return nil
}

func updateRoleResource(s *Sim, _ *stack, r *resource) error {
	role := s.role(r.physical)
	if role == nil {
		return noRole(r.physical)
	}
	trust, err := json.Marshal(r.properties["AssumeRolePolicyDocument"])
	if err != nil {
		return err
	}
	if err := checkTrust(string(trust)); err != nil {
		return err
	}
	role.trust = string(trust)
	// What is attached comes first, then what is not any more goes: a role in
	// between has the rights of both.
	wanted := list(r.properties, "ManagedPolicyArns")
	for _, policy := range wanted {
		if err := s.attach(role, policy); err != nil {
			return err
		}
	}
	attached := role.policies
	role.policies = map[string]string{}
	for _, policy := range wanted {
		role.policies[policy] = attached[policy]
	}
	for policy, body := range attached {
		if slices.Contains(s.iam.named[policy], role.name) { // a policy that names the role
			role.policies[policy] = body
		}
	}
	role.boundary = text(r.properties, "PermissionsBoundary")
	whole := 0
	for _, p := range objects(r.properties, "Policies") {
		body, err := json.Marshal(p["PolicyDocument"])
		if err != nil {
			return err
		}
		if whole += len(body); whole > maxInlinePolicies {
			return errf("LimitExceeded", "Maximum policy size of %d bytes exceeded for role %s", maxInlinePolicies, role.name)
		}
		role.policies[text(p, "PolicyName")] = string(body)
	}
	return nil
}

func removeRoleResource(s *Sim, r *resource, finish func(error)) {
	s.iam.roles = slices.DeleteFunc(s.iam.roles, func(x *role) bool { return x.name == r.physical })
	removeNothing(s, r, finish)
}

func createLogGroupResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "LogGroupName")
	if name == "" {
		name = st.name + "-" + r.logical
	}
	if s.logGroup(name) != nil {
		return errf("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	s.addLogGroup(name)
	r.physical = name
	r.attributes["Arn"] = s.arn("logs", "log-group:"+name+":*")
	s.clock.after(stepTakes, func() { finish(nil) })
	return nil
}

func removeLogGroupResource(s *Sim, r *resource, finish func(error)) {
	s.logs.groups = slices.DeleteFunc(s.logs.groups, func(g *logGroup) bool { return g.name == r.physical })
	removeNothing(s, r, finish)
}

func createQueueResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "QueueName")
	if name == "" {
		name = st.name + "-" + r.logical + "-" + s.digest(st.id+r.logical, 12)
	}
	attributes, err := queueProperties(r)
	if err != nil {
		return err
	}
	q, err := s.addQueue(name, attributes)
	if err != nil {
		return err
	}
	r.physical = q.url(s)
	r.attributes["Arn"], r.attributes["QueueName"], r.attributes["QueueUrl"] = q.arn(s), name, q.url(s)
	s.clock.after(stepTakes, func() { finish(nil) })
	return nil
}

func queueProperties(r *resource) (map[string]string, error) {
	attributes := map[string]string{}
	for k, v := range r.properties {
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

func removeQueueResource(s *Sim, r *resource, finish func(error)) {
	s.sqs.queues = slices.DeleteFunc(s.sqs.queues, func(q *queue) bool { return q.url(s) == r.physical })
	removeNothing(s, r, finish)
}

func createClusterResource(s *Sim, st *stack, r *resource, finish func(error)) error {
	name := text(r.properties, "ClusterName")
	if name == "" {
		name = st.name + "-" + r.logical
	}
	if err := s.ecsLinked(); err != nil && !st.before {
		return err
	}
	s.addCluster(name)
	r.physical = name
	r.attributes["Arn"] = s.clusterARN(name)
	s.clock.after(stepTakes, func() { finish(nil) })
	return nil
}
