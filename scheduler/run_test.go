package scheduler

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNewRunID(t *testing.T) {
	for _, tt := range []struct{ name, event, failure string }{
		{"plain", "push-1", ""},
		{"as long as it may be", strings.Repeat("x", MaxEventID), ""},
		{"longer", strings.Repeat("x", MaxEventID+1), "at most 200"},
		{"empty", "", "no id"},
		{"a blank", "a b", "not printable"},
		{"not ASCII", "ü", "not printable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := NewRunID("job", tt.event)
			if tt.failure == "" && (err != nil || id != RunID("job/"+tt.event)) || tt.failure != "" && (err == nil || !strings.Contains(err.Error(), tt.failure)) {
				t.Errorf("NewRunID(%.20q) = %s, %v, want %q", tt.event, id, err, tt.failure)
			}
		})
	}
}

func TestPromise3ClientTokenNamesRunAndAttempt(t *testing.T) {
	a := Run{ID: "j/a", Set: "main", Progress: Progress{Attempt: 1}}
	b, again, other := a, a, a
	b.Attempt, other.ID = 2, "j/b"
	if a.ClientToken() != again.ClientToken() || a.ClientToken() == b.ClientToken() || a.ClientToken() == other.ClientToken() || len(a.ClientToken()) != 64 {
		t.Errorf("tokens %s, %s, %s", a.ClientToken(), b.ClientToken(), other.ClientToken())
	}
}

func TestTaskGroupComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Run{ID: RunID(rapid.StringMatching(`[a-z]{1,8}/[!-~]{1,40}`).Draw(t, "id")), Progress: Progress{Attempt: rapid.IntRange(1, MaxAttempts).Draw(t, "attempt")}}
		id, attempt, ok := ParseTaskGroup(r.TaskGroup())
		if !ok || id != r.ID || attempt != r.Attempt {
			t.Fatalf("ParseTaskGroup(%s) = %s, %d, %v", r.TaskGroup(), id, attempt, ok)
		}
	})
	for _, foreign := range []string{"family:x", "drawbridge:", "drawbridge:9:x", "drawbridge:12:x", "service:web"} {
		if _, _, ok := ParseTaskGroup(foreign); ok {
			t.Errorf("%s was taken for ours", foreign)
		}
	}
}

func TestConclude(t *testing.T) {
	code := func(n int) *int { return &n }
	now := At("10:00:00")
	unsettled := Task{StopCode: "TaskFailedToStart", StopReason: "ResourceInitializationError: unable to pull secrets or registry auth"}
	for _, tt := range []struct {
		name    string
		run     Run
		task    Task
		state   RunState
		outcome Outcome
	}{
		{"exit code 0", Run{Progress: Progress{Attempt: 1}}, Task{ExitCode: code(0)}, Finished, Succeeded},
		{"exit code 1", Run{Progress: Progress{Attempt: 1}}, Task{ExitCode: code(1)}, Finished, FailedRun},
		{"could not start, first attempt: again", Run{Progress: Progress{Attempt: 1}}, unsettled, Waiting, ""},
		{"could not start, last attempt", Run{Progress: Progress{Attempt: MaxAttempts}}, unsettled, Finished, FailedRun},
		{"what another attempt would not change", Run{Progress: Progress{Attempt: 1}}, Task{StopReason: "ResourceInitializationError: x", Explanation: &Explanation{Cause: "missing-endpoint", Text: "no logs endpoint", Lasting: true}}, Finished, FailedRun},
		{"what may pass", Run{Progress: Progress{Attempt: 1}}, Task{StopReason: "ResourceInitializationError: x", Explanation: &Explanation{Cause: "endpoint-not-ready", Text: "pending"}}, Waiting, ""},
		{"image not pulled, said by the container", Run{Progress: Progress{Attempt: 2}}, Task{Containers: []TaskContainer{{Reason: "CannotPullContainerError: i/o timeout"}}}, Waiting, ""},
		{"stopped by a user", Run{Progress: Progress{Attempt: 1}}, Task{StopCode: "UserInitiated", StopReason: "bye"}, Finished, FailedRun},
		{"stopped for running too long", Run{Progress: Progress{Attempt: 1, StopAsked: now}, Request: Request{MaxRuntime: time.Hour}}, Task{StopCode: "UserInitiated", ExitCode: code(143)}, Finished, TimedOut},
		{"ended by itself just before", Run{Progress: Progress{Attempt: 1, StopAsked: now}, Request: Request{MaxRuntime: time.Hour}}, Task{StopCode: "EssentialContainerExited", ExitCode: code(0)}, Finished, Succeeded},
		{"the words in the reason of a task that ran do not count", Run{Progress: Progress{Attempt: 1}}, Task{ExitCode: code(2), StopReason: "ResourceInitializationError"}, Finished, FailedRun},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.run.Conclude(tt.task, now)
			if got.State != tt.state || got.Outcome != tt.outcome || got.Reason == "" {
				t.Errorf("Conclude = %s, %s (%s), want %s, %s", got.State, got.Outcome, got.Reason, tt.state, tt.outcome)
			}
		})
	}
}

func TestDemandOf(t *testing.T) {
	now := At("10:00:00")
	d := DemandOf([]Run{
		{Progress: Progress{State: Waiting}},
		{Progress: Progress{State: Starting, StartingAt: now.Add(-ResumeAfter + time.Second)}},
		{Progress: Progress{State: Starting, StartingAt: now.Add(-ResumeAfter)}},
		{Progress: Progress{State: Running, StartedAt: now.Add(-time.Hour)}, Request: Request{MaxRuntime: time.Hour}},
		{Progress: Progress{State: Running, StartedAt: now.Add(-time.Hour)}, Request: Request{MaxRuntime: 2 * time.Hour}},
		{Progress: Progress{State: Running, StartedAt: now}},
		{Progress: Progress{State: Finished}},
	}, []Hold{{Expires: now}, {Expires: now.Add(time.Second)}}, DefaultSettings(), Set{}, now)
	want := Demand{Waiting: 1, Starting: 2, Resumable: 1, Running: 3, Holds: 1, HeldUntil: now.Add(time.Second), Overdue: 1, NextDeadline: now.Add(time.Hour)}
	if d != want {
		t.Errorf("DemandOf = %+v, want %+v", d, want)
	}
}

func TestTheLastHoldAndTheNextDeadlineCount(t *testing.T) {
	now := At("10:00:00")
	runs := []Run{
		{Progress: Progress{State: Running, StartedAt: now}, Request: Request{MaxRuntime: 3 * time.Hour}},
		{Progress: Progress{State: Running, StartedAt: now}, Request: Request{MaxRuntime: time.Hour}},
		{Progress: Progress{State: Running, StartedAt: now}, Request: Request{MaxRuntime: 2 * time.Hour}},
	}
	holds := []Hold{{Expires: now.Add(2 * time.Hour)}, {Expires: now.Add(3 * time.Hour)}, {Expires: now.Add(time.Hour)}}
	d := DemandOf(runs, holds, DefaultSettings(), Set{}, now)
	if want := now.Add(3 * time.Hour); !d.HeldUntil.Equal(want) || d.Holds != 3 {
		t.Errorf("held by %d until %s, want %s", d.Holds, ClockTime(d.HeldUntil), ClockTime(want))
	}
	if want := now.Add(time.Hour); !d.NextDeadline.Equal(want) {
		t.Errorf("next deadline %s, want %s", ClockTime(d.NextDeadline), ClockTime(want))
	}
}
