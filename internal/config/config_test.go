package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

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

func TestDefaults(t *testing.T) {
	c, err := Parse("x.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	s, j := c.Sets["main"], c.Jobs["hello"]
	if c.Name != "drawbridge" || c.Billing != scheduler.Clock || time.Duration(c.Margin) != 5*time.Minute || len(s.Services) != 6 || s.Zones != 1 || s.S3Gateway != "permanent" ||
		j.Container != "hello" || time.Duration(*j.MaxRuntime) != 24*time.Hour || len(j.Subnets) != 2 {
		t.Errorf("defaults: %+v, %+v, %+v", c, s, j)
	}
	if got := c.Settings()["main"]; got.Settle != scheduler.DefaultSettle || got.Margin != scheduler.DefaultMargin {
		t.Errorf("settings %+v", got)
	}
}

func TestExamplesAreValid(t *testing.T) {
	c, err := Load("../../examples/hello/drawbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Sets) != 1 || len(c.Jobs) != 1 || c.Jobs["hello"] == nil || len(c.Jobs["hello"].Overrides) != 1 {
		t.Errorf("the example is no longer the smallest complete configuration: %+v", c)
	}
}

func TestBadConfigSaysWhereAndWhatToDo(t *testing.T) {
	for _, tt := range []struct{ name, old, new, where string }{
		{"unknown key", "    cluster: c", "    clutser: c", `unknown field "clutser"`},
		{"unknown key at the top", "sets:", "sett: 1\nsets:", `unknown field "sett"`},
		{"wrong type", "[subnet-1, subnet-2]", "{a: b}", "[4:"},
		{"a duration without a unit", "    securityGroups", "    maxRuntime: 30\n    securityGroups", `not a duration`},
		{"a job that names no set", "set: main", "set: nope", `jobs.hello.set: there is no set "nope"`},
		{"no cluster", "    cluster: c\n", "", "jobs.hello.cluster: no cluster"},
		{"no task definition", "    taskDefinition: hello\n", "", "jobs.hello.taskDefinition"},
		{"no subnets", "[subnet-1, subnet-2]", "[]", "sets.main.subnets: no subnets"},
		{"not a subnet", "subnet-2]", "sg-2]", "sets.main.subnets"},
		{"not a security group", "[sg-1]", "[subnet-1]", "jobs.hello.securityGroups"},
		{"unknown service", "    subnets", "    services: [ecr]\n    subnets", `sets.main.services: unknown service "ecr"`},
		{"a billing basis that is none", "sets:", "billing: weekly\nsets:", "billing: billing basis \"weekly\""},
		{"a margin that is too long", "sets:", "margin: 2h\nsets:", "margin: 2h0m0s"},
		{"a name that AWS would refuse", "sets:", "name: Draw_Bridge\nsets:", "name:"},
		{"a bad pattern", "    cluster", "    on: [{source: x}]\n    cluster", "jobs.hello.on[0]"},
		{"an override that is none", "    cluster", "    overrides: [taskRoleArn]\n    cluster", "jobs.hello.overrides"},
		{"a place in no event", "    cluster", "    environment: {KEY: detail.key}\n    cluster", "jobs.hello.environment"},
		{"a gateway kept by nobody", "    subnets", "    s3Gateway: mine\n    subnets", "sets.main.s3Gateway"},
		{"a subnet of another set", "    cluster", "    subnets: [subnet-9]\n    cluster", "jobs.hello.subnets"},
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
	c, err := Parse("x", []byte(strings.Replace(good, "    subnets", "    settle: 0s\n    subnets", 1)+"    maxRuntime: 0s\n"))
	if err != nil || *c.Sets["main"].Settle != 0 || *c.Jobs["hello"].MaxRuntime != 0 {
		t.Errorf("%+v, %+v, %v, want both 0", c.Sets["main"], c.Jobs["hello"], err)
	}
}

func TestMatching(t *testing.T) {
	c, err := Parse("x", []byte(good+"    on:\n      - source: [a]\n      - source: [b]\n        detail: {n: [1]}\n"))
	if err != nil {
		t.Fatal(err)
	}
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

// TestReferenceNamesEveryKey holds docs/configuration.md against the types.
func TestReferenceNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range Keys() {
		if !strings.Contains(string(text), "`"+key+"`") {
			t.Errorf("docs/configuration.md does not name the key %s", key)
		}
	}
}
