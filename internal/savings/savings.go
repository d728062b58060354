// Package savings computes what a set's recorded runs would have cost with other
// settings: with always-on endpoints, with a delay budget, with fewer services.
package savings

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"drawbridge/internal/replay"
	"drawbridge/scheduler"
)

// Input is a set with its history.
type Input struct {
	Set scheduler.SetName
	// Runs are those that are recorded, finished or not.
	Runs     []scheduler.Run
	Settings scheduler.Settings
	Learned  scheduler.Learned
	// Now is when the history ends.
	Now time.Time
	// EndpointHours is the number of endpoint-hours billed for an hour of the set,
	// Price the price of one in USD; 0 means unknown.
	EndpointHours int
	Price         float64
	// Avoidable are services that the jobs could do without, and how.
	Avoidable []Avoidable
}

// Avoidable is a service that could be done without.
type Avoidable struct{ Service, How string }

// Option is one way, over the history.
type Option struct {
	Name string `json:"option"`
	// Hours are paid hours of the set, EndpointHours their billed
	// endpoint-hours.
	Hours         int `json:"hours"`
	EndpointHours int `json:"endpointHours"`
	// USD is nil if the price is unknown.
	USD *float64 `json:"usd"`
	// MeanWait is the mean wait of a run, in seconds.
	MeanWait float64 `json:"meanWaitSeconds"`
}

// Report is the result for a history.
type Report struct {
	Set scheduler.SetName `json:"set"`
	// From is when the first recorded run arrived; Runs is the number of runs.
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Runs    int       `json:"runs"`
	Options []Option  `json:"options"`
	Advice  []string  `json:"advice"`
}

// These are the options' names.
const (
	AsConfigured = "as configured"
	AlwaysOn     = "always on"
)

// budgets are the delay budgets to try.
var budgets = []time.Duration{10 * time.Minute, time.Hour, 4 * time.Hour}

// enough is the minimum number of runs for advice, worth the share that an option
// has to save to be advised.
const (
	enough = 5
	worth  = 0.05
	// hardly is the factor by which always-on may cost more and still be
	// advised.
	hardly = 1.03
)

// Make replays the history with the current decisions.
func Make(in Input) (Report, error) {
	t := in.trace()
	r := Report{Set: in.Set, Until: in.Now.UTC(), Runs: len(t.Arrivals), Options: []Option{}, Advice: []string{}}
	if r.Runs == 0 {
		r.Advice = append(r.Advice, "No run has been recorded yet.")
		return r, nil
	}
	r.From = t.Arrivals[0].At.UTC()
	s := in.Settings.WithLearned(in.Learned)
	o := replay.Options{Basis: s.Basis, Raise: s.Raise, Lower: s.Margin, WaitCost: s.WaitCost, HourCost: s.HourCost}
	base, err := replay.Run(t, o)
	if err != nil {
		return r, err
	}
	now := in.option(AsConfigured, base.Hours, base.Waited, r.Runs)
	r.Options = append(r.Options, now)
	always := in.option(AlwaysOn, scheduler.PaidHours(s.Basis, r.From, in.Now), 0, r.Runs)
	r.Options = append(r.Options, always)
	if r.Runs < enough {
		r.Advice = append(r.Advice, fmt.Sprintf("Too few runs for advice (%d).", r.Runs))
		return r, nil
	}
	if s.WaitCost > 0 && in.money(always, 0) < in.money(now, base.Waited) {
		r.Advice = append(r.Advice,
			fmt.Sprintf("Always-on endpoints would have cost %.2f USD, instead of %.2f plus %.2f for the waits "+
				"of the runs (waitCost).", in.money(always, 0), in.money(now, 0),
				in.money(now, base.Waited)-in.money(now, 0)))
	} else if float64(always.Hours) <= hardly*float64(now.Hours) {
		r.Advice = append(r.Advice,
			fmt.Sprintf("Always-on endpoints would have cost less, or hardly more: %d paid hours against %d, "+
				"and no run would have waited.", always.Hours, now.Hours))
	}
	r.Advice = append(r.Advice, in.delays(t, o, now, base.Waited, &r)...)
	for _, a := range in.Avoidable {
		if in.EndpointHours == 0 {
			break
		}
		text := fmt.Sprintf("Without %s one endpoint in %d would not have been paid", a.Service, in.EndpointHours)
		if now.USD != nil {
			text += fmt.Sprintf(", %.2f USD", *now.USD/float64(in.EndpointHours))
		}
		r.Advice = append(r.Advice, text+": "+a.How+".")
	}
	return r, nil
}

// delays tries delay budgets, and advises the shortest that saves something and each
// longer one that saves clearly more.
func (in Input) delays(t replay.Trace, o replay.Options, now Option, waited time.Duration, r *Report) []string {
	var out []string
	saved := 0.0
	for _, d := range budgets {
		o.MaxDelay = d
		x, err := replay.Run(t, o)
		if err != nil {
			continue
		}
		option := in.option("maxDelay "+duration(d), x.Hours, x.Waited, r.Runs)
		r.Options = append(r.Options, option)
		share := 1 - float64(option.Hours)/float64(now.Hours)
		if o.WaitCost > 0 { // then the wait has a price
			share = 1 - in.money(option, x.Waited)/in.money(now, waited)
		}
		if share < saved+worth {
			continue
		}
		saved = share
		whose := "for all jobs"
		if o.WaitCost == 0 {
			if job, alone, ok := in.alone(t, o, option, now, r.Runs); ok {
				whose, option = "on job "+string(job)+" alone", alone
				share = 1 - float64(option.Hours)/float64(now.Hours)
			}
		}
		text := fmt.Sprintf("A maxDelay of %s %s would have saved %.0f %%", duration(d), whose, 100*share)
		if now.USD != nil {
			text += fmt.Sprintf(", %.2f USD", *now.USD-*option.USD)
		}
		out = append(out,
			fmt.Sprintf("%s; the mean wait of a run would have been %s instead of %s.", text,
				duration(time.Duration(option.MeanWait)*time.Second),
				duration(time.Duration(now.MeanWait)*time.Second)))
	}
	return out
}

// most is the share of what a budget for all jobs saves that one job alone has to save to be advised in their place.
const most = 0.8

// alone returns the job of several whose delay budget alone saves most of what the same budget for all would.
func (in Input) alone(t replay.Trace, o replay.Options, all, now Option, runs int) (scheduler.JobName, Option, bool) {
	budget := o.MaxDelay
	o.MaxDelay = 0
	jobs := map[scheduler.JobName]bool{}
	for _, a := range t.Arrivals {
		jobs[a.Job] = true
	}
	if len(jobs) == 1 {
		return "", Option{}, false
	}
	best, whose := now, scheduler.JobName("")
	for _, job := range slices.Sorted(maps.Keys(jobs)) {
		with := replay.Trace{Name: t.Name, Arrivals: slices.Clone(t.Arrivals)}
		for i, a := range with.Arrivals {
			if a.Job == job {
				with.Arrivals[i].MaxDelay = max(a.MaxDelay, budget)
			}
		}
		x, err := replay.Run(with, o)
		if err != nil {
			continue
		}
		if option := in.option(all.Name, x.Hours, x.Waited, runs); option.Hours < best.Hours {
			best, whose = option, job
		}
	}
	return whose, best, float64(now.Hours-best.Hours) >= most*float64(now.Hours-all.Hours)
}

// trace turns runs into arrivals. A run that has not ended counts with its time so
// far, or with its job's expected time if that is longer.
func (in Input) trace() replay.Trace {
	t := replay.Trace{Name: string(in.Set)}
	for _, r := range in.Runs {
		if r.Outcome == scheduler.DeadLettered {
			continue
		}
		took := in.Learned.RunTime(r.Job)
		switch {
		case !r.FinishedAt.IsZero() && !r.StartedAt.IsZero():
			took = max(r.FinishedAt.Sub(r.StartedAt), 0)
		case !r.StartedAt.IsZero():
			took = max(in.Now.Sub(r.StartedAt), took)
		}
		t.Arrivals = append(t.Arrivals, replay.Arrival{
			At: r.ReceivedAt, Duration: took, Job: r.Job, MaxDelay: r.MaxDelay,
		})
	}
	slices.SortStableFunc(t.Arrivals, func(a, b replay.Arrival) int { return a.At.Compare(b.At) })
	return t
}

func (in Input) option(name string, hours int, waited time.Duration, runs int) Option {
	o := Option{
		Name: name, Hours: hours, EndpointHours: hours * in.EndpointHours,
		MeanWait: math.Round(waited.Seconds() / float64(runs)),
	}
	if in.Price > 0 {
		usd := math.Round(float64(o.EndpointHours)*in.Price*100) / 100
		o.USD = &usd
	}
	return o
}

// money is the cost of an option including its waits.
func (in Input) money(o Option, waited time.Duration) float64 {
	return float64(o.Hours)*in.Settings.HourCost + in.Settings.WaitCost*waited.Hours()
}

// duration writes whole minutes, or seconds below one.
func duration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d < 10*time.Minute && d%time.Minute != 0:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(math.Round(d.Minutes())))
	}
	return fmt.Sprintf("%.1fh", d.Hours())
}
