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
		t.Run(tt.name, func(t *testing.T) { checkNext(t, tt.expression, tt.zone, tt.after, tt.want) })
	}
}

// TestNextOfAWS goes through what AWS's cron has beyond cron's own, days and years.
func TestNextOfAWS(t *testing.T) {
	for _, tt := range []struct {
		name, expression, zone, after string
		want                          []string
	}{
		{"L is the last day", "0 10 L * ? *", "", "2028-01-31T11:00:00Z",
			[]string{"2028-02-29T10:00:00Z", "2028-03-31T10:00:00Z", "2028-04-30T10:00:00Z"}},
		{"L of February, leap years and others", "0 10 L 2 ? *", "", "2026-03-01T00:00:00Z",
			[]string{"2027-02-28T10:00:00Z", "2028-02-29T10:00:00Z"}},
		{"LW goes back from a Saturday and a Sunday", "0 10 LW * ? *", "", "2026-05-14T00:00:00Z",
			[]string{"2026-05-29T10:00:00Z", "2026-06-30T10:00:00Z", "2026-07-31T10:00:00Z", "2026-08-31T10:00:00Z",
				"2026-09-30T10:00:00Z", "2026-10-30T10:00:00Z"}},
		{"W goes to the nearest working day", "0 10 15W * ? *", "", "2026-07-14T00:00:00Z",
			[]string{"2026-07-15T10:00:00Z", "2026-08-14T10:00:00Z", "2026-09-15T10:00:00Z", "2026-10-15T10:00:00Z",
				"2026-11-16T10:00:00Z"}},
		{"W stays in its month at the beginning", "0 10 1W 8 ? *", "", "2026-07-14T00:00:00Z", []string{"2026-08-03T10:00:00Z"}},
		{"W stays in its month at the end", "0 10 31W * ? *", "", "2026-05-01T00:00:00Z",
			[]string{"2026-05-29T10:00:00Z", "2026-07-31T10:00:00Z"}},
		{"days of several kinds", "0 10 1,15W,L 8 ? *", "", "2026-05-14T00:00:00Z",
			[]string{"2026-08-01T10:00:00Z", "2026-08-14T10:00:00Z", "2026-08-31T10:00:00Z", "2027-08-01T10:00:00Z"}},
		{"6L is the last Friday", "0 10 ? * 6L *", "", "2026-05-14T00:00:00Z",
			[]string{"2026-05-29T10:00:00Z", "2026-06-26T10:00:00Z", "2026-07-31T10:00:00Z"}},
		{"FRIL is too, beside Mondays", "0 10 ? * MON,FRIL *", "", "2026-05-24T00:00:00Z",
			[]string{"2026-05-25T10:00:00Z", "2026-05-29T10:00:00Z", "2026-06-01T10:00:00Z"}},
		{"L of the week is Saturday", "0 10 ? * L *", "", "2026-05-14T00:00:00Z",
			[]string{"2026-05-16T10:00:00Z", "2026-05-23T10:00:00Z"}},
		{"2#1 is the first Monday", "0 10 ? * 2#1 *", "", "2026-05-14T00:00:00Z",
			[]string{"2026-06-01T10:00:00Z", "2026-07-06T10:00:00Z"}},
		{"MON#1 is too", "0 10 ? * mon#1 *", "", "2026-05-14T00:00:00Z", []string{"2026-06-01T10:00:00Z"}},
		{"a fifth Sunday is in some months", "0 10 ? * 1#5 *", "", "2026-05-14T00:00:00Z",
			[]string{"2026-05-31T10:00:00Z", "2026-08-30T10:00:00Z"}},
		{"1 is Sunday and 7 Saturday", "0 10 ? * 1,7 *", "", "2026-05-15T12:00:00Z",
			[]string{"2026-05-16T10:00:00Z", "2026-05-17T10:00:00Z", "2026-05-23T10:00:00Z"}},
		{"2-6/2 is Monday, Wednesday, Friday", "0 10 ? * 2-6/2 *", "", "2026-05-15T12:00:00Z",
			[]string{"2026-05-18T10:00:00Z", "2026-05-20T10:00:00Z", "2026-05-22T10:00:00Z"}},
		{"29 February, over a century that has none", "0 0 29 2 ? *", "", "2096-02-29T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		{"no 30 February", "0 0 30 2 ? *", "Europe/Berlin", "2026-05-15T07:00:00Z", []string{""}},
		{"every second year from one on", "0 0 1 1 ? 2027/2", "", "2026-02-28T00:00:00Z",
			[]string{"2027-01-01T00:00:00Z", "2029-01-01T00:00:00Z"}},
		{"years and ranges of them", "0 0 1 1 ? 2031,2027-2028", "", "2026-02-28T00:00:00Z",
			[]string{"2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", "2031-01-01T00:00:00Z", ""}},
		{"the last year that AWS knows", "0 0 1 1 ? 2199", "", "2198-01-01T00:00:00Z", []string{"2199-01-01T00:00:00Z", ""}},
		{"the last day of a leap year that is far", "0 12 30,31 12 ? *", "Europe/Berlin", "2040-12-30T12:00:00Z",
			[]string{"2040-12-31T11:00:00Z", "2041-12-30T11:00:00Z"}},
		{"spring leaves the last Sunday of March out", "30 2 ? 3 1L *", "Europe/Berlin", "2026-03-01T12:00:00Z", []string{""}},
		{"autumn has the last Sunday of October once", "30 2 ? 10 1L *", "Europe/Berlin", "2026-10-01T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2027-10-31T00:30:00Z"}},
		{"spring leaves the second Sunday of March out", "30 2 ? * 1#2 *", "America/New_York", "2026-03-01T12:00:00Z",
			[]string{"2026-04-12T06:30:00Z"}},
		{"half an hour that is left out", "15 2 * * ? *", "Australia/Lord_Howe", "2026-10-02T16:00:00Z",
			[]string{"2026-10-04T15:15:00Z"}},
		{"a day that is left out", "0 12 30 12 ? *", "Pacific/Apia", "2011-12-01T00:00:00Z", []string{"2012-12-29T22:00:00Z"}},
		{"about a day that is left out", "0 12 * * ? *", "Pacific/Apia", "2011-12-29T00:00:00Z",
			[]string{"2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"}},
		{"a midnight that is left out", "0 0 * * ? *", "Africa/Cairo", "2026-04-23T00:00:00Z", []string{"2026-04-24T21:00:00Z"}},
		{"each hour before midnight, which autumn repeats", "30 * 4 4 ? 2026", "America/Santiago", "2026-04-05T01:00:00Z",
			[]string{"2026-04-05T01:30:00Z", "2026-04-05T02:30:00Z", "2026-04-05T03:30:00Z", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) { checkNext(t, "cron("+tt.expression+")", tt.zone, tt.after, tt.want) })
	}
}

// TestNextOfAWSDays holds the days of L, W and # against their definitions, day for day
// over a whole cycle of leap years and weekdays.
func TestNextOfAWSDays(t *testing.T) {
	working := func(at time.Time) bool { return at.Weekday() != time.Saturday && at.Weekday() != time.Sunday }
	in := func(at time.Time, days int) bool { return at.AddDate(0, 0, days).Month() == at.Month() }
	for expression, meant := range map[string]func(at time.Time) bool{
		"cron(0 0 L * ? *)": func(at time.Time) bool { return !in(at, 1) },
		"cron(0 0 LW * ? *)": func(at time.Time) bool {
			later := at.AddDate(0, 0, 1)
			for in(at, 1) && later.Month() == at.Month() && !working(later) {
				later = later.AddDate(0, 0, 1)
			}
			return working(at) && later.Month() != at.Month()
		},
		"cron(0 0 15W * ? *)": func(at time.Time) bool {
			day := at.Day()
			return working(at) && (day == 15 || day == 14 && at.Weekday() == time.Friday || day == 16 && at.Weekday() == time.Monday)
		},
		"cron(0 0 ? * 6L *)":  func(at time.Time) bool { return at.Weekday() == time.Friday && !in(at, 7) },
		"cron(0 0 ? * 4#2 *)": func(at time.Time) bool { return at.Weekday() == time.Wednesday && in(at, -7) && !in(at, -14) },
	} {
		s, err := Parse(expression, "")
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		next := s.Next(begin.Add(-time.Second))
		for at := begin; at.Year() < 2029; at = at.AddDate(0, 0, 1) {
			if meant(at) != at.Equal(next) {
				t.Errorf("%s on %s: next is %s", expression, at.Format("Mon "+time.DateOnly), next.Format("Mon "+time.DateOnly))
				break
			}
			if at.Equal(next) {
				next = s.Next(at)
			}
		}
	}
}

// checkNext goes from time to time; "" is none.
func checkNext(t *testing.T, expression, zone, after string, times []string) {
	t.Helper()
	s, err := Parse(expression, zone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, after)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range times {
		at = s.Next(at)
		got := ""
		if !at.IsZero() {
			got = at.Format(time.RFC3339)
		}
		if got != want {
			t.Fatalf("next is %q, want %q", got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range [][3]string{
		{"tomorrow", "", `schedule "tomorrow"`},
		{"rate(0 hours)", "", "not a rate"},
		{"rate(106752 days)", "", "exceeds a year"},
		{"rate(2251799813685248 hours)", "", "exceeds a year"},
		{"@every 2h", "", "write it as rate(...)"},
		{"at(noon)", "", `schedule "at(noon)"`},
		{"0 6 * * *", "Mars/Olympus", `time zone "Mars/Olympus"`},
		{"TZ=Europe/Berlin 0 6 * * *", "", "set the time zone in its own field"},
		{"TZ=Europe/Berlin", "", "set the time zone in its own field"},
		{"cron(0 6 * * ?)", "", "six fields, not 5"},
		{"cron(0 6 * * MON *)", "", "takes a ?"},
		{"cron(0 6 ? * ? *)", "", "takes a ?"},
		{"cron(0 24 * * ? *)", "", "above maximum"},
		{"cron(0 6 32W * ? *)", "", `invalid day of the month "32W"`},
		{"cron(0 6 1-5W * ? *)", "", `invalid day of the month "1-5W"`},
		{"cron(0 6 W * ? *)", "", `invalid day of the month "W"`},
		{"cron(0 6 L-3 * ? *)", "", "L"},
		{"cron(0 6 ? * 2#6 *)", "", `invalid day of the week "2#6"`},
		{"cron(0 6 ? * 3#1,6#3 *)", "", "one alone"},
		{"cron(0 6 ? * 0 *)", "", `invalid day of the week "0"`},
		{"cron(0 6 ? * 10 *)", "", `invalid day of the week "10"`},
		{"cron(0 6 ? * 9L *)", "", `invalid day of the week "9"`},
		{"cron(0 6 ? * MON-SUN *)", "", "beyond end of range"},
		{"cron(0 6 * * ? 1969)", "", `invalid year "1969"`},
		{"cron(0 6 * * ? 2030-2027)", "", `invalid year "2030-2027"`},
		{"cron(0 6 * * ? next)", "", `invalid year "NEXT"`},
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
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia", "Asia/Kathmandu", "America/Santiago", "Atlantic/Azores", "America/Nuuk", "Africa/Cairo"} {
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
