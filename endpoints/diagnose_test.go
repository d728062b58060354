package endpoints

import (
	"slices"
	"strings"
	"testing"
)

// definition has one container with everything that can make a start fail.
const definition = `{"taskDefinition":{"taskDefinitionArn":"arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1","requiresCompatibilities":["FARGATE"],"containerDefinitions":[
 {"name":"web","image":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1",
  "secrets":[{"name":"OTHER","valueFrom":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:other-AbCdEf"},{"name":"TOKEN","valueFrom":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf:key::"},
             {"name":"FAR","valueFrom":"arn:aws:secretsmanager:us-east-1:123456789012:secret:far-AbCdEf"},{"name":"PARAM","valueFrom":"/web/param"}],
  "environmentFiles":[{"value":"arn:aws:s3:::bucket/web.env","type":"s3"}],
  "logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"/web","awslogs-region":"eu-west-1"}}},
 {"name":"hub","image":"nginx:1"}]}}`

// Texts of Fargate, as collected in testdata/stopped.json.
const (
	noLogin  = `ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. RequestError: send request failed caused by: Post "https://api.ecr.eu-west-1.amazonaws.com/": dial tcp 172.40.1.94:443: i/o timeout`
	noPull   = `CannotPullContainerError: Error response from daemon: Get https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/v2/: net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`
	noLayers = `error pulling image configuration: Get https://prod-eu-west-1-starport-layer-bucket.s3.amazonaws.com/00000000?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-A`
	noHub    = `CannotPullContainerError: Error response from daemon: Get https://registry-1.docker.io/v2/: net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`
	noSecret = `ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 5 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf from secrets manager: RequestCanceled: request context canceled caused by: context deadline exceeded. Please check your task network configuration.`
	noParam  = `ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secrets from ssm: The task cannot pull secrets from AWS Systems Manager. There is a connection issue between the task and AWS Systems Manager Parameter Store. Check your task network configuration. RequestCanceled: request context canceled caused by: context deadline exceeded`
	noLog    = `ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon CloudWatch log group defined in the task definition. There is a connection issue between the task and Amazon CloudWatch. Check your network configuration. : signal: killed`
	noFile   = `ResourceInitializationError: failed to download env files: file download command: non-empty error stream: RequestCanceled: request context cancelled caused by: context deadline exceeded`
	denial   = `ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf from secrets manager: AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/exec/x is not authorized to perform: secretsmanager:GetSecretValue on resource: x because no identity-based policy allows the secretsmanager:GetSecretValue action status code: 400`
)

// healthy returns a scene without faults.
func healthy() Scene {
	open := []Rule{{Protocol: "-1", CIDRs: []string{everywhere}}}
	s := Scene{
		Set: "main", Region: "eu-west-1", Services: []ServiceID{"ecr.api", "ecr.dkr", "logs", "s3", "secretsmanager", "ssm"}, Subnets: []string{"subnet-1"}, Groups: []string{"sg-task"},
		VPC: VPC{ID: "vpc-1", DNSSupport: true, DNSHostnames: true, Subnets: []Subnet{{ID: "subnet-1", VPC: "vpc-1", CIDR: "10.0.1.0/24", RouteTable: "rtb-1"}}},
		SecurityGroups: map[string]SecurityGroup{
			"sg-task": {ID: "sg-task", Egress: open},
			"sg-vpce": {ID: "sg-vpce", Ingress: []Rule{{Protocol: "tcp", From: 443, To: 443, Groups: []string{"sg-task"}}}},
		},
		Definition: []byte(definition),
	}
	for _, id := range s.Services {
		svc, _ := Lookup(id)
		e := Endpoint{ID: "vpce-" + string(id), Service: svc.Name("eu-west-1"), Type: svc.Type, State: "available", PrivateDNS: svc.Type == Interface, SecurityGroups: []string{"sg-vpce"}, Subnets: []string{"subnet-1"}}
		if svc.Type == Gateway {
			e.SecurityGroups, e.Subnets, e.RouteTables = nil, nil, []string{"rtb-1"}
		}
		s.VPC.Endpoints = append(s.VPC.Endpoints, e)
	}
	return s
}

// change returns a change of the endpoint of a service.
func change(id ServiceID, f func(*Endpoint)) func(*Scene) {
	return func(s *Scene) {
		for i := range s.VPC.Endpoints {
			if s.VPC.Endpoints[i].ID == "vpce-"+string(id) {
				f(&s.VPC.Endpoints[i])
			}
		}
	}
}

// without removes a service from set and VPC.
func without(id ServiceID) func(*Scene) {
	return func(s *Scene) {
		s.Services = slices.DeleteFunc(s.Services, func(x ServiceID) bool { return x == id })
		s.VPC.Endpoints = slices.DeleteFunc(s.VPC.Endpoints, func(e Endpoint) bool { return e.ID == "vpce-"+string(id) })
	}
}

func group(id string, g SecurityGroup) func(*Scene) {
	return func(s *Scene) { s.SecurityGroups[id] = g }
}

func TestDiagnose(t *testing.T) {
	tcp := func(from, to int, cidr string) []Rule {
		return []Rule{{Protocol: "tcp", From: from, To: to, CIDRs: []string{cidr}}}
	}
	policy := func(text string) func(*Endpoint) { return func(e *Endpoint) { e.Policy = text } }
	for _, tt := range []struct {
		name, text string
		change     func(*Scene)
		cause      Cause
		says       string
		lasting    bool
	}{
		{"no ecr.api", noLogin, without("ecr.api"), MissingEndpoint, "container web could not log in to ECR for its image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1: set main has no ecr.api endpoint; add ecr.api to the set's services, or set services: auto", true},
		{"no ecr.dkr", noPull, without("ecr.dkr"), MissingEndpoint, "container web could not pull its image", true},
		{"no gateway", noLayers, without("s3"), MissingEndpoint, "could not fetch the layers of its image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1 from S3: vpc-1 has no s3 gateway endpoint; drawbridge deploy creates it", true},
		{"no secretsmanager", noSecret, without("secretsmanager"), MissingEndpoint, "container web could not fetch its secret TOKEN: set main has no secretsmanager endpoint", true},
		{"no ssm", noParam, without("ssm"), MissingEndpoint, "container web could not fetch its parameter PARAM: set main has no ssm endpoint", true},
		{"no logs", noLog, without("logs"), MissingEndpoint, "container web could not open its log in /web: set main has no logs endpoint", true},
		{"an environment file without the gateway", noFile, without("s3"), MissingEndpoint, "could not fetch its environment file arn:aws:s3:::bucket/web.env", true},
		{"a registry without an endpoint", noHub, nil, NoEndpointServes, "container hub could not pull its image nginx:1: Docker Hub has no endpoint; push it to a private ECR repository in eu-west-1", true},
		{"a secret of another Region", strings.ReplaceAll(noSecret, "eu-west-1:123456789012:secret:token", "us-east-1:123456789012:secret:far"), nil, OtherRegion, "container web could not fetch its secret FAR: secret", false},
		{"an endpoint that somebody deleted", noLog, func(s *Scene) { s.VPC.Endpoints = nil }, EndpointGone, "the logs endpoint of set main is gone", false},
		{"an endpoint in deletion", noLog, change("logs", func(e *Endpoint) { e.State = "deleting" }), EndpointGone, "is gone", false},
		{"an endpoint that is pending", noLog, change("logs", func(e *Endpoint) { e.State = "pending" }), EndpointNotReady, "endpoint vpce-logs of logs is pending", false},
		{"everything in its place", noLog, nil, EndpointNotReady, "increase the set's settle time", false},
		{"private DNS off", noLog, change("logs", func(e *Endpoint) { e.PrivateDNS = false }), PrivateDNSOff, "endpoint vpce-logs of logs has private DNS off", true},
		{"a hosted zone that leads nowhere", noLog, func(s *Scene) {
			without("logs")(s)
			s.VPC.Zones = []HostedZone{{ID: "Z1", Name: "logs.eu-west-1.amazonaws.com", Account: "999999999999"}}
		}, HostedZoneAnswers, "private hosted zone Z1 of account 999999999999 answers for logs.eu-west-1.amazonaws.com in vpc-1", false},
		{"one with private DNS off beside one that serves", noLog, func(s *Scene) {
			s.VPC.Endpoints = append([]Endpoint{{ID: "vpce-0", Service: "com.amazonaws.eu-west-1.logs", Type: Interface, State: "available"}}, s.VPC.Endpoints...)
		}, EndpointNotReady, "endpoint vpce-logs", false},
		{"no DNS in the VPC", noLog, func(s *Scene) { s.VPC.DNSHostnames = false }, DNSOff, "vpc-1 has enableDnsHostnames off, which private DNS requires; turn it on: aws ec2 modify-vpc-attribute", true},
		{"a closed endpoint", noLog, group("sg-vpce", SecurityGroup{Ingress: tcp(80, 80, everywhere)}), EndpointClosed, "the security groups (sg-vpce) of endpoint vpce-logs do not allow HTTPS in from the task (sg-task); allow TCP 443 in from sg-task", true},
		{"an endpoint open to another subnet", noLog, group("sg-vpce", SecurityGroup{Ingress: tcp(443, 443, "10.0.2.0/24")}), EndpointClosed, "do not allow HTTPS in", true},
		{"an endpoint open to the task's subnet", noLog, group("sg-vpce", SecurityGroup{Ingress: tcp(0, 65535, "10.0.0.0/16")}), EndpointNotReady, "allow the call", false},
		{"a closed task", noLog, group("sg-task", SecurityGroup{}), TaskClosed, "the task's security groups (sg-task) do not allow HTTPS out to endpoint vpce-logs; allow TCP 443 out to sg-vpce", true},
		{"a task that may reach its VPC alone, and S3", noLayers, group("sg-task", SecurityGroup{Egress: tcp(443, 443, "10.0.0.0/16")}), TaskClosed, "allow TCP 443 out to the prefix list of com.amazonaws.eu-west-1.s3", true},
		{"a task that may reach S3 alone", noLog, group("sg-task", SecurityGroup{Egress: []Rule{{Protocol: "tcp", From: 443, To: 443, PrefixLists: []string{"pl-1"}}}}), TaskClosed, "do not allow HTTPS out to endpoint vpce-logs", true},
		{"a task that may reach S3 and its VPC", noLog, group("sg-task", SecurityGroup{Egress: []Rule{{Protocol: "tcp", From: 443, To: 443, PrefixLists: []string{"pl-1"}}, {Protocol: "tcp", From: 443, To: 443, CIDRs: []string{"10.0.0.0/16"}}}}), EndpointNotReady, "", false},
		{"a task that may reach a prefix list", noLayers, group("sg-task", SecurityGroup{Egress: []Rule{{Protocol: "tcp", From: 443, To: 443, PrefixLists: []string{"pl-1"}}}}), EndpointNotReady, "", false},
		{"groups that cannot be read are not blamed", noLog, func(s *Scene) { s.SecurityGroups = nil }, EndpointNotReady, "", false},
		{"a gateway on another route table", noLayers, change("s3", func(e *Endpoint) { e.RouteTables = []string{"rtb-2"} }), MissingRoute, "gateway endpoint vpce-s3 is not on the route table of subnet-1; aws ec2 modify-vpc-endpoint --vpc-endpoint-id vpce-s3 --add-route-table-ids rtb-1", true},
		{"a way out that fails", noLog, func(s *Scene) { s.VPC.Subnets[0].WayOut = "nat-1" }, Cause(Unreached), "a default route, nat-1, but the call failed", false},
		{"a role without the right", denial, nil, Cause(Denied), "role exec is not allowed to call secretsmanager:GetSecretValue; allow it secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf", true},
		{"an endpoint policy that names another action", denial, change("secretsmanager", policy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:List*","Resource":"*"}]}`)), EndpointPolicy, "the policy of endpoint vpce-secretsmanager does not allow secretsmanager:GetSecretValue", true},
		{"an endpoint policy that names another secret", denial, change("secretsmanager", policy(`{"Statement":{"Effect":"Allow","Principal":"*","Action":["secretsmanager:*"],"Resource":"arn:aws:secretsmanager:*:*:secret:other-*"}}`)), EndpointPolicy, "allow it there on arn:aws:secretsmanager", true},
		{"an endpoint policy that allows it", denial, change("secretsmanager", policy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:Get*","Resource":"arn:aws:secretsmanager:*:*:secret:token-*"}]}`)), Cause(Denied), "role exec is not allowed to call", true},
		{"an endpoint policy that forbids it", denial, change("secretsmanager", policy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"secretsmanager:*","Resource":"*"}]}`)), EndpointPolicy, "", true},
		{"a policy that AWS names itself", strings.ReplaceAll(denial, "no identity-based policy", "no VPC endpoint policy"), nil, EndpointPolicy, "the policy of endpoint vpce-secretsmanager", true},
		{"a gateway for own principals alone keeps layers out", strings.Replace(noLayers, "?X-Amz", ": 403 Forbidden?X-Amz", 1), change("s3", policy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"123456789012"}}}]}`)), EndpointPolicy, "the policy of endpoint vpce-s3 does not allow s3:GetObject; allow it there on arn:aws:s3:::prod-eu-west-1-starport-layer-bucket", true},
		{"a log group that is missing", `ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1`, nil, Cause(NotFound), "container web could not open its log in /web: the log group does not exist; create it", true},
		{"an image for another CPU", "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'", nil, Cause(WrongPlatform), "the image was not built for the task's CPU architecture", true},
		{"too little memory", "OutOfMemoryError: Container killed due to memory usage", nil, Cause(OutOfMemory), "increase the container's or the task's memory", false},
		{"no definition to read", noSecret, func(s *Scene) { s.Definition = nil; without("secretsmanager")(s) }, MissingEndpoint, "the task did not start: set main has no secretsmanager endpoint", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := healthy()
			if tt.change != nil {
				tt.change(&s)
			}
			got := Diagnose(Stopped{Code: "TaskFailedToStart", Reason: tt.text}, s)
			if got.Cause != tt.cause || !strings.Contains(got.String(), tt.says) {
				t.Errorf("Diagnose = %s: %s\nwant %s: ...%s...", got.Cause, got, tt.cause, tt.says)
			}
			if got.Lasting != (tt.lasting || tt.cause == OtherRegion) {
				t.Errorf("lasting is %t: %s", got.Lasting, got)
			}
		})
	}
}

func TestDiagnoseNamesEveryCollectedText(t *testing.T) {
	for _, c := range collectedTexts(t) {
		got := Diagnose(Stopped{Code: c.StopCode, Reason: c.Text}, healthy())
		if got.What == "" || got.Why == "" || got.Cause == "" || strings.Contains(got.String(), "%!") {
			t.Errorf("Diagnose(%.80s) = %q, %s", c.Text, got.Cause, got)
		}
	}
}

func TestLostLogs(t *testing.T) {
	fluent := func(output string) []byte {
		return []byte(strings.Replace(definition, `"logDriver":"awslogs","options":{"awslogs-group":"/web","awslogs-region":"eu-west-1"}`, `"logDriver":"awsfirelens","options":{`+output+`}`, 1))
	}
	for _, tt := range []struct {
		name       string
		definition []byte
		change     func(*Scene)
		says       string // "" for nothing lost
	}{
		{"awslogs fails the start instead", []byte(definition), without("logs"), ""},
		{"FireLens with its endpoint", fluent(`"Name":"cloudwatch"`), nil, ""},
		{"FireLens without it", fluent(`"Name":"cloudwatch"`), without("logs"), "container web lost its log: FireLens could not reach logs: set main has no endpoint for it; add logs"},
		{"FireLens to the internet", fluent(`"Name":"datadog","Host":"x.example"`), nil, "container web lost its log: FireLens sends the log with output datadog"},
		{"no definition", nil, nil, ""},
	} {
		s := healthy()
		if s.Definition = tt.definition; tt.change != nil {
			tt.change(&s)
		}
		got, lost := LostLogs(s)
		if lost != (tt.says != "") || !strings.Contains(got.String(), tt.says) {
			t.Errorf("%s: LostLogs = %s, %t; want %q", tt.name, got, lost, tt.says)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("TaskFailedToStart", noSecret)
	f.Add("", "not authorized to perform: a:b")
	f.Fuzz(func(t *testing.T, code, text string) {
		d := Diagnose(Stopped{Code: code, Reason: text}, healthy())
		if d.Cause == "" || d.What == "" {
			t.Errorf("Diagnose(%q, %q) = %+v", code, text, d)
		}
	})
}

// TestKeepsOut distinguishes another owner's endpoint that can be adopted from one
// that blocks the tasks.
func TestKeepsOut(t *testing.T) {
	for _, tt := range []struct {
		cidr string
		want bool
	}{{"10.0.0.0/16", false}, {"10.0.1.0/24", false}, {"10.0.2.0/24", true}, {"192.168.0.0/16", true}} {
		s := Scene{VPC: VPC{Subnets: []Subnet{{ID: "subnet-1", CIDR: "10.0.1.0/24"}}}, Subnets: []string{"subnet-1"},
			SecurityGroups: map[string]SecurityGroup{"sg-theirs": {Ingress: []Rule{{Protocol: "tcp", From: 443, To: 443, CIDRs: []string{tt.cidr}}}}}}
		if got := s.KeepsOut(Endpoint{Type: Interface, SecurityGroups: []string{"sg-theirs"}}); got != tt.want {
			t.Errorf("an endpoint open to %s keeps tasks in 10.0.1.0/24 out: %t, want %t", tt.cidr, got, tt.want)
		}
	}
}
