package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"drawbridge/scheduler/forecast"
)

// Learned is what a set has learned from what it saw: how long creations,
// deletions and runs take, and when runs arrive. It is bounded, whatever was
// seen.
type Learned struct {
	// Until is up to when arrivals and ends of runs are learned.
	Until time.Time `json:",omitzero"`
	// Raise and Lower are the last creations and deletions, Runs the last run times of
	// each job.
	Raise, Lower Times             `json:",omitempty"`
	Runs         map[JobName]Times `json:",omitempty"`
	// Settle is how long endpoints need before a connection to them works.
	Settle Settling `json:",omitzero"`
	// History is when runs arrived, Luck what following it has cost.
	History forecast.History `json:",omitzero"`
	Luck    Luck             `json:",omitzero"`
}

// settled is how old what is learned has to be: by then all that is older is
// written down, whoever wrote it and by whatever clock.
const settled = time.Minute

// Learn returns the set with what its runs teach, those that live and those whose end
// was recorded since Learned.Until, and whether that is anything.
func (set Set) Learn(s Settings, now time.Time, live, ended []Run) (Set, bool) {
	until := now.Add(-settled)
	fresh := func(t time.Time) bool { return t.After(set.Learned.Until) && !t.After(until) }
	var arrived, ran []Run
	known := map[RunID]bool{} // one that ended between the two readings is in both
	for _, r := range slices.Concat(ended, live) {
		if fresh(r.ReceivedAt) && !known[r.ID] {
			known[r.ID] = true
			arrived = append(arrived, r)
		}
	}
	for _, r := range ended {
		worked := r.Outcome != DeadLettered && r.Outcome != Lost && r.Outcome != Cancelled
		if fresh(r.RecordedAt) && worked && !r.StartedAt.IsZero() && r.FinishedAt.After(r.StartedAt) {
			ran = append(ran, r)
		}
	}
	set, settled := set.learnSettle(s, now, slices.Concat(ended, live))
	if len(arrived)+len(ran) == 0 {
		return set, settled
	}
	s = s.WithLearned(set.Learned)
	slices.SortFunc(arrived, func(a, b Run) int { return a.ReceivedAt.Compare(b.ReceivedAt) })
	for _, r := range arrived {
		set = set.Arrived(s, r.ReceivedAt, r.StartedAt.IsZero() || r.StartedAt.Sub(r.ReceivedAt) > s.Settle+wakeUp)
	}
	for _, r := range ran {
		set.Learned = set.Learned.Ran(r.Job, r.FinishedAt.Sub(r.StartedAt))
	}
	set.Learned.Until = until
	return set, true
}

// enoughTimes is how many creations and deletions make the set trust them.
const enoughTimes = 3

// caution is added to the time that deletions take.
const caution = 30 * time.Second

// WithLearned returns the settings as decisions use them: with the times that the set
// has learned in place of the presumed ones.
func (s Settings) WithLearned(l Learned) Settings {
	if !s.Learns {
		return s
	}
	if !s.FixedSettle && l.Settle.Of > 0 {
		s.Settle = l.Settle.After
	}
	s.Learns = false
	if len(l.Raise) >= enoughTimes {
		s.Raise = l.Raise.quantile(mostly, s.Raise)
		s.SureRaise = l.Raise.longest() + caution
	}
	lower := l.Lower.within(maxMargin - lookMayBeLate - caution)
	switch {
	case len(lower) >= enoughTimes:
		s.Lower = lower.quantile(mostly, s.Lower-caution) + caution
	case len(lower) > 0 && lower.longest()+caution > s.Lower: // that it takes longer is learned at once
		s.Lower = lower.longest() + caution
	default:
		return s
	}
	margin := s.Lower + lookMayBeLate
	if s.FixedMargin {
		margin = max(margin, s.Margin)
	}
	return s.withMargin(min(margin, maxMargin))
}

// maxMargin bounds what is learned. A deletion that takes longer pays the next hour whatever the
// margin: one that was stuck for long says nothing about the others.
const maxMargin = 50 * time.Minute

// Times are the last durations of one kind, in seconds, the newest last.
type Times []float64

const (
	// maxTimes is how many durations are kept of a kind, maxJobs of how many jobs.
	maxTimes, maxJobs = 20, 12
	// timesDecay is how much less each older one counts than the next.
	timesDecay = 0.95
	// mostly is the quantile that a duration is expected to stay below.
	mostly = 0.9
	// priorWeight is how much the presumed duration counts; after five others it no
	// longer stands in the way.
	priorWeight = 0.5
)

// within returns the times that are no longer than most.
func (t Times) within(most time.Duration) Times {
	return slices.DeleteFunc(slices.Clone(t), func(s float64) bool { return s > most.Seconds() })
}

// add returns the times with another one.
func (t Times) add(d time.Duration) Times {
	if len(t) >= maxTimes {
		t = t[len(t)-maxTimes+1:]
	}
	return append(slices.Clone(t), math.Ceil(d.Seconds()*10)/10)
}

// Measured returns what is known with a creation and a deletion that were measured otherwise than
// on the set itself; 0 for none. A set that has seen enough of its own has no need of it.
func (l Learned) Measured(raise, lower time.Duration) Learned {
	if raise > 0 && len(l.Raise) < enoughTimes {
		l.Raise = append(Times{math.Ceil(raise.Seconds()*10) / 10}, l.Raise...)
	}
	if lower > 0 && len(l.Lower) < enoughTimes {
		l.Lower = append(Times{math.Ceil(lower.Seconds()*10) / 10}, l.Lower...)
	}
	return l
}

// longest returns the longest of them; there has to be one.
func (t Times) longest() time.Duration { return time.Duration(slices.Max(t) * float64(time.Second)) }

// quantile returns the duration that the given share of times stays below, newer
// ones counting more, and prior half as much as the newest.
func (t Times) quantile(share float64, prior time.Duration) time.Duration {
	type entry struct{ seconds, weight float64 }
	var space [maxTimes + 1]entry
	all := append(space[:0], entry{prior.Seconds(), priorWeight})
	weight, sum := 1.0, priorWeight
	for i := len(t) - 1; i >= 0 && len(all) < len(space); i-- {
		all = append(all, entry{t[i], weight})
		sum += weight
		weight *= timesDecay
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.seconds, b.seconds) })
	below := 0.0
	for _, e := range all {
		if below += e.weight; below >= share*sum {
			return time.Duration(e.seconds * float64(time.Second))
		}
	}
	return time.Duration(all[len(all)-1].seconds * float64(time.Second))
}

// DefaultRunTime is how long a run is expected to take before any has ended.
const DefaultRunTime = 5 * time.Minute

// RunTime returns how long a run of the job should take at most: most of those
// that were seen took less.
func (l Learned) RunTime(job JobName) time.Duration {
	return l.Runs[job].quantile(mostly, DefaultRunTime)
}

// RunTimes returns RunTime as a function that works each job out once.
func (l Learned) RunTimes() func(JobName) time.Duration {
	known := map[JobName]time.Duration{}
	return func(job JobName) time.Duration {
		d, ok := known[job]
		if !ok {
			d = l.RunTime(job)
			known[job] = d
		}
		return d
	}
}

// Summary says in sentences what the set has learned; none if it is nothing.
func (l Learned) Summary(s Settings) []string {
	var out []string
	if !s.FixedSettle && l.Settle.Of > 0 {
		out = append(out, fmt.Sprintf("The first task starts %s after the endpoints are available.", l.Settle.After))
	}
	if len(l.Raise) >= enoughTimes && len(l.Lower) >= enoughTimes {
		t := s.WithLearned(l)
		raise, lower := t.Raise.Round(time.Second), (t.Lower - caution).Round(time.Second)
		out = append(out, fmt.Sprintf("Creations take up to %s, deletions up to %s; "+
			"a deletion begins %s before the end of a paid hour.", raise, lower, t.Margin.Round(time.Second)))
	}
	for _, j := range slices.Sorted(maps.Keys(l.Runs)) {
		out = append(out,
			fmt.Sprintf("Runs of %s take up to %s, by the last %d.", j, l.RunTime(j).Round(time.Second),
				len(l.Runs[j])))
	}
	return out
}

// Ran returns what is learned with a run that took d.
func (l Learned) Ran(job JobName, d time.Duration) Learned {
	runs := map[JobName]Times{}
	maps.Copy(runs, l.Runs)
	runs[job] = runs[job].add(d)
	for len(runs) > maxJobs { // the one that is known least
		least := job
		for j, t := range runs {
			if j != job && (least == job || len(t) < len(runs[least]) || len(t) == len(runs[least]) && j < least) {
				least = j
			}
		}
		delete(runs, least)
	}
	l.Runs = runs
	return l
}
