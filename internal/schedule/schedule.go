// Package schedule parses the schedule expressions of jobs: AWS's cron, rate and at,
// and cron's own five fields, in a time zone.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // Lambda has no time zone database

	"drawbridge/internal/hint"
)

// Schedule is a parsed expression with its time zone.
type Schedule struct {
	text     string
	rule     rule
	location *time.Location
}

// rule is a kind of schedule. It returns the first time after t, zero if there
// is none.
type rule interface {
	next(t time.Time, location *time.Location) time.Time
}

// Parse parses an expression: "30 6 * * 1-5", "cron(30 6 ? * MON-FRI *)", "rate(2
// hours)" or "at(2026-05-14T06:00:00)". zone is a name of the IANA database, in which
// cron and at are interpreted; "" is UTC. A time that a clock change skips does not
// happen, one that it repeats happens once; a schedule for every hour follows the
// hours as they pass.
//
// Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
func Parse(expression, zone string) (*Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, hint.New(fmt.Sprintf("unknown time zone %q", zone), "use a name such as Europe/Berlin")
	}
	r, err := parse(expression, location)
	if err != nil {
		return nil, hint.With(fmt.Errorf("schedule %q: %w", expression, err),
			`write "30 6 * * 1-5", "cron(30 6 ? * MON-FRI *)", "rate(2 hours)" or "at(2026-05-14T06:00:00)"`)
	}
	return &Schedule{expression + " " + zone, r, location}, nil
}

// String returns the expression with its time zone.
func (s *Schedule) String() string { return s.text }

// Next returns the first time after t, in UTC; zero if there is none within forty
// years.
func (s *Schedule) Next(t time.Time) time.Time {
	next := s.rule.next(t, s.location)
	if next.IsZero() || !next.After(t) {
		return time.Time{}
	}
	return next.UTC()
}

// FirstYear returns the first year of the schedule; 0 is any.
func (s *Schedule) FirstYear() int {
	if f, ok := s.rule.(*fields); ok && len(f.years) > 0 {
		return f.years[0]
	}
	return 0
}

// Location returns the time zone.
func (s *Schedule) Location() *time.Location { return s.location }

func parse(expression string, location *time.Location) (rule, error) {
	if inner, ok := wrapped(expression, "at("); ok {
		at, err := time.ParseInLocation("2006-01-02T15:04:05", inner, location)
		return once(at), err
	}
	if inner, ok := wrapped(expression, "rate("); ok {
		return parseRate(inner)
	}
	if inner, ok := wrapped(expression, "cron("); ok {
		return parseAWS(inner)
	}
	return parseFields(expression)
}

// most is the longest rate.
const most = 366 * 24 * time.Hour

func parseRate(inner string) (rule, error) {
	var n int
	var unit string
	if _, err := fmt.Sscanf(inner, "%d %s", &n, &unit); err != nil || n < 1 {
		return nil, errors.New("not a rate")
	}
	units := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	each, ok := units[strings.TrimSuffix(unit, "s")]
	if !ok {
		return nil, fmt.Errorf("unknown unit %s", unit)
	}
	if n > int(most/each) {
		return nil, errors.New("the rate exceeds a year")
	}
	return rate(time.Duration(n) * each), nil
}

// rate is a schedule that repeats, counted from 1970.
type rate time.Duration

func (r rate) next(t time.Time, _ *time.Location) time.Time {
	each := time.Duration(r)
	return time.Unix(0, 0).Add((t.Sub(time.Unix(0, 0))/each + 1) * each)
}

// once is a one-time schedule.
type once time.Time

func (o once) next(t time.Time, _ *time.Location) time.Time {
	if at := time.Time(o); at.After(t) {
		return at
	}
	return time.Time{}
}

func wrapped(expression, prefix string) (string, bool) {
	inner, ok := strings.CutPrefix(expression, prefix)
	inner, closed := strings.CutSuffix(inner, ")")
	return inner, ok && closed
}
