// Package audit tells what interface endpoints an account has in a Region, what they cost, how
// idle they are, and what could be saved. It only reads, and nothing has to be installed.
package audit

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/scheduler"
)

// Endpoint is an interface endpoint as the account has it.
type Endpoint struct {
	ID  string `json:"endpoint"`
	VPC string `json:"vpc"`
	// Service is the short name, as in logs, or the whole one of a service that is not AWS's.
	Service string   `json:"service"`
	Zones   []string `json:"zones"`
	State   string   `json:"state"`
	// Manager says who looks after it: Drawbridge, an AWS service that made it, or nobody, empty.
	Manager string    `json:"manager,omitempty"`
	Created time.Time `json:"created"`
	// Hours are the hours of the window in which it was there, BusyHours those in which it
	// processed bytes.
	Hours     int     `json:"hours"`
	BusyHours int     `json:"busyHours"`
	GB        float64 `json:"gb"`
	// USDPerMonth is what it costs in a month of 730 hours without its data; nil if the price is
	// not known.
	USDPerMonth *float64 `json:"usdPerMonth"`
	// Advice says what could be done, in a sentence; empty for nothing.
	Advice string `json:"advice,omitempty"`
	// ElsewhereIn are the other VPCs that have an endpoint of the service.
	ElsewhereIn []string `json:"elsewhereIn,omitempty"`

	busy map[time.Time]bool
}

// Busy notes the bytes that an endpoint processed in the hour that begins at an instant.
func (e *Endpoint) Busy(hour time.Time, bytes float64) {
	if bytes <= 0 {
		return
	}
	if e.busy == nil {
		e.busy = map[time.Time]bool{}
	}
	e.busy[hour.UTC().Truncate(time.Hour)] = true
	e.GB += bytes / (1 << 30)
	e.BusyHours = len(e.busy)
}

// VPC is what the endpoints of a VPC cost together, and what Drawbridge would pay for them.
type VPC struct {
	ID        string `json:"vpc"`
	Endpoints int    `json:"endpoints"`
	// Zones counts each endpoint in each of its zones: what is billed by the hour.
	Zones int `json:"endpointZones"`
	// Hours are those of the window, BusyHours those in which any of the endpoints was busy.
	Hours       int      `json:"hours"`
	BusyHours   int      `json:"busyHours"`
	USDPerMonth *float64 `json:"usdPerMonth"`
	// WithDrawbridge is the same with endpoints that are up in busy hours alone, in one zone, and
	// WithoutIdle with those deleted that nobody used. Both are nil if the price is not known.
	WithDrawbridge *float64 `json:"usdPerMonthWithDrawbridge"`
	WithoutIdle    *float64 `json:"usdPerMonthWithoutIdle"`
	// Advice is the cheaper way, in a sentence.
	Advice string `json:"advice"`
}

// Report is what was found.
type Report struct {
	Account   string     `json:"account"`
	Region    string     `json:"region"`
	From      time.Time  `json:"from"`
	Until     time.Time  `json:"until"`
	Endpoints []Endpoint `json:"endpoints"`
	VPCs      []VPC      `json:"vpcs"`
	// Others counts endpoints of other types by it: gateways cost nothing.
	Others map[string]int `json:"others,omitempty"`
	// USDPerMonth is what all cost, Saving the most that the advice saves; nil if the price is
	// not known.
	USDPerMonth *float64 `json:"usdPerMonth"`
	Saving      *float64 `json:"savingUsdPerMonth"`
}

// Managers of endpoints.
const (
	ByDrawbridge = "Drawbridge"
	ByAWS        = "an AWS service"
)

// enoughHours is how much of the window an endpoint has to have been there for what it did to
// tell anything: a week.
const enoughHours = 7 * 24

// often is the share of hours from which endpoints are better left up.
const often = 0.9

// Make works out what the endpoints of a report cost and what could be saved, with the Region's
// prices.
func (r *Report) Make(price endpoints.Prices) {
	vpcs := map[string][]*Endpoint{}
	in := map[string][]string{} // the VPCs of each service
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		e.Hours = int(r.Until.Sub(scheduler.Latest(r.From, e.Created)).Hours())
		if price.Endpoint > 0 {
			e.USDPerMonth = cents(float64(len(e.Zones)) * price.Endpoint * endpoints.HoursPerMonth)
		}
		vpcs[e.VPC] = append(vpcs[e.VPC], e)
		if !slices.Contains(in[e.Service], e.VPC) {
			in[e.Service] = append(in[e.Service], e.VPC)
		}
	}
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		for _, v := range in[e.Service] {
			if v != e.VPC {
				e.ElsewhereIn = append(e.ElsewhereIn, v)
			}
		}
		e.Advice = e.advice()
	}
	for id, list := range vpcs {
		r.VPCs = append(r.VPCs, r.vpc(id, list, price))
	}
	slices.SortFunc(r.VPCs, func(a, b VPC) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(r.Endpoints, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.VPC, b.VPC), cmp.Compare(a.Service, b.Service), cmp.Compare(a.ID, b.ID))
	})
	if price.Endpoint == 0 {
		return
	}
	total, saving := 0.0, 0.0
	for _, v := range r.VPCs {
		total += *v.USDPerMonth
		saving += max(*v.USDPerMonth-min(*v.WithDrawbridge, *v.WithoutIdle), 0)
	}
	r.USDPerMonth, r.Saving = cents(total), cents(saving)
}

// cents rounds a sum in USD.
func cents(usd float64) *float64 {
	usd = math.Round(usd*100) / 100
	return &usd
}

// advice says what could be done about one endpoint.
func (e *Endpoint) advice() string {
	var out []string
	switch {
	case e.Manager != "":
		return "looked after by " + e.Manager
	case e.State == "failed" || e.State == "rejected" || e.State == "expired":
		return "delete it: it is " + e.State
	case e.Hours < enoughHours:
		out = append(out, fmt.Sprintf("too new to tell: %d hours", e.Hours))
	case e.BusyHours == 0:
		out = append(out, "delete it: nobody used it")
	}
	if n := len(e.Zones); n > 1 {
		out = append(out, fmt.Sprintf("in %d zones, of which one serves the whole VPC", n))
	}
	if n := len(e.ElsewhereIn); n > 0 {
		out = append(out, "also in "+scheduler.Count(n, "other VPC", "other VPCs")+", which could share one "+
			"if they are connected")
	}
	return strings.Join(out, "; ")
}

// vpc sums up the endpoints of a VPC.
func (r *Report) vpc(id string, list []*Endpoint, price endpoints.Prices) VPC {
	v := VPC{ID: id, Endpoints: len(list)}
	busy := map[time.Time]bool{}
	// Endpoint-zones that nobody used, endpoints that could come and go, and endpoint-zones that could not.
	idle, movable, others, fresh := 0, 0, 0, false
	for _, e := range list {
		v.Zones += len(e.Zones)
		v.Hours = max(v.Hours, e.Hours)
		if e.Manager != "" {
			continue
		}
		for hour := range e.busy {
			busy[hour] = true
		}
		switch {
		case e.Hours < enoughHours:
			fresh = true
		case e.BusyHours == 0:
			idle += len(e.Zones)
		case !ofCatalogue(e.Service):
			others += len(e.Zones) // of a service that no job of ours needs
		default:
			movable++
		}
	}
	v.BusyHours = len(busy)
	kept := 0 // endpoint-zones that stay as they are, whoever looks after them
	for _, e := range list {
		if e.Manager != "" || e.Hours < enoughHours {
			kept += len(e.Zones)
		}
	}
	if price.Endpoint > 0 {
		month := func(zones float64) *float64 {
			return cents(zones * price.Endpoint * endpoints.HoursPerMonth)
		}
		v.USDPerMonth, v.WithoutIdle = month(float64(v.Zones)), month(float64(v.Zones-idle))
		share := float64(v.BusyHours) / float64(max(v.Hours, 1))
		v.WithDrawbridge = month(float64(kept+others) + float64(movable)*min(share, 1))
	}
	v.Advice = v.advice(idle, movable, fresh)
	return v
}

// ofCatalogue reports whether a set can have an endpoint of a service.
func ofCatalogue(service string) bool {
	_, err := endpoints.Lookup(endpoints.ServiceID(service))
	return err == nil
}

func (v VPC) advice(idle, movable int, fresh bool) string {
	share := float64(v.BusyHours) / float64(max(v.Hours, 1))
	switch {
	case idle > 0 && movable == 0:
		return "nobody used them: delete them"
	case movable == 0 && fresh:
		return "too new to tell"
	case movable == 0:
		return "nothing to do"
	case share >= often:
		text := fmt.Sprintf("busy in %d of %d hours: leave them up", v.BusyHours, v.Hours)
		if idle > 0 {
			text += ", but for those that nobody used"
		}
		return text
	}
	return fmt.Sprintf("busy in %d of %d hours: Drawbridge would have them up in those, in one zone, if jobs that may "+
		"wait for them are what uses them", v.BusyHours, v.Hours)
}
