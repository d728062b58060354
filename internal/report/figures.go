package report

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"time"

	"drawbridge/internal/replay"
	"drawbridge/scheduler"
)

// Figures are what a report adds up to. Hours are endpoint-hours; USD are nil where the price of one
// is not known.
type Figures struct {
	Paid      Cost     `json:"paid"`
	AlwaysOn  Cost     `json:"alwaysOn"`
	Best      Cost     `json:"bestPossible"`
	Saved     *float64 `json:"savedShare"`
	BySet     []Share  `json:"bySet"`
	ByJob     []Share  `json:"byJob"`
	ByService []Share  `json:"byService"`
	Growth    []Point  `json:"cumulative"`
	Waits     Waits    `json:"waits"`
	// Arrivals counts events by hour of the week: Monday is the first day.
	Arrivals [7][24]int `json:"arrivals"`
	Outcomes []Count    `json:"outcomes"`
	Failures []Failure  `json:"failures"`
}

// Cost is a number of endpoint-hours and what they cost.
type Cost struct {
	Hours int      `json:"endpointHours"`
	USD   *float64 `json:"usd"`
	begun bool
}

// Share is the part of what was paid that fell to one set, job or service.
type Share struct {
	Name  string   `json:"name"`
	Runs  int      `json:"runs"`
	Hours float64  `json:"endpointHours"`
	USD   *float64 `json:"usd"`
}

// Point is what had been paid by an instant, and would have been otherwise.
type Point struct {
	At       time.Time `json:"at"`
	Paid     float64   `json:"paid"`
	AlwaysOn float64   `json:"alwaysOn"`
	Best     float64   `json:"bestPossible"`
}

// Waits are how long runs waited from their event to their task.
type Waits struct {
	Buckets []Bucket `json:"buckets"`
	// Cold are runs that found no endpoints, Warm those that did.
	Cold Quantiles `json:"cold"`
	Warm Quantiles `json:"warm"`
}

// Bucket counts runs that waited less than To seconds, and not less than the bucket before.
// The last one's To is 0: it has no end.
type Bucket struct {
	To   float64 `json:"to_s"`
	Cold int     `json:"cold"`
	Warm int     `json:"warm"`
}

// Quantiles are in seconds; all are 0 without runs.
type Quantiles struct {
	Runs   int     `json:"runs"`
	Median float64 `json:"median_s"`
	P95    float64 `json:"p95_s"`
	Max    float64 `json:"max_s"`
}

// Count is how many runs ended so.
type Count struct {
	Outcome string `json:"outcome"`
	Runs    int    `json:"runs"`
}

// Failure is a cause for which runs failed, with what was said of the last of them.
type Failure struct {
	Cause string    `json:"cause"`
	Runs  int       `json:"runs"`
	Last  time.Time `json:"last"`
	Run   string    `json:"lastRun"`
	Why   string    `json:"why"`
}

// Idle is the share of generations in which nothing ran.
const Idle = "(no run)"

// bounds are the buckets' ends in seconds.
var bounds = []float64{10, 30, 60, 120, 180, 300, 600, 1800, 3600, 0}

// Figures adds a tidy report up. Hours of the week are those of zone.
func (r Report) Figures(zone *time.Location) Figures {
	f := Figures{}
	best := r.best()
	for _, s := range r.Sets {
		hours := 0
		for _, g := range s.Generations {
			hours += g.Hours * s.billed()
		}
		always := scheduler.PaidHours(s.Basis, later(r.From, s.Since), r.Until) * s.billed()
		f.Paid.add(s, hours)
		f.AlwaysOn.add(s, always)
		bestHours := 0
		for _, b := range best[s.Name] {
			bestHours += b.Hours * s.billed()
		}
		f.Best.add(s, bestHours)
	}
	if n := len(r.Sets); n > 0 && f.AlwaysOn.Hours > 0 {
		saved := 1 - float64(f.Paid.Hours)/float64(f.AlwaysOn.Hours)
		if f.Paid.USD != nil && *f.AlwaysOn.USD > 0 {
			paid := *f.Paid.USD
			if r.OwnUSD != nil {
				paid += *r.OwnUSD
			}
			saved = 1 - paid / *f.AlwaysOn.USD
		}
		f.Saved = &saved
	}
	f.BySet, f.ByJob, f.ByService = r.shares()
	f.Growth = r.growth(best)
	f.Waits = r.waits()
	for _, x := range r.Runs {
		at := x.Received.In(zone)
		f.Arrivals[(int(at.Weekday())+6)%7][at.Hour()]++
	}
	f.Outcomes = r.outcomes()
	f.Failures = r.failures()
	return f
}

// add adds hours of a set. One without a price leaves the whole without.
func (c *Cost) add(s Set, hours int) {
	if !c.begun {
		c.USD, c.begun = new(float64), true
	}
	c.Hours += hours
	if s.Price == 0 {
		c.USD = nil
	}
	if c.USD != nil {
		sum := round(*c.USD + float64(hours)*s.Price)
		c.USD = &sum
	}
}

// best returns, for each set, the hours of one who knew every event and run time and whose endpoints
// came and went in no time.
func (r Report) best() map[string][]replay.Stretch {
	out := map[string][]replay.Stretch{}
	for _, s := range r.Sets {
		t := replay.Trace{Name: s.Name}
		window := time.Duration(max(s.Delay, 0) * float64(time.Second))
		for _, x := range r.Runs {
			if wait, ok := x.Wait(); ok && x.Set == s.Name {
				window = max(window, wait) // as long as one of them waited, any may
			}
			if x.Set == s.Name && !x.Started.IsZero() {
				t.Arrivals = append(t.Arrivals, replay.Arrival{At: x.Received, Duration: x.end(r.Until).Sub(x.Started)})
			}
		}
		out[s.Name] = replay.Clairvoyant(t, window, s.Basis)
	}
	return out
}

// end returns when a started run ended, or until.
func (r Run) end(until time.Time) time.Time {
	if r.Finished.IsZero() {
		return later(until, r.Started)
	}
	return r.Finished
}

// shares divides what was paid: by set, by job and by service. A generation is divided among the jobs by
// how long their runs ran in it, and among the services in equal parts.
func (r Report) shares() (bySet, byJob, byService []Share) {
	jobs, services := map[string]*Share{}, map[string]*Share{}
	of := func(m map[string]*Share, name string) *Share {
		if m[name] == nil {
			m[name] = &Share{Name: name, USD: new(float64)}
		}
		return m[name]
	}
	for _, x := range r.Runs {
		of(jobs, x.Job).Runs++
	}
	for _, s := range r.Sets {
		set := Share{Name: s.Name, USD: new(float64)}
		for _, x := range r.Runs {
			if x.Set == s.Name {
				set.Runs++
			}
		}
		ran := r.ran(s)
		for i, g := range s.Generations {
			hours := float64(g.Hours * s.billed())
			set.add(hours, s.Price)
			var all time.Duration
			for _, d := range ran[i] {
				all += d
			}
			for _, job := range slices.Sorted(maps.Keys(ran[i])) {
				of(jobs, job).add(hours*float64(ran[i][job])/float64(all), s.Price)
			}
			if all == 0 {
				of(jobs, Idle).add(hours, s.Price)
			}
			for _, service := range s.Services {
				of(services, service).add(hours/float64(len(s.Services)), s.Price)
			}
		}
		bySet = append(bySet, set.rounded())
	}
	return bySet, sorted(jobs), sorted(services)
}

func (s *Share) add(hours, price float64) {
	s.Hours += hours
	if price == 0 {
		s.USD = nil
	}
	if s.USD != nil {
		usd := *s.USD + hours*price
		s.USD = &usd
	}
}

func (s *Share) rounded() Share {
	out := *s
	out.Hours = round(s.Hours)
	if s.USD != nil {
		usd := round(*s.USD)
		out.USD = &usd
	}
	return out
}

// ran returns how long each job ran in each of a set's generations.
func (r Report) ran(s Set) []map[string]time.Duration {
	out := make([]map[string]time.Duration, len(s.Generations))
	for i := range out {
		out[i] = map[string]time.Duration{}
	}
	for _, x := range r.Runs {
		if x.Set != s.Name || x.Started.IsZero() {
			continue
		}
		// the last generation that was created before the run started
		i := sort.Search(len(s.Generations), func(i int) bool { return s.Generations[i].Created.After(x.Started) }) - 1
		if i >= 0 {
			out[i][x.Job] += max(x.end(r.Until).Sub(x.Started), time.Second)
		}
	}
	return out
}

// sorted returns shares, the dearest first.
func sorted(m map[string]*Share) []Share {
	var out []Share
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[name].rounded())
	}
	slices.SortStableFunc(out, func(a, b Share) int { return cmp.Compare(b.Hours, a.Hours) })
	return out
}

// growth returns how the cost grew, an hour at a time over three days and a day at a time beyond: in USD
// if the price is known, else in endpoint-hours.
func (r Report) growth(best map[string][]replay.Stretch) []Point {
	if len(r.Sets) == 0 || !r.Until.After(r.From) {
		return nil
	}
	step := time.Hour
	if r.Until.Sub(r.From) > 72*time.Hour {
		step = 24 * time.Hour
	}
	n := int((r.Until.Sub(r.From) + step - 1) / step)
	out := make([]Point, n+1)
	// each hour counts from its beginning, which is when it is paid for
	add := func(from time.Time, hours int, each float64, into func(p *Point) *float64) {
		for h := range hours {
			i := int(from.Add(time.Duration(h)*time.Hour).Sub(r.From)/step) + 1
			*into(&out[min(max(i, 0), n)]) += each
		}
	}
	known := !slices.ContainsFunc(r.Sets, func(s Set) bool { return s.Price == 0 })
	for _, s := range r.Sets {
		each := float64(s.billed())
		if known {
			each *= s.Price
		}
		for _, g := range s.Generations {
			add(g.PaidFrom, g.Hours, each, func(p *Point) *float64 { return &p.Paid })
		}
		since := later(r.From, s.Since)
		add(since, scheduler.PaidHours(s.Basis, since, r.Until), each, func(p *Point) *float64 { return &p.AlwaysOn })
		for _, b := range best[s.Name] {
			add(b.From, b.Hours, each, func(p *Point) *float64 { return &p.Best })
		}
	}
	for i := range out {
		out[i].At = r.From.Add(time.Duration(i) * step)
		if i > 0 {
			out[i].Paid += out[i-1].Paid
			out[i].AlwaysOn += out[i-1].AlwaysOn
			out[i].Best += out[i-1].Best
		}
	}
	for i, p := range out {
		out[i] = Point{p.At, round(p.Paid), round(p.AlwaysOn), round(p.Best)}
	}
	return out
}

func (r Report) waits() Waits {
	w := Waits{}
	for _, to := range bounds {
		w.Buckets = append(w.Buckets, Bucket{To: to})
	}
	var cold, warm []float64
	for _, x := range r.Runs {
		wait, ok := x.Wait()
		if !ok || r.set(x.Set) == nil {
			continue
		}
		s := wait.Seconds()
		i := slices.IndexFunc(bounds, func(to float64) bool { return to == 0 || s < to })
		if x.Cold {
			w.Buckets[i].Cold++
			cold = append(cold, s)
		} else {
			w.Buckets[i].Warm++
			warm = append(warm, s)
		}
	}
	w.Cold, w.Warm = quantiles(cold), quantiles(warm)
	return w
}

func quantiles(waits []float64) Quantiles {
	n := len(waits)
	if n == 0 {
		return Quantiles{}
	}
	slices.Sort(waits)
	return Quantiles{n, waits[(n-1)/2], waits[(n-1)*95/100], waits[n-1]}
}

func (r Report) outcomes() []Count {
	count := map[string]int{}
	for _, x := range r.Runs {
		count[x.Outcome]++
	}
	var out []Count
	for _, o := range slices.Sorted(maps.Keys(count)) {
		out = append(out, Count{o, count[o]})
	}
	slices.SortStableFunc(out, func(a, b Count) int { return cmp.Compare(b.Runs, a.Runs) })
	return out
}

func (r Report) failures() []Failure {
	by := map[string]*Failure{}
	for _, x := range r.Runs {
		if !x.Failed() {
			continue
		}
		cause := cmp.Or(x.Cause, x.Outcome)
		if by[cause] == nil {
			by[cause] = &Failure{}
		}
		*by[cause] = Failure{cause, by[cause].Runs + 1, x.Received, x.ID, x.Reason} // runs are in order
	}
	var out []Failure
	for _, cause := range slices.Sorted(maps.Keys(by)) {
		out = append(out, *by[cause])
	}
	slices.SortStableFunc(out, func(a, b Failure) int { return cmp.Compare(b.Runs, a.Runs) })
	return out
}
