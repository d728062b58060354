// Package demo replays a day of real arrivals to the real launcher and reaper
// against a simulated AWS, and reports the result.
package demo

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"

	"drawbridge/cfn"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/replay"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/store"
	"drawbridge/scheduler"
)

// day is a day of pushes to a git repository: the commit times of
// optiflowic/kumolo (MIT licence) on 14 May 2026, those within a minute of the
// one before merged to one push.
//
//go:embed day.csv
var day string

// setup is the configuration of the demo's account.
const setup = `
sets:
  main:
    subnets: [subnet-0a1b2c3d4e5f60001, subnet-0a1b2c3d4e5f60002]
jobs:
  build:
    set: main
    cluster: demo
    taskDefinition: build
    securityGroups: [sg-0a1b2c3d4e5f60001]
    overrides: [environment]
`

// Price is the price of an endpoint-hour in one zone in us-east-1 in USD.
//
// Source: https://aws.amazon.com/privatelink/pricing
const Price = 0.01

// Run is one run of the report; times are of the simulated day.
type Run struct {
	ID       string    `json:"id"`
	Arrived  time.Time `json:"arrived"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	ExitCode int       `json:"exit_code"`
	// Wait is how long the run waited for its task to be started, in seconds.
	Wait float64 `json:"wait_s"`
}

// Cost is the cost of one way of running the day.
type Cost struct {
	Name string `json:"name"`
	// Hours are paid hours of one endpoint, USD the price of all of them.
	Hours int     `json:"hours"`
	USD   float64 `json:"usd"`
	// Interrupted is the number of runs that lose their endpoints while they
	// run.
	Interrupted int `json:"interrupted"`
}

// Report is the result of the day.
type Report struct {
	Day       string            `json:"day"`
	Endpoints int               `json:"endpoints"`
	Services  []string          `json:"services"`
	Runs      []Run             `json:"runs"`
	Periods   []sandbox.Period  `json:"periods"`
	Decisions []scheduler.Entry `json:"decisions"`
	Costs     []Cost            `json:"costs"`
	Promises  []sandbox.Promise `json:"promises"`
	Calls     map[string]int    `json:"calls"`
}

// Kept reports whether every promise was kept.
func (r Report) Kept() bool {
	for _, p := range r.Promises {
		if !p.Kept {
			return false
		}
	}
	return true
}

// Progress receives the day's events as they happen.
type Progress interface {
	// Event reports an event.
	Event(at time.Time, what string)
	// Tick reports the time and the current state.
	Tick(at time.Time, phase string, running int)
}

// step is how far the clock is advanced between two reads of the ledger.
const step = 30 * time.Second

// Play replays the day.
func Play(ctx context.Context, seed int64, progress Progress) (Report, error) {
	trace, err := replay.Read("day", strings.NewReader(day))
	if err != nil {
		return Report{}, err
	}
	file, err := config.Parse("demo", []byte(setup))
	if err != nil {
		return Report{}, err
	}
	start := trace.Arrivals[0].At.Truncate(24 * time.Hour)
	sim := awssim.New(awssim.Options{Start: start, Seed: seed})
	defer sim.Close()
	endpoint, stop, err := sandbox.Listen(ctx, sim)
	if err != nil {
		return Report{}, err
	}
	defer stop()
	c, err := sandbox.InstallInProcess(sim, file, endpoint, http.DefaultTransport, zap.NewNop(), io.Discard)
	if err != nil {
		return Report{}, err
	}
	client := sandbox.AWSConfig(sim, endpoint, http.DefaultTransport)
	d := &director{
		sim: sim, progress: progress, queue: sqs.NewFromConfig(client), seen: map[string]bool{},
		records: store.New(dynamodb.NewFromConfig(client), cfn.NamesOf(c.Name, sim.Region()).Table),
	}
	if err := d.play(ctx, trace, start); err != nil {
		return Report{}, err
	}
	r := report(c, trace, sim.Ledger())
	r.Decisions = d.decisions
	return r, nil
}

// director moves the clock and sends the day's events.
type director struct {
	sim      *awssim.Sim
	progress Progress
	queue    *sqs.Client
	url      string
	seen     map[string]bool // events already reported
	records  *store.Store
	// decisions are those of the set so far, looked at the last time of them.
	decisions []scheduler.Entry
	looked    time.Time
}

func (d *director) play(ctx context.Context, t replay.Trace, start time.Time) error {
	out, err := d.queue.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("drawbridge-events")})
	if err != nil {
		return fmt.Errorf("find the queue: %w", err)
	}
	d.url = aws.ToString(out.QueueUrl)
	for i, a := range t.Arrivals {
		if err := d.until(ctx, a.At); err != nil {
			return err
		}
		if err := d.send(ctx, i, a); err != nil {
			return err
		}
	}
	end := start.Add(24 * time.Hour)
	for {
		if err := d.until(ctx, end); err != nil {
			return err
		}
		if d.quiet() {
			return nil
		}
		end = end.Add(10 * time.Minute)
	}
}

// quiet reports whether all stacks are deleted.
func (d *director) quiet() bool {
	for _, s := range d.sim.Ledger().Stacks {
		if s.Status != "DELETE_COMPLETE" {
			return false
		}
	}
	return true
}

func (d *director) until(ctx context.Context, at time.Time) error {
	for now := d.sim.Now(); now.Before(at); now = d.sim.Now() {
		if err := ctx.Err(); err != nil {
			return err
		}
		d.sim.Advance(min(step, at.Sub(now)))
		d.tell()
		if err := d.note(ctx); err != nil {
			return err
		}
	}
	return nil
}

// often is how often the set's decisions are read: it keeps those of the last hours.
const often = 10 * time.Minute

// note keeps the decisions that the set has made since the last time.
func (d *director) note(ctx context.Context) error {
	if d.sim.Now().Sub(d.looked) < often {
		return nil
	}
	d.looked = d.sim.Now()
	set, err := d.records.LoadSet(ctx, "main")
	if err != nil {
		return err
	}
	for _, e := range set.Decisions {
		if n := len(d.decisions); n == 0 || e.At.After(d.decisions[n-1].At) {
			d.decisions = append(d.decisions, e)
		}
	}
	return nil
}

// jobRuns is how long the demo's container itself runs; the rest of the job's
// time is the pull of its image.
const jobRuns = 290 * time.Second

func (d *director) send(ctx context.Context, i int, a replay.Arrival) error {
	body, err := json.Marshal(map[string]any{
		"job": "build", "id": fmt.Sprintf("push-%02d", i+1),
		"overrides": map[string]any{"containerOverrides": []any{map[string]any{
			"name":        "build",
			"environment": []any{map[string]string{"name": "SANDBOX_RUN_FOR", "value": jobRuns.String()}},
		}}},
	})
	if err != nil {
		return err
	}
	d.progress.Event(a.At, fmt.Sprintf("push-%02d arrives", i+1))
	if _, err := d.queue.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: aws.String(d.url), MessageBody: aws.String(string(body)),
	}); err != nil {
		return fmt.Errorf("send push-%02d: %w", i+1, err)
	}
	return nil
}

// tell reports the changes since the last call, with their times.
func (d *director) tell() {
	l := d.sim.Ledger()
	phase, running := "no endpoints", 0
	for i, s := range l.Stacks {
		name := fmt.Sprintf("generation %d", i+1)
		available, deleting := endpointTimes(l, *s.Created, s.Deleted)
		d.once(name+" is created", s.Created)
		d.once(name+" is available", available)
		d.once(name+" is deleted", deleting)
		d.once(name+" is gone", s.Deleted)
		if s.Status != "DELETE_COMPLETE" {
			phase = name + " " + strings.ToLower(strings.ReplaceAll(s.Status, "_", " "))
		}
	}
	for _, t := range l.Tasks {
		if t.Stopped == nil {
			running++
		}
		if run, _, ours := scheduler.ParseTaskGroup(t.Group); t.Stopped != nil && ours && t.ExitCode != nil {
			d.once(fmt.Sprintf("%s is done, exit code %d", strings.TrimPrefix(string(run), "build/"), *t.ExitCode),
				t.Stopped)
		}
	}
	d.progress.Tick(d.sim.Now(), phase, running)
}

// once reports an event and its time, the first time it is seen.
func (d *director) once(what string, at *float64) {
	if at != nil && !d.seen[what] {
		d.seen[what] = true
		d.progress.Event(unix(at), what)
	}
}

// endpointTimes returns when all endpoints of the stack that lived from created
// until deleted were available, and when their deletion began; nil for not yet.
func endpointTimes(l awssim.Ledger, created float64, deleted *float64) (available, deleting *float64) {
	complete := true
	for _, e := range l.Endpoints {
		if e.Stack == "" || *e.Created < created || deleted != nil && *e.Created > *deleted {
			continue
		}
		if e.Available == nil {
			complete = false
		} else if available == nil || *e.Available > *available {
			available = e.Available
		}
		deleting = e.Deleting
	}
	if !complete {
		available = nil
	}
	return available, deleting
}
