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
	"net/http"
	"os"
	"runtime"
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
	"drawbridge/internal/estimate"
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
	flag.IntVar(&o.burst, "burst", 0, "how many more arrive at eight on the first day within a second, for one set")
	flag.DurationVar(&o.takes, "takes", 5*time.Minute, "how long a run takes")
	flag.BoolVar(&o.faults, "faults", false, "one fault after another, all the time")
	flag.BoolVar(&o.programs, "programs", false, "call the real programs, and measure their memory")
	flag.Int64Var(&o.seed, "seed", 1, "decides ids and luck")
	flag.Parse()
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

// setup has sets that need nothing of their own in the base stack, which holds 500 resources.
func setup(o options) []byte {
	var b strings.Builder
	b.WriteString("sets:\n")
	for i := range o.sets {
		fmt.Fprintf(&b, "  s%d: {subnets: [subnet-%d], endpointSecurityGroups: [sg-e%d], services: [ecr.api, ecr.dkr, "+
			"logs, s3], s3Gateway: set}\n", i, i, i)
	}
	b.WriteString("jobs:\n")
	for i := range o.sets {
		fmt.Fprintf(&b, "  j%d: {set: s%d, securityGroups: [sg-t%d], cluster: c, taskDefinition: t, container: t, "+
			"overrides: [environment]}\n", i, i, i)
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
	fmt.Fprintf(out, "%d days, %d sets, %d runs a day, %d at once, of %s each\n", o.days, o.sets, o.runs, o.burst,
		o.takes)
	if err := p.pass(ctx, out); err != nil {
		return err
	}
	return p.report(out, time.Since(began))
}

func open(ctx context.Context, o options) (p *pool, closeAll func(), err error) {
	text := setup(o)
	sim := awssim.Options{Start: start, Seed: o.seed}
	p = &pool{options: o}
	var installed *config.Installation
	var c aws.Config
	if o.programs {
		paths, _, cleanup, err := functions.Local(ctx)
		if err != nil {
			return nil, nil, err
		}
		served, err := sandbox.Serve(ctx, sim, "soak", text, paths)
		if err != nil {
			cleanup()
			return nil, nil, err
		}
		p.sim, installed = served.Sim, served.Installed
		c = sandbox.AWSConfig(p.sim, served.Endpoint, http.DefaultTransport)
		closeAll = func() {
			served.Close()
			cleanup()
		}
	} else {
		p.sim = awssim.New(sim)
		closeAll = p.sim.Close
		file, err := config.Parse("soak", text)
		if err == nil {
			installed, err = sandbox.InstallInProcess(p.sim, file, "http://aws.invalid", p.sim.RoundTripper(),
				zap.NewNop(), io.Discard)
		}
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		c = sandbox.AWSConfig(p.sim, "http://aws.invalid", p.sim.RoundTripper())
	}
	p.story.VPCs = map[string]string{}
	for name, job := range installed.Jobs {
		p.story.VPCs[string(name)] = installed.Sets[job.Set].VPC
	}
	if o.faults {
		p.story.Faults = judge.Faults{
			Any: true, Failures: true, From: epoch(start), Until: epoch(start.AddDate(0, 0, o.days)), Spare: 2 * 3600,
		}
	}
	c.RetryMaxAttempts = 1
	p.queue, p.table = sqs.NewFromConfig(c), dynamodb.NewFromConfig(c)
	p.timers = scheduler.NewFromConfig(c)
	return p, closeAll, nil
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }

// faults are what goes wrong, one after another, an hour each with an hour of peace after it.
var faults = [][2]string{
	{"throttle", "0.1"}, {"lost-events", "0.5"}, {"server-error", "0.1"}, {"duplicate-events", "0.5"},
	{"lost-reply", "0.1"}, {"late-events", "60s"}, {"stale-reads", "10s"}, {"slow-delete", "4m"}, {"lost-timers", "1"},
	{"slow-create", "3m"}, {"stuck-delete", ""}, {"fail-create", "logs"}, {"unsent-events", "0.5"},
	{"fail-delete", "1"},
}

// opens and closes are the hours of the day between which runs arrive.
const opens, closes = 8, 18

// pass lets the days pass, and says six times how much there is of what could grow.
func (p *pool) pass(ctx context.Context, out io.Writer) error {
	for hour := range p.days * 24 {
		if p.faults && hour%2 == 0 {
			f := faults[hour/2%len(faults)]
			if err := p.sim.SetFault(f[0], f[1], 3600); err != nil {
				return err
			}
		}
		if err := p.hour(ctx, hour); err != nil {
			return err
		}
		if day := hour/24 + 1; hour%24 == 23 && day%max(p.days/6, 1) == 0 {
			if err := p.grown(ctx, out, day); err != nil {
				return err
			}
		}
	}
	p.sim.Advance(12 * time.Hour)
	return p.empty(ctx, out)
}

// hour sends what arrives in an hour, and lets it pass.
func (p *pool) hour(ctx context.Context, hour int) error {
	from := time.Duration(hour) * time.Hour
	if of := hour % 24; of >= opens && of < closes {
		first := p.runs * (of - opens) / (closes - opens)
		n := p.runs*(of+1-opens)/(closes-opens) - first
		for i := range n {
			p.until(from + time.Duration(i)*time.Hour/time.Duration(n))
			if err := p.send(ctx, (first+i)%p.sets, fmt.Sprintf("r%d-%d", hour/24, first+i)); err != nil {
				return err
			}
		}
	}
	if hour == opens {
		for i := range p.burst {
			if err := p.send(ctx, 0, fmt.Sprintf("b%d", i)); err != nil {
				return err
			}
		}
	}
	p.until(from + time.Hour)
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
			p.story.Events = append(p.story.Events, judge.Event{ID: id, Job: job, At: epoch(p.sim.Now())})
			return nil
		}
	}
	return fmt.Errorf("send %s: %w", id, err)
}

// grown says how much there is of what could grow.
func (p *pool) grown(ctx context.Context, out io.Writer, day int) error {
	items, timers, err := p.count(ctx)
	if err != nil {
		return err
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	_, err = fmt.Fprintf(out, "day %d: %d items, %d timers, %d MiB in this process, the simulation's records included\n",
		day, items, timers, m.HeapAlloc>>20)
	return err
}

// count returns how many items and timers there are.
func (p *pool) count(ctx context.Context) (items, timers int, err error) {
	for pages := dynamodb.NewScanPaginator(p.table, &dynamodb.ScanInput{
		TableName: aws.String("drawbridge"),
	}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, 0, err
		}
		items += len(page.Items)
	}
	for pages := scheduler.NewListSchedulesPaginator(p.timers, &scheduler.ListSchedulesInput{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, 0, err
		}
		timers += len(page.Schedules)
	}
	return items, timers, nil
}

// kept is how long the table keeps the record of a run, in days, and a few that DynamoDB takes.
const kept = 90 + 3

// empty fails if anything is left that has no end: a timer, or more records than are kept.
func (p *pool) empty(ctx context.Context, out io.Writer) error {
	items, timers, err := p.count(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "in the end: %d items, %d timers\n", items, timers)
	if most := p.runs*min(p.days, kept) + p.burst + p.sets; timers > 0 || items > most {
		return fmt.Errorf("%d items and %d timers are left, want at most %d and none", items, timers, most)
	}
	return nil
}

const (
	least = 0.03            // seconds that an invocation computes, and
	aCall = 0.015           // that a call takes, in addition to what it sleeps: assumed
	polls = 5 * 3 * 60 * 24 // requests a day by which Lambda's five pollers look at the queue
	month = 30.4            // days
)

func (p *pool) report(out io.Writer, took time.Duration) error {
	l := p.sim.Ledger()
	r := judge.Judge(p.story, l, "clock")
	calls := 0
	for name, n := range l.Calls {
		if name != "sqs:SendMessage" && name != "lambda:Invoke" && name != "dynamodb:Scan" {
			calls += n
		}
	}
	months := float64(p.days) / month
	use := estimate.Use{
		Invocations: float64(len(l.Invocations)) / months,
		WriteUnits:  l.Units["dynamodb:WriteRequestUnits"] / months,
		ReadUnits:   l.Units["dynamodb:ReadRequestUnits"] / months,
		Timers:      float64(l.Calls["scheduler:CreateSchedule"]) / months,
		Messages:    float64(4*len(p.story.Events))/months + polls*month,
	}
	for _, i := range l.Invocations {
		if i.Ended != nil {
			use.Seconds += (*i.Ended - *i.Started + least + aCall*float64(i.Calls)) / months
		}
	}
	cost := use.Cost()
	fmt.Fprintf(out, "%d accepted, %d finished, %d dead letters, %d broken promises; %d paid hours; %s\n", r.Accepted,
		r.Finished, r.Dead, len(r.Breaks), r.Hours, took.Round(time.Second))
	fmt.Fprintf(out, "a month: %.0f calls, %.0f invocations, %.2f USD in addition to the endpoints, logs and alarms: "+
		"Lambda %.2f, DynamoDB %.2f, EventBridge Scheduler %.2f, SQS %.2f\n", float64(calls)/months, use.Invocations,
		cost.Sum(), cost.Lambda, cost.DynamoDB, cost.Scheduler, cost.SQS)
	if r.PeakMiB > 0 {
		fmt.Fprintf(out, "memory of a function: %d MiB at most\n", r.PeakMiB)
	}
	for reason, n := range r.Reasons {
		fmt.Fprintf(out, "%d dead letters: %s\n", n, reason)
	}
	for _, b := range r.Breaks[:min(len(r.Breaks), 20)] {
		fmt.Fprintf(out, "BROKEN, %s: %s\n", b.Kind, b.What)
	}
	if len(r.Breaks) > 0 {
		return errors.New("a promise was broken")
	}
	return nil
}
