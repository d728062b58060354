package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
	"drawbridge/internal/report"
	"drawbridge/internal/report/source"
)

type reportCmd struct {
	connectFlags
	File     string        `arg:"" optional:"" help:"What demo, simulate, drill or audit print with -o json, or a sandbox's ledger; - is standard input. Default: the installation." type:"path"`
	Format   report.Format `help:"Format: ${enum}." enum:"html,svg,csv,json,md" default:"html"`
	To       string        `help:"File to write; it is replaced. Default: standard output." type:"path" placeholder:"FILE"`
	Days     int           `help:"How many days of the installation to look back, 1 to 90." default:"30" placeholder:"N"`
	Timezone string        `help:"Time zone of the days and hours." default:"UTC" placeholder:"ZONE"`
}

// Help is the longer text of --help; kong calls it.
func (reportCmd) Help() string {
	return "Shows what was up when, what ran, what it cost, what it would have cost otherwise, and why. The HTML page is one " +
		"file that opens from disk and loads nothing. Only reads."
}

// remembered is how many days runs and stacks are remembered.
const remembered = 90

// Run writes the report.
func (c *reportCmd) Run(ctx context.Context, s streams) error {
	if c.Days < 1 || c.Days > remembered {
		return &usageError{hint.With(errors.New("--days is out of range"), fmt.Sprintf("give 1 to %d", remembered))}
	}
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil || c.Timezone == "Local" {
		return &usageError{hint.With(fmt.Errorf("--timezone: there is no time zone %q", c.Timezone),
			"give a name of the IANA database, as Europe/Vienna")}
	}
	r, err := c.read(ctx, s)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := r.Write(&b, c.Format, zone); err != nil {
		return err
	}
	if c.To == "" {
		_, err = s.out.Write(b.Bytes())
		return err
	}
	if err := os.WriteFile(c.To, b.Bytes(), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "%s: %d KB\n", c.To, (b.Len()+1023)/1024)
	return nil
}

// read makes the report of a file, or of the installation.
func (c *reportCmd) read(ctx context.Context, s streams) (report.Report, error) {
	switch c.File {
	case "":
		ss, a, err := openInstalled(ctx, s, c.open)
		if err != nil {
			return report.Report{}, err
		}
		stacks, err := cfn.History(ctx, ss.clients.CloudFormation, a.Config.Name)
		if err != nil {
			return report.Report{}, awserr.Mark(err, "list the stacks")
		}
		return source.Installation(ctx, a, stacks, ss.clock.Now().AddDate(0, 0, -c.Days))
	case "-":
		text, err := io.ReadAll(s.in)
		if err != nil {
			return report.Report{}, err
		}
		return source.Read("standard input", text)
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return report.Report{}, err
	}
	return source.Read(c.File, text)
}
