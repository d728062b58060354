package replay

import (
	"math"
	"time"

	"drawbridge/scheduler"
)

// fixedTimeout returns the paid hours, and how long jobs wait in all, of endpoints
// that are deleted at the first boundary at which no job has come for idle.
func fixedTimeout(t Trace, o Options, idle time.Duration) (hours int, waited time.Duration) {
	free := time.Time{}
	jobs := t.Arrivals
	for i := 0; i < len(jobs); {
		created := later(jobs[i].At, free)
		available := created.Add(o.Raise)
		busy, last := available, created
		for ; i < len(jobs) && !jobs[i].At.After(available); i++ {
			waited += available.Sub(jobs[i].At)
			last, busy = jobs[i].At, later(busy, available.Add(jobs[i].Duration))
		}
		edge := scheduler.Boundary(o.Basis, created, created)
		for ; ; edge = edge.Add(scheduler.PaidHour) {
			end := edge.Add(-o.Lower)
			if end.Before(available) {
				continue
			}
			for ; i < len(jobs) && !jobs[i].At.After(end); i++ {
				last, busy = jobs[i].At, later(busy, jobs[i].At.Add(jobs[i].Duration))
			}
			if !busy.After(end) && (end.Sub(last) >= idle || i == len(jobs)) {
				break
			}
		}
		free = edge
		hours += scheduler.PaidHours(o.Basis, created, free)
	}
	return hours, waited
}

// timeouts are the idle time-outs that bestTimeout chooses from.
var timeouts = []time.Duration{
	0, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 6 * time.Hour, 8 * time.Hour, 12 * time.Hour,
	16 * time.Hour, 24 * time.Hour, 48 * time.Hour, 96 * time.Hour, 1e6 * time.Hour,
}

// bestTimeout returns what the cheapest fixed idle time-out costs in USD, chosen in
// hindsight.
func bestTimeout(t Trace, o Options) float64 {
	best := math.Inf(1)
	for _, idle := range timeouts {
		hours, waited := fixedTimeout(t, o, idle)
		best = min(best, float64(hours)*o.HourCost+waited.Hours()*o.WaitCost)
	}
	return best
}

// clairvoyant returns the paid hours of Clairvoyant.
func clairvoyant(t Trace, window time.Duration, basis scheduler.Basis) int {
	hours := 0
	for _, s := range Clairvoyant(t, window, basis) {
		hours += s.Hours
	}
	return hours
}
