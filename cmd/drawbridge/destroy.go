package main

import (
	"context"
	"errors"
	"fmt"

	"drawbridge/internal/app"
	"drawbridge/internal/install"
)

type destroyCmd struct {
	awsFlags
	changeFlags
	Force bool `help:"Take sets that are up down first: end holds, stop tasks, give up waiting runs."`
}

// Help is the longer text of --help; kong calls it.
func (destroyCmd) Help() string {
	return "Removes the base stack with everything in it and the bucket of the code. What is not ours stays: VPC, subnets, endpoints of others, clusters, task definitions, images, tasks' log groups.\n\nExit code 3: there was nothing to remove."
}

// Run removes the installation.
func (c *destroyCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	a, err := ss.installed(ctx)
	switch {
	case errors.Is(err, install.ErrNotInstalled):
		a = nil // what a removal that was interrupted has left: the bucket
	case err != nil:
		return err
	}
	if a != nil {
		if err := c.lower(ctx, ss, a); err != nil {
			return err
		}
	} else if c.DryRun {
		ss.say("%s is not installed; a bucket %s would be removed.", ss.config.Name, ss.install.Bucket(ss.config.Name))
		return nil
	}
	if c.DryRun {
		ss.say("Would remove stack %s and bucket %s in %s of account %s.", ss.config.Name, ss.install.Bucket(ss.config.Name), ss.place.Region, ss.place.Account)
		return nil
	}
	if a != nil {
		if err := ss.confirm(c.changeFlags, fmt.Sprintf("Remove installation %s from %s of account %s, with the record of every run?", ss.config.Name, ss.place.Region, ss.place.Account)); err != nil {
			return err
		}
		if c.Force {
			if err := install.TakeDown(ctx, a, ss.caller, func(text string) { ss.say("%s", text) }); err != nil {
				return ss.goesOn(ctx, err, "the sets that are marked go down all the same; drawbridge destroy --force goes on")
			}
		}
	}
	progress := ss.progress(0)
	found, err := ss.install.Remove(ctx, ss.config.Name, progress.event)
	progress.clear()
	if err != nil {
		return err
	}
	if !found {
		ss.say("Nothing to remove: %s is not installed in %s of account %s.", ss.config.Name, ss.place.Region, ss.place.Account)
		return exitCode(exitNothing)
	}
	ss.say("%s is removed. Kept, because it is not ours: VPCs, subnets, endpoints of others, task definitions, images, the tasks' log groups, clusters that the configuration only names; and CloudWatch's metrics, which end by themselves after 15 months.", ss.config.Name)
	return nil
}

// lower refuses while a set is up, or says what --force will end.
func (c *destroyCmd) lower(ctx context.Context, ss *session, a *app.App) error {
	states, err := install.States(ctx, a)
	if err != nil {
		return err
	}
	var up []string
	for _, s := range states {
		if s.Idle() {
			continue
		}
		text := fmt.Sprintf("set %s is %s with %d runs and %d holds", s.Set.Name, s.Set.Phase, len(s.Runs), len(s.Leases))
		up = append(up, text)
		if c.Force {
			ss.say("Will take down: %s.", text)
			for _, r := range s.Runs {
				ss.say("  run %s, %s, ends with it", r.ID, r.State)
			}
		}
	}
	if len(up) > 0 && !c.Force {
		return &hinted{fmt.Errorf("destroy %s: %s", ss.config.Name, joinAnd(up)), "wait until they are absent (drawbridge status; drawbridge pause keeps new runs away), or use --force, which stops their tasks"}
	}
	return nil
}

func joinAnd(parts []string) string {
	out := ""
	for i, p := range parts {
		switch {
		case i == 0:
		case i == len(parts)-1:
			out += " and "
		default:
			out += ", "
		}
		out += p
	}
	return out
}

// goesOn adds to an interruption what goes on without us.
func (s *session) goesOn(ctx context.Context, err error, hint string) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &hinted{context.Cause(ctx), hint}
	case ctx.Err() != nil:
		return &hinted{errors.New("interrupted"), hint}
	}
	return err
}
