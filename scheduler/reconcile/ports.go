package reconcile

import (
	"context"
	"errors"
	"time"

	"drawbridge/scheduler"
)

// Errors that the adapters report and the loop branches on.
var (
	// ErrConflict means that a conditional write lost against another writer.
	ErrConflict = errors.New("another writer changed it first")
	// ErrTemporary means that the call may have had no effect and is to be made
	// again as it was: throttling, a 5xx, a lost reply.
	ErrTemporary = errors.New("temporary failure")
	// ErrRefused means that the same call will be refused again.
	ErrRefused = errors.New("refused")
	// ErrNotStarted means that ECS refused a task for the moment and that none came of
	// the call: capacity, a quota, throttling.
	ErrNotStarted = errors.New("not started for the moment")
	// ErrTaken means that another stack has the set's stack name.
	ErrTaken = errors.New("stack name taken")
)

// store keeps sets, runs and holds. Each method is one write or one read.
type store interface {
	// LoadSet returns the set, or one in phase absent with version 0.
	LoadSet(ctx context.Context, name scheduler.SetName) (scheduler.Set, error)
	// SaveSet writes set if the stored version is still set.Version, and returns
	// it with the new version. It returns ErrConflict otherwise.
	SaveSet(ctx context.Context, set scheduler.Set) (scheduler.Set, error)
	// Live returns the set's runs that are not finished, in order of arrival,
	// and its holds.
	Live(ctx context.Context, name scheduler.SetName) ([]scheduler.Run, []scheduler.Hold, error)
	// Ended returns the runs whose end was recorded after an instant, in that order.
	Ended(ctx context.Context, name scheduler.SetName, after time.Time) ([]scheduler.Run, error)
	// Record writes a new run. If it is there already, that one comes back with
	// ErrConflict.
	Record(ctx context.Context, run scheduler.Run) (scheduler.Run, error)
	// RecordAll writes new runs, at once and only if all are new. It returns
	// ErrConflict otherwise.
	RecordAll(ctx context.Context, runs []scheduler.Run) error
	// Begin stores the intent to start runs, at once and only if the set is
	// available and each run is stored as waiting, or starting with the attempt
	// that run names. A paused set takes only runs of the latter kind, which
	// fresh says that there are others than. It returns ErrConflict otherwise.
	Begin(ctx context.Context, name scheduler.SetName, runs []scheduler.Run, fresh bool) error
	// Advance writes runs, at once, if each is stored with the same attempt and in one
	// of the states from, so that what is late never undoes what has gone on. It returns
	// ErrConflict otherwise.
	Advance(ctx context.Context, runs []scheduler.Run, from ...scheduler.RunState) error
	// Source returns the event of a run that is kept apart from it.
	Source(ctx context.Context, run scheduler.Run) ([]byte, error)
	// Run returns a run, and false if there is none.
	Run(ctx context.Context, set scheduler.SetName, id scheduler.RunID) (scheduler.Run, bool, error)
}

// stacks makes and unmakes the stack that holds a set's endpoints.
type stacks interface {
	// Prepare works out what the stack has to hold; it only reads.
	Prepare(ctx context.Context, set scheduler.SetName, wish Wish) (Prepared, error)
	// Extend adds to the stack of a life of the set what p holds in addition, by the nth try,
	// and returns how many endpoints it will have and what an hour of it is billed as.
	// What it has stays as it is. A change that is under way, or made already, is success.
	Extend(ctx context.Context, set scheduler.SetName, id scheduler.StackID, of LifeID, try int,
		p Prepared) (endpoints, perHour int, err error)
	// Create asks for the stack of a life of the set. Its existing already is success;
	// another stack of that name is ErrTaken.
	Create(ctx context.Context, set scheduler.SetName, of LifeID, p Prepared) (scheduler.StackID, error)
	// Stack returns the state of the set's stack.
	Stack(ctx context.Context, set scheduler.SetName, id scheduler.StackID) (StackSeen, error)
	// Endpoints counts the set's own endpoints. They are known by the stack that made
	// them: a tag is anybody's to give. Of a stack that is gone it counts what Sweep
	// would delete.
	Endpoints(ctx context.Context, set scheduler.SetName, id scheduler.StackID,
		gone bool) (scheduler.EndpointCount, error)
	// Coming counts the endpoints that carry the set's tags in its VPC, while its stack is
	// changing: a hint, on which nothing is decided.
	Coming(ctx context.Context, set scheduler.SetName) (scheduler.EndpointCount, error)
	// Delete deletes the set's stack, with force a stack whose deletion failed.
	// A stack that is gone is success.
	Delete(ctx context.Context, set scheduler.SetName, id scheduler.StackID, force bool) error
	// Sweep deletes the endpoints that a stack of the set left behind when it went.
	Sweep(ctx context.Context, set scheduler.SetName, id scheduler.StackID) error
}

// Wish is what a plan takes into account in addition to the configuration.
type Wish struct {
	// Needs are services that runs which wait reach.
	Needs []string
	// AvoidZones are zones to be used only if no other will do.
	AvoidZones []string
}

// LifeID names one life of a set among all that ever were: a number alone begins again
// when an installation is removed and made again.
type LifeID struct {
	Generation int
	Since      time.Time
}

// StackSeen is what a set's stack looks like. Reason is why it failed, NoCapacity
// that a zone had no room, Lasts that another try would fail for the same reason.
type StackSeen struct {
	State      scheduler.StackState
	ID         scheduler.StackID
	Generation int
	Reason     string
	NoCapacity bool
	Lasts      bool
}

// Prepared is a template, made by stacks.Prepare for stacks.Create.
type Prepared struct {
	Template []byte
	// Services are what the set will serve, Endpoints how many of its own the stack
	// holds.
	Services  []string
	Endpoints int
	// Creates are the services of the endpoints that the stack holds, in order.
	Creates []string
	// Zones are where its endpoints go.
	Zones []string
	// Nothing says that endpoints of others serve the whole set already.
	Nothing bool
	Summary string
	// PerHour is how many endpoint-hours an hour of the stack is billed as.
	PerHour int
}

// needs tells what runs of a job reach.
type needs interface {
	// Of returns the services that a job needs where that follows from its task
	// definition, and the revision that they were read from; nothing where the set's
	// own list says it.
	Of(ctx context.Context, set scheduler.SetName,
		job scheduler.JobName) (services []string, definition string, err error)
}

// tasks starts, shows and stops ECS tasks.
type tasks interface {
	// Start runs the tasks of runs, all at once, and returns what came of each. The same
	// run, attempt and number of refusals always give the same task.
	Start(ctx context.Context, runs []scheduler.Run) []Started
	// Active counts the set's tasks that ECS does not show as stopped.
	Active(ctx context.Context, set scheduler.SetName) (int, error)
	// Describe returns the tasks of runs that ECS still knows, by run.
	Describe(ctx context.Context, runs []scheduler.Run) (map[scheduler.RunID]scheduler.Task, error)
	// Stop stops a run's task. One that is gone is success.
	Stop(ctx context.Context, run scheduler.Run, reason string) error
}

// Started is what came of the start of a task: its ARN, or an error. Errors wrap
// ErrTemporary if there may be a task, ErrNotStarted if ECS said that there is none and may
// start one later (both, if the call came too soon), or ErrRefused; any other error counts
// as a failed attempt.
type Started struct {
	ARN string
	Err error
}

// explainer tells what was missing when a task stopped.
type explainer interface {
	// Explain says why a stopped task of a run did not start, or what it lost while
	// it ran; nil if it did neither. It only reads.
	Explain(ctx context.Context, run scheduler.Run, t scheduler.Task) (*scheduler.Explanation, error)
}

// timers keeps one one-time timer a set.
type timers interface {
	// Set moves the set's timer to at; before is where it was, zero if it had
	// none.
	Set(ctx context.Context, set scheduler.SetName, before, at time.Time) error
}

// waker asks the other side to look at a set.
type waker interface {
	// Launcher asks a launcher, Reaper a reaper.
	Launcher(ctx context.Context, set scheduler.SetName, reason string) error
	Reaper(ctx context.Context, set scheduler.SetName, reason string) error
	// Event puts an event for a job where it is kept until a launcher has taken it.
	Event(ctx context.Context, job scheduler.JobName, id string) error
	// Ended tells who waits for a run that it has ended; mostly that is nobody.
	Ended(ctx context.Context, run scheduler.Run) error
}

// deadLetters takes the runs that nobody can do.
type deadLetters interface {
	Send(ctx context.Context, run scheduler.Run) error
}

// clock is the only source of time.
type clock interface {
	Now() time.Time
	// Sleep returns after d, or with ctx's error when ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// journal is told of everything that is decided and of every failed effect.
type journal interface {
	Decided(set scheduler.Set, d scheduler.Decision)
	// Entered tells that a decision has led a set into another phase; before is
	// the set as it was.
	Entered(before, after scheduler.Set, d scheduler.Decision)
	// Paid tells that so many endpoint-hours of a set have begun.
	Paid(set scheduler.Set, endpointHours int)
	// Explained tells why a task of a run did not start, or what it lost.
	Explained(run scheduler.Run)
	Ended(run scheduler.Run)
	Failed(set scheduler.SetName, effect string, err error)
}

// Ports are the interfaces to the world outside.
type Ports struct {
	Store       store
	Stacks      stacks
	Tasks       tasks
	Explainer   explainer
	Needs       needs
	Timers      timers
	Waker       waker
	DeadLetters deadLetters
	Clock       clock
	Journal     journal
}
