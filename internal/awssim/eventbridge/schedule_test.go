package eventbridge

import (
	"testing"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// TestDueIn: a rate counts from now, cron by the clock of its zone.
func TestDueIn(t *testing.T) {
	k := kernel.New(kernel.Options{Start: time.Date(2026, 5, 14, 10, 20, 0, 0, time.UTC)})
	defer k.Close()
	s := &Service{Kernel: k}
	for _, tt := range []struct {
		expression, zone string
		want             time.Duration
		ok               bool
	}{
		{"rate(1 minute)", "UTC", time.Minute, true},
		{"rate(5 minutes)", "UTC", 5 * time.Minute, true},
		{"rate(2 hours)", "UTC", 2 * time.Hour, true},
		{"rate(1 day)", "UTC", 24 * time.Hour, true},
		{"rate(0 minutes)", "UTC", 0, false},
		{"rate(5 weeks)", "UTC", 0, false},
		{"cron(30 10 * * ? *)", "UTC", 10 * time.Minute, true},
		{"cron(30 13 * * ? *)", "Europe/Berlin", 70 * time.Minute, true},
		{"cron(30 10 * * ? 2020)", "UTC", 0, false}, // never again
		{"cron(nonsense)", "UTC", 0, false},
		{"at(2026-05-14T11:00:00)", "UTC", 40 * time.Minute, true},
		{"at(2026-05-14T09:00:00)", "UTC", 0, false},
	} {
		got, ok := s.DueIn(tt.expression, tt.zone)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s in %s is due in %v (%v), want %v (%v)", tt.expression, tt.zone, got, ok, tt.want, tt.ok)
		}
	}
}

// TestRuleSchedule: a rule takes rate and cron, not at, which is Scheduler's alone.
func TestRuleSchedule(t *testing.T) {
	for expression, ok := range map[string]bool{
		"rate(5 minutes)": true, "cron(0 6 ? * MON-FRI *)": true, "at(2026-05-14T11:00:00)": false, "5 * * * *": false, "": false,
		"rate(1 minutes)": false, "rate(2 minute)": false, // one is singular
	} {
		if err := RuleSchedule(expression); (err == nil) != ok {
			t.Errorf("%q: %v", expression, err)
		}
	}
}
