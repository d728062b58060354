package replay

import (
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"testing"
	"time"

	"drawbridge/scheduler"
)

var update = flag.Bool("update", false, "write the expected schedules anew")

// What is decided on real arrivals, with and without prices and budgets, is as it was: hours, waits, decisions by
// action, and the times of every generation and run, as a sum.
func TestSchedulesAreAsRecorded(t *testing.T) {
	var b strings.Builder
	for _, trace := range traces(t) {
		if len(trace.Arrivals) > 360 {
			continue
		}
		for _, basis := range []scheduler.Basis{scheduler.Clock, scheduler.Creation} {
			for _, o := range []Options{{}, {WaitCost: 0.5}, {WaitCost: 6}, {MaxDelay: time.Hour, WaitCost: 0.05}} {
				o.Basis, o.Raise, o.Lower, o.HourCost = basis, raise, lower, 0.07
				r, err := Run(trace, o)
				if err != nil {
					t.Fatal(err)
				}
				sum := fnv.New32a()
				for _, p := range r.Periods {
					fmt.Fprintln(sum, p.Created.UnixMilli(), p.Available.UnixMilli(), p.Deleting.UnixMilli(), p.Deleted.UnixMilli())
				}
				for _, j := range r.Jobs {
					fmt.Fprintln(sum, j.Started.UnixMilli())
				}
				fmt.Fprintf(&b, "%s %s maxDelay %s waitCost %g: %d hours in %d generations, waited %s, %v, %08x\n", trace.Name, basis,
					o.MaxDelay, o.WaitCost, r.Hours, len(r.Periods), r.Waited.Round(time.Second), r.Decisions, sum.Sum32())
			}
		}
	}
	const file = "testdata/schedules.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	is, was := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	if len(is) != len(was) {
		t.Fatalf("%d schedules, want %d; make golden writes them anew", len(is), len(was))
	}
	for i := range is {
		if is[i] != was[i] {
			t.Errorf("is  %s\nwas %s", is[i], was[i])
		}
	}
}
