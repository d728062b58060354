package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// Why is what is behind a set's state.
type Why struct {
	Set
	LivesAs scheduler.SetName `json:"livesAs,omitempty"`
	// At is when it was looked at.
	At time.Time `json:"at"`
	// Now is what would be decided at this instant, as far as the table tells.
	Now  string `json:"now"`
	Runs []Run  `json:"runs"`
	// Learned says what the set has learned.
	Learned []string `json:"learned,omitempty"`
	// Advice says what would have been cheaper over the recorded history.
	Advice    []string          `json:"advice"`
	Decisions []scheduler.Entry `json:"decisions"`
}

// WhyOf says what is behind the state of a set that was asked for by a name, which may be
// that of a set which lives as this one.
func WhyOf(st operate.SetState, asked scheduler.SetName, settings scheduler.Settings, advice []string,
	now time.Time) Why {
	v := Why{
		Set: OfSet(st, settings, now), At: now.UTC(), Runs: []Run{}, Decisions: st.Set.Decisions, Advice: advice,
		Learned: st.Set.Learned.Summary(settings),
	}
	if st.Set.Name != asked {
		v.LivesAs = st.Set.Name
	}
	if p := st.Set.Phase; p == scheduler.Absent || p == scheduler.Available {
		v.Now = scheduler.Decide(now, settings, st.Set, scheduler.DemandOf(st.Runs, st.Holds, settings, st.Set, now),
			scheduler.Observed{}).Reason
	}
	if v.Decisions == nil {
		v.Decisions = []scheduler.Entry{}
	}
	for _, r := range st.Runs {
		run := OfRun(r)
		if r.State == scheduler.Waiting && st.Set.Pause == nil {
			run.ExpectedStart = UTC(scheduler.ExpectedStart(now, settings, st.Set, r, st.Runs...).Truncate(time.Second))
			run.Reason = scheduler.WhyWaiting(now, settings, st.Set, r, st.Runs...)
		}
		v.Runs = append(v.Runs, run)
	}
	return v
}

// Write writes it for people.
func (v Why) Write(w io.Writer, style output.Style) error {
	for _, l := range slices.Concat(v.sentences(style), v.Advice) {
		if err := style.Println(w, "%s", l); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	t := output.NewRows(style, style.Head("AT", v.At), "GEN", "PHASE", "ACTION", "REASON")
	for _, d := range v.Decisions {
		t.Add(style.Day(d.At), fmt.Sprint(d.Generation), string(d.Phase), string(d.Action),
			style.Reason(d.Reason, d.At))
	}
	if t.Len() == 0 {
		_, err := fmt.Fprintln(w, "No decisions yet.")
		return err
	}
	return t.Write(w)
}

// sentences say how the set stands, what holds it and when it is looked at next.
func (v Why) sentences(style output.Style) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if v.LivesAs != "" {
		add("It shares a VPC, and its endpoints, with set %s.", v.LivesAs)
	}
	lines = append(lines, v.state(style)...)
	for _, h := range v.Holds {
		add("Held by %s until %s: %s", h.Owner, style.Minute(h.Until), h.Reason)
	}
	for i, r := range v.Runs {
		if i == 10 {
			add("... and by %d more runs", len(v.Runs)-i)
			break
		}
		if r.ExpectedStart != nil {
			add("Run %s waits, to start at %s: %s", r.ID, style.Clock(*r.ExpectedStart), style.Reason(r.Reason, v.At))
			continue
		}
		add("Held by run %s, %s: %s", r.ID, r.State, style.Reason(r.Reason, v.At))
	}
	if len(v.Holds)+len(v.Runs) == 0 {
		add("Nothing holds it.")
	}
	switch {
	case v.Next != nil:
		add("The next look is at %s, by its timer; the sweep runs every 5 minutes.", style.Clock(*v.Next))
	case v.Phase == scheduler.Absent:
		add("It is looked at when a run asks for it; the sweep runs every 5 minutes.")
	default:
		add("It is being looked at now; the sweep runs every 5 minutes.")
	}
	for _, text := range v.Learned {
		add("%s", text)
	}
	if v.Now != "" {
		add("Now: %s.", style.Reason(v.Now, v.At))
	}
	if v.Paused != "" {
		add("It is %s.", v.paused(style))
	}
	return lines
}

// state says what phase the set is in, and what it serves.
func (v Why) state(style output.Style) []string {
	head := fmt.Sprintf("Set %s is %s", v.Name, v.Phase)
	if v.Since != nil {
		head += " since " + style.Time(*v.Since)
	}
	if v.Generation > 0 {
		head += fmt.Sprintf(", generation %d", v.Generation)
	}
	if v.PaidUntil != nil {
		head += ", paid until " + style.Clock(*v.PaidUntil)
	}
	lines := []string{head + "."}
	if len(v.Services) > 0 {
		text := "It serves " + strings.Join(v.Services, ", ")
		if len(v.Zones) > 0 {
			text += ", its own endpoints in " + strings.Join(v.Zones, ", ")
		}
		if len(v.Adding) > 0 {
			text += "; " + strings.Join(v.Adding, ", ") + " is being added"
		}
		lines = append(lines, text+".")
	}
	if v.AvoidedUntil != nil {
		lines = append(lines,
			fmt.Sprintf("%s had no room for endpoints and is avoided until %s.", strings.Join(v.Avoided, ", "),
				style.Minute(*v.AvoidedUntil)))
	}
	return lines
}
