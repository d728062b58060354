// Package schedule reads the expressions that jobs are scheduled by: AWS's cron, rate
// and at, and cron's own five fields, in a time zone.
package schedule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the functions run where there is no database

	"github.com/robfig/cron/v3"
)

// Schedule gives the times at which something happens.
type Schedule struct {
	inner    cron.Schedule
	location *time.Location
	first    int // the first year in which it holds; 0 is any
}

// Parse reads an expression: "30 6 * * 1-5", "cron(30 6 ? * MON-FRI *)", "rate(2
// hours)" or "at(2026-05-14T06:00:00)". zone is a name of the IANA database, in which
// cron and at are meant; "" is UTC. A time that a clock change leaves out is skipped,
// one that it repeats happens once.
//
// Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
func Parse(expression, zone string) (*Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, &zoneError{zone, err}
	}
	inner, err := parse(expression, location)
	if err != nil {
		return nil, &expressionError{expression, err}
	}
	out := &Schedule{inner: inner, location: location}
	if y, ok := inner.(*yearly); ok && y.years != nil {
		out.first = y.years[0][0]
	}
	return out, nil
}

// Next returns the first time after t, in UTC; zero if there is none.
func (s *Schedule) Next(t time.Time) time.Time {
	next := s.inner.Next(t.In(s.location))
	for s.byHour() && repeated(next) {
		next = s.inner.Next(next)
	}
	if next.IsZero() {
		return next
	}
	return next.UTC()
}

// byHour says whether the schedule names hours of the day; one for each hour follows
// the hours as they pass.
func (s *Schedule) byHour() bool {
	inner := s.inner
	if y, ok := inner.(*yearly); ok {
		inner = y.Schedule
	}
	spec, ok := inner.(*cron.SpecSchedule)
	const all = 1<<24 - 1
	return ok && spec.Hour&all != all
}

// repeated says whether clocks showed the same before, as they do in autumn.
func repeated(t time.Time) bool {
	for _, back := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour} {
		if !t.IsZero() && t.Add(-back).Format(time.DateTime) == t.Format(time.DateTime) {
			return true
		}
	}
	return false
}

// Location returns the time zone.
func (s *Schedule) Location() *time.Location { return s.location }

// FirstYear returns the year in which the schedule begins to hold; 0 is any.
func (s *Schedule) FirstYear() int { return s.first }

// Periodic says whether the schedule is a rate, which begins when it is looked at.
func (s *Schedule) Periodic() bool { _, ok := s.inner.(rate); return ok }

// zoneError is a time zone that is not known.
type zoneError struct {
	zone  string
	cause error
}

func (e *zoneError) Error() string { return fmt.Sprintf("time zone %q is not known", e.zone) }
func (e *zoneError) Unwrap() error { return e.cause }

// Hint returns the remedy.
func (e *zoneError) Hint() string { return "write a name such as Europe/Berlin" }

// expressionError is an expression that is none.
type expressionError struct {
	expression string
	cause      error
}

func (e *expressionError) Error() string {
	return fmt.Sprintf("schedule %q: %v", e.expression, e.cause)
}

// Hint returns the remedy.
func (e *expressionError) Hint() string {
	return `write "30 6 * * 1-5", "cron(30 6 ? * MON-FRI *)", "rate(2 hours)" or "at(2026-05-14T06:00:00)"`
}

func parse(expression string, location *time.Location) (cron.Schedule, error) {
	if inner, ok := wrapped(expression, "at("); ok {
		at, err := time.ParseInLocation("2006-01-02T15:04:05", inner, location)
		return once{at}, err
	}
	if inner, ok := wrapped(expression, "rate("); ok {
		var n int
		var unit string
		if _, err := fmt.Sscanf(inner, "%d %s", &n, &unit); err != nil || n < 1 {
			return nil, fmt.Errorf("not a rate")
		}
		each, ok := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[strings.TrimSuffix(unit, "s")]
		if !ok {
			return nil, fmt.Errorf("not a unit: %s", unit)
		}
		return rate(time.Duration(n) * each), nil
	}
	inner, ok := wrapped(expression, "cron(")
	if !ok {
		return cron.ParseStandard(expression)
	}
	fields := strings.Fields(inner)
	if len(fields) != 6 {
		return nil, fmt.Errorf("AWS's cron has six fields, not %d", len(fields))
	}
	if strings.ContainsAny(fields[2]+fields[4], "L#W") && !strings.ContainsAny(fields[4], "NED") {
		return nil, errors.New("the letters L and W and the sign # of AWS are not worked out here")
	}
	years, err := yearsOf(fields[5])
	if err != nil {
		return nil, err
	}
	schedule, err := cron.ParseStandard(strings.Join(weekdays(fields[:5]), " "))
	return &yearly{schedule, years}, err
}

// yearly is a schedule that holds in some years alone; nil is all.
type yearly struct {
	cron.Schedule
	years [][2]int
}

// Next returns the next time after t in one of the years, zero if there is none.
func (y *yearly) Next(t time.Time) time.Time {
	if y.years == nil {
		return y.Schedule.Next(t)
	}
	for _, r := range y.years {
		if begin := time.Date(r[0], 1, 1, 0, 0, 0, 0, t.Location()).Add(-time.Second); begin.After(t) {
			t = begin
		}
		if next := y.Schedule.Next(t); !next.IsZero() && next.Year() <= r[1] {
			return next
		}
	}
	return time.Time{}
}

// yearsOf reads the last field of AWS's cron: *, years, and ranges of them.
func yearsOf(field string) ([][2]int, error) {
	if field == "*" {
		return nil, nil
	}
	var out [][2]int
	for part := range strings.SplitSeq(field, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err := strconv.Atoi(from)
		b, berr := strconv.Atoi(to)
		if err != nil || berr != nil {
			return nil, fmt.Errorf("%s is no year", part)
		}
		out = append(out, [2]int{a, b})
	}
	return out, nil
}

// rate is a schedule that repeats, counted from 1970.
type rate time.Duration

// Next returns the next time after t.
func (r rate) Next(t time.Time) time.Time {
	each := time.Duration(r)
	return time.Unix(0, 0).Add((t.Sub(time.Unix(0, 0))/each + 1) * each)
}

// once is a schedule of one time.
type once struct{ at time.Time }

// Next returns the time, if it is after t.
func (o once) Next(t time.Time) time.Time {
	if o.at.After(t) {
		return o.at
	}
	return time.Time{}
}

func wrapped(expression, prefix string) (string, bool) {
	inner, ok := strings.CutPrefix(expression, prefix)
	inner, closed := strings.CutSuffix(inner, ")")
	return inner, ok && closed
}

// weekdays turns AWS's numbers of weekdays, which begin with Sunday as 1, into
// those of cron, which begin with 0.
func weekdays(fields []string) []string {
	day := []rune(fields[4])
	for i, r := range day {
		step := i > 0 && (day[i-1] == '/' || day[i-1] == '#')
		if r >= '1' && r <= '7' && !step {
			day[i] = r - 1
		}
	}
	fields[4] = string(day)
	return fields
}
