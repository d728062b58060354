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
		{"ecr.api", "cn-north-1", "cn.com.amazonaws.cn-north-1.ecr.api", "api.ecr.cn-north-1.amazonaws.com.cn"},
		{"sqs", "cn-northwest-1", "cn.com.amazonaws.cn-northwest-1.sqs", "sqs.cn-northwest-1.amazonaws.com.cn"},
		{"logs", "cn-north-1", "com.amazonaws.cn-north-1.logs", "logs.cn-north-1.amazonaws.com.cn"},
		{"secretsmanager", "cn-north-1", "com.amazonaws.cn-north-1.secretsmanager", "secretsmanager.cn-north-1.amazonaws.com.cn"},
		{"codedeploy", "cn-north-1", "com.amazonaws.cn-north-1.codedeploy", "codedeploy.cn-north-1.amazonaws.com.cn"},
		{"ecr.dkr", "eusc-de-east-1", "eu.amazonaws.eusc-de-east-1.ecr.dkr", "*.dkr.ecr.eusc-de-east-1.amazonaws.eu"},
		{"ecr.dkr", "us-gov-west-1", "com.amazonaws.us-gov-west-1.ecr.dkr", "*.dkr.ecr.us-gov-west-1.amazonaws.com"},
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
		{"three zones: not there", func(_ *VPC, r *Request) { r.Zones = 3 }, "", "", "", "cover too few zones (2, want 3)"},
		{"a zone that lacks a service is passed over", func(v *VPC, _ *Request) { v.Offered[logs] = []string{"b"} }, "ecr.api logs", "subnet-b", "vpce-s3", ""},
		{"no zone has it", func(v *VPC, _ *Request) { v.Offered[logs] = []string{"c"} }, "", "", "", "service logs is not offered in any zone"},
		{"two zones, one of which lacks a service", func(v *VPC, r *Request) { r.Zones = 2; v.Offered[logs] = []string{"b"} }, "ecr.api logs", "subnet-a subnet-b", "vpce-s3", ""},
		{"no zone has all: each goes where it is", func(v *VPC, _ *Request) {
			v.Offered[logs], v.Offered["com.amazonaws.us-east-1.ecr.api"] = []string{"b"}, []string{"a"}
		}, "ecr.api logs", "subnet-a", "vpce-s3", ""},
		{"a zone without capacity is avoided", func(_ *VPC, r *Request) { r.Avoid = []string{"a"} }, "ecr.api logs", "subnet-b", "vpce-s3", ""},
		{"unless there is no other", func(_ *VPC, r *Request) { r.Avoid = []string{"a", "b"} }, "ecr.api logs", "subnet-a", "vpce-s3", ""},
		{"or no other has the services", func(v *VPC, r *Request) { r.Avoid = []string{"a"}; v.Offered[logs] = []string{"a"} }, "ecr.api logs", "subnet-a", "vpce-s3", ""},
		{"a full subnet is passed over", func(v *VPC, _ *Request) { v.Subnets[1].Free = 1 }, "ecr.api logs", "subnet-b", "vpce-s3", ""},
		{"a second subnet of the zone has room", func(v *VPC, _ *Request) {
			v.Subnets[1].Free = -1
			v.Subnets = append(v.Subnets, Subnet{ID: "subnet-z", VPC: "vpc-1", Zone: "a", RouteTable: "rtb-1", Free: 100})
		}, "ecr.api logs", "subnet-z", "vpce-s3", ""},
		{"an endpoint that a service of AWS made is adopted", func(v *VPC, _ *Request) {
			v.Endpoints = append(v.Endpoints, Endpoint{ID: "vpce-x", Service: logs, Type: Interface, State: "available", PrivateDNS: true, RequesterManaged: true})
		}, "ecr.api", "subnet-a", "vpce-x vpce-s3", ""},
		{"one that has failed is not in the way", func(v *VPC, _ *Request) {
			v.Endpoints = append(v.Endpoints, Endpoint{ID: "vpce-x", Service: logs, Type: Interface, State: "failed", PrivateDNS: true})
		}, "ecr.api logs", "subnet-a", "vpce-s3", ""},
		{"one that waits to be accepted is", func(v *VPC, _ *Request) {
			v.Endpoints = append(v.Endpoints, Endpoint{ID: "vpce-x", Service: logs, Type: Interface, State: "pendingacceptance", PrivateDNS: true})
		}, "", "", "", "taken by vpce-x, which is pendingacceptance"},
		{"a hosted zone of the name is adopted", func(v *VPC, _ *Request) {
			v.Zones = []HostedZone{{ID: "Z1", Name: "logs.us-east-1.amazonaws.com", Account: "999999999999"}}
		}, "ecr.api", "subnet-a", "Z1 vpce-s3", ""},
		{"one of a parent domain is not in the way", func(v *VPC, _ *Request) {
			v.Zones = []HostedZone{{ID: "Z1", Name: "us-east-1.amazonaws.com"}}
		}, "ecr.api logs", "subnet-a", "vpce-s3", ""},
		{"subnets of another account", func(v *VPC, _ *Request) { v.SharedBy = "999999999999" }, "", "", "", "shared by account 999999999999, and only the owner can create endpoints there"},
		{"subnets of another account, with everything in them", func(v *VPC, r *Request) {
			v.SharedBy, r.Services = "999999999999", r.Services[2:]
		}, "", "subnet-a", "vpce-s3", ""},
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

func TestServicesOfFewZonesAreBilledForThese(t *testing.T) {
	v, r := myVPC(), request(t, "s3", "logs", "ecr.api")
	r.Zones = 2
	v.Offered["com.amazonaws.us-east-1.logs"] = []string{"b"}
	p, err := Make(r, v)
	if err != nil || p.PerHour() != 3 || len(p.SubnetsOf("logs")) != 1 || p.SubnetsOf("logs")[0].ID != "subnet-b" || len(p.SubnetsOf("ecr.api")) != 2 {
		t.Errorf("Make = %+v, %v; want logs in zone b alone", p, err)
	}
}

// TestForeignEndpointsComeWithReasons holds each outcome to its words.
func TestForeignEndpointsComeWithReasons(t *testing.T) {
	v, r := myVPC(), request(t, "s3", "logs", "ecr.api", "ecr.dkr", "kms")
	name := func(id ServiceID) string { return "com.amazonaws.us-east-1." + string(id) }
	v.Endpoints = append(v.Endpoints,
		Endpoint{ID: "vpce-1", Service: name("logs"), Type: Interface, State: "available", PrivateDNS: true, RequesterManaged: true},
		Endpoint{ID: "vpce-2", Service: name("ecr.api"), Type: Interface, State: "available"},
		Endpoint{ID: "vpce-3", Service: name("kms"), Type: Interface, State: "rejected", PrivateDNS: true},
		Endpoint{ID: "vpce-4", Service: name("s3"), Type: Gateway, State: "available", RouteTables: []string{"rtb-7"}})
	v.Endpoints[0], v.Endpoints[4] = v.Endpoints[4], v.Endpoints[0]
	v.Zones = []HostedZone{{ID: "Z1", Name: "dkr.ecr.us-east-1.amazonaws.com", Account: "999999999999"}}
	p, err := Make(r, v)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range p.Adopt {
		got = append(got, string(a.Service)+" "+a.Endpoint+" "+a.Why)
	}
	for _, s := range p.Skip {
		got = append(got, string(s.Service)+" "+s.Endpoint+" not: "+s.Why)
	}
	for i, want := range []string{"ecr.dkr Z1 the private hosted zone of account 999999999999", "logs vpce-1 an AWS service created it", "s3 vpce-s3 it is on all route tables",
		"ecr.api vpce-2 not: its private DNS is off", "kms vpce-3 not: it is rejected", "s3 vpce-4 not: it is not on all of the route tables rtb-1"} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("reason %d of %q, want %s", i, got, want)
		}
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

func TestBillsAndPricesAreAskedForInThePartition(t *testing.T) {
	for _, tt := range []struct{ region, want string }{{"eu-west-1", "us-east-1"}, {"cn-north-1", "cn-northwest-1"}, {"us-gov-west-1", ""}, {"eusc-de-east-1", ""}} {
		got, err := BillingRegion(tt.region)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("BillingRegion(%s) = %q, %v, want %q", tt.region, got, err, tt.want)
		}
	}
}
