package replay

import (
	"slices"
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

// Stretch are paid hours without a gap.
type Stretch struct {
	From  time.Time
	Hours int
}

// Clairvoyant returns the paid hours of one who knows every arrival and run time,
// whose endpoints come and go in no time, and whose jobs may wait for window: hours
// begin at the earliest open deadline, and are added only for a job that cannot wait.
func Clairvoyant(t Trace, window time.Duration, basis scheduler.Basis) []Stretch {
	var out []Stretch
	var left []Arrival
	for i := 0; i < len(t.Arrivals) || len(left) > 0; {
		var begin time.Time
		for _, a := range left {
			begin = earlier(begin, a.At.Add(window))
		}
		if i < len(t.Arrivals) {
			begin = earlier(begin, t.Arrivals[i].At.Add(window))
		}
		first := begin
		if basis == scheduler.Clock {
			first = begin.Truncate(scheduler.PaidHour)
		}
		end := first.Add(scheduler.PaidHour)
		for {
			next, pool := i, slices.Clone(left)
			for ; next < len(t.Arrivals) && t.Arrivals[next].At.Before(end); next++ {
				pool = append(pool, t.Arrivals[next])
			}
			rest, must := waiting(pool, window, first, end)
			if !must {
				i, left = next, rest
				break
			}
			end = end.Add(scheduler.PaidHour)
		}
		out = append(out, Stretch{first, int(end.Sub(first) / scheduler.PaidHour)})
	}
	return out
}

// waiting returns those of a pool that do not end by end and may wait for later, and whether one of
// them may not.
func waiting(pool []Arrival, window time.Duration, first, end time.Time) (rest []Arrival, must bool) {
	for _, a := range pool {
		if !later(a.At, first).Add(a.Duration).After(end) {
			continue
		}
		if a.At.Add(window).Before(end) {
			return nil, true
		}
		rest = append(rest, a)
	}
	return rest, false
}

// earlier returns the earlier of two times; a is none if it is zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
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
