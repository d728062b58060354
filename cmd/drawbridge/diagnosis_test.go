package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/internal/awssim"
	"drawbridge/internal/clock"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/view"
)

// missing are ways for a task to lack what it needs: each a job of a set of its
// own VPC, unless it shares one.
var missing = []struct {
	job, set, services string
	more               string // of the job's configuration
	container          func(*ecstypes.ContainerDefinition)
	cause, says        string
}{
	{"no-login", "api", "ecr.dkr, logs, s3", "", nil, "missing-endpoint", "could not log in to ECR for its image 123456789012.dkr.ecr.us-east-1.amazonaws.com/no-login:latest: set api has no ecr.api endpoint; add ecr.api to the set's services, or set services: auto"},
	{"no-pull", "dkr", "ecr.api, logs, s3", "", nil, "missing-endpoint", "could not pull its image 123456789012.dkr.ecr.us-east-1.amazonaws.com/no-pull:latest: set dkr has no ecr.dkr endpoint"},
	{"no-log", "logs", "ecr.api, ecr.dkr, s3", "", nil, "missing-endpoint", "could not open its log in /drawbridge/no-log: set logs has no logs endpoint"},
	{"no-layers", "s3", "ecr.api, ecr.dkr, logs", "", nil, "missing-endpoint", "could not fetch the layers of its image 123456789012.dkr.ecr.us-east-1.amazonaws.com/no-layers:latest from S3: vpc-"},
	{"no-file", "s3", "", "", func(c *ecstypes.ContainerDefinition) {
		c.EnvironmentFiles = []ecstypes.EnvironmentFile{{Value: aws.String("arn:aws:s3:::settings/web.env"), Type: ecstypes.EnvironmentFileTypeS3}}
	}, "missing-endpoint", "could not fetch its environment file arn:aws:s3:::settings/web.env"},
	{"no-secret", "plain", "ecr.api, ecr.dkr, logs, s3", "", secretFrom("arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf"), "missing-endpoint", "container no-secret could not fetch its secret TOKEN: set plain has no secretsmanager endpoint"},
	{"no-parameter", "plain", "", "", secretFrom("/web/token"), "missing-endpoint", "could not fetch its parameter TOKEN: set plain has no ssm endpoint"},
	{"far-secret", "plain", "", "", secretFrom("arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf"), "other-region", "is in eu-west-1, but the task runs in us-east-1; replicate it to us-east-1"},
	{"docker-hub", "plain", "", "", func(c *ecstypes.ContainerDefinition) { c.Image = aws.String("nginx:1") }, "no-endpoint-serves", "could not pull its image nginx:1: Docker Hub has no endpoint; push it to a private ECR repository in us-east-1"},
	{"no-group", "plain", "", "", func(c *ecstypes.ContainerDefinition) { c.LogConfiguration.Options["awslogs-group"] = "/none" }, "not-found", "could not open its log in /none: the log group does not exist; create it"},
	{"lost-log", "plain", "", "", func(c *ecstypes.ContainerDefinition) {
		c.LogConfiguration = &ecstypes.LogConfiguration{LogDriver: ecstypes.LogDriverAwsfirelens, Options: map[string]string{"Name": "kinesis_firehose"}}
	}, "logs-lost", "exit code 0; container lost-log lost its log: FireLens could not reach kinesis-firehose"},
	{"closed", "closed", "ecr.api, ecr.dkr, logs, s3", "", nil, "endpoint-security-group", "the security groups (sg-0000000000000c105) of endpoint vpce-"},
	{"mute", "mute", "ecr.api, ecr.dkr, logs, s3", "securityGroups: [sg-00000000000000e0]", nil, "task-security-group", "the task's security groups (sg-00000000000000e0) do not allow HTTPS out to endpoint vpce-"},
	{"forbidden", "policy", "ecr.api, ecr.dkr, logs, s3, secretsmanager", "", secretFrom("arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf"), "endpoint-policy", "does not allow secretsmanager:GetSecretValue; allow it there on arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf"},
	{"nameless", "names", "ecr.api, ecr.dkr, logs, s3", "", secretFrom("/web/token"), "private-dns-off", "of ssm has private DNS off, and set names has none of its own; add ssm"},
	{"unrouted", "late", "ecr.api, ecr.dkr, logs, s3", "", nil, "missing-route", "is not on the route table of subnet-"},
	{"robbed", "late", "", "", nil, "endpoint-gone", "the logs endpoint of set late is gone, and Drawbridge did not delete it"},
}

func secretFrom(valueFrom string) func(*ecstypes.ContainerDefinition) {
	return func(c *ecstypes.ContainerDefinition) {
		c.Secrets = []ecstypes.Secret{{Name: aws.String("TOKEN"), ValueFrom: aws.String(valueFrom)}}
	}
}

// TestRunsNamesWhatWasMissing lets tasks fail in each way, with the real functions,
// and holds drawbridge runs to the cause.
func TestRunsNamesWhatWasMissing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "drawbridge.yaml")
	if err := os.WriteFile(file, []byte(missingConfig()), 0o600); err != nil {
		t.Fatal(err)
	}
	a := open(t, file, "--start", "2026-05-14T09:02:00Z") // all of it lies in one paid hour
	for k, v := range map[string]string{"DRAWBRIDGE_CONFIG": file, "AWS_ENDPOINT_URL": a.endpoint, clock.Variable: a.endpoint + "/_sim/clock", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"} {
		t.Setenv(k, v)
	}
	sim := awssim.New(awssim.Options{}) // for its Region alone
	defer sim.Close()
	c := sandbox.AWSConfig(sim, a.endpoint, http.DefaultTransport)
	n := &network{t, ec2.NewFromConfig(c), ecs.NewFromConfig(c)}
	n.spoil()
	for _, m := range missing {
		if m.set != "late" {
			a.run(m.job)
		}
	}
	a.run("healthy")
	a.advance(6)
	n.route("late", false)
	a.run("unrouted")
	a.advance(4)
	n.route("late", true)
	n.rob("late", "logs")
	a.run("robbed")
	a.advance(4)

	text := a.cli("runs", "-n", "0")
	var runs []view.Run
	if err := json.Unmarshal([]byte(a.cli("runs", "-n", "0", "-o", "json")), &runs); err != nil {
		t.Fatal(err)
	}
	for _, m := range missing {
		found := false
		for _, r := range runs {
			if string(r.Job) != m.job {
				continue
			}
			found = true
			if r.Cause != m.cause || !strings.Contains(r.Diagnosis, strings.TrimPrefix(m.says, "exit code 0; ")) || !strings.Contains(r.Reason, m.says) {
				t.Errorf("%s: cause %s: %s\nwant %s: ...%s...", m.job, r.Cause, r.Reason, m.cause, m.says)
			}
			if attempts := r.Attempt; r.Cause != "endpoint-gone" && attempts != 1 {
				t.Errorf("%s: %d attempts at what cannot succeed", m.job, attempts)
			}
		}
		if !found || !strings.Contains(text, m.says) {
			t.Errorf("drawbridge runs does not show %s: %s", m.job, m.says)
		}
	}
	for _, task := range a.ledger().Tasks {
		if task.HadEndpoints != strings.Contains(task.TaskDefinition, "/healthy:") && !strings.Contains(task.TaskDefinition, "/no-group:") {
			t.Errorf("task of %s had its endpoints: %t", task.TaskDefinition, task.HadEndpoints)
		}
	}
}

func missingConfig() string {
	var sets, jobs strings.Builder
	for i, m := range missing {
		if m.services != "" {
			fmt.Fprintf(&sets, "  %s: {subnets: [subnet-%017x], services: [%s]%s}\n", m.set, i+1, m.services, map[bool]string{true: ", endpointSecurityGroups: [sg-0000000000000c105]"}[m.set == "closed"])
		}
		fmt.Fprintf(&jobs, "  %s: {set: %s, cluster: c, taskDefinition: %s, %s}\n", m.job, m.set, m.job, m.more)
	}
	return "sets:\n" + sets.String() + "jobs:\n" + jobs.String() + "  healthy: {set: late, cluster: c, taskDefinition: healthy}\n"
}

func (a *account) run(job string) {
	a.t.Helper()
	a.cli("run", job, "--id", "x")
}

// cli carries out a verb and returns what it prints.
func (a *account) cli(args ...string) string {
	a.t.Helper()
	var out, errs bytes.Buffer
	if code := run(a.t.Context(), args, &out, &errs); code != exitDone {
		a.t.Fatalf("drawbridge %s: exit code %d: %s", strings.Join(args, " "), code, errs.String())
	}
	return out.String()
}

// network is what somebody may spoil in the account.
type network struct {
	t   *testing.T
	ec2 *ec2.Client
	ecs *ecs.Client
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// spoil changes task definitions, security groups and endpoints as missing says.
func (n *network) spoil() {
	ctx := n.t.Context()
	for _, m := range missing {
		if m.container != nil {
			d := must[*ecs.DescribeTaskDefinitionOutput](n.t)(n.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(m.job)})).TaskDefinition
			m.container(&d.ContainerDefinitions[0])
			must[*ecs.RegisterTaskDefinitionOutput](n.t)(n.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
				Family: d.Family, ContainerDefinitions: d.ContainerDefinitions, ExecutionRoleArn: d.ExecutionRoleArn, TaskRoleArn: d.TaskRoleArn, Cpu: d.Cpu, Memory: d.Memory,
				NetworkMode: d.NetworkMode, RequiresCompatibilities: d.RequiresCompatibilities,
			}))
		}
	}
	in := n.group("sg-0000000000000c105")
	must[*ec2.RevokeSecurityGroupIngressOutput](n.t)(n.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: in.GroupId, IpPermissions: in.IpPermissions}))
	out := n.group("sg-00000000000000e0")
	must[*ec2.RevokeSecurityGroupEgressOutput](n.t)(n.ec2.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: out.GroupId, IpPermissions: out.IpPermissionsEgress}))
	n.foreign("policy", "secretsmanager", true, `{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:GetSecretValue", "Resource": "arn:aws:secretsmanager:*:*:secret:other-*"}]}`)
	n.foreign("names", "ssm", false, "")
}

func (n *network) group(id string) types.SecurityGroup {
	return must[*ec2.DescribeSecurityGroupsOutput](n.t)(n.ec2.DescribeSecurityGroups(n.t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})).SecurityGroups[0]
}

// subnet returns the subnet of a set.
func (n *network) subnet(set string) types.Subnet {
	for i, m := range missing {
		if m.set == set {
			id := fmt.Sprintf("subnet-%017x", i+1)
			return must[*ec2.DescribeSubnetsOutput](n.t)(n.ec2.DescribeSubnets(n.t.Context(), &ec2.DescribeSubnetsInput{SubnetIds: []string{id}})).Subnets[0]
		}
	}
	n.t.Fatalf("no set %s", set)
	return types.Subnet{}
}

// foreign makes an endpoint in the VPC of a set that is not Drawbridge's.
func (n *network) foreign(set, service string, privateDNS bool, policy string) {
	sub := n.subnet(set)
	groups := must[*ec2.DescribeSecurityGroupsOutput](n.t)(n.ec2.DescribeSecurityGroups(n.t.Context(), &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{*sub.VpcId}}}})).SecurityGroups
	in := &ec2.CreateVpcEndpointInput{VpcId: sub.VpcId, ServiceName: aws.String("com.amazonaws.us-east-1." + service), VpcEndpointType: types.VpcEndpointTypeInterface, SubnetIds: []string{*sub.SubnetId}, PrivateDnsEnabled: aws.Bool(privateDNS)}
	for _, g := range groups {
		if strings.HasSuffix(*g.Description, ": endpoints") {
			in.SecurityGroupIds = []string{*g.GroupId}
		}
	}
	if policy != "" {
		in.PolicyDocument = aws.String(policy)
	}
	must[*ec2.CreateVpcEndpointOutput](n.t)(n.ec2.CreateVpcEndpoint(n.t.Context(), in))
}

// endpoint returns the endpoint of a service in the VPC of a set.
func (n *network) endpoint(set, service string) types.VpcEndpoint {
	out := must[*ec2.DescribeVpcEndpointsOutput](n.t)(n.ec2.DescribeVpcEndpoints(n.t.Context(), &ec2.DescribeVpcEndpointsInput{Filters: []types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{*n.subnet(set).VpcId}}, {Name: aws.String("service-name"), Values: []string{"com.amazonaws.us-east-1." + service}}}}))
	if len(out.VpcEndpoints) != 1 {
		n.t.Fatalf("%d endpoints of %s in the VPC of %s", len(out.VpcEndpoints), service, set)
	}
	return out.VpcEndpoints[0]
}

// route takes the S3 gateway of a set off its route table, or puts it there.
func (n *network) route(set string, on bool) {
	e := n.endpoint(set, "s3")
	tables := must[*ec2.DescribeRouteTablesOutput](n.t)(n.ec2.DescribeRouteTables(n.t.Context(), &ec2.DescribeRouteTablesInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{*e.VpcId}}}})).RouteTables
	in := &ec2.ModifyVpcEndpointInput{VpcEndpointId: e.VpcEndpointId}
	for _, table := range tables {
		if on {
			in.AddRouteTableIds = append(in.AddRouteTableIds, *table.RouteTableId)
		} else {
			in.RemoveRouteTableIds = append(in.RemoveRouteTableIds, *table.RouteTableId)
		}
	}
	must[*ec2.ModifyVpcEndpointOutput](n.t)(n.ec2.ModifyVpcEndpoint(n.t.Context(), in))
}

// rob deletes an endpoint of a set.
func (n *network) rob(set, service string) {
	must[*ec2.DeleteVpcEndpointsOutput](n.t)(n.ec2.DeleteVpcEndpoints(n.t.Context(), &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{*n.endpoint(set, service).VpcEndpointId}}))
}
