package scheduler

import (
	"testing"
	"time"
)

// hourly is a schedule at half past each hour.
type hourly struct{}

func (hourly) Next(t time.Time) time.Time {
	at := t.Truncate(time.Hour).Add(30 * time.Minute)
	if !at.After(t) {
		at = at.Add(time.Hour)
	}
	return at
}

func (hourly) String() string { return "hourly" }

// TestByClock: each scheduled time has one id, and nothing else passes for one.
func TestByClock(t *testing.T) {
	s := Settings{Schedules: []Schedule{{Job: "report", Times: hourly{}}}}
	now := time.Date(2026, 5, 14, 11, 30, 5, 0, time.UTC)
	for event, want := range map[string]bool{
		"schedule-20260514T113000Z":              true,
		"schedule-20260514T103000Z":              true,
		"schedule-20260513T123000Z":              true,
		"schedule-20260513T103000Z":              false, // more than a day ago
		"schedule-20260514T123000Z":              false, // has not come
		"schedule-20260514T113100Z":              false, // is no time of it
		"schedule-20260514T113000.5Z":            false,
		"schedule-20260514T113000.000000000123Z": false,
		"schedule-20260514T113000Z ":             false,
		"20260514T113000Z":                       false,
		"push-1":                                 false,
	} {
		if got := s.ByClock("report", event, now); got != want {
			t.Errorf("ByClock(%q) = %t, want %t", event, got, want)
		}
	}
	if s.ByClock("other", "schedule-20260514T113000Z", now) {
		t.Error("a job without a schedule has a scheduled time")
	}
	if id := (Due{"report", now.Truncate(time.Minute)}).Event(); !s.ByClock("report", id, now) {
		t.Errorf("%s, which a look asks for, is none", id)
	}
}
