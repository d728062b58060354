package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"drawbridge/internal/sandbox"
)

// Style is the style of a report.
type Style struct {
	// Width is the width of the terminal in columns; 0 means 80.
	Width int
	Color bool
}

func (s Style) paint(code, text string) string {
	if !s.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s Style) good(text string) string { return s.paint("32", text) }
func (s Style) bad(text string) string  { return s.paint("31;1", text) }
func (s Style) bold(text string) string { return s.paint("1", text) }
func (s Style) dim(text string) string  { return s.paint("2", text) }

// Write writes the report as text.
func (r Report) Write(w io.Writer, s Style) error {
	if s.Width <= 0 {
		s.Width = 80
	}
	p := &printer{w: w}
	p.line("%s", s.bold(r.Day+" (UTC)"))
	p.line("")
	r.timeline(p, s)
	p.line("")
	r.table(p, s)
	p.line("")
	r.money(p, s)
	p.line("")
	r.promises(p, s)
	return p.err
}

// printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// label is the width of the timeline's first column.
const label = 11

// timeline draws the day; each column is the same length of time.
func (r Report) timeline(p *printer, s Style) {
	columns := 24
	for _, n := range []int{48, 96, 144} {
		if s.Width >= label+n {
			columns = n
		}
	}
	if s.Width < label+24 {
		columns = 12
	}
	start := r.Runs[0].Arrived.Truncate(24 * time.Hour)
	each := 24 * time.Hour / time.Duration(columns)
	cell := func(i int) (from, to time.Time) {
		return start.Add(time.Duration(i) * each), start.Add(time.Duration(i+1) * each)
	}
	row := func(name string, mark func(from, to time.Time) string) {
		var b strings.Builder
		for i := range columns {
			b.WriteString(mark(cell(i)))
		}
		p.line("%-*s%s", label, name, b.String())
	}
	if each <= time.Hour { // two digits and a gap need three columns
		row("hour", func(from, _ time.Time) string { return hourMark(from, each) })
	}
	row("pushes", func(from, to time.Time) string {
		return digit(count(r.Runs, func(x Run) bool { return !x.Arrived.Before(from) && x.Arrived.Before(to) }))
	})
	row("tasks", func(from, to time.Time) string {
		if count(r.Runs, func(x Run) bool {
			return x.Started.Before(to) && x.Finished.After(from) && !x.Started.IsZero()
		}) > 0 {
			return s.good("▄")
		}
		return s.dim("·")
	})
	row("endpoints", func(from, to time.Time) string {
		if count(r.Periods, func(x sandbox.Period) bool { return x.Created.Before(to) && x.Deleted.After(from) }) > 0 {
			return s.good("█")
		}
		return s.dim("·")
	})
}

// hourMark labels every third hour: the tens of 24 h in one column, the ones in
// the next.
func hourMark(from time.Time, each time.Duration) string {
	h, since := from.Hour(), from.Sub(from.Truncate(time.Hour))
	text := fmt.Sprintf("%02d", h-h%3)
	i := int((time.Duration(h%3)*time.Hour + since) / each)
	if i < len(text) {
		return text[i : i+1]
	}
	return " "
}

func count[T any](list []T, is func(T) bool) int {
	n := 0
	for _, x := range list {
		if is(x) {
			n++
		}
	}
	return n
}

func digit(n int) string {
	switch {
	case n == 0:
		return " "
	case n > 9:
		return "+"
	}
	return fmt.Sprint(n)
}

func (r Report) table(p *printer, s Style) {
	p.line("%s",
		s.bold(fmt.Sprintf("%-9s %-9s %-9s %-9s %8s  %s", "RUN", "ARRIVED", "STARTED", "STOPPED", "WAIT", "EXIT CODE")))
	for _, x := range r.Runs {
		if x.Started.IsZero() {
			p.line("%-9s %-9s %s", x.ID, clock(x.Arrived), s.bad("never started"))
			continue
		}
		exit := s.good("0")
		if x.ExitCode != 0 {
			exit = s.bad(fmt.Sprint(x.ExitCode))
		}
		p.line("%-9s %-9s %-9s %-9s %8s  %s", x.ID, clock(x.Arrived), clock(x.Started), clock(x.Finished),
			(time.Duration(x.Wait*10) * time.Second / 10).String(), exit)
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

func (r Report) money(p *printer, s Style) {
	p.line("%s",
		s.bold(fmt.Sprintf("%-28s %10s %9s  %s", fmt.Sprintf("%d ENDPOINTS, 1 ZONE", r.Endpoints), "PAID HOURS", "USD",
			"RUNS CUT OFF")))
	for i, c := range r.Costs {
		cut := "0"
		if c.Interrupted > 0 {
			cut = s.bad(fmt.Sprint(c.Interrupted))
		}
		line := fmt.Sprintf("%-28s %10d %9.2f  ", c.Name, c.Hours, c.USD)
		if i == 0 {
			line = s.good(line)
		}
		p.line("%s%s", line, cut)
	}
	first, last := r.Costs[0], r.Costs[len(r.Costs)-1]
	if last.USD > 0 {
		p.line("%.0f %% less than always on.", 100*(1-first.USD/last.USD))
	}
}

func (r Report) promises(p *printer, s Style) {
	p.line("%s", s.bold("PROMISES, checked against the simulation's ledger"))
	for _, x := range r.Promises {
		mark := s.good("kept  ")
		if !x.Kept {
			mark = s.bad("BROKEN")
		}
		if s.Width >= 100 {
			p.line("%d %s %-33s %s", x.Number, mark, x.Name, s.dim(x.Evidence))
			continue
		}
		p.line("%d %s %s", x.Number, mark, x.Name)
		for _, part := range wrap(x.Evidence, max(s.Width-9, 20)) {
			p.line("         %s", s.dim(part))
		}
	}
}

// wrap breaks text into lines of at most width columns.
func wrap(text string, width int) []string {
	var out []string
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && len(line)+1+len(w) > width {
			out = append(out, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+w, " ")
	}
	return append(out, line)
}
