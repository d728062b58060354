// Package schedule reads the expressions that jobs are scheduled by: AWS's cron, rate
// and at, and cron's own five fields, in a time zone.
package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the functions run where there is no database

	"github.com/robfig/cron/v3"
)

// Schedule gives the times at which something happens.
type Schedule struct {
	text     string
	rule     rule
	location *time.Location
}

// rule is a kind of schedule: the first time after t, zero if there is none.
type rule interface {
	next(t time.Time, location *time.Location) time.Time
}

// Parse reads an expression: "30 6 * * 1-5", "cron(30 6 ? * MON-FRI *)", "rate(2
// hours)" or "at(2026-05-14T06:00:00)". zone is a name of the IANA database, in which
// cron and at are meant; "" is UTC. A time that a clock change leaves out is skipped,
// one that it repeats happens once; a schedule for every hour follows the hours as
// they pass.
//
// Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
func Parse(expression, zone string) (*Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, &zoneError{zone, err}
	}
	r, err := parse(expression, location)
	if err != nil {
		return nil, &expressionError{expression, err}
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

// FirstYear returns the year in which the schedule begins to hold; 0 is any.
func (s *Schedule) FirstYear() int {
	if f, ok := s.rule.(*fields); ok && len(f.years) > 0 {
		return f.years[0][0]
	}
	return 0
}

// Location returns the time zone.
func (s *Schedule) Location() *time.Location { return s.location }

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

func parse(expression string, location *time.Location) (rule, error) {
	if inner, ok := wrapped(expression, "at("); ok {
		at, err := time.ParseInLocation("2006-01-02T15:04:05", inner, location)
		return once(at), err
	}
	if inner, ok := wrapped(expression, "rate("); ok {
		return parseRate(inner)
	}
	inner, ok := wrapped(expression, "cron(")
	parts := strings.Fields(expression)
	years := "*"
	if ok {
		parts = strings.Fields(inner)
		if len(parts) != 6 {
			return nil, fmt.Errorf("AWS's cron has six fields, not %d", len(parts))
		}
		if strings.ContainsAny(parts[2], "LW") || strings.ContainsAny(parts[4], "L#") && !strings.ContainsAny(parts[4], "UE") {
			return nil, errors.New("the letters L and W and the sign # of AWS are not worked out here")
		}
		if (parts[2] == "?") == (parts[4] == "?") {
			return nil, errors.New("AWS's cron takes a ? for the day of the month or for the day of the week, whichever the other one decides")
		}
		parts, years = weekdays(parts[:5]), parts[5]
	} else if len(parts) == 5 {
		parts[4] = sunday(parts[4])
	}
	parsed, err := cron.ParseStandard(strings.Join(parts, " "))
	if err != nil {
		return nil, err
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("write it as rate(...)")
	}
	out := &fields{spec: spec}
	out.years, err = yearsOf(years)
	return out, err
}

// most is the longest rate.
const most = 366 * 24 * time.Hour

func parseRate(inner string) (rule, error) {
	var n int
	var unit string
	if _, err := fmt.Sscanf(inner, "%d %s", &n, &unit); err != nil || n < 1 {
		return nil, errors.New("not a rate")
	}
	each, ok := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[strings.TrimSuffix(unit, "s")]
	if !ok {
		return nil, fmt.Errorf("not a unit: %s", unit)
	}
	if n > int(most/each) {
		return nil, errors.New("a rate is of a year at most")
	}
	return rate(time.Duration(n) * each), nil
}

// fields are the times that the fields of cron name, in some years alone if years is
// not nil.
type fields struct {
	spec  *cron.SpecSchedule
	years [][2]int
}

// horizon is how many days ahead a time is looked for.
const horizon = 40 * 366

func (f *fields) next(t time.Time, location *time.Location) time.Time {
	if f.everyHour() {
		return f.passing(t, location)
	}
	day := t.In(location)
	for n := range horizon {
		y, m, d := time.Date(day.Year(), day.Month(), day.Day()+n, 12, 0, 0, 0, time.UTC).Date()
		if !f.on(y, m, d) {
			continue
		}
		for h := range 24 {
			for minute := 0; minute < 60 && f.spec.Hour&(1<<h) != 0; minute++ {
				if f.spec.Minute&(1<<minute) == 0 {
					continue
				}
				if at := instant(y, m, d, h, minute, location); at.After(t) {
					return at
				}
			}
		}
	}
	return time.Time{}
}

// instant returns when clocks first show a time; zero if a change leaves it out.
func instant(y int, m time.Month, d, h, minute int, location *time.Location) time.Time {
	at := time.Date(y, m, d, h, minute, 0, 0, location)
	if at.Hour() != h || at.Minute() != minute || at.Day() != d {
		return time.Time{}
	}
	for _, back := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour} {
		if before := at.Add(-back); before.Hour() == h && before.Minute() == minute && before.Day() == d {
			return before
		}
	}
	return at
}

const everyHour = 1<<24 - 1

func (f *fields) everyHour() bool { return f.spec.Hour&everyHour == everyHour }

// passing goes from minute to minute, over days that are not meant in larger steps.
func (f *fields) passing(t time.Time, location *time.Location) time.Time {
	const step = 15 * time.Minute // days begin at such times everywhere
	end := t.AddDate(0, 0, horizon)
	for at := t.Truncate(time.Minute).Add(time.Minute); at.Before(end); {
		local := at.In(location)
		switch {
		case !f.on(local.Date()):
			at = at.Truncate(step).Add(step)
		case f.spec.Minute&(1<<local.Minute()) != 0:
			return at
		default:
			at = at.Add(time.Minute)
		}
	}
	return time.Time{}
}

// star marks a field that is left open.
const star = 1 << 63

// on says whether a day is meant.
func (f *fields) on(y int, m time.Month, d int) bool {
	if f.years != nil && !slices.ContainsFunc(f.years, func(r [2]int) bool { return r[0] <= y && y <= r[1] }) {
		return false
	}
	dom := f.spec.Dom&(1<<d) != 0
	dow := f.spec.Dow&(1<<time.Date(y, m, d, 12, 0, 0, 0, time.UTC).Weekday()) != 0
	if f.spec.Month&(1<<m) == 0 {
		return false
	}
	if f.spec.Dom&star != 0 || f.spec.Dow&star != 0 {
		return dom && dow
	}
	return dom || dow
}

// rate is a schedule that repeats, counted from 1970.
type rate time.Duration

func (r rate) next(t time.Time, _ *time.Location) time.Time {
	each := time.Duration(r)
	return time.Unix(0, 0).Add((t.Sub(time.Unix(0, 0))/each + 1) * each)
}

// once is a schedule of one time.
type once time.Time

func (o once) next(t time.Time, _ *time.Location) time.Time {
	if at := time.Time(o); at.After(t) {
		return at
	}
	return time.Time{}
}

// sunday turns the 7 of cron's fifth field into the 0 that it also is.
func sunday(field string) string {
	parts := strings.Split(field, ",")
	for i, p := range parts {
		if p == "7" {
			parts[i] = "0"
		}
	}
	return strings.Join(parts, ",")
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
	slices.SortFunc(out, func(a, b [2]int) int { return a[0] - b[0] })
	return out, nil
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
