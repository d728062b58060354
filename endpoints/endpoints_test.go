package endpoints

import (
	"errors"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCatalogueIsSortedAndComplete(t *testing.T) {
	all := All()
	if !slices.IsSortedFunc(all, func(a, b Service) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
		t.Error("the catalogue is not in order of id, which Lookup needs")
	}
	for _, s := range all {
		if (s.Type == Gateway) != (s.Host == "") || s.Purpose == "" {
			t.Errorf("%s: type %s, host %q, purpose %q", s.ID, s.Type, s.Host, s.Purpose)
		}
	}
}

func TestDefaultSet(t *testing.T) {
	services, err := Resolve(Default())
	if err != nil {
		t.Fatal(err)
	}
	paid := 0
	for _, s := range services {
		if s.Type == Interface {
			paid++
		}
	}
	if len(services) != 6 || paid != 5 {
		t.Errorf("the default set has %d services, %d of them billed, want 6 and 5", len(services), paid)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		id                ServiceID
		region, name, dns string
	}{
		{"ecr.api", "us-east-1", "com.amazonaws.us-east-1.ecr.api", "api.ecr.us-east-1.amazonaws.com"},
		{"ecr.dkr", "eu-central-1", "com.amazonaws.eu-central-1.ecr.dkr", "*.dkr.ecr.eu-central-1.amazonaws.com"},
		{"logs", "us-gov-west-1", "com.amazonaws.us-gov-west-1.logs", "logs.us-gov-west-1.amazonaws.com"},
		{"logs", "cn-north-1", "cn.com.amazonaws.cn-north-1.logs", "logs.cn-north-1.amazonaws.com.cn"},
		{"s3", "cn-north-1", "com.amazonaws.cn-north-1.s3", ""},
	} {
		s, err := Lookup(tt.id)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name(tt.region) != tt.name || s.PrivateDNS(tt.region) != tt.dns {
			t.Errorf("%s in %s: %s, %s, want %s, %s", tt.id, tt.region, s.Name(tt.region), s.PrivateDNS(tt.region), tt.name, tt.dns)
		}
	}
}

func TestUnknownServiceNamesTheKnown(t *testing.T) {
	_, err := Resolve([]ServiceID{"logs", "ecr"})
	var unknown *UnknownServiceError
	if !errors.As(err, &unknown) || unknown.ID != "ecr" || !strings.Contains(unknown.Hint(), "ecr.api") {
		t.Errorf("Resolve(ecr) = %v", err)
	}
}

// myVPC has two subnets in zones a and b, everything offered in both, and a
// permanent S3 gateway.
func myVPC() VPC {
	v := VPC{ID: "vpc-1", DNSSupport: true, DNSHostnames: true, Offered: map[string][]string{}, Subnets: []Subnet{
		{ID: "subnet-b", VPC: "vpc-1", Zone: "b", CIDR: "10.0.2.0/24", RouteTable: "rtb-1"},
		{ID: "subnet-a", VPC: "vpc-1", Zone: "a", CIDR: "10.0.1.0/24", RouteTable: "rtb-1"},
	}, Endpoints: []Endpoint{{ID: "vpce-s3", Service: "com.amazonaws.us-east-1.s3", Type: Gateway, State: "available", RouteTables: []string{"rtb-1"}}}}
	for _, s := range All() {
		v.Offered[s.Name("us-east-1")] = []string{"a", "b"}
	}
	return v
}

func request(t *testing.T, ids ...ServiceID) Request {
	services, err := Resolve(ids)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Region: "us-east-1", Services: services, Gateway: GatewayPermanent}
}

func created(p Plan) string {
	var out []string
	for _, s := range p.Create {
		out = append(out, string(s.ID))
	}
	return strings.Join(out, " ")
}

func TestMake(t *testing.T) {
	const logs = "com.amazonaws.us-east-1.logs"
	for _, tt := range []struct {
		name           string
		change         func(*VPC, *Request)
		create, subnet string
		adopt, failure string
	}{
		{"the fewest zones: one", func(*VPC, *Request) {}, "ecr.api logs", "subnet-a", "vpce-s3", ""},
		{"two zones if asked for", func(_ *VPC, r *Request) { r.Zones = 2 }, "ecr.api logs", "subnet-a subnet-b", "vpce-s3", ""},
		{"three zones: not there", func(_ *VPC, r *Request) { r.Zones = 3 }, "", "", "", "lie in 2 zones"},
		{"a zone that lacks a service is passed over", func(v *VPC, _ *Request) { v.Offered[logs] = []string{"b"} }, "ecr.api logs", "subnet-b", "vpce-s3", ""},
		{"no zone has it", func(v *VPC, _ *Request) { v.Offered[logs] = []string{"c"} }, "", "", "", "a lacks logs; b lacks logs"},
		{"the Region has it not", func(v *VPC, _ *Request) { delete(v.Offered, logs) }, "", "", "", "logs (com.amazonaws.us-east-1.logs) is not offered in us-east-1"},
		{"somebody's endpoint is adopted", func(v *VPC, _ *Request) {
			v.Endpoints = append(v.Endpoints, Endpoint{ID: "vpce-x", Service: logs, Type: Interface, State: "available", PrivateDNS: true})
		}, "ecr.api", "subnet-a", "vpce-x vpce-s3", ""},
		{"one without private DNS is not in the way", func(v *VPC, _ *Request) {
			v.Endpoints = append(v.Endpoints, Endpoint{ID: "vpce-x", Service: logs, Type: Interface, State: "available"})
		}, "ecr.api logs", "subnet-a", "vpce-s3", ""},
		{"one that goes is not fought", func(v *VPC, _ *Request) {
			v.Endpoints = append(v.Endpoints, Endpoint{ID: "vpce-x", Service: logs, Type: Interface, State: "deleting", PrivateDNS: true})
		}, "", "", "", "taken by vpce-x, which is deleting and not ours"},
		{"our own of an earlier generation does not count", func(v *VPC, _ *Request) {
			v.Endpoints = append(v.Endpoints, Endpoint{ID: "vpce-x", Service: logs, Type: Interface, State: "deleting", PrivateDNS: true, Owned: true})
		}, "ecr.api logs", "subnet-a", "vpce-s3", ""},
		{"no permanent gateway", func(v *VPC, _ *Request) { v.Endpoints = nil }, "", "", "", "no permanent s3 gateway"},
		{"a gateway on other tables does not serve", func(v *VPC, _ *Request) { v.Endpoints[0].RouteTables = []string{"rtb-9"} }, "", "", "", "no permanent s3 gateway"},
		{"the set keeps the gateway", func(v *VPC, r *Request) { v.Endpoints = nil; r.Gateway = GatewaySet }, "ecr.api logs s3", "subnet-a", "", ""},
		{"DNS support off", func(v *VPC, _ *Request) { v.DNSSupport = false }, "", "", "", "enableDnsSupport off"},
		{"DNS host names off", func(v *VPC, _ *Request) { v.DNSHostnames = false }, "", "", "", "enableDnsHostnames off"},
		{"subnets of two VPCs", func(v *VPC, _ *Request) { v.Subnets[1].VPC = "vpc-2" }, "", "", "", "subnet-a in vpc-2"},
		{"no subnets", func(v *VPC, _ *Request) { v.Subnets = nil }, "", "", "", "no subnets"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, r := myVPC(), request(t, "s3", "logs", "ecr.api")
			tt.change(&v, &r)
			p, err := Make(r, v)
			if tt.failure != "" {
				var refused *PlanError
				if !errors.As(err, &refused) || !strings.Contains(refused.What, tt.failure) || refused.Hint() == "" {
					t.Errorf("Make = %v, want %q with a remedy", err, tt.failure)
				}
				return
			}
			var subnets, adopted []string
			for _, n := range p.Subnets {
				subnets = append(subnets, n.ID)
			}
			for _, a := range p.Adopt {
				adopted = append(adopted, a.Endpoint)
			}
			if err != nil || created(p) != tt.create || strings.Join(subnets, " ") != tt.subnet || strings.Join(adopted, " ") != tt.adopt {
				t.Errorf("Make creates %s in %v and adopts %v, %v; want %s in %s, %s", created(p), subnets, adopted, err, tt.create, tt.subnet, tt.adopt)
			}
		})
	}
}

func TestMakeDoesNotDependOnOrder(t *testing.T) {
	v := myVPC()
	want, err := Make(request(t, Default()...), v)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ids := Default()
		rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		rand.Shuffle(len(v.Subnets), func(i, j int) { v.Subnets[i], v.Subnets[j] = v.Subnets[j], v.Subnets[i] })
		got, err := Make(request(t, ids...), v)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}
