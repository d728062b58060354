package explore

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// The table, with the conditions of internal/store.

func (w *world) loadSet(name scheduler.SetName) reply {
	s := w.sets[w.setIndex(name)]
	return reply{v: s, sum: s.sum}
}

func (w *world) saveSet(set scheduler.Set) reply {
	i := w.setIndex(set.Name)
	if w.sets[i].Version != set.Version {
		return fail(reconcile.ErrConflict, "save set %s", set.Name)
	}
	set.Version++
	if before := w.sets[i].Phase; before != set.Phase {
		w.tell("set %s: %s → %s", set.Name, before, set.Phase)
	}
	w.sets[i] = newSetRecord(set)
	if j := w.liveStack(set.Name); j >= 0 && set.Phase == scheduler.Available && w.stacks[j].id == set.StackID {
		w.stacks[j].opened = true
	}
	return reply{v: w.sets[i], sum: w.sets[i].sum}
}

func (w *world) live(name scheduler.SetName) reply {
	var h held
	x := sum(19)
	for _, r := range w.runs {
		if r.Set == name && r.State != scheduler.Finished {
			h.runs = append(h.runs, r.Run)
			x = x.add(r.sum)
		}
	}
	slices.SortStableFunc(h.runs, func(a, b scheduler.Run) int {
		return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), cmp.Compare(a.ID, b.ID))
	})
	for _, l := range w.holds {
		if l.set == name {
			h.holds = append(h.holds, l.hold)
			x = x.text(l.hold.Owner).instant(l.hold.Expires)
		}
	}
	return reply{v: h, sum: uint64(x)}
}

func (w *world) ended(name scheduler.SetName, after time.Time) reply {
	var out []scheduler.Run
	x := sum(23)
	for _, r := range w.runs {
		if r.Set == name && r.State == scheduler.Finished && r.RecordedAt.After(after) {
			out = append(out, r.Run)
			x = x.add(r.sum)
		}
	}
	slices.SortStableFunc(out, func(a, b scheduler.Run) int {
		return cmp.Or(a.RecordedAt.Compare(b.RecordedAt), cmp.Compare(a.ID, b.ID))
	})
	return reply{v: out, sum: uint64(x)}
}

func (w *world) record(run scheduler.Run) reply {
	if i := w.runIndex(run.ID); i >= 0 {
		r := fail(reconcile.ErrConflict, "record run %s", run.ID)
		r.v, r.sum = w.runs[i], w.runs[i].sum
		return r
	}
	w.runs = append(w.runs, newRunRecord(run))
	return reply{}
}

func (w *world) recordAll(runs []scheduler.Run) reply {
	for _, r := range runs {
		if w.runIndex(r.ID) >= 0 {
			return fail(reconcile.ErrConflict, "record %d runs", len(runs))
		}
	}
	for _, r := range runs {
		w.record(r)
	}
	return reply{}
}

func (w *world) begin(name scheduler.SetName, runs []scheduler.Run, fresh bool) reply {
	refused := fail(reconcile.ErrConflict, "begin %d runs of set %s", len(runs), name)
	set := w.sets[w.setIndex(name)]
	if set.Phase != scheduler.Available {
		return refused
	}
	if fresh && (set.Pause != nil || set.TakeDown != "") {
		return refused
	}
	for _, r := range runs {
		if fresh && !set.Serves(r) {
			return refused
		}
		i := w.runIndex(r.ID)
		if i < 0 {
			return refused
		}
		s := w.runs[i]
		waiting := s.State == scheduler.Waiting && (s.Attempt == r.Attempt-1 || s.Attempt == r.Attempt)
		left := s.State == scheduler.Starting && s.Attempt == r.Attempt
		if !waiting && !left || s.Refusals != r.Refusals {
			return refused
		}
	}
	for _, r := range runs {
		w.write(r)
	}
	return reply{}
}

// write stores a run that is there.
func (w *world) write(r scheduler.Run) {
	i := w.runIndex(r.ID)
	if was := w.runs[i]; was.State == scheduler.Finished && r.State != scheduler.Finished || was.Attempt > r.Attempt {
		w.breaks(3, "run %s has ended, or is at attempt %d, and is %s in attempt %d again", r.ID, was.Attempt, r.State,
			r.Attempt)
	}
	w.runs[i] = newRunRecord(r)
}

func (w *world) advance(runs []scheduler.Run, from []scheduler.RunState) reply {
	for _, r := range runs {
		i := w.runIndex(r.ID)
		if i < 0 {
			return fail(reconcile.ErrConflict, "advance run %s", r.ID)
		}
		s := w.runs[i]
		if s.Attempt != r.Attempt || !slices.Contains(from, s.State) ||
			s.CancelledBy != "" && s.CancelledBy != r.CancelledBy {
			return fail(reconcile.ErrConflict, "advance run %s", r.ID)
		}
	}
	for _, r := range runs {
		if r.State == scheduler.Finished {
			r.Source, r.Overrides = nil, nil
			w.tell("run %s: %s", r.ID, r.Outcome)
		}
		w.write(r)
	}
	return reply{}
}

// hold stores a hold unless its set is about to be deleted, and reports whether it did.
func (w *world) hold(set scheduler.SetName, h scheduler.Hold) bool {
	if p := w.sets[w.setIndex(set)].Phase; p == scheduler.Draining || p == scheduler.Deleting {
		return false
	}
	w.release(set, h.Owner)
	w.holds = append(w.holds, holdRecord{set, h})
	return true
}

func (w *world) release(set scheduler.SetName, owner string) {
	w.holds = slices.DeleteFunc(w.holds, func(x holdRecord) bool { return x.set == set && x.hold.Owner == owner })
}

// hopelessStarts is how many things have to go wrong at least before a start stays unknown for so long that it is not
// tried again.
const hopelessStarts = 3

func (w *world) accept(run scheduler.RunID) {
	if !slices.Contains(w.accepted, run) {
		w.accepted = append(w.accepted, run)
	}
}

func (w *world) deadLetter(run scheduler.RunID, reason string) {
	w.tell("dead letter %s: %s", run, reason)
	if strings.Contains(reason, "may have run") && w.wrong < hopelessStarts {
		w.breaks(3, "run %s is given up as one that may have run, with %d things gone wrong", run, w.wrong)
	}
	w.letters = append(w.letters, letter{run, reason})
}
