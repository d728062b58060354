package selftest

import (
	"fmt"
	"io"
	"strings"

	"drawbridge/internal/output"
)

// Write writes what a selftest found, for people.
func (r *Report) Write(w io.Writer, style output.Style) error {
	fmt.Fprintf(w, "Selftest in %s of account %s, %s to %s UTC\n\n", r.Region, r.Account,
		r.Began.UTC().Format("2006-01-02 15:04"), r.Ended.UTC().Format("15:04"))
	if r.Outcome == "" {
		fmt.Fprintln(w, "Everything that was tried came to its end.")
	} else if err := style.Println(w, "It did not come to its end: %s", r.Outcome); err != nil {
		return err
	}
	for _, l := range r.Left {
		if err := style.Println(w, "LEFT BEHIND, and billed by the hour: %s", l); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "%d endpoint-hours, %.2f USD.\n\nRefused\n", r.EndpointHours, r.USD)
	if len(r.Refused) == 0 {
		fmt.Fprintln(w, "  nothing")
	}
	for _, x := range r.Refused {
		what := x.Text
		if x.Action != "" {
			what = x.Who + " lacks " + x.Action
		}
		if err := style.Println(w, "  %s", what); err != nil {
			return err
		}
		if err := style.Println(w, "    %s", x.Remedy); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	rows := output.NewRows(style, "TIMES", "SECONDS", "SIMULATED")
	for _, t := range r.Times {
		rows.Add(t.What, fmt.Sprintf("%.0f", t.Seconds), fmt.Sprintf("%.0f", t.Expected))
	}
	if err := rows.Write(w); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nQuestions that only an account answers")
	for _, q := range r.Questions {
		answer := q.Answer
		if answer == "" {
			answer = "open: " + q.How
		}
		if err := style.Println(w, "  %s %s", q.Text, answer); err != nil {
			return err
		}
	}
	fmt.Fprintln(w, "\nOtherwise than in the simulation")
	if len(r.Differences) == 0 {
		fmt.Fprintln(w, "  nothing")
	}
	for _, d := range r.Differences {
		if err := style.Println(w, "  %s of %s: %s", d.Kind, d.Where,
			strings.TrimSpace(d.Seen+"; simulated: "+d.Expected)); err != nil {
			return err
		}
	}
	return nil
}
