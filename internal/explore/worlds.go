package explore

import (
	"fmt"
	"time"

	"drawbridge/scheduler"
)

// settings returns the default settings of a basis, which a function changes.
func settings(basis scheduler.Basis, changes ...func(*scheduler.Settings)) scheduler.Settings {
	s := scheduler.DefaultSettings()
	s.Basis, s.HoursPerHour, s.FixedSettle = basis, 2, true
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
	clock, creation := scheduler.Clock, scheduler.Creation
	auto := func(name string, script ...Step) *Setup {
		return &Setup{
			Name: name, Sets: []Set{{Name: "a", Settings: settings(clock), Auto: true}}, Horizon: 3 * time.Hour,
			Jobs: []Job{
				{Name: "etl", Set: "a", Takes: 3 * time.Minute, Needs: both},
				{Name: "report", Set: "a", Takes: 2 * time.Minute, Needs: []string{"logs"}},
			}, Script: script,
		}
	}
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
	budget := one("hoursPerDay", settings(clock, func(s *scheduler.Settings) { s.HoursPerDay, s.FailOverBudget = 2, true }),
		arrive(0, "etl", "1"), arrive(70, "etl", "2"))
	foreign := one("foreign stack", settings(clock), arrive(0, "etl", "1"))
	foreign.Foreign = []scheduler.SetName{"a"}
	failing := one("no stack comes up", settings(clock), arrive(0, "etl", "1"), arrive(30, "etl", "2"))
	failing.Failing = true
	stuck := one("no stack is deleted but by force", settings(clock), arrive(0, "etl", "1"), arrive(75, "etl", "2"))
	stuck.Stuck = true
	kept := one("waitCost", settings(creation, func(s *scheduler.Settings) { s.WaitCost, s.HourCost = 0.5, 0.02 }),
		arrive(0, "etl", "1"), arrive(20, "etl", "2"))
	kept.Horizon = 12 * time.Hour
	return []*Setup{
		failing, stuck, kept,
		one("one run, clock", settings(clock), arrive(0, "etl", "1")),
		one("one run, creation", settings(creation), arrive(0, "etl", "1")),
		one("two runs at once", settings(clock), arrive(0, "etl", "1"), arrive(0, "etl", "2")),
		one("a run while it comes up", settings(clock), arrive(0, "etl", "1"), arrive(1, "etl", "2")),
		one("a run when it is up", settings(clock), arrive(0, "etl", "1"), arrive(10, "etl", "2")),
		// The hour ends at 11:00, 53 minutes after the beginning: the deletion begins five minutes before.
		one("a run while it drains", settings(clock), arrive(0, "etl", "1"), arrive(48, "etl", "2")),
		one("a run while it is deleted", settings(clock), arrive(0, "etl", "1"), arrive(48.2, "etl", "2")),
		one("a run over the boundary", settings(clock), arrive(0, "etl", "1"), arrive(46, "etl", "2")),
		one("a run over the boundary, creation", settings(creation), arrive(0, "etl", "1"), arrive(53, "etl", "2")),
		limited, overdue, delayed, scheduled, budget, foreign,
		auto("auto", arrive(0, "etl", "1")),
		auto("extended", arrive(0, "etl", "1"),
			Step{At: at(5), Do: Redefine, Job: "report", Needs: []string{"secretsmanager"}}, arrive(6, "report", "1")),
		one("a hold", settings(clock), Step{At: 0, Do: Hold, Set: "a", Name: "ops", For: 20 * time.Minute},
			arrive(5, "etl", "1")),
		one("a hold while it drains", settings(clock), arrive(0, "etl", "1"),
			Step{At: at(47.9), Do: Hold, Set: "a", Name: "deployment/web", For: 30 * time.Minute},
			Step{At: at(60), Do: Release, Set: "a", Name: "deployment/web"}),
		one("paused", settings(clock), Step{At: 0, Do: Pause, Set: "a", Name: "ops"}, arrive(1, "etl", "1"),
			Step{At: at(9), Do: Resume, Set: "a"}),
		one("paused when it is up", settings(clock), arrive(0, "etl", "1"),
			Step{At: at(3), Do: Pause, Set: "a", Name: "ops"}, arrive(4, "etl", "2"), Step{At: at(55), Do: Resume, Set: "a"}),
		one("taken down", settings(clock), arrive(0, "etl", "1"),
			Step{At: at(3), Do: TakeDown, Set: "a", Name: "ops"}, arrive(5, "etl", "2")),
		one("taken down under a task", settings(clock), arrive(0, "etl", "1"),
			Step{At: at(3), Do: TakeDown, Set: "a", Name: "ops"}, arrive(3.5, "etl", "2")),
		one("cancelled", settings(clock), arrive(0, "etl", "1"), arrive(0.1, "etl", "2"),
			Step{At: at(1), Do: Cancel, Job: "etl", Name: "1"}, Step{At: at(3), Do: Cancel, Job: "etl", Name: "2"}),
		{
			Name: "two sets", Sets: []Set{
				{Name: "a", Settings: settings(clock), Services: both}, {Name: "b", Settings: settings(creation), Services: both},
			},
			Jobs:   []Job{{Name: "etl", Set: "a", Takes: 3 * time.Minute}, {Name: "report", Set: "b", Takes: time.Minute}},
			Script: []Step{arrive(0, "etl", "1"), arrive(1, "report", "1")}, Horizon: 3 * time.Hour,
		},
	}
}
