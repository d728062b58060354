package explore

import (
	"fmt"
	"math/rand/v2"
)

// Wrong is one thing that goes wrong in a story: the nth thing of a kind, counted from 1, and how.
type Wrong struct {
	At  string `json:"at"`
	Nth int    `json:"nth"`
	How string `json:"how"`
}

func (x Wrong) String() string { return fmt.Sprintf("%s, number %d: %s", x.At, x.Nth, x.How) }

// Found is a story that broke a promise.
type Found struct {
	World  string  `json:"world"`
	Wrongs []Wrong `json:"wrongs"`
	Broke  string  `json:"broke"`
}

// Report is what a search has seen.
type Report struct {
	// States are the different states that were reached, Stories the stories that were played to their end or to a
	// state that was seen before.
	States, Stories int
	// Whole is false if the search stopped at its limit of states.
	Whole bool
	Found *Found
}

// Search plays all stories of a setup in which at most so many things go wrong: those without any first, then those
// with one, and so on, until a promise is broken or it has seen limit states; without one, limit is 0.
func Search(s *Setup, wrongs, limit int) Report {
	var out Report
	for bound := 0; bound <= wrongs; bound++ {
		x := &search{limit: limit, report: Report{Whole: true}}
		w := newWorld(s)
		x.play(w, bound, nil)
		w.end()
		x.report.States = x.seen.n
		x.report.Stories += out.Stories
		if out = x.report; out.Found != nil || !out.Whole {
			break
		}
	}
	return out
}

type search struct {
	// seen holds for each state how many more things could go wrong from it when it was gone on from.
	seen   seen
	limit  int
	report Report
}

// seen is a set of states in eight bytes each, with how much was left in each: two bits of its sum.
type seen struct {
	n     int
	slots []uint64
}

// note notes a state with what is left, and reports whether it was not known with as much.
func (s *seen) note(sum uint64, left int) bool {
	if 4*s.n >= 3*len(s.slots) {
		old := s.slots
		s.slots = make([]uint64, max(1<<16, 2*len(old)))
		for _, x := range old {
			if x != 0 {
				s.slots[s.slot(x)] = x
			}
		}
	}
	x := sum&^3 | 1<<63 // never zero
	at := s.slot(x)
	switch was := s.slots[at]; {
	case was == 0:
		s.n++
	case int(was&3) >= left:
		return false
	}
	s.slots[at] = x | uint64(left&3)
	return true
}

// slot returns where a state is, or would be.
func (s *seen) slot(x uint64) int {
	i := int(x>>2) & (len(s.slots) - 1)
	for s.slots[i] != 0 && s.slots[i]&^3 != x&^3 {
		i = (i + 1) & (len(s.slots) - 1)
	}
	return i
}

// path are the things that went wrong on the way to a state.
type path struct {
	last  *path
	at    label
	nth   int
	wrong Variant
}

func (p *path) wrongs() []Wrong {
	if p == nil {
		return nil
	}
	return append(p.last.wrongs(), Wrong{p.at.String(), p.nth, p.wrong.String()})
}

// play goes on from a state to the end of the story, and on the way into every story that differs from it by
// as many things as are left.
func (x *search) play(w *world, left int, p *path) {
	x.report.Stories++
	for w.broken == "" {
		if !x.seen.note(w.sum(), left) {
			return
		}
		if x.limit > 0 && x.seen.n >= x.limit {
			x.report.Whole = false
			return
		}
		a := w.next()
		if left > 0 {
			for _, v := range w.wrongs(a) {
				other := w.clone()
				other.apply(a, v)
				x.play(other, left-1, &path{p, w.label(a), int(w.counts[w.label(a)]) + 1, v})
				other.end()
				if x.report.Found != nil || !x.report.Whole {
					return
				}
			}
		}
		if w.goOn(a, AsUsual) {
			break
		}
	}
	if w.broken != "" {
		x.report.Found = &Found{w.Name, p.wrongs(), w.broken}
	}
}

// goOn lets the next thing happen, and reports whether the story has ended.
func (w *world) goOn(a action, v Variant) bool {
	w.apply(a, v)
	if w.broken == "" && w.atRest() {
		w.checkEnd()
		return true
	}
	return w.broken != ""
}

// maxSteps is more than any story has.
const maxSteps = 100_000

// maxWrongs is how many things go wrong in a walk at most: docs/reliability.md lists what several at once may break.
const maxWrongs = 8

// Walk plays a story in which each thing goes wrong with the given probability, drawn from a seed, and returns how many
// steps it had, and what it broke, if anything.
func Walk(s *Setup, seed uint64, probability float64) (steps int, found *Found) {
	draw := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(s)
	defer w.end()
	var wrongs []Wrong
	for done := false; !done; steps++ {
		a := w.next()
		v := AsUsual
		if ways := w.wrongs(a); len(ways) > 0 && len(wrongs) < maxWrongs && draw.Float64() < probability {
			v = ways[draw.IntN(len(ways))]
			l := w.label(a)
			wrongs = append(wrongs, Wrong{l.String(), int(w.counts[l]) + 1, v.String()})
		}
		if done = w.goOn(a, v); !done && steps > maxSteps {
			w.breaks(3, "the story does not end")
			done = true
		}
	}
	if w.broken != "" {
		return steps, &Found{w.Name, wrongs, w.broken}
	}
	return steps, nil
}

// Replay plays a story and returns the promise that it breaks, "" if it breaks none. tell is told each thing
// that happens; it may be nil.
func Replay(s *Setup, wrongs []Wrong, tell func(string)) string {
	w := newWorld(s)
	w.trace = tell
	defer w.end()
	for done := false; !done; {
		a, v := w.next(), AsUsual
		l := w.label(a)
		for _, x := range wrongs {
			if x.At == l.String() && x.Nth == int(w.counts[l])+1 {
				v = variantOf(x.How)
			}
		}
		if w.trace != nil && v != AsUsual {
			w.tell("-- %s: %s", l, v)
		}
		done = w.goOn(a, v)
	}
	return w.broken
}

func variantOf(name string) Variant {
	for v := AsUsual; v < variants; v++ {
		if variantNames[v] == name {
			return v
		}
	}
	panic("explore: nothing goes wrong in the way of " + name)
}

// Shorten leaves out of a story what it breaks its promise without.
func Shorten(s *Setup, f Found) Found {
	for i := 0; i < len(f.Wrongs); {
		fewer := append(append([]Wrong(nil), f.Wrongs[:i]...), f.Wrongs[i+1:]...)
		if broke := Replay(s, fewer, nil); broke != "" {
			f.Wrongs, f.Broke = fewer, broke
			i = 0
			continue
		}
		i++
	}
	return f
}
