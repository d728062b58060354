package install_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"drawbridge/cfn"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	deployments "drawbridge/internal/deployments/wing"
	"drawbridge/internal/install"
	"drawbridge/internal/mirror/wing"
	"drawbridge/internal/sandbox"
)

var update = flag.Bool("update", false, "write the expected files anew")

// base returns the base stack of a configuration in a sandbox's account.
func base(t *testing.T, text string) cfn.Base {
	t.Helper()
	b, err := planned(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func planned(t *testing.T, text string) (cfn.Base, error) {
	t.Helper()
	c, err := config.Parse("drawbridge.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	sim := awssim.New(awssim.Options{})
	defer sim.Close()
	facts, err := sandbox.Account(sim, c)
	if err != nil {
		t.Fatal(err)
	}
	in, err := facts.Resolve(c)
	if err != nil {
		return cfn.Base{}, err
	}
	return install.Base(in, facts, "arm64")
}

func hello(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/hello/drawbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mirrorExample(t *testing.T) string {
	t.Helper()
	return example(t, "mirror")
}

func deploymentsExample(t *testing.T) string {
	t.Helper()
	return example(t, "deployments")
}

func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/" + name + "/drawbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// everything uses every key that the base stack depends on.
const everything = `
name: team-a
mode: active
ecsCluster: jobs
logRetention: 90
reservedConcurrency: 5
permissionsBoundary: arn:aws:iam::123456789012:policy/boundary
alarmTopic: arn:aws:sns:us-east-1:123456789012:alarms
paidHoursAlarm: 100
sets:
  build:
    subnets: [subnet-0a1b2c3d4e5f60011]
    services: [codedeploy, ecr.api, ecr.dkr, logs, s3]
    s3Gateway: set
    endpointSecurityGroups: [sg-0a1b2c3d4e5f60019]
    maxLifetime: 12h
    hoursPerDay: 40
    overBudget: fail
  mirror:
    subnets: [subnet-0a1b2c3d4e5f60021, subnet-0a1b2c3d4e5f60022]
    services: auto
    zones: 2
jobs:
  build:
    set: build
    cluster: jobs
    taskDefinition: build:7
    on:
      - source: [aws.s3]
        detail-type: [Object Created]
  mirror:
    set: mirror
    cluster: arn:aws:ecs:us-east-1:123456789012:cluster/shared
    taskDefinition: arn:aws:ecs:us-east-1:123456789012:task-definition/mirror:3
    services: [git-codecommit]
    securityGroups: [sg-0a1b2c3d4e5f60029]
`

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not as it should be (%v); go test ./internal/install -update writes it anew", path, err)
	}
}

func TestBaseTemplateGoldenFiles(t *testing.T) {
	for path, text := range map[string]string{"../../cfn/templates/base.yaml": hello(t), "testdata/everything.yaml": everything, "testdata/observe.yaml": strings.Replace(everything, "mode: active", "mode: observe", 1), "testdata/mirror.yaml": mirrorExample(t), "testdata/deployments.yaml": deploymentsExample(t)} {
		b := base(t, text)
		got, err := b.Template()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, path, got)
		again, err := base(t, text).Template()
		if err != nil || !bytes.Equal(got, again) {
			t.Errorf("%s: the same configuration gives other bytes (%v)", path, err)
		}
		if bytes.Contains(got, []byte("0.0.0.0/0")) || bytes.Contains(got, []byte("::/0")) {
			t.Errorf("%s opens something to everybody", path)
		}
		if compact, err := b.JSON(); err != nil || len(compact) > 51200 {
			t.Errorf("%s: %d bytes, %v; CloudFormation takes 51200 without a bucket", path, len(compact), err)
		}
	}
}

// TestManyRepositories deploys a mirror of many, whose names are as odd as they may be,
// into the sandbox: within IAM's limits, with every right and every alarm.
func TestManyRepositories(t *testing.T) {
	text := func(n int) string {
		var out strings.Builder
		out.WriteString("ecsCluster: c\nsets:\n  main: {subnets: [subnet-0a1b2c3d4e5f60001], services: auto}\nmirror:\n  set: main\n  repositories:\n")
		for i := range n {
			for _, name := range []string{"my_app.%d", "my-app-%d", "MyApp%d"} {
				name = fmt.Sprintf(name, i)
				fmt.Fprintf(&out, "    %s:\n      source: {url: https://git.corp.example/%s.git, secret: \"arn:aws:secretsmanager:us-east-1:123456789012:secret:mirror/%s-AbCdEf\"}\n      target: {codecommit: %s, create: true}\n", name, name, name, name)
			}
		}
		return out.String()
	}
	b := base(t, text(33))
	body, err := b.JSON()
	if err != nil {
		t.Fatal(err)
	}
	sim := awssim.New(awssim.Options{})
	defer sim.Close()
	c, err := config.Parse("drawbridge.yaml", []byte(text(33)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.Install(sim, c, sandbox.Functions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"my_app.7", "my-app-32", "MyApp0"} {
		if n := strings.Count(string(body), ":codecommit:${AWS::Region}:${AWS::AccountId}:"+want+`"`); n != 2 {
			t.Errorf("%s is in %d statements, want two: pull and push, and create", want, n)
		}
	}
	if n := strings.Count(string(body), "MirrorInSync"); n != 99 {
		t.Errorf("%d alarms, want one for each of 99 repositories", n)
	}
	_, err = planned(t, text(80))
	if err == nil || !strings.Contains(err.Error(), "split the repositories") && !strings.Contains(err.Error(), "has room for") {
		t.Errorf("240 repositories: %v", err)
	}
}

func TestObserveHasNoRightToAct(t *testing.T) {
	b := base(t, strings.Replace(everything, "mode: active", "mode: observe", 1))
	for _, s := range b.Permissions() {
		for _, a := range s.Actions {
			for _, forbidden := range []string{"Create", "Delete", "RunTask", "StopTask"} {
				if strings.Contains(a, forbidden) && !slices.Contains([]string{"scheduler:CreateSchedule", "scheduler:DeleteSchedule", "logs:CreateLogStream", "sqs:DeleteMessage", "dynamodb:DeleteItem"}, a) {
					t.Errorf("%s may %s (%s)", s.Role, a, s.Sid)
				}
			}
		}
	}
}

// roleTitles are the roles as docs/permissions.md names them.
var roleTitles = map[cfn.Role]string{
	cfn.LauncherRole: "The launcher", cfn.ReaperRole: "The reaper", cfn.ServiceRole: "CloudFormation's service role", cfn.TimerRole: "The timers' role",
	deployments.HookRole: "The function that follows deployments", deployments.CallerRole: "The role by which ECS calls it", deployments.ProbeRole: "The function that checks from within the VPC",
	wing.TaskRole: "The mirror's task", wing.ExecutionRole: "The mirror's execution role", wing.WebhookRole: "The webhook function",
}

// TestPermissionsReference holds docs/permissions.md and docs/permissions-additions.md against the statements.
func TestPermissionsReference(t *testing.T) {
	list := base(t, hello(t)).Permissions()
	auto := base(t, strings.Replace(hello(t), "    subnets:", "    services: auto\n    subnets:", 1))
	stated(t, "../../docs/permissions.md", statements(list)+withAuto(list, auto.Permissions()))
	stated(t, "../../docs/permissions-additions.md",
		withMirror(base(t, mirrorExample(t)).Permissions())+withDeployments(base(t, deploymentsExample(t)).Permissions()))
}

// stated holds the generated part of a page against what it should be.
func stated(t *testing.T, path, want string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- generated: statements -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s holds no place for the statements", path)
	}
	golden(t, path, []byte(before+begin+want+end+after))
}

// withAuto lists what services: auto adds to the statements.
func withAuto(list, auto []cfn.Statement) string {
	more := slices.DeleteFunc(slices.Clone(auto), func(s cfn.Statement) bool {
		return slices.ContainsFunc(list, func(x cfn.Statement) bool { return x.Role == s.Role && x.Sid == s.Sid })
	})
	return "With `services: auto` in any set, in addition, and with every service that Drawbridge knows in `CreateEndpoints` above:\n" + strings.ReplaceAll(statements(more), "\n### ", "\n#### ")
}

// withMirror lists the statements of the mirror's roles.
func withMirror(list []cfn.Statement) string {
	own := slices.DeleteFunc(slices.Clone(list), func(s cfn.Statement) bool {
		return !strings.HasPrefix(roleTitles[s.Role], "The mirror") && s.Role != wing.WebhookRole
	})
	return "## The mirror\n\nWith a `mirror`, here that of [examples/mirror](../examples/mirror), three roles more:\n" + statements(own)
}

// withDeployments lists the statements of the roles that deployments bring, and what they add
// to the others.
func withDeployments(list []cfn.Statement) string {
	own := slices.DeleteFunc(slices.Clone(list), func(s cfn.Statement) bool {
		return !slices.Contains([]cfn.Role{deployments.HookRole, deployments.CallerRole, deployments.ProbeRole}, s.Role) && s.Sid != "TellHook"
	})
	return "## Deployments\n\nWith `deployments`, here those of [examples/deployments](../examples/deployments/drawbridge.yaml), up to three roles more:\n" + statements(own)
}

func statements(list []cfn.Statement) string {
	var out strings.Builder
	last := cfn.Role("")
	for _, s := range list {
		if s.Role != last {
			last = s.Role
			fmt.Fprintf(&out, "\n### %s\n\n| statement | actions | on | only if | for |\n| --- | --- | --- | --- | --- |\n", roleTitles[s.Role])
		}
		sid := "`" + s.Sid + "`"
		if s.Acts {
			sid += " *"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", sid, code(s.Actions), code(s.Resources), conditions(s.Condition), s.Why)
	}
	return out.String() + "\n"
}

func code(texts []string) string {
	out := make([]string, len(texts))
	for i, t := range texts {
		t = strings.NewReplacer("arn:${AWS::Partition}:", "", ":${AWS::Region}:${AWS::AccountId}:", " ", "::${AWS::AccountId}:", " ", ":::", " ", "arn:aws:", "", ":us-east-1:123456789012:", " ", "::123456789012:", " ").Replace(t)
		out[i] = "`" + t + "`"
	}
	return strings.Join(out, ", ")
}

func conditions(c map[string]map[string]any) string {
	var out []string
	for operator, keys := range c {
		absent, is := "", "is"
		if strings.HasPrefix(operator, "StringNot") {
			is = "is not"
		}
		if strings.HasPrefix(operator, "ForAllValues:") {
			is = "holds nothing but"
		}
		if strings.HasSuffix(operator, "IfExists") {
			absent = ", or there is none"
		}
		for k, v := range keys {
			switch v := v.(type) {
			case string:
				if operator == "Null" {
					out = append(out, "there is "+map[string]string{"true": "no", "false": "a"}[v]+" `"+k+"`")
					continue
				}
				out = append(out, "`"+k+"` "+is+" "+code([]string{v})+absent)
			case []string:
				out = append(out, "`"+k+"` "+is+" one of "+code(v)+absent)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}

// TestRolesApart holds the two stacks of an installation whose roles are somebody else's: the roles alone, and the base stack
// without them.
func TestRolesApart(t *testing.T) {
	text := strings.Replace(hello(t), "    subnets:", "    endpointSecurityGroups: [sg-0a1b2c3d4e5f60001]\n    subnets:", 1)
	b := base(t, text)
	roles, err := b.Roles()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/roles.yaml", roles)
	b.RolesFrom = "somebody"
	rest, err := b.Template()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/without-roles.yaml", rest)
	if strings.Contains(string(rest), "AWS::IAM::") || strings.Contains(string(roles), "AWS::Lambda::") {
		t.Error("the roles are not apart")
	}
	digest, err := b.RolesDigest()
	if err != nil || !strings.Contains(string(roles), "Value: "+digest) {
		t.Errorf("the stack of roles does not name the digest %s (%v)", digest, err)
	}
	other := base(t, strings.Replace(text, "cluster: hello", "cluster: other", 1))
	if changed, err := other.RolesDigest(); err != nil || changed == digest {
		t.Errorf("roles of another cluster have the same digest (%v)", err)
	}
	var refused *cfn.GroupError
	if _, err := base(t, hello(t)).Roles(); !errors.As(err, &refused) || refused.Set != "main" || refused.Hint() == "" {
		t.Errorf("roles that name a group of the base stack: %v", err)
	}
}
