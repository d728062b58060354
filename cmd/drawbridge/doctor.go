package main

import (
	"context"
	"fmt"
	"io"

	"drawbridge/internal/doctor"
	"drawbridge/internal/doctor/finding"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
)

type doctorCmd struct {
	awsFlags
	All bool `short:"a" help:"Say of every check why it matters, not only of those that failed."`
}

// Help is the longer text of --help; kong calls it.
func (doctorCmd) Help() string { return "Only reads. Exit code 1: a check has failed." }

// Run makes every check and prints the findings.
func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	findings, err := doctor.New(ss.aws, ss.config, ss.install).Look(ctx)
	if err != nil {
		return err
	}
	if err := ss.print(findings, func(w io.Writer, style output.Style) error {
		view.WriteFindings(w, style, findings, c.All)
		_, err := fmt.Fprintf(w, "\n%s\n", view.CountFindings(findings))
		return err
	}); err != nil {
		return err
	}
	if finding.Worst(findings) == finding.Failed {
		return exitCode(exitFailed)
	}
	return nil
}
