package sandbox

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/awssim"
)

// randomFaults turns on some of the faults that AWS's services have every day.
func (w *world) randomFaults(r *rand.Rand) (told []string) {
	for _, f := range []struct {
		name, value string
		lasts       time.Duration
		oneIn       int
	}{
		{"duplicate-events", "0.4", 0, 2},
		{"lost-events", "0.5", 0, 3},
		{"late-events", "100s", 0, 3},
		{"stale-reads", fmt.Sprintf("%ds", r.Intn(20)), 0, 3},
		{"lost-reply", "0.03", 8 * time.Hour, 3},
		{"throttle", "0.1", 8 * time.Hour, 3},
		{"slow-create", "3m", 0, 4},
	} {
		if r.Intn(f.oneIn) == 0 {
			w.fault(f.name, f.value, f.lasts)
			told = append(told, f.name+"="+f.value)
		}
	}
	return told
}

// TestPromises1To7UnderRandomFaults tells stories of eight runs under random
// faults and random crashes. A seed that fails is told in the failure.
func TestPromises1To7UnderRandomFaults(t *testing.T) {
	longStory(t)
	const stories = 30
	for seed := range int64(stories) {
		basis := []string{"clock", "creation"}[seed%2]
		inWorld(t, "billing: "+basis+oneJob, awssim.Options{Seed: seed}, func(w *world) {
			r := rand.New(rand.NewSource(seed))
			names := ids("r", 8)
			var bodies []string
			for _, id := range names {
				bodies = append(bodies, event(id, fmt.Sprintf("SANDBOX_RUN_FOR=%ds", r.Intn(1500))))
			}
			w.send(bodies[0]) // before the faults, which would hit the sender too
			told := w.randomFaults(r)
			for _, body := range bodies[1:] {
				time.Sleep(time.Duration(r.Intn(45*60)) * time.Second)
				if r.Intn(2) == 0 {
					crash := fmt.Sprintf("%s:%d", []string{"launcher", "reaper"}[r.Intn(2)], 1+r.Intn(20))
					w.fault([]string{"kill", "kill-after"}[r.Intn(2)], crash, 0)
					told = append(told, "crash "+crash)
				}
				w.sendUntilAccepted(body)
			}
			time.Sleep(10 * time.Hour)
			if w.keeps(names...); w.t.Failed() {
				w.t.Logf("seed %d, %s basis: %s", seed, basis, strings.Join(told, ", "))
			}
		})
	}
}
