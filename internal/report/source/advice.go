package source

import (
	"slices"

	"drawbridge/internal/config"
	"drawbridge/internal/estimate"
	"drawbridge/internal/report"
	"drawbridge/internal/savings"
	"drawbridge/scheduler"
)

// price adds what Drawbridge itself would have cost to a report in dollars that does not
// say so.
func price(r *report.Report) {
	lives, known := 0, false
	for _, s := range r.Sets {
		lives += len(s.Generations)
		known = known || s.Price > 0
	}
	if r.OwnUSD != nil || !known || lives == 0 {
		return
	}
	own := estimate.OwnUSD(lives, len(r.Runs), r.Until.Sub(r.From), config.MonitorAlarms)
	r.OwnUSD = &own
}

// note says what the advice leaves out.
const note = "Advice replays the runs with default settings: what it compares with may differ from what was paid by an " +
	"hour of each set. Best possible puts off no run, so a maxDelay may save more."

// advise says what other settings would have cost for the runs of a report that does not
// say so itself.
func advise(r *report.Report) error {
	for _, set := range r.Sets {
		in := savings.Input{
			Set: scheduler.SetName(set.Name), Settings: scheduler.DefaultSettings(), Now: r.Until,
			EndpointHours: max(set.Endpoints, 1), Price: set.Price, Runs: recorded(r.Runs, set.Name),
		}
		in.Settings.Basis = set.Basis
		if len(in.Runs) == 0 {
			continue
		}
		s, err := savings.Make(in)
		if err != nil {
			return err
		}
		for _, text := range s.Advice {
			r.Advice = append(r.Advice, "Set "+set.Name+": "+text)
		}
		if len(s.Options) > 2 && !slices.Contains(r.Notes, note) {
			r.Notes = append(r.Notes, note)
		}
	}
	return nil
}

// recorded returns the runs of a set as the table would have them.
func recorded(runs []report.Run, set string) (out []scheduler.Run) {
	for _, x := range runs {
		if x.Set != set {
			continue
		}
		out = append(out, scheduler.Run{
			ID: scheduler.RunID(x.ID), Job: scheduler.JobName(x.Job),
			Request:  scheduler.Request{ReceivedAt: x.Received},
			Progress: scheduler.Progress{StartedAt: x.Started},
			End:      scheduler.End{FinishedAt: x.Finished, Outcome: scheduler.Outcome(x.Outcome)},
		})
	}
	return out
}
