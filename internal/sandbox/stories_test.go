package sandbox

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"drawbridge/internal/awssim"
	"drawbridge/internal/store"
	"drawbridge/scheduler"
)

// foreignStack creates somebody else's stack.
func (w *world) foreignStack(name string) {
	w.t.Helper()
	api := cloudformation.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
	_, err := api.CreateStack(w.t.Context(), &cloudformation.CreateStackInput{StackName: aws.String(name), TemplateBody: aws.String(`{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}`)})
	if err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
}

// keepsRun fails the test unless the run ran once.
func (w *world) keepsRun(id string) {
	w.t.Helper()
	if w.ran()[id] != 1 {
		w.t.Errorf("ran %v, want %s once", w.ran(), id)
	}
}

func (w *world) store() *store.Store {
	return store.New(dynamodb.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper())), "drawbridge")
}

func holdsTheSet(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("a"))
		time.Sleep(10 * time.Minute)
		if err := w.store().Hold(w.t.Context(), "main", scheduler.Hold{Owner: "me", Reason: "a test", Expires: time.Now().Add(90 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(89 * time.Minute)
		for _, e := range w.interfaces() {
			if e.Deleting != nil {
				t.Fatal("an endpoint was deleted under the hold")
			}
		}
		time.Sleep(3 * time.Hour)
		w.keeps("a")
	})
}

func TestDirectCallSaysRunPhaseAndExpectedStart(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		answer, failure := w.call(event("a"))
		if failure != "" || answer["run"] != "hello/a" || answer["state"] != "waiting" || answer["phase"] != "absent" {
			t.Errorf("cold answer %v %s, want run hello/a, waiting, phase absent", answer, failure)
		}
		if at, err := time.Parse(time.RFC3339Nano, answer["expectedStart"].(string)); err != nil || time.Until(at).Round(time.Second) != scheduler.DefaultRaise {
			t.Errorf("expected start %v, want in %s", answer["expectedStart"], scheduler.DefaultRaise)
		}
		time.Sleep(10 * time.Minute)
		before := w.sim.Ledger().Calls
		answer, failure = w.call(event("b"))
		if failure != "" || answer["state"] != "running" || answer["phase"] != "available" || answer["task"] == "" {
			t.Errorf("warm answer %v %s, want a running task", answer, failure)
		}
		after := w.sim.Ledger().Calls
		calls := 0
		for name, n := range after {
			if name != "lambda:Invoke" {
				calls += n - before[name]
			}
		}
		if calls != 4 { // the record, the set, RunTask, and the record after it
			t.Errorf("a warm run took %d calls, want 4: %v, then %v", calls, before, after)
		}
		answer, _ = w.call(event("b"))
		if answer["state"] != "running" {
			t.Errorf("the same event again answers %v, want the run that is known", answer)
		}
		time.Sleep(2 * time.Hour)
		w.keeps("a", "b")
	})
}

func TestEventOfTheBusStartsTheMatchingJob(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.sim.Publish("example.hello", "Greeting", nil, map[string]any{"to": "world"})
		w.sim.Publish("example.other", "Greeting", nil, nil)
		time.Sleep(3 * time.Hour)
		l := w.sim.Ledger()
		if len(l.Tasks) != 1 || !strings.Contains(l.Tasks[0].Environment["DRAWBRIDGE_EVENT"], `"to":"world"`) {
			t.Errorf("tasks %+v, want one that sees the event", l.Tasks)
		}
	})
}

func TestMaxRuntimeStopsATask(t *testing.T) {
	longStory(t)
	inWorld(t, strings.Replace(oneJob, "3h", "10m", 1), awssim.Options{}, func(w *world) {
		w.send(event("a", "SANDBOX_RUN_FOR=5h"))
		time.Sleep(3 * time.Hour)
		task := w.sim.Ledger().Tasks[0]
		if task.Stopped == nil || *task.Stopped-*task.Created > 17*60 {
			t.Fatalf("task stopped %v, created %v, want at most a sweep after 10 minutes", task.Stopped, *task.Created)
		}
		run, _, err := w.store().Run(w.t.Context(), "main", "hello/a")
		if err != nil || run.Outcome != scheduler.TimedOut {
			t.Errorf("run %+v, %v, want timed out", run, err)
		}
	})
}

func TestRunRecordHoldsExitCodeAndLogStream(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("a", "SANDBOX_EXIT_CODE=7"))
		time.Sleep(30 * time.Minute)
		run, ok, err := w.store().Run(w.t.Context(), "main", "hello/a")
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if run.State != scheduler.Finished || run.Outcome != scheduler.FailedRun || run.ExitCode == nil || *run.ExitCode != 7 || run.LogGroup != "/drawbridge/hello" || !strings.HasPrefix(run.LogStream, "hello/hello/") {
			t.Errorf("run %+v, want exit code 7 and its log stream", run)
		}
	})
}

func TestBadEventsAreDeadLettersWithReasons(t *testing.T) {
	longStory(t)
	big := `{"job":"hello","id":"big","overrides":{"containerOverrides":[{"name":"hello","environment":[{"name":"X","value":"` + strings.Repeat("x", 256<<10) + `"}]}]}}`
	large := strings.ReplaceAll(big, strings.Repeat("x", 256<<10), strings.Repeat("x", 9<<10))
	for _, tt := range []struct{ name, body, reason string }{
		{"unknown job", `{"job":"nope","id":"1"}`, `there is no job`},
		{"not JSON", `hello`, "not a JSON object"},
		{"JSON but no object", `[]`, "not a JSON object"},
		{"blank", ` `, "empty"},
		{"no job", `{}`, "names no job"},
		{"unknown member", `{"job":"hello","id":"1","whatever":1}`, "unknown field"},
		{"more than 256 KB", big, "at most 262144 are taken"},
		{"more overrides than ECS takes", large, "over ECS's limit of 8192"},
		{"override that is not allowed", `{"job":"hello","id":"1","overrides":{"containerOverrides":[{"name":"hello","command":["sh"]}]}}`, "does not allow an event to override command"},
		{"a variable that steers programs", event("1", "LD_PRELOAD=/tmp/x.so"), `does not allow an event to set the variable \"LD_PRELOAD\"`},
		{"a variable that says who the task is", event("1", "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://x"), `does not allow an event to set the variable \"AWS_CONTAINER_CREDENTIALS_FULL_URI\"`},
		{"a proxy", event("1", "https_proxy=http://x"), `does not allow an event to set the variable \"https_proxy\"`},
		{"id with blanks", `{"job":"hello","id":"a b"}`, "not printable"},
		{"event that no job wants", `{"source":"x","detail-type":"y","id":"1"}`, "no job's pattern matches"},
		{"container that is not there", `{"job":"hello","id":"1","overrides":{"containerOverrides":[{"name":"nope","environment":[{"name":"A","value":"b"}]}]}}`, "is not a container in the TaskDefinition"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, oneJob, awssim.Options{}, func(w *world) {
				w.send(tt.body)
				w.send(event("good"))
				time.Sleep(3 * time.Hour)
				l := w.sim.Ledger()
				if len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Body, tt.reason) {
					t.Errorf("dead letters %.600v, want one with %q", l.DeadLetters, tt.reason)
				}
				w.keepsRun("good")
			})
		})
	}
}

// TestWhoWritesTheTableRunsNothingElse changes what is recorded of a run before its task
// is asked for.
func TestWhoWritesTheTableRunsNothingElse(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		name   string
		change func(*scheduler.Run)
		reason string
	}{
		{"a command", func(r *scheduler.Run) {
			r.Overrides = []byte(`{"containerOverrides":[{"name":"hello","command":["sh","-c","env"]}]}`)
		}, "does not allow an event to override command"},
		{"a variable that steers programs", func(r *scheduler.Run) {
			r.Overrides = []byte(`{"containerOverrides":[{"name":"hello","environment":[{"name":"PATH","value":"/tmp"}]}]}`)
		}, `does not allow an event to set the variable`},
		{"another role", func(r *scheduler.Run) { r.Overrides = []byte(`{"taskRoleArn":"arn:aws:iam::123456789012:role/admin"}`) }, `unknown field`},
		{"another cluster", func(r *scheduler.Run) { r.Cluster = "production" }, "recorded for cluster production"},
		{"another task definition", func(r *scheduler.Run) { r.Definition = "arn:aws:ecs:us-east-1:123456789012:task-definition/admin:1" }, "recorded for task definition"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, oneJob, awssim.Options{}, func(w *world) {
				w.send(event("changed"))
				w.send(event("good"))
				time.Sleep(time.Minute)
				run, ok, err := w.store().Run(w.t.Context(), "main", "hello/changed")
				if err != nil || !ok || run.State != scheduler.Waiting {
					t.Fatalf("run %+v (%v), want one that waits", run, err)
				}
				tt.change(&run)
				if err := w.store().Advance(w.t.Context(), []scheduler.Run{run}, scheduler.Waiting); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * time.Hour)
				l := w.sim.Ledger()
				if len(l.Tasks) != 1 || len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Body, tt.reason) {
					t.Errorf("%d tasks and dead letters %.600v, want the other run's and one with %q", len(l.Tasks), l.DeadLetters, tt.reason)
				}
			})
		})
	}
}

func TestBadSurroundingsAreExplained(t *testing.T) {
	longStory(t)
	vpc := "vpc-0000000000000d0a0"
	for _, tt := range []struct {
		name   string
		spoil  func(w *world)
		reason string
	}{
		{"VPC without DNS host names", func(w *world) { w.sim.SetVPCDNS(vpc, true, false) }, "enableDnsHostnames off"},
		{"VPC without DNS support", func(w *world) { w.sim.SetVPCDNS(vpc, false, true) }, "enableDnsSupport off"},
		{"service that the Region does not offer", func(w *world) { w.sim.WithholdService("com.amazonaws.us-east-1.codedeploy", "") }, "codedeploy"},
		{"service that no zone of the set offers", func(w *world) {
			w.sim.WithholdService("com.amazonaws.us-east-1.logs", "us-east-1a")
			w.sim.WithholdService("com.amazonaws.us-east-1.logs", "us-east-1b")
		}, "service logs is not offered in any zone"},
		{"inactive task definition", func(w *world) { w.sim.DeactivateTaskDefinition("hello") }, "TaskDefinition"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, oneJob, awssim.Options{}, func(w *world) {
				tt.spoil(w)
				w.send(event("a"))
				time.Sleep(5 * time.Hour)
				l := w.sim.Ledger()
				if len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Body, tt.reason) {
					t.Errorf("dead letters %v, want one with %q", l.DeadLetters, tt.reason)
				}
				for _, p := range Check(w.config.Billing, l, 1) {
					if !p.Kept {
						t.Errorf("promise %d is broken: %s", p.Number, p.Evidence)
					}
				}
			})
		})
	}
	t.Run("service that one zone lacks goes to the other", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.sim.WithholdService("com.amazonaws.us-east-1.logs", "us-east-1a")
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			w.keeps("a")
		})
	})
	t.Run("expired credentials for a while", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.send(event("a"))
			w.fault("expired-credentials", "", 10*time.Minute)
			time.Sleep(5 * time.Hour)
			w.keeps("a")
		})
	})
}

func TestTwoSetsLiveTheirOwnLives(t *testing.T) {
	longStory(t)
	const two = `
sets:
  one:
    subnets: [subnet-1]
  two:
    subnets: [subnet-2]
    services: [ecr.api, ecr.dkr, logs, s3]
    s3Gateway: set
jobs:
  hello:
    set: one
    cluster: c
    taskDefinition: hello
    overrides: [environment]
  other:
    set: two
    cluster: c
    taskDefinition: other
`
	inWorld(t, two, awssim.Options{}, func(w *world) {
		w.send(event("a", "SANDBOX_RUN_FOR=70m"))
		w.send(`{"job":"other","id":"b"}`)
		time.Sleep(40 * time.Minute)
		w.send(`{"job":"other","id":"c"}`)
		time.Sleep(5 * time.Hour)
		l := w.sim.Ledger()
		for _, p := range Check(w.config.Billing, l, 3) {
			if p.Number != 6 && !p.Kept { // the hours of two sets overlap
				t.Errorf("promise %d is broken: %s", p.Number, p.Evidence)
			}
		}
		lives := map[string]int{}
		for _, e := range l.Endpoints {
			lives[e.Stack+" "+e.Type]++
		}
		if lives["drawbridge-set-one interface"] != 5 || lives["drawbridge-set-two interface"] != 3 || lives["drawbridge-set-two gateway"] != 1 {
			t.Errorf("endpoints by stack and type: %v", lives)
		}
	})
}

func TestPromise3AStartThatWasNeverRecordedIsFound(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("long", "SANDBOX_RUN_FOR=170m"))
		time.Sleep(62 * time.Minute) // the timer's next look is most of an hour away
		w.fault("lost-events", "1", 0)
		w.fault("kill-after", "launcher:3", 0) // after RunTask
		if _, failure := w.call(event("x")); failure == "" {
			t.Error("the launcher was not killed")
		}
		time.Sleep(6 * time.Hour)
		if w.ran()["x"] != 1 || len(w.sim.Ledger().DeadLetters) != 0 {
			t.Errorf("ran %v, dead letters %v, want x once and none", w.ran(), w.sim.Ledger().DeadLetters)
		}
		run, _, err := w.store().Run(w.t.Context(), "main", "hello/x")
		if err != nil || run.Outcome != scheduler.Succeeded {
			t.Errorf("run %+v, %v, want succeeded", run, err)
		}
	})
}

func TestPromise4ASetThatOthersServeWholeNeedsNoStack(t *testing.T) {
	inWorld(t, strings.Replace(oneJob, "3h", "1h", 1), awssim.Options{}, func(w *world) {
		const vpc = "vpc-0000000000000d0a0"
		w.sim.AddSecurityGroup("sg-theirs", vpc, "theirs", "10.0.0.0/16")
		for _, id := range []string{"codedeploy", "ecr.api", "ecr.dkr", "logs", "secretsmanager"} {
			if _, err := w.sim.AddEndpoint("com.amazonaws.us-east-1."+id, "Interface", vpc, []string{"subnet-1"}, []string{"sg-theirs"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		w.send(event("a", "SANDBOX_RUN_FOR=3h"))
		time.Sleep(5 * time.Hour)
		run, _, err := w.store().Run(w.t.Context(), "main", "hello/a")
		if err != nil || run.Outcome != scheduler.TimedOut {
			t.Errorf("run %+v, %v, want timed out", run, err)
		}
		set, err := w.store().LoadSet(w.t.Context(), "main")
		if err != nil || set.Generation != 1 || set.Phase != scheduler.Absent || !set.PaidUntil.IsZero() {
			t.Errorf("set %+v, %v, want one generation that paid nothing", set, err)
		}
	})
}

func TestWhatSomebodyElseDeletesIsHealed(t *testing.T) {
	longStory(t)
	t.Run("an endpoint", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.send(event("a"))
			time.Sleep(20 * time.Minute)
			w.sim.RemoveEndpoint(w.interfaces()[0].ID)
			time.Sleep(15 * time.Minute)
			w.send(event("b"))
			time.Sleep(4 * time.Hour)
			if ran := w.ran(); ran["a"] != 1 || ran["b"] != 1 || len(w.sim.Ledger().Tasks) != 2 {
				t.Errorf("ran %v in %d tasks, want each once", ran, len(w.sim.Ledger().Tasks))
			}
		})
	})
	t.Run("the stack, under a task whose end is not reported", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.send(event("a", "SANDBOX_RUN_FOR=30m"))
			time.Sleep(10 * time.Minute)
			w.fault("lost-events", "1", 40*time.Minute)
			api := cloudformation.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
			if _, err := api.DeleteStack(w.t.Context(), &cloudformation.DeleteStackInput{StackName: aws.String("drawbridge-set-main")}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(6 * time.Hour)
			run, _, err := w.store().Run(w.t.Context(), "main", "hello/a")
			if err != nil || run.State != scheduler.Finished {
				t.Errorf("run %+v, %v, want finished", run, err)
			}
		})
	})
}
