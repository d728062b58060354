package explore

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// Epoch is when every story begins: 10:07 on a Tuesday, so that the clock's hour and the hour
// from creation end at different times.
var Epoch = time.Date(2026, 3, 3, 10, 7, 0, 0, time.UTC)

// Setup is what a story plays in.
type Setup struct {
	Name string
	// Sets are the sets with their settings, Jobs the jobs that run in them.
	Sets []Set
	Jobs []Job
	// Script is what happens from outside, in order of time.
	Script []Step
	// Horizon is how long after the last step everything has to be at rest at the latest; each thing that goes wrong
	// adds an hour.
	Horizon time.Duration
	// Foreign are sets whose stack name is taken by a stack of somebody else.
	Foreign []scheduler.SetName
	// Failing says that no stack comes up.
	Failing bool
	// Stuck says that no stack is deleted but by force.
	Stuck bool
	// Defect breaks the ports of every invocation, to see that the search finds it; nil for none.
	Defect func(*reconcile.Ports)
}

// Set is a set of the configuration: Services are listed, or those that its jobs need if Auto.
type Set struct {
	Name     scheduler.SetName
	Settings scheduler.Settings
	Services []string
	Auto     bool
}

// Job is a job of the configuration. Takes is how long its tasks run.
type Job struct {
	Name                        scheduler.JobName
	Set                         scheduler.SetName
	Takes, MaxRuntime, MaxDelay time.Duration
	Needs                       []string
}

// Step is something that happens from outside, At after the beginning: an event for a job, or
// what an operator or a deployment does to a set.
type Step struct {
	At   time.Duration
	Do   Deed
	Set  scheduler.SetName
	Job  scheduler.JobName
	Name string // the event's id, the hold's owner
	For  time.Duration
	// Needs are what the job needs from then on.
	Needs []string
}

// Deed is what a step does.
type Deed string

// The deeds.
const (
	Arrive   Deed = "arrive"
	Hold     Deed = "hold"
	Release  Deed = "release"
	Pause    Deed = "pause"
	Resume   Deed = "resume"
	TakeDown Deed = "take-down"
	Cancel   Deed = "cancel"
	Redefine Deed = "redefine"
)

// world is the state of a story. Copies share what never changes.
type world struct {
	*Setup
	now    time.Time
	sets   []*setRecord
	runs   []*runRecord
	holds  []holdRecord
	stacks []stack
	tasks  []task
	needs  [][]string // of jobs
	// letters are the runs and events in the dead-letter queue.
	letters []letter
	// accepted are the events that were taken from whoever sent them.
	accepted []scheduler.RunID
	queue    []delivery
	flight   []*invocation
	current  int // the id of the invocation that goes on, if it can
	serial   int
	step     int // of the script
	swept    time.Time
	telling
}

// telling is what is told of a story; nothing that happens depends on it.
type telling struct {
	// wrong counts what went wrong so far, instant what has happened at this instant.
	wrong, instant int
	// counts are how many things of each label have happened.
	counts [labels]uint16
	// broken is the promise that was broken, in a sentence.
	broken string
	// trace is told each thing that happens; nil to tell nobody.
	trace func(string)
}

type setRecord struct {
	scheduler.Set
	sum uint64
}

type runRecord struct {
	scheduler.Run
	sum uint64
}

type holdRecord struct {
	set  scheduler.SetName
	hold scheduler.Hold
}

type letter struct {
	run    scheduler.RunID
	reason string
}

// status is the state of a model stack.
type status uint8

const (
	creating status = iota
	complete
	updating
	updateFailing
	rolledBack
	rollingBack
	failed
	deleting
	deleteFailed
	gone
	foreign
)

var shown = [...]scheduler.StackState{
	scheduler.StackBusy, scheduler.StackComplete, scheduler.StackBusy, scheduler.StackBusy, scheduler.StackRolledBack,
	scheduler.StackRollingBack, scheduler.StackBroken, scheduler.StackDeleting, scheduler.StackDeleteFailed,
	scheduler.StackMissing, scheduler.StackForeign,
}

// stack is a set's CloudFormation stack with its endpoints.
type stack struct {
	set  scheduler.SetName
	id   scheduler.StackID
	life reconcile.LifeID
	// services are what its endpoints serve, adding what an update adds, added what the last one has added.
	services, adding, added []string
	// status is as it is, was as it was before its last change, for reads that show what was.
	status, was status
	moments
	// fails says that the present change comes to nothing, lasts that it would again, failures counts deletions
	// that did.
	fails, lasts bool
	failures     int
	// left are endpoints that a forced deletion left behind, until leftUntil if they are being deleted.
	left      int
	leftUntil time.Time
	// up is true once its endpoints were there, opened once its set said so.
	up, opened bool
}

// moments are when things happened to a stack.
type moments struct {
	// created is when it was asked for; changes when its status changes next by itself, zero if it does not; changed
	// when it did last.
	created, changes, changed time.Time
	// available is when its first endpoints were, addedAt the added ones; needed when something last needed it; deleted
	// when the last endpoint was gone.
	available, addedAt, needed, deleted time.Time
}

// taskState is the state of a model task.
type taskState uint8

const (
	pending taskState = iota
	running
	stopped
)

// task is an ECS task.
type task struct {
	arn       string
	set       scheduler.SetName
	run       scheduler.RunID
	group     string
	token     string
	state     taskState
	changes   time.Time // when its state changes next
	takes     time.Duration
	created   time.Time
	startedAt time.Time
	stoppedAt time.Time
	fails     bool // before its containers start
	byUser    bool
}

// delivery is an invocation that is on its way.
type delivery struct {
	at    time.Time
	kind  kind
	set   scheduler.SetName
	run   scheduler.RunID // of an event
	arn   string          // of a stopped task
	tries int
	skew  time.Duration
}

// newWorld returns the world before anything has happened.
func newWorld(s *Setup) *world {
	w := &world{Setup: s, now: Epoch, swept: Epoch}
	for _, set := range s.Sets {
		w.sets = append(w.sets, newSetRecord(scheduler.Set{Name: set.Name, Phase: scheduler.Absent}))
	}
	for _, j := range s.Jobs {
		w.needs = append(w.needs, j.Needs)
	}
	for i, name := range s.Foreign {
		id := scheduler.StackID(fmt.Sprintf("foreign-%d", i))
		w.stacks = append(w.stacks, stack{set: name, id: id, status: foreign, was: foreign})
	}
	return w
}

// clone returns a copy that can go on by itself.
func (w *world) clone() *world {
	out := *w
	out.sets = slices.Clone(w.sets)
	out.runs = slices.Clone(w.runs)
	out.holds = slices.Clone(w.holds)
	out.stacks = slices.Clone(w.stacks)
	out.tasks = slices.Clone(w.tasks)
	out.needs = slices.Clone(w.needs)
	out.letters = slices.Clone(w.letters)
	out.accepted = slices.Clone(w.accepted)
	out.queue = slices.Clone(w.queue)
	out.flight = make([]*invocation, len(w.flight))
	for i, inv := range w.flight {
		out.flight[i] = inv.clone()
	}
	return &out
}

// end gives back what the world's invocations hold.
func (w *world) end() {
	for _, inv := range w.flight {
		inv.drop()
	}
}

func (w *world) breaks(promise int, format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf("promise %d: ", promise) + fmt.Sprintf(format, args...)
	}
}

func (w *world) tell(format string, args ...any) {
	if w.trace != nil {
		w.trace(w.now.Format("15:04:05.0 ") + fmt.Sprintf(format, args...))
	}
}

func (w *world) setIndex(name scheduler.SetName) int {
	return slices.IndexFunc(w.sets, func(s *setRecord) bool { return s.Name == name })
}

func (w *world) runIndex(id scheduler.RunID) int {
	return slices.IndexFunc(w.runs, func(r *runRecord) bool { return r.ID == id })
}

func (s *Setup) job(name scheduler.JobName) (int, *Job) {
	i := slices.IndexFunc(s.Jobs, func(j Job) bool { return j.Name == name })
	return i, &s.Jobs[i]
}

func (s *Setup) set(name scheduler.SetName) *Set {
	return &s.Sets[slices.IndexFunc(s.Sets, func(x Set) bool { return x.Name == name })]
}

// settings returns the settings of every set, as a Reconciler takes them.
func (s *Setup) settings() map[scheduler.SetName]scheduler.Settings {
	out := map[scheduler.SetName]scheduler.Settings{}
	for _, set := range s.Sets {
		out[set.Name] = set.Settings
	}
	return out
}

// send puts a delivery on its way.
func (w *world) send(d delivery) { w.queue = append(w.queue, d) }

// liveStack returns the index of the stack that has the set's name, -1 if none has.
func (w *world) liveStack(set scheduler.SetName) int {
	for i := len(w.stacks) - 1; i >= 0; i-- {
		if w.stacks[i].set == set && w.stacks[i].status != gone {
			return i
		}
	}
	return -1
}

// Sums tell states apart. They hold for one process.

var seed = maphash.MakeSeed()

type sum uint64

func (h sum) add(x uint64) sum {
	h ^= sum(x)
	h *= 0x9E3779B97F4A7C15
	return h ^ h>>29
}

func (h sum) text(s string) sum { return h.add(maphash.String(seed, s)) }
func (h sum) instant(t time.Time) sum {
	if t.IsZero() {
		return h.add(1)
	}
	return h.add(uint64(t.UnixNano()))
}

func (h sum) flag(b bool) sum {
	if b {
		return h.add(3)
	}
	return h.add(5)
}

func newSetRecord(s scheduler.Set) *setRecord {
	plain := s
	plain.Decisions = nil // a record of what was decided, which nothing depends on
	plain.Failure = ""
	plain.TimerFailure = ""
	plain.ExtendFailure = ""
	text, err := json.Marshal(plain)
	if err != nil {
		panic(err)
	}
	return &setRecord{s, uint64(sum(7).add(maphash.Bytes(seed, text)))}
}

func newRunRecord(r scheduler.Run) *runRecord {
	h := sum(11).text(string(r.ID)).text(string(r.State)).add(uint64(r.Attempt)).add(uint64(r.Refusals)).flag(r.Untried)
	h = h.instant(r.ReceivedAt).instant(r.StartingAt).instant(r.StartedAt).instant(r.StopAsked).instant(r.RecordedAt)
	h = h.text(r.TaskARN).text(string(r.Outcome)).text(r.CancelledBy)
	for _, n := range r.Needs {
		h = h.text(n)
	}
	return &runRecord{r, uint64(h)}
}

// sum tells the state apart from every other.
func (w *world) sum() uint64 {
	h := sum(13).instant(w.now).add(uint64(w.step)).add(uint64(w.current)).instant(w.swept)
	if w.step < len(w.Script) {
		h = h.add(uint64(w.Script[w.step].At))
	}
	for _, s := range w.sets {
		h = h.add(s.sum)
	}
	for _, r := range w.runs {
		h = h.add(r.sum)
	}
	for _, x := range w.holds {
		h = h.text(string(x.set)).text(x.hold.Owner).instant(x.hold.Since).instant(x.hold.Expires)
	}
	for i := range w.stacks {
		s := &w.stacks[i]
		h = h.text(string(s.id)).add(uint64(s.status)).add(uint64(s.was)).add(uint64(len(s.services)))
		h = h.add(uint64(len(s.adding))).flag(s.fails).flag(s.lasts).add(uint64(s.failures)).add(uint64(s.left))
		h = h.instant(s.changes).instant(s.changed).instant(s.deleted).instant(s.needed)
	}
	for i := range w.tasks {
		t := &w.tasks[i]
		h = h.text(t.arn).add(uint64(t.state)).instant(t.changes).flag(t.fails).flag(t.byUser).add(uint64(t.takes))
	}
	for _, l := range w.letters {
		h = h.text(string(l.run))
	}
	for _, d := range w.queue {
		h = h.instant(d.at).add(uint64(d.kind)).text(string(d.set)).text(string(d.run)).text(d.arn)
		h = h.add(uint64(d.tries)).add(uint64(d.skew))
	}
	for _, inv := range w.flight {
		h = h.add(uint64(inv.id)).add(uint64(inv.sum)).instant(inv.wakes)
		h = h.add(uint64(inv.skew)).add(uint64(inv.tries))
	}
	return uint64(h)
}
