package main

import (
	"context"
	"io"

	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/internal/savings"
	"drawbridge/internal/view"
	"drawbridge/scheduler"
)

type savingsCmd struct {
	awsFlags
	Set scheduler.SetName `arg:"" predictor:"set" optional:"" help:"Set. Default: all."`
}

// Help is the longer text of --help; kong calls it.
func (savingsCmd) Help() string {
	return "The recorded runs (90 days) are replayed through the decisions that are in use now, with other " +
		"settings. Nothing is changed."
}

// Run says what the recorded history would have cost otherwise.
func (c *savingsCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	sets, err := chosen(a, c.Set)
	if err != nil {
		return err
	}
	out := []savings.Report{}
	for _, name := range sets {
		r, err := operate.Savings(ctx, a, name)
		if err != nil {
			return err
		}
		out = append(out, r)
	}
	return ss.print(out, func(w io.Writer, style output.Style) error { return view.WriteSavings(w, style, out) })
}
