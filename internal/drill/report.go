package drill

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"drawbridge/internal/drill/judge"
	"drawbridge/internal/hint"
)

// Options choose what is played.
type Options struct {
	// Only is a pattern of the names, as path.Match has them; "" is all.
	Only string
	// Seed decides the ids, the luck, when faults begin and which drills are drawn.
	Seed int64
	// Runs is how many drills are played at most; 0 is all.
	Runs int
}

// Outcome is what became of a drill.
type Outcome struct {
	Drill
	Accepted int            `json:"accepted"`
	Finished int            `json:"finished"`
	Dead     int            `json:"dead_lettered"`
	Reasons  map[string]int `json:"reasons"`
	// Hours are paid hours of one endpoint, Over how many more these are than on a day without
	// faults.
	Hours int `json:"hours"`
	Over  int `json:"hours_over"`
	// Heal is how long after the last fault had ended the last run that it kept waiting was
	// started, in seconds.
	Heal float64 `json:"heal_s"`
	// Struck is false if the fault met nothing.
	Struck  bool          `json:"struck"`
	PeakMiB int           `json:"peak_mib"`
	Breaks  []judge.Break `json:"breaks"`
}

// Report is what became of all drills.
type Report struct {
	Seed int64 `json:"seed"`
	// Day and Morning are the days without faults.
	Day      Outcome   `json:"day"`
	Morning  Outcome   `json:"morning"`
	Outcomes []Outcome `json:"drills"`
}

// Kept reports whether no drill broke a promise.
func (r Report) Kept() bool {
	return !slices.ContainsFunc(append([]Outcome{r.Day, r.Morning}, r.Outcomes...), func(o Outcome) bool {
		return len(o.Breaks) > 0
	})
}

// normal is how days are without faults.
type normal struct{ day, morning played }

func playNormal(ctx context.Context, programs map[string]string, seed int64) (n normal, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		n.day, err = play(ctx, programs, Drill{Name: "day"}, seed)
		return err
	})
	g.Go(func() (err error) {
		n.morning, err = play(ctx, programs, Drill{Name: "morning", morning: true}, seed)
		return err
	})
	return n, g.Wait()
}

// chosen returns the drills that the options choose.
func (n normal) chosen(o Options) ([]Drill, error) {
	calls := map[string]int{"hook": n.day.Calls["drawbridge-hook"]}
	for _, f := range []string{"launcher", "reaper"} {
		calls[f] = n.morning.Calls["drawbridge-"+f]
	}
	drills, err := choose(all(calls), o.Only, o.Seed, o.Runs)
	if err == nil && len(drills) == 0 {
		err = hint.New("no drill is called "+o.Only, "drawbridge drill --list names them")
	}
	return drills, err
}

// List returns the drills that the options choose.
func List(ctx context.Context, programs map[string]string, o Options) ([]Drill, error) {
	n, err := playNormal(ctx, programs, o.Seed)
	if err != nil {
		return nil, err
	}
	return n.chosen(o)
}

// Play plays the drills that the options choose, as many at once as the machine has CPUs, with
// the functions at the given paths, by name. progress gets a line for each.
func Play(ctx context.Context, programs map[string]string, o Options, progress io.Writer) (Report, error) {
	n, err := playNormal(ctx, programs, o.Seed)
	if err != nil {
		return Report{}, err
	}
	drills, err := n.chosen(o)
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Seed: o.Seed, Day: n.outcome(Drill{Name: "day"}, n.day),
		Morning: n.outcome(Drill{Name: "morning", morning: true}, n.morning), Outcomes: make([]Outcome, len(drills)),
	}
	var mu sync.Mutex
	count := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, d := range drills {
		g.Go(func() error {
			p, err := play(ctx, programs, d, o.Seed)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil { // no reason to lose the others
				p = played{failed: true}
				p.Breaks = []judge.Break{{Kind: judge.NotPlayed, What: err.Error()}}
			}
			mu.Lock()
			defer mu.Unlock()
			r.Outcomes[i] = n.outcome(d, p)
			count++
			r.Outcomes[i].tell(progress, count, len(drills))
			return nil
		})
	}
	return r, g.Wait()
}

// outcome compares a drill with the day without faults.
func (n normal) outcome(d Drill, p played) Outcome {
	usual := n.day
	if d.morning {
		usual = n.morning
	}
	o := Outcome{
		Drill: d, Accepted: p.Accepted, Finished: p.Finished, Dead: p.Dead, Reasons: p.Reasons, Hours: p.Hours,
		Over: p.Hours - usual.Hours, PeakMiB: p.PeakMiB, Breaks: p.Breaks, Struck: true,
	}
	if p.failed {
		o.Over = 0
		return o
	}
	ended := p.faultEnded
	for _, f := range d.faults {
		o.Struck = o.Struck && (f.sim == "" || p.Struck[f.sim] > 0)
		if d.kills() {
			ended = p.KilledAt
		}
	}
	for id, at := range p.Starts {
		if was, ran := usual.Starts[id]; ran && at > was+late.Seconds() {
			o.Heal = max(o.Heal, at-max(ended, was))
		}
	}
	if o.Heal > tooLate.Seconds() {
		o.Breaks = append(o.Breaks, judge.Break{
			Kind: judge.Late,
			What: fmt.Sprintf("a run was started %.0f minutes after nothing was wrong any more", o.Heal/60),
		})
	}
	return o
}

// tooLate is how long a run may wait although nothing is wrong any more: an hour until endpoints may
// be made again whose deletion failed, and the time to make them.
const tooLate = 70 * time.Minute

// tell says that a drill was played, the nth of so many.
func (o Outcome) tell(w io.Writer, n, of int) {
	word := "kept"
	if !o.Struck {
		word = "kept, had no effect"
	}
	if len(o.Breaks) > 0 {
		word = "BROKEN: " + o.Breaks[0].What
	}
	fmt.Fprintf(w, "%*d/%d  %s: %s\n", len(fmt.Sprint(of)), n, of, o.Name, word)
}

// late is how much later than usual a run may start without having been kept waiting.
const late = time.Minute
