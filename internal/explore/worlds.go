package explore

import (
	"fmt"
	"slices"
	"time"

	"drawbridge/scheduler"
)

// settings returns the default settings of a basis, which a function changes.
func settings(basis scheduler.Basis, changes ...func(*scheduler.Settings)) scheduler.Settings {
	s := scheduler.DefaultSettings()
	s.Basis, s.HoursPerHour = basis, 2
	s.FixedSettle = true
	for _, c := range changes {
		c(&s)
	}
	return s
}

var both = []string{"ecr.api", "logs"}

// at is so many minutes after the beginning.
func at(minutes float64) time.Duration { return time.Duration(minutes * float64(time.Minute)) }

func arrive(minutes float64, job scheduler.JobName, event string) Step {
	return Step{At: at(minutes), Do: Arrive, Job: job, Name: event}
}

// one is a set with a job whose tasks take three minutes.
func one(name string, s scheduler.Settings, script ...Step) *Setup {
	return &Setup{
		Name: name, Sets: []Set{{Name: "a", Settings: s, Services: both}},
		Jobs: []Job{{Name: "etl", Set: "a", Takes: 3 * time.Minute}}, Script: script, Horizon: 3 * time.Hour,
	}
}

// times are the times of a schedule, each so long after the beginning.
type times []time.Duration

func (t times) Next(after time.Time) time.Time {
	for _, d := range t {
		if at := Epoch.Add(d); at.After(after) {
			return at
		}
	}
	return time.Time{}
}

func (t times) String() string { return fmt.Sprint([]time.Duration(t)) }

// Worlds are the setups that are explored.
func Worlds() []*Setup {
	return slices.Concat(settingsWorlds(), arrivalWorlds(), operatorWorlds(), needsWorlds())
}

// settingsWorlds has one for each setting that changes what is decided.
func settingsWorlds() []*Setup {
	clock, creation := scheduler.Clock, scheduler.Creation
	failing := one("no stack comes up", settings(clock), arrive(0, "etl", "1"), arrive(30, "etl", "2"))
	failing.Failing = true
	stuck := one("no stack is deleted but by force", settings(clock), arrive(0, "etl", "1"), arrive(75, "etl", "2"))
	stuck.Stuck = true
	kept := one("waitCost", settings(creation, func(s *scheduler.Settings) { s.WaitCost, s.HourCost = 0.5, 0.02 }),
		arrive(0, "etl", "1"), arrive(20, "etl", "2"))
	kept.Horizon = 12 * time.Hour
	limited := one("maxConcurrent", settings(clock, func(s *scheduler.Settings) {
		s.MaxConcurrent = map[scheduler.JobName]int{"etl": 1}
	}), arrive(0, "etl", "1"), arrive(0, "etl", "2"), arrive(4, "etl", "3"))
	overdue := one("maxRuntime", settings(clock), arrive(0, "etl", "1"))
	overdue.Jobs[0].MaxRuntime = 2 * time.Minute
	delayed := one("maxDelay", settings(creation), arrive(0, "etl", "1"), arrive(50, "etl", "2"))
	delayed.Jobs[0].MaxDelay = 20 * time.Minute
	scheduled := one("schedule", settings(clock, func(s *scheduler.Settings) {
		s.Schedules = []scheduler.Schedule{{Job: "etl", Times: times{20 * time.Minute, 70 * time.Minute}}}
	}))
	budget := one("hoursPerDay", settings(clock, func(s *scheduler.Settings) {
		s.HoursPerDay, s.FailOverBudget = 2, true
	}), arrive(0, "etl", "1"), arrive(70, "etl", "2"))
	foreign := one("foreign stack", settings(clock), arrive(0, "etl", "1"))
	foreign.Foreign = []scheduler.SetName{"a"}
	return []*Setup{failing, stuck, kept, limited, overdue, delayed, scheduled, budget, foreign}
}

// arrivalWorlds has runs that come in each phase of a set. The clock's hour ends 53 minutes after the beginning, and
// the deletion begins five minutes before.
func arrivalWorlds() []*Setup {
	clock, creation := scheduler.Clock, scheduler.Creation
	return []*Setup{
		one("one run, clock", settings(clock), arrive(0, "etl", "1")),
		one("one run, creation", settings(creation), arrive(0, "etl", "1")),
		one("two runs at once", settings(clock), arrive(0, "etl", "1"), arrive(0, "etl", "2")),
		one("a run while it comes up", settings(clock), arrive(0, "etl", "1"), arrive(1, "etl", "2")),
		one("a run when it is up", settings(clock), arrive(0, "etl", "1"), arrive(10, "etl", "2")),
		one("a run while it drains", settings(clock), arrive(0, "etl", "1"), arrive(48, "etl", "2")),
		one("a run while it is deleted", settings(clock), arrive(0, "etl", "1"), arrive(48.2, "etl", "2")),
		one("a run over the boundary", settings(clock), arrive(0, "etl", "1"), arrive(46, "etl", "2")),
		one("a run over the boundary, creation", settings(creation), arrive(0, "etl", "1"), arrive(53, "etl", "2")),
		{
			Name: "two sets", Sets: []Set{
				{Name: "a", Settings: settings(clock), Services: both},
				{Name: "b", Settings: settings(creation), Services: both},
			},
			Jobs: []Job{
				{Name: "etl", Set: "a", Takes: 3 * time.Minute}, {Name: "report", Set: "b", Takes: time.Minute},
			},
			Script: []Step{arrive(0, "etl", "1"), arrive(1, "report", "1")}, Horizon: 3 * time.Hour,
		},
	}
}

// operatorWorlds has what people and deployments do to a set.
func operatorWorlds() []*Setup {
	clock := scheduler.Clock
	do := func(minutes float64, what Deed, who string) Step {
		return Step{At: at(minutes), Do: what, Set: "a", Name: who}
	}
	hold := func(minutes float64, who string, lasts time.Duration) Step {
		return Step{At: at(minutes), Do: Hold, Set: "a", Name: who, For: lasts}
	}
	cancel := func(minutes float64, event string) Step {
		return Step{At: at(minutes), Do: Cancel, Job: "etl", Name: event}
	}
	return []*Setup{
		one("a hold", settings(clock), hold(0, "ops", 20*time.Minute), arrive(5, "etl", "1")),
		one("a hold while it drains", settings(clock), arrive(0, "etl", "1"),
			hold(47.9, "deployment/web", 30*time.Minute), do(60, Release, "deployment/web")),
		one("two deployments", settings(clock), hold(0, "deployment/web", time.Hour),
			hold(2, "deployment/api", time.Hour), arrive(3, "etl", "1"),
			do(8, Release, "deployment/web"), do(40, Release, "deployment/api")),
		one("paused", settings(clock), do(0, Pause, "ops"), arrive(1, "etl", "1"), do(9, Resume, "ops")),
		one("paused when it is up", settings(clock), arrive(0, "etl", "1"), do(3, Pause, "ops"), arrive(4, "etl", "2"),
			do(55, Resume, "ops")),
		one("taken down", settings(clock), arrive(0, "etl", "1"), do(3, TakeDown, "ops"), arrive(5, "etl", "2")),
		one("taken down under a task", settings(clock), arrive(0, "etl", "1"), do(3, TakeDown, "ops"),
			arrive(3.5, "etl", "2")),
		one("taken down while a start hangs", settings(clock), arrive(0, "etl", "1"), arrive(8.1, "etl", "2"),
			do(10.2, TakeDown, "ops")),
		one("paused while a start hangs", settings(clock), arrive(0, "etl", "1"), arrive(8, "etl", "2"),
			do(9, Pause, "ops"), do(150, Resume, "ops")),
		one("cancelled", settings(clock), arrive(0, "etl", "1"), arrive(0.1, "etl", "2"), cancel(1, "1"),
			cancel(3, "2")),
	}
}

// needsWorlds has sets whose services follow from their jobs.
func needsWorlds() []*Setup {
	auto := func(name string, script ...Step) *Setup {
		return &Setup{
			Name: name, Sets: []Set{{Name: "a", Settings: settings(scheduler.Clock), Auto: true}},
			Horizon: 3 * time.Hour,
			Jobs: []Job{
				{Name: "etl", Set: "a", Takes: 3 * time.Minute, Needs: both},
				{Name: "report", Set: "a", Takes: 2 * time.Minute, Needs: []string{"logs"}},
			}, Script: script,
		}
	}
	redefine := Step{At: at(5), Do: Redefine, Job: "report", Needs: []string{"secretsmanager"}}
	all := auto("everything at once", arrive(0, "etl", "1"), arrive(0, "etl", "2"),
		Step{At: at(4), Do: Hold, Set: "a", Name: "deployment/web", For: 15 * time.Minute}, redefine,
		arrive(6, "report", "1"), arrive(20, "report", "2"))
	set := &all.Sets[0].Settings
	set.MaxConcurrent = map[scheduler.JobName]int{"etl": 1}
	set.HoursPerDay = 24
	set.Schedules = []scheduler.Schedule{{Job: "etl", Times: times{70 * time.Minute}}}
	all.Jobs[0].MaxRuntime = 5 * time.Minute
	all.Jobs[1].MaxDelay = 10 * time.Minute
	return []*Setup{
		auto("auto", arrive(0, "etl", "1")),
		auto("extended", arrive(0, "etl", "1"), redefine, arrive(6, "report", "1")),
		auto("taken down with what it does not serve", arrive(0, "etl", "1"), redefine, arrive(6, "report", "1"),
			Step{At: at(6.2), Do: TakeDown, Set: "a", Name: "ops"}),
		auto("paused with what it does not serve", arrive(0, "etl", "1"), redefine, arrive(6, "report", "1"),
			Step{At: at(6.2), Do: Pause, Set: "a", Name: "ops"}, Step{At: at(150), Do: Resume, Set: "a"}),
		all,
	}
}
