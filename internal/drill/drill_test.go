package drill

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drawbridge/internal/drill/judge"
	"drawbridge/internal/functions"
	"drawbridge/internal/output"
)

var known = map[string]int{"hook": 2, "launcher": 3, "reaper": 4}

func namesOf(drills []Drill) (out []string) {
	for _, d := range drills {
		out = append(out, d.Name)
	}
	return out
}

func TestWhatIsPlayed(t *testing.T) {
	every := all(known)
	kills, pairs := 0, 0
	seen := map[string]bool{}
	for _, d := range every {
		if seen[d.Name] {
			t.Errorf("%s is there twice", d.Name)
		}
		seen[d.Name] = true
		switch {
		case d.kills():
			kills++
		case len(d.faults) == 2:
			pairs++
		}
	}
	if kills != 2*(2+3+4) || len(every) != len(faults)+kills+pairs || pairs < 500 {
		t.Errorf("%d drills, %d of them kills and %d pairs", len(every), kills, pairs)
	}
	for _, name := range []string{"kill-launcher-3", "kill-after-reaper-4", "throttling", "flood+timers-lost"} {
		if !seen[name] {
			t.Errorf("there is no %s", name)
		}
	}
	// 40 of them: all that come alone, then a kill and a pair by turns.
	chosen, err := choose(every, "", 1, len(faults)+4)
	if err != nil || len(chosen) != len(faults)+4 || !chosen[len(faults)].kills() || len(chosen[len(faults)+1].faults) != 2 {
		t.Errorf("chosen %v, %v", namesOf(chosen), err)
	}
	again, _ := choose(every, "", 1, len(faults)+4)
	other, _ := choose(every, "", 2, len(faults)+4)
	if !slices.Equal(namesOf(chosen), namesOf(again)) || slices.Equal(namesOf(chosen), namesOf(other)) {
		t.Errorf("seed 1 draws %v and %v, seed 2 %v", namesOf(chosen), namesOf(again), namesOf(other))
	}
	if only, err := choose(every, "kill-launcher-*", 1, 0); err != nil || len(only) != 3 {
		t.Errorf("chosen %v, %v, want three", namesOf(only), err)
	}
	if _, err := choose(every, "[", 1, 0); err == nil {
		t.Error("a pattern that is none is taken")
	}
	if _, err := (normal{}).chosen(Options{Only: "nope"}); err == nil || !strings.Contains(err.Error(), "nope") {
		t.Errorf("%v, want an error that names the pattern", err)
	}
}

// programs are the real functions.
func programs(t *testing.T) map[string]string {
	t.Helper()
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	paths, _, cleanup, err := functions.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return paths
}

// TestDrills plays an outage, alone and with something else at once, on the real functions.
func TestDrills(t *testing.T) {
	paths := programs(t)
	r, err := Play(t.Context(), paths, Options{Only: "outage-of-ecs*", Seed: 1, Runs: 2}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.Write(&text, output.Style{}); err != nil || !r.Kept() {
		t.Errorf("%s%v", &text, err)
	}
	for _, o := range r.Outcomes {
		if !o.Struck || o.Accepted < 26 || o.Finished+o.Dead != o.Accepted || o.PeakMiB == 0 {
			t.Errorf("%+v, want all events accounted for and a fault that struck", o)
		}
	}
	if !strings.Contains(text.String(), "outage-of-ecs") || !strings.Contains(text.String(), "0 lost, 0 ran twice, 0 cut off, 0 left behind, 0 other breaks.") {
		t.Errorf("the report is\n%s", &text)
	}
}

// TestDrillsSeeABrokenFunction: with a launcher that does nothing, nothing runs, and nothing says why.
func TestDrillsSeeABrokenFunction(t *testing.T) {
	paths := maps.Clone(programs(t))
	paths["launcher"] = filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(paths["launcher"], []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := play(context.Background(), paths, Drill{Name: "morning", morning: true}, 1)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[judge.Kind]bool{}
	for _, b := range p.Breaks {
		kinds[b.Kind] = true
	}
	if p.Finished != 0 || !kinds[judge.Untrue] || !kinds[judge.Failed] {
		t.Errorf("%+v, want functions that failed and dead letters without a reason", p)
	}
}
