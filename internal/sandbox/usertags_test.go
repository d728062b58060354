package sandbox

import (
	"testing"
	"time"

	"drawbridge/internal/awssim"
)

// TestTagsReachAllThatIsMade: what the bill is allocated by stands on each resource, and on the
// endpoints of each generation.
func TestTagsReachAllThatIsMade(t *testing.T) {
	inWorld(t, "tags: {team: data, cost-center: \"4711\"}"+oneJob, awssim.Options{}, func(w *world) {
		w.send(event("a"))
		time.Sleep(20 * time.Minute)
		ours := 0
		for _, r := range w.sim.Ledger().Resources {
			if r.Tags["drawbridge:owner"] == "" {
				continue
			}
			ours++
			if r.Tags["team"] != "data" || r.Tags["cost-center"] != "4711" {
				t.Errorf("%s %s has the tags %v", r.Type, r.ID, r.Tags)
			}
		}
		if ours < 10 {
			t.Errorf("%d resources carry our tag, want all of the base stack and the set", ours)
		}
		time.Sleep(2 * time.Hour)
		w.keeps("a")
	})
}
