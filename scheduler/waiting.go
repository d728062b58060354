package scheduler

import (
	"fmt"
	"time"
)

// Pending is a run that has no task yet, as far as the choice of its hour depends
// on it.
type Pending struct {
	// Asked is when it was recorded, MaxDelay how long it may wait in addition to the raising
	// and lowering of the set, Takes how long its task should run.
	Asked           time.Time
	MaxDelay, Takes time.Duration
}

// Pending returns the run as one that waits.
func (r Run) Pending(takes func(JobName) time.Duration) Pending {
	return Pending{Asked: r.ReceivedAt, MaxDelay: r.MaxDelay, Takes: takes(r.Job)}
}

// StartBy returns when the run has to have started: it waits no longer than its
// budget, one deletion and one creation.
func (p Pending) StartBy(s Settings) time.Time { return p.Asked.Add(p.MaxDelay + s.Lower + s.Raise) }

// CreateAt returns when a generation has to begin at the latest for p, if none is
// up: as late as its budget allows, as an hour that is bought later covers more of
// what is still to come. On the clock basis that is the beginning of the last clock
// hour that is early enough, so that the hour is used whole; if p came in that very
// hour, at once.
func (s Settings) CreateAt(p Pending) time.Time {
	last := s.latest(p)
	if s.Basis == Clock {
		if hour := clockHour(last); hour.After(p.Asked) {
			return hour
		}
		return p.Asked
	}
	if s.WaitCost > s.HourCost { // a second later is worth a second of the hour, no more
		return p.Asked
	}
	return last
}

// latest returns when a generation that serves p has to begin at the latest.
func (s Settings) latest(p Pending) time.Time {
	if s.Basis == Creation && p.MaxDelay == 0 {
		return p.Asked
	}
	return Latest(p.Asked, Earliest(p.StartBy(s).Add(-s.Raise-s.Late), s.patience(p)))
}

// patience is until when waiting may be worth its price: it can save one hour of the
// set. Without a price on waiting it has no end, and is zero.
func (s Settings) patience(p Pending) time.Time {
	if s.WaitCost <= 0 {
		return time.Time{}
	}
	return p.Asked.Add(time.Duration(min(s.HourCost/s.WaitCost, 1e6) * float64(time.Hour)))
}

// firstCreateAt returns when a generation begins for p or for others that wait.
func (s Settings) firstCreateAt(set Set, p Pending, others []Run) time.Time {
	at := s.CreateAt(p)
	takes := set.Learned.RunTimes()
	for _, r := range others {
		if r.State == Waiting {
			at = Earliest(at, s.CreateAt(r.Pending(takes)))
		}
	}
	return at
}

// StartsNow reports whether p is to be started in the set that is up, rather than in
// the next generation: if it should end within the paid hour, if it cannot wait for
// the next one, or if it takes so long that the hours that are paid already save
// one.
func (s Settings) StartsNow(set Set, p Pending, now time.Time) bool {
	boundary, first, _ := s.Window(set.BilledFrom, now)
	left := first.Sub(now)
	if set.NoStack || p.Takes <= left || s.latest(p).Before(boundary) {
		return true
	}
	return hoursOf(p.Takes-left) < hoursOf(p.Takes+s.Raise+s.Margin)
}

// hoursOf is how many hours d needs.
func hoursOf(d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int((d + PaidHour - 1) / PaidHour)
}

// Admit counts a waiting run: as one to be started in the set as it stands, or as
// one that is put off.
func (d *Demand) Admit(s Settings, set Set, p Pending, now time.Time) {
	switch set.Phase {
	case Available, Draining:
		if s.StartsNow(set, p, now) {
			d.Waiting++
			return
		}
		d.Deferred++
	default:
		d.Waiting++
	}
	if at := s.CreateAt(p); d.CreateAt.IsZero() || at.Before(d.CreateAt) {
		d.CreateAt = at
	}
}

// WhyWaiting says in a sentence why a run that waits does not start at once.
func WhyWaiting(now time.Time, s Settings, set Set, run Run, others ...Run) string {
	s = s.WithLearned(set.Learned)
	p := run.Pending(set.Learned.RunTime)
	switch set.Phase {
	case Available, Draining:
		if limit := s.MaxConcurrent[run.Job]; !s.Room(others).has(run.Job) {
			return fmt.Sprintf("waits until one of the tasks of %s has ended, of which %d may run at a time "+
				"(maxConcurrent)", run.Job, limit)
		}
		if set.Serves(run) && !s.StartsNow(set, p, now) {
			boundary, _, _ := s.Window(set.BilledFrom, now)
			return fmt.Sprintf("would hardly end before the paid hour does at %s (runs of %s take up to %s), and "+
				"may wait for the next set", ClockTime(boundary), run.Job, p.Takes.Round(time.Second))
		}
	case Absent, Deleting:
		if at := s.firstCreateAt(set, p, others); at.After(now) && at.After(set.PaidUntil) {
			return s.whyLater(at)
		}
	}
	return run.Reason
}

// whyLater says why a run that waits is put off.
func (s Settings) whyLater(at time.Time) string {
	if s.Basis == Clock {
		return fmt.Sprintf("may wait until %s, when an hour begins that is used whole", ClockTime(at))
	}
	return fmt.Sprintf("may wait until %s: an hour bought later covers more of what is still to come", ClockTime(at))
}
