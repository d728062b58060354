package sandbox

import (
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"drawbridge/internal/app"
	"drawbridge/internal/awssim"
	"drawbridge/internal/operate"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// operator is what the command line is in a world: an installation with nobody's
// invocation around it.
func (w *world) operator() *app.App {
	ck := Clock{w.sim}
	aws := AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper())
	return app.New(w.config, app.Place{Region: w.sim.Region(), Account: w.sim.Account()}, app.NewClients(aws), ck, zap.NewNop(), io.Discard)
}

// pause switches the pause of set main.
func (w *world) pause(on bool) {
	w.t.Helper()
	a := w.operator()
	err := operate.UpdateSet(w.t.Context(), a, "main", func(s *scheduler.Set) {
		s.Pause = nil
		if on {
			s.Pause = &scheduler.Pause{At: time.Now(), By: "user/test"}
		}
	})
	if err == nil {
		err = a.Wake(w.t.Context(), reconcile.Launcher, "main", "test")
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// set returns the stored set main.
func (w *world) set() scheduler.Set {
	w.t.Helper()
	s, err := w.operator().Store.LoadSet(w.t.Context(), "main")
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// live counts the interface endpoints that are there.
func (w *world) live() int {
	n := 0
	for _, e := range w.sim.Ledger().Endpoints {
		if e.Type == "interface" && e.Deleted == nil {
			n++
		}
	}
	return n
}

func TestAPauseKeepsRunsAndCreatesNothing(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.pause(true)
		w.send(event("early"))
		time.Sleep(3 * time.Hour)
		if l := w.sim.Ledger(); len(l.Stacks)+len(l.Tasks) > 0 {
			t.Errorf("paused, and there are stacks %v and tasks %v", l.Stacks, l.Tasks)
		}
		w.pause(false)
		time.Sleep(15 * time.Minute)
		if w.ran()["early"] != 1 {
			t.Errorf("after the pause ran %v, want early once", w.ran())
		}
	})
}

func TestAPauseOfAWarmSetStartsNothingAndLetsItGo(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("first"))
		time.Sleep(10 * time.Minute)
		w.pause(true)
		w.send(event("second"))
		time.Sleep(2 * time.Hour)
		if w.live() != 0 || w.ran()["second"] != 0 {
			t.Errorf("%d endpoints are up and ran %v, want none and only the first", w.live(), w.ran())
		}
		w.pause(false)
		time.Sleep(2 * time.Hour)
		if w.ran()["second"] != 1 {
			t.Errorf("after the pause ran %v, want second once", w.ran())
		}
	})
}

func TestAHoldRaisesASetAndKeepsItUntilItEnds(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		a := w.operator()
		hold := scheduler.Hold{Owner: "user/test", Reason: "debugging", Expires: time.Now().Add(150 * time.Minute)}
		if err := a.Store.Hold(w.t.Context(), "main", hold); err != nil {
			t.Fatal(err)
		}
		if err := a.Wake(w.t.Context(), reconcile.Launcher, "main", "held"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if w.live() == 0 {
			t.Fatalf("the hold raised nothing: %+v", w.set())
		}
		time.Sleep(2 * time.Hour)
		if w.live() == 0 {
			t.Error("the set went although it is held")
		}
		time.Sleep(2 * time.Hour)
		if w.live() != 0 {
			t.Errorf("the hold has ended and %d endpoints are up", w.live())
		}
	})
}

func TestTheMaximumLifetimeEndsHoldsAndNoTask(t *testing.T) {
	text := strings.Replace(oneJob, "    subnets: [subnet-1, subnet-2]", "    subnets: [subnet-1, subnet-2]\n    maxLifetime: 90m", 1)
	inWorld(t, text, awssim.Options{}, func(w *world) {
		now := time.Now()
		if err := w.operator().Store.Hold(w.t.Context(), "main", scheduler.Hold{Owner: "user/test", Reason: "forgotten", Since: now, Expires: now.Add(48 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		w.send(event("long", "SANDBOX_RUN_FOR=150m"))
		time.Sleep(140 * time.Minute)
		if w.live() == 0 {
			t.Error("the set went under a task")
		}
		time.Sleep(2 * time.Hour)
		if s := w.set(); w.ran()["long"] != 1 || w.live() != 0 || s.Phase != scheduler.Absent {
			t.Errorf("ran %v; %d endpoints are up and the set is %s: the hold has outlived its maximum", w.ran(), w.live(), s.Phase)
		}
	})
}

func TestABudgetMakesRunsWaitForTheNextDay(t *testing.T) {
	longStory(t)
	text := strings.Replace(oneJob, "    subnets: [subnet-1, subnet-2]", "    subnets: [subnet-1, subnet-2]\n    hoursPerDay: 10", 1)
	inWorld(t, text, awssim.Options{}, func(w *world) { // a bubble's clock begins at midnight UTC
		for _, id := range []string{"a", "b", "c"} {
			w.send(event(id))
			time.Sleep(2 * time.Hour)
		}
		if got := w.ran(); got["a"] != 1 || got["b"] != 1 || got["c"] != 0 {
			t.Errorf("ran %v, want a and b alone: the third hour is over the budget", got)
		}
		if s := w.set(); s.DayHours != 10 || s.TotalHours != 10 {
			t.Errorf("counted %d today and %d in all, want 10", s.DayHours, s.TotalHours)
		}
		time.Sleep(20 * time.Hour)
		if w.ran()["c"] != 1 {
			t.Errorf("ran %v the day after, want c too", w.ran())
		}
	})
}

func TestABudgetGivesRunsUpWhereThatIsConfigured(t *testing.T) {
	text := strings.Replace(oneJob, "    subnets: [subnet-1, subnet-2]", "    subnets: [subnet-1, subnet-2]\n    hoursPerDay: 5\n    overBudget: fail", 1)
	inWorld(t, text, awssim.Options{}, func(w *world) {
		w.send(event("a"))
		time.Sleep(2 * time.Hour)
		w.send(event("b"))
		time.Sleep(30 * time.Minute)
		letters := w.sim.Ledger().DeadLetters
		if w.ran()["b"] != 0 || len(letters) != 1 || !strings.Contains(letters[0].Body, "over budget") {
			t.Errorf("ran %v, dead letters %v, want b in the dead-letter queue for want of budget", w.ran(), letters)
		}
	})
}

func TestObserveCreatesNothingAndCountsWhatItWouldHavePaid(t *testing.T) {
	inWorld(t, "mode: observe\n"+oneJob, awssim.Options{}, func(w *world) {
		for i := range 3 {
			w.send(event(string(rune('a' + i))))
			time.Sleep(20 * time.Minute)
		}
		time.Sleep(5 * time.Hour)
		l := w.sim.Ledger()
		if len(l.Stacks)+len(l.Tasks) > 0 || w.live() > 0 || l.Calls["ecs:RunTask"]+l.Calls["cloudformation:CreateStack"]+l.Calls["cloudformation:DeleteStack"] > 0 {
			t.Errorf("it only observes, and made stacks %v, tasks %v, calls %v", l.Stacks, l.Tasks, l.Calls)
		}
		s := w.set()
		if s.Phase != scheduler.Absent || s.TotalHours == 0 || s.TotalHours%5 != 0 || s.TotalHours > 15 {
			t.Errorf("the set is %s and would have paid %d endpoint-hours, want absent and 5, 10 or 15", s.Phase, s.TotalHours)
		}
		runs, err := w.operator().Store.Runs(w.t.Context(), "main")
		if err != nil || len(runs) != 3 {
			t.Fatalf("%d runs, %v", len(runs), err)
		}
		for _, r := range runs {
			if r.Outcome != scheduler.Succeeded || !strings.HasPrefix(r.TaskARN, "observed:") {
				t.Errorf("run %+v", r)
			}
		}
	})
}

// twoSets are two sets in one VPC: they have a subnet in common.
const twoSets = `
sets:
  build: {subnets: [subnet-1, subnet-2], services: [ecr.api, ecr.dkr, logs, s3]}
  deploy: {subnets: [subnet-2, subnet-3], services: [ecr.api, ecr.dkr, logs, s3, codedeploy]}
jobs:
  hello: {set: build, cluster: c, taskDefinition: hello, overrides: [environment]}
  other: {set: deploy, cluster: c, taskDefinition: other, overrides: [environment]}
`

func TestSetsInOneVPCShareTheirEndpoints(t *testing.T) {
	inWorld(t, twoSets, awssim.Options{}, func(w *world) {
		w.send(event("a", "SANDBOX_RUN_FOR=30m"))
		w.send(strings.ReplaceAll(event("b", "SANDBOX_RUN_FOR=30m"), "hello", "other"))
		time.Sleep(20 * time.Minute)
		seen := map[string]int{}
		for _, e := range w.sim.Ledger().Endpoints {
			if e.Type == "interface" {
				seen[e.Service]++
			}
		}
		if len(seen) != 4 {
			t.Errorf("endpoints %v, want one each of four services", seen)
		}
		for service, n := range seen {
			if n != 1 {
				t.Errorf("%d endpoints of %s", n, service)
			}
		}
		time.Sleep(3 * time.Hour)
		if got := w.ran(); got["a"] != 1 || got["other/b"] != 1 {
			t.Errorf("ran %v (dead letters %v)", got, w.sim.Ledger().DeadLetters)
		}
		for _, p := range Check(w.config.Billing, w.sim.Ledger(), 2) {
			if !p.Kept {
				t.Errorf("promise %d is broken: %s", p.Number, p.Evidence)
			}
		}
	})
}

func TestATakeDownStopsTasksAndWaitsForNoBoundary(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("long", "SANDBOX_RUN_FOR=10h"))
		time.Sleep(10 * time.Minute)
		var told []string
		if err := operate.TakeDown(w.t.Context(), w.operator(), "user/test", func(s string) { told = append(told, s) }); err != nil {
			t.Fatal(err)
		}
		if w.live() != 0 || w.set().Phase != scheduler.Absent || w.set().TakeDown != "" {
			t.Errorf("%d endpoints are up, the set is %+v", w.live(), w.set())
		}
		for _, e := range w.sim.Ledger().Endpoints {
			for _, task := range w.sim.Ledger().Tasks {
				if e.Type == "interface" && e.Deleting != nil && (task.Stopped == nil || *task.Stopped > *e.Deleting) {
					t.Errorf("%s went under task %s", e.ID, task.ARN)
				}
			}
		}
		if len(told) == 0 {
			t.Error("it says nothing of what it does")
		}
	})
}

func TestAStartLeftBehindIsEndedWithoutHasteInAPause(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("warm"))
		time.Sleep(10 * time.Minute)
		w.fault("kill", "launcher:2", 0) // after the intent was stored, before RunTask
		w.send(event("left"))
		time.Sleep(10 * time.Second)
		w.pause(true)
		before := w.sim.Ledger().Calls["dynamodb:TransactWriteItems"]
		time.Sleep(40 * time.Minute)
		if n := w.sim.Ledger().Calls["dynamodb:TransactWriteItems"] - before; n > 60 {
			t.Errorf("%d transactions in 40 minutes of a pause", n)
		}
		if w.ran()["left"] != 1 {
			t.Errorf("ran %v, want left once: its start was begun before the pause", w.ran())
		}
		w.send(event("kept"))
		time.Sleep(3 * time.Hour)
		if w.ran()["kept"] != 0 || w.live() != 0 {
			t.Errorf("ran %v with %d endpoints up: it is paused", w.ran(), w.live())
		}
	})
}

func TestATakeDownGivesUpAStartThatWasLeftBehind(t *testing.T) {
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		w.send(event("warm"))
		time.Sleep(10 * time.Minute)
		w.fault("kill", "launcher:2", 0)
		w.send(event("left"))
		time.Sleep(10 * time.Second)
		began := time.Now()
		if err := operate.TakeDown(w.t.Context(), w.operator(), "user/test", func(string) {}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 15*time.Minute || w.live() != 0 {
			t.Errorf("it took %s and %d endpoints are up", took, w.live())
		}
		for _, p := range Check(w.config.Billing, w.sim.Ledger(), 2) {
			if p.Number == 2 && !p.Kept {
				t.Errorf("promise 2 is broken: %s", p.Evidence)
			}
		}
	})
}

func TestARunIsFollowedInItsOwnCluster(t *testing.T) {
	text := oneJob + "  other: {set: main, cluster: elsewhere, taskDefinition: other, securityGroups: [sg-1]}\n"
	inWorld(t, text, awssim.Options{}, func(w *world) {
		w.send(event("long", "SANDBOX_RUN_FOR=100m"))
		time.Sleep(10 * time.Minute)
		delete(w.config.Jobs, "hello") // as if deployed by hand: deploy refuses it
		time.Sleep(4 * time.Hour)
		for _, p := range Check(w.config.Billing, w.sim.Ledger(), 1) {
			if p.Number == 2 && !p.Kept {
				t.Errorf("promise 2 is broken: %s", p.Evidence)
			}
		}
		if w.ran()["long"] != 1 {
			t.Errorf("ran %v", w.ran())
		}
	})
}
