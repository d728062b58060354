package ecs

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// hook is a lifecycle hook of a deployment, as the API has it: a function that ECS calls,
// or a pause.
type hook struct {
	TargetType           string          `json:"targetType,omitempty"`
	HookTargetArn        string          `json:"hookTargetArn,omitempty"`
	RoleArn              string          `json:"roleArn,omitempty"`
	LifecycleStages      []string        `json:"lifecycleStages"`
	HookDetails          json.RawMessage `json:"hookDetails,omitempty"`
	TimeoutConfiguration *hookTimeout    `json:"timeoutConfiguration,omitempty"`
}

type hookTimeout struct {
	TimeoutInMinutes int    `json:"timeoutInMinutes,omitempty"`
	Action           string `json:"action,omitempty"`
}

// firing is one call of a hook, or one pause.
type firing struct {
	hook    hook
	id      string
	status  string
	failed  int // calls of its function
	expires time.Time
	next    *kernel.Due
}

type hookJSON struct {
	HookID        string        `json:"hookId"`
	TargetType    string        `json:"targetType"`
	TargetArn     string        `json:"targetArn,omitempty"`
	Status        string        `json:"status"`
	ExpiresAt     *kernel.Stamp `json:"expiresAt,omitempty"`
	TimeoutAction string        `json:"timeoutAction,omitempty"`
}

func (f *firing) json() hookJSON {
	return hookJSON{
		f.id, f.hook.TargetType, f.hook.HookTargetArn, f.status, kernel.StampOf(f.expires),
		f.hook.TimeoutConfiguration.Action,
	}
}

// The stages at which a hook may be, and those at which no pause may.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html
var (
	hookStages = []string{
		"RECONCILE_SERVICE", "PRE_SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT",
		"PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT",
	}
	unpaused = []string{"TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"}
)

// checkHooks refuses hooks that cannot be, and completes the others.
func checkHooks(hooks []hook) error {
	for i := range hooks {
		h := &hooks[i]
		if h.TargetType == "" {
			h.TargetType = "AWS_LAMBDA"
		}
		for _, stage := range h.LifecycleStages {
			if !slices.Contains(hookStages, stage) || h.TargetType == "PAUSE" && slices.Contains(unpaused, stage) {
				return bad("Invalid lifecycle stage %s for a hook of type %s.", stage, h.TargetType)
			}
		}
		if h.TargetType == "AWS_LAMBDA" && (h.HookTargetArn == "" || h.RoleArn == "") {
			return bad("hookTargetArn and roleArn are required for a hook of type AWS_LAMBDA.")
		}
		limits := hookTimeout{1440, "ROLLBACK"}
		if t := h.TimeoutConfiguration; t != nil {
			if t.TimeoutInMinutes != 0 {
				limits.TimeoutInMinutes = t.TimeoutInMinutes
			}
			if t.Action != "" {
				limits.Action = t.Action
			}
		}
		if limits.TimeoutInMinutes < 1 || limits.TimeoutInMinutes > 20160 {
			return bad("timeoutInMinutes must be between 1 and 20160.")
		}
		h.TimeoutConfiguration = &limits
	}
	return nil
}

// fire calls the hooks of the present stage at the same time, and goes on once all have
// succeeded. One that fails rolls the deployment back.
func (s *Services) fire(d *deployment, on func()) {
	d.hooks = nil
	for _, h := range d.configuration.LifecycleHooks {
		if !slices.Contains(h.LifecycleStages, d.stage) {
			continue
		}
		f := &firing{
			hook: h, id: "ecs-" + strings.ToLower(strings.TrimPrefix(h.TargetType, "AWS_")) + "-" + s.NewID("hook", 17),
			expires: s.Clock.Now().Add(time.Duration(h.TimeoutConfiguration.TimeoutInMinutes) * time.Minute),
		}
		d.hooks = append(d.hooks, f)
	}
	if len(d.hooks) == 0 {
		on()
		return
	}
	for _, f := range slices.Clone(d.hooks) {
		s.begin(d, f, on)
	}
}

// begin begins one hook.
func (s *Services) begin(d *deployment, f *firing, on func()) {
	settle := func(status string) { s.settleHook(d, f, status, on) }
	s.Clock.At(f.expires, func() {
		if !slices.Contains(d.hooks, f) || f.status == "SUCCEEDED" {
			return
		}
		f.status = "TIMED_OUT"
		s.tellHook(d, f)
		if f.hook.TimeoutConfiguration.Action == "CONTINUE" {
			settle("SUCCEEDED")
			return
		}
		settle("FAILED")
	})
	if f.hook.TargetType == "PAUSE" {
		f.status = "AWAITING_ACTION"
		s.tellHook(d, f)
		return
	}
	f.status = "IN_PROGRESS"
	s.tellHook(d, f)
	s.callHook(d, f, settle)
}

// callAgain is after how long ECS calls a hook again that is in progress, unless it says.
const callAgain = 30 * time.Second

// payload is what a hook's function is called with.
func (s *Services) payload(d *deployment, f *firing) map[string]any {
	test, production := map[string]float64{}, map[string]float64{}
	for _, r := range []*revision{d.source, d.target} {
		if r != nil && r.test > 0 {
			test[r.arn] = r.test
		}
		if r != nil && r.production > 0 {
			production[r.arn] = r.production
		}
	}
	out := map[string]any{
		"executionId": f.id, "lifecycleStage": d.stage, "resourceArn": d.arn,
		"executionDetails": map[string]any{
			"serviceArn": s.arnOf(d.service), "targetServiceRevisionArn": d.target.arn, "testTrafficWeights": test,
			"productionTrafficWeights": production,
		},
	}
	if len(f.hook.HookDetails) > 0 {
		out["hookDetails"] = f.hook.HookDetails
	}
	return out
}

// callHook calls a hook's function, and again as long as it is in progress.
func (s *Services) callHook(d *deployment, f *firing, settle func(status string)) {
	body, err := json.Marshal(s.payload(d, f))
	fn := s.lambda.Function(f.hook.HookTargetArn)
	if err != nil || fn == nil {
		settle("FAILED")
		return
	}
	if s.iam.Allows(f.hook.RoleArn, kernel.May("lambda:InvokeFunction", f.hook.HookTargetArn)) != nil {
		settle("FAILED")
		return
	}
	s.lambda.Call(fn, body, func(ok bool, answer []byte) {
		if !slices.Contains(d.hooks, f) {
			return // rolled back meanwhile
		}
		var a struct {
			HookStatus    string `json:"hookStatus"`
			CallBackDelay int    `json:"callBackDelay"`
		}
		if !ok || json.Unmarshal(answer, &a) != nil {
			if f.failed++; f.failed <= s.retries() {
				s.callHook(d, f, settle)
				return
			}
			settle("FAILED")
			return
		}
		switch a.HookStatus {
		case "SUCCEEDED":
			settle("SUCCEEDED")
		case "IN_PROGRESS":
			wait := callAgain
			if a.CallBackDelay > 0 {
				wait = time.Duration(a.CallBackDelay) * time.Second
			}
			f.next = s.Clock.After(wait, func() {
				if slices.Contains(d.hooks, f) && f.status == "IN_PROGRESS" {
					s.callHook(d, f, settle)
				}
			})
		default: // FAILED, and anything else
			settle("FAILED")
		}
	})
}

// retries is how often a hook's function that failed is called again.
func (s *Services) retries() int {
	given, on := s.FaultOn("retry-hooks")
	switch n, err := strconv.Atoi(given); {
	case !on:
		return 0
	case err != nil:
		return 2
	default:
		return n
	}
}

// settleHook ends a hook.
func (s *Services) settleHook(d *deployment, f *firing, status string, on func()) {
	if !slices.Contains(d.hooks, f) || d.over() {
		return
	}
	if f.status != "TIMED_OUT" {
		f.status = status
		s.tellHook(d, f)
	}
	if status == "FAILED" {
		if strings.HasPrefix(d.status, "ROLLBACK") {
			if _, on := s.FaultOn("roll-back-hook-fails"); on {
				s.finish(d, "ROLLBACK_FAILED", "rollback failed: hook execution failure(s) detected")
				return
			}
			d.hooks = nil
			on()
			return
		}
		s.rollBack(d, "deployment failed: hook execution failure(s) detected")
		return
	}
	f.status = "SUCCEEDED"
	if slices.ContainsFunc(d.hooks, func(x *firing) bool { return x.status != "SUCCEEDED" }) {
		return
	}
	d.hooks = nil
	s.Clock.After(0, on)
}

// tellHook sends ECS's event about a hook.
func (s *Services) tellHook(d *deployment, f *firing) {
	name := "HOOK_" + f.status
	detail := map[string]any{
		"eventType": "INFO", "eventName": name, "hookId": f.id, "hookType": f.hook.TargetType,
		"lifecycleStage": d.stage, "clusterArn": s.ClusterARN(d.service.cluster), "serviceArn": s.arnOf(d.service),
		"serviceDeploymentArn": d.arn, "expiresAt": f.expires.UTC().Format(time.RFC3339),
		"updatedAt": s.Clock.Now().UTC().Format(time.RFC3339),
	}
	if f.status == "FAILED" || f.status == "TIMED_OUT" {
		detail["eventType"] = "ERROR"
	}
	s.Emit("aws.ecs", "ECS Hook State Change", []string{d.arn}, detail)
}

func (s *Services) continueDeployment(_ *kernel.Call,
	in *struct{ ServiceDeploymentArn, HookID, Action string }) (*arnReply, error) {
	d := s.deploymentOf(in.ServiceDeploymentArn)
	if d == nil {
		return nil, kernel.Errorf("ServiceDeploymentNotFoundException", "Service deployment not found.")
	}
	f := kernel.Find(d.hooks, func(f *firing) bool { return f.id == in.HookID })
	if f == nil || f.status != "AWAITING_ACTION" {
		return nil, bad("The hook %s is not awaiting an action.", in.HookID)
	}
	on := func() { s.advance(d) }
	if in.Action == "ROLLBACK" {
		s.settleHook(d, f, "FAILED", on)
	} else {
		s.settleHook(d, f, "SUCCEEDED", on)
	}
	return &arnReply{d.arn}, nil
}
