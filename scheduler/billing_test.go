package scheduler

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// At returns a time of 14 May 2026 in UTC.
func At(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-05-14 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func TestPaidHours(t *testing.T) {
	for _, tt := range []struct {
		name             string
		basis            Basis
		created, deleted string
		want             int
	}{
		{"clock: within one hour", Clock, "10:00:00", "10:59:59", 1},
		{"clock: up to the hour", Clock, "10:00:00", "11:00:00", 1},
		{"clock: a second over the hour", Clock, "10:00:00", "11:00:01", 2},
		{"clock: twenty minutes over the hour's edge are two", Clock, "10:50:00", "11:10:00", 2},
		{"creation: twenty minutes over the hour's edge are one", Creation, "10:50:00", "11:10:00", 1},
		{"creation: an hour to the second", Creation, "10:50:00", "11:50:00", 1},
		{"creation: a second more", Creation, "10:50:00", "11:50:01", 2},
		{"nothing", Clock, "10:00:00", "10:00:00", 0},
		{"backwards", Creation, "10:00:00", "09:00:00", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := PaidHours(tt.basis, At(tt.created), At(tt.deleted)); got != tt.want {
				t.Errorf("PaidHours(%s, %s, %s) = %d, want %d", tt.basis, tt.created, tt.deleted, got, tt.want)
			}
		})
	}
}

func TestBoundaryIsWhereTheNextHourBegins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		basis := rapid.SampledFrom([]Basis{Clock, Creation}).Draw(t, "basis")
		created := At("00:00:00").Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "created")))
		now := created.Add(time.Duration(rapid.Int64Range(1, int64(48*time.Hour)).Draw(t, "now")))
		b := Boundary(basis, created, now)
		if !b.After(now) || b.Sub(now) > PaidHour {
			t.Fatalf("Boundary(%s) = %s, want within the hour after %s", created, b, now)
		}
		until, after := PaidHours(basis, created, b), PaidHours(basis, created, b.Add(1))
		if after != until+1 {
			t.Fatalf("living to the boundary costs %d hours, a nanosecond longer %d", until, after)
		}
		if PaidHours(basis, created, now.Add(1)) != until { // at the boundary itself the next hour has not begun
			t.Fatalf("living to %s or to the boundary costs %d and %d hours, want the same", now, PaidHours(basis, created, now.Add(1)), until)
		}
	})
}

func TestParseBasis(t *testing.T) {
	if _, err := ParseBasis("weekly"); err == nil {
		t.Error("ParseBasis(weekly) succeeded")
	}
	if b, err := ParseBasis("creation"); b != Creation || err != nil {
		t.Errorf("ParseBasis(creation) = %v, %v", b, err)
	}
}
