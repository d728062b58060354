package view

import (
	"fmt"
	"io"
	"strings"

	"drawbridge/internal/doctor/finding"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// WriteFindings writes findings by subject, for people. With all, every one says why it matters,
// not only those that are not ok.
func WriteFindings(w io.Writer, style output.Style, findings []finding.Finding, all bool) {
	width := style.Width
	if width == 0 {
		width = 100
	}
	last := ""
	for _, f := range findings {
		if f.Subject != last {
			if last != "" {
				fmt.Fprintln(w)
			}
			fmt.Fprintln(w, f.Subject)
			last = f.Subject
		}
		lines := output.Wrap(f.Found, max(width-32, 24))
		fmt.Fprintf(w, "  %s  %-18s  %s\n", style.Paint(string(f.Result), fmt.Sprintf("%-7s", f.Result)), f.Check,
			strings.Join(lines, "\n"+strings.Repeat(" ", 31)))
		if f.Result != finding.OK || all {
			more(w, width, "why", f.Why)
		}
		if f.Remedy != "" {
			more(w, width, "remedy", f.Remedy)
		}
	}
}

func more(w io.Writer, width int, head, text string) {
	fmt.Fprintf(w, "%31s%s\n", head+": ",
		strings.Join(output.Wrap(text, max(width-32, 24)), "\n"+strings.Repeat(" ", 31)))
}

// CountFindings says how many checks were made, and how they ended.
func CountFindings(findings []finding.Finding) string {
	count := map[finding.Result]int{}
	for _, f := range findings {
		count[f.Result]++
	}
	return fmt.Sprintf("%s: %d ok, %s, %d failed", scheduler.Count(len(findings), "check", "checks"), count[finding.OK],
		scheduler.Count(count[finding.Warning], "warning", "warnings"), count[finding.Failed])
}
