package cfn

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"drawbridge/endpoints"
)

var update = flag.Bool("update", false, "write the golden files anew")

func services(t *testing.T, ids ...endpoints.ServiceID) []endpoints.Service {
	t.Helper()
	s, err := endpoints.Resolve(ids)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTemplateGoldenFiles(t *testing.T) {
	base := Spec{Owner: "drawbridge", Set: "main", Region: "us-east-1", VPC: "vpc-0a1b2c3d4e5f60001", Subnets: []string{"subnet-0a1b2c3d4e5f60002", "subnet-0a1b2c3d4e5f60001"}}
	groups, gateway := base, base
	groups.Services, groups.SecurityGroups = services(t, "codedeploy", "ecr.api", "ecr.dkr", "logs", "secretsmanager"), []string{"sg-0a1b2c3d4e5f60002", "sg-0a1b2c3d4e5f60001"}
	gateway.Services, gateway.SecurityGroups, gateway.RouteTables = services(t, endpoints.Default()...), []string{"sg-0a1b2c3d4e5f60001"}, []string{"rtb-0a1b2c3d4e5f60001"}
	for name, spec := range map[string]Spec{"groups": groups, "gateway": gateway} {
		t.Run(name, func(t *testing.T) {
			got, err := Template(spec)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the template of %s differs from %s (%v); go test ./cfn -update writes it anew", name, path, err)
			}
			if bytes.Contains(got, []byte("0.0.0.0/0")) || bytes.Contains(got, []byte("AWS::EC2::RouteTable")) {
				t.Error("the template opens something to everybody, or makes a route table")
			}
			if len(got) > 51200 {
				t.Errorf("%d bytes, CloudFormation takes 51200", len(got))
			}
		})
	}
}

func TestTemplateDoesNotDependOnOrder(t *testing.T) {
	a := Spec{Set: "s", Region: "us-east-1", Services: services(t, "logs", "kms"), SecurityGroups: []string{"sg-1", "sg-2", "sg-1"}, Subnets: []string{"b", "a"}}
	b := a
	b.SecurityGroups, b.Subnets = []string{"sg-2", "sg-1"}, []string{"a", "b"}
	b.Services = []endpoints.Service{a.Services[1], a.Services[0]}
	x, _ := Template(a)
	y, err := Template(b)
	if err != nil || !bytes.Equal(x, y) {
		t.Errorf("the same spec in another order gives other bytes (%v)", err)
	}
}

func TestTemplateRefusesWhatIsOpenOrEmpty(t *testing.T) {
	for _, tt := range []struct {
		name, failure string
		spec          Spec
	}{
		{"no services", "no endpoint to create", Spec{Set: "s", SecurityGroups: []string{"sg-1"}}},
		{"nobody may reach them", "no security group", Spec{Set: "s", Services: services(t, "logs")}},
	} {
		if _, err := Template(tt.spec); err == nil || !strings.Contains(err.Error(), tt.failure) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.failure)
		}
	}
}

func TestLogicalID(t *testing.T) {
	for id, want := range map[endpoints.ServiceID]string{"ecr.api": "EcrApiEndpoint", "codedeploy-commands-secure": "CodedeployCommandsSecureEndpoint", "s3": "S3Endpoint"} {
		if got := LogicalID(id); got != want {
			t.Errorf("LogicalID(%s) = %s, want %s", id, got, want)
		}
	}
}

// TestEveryStackStatusHasItsAnswer holds the table against the SDK's own list of
// statuses, so that a new one is noticed.
func TestEveryStackStatusHasItsAnswer(t *testing.T) {
	for _, status := range types.StackStatus("").Values() {
		if _, ok := states[string(status)]; !ok {
			t.Errorf("status %s has no answer", status)
		}
	}
	for status, want := range map[string]State{
		"CREATE_IN_PROGRESS": Busy, "CREATE_COMPLETE": Complete, "UPDATE_COMPLETE": Complete, "IMPORT_COMPLETE": Complete, "UPDATE_ROLLBACK_COMPLETE": RolledBack,
		"IMPORT_ROLLBACK_COMPLETE": Complete, "CREATE_FAILED": Broken, "ROLLBACK_IN_PROGRESS": RollingBack, "ROLLBACK_COMPLETE": Broken, "ROLLBACK_FAILED": DeleteFailed,
		"DELETE_FAILED": DeleteFailed, "DELETE_IN_PROGRESS": Deleting, "DELETE_COMPLETE": Missing, "REVIEW_IN_PROGRESS": Broken, "UPDATE_IN_PROGRESS": Busy,
		"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": Busy, "UPDATE_ROLLBACK_IN_PROGRESS": Busy, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": Busy, "IMPORT_IN_PROGRESS": Busy,
		"IMPORT_ROLLBACK_IN_PROGRESS": Busy, "UPDATE_FAILED": Broken, "UPDATE_ROLLBACK_FAILED": Broken, "IMPORT_ROLLBACK_FAILED": Broken,
		"A_STATUS_OF_TOMORROW": Busy,
	} {
		if got := StateOf(status); got != want {
			t.Errorf("StateOf(%s) = %s, want %s", status, got, want)
		}
	}
}

func TestExplainGivesTheRemedy(t *testing.T) {
	reason := `private-dns-enabled cannot be set because there is already a conflicting DNS domain for logs.us-east-1.amazonaws.com in the VPC vpc-1`
	if got := Explain(reason); !strings.HasPrefix(got, reason+"; ") || !strings.Contains(got, "leave the service out") {
		t.Errorf("Explain = %s", got)
	}
	denied := "API: ec2:CreateTags User: arn:aws:sts::123456789012:assumed-role/drawbridge-cloudformation/x is not authorized to perform: ec2:CreateTags on resource: arn:aws:ec2:us-east-1:123456789012:vpc-endpoint/*"
	if got := Explain("Resource: " + denied[len("API: "):]); !strings.Contains(got, "role drawbridge-cloudformation lacks ec2:CreateTags") {
		t.Errorf("Explain of a denial = %s", got)
	}
	for _, by := range []string{"with an explicit deny in a service control policy", "because no permissions boundary allows the ec2:CreateTags action"} {
		if got := Explain("Resource: " + denied[len("API: "):] + " " + by); !strings.Contains(got, by) || strings.Contains(got, "deploy") {
			t.Errorf("Explain of what another policy forbids = %s", got)
		}
	}
	if got := Explain("something new"); got != "something new" {
		t.Errorf("Explain of an unknown reason = %s", got)
	}
}

func TestSetOf(t *testing.T) {
	s := NewStacks(nil, "drawbridge", "role")
	for stack, want := range map[string]string{
		"arn:aws:cloudformation:us-east-1:123456789012:stack/drawbridge-set-main/6f25": "main",
		"drawbridge-set-main": "main",
		"drawbridge-base":     "",
		"other-set-main":      "",
	} {
		if got, ok := s.SetOf(stack); got != want && ok || ok != (want != "") {
			t.Errorf("SetOf(%s) = %s, %v, want %q", stack, got, ok, want)
		}
	}
}

// described answers DescribeStacks with one stack.
type described struct {
	stackAPI
	tags map[string]string
}

func (d described) DescribeStacks(context.Context, *cloudformation.DescribeStacksInput,
	...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error) {
	st := types.Stack{StackId: aws.String("arn"), StackStatus: types.StackStatusCreateComplete}
	for k, v := range d.tags {
		st.Tags = append(st.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	return &cloudformation.DescribeStacksOutput{Stacks: []types.Stack{st}}, nil
}

func TestPromise7AStackIsOursByBothItsTags(t *testing.T) {
	for _, tt := range []struct {
		owner, set string
		want       State
	}{
		{"drawbridge", "main", Complete}, {"", "main", Foreign}, {"other", "main", Foreign}, {"drawbridge", "", Foreign},
		{"drawbridge", "other", Foreign},
	} {
		s := NewStacks(described{tags: map[string]string{OwnerTag: tt.owner, SetTag: tt.set, GenerationTag: "7"}}, "drawbridge", "role")
		got, err := s.Describe(t.Context(), "main", "")
		if err != nil || got.State != tt.want || got.Generation != 7 {
			t.Errorf("with owner %q and set %q it is %s, generation %d, %v; want %s", tt.owner, tt.set, got.State, got.Generation, err, tt.want)
		}
	}
}

// TestWhatAdditionsAddIsKnown: the security group of each, in outputs that have room for
// what CloudFormation puts in.
func TestWhatAdditionsAddIsKnown(t *testing.T) {
	b := Base{Name: "drawbridge", Region: "us-east-1"}
	for i := range 200 {
		b.Sets = append(b.Sets, BaseSet{Name: fmt.Sprintf("a-set-with-a-name-of-%d", i), VPC: fmt.Sprintf("vpc-%017x", i), EndpointGroups: []string{"sg-1"}})
	}
	for _, name := range []string{"One", "Other"} {
		b.Additions = append(b.Additions, Addition{TaskGroup: &TaskGroup{Job: name, Set: b.Sets[0].Name, ID: name + "Group"}})
	}
	outputs := map[string]string{}
	for n, part := range b.installed() {
		text := regexp.MustCompile(`\$\{(\w+)\.GroupId\}`).ReplaceAllString(part, "sg-0123456789abcdef0")
		if len(text) > maxOutput {
			t.Errorf("output %d has %d characters, more than %d", n+1, len(text), maxOutput)
		}
		name := installedOutput
		if n > 0 {
			name += strconv.Itoa(n + 1)
		}
		outputs[name] = text
	}
	in, err := InstalledOf(outputs)
	if err != nil || len(in.Sets) != 200 || len(in.TaskGroups) != 2 {
		t.Errorf("%d sets and groups %v are known (%v), want 200 and two", len(in.Sets), in.TaskGroups, err)
	}
}
