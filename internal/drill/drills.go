package drill

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"
)

// Drill is one day with something wrong.
type Drill struct {
	Name string `json:"name"`
	// Group is its row of the table.
	Group  string `json:"group"`
	faults []fault
	// morning is true where the day ends before noon: all that a handler does is done by then.
	morning bool
}

// all returns every drill: each fault, each kill, each pair of faults. calls are how many calls
// launcher and reaper make in one invocation at most on a morning, and the hook on a day: a
// handler is killed before and after each of them.
func all(calls map[string]int) []Drill {
	var out []Drill
	for _, f := range faults {
		out = append(out, Drill{Name: f.name, Group: f.name, faults: []fault{f}})
	}
	for _, function := range []string{"hook", "launcher", "reaper"} {
		for _, kind := range []string{"kill", "kill-after"} {
			for n := 1; n <= calls[function]; n++ {
				name := fmt.Sprintf("%s-%s-%d", kind, function, n)
				out = append(out, Drill{
					Name: name, Group: kind + "-" + function, morning: function != "hook", faults: []fault{{
						name: name, sim: kind, value: fmt.Sprintf("%s:%d", function, n),
					}},
				})
			}
		}
	}
	for i, a := range faults {
		for _, b := range faults[i+1:] {
			if a.sim == "" || a.sim != b.sim { // a fault of the simulation has one value at a time
				out = append(out, Drill{Name: a.name + "+" + b.name, Group: "pairs", faults: []fault{a, b}})
			}
		}
	}
	return out
}

// choose returns the drills whose name matches a pattern, "" for all, and at most runs of those,
// 0 for all: first the faults that come alone, then kills and pairs by turns, as the seed draws them.
func choose(all []Drill, pattern string, seed int64, runs int) ([]Drill, error) {
	var singles, kills, pairs []Drill
	for _, d := range all {
		if pattern != "" {
			if ok, err := path.Match(pattern, d.Name); err != nil {
				return nil, fmt.Errorf("pattern %s: %w", pattern, err)
			} else if !ok {
				continue
			}
		}
		switch {
		case len(d.faults) > 1:
			pairs = append(pairs, d)
		case d.kills():
			kills = append(kills, d)
		default:
			singles = append(singles, d)
		}
	}
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	for _, drawn := range [][]Drill{kills, pairs} {
		r.Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
	}
	chosen := singles
	for len(kills)+len(pairs) > 0 {
		for _, from := range []*[]Drill{&kills, &pairs} {
			if len(*from) > 0 {
				chosen, *from = append(chosen, (*from)[0]), (*from)[1:]
			}
		}
	}
	if runs > 0 && len(chosen) > runs {
		chosen = chosen[:runs]
	}
	return slices.Clip(chosen), nil
}

// kills reports whether a handler is killed in the drill, and nothing else goes wrong.
func (d Drill) kills() bool { return len(d.faults) == 1 && strings.HasPrefix(d.faults[0].sim, "kill") }

// busy are instants of the day at which much is about to happen.
var busy = []time.Duration{
	time.Minute, 50 * time.Minute, 114 * time.Minute, 138 * time.Minute, 179 * time.Minute, 239 * time.Minute,
}

// begins is when the nth fault of a drill begins: when it says itself, or up to four minutes after
// an instant that is busy; of two faults the second one while the first one lasts.
func (d Drill) begins(n int, seed int64) time.Duration {
	f := d.faults[n]
	if f.at > 0 || strings.HasPrefix(f.sim, "kill") {
		return f.at
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", seed, d.Name, n)
	drawn := h.Sum64()
	if n > 0 && d.faults[0].at < f.at+dawn && d.faults[0].lasts < 3*time.Hour {
		return d.begins(0, seed) + d.faults[0].lasts*time.Duration(drawn%8)/10
	}
	return busy[drawn%uint64(len(busy))] + time.Duration(drawn/16%240)*time.Second
}
