package explore

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// full says to explore to the whole bound, as make explore does: EXPLORE=full.
var full = os.Getenv("EXPLORE") == "full"

func TestWhereNothingGoesWrongEverythingComesToRest(t *testing.T) {
	for _, s := range Worlds() {
		t.Run(s.Name, func(t *testing.T) {
			var lines []string
			if broke := Replay(s, nil, func(l string) { lines = append(lines, l) }); broke != "" {
				t.Errorf("%s\n%s", broke, strings.Join(lines, "\n"))
			}
		})
	}
}

// report fails the test with the shortest form of a story, as the scenario file that replays it, and as what happens.
func report(t *testing.T, s *Setup, f Found) {
	t.Helper()
	f = Shorten(s, f)
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	Replay(s, f.Wrongs, func(l string) { lines = append(lines, l) })
	t.Errorf("%s\n%s\n%s", f.Broke, text, strings.Join(lines, "\n"))
}

// Every story in which one thing goes wrong, in every world; with EXPLORE=full, every story in which two do.
func TestEveryPromiseHoldsInEveryState(t *testing.T) {
	worlds := Worlds()
	wrongs, least := 1, 2_500_000
	switch {
	case testing.Short():
		worlds, least = worlds[:6], 500_000
	case full:
		wrongs, least = 2, 500_000_000
	}
	reports := make([]Report, len(worlds))
	t.Run("worlds", func(t *testing.T) {
		for i, s := range worlds {
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				reports[i] = Search(s, wrongs, 0)
				if f := reports[i].Found; f != nil {
					report(t, s, *f)
				}
				t.Logf("%d states, %d stories", reports[i].States, reports[i].Stories)
			})
		}
	})
	states, stories := 0, 0
	for _, r := range reports {
		states, stories = states+r.States, stories+r.Stories
	}
	t.Logf("%d worlds, at most %d things that go wrong: %d states, %d stories", len(worlds), wrongs, states, stories)
	if states < least {
		t.Errorf("%d states were reached, want at least %d: the search does not look where it did", states, least)
	}
}

// Long stories in which much goes wrong, drawn by seed: a thing in two hundred, in fifty, in twenty, in ten.
func TestEveryPromiseHoldsInWalks(t *testing.T) {
	seeds := uint64(100)
	switch {
	case testing.Short():
		seeds = 8
	case full:
		seeds = 20_000
	}
	for _, s := range Worlds() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			steps := 0
			for seed := range seeds {
				n, found := Walk(s, seed, []float64{0.005, 0.02, 0.05, 0.1}[seed%4])
				if steps += n; found != nil {
					t.Logf("seed %d", seed)
					report(t, s, *found)
					break
				}
			}
			t.Logf("%d steps", steps)
		})
	}
}

// The stories that once broke a promise.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	worlds := Worlds()
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var f Found
			if err := json.Unmarshal(text, &f); err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(worlds, func(s *Setup) bool { return s.Name == f.World })
			if i < 0 {
				t.Fatalf("no world %q", f.World)
			}
			applied := 0
			broke := Replay(worlds[i], f.Wrongs, func(l string) {
				if strings.Contains(l, " -- ") {
					applied++
				}
			})
			if broke != "" {
				report(t, worlds[i], f)
			}
			if applied != len(f.Wrongs) {
				t.Errorf("%d of %d things go wrong: the story has changed, find it anew", applied, len(f.Wrongs))
			}
		})
	}
}

// The same story gives the same states, and a copy of a world goes on as the world does.
func TestACopyGoesOnAsTheWorldDoes(t *testing.T) {
	for _, s := range Worlds() {
		t.Run(s.Name, func(t *testing.T) {
			w := newWorld(s)
			defer func() { w.end() }()
			for n, done := 0, false; !done; n++ {
				var other *world
				if n%7 == 0 {
					other = w.clone()
				}
				done = w.goOn(w.next(), AsUsual)
				if other == nil {
					continue
				}
				other.goOn(other.next(), AsUsual)
				if other.sum() != w.sum() {
					t.Fatalf("step %d: the copy is in another state", n)
				}
				w.end()
				w = other // and the copy of a copy, and so on
			}
			if w.broken != "" {
				t.Error(w.broken)
			}
		})
	}
}

// A set whose generations fail remembers it when it gives its runs up: the next failure is not the first one.
func TestAGiveUpRemembersTheFailures(t *testing.T) {
	worlds := Worlds()
	w := newWorld(worlds[slices.IndexFunc(worlds, func(s *Setup) bool { return s.Failing })])
	defer w.end()
	for done := false; !done; {
		done = w.goOn(w.next(), AsUsual)
	}
	set := w.sets[0]
	if w.broken != "" || len(w.letters) != 2 || set.Failures < set.GivenUp || set.GivenUp == 0 {
		t.Errorf("%s; %d dead letters, %d failures, runs given up after %d", w.broken, len(w.letters), set.Failures, set.GivenUp)
	}
}
