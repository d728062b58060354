package selftest

import (
	"context"
	"io"
	"strings"
	"time"

	"go.uber.org/zap"

	"drawbridge/internal/app"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/sandbox"
	"drawbridge/scheduler"
)

// twinSpeed is the speed of the twin's clock relative to real time.
const twinSpeed = 600

// Twin runs the same experiments in a simulated AWS that holds what the configuration
// names, with the installation's own code, and returns the evidence.
func Twin(ctx context.Context, file *config.File, region string, job scheduler.JobName,
	parts []string) (Evidence, error) {
	sim := awssim.New(awssim.Options{Speed: twinSpeed, Region: region})
	defer sim.Close()
	const address = "http://twin.invalid"
	c, err := sandbox.InstallInProcess(sim, file, address, sim.RoundTripper(), zap.NewNop(), io.Discard)
	if err != nil {
		return Evidence{}, err
	}
	recorder := NewRecorder()
	watched := recorder.Watch(sandbox.AWSConfig(sim, address, sim.RoundTripper()))
	ck := sandbox.Clock{Sim: sim}
	at := app.Place{Region: sim.Region(), Account: sim.Account()}
	t := &Test{
		App: app.New(c, at, app.NewClients(watched), ck, zap.NewNop(), io.Discard), AWS: watched,
		Recorder: recorder,
		Job:      job, Parts: parts, Until: ck.Now().Add(3 * time.Hour), Tell: func(string) {},
	}
	evidence, _, _, err := t.Do(ctx)
	return evidence, err
}

// Compare completes a report with what the two pieces of evidence tell.
func (r *Report) Compare(seen, expected Evidence) {
	r.Seen, r.Expected = seen, expected
	r.Times = times(seen, expected)
	r.Questions = questions(seen)
	r.Differences = differences(seen, expected)
}

// Learn returns the set with the times of the endpoints' creations and deletions as its first
// knowledge, as long as it has not seen enough of its own.
func Learn(set scheduler.Set, e Evidence) scheduler.Set {
	for _, mode := range modes {
		kind := strings.ToLower(string(mode))
		raise, _ := e.between(kind+": asked for", kind+": endpoint available") // 0 for what was not seen
		lower, _ := e.between(kind+": deletion asked for", kind+": endpoint gone")
		set.Learned = set.Learned.Measured(raise, lower)
	}
	return set
}
