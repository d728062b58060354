package explore

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/scheduler"
	"drawbridge/scheduler/forecast"
)

var update = flag.Bool("update", false, "write the expected stories anew")

// teller tells what is decided in a story, and what becomes of its runs.
type teller struct {
	*world
	out  *bytes.Buffer
	seen map[string]string
}

// once tells a line about something, unless it is the last that was told of it.
func (t *teller) once(of, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if last, told := t.seen[of]; !told || last != text {
		t.seen[of] = text
		line := fmt.Sprintf("  %s %s; %s", t.now.Sub(Epoch).Round(time.Second), of, text)
		fmt.Fprintln(t.out, strings.TrimRight(line, "; "))
	}
}

// look tells what has changed. Of a set all that is stored counts: the sum is that of its JSON.
func (t *teller) look() {
	for _, s := range t.sets {
		for _, d := range s.Decisions {
			decided := fmt.Sprintf("set %s %s %d %s: %s: %s", s.Name, d.At.Format("15:04:05"), d.Generation, d.Phase, d.Action, d.Reason)
			t.once(decided, "")
		}
		stored := s.Set
		stored.Version = 0
		// processors differ in the last place of a forecast
		stored.Learned.History, stored.Learned.Luck = forecast.History{}, scheduler.Luck{}
		text, err := json.Marshal(stored)
		if err != nil {
			panic(err)
		}
		sum := fnv.New32a()
		sum.Write(text)
		timer := "no timer"
		if !s.Timer.IsZero() {
			timer = "timer at " + s.Timer.Sub(Epoch).Round(time.Second).String()
		}
		t.once("set "+string(s.Name), "%s, generation %d, %d hours, %s, %08x", s.Phase, s.Generation, s.TotalHours, timer, sum.Sum32())
	}
	for _, r := range t.runs {
		t.once("run "+string(r.ID), "%s %s, attempt %d: %s", r.State, r.Outcome, r.Attempt, r.Reason)
	}
	t.once("stacks", "%d, tasks: %d, dead letters: %d, holds: %d", len(t.stacks), len(t.tasks), len(t.letters), len(t.holds))
}

// tell plays a story in which each thing goes wrong with a probability, and writes what is decided in it.
func tell(out *bytes.Buffer, s *Setup, seed uint64, probability float64) (broken string) {
	draw := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(s)
	defer w.end()
	t := &teller{w, out, map[string]string{}}
	fmt.Fprintf(out, "%s, seed %d, of a hundred steps %g go wrong\n", s.Name, seed, 100*probability)
	wrongs := 0
	for n, done := 0, false; !done && n < maxSteps; n++ {
		a, v := w.next(), AsUsual
		if ways := w.wrongs(a); len(ways) > 0 && wrongs < maxWrongs && draw.Float64() < probability {
			v = ways[draw.IntN(len(ways))]
			fmt.Fprintf(out, "  -- %s: %s\n", w.label(a), v)
			wrongs++
		}
		done = w.goOn(a, v)
		t.look()
	}
	return w.broken
}

// What is decided, and stored, in a story of each kind is as it was: a change shows as lines that differ.
func TestStoriesAreAsRecorded(t *testing.T) {
	for _, s := range Worlds() {
		t.Run(s.Name, func(t *testing.T) {
			out := &bytes.Buffer{}
			for seed, probability := range []float64{0, 0.02, 0.1} {
				if broken := tell(out, s, uint64(seed), probability); broken != "" {
					t.Errorf("seed %d: %s", seed, broken)
				}
			}
			file := "testdata/stories/" + strings.ReplaceAll(s.Name, " ", "-") + ".txt"
			if *update {
				if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			is, was := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
			for i := range min(len(is), len(was)) {
				if is[i] != was[i] {
					from := max(0, i-3)
					t.Fatalf("line %d of %s: another story; make golden writes it anew\nis:\n%s\nwas:\n%s", i+1, file,
						strings.Join(is[from:min(i+3, len(is))], "\n"), strings.Join(was[from:min(i+3, len(was))], "\n"))
				}
			}
			if !slices.Equal(is, was) {
				t.Fatalf("%s has %d lines, want %d", file, len(is), len(was))
			}
		})
	}
}
