package section

import (
	"strings"
	"testing"
	"time"

	"drawbridge/internal/config/field"
)

func TestABadSectionSaysWhere(t *testing.T) {
	hooks := func(name string, h Hook) Deployment {
		return Deployment{ECSService: "c/web", CodeDeploy: "web/*", Hooks: map[string]*Hook{name: &h}}
	}
	const listener = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/web/1/2/3"
	if p := (Deployment{ECSService: "c/web", Listeners: []string{listener}}).Complete().Check("d"); len(p) > 0 {
		t.Errorf("a rule of one service: %+v", p)
	}
	check := func(c Check) Deployment { return hooks("POST_SCALE_UP", Hook{Checks: []Check{c}}) }
	for _, tt := range []struct {
		name        string
		d           Deployment
		where, what string
	}{
		{"nothing is deployed", Deployment{Hooks: map[string]*Hook{"POST_SCALE_UP": {Job: "j"}}}, "d", "nothing is deployed"},
		{"a service without its cluster", Deployment{ECSService: "web"}, "d.ecsService", "not two names"},
		{"a group of three", Deployment{CodeDeploy: "a/b/c"}, "d.codeDeploy", "not two names"},
		{"too long", Deployment{CodeDeploy: "a/b", MaxDuration: field.Duration(100 * time.Hour)}, "d.maxDuration", "out of range"},
		{"a security group's name", Deployment{CodeDeploy: "a/b", SecurityGroups: []string{"default"}}, "d.securityGroups", "not a security group id"},
		{"a listener's name", Deployment{CodeDeploy: "a/b", Listeners: []string{"web"}}, "d.listeners", "not one"},
		{"a listener of two services", Deployment{ECSService: "c/web", CodeDeploy: "a/b", Listeners: []string{listener}}, "d.listeners", "not clear"},
		{"a listener of any service", Deployment{ECSService: "c/*", Listeners: []string{listener}}, "d.listeners", "not clear"},
		{"a listener of a pipeline", Deployment{Pipeline: "web", Listeners: []string{listener}}, "d.listeners", "not clear"},
		{"CodeDeploy's own event", hooks("AllowTraffic", Hook{Job: "j"}), "d.hooks.AllowTraffic", "takes no hook at AllowTraffic"},
		{"no event", hooks("Sometime", Hook{Job: "j"}), "d.hooks.Sometime", "neither a stage"},
		{"a stage without ECS", Deployment{CodeDeploy: "a/b", Hooks: map[string]*Hook{"POST_SCALE_UP": {Job: "j"}}}, "d.hooks.POST_SCALE_UP", "a stage of ECS"},
		{"longer than CodeDeploy waits", hooks("AfterInstall", Hook{Job: "j", Timeout: field.Duration(time.Hour)}), "d.hooks.AfterInstall.timeout", "out of range"},
		{"a hook that does nothing", hooks("POST_SCALE_UP", Hook{}), "d.hooks.POST_SCALE_UP", "does nothing"},
		{"a check of no kind", check(Check{}), "d.hooks.POST_SCALE_UP.checks[0]", "0 kinds"},
		{"a check of two", check(Check{TCP: "a:1", Targets: "x"}), "d.hooks.POST_SCALE_UP.checks[0]", "2 kinds"},
		{"no address", check(Check{HTTP: &HTTPCheck{URL: "web"}}), "d.hooks.POST_SCALE_UP.checks[0].http.url", "not an address"},
		{"a password", check(Check{HTTP: &HTTPCheck{URL: "http://u:secret@h/"}}), "d.hooks.POST_SCALE_UP.checks[0].http.url", "does not belong in the file"},
		{"statuses", check(Check{HTTP: &HTTPCheck{URL: "http://h/", Status: "2xx"}}), "d.hooks.POST_SCALE_UP.checks[0].http.status", "not a list"},
		{"longer than the hook", check(Check{HTTP: &HTTPCheck{URL: "http://h/", For: field.Duration(25 * time.Minute)}}), "d.hooks.POST_SCALE_UP.checks[0].http.for", "the hook's timeout is 30m"},
		{"a port", check(Check{Tasks: &TasksCheck{}}), "d.hooks.POST_SCALE_UP.checks[0].tasks.port", "is none"},
		{"tasks of no known cluster", Deployment{CodeDeploy: "a/b", Hooks: map[string]*Hook{"AfterInstall": {Checks: []Check{{Tasks: &TasksCheck{Port: 80}}}}}}, "d.hooks.AfterInstall.checks[0].tasks", "the cluster of the tasks is not known"},
		{"a host without its port", check(Check{TCP: "db"}), "d.hooks.POST_SCALE_UP.checks[0].tcp", "not an address"},
		{"a target group's name", check(Check{Targets: "web"}), "d.hooks.POST_SCALE_UP.checks[0].targets", "not one"},
		{"a path without its slash", check(Check{Invalidate: &Invalidation{Distribution: "E1", Paths: []string{"*"}}}), "d.hooks.POST_SCALE_UP.checks[0].invalidate.paths", "not a path"},
		{"a web hook in the clear", check(Check{Post: "http://h/secret"}), "d.hooks.POST_SCALE_UP.checks[0].post", "not such an address"},
	} {
		problems := tt.d.Complete().Check("d")
		found := false
		for _, p := range problems {
			found = found || p.Where == tt.where && strings.Contains(p.What, tt.what) && p.Remedy != ""
			if strings.Contains(p.What, "secret") {
				t.Errorf("%s: %q shows a secret", tt.name, p.What)
			}
		}
		if !found {
			t.Errorf("%s: %+v, want %q at %s, with a remedy", tt.name, problems, tt.what, tt.where)
		}
	}
}

func TestNamesOfFunctions(t *testing.T) {
	long := strings.Repeat("x", 25)
	for _, event := range CodeDeployEvents {
		if name := HookFunction(long, long, event); len(name) > maxFunction || !strings.HasPrefix(name, HookPrefix) || !strings.HasSuffix(name, event) {
			t.Errorf("%q has %d characters, at most %d are allowed", name, len(name), maxFunction)
		}
	}
	all := map[string]Deployment{"a-probe-b": {Hooks: map[string]*Hook{"AfterInstall": {}}}}
	name := HookFunction("drawbridge", "a-probe-b", "AfterInstall")
	if d, event, ok := HookOf("drawbridge", all, name); !ok || d != "a-probe-b" || event != "AfterInstall" || IsProbe("drawbridge", name) {
		t.Errorf("%s is taken for %s at %s, probe %v", name, d, event, IsProbe("drawbridge", name))
	}
	if !IsProbe("drawbridge", ProbeFunction("drawbridge", "main")) {
		t.Error("a probe is not taken for one")
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"web", "web", true}, {"web", "web2", false}, {"web*", "web2", true}, {"*", "x/y", true}, {"a/*", "a/b", true}, {"a.b", "axb", false}, {"", "", false}, {"(", "(", true},
	} {
		if got := Matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}
