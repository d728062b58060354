package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/config"
	"drawbridge/internal/estimate"
	"drawbridge/internal/hint"
	"drawbridge/internal/output"
	"drawbridge/internal/prices"
	"drawbridge/internal/replay"
	"drawbridge/internal/view"
	"drawbridge/scheduler"
)

type estimateCmd struct {
	Trace          string                `help:"CSV of arrivals (arrival_epoch_s,duration_s), scaled to a month." type:"existingfile" placeholder:"FILE"`
	Cron           string                `help:"Schedule of the job: five fields, or AWS's cron(...) and rate(...)." placeholder:"EXPRESSION"`
	Timezone       string                `help:"Time zone of --cron." default:"UTC" placeholder:"ZONE"`
	JobsPerDay     float64               `help:"Number of jobs a day, at random times." placeholder:"N"`
	Lasting        time.Duration         `help:"How long a job runs, with --cron and --jobs-per-day." default:"5m" placeholder:"DURATION"`
	Services       []endpoints.ServiceID `help:"Services that the jobs reach. Default: ${services}." placeholder:"SERVICE"`
	TaskDefinition string                `help:"aws ecs describe-task-definition, for the services." type:"existingfile" placeholder:"FILE"`
	Zones          int                   `help:"Number of zones that hold each endpoint." default:"1"`
	Region         string                `help:"Region of the prices. Default: the task definition's." env:"AWS_REGION,AWS_DEFAULT_REGION" placeholder:"REGION"`
	Billing        string                `help:"Where paid hours begin: ${enum}." enum:"clock,creation" default:"clock"`
	Raise          time.Duration         `help:"How long a creation takes." default:"150s"`
	Lower          time.Duration         `help:"How long a deletion takes." default:"120s"`
	Data           float64               `help:"Gigabytes that a job moves, image layers not counted." default:"0" placeholder:"GB"`
	Monitoring     config.Monitoring     `help:"Monitoring of the installation: ${enum}." enum:"none,alarms,full" default:"alarms"`
	outputFlag
}

// Help is the longer text of --help; kong calls it.
func (estimateCmd) Help() string {
	return "Needs no credentials. Give one of --trace, --cron and --jobs-per-day. Drawbridge is simulated on the " +
		"arrivals, by the code that decides in AWS, with what its own parts cost."
}

// Run compares what ways of reaching AWS cost.
func (c *estimateCmd) Run(_ context.Context, s streams) error {
	in, err := c.input()
	if err != nil {
		return err
	}
	r, err := estimate.Make(in)
	if err != nil {
		return err
	}
	width, _ := terminalWidth(s.out)
	return output.Write(s.out, c.Output, r, func(w io.Writer) error {
		return view.WriteEstimate(w, output.Style{Width: width}, in, r)
	})
}

func (c *estimateCmd) input() (estimate.Input, error) {
	in := estimate.Input{Zones: c.Zones, Raise: c.Raise, Lower: c.Lower, DataGB: c.Data, Monitoring: c.Monitoring}
	if err := c.oneSource(); err != nil {
		return in, err
	}
	for _, n := range []struct {
		flag string
		ok   bool
		want string
	}{
		{"--jobs-per-day", c.JobsPerDay == 0 || c.JobsPerDay >= 0.01 && c.JobsPerDay <= 100000, "0.01 to 100000"},
		{"--zones", c.Zones >= 1 && c.Zones <= 6, "1 to 6"},
		{"--data", c.Data >= 0 && c.Data <= 1e6, "0 to 1000000 GB"},
		{"--lasting", c.Lasting >= 0 && c.Lasting <= 14*24*time.Hour, "0s to 336h"},
		{"--raise", c.Raise >= 0 && c.Raise < time.Hour, "0s to less than 1h"},
		{"--lower", c.Lower >= 0 && c.Lower < time.Hour, "0s to less than 1h"},
	} {
		if !n.ok {
			return in, &usageError{hint.With(errors.New(n.flag+" is out of range"), "give "+n.want)}
		}
	}
	table, err := prices.Table()
	if err != nil {
		return in, err
	}
	if in.Basis, err = scheduler.ParseBasis(c.Billing); err != nil {
		return in, err
	}
	if err = c.services(&in); err != nil {
		return in, err
	}
	if in.Prices, err = pricesOf(table, in.Region); err != nil {
		return in, err
	}
	switch {
	case c.Trace != "":
		if in.Trace, err = replay.ReadFile(c.Trace); err != nil {
			return in, err
		}
		if n := len(in.Trace.Arrivals); n > 0 {
			in.Span = max(in.Trace.Arrivals[n-1].At.Sub(in.Trace.Arrivals[0].At), 24*time.Hour)
		}
	case c.Cron != "":
		in.Trace, in.Span, err = estimate.Scheduled(c.Cron, c.Timezone, c.Lasting)
	default:
		in.Trace, in.Span = estimate.PerDay(c.JobsPerDay, c.Lasting)
	}
	if err == nil && len(in.Trace.Arrivals) == 0 {
		err = hint.With(errors.New("no job runs in a month"), "with no jobs, every option costs nothing")
	}
	return in, err
}

// services works out the interface services, where the jobs run, and what they
// cannot reach.
func (c *estimateCmd) services(in *estimate.Input) error {
	ids := c.Services
	if c.TaskDefinition != "" {
		text, err := readDocument(c.TaskDefinition)
		if err != nil {
			return err
		}
		region := endpoints.DefinitionRegion(text)
		if c.Region != "" && region != "" && region != c.Region {
			return &usageError{hint.With(fmt.Errorf("task definition %s is of %s, and %s is asked for",
				c.TaskDefinition,
				region, c.Region), "leave --region and AWS_REGION out")}
		}
		c.Region = cmp.Or(c.Region, region)
		r, err := endpoints.Workload{Region: c.Region, TaskDefinitions: [][]byte{text}}.Requirements()
		if err != nil {
			return err
		}
		ids = append(ids, r.IDs()...)
		in.Unreachable = r.Unreachable
	} else if len(ids) == 0 {
		ids = endpoints.Default()
	}
	in.Region = cmp.Or(c.Region, "us-east-1")
	services, err := endpoints.Resolve(ids)
	for _, s := range services {
		if s.Type == endpoints.Interface {
			in.Services = append(in.Services, s.ID)
		}
	}
	return err
}

// pricesOf returns the prices of a Region, which may not be known. A name that AWS has no
// Region of is an error.
func pricesOf(table endpoints.PriceTable, region string) (endpoints.RegionPrices, error) {
	known, ok := table.In(region)
	if ok || slices.Contains(endpoints.Regions(), region) {
		return known, nil
	}
	remedy := "use a Region of AWS, such as us-east-1"
	if near := config.Nearest(region, endpoints.Regions()); near != "" {
		remedy = "did you mean " + near + "?"
	}
	return known, &usageError{hint.With(fmt.Errorf("unknown Region %s", region),
		remedy+" The prices of a new Region come with drawbridge prices refresh")}
}

// oneSource returns an error unless exactly one of the flags says how often jobs run.
func (c *estimateCmd) oneSource() error {
	given := 0
	for _, on := range []bool{c.Trace != "", c.Cron != "", c.JobsPerDay != 0} {
		if on {
			given++
		}
	}
	if given == 1 {
		return nil
	}
	return &usageError{hint.With(
		errors.New("give exactly one of --trace, --cron, --jobs-per-day"),
		"give one of --trace FILE, --cron EXPRESSION and --jobs-per-day N",
	)}
}
