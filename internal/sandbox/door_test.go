package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/awssim"
)

const twoTenants = `
sets:
  main:
    subnets: [subnet-1, subnet-2]
jobs:
  hello: {set: main, cluster: c, taskDefinition: hello, securityGroups: [sg-1], maxRuntime: 6h, overrides: [environment], startTimeout: 30m}
  other: {set: main, cluster: c, taskDefinition: other, securityGroups: [sg-1], maxRuntime: 6h, overrides: [environment], startTimeout: 30m}
`

// tenant is an event for a job whose task runs so long.
func tenant(job, id, runs string) string {
	return strings.ReplaceAll(event(id, "SANDBOX_RUN_FOR="+runs), `"hello"`, `"`+job+`"`)
}

// most returns how many tasks of a family ran at the same time at the most.
func (w *world) most(family string) (most int) {
	type edge struct {
		at float64
		by int
	}
	var edges []edge
	for _, t := range w.sim.Ledger().Tasks {
		if !strings.Contains(t.Group, family+"/") {
			continue
		}
		edges = append(edges, edge{*t.Created, 1})
		if t.Stopped != nil {
			edges = append(edges, edge{*t.Stopped, -1})
		}
	}
	for _, e := range edges {
		now := 0
		for _, x := range edges {
			if x.at < e.at || x.at == e.at && x.by > 0 {
				now += x.by
			}
		}
		most = max(most, now)
	}
	return most
}

// TestMaxConcurrentBoundsAJobsTasks: in a burst and one by one, on a cold set and on one
// that is up, and all of them run in the end.
func TestMaxConcurrentBoundsAJobsTasks(t *testing.T) {
	longStory(t)
	text := strings.Replace(twoTenants, "taskDefinition: hello,", "taskDefinition: hello, maxConcurrent: 3,", 1)
	inWorld(t, text, awssim.Options{}, func(w *world) {
		for i := range 12 {
			w.send(tenant("hello", fmt.Sprintf("a%d", i), "20m"))
		}
		w.send(tenant("other", "x", "5m"))
		time.Sleep(30 * time.Minute)
		for i := range 6 {
			w.send(tenant("hello", fmt.Sprintf("b%d", i), "10m"))
			time.Sleep(time.Minute)
		}
		time.Sleep(5 * time.Hour)
		if n := w.most("hello"); n != 3 {
			t.Errorf("%d tasks of hello ran at a time, want 3", n)
		}
		ran := map[string]int{}
		for _, task := range w.sim.Ledger().Tasks {
			ran[task.Group]++
		}
		if len(ran) != 19 {
			t.Errorf("%d runs ran, want 19: %v (dead letters %v)", len(ran), ran, w.sim.Ledger().DeadLetters)
		}
		if set := w.set(); set.Phase != "absent" {
			t.Errorf("the set is %s", set.Phase)
		}
	})
}

// TestATenantThatFillsAQuotaDoesNotEndTheOthersRuns: its tasks hold all that ECS allows for
// two hours, longer than the other's startTimeout.
func TestATenantThatFillsAQuotaDoesNotEndTheOthersRuns(t *testing.T) {
	longStory(t)
	inWorld(t, twoTenants, awssim.Options{}, func(w *world) {
		w.send(tenant("hello", "a", "2h"))
		time.Sleep(10 * time.Minute)
		w.fault("refuse-tasks", "quota", 2*time.Hour)
		w.send(tenant("other", "b", "5m"))
		time.Sleep(6 * time.Hour)
		l := w.sim.Ledger()
		if len(l.DeadLetters) > 0 {
			t.Errorf("dead letters %v, want none: the quota was held by another job of the set", l.DeadLetters)
		}
		if len(l.Tasks) != 2 {
			t.Errorf("%d tasks, want 2", len(l.Tasks))
		}
	})
}

// TestEachJobHasItsTurn: a job with many runs does not keep one with few waiting.
func TestEachJobHasItsTurn(t *testing.T) {
	longStory(t)
	inWorld(t, twoTenants, awssim.Options{}, func(w *world) {
		for i := range 100 {
			w.send(tenant("hello", fmt.Sprintf("a%d", i), "1m"))
		}
		w.send(tenant("other", "x", "1m"))
		time.Sleep(3 * time.Hour)
		before := 0
		var other float64
		for _, task := range w.sim.Ledger().Tasks {
			if strings.Contains(task.Group, "other/") {
				other = *task.Created
			}
		}
		for _, task := range w.sim.Ledger().Tasks {
			if *task.Created < other {
				before++
			}
		}
		if before > 25 {
			t.Errorf("%d tasks of the other job were started first", before)
		}
	})
}

// TestEventsAreBoundedAtTheDoor: how much of them is kept, how deep they are, and how many
// of a source come in a minute.
func TestEventsAreBoundedAtTheDoor(t *testing.T) {
	longStory(t)
	letters := func(w *world) (out []string) {
		for _, l := range w.sim.Ledger().DeadLetters {
			out = append(out, l.Body)
		}
		return out
	}
	t.Run("of a large one that failed its size and digest are kept", func(t *testing.T) {
		inWorld(t, mappedJob+"\nkeepEvents: 1\n", awssim.Options{}, func(w *world) {
			w.fault("deny", "ecs:RunTask", 0)
			w.send(bus("large", 100<<10))
			w.send(bus("small", 10))
			time.Sleep(4 * time.Hour)
			got := letters(w)
			if len(got) != 2 {
				t.Fatalf("%d dead letters, want 2", len(got))
			}
			for _, l := range got {
				var letter struct {
					Run        string
					EventBytes int
				}
				if err := json.Unmarshal([]byte(l), &letter); err != nil {
					t.Fatal(err)
				}
				large := strings.Contains(letter.Run, "large")
				if large != (letter.EventBytes > 100<<10) || large != strings.Contains(l, `"notKept"`) || large && len(l) > 4<<10 {
					t.Errorf("the letter of %s: %.600s", letter.Run, l)
				}
			}
		})
	})
	t.Run("one that is kept apart from its run is whole in its letter, and goes with it", func(t *testing.T) {
		inWorld(t, mappedJob, awssim.Options{}, func(w *world) {
			w.fault("deny", "ecs:RunTask", 0)
			w.send(bus("apart", 50<<10))
			time.Sleep(4 * time.Hour)
			if got := letters(w); len(got) != 1 || len(got[0]) < 50<<10 || strings.Contains(got[0], "notKept") {
				t.Errorf("%d dead letters: %.300v", len(got), got)
			}
		})
	})
	t.Run("a large one runs", func(t *testing.T) {
		inWorld(t, mappedJob+"\nkeepEvents: 0\n", awssim.Options{}, func(w *world) {
			w.send(bus("large", 100<<10))
			time.Sleep(4 * time.Hour)
			w.keepsRun("large")
		})
	})
	t.Run("one that is nested too deep", func(t *testing.T) {
		inWorld(t, mappedJob, awssim.Options{}, func(w *world) {
			w.send(strings.Replace(bus("deep", 10), `"detail":{`, `"detail":{"deep":`+strings.Repeat(`{"x":`, 200)+"1"+strings.Repeat("}", 200)+",", 1))
			time.Sleep(time.Hour)
			if got := letters(w); len(got) != 1 || !strings.Contains(got[0], "levels deep") {
				t.Errorf("dead letters %.300v", got)
			}
		})
	})
	t.Run("too many of a source", func(t *testing.T) {
		inWorld(t, oneJob+"\neventsPerMinute: 5\n", awssim.Options{}, func(w *world) {
			for i := range 30 {
				w.send(event(fmt.Sprintf("a%d", i)))
			}
			time.Sleep(3 * time.Hour)
			got := letters(w)
			if len(got) == 0 || !strings.Contains(got[0], "more than 5 events for job hello came in a minute") || len(got)+len(w.ran()) != 30 {
				t.Errorf("%d dead letters and %d runs of 30 events: %.300v", len(got), len(w.ran()), got)
			}
		})
	})
}
