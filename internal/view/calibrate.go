package view

import (
	"fmt"
	"io"

	"drawbridge/internal/calibrate"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// WriteFinding writes what the bill tells of where paid hours begin, for people.
func WriteFinding(w io.Writer, style output.Style, f calibrate.Finding, configured scheduler.Basis) error {
	text := "The bill does not say yet: " + f.Reason + "."
	if f.Basis != "" {
		text = fmt.Sprintf("Paid hours are counted by %s: %s.",
			map[scheduler.Basis]string{
				scheduler.Clock: "the clock", scheduler.Creation: "the time since creation",
			}[f.Basis], f.Reason)
	}
	if err := style.Println(w, "%s", text); err != nil {
		return err
	}
	if len(f.Lines) > 0 {
		fmt.Fprintln(w)
		t := output.NewRows(style, "HOUR (UTC)", "BILLED", "CLOCK", "CREATION")
		for _, l := range f.Lines {
			t.Add(l.Hour.Format("2006-01-02 15:04"), fmt.Sprintf("%g", l.Billed), fmt.Sprint(l.Clock),
				fmt.Sprint(l.Creation))
		}
		if err := t.Write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
		if err := style.Println(w,
			"Endpoint-hours above the %g of other endpoints, over %s; CLOCK and CREATION are what either basis "+
				"would show.", f.Background, scheduler.Count(f.Lives, "time", "times")); err != nil {
			return err
		}
	}
	switch f.Basis {
	case "":
		return nil
	case configured:
		return style.Println(w, "The configuration says the same: billing: %s.", configured)
	}
	return style.Println(w, "The configuration says billing: %s. Change it to billing: %s and deploy.", configured,
		f.Basis)
}
