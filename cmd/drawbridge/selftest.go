package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/calibrate"
	"drawbridge/internal/hint"
	"drawbridge/internal/install"
	"drawbridge/internal/operate"
	"drawbridge/internal/prices"
	"drawbridge/internal/selftest"
	"drawbridge/scheduler"
)

// selftestParts tells in the help what each part of the selftest is.
const selftestParts = "modes is an endpoint by each mode of CloudFormation, run is a run of the job, " +
	"billing is an endpoint that lives over a full hour, which the bill shows two days later."

type selftestCmd struct {
	awsFlags
	changeFlags
	Job     scheduler.JobName `help:"Job whose task is run. Default: the only one." placeholder:"NAME"`
	Parts   []string          `help:"What to try: ${enum}. ${selftest_parts}" enum:"modes,run,billing" default:"modes,run" placeholder:"PART"`
	MaxCost float64           `help:"Begin nothing that may cost more, in USD." default:"0.25" placeholder:"USD"`
	MaxTime time.Duration     `help:"Give up and clean up after this time." default:"90m"`
	Report  string            `help:"File that the evidence is written to. Default: drawbridge-selftest-TIME.json." type:"path" placeholder:"FILE"`
	Again   bool              `help:"Make the billing experiment again."`
	Plan    bool              `help:"As --dry-run: say what it would do and cost. Neither needs an installation."`

	fresh bool // nothing is installed yet
}

// Help is the longer text of --help; kong calls it.
func (selftestCmd) Help() string {
	return "It needs an installation whose set is absent, and runs the job for real: name one that may run at any " +
		"time. Whatever happens, it deletes what it has made and takes the set down. With --dry-run it says what it " +
		"would do and cost.\n\nIt reports what AWS refused, with the statement to add; how long things took, " +
		"compared with " +
		"the simulated AWS; which open questions it could settle; and in what the account did otherwise than the " +
		"simulation. The report's file holds names, ARNs, times, and which members answers had: no other " +
		"values.\n\nExit code 0: all went as it should. 1: something was refused, or failed, or is left."
}

// Run makes the experiments.
func (c *selftestCmd) Run(ctx context.Context, s streams) error {
	if c.MaxTime <= 0 {
		return &usageError{fmt.Errorf("--max-time %s leaves no time", c.MaxTime)}
	}
	c.DryRun = c.DryRun || c.Plan
	ss, a, err := openInstalled(ctx, s, c.open)
	if c.fresh = c.DryRun && errors.Is(err, install.ErrNotInstalled); c.fresh {
		ss.say("Nothing is installed yet: drawbridge deploy comes first.")
		a, err = ss.app(), nil
	}
	if err != nil {
		return err
	}
	parts := slices.DeleteFunc(slices.Clone(c.Parts), func(p string) bool { return p == "billing" })
	if len(parts) > 0 {
		if err := c.try(ctx, ss, a, parts); err != nil {
			return err
		}
	}
	if slices.Contains(c.Parts, "billing") {
		if err := c.bounded(ss, 2, calibrate.Takes); err != nil {
			return err
		}
		if c.fresh {
			_, err := ss.beginExperiment(ctx, a, c.changeFlags)
			return err
		}
		return ss.billingExperiment(ctx, a, c.changeFlags, c.Again)
	}
	return nil
}

// try makes the experiments with endpoints and with a run, and reports.
func (c *selftestCmd) try(ctx context.Context, ss *session, a *app.App, parts []string) error {
	if c.Job == "" && len(a.Config.Jobs) == 1 {
		c.Job = slices.Collect(maps.Keys(a.Config.Jobs))[0]
	}
	if _, ok := a.Config.Jobs[c.Job]; !ok {
		return hint.With(
			fmt.Errorf("there is no job %q in %s", c.Job, c.Config),
			"name one that may run at any time by --job: "+strings.Join(keys(a.Config.Jobs), ", "),
		)
	}
	if err := c.announce(ctx, ss, a, parts); err != nil || c.DryRun {
		return err
	}
	if err := ss.confirm(ctx, c.changeFlags, "Make the selftest?"); err != nil {
		return err
	}
	began := ss.clock.Now()
	if c.Report == "" {
		c.Report = "drawbridge-selftest-" + began.UTC().Format("20060102T150405Z") + ".json"
	}
	file, err := os.OpenFile(c.Report, os.O_CREATE|os.O_WRONLY, 0o600) // before anything costs
	if err != nil {
		return hint.With(fmt.Errorf("write the evidence: %w", err), "name another file by --report")
	}
	defer func() { _ = file.Close() }() // what was written is checked
	r := &selftest.Report{
		Version: version(), Account: ss.place.Account, Region: ss.place.Region, Began: began,
		Refused: []selftest.Refusal{},
	}
	expected, err := selftest.Twin(ctx, ss.file, ss.place.Region, c.Job, parts)
	if err != nil {
		return fmt.Errorf("try it in the simulation: %w", err)
	}
	recorder := selftest.NewRecorder()
	watched := recorder.Watch(ss.aws)
	test := &selftest.Test{
		App: app.New(a.Config, ss.place, app.NewClients(watched), ss.clock, ss.log,
			io.Discard), AWS: watched, Recorder: recorder,
		Job: c.Job, Parts: parts, Until: ss.clock.Now().Add(c.MaxTime), Tell: func(text string) { ss.say("%s", text) },
	}
	seen, refused, left, err := test.Do(ctx)
	r.Ended = ss.clock.Now()
	r.Refused = refused
	r.Left = left
	if err != nil {
		r.Outcome = err.Error()
	}
	r.EndpointHours = test.EndpointHours()
	price, known := c.price(ss)
	r.USD = float64(r.EndpointHours) * price
	if !known {
		r.USD = 0
	}
	r.Compare(seen, expected)
	if err := c.teach(ctx, a, seen); err != nil {
		ss.say("the sets learn nothing of it: %v", err)
	}
	return c.finish(ss, r, file)
}

// announce says what will be done and cost, and refuses what is too dear or not to be
// done now.
func (c *selftestCmd) announce(ctx context.Context, ss *session, a *app.App, parts []string) error {
	set := a.Config.Jobs[c.Job].Set
	if !c.fresh {
		if err := absent(ctx, a, set); err != nil {
			return err
		}
	}
	hours := 0
	if slices.Contains(parts, selftest.Modes) {
		ss.say("1. Create and delete a stack of one endpoint in one zone by CloudFormation's mode standard, and " +
			"another by express.")
		hours += 2
	}
	if slices.Contains(parts, selftest.Run) {
		n := a.Config.Settings()[set].HoursPerHour
		ss.say("2. Run job %s by the installation's own functions: its set %s comes up with %d endpoint-hours an "+
			"hour, and is taken down as soon as the task has ended.", c.Job, set, n)
		hours += n
	}
	ss.say("It takes about half an hour, and %d endpoint-hours if none of them ends meanwhile. What it has made "+
		"goes again, whatever happens.", hours)
	return c.bounded(ss, selftest.Most(parts, a.Config.Settings()[set].HoursPerHour, c.MaxTime), 0)
}

// absent refuses a set that is in use, or may not be raised.
func absent(ctx context.Context, a *app.App, set scheduler.SetName) error {
	state, err := operate.State(ctx, a, set)
	switch {
	case err != nil:
		return err
	case !state.Idle():
		return hint.With(fmt.Errorf("set %s is %s with %s and %s", set, state.Set.Phase,
			scheduler.Count(len(state.Runs), "run"), scheduler.Count(len(state.Holds), "hold")),
			"wait until it is absent (drawbridge status); drawbridge pause keeps new runs away until then")
	case state.Set.Pause != nil:
		return hint.With(fmt.Errorf("set %s is %s", set, state.Set.Pause), "drawbridge resume")
	}
	return nil
}

// bounded says what so many endpoint-hours cost, and refuses what may be too dear, or
// takes longer than there is time for.
func (c *selftestCmd) bounded(ss *session, hours int, takes time.Duration) error {
	if takes > c.MaxTime {
		return hint.With(fmt.Errorf("it may take %s, and --max-time is %s", takes, c.MaxTime), "raise --max-time")
	}
	price, known := c.price(ss)
	cost := float64(hours) * price
	if known {
		ss.say("At most it is %d endpoint-hours, %.2f USD.", hours, cost)
	} else {
		ss.say("At most it is %d endpoint-hours, %.2f USD at the dearest price that is known here; that of %s is not "+
			"(drawbridge prices refresh).", hours, cost, ss.place.Region)
	}
	if cost > c.MaxCost {
		return hint.With(
			fmt.Errorf("it may cost %.2f USD, and --max-cost is %.2f USD", cost, c.MaxCost),
			"raise --max-cost, lower --max-time, or leave a part out by --parts",
		)
	}
	return nil
}

// price is that of an endpoint-hour in the Region; if it is not known, the dearest that
// is.
func (c *selftestCmd) price(ss *session) (float64, bool) {
	table, err := prices.Table()
	if err != nil {
		table = endpoints.KnownPrices()
	}
	if p, ok := table.In(ss.place.Region); ok {
		return p.Endpoint, true
	}
	dearest := 0.0
	for _, region := range table.Regions() {
		p, _ := table.In(region)
		dearest = max(dearest, p.Endpoint)
	}
	return dearest, false
}

// teach gives sets that know no times yet those that were measured.
func (c *selftestCmd) teach(ctx context.Context, a *app.App, seen selftest.Evidence) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.Config.Sets)) {
		errs = append(errs, operate.UpdateSet(ctx, a, name, func(s *scheduler.Set) { *s = selftest.Learn(*s, seen) }))
	}
	return errors.Join(errs...)
}

// finish prints the report and writes the evidence.
func (c *selftestCmd) finish(ss *session, r *selftest.Report, file *os.File) error {
	printed := ss.print(r, r.Write)
	body, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = file.Truncate(0) // of an earlier report
	}
	if err == nil {
		_, err = file.Write(append(body, '\n'))
	}
	if err := errors.Join(printed, err); err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	ss.say("The evidence is in %s.", c.Report)
	if r.Outcome != "" || len(r.Refused)+len(r.Left) > 0 {
		return exitCode(exitFailed)
	}
	return nil
}
