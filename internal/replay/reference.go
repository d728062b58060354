package replay

import (
	"time"

	"drawbridge/scheduler"
)

// AlwaysOn returns the paid hours of endpoints that exist from the first arrival
// until the last job has ended.
func AlwaysOn(t Trace, basis scheduler.Basis) int {
	first, last := t.Arrivals[0].At, t.Arrivals[0].At
	for _, a := range t.Arrivals {
		if end := a.At.Add(a.Duration); end.After(last) {
			last = end
		}
	}
	return scheduler.PaidHours(basis, first, last)
}

// These are the times of the pair of Lambdas that preceded Drawbridge: the
// reaper runs every half hour and deletes what is older than half an hour,
// running tasks or not; the first task starts half a minute after the
// endpoints, a later one a minute after its event.
const (
	pairAge, pairRate    = 30 * time.Minute, 30 * time.Minute
	pairFirst, pairLater = 30 * time.Second, time.Minute
	pairCreates          = 30 * time.Second
	idleTimeout          = 15 * time.Minute
)

// LambdaPair returns the paid hours of a pair of Lambdas that delete by age, and
// how many jobs lose their endpoints while they run.
func LambdaPair(t Trace, o Options) (hours, interrupted int) {
	free := time.Time{}
	for i := 0; i < len(t.Arrivals); {
		created := later(t.Arrivals[i].At.Add(pairCreates), free)
		tick := ceil(created.Add(pairAge), pairRate)
		tick = later(tick, created.Add(o.Raise))
		for ; i < len(t.Arrivals) && !t.Arrivals[i].At.After(tick); i++ {
			a := t.Arrivals[i]
			start := later(created.Add(o.Raise+pairFirst), a.At.Add(pairLater))
			if start.Add(a.Duration).After(tick) {
				interrupted++
			}
		}
		free = tick.Add(o.Lower)
		hours += scheduler.PaidHours(o.Basis, created, free)
	}
	return hours, interrupted
}

// IdleTimeout returns the paid hours of endpoints that are deleted a quarter of
// an hour after the last job, regardless of the paid hour.
func IdleTimeout(t Trace, o Options) int {
	hours := 0
	free := time.Time{}
	for i := 0; i < len(t.Arrivals); {
		created := later(t.Arrivals[i].At, free)
		available := created.Add(o.Raise)
		busy := available
		for ; i < len(t.Arrivals) && !t.Arrivals[i].At.After(busy.Add(idleTimeout)); i++ {
			a := t.Arrivals[i]
			busy = later(busy, later(available, a.At).Add(a.Duration))
		}
		free = busy.Add(idleTimeout + o.Lower)
		hours += scheduler.PaidHours(o.Basis, created, free)
	}
	return hours
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ceil returns the first multiple of d, counted from the zero time, that is not
// before t.
func ceil(t time.Time, d time.Duration) time.Time {
	if down := t.Truncate(d); down.Before(t) {
		return down.Add(d)
	}
	return t
}
