package estimate

import (
	"time"

	"drawbridge/internal/replay"
	"drawbridge/internal/schedule"
)

// Scheduled returns a month of arrivals by a schedule; see schedule.Parse. A schedule
// restricted to certain years uses the first of them.
func Scheduled(expression, zone string, length time.Duration) (replay.Trace, time.Duration, error) {
	t := replay.Trace{Name: expression}
	s, err := schedule.Parse(expression, zone)
	if err != nil {
		return t, span, err
	}
	year := start.Year()
	if s.FirstYear() != 0 {
		year = s.FirstYear()
	}
	before := time.Date(year, start.Month(), start.Day(), 0, 0, 0, 0, s.Location())
	end := before.Add(span)
	for at := s.Next(before.Add(-time.Second)); !at.IsZero() && at.Before(end); at = s.Next(at) { // midnight counts
		t.Arrivals = append(t.Arrivals, replay.Arrival{At: at, Duration: length})
	}
	return t, span, nil
}
