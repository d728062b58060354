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
