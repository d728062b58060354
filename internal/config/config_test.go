package config

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/mirror/section"
	"drawbridge/scheduler"
)

const good = `
sets:
  main:
    subnets: [subnet-1, subnet-2]
jobs:
  hello:
    set: main
    cluster: c
    taskDefinition: hello
    securityGroups: [sg-1]
`

// resolved reads a text and resolves it without any facts.
func resolved(t *testing.T, text string) *Installation {
	t.Helper()
	return Resolve(parsed(t, text), Facts{})
}

func parsed(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestNoSetIsTakenForOneOfASelftest: their stacks are deleted by whoever finds them.
func TestNoSetIsTakenForOneOfASelftest(t *testing.T) {
	name := cfn.SelftestSet("standard")
	_, err := Parse("x.yaml", []byte(strings.ReplaceAll(good, "main", name)))
	if err == nil || !strings.Contains(err.Error(), "sets."+name+": names of sets do not begin with selftest-") {
		t.Errorf("Parse = %v, want a refusal of set %s", err, name)
	}
}

func TestDefaults(t *testing.T) {
	c := resolved(t, good)
	s, j := c.Sets["main"], c.Jobs["hello"]
	if c.Name != "drawbridge" || c.Billing != scheduler.Clock || c.Margin != 0 || len(s.Services) != 6 || s.Zones != 1 || s.S3Gateway != "permanent" ||
		j.Container != "hello" || j.MaxRuntime != 24*time.Hour || len(j.Subnets) != 2 {
		t.Errorf("defaults: %+v, %+v, %+v", c, s, j)
	}
	if got := c.Settings()["main"]; got.Settle != scheduler.DefaultSettle || got.Margin != scheduler.DefaultMargin {
		t.Errorf("settings %+v", got)
	}
}

func TestAutomaticServices(t *testing.T) {
	f := parsed(t, `
sets:
  a: {subnets: [subnet-1], services: auto}
  b: {subnets: [subnet-2], services: [kms]}
  c: {subnets: [subnet-3], services: auto}
jobs:
  x: {set: a, cluster: c, taskDefinition: x, services: [sqs]}
`)
	c := Resolve(f, Facts{})
	if a := c.Sets["a"]; !a.Auto || len(a.Services) != 0 || c.Sets["b"].Auto {
		t.Errorf("sets %+v, %+v", a, c.Sets["b"])
	}
	c = Resolve(f, Facts{Sets: map[scheduler.SetName]SetFacts{
		"a": {VPC: "vpc-1", Services: []endpoints.ServiceID{"logs"}}, "b": {VPC: "vpc-1"}, "c": {VPC: "vpc-2", Services: []endpoints.ServiceID{"ecr.api", "s3"}},
	}})
	if a := c.Sets["a"]; !a.Auto || len(a.Fixed) != 1 || a.Fixed[0] != "kms" || len(a.Services) != 2 {
		t.Errorf("a set that shares its VPC with a list is %+v", a)
	}
	if n := c.Settings()["c"].HoursPerHour; n != 1 {
		t.Errorf("an hour of set c is billed as %d endpoint-hours, want 1", n)
	}
}

func TestExamplesAreValid(t *testing.T) {
	f, err := Load("../../examples/hello/drawbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := Resolve(f, Facts{})
	if len(c.Sets) != 1 || len(c.Jobs) != 1 || len(c.Jobs["hello"].Overrides) != 1 {
		t.Errorf("the example is no longer the smallest complete configuration: %+v", c)
	}
}

func TestBadConfigSaysWhereAndWhatToDo(t *testing.T) {
	for _, tt := range []struct{ name, old, new, where string }{
		{"unknown key", "    cluster: c", "    clutser: c", `line 8: jobs.hello.clutser: unknown key "clutser"`},
		{"unknown key at the top", "sets:", "sett: 1\nsets:", `line 2: sett: unknown key "sett"`},
		{"wrong type", "[subnet-1, subnet-2]", "{a: b}", "line 4: sets.main.subnets: want a list, not keys with values"},
		{"a list in place of a word", "set: main", "set: [main]", "line 7: jobs.hello.set: want text, not a list"},
		{"a word in place of a number", "    subnets", "    zones: two\n    subnets", `line 4: sets.main.zones: want a number, not "two"`},
		{"a number that no machine holds", "sets:", "logRetention: 99999999999999999999\nsets:", "line 2: logRetention: 99999999999999999999 is out of range"},
		{"a duration without a unit", "    securityGroups", "    maxRuntime: 30\n    securityGroups", `jobs.hello.maxRuntime: "30" is not a duration`},
		{"a word that is not auto", "[subnet-1, subnet-2]", "[subnet-1]\n    services: all", `invalid services "all" (want auto or a list`},
		{"a job that calls what its set has not", "    cluster: c", "    cluster: c\n    services: [sqs]", "jobs.hello.services: set main does not have sqs"},
		{"a job that names no set", "set: main", "set: nope", `jobs.hello.set: there is no set "nope"`},
		{"the line of a name", "set: main", "set: nope", "line 7: jobs.hello.set"},
		{"no cluster", "    cluster: c\n", "", "jobs.hello.cluster: no cluster"},
		{"no task definition", "    taskDefinition: hello\n", "", "jobs.hello.taskDefinition"},
		{"no subnets", "[subnet-1, subnet-2]", "[]", "sets.main.subnets: no subnets"},
		{"not a subnet", "subnet-2]", "sg-2]", "sets.main.subnets"},
		{"not a security group", "[sg-1]", "[subnet-1]", "jobs.hello.securityGroups"},
		{"unknown service", "    subnets", "    services: [ecr]\n    subnets", `sets.main.services: unknown service "ecr"`},
		{"a billing basis that is none", "sets:", "billing: weekly\nsets:", "billing: billing basis \"weekly\""},
		{"a margin that is too long", "sets:", "margin: 2h\nsets:", "margin: margin 2h0m0s is out of range (1m to 30m)"},
		{"a name that AWS would refuse", "sets:", "name: Draw_Bridge\nsets:", "name:"},
		{"a name that is too short for a table", "sets:", "name: ab\nsets:", "name:"},
		{"a bad pattern", "    cluster", "    on: [{source: x}]\n    cluster", "jobs.hello.on[0]"},
		{"an override that is none", "    cluster", "    overrides: [taskRoleArn]\n    cluster", "jobs.hello.overrides"},
		{"names of a command", "    cluster", "    overrides: [{command: [sh]}]\n    cluster", "jobs.hello.overrides: command has no names"},
		{"a variable that no event sets", "    cluster", "    overrides: [{environment: [AWS_*]}]\n    cluster", "jobs.hello.overrides: no event sets AWS_*"},
		{"a variable that is none", "    cluster", "    overrides: [{environment: [A-B]}]\n    cluster", "jobs.hello.overrides"},
		{"two kinds in one override", "    cluster", "    overrides: [{environment: [A], command: [B]}]\n    cluster", "write environment, command"},
		{"a variable of an event that steers programs", "    cluster", "    environment: {PATH: $.detail.path}\n    cluster", "jobs.hello.environment: no event sets PATH"},
		{"a place in no event", "    cluster", "    environment: {KEY: detail.key}\n    cluster", "jobs.hello.environment"},
		{"a gateway kept by nobody", "    subnets", "    s3Gateway: mine\n    subnets", "sets.main.s3Gateway"},
		{"a subnet of another set", "    cluster", "    subnets: [subnet-9]\n    cluster", "jobs.hello.subnets"},
		{"a mode that is none", "sets:", "mode: dry\nsets:", `mode: invalid mode "dry" (want active or observe)`},
		{"a monitoring that is none", "sets:", "monitoring: some\nsets:", `monitoring: invalid monitoring "some" (want none, alarms or full)`},
		{"alarms without monitoring", "sets:", "monitoring: none\nalarmTopic: arn:aws:sns:us-east-1:123456789012:t\nsets:", "monitoring: no alarm sounds"},
		{"a retention that CloudWatch does not take", "sets:", "logRetention: 31\nsets:", "logRetention: 31 days"},
		{"a concurrency that starves itself", "sets:", "reservedConcurrency: 1\nsets:", "reservedConcurrency: 1"},
		{"a boundary that is no policy", "sets:", "permissionsBoundary: admin\nsets:", "permissionsBoundary"},
		{"a tag of AWS", "sets:", "tags: {\"aws:team\": x}\nsets:", "tags.aws:team: keys that begin with aws: or drawbridge: are taken"},
		{"a tag that hides a name", "sets:", "tags: {Name: x}\nsets:", "tags.Name"},
		{"a tag that AWS would refuse", "sets:", "tags: {team: a<b}\nsets:", "tags.team"},
		{"a topic that is none", "sets:", "alarmTopic: me\nsets:", "alarmTopic"},
		{"a lifetime shorter than an hour", "    subnets", "    maxLifetime: 5m\n    subnets", "sets.main.maxLifetime: 5m0s"},
		{"a budget below one hour", "    subnets", "    hoursPerDay: 4\n    subnets", "sets.main.hoursPerDay: 4"},
		{"no way over the budget", "    subnets", "    overBudget: beg\n    subnets", "sets.main.overBudget"},
		{"an empty set", "  main:\n    subnets: [subnet-1, subnet-2]", "  main:", "sets.main: the set is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(good, tt.old, tt.new, 1)
			if text == good {
				t.Fatal("the case changes nothing")
			}
			_, err := Parse("x.yaml", []byte(text))
			var bad *Error
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.where) || !strings.HasPrefix(err.Error(), "config x.yaml: ") {
				t.Errorf("Parse = %v, want %q", err, tt.where)
			} else if bad.Hint() == "" {
				t.Errorf("no remedy for %v", err)
			}
		})
	}
	t.Run("the nearest word", func(t *testing.T) {
		for typo, near := range map[string]string{
			"name: a\nmargn: 5m\n":                                          "did you mean margin?",
			"sets: {main: {subnet: [a]}}\n":                                 "did you mean subnets?",
			"mirror: {repositories: {x: {sorce: 1}}}\n":                     "did you mean source?",
			"deployments: {a: {hooks: {X: {checks: [{http: {ur: x}}]}}}}\n": "did you mean url?",
			"zzzzzzzz: 1\n":                                                 "use one of alarmTopic, billing",
		} {
			_, err := Parse("x.yaml", []byte(typo))
			var bad *Error
			if !errors.As(err, &bad) || !strings.HasPrefix(bad.Hint(), near) {
				t.Errorf("%q: %v, want the hint %q", typo, err, near)
			}
		}
	})
	t.Run("a second document", func(t *testing.T) {
		good := "sets: {m: {subnets: [subnet-0a1b2c3d4e5f60001]}}\njobs: {j: {set: m, cluster: c, taskDefinition: t}}\n"
		for text, want := range map[string]string{good: "", "---\n" + good + "---\n": "", good + "---\nmargin: 1m\n": "line 4: a second YAML document"} {
			_, err := Parse("x.yaml", []byte(text))
			if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", text, err, want)
			}
		}
	})
	t.Run("all problems at once", func(t *testing.T) {
		_, err := Parse("x.yaml", []byte("sets: {}\njobs: {}\n"))
		if err == nil || !strings.Contains(err.Error(), "no sets") || !strings.Contains(err.Error(), "no jobs") {
			t.Errorf("Parse = %v, want both problems", err)
		}
	})
	t.Run("no file", func(t *testing.T) {
		if _, err := Load("nope.yaml"); err == nil || !strings.Contains(err.Error(), "nope.yaml") {
			t.Errorf("Load = %v", err)
		}
	})
}

func TestZeroIsNotTheDefault(t *testing.T) {
	c := resolved(t, strings.Replace(good, "    subnets", "    settle: 0s\n    subnets", 1)+"    maxRuntime: 0s\n")
	if c.Sets["main"].Settle != 0 || c.Jobs["hello"].MaxRuntime != 0 {
		t.Errorf("%+v, %+v, want both 0", c.Sets["main"], c.Jobs["hello"])
	}
}

func TestMatching(t *testing.T) {
	c := resolved(t, good+"    on:\n      - source: [a]\n      - source: [b]\n        detail: {n: [1]}\n")
	for _, tt := range []struct {
		event map[string]any
		want  int
	}{
		{map[string]any{"source": "a"}, 1},
		{map[string]any{"source": "b"}, 0},
		{map[string]any{"source": "b", "detail": map[string]any{"n": 1.0}}, 1},
	} {
		if got := c.Matching(tt.event); len(got) != tt.want {
			t.Errorf("Matching(%v) = %v, want %d jobs", tt.event, got, tt.want)
		}
	}
}

// sources are the files whose types are the configuration.
var sources = []string{
	"config.go", "../mirror/section/section.go", "../deployments/section/section.go",
	"../deployments/section/check.go",
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReference holds the tables of keys in docs/configuration.md and docs/mirror-settings.md against the types and their
// comments.
func TestReference(t *testing.T) {
	var texts []string
	for _, path := range sources {
		texts = append(texts, read(t, path))
	}
	for page, ofMirror := range map[string]bool{"configuration.md": false, "mirror-settings.md": true} {
		path := "../../docs/" + page
		text := read(t, path)
		table, err := reference(ofMirror, texts...)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(text, "| key |")
		_, after, ok2 := strings.Cut(rest, "\n\n")
		if !ok || !ok2 {
			t.Fatal(path + " holds no table of keys")
		}
		want := before + table + "\n" + after
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if text != want {
			t.Errorf("%s differs from the comments in config.go; go test ./internal/config -update writes it anew", path)
		}
	}
}

var update = flag.Bool("update", false, "write the tables of keys in docs anew")

func TestSetsThatShareAVPCBecomeOne(t *testing.T) {
	two := `
sets:
  a: {subnets: [subnet-1], services: [logs], zones: 1, maxLifetime: 2h, hoursPerDay: 10}
  b: {subnets: [subnet-2], services: [ecr.api, ecr.dkr], zones: 2, settle: 1m}
  c: {subnets: [subnet-3]}
jobs:
  x: {set: b, cluster: c, taskDefinition: x, securityGroups: [sg-1]}
  y: {set: c, cluster: c, taskDefinition: y}
`
	f := parsed(t, two)
	c := Resolve(f, Facts{Sets: map[scheduler.SetName]SetFacts{
		"a": {VPC: "vpc-1", EndpointSecurityGroups: []string{"sg-e"}}, "b": {VPC: "vpc-1"}, "c": {VPC: "vpc-2", TaskSecurityGroup: "sg-t"},
	}})
	if len(c.Sets) != 2 || c.Jobs["x"].Set != "a" || c.Jobs["x"].Subnets[0] != "subnet-2" || c.Jobs["y"].SecurityGroups[0] != "sg-t" {
		t.Fatalf("%+v, %+v, %+v", c.Sets, c.Jobs["x"], c.Jobs["y"])
	}
	a := c.Sets["a"]
	if len(a.Subnets) != 2 || len(a.Services) != 3 || a.Zones != 2 || a.MaxLifetime != 0 || a.HoursPerDay != 0 || a.Settle != time.Minute {
		t.Errorf("the shared set is %+v", a)
	}
	if again := Resolve(f, Facts{}); len(again.Sets) != 3 || again.Jobs["x"].Set != "b" || len(again.Sets["a"].Services) != 1 {
		t.Errorf("the facts have changed the file: %+v", again)
	}
	if host, ok := c.Host("b"); host != "a" || !ok {
		t.Errorf("Host(b) = %s, %t", host, ok)
	}
	if _, ok := c.Host("d"); ok {
		t.Error("Host knows a set that is not there")
	}
}

func TestWhatAnEventMaySet(t *testing.T) {
	c := resolved(t, strings.Replace(good, "    cluster", "    overrides: [command, {environment: [NAME, TEAM_*]}]\n    cluster", 1))
	some, all := c.Jobs["hello"], Job{Overrides: []Override{{Kind: "environment"}}}
	if !some.Allows("command") || !some.Allows("environment") || some.Allows("cpu") {
		t.Errorf("the job allows %+v", some.Overrides)
	}
	made := Job{Overrides: []Override{{Kind: "environment", Names: section.Variables}}, Made: true}
	for _, tt := range []struct {
		name            string
		some, all, made bool
	}{
		{"NAME", true, true, false}, {"NAMES", false, true, false}, {"TEAM_A", true, true, false}, {"TEAM", false, true, false}, {"GIT_COMMIT", false, true, false}, {"ENV", false, true, false}, {"AWSOME", false, true, false},
		{"AWS_ENDPOINT_URL", false, false, false}, {"ECS_CONTAINER_METADATA_URI_V4", false, false, false}, {"LD_PRELOAD", false, false, false}, {"PATH", false, false, false}, {"HTTPS_PROXY", false, false, false}, {"no_proxy", false, false, false},
		{"GIT_SSH_COMMAND", false, false, false}, {"NODE_OPTIONS", false, false, false}, {"JAVA_TOOL_OPTIONS", false, false, false}, {"BASH_ENV", false, false, false}, {"DRAWBRIDGE_EVENT", false, false, false},
		{"DRAWBRIDGE_MIRROR", false, false, false}, {"DRAWBRIDGE_MIRROR_STATE", false, false, false}, {"DRAWBRIDGE_MIRROR_REPOSITORIES", false, false, true}, {"DRAWBRIDGE_MIRROR_REPORTED", false, false, true},
	} {
		if got := [3]bool{some.AllowsVariable(tt.name), all.AllowsVariable(tt.name), made.AllowsVariable(tt.name)}; got != [3]bool{tt.some, tt.all, tt.made} {
			t.Errorf("%s: named variables, all and the mirror's let it through: %v, want %v", tt.name, got, [3]bool{tt.some, tt.all, tt.made})
		}
	}
}
