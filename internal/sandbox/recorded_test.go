package sandbox

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"drawbridge/cfn"
	"drawbridge/internal/store"
)

var update = flag.Bool("update", false, "write the expected ends of stories anew")

// ends counts the stories of each test that have ended: each has a record of its own.
var ends = struct {
	sync.Mutex
	of map[string]int
}{of: map[string]int{}}

// effects are the calls that are made once for each thing that they do: how often somebody looks, is throttled, deletes what
// is gone or sets a timer again depends on who is faster.
var effects = regexp.MustCompile("^cloudformation:CreateStack")

// drawn are stories whose order or faults nobody decides: many events at once, throttling. Nor does anybody in which
// order a deployment's events arrive that are sent at one instant: stories with deployments are not recorded either.
var drawn = regexp.MustCompile("RandomFaults|AThousandEvents|a_thousand_events|200_events|too_many_of_a_source|thrott")

// random matches ids that are drawn by the functions.
var random = regexp.MustCompile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

// asRecorded compares how a story ended with how it ended before: what was decided in each set and why, what became of
// each run, what was done in AWS. What a story itself asks for is seldom all that it shows. When things happened is not
// compared: it differs by seconds with who is faster.
func (w *world) asRecorded() {
	w.t.Helper()
	if w.t.Failed() {
		return
	}
	name := w.t.Name()
	ends.Lock()
	ends.of[name]++
	n := ends.of[name]
	ends.Unlock()
	if n > 2 || drawn.MatchString(name) || len(w.config.Deployments) > 0 { // of hundreds of worlds the first ones
		return
	}
	name = fmt.Sprintf("%s.%d", strings.ReplaceAll(name, "/", "."), n)
	file := filepath.Join("testdata", "ends", name+".txt")
	want, err := os.ReadFile(file)
	if err != nil && !*update {
		w.t.Fatalf("this story has no record; make golden writes it: %v", err)
	}
	text := w.end()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	if text != string(want) {
		w.t.Errorf("%s: the story ends otherwise; make golden writes it anew\n%s", file, cmp.Diff(string(want), text))
	}
}

func (w *world) end() string {
	ctx := context.Background()
	records := store.New(dynamodb.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper())),
		cfn.NamesOf(w.config.Name, w.sim.Region()).Table)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.config.Sets)) {
		set, err := records.LoadSet(ctx, name)
		if err != nil {
			fmt.Fprintf(&b, "set %s: %v\n", name, err)
			continue
		}
		fmt.Fprintf(&b, "set %s: %s, generation %d, %d hours, %d endpoint-hours\n", name, set.Phase, set.Generation, set.Hours,
			set.TotalHours)
		for _, d := range set.Decisions {
			fmt.Fprintf(&b, "  %d %s: %s: %s\n", d.Generation, d.Phase, d.Action, d.Reason)
		}
		runs, err := records.Runs(ctx, name)
		if err != nil {
			fmt.Fprintln(&b, err)
		}
		for _, r := range runs {
			fmt.Fprintf(&b, "run %s: %s %s, attempt %d: %s\n", r.ID, r.State, r.Outcome, r.Attempt, r.Reason)
		}
	}
	l := w.sim.Ledger()
	var letters []int // in no order: several invocations send them
	for _, x := range l.DeadLetters {
		letters = append(letters, len(x.Body))
	}
	for _, n := range slices.Sorted(slices.Values(letters)) {
		fmt.Fprintf(&b, "dead letter, %d bytes\n", n)
	}
	for _, call := range slices.Sorted(maps.Keys(l.Calls)) {
		if effects.MatchString(call) {
			fmt.Fprintf(&b, "%s %d\n", call, l.Calls[call])
		}
	}
	return random.ReplaceAllString(b.String(), "(an id)")
}
