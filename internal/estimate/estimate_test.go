package estimate

import (
	"strings"
	"testing"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/config"
	"drawbridge/internal/replay"
	"drawbridge/scheduler"
)

func daily(t *testing.T, region string, services, zones int, perDay float64, lasting time.Duration) Report {
	t.Helper()
	in := Input{Region: region, Services: some(services), Zones: zones, Basis: scheduler.Creation, Raise: 150 * time.Second, Lower: 2 * time.Minute}
	in.Prices, _ = endpoints.KnownPrices().In(region)
	in.Trace, in.Span = PerDay(perDay, lasting)
	r, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// some returns the first interface services of a plain job.
func some(n int) []endpoints.ServiceID {
	return []endpoints.ServiceID{"ecr.api", "ecr.dkr", "logs", "secretsmanager", "sqs"}[:n]
}

func cost(r Report, option string) *float64 {
	for _, o := range r.Options {
		if o.Name == option {
			return o.USD
		}
	}
	return nil
}

func TestRecommendation(t *testing.T) {
	for _, tt := range []struct {
		name            string
		region          string
		services, zones int
		perDay          float64
		want, says      string
	}{
		{"few jobs", "us-east-1", 5, 1, 3, Drawbridge, "saves 8"},
		{"two zones, where a NAT gateway costs half", "us-west-2", 5, 2, 3, Drawbridge, "a NAT gateway created on demand costs"},
		{"one zone, where it costs the same", "us-west-2", 5, 1, 3, Drawbridge, "always-on endpoints. If the task may"},
		{"jobs at every hour", "us-east-1", 5, 1, 300, AlwaysOn, "the wrong choice"},
		{"jobs at every hour in two zones", "us-west-2", 5, 2, 300, AlwaysOn, "an always-on NAT gateway costs"},
		{"a way out by an instance", "us-east-1", 5, 1, 3, Drawbridge, "a NAT instance that is started on demand, and that you look after, costs 78 % less"},
		{"no interface endpoint", "us-east-1", 0, 1, 3, "", "there is nothing to schedule"},
		{"a Region without a price", "eu-north-1", 5, 1, 3, "", "is unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := daily(t, tt.region, tt.services, tt.zones, tt.perDay, 5*time.Minute)
			if r.Recommended != tt.want || !strings.Contains(r.Recommendation, tt.says) {
				t.Errorf("recommended %q: %s; want %q with %q", r.Recommended, r.Recommendation, tt.want, tt.says)
			}
			if !strings.Contains(r.Recommendation, "public IP") && tt.services > 0 && tt.region == "us-east-1" {
				t.Errorf("%s does not speak of a public IP", r.Recommendation)
			}
		})
	}
}

func TestUnknownPricesAreNotZero(t *testing.T) {
	r := daily(t, "eu-north-1", 5, 1, 3, 5*time.Minute)
	for _, o := range []string{Drawbridge, AlwaysOn, NATOnDemand, NATAlways} {
		if usd := cost(r, o); usd != nil {
			t.Errorf("%s costs %g, want not known", o, *usd)
		}
	}
	if r.BreakEven != nil || cost(r, PublicIP) != nil {
		t.Errorf("break-even %v, public IP %v; want neither known", r.BreakEven, cost(r, PublicIP))
	}
	if usd := cost(daily(t, "eu-central-1", 5, 1, 3, 5*time.Minute), NATAlways); usd != nil {
		t.Errorf("a NAT gateway in eu-central-1 costs %g, want not known", *usd)
	}
}

// One job a day that fits into an hour is an hour a day, by hand: 30 hours in 30
// days are 30.4 in 730 hours; five endpoints at a cent.
func TestSumsByHand(t *testing.T) {
	in := Input{Region: "us-east-1", Services: some(5), Zones: 1, Basis: scheduler.Creation, Raise: 150 * time.Second, Lower: 2 * time.Minute, DataGB: 2}
	in.Prices, _ = endpoints.KnownPrices().In("us-east-1")
	var err error
	if in.Trace, in.Span, err = Scheduled("0 6 * * *", "UTC", 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	r, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	hours := 30 * 730.0 / 720
	for option, want := range map[string]float64{
		Drawbridge: hours*0.05 + r.Own.Sum() + hours*2*0.01, AlwaysOn: 36.5 + hours*2*0.01,
		NATOnDemand: hours*0.05 + r.Own.Sum() + hours*2*0.045, NATAlways: 36.5 + hours*2*0.045,
		PublicIP: hours / 6 * 0.005, IPv6: 0,
	} {
		if got := cost(r, option); got == nil || *got < want-0.006 || *got > want+0.006 {
			t.Errorf("%s costs %v, want %.3f", option, got, want)
		}
	}
	if r.MeanWait != 150 {
		t.Errorf("a job waits %g s on the mean, want 150", r.MeanWait)
	}
	if even := *r.BreakEven; even > 730 || even < 720 || r.Own.Sum() <= 0 || r.Own.Sum() > 0.5 {
		t.Errorf("break-even at %g hours with %.3f USD of its own, want just below 730 and some cents", even, r.Own.Sum())
	}
}

// Always on is always on, and never cheaper than one paid hour a job.
func TestBounds(t *testing.T) {
	for _, n := range []float64{0.5, 2, 10, 50, 500} {
		r := daily(t, "us-east-1", 5, 1, n, 20*time.Minute)
		if r.Paid > 732 || r.Paid > r.JobsPerMonth*2 {
			t.Errorf("%g jobs a day pay %.1f hours a month, %.0f jobs", n, r.Paid, r.JobsPerMonth)
		}
	}
}

func TestScheduled(t *testing.T) {
	for _, tt := range []struct {
		expression, zone string
		first            string
		n                int
	}{
		{"30 6 * * *", "UTC", "2026-01-01T06:30:00Z", 30},
		{"cron(30 6 * * ? *)", "UTC", "2026-01-01T06:30:00Z", 30},
		{"cron(0 6 ? * MON-FRI *)", "UTC", "2026-01-01T06:00:00Z", 22},
		{"cron(0 6 ? * 2-6 *)", "UTC", "2026-01-01T06:00:00Z", 22},
		{"cron(0 6 * * ? 2026)", "UTC", "2026-01-01T06:00:00Z", 30},
		{"cron(0 6 * * ? 2030-2031)", "UTC", "2030-01-01T06:00:00Z", 30},
		{"cron(0 6 ? * 1 *)", "UTC", "2026-01-04T06:00:00Z", 4},
		{"cron(0/15 * * * ? *)", "UTC", "2026-01-01T00:00:00Z", 30 * 96},
		{"0 8 * * *", "Asia/Tokyo", "2025-12-31T23:00:00Z", 30},
		{"rate(2 hours)", "UTC", "2026-01-01T00:00:00Z", 360},
		{"rate(1 day)", "UTC", "2026-01-01T00:00:00Z", 30},
	} {
		got, span, err := Scheduled(tt.expression, tt.zone, time.Minute)
		if err != nil || span != 30*24*time.Hour || len(got.Arrivals) != tt.n {
			t.Errorf("Scheduled(%s, %s) = %d arrivals in %s, %v; want %d", tt.expression, tt.zone, len(got.Arrivals), span, err, tt.n)
			continue
		}
		if first := got.Arrivals[0].At.Format(time.RFC3339); first != tt.first {
			t.Errorf("Scheduled(%s, %s) begins at %s, want %s", tt.expression, tt.zone, first, tt.first)
		}
	}
	for _, bad := range []string{"", "every day", "cron(1 2 3)", "rate(0 hours)", "rate(2 fortnights)", "61 * * * *", "cron(0 6 L-3 * ? *)", "cron(0 6 ? * 2#6 *)", "cron(0 6 * * ? never)"} {
		if _, _, err := Scheduled(bad, "UTC", time.Minute); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("Scheduled(%q) = %v, want an error that names it", bad, err)
		}
	}
	if _, _, err := Scheduled("0 6 * * *", "Mars/Olympus", time.Minute); err == nil {
		t.Error("a time zone of Mars was taken")
	}
}

// TestPerDayIsTheMean counts the jobs a day of a random trace, which is the same
// each time.
func TestPerDayIsTheMean(t *testing.T) {
	for _, n := range []float64{0.01, 0.5, 1, 3, 40, 2000} {
		a, span := PerDay(n, time.Minute)
		b, _ := PerDay(n, time.Minute)
		jobs := len(a.Arrivals)
		if got := float64(jobs) / (span.Hours() / 24); got < 0.99*n || got > 1.01*n {
			t.Errorf("%g jobs a day are %g", n, got)
		}
		if jobs != len(b.Arrivals) || a.Arrivals[jobs-1] != b.Arrivals[jobs-1] {
			t.Errorf("%g jobs a day are %d, and then %d", n, jobs, len(b.Arrivals))
		}
	}
}

// TestIPv6IsOfferedWhereItMayDo leaves the way out that its own row rules out.
func TestIPv6IsOfferedWhereItMayDo(t *testing.T) {
	in := Input{Zones: 1, Basis: scheduler.Clock, Raise: time.Minute, Lower: time.Minute}
	in.Trace, in.Span = PerDay(3, time.Minute)
	for _, tt := range []struct {
		region   string
		services []endpoints.ServiceID
		may      bool
	}{
		{"us-east-1", []endpoints.ServiceID{"ecr.api", "ecr.dkr", "logs"}, true},
		{"us-east-1", []endpoints.ServiceID{"ecr.api", "codedeploy"}, false},
		{"eu-west-1", []endpoints.ServiceID{"ecr.api", "ecr.dkr", "logs"}, false},
	} {
		in.Region, in.Services = tt.region, tt.services
		in.Prices, _ = endpoints.KnownPrices().In(tt.region)
		r, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := cost(r, IPv6) != nil; got != tt.may || strings.Contains(r.Recommendation, "IPv6") != tt.may {
			t.Errorf("%s, %s: IPv6-only %t: %s; want %t", tt.region, tt.services, got, r.Recommendation, tt.may)
		}
	}
}

// What an installation costs by itself at three jobs a day, by the price table.
func TestOwnCost(t *testing.T) {
	in := Input{Region: "us-east-1", Services: some(5), Zones: 1, Basis: scheduler.Clock, Raise: 150 * time.Second, Lower: 2 * time.Minute}
	in.Prices, _ = endpoints.KnownPrices().In(in.Region)
	in.Trace, in.Span = PerDay(3, 5*time.Minute)
	for level, most := range map[config.Monitoring]float64{config.MonitorNothing: 0.25, config.MonitorAlarms: 0.25, config.MonitorFully: 3} {
		in.Monitoring = level
		r, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		if own := r.Own.Sum(); own > most || own <= 0 {
			t.Errorf("monitoring %s: an installation costs %.2f USD a month by itself, want at most %.2f", level, own, most)
		}
		if free := level == config.MonitorNothing; free != (r.Own.CloudWatchAlone == 0) || (level == config.MonitorFully) != (r.Own.CloudWatch > 0) {
			t.Errorf("monitoring %s: CloudWatch costs %+v", level, r.Own)
		}
	}
}

// One job of five minutes a day is ten minutes of an instance a day with its idle time, by hand:
// 5 hours in 30 days, at 0.0042 and 0.005 USD, and the disk. Jobs at the same time share it.
func TestANATInstanceByHand(t *testing.T) {
	in := Input{Region: "us-east-1", Services: some(5), Zones: 1, Basis: scheduler.Creation, Raise: 150 * time.Second, Lower: 2 * time.Minute}
	in.Prices, _ = endpoints.KnownPrices().In(in.Region)
	in.Span = 730 * time.Hour
	begin := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for day := range 30 {
		for range 2 {
			in.Trace.Arrivals = append(in.Trace.Arrivals, replay.Arrival{
				At: begin.AddDate(0, 0, day), Duration: 5 * time.Minute,
			})
		}
	}
	r, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	if usd := cost(r, NATInstance); usd == nil || *usd != 0.85 {
		t.Errorf("a NAT instance costs %v, want 0.80 + 5 * 0.0092 = 0.85", usd)
	}
}
