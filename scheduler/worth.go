package scheduler

import (
	"fmt"
	"math"
	"time"
)

// Luck weighs what following the history has cost against a rule that needs none:
// keep an idle set until it has cost as much as a wait, then delete it. However the
// runs come, that rule costs at most twice what any other would.
type Luck struct {
	// Kept are the hours that were paid and not used since the last arrival, by generations
	// that are gone.
	Kept int
	// KeptUntil is the end of the last hour that an idle set was kept for.
	KeptUntil time.Time `json:",omitzero"`
	// Regret is how much more than the rule following the history has cost, in USD;
	// never below zero.
	Regret float64
}

const (
	// grace is how much dearer than the rule following the history may be.
	grace = 1.2
	// graceHours and graceWaits are what it may lose in addition.
	graceHours, graceWaits = 24, 4
)

// coldStart is what the wait for one creation costs, in USD.
func (s Settings) coldStart() float64 { return s.WaitCost * s.Raise.Hours() }

// rule returns what the rule spends on a gap of that many hours: on hours in which
// the set stands idle, and on a wait at its end.
func (s Settings) rule(gap float64, ended bool) float64 {
	most := s.coldStart() / s.HourCost
	cost := min(gap, most) * s.HourCost
	if ended && gap > most {
		cost += s.coldStart()
	}
	return cost
}

// idleHours are the hours that the generation has paid for, up to a boundary, since
// anything arrived.
func (set Set) idleHours(s Settings, until time.Time) int {
	if set.BilledFrom.IsZero() || set.NoStack || set.Phase == Absent {
		return 0
	}
	return PaidHours(s.Basis, set.BilledFrom, until) - PaidHours(s.Basis, set.BilledFrom, set.Learned.lastArrival())
}

// lastArrival returns when the last run arrived; zero if none has.
func (l Learned) lastArrival() time.Time {
	if l.History.First == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(l.History.Last*1e9)).UTC()
}

// Arrived returns the set with the arrival of a run learned. waited reports whether the
// run found it absent.
func (set Set) Arrived(s Settings, at time.Time, waited bool) Set {
	l := &set.Learned
	if s.WaitCost > 0 && s.HourCost > 0 && l.History.First != 0 {
		spent := float64(l.Luck.Kept+set.idleHours(s, at)) * s.HourCost
		// one that comes while the set is raised for another costs no more
		if waited && at.Sub(l.lastArrival()) > s.Raise+s.Lower {
			spent += s.coldStart()
		}
		l.Luck.Regret = math.Round(1e6*max(l.Luck.Regret+spent-grace*s.rule(at.Sub(l.lastArrival()).Hours(), true),
			0)) / 1e6
	}
	l.Luck.Kept = 0
	l.History = l.History.Saw(at)
	return set
}

// misled reports whether following the history has become so dear that the rule is
// followed instead.
func (set Set) misled(s Settings, now time.Time) bool {
	l := set.Learned
	spent := float64(l.Luck.Kept+set.idleHours(s, now)) * s.HourCost
	regret := l.Luck.Regret + spent - grace*s.rule(now.Sub(l.lastArrival()).Hours(), false)
	return regret > graceHours*s.HourCost+graceWaits*s.coldStart()
}

// worth reports whether another hour of an idle set is worth its price, and why.
func (set Set) worth(s Settings, now time.Time) (bool, string) {
	if set.misled(s, now) {
		idle, most := max(now.Sub(set.Learned.lastArrival())-PaidHour,
			0), time.Duration(s.coldStart()/s.HourCost*float64(PaidHour))
		return idle < most, fmt.Sprintf("the history has misled; an idle set is kept for %s at most, which costs as "+
			"much as a wait", most.Round(time.Minute))
	}
	chance := set.Learned.History.Chance(now, now)
	expected := chance * s.coldStart()
	return expected > s.HourCost, fmt.Sprintf("a run comes within the hour with a chance of %.0f %%, so its wait is "+
		"expected to cost %.3f USD; the hour costs %.3f", 100*chance, expected, s.HourCost)
}

// aheadHours is how far a set that is absent looks ahead at once.
const aheadHours = 24

// ahead returns when a set that is absent is to be raised before anything asks for
// it, and why; if it is not within the next day, when to look again and "".
func (set Set) ahead(s Settings, now time.Time) (time.Time, string) {
	h := set.Learned.History
	if h.First == 0 || s.coldStart() <= s.HourCost || set.misled(s, now) { // then no chance is worth it
		return time.Time{}, ""
	}
	h = h.At(now)
	at := set.nextHour(s, Latest(now, set.PaidUntil, set.RetryAt))
	for range aheadHours {
		begin := at
		if s.Basis == Creation { // what of the hour the set covers begins when it is usable
			begin = at.Add(s.Raise)
		}
		chance := h.ChanceAt(float64(begin.UnixNano()) / 1e9)
		if expected := chance * s.coldStart(); expected > s.HourCost {
			return at, fmt.Sprintf("a run comes between %s and %s with a chance of %.0f %%, so its wait is expected "+
				"to cost %.3f USD; the hour costs %.3f",
				ClockTime(at), ClockTime(at.Add(PaidHour)), 100*chance, expected, s.HourCost)
		}
		at = at.Add(PaidHour)
	}
	return at, ""
}

// nextHour returns the first hour from an instant on that the set may be raised for.
// Hours follow each other from the end of the last that was paid, or as the clock's do,
// so that the answer stays the same as time passes; one that has just begun counts.
func (set Set) nextHour(s Settings, from time.Time) time.Time {
	begun := clockHour(from)
	if s.Basis == Creation && !set.PaidUntil.IsZero() && !set.PaidUntil.After(from) {
		begun = set.PaidUntil.Add(from.Sub(set.PaidUntil).Truncate(PaidHour))
	}
	if set.PaidUntil.After(from) || from.Sub(begun) > PaidHour/10 {
		begun = Latest(set.PaidUntil, begun.Add(PaidHour))
	}
	return begun
}
