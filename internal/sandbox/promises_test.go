package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/awssim"
	"drawbridge/scheduler"
)

func TestPromise1ReadyBeforeRun(t *testing.T) {
	t.Run("a cold start waits for every endpoint and for the settling", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.send(event("a"))
			time.Sleep(10 * time.Minute)
			var last float64
			for _, e := range w.interfaces() {
				last = max(last, *e.Available)
			}
			wait := *w.sim.Ledger().Tasks[0].Created - last
			if wait < 20 || wait > 25 {
				t.Errorf("RunTask came %.1f s after the last endpoint was available, want 20 to 25 s", wait)
			}
			time.Sleep(2 * time.Hour)
			w.keeps("a")
		})
	})
	t.Run("a task that meets an endpoint which has not settled is started again", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.fault("unsettled", "90s", 0)
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			if n := len(w.sim.Ledger().Tasks); n != 3 {
				t.Errorf("%d tasks, want two that failed to start and one that ran", n)
			}
			if w.ran()["a"] != 1 {
				t.Errorf("ran %v, want a once", w.ran())
			}
		})
	})
	t.Run("after three attempts the run has failed, with its reason", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.fault("unsettled", "5h", 0)
			w.send(event("a"))
			time.Sleep(4 * time.Hour)
			l := w.sim.Ledger()
			if len(l.Tasks) != 3 || w.ran()["a"] != 0 {
				t.Errorf("%d tasks, ran %v, want 3 that never ran", len(l.Tasks), w.ran())
			}
			run, _, err := w.store().Run(w.t.Context(), "main", "hello/a")
			if err != nil || run.Outcome != scheduler.FailedRun || !strings.Contains(run.Reason, "attempt 3") {
				t.Errorf("run %+v, %v, want a failed run that names attempt 3", run, err)
			}
		})
	})
}

func TestPromise2NeverUnderATask(t *testing.T) {
	longStory(t)
	for _, basis := range []string{"clock", "creation"} {
		t.Run("a task that runs over the boundary on the "+basis+" basis", func(t *testing.T) {
			inWorld(t, "billing: "+basis+oneJob, awssim.Options{}, func(w *world) {
				w.send(event("long", "SANDBOX_RUN_FOR=95m"))
				time.Sleep(5 * time.Hour)
				w.keeps("long")
			})
		})
	}
	t.Run("runs that arrive at every second around the margin", func(t *testing.T) {
		for s := -4; s <= 8; s++ {
			inWorld(t, oneJob, awssim.Options{}, func(w *world) {
				w.send(event("a"))
				// The bubble's time begins on an hour; the margin is five minutes.
				time.Sleep(55*time.Minute + time.Duration(s)*time.Second)
				w.send(event("b"))
				time.Sleep(4 * time.Hour)
				w.keeps("a", "b")
			})
		}
	})
	t.Run("a task whose stop event was lost holds the set no longer than to the boundary", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.fault("lost-events", "1", 0)
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			for _, e := range w.interfaces() {
				if e.Deleted == nil || *e.Deleted-*e.Created > 3600 {
					t.Errorf("endpoint lived from %v to %v, want under an hour", *e.Created, e.Deleted)
				}
			}
		})
	})
	t.Run("a hold by hand holds the set", func(t *testing.T) { holdsTheSet(t) })
}

func TestPromise3ExactlyOnce(t *testing.T) {
	longStory(t)
	t.Run("the same event five times", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			for range 3 {
				w.send(event("a"))
			}
			time.Sleep(5 * time.Minute)
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			w.keeps("a")
		})
	})
	t.Run("every event and message delivered twice, and late", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.fault("duplicate-events", "1", 0)
			w.fault("late-events", "70s", 0)
			for i := range 7 {
				w.send(event(fmt.Sprintf("r%d", i)))
				time.Sleep(time.Duration(i) * 7 * time.Minute)
			}
			time.Sleep(6 * time.Hour)
			w.keeps(ids("r", 7)...)
		})
	})
	t.Run("an event while the set is being deleted raises the next generation", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.send(event("a"))
			time.Sleep(56 * time.Minute)
			w.send(event("b"))
			time.Sleep(4 * time.Hour)
			w.keeps("a", "b")
			if n := len(w.sim.Ledger().Stacks); n != 2 {
				t.Errorf("%d stacks, want 2", n)
			}
		})
	})
	t.Run("throttling, server errors and lost replies", func(t *testing.T) {
		for seed := range int64(6) {
			inWorld(t, oneJob, awssim.Options{Seed: seed}, func(w *world) {
				for i := range 5 {
					w.send(event(fmt.Sprintf("r%d", i)))
				}
				w.fault("throttle", "0.2", 3*time.Hour)
				w.fault("server-error", "0.1", 3*time.Hour)
				w.fault("lost-reply", "0.1", 3*time.Hour)
				time.Sleep(14 * time.Hour)
				w.keeps(ids("r", 5)...)
			})
		}
	})
	t.Run("a thousand events in one second", func(t *testing.T) { thousand(t) })
	t.Run("RunTask answers with failures", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{Seed: 3}, func(w *world) {
			w.fault("no-capacity", "1", 200*time.Second)
			w.send(event("a"))
			time.Sleep(5 * time.Hour)
			if ran, dead := w.ran()["a"], len(w.sim.Ledger().DeadLetters); ran+dead != 1 {
				t.Errorf("ran %d times and %d dead letters, want one of both", ran, dead)
			}
		})
	})
}

func thousand(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		names := ids("r", 1000)
		for i, n := range names {
			w.send(event(n))
			if i%100 == 99 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		time.Sleep(40 * time.Minute)
		l := w.sim.Ledger()
		perSecond := map[int]int{}
		for _, task := range l.Tasks {
			perSecond[int(*task.Created)]++
		}
		for s, n := range perSecond {
			if n > 40 { // 20 a second may fall into one second from both of its ends
				t.Errorf("%d tasks in second %d, want at most 20 a second", n, s)
			}
		}
		calls := 0
		for name, n := range l.Calls {
			if name != "sqs:SendMessage" {
				calls += n
			}
		}
		t.Logf("%.2f calls a run", float64(calls)/1000)
		if calls > 5000 {
			t.Errorf("%d calls for 1000 runs, want at most 5 each: %v", calls, l.Calls)
		}
		if l.Calls["cloudformation:CreateStack"] != 1 {
			t.Errorf("%d stacks, want 1", l.Calls["cloudformation:CreateStack"])
		}
		time.Sleep(2 * time.Hour)
		w.keeps(names...)
	})
}

func TestPromise4OneEndpointPerVPCAndService(t *testing.T) {
	const logs, vpc = "com.amazonaws.us-east-1.logs", "vpc-0000000000000d0a0"
	t.Run("an endpoint of somebody else is adopted, and left alone", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.sim.AddSecurityGroup("sg-theirs", vpc, "theirs", "10.0.0.0/16")
			id, err := w.sim.AddEndpoint(logs, "Interface", vpc, []string{"subnet-1"}, []string{"sg-theirs"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
			w.send(event("a"))
			time.Sleep(10 * time.Minute)
			if n := len(w.interfaces()); n != 4 {
				t.Errorf("%d endpoints created, want 4 beside the adopted one", n)
			}
			time.Sleep(3 * time.Hour)
			w.keepsRun("a")
			for _, e := range w.sim.Ledger().Endpoints {
				if e.ID == id && e.Deleting != nil {
					t.Error("the adopted endpoint was deleted")
				}
			}
		})
	})
	t.Run("one that is still pending is waited for, not fought", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.sim.AddSecurityGroup("sg-theirs", vpc, "theirs", "10.0.0.0/16")
			if _, err := w.sim.AddEndpoint(logs, "Interface", vpc, []string{"subnet-1"}, []string{"sg-theirs"}, nil); err != nil {
				t.Fatal(err)
			}
			w.send(event("a"))
			time.Sleep(2 * time.Minute)
			if n := w.sim.Ledger().Calls["cloudformation:CreateStack"]; n != 0 {
				t.Errorf("%d stacks were created into a taken name", n)
			}
			time.Sleep(20 * time.Minute)
			if n := w.sim.Ledger().Calls["cloudformation:CreateStack"]; n != 1 {
				t.Errorf("%d stacks after the name was settled, want 1", n)
			}
			w.keepsRun("a")
		})
	})
}

func TestPromise5NothingLeftBehind(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		name, fault, value string
		lasts              time.Duration
	}{
		{"an endpoint fails while it is created", "fail-create", "logs", 10 * time.Minute},
		{"endpoints stay pending", "stuck-create", "", 10 * time.Minute},
		{"creation is slow", "slow-create", "4m", 0},
		{"deletion is slow", "slow-delete", "12m", 0},
		{"a deletion fails once", "fail-delete", "1", 0},
		{"deletions fail until they are forced, and the rest is swept", "fail-delete", "3", 0},
		{"reads are stale", "stale-reads", "8s", 0},
		{"events are lost", "lost-events", "1", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, oneJob, awssim.Options{}, func(w *world) {
				w.fault(tt.fault, tt.value, tt.lasts)
				w.send(event("a"))
				time.Sleep(8 * time.Hour)
				if w.ran()["a"] != 1 {
					t.Errorf("ran %v, want a once (dead letters %v)", w.ran(), w.sim.Ledger().DeadLetters)
				}
				for _, r := range w.sim.Ledger().Resources {
					if set := r.Tags["drawbridge:set"]; set != "" {
						t.Errorf("%s %s of set %s is left behind", r.Type, r.ID, set)
					}
				}
				for _, p := range Check(w.config.Billing, w.sim.Ledger(), 1) {
					if (p.Number == 5 || p.Number == 2) && !p.Kept {
						t.Errorf("promise %d is broken: %s", p.Number, p.Evidence)
					}
				}
			})
		})
	}
}

// TestPromise5CrashBeforeAndAfterEachEffect kills each function before and after
// each of its calls, and expects the run to end once and nothing to be left.
func TestPromise5CrashBeforeAndAfterEachEffect(t *testing.T) {
	longStory(t)
	kills := 0
	for _, kind := range []string{"kill", "kill-after"} {
		for _, function := range []string{"launcher", "reaper"} {
			for n := 1; n <= 24; n++ {
				name := fmt.Sprintf("%s %s at call %d", kind, function, n)
				inWorld(t, oneJob, awssim.Options{}, func(w *world) {
					w.fault(kind, fmt.Sprintf("%s:%d", function, n), 0)
					w.send(event("a"))
					time.Sleep(8 * time.Minute)
					w.send(event("b"))
					time.Sleep(51 * time.Minute)
					w.send(event("c")) // into the deletion
					time.Sleep(5 * time.Hour)
					for _, i := range w.sim.Ledger().Invocations {
						if i.Outcome != nil && *i.Outcome == "killed" {
							kills++
						}
					}
					if w.keeps("a", "b", "c"); w.t.Failed() {
						w.t.Logf("in the story %q", name)
					}
				})
			}
		}
	}
	// The later calls are made by no invocation: the stories have fewer.
	if kills < 60 {
		t.Errorf("%d handlers were killed, want at least 60 in 96 stories", kills)
	}
	t.Logf("%d handlers were killed", kills)
}

func TestPromise6NeverDearer(t *testing.T) {
	longStory(t)
	for _, basis := range []string{"clock", "creation"} {
		t.Run("arrivals every 17 minutes, "+basis, func(t *testing.T) {
			inWorld(t, "billing: "+basis+oneJob, awssim.Options{}, func(w *world) {
				var sent []string
				for i := range 25 {
					id := fmt.Sprintf("r%d", i)
					w.send(event(id, fmt.Sprintf("SANDBOX_RUN_FOR=%dm", i%9)))
					sent = append(sent, id)
					time.Sleep(time.Duration(17+i*3%40) * time.Minute)
				}
				time.Sleep(4 * time.Hour)
				w.keeps(sent...)
			})
		})
	}
}

func TestPromise6ARunThatEndsWithinTheMargin(t *testing.T) {
	longStory(t)
	for s := 0; s <= 300; s += 20 {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.send(event("a", fmt.Sprintf("SANDBOX_RUN_FOR=%ds", 51*60+20+s))) // ends from 54:40 to 59:40
			time.Sleep(61 * time.Minute)
			w.send(event("b"))
			time.Sleep(4 * time.Hour)
			if w.keeps("a", "b"); w.t.Failed() {
				w.t.Logf("with %d s more", s)
			}
		})
	}
}

func TestPromise7OnlyItsOwn(t *testing.T) {
	longStory(t)
	t.Run("a stack of our name without our tag is left alone, and the event is a dead letter", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.foreignStack("drawbridge-set-main")
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			l := w.sim.Ledger()
			if l.Stacks[0].Status != "CREATE_COMPLETE" {
				t.Errorf("the foreign stack is %s", l.Stacks[0].Status)
			}
			if len(l.DeadLetters) != 1 || !strings.Contains(l.DeadLetters[0].Body, "owner tag") {
				t.Errorf("dead letters %v, want one that names the owner tag", l.DeadLetters)
			}
		})
	})
	t.Run("what another stack holds is not touched", func(t *testing.T) {
		inWorld(t, oneJob, awssim.Options{}, func(w *world) {
			w.foreignStack("somebody-else")
			w.send(event("a"))
			time.Sleep(3 * time.Hour)
			w.keepsRun("a")
			for _, s := range w.sim.Ledger().Stacks {
				if s.Name == "somebody-else" && s.Status != "CREATE_COMPLETE" {
					t.Errorf("somebody else's stack is %s", s.Status)
				}
			}
		})
	})
}

func TestPromise8SaysWhy(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.fault("fail-create", "logs", 5*time.Minute)
		w.send(event("a"))
		w.send(`{"job":"nope","id":"b"}`)
		time.Sleep(3 * time.Hour)
		set, err := w.store().LoadSet(w.t.Context(), "main")
		if err != nil {
			t.Fatal(err)
		}
		var actions []string
		for _, d := range set.Decisions {
			if d.Reason == "" || d.At.IsZero() || d.Phase == "" {
				t.Errorf("decision %+v has no reason, time or phase", d)
			}
			if d.Action != scheduler.Wait {
				actions = append(actions, string(d.Action))
			}
		}
		want := "create create fail forget create create open drain delete forget"
		if got := strings.Join(slices.Compact(actions), " "); !strings.HasSuffix(got, strings.Join(slices.Compact(strings.Fields(want)), " ")) {
			t.Errorf("recorded %s, want it to end in %s", got, want)
		}
		if !slices.ContainsFunc(set.Decisions, func(e scheduler.Entry) bool {
			return strings.Contains(e.Reason, "LogsEndpoint") && strings.Contains(e.Reason, "want of capacity")
		}) {
			t.Errorf("no decision names the endpoint that failed and why: %+v", set.Decisions)
		}
		letters := w.sim.Ledger().DeadLetters
		if len(letters) != 1 || !strings.Contains(letters[0].Body, `"reason":"there is no job`) || !strings.Contains(letters[0].Body, `"hint":"name one of the jobs`) {
			t.Errorf("dead letters %v, want one with reason and remedy", letters)
		}
		run, _, err := w.store().Run(w.t.Context(), "main", "hello/a")
		if err != nil || run.Reason != "exit code 0" {
			t.Errorf("run %+v, %v, want its reason", run, err)
		}
	})
}
