package endpoints

import (
	"fmt"
	"slices"
	"strings"
)

// NetworkACL is the cause where a subnet's network ACL stops the call or its answer.
const NetworkACL Cause = "network-acl"

// OtherVPC is the cause where the caller is in another VPC than the endpoints.
const OtherVPC Cause = "other-vpc"

// ACL is a network ACL with the subnets that it is on.
type ACL struct {
	ID      string
	Subnets []string
	Entries []ACLEntry
}

// ACLEntry is a rule of a network ACL: of those in one direction the one with the lowest
// number that fits decides.
type ACLEntry struct {
	Number        int
	Egress, Allow bool
	// Protocol is 6 for TCP, -1 for all; From and To are the ports, both 0 for all.
	Protocol string
	From, To int
	CIDR     string
}

// ephemeral are the ports that answers come to.
//
// Source: https://docs.aws.amazon.com/vpc/latest/userguide/custom-network-acl.html
const ephemeralFrom, ephemeralTo = 1024, 65535

// lets reports whether the ACL lets TCP to ports through between its subnets and a network.
func (a ACL) lets(egress bool, from, to int, network string) bool {
	entries := slices.Clone(a.Entries)
	slices.SortStableFunc(entries, func(x, y ACLEntry) int { return x.Number - y.Number })
	for _, e := range entries {
		whole := e.From == 0 && e.To == 0 || e.Protocol == "-1"
		if e.Egress != egress || e.Protocol != "-1" && e.Protocol != "6" || !covers(e.CIDR, network) ||
			!whole && (e.From > from || e.To < to) {
			continue
		}
		return e.Allow
	}
	return false
}

// Path explains why a call from the scene's subnets, with its security groups, does not
// reach a service by HTTPS. It returns false if, as far as can be seen, it does. who makes
// the call, as in "function x".
func Path(s Scene, id ServiceID, who string) (Diagnosis, bool) {
	if s.wayOut() != "" {
		return Diagnosis{}, false
	}
	service, err := Lookup(id)
	if err != nil {
		return Diagnosis{}, false
	}
	d := s.unreached(Diagnosis{Service: id, What: fmt.Sprintf("%s cannot reach %s", who, id)},
		Symptom{Trouble: Unreached, Service: id}, victim{})
	d.Why = strings.ReplaceAll(d.Why, "the task's security groups", "its security groups")
	d.Why = strings.ReplaceAll(d.Why, "from the task", "from it")
	e, there := s.nearest(service)
	if d.Cause == HostedZoneAnswers || there && e.State == "available" && d.Cause == EndpointNotReady {
		return s.stopped(d, e)
	}
	return d, true
}

// stopped explains which network ACL stops a call to an endpoint that all else lets through;
// false if none does.
func (s Scene) stopped(d Diagnosis, e Endpoint) (Diagnosis, bool) {
	blocks := map[string]string{}
	for _, n := range s.VPC.Subnets {
		blocks[n.ID] = n.CIDR
	}
	for _, a := range s.ACLs {
		for _, subnet := range a.Subnets {
			from, to := slices.Contains(s.Subnets, subnet), slices.Contains(e.Subnets, subnet)
			for _, other := range s.others(from, to, e) {
				network := blocks[other]
				if network == "" || other == subnet { // within a subnet no ACL is asked
					continue
				}
				out, in := a.lets(true, https, https, network), a.lets(false, ephemeralFrom, ephemeralTo, network)
				if to {
					out, in = a.lets(true, ephemeralFrom, ephemeralTo, network), a.lets(false, https, https, network)
				}
				if out && in {
					continue
				}
				d.Cause, d.Lasting = NetworkACL, true
				d.Why = fmt.Sprintf("network ACL %s of %s stops HTTPS between it and endpoint %s in %s", a.ID, subnet,
					e.ID, other)
				d.Remedy = fmt.Sprintf("allow TCP 443 one way and %d-%d the other between %s and %s there",
					ephemeralFrom, ephemeralTo, blocks[subnet], network)
				return d, true
			}
		}
	}
	return Diagnosis{}, false
}

// others are the subnets at the other end of a call, seen from one at an end.
func (s Scene) others(from, to bool, e Endpoint) []string {
	switch {
	case from:
		return e.Subnets
	case to:
		return s.Subnets
	}
	return nil
}
