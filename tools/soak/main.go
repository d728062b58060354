// Command soak lets the functions work for a long time, or on much at once, on a simulated AWS.
//
//	go run ./tools/soak [-days 365] [-sets 1] [-runs 274] [-burst 0] [-takes 5m] [-faults] [-programs]
//
// It judges what became of each run, lists what has grown, and says what the account did in a
// month and what that costs. The functions are called in this process; with -programs they are
// the real ones, whose memory is measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"

	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/internal/drill/judge"
	"drawbridge/internal/functions"
	"drawbridge/internal/sandbox"
)

// options are what the flags say.
type options struct {
	days, sets, runs, burst int
	takes                   time.Duration
	faults, programs        bool
	seed                    int64
}

func main() {
	var o options
	flag.IntVar(&o.days, "days", 365, "how many days pass")
	flag.IntVar(&o.sets, "sets", 1, "how many sets there are, each in a VPC of its own")
	flag.IntVar(&o.runs, "runs", 274, "how many runs arrive a day, over all sets")
	flag.IntVar(&o.burst, "burst", 0, "how many more arrive in the second hour within a second, for one set")
	flag.DurationVar(&o.takes, "takes", 5*time.Minute, "how long a run takes")
	flag.BoolVar(&o.faults, "faults", false, "one fault after another, all the time")
	flag.BoolVar(&o.programs, "programs", false, "call the real programs, and measure their memory")
	flag.Int64Var(&o.seed, "seed", 1, "decides ids and luck")
	flag.Parse()
	if f := os.Getenv("PROF"); f != "" {
		w, _ := os.Create(f)
		pprof.StartCPUProfile(w)
		defer pprof.StopCPUProfile()
	}
	if err := soak(context.Background(), o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// start is the first instant.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// pool is the account with Drawbridge in it.
type pool struct {
	options
	sim    *awssim.Sim
	queue  *sqs.Client
	table  *dynamodb.Client
	timers *scheduler.Client
	story  judge.Story
}

func setup(o options) []byte {
	var b strings.Builder
	b.WriteString("sets:\n")
	for i := range o.sets {
		fmt.Fprintf(&b, "  s%d: {subnets: [subnet-%d], services: [ecr.api, ecr.dkr, logs, s3]}\n", i, i)
	}
	b.WriteString("jobs:\n")
	for i := range o.sets {
		fmt.Fprintf(&b, "  j%d: {set: s%d, cluster: c, taskDefinition: t, container: t, overrides: [environment]}\n", i, i)
	}
	return []byte(b.String())
}

func soak(ctx context.Context, o options, out io.Writer) error {
	began := time.Now()
	p, closeAll, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer closeAll()
	fmt.Fprintf(out, "%d days, %d sets, %d runs a day, %d at once, of %s each\n", o.days, o.sets, o.runs, o.burst, o.takes)
	if err := p.pass(ctx, out); err != nil {
		return err
	}
	return p.report(ctx, out, time.Since(began))
}

func open(ctx context.Context, o options) (p *pool, closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	text := setup(o)
	file, err := config.Parse("soak", text)
	if err != nil {
		return nil, nil, err
	}
	sim := awssim.New(awssim.Options{Start: start, Seed: o.seed})
	closers = append(closers, sim.Close)
	endpoint, transport := "http://aws.invalid", sim.RoundTripper()
	if !o.programs {
		_, err = sandbox.InstallInProcess(sim, file, endpoint, transport, zap.NewNop(), io.Discard)
	} else {
		var listener net.Listener
		if listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		sim.SetAddress(listener.Addr().String())
		server := &http.Server{Handler: sim, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(listener) }() // ends with Close
		closers = append(closers, func() { _ = server.Close() })
		var paths map[string]string
		var cleanup func()
		if paths, _, cleanup, err = functions.Local(ctx); err != nil {
			return nil, nil, err
		}
		closers = append(closers, cleanup)
		folder, err := os.MkdirTemp("", "drawbridge-soak-")
		if err != nil {
			return nil, nil, err
		}
		closers = append(closers, func() { _ = os.RemoveAll(folder) }) // a temporary folder
		path := filepath.Join(folder, "drawbridge.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, nil, err
		}
		_, err = sandbox.Install(sim, file, sandbox.Functions{Bootstraps: paths, ConfigPath: path})
	}
	if err != nil {
		return nil, nil, err
	}
	c := sandbox.AWSConfig(sim, endpoint, transport)
	c.RetryMaxAttempts = 1
	return &pool{
		options: o, sim: sim, queue: sqs.NewFromConfig(c), table: dynamodb.NewFromConfig(c), timers: scheduler.NewFromConfig(c),
	}, closeAll, nil
}

// faults are what goes wrong, one after another, an hour each with an hour of peace after it.
var faults = [][2]string{
	{"throttle", "0.1"}, {"lost-events", "0.5"}, {"server-error", "0.1"}, {"duplicate-events", "0.5"},
	{"lost-reply", "0.1"}, {"late-events", "60s"}, {"stale-reads", "10s"}, {"slow-delete", "4m"}, {"lost-timers", "1"},
	{"slow-create", "3m"}, {"stuck-delete", ""}, {"fail-create", "logs"}, {"unsent-events", "0.5"}, {"fail-delete", "1"},
}

func (p *pool) pass(ctx context.Context, out io.Writer) error {
	perHour := float64(p.runs) / 24
	sent := 0
	for hour := range p.days * 24 {
		if p.faults && hour%2 == 0 {
			f := faults[hour/2%len(faults)]
			if err := p.sim.SetFault(f[0], f[1], 3600); err != nil {
				return err
			}
		}
		until := int(perHour * float64(hour+1))
		n := until - sent
		for i := range n {
			p.until(time.Duration(hour)*time.Hour + time.Duration(i)*time.Hour/time.Duration(n))
			if err := p.send(ctx, sent%p.sets, fmt.Sprintf("r%d", sent)); err != nil {
				return err
			}
			sent++
		}
		if hour == 1 {
			p.until(time.Duration(hour)*time.Hour + 30*time.Minute)
			for i := range p.burst {
				if err := p.send(ctx, 0, fmt.Sprintf("b%d", i)); err != nil {
					return err
				}
			}
		}
		p.until(time.Duration(hour+1) * time.Hour)
		if day := hour / 24; hour%24 == 23 && (day+1)%max(p.days/6, 1) == 0 {
			if err := p.grown(ctx, out, day+1); err != nil {
				return err
			}
		}
	}
	p.story.Failures = true
	for range 12 {
		p.sim.Advance(time.Hour)
	}
	return nil
}

func (p *pool) until(at time.Duration) {
	if d := start.Add(at).Sub(p.sim.Now()); d > 0 {
		p.sim.Advance(d)
	}
}

func (p *pool) send(ctx context.Context, set int, id string) error {
	job := fmt.Sprintf("j%d", set)
	body := fmt.Sprintf(`{"job":%q,"id":%q,"overrides":{"containerOverrides":[{"name":"t","environment":[`+
		`{"name":"SANDBOX_RUN_FOR","value":%q},{"name":%q,"value":%q}]}]}}`, job, id, p.takes, judge.EventVariable, id)
	var err error
	for range 100 {
		if _, err = p.queue.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: aws.String("http://x/drawbridge-events"), MessageBody: &body,
		}); err == nil {
			p.story.Events = append(p.story.Events, judge.Event{ID: id})
			return nil
		}
	}
	return fmt.Errorf("send %s: %w", id, err)
}

// grown says how much there is of what could grow.
func (p *pool) grown(ctx context.Context, out io.Writer, day int) error {
	items, timers := 0, 0
	for pages := dynamodb.NewScanPaginator(p.table, &dynamodb.ScanInput{TableName: aws.String("drawbridge")}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		items += len(page.Items)
	}
	for pages := scheduler.NewListSchedulesPaginator(p.timers, &scheduler.ListSchedulesInput{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		timers += len(page.Schedules)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	_, err := fmt.Fprintf(out, "day %d: %d items, %d timers, %d MiB here\n", day, items, timers, m.HeapAlloc>>20)
	return err
}

func (p *pool) report(_ context.Context, out io.Writer, took time.Duration) error {
	l := p.sim.Ledger()
	r := judge.Judge(p.story, l, "clock")
	calls := 0
	for name, n := range l.Calls {
		if name != "sqs:SendMessage" && name != "lambda:Invoke" {
			calls += n
		}
	}
	fmt.Fprintf(out, "%d accepted, %d finished, %d dead letters %v, %d hours, in %s\n", r.Accepted, r.Finished, r.Dead, r.Reasons,
		r.Hours, took.Round(time.Second))
	fmt.Fprintf(out, "%d calls, %d invocations, %d MiB at most: %v\n", calls, len(l.Invocations), r.PeakMiB, l.Calls)
	if len(r.Breaks) == 0 {
		return nil
	}
	for _, b := range r.Breaks[:min(len(r.Breaks), 20)] {
		fmt.Fprintln(out, "BROKEN", b.Kind, b.What)
	}
	return errors.New("a promise was broken")
}
