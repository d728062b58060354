package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

type statusCmd struct {
	awsFlags
	Watch bool          `short:"w" help:"Show it again and again, until interrupted."`
	Every time.Duration `help:"How often --watch looks." default:"5s"`
}

// statusView is an installation as it stands.
type statusView struct {
	Name    string       `json:"name"`
	Account string       `json:"account"`
	Region  string       `json:"region"`
	Mode    config.Mode  `json:"mode"`
	Now     time.Time    `json:"now"`
	Sets    []statusSet  `json:"sets"`
	Shared  []sharedView `json:"shared,omitempty"`
}

// sharedView is a set that lives as another one.
type sharedView struct {
	Set  scheduler.SetName `json:"set"`
	Host scheduler.SetName `json:"livesAs"`
}

// statusSet is a set as it stands.
type statusSet struct {
	Name       scheduler.SetName `json:"set"`
	Phase      scheduler.Phase   `json:"phase"`
	Since      *time.Time        `json:"since"`
	Generation int               `json:"generation"`
	// PaidUntil is the boundary of the hour that is paid now, or was last.
	PaidUntil *time.Time `json:"paidUntil"`
	// Next is when the set's timer has it looked at.
	Next    *time.Time `json:"nextLook"`
	Waiting int        `json:"waiting"`
	// Starts is when the first of the runs that wait should start.
	Starts  *time.Time `json:"nextStart,omitempty"`
	Running int        `json:"running"`
	Holds   []holdView `json:"holds"`
	moneyView
	Paused string `json:"paused,omitempty"`
	placeView
	Failure string `json:"failure,omitempty"`
	// Refused are the jobs whose tasks ECS does not start for the moment.
	Refused []refusalView `json:"refused,omitempty"`
	// TimerFailure is why the set's timer could not be set.
	TimerFailure string `json:"timerFailure,omitempty"`
}

// moneyView is what a set has cost.
type moneyView struct {
	// HoursToday and HoursTotal are paid endpoint-hours.
	HoursToday int `json:"endpointHoursToday"`
	HoursTotal int `json:"endpointHoursTotal"`
	// AlwaysOn is what always having it up would have been billed as since
	// CountedSince, as the configuration says.
	AlwaysOn     int        `json:"endpointHoursAlwaysOn"`
	CountedSince *time.Time `json:"countedSince"`
}

// placeView is what a set serves, and where.
type placeView struct {
	// Services are what the set serves while it is up, Zones where its own
	// endpoints stand, Adding what is being added to it.
	Services []string `json:"services,omitempty"`
	Zones    []string `json:"zones,omitempty"`
	Adding   []string `json:"adding,omitempty"`
	// Avoided are zones that had no room, until AvoidedUntil.
	Avoided      []string   `json:"avoidedZones,omitempty"`
	AvoidedUntil *time.Time `json:"avoidedUntil,omitempty"`
}

// refusalView is what ECS says of a job whose tasks it does not start for the moment.
type refusalView struct {
	Job     scheduler.JobName `json:"job"`
	Since   time.Time         `json:"since"`
	NextTry time.Time         `json:"nextTry"`
	Reason  string            `json:"reason"`
}

// String says it in a sentence without its full stop.
func (r refusalView) String() string {
	return fmt.Sprintf("ECS has not started job %s since %s: %s; the next try is at %s", r.Job, clockTime(r.Since),
		strings.TrimRight(r.Reason, "."), clockTime(r.NextTry))
}

// refusalOf returns what ECS says of a job, or nil.
func refusalOf(set scheduler.Set, job scheduler.JobName) *refusalView {
	x, ok := set.Refused[job]
	if !ok || set.Phase != scheduler.Available {
		return nil
	}
	return &refusalView{job, x.Since.UTC(), x.Until.UTC(), x.Reason}
}

// holdView is a hold of a set.
type holdView struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// viewOfSet sums up a set's state.
func viewOfSet(s operate.SetState, settings scheduler.Settings, now time.Time) statusSet {
	d := scheduler.DemandOf(s.Runs, s.Holds, settings, s.Set, now)
	v := statusSet{
		Name: s.Set.Name, Phase: s.Set.Phase, Since: utc(s.Set.Since), Generation: s.Set.Generation,
		Waiting: d.Waiting + d.Unserved + d.Deferred + d.Refused + d.Expired, Running: d.Running + d.Starting,
		Holds: []holdView{}, Failure: s.Set.Failure, TimerFailure: s.Set.TimerFailure,
		moneyView: moneyView{HoursTotal: s.Set.TotalHours},
	}
	for _, job := range keys(s.Set.Refused) {
		if x := refusalOf(s.Set, scheduler.JobName(job)); x != nil {
			v.Refused = append(v.Refused, *x)
		}
	}
	if since := s.Set.CountedSince; !since.IsZero() {
		v.CountedSince = utc(since.Truncate(time.Second))
		v.AlwaysOn = scheduler.PaidHours(settings.Basis, since, now) * settings.HoursPerHour
	}
	for _, r := range s.Runs {
		if start := scheduler.ExpectedStart(now, settings, s.Set, r, s.Runs...); r.State == scheduler.Waiting &&
			s.Set.Pause == nil && (v.Starts == nil || start.Before(*v.Starts)) {
			v.Starts = utc(start.Truncate(time.Second))
		}
	}
	if s.Set.Day == now.UTC().Format(time.DateOnly) {
		v.HoursToday = s.Set.DayHours
	}
	if s.Set.Timer.After(now) {
		v.Next = utc(s.Set.Timer)
	}
	if !s.Set.BilledFrom.IsZero() && !s.Set.NoStack && s.Set.Phase != scheduler.Absent {
		v.PaidUntil = utc(scheduler.Boundary(settings.Basis, s.Set.BilledFrom, now))
	} else if s.Set.PaidUntil.After(now) {
		v.PaidUntil = utc(s.Set.PaidUntil)
	}
	for _, l := range s.Holds {
		if until := l.Until(settings); until.After(now) {
			v.Holds = append(v.Holds, holdView{l.Owner, l.Reason, until.UTC()})
		}
	}
	if s.Set.Phase != scheduler.Absent {
		v.Services, v.Zones = s.Set.Services, s.Set.Zones
		if x := s.Set.Extension; x != nil {
			v.Adding = slices.DeleteFunc(slices.Clone(x.Services), func(id string) bool {
				return slices.Contains(s.Set.Services, id)
			})
		}
	}
	if len(s.Set.AvoidZones) > 0 && s.Set.AvoidUntil.After(now) {
		v.Avoided, v.AvoidedUntil = s.Set.AvoidZones, utc(s.Set.AvoidUntil)
	}
	if s.Set.Pause != nil {
		v.Paused = s.Set.Pause.String()
	}
	return v
}

// Run prints the status, once or again and again.
func (c *statusCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	for {
		v, err := c.view(ctx, ss, a)
		if err != nil {
			return err
		}
		if _, terminal := terminalWidth(s.out); c.Watch && terminal {
			output.Steer(s.out, "\x1b[H\x1b[2J")
		}
		if err := ss.print(v, v.write); err != nil || !c.Watch {
			return err
		}
		if err := ss.clock.Sleep(ctx, c.Every); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil // that is how a watch ends
			}
			return err
		}
	}
}

func (c *statusCmd) view(ctx context.Context, ss *session, a *app.App) (statusView, error) {
	states, err := operate.States(ctx, a)
	if err != nil {
		return statusView{}, err
	}
	v := statusView{
		Name: a.Config.Name, Account: ss.place.Account, Region: ss.place.Region, Mode: a.Config.Mode,
		Now: ss.clock.Now().UTC().Truncate(time.Second),
	}
	settings := a.Config.Settings()
	for _, s := range states {
		v.Sets = append(v.Sets, viewOfSet(s, settings[s.Set.Name], v.Now))
	}
	members := a.Config.Members()
	for _, name := range keys(members) {
		if host := members[scheduler.SetName(name)]; string(host) != name {
			v.Shared = append(v.Shared, sharedView{scheduler.SetName(name), host})
		}
	}
	return v, nil
}

func (v statusView) write(w io.Writer, style output.Style) error {
	fmt.Fprintf(w, "%s in %s of account %s, %s UTC", v.Name, v.Region, v.Account, v.Now.Format("2006-01-02 15:04:05"))
	if v.Mode == config.Observe {
		fmt.Fprint(w, ", observing: nothing is created")
	}
	fmt.Fprint(w, "\n\n")
	t := output.NewRows(style, "SET", "PHASE", "SINCE", "PAID UNTIL", "RUNS", "WAIT", "HELD", "NEXT LOOK", "TODAY")
	total, always := 0, 0
	for _, s := range v.Sets {
		held := time.Time{}
		for _, h := range s.Holds {
			if h.Until.After(held) {
				held = h.Until
			}
		}
		t.Add(string(s.Name), string(s.Phase), short(s.Since), short(s.PaidUntil), fmt.Sprint(s.Running),
			fmt.Sprint(s.Waiting), short(&held), short(s.Next), fmt.Sprint(s.HoursToday))
		total, always = total+s.HoursTotal, always+s.AlwaysOn
	}
	if err := t.Write(w); err != nil {
		return err
	}
	for _, s := range v.Shared {
		fmt.Fprintf(w, "\nSet %s shares a VPC, and its endpoints, with set %s.\n", s.Set, s.Host)
	}
	for _, s := range v.Sets {
		if s.Waiting > 0 && s.Starts != nil {
			fmt.Fprintf(w, "\nSet %s: the first of the runs that wait starts at %s; drawbridge why %s says why.\n",
				s.Name, clockTime(*s.Starts), s.Name)
		}
		if s.Paused != "" {
			fmt.Fprintf(w, "\nSet %s is %s; drawbridge resume ends it.\n", s.Name, s.Paused)
		}
		if err := s.writeTroubles(w, style); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	paid, saved := "paid", ""
	if v.Mode == config.Observe {
		paid = "that would have been paid"
	}
	if always > 0 {
		saved = fmt.Sprintf("; always on it would have been %d", always)
	}
	return style.Println(w, "Today is endpoint-hours %s; in all %d%s.", paid, total, saved)
}

// writeTroubles says what keeps a set from doing its work.
func (s statusSet) writeTroubles(w io.Writer, style output.Style) error {
	var said []string
	for _, x := range s.Refused {
		said = append(said, fmt.Sprintf("Set %s: %s.", s.Name, x))
	}
	if s.TimerFailure != "" {
		said = append(said,
			fmt.Sprintf("Set %s could not set its timer, and the reaper looks at it by its schedule alone: %s", s.Name,
				s.TimerFailure))
	}
	if s.Failure != "" && s.Phase != scheduler.Available {
		said = append(said, fmt.Sprintf("Set %s failed: %s", s.Name, s.Failure))
	}
	for _, text := range said {
		fmt.Fprintln(w)
		if err := style.Println(w, "%s", text); err != nil {
			return err
		}
	}
	return nil
}

// short shows an instant by its time of day, or a dash.
func short(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return clockTime(*t)
}

type whyCmd struct {
	awsFlags
	Set scheduler.SetName `arg:"" help:"Set of the configuration."`
}

// whyView is what is behind a set's state.
type whyView struct {
	statusSet
	LivesAs scheduler.SetName `json:"livesAs,omitempty"`
	// Now is what would be decided at this instant, as far as the table tells.
	Now  string    `json:"now"`
	Runs []runView `json:"runs"`
	// Learned says what the set has learned.
	Learned []string `json:"learned,omitempty"`
	// Advice says what would have been cheaper over the recorded history.
	Advice    []string          `json:"advice"`
	Decisions []scheduler.Entry `json:"decisions"`
}

// Run shows the last decisions about a set.
func (c *whyCmd) Run(ctx context.Context, s streams) error {
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	host, err := hostOf(a, c.Set)
	if err != nil {
		return err
	}
	st, err := operate.State(ctx, a, host)
	if err != nil {
		return err
	}
	v := whyView{
		statusSet: viewOfSet(st, a.Config.Settings()[host], ss.clock.Now()), Runs: []runView{},
		Decisions: st.Set.Decisions,
	}
	if host != c.Set {
		v.LivesAs = host
	}
	now, settings := ss.clock.Now(), a.Config.Settings()[host]
	if p := st.Set.Phase; p == scheduler.Absent || p == scheduler.Available {
		v.Now = scheduler.Decide(now, settings, st.Set, scheduler.DemandOf(st.Runs, st.Holds, settings, st.Set, now),
			scheduler.Observed{}).Reason
	}
	if v.Decisions == nil {
		v.Decisions = []scheduler.Entry{}
	}
	for _, r := range st.Runs {
		run := viewOf(r)
		if r.State == scheduler.Waiting && st.Set.Pause == nil {
			run.ExpectedStart = utc(scheduler.ExpectedStart(now, settings, st.Set, r, st.Runs...).Truncate(time.Second))
			run.Reason = scheduler.WhyWaiting(now, settings, st.Set, r, st.Runs...)
		}
		v.Runs = append(v.Runs, run)
	}
	advice, err := ss.savings(ctx, a, host)
	if err != nil {
		return err
	}
	v.Advice = advice.Advice
	v.Learned = st.Set.Learned.Summary(settings)
	return ss.print(v, v.write)
}

func (v whyView) write(w io.Writer, style output.Style) error {
	for _, l := range slices.Concat(v.sentences(), v.Advice) {
		if err := style.Println(w, "%s", l); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	t := output.NewRows(style, "AT", "GEN", "PHASE", "ACTION", "REASON")
	for _, d := range v.Decisions {
		t.Add(d.At.UTC().Format("01-02 15:04:05"), fmt.Sprint(d.Generation), string(d.Phase), string(d.Action),
			d.Reason)
	}
	if t.Len() == 0 {
		_, err := fmt.Fprintln(w, "No decisions yet.")
		return err
	}
	return t.Write(w)
}

// sentences say how the set stands, what holds it and when it is looked at next.
func (v whyView) sentences() []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if v.LivesAs != "" {
		add("It shares a VPC, and its endpoints, with set %s.", v.LivesAs)
	}
	lines = append(lines, v.state()...)
	for _, h := range v.Holds {
		add("Held by %s until %s: %s", h.Owner, h.Until.Format("2006-01-02 15:04"), h.Reason)
	}
	for i, r := range v.Runs {
		if i == 10 {
			add("... and by %d more runs", len(v.Runs)-i)
			break
		}
		if r.ExpectedStart != nil {
			add("Run %s waits, to start at %s: %s", r.ID, clockTime(*r.ExpectedStart), r.Reason)
			continue
		}
		add("Held by run %s, %s: %s", r.ID, r.State, r.Reason)
	}
	if len(v.Holds)+len(v.Runs) == 0 {
		add("Nothing holds it.")
	}
	switch {
	case v.Next != nil:
		add("The next look is at %s, by its timer; the sweep comes by every five minutes.", clockTime(*v.Next))
	case v.Phase == scheduler.Absent:
		add("It is looked at when a run asks for it; the sweep comes by every five minutes.")
	default:
		add("It is being looked at now; the sweep comes by every five minutes.")
	}
	for _, text := range v.Learned {
		add("%s", text)
	}
	if v.Now != "" {
		add("Now: %s.", v.Now)
	}
	if v.Paused != "" {
		add("It is %s.", v.Paused)
	}
	return lines
}

// state says what phase the set is in, and what it serves.
func (v whyView) state() []string {
	head := fmt.Sprintf("Set %s is %s", v.Name, v.Phase)
	if v.Since != nil {
		head += " since " + v.Since.Format("2006-01-02 15:04:05")
	}
	if v.Generation > 0 {
		head += fmt.Sprintf(", generation %d", v.Generation)
	}
	if v.PaidUntil != nil {
		head += ", paid until " + clockTime(*v.PaidUntil)
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
				v.AvoidedUntil.Format("2006-01-02 15:04")))
	}
	return lines
}
