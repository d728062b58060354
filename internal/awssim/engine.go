package awssim

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// engine is the simulated clock and the list of what is due on it. Everything
// that is due runs one after the other, with the simulation's lock held.
type engine struct {
	mu    *sync.Mutex
	speed float64
	// now is the simulated time while speed is 0; otherwise it is base plus speed
	// times the time since realBase.
	now, base, realBase time.Time
	due                 dueHeap
	seq                 int
	// busy counts the handlers that run and do not sleep.
	busy    int
	settled *sync.Cond
	changed chan struct{} // tells the driver that due has changed
	stopped bool
}

// event is something that is due at an instant.
type event struct {
	at    time.Time
	seq   int
	index int
	run   func()
}

func newEngine(mu *sync.Mutex, speed float64, start time.Time) *engine {
	return &engine{mu: mu, speed: speed, now: start, base: start, realBase: time.Now(), settled: sync.NewCond(mu), changed: make(chan struct{}, 1)}
}

// time returns the simulated time. The lock must be held.
func (e *engine) time() time.Time {
	if e.speed == 0 {
		return e.now
	}
	return e.base.Add(time.Duration(float64(time.Since(e.realBase)) * e.speed))
}

// after lets run happen once d has passed. The lock must be held, and is held
// when run is called.
func (e *engine) after(d time.Duration, run func()) *event { return e.at(e.time().Add(d), run) }

func (e *engine) at(t time.Time, run func()) *event {
	ev := &event{at: t, seq: e.seq, run: run}
	e.seq++
	heap.Push(&e.due, ev)
	select {
	case e.changed <- struct{}{}:
	default:
	}
	return ev
}

// cancel takes ev back if it has not happened.
func (e *engine) cancel(ev *event) {
	if ev != nil && ev.index >= 0 {
		heap.Remove(&e.due, ev.index)
	}
}

// pop takes the first event that is due by t, or returns nil.
func (e *engine) pop(t time.Time) *event {
	if len(e.due) == 0 || e.due[0].at.After(t) {
		return nil
	}
	return heap.Pop(&e.due).(*event)
}

// drive runs what is due as time passes, until ctx ends. It is for speeds above 0.
func (e *engine) drive(ctx context.Context) {
	for {
		e.mu.Lock()
		for ev := e.pop(e.time()); ev != nil; ev = e.pop(e.time()) {
			ev.run()
		}
		pause := time.Hour
		if len(e.due) > 0 {
			pause = time.Duration(float64(e.due[0].at.Sub(e.time()))/e.speed) + time.Microsecond
		}
		e.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-e.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// advance moves the clock by d, through everything that is due on the way, in order,
// and waits for each handler to end or to sleep. A clock that runs goes on from there.
func (e *engine) advance(d time.Duration) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rest()
	for end := e.time().Add(d); ; {
		ev := e.pop(end)
		if ev == nil {
			e.jump(end)
			select {
			case e.changed <- struct{}{}: // the driver's pause is over earlier than it thinks
			default:
			}
			return e.time()
		}
		e.jump(ev.at)
		ev.run()
		e.rest()
	}
}

// jump puts the clock forward to t, unless it is there already.
func (e *engine) jump(t time.Time) {
	switch {
	case !t.After(e.time()):
	case e.speed == 0:
		e.now = t
	default:
		e.base, e.realBase = t, time.Now()
	}
}

// rest waits until no handler is busy.
func (e *engine) rest() {
	for e.busy > 0 && !e.stopped {
		e.settled.Wait()
	}
}

// setBusy counts a handler in or out.
func (e *engine) setBusy(n int) {
	if e.busy += n; e.busy == 0 {
		e.settled.Broadcast()
	}
}

type dueHeap []*event

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *dueHeap) Push(x any) {
	ev := x.(*event)
	ev.index = len(*h)
	*h = append(*h, ev)
}
func (h *dueHeap) Pop() any {
	old := *h
	ev := old[len(old)-1]
	*h = old[:len(old)-1]
	ev.index = -1
	return ev
}
