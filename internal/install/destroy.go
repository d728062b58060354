package install

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/scheduler"
)

// SetState is a set with what holds it.
type SetState struct {
	Set    scheduler.Set
	Runs   []scheduler.Run
	Leases []scheduler.Lease
}

// Idle says whether nothing of the set is up and nothing asks for it.
func (s SetState) Idle() bool {
	return s.Set.Phase == scheduler.Absent && len(s.Runs) == 0
}

// States returns the state of every set, in order of name.
func States(ctx context.Context, a *app.App) ([]SetState, error) {
	var out []SetState
	for _, name := range slices.Sorted(maps.Keys(a.Config.Sets)) {
		s, err := State(ctx, a, name)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// State returns the state of a set.
func State(ctx context.Context, a *app.App, name scheduler.SetName) (SetState, error) {
	set, err := a.Store.LoadSet(ctx, name)
	if err != nil {
		return SetState{}, err
	}
	runs, leases, err := a.Store.Live(ctx, name)
	return SetState{set, runs, leases}, err
}

// changeTries is how often a set is changed anew because somebody else was faster.
const changeTries = 20

// UpdateSet writes a change to a set's item.
func UpdateSet(ctx context.Context, a *app.App, name scheduler.SetName, change func(*scheduler.Set)) error {
	for range changeTries {
		set, err := a.Store.LoadSet(ctx, name)
		if err != nil {
			return err
		}
		change(&set)
		if _, err = a.Store.SaveSet(ctx, set); !errors.Is(err, scheduler.ErrConflict) {
			return err
		}
		if err := a.Clock.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("change set %s: %w, %d times", name, scheduler.ErrConflict, changeTries)
}

// TakeDown takes every set down without waiting for the end of its paid hour: new
// runs are kept away, holds end, tasks are stopped, and the reaper does the rest.
// It returns when all are absent.
func TakeDown(ctx context.Context, a *app.App, by string, tell func(string)) error {
	for _, name := range slices.Sorted(maps.Keys(a.Config.Sets)) {
		if err := takeDown(ctx, a, name, by, tell); err != nil {
			return err
		}
	}
	for woken := (time.Time{}); ; {
		left, err := up(ctx, a)
		if err != nil || len(left) == 0 {
			return err
		}
		if now := a.Clock.Now(); now.Sub(woken) >= time.Minute { // the reaper may be busy, or have missed it
			woken = now
			for _, s := range left {
				tell(fmt.Sprintf("set %s is %s, %d tasks", s.Set.Name, s.Set.Phase, tasks(s.Runs)))
				if err := a.Wake(ctx, scheduler.Reaper, s.Set.Name, "drawbridge destroy"); err != nil {
					return err
				}
			}
		}
		if err := a.Clock.Sleep(ctx, 3*time.Second); err != nil {
			return err
		}
	}
}

func takeDown(ctx context.Context, a *app.App, name scheduler.SetName, by string, tell func(string)) error {
	s, err := State(ctx, a, name)
	if err != nil {
		return err
	}
	err = UpdateSet(ctx, a, name, func(set *scheduler.Set) {
		set.Pause = &scheduler.Pause{At: a.Clock.Now(), By: by, Reason: "drawbridge destroy"}
		if set.Phase != scheduler.Absent {
			set.TakeDown = "drawbridge destroy"
		}
	})
	if err != nil {
		return err
	}
	for _, l := range s.Leases {
		tell(fmt.Sprintf("set %s: hold of %s ends (%s)", name, l.Owner, l.Reason))
		if err := a.Store.Release(ctx, name, l.Owner); err != nil {
			return err
		}
	}
	for _, r := range s.Runs {
		if r.State != scheduler.Running {
			continue
		}
		tell(fmt.Sprintf("set %s: the task of run %s is stopped", name, r.ID))
		if err := a.Tasks.Stop(ctx, r, "drawbridge: destroy"); err != nil {
			return err
		}
	}
	return nil
}

func tasks(runs []scheduler.Run) int {
	n := 0
	for _, r := range runs {
		if r.State == scheduler.Running || r.State == scheduler.Starting {
			n++
		}
	}
	return n
}

// up returns the sets that are not absent.
func up(ctx context.Context, a *app.App) ([]SetState, error) {
	all, err := States(ctx, a)
	return slices.DeleteFunc(all, func(s SetState) bool { return s.Set.Phase == scheduler.Absent }), err
}

// Remove deletes the base stack and the bucket, and waits until they are gone. It
// returns whether there was anything. The sets have to be absent.
func (i *Installer) Remove(ctx context.Context, name string, tell func(Event)) (bool, error) {
	found := false
	stack, err := i.Installed(ctx, name)
	var failed *failedBeforeError
	switch {
	case errors.As(err, &failed):
		found = true
		if err := i.clear(ctx, stack); err != nil {
			return true, err
		}
	case errors.Is(err, ErrNotInstalled):
	case err != nil:
		return false, err
	default:
		found = true
		if err := i.removeStack(ctx, stack, tell); err != nil {
			return true, err
		}
	}
	had, err := i.removeBucket(ctx, name)
	return found || had, err
}

func (i *Installer) removeStack(ctx context.Context, s *Stack, tell func(Event)) error {
	api := i.Clients.CloudFormation
	if _, err := api.UpdateTerminationProtection(ctx, &cloudformation.UpdateTerminationProtectionInput{StackName: &s.Name, EnableTerminationProtection: aws.Bool(false)}); err != nil {
		return awserr.Mark(err, "lift the protection of stack %s", s.Name)
	}
	from := i.Clock.Now().Add(-time.Second)
	if _, err := api.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &s.ID}); err != nil {
		return awserr.Mark(err, "delete stack %s", s.Name)
	}
	status, err := i.follow(ctx, s.ID, s.Name, from, tell)
	if err != nil {
		return err
	}
	if status != types.StackStatusDeleteComplete {
		return i.failure(ctx, s.ID, s.Name, status)
	}
	return nil
}
