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
	"drawbridge/internal/install"
	"drawbridge/internal/output"
	"drawbridge/internal/prices"
	"drawbridge/internal/selftest"
	"drawbridge/scheduler"
)

type selftestCmd struct {
	awsFlags
	changeFlags
	Job     scheduler.JobName `help:"Job whose task is run, as an event would. Default: the only one." placeholder:"NAME"`
	Parts   []string          `help:"What to try: ${enum}. modes is an endpoint by each mode of CloudFormation, run is a run of the job, billing is an endpoint that lives over a full hour, which the bill shows two days later." enum:"modes,run,billing" default:"modes,run" placeholder:"PART"`
	MaxCost float64           `help:"Begin nothing that may cost more, in USD." default:"0.25" placeholder:"USD"`
	MaxTime time.Duration     `help:"Give up and clean up after this time." default:"90m"`
	Report  string            `help:"File that the evidence is written to. Default: drawbridge-selftest-TIME.json." type:"path" placeholder:"FILE"`
	Again   bool              `help:"Make the billing experiment again."`
}

// Help is the longer text of --help; kong calls it.
func (selftestCmd) Help() string {
	return "It needs an installation whose set is absent, and runs the job for real: name one that may run at any time. Whatever happens, it deletes what it has made and takes the set down. With --dry-run it says what it would do and cost.\n\nIt reports what AWS refused, with the statement to add; how long things took, beside the simulated AWS; which open questions it could settle; and in what the account did otherwise than the simulation. The report's file holds names, ARNs, times, and which members answers had: no other values.\n\nExit code 0: all went as it should. 1: something was refused, or failed, or is left."
}

// Run makes the experiments.
func (c *selftestCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
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
		return ss.billingExperiment(ctx, a, c.changeFlags, c.Again)
	}
	return nil
}

// try makes the experiments with endpoints and with a run, and reports.
func (c *selftestCmd) try(ctx context.Context, ss *session, a *app.App, parts []string) error {
	if c.Job == "" && len(a.Config.Jobs) == 1 {
		c.Job = slices.Collect(maps.Keys(a.Config.Jobs))[0]
	}
	job := a.Config.Jobs[c.Job]
	if job == nil {
		return &hinted{fmt.Errorf("there is no job %q in %s", c.Job, c.Config), "name one that may run at any time by --job: " + strings.Join(keys(a.Config.Jobs), ", ")}
	}
	hours, err := c.announce(ctx, ss, a, parts)
	if err != nil || c.DryRun {
		return err
	}
	if err := ss.confirm(ctx, c.changeFlags, "Make the selftest?"); err != nil {
		return err
	}
	r := &selftest.Report{Version: version(), Account: ss.place.Account, Region: ss.place.Region, Began: ss.clock.Now(), Refused: []selftest.Refusal{}}
	expected, err := selftest.Twin(ctx, ss.text, ss.place.Region, c.Job, parts)
	if err != nil {
		return fmt.Errorf("try it in the simulation: %w", err)
	}
	recorder := selftest.NewRecorder()
	watched := recorder.Watch(ss.aws)
	test := &selftest.Test{
		App: app.New(a.Config, ss.place, app.NewClients(watched), ss.clock, ss.log, app.NewMetrics(io.Discard, a.Config, ss.clock)), AWS: watched, Recorder: recorder,
		Job: c.Job, Parts: parts, Until: ss.clock.Now().Add(c.MaxTime), Tell: func(text string) { ss.say("%s", text) },
	}
	seen, refused, left, err := test.Do(ctx)
	r.Ended, r.Refused, r.Left = ss.clock.Now(), refused, left
	if err != nil {
		r.Outcome = err.Error()
	}
	r.EndpointHours = min(test.EndpointHours(), hours)
	if price, ok := c.price(ss); ok {
		r.USD = float64(r.EndpointHours) * price
	}
	r.Compare(seen, expected)
	if err := c.teach(ctx, a, seen); err != nil {
		ss.say("the sets learn nothing of it: %v", err)
	}
	return c.finish(ss, r)
}

// announce says what will be done and cost, and refuses what is too dear or not to be
// done now. It returns how many endpoint-hours it may take.
func (c *selftestCmd) announce(ctx context.Context, ss *session, a *app.App, parts []string) (int, error) {
	set := a.Config.Jobs[c.Job].Set
	state, err := install.State(ctx, a, set)
	if err != nil {
		return 0, err
	}
	if !state.Idle() {
		return 0, &hinted{fmt.Errorf("set %s is %s with %d runs and %d holds", set, state.Set.Phase, len(state.Runs), len(state.Leases)), "wait until it is absent (drawbridge status); drawbridge pause keeps new runs away until then"}
	}
	if state.Set.Pause != nil {
		return 0, &hinted{fmt.Errorf("set %s is %s", set, state.Set.Pause), "drawbridge resume"}
	}
	hours := 0
	if slices.Contains(parts, selftest.Modes) {
		ss.say("1. Create and delete a stack of one endpoint in one zone by CloudFormation's mode standard, and another by express.")
		hours += 2
	}
	if slices.Contains(parts, selftest.Run) {
		n := a.Config.Settings()[set].HoursPerHour
		ss.say("2. Run job %s by the installation's own functions: its set %s comes up with %d endpoint-hours an hour, and is taken down as soon as the task has ended.", c.Job, set, n)
		hours += n
	}
	price, known := c.price(ss)
	if !known {
		ss.say("It takes up to %d endpoint-hours; the price in %s is not known here (drawbridge prices refresh).", hours, ss.place.Region)
		return hours, nil
	}
	cost := float64(hours) * price
	ss.say("It takes up to %d endpoint-hours, $%.2f, and about half an hour. What it has made goes again, whatever happens.", hours, cost)
	if cost > c.MaxCost {
		return hours, &hinted{fmt.Errorf("it may cost $%.2f, and --max-cost is $%.2f", cost, c.MaxCost), "raise --max-cost, or leave a part out by --parts"}
	}
	return hours, nil
}

func (c *selftestCmd) price(ss *session) (float64, bool) {
	table, err := prices.Table()
	if err != nil {
		table = endpoints.KnownPrices()
	}
	p, ok := table.In(ss.place.Region)
	return p.Endpoint, ok
}

// teach gives sets that know no times yet those that were measured.
func (c *selftestCmd) teach(ctx context.Context, a *app.App, seen selftest.Evidence) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.Config.Sets)) {
		errs = append(errs, install.UpdateSet(ctx, a, name, func(s *scheduler.Set) { *s = selftest.Learn(*s, seen) }))
	}
	return errors.Join(errs...)
}

// finish writes the evidence and prints the report.
func (c *selftestCmd) finish(ss *session, r *selftest.Report) error {
	path := c.Report
	if path == "" {
		path = "drawbridge-selftest-" + r.Began.UTC().Format("20060102T150405Z") + ".json"
	}
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(body, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	if err := ss.print(r, func(w io.Writer, style output.Style) error { return writeSelftest(w, style, r) }); err != nil {
		return err
	}
	ss.say("The evidence is in %s.", path)
	if r.Outcome != "" || len(r.Refused)+len(r.Left) > 0 {
		return exitCode(exitFailed)
	}
	return nil
}

func writeSelftest(w io.Writer, style output.Style, r *selftest.Report) error {
	fmt.Fprintf(w, "Selftest in %s of account %s, %s to %s UTC\n\n", r.Region, r.Account, r.Began.UTC().Format("2006-01-02 15:04"), r.Ended.UTC().Format("15:04"))
	if r.Outcome == "" {
		fmt.Fprintln(w, "Everything that was tried came to its end.")
	} else if err := style.Println(w, "It did not come to its end: %s", r.Outcome); err != nil {
		return err
	}
	for _, l := range r.Left {
		if err := style.Println(w, "LEFT BEHIND, and billed by the hour: %s", l); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "%d endpoint-hours, $%.2f.\n\nRefused\n", r.EndpointHours, r.USD)
	if len(r.Refused) == 0 {
		fmt.Fprintln(w, "  nothing")
	}
	for _, x := range r.Refused {
		what := x.Text
		if x.Action != "" {
			what = x.Who + " lacks " + x.Action
		}
		if err := style.Println(w, "  %s", what); err != nil {
			return err
		}
		if err := style.Println(w, "    %s", x.Remedy); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	rows := output.NewRows(style, "TIMES", "SECONDS", "SIMULATED")
	for _, t := range r.Times {
		rows.Add(t.What, fmt.Sprintf("%.0f", t.Seconds), fmt.Sprintf("%.0f", t.Expected))
	}
	if err := rows.Write(w); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nQuestions that only an account answers")
	for _, q := range r.Questions {
		answer := q.Answer
		if answer == "" {
			answer = "open: " + q.How
		}
		if err := style.Println(w, "  %s %s", q.Text, answer); err != nil {
			return err
		}
	}
	fmt.Fprintln(w, "\nOtherwise than in the simulation")
	if len(r.Differences) == 0 {
		fmt.Fprintln(w, "  nothing")
	}
	for _, d := range r.Differences {
		if err := style.Println(w, "  %s of %s: %s", d.Kind, d.Where, strings.TrimSpace(d.Seen+"; simulated: "+d.Expected)); err != nil {
			return err
		}
	}
	return nil
}
