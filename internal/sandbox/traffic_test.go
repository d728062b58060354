package sandbox

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"drawbridge/internal/deployments"
	"drawbridge/internal/doctor/finding"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
)

const watchesTraffic = `
sets:
  main: {subnets: [subnet-1, subnet-2]}
jobs:
  smoke: {set: main, cluster: c, taskDefinition: smoke, securityGroups: [sg-1]}
deployments:
  web:
    set: main
    ecsService: c/web
    listeners: [$PRODUCTION]
    hooks:
      POST_TEST_TRAFFIC_SHIFT: {job: smoke}
`

// reset sends all requests to a target group, as an update of a stack does that has the rule
// in its template.
func (w balanced) reset(group string) {
	w.t.Helper()
	_, err := w.elb.ModifyRule(w.t.Context(), &elasticloadbalancingv2.ModifyRuleInput{
		RuleArn: &w.production, Actions: []elbtypes.Action{{Type: "forward", TargetGroupArn: &group}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// moved returns what is known of the listener.
func (w balanced) moved() deployments.Watched {
	w.t.Helper()
	all, err := deployments.Watches(w.t.Context(), w.operator())
	if err != nil || len(all) != 1 || len(all[0].Listeners) != 1 {
		w.t.Fatalf("watched %+v, %v, want one listener", all, err)
	}
	return all[0].Listeners[0]
}

// shown returns what status prints.
func (w balanced) shown() string {
	w.t.Helper()
	a := w.operator()
	at, err := view.Look(w.t.Context(), a, w.queue)
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := view.StatusOf(a, at).Write(&out, output.Style{Width: 1000}); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

func TestWeightsAreRecordedAndTheirResetIsNamed(t *testing.T) {
	longStory(t)
	inBalanced(t, watchesTraffic, func(w balanced) {
		w.serve("BLUE_GREEN")
		time.Sleep(30 * time.Minute)
		w.update("")
		time.Sleep(30 * time.Minute)
		r := w.record()
		if len(r.Traffic) != 1 || r.Traffic[0].Before.String() != "blue (100)" || r.Traffic[0].After.String() != "green (100)" {
			t.Fatalf("deployment %+v, want its traffic from blue to green", r)
		}
		time.Sleep(3 * time.Hour)
		if x := w.moved(); x.Moved != nil || x.By != r.ID {
			t.Errorf("watched %+v, want it where %s left it", x, r.ID)
		}
		w.reset(w.blue)
		time.Sleep(2 * time.Minute)
		x := w.moved()
		if x.Moved == nil || x.Moved.Idle != w.blue {
			t.Fatalf("watched %+v, want its reset to blue seen, which has no target", x)
		}
		text := w.shown()
		for _, want := range []string{"Traffic of web moved without a deployment", "blue (", "blue has no healthy target", r.ID + " left it at green (100)"} {
			if !strings.Contains(text, want) {
				t.Errorf("status says\n%s\nwant %q", text, want)
			}
		}
		if n := w.hanging(); n != 1 {
			t.Errorf("metric DeploymentsHanging is %v, want 1: requests are answered by nobody", n)
		}
		w.reset(w.green)
		time.Sleep(2 * time.Minute)
		if x := w.moved(); x.Moved != nil {
			t.Errorf("watched %+v, want it where it was left", x)
		}
		if n := w.hanging(); n != 0 {
			t.Errorf("metric DeploymentsHanging is %v, want 0", n)
		}
		w.update("")
		time.Sleep(30 * time.Minute)
		if x := w.moved(); x.Moved != nil || x.By != w.record().ID || x.Left.String() != "blue (100)" {
			t.Errorf("watched %+v, want it at blue, where the next deployment left it", x)
		}
	})
}

func TestWhatWasMovedStaysNamedUntilADeploymentShiftsIt(t *testing.T) {
	longStory(t)
	inBalanced(t, watchesTraffic, func(w balanced) {
		w.serve("BLUE_GREEN")
		time.Sleep(30 * time.Minute)
		w.reset(w.green)
		time.Sleep(2 * time.Minute)
		before := w.moved()
		if before.Moved == nil || before.Moved.Idle != w.green {
			t.Fatalf("watched %+v, want its reset to green seen", before)
		}
		w.define("smoke", map[string]string{"SANDBOX_RUN_FOR": "25m"})
		w.update("")
		time.Sleep(20 * time.Minute)
		if d := w.deployment(); d.LifecycleStage != "POST_TEST_TRAFFIC_SHIFT" {
			t.Fatalf("deployment at %s, want it at its pause", d.LifecycleStage)
		}
		if x := w.moved(); x.Moved == nil || x.By != before.By || w.hanging() != 1 {
			t.Errorf("watched %+v, metric %v, while a deployment waits before its shift; want what was moved named still", x, w.hanging())
		}
		time.Sleep(30 * time.Minute)
		if x := w.moved(); x.Moved != nil || x.By != w.record().ID || w.hanging() != 0 {
			t.Errorf("watched %+v, metric %v, after the shift; want nothing", x, w.hanging())
		}
	})
}

func TestADeploymentThatOutlastsItsHoldHasMovedNothing(t *testing.T) {
	longStory(t)
	inBalanced(t, strings.Replace(watchesTraffic, "    listeners", "    maxDuration: 5m\n    listeners", 1), func(w balanced) {
		w.serve("BLUE_GREEN")
		time.Sleep(30 * time.Minute)
		w.define("smoke", map[string]string{"SANDBOX_RUN_FOR": "20m"})
		w.update("")
		time.Sleep(time.Hour)
		r := w.record()
		if d := w.deployment(); d.Status != "SUCCESSFUL" || !strings.Contains(r.Why, "the longest that it may") {
			t.Fatalf("deployment %s, record %+v; want it SUCCESSFUL after its hold", d.Status, r)
		}
		if x := w.moved(); x.Moved != nil || x.By != r.ID || x.Left.String() != "green (100)" {
			t.Errorf("watched %+v, want it at green, where %s left it", x, r.ID)
		}
	})
}

func TestAListenerThatIsNotThereIsNamed(t *testing.T) {
	longStory(t)
	inBalanced(t, strings.Replace(watchesTraffic, "$PRODUCTION", "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/web/1/2", 1), func(w balanced) {
		time.Sleep(2 * time.Minute)
		if x := w.moved(); x.Moved == nil || !x.Moved.Gone || w.hanging() != 1 || !strings.Contains(w.shown(), "there is no listener/app/web/1/2") {
			t.Errorf("watched %+v, metric %v, status\n%s", x, w.hanging(), w.shown())
		}
		if f := w.found("deployments"); !slices.ContainsFunc(f, func(f finding.Finding) bool {
			return f.Result == finding.Warning && strings.HasPrefix(f.Found, "there is no arn:aws:elasticloadbalancing")
		}) {
			t.Errorf("doctor says %+v, want that the listener is not there", f)
		}
	})
}

func TestAResetAfterARollBackIsNamed(t *testing.T) {
	longStory(t)
	inBalanced(t, watchesTraffic, func(w balanced) {
		w.serve("BLUE_GREEN")
		time.Sleep(30 * time.Minute)
		w.define("smoke", map[string]string{"SANDBOX_EXIT_CODE": "1"})
		w.update("")
		time.Sleep(30 * time.Minute)
		r := w.record()
		if r.State != "ROLLBACK_SUCCESSFUL" || !r.Over {
			t.Fatalf("record %+v, want it rolled back and over", r)
		}
		w.reset(w.green)
		time.Sleep(2 * time.Minute)
		if x := w.moved(); x.Moved == nil || x.Moved.Idle != w.green || x.By != r.ID {
			t.Errorf("watched %+v, want its reset to green seen", x)
		}
		w.reset(w.blue)
		time.Sleep(2 * time.Minute)
		w.update("")
		for w.deployment().Status != "ROLLBACK_SUCCESSFUL" { // which the next look has not seen
			time.Sleep(5 * time.Second)
		}
		w.reset(w.green)
		time.Sleep(3 * time.Minute)
		if x, r := w.moved(), w.record(); x.Moved == nil || x.Moved.Idle != w.green || !r.Over || w.hanging() != 1 {
			t.Errorf("watched %+v, record %+v, want what was reset at the end of a deployment seen", x, r)
		}
	})
}
