package kernel

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Clock is the simulated clock and the list of events due on it. Due events run
// one after the other, with the simulation's lock held.
type Clock struct {
	mu    *sync.Mutex
	Speed float64
	// now is the simulated time while speed is 0; otherwise it is base plus speed
	// times the time since realBase.
	now, base, realBase time.Time
	due                 dueHeap
	seq                 int
	// busy counts the handlers that run and do not sleep.
	busy    int
	settled *sync.Cond
	changed chan struct{} // signals the driver that due has changed
	stopped bool
}

// Due is an event due at an instant.
type Due struct {
	at    time.Time
	seq   int
	index int
	run   func()
}

func newClock(mu *sync.Mutex, speed float64, start time.Time) *Clock {
	return &Clock{
		mu: mu, Speed: speed, now: start, base: start, realBase: time.Now(), settled: sync.NewCond(mu),
		changed: make(chan struct{}, 1),
	}
}

// Now returns the simulated time. The lock must be held.
func (e *Clock) Now() time.Time {
	if e.Speed == 0 {
		return e.now
	}
	return e.base.Add(time.Duration(float64(time.Since(e.realBase)) * e.Speed))
}

// After calls run once d has passed. The lock must be held, and is held when
// run is called.
func (e *Clock) After(d time.Duration, run func()) *Due { return e.At(e.Now().Add(d), run) }

// At calls run at t; see After.
func (e *Clock) At(t time.Time, run func()) *Due {
	ev := &Due{at: t, seq: e.seq, run: run}
	e.seq++
	heap.Push(&e.due, ev)
	select {
	case e.changed <- struct{}{}:
	default:
	}
	return ev
}

// Cancel cancels ev if it has not happened.
func (e *Clock) Cancel(ev *Due) {
	if ev != nil && ev.index >= 0 {
		heap.Remove(&e.due, ev.index)
	}
}

// pop takes the first event that is due by t, or returns nil.
func (e *Clock) pop(t time.Time) *Due {
	if len(e.due) == 0 || e.due[0].at.After(t) {
		return nil
	}
	return heap.Pop(&e.due).(*Due)
}

// drive runs due events as time passes, until ctx ends. It is for speeds above 0.
func (e *Clock) drive(ctx context.Context) {
	for {
		e.mu.Lock()
		for ev := e.pop(e.Now()); ev != nil; ev = e.pop(e.Now()) {
			ev.run()
		}
		pause := time.Hour
		if len(e.due) > 0 {
			pause = time.Duration(float64(e.due[0].at.Sub(e.Now()))/e.Speed) + time.Microsecond
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

// advance moves the clock by d, runs all events due on the way, in order, and waits
// for each handler to end or to sleep. A running clock continues from there.
func (e *Clock) advance(d time.Duration) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rest()
	for end := e.Now().Add(d); ; {
		ev := e.pop(end)
		if ev == nil {
			e.jump(end)
			select {
			case e.changed <- struct{}{}: // the driver's pause is over earlier than it thinks
			default:
			}
			return e.Now()
		}
		e.jump(ev.at)
		ev.run()
		e.rest()
	}
}

// jump moves the clock forward to t, unless it is there already.
func (e *Clock) jump(t time.Time) {
	switch {
	case !t.After(e.Now()):
	case e.Speed == 0:
		e.now = t
	default:
		e.base, e.realBase = t, time.Now()
	}
}

// rest waits until no handler is busy.
func (e *Clock) rest() {
	for e.busy > 0 && !e.stopped {
		e.settled.Wait()
	}
}

// SetBusy counts a handler in or out.
func (e *Clock) SetBusy(n int) {
	if e.busy += n; e.busy == 0 {
		e.settled.Broadcast()
	}
}

type dueHeap []*Due

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
	ev := x.(*Due)
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

// Settles waits until a call is answered, and returns true, or until the call itself
// waits for the clock, and returns false.
func (s *Kernel) Settles(done <-chan struct{}) bool {
	const look, enough = 5 * time.Millisecond, 10
	for resting := 0; resting < enough; resting++ {
		select {
		case <-done:
			return true
		case <-time.After(look):
		}
		s.Mu.Lock()
		if s.Clock.busy > 0 {
			resting = 0
		}
		s.Mu.Unlock()
	}
	return false
}

// Run starts a stopped clock.
func (s *Kernel) Run(speed float64) {
	if speed == 0 {
		return
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Options.Speed = speed
	s.Clock.base = s.Clock.now
	s.Clock.realBase = time.Now()
	s.Clock.Speed = speed
	go s.Clock.drive(s.Context)
}
