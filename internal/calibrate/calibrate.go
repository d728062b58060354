// Package calibrate determines where paid hours begin, by comparing an hourly bill
// with the lives of endpoints.
package calibrate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"drawbridge/scheduler"
)

// Life is a period in which endpoints existed.
type Life struct {
	// What identifies it: a stack, or the experiment's endpoint.
	What             string
	Created, Deleted time.Time
	// Units is the number of endpoint-hours billed for an hour of it.
	Units int
}

// Usage is the billed usage in a UTC hour: endpoint-hours of all endpoints in the
// Region.
type Usage struct {
	Hour     time.Time
	Quantity float64
}

// Line is an hour of the evidence.
type Line struct {
	Hour time.Time `json:"hour"`
	// Billed is the usage above the background, Clock and Creation the usage
	// expected on either basis.
	Billed   float64 `json:"billed"`
	Clock    int     `json:"clock"`
	Creation int     `json:"creation"`
}

// Finding is the result of a comparison.
type Finding struct {
	// Basis is empty if the bill does not decide it.
	Basis scheduler.Basis `json:"basis"`
	// Background is the hourly usage of other endpoints.
	Background float64 `json:"background"`
	// Billed, Clock and Creation are sums over the hours.
	Billed   float64 `json:"billed"`
	Clock    int     `json:"clock"`
	Creation int     `json:"creation"`
	// Lives were compared; Odd ones were not, as their first hour was billed
	// differently.
	Lives  int    `json:"lives"`
	Odd    int    `json:"odd,omitempty"`
	Lines  []Line `json:"hours"`
	Reason string `json:"reason"`
}

// Infer compares the billed usage with that of either basis. It leaves out lives
// that the usage does not cover fully, and those whose first hour, in which both
// bases agree, was billed differently: the bill is incomplete there, or the
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

// bills returns the usage of lives in each hour, on either basis.
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

// background is the median usage in hours in which no endpoint of ours is known to
// have existed.
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

// agrees reports whether a quantity is as expected, up to rounding.
func agrees(billed float64, expected int) bool {
	return expected > 0 && math.Abs(billed-float64(expected)) < 0.1
}

// covered reports whether the bill has the hours from first to last, and the one
// after, without which the last may be incomplete.
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
		f.Reason = fmt.Sprintf("the first hour of our endpoints was billed differently (lives: %d), "+
			"so they cannot be compared; drawbridge calibrate run creates a known endpoint", f.Odd)
	case f.Lives == 0:
		f.Reason = "the bill does not fully cover the life of any of our endpoints; hours appear " +
			"in it a day or two later"
	case apart == 0:
		f.Reason = fmt.Sprintf("both bases would bill the same %d endpoint-hours: no endpoint lived over a full hour "+
			"for less than an hour; drawbridge calibrate run creates one that does", f.Clock)
	case min(toClock, toCreation) > apart/4:
		f.Reason = fmt.Sprintf("%.1f endpoint-hours were billed, which neither basis explains: clock hours would be "+
			"%d, hours from creation %d; other endpoints were created or deleted meanwhile",
			f.Billed, f.Clock, f.Creation)
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

// Experiment is an endpoint created to tell the bases apart: it exists from ten
// minutes before a full hour until ten minutes after it, which is one paid hour from
// creation and two clock hours.
type Experiment struct {
	Endpoint string    `json:"endpoint"`
	Service  string    `json:"service"`
	Subnet   string    `json:"subnet"`
	Created  time.Time `json:"created"`
	Deleted  time.Time `json:"deleted,omitzero"`
}

// These are the minutes of the experiment.
const (
	Before = 10 * time.Minute
	After  = 10 * time.Minute
	// late is how long after its minute the experiment may still start.
	late = 4 * time.Minute
)

// Takes is the maximum duration of an experiment, from its request until its
// endpoint is deleted.
const Takes = time.Hour + late + Before + After

// Begin returns when an experiment that is requested at now starts, and when its
// endpoint is deleted.
func Begin(now time.Time) (begin, end time.Time) {
	hour := now.UTC().Truncate(time.Hour).Add(time.Hour)
	begin = hour.Add(-Before)
	if now.After(begin.Add(late)) {
		hour, begin = hour.Add(time.Hour), begin.Add(time.Hour)
	}
	return begin, hour.Add(After)
}

// Tells reports whether the endpoint's life tells the bases apart.
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
