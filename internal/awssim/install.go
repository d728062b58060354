package awssim

import (
	"encoding/json"
	"fmt"
)

// The methods below put things into the account without calls of the API, so
// that the ledger counts only what clients do.

// AddVPC puts a VPC with DNS support and host names into the account, and a route
// table of its own for private subnets. It returns the table's id.
func (s *Sim) AddVPC(id, cidr string) (routeTableID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.addVpc(id, cidr)
	v.dnsHostnames = true
	t := &routeTable{id: "rtb-" + s.id("rtb", 17), vpc: id, routes: []route{{cidr, "local"}}}
	s.ec2.tables = append(s.ec2.tables, t)
	return t.id
}

// AddSubnet puts a private subnet into a VPC, on the given route table. zone
// counts the Region's zones from 0.
func (s *Sim) AddSubnet(id, vpc string, zone int, cidr, routeTableID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	zones := s.zones()
	s.ec2.subnets = append(s.ec2.subnets, &subnet{id: id, vpc: vpc, zone: zones[zone%len(zones)], cidr: cidr, free: freeAddresses})
	t := s.table(routeTableID)
	t.subnets = append(t.subnets, id)
}

// ChangeSubnet sets how many addresses a subnet has left and, unless owner is
// empty, lets another account share it.
func (s *Sim) ChangeSubnet(id string, free int, owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.subnet(id)
	n.free, n.owner = free, owner
}

// ManageEndpoint makes an endpoint one that a service of AWS has made.
func (s *Sim) ManageEndpoint(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoint(id).requesterManaged = true
}

// AddSecurityGroup puts a security group into a VPC that lets HTTPS in from the
// given CIDR blocks.
func (s *Sim) AddSecurityGroup(id, vpc, name string, from ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.addGroup(id, vpc, name, name)
	for _, cidr := range from {
		g.ingress = append(g.ingress, permission{protocol: "tcp", from: 443, to: 443, cidr: cidr})
	}
}

// AddEndpoint puts an endpoint without any owner tag into a VPC, as somebody else
// would. A gateway is available at once, an interface endpoint in the usual time.
func (s *Sim) AddEndpoint(service, kind, vpc string, subnets, groups, routeTables []string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.addEndpoint(endpointSpec{service: service, kind: kind, vpc: vpc, subnets: subnets, groups: groups, tables: routeTables})
	if err != nil {
		return "", err
	}
	if e.kind == "Gateway" {
		e.available = e.created
	}
	return e.id, nil
}

// RemoveEndpoint deletes an endpoint, as somebody else would.
func (s *Sim) RemoveEndpoint(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.endpoint(id); e != nil {
		s.removeEndpoint(e)
	}
}

// SetVPCDNS switches the DNS attributes of a VPC.
func (s *Sim) SetVPCDNS(id string, support, hostnames bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.vpc(id)
	v.dnsSupport, v.dnsHostnames = support, hostnames
}

// AddCluster puts an ECS cluster into the account.
func (s *Sim) AddCluster(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addCluster(name)
}

// AddTaskDefinition registers a task definition, given as RegisterTaskDefinition
// takes it.
// revision is the number that it gets, at least; those before it are the same.
func (s *Sim) AddTaskDefinition(definition []byte, revision int) error {
	var raw map[string]any
	if err := json.Unmarshal(definition, &raw); err != nil {
		return fmt.Errorf("add task definition: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		d, err := s.addDefinition(raw)
		if err != nil || d.revision >= revision {
			return err
		}
	}
}

// AddLogGroup puts a log group into the account.
func (s *Sim) AddLogGroup(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLogGroup(name)
}

// AddTable puts a DynamoDB table into the account, given as CreateTable takes it.
func (s *Sim) AddTable(input any) error {
	body, err := json.Marshal(dense(plain(input)))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.callTo("dynamodb", "CreateTable", body)
	_, err = op(s.createTable)(c)
	return err
}

// dense leaves out what an SDK's input does not set: nulls, and empty texts.
func dense(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if x != nil && x != "" {
				out[k] = dense(x)
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = dense(v[i])
		}
	}
	return v
}

// StandIn lets code of this machine stand in for the zip of a function that a
// stack makes later.
func (s *Sim) StandIn(function string, l Local) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lambda.local[function] = l
}

// PutStack puts a whole stack into the account at once, with all its resources
// there, as if it had been created before the simulation began. The ledger tells
// only of what happens in the simulation: it does not list the stack.
func (s *Sim) PutStack(name string, body []byte, parameters, tags map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := parseTemplate(isKind, string(body))
	if err != nil {
		return fmt.Errorf("put stack %s: %w", name, err)
	}
	st := &stack{name: name, id: s.arn("cloudformation", "stack/"+name+"/"+s.uuid("stack")), onFailure: "ROLLBACK", before: true, created: s.clock.time(), template: t, body: string(body),
		resources: map[string]*resource{}, handled: map[string]bool{}, capabilities: []string{"CAPABILITY_NAMED_IAM"}}
	var given []stackParameter
	for _, k := range sortedKeys(parameters) {
		given = append(given, stackParameter{ParameterKey: k, ParameterValue: parameters[k]})
	}
	if st.parameters, err = t.bind(given); err != nil {
		return fmt.Errorf("put stack %s: %w", name, err)
	}
	for _, k := range sortedKeys(tags) {
		st.tags = append(st.tags, cfnTag{k, tags[k]})
	}
	st.wanted = t.resources(st.parameters)
	for left := len(st.wanted); left > 0; {
		before := left
		for _, logical := range sortedKeys(st.wanted) {
			if spec := st.wanted[logical]; st.resources[logical] == nil && s.dependenciesDone(st, spec) {
				if err := s.putResource(st, logical, spec); err != nil {
					return fmt.Errorf("put stack %s: %s: %w", name, logical, err)
				}
				left--
			}
		}
		if left == before {
			return fmt.Errorf("put stack %s: its resources wait for each other", name)
		}
	}
	s.cfn.stacks = append(s.cfn.stacks, st)
	st.status, st.history = "CREATE_COMPLETE", []statusAt{{st.created, "CREATE_COMPLETE", ""}}
	return nil
}

func (s *Sim) putResource(st *stack, logical string, spec resourceSpec) error {
	r := &resource{logical: logical, kind: spec.kind, attributes: map[string]string{}, updated: s.clock.time()}
	v, err := st.template.evaluate(spec.properties, s.scope(st))
	if err != nil {
		return err
	}
	r.properties, _ = v.(map[string]any)
	if err := r.made().create(s, st, r, func(error) {}); err != nil {
		return err
	}
	if e := s.endpoint(r.physical); e != nil {
		e.available, e.stack = e.created, ""
	}
	r.status, st.resources[logical], st.handled[logical] = "CREATE_COMPLETE", r, true
	return nil
}

// StackOutputs returns the outputs of a stack.
func (s *Sim) StackOutputs(name string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	if st := s.stackLive(name); st != nil {
		for k, o := range st.template.outputs {
			if v, err := st.template.evaluate(o, s.scope(st)); err == nil {
				out[k] = fmt.Sprint(v)
			}
		}
	}
	return out
}

// AddImage puts an image into a repository of the account.
func (s *Sim) AddImage(repository, tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addRepository(repository).add(&image{digest: "sha256:" + s.digest(repository+tag, 64), pushed: s.clock.time()}, tag)
}

// S3PrefixList returns the id of the prefix list of S3's addresses.
func (s *Sim) S3PrefixList() string { return s.prefixList(s.endpointService("s3")) }

// DeactivateTaskDefinition makes every revision of a family inactive.
func (s *Sim) DeactivateTaskDefinition(family string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.ecs.definitions {
		if d.family == family {
			d.status = "INACTIVE"
		}
	}
}

// AddBucket puts a bucket with one object and without tags into the account.
func (s *Sim) AddBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s3.buckets[name] = &s3Bucket{objects: map[string]s3Object{"theirs": s.newObject([]byte("x"))}, settings: map[string][]byte{}, created: s.clock.time()}
}

// RoleMay reports whether a role's policies allow an action on a resource now, with
// the given keys in its context.
func (s *Sim) RoleMay(role, action, resource string, context map[string]any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.role(role)
	return r != nil && r.may(s, authorisation{Action: action, Resource: resource, Context: context})
}

// FunctionEnvironmentSize returns how many bytes a function's environment takes of
// Lambda's limit.
func (s *Sim) FunctionEnvironmentSize(function string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.function(function)
	if f == nil {
		return 0
	}
	n := 0
	for k, v := range f.environment {
		n += len(k) + len(v)
	}
	return n
}
