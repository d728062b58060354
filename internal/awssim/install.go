package awssim

// The methods below add resources to the account without API calls, so that the
// ledger counts only what clients do.

import (
	"encoding/json"
	"fmt"
	"time"

	"drawbridge/internal/awssim/cloudformation"
	"drawbridge/internal/awssim/dynamodb"
	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/ecr"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/lambda"
	"drawbridge/internal/awssim/s3"
	"drawbridge/internal/awssim/template"
)

// Publish puts an event of any source on the default bus, as AWS services do, and
// returns the event's id.
func (s *Sim) Publish(source, detailType string, resources []string, detail map[string]any) string {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.eventbridge.Emit(source, detailType, resources, detail)
}

// AddVPC adds a VPC with DNS support and host names to the account, with a route
// table for private subnets. It returns the table's id.
func (s *Sim) AddVPC(id, cidr string) (routeTableID string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	v := s.ec2.AddVPC(id, cidr)
	v.DNSHostnames = true
	t := &ec2.RouteTable{
		ID: "rtb-" + s.NewID("rtb", 17), VPC: id, Routes: []ec2.Route{{Destination: cidr, Target: "local"}},
	}
	s.ec2.Tables = append(s.ec2.Tables, t)
	return t.ID
}

// AddSubnet adds a private subnet to a VPC, on the given route table. zone
// counts the Region's zones from 0.
func (s *Sim) AddSubnet(id, vpc string, zone int, cidr, routeTableID string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	zones := s.ec2.Zones()
	s.ec2.Subnets = append(s.ec2.Subnets, &ec2.Subnet{
		ID: id, VPC: vpc, Zone: zones[zone%len(zones)], CIDR: cidr, Free: ec2.FreeAddresses,
	})
	t := s.ec2.Table(routeTableID)
	t.Subnets = append(t.Subnets, id)
}

// ChangeSubnet sets the number of free addresses of a subnet and, unless owner
// is empty, makes another account its owner.
func (s *Sim) ChangeSubnet(id string, free int, owner string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	n := s.ec2.Subnet(id)
	n.Free, n.Owner = free, owner
}

// AddDistribution adds a distribution of CloudFront.
func (s *Sim) AddDistribution(id string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.cloudfront.AddDistribution(id)
}

// CloseSubnet puts a network ACL on a subnet that lets no HTTPS out.
func (s *Sim) CloseSubnet(id string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.ec2.CloseSubnet(id)
}

// AddFunction adds a function of a user's, in a VPC if it has subnets, with code in this
// process.
func (s *Sim) AddFunction(name, role string, subnets, groups []string, code Handler) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.lambda.Functions = append(s.lambda.Functions, &lambda.Function{
		Name: name, Role: role, Handler: code, Timeout: time.Minute, Memory: 128, Created: s.Clock.Now(),
		Subnets: subnets, Groups: groups, Architectures: []string{"x86_64"},
	})
}

// ManageEndpoint marks an endpoint as created by an AWS service.
func (s *Sim) ManageEndpoint(id string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.ec2.Endpoint(id).RequesterManaged = true
}

// AddSecurityGroup adds a security group to a VPC that allows HTTPS in from the
// given CIDR blocks.
func (s *Sim) AddSecurityGroup(id, vpc, name string, from ...string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	g := s.ec2.AddGroup(id, vpc, name, name)
	for _, cidr := range from {
		g.Ingress = append(g.Ingress, ec2.Permission{Protocol: "tcp", From: 443, To: 443, CIDR: cidr})
	}
}

// AddEndpoint adds an endpoint without an owner tag to a VPC, as another user
// would. A gateway is available immediately, an interface endpoint after the
// usual time.
func (s *Sim) AddEndpoint(service, kind, vpc string, subnets, groups, routeTables []string) (string, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	e, err := s.ec2.AddEndpoint(ec2.EndpointSpec{
		Service: service, Kind: kind, VPC: vpc, Subnets: subnets, Groups: groups, Tables: routeTables,
	})
	if err != nil {
		return "", err
	}
	if e.Kind == "Gateway" {
		e.Available = e.Created
	}
	return e.ID, nil
}

// RemoveEndpoint deletes an endpoint, as another user would.
func (s *Sim) RemoveEndpoint(id string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if e := s.ec2.Endpoint(id); e != nil {
		s.ec2.RemoveEndpoint(e)
	}
}

// SetVPCDNS switches the DNS attributes of a VPC.
func (s *Sim) SetVPCDNS(id string, support, hostnames bool) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	v := s.ec2.VPC(id)
	v.DNSSupport, v.DNSHostnames = support, hostnames
}

// AddCluster adds an ECS cluster to the account.
func (s *Sim) AddCluster(name string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.ecs.AddCluster(name)
}

// AddTaskDefinition registers a task definition, given as input of
// RegisterTaskDefinition. Its revision number is at least revision; earlier
// revisions are the same.
func (s *Sim) AddTaskDefinition(definition []byte, revision int) error {
	var raw map[string]any
	if err := json.Unmarshal(definition, &raw); err != nil {
		return fmt.Errorf("add task definition: %w", err)
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for {
		d, err := s.ecs.AddDefinition(raw)
		if err != nil || d.Revision >= revision {
			return err
		}
	}
}

// AddLogGroup adds a log group to the account.
func (s *Sim) AddLogGroup(name string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.logs.AddLogGroup(name)
}

// AddTable adds a DynamoDB table to the account, given as input of CreateTable.
func (s *Sim) AddTable(input any) error {
	body, err := json.Marshal(dense(dynamodb.Plain(input)))
	if err != nil {
		return err
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	c := s.CallTo("dynamodb", "CreateTable", body)
	_, err = kernel.Op(s.dynamodb.CreateTable)(c)
	return err
}

// dense drops unset members of an SDK's input: nulls and empty strings.
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

// StandIn replaces the zip of a function that a stack creates later with local
// code.
func (s *Sim) StandIn(function string, l lambda.Local) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.lambda.Local[function] = l
}

// PutStack adds a complete stack to the account at once, as if it had been
// created before the simulation began. The ledger does not list the stack: it
// records only what happens in the simulation.
func (s *Sim) PutStack(name string, body []byte, parameters, tags map[string]string) error {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	t, err := template.Parse(cloudformation.IsKind, string(body))
	if err != nil {
		return fmt.Errorf("put stack %s: %w", name, err)
	}
	st := &cloudformation.Stack{
		Name: name, ID: s.ARN("cloudformation", "stack/"+name+"/"+s.UUID("stack")), Before: true,
		Times: cloudformation.Times{Created: s.Clock.Now()}, Template: t, Body: string(body),
		Resources:    map[string]*cloudformation.Resource{},
		Capabilities: []string{"CAPABILITY_NAMED_IAM"},
		Operation:    cloudformation.Operation{OnFailure: "ROLLBACK", Handled: map[string]bool{}},
	}
	var given []template.Parameter
	for _, k := range kernel.SortedKeys(parameters) {
		given = append(given, template.Parameter{ParameterKey: k, ParameterValue: parameters[k]})
	}
	if st.Parameters, err = t.Bind(given); err != nil {
		return fmt.Errorf("put stack %s: %w", name, err)
	}
	for _, k := range kernel.SortedKeys(tags) {
		st.Tags = append(st.Tags, kernel.Tag{Key: k, Value: tags[k]})
	}
	st.Wanted = t.Resources(st.Parameters)
	for left := len(st.Wanted); left > 0; {
		before := left
		for _, logical := range kernel.SortedKeys(st.Wanted) {
			if spec := st.Wanted[logical]; st.Resources[logical] == nil && st.DependenciesDone(spec) {
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
	s.cloudformation.Stacks = append(s.cloudformation.Stacks, st)
	st.Status, st.History = "CREATE_COMPLETE", []kernel.StatusAt{{
		At: st.Created, Status: "CREATE_COMPLETE", Reason: "",
	}}
	return nil
}

func (s *Sim) putResource(st *cloudformation.Stack, logical string, spec template.ResourceSpec) error {
	r := &cloudformation.Resource{
		Logical: logical, Kind: spec.Kind, Attributes: map[string]string{}, Updated: s.Clock.Now(),
	}
	v, err := st.Template.Evaluate(spec.Properties, s.cloudformation.Scope(st))
	if err != nil {
		return err
	}
	r.Properties, _ = v.(map[string]any)
	if err := r.Made().Create(s.cloudformation, st, r, func(error) {}); err != nil {
		return err
	}
	if e := s.ec2.Endpoint(r.Physical); e != nil {
		e.Available, e.Stack = e.Created, ""
	}
	r.Status = "CREATE_COMPLETE"
	st.Resources[logical] = r
	st.Handled[logical] = true
	return nil
}

// StackOutputs returns the outputs of a stack.
func (s *Sim) StackOutputs(name string) map[string]string {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	out := map[string]string{}
	if st := s.cloudformation.StackLive(name); st != nil {
		for k, o := range st.Template.Outputs {
			if v, err := st.Template.Evaluate(o, s.cloudformation.Scope(st)); err == nil {
				out[k] = fmt.Sprint(v)
			}
		}
	}
	return out
}

// AddImage adds an image to a repository of the account.
func (s *Sim) AddImage(repository, tag string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.ecr.AddRepository(repository).Add(&ecr.Image{
		Digest: "sha256:" + s.Digest(repository+tag, 64), Pushed: s.Clock.Now(),
	}, tag)
}

// S3PrefixList returns the id of the prefix list of S3's addresses.
func (s *Sim) S3PrefixList() string { return s.ec2.PrefixList(s.EndpointService("s3")) }

// DeactivateTaskDefinition makes every revision of a family inactive.
func (s *Sim) DeactivateTaskDefinition(family string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for _, d := range s.ecs.Definitions {
		if d.Family == family {
			d.Status = "INACTIVE"
		}
	}
}

// AddBucket adds an untagged bucket with one object to the account.
func (s *Sim) AddBucket(name string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.s3.Buckets[name] = &s3.Bucket{
		Objects: map[string]s3.Object{"theirs": s.s3.NewObject([]byte("x"))}, Settings: map[string][]byte{},
		Created: s.Clock.Now(),
	}
}

// RoleMay reports whether a role's policies allow an action on a resource now, with
// the given keys in its context.
func (s *Sim) RoleMay(role, action, resource string, context map[string]any) bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	r := s.iam.Role(role)
	return r != nil && r.May(s.iam, kernel.Question{Action: action, Resource: resource, Context: context})
}

// FunctionEnvironmentSize returns how many bytes of Lambda's limit a function's
// environment takes.
func (s *Sim) FunctionEnvironmentSize(function string) int {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	f := s.lambda.Function(function)
	if f == nil {
		return 0
	}
	n := 0
	for k, v := range f.Environment {
		n += len(k) + len(v)
	}
	return n
}

// AddRole adds a role that service may assume to the account and returns its
// ARN.
func (s *Sim) AddRole(name, service string) string {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.iam.AddRole(name,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"`+service+
			`"},"Action":"sts:AssumeRole"}]}`).ARN
}

// AddHostedZone associates a private hosted zone of an account with a VPC. Its
// name resolves to a working target.
func (s *Sim) AddHostedZone(id, name, vpc, account string) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.ec2.HostedZones = append(s.ec2.HostedZones, &ec2.HostedZone{ID: id, Name: name, VPC: vpc, Account: account})
}

// Redeploy replaces every function's code by the same code: environments of the old one end,
// busy ones when their invocation has.
func (s *Sim) Redeploy() {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for _, f := range s.lambda.Functions {
		s.lambda.Retire(f)
	}
}
