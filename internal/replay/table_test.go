package replay

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"drawbridge/scheduler"
)

// tracesVariable names a folder of traces to make the table of, in place of those of
// the repository.
const tracesVariable = "DRAWBRIDGE_TRACES"

func traces(t testing.TB) []Trace {
	folder := os.Getenv(tracesVariable)
	if folder == "" {
		folder = filepath.Join("testdata", "traces")
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []Trace
	for _, p := range paths {
		if filepath.Base(p) == "traces.csv" { // an index
			continue
		}
		trace, err := ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if whole || len(trace.Arrivals) < few { // the others take their time
			out = append(out, trace)
		}
	}
	if len(out) < 10 {
		t.Fatalf("%d traces in %s", len(out), folder)
	}
	return out
}

// whole says that the table has all rows, what others would reach and each idea left
// out, not only those that are held.
var whole = os.Getenv("DRAWBRIDGE_TABLE") != ""

// few is how many arrivals a trace has at most where time matters.
const few = 700

// each works on every trace at once, as far as there are processors.
func each(all []Trace, f func(Trace) float64) []float64 {
	out := make([]float64, len(all))
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { out[i] = f(all[i]) })
	}
	wg.Wait()
	slices.Sort(out)
	return out
}

func quantile(v []float64, share float64) float64 {
	return v[min(int(share*float64(len(v))), len(v)-1)]
}

func geometric(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += math.Log(x)
	}
	return math.Exp(sum / float64(len(v)))
}

const (
	raise, lower = 150 * time.Second, 2 * time.Minute
	hourCost     = 5 * 0.014
)

func options(basis scheduler.Basis, delay time.Duration, waitCost float64) Options {
	return Options{Basis: basis, Raise: raise, Lower: lower, MaxDelay: delay, WaitCost: waitCost, HourCost: hourCost}
}

func hours(t testing.TB, trace Trace, o Options) float64 {
	r, err := Run(trace, o)
	if err != nil {
		t.Fatal(err)
	}
	return float64(r.Hours)
}

func money(t testing.TB, trace Trace, o Options) float64 {
	r, err := Run(trace, o)
	if err != nil {
		t.Fatal(err)
	}
	return float64(r.Hours)*o.HourCost + r.Waited.Hours()*o.WaitCost
}

// row is a line of the table.
type row struct {
	name        string
	median, p90 float64
	reach       [2]float64 // what it has to stay below; 0 is not held
}

func hourRows(t testing.TB, all []Trace) (out []row) {
	reach := map[string][2]float64{
		"creation 0m": {1.032, 1.065}, "creation 10m": {1.023, 1.062}, "creation 60m": {1.020, 1.043}, "creation 240m": {1.009, 1.030},
		"clock 0m": {1.11, 1.23}, "clock 60m": {1.05, 1.10}, "clock 240m": {1.03, 1.08},
	}
	for _, basis := range []scheduler.Basis{scheduler.Creation, scheduler.Clock} {
		for _, delay := range []time.Duration{0, 10 * time.Minute, time.Hour, 4 * time.Hour} {
			best := map[string]float64{}
			for _, trace := range all {
				best[trace.Name] = float64(clairvoyant(trace, delay+raise+lower+30*time.Second, basis))
			}
			add := func(what string, f func(Trace) float64) {
				if what != "" && !whole {
					return
				}
				v := each(all, func(trace Trace) float64 { return f(trace) / best[trace.Name] })
				name := fmt.Sprintf("%s %gm", basis, delay.Minutes())
				r := row{name: name + what, median: quantile(v, 0.5), p90: quantile(v, 0.9)}
				if what == "" {
					r.reach = reach[name]
				}
				out = append(out, r)
			}
			o := options(basis, delay, 0)
			add("", func(trace Trace) float64 { return hours(t, trace, o) })
			instant := o
			instant.Raise, instant.Lower = 0, 0
			add(", raised and lowered in no time", func(trace Trace) float64 { return hours(t, trace, instant) })
			if delay > 0 {
				unlearned := o
				unlearned.Unlearned = true
				add(", run times not learned", func(trace Trace) float64 { return hours(t, trace, unlearned) })
				add(", without the budget", func(trace Trace) float64 { return hours(t, trace, options(basis, 0, 0)) })
				continue
			}
			add(", time-out of 15 minutes", func(trace Trace) float64 { return float64(IdleTimeout(trace, o)) })
			add(", pair of Lambdas by age", func(trace Trace) float64 { h, _ := LambdaPair(trace, o); return float64(h) })
			add(", always on", func(trace Trace) float64 { return float64(AlwaysOn(trace, basis)) })
		}
	}
	return out
}

// withBudget is a row in which runs could wait, at a price that makes it no use.
const withBudget = ", and 1 hour of budget"

func moneyRows(t testing.TB, all []Trace) (out []row) {
	reach := map[float64]float64{5: 1.00, 20: 0.95, 60: 0.95}
	for _, basis := range []scheduler.Basis{scheduler.Creation, scheduler.Clock} {
		for _, waitCost := range []float64{5, 20, 60} {
			o := options(basis, 0, waitCost)
			best := map[string]float64{}
			for _, trace := range all {
				best[trace.Name] = bestTimeout(trace, o)
			}
			add := func(what string, f func(Trace) float64) {
				if what != "" && what != withBudget && !whole {
					return
				}
				v := each(all, func(trace Trace) float64 { return f(trace) / best[trace.Name] })
				r := row{name: fmt.Sprintf("%s, %g USD an hour%s", basis, waitCost, what), median: geometric(v), p90: quantile(v, 0.9)}
				if what == "" || what == withBudget {
					r.reach = [2]float64{reach[waitCost], 0}
				}
				out = append(out, r)
			}
			add("", func(trace Trace) float64 { return money(t, trace, o) })
			both := o
			both.MaxDelay = time.Hour
			add(withBudget, func(trace Trace) float64 { return money(t, trace, both) })
			add(", break-even rule", func(trace Trace) float64 {
				h, w := fixedTimeout(trace, o, time.Duration(waitCost*raise.Hours()/hourCost*float64(time.Hour)))
				return float64(h)*hourCost + w.Hours()*waitCost
			})
			add(", at the boundary", func(trace Trace) float64 {
				free := o
				free.WaitCost = 0
				r, err := Run(trace, free)
				if err != nil {
					t.Fatal(err)
				}
				return float64(r.Hours)*hourCost + r.Waited.Hours()*waitCost
			})
		}
	}
	return out
}

// TestPolicyTable replays recorded arrivals through all policies, prints the table
// (go test -v) and holds it to what was reached.
func TestPolicyTable(t *testing.T) {
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	all := traces(t)
	for _, part := range []struct {
		head string
		rows []row
	}{
		{"paid hours over the clairvoyant's: median, 90th percentile", hourRows(t, all)},
		{"money over the best fixed time-out's, chosen in hindsight: geometric mean, 90th percentile", moneyRows(t, all)},
	} {
		t.Logf("%d traces, %s", len(all), part.head)
		for _, r := range part.rows {
			t.Logf("%-48s %8.3f %8.3f", r.name, r.median, r.p90)
			if r.reach[0] > 0 && r.median > r.reach[0] || r.reach[1] > 0 && r.p90 > r.reach[1] {
				t.Errorf("%s: %.3f, %.3f, want at most %.3f, %.3f", r.name, r.median, r.p90, r.reach[0], r.reach[1])
			}
		}
	}
}
