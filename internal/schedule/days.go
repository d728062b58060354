package schedule

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file parses what AWS's cron adds to cron's own fields of days and years: the
// letters L and W, the sign #, weekdays from 1 for Sunday, and years.
//
// Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html

// daysOfMonth splits AWS's field into the part that robfig/cron supports and the days
// that it does not support: L, the last one, LW, the last from Monday to Friday, and
// 15W, the one from Monday to Friday that is nearest to the 15th in its month. A month
// without an nth day has no nW.
func daysOfMonth(field string) (string, []day, error) {
	var plain []string
	var days []day
	for part := range strings.SplitSeq(field, ",") {
		number, isNearest := strings.CutSuffix(part, "W")
		switch n, err := strconv.Atoi(number); {
		case part == "L":
			days = append(days, func(at time.Time) bool { return at.Day() == lastDay(at) })
		case part == "LW":
			days = append(days, func(at time.Time) bool { return at.Day() == nearest(at, lastDay(at)) })
		case isNearest && (err != nil || n < 1 || n > 31):
			return "", nil, fmt.Errorf("invalid day of the month %q (want 1W to 31W, or LW)", part)
		case isNearest:
			days = append(days, func(at time.Time) bool { return n <= lastDay(at) && at.Day() == nearest(at, n) })
		default:
			plain = append(plain, part)
		}
	}
	return strings.Join(plain, ","), days, nil
}

// daysOfWeek splits AWS's field into the part that robfig/cron supports, in its numbers,
// and the days that it does not support: 6L, the last Friday of a month, and 6#2, the
// second one.
func daysOfWeek(field string) (string, []day, error) {
	if name, number, ok := strings.Cut(field, "#"); ok {
		weekday, err := weekdayOf(name)
		n, notNumber := strconv.Atoi(number)
		if err != nil || notNumber != nil || n < 1 || n > 5 {
			return "", nil, fmt.Errorf("invalid day of the week %q (want one alone, 1#1 to 7#5)", field)
		}
		return "", []day{func(at time.Time) bool { return at.Weekday() == weekday && (at.Day()+6)/7 == n }}, nil
	}
	var plain []string
	var days []day
	for part := range strings.SplitSeq(field, ",") {
		if name, isLast := strings.CutSuffix(part, "L"); isLast && name != "" {
			weekday, err := weekdayOf(name)
			if err != nil {
				return "", nil, err
			}
			days = append(days, func(at time.Time) bool { return at.Weekday() == weekday && at.Day()+7 > lastDay(at) })
			continue
		}
		span, _, _ := strings.Cut(part, "/")
		ends := strings.Split(span, "-")
		for i, end := range ends {
			if end == "*" || end == "?" {
				continue
			}
			weekday, err := weekdayOf(end)
			if err != nil {
				return "", nil, err
			}
			ends[i] = strconv.Itoa(int(weekday))
		}
		plain = append(plain, strings.Join(ends, "-")+part[len(span):])
	}
	return strings.Join(plain, ","), days, nil
}

// weekdayOf parses one of AWS's days of the week. A bare L is the last one, Saturday.
func weekdayOf(text string) (time.Weekday, error) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if text == strconv.Itoa(int(d)+1) || strings.EqualFold(text, d.String()[:3]) {
			return d, nil
		}
	}
	if text == "L" {
		return time.Saturday, nil
	}
	return 0, fmt.Errorf("invalid day of the week %q (want 1 or SUN to 7 or SAT)", text)
}

// lastDay returns the number of days in a month.
func lastDay(at time.Time) int {
	return time.Date(at.Year(), at.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// nearest returns the day from Monday to Friday that is nearest to the nth of a month.
func nearest(at time.Time, n int) int {
	switch time.Date(at.Year(), at.Month(), n, 0, 0, 0, 0, time.UTC).Weekday() {
	case time.Saturday:
		if n == 1 {
			return 3
		}
		return n - 1
	case time.Sunday:
		if n == lastDay(at) {
			return n - 2
		}
		return n + 1
	}
	return n
}

// AWS's cron supports these years.
const firstYear, lastYear = 1970, 2199

var yearPart = regexp.MustCompile(`^(?:\*|(\d{4})(?:-(\d{4}))?)(?:/([1-9]\d{0,2}))?$`)

// yearsOf parses the last field of AWS's cron; nil is every year.
func yearsOf(field string) (years []int, err error) {
	if field == "*" {
		return nil, nil
	}
	for part := range strings.SplitSeq(field, ",") {
		m := yearPart.FindStringSubmatch(part)
		if m == nil {
			return nil, fmt.Errorf("invalid year %q", part)
		}
		first, last, step := firstYear, lastYear, 1
		if m[1] != "" {
			first, _ = strconv.Atoi(m[1])
		}
		if m[2] != "" {
			last, _ = strconv.Atoi(m[2])
		} else if m[1] != "" && m[3] == "" {
			last = first
		}
		if m[3] != "" {
			step, _ = strconv.Atoi(m[3])
		}
		if first < firstYear || last > lastYear || first > last {
			return nil, fmt.Errorf("invalid year %q (want %d to %d, in order)", part, firstYear, lastYear)
		}
		for y := first; y <= last; y += step {
			years = append(years, y)
		}
	}
	slices.Sort(years)
	return years, nil
}
