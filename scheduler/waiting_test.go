package scheduler

import (
	"testing"
	"time"
)

// TestCreateAt chooses the hour to buy.
func TestCreateAt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		basis Basis
		asked string
		delay time.Duration
		want  string
	}{
		{"no budget", Creation, "10:20:00", 0, "10:20:00"},
		{"as late as may be", Creation, "10:20:00", time.Hour, "11:22:00"},
		{"no budget, within the hour", Clock, "10:20:00", 0, "10:20:00"},
		{"no budget, and the next hour is closer than a deletion takes", Clock, "10:58:30", 0, "11:00:00"},
		{"no budget, and it is just too far", Clock, "10:57:59", 0, "10:57:59"},
		{"the next hour is within the budget", Clock, "10:20:00", time.Hour, "11:00:00"},
		{"it is not", Clock, "10:20:00", 30 * time.Minute, "10:20:00"},
		{"the last of several", Clock, "10:20:00", 4 * time.Hour, "14:00:00"},
		{"at the beginning of an hour", Clock, "10:00:00", 10 * time.Minute, "10:00:00"},
	} {
		s := Settings{Basis: tt.basis, Raise: 150 * time.Second, Lower: 2 * time.Minute, Margin: 2 * time.Minute}
		p := Pending{Asked: At(tt.asked), MaxDelay: tt.delay}
		got := s.CreateAt(p)
		if !got.Equal(At(tt.want)) {
			t.Errorf("%s: %s, want %s", tt.name, ClockTime(got), tt.want)
		}
		if got.Add(s.Raise).After(p.StartBy(s)) {
			t.Errorf("%s: usable at %s, to start by %s", tt.name, ClockTime(got.Add(s.Raise)), ClockTime(p.StartBy(s)))
		}
	}
}

// TestStartsNow decides about a run that comes while the set is up, paid until 11:00.
func TestStartsNow(t *testing.T) {
	for _, tt := range []struct {
		name   string
		now    string
		asked  string
		delay  time.Duration
		takes  time.Duration
		starts bool
	}{
		{"it ends inside the hour", "10:20:00", "10:20:00", 4 * time.Hour, 30 * time.Minute, true},
		{"it ends just when the deletion has to begin", "10:20:00", "10:20:00", 4 * time.Hour, 38 * time.Minute, true},
		{"it does not, and may wait", "10:20:00", "10:20:00", 4 * time.Hour, 39 * time.Minute, false},
		{"it does not, and may not wait", "10:20:00", "10:20:00", 0, 39 * time.Minute, true},
		{"it may wait, but not for the next hour", "10:20:00", "10:20:00", 30 * time.Minute, 39 * time.Minute, true},
		{"it is so long that the rest of this hour saves one", "10:05:00", "10:05:00", 4 * time.Hour, 110 * time.Minute, true},
		{"it is so long that it saves none", "10:50:00", "10:50:00", 4 * time.Hour, 110 * time.Minute, false},
		{"its time is up", "10:30:00", "06:31:00", 4 * time.Hour, 59 * time.Minute, true},
		{"the hour is lost, and there is another", "10:58:01", "10:20:00", 4 * time.Hour, 59 * time.Minute, true},
	} {
		s := Settings{Basis: Clock, Raise: 150 * time.Second, Lower: 2 * time.Minute, Margin: 2 * time.Minute}
		set := Set{Phase: Available, Life: Life{BilledFrom: At("10:00:00")}}
		if got := s.StartsNow(set, Pending{At(tt.asked), tt.delay, tt.takes}, At(tt.now)); got != tt.starts {
			t.Errorf("%s: starts %t, want %t", tt.name, got, tt.starts)
		}
	}
}

// TestDeferredRunsDoNotHoldASet: it goes at its boundary, and the next comes in time.
func TestDeferredRunsDoNotHoldASet(t *testing.T) {
	s := Settings{Basis: Clock, Raise: 150 * time.Second, Lower: 2 * time.Minute, Margin: 2 * time.Minute, MaxFailures: 5}
	set := Set{Phase: Available, Learned: Learned{Runs: map[JobName]Times{"j": {2400, 2400, 2400, 2400, 2400}}}, Life: Life{BilledFrom: At("10:00:00")}}
	run := Run{Job: "j", Progress: Progress{State: Waiting}, Request: Request{ReceivedAt: At("10:30:00"), MaxDelay: 90 * time.Minute}}
	d := DemandOf([]Run{run}, nil, s, set, At("10:58:00"))
	if d.Waiting != 0 || d.Deferred != 1 || d.Live() {
		t.Fatalf("demand %+v, want one run that is put off", d)
	}
	if got := Decide(At("10:58:00"), s, set, d, Observed{}); got.Action != Drain {
		t.Errorf("at the boundary: %+v, want drain", got)
	}
	set = Set{Phase: Absent, Learned: set.Learned, Paid: Paid{PaidUntil: At("11:00:00")}}
	if got := Decide(At("11:30:00"), s, set, DemandOf([]Run{run}, nil, s, set, At("11:30:00")), Observed{}); got.Action != Wait || !got.Next.Equal(At("12:00:00")) {
		t.Errorf("absent: %+v, want to wait until 12:00", got)
	}
	if got := Decide(At("12:00:00"), s, set, DemandOf([]Run{run}, nil, s, set, At("12:00:00")), Observed{}); got.Action != Create {
		t.Errorf("at noon: %+v, want create", got)
	}
	if got := ExpectedStart(At("11:30:00"), s, set, run); !got.Equal(At("12:02:30")) {
		t.Errorf("expected start %s, want 12:02:30", ClockTime(got))
	}
}

// TestLearnedTimes: a high quantile with a prior, that forgets, and is not led astray
// by one outlier.
func TestLearnedTimes(t *testing.T) {
	var l Learned
	if got := l.RunTime("j"); got != DefaultRunTime {
		t.Errorf("nothing was seen: %s", got)
	}
	for range 15 {
		l = l.Ran("j", 10*time.Minute)
	}
	if got := l.RunTime("j"); got != 10*time.Minute {
		t.Errorf("fifteen of ten minutes: %s", got)
	}
	if got := l.Ran("j", 5*time.Hour).RunTime("j"); got != 10*time.Minute {
		t.Errorf("an outlier makes it %s", got)
	}
	for range 20 {
		l = l.Ran("j", time.Minute)
	}
	if got := l.RunTime("j"); got != time.Minute {
		t.Errorf("after twenty of a minute: %s", got)
	}
	s := DefaultSettings()
	for n := range 12 {
		if got := s.WithLearned(l); n < enoughTimes && got.Margin != DefaultMargin {
			t.Errorf("after %d deletions the margin is %s", n, got.Margin)
		}
		l.Lower, l.Raise = l.Lower.add(100*time.Second), l.Raise.add(130*time.Second)
	}
	got := s.WithLearned(l)
	if got.Lower != 130*time.Second || got.Margin != 250*time.Second || got.Raise != 130*time.Second {
		t.Errorf("learned: lower %s, margin %s, raise %s; want 2m10s, 4m10s, 2m10s", got.Lower, got.Margin, got.Raise)
	}
	s.FixedMargin, s.Margin = true, 10*time.Minute
	if got := s.WithLearned(l); got.Margin != 10*time.Minute {
		t.Errorf("a margin that is given becomes %s", got.Margin)
	}
}

// TestADeletionThatWasStuckSaysNothing: no margin would have saved its hour. One of twenty minutes
// is learned at once, and again when there are many.
func TestADeletionThatWasStuckSaysNothing(t *testing.T) {
	s := DefaultSettings()
	for _, tt := range []struct {
		lower Times
		want  time.Duration
	}{
		{Times{120, 5400}, DefaultMargin},
		{Times{5400}, DefaultMargin},
		{Times{120, 120, 120, 5400}, 4*time.Minute + 30*time.Second + 6*time.Second},
		{Times{120, 1200}, 20*time.Minute + caution + lookMayBeLate},
		{Times{1200, 1200, 1200, 1200, 1200, 1200, 7200}, 20*time.Minute + caution + lookMayBeLate},
		{Times{7200, 7200, 7200, 7200}, DefaultMargin},
	} {
		got := s.WithLearned(Learned{Lower: tt.lower}).Margin
		if off := got - tt.want; off.Abs() > 30*time.Second {
			t.Errorf("after deletions of %v s the margin is %s, want about %s", tt.lower, got, tt.want)
		}
	}
}
