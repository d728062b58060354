package deployments

import (
	"strings"
	"testing"
	"time"

	"drawbridge/internal/config/field"
	"drawbridge/internal/deployments/section"
	"drawbridge/scheduler"
)

var noon = time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func TestTheSameCallIsOneFiringAndAnotherStageAnother(t *testing.T) {
	r := &Record{ID: "c/web/1", AtSince: at(0)}
	call := func(stage string) *Firing {
		return r.fired(Firing{Hook: stage, ID: "same", Via: ByFunction, Began: noon})
	}
	first := call("POST_SCALE_UP")
	if call("POST_SCALE_UP").Key != first.Key || len(r.Firings) != 1 {
		t.Fatalf("%d firings of one call", len(r.Firings))
	}
	event := first.runEvent(r)
	if other := call("PRE_PRODUCTION_TRAFFIC_SHIFT"); other.runEvent(r) == event {
		t.Error("another stage asks for the same run")
	}
	r.Firings[0].Told = at(5)
	if call("POST_SCALE_UP").Key != r.Firings[0].Key {
		t.Error("a call that comes again after its answer is another one")
	}
	r.AtSince = at(10) // the stage comes again
	again := call("POST_SCALE_UP")
	if again.Key == r.Firings[0].Key || again.runEvent(r) == event {
		t.Error("the same stage of a later step has the answer of the first")
	}
}

func TestAHookIsDecidedByItsRunItsChecksAndItsTime(t *testing.T) {
	done := func(o scheduler.Outcome) *scheduler.Run {
		return &scheduler.Run{Progress: scheduler.Progress{State: scheduler.Finished, Reason: "exit code 1"}, End: scheduler.End{Outcome: o}}
	}
	check := section.Check{TCP: "db:1"}
	for _, tt := range []struct {
		name   string
		hook   section.Hook
		checks []Progress
		run    *scheduler.Run
		after  int
		want   Outcome
		why    string
	}{
		{"its run goes on", section.Hook{Job: "j"}, nil, nil, 5, "", ""},
		{"its run succeeded", section.Hook{Job: "j"}, nil, done(scheduler.Succeeded), 5, Succeeded, "succeeded"},
		{"its run failed", section.Hook{Job: "j"}, nil, done(scheduler.FailedRun), 5, Failed, "exit code 1"},
		{"its run is lost", section.Hook{Job: "j"}, nil, done(scheduler.Lost), 5, Failed, "lost"},
		{"its run is a dead letter", section.Hook{Job: "j"}, nil, done(scheduler.DeadLettered), 5, Failed, "dead-lettered"},
		{"its time is over", section.Hook{Job: "j"}, nil, nil, 30, Failed, "within 30m"},
		{"the hook is about to expire", section.Hook{Job: "j"}, nil, nil, 19, Failed, "before the hook expires"},
		{"its check goes on", section.Hook{Checks: []section.Check{check}}, nil, nil, 5, "", ""},
		{"its check succeeded", section.Hook{Checks: []section.Check{check}}, []Progress{{Done: true}}, nil, 5, Succeeded, "all checks"},
		{"its check failed", section.Hook{Checks: []section.Check{check}}, []Progress{{Done: true, Problem: "timeout"}}, nil, 5, Failed, "timeout"},
		{"its run succeeded before its check", section.Hook{Job: "j", Checks: []section.Check{check}}, nil, done(scheduler.Succeeded), 5, "", ""},
		{"its check fails beside a run that succeeded", section.Hook{Job: "j", Checks: []section.Check{check}}, []Progress{{Done: true, Problem: "x"}}, done(scheduler.Succeeded), 5, Failed, "x"},
		{"a check that is bad so far, when its time is over", section.Hook{Checks: []section.Check{check}}, []Progress{{Problem: "refused"}}, nil, 30, Failed, "refused"},
	} {
		f := Firing{Hook: "h", Began: noon, Expires: at(20), Checks: tt.checks, Run: "j/x"}
		if tt.after == 30 {
			f.Expires = time.Time{}
		}
		tt.hook.Timeout = field.Duration(30 * time.Minute)
		f.judge(&tt.hook, tt.run, at(tt.after))
		if f.Outcome != tt.want || !strings.Contains(f.Reason, tt.why) {
			t.Errorf("%s: %q, %q; want %q, %q", tt.name, f.Outcome, f.Reason, tt.want, tt.why)
		}
	}
}

func TestWhatAWSShowsOfARecord(t *testing.T) {
	d := section.Deployment{Hooks: map[string]*section.Hook{"POST_SCALE_UP": {Job: "j"}}}
	r := &Record{ID: "web/1", Kind: Pipeline, Began: noon, Expires: at(60)}
	r.see(seen{state: "Failed", over: true, why: "it ended Failed"}, d, at(10))
	if r.Ended.IsZero() {
		t.Fatal("it has not ended")
	}
	r.Released = true
	r.see(seen{state: "InProgress"}, d, at(20))
	if !r.Ended.IsZero() || r.Released {
		t.Error("an execution whose stage is retried does not hold again")
	}
	p := &Record{ID: "c/web/1", Kind: ECS, Began: noon, Expires: at(60)}
	pause := Firing{Hook: "POST_SCALE_UP", ID: "ecs-pause-1", Via: ByPause, Began: noon}
	p.see(seen{state: "IN_PROGRESS", pauses: []Firing{pause}}, d, at(1))
	p.Firings[0].decide(Succeeded, "x")
	p.Firings[0].Told = at(2)
	p.see(seen{state: "IN_PROGRESS", pauses: []Firing{pause}}, d, at(4))
	if !p.Firings[0].Told.IsZero() || len(p.Firings) != 1 {
		t.Error("a pause at which ECS still waits is not answered again")
	}
	p.see(seen{state: "SUCCESSFUL", over: true}, d, at(5))
	if p.Firings[0].Outcome != Succeeded || !p.open() {
		t.Error("an answer that AWS may not have is given up")
	}
}
