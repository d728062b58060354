package sandbox

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"drawbridge/internal/awssim"
	"drawbridge/internal/deployments"
)

const checksWeb = `
sets:
  main: {subnets: [subnet-1, subnet-2]}
jobs:
  smoke: {set: main, cluster: c, taskDefinition: smoke, securityGroups: [sg-1]}
deployments:
  web:
    set: main
    ecsService: c/web
    hooks:
      POST_TEST_TRAFFIC_SHIFT:
        checks: [CHECK]
`

// balanced is a load balancer in front of the service, with its two target groups.
type balanced struct {
	deploying
	elb                           *elasticloadbalancingv2.Client
	host                          string
	production, test, blue, green string
}

// behindABalancer tells a story with a service behind a load balancer. CHECK in the
// configuration is check; $ARN and $HOST there are those of the test listener's rule.
func behindABalancer(t *testing.T, check string, story func(w balanced)) {
	t.Helper()
	inBalanced(t, strings.Replace(checksWeb, "CHECK", check, 1), story)
}

// inBalanced is the same with the whole configuration.
func inBalanced(t *testing.T, text string, story func(w balanced)) {
	t.Helper()
	replaced := strings.NewReplacer("$HOST", "internal-web-"+idOf("balancer", 10)+".us-east-1.elb.amazonaws.com",
		"$BLUE", "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/blue/"+nthID("targetgroup", 1),
		"$GREEN", "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/green/"+nthID("targetgroup", 2),
		"$PRODUCTION", "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/web/"+nthID("balancer", 1)+"/"+nthID("listener", 1),
	).Replace(text)
	inDeploying(t, replaced, awssim.Options{}, func(w deploying) {
		client := elasticloadbalancingv2.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		b := balanced{deploying: w, elb: client}
		ctx := w.t.Context()
		lb, err := client.CreateLoadBalancer(ctx, &elasticloadbalancingv2.CreateLoadBalancerInput{Name: aws.String("web"), Scheme: "internal", Subnets: []string{"subnet-1", "subnet-2"}})
		if err != nil {
			t.Fatal(err)
		}
		b.host = *lb.LoadBalancers[0].DNSName
		group := func(name string) string {
			out, err := client.CreateTargetGroup(ctx, &elasticloadbalancingv2.CreateTargetGroupInput{
				Name: &name, Protocol: "HTTP", Port: aws.Int32(80), TargetType: "ip", VpcId: aws.String(w.config.Sets["main"].VPC), HealthCheckPath: aws.String("/health"),
			})
			if err != nil {
				t.Fatal(err)
			}
			return *out.TargetGroups[0].TargetGroupArn
		}
		b.blue, b.green = group("blue"), group("green")
		listener := func(port int32) string {
			out, err := client.CreateListener(ctx, &elasticloadbalancingv2.CreateListenerInput{
				LoadBalancerArn: lb.LoadBalancers[0].LoadBalancerArn, Port: &port, Protocol: "HTTP",
				DefaultActions: []elbtypes.Action{{Type: "forward", TargetGroupArn: &b.blue}},
			})
			if err != nil {
				t.Fatal(err)
			}
			rules, err := client.DescribeRules(ctx, &elasticloadbalancingv2.DescribeRulesInput{ListenerArn: out.Listeners[0].ListenerArn})
			if err != nil {
				t.Fatal(err)
			}
			return *rules.Rules[0].RuleArn
		}
		b.production, b.test = listener(80), listener(9001)
		story(b)
	})
}

// idOf and nthID are the ids that a simulation with seed 0 gives.
func idOf(kind string, n int) string { return nthID(kind, 1)[:n] }

func nthID(kind string, nth int) string {
	sim := awssim.New(awssim.Options{})
	defer sim.Close()
	out := ""
	for range nth {
		out = sim.NewID(kind, 16)
	}
	return out
}

// serve creates the service behind the load balancer, with a pause.
func (w balanced) serve(strategy ecstypes.DeploymentStrategy) {
	w.t.Helper()
	c := pausing(strategy, "POST_TEST_TRAFFIC_SHIFT")
	_, err := w.ecs.CreateService(w.t.Context(), &ecs.CreateServiceInput{
		Cluster: aws.String("c"), ServiceName: aws.String("web"), TaskDefinition: aws.String("web"), DesiredCount: aws.Int32(2), DeploymentConfiguration: &c,
		LoadBalancers: []ecstypes.LoadBalancer{{ContainerName: aws.String("web"), ContainerPort: aws.Int32(8080), TargetGroupArn: &w.blue, AdvancedConfiguration: &ecstypes.AdvancedConfiguration{
			AlternateTargetGroupArn: &w.green, ProductionListenerRule: &w.production, TestListenerRule: &w.test, RoleArn: aws.String("arn:aws:iam::123456789012:role/elb"),
		}}},
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: []string{"subnet-1", "subnet-2"}, SecurityGroups: []string{"sg-1"},
		}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// update deploys a task definition whose tasks answer as given.
func (w balanced) update(answers string) {
	w.t.Helper()
	w.define("web", map[string]string{"SANDBOX_ANSWERS": answers})
	if _, err := w.ecs.UpdateService(w.t.Context(), &ecs.UpdateServiceInput{Cluster: aws.String("c"), Service: aws.String("web"), TaskDefinition: aws.String("web")}); err != nil {
		w.t.Fatal(err)
	}
}

func TestChecksOfAHook(t *testing.T) {
	longStory(t)
	good, bad := ecstypes.ServiceDeploymentStatusSuccessful, ecstypes.ServiceDeploymentStatusRollbackSuccessful
	for _, tt := range []struct {
		name, check, answers string
		want                 ecstypes.ServiceDeploymentStatus
		why                  string
		before, then         func(w balanced) // then once the service is there
		byHand               bool             // for the first deployment the check is not met
	}{
		{name: "test listener", check: "http: {url: 'http://$HOST:9001/'}", answers: "200", want: good},
		{name: "body", check: "http: {url: 'http://$HOST:9001/', contains: web 2}", answers: "200", want: good, byHand: true},
		{name: "wrong body", check: "http: {url: 'http://$HOST:9001/', contains: hello}", answers: "200", want: bad, why: "does not hold"},
		{name: "for a time", check: "http: {url: 'http://$HOST:9001/', for: 2m}", answers: "200", want: good},
		{name: "half of the answers", check: "http: {url: 'http://$HOST:9001/', for: 2m, bad: 0.1}", answers: "200,500", want: bad, why: "answers were bad"},
		{name: "a share that may be bad", check: "http: {url: 'http://$HOST:9001/', for: 1m, bad: 0.6}", answers: "200,500", want: good},
		{name: "no such host", check: "http: {url: 'http://elsewhere:80/'}", answers: "200", want: bad, why: "no such host"},
		{name: "each task", check: "tasks: {port: 8080, path: /}", answers: "200", want: good},
		{name: "a task that answers 503", check: "tasks: {port: 8080}", answers: "200,503,503,503,503,503", want: bad, why: "answered 503"},
		{name: "database", check: "tcp: 'db.internal:5432'", answers: "200", want: good, before: func(w balanced) { w.sim.AddHost("db.internal:5432") }},
		{name: "no database", check: "tcp: 'db.internal:5432'", answers: "200", want: bad, why: "db.internal:5432"},
		{name: "invalidation", check: "invalidate: {distribution: E1, paths: [/*]}", answers: "200", want: good, before: func(w balanced) { w.sim.AddDistribution("E1") }},
		{name: "invalidation denied", check: "invalidate: {distribution: E1, paths: [/*]}", answers: "200", want: bad, why: "not authorized", before: func(w balanced) { w.sim.AddDistribution("E1") }, then: func(w balanced) { w.fault("deny", "cloudfront:CreateInvalidation", 0) }},
		{name: "invalidation denied that may fail", check: "invalidate: {distribution: E1, paths: [/*], mayFail: true}", answers: "200", want: good},
		{name: "web hook that does not answer", check: "post: 'https://hooks.example/x'", answers: "200", want: bad, why: "hooks.example does not answer"},
		{name: "targets", check: "targets: '$GREEN'", answers: "200", want: good, byHand: true},
		{name: "weights", check: "weights: '$PRODUCTION'", answers: "200", want: good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			behindABalancer(t, strings.ReplaceAll("{CHECK}", "CHECK", tt.check), func(w balanced) {
				if tt.before != nil {
					tt.before(w)
				}
				w.serve(ecstypes.DeploymentStrategyBlueGreen)
				w.first(tt.why != "" || tt.byHand)
				if tt.then != nil {
					tt.then(w)
				}
				w.update(tt.answers)
				time.Sleep(25 * time.Minute)
				d, r := w.deployment(), w.record()
				if d.Status != tt.want || len(r.Firings) == 0 || !strings.Contains(r.Firings[0].Reason, tt.why) {
					t.Errorf("deployment %s at %s, hooks %+v; want %s, %q", d.Status, d.LifecycleStage, r.Firings, tt.want, tt.why)
				}
				if n := w.sim.Ledger().Calls["ecs:RunTask"]; n != 0 {
					t.Errorf("%d tasks were run for checks", n)
				}
			})
		})
	}
}

// first lets the creation of the service come to an end. Its pause is continued by hand
// where the check cannot succeed.
func (w balanced) first(byHand bool) {
	w.t.Helper()
	for range 60 {
		time.Sleep(15 * time.Second)
		d := w.deployment()
		if d.Status == ecstypes.ServiceDeploymentStatusSuccessful {
			return
		}
		if len(d.LifecycleHookDetails) > 0 && byHand {
			_, _ = w.ecs.ContinueServiceDeployment(w.t.Context(), &ecs.ContinueServiceDeploymentInput{ServiceDeploymentArn: d.ServiceDeploymentArn, HookId: d.LifecycleHookDetails[0].HookId}) // it may be answered already
		}
	}
	w.t.Fatalf("the service is not created: %+v, %+v", w.deployment().Status, w.record().Firings)
}

func TestTheRecordOfChecksSaysWhatWasAsked(t *testing.T) {
	longStory(t)
	behindABalancer(t, "{http: {url: 'http://$HOST:9001/', for: 3m}}", func(w balanced) {
		w.serve(ecstypes.DeploymentStrategyBlueGreen)
		w.first(false)
		f := w.record().Firings[0]
		if len(f.Checks) != 1 || f.Checks[0].Asked < 150 || f.Checks[0].Bad != 0 || f.Outcome != deployments.Succeeded {
			t.Errorf("hook %+v, want one check that has asked for three minutes", f)
		}
	})
}
