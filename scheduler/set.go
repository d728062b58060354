package scheduler

import (
	"fmt"
	"slices"
	"time"
)

// Union returns what is in either list, each once, in order.
func Union(a, b []string) []string {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// SetName names an endpoint set within an installation.
type SetName string

// StackID is the id (ARN) of a CloudFormation stack.
type StackID string

// Phase is the stored intent for a set. What exists is read from AWS each time.
type Phase string

// The phases: absent → creating → available → draining → deleting → absent, and
// and failed, which heals itself by way of deletion.
const (
	Absent    Phase = "absent"
	Creating  Phase = "creating"
	Available Phase = "available"
	Draining  Phase = "draining"
	Deleting  Phase = "deleting"
	Failed    Phase = "failed"
)

// Set is the stored state of an endpoint set: one item with a version. The zero
// value with a name is a set that never lived. What changes together stands in a group
// of its own; in the item the groups' fields are next to each other.
type Set struct {
	Name SetName
	// Version grows by one with each write; a write that names another version
	// than the stored one is refused. 0 means not stored yet.
	Version int64
	Phase   Phase
	// Since is when the phase was entered.
	Since time.Time
	Life
	Extending
	Failing
	Avoiding
	Paid
	Lease
	// Timer is the instant that the set's one-time timer is set to; zero if none.
	Timer time.Time
	// TimerFailure is why the last timer could not be set; empty if it was.
	TimerFailure string `json:",omitempty"`
	// Pause is why nothing is created for the set; nil if nobody has paused it.
	Pause *Pause
	// TakeDown is why the set is deleted as soon as no task runs, without waiting for
	// the end of its paid hour; empty if it is not. It ends with the generation.
	TakeDown string
	// Scheduled are the jobs' schedules, as far as they were taken note of.
	Scheduled map[JobName]Noted `json:",omitempty"`
	// Learned is what the set has learned from what it saw.
	Learned Learned `json:",omitzero"`
	// Decisions are the last decisions, oldest first, at most maxDecisions.
	Decisions []Entry
}

// Life is the present generation of a set: one life of its stack, from CreateStack
// until it is deleted.
type Life struct {
	// Generation counts the lives of the set's stack, from 1. Begun is when the present
	// one was; zero in those of versions that did not record it.
	Generation int
	Begun      time.Time `json:",omitzero"`
	StackID    StackID
	// NoStack is true if endpoints of others serve the whole set: this generation
	// has no stack and costs nothing.
	NoStack bool
	// Endpoints is how many endpoints of its own the set had when it was opened.
	Endpoints int
	// PerHour is how many endpoint-hours an hour of this generation is billed as.
	PerHour int
	// BilledFrom is when the generation's first endpoint was created, or at the
	// latest when CreateStack was about to be called.
	BilledFrom time.Time
	// Billed is true once an endpoint of this generation was seen, so that its hours are
	// paid. Counted is how many of them are counted already; see Paid.
	Billed  bool `json:",omitempty"`
	Counted int
	// Usable is when the endpoints had settled: a task may start from then on.
	Usable time.Time
	// Services are what this generation serves, its own endpoints and those of others;
	// empty in generations of versions that did not record it.
	Services []string
	// Zones are where this generation's endpoints are.
	Zones []string
	// Deletions counts the deletions of this generation that failed.
	Deletions int
	// Broken is why an available set has to go although its hour is not over; empty if
	// it has not. It drains first, as any other deletion does.
	Broken string `json:",omitempty"`
	// Refused are the jobs whose tasks ECS refuses for the moment.
	Refused map[JobName]Refusal `json:",omitempty"`
	// UnknownUntil is until when tasks that ECS shows for the set, and that no run
	// names, are taken to be there still.
	UnknownUntil time.Time `json:",omitzero"`
}

// over returns what is remembered of a generation that is gone.
func (l Life) over() Life {
	l.StackID = ""
	l.Services = nil
	l.Refused = nil
	l.Broken = ""
	l.Usable = time.Time{}
	l.BilledFrom = time.Time{}
	l.Deletions = 0
	return l
}

// Extending is what is being added to the present generation.
type Extending struct {
	// Extension is what is being added; nil if nothing is.
	Extension *Extension
	// Extensions counts those in a row that failed, ExtendAt is when the next may be
	// tried, ExtendFailure why the last one failed.
	Extensions    int
	ExtendAt      time.Time
	ExtendFailure string
}

// Failing is the memory of generations that did not come up.
type Failing struct {
	// Failures counts them in a row, FailingSince is when the first of them failed,
	// Failure why the last one did; FailureLasts is true if the next would fail for the
	// same reason.
	Failures     int
	FailingSince time.Time `json:",omitzero"`
	Failure      string
	FailureLasts bool `json:",omitempty"`
	// RetryAt is when the next may be tried.
	RetryAt time.Time
	// GivenUp is how many had failed when waiting runs were given up last: a give-up
	// does not make the next failure the first one.
	GivenUp int `json:",omitempty"`
}

// Avoiding are zones that had no room for endpoints when they were last tried.
type Avoiding struct {
	AvoidZones []string
	AvoidUntil time.Time
}

// Paid is what a set has paid for, over all its generations.
type Paid struct {
	// PaidUntil is the boundary up to which the last generation was paid. The
	// next one is not created before it.
	PaidUntil time.Time
	// Hours counts the paid hours, whatever the set had in them, HoursSince is when the
	// first of them began; zero before it.
	Hours      int       `json:",omitempty"`
	HoursSince time.Time `json:",omitzero"`
	// DayHours counts endpoint-hours in Day, a day in UTC as 2006-01-02, TotalHours
	// those in all generations since CountedSince; that is zero in a set that never
	// changed.
	Day                  string
	DayHours, TotalHours int
	CountedSince         time.Time
	Always
}

// Always is what the set would have been billed as since CountedSince if it had always been up, in
// endpoint-hours: AlwaysOn until AlwaysUntil, and AlwaysPerHour an hour from then on.
type Always struct {
	AlwaysOn      int       `json:",omitempty"`
	AlwaysPerHour int       `json:",omitempty"`
	AlwaysUntil   time.Time `json:",omitzero"`
}

// Lease is the exclusive claim of the one invocation that waits on the set and starts
// its runs; others leave that work to it.
type Lease struct {
	// LeaseHolder is the invocation, "" if there is none, LeasedUntil when the claim ends.
	LeaseHolder string
	LeasedUntil time.Time
}

// Refusal is what ECS says of a job's tasks that it does not start for the moment.
type Refusal struct {
	// Since is when it began: no task of the job was started after that.
	Since time.Time `json:"since"`
	// Until is when the next start is tried, Count how many were refused in a row.
	Until time.Time `json:"until"`
	Count int       `json:"count"`
	// Running is how many runs of the set had a task then: once it is fewer, there may
	// be room.
	Running int    `json:"running"`
	Reason  string `json:"reason"`
}

// Holds reports whether the job's runs wait for the next try, while so many runs of
// the set have a task.
func (r Refusal) Holds(running int, now time.Time) bool {
	return now.Before(r.Until) && running >= r.Running
}

// RefusedAgain returns the refusal after another one at now.
func (r Refusal) RefusedAgain(now time.Time, running int, reason string) Refusal {
	if r.Count == 0 {
		r.Since = now
	}
	r.Count++
	r.Until = now.Add(refusedPause(r.Count))
	r.Running = running
	r.Reason = reason
	return r
}

// refusedPause is how long after the nth refusal in a row the next start is tried:
// five seconds, doubled each time, at most two minutes.
func refusedPause(n int) time.Duration { return min(5*time.Second<<min(n-1, 10), 2*time.Minute) }

// DefaultStartTimeout is how long ECS may refuse a run's task, once its endpoints are
// usable, before the run is given up.
const DefaultStartTimeout = 30 * time.Minute

// BegunAt returns the refusal as one that began at an instant.
func (r Refusal) BegunAt(at time.Time) Refusal {
	r.Since = at
	return r
}

// longestRefusal is how long a run waits at most for what tasks of other jobs hold, a quota
// or capacity, beyond its own timeout.
const longestRefusal = 24 * time.Hour

// RefusedTooLong reports whether ECS has refused a run for too long. While other jobs have tasks
// they may hold what it lacks: that time counts up to a day.
func (s Set) RefusedTooLong(r Run, now time.Time) bool {
	_, refused := s.Refused[r.Job]
	return refused &&
		(!now.Before(s.RefusedSince(r).Add(r.RefusalTimeout())) ||
			!now.Before(Latest(r.ReceivedAt, s.Usable).Add(longestRefusal)))
}

// RefusedSince returns when a run whose job ECS refuses began to be refused: not
// before the set was usable.
func (s Set) RefusedSince(r Run) time.Time {
	return Latest(r.ReceivedAt, s.Usable, s.Refused[r.Job].Since)
}

// Extension is an addition of endpoints to a set that is up.
type Extension struct {
	Since time.Time `json:"since"`
	// Services are what the set will serve, Endpoints how many of its own it will
	// have then.
	Services  []string `json:"services"`
	Endpoints int      `json:"endpoints"`
	// Before is what an hour of the set was billed as before it.
	Before int `json:"before"`
	// Zones are where what is added goes.
	Zones []string `json:"zones,omitempty"`
}

// avoidFor is how long zones that had no room for endpoints are avoided.
const avoidFor = 24 * time.Hour

// avoid returns the set with zones among those to be avoided.
func (s Set) avoid(zones []string, now time.Time) Set {
	if !now.Before(s.AvoidUntil) {
		s.AvoidZones = nil
	}
	s.AvoidZones, s.AvoidUntil = Union(s.AvoidZones, zones), now.Add(avoidFor)
	return s
}

// Serves reports whether the generation has all that a run needs.
func (s Set) Serves(r Run) bool {
	return !slices.ContainsFunc(r.Needs, func(n string) bool { return !slices.Contains(s.Services, n) })
}

// Pause says that nothing is to be created for a set, since when, by whom and
// why.
type Pause struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
}

func (p Pause) String() string {
	s := fmt.Sprintf("paused since %s by %s", p.At.UTC().Format("2006-01-02 15:04 UTC"), p.By)
	if p.Reason != "" {
		s += " (" + p.Reason + ")"
	}
	return s
}

// dayOf returns the day of t in UTC.
func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// CountHours counts the paid hours that have begun by now and are not counted yet,
// and returns how many endpoint-hours they are.
func (s Set) CountHours(b Basis, now time.Time) (Set, int) {
	if day := dayOf(now); s.Day != day {
		s.Day, s.DayHours = day, 0
	}
	if s.CountedSince.IsZero() {
		s.CountedSince = now
	}
	s.AlwaysOn, s.AlwaysUntil = s.AlwaysOnHours(b, now), now
	if s.BilledFrom.IsZero() || s.PerHour == 0 || s.Phase == Absent {
		return s, 0
	}
	begun := PaidHours(b, s.BilledFrom, now.Add(time.Nanosecond))
	hours := max(begun-s.Counted, 0)
	n := hours * s.PerHour
	s.Counted = max(begun, s.Counted)
	s.DayHours += n
	s.TotalHours += n
	s.Hours += hours
	if s.HoursSince.IsZero() {
		s.HoursSince = s.BilledFrom
	}
	return s, n
}

// AlwaysOnHours returns what the set would have been billed as if it had always been up since
// CountedSince: each hour as the configuration was then. In endpoint-hours.
func (s Set) AlwaysOnHours(b Basis, now time.Time) int {
	if s.CountedSince.IsZero() || now.Before(s.AlwaysUntil) {
		return s.AlwaysOn
	}
	before := 0
	if !s.AlwaysUntil.IsZero() {
		before = PaidHours(b, s.CountedSince, s.AlwaysUntil)
	}
	return s.AlwaysOn + (PaidHours(b, s.CountedSince, now)-before)*s.AlwaysPerHour
}

// Refund takes back the hours of a generation that never had an endpoint.
func (s Set) Refund() Set {
	n := s.Counted * s.PerHour
	s.DayHours = max(s.DayHours-n, 0)
	s.TotalHours = max(s.TotalHours-n, 0)
	s.Hours = max(s.Hours-s.Counted, 0)
	return s
}

// affords reports whether another generation may begin at now without the set ever
// costing more than endpoints that are always on would have, by more than one hour;
// next is when it may if not. Only failures can make it cost more: what lives is
// never created twice in an hour.
func (s Set) affords(b Basis, now time.Time) (ok bool, next time.Time) {
	if s.HoursSince.IsZero() || s.Hours <= PaidHours(b, s.HoursSince, now.Add(time.Nanosecond)) {
		return true, time.Time{}
	}
	return false, Boundary(b, s.HoursSince, now)
}

// OverBudget reports whether the set may begin no other hour on now's day.
func (s Set) OverBudget(limits Settings, now time.Time) bool {
	next := limits.HoursPerHour
	if s.PerHour > 0 { // as the last generation was billed: endpoints of others may serve the rest
		next = s.PerHour
	}
	return limits.HoursPerDay > 0 && s.spent(now)+next > limits.HoursPerDay
}

// spent returns the endpoint-hours that were paid on now's day.
func (s Set) spent(now time.Time) int {
	if s.Day != dayOf(now) {
		return 0
	}
	return s.DayHours
}

// Entry is a decision as it is recorded.
type Entry struct {
	At         time.Time `json:"at"`
	Generation int       `json:"generation"`
	Phase      Phase     `json:"phase"`
	Action     Action    `json:"action"`
	Reason     string    `json:"reason"`
}

// The record of decisions is bounded, so that the set's item stays below 8 KB.
const (
	maxDecisions = 24
	maxReasons   = 2500 // characters of all reasons together
)

// Remember adds an entry, unless it says the same as the one before.
func (s Set) Remember(e Entry) Set {
	if n := len(s.Decisions); n > 0 {
		last := s.Decisions[n-1]
		if last.At = e.At; last == e {
			return s
		}
		// what is expected of the next hours changes with each
		if last.Phase == Absent && e.Phase == Absent && last.Action == Wait && e.Action == Wait {
			s.Decisions = append(slices.Clone(s.Decisions[:n-1]), e)
			return s
		}
	}
	d := append(append([]Entry(nil), s.Decisions...), e)
	length := 0
	for i := len(d) - 1; i >= 0; i-- {
		if length += len(d[i].Reason); len(d)-i > 1 && (length > maxReasons || len(d)-i > maxDecisions) {
			d = d[i+1:]
			break
		}
	}
	s.Decisions = d
	return s
}

// enter returns the set in another phase, with what belongs to the old phase
// alone forgotten.
func (s Set) enter(p Phase, now time.Time) Set {
	s.Phase, s.Since = p, now
	switch p {
	case Creating:
		s.Life = Life{Generation: s.Generation + 1, Begun: now, BilledFrom: now}
		s.Extending = Extending{}
		s.RetryAt = time.Time{}
	case Available:
		s.Failing = Failing{RetryAt: s.RetryAt}
		s.Broken = ""
	case Absent:
		s.Life = s.over()
		s.Extension = nil
		s.Lease = Lease{}
		s.TakeDown = ""
	}
	return s
}

// LeasedByOther reports whether another invocation than me holds the lease at now.
func (s Set) LeasedByOther(me string, now time.Time) bool {
	return s.LeaseHolder != "" && s.LeaseHolder != me && now.Before(s.LeasedUntil)
}

// Settings are the times that decisions about a set are made with.
type Settings struct {
	Basis Basis
	// Margin is how long before the boundary a deletion begins.
	Margin time.Duration
	// Lower is how long a deletion takes. One that would begin later than Lower
	// before the boundary does not pay: the next hour would be begun anyhow.
	Lower time.Duration
	// Raise is how long creation takes, for the expected start.
	Raise time.Duration
	// SureRaise is how long a creation hardly ever exceeds, until the endpoints have
	// settled.
	SureRaise time.Duration
	// MaxConcurrent is how many tasks of a job may run at a time; of a job that it does not
	// name any number.
	MaxConcurrent map[JobName]int
	// Learns says that Margin, Lower and Raise are presumed, until the set has learned
	// how long they take; FixedMargin that the margin becomes no shorter.
	Learns, FixedMargin bool
	// FixedSettle says that Settle is given, and not learned.
	FixedSettle bool
	// Late is how much later than asked for a look may come.
	Late time.Duration
	// WaitCost is what an hour of a run's waiting costs, HourCost an hour of the whole
	// set, in USD. With a WaitCost of 0 hours alone count.
	WaitCost, HourCost float64
	// Schedules are when jobs start by themselves.
	Schedules []Schedule
	// Settle is how long after the last endpoint became available the first
	// task starts.
	Settle time.Duration
	// RaiseTimeout is how long a stack may be in creation before it is given up.
	RaiseTimeout time.Duration
	// MaxFailures is how many generations in a row may fail before the waiting
	// runs are given up.
	MaxFailures int
	// MaxLifetime is how long a hold by hand counts from when it was taken; 0 is
	// until it expires.
	MaxLifetime time.Duration
	// HoursPerHour is how many endpoint-hours an hour of the set is billed as,
	// HoursPerDay how many may be paid on a day in UTC before no generation
	// begins; 0 is no limit. FailOverBudget gives runs up that the limit does not
	// allow, instead of keeping them until the next day.
	HoursPerHour, HoursPerDay int
	FailOverBudget            bool
}

// The defaults.
//
// Sources: creation "1-3 minutes", deletion "a few minutes" as users report it,
// and the settling time after which connections to a fresh endpoint worked; see
// docs/billing.md for each. The margin holds until times are measured. A creation is
// given up after DefaultRaiseTimeout: its hour is paid anyhow, and CloudFormation gives
// it up a few minutes before.
const (
	DefaultMargin       = 5 * time.Minute
	DefaultLower        = 3 * time.Minute // two for the endpoints, one for all around them
	DefaultRaise        = 150 * time.Second
	DefaultSettle       = 20 * time.Second
	DefaultLate         = 30 * time.Second
	DefaultSureRaise    = 4 * time.Minute // three for the endpoints, one for all around them
	DefaultRaiseTimeout = 40 * time.Minute
	DefaultMaxFailures  = 5
)

// DefaultSettings returns the settings of a set that names none.
func DefaultSettings() Settings {
	return Settings{
		Basis: Clock, Margin: DefaultMargin, Lower: DefaultLower, Raise: DefaultRaise,
		Learns: true, Late: DefaultLate, SureRaise: DefaultSureRaise,
		Settle: DefaultSettle, RaiseTimeout: DefaultRaiseTimeout, MaxFailures: DefaultMaxFailures,
	}
}

// lookMayBeLate is how long before the last instant at which a deletion may begin the
// first one is, at least: a timer is never on the dot, and a window without length is
// never met.
const lookMayBeLate = DefaultMargin - DefaultLower

// WithMargin returns the settings with a given margin. It stays unless deletions turn
// out to take longer than it leaves them.
func (s Settings) WithMargin(margin time.Duration) Settings {
	s = s.withMargin(margin)
	s.FixedMargin = true
	return s
}

// withMargin sets the margin, and presumes no more for a deletion than it leaves.
func (s Settings) withMargin(margin time.Duration) Settings {
	s.Margin, s.Lower = margin, max(min(s.Lower, margin-lookMayBeLate), 0)
	return s
}

// Window returns the boundary that a deletion at now or later would have to
// meet, and the first and last instant at which it may begin.
func (s Settings) Window(billedFrom, now time.Time) (boundary, first, last time.Time) {
	boundary = Boundary(s.Basis, billedFrom, now)
	lower := min(s.Lower, s.Margin)
	if last = boundary.Add(-lower); now.After(last) {
		boundary = boundary.Add(PaidHour)
		last = boundary.Add(-lower)
	}
	return boundary, boundary.Add(-s.Margin), last
}

// ExpectedStart returns when run should start: an expectation, not a promise. others
// are the other runs that wait, as far as they are known.
func ExpectedStart(now time.Time, s Settings, set Set, run Run, others ...Run) time.Time {
	s = s.WithLearned(set.Learned)
	p := run.Pending(set.Learned.RunTime)
	create := s.firstCreateAt(set, p, others)
	switch set.Phase {
	case Available, Draining:
		if !set.Serves(run) {
			return Latest(now, set.ExtendAt).Add(s.Raise)
		}
		if s.StartsNow(set, p, now) {
			return Latest(now, set.Usable, set.Refused[run.Job].Until)
		}
		return Latest(Boundary(s.Basis, set.BilledFrom, now), create).Add(s.Raise)
	case Creating:
		return Latest(now, set.Since.Add(s.Raise))
	case Deleting, Failed:
		return Latest(now, set.PaidUntil, set.Since.Add(s.Lower), create).Add(s.Raise)
	}
	return Latest(now, set.PaidUntil, set.RetryAt, create).Add(s.Raise)
}

// Latest returns the latest of ts, or zero.
func Latest(ts ...time.Time) time.Time {
	var out time.Time
	for _, t := range ts {
		if t.After(out) {
			out = t
		}
	}
	return out
}

// Earliest returns the earliest of ts that is not zero, or zero.
func Earliest(ts ...time.Time) time.Time {
	var out time.Time
	for _, t := range ts {
		if !t.IsZero() && (out.IsZero() || t.Before(out)) {
			out = t
		}
	}
	return out
}
