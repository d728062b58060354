package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/hint"
	"drawbridge/internal/launcher"
	"drawbridge/internal/output"
	"drawbridge/internal/view"
	"drawbridge/scheduler"
)

type runCmd struct {
	awsFlags
	dryRunFlag
	Job  scheduler.JobName `arg:"" predictor:"job" help:"Job of the configuration."`
	Args []string          `arg:"" optional:"" help:"Command of the container, after --. The job has to allow it: overrides: [command]."`
	Wait bool              `short:"w" help:"Wait until the run has ended, and exit with its container's exit code."`
	Env  map[string]string `short:"e" help:"Variable of the container, if the job allows it (overrides)." placeholder:"NAME=VALUE" mapsep:"none"`
	ID   string            `help:"Identity of the run; the same ID is the same run. Default: new." placeholder:"TEXT"`
}

// Help is the longer text of --help; kong calls it.
func (runCmd) Help() string {
	return "With --wait the exit code is the container's own; 1 if the run failed otherwise. Interrupting the wait " +
		"does not stop the run."
}

// Run asks the launcher for a run and, if asked to, waits for its end.
func (c *runCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	job, ok := a.Config.Jobs[c.Job]
	if !ok {
		return hint.With(
			fmt.Errorf("there is no job %s in %s", c.Job, c.Config),
			"use one of "+strings.Join(keys(a.Config.Jobs), ", "),
		)
	}
	payload, err := c.payload(job.Container)
	if err != nil {
		return err
	}
	if c.DryRun {
		ss.say("Would call %s with:", a.Names.Launcher)
		_, err := fmt.Fprintln(s.out, string(payload))
		return err
	}
	answer, err := launcher.Call(ctx, ss.clients.Lambda, a.Names.Launcher, payload)
	if err != nil {
		return err
	}
	if !c.Wait {
		return ss.print(answer, func(w io.Writer, style output.Style) error {
			text := answer.Reason
			if answer.ExpectedStart != nil {
				text = "expected start " + style.Time(*answer.ExpectedStart)
			}
			_, err := fmt.Fprintf(w, "%s is %s; its set is %s; %s.\n", answer.Run, answer.State, answer.Phase, text)
			return err
		})
	}
	return c.wait(ctx, ss, a, answer.Run, job.Set)
}

func keys[K ~string, V any](m map[K]V) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, string(k))
	}
	return out
}

// payload is the event that starts the run.
func (c *runCmd) payload(container string) ([]byte, error) {
	id := c.ID
	if id == "" {
		var b [6]byte
		if _, err := rand.Read(b[:]); err != nil {
			return nil, err
		}
		id = "cli-" + hex.EncodeToString(b[:])
	}
	event := map[string]any{"job": c.Job, "id": id}
	override := map[string]any{"name": container}
	if len(c.Args) > 0 {
		override["command"] = c.Args
	}
	if len(c.Env) > 0 {
		var env []map[string]string
		for _, k := range slices.Sorted(maps.Keys(c.Env)) {
			env = append(env, map[string]string{"name": k, "value": c.Env[k]})
		}
		override["environment"] = env
	}
	if len(override) > 1 {
		event["overrides"] = map[string]any{"containerOverrides": []any{override}}
	}
	return json.Marshal(event)
}

// pollRun is how often a run is looked at while it is waited for.
const pollRun = 2 * time.Second

// wait shows a run's way to its end and returns its exit code.
func (c *runCmd) wait(ctx context.Context, ss *session, a *app.App, id scheduler.RunID, set scheduler.SetName) error {
	last := ""
	for {
		r, ok, err := a.Store.Run(ctx, set, id)
		if err == nil && !ok {
			return fmt.Errorf("run %s: the record was deleted", id)
		}
		if err != nil {
			return ss.interrupted(ctx, err,
				"the run continues; look again with drawbridge runs and drawbridge logs "+string(id))
		}
		if text := c.progress(ctx, a, r); text != last {
			last = text
			ss.say("%s  %s", ss.style().Clock(ss.clock.Now()), text)
		}
		if r.State == scheduler.Finished {
			return c.end(ss, r)
		}
		if err := ss.clock.Sleep(ctx, pollRun); err != nil {
			return ss.interrupted(ctx, err,
				"the run continues; look again with drawbridge runs and drawbridge logs "+string(id))
		}
	}
}

// progress says in a line where a run stands.
func (c *runCmd) progress(ctx context.Context, a *app.App, r scheduler.Run) string {
	text := fmt.Sprintf("%s %s", r.ID, r.State)
	if r.State != scheduler.Waiting {
		if r.State == scheduler.Running {
			text += ", task " + r.TaskARN[strings.LastIndex(r.TaskARN, "/")+1:]
		}
		return text
	}
	set, err := a.Store.LoadSet(ctx, r.Set)
	if err != nil {
		return text
	}
	if set.Pause != nil {
		return text + ": set " + string(r.Set) + " is " + set.Pause.String()
	}
	if x := view.RefusalOf(set, r.Job); x != nil {
		return text + ": " + x.String()
	}
	text += ": set " + string(r.Set) + " is " + string(set.Phase)
	if set.Failure != "" && set.Phase != scheduler.Available {
		text += "; " + strings.TrimRight(set.Failure, ".")
	}
	return text
}

// end prints how a run ended and returns its exit code.
func (c *runCmd) end(ss *session, r scheduler.Run) error {
	v := view.OfRun(r)
	err := ss.print(v, func(w io.Writer, style output.Style) error {
		_, err := fmt.Fprintf(w, "%s %s: %s (waited %s, ran %s)\n", v.ID, v.Outcome,
			style.Reason(v.Reason, v.Received), v.Waited, v.Ran)
		return err
	})
	switch {
	case err != nil:
		return err
	case r.Outcome == scheduler.Succeeded:
		return nil
	case r.ExitCode != nil && *r.ExitCode != 0:
		return exitCode(*r.ExitCode)
	}
	return exitCode(exitFailed)
}
