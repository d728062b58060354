// Package calibrate finds out where paid hours begin: from what a bill shows by the
// hour, beside when endpoints were there.
package calibrate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"drawbridge/scheduler"
)

// Life is a time in which endpoints were there.
type Life struct {
	// What names it: a stack, or the experiment's endpoint.
	What             string
	Created, Deleted time.Time
	// Units is how many endpoint-hours an hour of it is billed as.
	Units int
}

// Usage is what a bill shows for a UTC hour: endpoint-hours of all endpoints in the
// Region.
type Usage struct {
	Hour     time.Time
	Quantity float64
}

// Line is an hour of the evidence.
type Line struct {
	Hour time.Time `json:"hour"`
	// Billed is what the bill shows above the background, Clock and Creation what it
	// would show on either basis.
	Billed   float64 `json:"billed"`
	Clock    int     `json:"clock"`
	Creation int     `json:"creation"`
}

// Finding is what the bill shows.
type Finding struct {
	// Basis is empty if the bill does not tell.
	Basis scheduler.Basis `json:"basis"`
	// Background is what other endpoints are billed as in an hour.
	Background float64 `json:"background"`
	// Billed, Clock and Creation are sums over the hours.
	Billed   float64 `json:"billed"`
	Clock    int     `json:"clock"`
	Creation int     `json:"creation"`
	// Lives were compared; Odd ones were not, as their first hour was billed as
	// something else.
	Lives  int    `json:"lives"`
	Odd    int    `json:"odd,omitempty"`
	Lines  []Line `json:"hours"`
	Reason string `json:"reason"`
}

// Infer compares what was billed with what either basis would bill. Lives that the
// usage does not cover whole are left out, and those whose first hour, in which both
// bases agree, was billed as something else: the bill is not complete there, or the
// endpoints were others.
func Infer(lives []Life, usage []Usage) Finding {
	billed := map[time.Time]float64{}
	for _, u := range usage {
		billed[u.Hour.UTC().Truncate(time.Hour)] += u.Quantity
	}
	var whole []Life
	for _, l := range lives {
		if first, last := l.hours(); l.Deleted.After(l.Created) && covered(billed, first, last) {
			whole = append(whole, l)
		}
	}
	f := Finding{Lines: []Line{}, Background: background(billed, lives)}
	clock, creation := bills(whole)
	var sound []Life
	for _, l := range whole {
		first, _ := l.hours()
		if q := billed[first] - f.Background; agrees(q, clock[first]) || agrees(q, creation[first]) {
			sound = append(sound, l)
		}
	}
	f.Lives, f.Odd = len(sound), len(whole)-len(sound)
	clock, creation = bills(sound)
	for h := range clock {
		f.Lines = append(f.Lines, Line{h, math.Round(100*(billed[h]-f.Background)) / 100, clock[h], creation[h]})
	}
	slices.SortFunc(f.Lines, func(a, b Line) int { return a.Hour.Compare(b.Hour) })
	for _, l := range f.Lines {
		f.Billed += l.Billed
		f.Clock += l.Clock
		f.Creation += l.Creation
	}
	f.judge()
	return f
}

// hours returns the first and the last clock hour of a life.
func (l Life) hours() (first, last time.Time) {
	return l.Created.UTC().Truncate(time.Hour), l.Deleted.Add(-1).UTC().Truncate(time.Hour)
}

// bills returns what lives would be billed as in each hour, on either basis.
func bills(lives []Life) (clock, creation map[time.Time]int) {
	clock, creation = map[time.Time]int{}, map[time.Time]int{}
	for _, l := range lives {
		first, last := l.hours()
		for h := first; !h.After(last); h = h.Add(time.Hour) {
			clock[h] += l.Units
		}
		for h := l.Created; h.Before(l.Deleted); h = h.Add(time.Hour) {
			creation[h.UTC().Truncate(time.Hour)] += l.Units
		}
	}
	return clock, creation
}

// background is what is billed in an hour in which nothing of ours is known to have
// been there: the median.
func background(billed map[time.Time]float64, lives []Life) float64 {
	touched, _ := bills(lives)
	var quiet []float64
	for h, q := range billed {
		if touched[h] == 0 {
			quiet = append(quiet, q)
		}
	}
	if len(quiet) == 0 {
		return 0
	}
	slices.Sort(quiet)
	return quiet[len(quiet)/2]
}

// agrees says whether a quantity is what was expected, but for rounding.
func agrees(billed float64, expected int) bool {
	return expected > 0 && math.Abs(billed-float64(expected)) < 0.1
}

// covered says whether the bill has the hours from first to last, and the one after,
// without which the last may not be whole.
func covered(billed map[time.Time]float64, first, last time.Time) bool {
	for h := first; !h.After(last.Add(time.Hour)); h = h.Add(time.Hour) {
		if _, ok := billed[h]; !ok {
			return false
		}
	}
	return true
}

// judge decides by the sums.
func (f *Finding) judge() {
	apart := math.Abs(float64(f.Clock - f.Creation))
	toClock, toCreation := math.Abs(f.Billed-float64(f.Clock)), math.Abs(f.Billed-float64(f.Creation))
	switch {
	case f.Lives == 0 && f.Odd > 0:
		f.Reason = fmt.Sprintf("%d times in which endpoints of ours were there were billed as something else in "+
			"their first hour; drawbridge calibrate run makes an endpoint that is known", f.Odd)
	case f.Lives == 0:
		f.Reason = "the bill does not cover the whole of any time in which endpoints of ours were there; hours show " +
			"in it a day or two later"
	case apart == 0:
		f.Reason = fmt.Sprintf("both bases would bill the same %d endpoint-hours: nothing lived over a full hour "+
			"for less than an hour; drawbridge calibrate run makes an endpoint that does", f.Clock)
	case min(toClock, toCreation) > apart/4:
		f.Reason = fmt.Sprintf("%.1f endpoint-hours were billed, which neither basis explains: clock hours would be "+
			"%d, hours from creation %d; other endpoints came or went meanwhile", f.Billed, f.Clock, f.Creation)
	case toClock < toCreation:
		f.Basis = scheduler.Clock
		f.Reason = fmt.Sprintf("%.1f endpoint-hours were billed: clock hours are %d, hours from creation would be %d",
			f.Billed, f.Clock, f.Creation)
	default:
		f.Basis = scheduler.Creation
		f.Reason = fmt.Sprintf("%.1f endpoint-hours were billed: hours from creation are %d, clock hours would be %d",
			f.Billed, f.Creation, f.Clock)
	}
}

// Experiment is an endpoint that is made to tell the bases apart: it lives from ten
// minutes before a full hour until ten minutes after it, which is one paid hour from
// creation and two clock hours.
type Experiment struct {
	Endpoint string    `json:"endpoint"`
	Service  string    `json:"service"`
	Subnet   string    `json:"subnet"`
	Created  time.Time `json:"created"`
	Deleted  time.Time `json:"deleted,omitzero"`
}

// The minutes of the experiment.
const (
	Before = 10 * time.Minute
	After  = 10 * time.Minute
	// late is how long after its minute the experiment may still begin.
	late = 4 * time.Minute
)

// Takes is the longest that an experiment takes, from when it is asked for until its
// endpoint is deleted.
const Takes = time.Hour + late + Before + After

// Begin returns when an experiment that is asked for at now begins, and when its
// endpoint is deleted.
func Begin(now time.Time) (begin, end time.Time) {
	hour := now.UTC().Truncate(time.Hour).Add(time.Hour)
	begin = hour.Add(-Before)
	if now.After(begin.Add(late)) {
		hour, begin = hour.Add(time.Hour), begin.Add(time.Hour)
	}
	return begin, hour.Add(After)
}

// Tells says whether the endpoint's time tells the bases apart.
func (e Experiment) Tells() bool {
	clock, creation := bills([]Life{{e.Endpoint, e.Created, e.Deleted, 1}})
	sum := func(hours map[time.Time]int) (n int) {
		for _, q := range hours {
			n += q
		}
		return n
	}
	return sum(clock) != sum(creation)
}

// End returns when an experiment's endpoint is to be deleted.
func (e Experiment) End() time.Time {
	return e.Created.UTC().Truncate(time.Hour).Add(time.Hour + After)
}
