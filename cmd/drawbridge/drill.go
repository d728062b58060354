package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"drawbridge/internal/drill"
	"drawbridge/internal/functions"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

type drillCmd struct {
	List bool   `help:"List the drills that would be played."`
	Only string `help:"Play only those whose name matches, as kill-launcher-* does." placeholder:"PATTERN"`
	Seed int64  `help:"The same seed draws the same drills, with the same luck." default:"1"`
	Runs int    `help:"How many drills to play; 0 plays all, which takes hours." default:"60"`

	outputFlag
	pageFlag
}

// Help is the longer text of --help; kong calls it.
func (drillCmd) Help() string {
	return "Plays one working day (two VPCs, schedules, a deployment, a hold, a mirror) with the real functions: " +
		"first without faults as the baseline, then with each fault, with handlers killed before and after each AWS call, " +
		"and with pairs of faults. --runs limits how many. The verdict uses only what the simulated account " +
		"recorded. Exits with 1 if a promise was broken."
}

// Validate refuses numbers that make no sense; kong calls it.
func (c *drillCmd) Validate() error {
	if c.Runs < 0 {
		return fmt.Errorf("--runs cannot be negative")
	}
	return nil
}

// Run plays the drills and prints the table. It fails if a promise was broken.
func (c *drillCmd) Run(ctx context.Context, s streams) error {
	paths, from, cleanup, err := functions.Local(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	if from != "" {
		fmt.Fprintf(s.err, "drawbridge: the functions come from %s; they run as you\n", from)
	}
	options := drill.Options{Only: c.Only, Seed: c.Seed, Runs: c.Runs}
	if c.List {
		return c.list(ctx, s, paths, options)
	}
	began := time.Now()
	fmt.Fprintln(s.err, "Baseline: the day without faults.")
	report, err := drill.Play(ctx, paths, options, s.err)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "%s took %s.\n\n", scheduler.Count(len(report.Outcomes), "drill"), time.Since(began).Round(time.Second))
	width, _ := terminalWidth(s.out)
	if err := output.Write(s.out, c.Output, report, func(w io.Writer) error {
		return report.Write(w, output.Style{Width: width})
	}); err != nil {
		return err
	}
	if err := c.show(ctx, s, report); err != nil {
		return err
	}
	if !report.Kept() {
		return exitCode(exitFailed)
	}
	return nil
}

func (c *drillCmd) list(ctx context.Context, s streams, paths map[string]string, o drill.Options) error {
	drills, err := drill.List(ctx, paths, o)
	if err != nil {
		return err
	}
	return output.Write(s.out, c.Output, drills, func(w io.Writer) error {
		for _, d := range drills {
			if _, err := fmt.Fprintln(w, d.Name); err != nil {
				return err
			}
		}
		return nil
	})
}
