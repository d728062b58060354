package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"drawbridge/internal/report"
	"drawbridge/internal/report/source"
	"drawbridge/internal/ui"
)

// pageFlag is the flag of verbs that play something and can show it as a page.
type pageFlag struct {
	UI bool `name:"ui" help:"Then serve its report as a page on this machine, until interrupted."`
}

// show serves the report of what a verb has played.
func (f pageFlag) show(ctx context.Context, s streams, played any) error {
	if !f.UI {
		return nil
	}
	text, err := json.Marshal(played)
	if err != nil {
		return err
	}
	r, err := source.Read("what was played", text)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := r.Write(&page, report.HTML, time.UTC); err != nil {
		return err
	}
	shown, err := ui.Show(ctx, page.Bytes())
	if err != nil {
		return err
	}
	how := "in a browser"
	if len(r.Sets) > 0 {
		how = "hour by hour in a browser"
	}
	fmt.Fprintf(s.err, "\nSee it %s; Ctrl-C ends it: %s\n", how, shown.Address())
	return shown.Serve(ctx)
}
