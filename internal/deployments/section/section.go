// Package section is the section deployments of drawbridge.yaml: which deployments hold a
// set, and what their lifecycle hooks do.
package section

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/config/field"
	"drawbridge/scheduler"
)

// Deployment says which deployments hold a set. A * in a name stands for any text.
type Deployment struct {
	// Set is the set that they hold.
	Set scheduler.SetName `yaml:"set"`
	// ECSService is CLUSTER/SERVICE of a service that ECS deploys itself. Default: none.
	ECSService string `yaml:"ecsService"`
	// CodeDeploy is APPLICATION/GROUP of a deployment group. Default: none.
	CodeDeploy string `yaml:"codeDeploy"`
	// Pipeline is the name of a pipeline of CodePipeline: its executions hold the set from
	// the action that asks for the endpoints. Default: none.
	Pipeline string `yaml:"pipeline"`
	// CodeBuild is the name of a project whose builds hold the set. Default: none.
	CodeBuild string `yaml:"codeBuild"`
	// MaxDuration is how long one deployment holds the set at most, 5m to 72h. Default 6h.
	MaxDuration field.Duration `yaml:"maxDuration"`
	// SecurityGroups are those of the tasks, builds and hook functions that they start, which
	// the endpoints let in. Default: none.
	SecurityGroups []string `yaml:"securityGroups"`
	// Services are further services that they need; see jobs. Default: none.
	Services []endpoints.ServiceID `yaml:"services"`
	// TaskDefinitions are the families of the tasks that they start. In a set with services:
	// auto the services that these need are added. Default: none.
	TaskDefinitions []string `yaml:"taskDefinitions"`
	// Functions are hook functions of your own that run in the VPC and report to CodeDeploy from
	// there: codedeploy is added to a set with services: auto, and whether they reach it is
	// watched. Default: none.
	Functions []string `yaml:"functions"`
	// Listeners are the ARNs of the listeners, or rules of listeners, that send requests to the
	// service, the only one of the section: their weights are recorded before and after each
	// deployment, and weights that change without one are named. Default: none.
	Listeners []string `yaml:"listeners"`
	// Hooks are what is done at a lifecycle stage of ECS, such as POST_TEST_TRAFFIC_SHIFT, or
	// at a lifecycle event of CodeDeploy, such as AfterAllowTestTraffic. Default: none.
	Hooks map[string]*Hook `yaml:"hooks"`
}

// Hook is what is done at a lifecycle hook.
type Hook struct {
	// Checks are what the hook looks at: it succeeds if all do. Default: none.
	Checks []Check `yaml:"checks"`
	// Job is the job that decides: the hook succeeds if its run does. Default: none.
	Job scheduler.JobName `yaml:"job"`
	// Timeout is how long it may take before the hook fails, 1m to 12h, and to 55m for
	// CodeDeploy, which waits for an hour. Default 30m.
	Timeout field.Duration `yaml:"timeout"`
}

// The default times of a deployment and of a hook.
const (
	DefaultDuration = 6 * time.Hour
	DefaultTimeout  = 30 * time.Minute
	// CodeDeployWaits is how long CodeDeploy waits for a hook's answer.
	//
	// Source: https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html
	CodeDeployWaits = time.Hour
)

// Complete returns the deployment with its defaults.
func (d Deployment) Complete() Deployment {
	d.MaxDuration = cmp.Or(d.MaxDuration, field.Duration(DefaultDuration))
	hooks := map[string]*Hook{}
	for name, h := range d.Hooks {
		if h == nil {
			h = &Hook{}
		}
		full := *h
		full.Timeout = cmp.Or(full.Timeout, field.Duration(DefaultTimeout))
		hooks[name] = &full
	}
	d.Hooks = hooks
	return d
}

// ECSStages are the stages of ECS at which a hook may be, CodeDeployEvents the lifecycle
// events of CodeDeploy.
//
// Sources: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html
// and https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
var (
	ECSStages = []string{
		"RECONCILE_SERVICE", "PRE_SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT",
		"PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT",
	}
	CodeDeployEvents = []string{
		"BeforeInstall", "AfterInstall", "AfterAllowTestTraffic", "BeforeAllowTraffic", "AfterAllowTraffic",
	}
	// hookless are CodeDeploy's own lifecycle events.
	hookless = []string{"Install", "AllowTestTraffic", "AllowTraffic"}
)

// Events returns the hooks at lifecycle events of CodeDeploy, in order of name.
func (d Deployment) Events() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(d.Hooks)), func(name string) bool {
		return !slices.Contains(CodeDeployEvents, name)
	})
}

// Jobs returns the jobs of the hooks, each once, in order of name.
func (d Deployment) Jobs() []scheduler.JobName {
	var out []scheduler.JobName
	for _, h := range d.Hooks {
		if h.Job != "" {
			out = append(out, h.Job)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Check reports what is wrong with it at a place of the file.
func (d Deployment) Check(where string) (problems field.Problems) {
	if d.ECSService == "" && d.CodeDeploy == "" && d.Pipeline == "" && d.CodeBuild == "" && len(d.Hooks) > 0 {
		problems.Add(where, "name ecsService or codeDeploy", "it has hooks, and nothing is deployed")
	}
	pair := func(name, value, remedy string) {
		first, second, ok := strings.Cut(value, "/")
		if value != "" && (!ok || first == "" || second == "" || strings.Contains(second, "/")) {
			problems.Add(where+"."+name, remedy, "%q is not two names", value)
		}
	}
	pair("ecsService", d.ECSService, "write CLUSTER/SERVICE, as in apps/web")
	pair("codeDeploy", d.CodeDeploy, "write APPLICATION/GROUP, as in web/production")
	if m := time.Duration(d.MaxDuration); m < 5*time.Minute || m > 72*time.Hour {
		problems.Add(where+".maxDuration", "write 5m to 72h", "%s is out of range", m)
	}
	for _, g := range d.SecurityGroups {
		if !strings.HasPrefix(g, "sg-") {
			problems.Add(where+".securityGroups", "write security group ids, as in sg-0123456789abcdef0",
				"%q is not a security group id", g)
		}
	}
	for _, arn := range d.Listeners {
		if !isListener(arn) {
			problems.Add(where+".listeners", "write the ARN of a listener or of a rule", "%q is not one", arn)
		}
	}
	if service := d.ECSService + d.CodeDeploy; len(d.Listeners) > 0 && ((d.ECSService == "") == (d.CodeDeploy == "") ||
		strings.Contains(service, "*")) {
		problems.Add(where+".listeners", "name ecsService or codeDeploy, one of them, without a *",
			"whose deployments shift their traffic is not clear")
	}
	for _, name := range slices.Sorted(maps.Keys(d.Hooks)) {
		d.checkHook(&problems, where+".hooks."+name, name, d.Hooks[name])
	}
	return problems
}

func (d Deployment) checkHook(problems *field.Problems, where, name string, h *Hook) {
	ofECS, ofCodeDeploy := slices.Contains(ECSStages, name), slices.Contains(CodeDeployEvents, name)
	longest := 12 * time.Hour
	switch {
	case slices.Contains(hookless, name):
		problems.Add(where, "use one of "+strings.Join(CodeDeployEvents, ", "), "CodeDeploy takes no hook at %s", name)
	case !ofECS && !ofCodeDeploy:
		problems.Add(where, "use a stage of ECS, such as POST_TEST_TRAFFIC_SHIFT, or an event of CodeDeploy, such as "+
			"AfterAllowTestTraffic", "%s is neither a stage of ECS nor a lifecycle event of CodeDeploy", name)
	case ofECS && d.ECSService == "":
		problems.Add(where, "name ecsService, or use an event of CodeDeploy", "%s is a stage of ECS", name)
	case ofCodeDeploy && d.CodeDeploy == "":
		problems.Add(where, "name codeDeploy, or use a stage of ECS", "%s is a lifecycle event of CodeDeploy", name)
	}
	if ofCodeDeploy {
		longest = CodeDeployWaits - 5*time.Minute
	}
	if t := time.Duration(h.Timeout); t < time.Minute || t > longest {
		problems.Add(where+".timeout", "write 1m to "+longest.String(), "%s is out of range", t)
	}
	if h.Job == "" && len(h.Checks) == 0 {
		problems.Add(where, "give it checks, or a job that decides", "the hook does nothing")
	}
	for i, c := range h.Checks {
		place := fmt.Sprintf("%s.checks[%d]", where, i)
		c.check(problems, place)
		if c.Tasks != nil && d.ECSService == "" {
			problems.Add(place+".tasks", "name ecsService, as CLUSTER/SERVICE", "the cluster of the tasks is not known")
		}
		if c.HTTP != nil && c.HTTP.lasts() > time.Duration(h.Timeout) {
			problems.Add(place+".http.for", "make the hook's timeout longer, or for shorter",
				"to ask for %s takes %s, and the hook's timeout is %s", time.Duration(c.HTTP.For), c.HTTP.lasts(),
				time.Duration(h.Timeout))
		}
	}
}

// Inside reports whether any hook has a check that is made from within the VPC.
func (d Deployment) Inside() bool {
	for _, h := range d.Hooks {
		if slices.ContainsFunc(h.Checks, Check.Inside) {
			return true
		}
	}
	return false
}

// ProbeFunction is the name of the function that makes checks from within the VPC of a set.
func ProbeFunction(installation string, set scheduler.SetName) string {
	return installation + "-probe-" + string(set)
}

// IsProbe reports whether a function is one of those.
func IsProbe(installation, function string) bool {
	return strings.HasPrefix(function, ProbeFunction(installation, ""))
}

// Matches reports whether a name fits a pattern, in which * stands for any text.
func Matches(pattern, name string) bool {
	expression := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")
	ok, err := regexp.MatchString("^(?:"+expression+")$", name)
	return err == nil && ok && pattern != ""
}

// maxFunction is how long the name of a Lambda function may be.
const maxFunction = 64

// HookPrefix begins the name of every function at a lifecycle event of CodeDeploy.
const HookPrefix = "CodeDeployHook_"

// HookFunction returns the name of the function at a lifecycle event of CodeDeploy: AWS's
// limited roles may invoke those alone that begin so.
//
// Source: https://docs.aws.amazon.com/codedeploy/latest/userguide/managed-policies.html
func HookFunction(installation, deployment, event string) string {
	name := HookPrefix + installation + "_" + deployment + "_" + event
	if len(name) <= maxFunction {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	tail := "_" + hex.EncodeToString(sum[:4]) + "_" + event
	return name[:maxFunction-len(tail)] + tail
}

// HookOf returns the deployment and the lifecycle event that a function is at, and false for
// a function of none.
func HookOf(installation string, all map[string]Deployment, function string) (deployment, event string, ok bool) {
	for name, d := range all {
		for _, event := range d.Events() {
			if HookFunction(installation, name, event) == function {
				return name, event, true
			}
		}
	}
	return "", "", false
}
