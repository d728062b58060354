package install

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"drawbridge/cfn"
	"drawbridge/internal/config"
	"drawbridge/internal/store"
	"drawbridge/scheduler"
)

// replaces refuses a deployment that would lose sight of a set which is up: one
// that is no longer in the configuration, or lies in another VPC now.
func (s *Stack) replaces(ctx context.Context, i *Installer, c *config.Config, next cfn.Base) error {
	state := store.New(i.Clients.DynamoDB, cfn.NamesOf(c.Name, i.Place.Region).Table)
	for _, name := range slices.Sorted(maps.Keys(s.Installed.Sets)) {
		n := slices.IndexFunc(next.Sets, func(x cfn.BaseSet) bool { return x.Name == name })
		why := ""
		switch {
		case n < 0:
			why = "is no longer a set of its own"
		case next.Sets[n].VPC != s.Installed.Sets[name].VPC:
			why = "moves from " + s.Installed.Sets[name].VPC + " to " + next.Sets[n].VPC
		default:
			continue
		}
		set, err := state.LoadSet(ctx, scheduler.SetName(name))
		if err != nil {
			return err
		}
		runs, leases, err := state.Live(ctx, scheduler.SetName(name))
		if err != nil {
			return err
		}
		if set.Phase != scheduler.Absent || len(runs)+len(leases) > 0 {
			return &refusedError{fmt.Sprintf("set %s %s in the new configuration, and is %s with %d runs and %d holds", name, why, set.Phase, len(runs), len(leases)),
				"wait until it is absent (drawbridge status); drawbridge pause keeps new runs away until then"}
		}
	}
	return nil
}
