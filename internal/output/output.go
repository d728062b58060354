// Package output writes the output of commands: as a table for people, or as
// JSON or YAML for programs.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
)

// Format is an output format.
type Format string

// These are the formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// Style is the style of a table.
type Style struct {
	// Width is the terminal's width in columns; 0 is a pipe, where nothing is
	// wrapped.
	Width int
	Color bool
	// Zone is where times are shown; nil is UTC.
	Zone *time.Location
}

// In returns an instant in the style's zone.
func (s Style) In(t time.Time) time.Time {
	if s.Zone == nil {
		return t.UTC()
	}
	return t.In(s.Zone)
}

// Time shows an instant by its day and time, with the zone.
func (s Style) Time(t time.Time) string { return s.In(t).Format("2006-01-02 15:04:05 MST") }

// Minute shows an instant by its day and minute, with the zone.
func (s Style) Minute(t time.Time) string { return s.In(t).Format("2006-01-02 15:04 MST") }

// Clock shows an instant by its time of day.
func (s Style) Clock(t time.Time) string { return s.In(t).Format("15:04:05") }

// Day shows an instant by month, day and time of day, for the cell of a table.
func (s Style) Day(t time.Time) string { return s.In(t).Format("01-02 15:04:05") }

// Head is the head of a column of times: the zone stands there once.
func (s Style) Head(name string, t time.Time) string {
	return name + " (" + s.In(t).Format("MST") + ")"
}

// clockTime is a time of day as the reasons of decisions have it, in UTC.
var clockTime = regexp.MustCompile(`\b([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\b`)

// Reason shows the times of day in a reason, which are in UTC and near an instant, in the style's
// zone.
func (s Style) Reason(text string, near time.Time) string {
	return clockTime.ReplaceAllStringFunc(text, func(clock string) string {
		t, err := time.Parse(time.DateTime, near.UTC().Format(time.DateOnly)+" "+clock)
		if err != nil {
			return clock
		}
		return s.Clock(t)
	})
}

// Write writes v as JSON or YAML, or calls table for the text format.
func Write(w io.Writer, f Format, v any, table func(io.Writer) error) error {
	if f == Table {
		return table(w)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if f == YAML {
		y, err := yaml.JSONToYAML(b.Bytes())
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		_, err = w.Write(y)
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Rows are the rows of a table, header first. The last column is wrapped to the
// width; the others are as wide as their longest cell.
type Rows struct {
	style Style
	rows  [][]string
}

// NewRows returns a table with the given header.
func NewRows(s Style, head ...string) *Rows { return &Rows{style: s, rows: [][]string{head}} }

// Add adds a row; an empty cell is shown as a dash.
func (r *Rows) Add(cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	r.rows = append(r.rows, cells)
}

// Len is the number of rows without the header.
func (r *Rows) Len() int { return len(r.rows) - 1 }

// Write writes the table.
func (r *Rows) Write(w io.Writer) error {
	widths := make([]int, len(r.rows[0]))
	for _, row := range r.rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	indent := 0
	for _, n := range widths[:len(widths)-1] {
		indent += n + 2
	}
	// A last column with too little room moves to lines of its own.
	below := r.style.Width > 0 && r.style.Width-indent < narrowest && widths[len(widths)-1] > r.style.Width-indent
	for n, row := range r.rows {
		var b strings.Builder
		for i, c := range row[:len(row)-1] {
			b.WriteString(c + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
		}
		last := row[len(row)-1]
		switch {
		case below && n == 0:
			last = ""
		case below:
			last = "\n    " + strings.Join(Wrap(last, r.style.Width-4), "\n    ")
		case r.style.Width > 0:
			last = strings.Join(Wrap(last, r.style.Width-indent), "\n"+strings.Repeat(" ", indent))
		}
		if below {
			last = strings.TrimRight(b.String(), " ") + last
			b.Reset()
		}
		if _, err := io.WriteString(w, b.String()+last+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// narrowest is the minimum width of a wrapped column.
const narrowest = 24

// Println writes a line, wrapped to the width.
func (s Style) Println(w io.Writer, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if s.Width > 0 {
		text = strings.Join(Wrap(text, s.Width), "\n")
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// Wrap breaks a text at blanks into lines of at most width columns; a longer word
// gets a line of its own.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// colours are the terminal colours by sign or word.
var colours = map[string]string{
	"+": "32", "~": "33", "-": "31", "!": "31;1", "ok": "32", "warning": "33", "failed": "31;1",
}

// Paint colours a text by its meaning: a sign of a change, or the result of a
// check.
func (s Style) Paint(meaning, text string) string {
	code, ok := colours[meaning]
	if !s.Color || !ok {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// And joins parts as in a sentence: a, b and c.
func And(parts []string) string {
	out := ""
	for i, p := range parts {
		switch {
		case i == 0:
		case i == len(parts)-1:
			out += " and "
		default:
			out += ", "
		}
		out += p
	}
	return out
}
