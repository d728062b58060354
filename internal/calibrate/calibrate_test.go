package calibrate

import (
	"strings"
	"testing"
	"time"

	"drawbridge/scheduler"
)

func clockTime(text string) time.Time {
	t, err := time.Parse("15:04", text)
	if err != nil {
		panic(err)
	}
	return time.Date(2026, 5, 14, t.Hour(), t.Minute(), 0, 0, time.UTC)
}

// bill is what a bill would show from 06:00 to 16:00.
func bill(basis scheduler.Basis, background float64, lives ...Life) []Usage {
	var out []Usage
	for h := clockTime("06:00"); h.Before(clockTime("16:00")); h = h.Add(time.Hour) {
		u := Usage{h, background}
		for _, l := range lives {
			for at := l.Created; at.Before(l.Deleted); {
				end := scheduler.Boundary(basis, l.Created, at)
				if at.Truncate(time.Hour).Equal(h) {
					u.Quantity += float64(l.Units)
				}
				at = end
			}
		}
		out = append(out, u)
	}
	return out
}

func TestInfer(t *testing.T) {
	short := Life{"experiment", clockTime("08:50"), clockTime("09:10"), 1}
	long := Life{"stack", clockTime("10:20"), clockTime("12:15"), 5}
	inside := Life{"stack", clockTime("13:05"), clockTime("13:40"), 5}
	for _, tt := range []struct {
		name  string
		lives []Life
		usage []Usage
		want  scheduler.Basis
		says  string
	}{
		{"the experiment, clock hours", []Life{short}, bill(scheduler.Clock, 0, short), scheduler.Clock, "2.0 endpoint-hours were billed: clock hours are 2, hours from creation would be 1"},
		{"the experiment, hours from creation", []Life{short}, bill(scheduler.Creation, 0, short), scheduler.Creation, "hours from creation are 1"},
		{"beside endpoints that are always there", []Life{short, inside}, bill(scheduler.Clock, 12, short, inside), scheduler.Clock, "7.0 endpoint-hours"},
		{"the ledger alone", []Life{long, inside}, bill(scheduler.Creation, 3, long, inside), scheduler.Creation, "hours from creation are 15, clock hours would be 20"},
		{"nothing crossed an hour", []Life{inside}, bill(scheduler.Clock, 0, inside), "", "both bases would bill the same 5"},
		{"a bill of something else", []Life{short}, bill(scheduler.Clock, 0, short, Life{"other", clockTime("08:00"), clockTime("10:00"), 7}), "", "the first hour of our endpoints was billed differently"},
		{"hours that are not filled in yet", []Life{short, long}, append(bill(scheduler.Clock, 0, short)[:4], bill(scheduler.Clock, 0)[4:]...), scheduler.Clock, "2.0 endpoint-hours were billed: clock hours are 2"},
		{"a set that has other endpoints now", []Life{long}, bill(scheduler.Creation, 0, Life{"stack", long.Created, long.Deleted, 10}), "", "was billed differently (lives: 1)"},
		{"a bill that is not there yet", []Life{short}, nil, "", "a day or two later"},
		{"a bill that ends too soon", []Life{short}, bill(scheduler.Clock, 0, short)[:3], "", "a day or two later"},
	} {
		got := Infer(tt.lives, tt.usage)
		if got.Basis != tt.want || !strings.Contains(got.Reason, tt.says) {
			t.Errorf("%s: %q, %s; want %q with %q", tt.name, got.Basis, got.Reason, tt.want, tt.says)
		}
	}
}

func TestBegin(t *testing.T) {
	for _, tt := range [][3]string{{"08:10", "08:50", "09:10"}, {"08:50", "08:50", "09:10"}, {"08:54", "08:50", "09:10"}, {"08:55", "09:50", "10:10"}, {"09:00", "09:50", "10:10"}} {
		begin, end := Begin(clockTime(tt[0]))
		if !begin.Equal(clockTime(tt[1])) || !end.Equal(clockTime(tt[2])) {
			t.Errorf("at %s: %s to %s, want %s to %s", tt[0], begin, end, tt[1], tt[2])
		}
	}
	if got := (Experiment{Created: clockTime("08:52")}).End(); !got.Equal(clockTime("09:10")) {
		t.Errorf("the end is %s", got)
	}
}
