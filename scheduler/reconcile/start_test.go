package reconcile

import (
	"strings"
	"testing"
	"time"

	"drawbridge/scheduler"
)

func TestIntendGivesUpWhereATaskMayHaveRun(t *testing.T) {
	r := New(Launcher, "me", nil, Ports{})
	began := time.Date(2026, 5, 14, 10, 0, 0, 0, time.UTC)
	left := scheduler.Run{Progress: scheduler.Progress{State: scheduler.Starting, Attempt: 1, StartingAt: began}}
	if _, ok := r.intend(left, began.Add(tokenHolds)); !ok {
		t.Error("a start whose token still holds was given up")
	}
	if got, ok := r.intend(left, began.Add(tokenHolds+time.Second)); ok || !strings.Contains(got.Reason, "may have run") {
		t.Errorf("a start whose token may be forgotten was tried again: %+v", got)
	}
	if got, ok := r.intend(scheduler.Run{Progress: scheduler.Progress{State: scheduler.Waiting, Attempt: scheduler.MaxAttempts, Reason: "why"}}, began); ok || !strings.Contains(got.Reason, "why") {
		t.Errorf("a fourth attempt was begun: %+v", got)
	}
}

// What ECS shows of a run's task, and what it does not.
func TestARunIsFollowedByWhatECSShows(t *testing.T) {
	began := time.Date(2026, 5, 14, 10, 0, 0, 0, time.UTC)
	code := 0
	run := func(state scheduler.RunState, change func(r *scheduler.Run)) scheduler.Run {
		r := scheduler.Run{ID: "job/1", Progress: scheduler.Progress{State: state, StartingAt: began, Reason: "as before"}}
		if state == scheduler.Running {
			r.StartedAt = began
		}
		if change != nil {
			change(&r)
		}
		return r
	}
	nobodyTried := func(r *scheduler.Run) { r.Untried = true }
	for name, c := range map[string]struct {
		run     scheduler.Run
		task    *scheduler.Task
		after   time.Duration
		changed bool
		state   scheduler.RunState
		outcome scheduler.Outcome
		reason  string
	}{
		"a task that has stopped ends its run":     {run(scheduler.Running, nil), &scheduler.Task{Stopped: true, ExitCode: &code}, time.Hour, true, scheduler.Finished, scheduler.Succeeded, "exit code 0"},
		"a start that was not recorded runs":       {run(scheduler.Starting, nil), &scheduler.Task{ARN: "arn"}, time.Minute, true, scheduler.Running, "", "its task runs"},
		"a task that runs changes nothing":         {run(scheduler.Running, nil), &scheduler.Task{ARN: "arn"}, 9 * time.Hour, false, scheduler.Running, "", "as before"},
		"one that ECS does not show yet":           {run(scheduler.Running, nil), nil, lostAfter, false, scheduler.Running, "", "as before"},
		"one that ECS has forgotten":               {run(scheduler.Running, nil), nil, lostAfter + 1, true, scheduler.Finished, scheduler.Lost, "ECS no longer knows the task"},
		"a start that nobody is known to try":      {run(scheduler.Starting, nobodyTried), nil, untried, true, scheduler.Waiting, "", waits},
		"the same before that is sure":             {run(scheduler.Starting, nobodyTried), nil, untried - 1, false, scheduler.Starting, "", "as before"},
		"the same as long as its token holds":      {run(scheduler.Starting, nobodyTried), nil, tokenHolds, true, scheduler.Waiting, "", waits},
		"the same once its token may be forgotten": {run(scheduler.Starting, nobodyTried), nil, tokenHolds + 1, false, scheduler.Starting, "", "as before"},
		"a start that somebody tried":              {run(scheduler.Starting, nil), nil, untried, false, scheduler.Starting, "", "as before"},
		"a run that waits":                         {run(scheduler.Waiting, nobodyTried), nil, untried, false, scheduler.Waiting, "", "as before"},
	} {
		found := map[scheduler.RunID]scheduler.Task{}
		if c.task != nil {
			found["job/1"] = *c.task
		}
		now := began.Add(c.after)
		got, changed := followed(c.run, found, now)
		if changed != c.changed || got.State != c.state || got.Outcome != c.outcome || !strings.HasPrefix(got.Reason, c.reason) {
			t.Errorf("%s: changed %t, %+v", name, changed, got)
		}
		if got.Outcome == scheduler.Lost && !got.FinishedAt.Equal(now) || got.State == scheduler.Running && got.TaskARN == "" && c.task != nil && changed {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
