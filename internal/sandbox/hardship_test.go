package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"drawbridge/internal/awssim"
	"drawbridge/scheduler"
)

// paidBy returns the endpoint-hours that the ledger's interface endpoints were billed
// as by now.
func (w *world) paidBy(basis scheduler.Basis) int {
	n := 0
	for _, e := range w.interfaces() {
		end := e.Deleted
		if end == nil {
			now := w.sim.Ledger().Now
			end = &now
		}
		n += scheduler.PaidHours(basis, unix(e.Created), unix(end)) * len(e.Subnets)
	}
	return n
}

// never dearer, by total, is held in every story by keeps; here with its number.
func (w *world) neverDearer() {
	w.t.Helper()
	if p := neverDearer(w.config.Billing, w.sim.Ledger()); !p.Kept {
		w.t.Errorf("promise 6 is broken: %s", p.Evidence)
	}
}

// TestPromise3AStackWhoseIDWasNotStored: the answer to CreateStack comes late or never,
// while the stack's own events wake the reaper.
func TestPromise3AStackWhoseIDWasNotStored(t *testing.T) {
	longStory(t)
	for _, tt := range []struct{ name, config, fault, value string }{
		{"late, listed services", oneJob, "late-reply", "2s"},
		{"late, services: auto", autoJob, "late-reply", "2s"},
		{"lost, listed services", oneJob, "lost-reply", "0.1"},
		{"lost, services: auto", autoJob, "lost-reply", "0.1"},
		{"throttled, services: auto", autoJob, "throttle", "0.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range int64(12) {
				inWorld(t, tt.config, awssim.Options{Seed: seed}, func(w *world) {
					w.fault(tt.fault, tt.value, 10*time.Minute)
					w.sendUntilAccepted(event("a"))
					time.Sleep(30 * time.Minute)
					if set, paid := w.set(), w.paidBy(scheduler.Clock); set.TotalHours != paid || set.Phase == scheduler.Available && set.StackID == "" {
						t.Errorf("seed %d: %d endpoint-hours are counted and %d were paid; phase %s, stack %q", seed, set.TotalHours, paid, set.Phase, set.StackID)
					}
					time.Sleep(4 * time.Hour)
					w.keeps("a")
				})
			}
		})
	}
}

func TestPromise3WhatECSRefusesForTheMomentWaits(t *testing.T) {
	longStory(t)
	for _, kind := range []string{"capacity", "quota", "quota-empty", "throttled", "internal", "role"} {
		t.Run(kind+" for ten minutes", func(t *testing.T) {
			inWorld(t, oneJob, awssim.Options{}, func(w *world) {
				w.fault("refuse-tasks", kind, 15*time.Minute)
				w.send(event("a"))
				time.Sleep(10 * time.Minute)
				run, _, err := w.store().Run(w.t.Context(), "main", "hello/a")
				if err != nil || run.State != scheduler.Waiting || run.Attempt != 1 || run.Refusals < 3 || run.Reason == "" {
					t.Errorf("after ten minutes the run is %s in attempt %d with %d refusals because %q, %v", run.State, run.Attempt, run.Refusals, run.Reason, err)
				}
				if r := w.set().Refused["hello"]; r.Reason == "" || !r.Until.After(w.sim.Now().Add(-refusedAtMost)) {
					t.Errorf("the set says of it %+v", r)
				}
				time.Sleep(4 * time.Hour)
				w.keeps("a")
			})
		})
	}
	t.Run("for ever: a dead letter after the startTimeout, with the reason and the remedy", func(t *testing.T) {
		inWorld(t, mappedJob, awssim.Options{}, func(w *world) {
			w.fault("refuse-tasks", "capacity", 0)
			w.send(bus("a", 100<<10)) // which is kept apart, and goes with the run
			time.Sleep(25 * time.Minute)
			if l := w.sim.Ledger(); len(l.DeadLetters) != 0 {
				t.Errorf("dead letters after 25 minutes: %v", l.DeadLetters)
			}
			time.Sleep(4 * time.Hour)
			l := w.sim.Ledger()
			if len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Body, "Capacity is unavailable") || !strings.Contains(l.DeadLetters[0].Body, "subnets in more zones") {
				t.Errorf("dead letters %v, want one with reason and remedy", l.DeadLetters)
			}
			w.neverDearer()
		})
	})
	t.Run("a zone without room: another subnet of the set", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.fault("full-fargate-zone", "us-east-1a", 0)
			w.send(event("a"))
			time.Sleep(6 * time.Minute)
			w.keepsRun("a")
			time.Sleep(3 * time.Hour)
			w.keeps("a")
		})
	})
	t.Run("200 events at a quota of 6 vCPUs", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.fault("vcpu-quota", "6", 0)
			runs := ids("r", 200)
			for _, id := range runs {
				w.send(event(id))
			}
			time.Sleep(4 * time.Hour)
			w.keeps(runs...)
		})
	})
}

// refusedAtMost is how long the next try of a refused start may be overdue.
const refusedAtMost = 30 * time.Second

// TestPromise5AClusterThatWasDeletedKeepsNothingUp: nothing can run in it.
func TestPromise5AClusterThatWasDeletedKeepsNothingUp(t *testing.T) {
	text := oneJob + `
  other:
    set: main
    cluster: gone
    taskDefinition: hello
    securityGroups: [sg-1]
`
	inWorld(t, text, awssim.Options{}, func(w *world) {
		api := ecs.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		if _, err := api.DeleteCluster(w.t.Context(), &ecs.DeleteClusterInput{Cluster: aws.String("gone")}); err != nil {
			t.Fatal(err)
		}
		w.send(event("a"))
		time.Sleep(4 * time.Hour)
		w.keeps("a")
	})
}

func TestPromise3LargeEvents(t *testing.T) {
	longStory(t)
	t.Run("one of 400 KB beside nine small ones", func(t *testing.T) {
		inWorld(t, mappedJob, awssim.Options{}, func(w *world) {
			w.send(bus("large", 400<<10))
			runs := ids("r", 9)
			for _, id := range runs {
				w.send(bus(id, 10))
			}
			time.Sleep(4 * time.Hour)
			for _, id := range runs {
				w.keepsRun(id)
			}
			l := w.sim.Ledger()
			if len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Body, "bytes, at most") {
				t.Errorf("%d dead letters, want the large one with its reason", len(l.DeadLetters))
			}
		})
	})
	t.Run("one of a megabyte, more than a letter with a reason holds", func(t *testing.T) {
		inWorld(t, mappedJob, awssim.Options{}, func(w *world) {
			w.send(bus("large", 1<<20-100))
			time.Sleep(time.Hour)
			l := w.sim.Ledger()
			if len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Body, `"eventBytes":`) || !strings.Contains(l.DeadLetters[0].Body, "bytes, at most") {
				t.Errorf("dead letters %.300v, want one with its reason and the size", l.DeadLetters)
			}
		})
	})
	for _, tt := range []struct{ n, size int }{{30, 200 << 10}, {600, 50 << 10}} {
		t.Run(fmt.Sprintf("%d of %d KB", tt.n, tt.size>>10), func(t *testing.T) {
			inWorld(t, mappedJob, awssim.Options{}, func(w *world) {
				runs := ids("r", tt.n)
				for _, id := range runs {
					w.send(bus(id, tt.size))
				}
				time.Sleep(5 * time.Hour)
				w.keeps(runs...)
			})
		})
	}
}

// TestPromise3AThousandEventsASecondOnAWarmSet: each once, in five calls at most.
func TestPromise3AThousandEventsASecondOnAWarmSet(t *testing.T) {
	longStory(t)
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprintf("direct calls %v", direct), func(t *testing.T) {
			inWorld(t, oneJob, awssim.Options{}, func(w *world) {
				w.send(event("first", "SANDBOX_RUN_FOR=70m"))
				time.Sleep(10 * time.Minute)
				before := callsOf(w.sim.Ledger())
				runs := ids("r", 1000)
				for i, id := range runs {
					if direct {
						w.invoke(event(id))
					} else {
						w.send(event(id))
					}
					if i%100 == 99 {
						time.Sleep(100 * time.Millisecond)
					}
				}
				time.Sleep(20 * time.Minute)
				most := 6   // one of them tells the event bus of its end
				if direct { // each is an invocation of its own, which shares no call with others
					most = 9
				}
				if calls := callsOf(w.sim.Ledger()) - before; calls > most*len(runs) {
					t.Errorf("%d calls for %d runs, want at most %d each: %v", calls, len(runs), most, w.sim.Ledger().Calls)
				}
				time.Sleep(4 * time.Hour)
				w.keeps(append(runs, "first")...)
			})
		})
	}
}

// callsOf counts the functions' calls: all but those that the story makes, and the
// reads and writes of logs and queues.
func callsOf(l awssim.Ledger) int {
	n := 0
	for name, k := range l.Calls {
		if name != "sqs:SendMessage" && name != "lambda:Invoke" {
			n += k
		}
	}
	return n
}

// TestPromise5LostTimers: all of them for a day, with two sets, at any phase of the
// sweep, cost at most one extra hour a generation.
func TestPromise5LostTimers(t *testing.T) {
	longStory(t)
	const two = `
sets:
  one:
    subnets: [subnet-1]
  two:
    subnets: [subnet-2]
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
	for phase := range 10 {
		inWorld(t, two, awssim.Options{}, func(w *world) {
			time.Sleep(time.Duration(phase) * 30 * time.Second)
			w.fault("lost-timers", "1", 0)
			w.send(event("a"))
			w.send(`{"job":"other","id":"b"}`)
			time.Sleep(24 * time.Hour)
			for _, e := range w.interfaces() {
				if e.Deleted == nil || scheduler.PaidHours(scheduler.Clock, unix(e.Created), unix(e.Deleted)) > 2 {
					t.Errorf("phase %d: an endpoint lived from %v to %v", phase, unix(e.Created), e.Deleted)
				}
			}
		})
	}
}

func TestPromise6NeverDearerWhenAllFails(t *testing.T) {
	longStory(t)
	hourly := func(w *world, hours int) {
		for i := range hours {
			w.send(event(fmt.Sprintf("r%d", i)))
			time.Sleep(time.Hour)
		}
	}
	t.Run("an endpoint that never comes up, an event an hour", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			time.Sleep(7 * time.Minute)
			w.fault("stuck-create", "", 0)
			hourly(w, 6)
			w.neverDearer()
			w.fault("stuck-create", "off", 0)
			time.Sleep(4 * time.Hour)
			if n := len(w.sim.Ledger().DeadLetters) + len(w.ran()); n != 6 {
				t.Errorf("%d of 6 events ended", n)
			}
		})
	})
	t.Run("an endpoint that fails at once, for a lasting reason", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			time.Sleep(7 * time.Minute)
			w.fault("deny", "ec2:DescribeSecurityGroups", 0)
			hourly(w, 12)
			w.neverDearer()
			time.Sleep(6 * time.Hour)
			if n := len(w.sim.Ledger().DeadLetters); n != 12 {
				t.Errorf("%d of 12 events are dead letters", n)
			}
		})
	})
	t.Run("endpoints that fail while they come up", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			time.Sleep(7 * time.Minute)
			w.fault("fail-create", "logs", 0)
			hourly(w, 12)
			w.neverDearer()
		})
	})
	t.Run("deletions of half an hour", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.fault("slow-delete", "28m", 0)
			time.Sleep(7 * time.Minute)
			hourly(w, 8)
			time.Sleep(4 * time.Hour)
			w.keeps(ids("r", 8)...)
		})
	})
	t.Run("creations of twenty minutes", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{Raise: 20 * time.Minute}, func(w *world) {
			w.send(event("a"))
			time.Sleep(4 * time.Hour)
			w.keeps("a")
		})
	})
}

// TestPromise5AMarginThatIsTooShort: a set whose deletions take longer than the margin
// leaves them, or as long as it can be at most, goes all the same.
func TestPromise5AMarginThatIsTooShort(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		margin string
		slow   string
		lasts  time.Duration
	}{
		{"1m", "", 0}, {"2m", "", 0}, {"3m", "", 0}, {"4m", "", 0},
		{"5m", "10m", 2 * time.Hour}, {"10m", "10m", 2 * time.Hour}, {"30m", "48m", 2 * time.Hour},
		{"", "48m", 2 * time.Hour}, {"", "48m", 0}, {"", "70m", 4 * time.Hour},
	} {
		t.Run(fmt.Sprintf("margin %s, deletions slower by %s for %s", tt.margin, tt.slow, tt.lasts), func(t *testing.T) {
			text := oneJob
			if tt.margin != "" {
				text = "margin: " + tt.margin + "\n" + oneJob
			}
			inWorld(t, text, awssim.Options{}, func(w *world) {
				if tt.slow != "" {
					w.fault("slow-delete", tt.slow, tt.lasts)
				}
				for _, id := range ids("r", 3) {
					w.send(event(id))
					time.Sleep(4 * time.Hour)
				}
				for _, e := range w.interfaces() {
					if e.Deleted == nil {
						t.Errorf("%s stands for good: %v", e.ID, w.set().Decisions[len(w.set().Decisions)-1])
					}
				}
				w.keeps(ids("r", 3)...)
			})
		})
	}
}

// TestFailuresBeforeARunDoNotGiveItUp: what failed for somebody who has gone says
// nothing of a run that comes later, when the reason may be mended: it gets a try.
func TestFailuresBeforeARunDoNotGiveItUp(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		time.Sleep(7 * time.Minute)
		w.fault("deny", "cloudformation:TagResource", 0)
		expires := time.Now().Add(2 * time.Hour)
		if err := w.store().Hold(w.t.Context(), "main", scheduler.Hold{Owner: "me", Reason: "a test", Expires: expires}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		if s := w.set(); s.Failures < 2 {
			t.Fatalf("%d generations have failed, want several", s.Failures)
		}
		w.fault("deny", "off", 0)
		w.send(event("a"))
		time.Sleep(3 * time.Hour)
		w.keeps("a")
	})
}

// runsForeign runs a task that is not Drawbridge's and bears the set's name, and a group if one is given.
func (w *world) runsForeign(group, lasts string) {
	w.t.Helper()
	in := &ecs.RunTaskInput{
		Cluster: aws.String("c"), TaskDefinition: aws.String("hello"), StartedBy: aws.String("drawbridge/main"), LaunchType: ecstypes.LaunchTypeFargate,
		Overrides: &ecstypes.TaskOverride{ContainerOverrides: []ecstypes.ContainerOverride{{
			Name: aws.String("hello"), Environment: []ecstypes.KeyValuePair{{Name: aws.String("SANDBOX_RUN_FOR"), Value: aws.String(lasts)}},
		}}},
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{Subnets: []string{"subnet-1"}, SecurityGroups: []string{"sg-1"}}},
	}
	if group != "" {
		in.Group = aws.String(group)
	}
	if _, err := ecs.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper())).RunTask(w.t.Context(), in); err != nil {
		w.t.Fatal(err)
	}
}

// TestAnUnknownTaskMakesNoHotLoop: a task with our startedBy that no run names holds the
// set, and costs a few looks.
func TestAnUnknownTaskMakesNoHotLoop(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("a"))
		time.Sleep(20 * time.Minute)
		w.runsForeign("", "150m")
		before := w.sim.Ledger().Calls["ecs:ListTasks"]
		time.Sleep(2 * time.Hour)
		if n := w.sim.Ledger().Calls["ecs:ListTasks"] - before; n > 60 {
			t.Errorf("%d looks at ECS in two hours, want at most one a minute at the end of each paid hour", n)
		}
		time.Sleep(4 * time.Hour)
		for _, task := range w.sim.Ledger().Tasks {
			if !task.HadEndpoints {
				t.Errorf("task %s lost an endpoint", task.ARN)
			}
		}
		for _, e := range w.interfaces() {
			if e.Deleted == nil {
				t.Error("an endpoint is still up")
			}
		}
	})
}

// TestATaskThatIsNotOursEndsNothing: one that bears the name of a run, and even its task
// definition, stops before the run's own task does.
func TestATaskThatIsNotOursEndsNothing(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("long", "SANDBOX_RUN_FOR=40m"))
		time.Sleep(10 * time.Minute)
		run, ok, err := w.store().Run(w.t.Context(), "main", "hello/long")
		if err != nil || !ok || run.State != scheduler.Running {
			t.Fatalf("run %+v (%v), want one that runs", run, err)
		}
		w.runsForeign(run.TaskGroup(), "1m")
		time.Sleep(10 * time.Minute)
		still, _, err := w.store().Run(w.t.Context(), "main", "hello/long")
		if err != nil || still.State != scheduler.Running || still.TaskARN != run.TaskARN {
			t.Errorf("after a task of somebody else has ended, the run is %s (%s), want running with its own task", still.State, still.Reason)
		}
		time.Sleep(3 * time.Hour)
		ended, _, err := w.store().Run(w.t.Context(), "main", "hello/long")
		if err != nil || ended.Outcome != scheduler.Succeeded || ended.TaskARN != run.TaskARN || ended.FinishedAt.Sub(ended.StartedAt) < 40*time.Minute {
			t.Errorf("the run %s by task %s after %s (%v), want succeeded by its own task", ended.Outcome, ended.TaskARN, ended.FinishedAt.Sub(ended.StartedAt), err)
		}
		for _, task := range w.sim.Ledger().Tasks {
			if !task.HadEndpoints {
				t.Errorf("task %s lost an endpoint", task.ARN)
			}
		}
	})
}

// TestALauncherMeetsASetThatDrains: the reaper that was about to delete it is gone, and a launcher, which may not list
// tasks, is the next to look. It reopens the set for an event by itself, and ends no set whose tasks it cannot see.
func TestALauncherMeetsASetThatDrains(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		name, broken string
		event        bool
	}{
		{"with an event", "", true},
		{"that is broken, under a task that no run names", "somebody has changed its stack", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, oneJob, awssim.Options{}, func(w *world) {
				w.send(event("a"))
				time.Sleep(20 * time.Minute)
				if !tt.event {
					w.runsForeign("", "20m")
					time.Sleep(2 * time.Minute)
				}
				set := w.set()
				set.Phase, set.Since, set.Broken = scheduler.Draining, w.sim.Now(), tt.broken
				if _, err := w.store().SaveSet(w.t.Context(), set); err != nil {
					t.Fatal(err)
				}
				w.fault("deny", "ecs:ListTasks", time.Minute) // so that no reaper comes to the rescue
				if tt.event {
					w.send(event("b"))
				} else {
					w.invoke(`{"set": "main", "reason": "a test"}`)
				}
				time.Sleep(3 * time.Hour)
				if b, ok, err := w.store().Run(w.t.Context(), "main", "hello/b"); tt.event && (err != nil || !ok || b.StartedAt.Sub(b.ReceivedAt) > 10*time.Second) {
					t.Errorf("the event's task started after %s (%v), want at once", b.StartedAt.Sub(b.ReceivedAt), err)
				}
				for _, task := range w.sim.Ledger().Tasks {
					if !task.HadEndpoints {
						t.Errorf("task %s lost an endpoint", task.ARN)
					}
				}
				for _, e := range w.interfaces() {
					if e.Deleted == nil {
						t.Error("an endpoint is still up")
					}
				}
			})
		})
	}
}

// TestAnEventOfAnotherAccountEndsNothing: the reaper is told of a task of ours, from elsewhere.
func TestAnEventOfAnotherAccountEndsNothing(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("long", "SANDBOX_RUN_FOR=40m"))
		time.Sleep(10 * time.Minute)
		run, _, err := w.store().Run(w.t.Context(), "main", "hello/long")
		if err != nil || run.State != scheduler.Running {
			t.Fatalf("run %+v (%v), want one that runs", run, err)
		}
		stopped := fmt.Sprintf(`{"source":"aws.ecs","detail-type":"ECS Task State Change","account":"999999999999","region":"us-east-1","detail":{"taskArn":%q,"group":%q,"startedBy":"drawbridge/main","lastStatus":"STOPPED","containers":[{"name":"hello","exitCode":0}]}}`, run.TaskARN, run.TaskGroup())
		if _, err := w.lambda.Invoke(w.t.Context(), &lambda.InvokeInput{FunctionName: aws.String("drawbridge-reaper"), Payload: []byte(stopped)}); err != nil {
			t.Fatal(err)
		}
		if still, _, err := w.store().Run(w.t.Context(), "main", "hello/long"); err != nil || still.State != scheduler.Running {
			t.Errorf("the run is %s (%v), want running", still.State, err)
		}
		time.Sleep(3 * time.Hour)
		w.keeps("long")
	})
}

// TestAnEventWhoseSubmissionFailedComesAgainSoon: within a minute, not after the
// quarter of an hour that a function may run.
func TestAnEventWhoseSubmissionFailedComesAgainSoon(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("first", "SANDBOX_RUN_FOR=40m"))
		time.Sleep(10 * time.Minute)
		w.fault("deny", "dynamodb:PutItem", 20*time.Second)
		w.send(event("a"))
		time.Sleep(3 * time.Minute)
		w.keepsRun("a")
		time.Sleep(3 * time.Hour)
		w.keeps("first", "a")
	})
}

func TestOneJobThatCannotTakeAnEventDoesNotRejectTheOthers(t *testing.T) {
	text := oneJob + `
  other:
    set: main
    cluster: c
    taskDefinition: hello
    container: hello
    securityGroups: [sg-1]
    environment:
      MISSING: $.detail.not.there
    on:
      - source: [example.hello]
`
	inWorld(t, text, awssim.Options{}, func(w *world) {
		id := w.sim.Publish("example.hello", "Greeting", nil, map[string]any{"to": "world"})
		time.Sleep(3 * time.Hour)
		w.keepsRun(id)
		l := w.sim.Ledger()
		if len(l.DeadLetters) == 0 || !strings.Contains(l.DeadLetters[0].Body, "job other: the event has nothing at $.detail.not.there") {
			t.Errorf("dead letters %v, want one of job other with its reason", l.DeadLetters)
		}
	})
}

// TestAnInstallationThatWasMadeAgainCreatesItsStacks: its generations have the numbers
// of those of an earlier installation.
func TestAnInstallationThatWasMadeAgainCreatesItsStacks(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("a"))
		time.Sleep(3 * time.Hour)
		api := dynamodb.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		key := map[string]types.AttributeValue{"set": &types.AttributeValueMemberS{Value: "main"}, "item": &types.AttributeValueMemberS{Value: "set"}}
		if _, err := api.DeleteItem(w.t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("drawbridge"), Key: key}); err != nil {
			t.Fatal(err)
		}
		w.send(event("b"))
		time.Sleep(3 * time.Hour)
		w.keeps("a", "b")
	})
}

// TestAnExtensionThatFailedIsTriedAgain: by another request, not by the name of the
// one that failed.
func TestAnExtensionThatFailedIsTriedAgain(t *testing.T) {
	longStory(t)
	inWorld(t, autoJob, awssim.Options{}, func(w *world) {
		w.send(event("long", "SANDBOX_RUN_FOR=2h"))
		time.Sleep(10 * time.Minute)
		w.fault("fail-create", "secretsmanager", 4*time.Minute)
		w.revise(withSecret)
		w.send(event("more"))
		time.Sleep(30 * time.Minute)
		w.keepsRun("more")
		time.Sleep(5 * time.Hour)
		w.keeps("long", "more")
	})
}

// TestTheServiceRoleSurvivesTagsApart: CloudFormation creates endpoints without tags
// and tags them by calls of their own; those of the stack come late, or never.
func TestTheServiceRoleSurvivesTagsApart(t *testing.T) {
	longStory(t)
	for _, late := range []string{"late", "never"} {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.fault("tags-apart", "", 0)
			w.fault("stack-tags", late, 0)
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			w.keeps("a")
		})
		inWorld(t, oneJob, awssim.Options{}, func(w *world) { // a creation that is undone before anything was tagged
			w.fault("tags-apart", "", 0)
			w.fault("stack-tags", late, 0)
			w.fault("deny", "ec2:CreateTags", 0)
			w.send(event("a"))
			time.Sleep(8 * time.Hour)
			l := w.sim.Ledger()
			if len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Body, "ec2:CreateTags") {
				t.Errorf("dead letters %v, want one that names ec2:CreateTags", l.DeadLetters)
			}
			for _, p := range Check(w.config.Billing, l, 1) {
				if !p.Kept {
					t.Errorf("promise %d is broken: %s", p.Number, p.Evidence)
				}
			}
		})
	}
}

// TestTheServiceRoleTakesTagsAway: an update of a set's stack that leaves a tag out.
func TestTheServiceRoleTakesTagsAway(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("a", "SANDBOX_RUN_FOR=20m"))
		time.Sleep(10 * time.Minute)
		api := cloudformation.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
		name := aws.String("drawbridge-set-main")
		live, err := api.GetTemplate(w.t.Context(), &cloudformation.GetTemplateInput{StackName: name})
		if err != nil {
			t.Fatal(err)
		}
		body := strings.ReplaceAll(*live.TemplateBody, `"Key": "Name"`, `"Key": "Title"`)
		if _, err := api.UpdateStack(w.t.Context(), &cloudformation.UpdateStackInput{StackName: name, TemplateBody: &body}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		out, err := api.DescribeStacks(w.t.Context(), &cloudformation.DescribeStacksInput{StackName: name})
		if err != nil || out.Stacks[0].StackStatus != "UPDATE_COMPLETE" {
			t.Errorf("the stack is %v, %v, want UPDATE_COMPLETE", out.Stacks[0].StackStatus, err)
		}
		time.Sleep(3 * time.Hour)
		w.keeps("a")
	})
}

// bus is an event of EventBridge with so many bytes beside what counts.
func bus(id string, size int) string {
	return fmt.Sprintf(`{"id":%q,"source":"example.hello","detail-type":"x","detail":{"what":"it","fill":%q}}`, id, strings.Repeat("f", size))
}

// mappedJob takes a part of its events and no more.
var mappedJob = strings.Replace(oneJob, "    overrides: [environment]\n", "    environment:\n      WHAT: $.detail.what\n", 1)
