package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"drawbridge/internal/awssim"
	"drawbridge/scheduler"
)

var autoJob = strings.Replace(oneJob, "    subnets: [subnet-1, subnet-2]\n", "    subnets: [subnet-1, subnet-2]\n    services: auto\n", 1)

// revise registers a new revision of hello's task definition.
func (w *world) revise(change func(*types.ContainerDefinition)) {
	w.t.Helper()
	api := ecs.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
	out, err := api.DescribeTaskDefinition(w.t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("hello")})
	if err != nil {
		w.t.Fatal(err)
	}
	d := out.TaskDefinition
	change(&d.ContainerDefinitions[0])
	if _, err := api.RegisterTaskDefinition(w.t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: d.Family, ContainerDefinitions: d.ContainerDefinitions, ExecutionRoleArn: d.ExecutionRoleArn, TaskRoleArn: d.TaskRoleArn, Cpu: d.Cpu, Memory: d.Memory,
		NetworkMode: d.NetworkMode, RequiresCompatibilities: d.RequiresCompatibilities,
	}); err != nil {
		w.t.Fatal(err)
	}
}

func withSecret(c *types.ContainerDefinition) {
	c.Secrets = []types.Secret{{Name: aws.String("TOKEN"), ValueFrom: aws.String("arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf")}}
}

func withoutSecret(c *types.ContainerDefinition) { c.Secrets = nil }

// services returns the services of the set's interface endpoints that ever were,
// in order of creation.
func (w *world) services() []string {
	var out []string
	for _, e := range w.interfaces() {
		out = append(out, strings.TrimPrefix(e.Service, "com.amazonaws.us-east-1."))
	}
	return out
}

func TestAutoHasWhatTheJobsNeedAndNoMore(t *testing.T) {
	longStory(t)
	inWorld(t, autoJob, awssim.Options{}, func(w *world) {
		w.send(event("a"))
		time.Sleep(3 * time.Hour)
		w.revise(withSecret)
		w.send(event("b"))
		time.Sleep(3 * time.Hour)
		w.revise(withoutSecret)
		w.send(event("c"))
		time.Sleep(3 * time.Hour)
		w.keeps("a", "b", "c")
		want := "ecr.api ecr.dkr logs | ecr.api ecr.dkr logs secretsmanager | ecr.api ecr.dkr logs"
		got := w.services()
		slices.Sort(got[:3])
		slices.Sort(got[3:7])
		slices.Sort(got[7:])
		if s := strings.Join(got[:3], " ") + " | " + strings.Join(got[3:7], " ") + " | " + strings.Join(got[7:], " "); s != want {
			t.Errorf("the generations had %s, want %s", s, want)
		}
	})
}

func TestAutoExtendsASetThatIsUp(t *testing.T) {
	longStory(t)
	inWorld(t, autoJob, awssim.Options{}, func(w *world) {
		w.send(event("long", "SANDBOX_RUN_FOR=40m"))
		time.Sleep(10 * time.Minute)
		w.revise(withSecret)
		w.send(event("more"))
		time.Sleep(30 * time.Second)
		w.revise(withoutSecret)
		w.send(event("less")) // while it is being extended
		time.Sleep(90 * time.Second)
		if got := w.ran(); len(got) != 1 && len(got) != 0 {
			t.Errorf("ran %v before anything could have ended", got)
		}
		less, ok, err := w.store().Run(w.t.Context(), "main", "hello/less")
		if err != nil || !ok || less.State == scheduler.Waiting {
			t.Errorf("less, which the set served all along, is %s (%v): %s", less.State, err, less.Reason)
		}
		time.Sleep(5 * time.Hour)
		w.keeps("long", "more", "less")

		l := w.sim.Ledger()
		created := 0
		for _, s := range l.Stacks {
			if strings.Contains(s.Name, "-set-") {
				created++
			}
		}
		got := w.services()
		if created != 1 || len(got) != 4 || got[3] != "secretsmanager" {
			t.Errorf("%d stacks had %v, want one with secretsmanager added last", created, got)
		}
		first, last := w.interfaces()[0], w.interfaces()[3]
		if *last.Created-*first.Created < 590 {
			t.Errorf("secretsmanager was created %.0f s after the first endpoint, want after 10 minutes", *last.Created-*first.Created)
		}
		for _, e := range w.interfaces()[:3] {
			if e.Deleted == nil || *e.Deleted != *first.Deleted {
				t.Errorf("endpoint %s did not live as long as the others", e.Service)
			}
		}
		set := w.set()
		if paid, counted := float64(billed(w)), float64(set.TotalHours); paid != counted {
			t.Errorf("%g endpoint-hours are billed, %g were counted", paid, counted)
		}
	})
}

// billed counts the endpoint-hours of the ledger by clock hours.
func billed(w *world) int {
	n := 0
	for _, e := range w.interfaces() {
		n += scheduler.PaidHours(scheduler.Clock, unix(e.Created), unix(e.Deleted)) * len(e.Subnets)
	}
	return n
}

func TestAutoGivesUpWhatCannotBeAdded(t *testing.T) {
	longStory(t)
	inWorld(t, autoJob, awssim.Options{}, func(w *world) {
		w.send(event("long", "SANDBOX_RUN_FOR=2h"))
		time.Sleep(10 * time.Minute)
		w.fault("fail-create", "secretsmanager", 0)
		w.revise(withSecret)
		w.send(event("more"))
		time.Sleep(20 * time.Minute)
		w.revise(withoutSecret)
		w.send(event("less"))
		time.Sleep(6 * time.Hour)
		l := w.sim.Ledger()
		if len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Body, "could not be extended") || !strings.Contains(l.DeadLetters[0].Body, "SecretsmanagerEndpoint") {
			t.Errorf("dead letters %v, want one that says what could not be added", l.DeadLetters)
		}
		if ran := w.ran(); ran["long"] != 1 || ran["less"] != 1 || ran["more"] != 0 {
			t.Errorf("ran %v, want long and less once", ran)
		}
		for _, p := range Check(w.config.Billing, l, 3) {
			if (p.Number == 1 || p.Number == 2 || p.Number == 5) && !p.Kept {
				t.Errorf("promise %d is broken: %s", p.Number, p.Evidence)
			}
		}
	})
}

// TestAutoCrashBeforeAndAfterEachEffect kills the launcher at each of its calls
// while it extends the set.
func TestAutoCrashBeforeAndAfterEachEffect(t *testing.T) {
	longStory(t)
	kills := 0
	for _, kind := range []string{"kill", "kill-after"} {
		for n := 1; n <= 24; n++ {
			inWorld(t, autoJob, awssim.Options{}, func(w *world) {
				w.send(event("long", "SANDBOX_RUN_FOR=50m"))
				time.Sleep(10 * time.Minute)
				w.fault(kind, fmt.Sprintf("launcher:%d", n), 0)
				w.revise(withSecret)
				w.send(event("more"))
				time.Sleep(6 * time.Hour)
				for _, i := range w.sim.Ledger().Invocations {
					if i.Outcome != nil && *i.Outcome == "killed" {
						kills++
					}
				}
				if w.keeps("long", "more"); w.t.Failed() {
					w.t.Logf("in the story %s launcher at call %d", kind, n)
				}
			})
		}
	}
	if kills < 30 {
		t.Errorf("%d launchers were killed, want at least 30 in 48 stories", kills)
	}
}

func TestAutoAddsToASetThatOthersServeWhole(t *testing.T) {
	inWorld(t, autoJob, awssim.Options{}, func(w *world) {
		const vpc = "vpc-0000000000000d0a0"
		w.sim.AddSecurityGroup("sg-theirs", vpc, "theirs", "10.0.0.0/16")
		for _, id := range []string{"ecr.api", "ecr.dkr", "logs"} {
			if _, err := w.sim.AddEndpoint("com.amazonaws.us-east-1."+id, "Interface", vpc, []string{"subnet-1"}, []string{"sg-theirs"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		w.send(event("first", "SANDBOX_RUN_FOR=20m"))
		time.Sleep(5 * time.Minute)
		w.revise(withSecret)
		w.send(event("second"))
		time.Sleep(4 * time.Hour)
		w.keepsRun("first")
		w.keepsRun("second")
		if got := w.services(); len(got) != 1 || got[0] != "secretsmanager" {
			t.Errorf("the set made %v, want secretsmanager alone", got)
		}
	})
}

func TestJobsMayNameWhatTheirProgramsCall(t *testing.T) {
	text := strings.Replace(autoJob, "    taskDefinition: hello\n", "    taskDefinition: hello\n    services: [sqs]\n", 1)
	inWorld(t, text, awssim.Options{}, func(w *world) {
		w.send(event("a"))
		time.Sleep(3 * time.Hour)
		w.keeps("a")
		if got := w.services(); !slices.Contains(got, "sqs") || len(got) != 4 {
			t.Errorf("the set had %v, want sqs beside what the task definition needs", got)
		}
	})
}
