package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"drawbridge/internal/doctor"
	"drawbridge/internal/doctor/finding"
	"drawbridge/internal/output"
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
		return c.write(w, style, findings)
	}); err != nil {
		return err
	}
	if finding.Worst(findings) == finding.Failed {
		return exitCode(exitFailed)
	}
	return nil
}

func (c *doctorCmd) write(w io.Writer, style output.Style, findings []finding.Finding) error {
	width := style.Width
	if width == 0 {
		width = 100
	}
	count := map[finding.Result]int{}
	last := ""
	for _, f := range findings {
		count[f.Result]++
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
		if f.Result != finding.OK || c.All {
			c.more(w, width, "why", f.Why)
		}
		if f.Remedy != "" {
			c.more(w, width, "remedy", f.Remedy)
		}
	}
	_, err := fmt.Fprintf(w, "\n%d checks: %d ok, %d warnings, %d failed\n", len(findings), count[finding.OK],
		count[finding.Warning], count[finding.Failed])
	return err
}

func (c *doctorCmd) more(w io.Writer, width int, head, text string) {
	fmt.Fprintf(w, "%31s%s\n", head+": ",
		strings.Join(output.Wrap(text, max(width-32, 24)), "\n"+strings.Repeat(" ", 31)))
}
