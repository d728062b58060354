package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/awssim"
	"drawbridge/scheduler"
)

// job returns a configuration of one set and one job with more keys.
func job(set, more string) string {
	text := strings.Replace(oneJob, "    subnets: [subnet-1, subnet-2]\n", "    subnets: [subnet-1, subnet-2]\n"+set, 1)
	return strings.Replace(text, "    maxRuntime: 3h\n", "    maxRuntime: 3h\n"+more, 1)
}

// starts returns when each task was created, in order.
func (w *world) starts() []time.Time {
	var out []time.Time
	for _, task := range w.sim.Ledger().Tasks {
		out = append(out, time.Unix(0, int64(*task.Created*1e9)).UTC())
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// generations counts the stacks that the set has had.
func (w *world) generations() int {
	n := 0
	for _, s := range w.sim.Ledger().Stacks {
		if strings.Contains(s.Name, "-set-") {
			n++
		}
	}
	return n
}

// TestDelayBudgetGathersRuns: what may wait shares an hour, and starts in time.
func TestDelayBudgetGathersRuns(t *testing.T) {
	inWorld(t, job("", "    maxDelay: 2h\n"), awssim.Options{}, func(w *world) {
		var asked []time.Time
		for i, pause := range []time.Duration{10 * time.Minute, 50 * time.Minute, 40 * time.Minute, 0} {
			asked = append(asked, time.Now())
			w.send(event(fmt.Sprint(i)))
			if i == 0 {
				answer, failure := w.call(`{"job":"hello","id":"0"}`)
				if failure != "" || answer["expectedStart"] != "2000-01-01T02:02:30Z" {
					t.Errorf("the answer is %v %s, want an expected start at the hour that is used whole", answer, failure)
				}
			}
			time.Sleep(pause)
		}
		time.Sleep(6 * time.Hour)
		w.keeps("0", "1", "2", "3")
		if n := w.generations(); n != 1 {
			t.Errorf("%d generations, want one for all", n)
		}
		settings := scheduler.DefaultSettings()
		for i, at := range w.starts() {
			if latest := asked[i].Add(2*time.Hour + settings.Raise + settings.Lower); at.After(latest) {
				t.Errorf("run %d was asked for at %s and started at %s, want by %s", i, asked[i], at, latest)
			}
		}
		hour := 0.0
		for _, e := range w.interfaces() {
			hour = max(hour, *e.Deleted-float64(int64(*e.Created)/3600*3600))
		}
		if hour > 3600 {
			t.Errorf("the hour that was bought lasted %.0f s", hour)
		}
	})
}

// TestLongRunsWaitForTheNextSet: a run that would not end inside the hour is put off,
// does not hold the set, and runs later.
func TestLongRunsWaitForTheNextSet(t *testing.T) {
	longStory(t)
	inWorld(t, job("", "    maxDelay: 3h\n"), awssim.Options{}, func(w *world) {
		for i := range 12 { // the job is known to take 40 minutes
			w.send(event(fmt.Sprint("known", i), "SANDBOX_RUN_FOR=40m"))
		}
		time.Sleep(5 * time.Hour) // they run from 03:00 on
		w.send(event("first", "SANDBOX_RUN_FOR=40m"))
		time.Sleep(3*time.Hour + 20*time.Minute) // it runs from 08:00 on
		w.send(event("second", "SANDBOX_RUN_FOR=40m"))
		time.Sleep(37 * time.Minute)
		if got := len(w.starts()); got != 13 || w.generations() != 2 {
			t.Errorf("%d tasks in %d generations, want the 14th to wait", got, w.generations())
		}
		if slices.ContainsFunc(w.interfaces(), func(e awssim.LedgerEndpoint) bool { return e.Deleting == nil }) {
			t.Errorf("the set is still up at %s, held by a run that waits", time.Now())
		}
		time.Sleep(5 * time.Hour)
		if got := w.starts(); len(got) != 14 || w.generations() != 3 || got[13].Format("15:04") != "11:02" {
			t.Errorf("%d tasks in %d generations, the last at %s; want 14 in 3, at 11:02", len(got), w.generations(), got[len(got)-1])
		}
	})
}

// TestTimesAreLearned: after a few lives of the set its times, and those of its runs,
// stand in its item, and the margin has become smaller.
func TestTimesAreLearned(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		var runs []string
		for i := range 12 {
			runs = append(runs, fmt.Sprint(i))
			w.send(event(runs[i], "SANDBOX_RUN_FOR=7m"))
			time.Sleep(2 * time.Hour)
		}
		w.keeps(runs...)
		set, err := w.store().LoadSet(w.t.Context(), "main")
		if err != nil {
			w.t.Fatal(err)
		}
		l := set.Learned
		if got := l.RunTime("hello"); got < 7*time.Minute || got > 8*time.Minute {
			t.Errorf("a run is expected to take %s, want a little more than 7m", got)
		}
		if len(l.Raise) != 12 || len(l.Lower) < 11 || len(l.Runs["hello"]) < 11 || l.History.First == 0 {
			t.Errorf("learned %+v", l)
		}
		var margins []float64
		for _, e := range w.interfaces() {
			if left := 3600 - float64(int64(*e.Deleting)%3600); e.Service == "com.amazonaws.us-east-1.logs" {
				margins = append(margins, left)
			}
		}
		if first, last := margins[0], margins[len(margins)-1]; first < 270 || last > 275 || last < 120 {
			t.Errorf("deletions began %.0f s before the hour's end at first and %.0f s at last", first, last)
		}
	})
}

// TestScheduledJobsStartOnTime: within five seconds of the second, in three time
// zones, through the changes of clocks in March, with creations that take as long as
// AWS says, beside another set, and the set is gone in between.
func TestScheduledJobsStartOnTime(t *testing.T) {
	longStory(t)
	for _, tt := range []struct {
		schedule, zone string
		raise          time.Duration
		want           []string
	}{
		{"cron(30 6 * * ? *)", "Europe/Berlin", 0, []string{"03-25 05:30", "03-26 04:30", "03-27 04:30"}},
		{"cron(30 2 * * ? *)", "Europe/Berlin", time.Minute, []string{"03-25 01:30", "03-27 00:30"}},
		{"cron(0 9 ? * MON-FRI *)", "Asia/Kolkata", 175 * time.Second, []string{"03-27 03:30"}},
		{"cron(15 1,13 * * ? *)", "Pacific/Auckland", 200 * time.Second, []string{"03-25 01:15", "03-25 13:15", "03-26 01:15", "03-26 13:15", "03-27 01:15"}},
	} {
		t.Run(tt.schedule+" "+tt.zone, func(t *testing.T) {
			config := job("", fmt.Sprintf("    schedule: %s\n    timezone: %s\n", tt.schedule, tt.zone))
			config = strings.Replace(config, "jobs:\n", "  side:\n    subnets: [subnet-9]\njobs:\n  other:\n    set: side\n    cluster: c\n    taskDefinition: other\n    securityGroups: [sg-9]\n", 1)
			inWorld(t, config, awssim.Options{Raise: tt.raise, Start: time.Date(2000, 3, 24, 20, 0, 0, 0, time.UTC)}, func(w *world) {
				time.Sleep(61 * time.Hour)
				got := w.starts()
				if len(got) != len(tt.want) {
					w.t.Fatalf("%d tasks at %s, want %s", len(got), got, tt.want)
				}
				for i, at := range got {
					want, err := time.Parse("2006-01-02 15:04", "2000-"+tt.want[i])
					if err != nil {
						w.t.Fatal(err)
					}
					if late := at.Sub(want); late < 0 || late > 5*time.Second {
						t.Errorf("the run of %s started %s late", tt.want[i], late)
					}
				}
				if w.generations() != len(tt.want) {
					t.Errorf("%d generations for %d runs", w.generations(), len(tt.want))
				}
				for _, p := range Check(w.config.Billing, w.sim.Ledger(), len(tt.want)) {
					if !p.Kept {
						t.Errorf("promise %d, %s, is broken: %s", p.Number, p.Name, p.Evidence)
					}
				}
			})
		})
	}
}

// TestPromise3AScheduledRunSurvivesAnOutage: what AWS refuses for the moment waits, however the
// run was asked for.
func TestPromise3AScheduledRunSurvivesAnOutage(t *testing.T) {
	longStory(t)
	for _, service := range []string{"ecs", "dynamodb", "lambda"} {
		t.Run(service, func(t *testing.T) {
			config := job("    services: auto\n", "    schedule: cron(30 6 * * ? *)\n") + "eventsPerMinute: 1\n"
			inWorld(t, config, awssim.Options{Start: time.Date(2000, 5, 1, 6, 0, 0, 0, time.UTC)}, func(w *world) {
				time.Sleep(25 * time.Minute)
				w.fault("outage", service, 20*time.Minute)
				time.Sleep(3 * time.Hour)
				l := w.sim.Ledger()
				if len(l.DeadLetters) != 0 || len(w.starts()) != 1 {
					t.Errorf("tasks at %s, dead letters %v, want one task and none", w.starts(), l.DeadLetters)
				}
			})
		})
	}
}

// TestSetsAreRaisedAhead: with a price on waiting a daily run soon finds its endpoints
// up, and a set that nobody uses any more stays down.
func TestSetsAreRaisedAhead(t *testing.T) {
	longStory(t)
	inWorld(t, job("    waitCost: 10\n", ""), awssim.Options{Start: time.Date(2000, 5, 1, 9, 10, 0, 0, time.UTC)}, func(w *world) {
		var waits []time.Duration
		for day := range 16 {
			asked := time.Now()
			w.send(event(fmt.Sprint(day)))
			time.Sleep(24 * time.Hour)
			waits = append(waits, w.starts()[day].Sub(asked))
		}
		if waits[0] < 2*time.Minute || waits[14] > time.Second || waits[15] > time.Second {
			t.Errorf("runs waited %s, want the last ones not to", waits)
		}
		if n := w.generations(); n < 14 || n > 40 {
			t.Errorf("%d generations in 16 days", n)
		}
	})
}
