package report

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// The timeline is a row a day for each set, midnight to midnight by the wall clock of its zone. Lengths are in
// units of the picture, which is scaled as a whole.
const (
	pictureWidth = 1000
	labelWidth   = 92
	dayWidth     = 864
	headHeight   = 44
	// maxDays is how many days are drawn for a set, the latest ones.
	maxDays = 400
)

// day is a row: a day by the wall clock, and the stretches of time in it between which the clock is not put
// forward or back.
type day struct {
	name  string
	parts []part
}

// part is a stretch of time that begins so long after the wall clock's midnight.
type part struct {
	from, until time.Time
	clock       time.Duration
}

// days returns the rows between two instants, the latest maxDays.
func days(from, until time.Time, zone *time.Location) []day {
	if first := until.AddDate(0, 0, 1-maxDays); from.Before(first) {
		from = first
	}
	y, m, d := from.In(zone).Date()
	var out []day
	for n := 0; ; n++ {
		at, next := midnight(y, m, d+n, zone), midnight(y, m, d+n+1, zone)
		if n > 0 && !at.Before(until) {
			return out
		}
		name := at.Format("Mon 2 Jan")
		if n == 0 || at.YearDay() == 1 {
			name = at.Format("2 Jan 2006")
		}
		out = append(out, day{name, parts(at, next)})
	}
}

// midnight returns the first instant of a date: where the clocks go forward at midnight, that is later.
func midnight(y int, m time.Month, d int, zone *time.Location) time.Time {
	noon := time.Date(y, m, d, 12, 0, 0, 0, zone)
	at := time.Date(y, m, d, 0, 0, 0, 0, zone)
	for at.Day() != noon.Day() {
		at = at.Add(15 * time.Minute)
	}
	return at
}

// parts splits a day where its clock is changed, which is on a quarter of an hour everywhere.
func parts(from, until time.Time) []part {
	const quarter = 15 * time.Minute
	offset := func(t time.Time) int { _, o := t.Zone(); return o }
	clock := func(t time.Time) time.Duration {
		return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	}
	begin := from
	var out []part
	for t := from.Add(quarter); t.Before(until); t = t.Add(quarter) {
		if offset(t) != offset(begin) {
			out = append(out, part{begin, t, clock(begin)})
			begin = t
		}
	}
	return append(out, part{begin, until, clock(begin)})
}

// rowHeight returns how high a row is, that few are not lost and many fit.
func rowHeight(rows int) float64 {
	switch {
	case rows <= 2:
		return 56
	case rows <= 8:
		return 36
	case rows <= 62:
		return 22
	}
	return 12
}

// layer is one kind of bars in a set's rows, drawn as one path: where they lie in a row, as parts of its
// height.
type layer struct {
	class        string
	middle, high float64
	path         strings.Builder
	// open is the last bar, which the next one may join; nil before the first.
	open *stroke
	pen  *stroke // the last bar in the path
}

// stroke is a bar that is not in the path yet.
type stroke struct{ left, right, y float64 }

// low is the height below which rows are drawn to whole units, and bars that touch there become one: a year of several
// sets would be larger than a page may be.
const low = 20

// add adds a bar, or lengthens the last one by it.
func (l *layer) add(s stroke, height float64) {
	if o := l.open; height < low && o != nil && o.y == s.y && s.left <= o.right+0.5 && s.left >= o.left {
		o.right = max(o.right, s.right)
		return
	}
	l.close(height)
	l.open = &s
}

// close puts the last bar into the path.
func (l *layer) close(height float64) {
	switch o := l.open; {
	case o == nil:
	case height < low:
		left := math.Round(o.left)
		width := max(math.Round(o.right)-left, 1)
		if l.pen != nil && l.pen.y == o.y { // on from where the last bar of the row ended
			fmt.Fprintf(&l.path, "m%.0f 0h%.0f", left-l.pen.right, width)
		} else {
			fmt.Fprintf(&l.path, "M%.0f %sh%.0f", left, short(o.y), width)
		}
		l.pen = &stroke{left, left + width, o.y}
	default:
		fmt.Fprintf(&l.path, "M%s %sh%s", short(o.left), short(o.y), short(o.right-o.left))
	}
	l.open = nil
}

// layers are the kinds in the order in which they are drawn.
func layers() []*layer {
	return []*layer{
		{class: "paid", middle: 0.5, high: 0.9},
		{class: "raise", middle: 0.36, high: 0.34},
		{class: "up", middle: 0.36, high: 0.34},
		{class: "lower", middle: 0.36, high: 0.34},
		{class: "span", middle: 0.12, high: 0.12},
		{class: "run", middle: 0.74, high: 0.3},
		{class: "bad", middle: 0.5, high: 0.9},
		{class: "decision", middle: 0.36, high: 0.34},
	}
}

// picture draws sets one below the other.
type picture struct {
	days   []day
	height float64 // of a row
	top    float64 // of the set that is drawn
	b      *strings.Builder
}

// bar adds a bar from one instant to another to a layer, at least least wide, gap narrower at its end.
func (p *picture) bar(l *layer, from, until time.Time, least, gap float64) {
	for i, d := range p.days {
		if !until.After(d.parts[0].from) && !from.Equal(d.parts[0].from) {
			break
		}
		y := p.top + headHeight + p.height*(float64(i)+l.middle)
		for _, x := range d.parts {
			a, b := later(from, x.from), until
			if b.After(x.until) {
				b = x.until
			}
			if b.Before(a) || !a.Before(x.until) {
				continue
			}
			left := labelWidth + dayWidth*float64(a.Sub(x.from)+x.clock)/float64(24*time.Hour)
			width := max(dayWidth*float64(b.Sub(a))/float64(24*time.Hour)-gap, least)
			l.add(stroke{left, left + width, y}, p.height)
		}
	}
}

// short prints a length to a tenth of a unit.
func short(x float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
}

// Timeline draws the sets as an SVG picture without its style. It returns "" without sets.
func (r Report) timeline(zone *time.Location, style string) string {
	if len(r.Sets) == 0 {
		return ""
	}
	b := &strings.Builder{}
	p := &picture{days: days(r.From, r.Until, zone), b: b}
	p.height = rowHeight(len(p.days))
	each := headHeight + p.height*float64(len(p.days)) + 14
	total := each * float64(len(r.Sets))
	fmt.Fprintf(
		b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %s" role="img" aria-label="%s" class="timeline">`,
		pictureWidth,
		short(total),
		html.EscapeString(r.Title),
	)
	if style != "" {
		fmt.Fprintf(b, "<style>%s</style>", style)
	}
	for i, s := range r.Sets {
		p.top = each * float64(i)
		p.set(r, s)
	}
	b.WriteString("</svg>")
	return b.String()
}

func (p *picture) set(r Report, s Set) {
	fmt.Fprintf(p.b, `<text x="0" y="%s" class="name">%s</text>`, short(p.top+18), html.EscapeString(cut(s.Name, 60)))
	p.grid()
	ls := layers()
	kinds := map[string]*layer{}
	for _, l := range ls {
		kinds[l.class] = l
	}
	for _, g := range s.Generations {
		p.generation(kinds, g, r.Until)
	}
	for _, x := range r.Spans {
		if x.Set == s.Name {
			until := x.Until
			if until.IsZero() {
				until = later(r.Until, x.From)
			}
			p.bar(kinds["span"], x.From, until, 1, 0)
		}
	}
	for _, x := range r.Runs {
		switch {
		case x.Set != s.Name:
		case x.Failed():
			from := later(x.Received, x.Started)
			p.bar(kinds["bad"], from, later(from, x.Finished), 1.6, 0)
		case !x.Started.IsZero():
			p.bar(kinds["run"], x.Started, x.end(r.Until), 0.8, 0)
		}
	}
	for _, d := range s.Decisions {
		p.bar(kinds["decision"], d.At, d.At, 0.7, 0)
	}
	for _, l := range ls {
		if l.close(p.height); l.path.Len() > 0 {
			fmt.Fprintf(p.b, `<path class="%s" stroke-width="%s" d="%s"/>`, l.class, short(l.high*p.height), l.path.String())
		}
	}
}

// generation draws a generation: its paid hours as boxes, and what was happening.
func (p *picture) generation(kinds map[string]*layer, g Generation, until time.Time) {
	for h := range g.Hours {
		at := g.PaidFrom.Add(time.Duration(h) * time.Hour)
		gap := 1.0
		if p.height < low {
			gap = 0
		}
		p.bar(kinds["paid"], at, at.Add(time.Hour), 1, gap)
	}
	end := g.end(until)
	up, down := g.Available, g.Deleting
	if down.IsZero() {
		down = end
	}
	if up.IsZero() {
		up = down
	}
	p.bar(kinds["raise"], g.Created, up, 0.5, 0)
	if !g.Available.IsZero() {
		p.bar(kinds["up"], up, down, 0.5, 0)
	}
	if !g.Deleting.IsZero() {
		p.bar(kinds["lower"], down, end, 0.5, 0)
	}
}

// grid draws the hours, and names the days.
func (p *picture) grid() {
	var lines strings.Builder
	bottom := p.height * float64(len(p.days))
	for h := 0; h <= 24; h += 3 {
		x := labelWidth + dayWidth*float64(h)/24
		fmt.Fprintf(&lines, "M%s %sv%s", short(x), short(p.top+headHeight), short(bottom))
		fmt.Fprintf(p.b, `<text x="%s" y="%s" class="hour">%02d</text>`, short(x), short(p.top+headHeight-5), h)
	}
	for i := range len(p.days) + 1 {
		fmt.Fprintf(&lines, "M%d %sh%d", labelWidth, short(p.top+headHeight+p.height*float64(i)), dayWidth)
	}
	fmt.Fprintf(p.b, `<path class="grid" d="%s"/>`, lines.String())
	for i, d := range p.days {
		if p.height < 20 && i%7 != 0 {
			continue
		}
		fmt.Fprintf(
			p.b,
			`<text x="0" y="%s" class="day">%s</text>`,
			short(p.top+headHeight+p.height*(float64(i)+0.5)+4),
			d.name,
		)
	}
}

// cut shortens a name that is longer than most letters.
func cut(name string, most int) string {
	if r := []rune(name); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return name
}

// writeSVG writes the timeline as a picture of its own.
func (r Report) writeSVG(w io.Writer, zone *time.Location) error {
	text := r.timeline(zone, pictureStyle)
	if text == "" {
		return errNoTimeline
	}
	_, err := io.WriteString(w, text+"\n")
	return err
}
