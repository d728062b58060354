package sandbox

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/zap"

	"drawbridge/internal/app"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/deployments"
	"drawbridge/internal/deployments/probe"
	"drawbridge/internal/deployments/section"
	"drawbridge/internal/launcher"
	"drawbridge/internal/reaper"
)

// Clock is a simulation's clock for code in this process.
type Clock struct{ Sim *awssim.Sim }

// Now returns the simulated time.
func (c Clock) Now() time.Time { return c.Sim.Now() }

// Sleep waits on the simulated time.
func (c Clock) Sleep(ctx context.Context, d time.Duration) error { return c.Sim.Sleep(ctx, d) }

// AWSConfig returns an SDK configuration that calls the simulation over
// transport.
func AWSConfig(sim *awssim.Sim, endpoint string, transport http.RoundTripper) aws.Config {
	c := aws.Config{
		Region: sim.Region(), BaseEndpoint: aws.String(endpoint),
		HTTPClient:  &http.Client{Transport: awssim.Tag(transport)},
		Credentials: credentials.NewStaticCredentialsProvider(awssim.InProcessKey, "sandbox", ""),
	}
	if sim.Options.Speed == 0 { // time stands still while a call is tried again
		c.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 5 * time.Millisecond })
		}
	}
	return c
}

// reserve is the part of a handler's time kept for recording unfinished work.
const reserve = 20 * time.Second

// InstallInProcess installs as Install does, with the two functions as handlers in this
// process, which call the simulation over transport. They start at their first event.
func InstallInProcess(sim *awssim.Sim, file *config.File, endpoint string, transport http.RoundTripper,
	log *zap.Logger, metrics io.Writer) (*config.Installation, error) {
	var c *config.Installation
	installed := make(chan struct{}) // closed once c is there
	ck := Clock{sim}
	at := app.Place{Region: sim.Region(), Account: sim.Account()}
	build := func() *app.App {
		return app.New(c, at, app.NewClients(AWSConfig(sim, endpoint, transport)), ck, log, metrics)
	}
	type handle func(context.Context, []byte, string, time.Time) (any, error)
	wrap := func(start func() handle) awssim.Handler {
		ready := sync.OnceValue(start)
		return func(ctx context.Context, payload []byte) ([]byte, error) {
			select {
			case <-installed:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			out, err := ready()(ctx, payload, awssim.InvocationID(ctx), sim.Budget(ctx).Add(-reserve))
			if err != nil {
				return nil, err
			}
			return json.Marshal(out)
		}
	}
	in, err := Install(sim, file, Functions{Handlers: map[string]awssim.Handler{
		"launcher": wrap(func() handle { return launcher.New(build()).Handle }),
		"reaper":   wrap(func() handle { return reaper.New(build()).Handle }),
		"hook": wrap(func() handle {
			k := deployments.New(build(), deployments.NewClients(AWSConfig(sim, endpoint, transport)), sim.Carrier())
			look := deployments.Probe(&probe.Prober{Clock: ck, Transport: sim.Carrier(), Dial: sim.Dial})
			return func(ctx context.Context, payload []byte, id string, until time.Time) (any, error) {
				if section.IsProbe(c.Name, awssim.FunctionName(ctx)) {
					return look(ctx, payload, id, until)
				}
				return k.Handle(ctx, awssim.FunctionName(ctx), payload)
			}
		}),
	}})
	if err != nil {
		return nil, err
	}
	c = in
	close(installed)
	return c, nil
}
