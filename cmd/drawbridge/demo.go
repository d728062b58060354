package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"drawbridge/internal/demo"
	"drawbridge/internal/output"
)

type demoCmd struct {
	Seed    int64  `help:"The same seed gives the same day." default:"1"`
	Output  string `short:"o" help:"Output: ${enum}." enum:"text,json" default:"text"`
	NoColor bool   `help:"No colours. The environment variable NO_COLOR does the same."`
	pageFlag
}

// Run plays the day and prints the report. It fails if a promise was broken.
func (c *demoCmd) Run(ctx context.Context, s streams) error {
	width, terminal := terminalWidth(s.err)
	style := demo.Style{Width: 80, Color: false}
	if w, ok := terminalWidth(s.out); ok {
		style = demo.Style{Width: w, Color: !c.NoColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	}
	began := time.Now()
	progress := &demo.Line{W: s.err, Live: terminal, Width: width}
	fmt.Fprintln(s.err, "A simulated AWS, the real launcher and reaper, one day of real pushes to a git repository:")
	r, err := demo.Play(ctx, c.Seed, progress)
	progress.Clear()
	if err != nil {
		return err
	}
	if c.Output == "json" {
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		err = enc.Encode(r)
	} else {
		if _, err = fmt.Fprintln(s.out); err == nil {
			err = r.Write(s.out, style)
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "\nThe day took %.1f s. docs/quickstart.md goes on from here.\n", time.Since(began).Seconds())
	if !c.UI {
		fmt.Fprintln(s.err, "make demo UI=yes, or drawbridge demo --ui, shows it hour by hour in a browser.")
	}
	if err := c.show(ctx, s, r); err != nil {
		return err
	}
	if !r.Kept() {
		return exitCode(exitFailed)
	}
	return nil
}

// terminalWidth returns the width of the terminal that w writes to, and false if
// it is none.
func terminalWidth(w io.Writer) (int, bool) {
	f, ok := output.File(w)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return width, err == nil && width > 0
}
