// Package operate is what an operator does with an installation that is there: reading
// how its sets stand, holding and pausing them, and deleting them before their time.
package operate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/clock"
	"drawbridge/internal/store"
	"drawbridge/scheduler"
	"drawbridge/scheduler/reconcile"
)

// SetState is a set with what holds it.
type SetState struct {
	Set   scheduler.Set
	Runs  []scheduler.Run
	Holds []scheduler.Hold
}

// Idle reports whether nothing of the set is up and nothing asks for it.
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
	runs, holds, err := a.Store.Live(ctx, name)
	return SetState{set, runs, holds}, err
}

// changeTries is how often a set is changed again because another writer was faster.
const changeTries = 20

// UpdateSet writes a change to a set's item.
func UpdateSet(ctx context.Context, a *app.App, name scheduler.SetName, change func(*scheduler.Set)) error {
	return Change(ctx, a.Store, a.Clock, name, func(s *scheduler.Set) bool {
		change(s)
		return true
	})
}

// Change writes a change to a set's item, if change makes one.
func Change(ctx context.Context, state *store.Store, ck clock.Clock, name scheduler.SetName,
	change func(*scheduler.Set) bool) error {
	for range changeTries {
		set, err := state.LoadSet(ctx, name)
		if err != nil || !change(&set) {
			return err
		}
		if _, err = state.SaveSet(ctx, set); !errors.Is(err, reconcile.ErrConflict) {
			return err
		}
		if err := ck.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("change set %s: %w, %d times", name, reconcile.ErrConflict, changeTries)
}
