package view

import (
	"fmt"
	"io"

	"drawbridge/internal/output"
	"drawbridge/internal/savings"
	"drawbridge/scheduler"
)

// WriteSavings writes what recorded runs would have cost otherwise, for people.
func WriteSavings(w io.Writer, style output.Style, reports []savings.Report) error {
	for i, r := range reports {
		if i > 0 {
			fmt.Fprintln(w)
		}
		head := fmt.Sprintf("Set %s: no run is recorded yet.", r.Set)
		if r.Runs > 0 {
			head = fmt.Sprintf("Set %s, %s from %s to %s:", r.Set, scheduler.Count(r.Runs, "run", "runs"),
				style.Minute(r.From), style.Minute(r.Until))
		}
		fmt.Fprintln(w, head)
		if r.Runs == 0 {
			continue
		}
		fmt.Fprintln(w)
		t := output.NewRows(style, "OPTION", "PAID HOURS", "ENDPOINT-HOURS", "USD", "MEAN WAIT")
		for _, o := range r.Options {
			usd := "-"
			if o.USD != nil {
				usd = fmt.Sprintf("%.2f", *o.USD)
			}
			t.Add(o.Name, fmt.Sprint(o.Hours), fmt.Sprint(o.EndpointHours), usd, fmt.Sprintf("%.0fs", o.MeanWait))
		}
		if err := t.Write(w); err != nil {
			return err
		}
		for _, text := range r.Advice {
			fmt.Fprintln(w)
			if err := style.Println(w, "%s", text); err != nil {
				return err
			}
		}
	}
	return nil
}
