package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"drawbridge/internal/deployments"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// Deployment is a deployment as it stands.
type Deployment struct {
	ID   string            `json:"deployment"`
	Kind deployments.Kind  `json:"kind"`
	Name string            `json:"section"`
	Set  scheduler.SetName `json:"set"`
	// State is AWS's word for it, At its present lifecycle stage or event.
	State string    `json:"state"`
	At    string    `json:"at,omitempty"`
	Since time.Time `json:"since"`
	// Ended is when it needed the set no longer, Why says why.
	Ended *time.Time `json:"ended"`
	Why   string     `json:"why,omitempty"`
	// Takes is the deployment that it takes back.
	Takes string `json:"rollsBack,omitempty"`
	// Shifts are where listeners sent their requests before it and after it.
	Shifts []Shift `json:"traffic,omitempty"`
	Hooks  []Hook  `json:"hooks"`
	// Hang is why it cannot go on, Remedy what to do.
	Hang   string `json:"hang,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

// Shift is where a listener, or a rule, sent its requests before a deployment and after it:
// target groups with their weights.
type Shift struct {
	Listener string `json:"listener"`
	Before   string `json:"before"`
	After    string `json:"after"`
}

// Listener is where a listener, or a rule, that is watched sends its requests.
type Listener struct {
	Listener string `json:"listener"`
	Name     string `json:"section"`
	// Left is where deployment By left them; where they first went, if By is empty.
	Left string `json:"left"`
	By   string `json:"by,omitempty"`
	// To is where they go although no deployment has sent them there, since when, and why that
	// is known to be wrong, with what to do; all are empty while they go where they were left.
	To     string     `json:"to,omitempty"`
	Since  *time.Time `json:"since"`
	Cause  string     `json:"cause,omitempty"`
	Remedy string     `json:"remedy,omitempty"`
}

func listenersOf(watches []deployments.Watch) (out []Listener) {
	for _, w := range watches {
		for _, x := range w.Listeners {
			l := Listener{Listener: x.Listener, Name: w.Name, Left: x.Left.String(), By: x.By}
			if x.Moved != nil {
				l.To, l.Since = x.Moved.To.String(), UTC(x.Moved.Since)
				l.Cause, l.Remedy = x.Cause(), x.Remedy()
			}
			out = append(out, l)
		}
	}
	return out
}

// Hook is a hook of a deployment as it was called.
type Hook struct {
	Hook    string              `json:"hook"`
	Since   time.Time           `json:"since"`
	Run     scheduler.RunID     `json:"run,omitempty"`
	Outcome deployments.Outcome `json:"outcome,omitempty"`
	Reason  string              `json:"reason,omitempty"`
	// Answered is when AWS had the answer.
	Answered *time.Time `json:"answered"`
}

// shownFor is how long a deployment that has ended is shown.
const shownFor = 24 * time.Hour

// DeploymentsOf sums up deployments: those that have not ended, and those of the last day.
func DeploymentsOf(records []deployments.Record, now time.Time) []Deployment {
	out := []Deployment{}
	for _, r := range records {
		if !r.Ended.IsZero() && now.Sub(r.Ended) > shownFor {
			continue
		}
		d := Deployment{
			ID: r.ID, Kind: r.Kind, Name: r.Name, Set: r.Set, State: r.State, At: r.At, Since: r.Began.UTC(),
			Ended: UTC(r.Ended), Why: r.Why, Takes: r.Of, Hooks: []Hook{},
		}
		if r.Hang != nil {
			d.Hang, d.Remedy = r.Hang.Cause, r.Hang.Remedy
		}
		for _, x := range r.Traffic {
			d.Shifts = append(d.Shifts, Shift{x.Listener, x.Before.String(), x.After.String()})
		}
		for _, f := range r.Firings {
			d.Hooks = append(d.Hooks, Hook{f.Hook, f.Began.UTC(), f.Run, f.Outcome, f.Reason, UTC(f.Told)})
		}
		out = append(out, d)
	}
	return out
}

// writeDeployments writes them for people.
func writeDeployments(w io.Writer, list []Deployment, style output.Style) error {
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := output.NewRows(style, "DEPLOYMENT", "SET", "STATE", "AT", "SINCE", "HOOKS")
	for _, d := range list {
		at := d.At
		if d.Ended != nil {
			at = ""
		}
		t.Add(string(d.Kind)+" "+d.ID, string(d.Set), d.State, at, short(style, &d.Since), hooks(d.Hooks))
	}
	if err := t.Write(w); err != nil {
		return err
	}
	for _, d := range list {
		var said []string
		if d.Takes != "" && d.Ended == nil {
			said = append(said, fmt.Sprintf("Deployment %s rolls %s back.", d.ID, d.Takes))
		}
		for _, h := range d.Hooks {
			if h.Outcome == deployments.Failed {
				said = append(said, fmt.Sprintf("Deployment %s failed at %s: %s.", d.ID, h.Hook,
					strings.TrimRight(h.Reason, ".")))
			}
		}
		for _, text := range said {
			fmt.Fprintln(w)
			if err := style.Println(w, "%s", text); err != nil {
				return err
			}
		}
	}
	return nil
}

// hooks counts hooks by what came of them.
func hooks(list []Hook) string {
	counts := map[string]int{}
	for _, h := range list {
		switch {
		case h.Answered == nil:
			counts["open"]++
		case h.Outcome == deployments.Failed:
			counts["failed"]++
		default:
			counts["ok"]++
		}
	}
	var out []string
	for _, what := range []string{"ok", "failed", "open"} {
		if n := counts[what]; n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, what))
		}
	}
	return strings.Join(out, ", ")
}
