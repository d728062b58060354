package estimate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"drawbridge/internal/replay"
)

// Scheduled returns a month of arrivals by a schedule: a cron expression of five
// fields, or AWS's cron(...), whose sixth field is the year, and rate(...).
func Scheduled(expression, zone string, length time.Duration) (replay.Trace, time.Duration, error) {
	t := replay.Trace{Name: expression}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return t, span, fmt.Errorf("time zone %s: %w", zone, err)
	}
	schedule, err := parse(expression)
	if err != nil {
		return t, span, &scheduleError{expression, err}
	}
	year := start.Year()
	if y, ok := schedule.(*yearly); ok && y.years != nil {
		year = y.years[0][0] // a month in which it holds
	}
	before := time.Date(year, start.Month(), start.Day(), 0, 0, 0, 0, location)
	end := before.Add(span)
	if _, ok := schedule.(rate); !ok {
		before = before.Add(-time.Second) // midnight counts
	}
	for at := schedule.Next(before); !at.IsZero() && at.Before(end); at = schedule.Next(at) {
		t.Arrivals = append(t.Arrivals, replay.Arrival{At: at.UTC(), Duration: length})
	}
	return t, span, nil
}

// scheduleError is an expression that is none.
type scheduleError struct {
	expression string
	cause      error
}

func (e *scheduleError) Error() string { return fmt.Sprintf("schedule %q: %v", e.expression, e.cause) }

// Hint returns the remedy.
func (e *scheduleError) Hint() string {
	return `write "30 6 * * 1-5", "cron(30 6 ? * MON-FRI *)" or "rate(2 hours)"`
}

func parse(expression string) (cron.Schedule, error) {
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

// Next returns the next time after t, zero if there is none in the month that
// stands for all.
func (y *yearly) Next(t time.Time) time.Time {
	next := y.Schedule.Next(t)
	if y.years == nil {
		return next
	}
	for _, r := range y.years {
		if r[0] <= next.Year() && next.Year() <= r[1] {
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

// rate is a schedule that begins when the month does.
type rate time.Duration

// Next returns the next time after t.
func (r rate) Next(t time.Time) time.Time { return t.Add(time.Duration(r)) }

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
