// Package lambdamain starts a Lambda: it builds the installation once and hands
// every event to its handler.
package lambdamain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"drawbridge/internal/app"
	"drawbridge/internal/clock"
	"drawbridge/internal/hint"
)

// Handle handles one event. id is the request's id, until the time when it must
// finish.
type Handle func(ctx context.Context, payload []byte, id string, until time.Time) (any, error)

// Build builds what handles events.
type Build func(context.Context, app.Start) (Handle, error)

// Of builds a function that needs the whole installation.
func Of(handle func(*app.App) Handle) Build {
	return func(ctx context.Context, s app.Start) (Handle, error) {
		a, err := s.App(ctx)
		if err != nil {
			return nil, err
		}
		return handle(a), nil
	}
}

// reserve is the time kept for recording unfinished work.
const reserve = 20 * time.Second

// Run serves a Lambda until its environment ends. build is called when the first event
// reveals the account, and again with the next event if it failed; until then only parts
// that need no account are built.
func Run(build Build) {
	h := &handler{build: build, clock: clock.FromEnvironment()}
	if err := h.prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err) // shown in the function's log; each event fails with the same
		h.broken = err
	}
	lambda.StartHandlerFunc(h.handle)
}

type handler struct {
	build   Build
	clock   clock.Clock
	log     *zap.Logger
	clients app.Clients
	broken  error // permanently
	ready   Handle
}

// prepare builds the clients while the environment starts.
func (h *handler) prepare() (err error) {
	h.clients = app.NewClients(app.LambdaAWS())
	h.log, err = newLogger(h.clock)
	return err
}

// newLogger returns the logger of a Lambda: JSON lines on standard output, with
// the clock's time. The level is info, or that of DRAWBRIDGE_LOG_LEVEL.
func newLogger(c clock.Clock) (*zap.Logger, error) {
	config := zap.NewProductionConfig()
	config.OutputPaths, config.ErrorOutputPaths = []string{"stdout"}, []string{"stderr"}
	config.DisableStacktrace = true
	config.DisableCaller = true
	config.Sampling = nil
	if level := os.Getenv("DRAWBRIDGE_LOG_LEVEL"); level != "" {
		l, err := zap.ParseAtomicLevel(level)
		if err != nil {
			return nil, fmt.Errorf("DRAWBRIDGE_LOG_LEVEL: %w", err)
		}
		config.Level = l
	}
	config.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return config.Build(zap.WithClock(logClock{c}))
}

// logClock adapts a clock to the logger.
type logClock struct{ clock.Clock }

// NewTicker is for buffered output, which a Lambda does not use.
func (logClock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

func (h *handler) handle(ctx context.Context, payload json.RawMessage) (any, error) {
	if h.broken != nil {
		return nil, h.broken
	}
	lc, _ := lambdacontext.FromContext(ctx)
	if lc == nil {
		return nil, errors.New("no Lambda context")
	}
	if h.ready == nil { // an environment handles one event at a time
		if err := h.complete(ctx, lc.InvokedFunctionArn); err != nil {
			return nil, err
		}
	}
	// The deadline is in the machine's time; the remaining time counts on the
	// clock.
	until := h.clock.Now().Add(15*time.Minute - reserve)
	if deadline, ok := ctx.Deadline(); ok {
		until = h.clock.Now().Add(time.Until(deadline) - reserve)
	}
	out, err := h.ready(ctx, payload, lc.AwsRequestID, until)
	if err != nil {
		h.log.Error("failed", zap.Error(err))
		if remedy := hint.Of(err); remedy != "" {
			return nil, fmt.Errorf("%w; %s", err, remedy)
		}
	}
	return out, err
}

func (h *handler) complete(ctx context.Context, functionARN string) error {
	at, err := app.PlaceOf(functionARN)
	if err != nil {
		return err
	}
	file, err := app.LambdaFile()
	if err != nil {
		return err
	}
	ready, err := h.build(ctx, app.Start{
		File: file, Place: at, Clients: h.clients, Clock: h.clock, Log: h.log, Metrics: os.Stdout,
	})
	if err != nil {
		h.log.Error("not ready", zap.Error(err))
		return err
	}
	h.ready = ready
	return nil
}
