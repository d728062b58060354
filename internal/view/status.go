package view

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/internal/deployments"
	"drawbridge/internal/operate"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// Status is an installation as it stands.
type Status struct {
	Name    string      `json:"name"`
	Account string      `json:"account"`
	Region  string      `json:"region"`
	Mode    config.Mode `json:"mode"`
	Now     time.Time   `json:"now"`
	Sets    []Set       `json:"sets"`
	Shared  []Shared    `json:"shared,omitempty"`
	// Deployments are those that have not ended, and those of the last day.
	Deployments []Deployment `json:"deployments,omitempty"`
	// Traffic is where the listeners that are watched send their requests.
	Traffic []Listener `json:"traffic,omitempty"`
	// DeadLetters counts events that became no run, or a run that was given up.
	DeadLetters int `json:"deadLetters"`
	// Troubles say what is wrong, each in a sentence.
	Troubles []string `json:"troubles"`

	deadLetterQueue string
}

// Shared is a set that lives as another one.
type Shared struct {
	Set  scheduler.SetName `json:"set"`
	Host scheduler.SetName `json:"livesAs"`
}

// Set is a set as it stands.
type Set struct {
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
	Holds   []Hold     `json:"holds"`
	Money
	Paused string `json:"paused,omitempty"`
	pause  *scheduler.Pause
	Place
	Failure string `json:"failure,omitempty"`
	// NextTry is when the next generation is tried after one that failed, if runs wait.
	NextTry *time.Time `json:"nextTry,omitempty"`
	// Refused are the jobs whose tasks ECS does not start for the moment.
	Refused []Refusal `json:"refused,omitempty"`
	// TimerFailure is why the set's timer could not be set.
	TimerFailure string `json:"timerFailure,omitempty"`
}

// Money is what a set has cost.
type Money struct {
	// HoursToday and HoursTotal are paid endpoint-hours.
	HoursToday int `json:"endpointHoursToday"`
	HoursTotal int `json:"endpointHoursTotal"`
	// AlwaysOn is what always having it up would have been billed as since
	// CountedSince: each hour as the configuration was then.
	AlwaysOn     int        `json:"endpointHoursAlwaysOn"`
	CountedSince *time.Time `json:"countedSince"`
	// USD is what HoursTotal costs at the present price, USDAlwaysOn what AlwaysOn would; nil
	// where the price is not known.
	USD         *float64 `json:"usd"`
	USDAlwaysOn *float64 `json:"usdAlwaysOn"`
}

// at puts a price on the hours; 0 is an unknown one.
func (m *Money) at(price float64) {
	if price > 0 {
		total, always := float64(m.HoursTotal)*price, float64(m.AlwaysOn)*price
		m.USD, m.USDAlwaysOn = &total, &always
	}
}

// Place is what a set serves, and where.
type Place struct {
	// Services are what the set serves while it is up, Zones where its own
	// endpoints stand, Adding what is being added to it.
	Services []string `json:"services,omitempty"`
	Zones    []string `json:"zones,omitempty"`
	Adding   []string `json:"adding,omitempty"`
	// Avoided are zones that had no room, until AvoidedUntil.
	Avoided      []string   `json:"avoidedZones,omitempty"`
	AvoidedUntil *time.Time `json:"avoidedUntil,omitempty"`
}

// Refusal is what ECS says of a job whose tasks it does not start for the moment.
type Refusal struct {
	Job     scheduler.JobName `json:"job"`
	Since   time.Time         `json:"since"`
	NextTry time.Time         `json:"nextTry"`
	Reason  string            `json:"reason"`
}

// String says it in a sentence without its full stop.
func (r Refusal) String() string {
	return fmt.Sprintf("ECS has not started job %s since %s: %s; the next try is at %s", r.Job,
		scheduler.ClockTime(r.Since), strings.TrimRight(r.Reason, "."), scheduler.ClockTime(r.NextTry))
}

// RefusalOf returns what ECS says of a job, or nil.
func RefusalOf(set scheduler.Set, job scheduler.JobName) *Refusal {
	x, ok := set.Refused[job]
	if !ok || set.Phase != scheduler.Available {
		return nil
	}
	return &Refusal{job, x.Since.UTC(), x.Until.UTC(), x.Reason}
}

// Hold is a hold of a set.
type Hold struct {
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// OfSet sums up a set's state.
func OfSet(s operate.SetState, settings scheduler.Settings, now time.Time) Set {
	d := scheduler.DemandOf(s.Runs, s.Holds, settings, s.Set, now)
	v := Set{
		Name: s.Set.Name, Phase: s.Set.Phase, Since: UTC(s.Set.Since), Generation: s.Set.Generation,
		Waiting: d.Waiting + d.Unserved + d.Deferred + d.Refused + d.Expired, Running: d.Running + d.Starting,
		Holds: []Hold{}, Failure: s.Set.Failure, TimerFailure: s.Set.TimerFailure,
		Money: Money{HoursTotal: s.Set.TotalHours},
	}
	for _, job := range slices.Sorted(maps.Keys(s.Set.Refused)) {
		if x := RefusalOf(s.Set, job); x != nil {
			v.Refused = append(v.Refused, *x)
		}
	}
	if since := s.Set.CountedSince; !since.IsZero() {
		v.CountedSince = UTC(since.Truncate(time.Second))
		v.AlwaysOn = s.Set.AlwaysOnHours(settings.Basis, now)
	}
	for _, r := range s.Runs {
		if start := scheduler.ExpectedStart(now, settings, s.Set, r, s.Runs...); r.State == scheduler.Waiting &&
			s.Set.Pause == nil && (v.Starts == nil || start.Before(*v.Starts)) {
			v.Starts = UTC(start.Truncate(time.Second))
		}
	}
	if s.Set.Day == now.UTC().Format(time.DateOnly) {
		v.HoursToday = s.Set.DayHours
	}
	if s.Set.Timer.After(now) {
		v.Next = UTC(s.Set.Timer)
	}
	if !s.Set.BilledFrom.IsZero() && !s.Set.NoStack && s.Set.Phase != scheduler.Absent {
		v.PaidUntil = UTC(scheduler.Boundary(settings.Basis, s.Set.BilledFrom, now))
	} else if s.Set.PaidUntil.After(now) {
		v.PaidUntil = UTC(s.Set.PaidUntil)
	}
	for _, l := range s.Holds {
		if until := l.Until(settings); until.After(now) {
			v.Holds = append(v.Holds, Hold{l.Owner, l.Reason, until.UTC()})
		}
	}
	v.reach(s.Set, now)
	if next := scheduler.Latest(s.Set.RetryAt, s.Set.PaidUntil); v.Failure != "" && v.Waiting > 0 && next.After(now) {
		v.NextTry = UTC(next)
	}
	if s.Set.Pause != nil {
		v.Paused, v.pause = s.Set.Pause.String(), s.Set.Pause
	}
	return v
}

// reach says what the endpoints serve and where, and which zones they keep out of.
func (v *Set) reach(s scheduler.Set, now time.Time) {
	if s.Phase != scheduler.Absent {
		v.Services, v.Zones = s.Services, s.Zones
		if x := s.Extension; x != nil {
			v.Adding = slices.DeleteFunc(slices.Clone(x.Services), func(id string) bool {
				return slices.Contains(s.Services, id)
			})
		}
	}
	avoided := slices.DeleteFunc(slices.Clone(s.AvoidZones), func(zone string) bool {
		return slices.Contains(v.Zones, zone) // no other would do
	})
	if len(avoided) > 0 && s.AvoidUntil.After(now) {
		v.Avoided, v.AvoidedUntil = avoided, UTC(s.AvoidUntil)
	}
}

// Stand is how an installation stands: the state of each of its sets, its deployments, what
// is known of their listeners, and how many dead letters there are.
type Stand struct {
	Sets        []operate.SetState
	Deployments []deployments.Record
	Watches     []deployments.Watch
	DeadLetters int
}

// Look looks at how an installation stands.
func Look(ctx context.Context, a *app.App, queues *sqs.Client) (at Stand, err error) {
	if at.Sets, err = operate.States(ctx, a); err != nil {
		return at, err
	}
	if len(a.Config.Deployments) > 0 {
		if at.Deployments, err = deployments.List(ctx, a); err != nil {
			return at, err
		}
		if at.Watches, err = deployments.Watches(ctx, a); err != nil {
			return at, err
		}
	}
	at.DeadLetters, err = operate.Messages(ctx, queues, a.Place, a.Names.DeadLetters)
	return at, err
}

// StatusOf sums up how an installation stands.
func StatusOf(a *app.App, at Stand) Status {
	v := Status{
		Name: a.Config.Name, Account: a.Place.Account, Region: a.Place.Region, Mode: a.Config.Mode,
		Now: a.Clock.Now().UTC().Truncate(time.Second), DeadLetters: at.DeadLetters, Troubles: []string{},
		deadLetterQueue: a.Names.DeadLetters,
	}
	v.Deployments, v.Traffic = DeploymentsOf(at.Deployments, v.Now), listenersOf(at.Watches)
	settings := a.Config.Settings()
	for _, s := range at.Sets {
		set := OfSet(s, settings[s.Set.Name], v.Now)
		set.at(a.Config.EndpointPrice)
		v.Sets = append(v.Sets, set)
	}
	members := a.Config.Members()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if host := members[name]; host != name {
			v.Shared = append(v.Shared, Shared{name, host})
		}
	}
	v.Troubles = v.troubles()
	return v
}

// troubles says what is wrong: it keeps a set from its work, a deployment from going on,
// requests from tasks, or events from their runs.
func (v Status) troubles() []string {
	said := []string{}
	for _, d := range v.Deployments {
		if d.Hang != "" {
			said = append(said, fmt.Sprintf("Deployment %s cannot go on: %s; %s.", d.ID, d.Hang, d.Remedy))
		}
	}
	for _, l := range v.Traffic {
		if l.Cause != "" {
			said = append(said, fmt.Sprintf("Traffic of %s moved without a deployment at %s: %s; %s.", l.Name,
				short(output.Style{}, l.Since), l.Cause, l.Remedy))
		}
	}
	for _, s := range v.Sets {
		said = append(said, s.troubles()...)
	}
	if v.DeadLetters > 0 {
		said = append(said, fmt.Sprintf("%s in %s: drawbridge replay --dry-run shows why, drawbridge replay puts the "+
			"events back.", scheduler.Count(v.DeadLetters, "dead letter is", "dead letters are"), v.deadLetterQueue))
	}
	return said
}

// Write writes it for people.
func (v Status) Write(w io.Writer, style output.Style) error {
	fmt.Fprintf(w, "%s in %s of account %s, %s", v.Name, v.Region, v.Account, style.Time(v.Now))
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
		t.Add(string(s.Name), string(s.Phase), short(style, s.Since), short(style, s.PaidUntil), fmt.Sprint(s.Running),
			fmt.Sprint(s.Waiting), short(style, &held), short(style, s.Next), fmt.Sprint(s.HoursToday))
		total, always = total+s.HoursTotal, always+s.AlwaysOn
	}
	if err := t.Write(w); err != nil {
		return err
	}
	if err := writeDeployments(w, v.Deployments, style); err != nil {
		return err
	}
	for _, s := range v.Shared {
		fmt.Fprintf(w, "\nSet %s shares a VPC, and its endpoints, with set %s.\n", s.Set, s.Host)
	}
	for _, s := range v.Sets {
		if s.Waiting > 0 && s.Starts != nil {
			fmt.Fprintf(w, "\nSet %s: the first of the runs that wait starts at %s; drawbridge why %s says why.\n",
				s.Name, style.Clock(*s.Starts), s.Name)
		}
		if s.Paused != "" {
			fmt.Fprintf(w, "\nSet %s is %s; drawbridge resume ends it.\n", s.Name, s.paused(style))
		}
	}
	for _, text := range v.Troubles {
		fmt.Fprintln(w)
		if err := style.Println(w, "%s", style.Reason(text, v.Now)); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	paid, saved := "paid", ""
	if v.Mode == config.Observe {
		paid = "that would have been paid"
	}
	if always > 0 {
		saved = fmt.Sprintf("; always on %d%s", always, inUSD(v.Sets, func(m Money) *float64 { return m.USDAlwaysOn }))
	}
	return style.Println(w, "TODAY is in endpoint-hours %s, by day in UTC. Total %d%s%s.", paid, total,
		inUSD(v.Sets, func(m Money) *float64 { return m.USD }), saved)
}

// inUSD is a sum of money in brackets; "" if a part of it is not known, or it is nothing.
func inUSD(sets []Set, part func(Money) *float64) string {
	sum := 0.0
	for _, s := range sets {
		usd := part(s.Money)
		if usd == nil {
			return ""
		}
		sum += *usd
	}
	if sum == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.2f USD)", sum)
}

// paused says since when it is paused, by whom and why.
func (s Set) paused(style output.Style) string {
	text := fmt.Sprintf("paused since %s by %s", style.Minute(s.pause.At), s.pause.By)
	if s.pause.Reason != "" {
		text += " (" + s.pause.Reason + ")"
	}
	return text
}

// troubles says what keeps a set from doing its work.
func (s Set) troubles() (said []string) {
	for _, x := range s.Refused {
		said = append(said, fmt.Sprintf("Set %s: %s.", s.Name, x))
	}
	if s.TimerFailure != "" {
		said = append(said,
			fmt.Sprintf("Set %s could not set its timer, and the reaper looks at it by its schedule alone: %s", s.Name,
				s.TimerFailure))
	}
	if s.Failure != "" && s.Phase != scheduler.Available {
		text := fmt.Sprintf("Set %s failed: %s", s.Name, s.Failure)
		if s.NextTry != nil {
			text = fmt.Sprintf("%s; the next try is at %s.",
				strings.TrimRight(text, "."), scheduler.ClockTime(*s.NextTry))
		}
		said = append(said, text)
	}
	return said
}

// short shows an instant by its time of day, or a dash.
func short(style output.Style, t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return style.Clock(*t)
}
