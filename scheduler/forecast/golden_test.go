package forecast

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the expected forecasts anew")

// What is expected after arrivals of many kinds is as it was, to four places: processors round the fifth differently.
func TestForecastsAreAsRecorded(t *testing.T) {
	var b strings.Builder
	kinds := map[string]func(r *rand.Rand, at time.Time) time.Duration{
		"steady": func(*rand.Rand, time.Time) time.Duration { return 95 * time.Minute },
		"daily":  func(*rand.Rand, time.Time) time.Duration { return 24 * time.Hour },
		"random": func(r *rand.Rand, _ time.Time) time.Duration {
			return time.Duration(r.ExpFloat64() * float64(3*time.Hour))
		},
		"bursts": func(r *rand.Rand, _ time.Time) time.Duration {
			if r.IntN(6) > 0 {
				return time.Duration(r.IntN(900)) * time.Second
			}
			return time.Duration(r.IntN(40)) * time.Hour
		},
		"working hours": func(r *rand.Rand, at time.Time) time.Duration {
			d := time.Duration(r.IntN(7200)) * time.Second
			for x := at.Add(d); x.Hour() < 7 || x.Hour() > 18 || x.Weekday() == time.Sunday; x = at.Add(d) {
				d += time.Hour
			}
			return d
		},
	}
	for _, name := range []string{"steady", "daily", "random", "bursts", "working hours"} {
		r := rand.New(rand.NewPCG(3, 4))
		at := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
		var h History
		for n := range 241 {
			if n%20 == 0 {
				fmt.Fprintf(&b, "%s, %d arrivals:", name, n)
				for _, quiet := range []time.Duration{0, 20 * time.Minute, time.Hour, 7 * time.Hour, 50 * time.Hour} {
					now := at.Add(quiet)
					seen := h.At(now)
					fmt.Fprintf(&b, "  after %s %.4f %.4f %.4f", quiet, seen.Chance(now, now), seen.Chance(now, now.Add(time.Hour)),
						seen.Chance(now, now.Add(20*time.Hour)))
				}
				b.WriteString("\n")
			}
			at = at.Add(kinds[name](r, at))
			h = h.Saw(at)
		}
	}
	const file = "testdata/forecasts.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	is, was := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	if len(is) != len(was) {
		t.Fatalf("%d lines, want %d", len(is), len(was))
	}
	for i := range is {
		if is[i] != was[i] {
			t.Errorf("make golden writes it anew\nis  %s\nwas %s", is[i], was[i])
		}
	}
}
