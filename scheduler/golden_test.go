package scheduler

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/scheduler/forecast"
)

var update = flag.Bool("update", false, "write the expected scenes anew")

// every is a schedule with a time in each so many minutes.
type every time.Duration

func (e every) Next(t time.Time) time.Time {
	return t.Truncate(time.Duration(e)).Add(time.Duration(e))
}
func (e every) String() string { return time.Duration(e).String() }

// scene draws settings, a set and what asks for it: more than comes together in practice, to see each bound from both sides.
type scene struct {
	*rand.Rand
	now time.Time
}

// chance reports true so many times in a hundred.
func (c scene) chance(percent int) bool { return c.IntN(100) < percent }

// about returns an instant around now: often now itself, or a quarter of an hour that is easily met.
func (c scene) about() time.Time {
	return c.now.Add(time.Duration(c.IntN(17)-8) * []time.Duration{time.Second, time.Minute, 15 * time.Minute}[c.IntN(3)])
}

// maybe is about, or no time.
func (c scene) maybe(percent int) time.Time {
	if c.chance(percent) {
		return c.about()
	}
	return time.Time{}
}

func pick[T any](c scene, all ...T) T { return all[c.IntN(len(all))] }

func (c scene) settings() Settings {
	s := DefaultSettings()
	s.Basis = pick(c, Clock, Creation)
	s = s.WithMargin(pick(c, 5*time.Minute, 10*time.Minute))
	s.WaitCost, s.HourCost = pick(c, 0, 0, 0.5, 4.0), pick(c, 0, 0.05, 0.07)
	s.Learns, s.FixedMargin, s.FixedSettle = c.chance(50), c.chance(20), c.chance(20)
	s.MaxConcurrent = map[JobName]int{"b": 1}
	s.HoursPerDay, s.HoursPerHour = pick(c, 0, 0, 6, 20), pick(c, 1, 5)
	s.FailOverBudget = c.chance(30)
	s.MaxLifetime = pick(c, 0, 0, time.Hour)
	if c.chance(30) {
		s.Schedules = []Schedule{{Job: "a", Times: every(20 * time.Minute)}, {Job: "b", Times: every(30 * time.Minute), MaxDelay: pick(c, 0, time.Hour)}}
	}
	return s
}

func (c scene) times() (out Times) {
	for range c.IntN(6) {
		out = append(out, float64(30+c.IntN(400)))
	}
	return out
}

func (c scene) set() Set {
	s := Set{Name: "s", Phase: pick(c, Absent, Creating, Available, Available, Draining, Deleting, Failed), Since: c.now.Add(-time.Duration(c.IntN(40)) * time.Minute)}
	if s.Phase != Absent {
		s.Generation, s.Begun = 1+c.IntN(3), s.Since
		s.BilledFrom = c.now.Add(-time.Duration(c.IntN(150)) * time.Minute)
		s.StackID = pick[StackID](c, "", "id")
		s.NoStack = c.chance(8)
		s.Billed, s.PerHour, s.Counted = c.chance(80), pick(c, 1, 5), c.IntN(3)
		s.Services = pick(c, nil, []string{"logs"}, []string{"ecr.api", "logs"})
		s.Usable = c.maybe(60)
		s.Deletions = pick(c, 0, 0, 1, MaxDeletions)
		s.Broken = pick(c, "", "", "", "an endpoint is gone")
		s.UnknownUntil = c.maybe(15)
		if c.chance(15) {
			s.Refused = map[JobName]Refusal{"a": {Since: c.about(), Until: c.about(), Count: 1 + c.IntN(3), Running: c.IntN(2), Reason: "no capacity"}}
		}
	}
	s.Failures = pick(c, 0, 0, 0, 1, 2, 3)
	if s.Failures > 0 {
		s.FailingSince, s.Failure, s.RetryAt, s.FailureLasts, s.GivenUp = c.about(), "why", c.maybe(80), c.chance(20), c.IntN(2)
	}
	s.PaidUntil, s.Hours, s.HoursSince = c.maybe(50), c.IntN(9), c.now.Add(-time.Duration(c.IntN(20))*time.Hour)
	s.Day, s.DayHours, s.TotalHours, s.CountedSince = c.now.Format(time.DateOnly), c.IntN(24), 30, c.now.Add(-50*time.Hour)
	s.AlwaysOn, s.AlwaysPerHour, s.AlwaysUntil = 10, 5, c.now.Add(-20*time.Hour)
	s.Timer = c.maybe(50)
	if c.chance(10) {
		s.Pause = &Pause{Reason: "test", By: "me", At: c.about()}
	}
	s.TakeDown = pick(c, "", "", "", "", "", "asked for")
	if c.chance(20) {
		s.Scheduled = map[JobName]Noted{"a": {"20m0s", c.about()}, "b": {pick(c, "30m0s", "other"), c.about()}}
	}
	s.Learned = Learned{Raise: c.times(), Lower: c.times(), Runs: map[JobName]Times{"a": c.times()}}
	for range c.IntN(8) {
		s = s.Arrived(Settings{WaitCost: 1, HourCost: 0.05}, c.now.Add(-time.Duration(c.IntN(3000))*time.Minute), c.chance(50))
	}
	return s
}

func (c scene) run(i int) Run {
	job := pick[JobName](c, "a", "b")
	r := Run{ID: RunID(fmt.Sprintf("%s/%d", job, i)), Job: job, Set: "s"}
	r.State = pick(c, Waiting, Waiting, Starting, Running)
	r.Attempt, r.ReceivedAt = c.IntN(4), c.now.Add(-time.Duration(c.IntN(90))*time.Minute)
	r.StartingAt, r.StopAsked = c.maybe(60), c.maybe(15)
	if r.State == Running || c.chance(20) {
		r.StartedAt = c.about()
	}
	r.MaxRuntime, r.MaxDelay, r.StartTimeout = pick(c, 0, 10*time.Minute, time.Hour), pick(c, 0, 0, time.Hour, 4*time.Hour), pick(c, 0, time.Hour)
	r.Refusals, r.Untried, r.CancelledBy = c.IntN(2), c.chance(20), pick(c, "", "", "", "somebody")
	r.Needs = pick(c, nil, nil, []string{"logs"}, []string{"kms"})
	r.Reason = "it waits"
	return r
}

func (c scene) runs() (out []Run) {
	for i := range c.IntN(4) {
		out = append(out, c.run(i))
	}
	return out
}

func (c scene) holds() (out []Hold) {
	for i := range pick(c, 0, 0, 1, 2) {
		out = append(out, Hold{Owner: fmt.Sprint(i), Since: c.maybe(50), Expires: c.about()})
	}
	return out
}

func (c scene) observed(s Set) Observed {
	o := Observed{Stack: pick(c, StackUnknown, StackMissing, StackMissing, StackBusy, StackComplete, StackComplete, StackComplete, StackRolledBack,
		StackRollingBack, StackBroken, StackDeleting, StackDeleteFailed, StackForeign)}
	o.StackID, o.StackReason = s.StackID, pick(c, "", "it failed")
	o.Endpoints = EndpointCount{Pending: pick(c, 0, 0, 1), Available: pick(c, 0, 5), Failed: pick(c, 0, 0, 0, 1), Deleting: pick(c, 0, 0, 1), FirstCreated: c.maybe(50)}
	o.NoCapacity, o.Lasts, o.AvailableSince, o.Tasks = c.chance(10), c.chance(10), c.maybe(60), pick(c, 0, 0, 1)
	return o
}

func (c scene) task() Task {
	t := Task{ARN: "arn", Stopped: true, StopCode: pick(c, "", "TaskFailedToStart", "EssentialContainerExited", "UserInitiated"), StoppedAt: c.maybe(70)}
	t.StopReason = pick(c, "", "ResourceInitializationError: unable to pull secrets", "CannotPullContainerError: timeout", "it ended")
	if code := pick(c, -1, 0, 3); code >= 0 {
		t.ExitCode = &code
	}
	if c.chance(30) {
		t.Explanation = &Explanation{Cause: "endpoint", Text: "there is no endpoint", Lasting: c.chance(50)}
	}
	return t
}

// sum is a short digest of what would be stored.
func sum(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	h := fnv.New32a()
	h.Write(text)
	return fmt.Sprintf("%08x", h.Sum32())
}

// after says how far an instant is from now.
func (c scene) after(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Sub(c.now).Round(time.Second).String()
}

// tell writes what is decided about a scene, and everything else that follows from it.
func (c scene) tell(b *bytes.Buffer, n int) {
	s, set := c.settings(), c.set()
	runs, holds := c.runs(), c.holds()
	o := c.observed(set)
	fmt.Fprintf(b, "%d: %s %s", n, set.Phase, s.Basis)
	if learned := s.WithLearned(set.Learned); learned.Learns != s.Learns {
		fmt.Fprintf(b, ", learned: raise %s, lower %s, margin %s", learned.Raise, learned.Lower, learned.Margin)
	}
	d := DemandOf(runs, holds, s, set, c.now)
	decided := Decide(c.now, s, set, d, o)
	next := Next(c.now, s, set, decided, o)
	next.Learned = Learned{} // processors differ in the last place of a forecast
	fmt.Fprintf(b, "\n  %s\n  %s: %s; next %s; then %s %s\n", sum(d), decided.Action, decided.Reason, c.after(decided.Next), next.Phase, sum(next))
	for _, r := range runs {
		cancelled, ended := r.Cancel("me", c.now)
		fmt.Fprintf(b, "  %s %s: starts %s, deadline %s, %s, serves %t, resumable %t, refused %t, cancelled %t %s\n", r.ID, r.State,
			c.after(ExpectedStart(c.now, s, set, r, runs...)), c.after(r.Deadline()), WhyWaiting(c.now, s, set, r, runs...), set.Serves(r),
			r.Resumable(set, c.now), set.RefusedTooLong(r, c.now), ended, sum(cancelled))
		t := c.task()
		x := r.Conclude(t, c.now)
		fmt.Fprintf(b, "    task: %s %s at %s: %s %s %s\n", x.State, x.Outcome, c.after(x.FinishedAt), x.Reason, x.Cause, sum(x))
	}
	ended := []Run{c.run(8), c.run(9), c.run(8)}
	for i := range ended {
		ended[i].State, ended[i].Outcome = Finished, pick(c, Succeeded, FailedRun, DeadLettered, Cancelled)
		ended[i].FinishedAt, ended[i].RecordedAt = c.about(), c.about().Add(-2*time.Minute)
	}
	taught, fresh := set.Learn(s, c.now, runs, ended)
	taught.Learned.History, taught.Learned.Luck = forecast.History{}, Luck{} // processors differ in the last place
	fmt.Fprintf(b, "  learned %t %s; refunded %s; %d with a task, others than a %t; withdrawn %v\n", fresh, sum(taught.Learned), sum(set.Refund().Paid),
		WithTask(runs), OthersRun(runs, "a"), set.Withdraw(c.now, "asked").Phase)
	due, prompt := s.NextDue(set, c.now)
	noted, isNew := set.NoteSchedules(s, c.now)
	measured := set.Learned.Measured(time.Duration(c.IntN(3))*100*time.Second, time.Duration(c.IntN(3))*50*time.Second)
	counted, hours := set.CountHours(s.Basis, c.now)
	fmt.Fprintf(b, "  due %s %s, prompt %s %s; noted %t %s; measured %v %v; %d hours %s; always %d; over budget %t; hopeless %t; %q\n", due.Job, c.after(due.At),
		prompt.Job, c.after(prompt.At), isNew, sum(noted.Scheduled), measured.Raise, measured.Lower, hours, sum(counted.Paid),
		set.AlwaysOnHours(s.Basis, c.now), set.OverBudget(s, c.now), set.Hopeless(s, c.now), set.Learned.Summary(s))
}

// What follows from 700 scenes is as it was: a change shows as lines that differ.
func TestScenesAreAsRecorded(t *testing.T) {
	out := &bytes.Buffer{}
	for n := range 700 {
		c := scene{rand.New(rand.NewPCG(uint64(n), 7)), time.Date(2026, 5, 14, 10, pickMinute(n), 0, 0, time.UTC)}
		c.tell(out, n)
	}
	const file = "testdata/scenes.txt"
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	is, was := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
	if len(is) != len(was) {
		t.Errorf("%d lines, want %d", len(is), len(was))
	}
	differ := 0
	for i := range min(len(is), len(was)) {
		if is[i] != was[i] {
			if differ++; differ <= 5 {
				t.Errorf("line %d of %s: make golden writes it anew\nis  %s\nwas %s", i+1, file, is[i], was[i])
			}
		}
	}
}

// pickMinute is the minute of the hour at which a scene plays: often near its end.
func pickMinute(n int) int { return []int{0, 7, 30, 49, 54, 55, 56, 59}[n%8] }

// TestTheDiagramShowsEveryWayBetweenPhases draws scenes, follows what is decided in each, and holds docs/one-run.md to it.
func TestTheDiagramShowsEveryWayBetweenPhases(t *testing.T) {
	seen := map[string]bool{}
	for n := range uint64(20_000) {
		c := scene{rand.New(rand.NewPCG(n, 8)), time.Date(2026, 5, 14, 10, 0, 0, 0, time.UTC)}
		settings, set := c.settings(), c.set()
		demand := DemandOf(c.runs(), c.holds(), settings, set, c.now)
		observed := c.observed(set)
		d := Decide(c.now, settings, set, demand, observed)
		if next := Next(c.now, settings, set, d, observed); next.Phase != set.Phase {
			seen[fmt.Sprintf("  %s --> %s: %s", set.Phase, next.Phase, d.Action)] = true
		}
	}
	const page = "../docs/one-run.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	diagram := regexp.MustCompile("(?s)(stateDiagram-v2\n.*?direction LR\n).*?(```)")
	want := diagram.ReplaceAll(text, []byte("${1}"+strings.Join(slices.Sorted(maps.Keys(seen)), "\n")+"\n$2"))
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != string(want) {
		t.Errorf("the phases in %s are not as Decide and Next have them; go test ./scheduler -update draws them anew", page)
	}
}
