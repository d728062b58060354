package explore

import (
	"testing"
	"time"
)

func TestWalk(t *testing.T) {
	for _, s := range Worlds() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			states := map[uint64]bool{}
			steps := 0
			for seed := range uint64(1000) {
				n, found := Walk(s, seed, []float64{0.005, 0.02, 0.05, 0.1}[seed%4], states)
				steps += n
				if found != nil {
					f := Shorten(s, *found)
					t.Errorf("seed %d, %d wrongs, shortened %q: %s", seed, len(found.Wrongs), f.Wrongs, f.Broke)
					if testing.Verbose() {
						Replay(s, f.Wrongs, func(l string) { t.Log(l) })
					}
					break
				}
			}
			t.Logf("%d steps, %d states, %s", steps, len(states), time.Since(began))
		})
	}
}
