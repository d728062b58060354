package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// fields are the times that the fields of cron name: minute, hour and month in spec,
// days and years separately.
type fields struct {
	spec     *cron.SpecSchedule // its days are all days
	dom, dow uint64             // days of the month and of the week, in bits as spec has them
	days     []day              // days that bits do not describe; any of them counts
	years    []int              // in order; nil for all
}

// day reports whether a day, given by an instant of it in UTC, is meant.
type day func(time.Time) bool

// These are the bits of an open field in robfig/cron: each value, and a mark.
const (
	star = 1 << 63
	open = star | (1<<32 - 1)
)

// parseFields parses cron's own five fields, or one of its words, such as
// @daily.
func parseFields(expression string) (*fields, error) {
	if strings.Contains(expression, "=") {
		return nil, errors.New("set the time zone in its own field")
	}
	parts := strings.Fields(expression)
	if len(parts) == 5 {
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
	out := &fields{spec: spec, dom: spec.Dom, dow: spec.Dow}
	spec.Dom, spec.Dow = open, open
	return out, nil
}

// sunday turns the 7 of cron's fifth field into 0, which is also Sunday.
func sunday(field string) string {
	parts := strings.Split(field, ",")
	for i, p := range parts {
		if p == "7" {
			parts[i] = "0"
		}
	}
	return strings.Join(parts, ",")
}

// parseAWS parses the six fields of AWS's cron.
func parseAWS(inner string) (*fields, error) {
	parts := strings.Fields(strings.ToUpper(inner))
	if len(parts) != 6 {
		return nil, fmt.Errorf("AWS's cron has six fields, not %d", len(parts))
	}
	if (parts[2] == "?") == (parts[4] == "?") {
		return nil, errors.New("AWS's cron takes a ? for the day of the month or for the day of the week, " +
			"whichever is not set")
	}
	ofMonth, monthDays, err := daysOfMonth(parts[2])
	if err != nil {
		return nil, err
	}
	ofWeek, weekDays, err := daysOfWeek(parts[4])
	if err != nil {
		return nil, err
	}
	years, err := yearsOf(parts[5])
	if err != nil {
		return nil, err
	}
	out, err := parseFields(strings.Join([]string{parts[0], parts[1], orOpen(ofMonth), parts[3], orOpen(ofWeek)}, " "))
	if err != nil {
		return nil, err
	}
	out.days, out.years = slices.Concat(monthDays, weekDays), years
	if ofMonth == "" {
		out.dom = 0
	}
	if ofWeek == "" {
		out.dow = 0
	}
	return out, nil
}

// orOpen returns the field, or an open one if it is empty: robfig/cron does not parse an
// empty field.
func orOpen(field string) string {
	if field == "" {
		return "*"
	}
	return field
}

// on reports whether a day matches.
func (f *fields) on(at time.Time) bool {
	if _, ok := slices.BinarySearch(f.years, at.Year()); !ok && f.years != nil {
		return false
	}
	if slices.ContainsFunc(f.days, func(d day) bool { return d(at) }) {
		return true
	}
	dom, dow := f.dom&(1<<at.Day()) != 0, f.dow&(1<<at.Weekday()) != 0
	if f.dom&star != 0 || f.dow&star != 0 {
		return dom && dow
	}
	return dom || dow
}

// shown returns the first time from w on, before end, that the fields name, on clocks
// that never change; zero if there is none.
func (f *fields) shown(w, end time.Time) time.Time {
	for w = f.spec.Next(w.Add(-1)); w.Before(end); {
		if f.on(w) {
			return w
		}
		w = f.spec.Next(w.Truncate(24 * time.Hour).Add(24*time.Hour - 1))
	}
	return time.Time{}
}

// horizon is how many years ahead the search goes.
const horizon = 40

// everyHour is the open field of hours.
const everyHour = 1<<24 - 1

// next goes from one clock change to the next. Times repeated after a change do not
// count, unless every hour matches.
func (f *fields) next(t time.Time, location *time.Location) time.Time {
	last := t.AddDate(horizon, 0, 0)
	for from := t.Add(1); from.Before(last); {
		local := from.In(location)
		begin, end := local.ZoneBounds()
		switch {
		case !end.IsZero() && !end.After(from): // a leap year's last day, which package time counts to the next
			end = from.AddDate(0, 0, 1)
		case end.IsZero() || end.After(last):
			end = last
		}
		offset := ahead(local)
		again := begin.Add(ahead(begin.Add(-1)) - offset)
		if f.spec.Hour&everyHour != everyHour && again.After(from) {
			from = again
		}
		if w := f.shown(from.UTC().Add(offset), end.UTC().Add(offset)); !w.IsZero() {
			return w.Add(-offset)
		}
		from = end
	}
	return time.Time{}
}

// ahead returns by how much the clocks are ahead of UTC.
func ahead(local time.Time) time.Duration {
	_, seconds := local.Zone()
	return time.Duration(seconds) * time.Second
}
