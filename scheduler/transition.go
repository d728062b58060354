package scheduler

import (
	"maps"
	"time"
)

// Next returns the set as it stands once d was decided about it at now, before
// any call to AWS: the phase that the action leads to. Actions that do not change
// the phase return the set unchanged. It is pure.
func Next(now time.Time, s Settings, set Set, d Decision, o Observed) Set {
	s = s.WithLearned(set.Learned)
	switch d.Action {
	case Create:
		if set.Phase != Creating {
			return set.enter(Creating, now)
		}
	case Open:
		return opened(now, s, set, o)
	case Ask:
		next := set
		due, _ := s.NextDue(set, now)
		next.Scheduled = maps.Clone(set.Scheduled)
		next.Scheduled[due.Job] = Noted{set.Scheduled[due.Job].Is, due.At}
		return next
	case Keep:
		next := set
		boundary, _, _ := s.Window(set.BilledFrom, now)
		next.Learned.Luck.KeptUntil = boundary.Add(PaidHour)
		return next
	case Extended:
		return extended(now, s, set, o)
	case Withdraw:
		next := set.Withdraw(now, d.Reason)
		if o.NoCapacity {
			next = next.avoid(set.Extension.Zones, now)
		}
		return next
	case Reopen:
		next := set.enter(Available, now)
		if o.Tasks > 0 { // whatever they are, the next look takes its time
			next.UnknownUntil = now.Add(unknownFor)
		}
		return next
	case Drain:
		next := set.enter(Draining, now)
		next.Broken = broken(set, o)
		return next
	case Delete, Force:
		return lower(now, s, set)
	case Fail:
		next := set.enter(Failed, now)
		if o.NoCapacity {
			next = next.avoid(set.Zones, now)
		}
		next.Failure = d.Reason
		next.Lease = Lease{}
		next.FailureLasts = o.Lasts
		return next
	case Forget:
		return forget(now, s, set)
	}
	return set
}

// extended is the set whose added endpoints are available too.
func extended(now time.Time, s Settings, set Set, o Observed) Set {
	set.Services = set.Extension.Services
	set.Endpoints = o.Endpoints.Available
	set.Usable = Latest(set.Usable, now.Add(s.Settle))
	set.Extension = nil
	set.Extensions = 0
	set.ExtendAt = time.Time{}
	set.ExtendFailure = ""
	return set
}

// opened is the set whose endpoints are all available.
func opened(now time.Time, s Settings, set Set, o Observed) Set {
	next := set.enter(Available, now)
	next.Usable = Latest(o.AvailableSince, set.Since).Add(s.Settle)
	if !set.NoStack {
		next.Learned.Raise = set.Learned.Raise.add(next.Usable.Sub(set.Since))
	}
	next.Endpoints, next.Billed = o.Endpoints.Available, !set.NoStack
	if !o.Endpoints.FirstCreated.IsZero() {
		next.BilledFrom = o.Endpoints.FirstCreated
	}
	return next
}

// Withdraw notes that an extension failed. The next waits a little longer each
// time.
func (s Set) Withdraw(now time.Time, why string) Set {
	if s.Extension != nil {
		s.PerHour, s.Extension = s.Extension.Before, nil
	}
	s.Extensions++
	s.ExtendAt, s.ExtendFailure = now.Add(retryAfter(s.Extensions)), why
	return s
}

// lower commits to a deletion. The next generation waits for the end of the hour
// that is paid already.
func lower(now time.Time, s Settings, set Set) Set {
	if set.Phase == Deleting || set.Phase == Failed {
		return set
	}
	next := set.enter(Deleting, now)
	switch {
	case set.NoStack:
		next.PaidUntil = time.Time{}
	case set.Phase != Absent:
		next.PaidUntil = Boundary(s.Basis, set.BilledFrom, now)
		next.Learned.Luck.Kept += set.idleHours(s, next.PaidUntil)
	}
	return next
}

// unknownFor is how long tasks that no run names are taken to be there still.
const unknownFor = time.Minute

// seenGone is how long after its end a deletion may be seen at the latest, by one
// who looks for it.
const seenGone = pollGoneEvery + 2*time.Second

// forget closes a generation. A deletion that lasted beyond its hour has used up the
// hour that it lasted into. After a generation that failed, the next waits a little
// longer each time; for a reason that lasts, it waits for the end of the hour that is
// paid anyhow.
func forget(now time.Time, s Settings, set Set) Set {
	next := set.enter(Absent, now)
	paid := Boundary(s.Basis, set.BilledFrom, now.Add(-seenGone))
	if set.Phase == Deleting && !set.NoStack {
		next.PaidUntil = Latest(set.PaidUntil, paid)
		if set.Deletions == 0 {
			next.Learned.Lower = set.Learned.Lower.add(now.Sub(set.Since))
		}
	}
	if set.Phase == Failed {
		next.Failures++
		if next.FailingSince.IsZero() {
			next.FailingSince = now
		}
		next.RetryAt = now.Add(retryAfter(next.Failures))
		next.PaidUntil = time.Time{}
		if set.FailureLasts && set.Billed {
			next.RetryAt = Latest(next.RetryAt, paid)
		}
	}
	return next
}
