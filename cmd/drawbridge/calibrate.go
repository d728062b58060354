package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"drawbridge/internal/app"
	"drawbridge/internal/calibrate"
	"drawbridge/internal/hint"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
)

type calibrateCmd struct {
	awsFlags
}

// Help is the longer text of --help; kong calls it.
func (calibrateCmd) Help() string {
	return "AWS does not document whether an endpoint's paid hours are clock hours or count from its creation. The " +
		"bill shows it: this compares hourly data of Cost Explorer with when the sets' endpoints were there, and " +
		"that of drawbridge selftest --parts billing. It needs hourly data in Cost Explorer, which an account turns " +
		"on in its settings and which shows a day or two later, ce:GetCostAndUsage (a cent a request) and " +
		"cloudformation:ListStacks."
}

// Run compares the bill with the ledger.
func (c *calibrateCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	lives, err := ss.calibration(a).Lives(ctx)
	if err != nil {
		return err
	}
	usage, err := ss.calibration(a).Billed(ctx)
	if err != nil {
		return err
	}
	f := calibrate.Infer(lives, usage)
	return ss.print(f, func(w io.Writer, style output.Style) error {
		return view.WriteFinding(w, style, f, a.Config.Billing)
	})
}

// billingExperiment makes an endpoint that lives over a full hour, for the bill to
// show, or goes on with one that was interrupted.
func (ss *session) billingExperiment(ctx context.Context, a *app.App, f changeFlags, again bool) error {
	var e calibrate.Experiment
	known, err := a.Store.Note(ctx, calibrate.Note, &e)
	if err != nil {
		return err
	}
	if known && !e.Deleted.IsZero() && !e.Tells() && !again {
		return hint.With(fmt.Errorf("endpoint %s was there from %s to %s: that is as many hours on both bases",
			e.Endpoint, e.Created.UTC().Format("2006-01-02 15:04"), e.Deleted.UTC().Format("15:04")),
			"make the experiment again by --again, without an interruption")
	}
	if known && !e.Deleted.IsZero() && !again {
		ss.say("Endpoint %s was there from %s to %s. The bill shows it a day or two later: drawbridge calibrate "+
			"reads it. --again makes another.", e.Endpoint, e.Created.UTC().Format("2006-01-02 15:04"),
			e.Deleted.UTC().Format("15:04"))
		return nil
	}
	if known && e.Endpoint == "" { // begun, and interrupted before the endpoint's id was known
		if e, err = ss.calibration(a).FindExperiment(ctx, e); err != nil {
			return err
		}
	}
	if !known || !e.Deleted.IsZero() || e.Endpoint == "" {
		if e, err = ss.beginExperiment(ctx, a, f); err != nil || f.DryRun {
			return err
		}
	} else if f.DryRun {
		ss.say("Would delete endpoint %s at %s.", e.Endpoint, e.End().Format("15:04"))
		return nil
	}
	return ss.calibration(a).EndExperiment(ctx, e)
}

// errDryRun ends what only says what it would do.
var errDryRun = errors.New("dry run")

// beginExperiment makes the endpoint, or says only what would be done.
func (ss *session) beginExperiment(ctx context.Context, a *app.App, f changeFlags) (calibrate.Experiment, error) {
	e, err := ss.calibration(a).BeginExperiment(ctx, func() error {
		if f.DryRun {
			return errDryRun
		}
		return ss.confirm(ctx, f, "Make the experiment?")
	})
	if errors.Is(err, errDryRun) {
		err = nil
	}
	return e, err
}

// calibration is the installation as package calibrate sees it.
func (ss *session) calibration(a *app.App) calibrate.Account {
	return calibrate.Account{AWS: ss.aws, Clients: ss.clients, App: a, Say: ss.say}
}
