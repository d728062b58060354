package endpoints

import (
	"encoding/json"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Rule is a security group rule. A rule without CIDRs, Groups and PrefixLists
// allows no traffic.
type Rule struct {
	// Protocol is tcp, udp, ..., or -1 for all; From and To are the ports.
	Protocol string
	From, To int
	CIDRs    []string
	Groups   []string
	// PrefixLists are ids of prefix lists; their entries are not known.
	PrefixLists []string
}

// SecurityGroup is an EC2 security group.
type SecurityGroup struct {
	ID              string
	Ingress, Egress []Rule
}

// Scene is the network around a task, as AWS describes it.
type Scene struct {
	// Set is the set's name, Services the services that it should serve.
	Set      string
	Region   string
	Services []ServiceID
	VPC      VPC
	// Subnets and Groups are the task's.
	Subnets, Groups []string
	// SecurityGroups holds the task's groups and those of the endpoints, by id, as
	// far as they can be read.
	SecurityGroups map[string]SecurityGroup
	// ACLs are the network ACLs of the VPC, as far as they were read.
	ACLs []ACL
	// Definition is the task definition as aws ecs describe-task-definition prints
	// it; nil if it cannot be read.
	Definition []byte
}

// Presumed returns the scene with an endpoint for each of the set's services, as
// the set would have it.
func (s Scene) Presumed() Scene {
	s.VPC.Endpoints = nil
	services, err := Resolve(s.Services)
	if err != nil {
		return s
	}
	for _, svc := range services {
		s.VPC.Endpoints = append(s.VPC.Endpoints, Endpoint{
			Service: svc.Name(s.Region), Type: svc.Type, State: "available", PrivateDNS: true,
		})
	}
	return s
}

const https = 443

func (r Rule) hasPort() bool {
	return r.Protocol == "-1" || r.Protocol == "tcp" && r.From <= https && https <= r.To
}

// lets reports whether any rule allows HTTPS from or to a peer that has one of
// groups or is in one of networks; prefix lists count if lists is set.
func lets(rules []Rule, groups, networks []string, lists bool) bool {
	for _, r := range rules {
		if !r.hasPort() {
			continue
		}
		if lists && len(r.PrefixLists) > 0 || slices.ContainsFunc(r.Groups, func(g string) bool {
			return slices.Contains(groups, g)
		}) {
			return true
		}
		for _, network := range networks {
			if slices.ContainsFunc(r.CIDRs, func(c string) bool { return covers(c, network) }) {
				return true
			}
		}
	}
	return false
}

// covers reports whether the block outer contains all of inner.
func covers(outer, inner string) bool {
	o, err := netip.ParsePrefix(outer)
	if err != nil {
		return false
	}
	i, err := netip.ParsePrefix(inner)
	return err == nil && o.Bits() <= i.Bits() && o.Contains(i.Addr())
}

// everywhere stands for addresses outside the VPC.
const everywhere = "0.0.0.0/0"

func (s Scene) taskNetworks() []string {
	var out []string
	for _, n := range s.VPC.Subnets {
		if slices.Contains(s.Subnets, n.ID) && n.CIDR != "" {
			out = append(out, n.CIDR)
		}
	}
	return out
}

// rules returns the rules of groups, and false if one of the groups cannot be
// read.
func (s Scene) rules(groups []string, of func(SecurityGroup) []Rule) ([]Rule, bool) {
	var out []Rule
	for _, id := range groups {
		g, ok := s.SecurityGroups[id]
		if !ok {
			return nil, false
		}
		out = append(out, of(g)...)
	}
	return out, len(groups) > 0
}

func ingress(g SecurityGroup) []Rule { return g.Ingress }
func egress(g SecurityGroup) []Rule  { return g.Egress }

// closedIn reports whether an interface endpoint's groups certainly block the
// task.
func (s Scene) closedIn(e Endpoint) bool {
	rules, ok := s.rules(e.SecurityGroups, ingress)
	return ok && !lets(rules, s.Groups, s.taskNetworks(), true)
}

// KeepsOut reports whether an interface endpoint's security groups certainly block
// the task.
func (s Scene) KeepsOut(e Endpoint) bool { return e.Type == Interface && s.closedIn(e) }

// closedOut reports whether the task's groups certainly block traffic to the
// endpoint.
func (s Scene) closedOut(e Endpoint) bool {
	rules, ok := s.rules(s.Groups, egress)
	if !ok {
		return false
	}
	if e.Type == Gateway {
		return !lets(rules, nil, []string{everywhere}, true)
	}
	var networks []string
	for _, n := range s.VPC.Subnets {
		if slices.Contains(e.Subnets, n.ID) {
			networks = append(networks, n.CIDR)
		}
	}
	if len(networks) < len(e.Subnets) { // its subnets cannot be described
		return !slices.ContainsFunc(rules, Rule.hasPort)
	}
	return !lets(rules, e.SecurityGroups, networks, false) // egress rules name the prefix lists of gateways
}

// unrouted returns the task's subnets, and their route tables, that a gateway
// endpoint does not reach.
func (s Scene) unrouted(gateway Endpoint) (subnets, tables []string) {
	for _, n := range s.VPC.Subnets {
		if slices.Contains(s.Subnets, n.ID) && n.RouteTable != "" &&
			!slices.Contains(gateway.RouteTables, n.RouteTable) {
			subnets, tables = append(subnets, n.ID), append(tables, n.RouteTable)
		}
	}
	return subnets, tables
}

// wayOut returns the target of the default route of the task's subnets, "" if any
// of them has none.
func (s Scene) wayOut() string {
	target := ""
	for _, n := range s.VPC.Subnets {
		if slices.Contains(s.Subnets, n.ID) {
			if n.WayOut == "" {
				return ""
			}
			target = n.WayOut
		}
	}
	return target
}

// policyForbids reports whether an endpoint policy certainly denies an action on a
// resource. foreign marks a call that no principal of the account makes: fetching
// image layers from AWS's bucket.
func policyForbids(document, action, resource string, foreign bool) bool {
	if document == "" {
		return false
	}
	var policy struct {
		Statement oneOrMany[struct {
			Effect                string
			Action, NotAction     oneOrMany[string]
			Resource, NotResource oneOrMany[string]
			Condition             map[string]map[string]any
		}]
	}
	if json.Unmarshal([]byte(document), &policy) != nil {
		return false
	}
	allowed := false
	for _, st := range policy.Statement {
		acts := matchesAny(st.Action, action) || len(st.NotAction) > 0 && !matchesAny(st.NotAction, action)
		on := resource == "" || matchesAny(st.Resource, resource) ||
			len(st.NotResource) > 0 && !matchesAny(st.NotResource, resource)
		if !acts || !on {
			continue
		}
		if st.Effect == "Deny" {
			if len(st.Condition) == 0 && (resource != "" || slices.Contains(st.Resource, "*")) {
				return true
			}
			continue
		}
		allowed = allowed || !foreign || !ofOwnPrincipals(st.Condition)
	}
	return !allowed
}

// ofOwnPrincipals reports whether a condition restricts the calling principal.
func ofOwnPrincipals(condition map[string]map[string]any) bool {
	for _, keys := range condition {
		for k := range keys {
			if strings.HasPrefix(strings.ToLower(k), "aws:principal") {
				return true
			}
		}
	}
	return false
}

// matchesAny compares as IAM does: * and ? are wildcards, actions know no case.
func matchesAny(patterns []string, text string) bool {
	for _, p := range patterns {
		// path.Match treats /, brackets and backslashes specially
		p = strings.NewReplacer("/", "\x00", "[", `\[`, `\`, `\\`).Replace(strings.ToLower(p))
		if ok, err := path.Match(p, strings.ReplaceAll(strings.ToLower(text), "/", "\x00")); err == nil && ok {
			return true
		}
	}
	return false
}

// oneOrMany is a list that JSON may write as a single element.
type oneOrMany[T any] []T

// UnmarshalJSON reads a list, or one element.
func (l *oneOrMany[T]) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]T)(l))
	}
	var one T
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*l = []T{one}
	return nil
}
