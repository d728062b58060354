package view

import (
	"fmt"
	"io"

	"drawbridge/endpoints"
	"drawbridge/internal/output"
)

// WriteRequirements writes which endpoints a workload needs and why, for people.
func WriteRequirements(w io.Writer, style output.Style, r endpoints.Requirements) error {
	t := output.NewRows(style, "SERVICE", "TYPE", "BECAUSE")
	for _, n := range r.Services {
		for i, why := range n.Because {
			if i == 0 {
				t.Add(string(n.Service), string(n.Type), why)
			} else {
				t.Add(" ", " ", why)
			}
		}
	}
	if t.Len() == 0 {
		fmt.Fprintln(w, "no endpoints are needed")
	} else if err := t.Write(w); err != nil {
		return err
	}
	for _, u := range r.Unreachable {
		fmt.Fprintln(w)
		if err := style.Println(w, "%s %s", style.Paint("failed", "unreachable:"), u.What); err != nil {
			return err
		}
		if err := style.Println(w, "remedy: %s", u.Remedy); err != nil {
			return err
		}
	}
	for _, u := range r.Unseen {
		fmt.Fprintln(w)
		if err := style.Println(w, "not looked at: %s", u); err != nil {
			return err
		}
	}
	for i, a := range r.Avoidable {
		if i == 0 {
			fmt.Fprintln(w, "\nTo do without, as each costs by the hour:")
		}
		if err := style.Println(w, "  %s: %s", a.Service, a.How); err != nil {
			return err
		}
	}
	return nil
}
