package main

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/hint"
	"drawbridge/internal/operate"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

type holdCmd struct {
	connectFlags
	dryRunFlag
	Set    scheduler.SetName `arg:"" help:"Set of the configuration."`
	For    time.Duration     `help:"How long." required:"" placeholder:"DURATION"`
	Reason string            `help:"Why, for those who look." required:"" placeholder:"TEXT"`
}

// maxHold is the longest hold: what is needed longer is needed always.
const maxHold = 7 * 24 * time.Hour

// Run holds a set and wakes the launcher, which raises it.
func (c *holdCmd) Run(ctx context.Context, s streams) error {
	if c.For < time.Minute || c.For > maxHold {
		return &usageError{hint.With(
			fmt.Errorf("hold for %s: not a useful time", c.For), fmt.Sprintf("write 1m to %s", maxHold),
		)}
	}
	ss, a, host, err := openSet(ctx, c.connectFlags, s, c.Set)
	if err != nil {
		return err
	}
	now := ss.clock.Now()
	claim := scheduler.Hold{Owner: ss.caller, Reason: c.Reason, Since: now, Expires: now.Add(c.For)}
	if limit := a.Config.Settings()[host].MaxLifetime; limit > 0 && c.For > limit {
		return &usageError{hint.With(
			fmt.Errorf("set %s is held for at most %s (maxLifetime)", host, limit),
			"ask for less, or raise sets.<name>.maxLifetime and deploy",
		)}
	}
	if c.DryRun {
		ss.say("Would hold set %s until %s.", host, claim.Expires.UTC().Format("2006-01-02 15:04:05"))
		return nil
	}
	if err := operate.Hold(ctx, a, host, claim, func() {
		ss.say("Set %s is being deleted; it is held once that is done.", host)
	}); err != nil {
		return err
	}
	if err := a.Wake(ctx, reconcile.Launcher, host, "held by "+ss.caller); err != nil {
		return err
	}
	ss.say("Set %s is held until %s. drawbridge release %s ends it.", host,
		claim.Expires.UTC().Format("2006-01-02 15:04:05"), c.Set)
	if set, err := a.Store.LoadSet(ctx, host); err == nil && set.Pause != nil {
		ss.say("It is %s: until drawbridge resume it is not raised, and one that is up is kept.", set.Pause)
	}
	return nil
}

// openSet opens a session and finds the set that a name stands for.
func openSet(ctx context.Context, f connectFlags, s streams,
	name scheduler.SetName) (*session, *app.App, scheduler.SetName, error) {
	ss, a, err := openInstalled(ctx, s, f.open)
	if err != nil {
		return nil, nil, "", err
	}
	host, err := hostOf(a, name)
	return ss, a, host, err
}

type releaseCmd struct {
	connectFlags
	dryRunFlag
	Set  scheduler.SetName `arg:"" help:"Set of the configuration."`
	Mine bool              `help:"Only the hold of who calls."`
}

// Run ends holds and wakes the reaper.
func (c *releaseCmd) Run(ctx context.Context, s streams) error {
	ss, a, host, err := openSet(ctx, c.connectFlags, s, c.Set)
	if err != nil {
		return err
	}
	st, err := operate.State(ctx, a, host)
	if err != nil {
		return err
	}
	n := 0
	for _, l := range st.Holds {
		if c.Mine && l.Owner != ss.caller {
			continue
		}
		n++
		text := fmt.Sprintf("hold of %s until %s: %s", l.Owner, l.Expires.UTC().Format("2006-01-02 15:04:05"), l.Reason)
		if c.DryRun {
			ss.say("Would end the %s", text)
			continue
		}
		if err := a.Store.Release(ctx, host, l.Owner); err != nil {
			return err
		}
		ss.say("Ended the %s", text)
	}
	if n == 0 {
		ss.say("Set %s has no such hold.", host)
		return exitCode(exitNothing)
	}
	if c.DryRun {
		return nil
	}
	return a.Wake(ctx, reconcile.Reaper, host, "released by "+ss.caller)
}

type pauseCmd struct {
	connectFlags
	dryRunFlag
	Reason string `help:"Why, for those who look." placeholder:"TEXT"`
}

// Run pauses every set.
func (c *pauseCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	pause := &scheduler.Pause{At: ss.clock.Now(), By: ss.caller, Reason: c.Reason}
	n, err := ss.changeAll(ctx, c.DryRun, "Would pause set %s.", reconcile.Reaper, func(set *scheduler.Set) bool {
		if set.Pause != nil {
			return false
		}
		set.Pause = pause
		return true
	})
	if err != nil || c.DryRun {
		return err
	}
	if n == 0 {
		ss.say("%s is paused already.", ss.config.Name)
		return exitCode(exitNothing)
	}
	ss.say("%s is paused: events are kept, nothing is created or started, and what is up is still taken down. "+
		"drawbridge resume ends it.", ss.config.Name)
	return nil
}

type resumeCmd struct {
	connectFlags
	dryRunFlag
}

// Run ends the pause of every set and wakes the launcher for what waits.
func (c *resumeCmd) Run(ctx context.Context, s streams) error {
	ss, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	n, err := ss.changeAll(ctx, c.DryRun, "Would resume set %s.", reconcile.Launcher, func(set *scheduler.Set) bool {
		if set.Pause == nil {
			return false
		}
		set.Pause, set.TakeDown = nil, ""
		return true
	})
	if err != nil || c.DryRun {
		return err
	}
	if n == 0 {
		ss.say("%s is not paused.", ss.config.Name)
		return exitCode(exitNothing)
	}
	ss.say("%s continues.", ss.config.Name)
	return nil
}

// changeAll changes every set that change changes, and wakes a side for each. It
// returns how many there were.
func (s *session) changeAll(ctx context.Context, dry bool, would string, side reconcile.Side,
	change func(*scheduler.Set) bool) (int, error) {
	a, err := s.installed(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range keys(a.Config.Sets) {
		set, err := a.Store.LoadSet(ctx, scheduler.SetName(name))
		if err != nil {
			return n, err
		}
		if !change(&set) {
			continue
		}
		n++
		if dry {
			s.say(would, name)
			continue
		}
		if err := operate.UpdateSet(ctx, a, scheduler.SetName(name), func(set *scheduler.Set) {
			change(set)
		}); err != nil {
			return n, err
		}
		if err := a.Wake(ctx, side, scheduler.SetName(name), "by "+s.caller); err != nil {
			return n, err
		}
	}
	return n, nil
}
