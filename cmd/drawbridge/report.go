package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"drawbridge/internal/hint"
	"drawbridge/internal/report"
	"drawbridge/internal/report/source"
)

type reportCmd struct {
	connectFlags
	File     string        `arg:"" optional:"" help:"JSON of demo, simulate, drill, audit or a ledger; - for stdin. Default: the installation." type:"path"`
	Format   report.Format `help:"Format: ${enum}." enum:"html,svg,csv,json,md" default:"html"`
	To       string        `help:"File to write; it is replaced. Default: standard output." type:"path" placeholder:"FILE"`
	Days     int           `help:"How many days of the installation to look back, 1 to 90." default:"30" placeholder:"N"`
	Timezone string        `help:"Time zone of the days and hours." default:"UTC" placeholder:"ZONE"`
}

// Help is the longer text of --help; kong calls it.
func (reportCmd) Help() string {
	return "Shows what was up when, what ran, what it cost and could have cost, and why. The HTML page is " +
		"one file that opens from disk and loads nothing. Only reads."
}

// Run writes the report.
func (c *reportCmd) Run(ctx context.Context, s streams) error {
	if c.Days < 1 || c.Days > source.Remembered {
		return &usageError{hint.With(errors.New("--days is out of range"), "give 1 to "+strconv.Itoa(source.Remembered))}
	}
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil || c.Timezone == "Local" {
		return &usageError{hint.With(fmt.Errorf("--timezone: there is no time zone %q", c.Timezone),
			"give a name of the IANA database, such as Europe/Vienna")}
	}
	r, err := c.read(ctx, s)
	if err != nil {
		return err
	}
	if c.To == "" || c.To == "-" {
		return r.Write(s.out, c.Format, zone)
	}
	size, err := r.WriteFile(c.To, c.Format, zone)
	if err == nil {
		fmt.Fprintf(s.err, "%s: %d KB\n", c.To, (size+1023)/1024)
	}
	return err
}

// read makes the report of a file, or of the installation.
func (c *reportCmd) read(ctx context.Context, s streams) (report.Report, error) {
	if c.File != "" {
		return source.File(c.File, s.in)
	}
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return report.Report{}, err
	}
	return source.Installation(ctx, a, ss.clients.CloudFormation, ss.clock.Now().AddDate(0, 0, -c.Days))
}
