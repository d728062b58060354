package selftest

import (
	"context"
	"io"
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

// Learn returns the set with the times of an endpoint's creation and deletion as its
// first knowledge, if it has none of its own.
func Learn(set scheduler.Set, e Evidence) scheduler.Set {
	length := func(from, to string) (time.Duration, bool) {
		a, ok := e.at(from)
		b, also := e.at(to)
		return b.Sub(a), ok && also
	}
	if d, ok := length("standard: asked for", "standard: stack CREATE_COMPLETE"); ok && len(set.Learned.Raise) == 0 {
		set.Learned.Raise = scheduler.Times{d.Seconds()}
	}
	if d, ok := length("standard: deletion asked for", "standard: stack DELETE_COMPLETE"); ok &&
		len(set.Learned.Lower) == 0 {
		set.Learned.Lower = scheduler.Times{d.Seconds()}
	}
	return set
}
