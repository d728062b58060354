// Package forecast says how likely an arrival is in an hour to come, by a logistic
// forecast over what was seen, and bounds what may be lost by following it: never much
// more than by the break-even rule of ski rental. It is pure.
package forecast

import (
	"math"
	"time"
)

// History is what a set remembers of its arrivals, in a few hundred bytes whatever
// their number: how busy each hour of the week was, how busy the last hours and
// weeks were, and how long the gaps between arrivals lasted. From these it gives
// the chance of an arrival in an hour to come. The zero value has seen nothing.
type History struct {
	// First is the first clock hour that was seen, Hour the one that is not over
	// yet, both counted from 1970; 0 before the first arrival.
	First, Hour int64
	// Busy reports whether anything arrived in Hour.
	Busy bool
	// Last is the last arrival, in seconds from 1970.
	Last float64
	// Week holds, for each hour of the week from Thursday 00:00 UTC, the weeks in
	// which something arrived in it, in thousandths; older weeks count less.
	Week [weekHours]uint16
	// Recent holds the busy ones among the last hours, each entry looking further
	// back than the one before.
	Recent [len(recentHours)]float32
	// Gaps counts the gaps between arrivals by their length, each bin half an octave
	// wide from 30 s on; older ones count less.
	Gaps [gapBins]float32
	// Weights say how much each sign counts. They begin where they were best on
	// recorded arrivals and follow what the set sees; all zero is not begun.
	Weights [signs]float32
	// Before is the sign of the gap as it was when Hour began, Learned how many
	// hours the weights have followed.
	Before  float32
	Learned int32
}

const (
	weekHours = 7 * 24
	gapBins   = 40
	signs     = 7

	// weekDecay is what a week's count keeps each week, gapDecay what a gap's keeps
	// with each further gap.
	weekDecay = 0.85
	gapDecay  = 0.995

	// leastChance and mostChance bound what any sign may claim.
	leastChance, mostChance = 0.0005, 0.998

	// learnRate is how far the weights follow an hour at first; less after many.
	learnRate = 0.003
	// quietHours is how many hours without an arrival are looked at one by one;
	// beyond them nothing more is learned from silence.
	quietHours = 48
)

// recentHours are how far back the entries of Recent look, in hours.
var recentHours = [...]float64{3, 72, 500}

// firstWeights are the weights before anything was learned: a constant, the hour of
// the week, the hour of working days or weekends, the last hours, days and weeks,
// the gap. They were fitted on arrivals of the kinds that docs/policy.md names,
// and are the same on each half of them.
var firstWeights = [signs]float32{-0.02, 0.13, 0.54, 0.06, 0.40, -0.75, 0.53}

// Saw returns the history with an arrival. Arrivals come in order; one that is
// earlier than the last counts as being at the last.
func (h History) Saw(at time.Time) History {
	t := max(float64(at.UnixNano())/1e9, h.Last)
	if h.First == 0 {
		h.First, h.Hour = hourOf(t), hourOf(t)
		h.Weights = firstWeights
		h.Before = float32(logit(gapChance(&h.Gaps, 0)))
	} else {
		h = h.until(t)
		for i := range h.Gaps {
			h.Gaps[i] *= gapDecay
		}
		h.Gaps[gapBin(t-h.Last)]++
	}
	h.Last, h.Busy = t, true
	return h
}

// Chance returns the probability of an arrival in the hour from at on, if none
// comes before it. now is not after at. It is 0 if nothing was ever seen.
func (h *History) Chance(now, at time.Time) float64 {
	if h.First == 0 {
		return 0
	}
	k := h.At(now)
	return k.ChanceAt(float64(at.UnixNano()) / 1e9)
}

// ChanceAt returns the chance of an arrival in the hour from t on, in seconds since
// 1970; see Chance.
func (h *History) ChanceAt(t float64) float64 {
	x := h.signsAt(t, float32(logit(gapChance(&h.Gaps, t-h.Last))))
	return sigmoid(h.sum(&x))
}

func (h *History) sum(x *[signs]float64) float64 {
	s := 0.0
	for i := range x {
		s += float64(h.Weights[i]) * x[i]
	}
	return s
}

// At returns the history as it is at now. Nothing is learned from it: weights follow
// hours when the next arrival closes them.
func (h History) At(now time.Time) History {
	return h.skip(hourOf(float64(now.UnixNano()) / 1e9))
}

// until returns the history with the clock hours closed that are over at t, and what
// they teach learned.
func (h History) until(t float64) History {
	last := hourOf(t)
	for n := 0; h.Hour < last; n++ {
		if n == quietHours {
			return h.skip(last)
		}
		h.learn()
		h.close()
		h.Before = float32(logit(gapChance(&h.Gaps, float64(h.Hour)*3600-h.Last)))
	}
	return h
}

// learn lets the weights follow the hour that ends: a step down the slope of its
// log loss.
func (h *History) learn() {
	x := h.signsAt(float64(h.Hour)*3600, h.Before)
	miss := -sigmoid(h.sum(&x))
	if h.Busy {
		miss++
	}
	h.Learned++
	rate := learnRate / math.Sqrt(1+float64(h.Learned)/500)
	for i := range x {
		h.Weights[i] += float32(rate * miss * x[i])
	}
}

// close counts the hour that ends.
func (h *History) close() {
	bin := &h.Week[weekHour(h.Hour)]
	*bin = uint16(float64(*bin) * weekDecay)
	if h.Busy {
		*bin += 1000
	}
	for i, n := range recentHours {
		h.Recent[i] *= float32(math.Exp(-1 / n))
		if h.Busy {
			h.Recent[i]++
		}
	}
	h.Busy = false
	h.Hour++
}

// skip closes the hours before last at once; the first of them is counted as busy if
// it was.
func (h History) skip(last int64) History {
	if last <= h.Hour {
		return h
	}
	if h.Busy {
		h.close()
	}
	for i := range h.Week {
		n := rounds(h.Hour, last, int64(i))
		h.Week[i] = uint16(float64(h.Week[i]) * weekPowers[min(n, int64(len(weekPowers)-1))])
	}
	for i, n := range recentHours {
		h.Recent[i] *= float32(math.Exp(-float64(last-h.Hour) / n))
	}
	h.Hour = last
	h.Before = float32(logit(gapChance(&h.Gaps, float64(h.Hour)*3600-h.Last)))
	return h
}

// signsAt returns what speaks for an arrival in the hour from t on, as log odds.
func (h *History) signsAt(t float64, gap float32) (x [signs]float64) {
	seen := float64(h.Hour - h.First) // hours closed
	ever := bound((float64(h.Recent[2]) + 0.5) / (decayed(recentHours[2], seen) + 5))
	first, part := hourOf(t), t/3600-math.Floor(t/3600)
	x[0] = 1
	x[1] = logit(both(h.ofWeek(first, ever), h.ofWeek(first+1, ever), part))
	x[2] = logit(both(h.ofDay(first, ever), h.ofDay(first+1, ever), part))
	quiet := max(float64(first-h.Hour), 0)
	for i, n := range recentHours {
		fade := math.Exp(-quiet / n)
		x[3+i] = logit(bound((float64(h.Recent[i])*fade + 0.3*ever) / (decayed(n, seen+quiet) + 0.3)))
	}
	x[6] = float64(gap)
	return x
}

// ofWeek is how often something arrived in that hour of the week, ofDay in that
// hour of working days, or of weekends. Where little was seen, ever counts.
func (h *History) ofWeek(hour int64, ever float64) float64 {
	bin := weekHour(hour)
	n := weeks(rounds(h.First, h.Hour, int64(bin)))
	return (float64(h.Week[bin])/1000 + ever) / (n + 1)
}

func (h *History) ofDay(hour int64, ever float64) float64 {
	bin := weekHour(hour)
	var busy, n float64
	for day := range 7 {
		if b := day*24 + bin%24; weekend(b) == weekend(bin) {
			busy += float64(h.Week[b]) / 1000
			n += weeks(rounds(h.First, h.Hour, int64(b)))
		}
	}
	return (busy + ever) / (n + 1)
}

// both joins the parts of two clock hours that an hour covers: part of the first is
// over when it begins.
func both(first, second, part float64) float64 {
	first, second = min(max(first, 0), mostChance), min(max(second, 0), mostChance)
	if part == 0 {
		return bound(first)
	}
	return bound(1 - math.Exp((1-part)*math.Log1p(-first)+part*math.Log1p(-second)))
}

// gapChance is the chance that a gap which has lasted for g seconds ends within an
// hour, by the gaps that were seen and, where they are few, by a heavy tail.
func gapChance(gaps *[gapBins]float32, g float64) float64 {
	g = max(g, 0)
	var ends, lasts float64
	for b, n := range gaps {
		from, to := gapEdges[b], gapEdges[b+1]
		if n == 0 || to <= g {
			continue
		}
		width := to - from
		lasts += float64(n) * (to - max(from, g)) / width
		ends += float64(n) * max(min(to, g+3600)-max(from, g), 0) / width
	}
	return bound((ends + 0.5*3600/(g+7200)) / (lasts + 0.5))
}

func gapBin(g float64) int { return min(int(2*math.Log2(max(g, 30)/30)), gapBins-1) }

// gapEdges are where the bins of gaps begin and end, in seconds.
var gapEdges = func() (e [gapBins + 1]float64) {
	for b := 1; b <= gapBins; b++ {
		e[b] = 30 * math.Exp2(float64(b)/2)
	}
	return e
}()

// decayed is how much n hours weigh of which each counts less by its age.
func decayed(back, n float64) float64 { return (1 - math.Exp(-n/back)) / (1 - math.Exp(-1/back)) }

// weeks is how much n weeks weigh, each counting less by its age.
func weeks(n int64) float64 {
	return (1 - weekPowers[min(n, int64(len(weekPowers)-1))]) / (1 - weekDecay)
}

var weekPowers = func() (p [64]float64) {
	for n := range p {
		p[n] = math.Pow(weekDecay, float64(n))
	}
	return p
}()

// rounds counts the hours from from up to before to that are the given hour of the
// week.
func rounds(from, to, bin int64) int64 {
	up := func(t int64) int64 { return (t - bin + weekHours - 1) / weekHours }
	return max(up(to)-up(from), 0)
}

func hourOf(t float64) int64 { return int64(math.Floor(t / 3600)) }

// weekHour is the hour of the week, from Thursday 00:00 UTC, when 1970 began.
func weekHour(hour int64) int { return int((hour%weekHours + weekHours) % weekHours) }

// weekend reports whether an hour of the week is on a Saturday or Sunday in UTC.
func weekend(bin int) bool { return bin/24 == 2 || bin/24 == 3 }

func bound(p float64) float64 { return min(max(p, leastChance), mostChance) }

func logit(p float64) float64 { return math.Log(p / (1 - p)) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
