package scheduler

import (
	"fmt"
	"slices"
	"time"
)

// Schedule says when runs of a job start by themselves. The set is raised before.
type Schedule struct {
	Job      JobName
	MaxDelay time.Duration
	Times    interface {
		// Next returns the first time after t; zero if there is none.
		Next(t time.Time) time.Time
		// String tells one schedule from another.
		String() string
	}
}

// Noted is a schedule that was taken note of: which it was, and the last of its times
// that a run was asked for, or when it was first seen.
type Noted struct {
	Is   string    `json:"is"`
	Last time.Time `json:"last"`
}

// Due is a time at which a scheduled run starts.
type Due struct {
	Job JobName
	At  time.Time
}

// Event is the id of the event that stands for it: the same for the same time, so
// that the run counts once.
func (d Due) Event() string { return d.At.UTC().Format(eventTime) }

// eventTime is the form of such an id.
const eventTime = "schedule-20060102T150405Z"

// ByClock reports whether an event stands for one of a job's scheduled times of the last day: each
// of them is one run, however often somebody asks for it.
func (s Settings) ByClock(job JobName, event string, now time.Time) bool {
	at, err := time.Parse(eventTime, event)
	if err != nil || (Due{job, at}).Event() != event { // Parse takes fractions of a second, too
		return false
	}
	if at.After(now.Add(time.Minute)) || at.Before(now.Add(-24*time.Hour)) {
		return false
	}
	return slices.ContainsFunc(s.Schedules, func(x Schedule) bool {
		return x.Job == job && x.Times.Next(at.Add(-1)).Equal(at)
	})
}

// tooLate is how long after its time a scheduled run is still started, if nobody was
// there before.
const tooLate = time.Hour

// NextDue returns the next time of each schedule that has not been asked for yet: the
// earliest of them, and the earliest of those that may not wait; zero if there is
// none.
func (s Settings) NextDue(set Set, now time.Time) (next, prompt Due) {
	for _, x := range s.Schedules {
		seen, ok := set.Scheduled[x.Job]
		if !ok || seen.Is != x.Times.String() { // nobody has taken note of it yet
			continue
		}
		after := Latest(seen.Last, now.Add(-tooLate))
		at := x.Times.Next(after)
		if !at.After(after) {
			continue
		}
		if next.At.IsZero() || at.Before(next.At) {
			next = Due{x.Job, at}
		}
		if x.MaxDelay == 0 && (prompt.At.IsZero() || at.Before(prompt.At)) {
			prompt = Due{x.Job, at}
		}
	}
	return next, prompt
}

// NoteSchedules returns the set with every schedule taken note of at now, and whether any was
// new.
func (set Set) NoteSchedules(s Settings, now time.Time) (Set, bool) {
	fresh := len(s.Schedules) != len(set.Scheduled)
	seen := map[JobName]Noted{}
	for _, x := range s.Schedules {
		n, ok := set.Scheduled[x.Job]
		if !ok || n.Is != x.Times.String() {
			n, fresh = Noted{x.Times.String(), now}, true
		}
		seen[x.Job] = n
	}
	if fresh {
		set.Scheduled = seen
	}
	return set, fresh
}

// raiseAt returns when a set has to be raised at the latest to be surely usable at a
// time.
func (s Settings) raiseAt(at time.Time) time.Time { return at.Add(-max(s.Raise, s.SureRaise) - s.Late) }

func (d Due) String() string {
	return fmt.Sprintf("job %s is scheduled for %s", d.Job, d.At.UTC().Format("2006-01-02 15:04:05"))
}
