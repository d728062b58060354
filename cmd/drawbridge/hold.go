package main

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/deployments"
	"drawbridge/internal/hint"
	"drawbridge/internal/operate"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

type holdCmd struct {
	connectFlags
	dryRunFlag
	Set    scheduler.SetName `arg:"" predictor:"set" help:"Set of the configuration."`
	For    time.Duration     `help:"How long." required:"" placeholder:"DURATION"`
	Reason string            `help:"Why, for those who look." required:"" placeholder:"TEXT"`
	// Deployment has the hold belong to a deployment in place of who calls.
	Deployment string `help:"Hold it for a deployment of this id." placeholder:"ID"`
	Wait       bool   `help:"Return when the endpoints can be used, or with the reason why they cannot."`
}

// maxHold is the longest hold: what is needed longer is needed always.
const maxHold = 7 * 24 * time.Hour

// Run holds a set and wakes the launcher, which raises it.
func (c *holdCmd) Run(ctx context.Context, s streams) error {
	if c.For < time.Minute || c.For > maxHold {
		return &usageError{hint.With(
			fmt.Errorf("hold for %s: not a useful time", c.For), "write 1m to 7d",
		)}
	}
	ss, a, host, err := openSet(ctx, c.connectFlags, s, c.Set)
	if err != nil {
		return err
	}
	now := ss.clock.Now()
	owner := ss.caller
	if c.Deployment != "" {
		owner = deployments.Owner(c.Deployment)
		if followed, err := deployments.Followed(ctx, a, host, c.Deployment); err != nil || followed {
			if err == nil {
				err = hint.With(fmt.Errorf("deployment %s holds set %s already, until it ends", c.Deployment, host),
					"take another id, or leave --deployment out")
			}
			return err
		}
	}
	claim := scheduler.Hold{Owner: owner, Reason: c.Reason, Since: now, Expires: now.Add(c.For)}
	if limit := a.Config.Settings()[host].MaxLifetime; limit > 0 && c.For > limit {
		return &usageError{hint.With(
			fmt.Errorf("set %s is held for at most %s (maxLifetime)", host, limit),
			"ask for less, or raise sets.<name>.maxLifetime and deploy",
		)}
	}
	if c.DryRun {
		ss.say("Would hold set %s until %s.", host, ss.style().Time(claim.Expires))
		return nil
	}
	if err := operate.Hold(ctx, a, host, claim, func() {
		ss.say("Set %s is being deleted; it is held once that is done.", host)
	}); err != nil {
		return err
	}
	if err := a.Wake(ctx, reconcile.Launcher, host, "held by "+owner); err != nil {
		return err
	}
	ends := "drawbridge release " + string(c.Set)
	if c.Deployment != "" {
		ends += " --deployment " + c.Deployment
	}
	ss.say("Set %s is held until %s. %s ends it.", host, ss.style().Time(claim.Expires), ends)
	if set, err := a.Store.LoadSet(ctx, host); err == nil && set.Pause != nil {
		ss.say("It is %s: until drawbridge resume it is not raised, and one that is up is kept.", set.Pause)
	}
	if c.Wait {
		return c.wait(ctx, ss, a, host)
	}
	return nil
}

// wait waits until the endpoints can be used. One failure in a row is tried again.
func (c *holdCmd) wait(ctx context.Context, ss *session, a *app.App, host scheduler.SetName) error {
	began := ss.clock.Now()
	for {
		set, err := a.Store.LoadSet(ctx, host)
		if err != nil {
			return err
		}
		now := ss.clock.Now()
		usable, why := deployments.Usable(set, now)
		switch {
		case usable:
			ss.say("Its endpoints can be used.")
			return nil
		case set.Pause != nil, set.Failures > 1 && set.FailingSince.After(began), now.Sub(began) > c.For:
			if set.Pause != nil {
				why = "it is " + set.Pause.String()
			}
			return hint.With(fmt.Errorf("the endpoints of set %s cannot be used: %s", host, why),
				fmt.Sprintf("drawbridge why %s shows what was tried", host))
		}
		if err := ss.clock.Sleep(ctx, 5*time.Second); err != nil {
			return err
		}
	}
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
	Set  scheduler.SetName `arg:"" predictor:"set" help:"Set of the configuration."`
	Mine bool              `help:"Only the hold of who calls." xor:"whose"`
	// Deployment is the deployment whose hold ends.
	Deployment string `help:"Only the hold of this deployment." placeholder:"ID" xor:"whose"`
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
		if c.Mine && l.Owner != ss.caller || c.Deployment != "" && l.Owner != deployments.Owner(c.Deployment) {
			continue
		}
		n++
		text := fmt.Sprintf("hold of %s until %s: %s", l.Owner, ss.style().Time(l.Expires), l.Reason)
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
