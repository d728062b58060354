package awssim

import (
	"encoding/json"
	"fmt"

	"drawbridge/internal/eventpattern"
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
	s.ec2.subnets = append(s.ec2.subnets, &subnet{id, vpc, zones[zone%len(zones)], cidr})
	t := s.table(routeTableID)
	t.subnets = append(t.subnets, id)
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
func (s *Sim) AddTaskDefinition(definition []byte) error {
	var raw map[string]any
	if err := json.Unmarshal(definition, &raw); err != nil {
		return fmt.Errorf("add task definition: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.addDefinition(raw)
	return err
}

// AddLogGroup puts a log group into the account.
func (s *Sim) AddLogGroup(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLogGroup(name)
}

// AddQueue puts a queue into the account and returns its ARN.
func (s *Sim) AddQueue(name string, attributes map[string]string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addQueue(name, attributes)
	if err != nil {
		return "", err
	}
	return q.arn(s), nil
}

// AddTable puts a DynamoDB table into the account, given as CreateTable takes it.
func (s *Sim) AddTable(input any) error {
	body, err := json.Marshal(dense(plain(input)))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &call{sim: s, service: s.services["dynamodb"], action: "CreateTable", body: body}
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

// AddScheduleGroup puts a schedule group into the account.
func (s *Sim) AddScheduleGroup(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timers.groups = append(s.timers.groups, name)
}

// AddRule puts a rule with one target into the account: with a pattern, or with a
// rate.
func (s *Sim) AddRule(name, pattern, rate, target string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &rule{name: name, pattern: pattern, schedule: rate, state: "ENABLED", targets: []ruleTarget{{ID: "target", Arn: target}}}
	if pattern != "" {
		var err error
		if r.compiled, err = eventpattern.Compile([]byte(pattern)); err != nil {
			return fmt.Errorf("add rule %s: %w", name, err)
		}
	}
	s.events.rules = append(s.events.rules, r)
	s.planRule(r)
	return nil
}

// FunctionARN returns the ARN that a function of that name has.
func (s *Sim) FunctionARN(name string) string { return s.functionARN(name) }

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

// GroupsWithTag returns the security groups that carry a tag of the given key.
func (s *Sim) GroupsWithTag(key string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, g := range s.ec2.groups {
		for _, t := range s.ec2.tags[g.id] {
			if t.Key == key {
				out = append(out, g.id)
			}
		}
	}
	return out
}
