package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// usd prints dollars with two decimals, less than a cent with four; "?" is an unknown price.
func usd(v *float64) string {
	switch {
	case v == nil:
		return "?"
	case *v != 0 && *v < 0.01 && *v > -0.01:
		return fmt.Sprintf("%.4f", *v)
	}
	return kilo(fmt.Sprintf("%.2f", *v))
}

// hours prints a number of hours, whole ones without decimals.
func hours(h float64) string {
	if h == float64(int(h)) {
		return kilo(strconv.Itoa(int(h)))
	}
	return kilo(fmt.Sprintf("%.1f", h))
}

// kilo sets commas between the thousands of a printed number.
func kilo(v any) string {
	s := fmt.Sprint(v)
	whole, rest, dot := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dot {
		return whole + "." + rest
	}
	return whole
}

func share(v *float64) string {
	if v == nil {
		return "?"
	}
	if *v < 0 {
		return fmt.Sprintf("nothing (%.0f%% more)", -100**v)
	}
	if *v > 0.99 && *v < 1 { // nobody saves everything
		return fmt.Sprintf("%.1f%%", min(99.9, 100**v))
	}
	return fmt.Sprintf("%.0f%%", 100**v)
}

// seconds prints a length of time as people say it.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", s)
	case d < 2*time.Hour:
		return short(d.Minutes()) + " min"
	}
	return short(d.Hours()) + " h"
}

// bucketName names the waits from one bound to the next; to is 0 for no bound.
func bucketName(from, to float64) string {
	name := func(s float64) (n float64, unit string) {
		switch {
		case s < 60:
			return s, "s"
		case s < 3600:
			return s / 60, "min"
		}
		return s / 3600, "h"
	}
	a, unit := name(from)
	b, end := name(to)
	switch {
	case from == 0:
		return fmt.Sprintf("< %g %s", b, end)
	case to == 0:
		return fmt.Sprintf("≥ %g %s", a, unit)
	case unit == end:
		return fmt.Sprintf("%g–%g %s", a, b, unit)
	}
	return fmt.Sprintf("%g %s – %g %s", a, unit, b, end)
}

// wide reports whether a text is too long to stand in one line of a table.
func wide(s string) bool { return len(s) > 32 }

// shade returns which of five shades a number gets, 0 for none.
func shade(n, most int) int {
	if n == 0 {
		return 0
	}
	return 1 + min(4, 5*(n-1)/max(most, 1))
}

// at prints an instant in a zone; "" for none.
func at(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("2006-01-02 15:04:05")
}

// writeJSON writes the report with what it adds up to.
func (r Report) writeJSON(w io.Writer, zone *time.Location) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Report
		Figures Figures `json:"figures"`
	}{r, r.Figures(zone)})
}

// writeCSV writes all that happened, a row each.
func (r Report) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{
		"kind", "set", "name", "received", "from", "available", "deleting", "until", "endpoint_hours", "usd",
		"outcome", "reason",
	})
	for _, s := range r.Sets {
		for _, g := range s.Generations {
			outcome, cost := "", ""
			if g.Failed {
				outcome = "failed"
			}
			if s.Price > 0 {
				cost = fmt.Sprintf("%.4f", float64(g.Hours*s.billed())*s.Price)
			}
			_ = c.Write([]string{"generation", cell(s.Name), strconv.Itoa(g.Number), "", utc(g.Created),
				utc(g.Available),
				utc(g.Deleting), utc(g.Deleted), strconv.Itoa(g.Hours * s.billed()), cost, outcome, ""})
		}
		for _, d := range s.Decisions {
			_ = c.Write(
				[]string{"decision", cell(s.Name), cell(d.Action), "", utc(d.At), "", "", "", "", "", "",
					cell(d.Reason)},
			)
		}
	}
	for _, x := range r.Runs {
		_ = c.Write(
			[]string{"run", cell(x.Set), cell(x.ID), utc(x.Received), utc(x.Started), "", "", utc(x.Finished), "", "",
				x.Outcome, cell(x.Reason)},
		)
	}
	for _, x := range r.Spans {
		_ = c.Write(
			[]string{
				cell(x.Kind),
				cell(x.Set),
				cell(x.Name),
				"",
				utc(x.From),
				"",
				"",
				utc(x.Until),
				"",
				"",
				"",
				cell(x.Reason),
			},
		)
	}
	c.Flush()
	return c.Error()
}

// cell keeps a spreadsheet from taking a text for a formula.
//
// Source: https://owasp.org/www-community/attacks/CSV_Injection
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// writeMarkdown writes what matters as Markdown: the money, the waits, what failed, what could be better.
func (r Report) writeMarkdown(w io.Writer, zone *time.Location) error {
	f := r.Figures(zone)
	p := &printer{w: w}
	p.line("# %s", mark(r.Title))
	p.line("")
	if !r.From.IsZero() {
		p.line("%s to %s (%s)", at(r.From, zone), at(r.Until, zone), zone)
	}
	if len(r.Sets) > 0 {
		p.line("")
		p.line("| | endpoint-hours | USD |")
		p.line("| --- | ---: | ---: |")
		p.line("| paid | %s | %s |", kilo(f.Paid.Hours), usd(f.Paid.USD))
		p.line("| always on | %s | %s |", kilo(f.AlwaysOn.Hours), usd(f.AlwaysOn.USD))
		p.line("| best possible | %s | %s |", kilo(f.Best.Hours), usd(f.Best.USD))
		if r.OwnUSD != nil {
			p.line("| Drawbridge itself | | %s |", usd(r.OwnUSD))
		}
		p.line("")
		p.line("Saved against always on: %s", share(f.Saved))
	}
	p.shares("job", f.ByJob)
	p.runs(f, zone)
	for _, t := range r.Tables {
		p.table(t)
	}
	if len(r.Promises) > 0 {
		p.line("")
		for _, x := range r.Promises {
			kept := "kept"
			if !x.Kept {
				kept = "**BROKEN**"
			}
			p.line("- Promise %d, %s: %s (%s)", x.Number, mark(x.Name), kept, mark(x.Evidence))
		}
	}
	for _, list := range [][]string{r.Advice, r.Notes} {
		if len(list) > 0 {
			p.line("")
		}
		for _, x := range list {
			p.line("- %s", mark(x))
		}
	}
	return p.err
}

// runs writes how runs waited, and why some failed.
func (p *printer) runs(f Figures, zone *time.Location) {
	if n := f.Waits.Cold.Runs + f.Waits.Warm.Runs; n > 0 {
		p.line("")
		p.line("| wait | runs | median | 95 %% | longest |")
		p.line("| --- | ---: | ---: | ---: | ---: |")
		for _, x := range []struct {
			name string
			Quantiles
		}{{"cold", f.Waits.Cold}, {"warm", f.Waits.Warm}} {
			p.line("| %s | %s | %s | %s | %s |", x.name, kilo(x.Runs), seconds(x.Median), seconds(x.P95),
				seconds(x.Max))
		}
	}
	if len(f.Failures) > 0 {
		p.line("")
		p.line("| failures | runs | last | why |")
		p.line("| --- | ---: | --- | --- |")
		for _, x := range f.Failures {
			p.line("| %s | %d | %s | %s |", mark(x.Cause), x.Runs, at(x.Last, zone), mark(x.Why))
		}
	}
}

// mark keeps a text from being Markdown.
func mark(s string) string {
	return strings.NewReplacer("\n", " ", `\`, `\\`, "|", `\|`, "&", "&amp;", "<", "&lt;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`,
		"]", `\]`, "!", `\!`).Replace(s)
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

func (p *printer) shares(of string, all []Share) {
	if len(all) == 0 {
		return
	}
	p.line("")
	p.line("| %s | runs | endpoint-hours | USD |", of)
	p.line("| --- | ---: | ---: | ---: |")
	for _, s := range all {
		p.line("| %s | %s | %s | %s |", mark(s.Name), kilo(s.Runs), hours(s.Hours), usd(s.USD))
	}
}

func (p *printer) table(t Table) {
	p.line("")
	p.line("## %s", mark(t.Title))
	p.line("")
	p.line("| %s |", strings.Join(t.Head, " | "))
	p.line("|%s", strings.Repeat(" --- |", len(t.Head)))
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = mark(c)
		}
		p.line("| %s |", strings.Join(cells, " | "))
	}
}
