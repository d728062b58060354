// Package estimate compares the monthly cost of ways to reach AWS from a private
// subnet, for a given workload.
package estimate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/config"
	"drawbridge/internal/replay"
	"drawbridge/scheduler"
)

// Input is the workload and the prices.
type Input struct {
	Region string
	// Prices are the Region's; zero means unknown.
	Prices endpoints.RegionPrices
	// Services are the interface services, Zones is the number of zones with an
	// endpoint of each.
	Services []endpoints.ServiceID
	Zones    int
	Basis    scheduler.Basis
	// Trace are the arrivals.
	Trace replay.Trace
	// Span is the time that the trace covers; every month is like it.
	Span         time.Duration
	Raise, Lower time.Duration
	// DataGB are the gigabytes that a job transfers in addition to its image's
	// layers, which go through the free S3 gateway.
	DataGB float64
	// Unreachable is what the jobs need but no endpoint serves.
	Unreachable []endpoints.Unreachable
	// Monitoring is the installation's.
	Monitoring config.Monitoring
}

// Option is one way, with its cost in a month of 730 hours.
type Option struct {
	Name string `json:"option"`
	// USD is nil if a price is unknown.
	USD *float64 `json:"usdPerMonth"`
	// Hours are billed hours in a month: of endpoints in zones, gateways or
	// addresses.
	Hours float64 `json:"hours"`
	// Allows is what a job can reach, Forbids what rules the option out or what
	// it costs besides money.
	Allows  string `json:"allows"`
	Forbids string `json:"forbids"`
}

// Own is the monthly cost of Drawbridge's own parts, in USD.
type Own struct {
	Lambda    float64 `json:"lambda"`
	DynamoDB  float64 `json:"dynamodb"`
	Scheduler float64 `json:"scheduler"`
	SQS       float64 `json:"sqs"`
	// CloudWatch is the cost of metrics and alarms beyond those that every account has free,
	// CloudWatchAlone of all of them, and of the dashboard, where others have used these up: it
	// is not part of the options' sums.
	CloudWatch      float64 `json:"cloudWatch"`
	CloudWatchAlone float64 `json:"cloudWatchWithoutFreeTier"`
}

// Sum is all of it but CloudWatchAlone.
func (o Own) Sum() float64 { return o.Lambda + o.DynamoDB + o.Scheduler + o.SQS + o.CloudWatch }

// Report is the comparison.
type Report struct {
	Region       string   `json:"region"`
	JobsPerMonth float64  `json:"jobsPerMonth"`
	Options      []Option `json:"options"`
	Own          Own      `json:"ownUsdPerMonth"`
	// MeanWait is how long a job waits for its start with Drawbridge, in seconds.
	MeanWait float64 `json:"meanWaitSeconds"`
	// BreakEven is the number of paid hours a month from which always-on endpoints
	// are cheaper than Drawbridge, nil if the price is unknown; Paid is the
	// estimated number.
	BreakEven *float64 `json:"breakEvenHours"`
	Paid      float64  `json:"paidHours"`
	// Recommended is the name of an option, empty if a price is missing or every
	// option costs nothing; Recommendation is the reason.
	Recommended    string `json:"recommended"`
	Recommendation string `json:"recommendation"`
	// Unreachable is what no endpoint serves: a job that needs it cannot start
	// without internet access.
	Unreachable []endpoints.Unreachable `json:"unreachable,omitempty"`
}

// These are the options' names.
const (
	Drawbridge  = "Drawbridge"
	AlwaysOn    = "endpoints, always on"
	NATOnDemand = "NAT gateway, on demand"
	NATAlways   = "NAT gateway, always on"
	NATInstance = "NAT instance, on demand"
	PublicIP    = "public IP on the task"
	IPv6        = "IPv6-only subnet"
)

// These are the prices of Drawbridge's own parts, in USD, from AWS's price list
// for us-east-1, without free tiers.
//
// Sources: https://aws.amazon.com/lambda/pricing, https://aws.amazon.com/dynamodb/pricing/on-demand,
// https://aws.amazon.com/eventbridge/pricing, https://aws.amazon.com/sqs/pricing,
// https://aws.amazon.com/cloudwatch/pricing
const (
	gbSecond      = 0.0000133334 // Lambda on arm64
	invocation    = 0.20 / 1e6   // Lambda
	writeUnit     = 0.625 / 1e6  // DynamoDB on demand, a kilobyte
	readUnit      = 0.125 / 1e6  // DynamoDB on demand, four kilobytes
	timer         = 1.00 / 1e6   // EventBridge Scheduler
	message       = 0.40 / 1e6   // SQS
	metric        = 0.30         // CloudWatch, a month
	alarm         = 0.10         // CloudWatch, a month
	dashboard     = 3.00         // CloudWatch, a month
	memory        = 256.0 / 1024 // GB of a function
	lifeSeconds   = 10 * 60      // of both functions, for a life of a set: go run ./tools/soak
	sweepSeconds  = 0.3          // of the reaper, each time
	sweepsInMonth = endpoints.HoursPerMonth * 12
	lifeCalls     = 8  // invocations for a life of a set
	lifeTimers    = 6  // schedules for a life of a set
	lifeWrites    = 40 // kilobyte writes for a life of a set
	runCalls      = 2  // invocations for a run
	runWrites     = 12 // kilobyte writes for a run, transactions count twice
	runMessages   = 4  // requests to the queue for a run
	sweepReads    = 4
	freeMetrics   = 10 // of every account, for alarms and three dashboards as well
	freeAlarms    = 10
	alarms        = 7 // of an installation with one set
)

// metricsOf are the metrics of an installation with one set whose tasks start.
var metricsOf = map[config.Monitoring]float64{config.MonitorAlarms: 7, config.MonitorFully: 18}

// Make compares.
func Make(in Input) (Report, error) {
	r, err := replay.Run(in.Trace, replay.Options{Basis: in.Basis, Raise: in.Raise, Lower: in.Lower})
	if err != nil {
		return Report{}, err
	}
	c := comparison{Input: in, months: in.Span.Hours() / endpoints.HoursPerMonth}
	jobs := float64(len(in.Trace.Arrivals))
	out := Report{
		Region: in.Region, Unreachable: in.Unreachable, JobsPerMonth: jobs / c.months,
		MeanWait: r.Waited.Seconds() / max(jobs, 1), Paid: float64(r.Hours) / c.months,
	}
	out.Own = own(float64(len(r.Periods))/c.months, out.JobsPerMonth, in.Monitoring)
	out.Options = c.options(out)
	if hour := c.zoneHour(); hour > 0 {
		even := max(endpoints.HoursPerMonth-out.Own.Sum()/hour, 0)
		out.BreakEven = &even
	}
	out.Recommended, out.Recommendation = c.recommend(out)
	return out, nil
}

// comparison is an input with the values derived from it.
type comparison struct {
	Input
	months float64
}

// zoneHour is the cost of all endpoints together for an hour.
func (c comparison) zoneHour() float64 {
	return float64(len(c.Services)*c.Zones) * c.Prices.Endpoint
}

func (c comparison) options(r Report) []Option {
	zones, always := float64(len(c.Services)*c.Zones), float64(endpoints.HoursPerMonth)
	data := r.JobsPerMonth * c.DataGB
	nat := c.Prices.NAT + c.Prices.IPv4
	addresses := r.JobsPerMonth * addressHours(c.Trace)
	up := instanceHours(c.Trace) / c.months
	priced := func(price, usd float64) *float64 {
		if price == 0 {
			return nil
		}
		usd = math.Round(usd*100) / 100
		return &usd
	}
	free := 0.0
	ipv6 := &free
	against := "no ECS Exec, images by dual-stack URI, SDKs set to dual-stack"
	if why := c.noIPv6(); why != "" {
		ipv6, against = nil, "not here: "+why
	}
	const aws, internet = "only the services of its endpoints", "AWS and the internet"
	return []Option{
		{
			Drawbridge, priced(c.Prices.Endpoint, r.Paid*c.zoneHour()+r.Own.Sum()+data*c.Prices.Data), r.Paid * zones,
			aws, fmt.Sprintf("a job without running endpoints waits about %s", c.Raise),
		},
		{
			AlwaysOn, priced(c.Prices.Endpoint, always*c.zoneHour()+data*c.Prices.Data), always * zones, aws,
			"no wait, paid day and night",
		},
		{
			NATOnDemand, priced(c.Prices.NAT, r.Paid*nat+r.Own.Sum()+data*c.Prices.NATData), r.Paid, internet,
			"not where internet access is forbidden; jobs also wait, and you have to create and delete it",
		},
		{
			NATAlways, priced(c.Prices.NAT, always*nat+data*c.Prices.NATData), always, internet,
			"not where internet access is forbidden",
		},
		{
			NATInstance, priced(c.Prices.Instance, up*(c.Prices.Instance+c.Prices.IPv4)+natDisk), up, internet,
			"not where internet access is forbidden; an instance of yours to patch and to start and stop, one for " +
				"all zones, ready in about 10 s",
		},
		{
			PublicIP, priced(c.Prices.IPv4, addresses*c.Prices.IPv4), addresses, internet,
			"not where public subnets or addresses are forbidden (VPC Block Public Access)",
		},
		{IPv6, ipv6, 0, "dual-stack services of AWS and the internet", against},
	}
}

// notDualStack are services without a known dual-stack host, and noIPv6Regions Regions
// that ECS's page on IPv6-only subnets did not name when it was read.
//
// Source: the endpoint table of the SDKs, and "Fargate task networking",
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html
var (
	notDualStack = []endpoints.ServiceID{
		"codecommit", "codedeploy", "codedeploy-commands-secure", "git-codecommit", "kms", "ssm", "ssmmessages",
		"cloudformation",
	}
	noIPv6Regions = []string{"eu-west-1", "eu-north-1", "eu-central-2"}
)

// noIPv6 returns why an IPv6-only subnet is not an option; "" if it may be.
func (c comparison) noIPv6() string {
	var out []string
	for _, id := range c.Services {
		if slices.Contains(notDualStack, id) {
			out = append(out, string(id))
		}
	}
	switch {
	case len(out) > 0:
		return "no known dual-stack host for " + strings.Join(out, ", ")
	case slices.Contains(noIPv6Regions, c.Region) || endpoints.Partition(c.Region) != "aws":
		return "ECS is not documented to run tasks in such subnets in " + c.Region
	}
	return ""
}

// Use is what Drawbridge's own parts use of AWS in a month.
type Use struct {
	// Seconds are those that functions run, Invocations how often.
	Seconds, Invocations float64
	// WriteUnits and ReadUnits are DynamoDB's, on demand.
	WriteUnits, ReadUnits float64
	// Timers are schedules, Messages requests to the queue.
	Timers, Messages float64
}

// Cost returns what a use costs, without metrics and alarms.
func (u Use) Cost() Own {
	return Own{
		Lambda:    u.Seconds*memory*gbSecond + u.Invocations*invocation,
		DynamoDB:  u.WriteUnits*writeUnit + u.ReadUnits*readUnit,
		Scheduler: u.Timers * timer,
		SQS:       u.Messages * message,
	}
}

// OwnUSD returns what Drawbridge's own parts cost over a time in which sets lived so often and
// so many runs ended.
func OwnUSD(lives, runs int, over time.Duration, level config.Monitoring) float64 {
	months := over.Hours() / endpoints.HoursPerMonth
	if months <= 0 {
		return 0
	}
	return own(float64(lives)/months, float64(runs)/months, level).Sum() * months
}

// own returns the monthly cost of Drawbridge's own parts.
func own(lives, runs float64, level config.Monitoring) Own {
	out := Use{
		Seconds:     lives*lifeSeconds + sweepsInMonth*sweepSeconds,
		Invocations: sweepsInMonth + lives*lifeCalls + runs*runCalls,
		WriteUnits:  lives*lifeWrites + runs*runWrites, ReadUnits: sweepsInMonth * sweepReads,
		Timers: lives * lifeTimers, Messages: runs * runMessages,
	}.Cost()
	if metrics := metricsOf[level]; metrics > 0 {
		out.CloudWatch = max(metrics-freeMetrics, 0)*metric + max(alarms-freeAlarms, 0)*alarm
		out.CloudWatchAlone = metrics*metric + alarms*alarm + dashboard
	}
	return out
}

// natDisk is what the disk of a NAT instance that is stopped costs in a month, in USD; natIdle is
// how long it stays up after the last job.
//
// Source: README of github.com/MachineDotDev/nat-zero, which also measures 10.7 s to connectivity.
const (
	natDisk = 0.80
	natIdle = 5 * time.Minute
)

// instanceHours returns how long a NAT instance is up for the jobs of a trace, in hours: while any
// runs, and natIdle longer.
func instanceHours(t replay.Trace) float64 {
	arrivals := slices.Clone(t.Arrivals)
	slices.SortFunc(arrivals, func(a, b replay.Arrival) int { return a.At.Compare(b.At) })
	total, until := time.Duration(0), time.Time{}
	for _, a := range arrivals {
		end := a.At.Add(a.Duration + natIdle)
		if a.At.After(until) {
			until = a.At
		}
		if end.After(until) {
			total += end.Sub(until)
			until = end
		}
	}
	return total.Hours()
}

// addressHours returns how long a job holds a public address on average, in
// hours, at least a minute.
func addressHours(t replay.Trace) float64 {
	total := time.Duration(0)
	for _, a := range t.Arrivals {
		total += max(a.Duration, time.Minute)
	}
	return total.Hours() / float64(max(len(t.Arrivals), 1))
}

// clearly is the factor by which an option must be cheaper to be worth a
// change.
const clearly = 0.9

// recommend recommends an option for tasks that may reach only AWS, and for
// tasks that may have internet access.
func (c comparison) recommend(r Report) (name, text string) {
	usd := map[string]float64{}
	for _, o := range r.Options {
		if o.USD != nil {
			usd[o.Name] = *o.USD
		}
	}
	var instead []string
	if cost, ok := usd[PublicIP]; ok {
		instead = append(instead, fmt.Sprintf("the task may have a public IP (%.2f USD a month)", cost))
	}
	if _, ok := usd[IPv6]; ok {
		instead = append(instead, "an IPv6-only subnet will do")
	}
	free := ""
	if len(instead) > 0 {
		free = "If " + strings.Join(instead, ", or ") + ", use that instead."
	}
	switch {
	case len(c.Services) == 0:
		return "", "No interface endpoint is needed: the S3 gateway is free, and there is nothing to schedule."
	case c.Prices.Endpoint == 0:
		return "", "The price of endpoints in " + c.Region +
			" is unknown; run drawbridge prices refresh. " + free
	}
	saved := 100 * (1 - usd[Drawbridge]/usd[AlwaysOn])
	name = Drawbridge
	text = fmt.Sprintf("Drawbridge saves %.0f %% against always-on endpoints.", saved)
	switch {
	case usd[Drawbridge] >= usd[AlwaysOn]:
		name, text = AlwaysOn, fmt.Sprintf("Drawbridge is the wrong choice: it would pay %.0f of %d hours and save "+
			"nothing. Leave the endpoints up.", r.Paid, endpoints.HoursPerMonth)
	case usd[Drawbridge] > clearly*usd[AlwaysOn]:
		name, text = AlwaysOn, fmt.Sprintf("Drawbridge is the wrong choice: it would save %.0f %%, too little for "+
			"one more thing to run. Leave the endpoints up.", saved)
	}
	more := r.Own.CloudWatchAlone - r.Own.CloudWatch
	if name == Drawbridge && usd[Drawbridge]+more >= usd[AlwaysOn] {
		text += fmt.Sprintf(" This does not hold if CloudWatch's free metrics, alarms and dashboards are used up: "+
			"they then cost %.2f USD, more than is saved, and monitoring: none does without.", r.Own.CloudWatchAlone)
	}
	nat, words := NATOnDemand, "a NAT gateway created on demand"
	if name == AlwaysOn {
		nat, words = NATAlways, "an always-on NAT gateway"
	}
	if cost, ok := usd[NATInstance]; ok && (usd[nat] == 0 || cost < usd[nat]) {
		nat, words = NATInstance, "a NAT instance that is started on demand, and that you look after,"
	}
	if cost, ok := usd[nat]; ok && cost < clearly*usd[name] {
		text += fmt.Sprintf(" If the jobs may reach the internet, %s costs %.0f %% less.", words,
			100*(1-cost/usd[name]))
	}
	return name, strings.TrimSpace(text + " " + free)
}

// PerDay returns a trace in which jobs arrive at random times, n a day, each of the
// given length, over enough time for a stable mean: about a thousand jobs. The same
// input gives the same trace.
func PerDay(n float64, length time.Duration) (replay.Trace, time.Duration) {
	t := replay.Trace{Name: fmt.Sprintf("%g jobs a day of %s", n, length)}
	random := rand.New(rand.NewPCG(1, 2))
	span := time.Duration(min(max(math.Ceil(enough/n), days), mostDays)) * 24 * time.Hour
	for range max(int(math.Round(n*span.Hours()/24)), 1) {
		at := time.Duration(random.Float64() * float64(span)).Truncate(time.Second)
		t.Arrivals = append(t.Arrivals, replay.Arrival{At: start.Add(at), Duration: length})
	}
	slices.SortFunc(t.Arrivals, func(a, b replay.Arrival) int { return a.At.Compare(b.At) })
	return t, span
}

// enough is the number of jobs in a random trace, mostDays its maximum of days.
const (
	enough   = 1000
	mostDays = 36500
)

// days is the number of days in a month without a trace, from start.
const (
	days = 30
	span = days * 24 * time.Hour
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
