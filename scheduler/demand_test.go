package scheduler

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// Whatever asks for a set holds it, by itself and beside anything else.
func TestEverythingThatAsksHoldsTheSet(t *testing.T) {
	holds := []string{"Waiting", "Unserved", "Starting", "Running", "Holds", "Refused", "Expired", "Capped"}
	for _, a := range holds {
		for _, b := range holds {
			var d Demand
			for _, name := range []string{a, b} {
				reflect.ValueOf(&d).Elem().FieldByName(name).SetInt(1)
			}
			if !d.Live() {
				t.Errorf("%s and %s hold nothing", a, b)
			}
			want := 0
			for _, name := range []string{a, b} {
				if name != "Running" && name != "Holds" {
					want++
				}
			}
			if a == b {
				want /= 2
			}
			if got := d.Unstarted(); got != want {
				t.Errorf("%s and %s: %d runs have no task, want %d", a, b, got, want)
			}
		}
	}
	if (Demand{Deferred: 1, Overdue: 1}).Live() {
		t.Error("a run that waits for the next set holds this one")
	}
}

func TestDemandIsSaidInAPhrase(t *testing.T) {
	d := Demand{Running: 1, Starting: 2, Waiting: 1, Unserved: 2, Refused: 3, Expired: 4, Capped: 5}
	if got, want := d.String(), "1 running, 2 starting, 15 waiting"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	d.Holds, d.HeldUntil = 2, At("12:00:00")
	if got, want := d.String(), "1 running, 2 starting, 15 waiting, 2 held until 12:00:00"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWhatAWaitingRunWaitsFor(t *testing.T) {
	now := At("10:10:00")
	limit := DefaultSettings()
	limit.MaxConcurrent = map[JobName]int{"j": 1}
	up := func(phase Phase, changes ...func(*Set)) Set {
		s := Set{Phase: phase, Life: Life{BilledFrom: At("10:00:00"), Services: []string{"logs"}}}
		for _, c := range changes {
			c(&s)
		}
		return s
	}
	refused := func(until string) func(*Set) {
		return func(s *Set) {
			s.Refused = map[JobName]Refusal{"j": {Since: At("10:09:00"), Until: At(until), Count: 1, Reason: "no room"}}
		}
	}
	run := func(state RunState, changes ...func(*Run)) Run {
		r := Run{Job: "j", Request: Request{ReceivedAt: At("10:05:00")}, Progress: Progress{State: state}}
		for _, c := range changes {
			c(&r)
		}
		return r
	}
	needs := func(service string) func(*Run) { return func(r *Run) { r.Needs = []string{service} } }
	left := func(r *Run) { r.StartingAt, r.Untried = now.Add(-ResumeAfter), true }
	patient := func(r *Run) { r.MaxDelay = 10 * time.Hour }
	for _, tt := range []struct {
		name     string
		settings Settings
		set      Set
		runs     []Run
		want     string
	}{
		{"a limit that is reached, in a set that is up", limit, up(Available), []Run{run(Running), run(Waiting)}, "Running 1, Capped 1"},
		{"and in one that drains", limit, up(Draining), []Run{run(Running), run(Waiting)}, "Running 1, Capped 1"},
		{"in an absent set nothing is counted against a limit", limit, up(Absent), []Run{run(Waiting), run(Waiting)}, "Waiting 2"},
		{"one of two takes the only place", limit, up(Available), []Run{run(Waiting), run(Waiting)}, "Waiting 1, Capped 1"},
		{"one that waits for the next set takes no place", limit, up(Available), []Run{run(Waiting, patient), run(Waiting)}, "Waiting 1, Deferred 1"},
		{"refused for the moment", DefaultSettings(), up(Available, refused("10:11:00")), []Run{run(Waiting)}, "Refused 1 until 10:11:00 for no room"},
		{"the moment is over", DefaultSettings(), up(Available, refused("10:10:00")), []Run{run(Waiting)}, "Waiting 1"},
		{"what the set has not", DefaultSettings(), up(Available), []Run{run(Waiting, needs("secretsmanager"))}, "Unserved 1"},
		{"what the next set will have", DefaultSettings(), up(Absent), []Run{run(Waiting, needs("secretsmanager"))}, "Waiting 1"},
		{"a start that was left, and needs what the set has not", DefaultSettings(), up(Available), []Run{run(Starting, left, needs("secretsmanager"))}, "Unserved 1"},
		{"a start that was left, and has all it needs", DefaultSettings(), up(Available), []Run{run(Starting, left, needs("logs"))}, "Starting 1, Resumable 1"},
		{"a start that was left, in a set that is absent", DefaultSettings(), up(Absent), []Run{run(Starting, left, needs("secretsmanager"))}, "Starting 1, Resumable 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := now
			if strings.Contains(tt.want, "Deferred") {
				now = At("10:54:00") // too late in the hour for runs that may wait
			}
			d := DemandOf(tt.runs, nil, tt.settings, tt.set, now)
			var got []string
			v := reflect.ValueOf(d)
			for _, name := range []string{"Waiting", "Starting", "Running", "Unserved", "Refused", "Expired", "Resumable", "Capped", "Deferred"} {
				if n := v.FieldByName(name).Int(); n > 0 {
					s := name + " " + string(rune('0'+n))
					if name == "Refused" {
						s += " until " + ClockTime(d.RefusedUntil) + " for " + d.RefusedFor
					}
					got = append(got, s)
				}
			}
			if text := strings.Join(got, ", "); text != tt.want {
				t.Errorf("%s, want %s", text, tt.want)
			}
		})
	}
}

// What a set has learned of its deletions says which runs still fit into the hour.
func TestDemandIsCountedWithWhatWasLearned(t *testing.T) {
	now := At("10:48:00")
	run := Run{Job: "j", Request: Request{ReceivedAt: At("10:40:00"), MaxDelay: 10 * time.Hour}, Progress: Progress{State: Waiting}}
	set := Set{Phase: Available, Life: Life{BilledFrom: At("10:00:00")}}
	set.Learned = set.Learned.Ran("j", 6*time.Minute)
	if d := DemandOf([]Run{run}, nil, DefaultSettings(), set, now); d.Waiting != 1 {
		t.Errorf("six minutes before the margin a run of six minutes does not start: %+v", d)
	}
	for range 10 {
		set.Learned.Lower = set.Learned.Lower.add(10 * time.Minute)
	}
	if d := DemandOf([]Run{run}, nil, DefaultSettings(), set, now); d.Deferred != 1 {
		t.Errorf("with deletions that take ten minutes it starts all the same: %+v", d)
	}
}
