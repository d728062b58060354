package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestNext goes through time zones and clock changes: what a change leaves out is
// skipped, what it repeats happens once, as EventBridge Scheduler has it.
func TestNext(t *testing.T) {
	for _, tt := range []struct {
		name, expression, zone, after string
		want                          []string
	}{
		{"UTC", "cron(30 6 * * ? *)", "", "2026-05-14T07:00:00Z", []string{"2026-05-15T06:30:00Z", "2026-05-16T06:30:00Z"}},
		{"just then is not after", "30 6 * * *", "UTC", "2026-05-14T06:30:00Z", []string{"2026-05-15T06:30:00Z"}},
		{"half an hour beside the hour", "cron(0 9 * * ? *)", "Asia/Kolkata", "2026-05-14T00:00:00Z", []string{"2026-05-14T03:30:00Z"}},
		{"the other side of the date line", "cron(0 9 ? * MON *)", "Pacific/Auckland", "2026-05-14T00:00:00Z", []string{"2026-05-17T21:00:00Z"}},
		{"spring leaves it out", "cron(30 2 * * ? *)", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-30T00:30:00Z"}},
		{"spring, beside the gap", "cron(30 3 * * ? *)", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:30:00Z"}},
		{"autumn repeats it", "cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"autumn in New York", "cron(30 1 * * ? *)", "America/New_York", "2026-10-31T12:00:00Z", []string{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}},
		{"spring in New York", "cron(30 2 * * ? *)", "America/New_York", "2026-03-07T12:00:00Z", []string{"2026-03-09T06:30:00Z"}},
		{"half an hour's change", "cron(45 1 * * ? *)", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", []string{"2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"}},
		{"each hour, as they pass", "cron(30 * * * ? *)", "Europe/Berlin", "2026-10-25T00:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"}},
		{"Sunday by either number", "0 6 * * 7", "", "2026-05-14T07:00:00Z", []string{"2026-05-17T06:00:00Z"}},
		{"working days by name", "cron(0 6 ? * MON,TUE *)", "", "2026-05-14T07:00:00Z", []string{"2026-05-18T06:00:00Z", "2026-05-19T06:00:00Z", "2026-05-25T06:00:00Z"}},
		{"years in any order", "cron(0 6 1 1 ? 2030,2027)", "", "2026-05-14T07:00:00Z", []string{"2027-01-01T06:00:00Z", "2030-01-01T06:00:00Z", ""}},
		{"the 29th of February", "0 0 29 2 *", "", "2026-05-14T07:00:00Z", []string{"2028-02-29T00:00:00Z"}},
		{"a rate", "rate(2 hours)", "", "2026-05-14T07:00:00Z", []string{"2026-05-14T08:00:00Z", "2026-05-14T10:00:00Z"}},
		{"once", "at(2026-05-14T06:00:00)", "Asia/Tokyo", "2026-05-01T00:00:00Z", []string{"2026-05-13T21:00:00Z", ""}},
		{"years", "cron(0 0 1 1 ? 2028-2029)", "UTC", "2026-05-14T07:00:00Z", []string{"2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse(tt.expression, tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				at = s.Next(at)
				got := ""
				if !at.IsZero() {
					got = at.Format(time.RFC3339)
				}
				if got != want {
					t.Fatalf("next is %q, want %q", got, want)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range [][3]string{
		{"tomorrow", "", `schedule "tomorrow"`}, {"cron(0 6 L * ? *)", "", "L and W"}, {"rate(0 hours)", "", "not a rate"}, {"at(noon)", "", `schedule "at(noon)"`},
		{"0 6 * * *", "Mars/Olympus", `time zone "Mars/Olympus"`}, {"cron(0 6 * * ?)", "", "six fields, not 5"},
		{"@every 2h", "", "write it as rate(...)"}, {"rate(106752 days)", "", "a year at most"}, {"rate(2251799813685248 hours)", "", "a year at most"}, {"cron(0 6 ? * 2#1 *)", "", "L and W"},
	} {
		_, err := Parse(tt[0], tt[1])
		if err == nil || !strings.Contains(err.Error(), tt[2]) {
			t.Errorf("Parse(%q, %q) = %v, want %q", tt[0], tt[1], err, tt[2])
		}
		if h, ok := err.(interface{ Hint() string }); !ok || h.Hint() == "" {
			t.Errorf("Parse(%q, %q): %v has no remedy", tt[0], tt[1], err)
		}
	}
}

// TestNextInEveryKindOfZone holds Next against the clocks themselves: every minute of
// two years, in zones that change by an hour, by half of one, at midnight, and beside
// the quarter of an hour.
func TestNextInEveryKindOfZone(t *testing.T) {
	begin, end := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kathmandu", "America/Santiago", "Atlantic/Azores", "America/Nuuk", "Africa/Cairo"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		type wall struct{ hour, minute int }
		want := map[wall][]time.Time{{0, 0}: nil, {1, 45}: nil, {2, 15}: nil, {2, 45}: nil, {3, 45}: nil, {23, 30}: nil}
		seen := map[string]bool{}
		for at := begin; at.Before(end); at = at.Add(15 * time.Minute) {
			local := at.In(location)
			w := wall{local.Hour(), local.Minute()}
			if _, ok := want[w]; !ok {
				continue
			}
			if shown := local.Format(time.DateTime); !seen[shown] { // what clocks show again does not count
				seen[shown] = true
				want[w] = append(want[w], at)
			}
		}
		for w, times := range want {
			s, err := Parse(fmt.Sprintf("cron(%d %d * * ? *)", w.minute, w.hour), zone)
			if err != nil {
				t.Fatal(err)
			}
			at := begin.Add(-time.Second)
			for _, expected := range times {
				if at = s.Next(at); !at.Equal(expected) {
					t.Errorf("%s, %02d:%02d: %s, want %s", zone, w.hour, w.minute, at, expected)
					break
				}
			}
		}
	}
}
