package scheduler

import (
	"slices"
	"time"
)

// Settling is what a set has learned of how long a new endpoint needs before a connection to it
// works: less while first attempts succeed, more at once when one fails.
type Settling struct {
	// After is how long is waited now; it counts if Of is not 0. Of is the generation that
	// taught it last: each teaches once, but for a failure.
	After time.Duration
	Of    int
	// Failed is the longest wait after which a first attempt failed lately, 0 for none, and Good
	// counts the generations since that went well at the shortest wait above it.
	Failed time.Duration `json:",omitzero"`
	Good   int           `json:",omitempty"`
}

const (
	// maxSettle bounds what is learned.
	maxSettle = 2 * time.Minute
	// forgiven is how many generations have to go well before less than what failed once is tried.
	forgiven = 50
	// sureToRun is how long a task has to run before its endpoints have shown that they work.
	sureToRun = 3 * time.Minute
	// notReady is the cause of a task that came too early for its endpoints.
	notReady = "endpoint-not-ready"
)

// Went returns what is learned from a generation whose first attempt went well.
func (l Settling) Went(generation int, s Settings) Settling {
	now := l.now(s)
	l.Of = generation
	floor := time.Duration(0)
	if l.Failed > 0 {
		floor = (l.Failed + l.Failed/4 + time.Second).Truncate(time.Second)
	}
	l.After = (now * 3 / 4).Truncate(time.Second)
	if l.After > floor {
		return l
	}
	l.After = min(floor, now)
	if l.Good++; l.Failed > 0 && l.Good >= forgiven {
		l.Good, l.Failed = 0, (l.Failed * 3 / 4).Truncate(time.Second)
	}
	return l
}

// Came returns what is learned from a first attempt that came too early.
func (l Settling) Came(generation int, s Settings) Settling {
	now := l.now(s)
	l.Of, l.Good, l.Failed = generation, 0, max(l.Failed, now, time.Second)
	l.After = min(max(2*now, DefaultSettle), maxSettle)
	return l
}

func (l Settling) now(s Settings) time.Duration {
	if l.Of > 0 {
		return l.After
	}
	return s.Settle
}

// learnSettle returns the set with what the first attempts of its present generation teach, and
// whether that is anything.
func (set Set) learnSettle(s Settings, now time.Time, runs []Run) (Set, bool) {
	if s.FixedSettle || !s.Learns || set.NoStack || set.Usable.IsZero() || set.Learned.Settle.Of == set.Generation {
		return set, false
	}
	waited := func(r Run) bool {
		return r.Attempt > 0 && r.ReceivedAt.Before(set.Usable) && !r.StartingAt.Before(set.Usable)
	}
	early := func(r Run) bool { // one that ran in the end has no cause any more
		return waited(r) && (r.Cause == notReady || r.Attempt > 1 && r.Cause == "")
	}
	well := func(r Run) bool {
		return waited(r) && r.Attempt == 1 && (r.State == Finished && r.ExitCode != nil ||
			r.State == Running && now.Sub(r.StartedAt) > sureToRun)
	}
	switch {
	case slices.ContainsFunc(runs, early):
		set.Learned.Settle = set.Learned.Settle.Came(set.Generation, s)
	case slices.ContainsFunc(runs, well):
		set.Learned.Settle = set.Learned.Settle.Went(set.Generation, s)
	default:
		return set, false
	}
	return set, true
}
