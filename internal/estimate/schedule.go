package estimate

import (
	"fmt"
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
	before := time.Date(start.Year(), start.Month(), start.Day(), 0, 0, 0, 0, location)
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
	return cron.ParseStandard(strings.Join(weekdays(fields[:5]), " "))
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
