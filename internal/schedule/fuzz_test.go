package schedule

import (
	"testing"
	"time"
)

// Any text is a schedule, whose times come one after another, or is refused.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"cron(0 3 * * ? *)", "cron(0 9 ? * MON#1 2026)", "cron(15 10 L * ? *)", "rate(5 minutes)", "at(2026-05-14T09:00:00)", "cron(0/15 8-17 ? * 2-6 *)"} {
		f.Add(s, "Europe/Berlin")
	}
	f.Add("cron(0 0 31 2 ? *)", "Asia/Kolkata")
	f.Fuzz(func(t *testing.T, expression, zone string) {
		s, err := Parse(expression, zone)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
		for range 5 {
			next := s.Next(at)
			if next.IsZero() {
				return
			}
			if !next.After(at) {
				t.Fatalf("%s in %q: after %s comes %s", expression, zone, at, next)
			}
			at = next
		}
	})
}
