package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

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
