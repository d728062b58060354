package endpoints

import (
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	subnets := []Subnet{{ID: "subnet-1", VPC: "vpc-1", CIDR: "10.0.1.0/24", RouteTable: "rtb-1"}, {ID: "subnet-2", VPC: "vpc-1", CIDR: "10.0.2.0/24", RouteTable: "rtb-1"}}
	all := []Rule{{Protocol: "-1", CIDRs: []string{"0.0.0.0/0"}}}
	whole := func() Scene {
		return Scene{
			Set: "main", Region: "us-east-1", Services: []ServiceID{"codedeploy"}, Subnets: []string{"subnet-2"}, Groups: []string{"sg-f"},
			VPC: VPC{ID: "vpc-1", DNSSupport: true, DNSHostnames: true, Subnets: subnets, Endpoints: []Endpoint{{
				ID: "vpce-1", Service: "com.amazonaws.us-east-1.codedeploy", Type: Interface, State: "available", PrivateDNS: true, SecurityGroups: []string{"sg-e"}, Subnets: []string{"subnet-1"},
			}}},
			SecurityGroups: map[string]SecurityGroup{"sg-f": {ID: "sg-f", Egress: all}, "sg-e": {ID: "sg-e", Ingress: all}},
			ACLs: []ACL{{ID: "acl-1", Subnets: []string{"subnet-1", "subnet-2"}, Entries: []ACLEntry{
				{Number: 100, Allow: true, Protocol: "-1", CIDR: "0.0.0.0/0"}, {Number: 100, Egress: true, Allow: true, Protocol: "-1", CIDR: "0.0.0.0/0"},
			}}},
		}
	}
	deny := func(n int, egress bool, from, to int, cidr string) func(*Scene) {
		return func(s *Scene) {
			s.ACLs[0].Entries = append(s.ACLs[0].Entries, ACLEntry{Number: n, Egress: egress, Protocol: "6", From: from, To: to, CIDR: cidr})
		}
	}
	for _, tt := range []struct {
		name   string
		breaks func(*Scene)
		cause  Cause
		why    string
	}{
		{"whole", func(*Scene) {}, "", ""},
		{"no endpoint", func(s *Scene) { s.VPC.Endpoints = nil; s.Services = nil }, MissingEndpoint, "has no codedeploy endpoint"},
		{"an endpoint that is gone", func(s *Scene) { s.VPC.Endpoints = nil }, EndpointGone, "gone"},
		{"private DNS off", func(s *Scene) { s.VPC.Endpoints[0].PrivateDNS = false }, PrivateDNSOff, "private DNS off"},
		{"DNS of the VPC", func(s *Scene) { s.VPC.DNSHostnames = false }, DNSOff, ""},
		{"its security group", func(s *Scene) { s.SecurityGroups["sg-f"] = SecurityGroup{ID: "sg-f"} }, TaskClosed, "its security groups"},
		{"the endpoint's", func(s *Scene) { s.SecurityGroups["sg-e"] = SecurityGroup{ID: "sg-e"} }, EndpointClosed, "HTTPS in from it"},
		{"an ACL out", deny(90, true, 443, 443, "10.0.0.0/16"), NetworkACL, "acl-1"},
		{"an ACL for the answer", deny(90, false, 1024, 65535, "0.0.0.0/0"), NetworkACL, "acl-1"},
		{"an ACL rule that comes too late", deny(110, true, 443, 443, "0.0.0.0/0"), "", ""},
		{"an ACL of another network", deny(90, true, 443, 443, "192.168.0.0/16"), "", ""},
		{"a way out", func(s *Scene) { s.VPC.Endpoints = nil; s.VPC.Subnets[1].WayOut = "nat-1" }, "", ""},
	} {
		s := whole()
		s.VPC.Subnets = append([]Subnet{}, subnets...)
		tt.breaks(&s)
		d, broken := Path(s, "codedeploy", "hook x")
		if broken != (tt.cause != "") || broken && (d.Cause != tt.cause || !strings.Contains(d.Why, tt.why) || d.Remedy == "" || !strings.HasPrefix(d.What, "hook x")) {
			t.Errorf("%s: %v %+v, want %q, %q", tt.name, broken, d, tt.cause, tt.why)
		}
	}
}

func TestAnAppSpecNamesHooksWhereThereAreSome(t *testing.T) {
	for event, want := range map[string]string{"AfterInstall": "", "AllowTraffic": "CodeDeploy's own", "Install": "CodeDeploy's own", "AfterEverything": "not a lifecycle event"} {
		_, err := Workload{AppSpecs: [][]byte{[]byte(`{"Resources":[{"t":{"Type":"AWS::ECS::Service"}}],"Hooks":[{"` + event + `":"f"}]}`)}}.Requirements()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", event, err, want)
		}
	}
	if _, err := (Workload{AppSpecs: [][]byte{[]byte(`{"Resources":[{"f":{"Type":"AWS::Lambda::Function"}}],"Hooks":[{"AfterInstall":"f"}]}`)}}).Requirements(); err == nil {
		t.Error("a Lambda deployment has a hook at AfterInstall")
	}
}
