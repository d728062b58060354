package main

import (
	"context"
	"errors"
	"fmt"

	"drawbridge/internal/app"
	"drawbridge/internal/hint"
	"drawbridge/internal/install"
	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

type destroyCmd struct {
	connectFlags
	changeFlags
	Force bool `help:"Take sets that are up down first: end holds, stop tasks, give up waiting runs."`
}

// Help is the longer text of --help; kong calls it.
func (destroyCmd) Help() string {
	return "Removes the base stack with everything in it and the bucket of the code. What is not ours stays: VPC, " +
		"subnets, endpoints of others, clusters, task definitions, images, tasks' log groups.\n\nExit code 3: there " +
		"was nothing to remove."
}

// Run removes the installation.
func (c *destroyCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if errors.Is(err, install.ErrNotInstalled) {
		return c.remnants(ctx, ss, err)
	}
	if err != nil {
		return err
	}
	if err := c.look(ctx, ss, a); err != nil {
		return err
	}
	if c.DryRun {
		ss.say("Would remove stack %s and bucket %s in %s of account %s.", ss.config.Name,
			ss.install.Bucket(ss.config.Name), ss.place.Region, ss.place.Account)
		return nil
	}
	if err := ss.confirm(ctx, c.changeFlags,
		fmt.Sprintf("Remove installation %s from %s of account %s, with the record of every run?", ss.config.Name,
			ss.place.Region, ss.place.Account)); err != nil {
		return err
	}
	if err := ss.calibration(a).DropExperiment(ctx); err != nil {
		return err
	}
	if c.Force {
		if err := operate.TakeDown(ctx, a, ss.caller, func(text string) { ss.say("%s", text) }); err != nil {
			return ss.interrupted(ctx, err,
				"the sets that are marked go down all the same; drawbridge destroy --force continues")
		}
		return c.remove(ctx, ss)
	}
	reopen, err := operate.Close(ctx, a, ss.caller)
	if err == nil {
		err = c.look(ctx, ss, a) // nothing new can begin from here on
	}
	if err != nil {
		return errors.Join(err, reopen(context.WithoutCancel(ctx)))
	}
	return c.remove(ctx, ss)
}

// remnants removes what an installation that failed or was removed in part has
// left.
func (c *destroyCmd) remnants(ctx context.Context, ss *session, cause error) error {
	if c.DryRun {
		ss.say("%v; what is left of it would be removed, and bucket %s.", cause, ss.install.Bucket(ss.config.Name))
		return nil
	}
	if install.Failed(cause) {
		ss.say("%v", cause)
		if err := ss.confirm(ctx, c.changeFlags, "Remove what is left of it?"); err != nil {
			return err
		}
	}
	return c.remove(ctx, ss)
}

// remove deletes stack and bucket, and says what was kept.
func (c *destroyCmd) remove(ctx context.Context, ss *session) error {
	progress := ss.progress(0)
	found, err := ss.install.Remove(ctx, ss.config.Name, progress.event)
	progress.clear()
	if err != nil {
		return err
	}
	if !found {
		ss.say("Nothing to remove: %s is not installed in %s of account %s.", ss.config.Name, ss.place.Region,
			ss.place.Account)
		return exitCode(exitNothing)
	}
	ss.say("%s is removed. Kept, because it is not ours: VPCs, subnets, endpoints of others, task definitions, "+
		"images, the tasks' log groups, clusters that the configuration only names; and CloudWatch's metrics, which "+
		"end by themselves after 15 months.", ss.config.Name)
	return nil
}

// look refuses while anything is up or waits, or says what --force will end.
func (c *destroyCmd) look(ctx context.Context, ss *session, a *app.App) error {
	states, err := operate.States(ctx, a)
	if err != nil {
		return err
	}
	var up []string
	for _, s := range states {
		if s.Idle() {
			continue
		}
		text := fmt.Sprintf("set %s is %s with %s and %s", s.Set.Name, s.Set.Phase, scheduler.Count(len(s.Runs), "run"),
			scheduler.Count(len(s.Holds), "hold"))
		up = append(up, text)
		if c.Force {
			ss.say("Will take down: %s.", text)
			for _, r := range s.Runs {
				ss.say("  run %s, %s, ends with it", r.ID, r.State)
			}
		}
	}
	for _, q := range []struct{ name, what string }{{a.Names.Events, "event"}, {a.Names.DeadLetters, "dead letter"}} {
		n, err := operate.Messages(ctx, ss.clients.SQS, ss.place, q.name)
		if err != nil {
			return err
		}
		if n > 0 {
			up = append(up, scheduler.Count(n, q.what)+" in queue "+q.name)
			if c.Force {
				ss.say("Will be lost: %s in queue %s.", scheduler.Count(n, q.what), q.name)
			}
		}
	}
	if len(up) > 0 && !c.Force {
		return hint.With(
			fmt.Errorf("destroy %s: %s", ss.config.Name, output.And(up)),
			"wait until they are absent (drawbridge status; drawbridge pause keeps new runs away), or use --force, "+
				"which stops tasks and gives up what waits",
		)
	}
	return nil
}

// interrupted adds to an interruption what goes on without us.
func (s *session) interrupted(ctx context.Context, err error, remedy string) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return hint.With(context.Cause(ctx), remedy)
	case ctx.Err() != nil:
		return hint.New("interrupted", remedy)
	}
	return err
}
