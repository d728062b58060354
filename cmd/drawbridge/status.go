package main

import (
	"context"
	"errors"
	"time"

	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
	"drawbridge/scheduler"
)

type statusCmd struct {
	awsFlags
	Check bool `help:"Exit with 4 if anything is wrong, for monitoring; a pause is not." xor:"once"`
	watchFlags
}

// watchFlags are the flags of verbs that can show how things stand again and again.
type watchFlags struct {
	Watch bool          `short:"w" help:"Show it again and again, until interrupted." xor:"once"`
	Every time.Duration `help:"How often --watch looks." default:"5s"`
}

// watch shows something once, or again and again. look reads it, and returns what prints it: the screen stays as it was
// for as long as the reading takes.
func (f watchFlags) watch(ctx context.Context, ss *session, look func() (show func() error, err error)) error {
	for {
		show, err := look()
		if err != nil {
			return err
		}
		if _, terminal := terminalWidth(ss.out); f.Watch && terminal {
			output.Steer(ss.out, "\x1b[H\x1b[2J")
		}
		if err := show(); err != nil || !f.Watch {
			return err
		}
		if err := ss.clock.Sleep(ctx, f.Every); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil // that is how a watch ends
			}
			return err
		}
	}
}

// Run prints the status, once or again and again.
func (c *statusCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	return c.watch(ctx, ss, func() (func() error, error) {
		at, err := view.Look(ctx, a, ss.clients.SQS)
		return func() error {
			v := view.StatusOf(a, at)
			err := ss.print(v, v.Write)
			if err == nil && c.Check && len(v.Troubles) > 0 {
				err = exitCode(exitTrouble)
			}
			return err
		}, err
	})
}

type whyCmd struct {
	awsFlags
	Set scheduler.SetName `arg:"" predictor:"set" help:"Set of the configuration."`
}

// Run shows the last decisions about a set.
func (c *whyCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	host, err := hostOf(a, c.Set)
	if err != nil {
		return err
	}
	st, err := operate.State(ctx, a, host)
	if err != nil {
		return err
	}
	advice, err := operate.Savings(ctx, a, host)
	if err != nil {
		return err
	}
	v := view.WhyOf(st, c.Set, a.Config.Settings()[host], advice.Advice, ss.clock.Now())
	return ss.print(v, v.Write)
}
