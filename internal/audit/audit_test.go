package audit

import (
	"strings"
	"testing"
	"time"

	"drawbridge/endpoints"
)

// report is a fortnight of hours, with endpoints that were busy in the first so many of them.
func report(list ...Endpoint) *Report {
	until := time.Date(2026, 5, 15, 0, 0, 0, 0, time.UTC)
	return &Report{Region: "us-east-1", From: until.Add(-336 * time.Hour), Until: until, Endpoints: list}
}

func endpoint(id, vpc, service string, busy int, zones ...string) Endpoint {
	e := Endpoint{ID: id, VPC: vpc, Service: service, Zones: zones, State: "available"}
	for h := range busy {
		e.Busy(time.Date(2026, 5, 1, h, 30, 0, 0, time.UTC), 1<<30)
	}
	return e
}

func TestWhatAnAuditSays(t *testing.T) {
	price := endpoints.Prices{Endpoint: 0.01}
	ours := endpoint("vpce-5", "vpc-3", "logs", 3, "a")
	ours.Manager = ByDrawbridge
	fresh := endpoint("vpce-6", "vpc-4", "kms", 0, "a")
	fresh.Created = time.Date(2026, 5, 14, 0, 0, 0, 0, time.UTC)
	r := report(
		endpoint("vpce-1", "vpc-1", "logs", 30, "a", "b"), endpoint("vpce-2", "vpc-1", "ecr.api", 31, "a", "b"),
		endpoint("vpce-3", "vpc-1", "sqs", 0, "a"), endpoint("vpce-4", "vpc-2", "logs", 330, "a"), ours, fresh,
	)
	r.Make(price)
	advice := map[string]string{}
	for _, e := range r.Endpoints {
		advice[e.ID] = e.Advice
	}
	for id, want := range map[string]string{
		"vpce-1": "in 2 zones, of which one serves the whole VPC; also in 2 other VPCs, which could share one if they are connected",
		"vpce-3": "delete it: nobody used it", "vpce-4": "also in 2 other VPCs, which could share one if they are connected",
		"vpce-5": "looked after by Drawbridge", "vpce-6": "too new to tell: 24 hours",
	} {
		if advice[id] != want {
			t.Errorf("%s: %q, want %q", id, advice[id], want)
		}
	}
	// vpc-1: five endpoint-zones, of which one was idle; two endpoints in 31 of 336 hours in one zone.
	v := r.VPCs[0]
	if *v.USDPerMonth != 36.5 || *v.WithoutIdle != 29.2 || v.BusyHours != 31 || v.Hours != 336 ||
		*v.WithDrawbridge != 1.35 {
		t.Errorf("vpc-1: %+v, %v, %v, %v", v, *v.USDPerMonth, *v.WithoutIdle, *v.WithDrawbridge)
	}
	for i, want := range []string{
		"busy in 31 of 336 hours: Drawbridge would", "busy in 330 of 336 hours: leave them up", "nothing to do", "too new",
	} {
		if got := r.VPCs[i].Advice; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", r.VPCs[i].ID, got, want)
		}
	}
	if *r.USDPerMonth != 58.4 {
		t.Errorf("all cost %v, want 8 endpoint-zones = 58.40", *r.USDPerMonth)
	}
	unpriced := report(endpoint("vpce-1", "vpc-1", "logs", 3, "a"))
	unpriced.Make(endpoints.Prices{})
	if unpriced.USDPerMonth != nil || unpriced.Saving != nil || unpriced.VPCs[0].WithDrawbridge != nil {
		t.Error("an unknown price is taken for a number")
	}
	empty := report()
	empty.Make(price)
	if *empty.Saving != 0 {
		t.Error("nothing saves something")
	}
}
