package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/hint"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed picture.css
	pictureStyle string
	//go:embed page.js
	pageJS string

	// uPlot 1.6.32, https://github.com/leeoniya/uPlot, MIT licence: see uplot/LICENSE.
	//
	//go:embed uplot/uPlot.iife.min.js
	uplotJS string
	//go:embed uplot/uPlot.min.css
	uplotCSS string
)

// maxBytes is what a page takes at most, a little less than a megabyte: it lists and explains the latest runs that fit.
// Figures are of all.
const maxBytes = 960_000

// leastBytes is what the runs get in any case: some thousand of them.
const leastBytes = 50_000

var errNoTimeline = hint.New("there is no set to draw", "give --format html or md")

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"usd": usd, "hours": hours, "share": share, "seconds": seconds, "at": at,
	"kilo": kilo, "shade": shade, "wide": wide, "dict": func(of string,
		all []Share) map[string][]Share {
		return map[string][]Share{of: all}
	},
}).Parse(pageHTML))

// view is what the page's template sees.
type view struct {
	Report
	Figures
	Zone     *time.Location
	Policy   string
	Style    template.CSS
	Script   template.JS
	Timeline template.HTML
	Data     data
	Weekdays []string
	MostHour int // the largest number of arrivals in an hour of the week
	Listed   int
	AnyUSD   bool
}

// data is what the page's script works with, in few bytes: names and reasons stand once, times are seconds of
// the epoch, but for generations and runs: these are created, or received, so long after From, and all else so long after
// that. Null is what is not known.
type data struct {
	Zone      string   `json:"zone"`
	From      int64    `json:"from"`
	Until     int64    `json:"until"`
	Unlisted  int      `json:"unlisted"` // how many older runs are not in it
	Rows      []rowAt  `json:"rows"`
	Height    float64  `json:"height"`
	Head      int      `json:"head"`
	Each      float64  `json:"each"`
	Left      int      `json:"left"`
	Width     int      `json:"width"`
	Texts     []string `json:"texts"`
	Sets      []setAt  `json:"sets"`
	Runs      [][]any  `json:"runs"`
	Spans     [][]any  `json:"spans"`
	Money     [][]any  `json:"money"`
	MoneyUSD  bool     `json:"moneyUSD"`
	texts     *texts
	Waits     [][]any  `json:"waits"`
	WaitNames []string `json:"waitNames"`
}

// rowAt is a row of the timeline: its stretches of time as seconds of the wall clock, begin and end.
type rowAt struct {
	Name  string     `json:"name"`
	Parts [][3]int64 `json:"parts"`
}

// setAt is a set: an hour of it is Each endpoint-hours, and costs Cost; always on counts from Since.
type setAt struct {
	Name        int     `json:"name"`
	Each        int     `json:"each"`
	Cost        float64 `json:"cost"`
	Since       int64   `json:"since"`
	Generations [][]any `json:"generations"`
	Decisions   [][]any `json:"decisions"`
}

// texts numbers texts, each once.
type texts struct {
	all []string
	ids map[string]int
}

func (t *texts) id(s string) int {
	i, ok := t.ids[s]
	if !ok {
		i = len(t.all)
		t.ids[s], t.all = i, append(t.all, s)
	}
	return i
}

// writeHTML writes the page. It needs nothing but itself: style, script and data are in it, and its policy
// lets it load nothing.
func (r Report) writeHTML(w io.Writer, zone *time.Location) error {
	f := r.Figures(zone)
	timeline := r.timeline(zone, "")
	v := view{
		Report: r, Figures: f, Zone: zone, Data: r.data(f, zone),
		Style: template.CSS(uplotCSS + pageCSS + pictureStyle),
		Script: template.JS(
			uplotJS + "\n" + pageJS,
		), Timeline: template.HTML(timeline), //nolint:gosec // ours, names are escaped
		Weekdays: []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}, AnyUSD: f.Paid.USD != nil,
	}
	rest, err := json.Marshal(v.Data)
	if err != nil {
		return err
	}
	v.Data.list(r, max(maxBytes-len(timeline)-len(rest)-len(v.Style)-len(v.Script), leastBytes))
	v.Listed = len(v.Data.Runs)
	for _, day := range f.Arrivals {
		v.MostHour = max(v.MostHour, slices.Max(day[:]))
	}
	v.Policy = fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action 'none'",
		digest(string(v.Style)), digest(string(v.Script)))
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// digest names a text as a content security policy does.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (r Report) data(f Figures, zone *time.Location) data {
	t := &texts{ids: map[string]int{}}
	d := data{
		Zone:     zone.String(),
		From:     r.From.Unix(),
		Until:    r.Until.Unix(),
		Head:     headHeight,
		Left:     labelWidth,
		Width:    dayWidth,
		MoneyUSD: f.Paid.USD != nil,
		Sets:     []setAt{},
		Runs:     [][]any{},
		Spans:    [][]any{},
		Money:    [][]any{},
	}
	rows := days(r.From, r.Until, zone)
	d.Height = rowHeight(len(rows))
	d.Each = headHeight + d.Height*float64(len(rows)) + 14
	for _, x := range rows {
		row := rowAt{Name: x.name}
		for _, p := range x.parts {
			row.Parts = append(row.Parts, [3]int64{int64(p.clock / time.Second), p.from.Unix(), p.until.Unix()})
		}
		d.Rows = append(d.Rows, row)
	}
	for _, s := range r.Sets {
		set := s.at(r.From, t)
		if f.Paid.USD != nil {
			set.Cost *= s.Price
		}
		d.Sets = append(d.Sets, set)
	}
	for _, x := range r.Spans {
		d.Spans = append(
			d.Spans,
			[]any{t.id(x.Set), t.id(x.Kind), t.id(x.Name), unix(x.From), unix(x.Until), t.id(x.Reason)},
		)
	}
	for _, x := range f.Growth {
		d.Money = append(d.Money, []any{x.At.Unix(), x.Paid, x.AlwaysOn, x.Best})
	}
	before := 0.0
	for _, b := range f.Waits.Buckets {
		d.Waits = append(d.Waits, []any{b.Cold, b.Warm})
		d.WaitNames = append(d.WaitNames, bucketName(before, b.To))
		before = b.To
	}
	d.texts = t
	return d
}

// at is the set as the page takes it, with its texts among t.
func (s Set) at(from time.Time, t *texts) setAt {
	set := setAt{
		Name: t.id(s.Name), Generations: [][]any{}, Decisions: [][]any{}, Each: s.billed(),
		Since: later(from, s.Since).Unix(), Cost: float64(s.billed()),
	}
	for _, g := range s.Generations {
		after := func(t time.Time) any {
			if t.IsZero() {
				return nil
			}
			return t.Unix() - g.Created.Unix()
		}
		row := []any{g.Number, g.Created.Unix() - from.Unix(), after(g.Available), after(g.Deleting), after(g.Deleted),
			g.Hours, after(g.PaidFrom)}
		if g.Failed {
			row = append(row, 1)
		}
		set.Generations = append(set.Generations, row)
	}
	for _, x := range s.Decisions {
		set.Decisions = append(set.Decisions, []any{unix(x.At), t.id(x.Action), t.id(x.Reason)})
	}
	return set
}

// list adds the latest runs that fit into so many bytes.
func (d *data) list(r Report, left int) {
	d.Runs = r.rows(d.texts, left)
	d.Unlisted, d.Texts = len(r.Runs)-len(d.Runs), d.texts.all
}

// rows returns the latest runs, as many as fit, the oldest of them first.
func (r Report) rows(t *texts, left int) [][]any {
	out := [][]any{}
	size := 0
	for _, x := range slices.Backward(r.Runs) {
		var wait, ran any
		if !x.Started.IsZero() {
			wait = int64(max(0, x.Started.Sub(x.Received)).Seconds())
			if !x.Finished.IsZero() {
				ran = int64(x.Finished.Sub(x.Started).Seconds())
			}
		}
		texts := len(t.all)
		row := []any{
			t.id(x.Set),
			t.id(x.Job),
			strings.TrimPrefix(x.ID, x.Job+"/"),
			x.Received.Unix() - r.From.Unix(),
			wait,
			ran,
			t.id(x.Outcome),
			t.id(x.Reason),
			flag(x.Cold) + 2*flag(x.Failed()) + 4*flag(x.WaitUnknown),
		}
		size += 20 + len(fmt.Sprint(row...))
		for _, s := range t.all[texts:] {
			size += len(s)
		}
		if size > left {
			break
		}
		out = append(out, row)
	}
	slices.Reverse(out)
	return out
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// unix returns seconds of the epoch, nil for a time that is not known.
func unix(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}

// Format is how a report is written.
type Format string

// The formats.
const (
	HTML     Format = "html"
	SVG      Format = "svg"
	CSV      Format = "csv"
	JSON     Format = "json"
	Markdown Format = "md"
)

// WriteFile writes a tidy report to a file, in place of what the file held, and returns its size. The file is
// written once the report is whole.
func (r Report) WriteFile(name string, f Format, zone *time.Location) (size int, err error) {
	var b bytes.Buffer
	if err := r.Write(&b, f, zone); err != nil {
		return 0, err
	}
	return b.Len(), os.WriteFile(name, b.Bytes(), 0o600)
}

// Write writes a tidy report. Times are those of a zone, in CSV and JSON those of UTC.
func (r Report) Write(w io.Writer, f Format, zone *time.Location) error {
	switch f {
	case HTML:
		return r.writeHTML(w, zone)
	case SVG:
		return r.writeSVG(w, zone)
	case CSV:
		return r.writeCSV(w)
	case JSON:
		return r.writeJSON(w, zone)
	case Markdown:
		return r.writeMarkdown(w, zone)
	}
	return errors.New("there is no format " + string(f))
}
