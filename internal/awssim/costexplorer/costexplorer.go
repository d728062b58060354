// Package costexplorer simulates Cost Explorer: what endpoints cost, by paid hour.
package costexplorer

import (
	"fmt"
	"slices"
	"time"

	"drawbridge/internal/awssim/ec2"
	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated Cost Explorer. It returns the billed endpoint-hours by the
// hour; the fault bill sets the basis.
type Service struct {
	*kernel.Kernel
	ec2 *ec2.Service
}

// New puts the service into an account.
func New(k *kernel.Kernel, ec2 *ec2.Service) *Service {
	s := &Service{Kernel: k, ec2: ec2}
	k.Register(&kernel.API{
		Name: "ce", Prefix: "AWSInsightsIndexService", Protocol: kernel.JSON11,
		Ops: map[string]kernel.Operation{"GetCostAndUsage": kernel.Op(s.getCostAndUsage)},
	})
	return s
}

type costInterval struct{ Start, End string }

type costMetric struct{ Amount, Unit string }

type costGroup struct {
	Keys    []string
	Metrics map[string]costMetric
}

type costResult struct {
	TimePeriod costInterval
	Total      map[string]costMetric
	Groups     []costGroup
	Estimated  bool
}

type costOutput struct {
	GroupDefinitions         []costKey
	ResultsByTime            []costResult
	DimensionValueAttributes []string
}

type costKey struct{ Type, Key string }

type costFilter struct {
	And        []costFilter
	Dimensions *struct {
		Key    string
		Values []string
	}
}

const costTime = "2006-01-02T15:04:05Z"

// hourly is how far back hours can be queried, and lateHours how many are not there
// yet.
const hourly, lateHours = 14 * 24 * time.Hour, 24 * time.Hour

func (s *Service) getCostAndUsage(c *kernel.Call, in *struct {
	TimePeriod             costInterval
	Granularity            string
	Metrics                []string
	Filter                 *costFilter
	GroupBy                []costKey
	NextPageToken          string
	BillingViewArn         string
	IncludeNonUsageResults bool
}) (*costOutput, error) {
	if in.Granularity != "HOURLY" {
		return nil, c.Unsupported("Granularity=" + in.Granularity)
	}
	if !slices.Equal(in.Metrics, []string{"UsageQuantity"}) || len(in.GroupBy) != 1 ||
		in.GroupBy[0] != (costKey{"DIMENSION", "USAGE_TYPE"}) {
		return nil, c.Unsupported("Metrics, GroupBy")
	}
	begin, err := time.Parse(costTime, in.TimePeriod.Start)
	end, eerr := time.Parse(costTime, in.TimePeriod.End)
	if err != nil || eerr != nil || !end.After(begin) {
		return nil, kernel.Errorf("ValidationException", "Start time %s, end time %s: not an interval of hours",
			in.TimePeriod.Start, in.TimePeriod.End)
	}
	now := s.Clock.Now()
	if begin.Before(now.Add(-hourly)) {
		return nil, kernel.Errorf("ValidationException",
			"Data for HOURLY granularity is available for the past 14 days only.")
	}
	kind, _ := s.FaultOn("bill")
	out := &costOutput{
		GroupDefinitions: in.GroupBy, ResultsByTime: []costResult{}, DimensionValueAttributes: []string{},
	}
	for h := begin; h.Before(end) && h.Add(time.Hour).Before(now.Add(-lateHours)); h = h.Add(time.Hour) {
		quantity := 0
		for _, e := range s.ec2.Endpoints {
			if e.Kind == "Interface" {
				quantity += len(e.Subnets) * billedIn(h, e.Created, e.DeletedAt(now), now, kind == "creation")
			}
		}
		r := costResult{
			TimePeriod: costInterval{h.Format(costTime), h.Add(time.Hour).Format(costTime)},
			Total:      map[string]costMetric{}, Groups: []costGroup{},
		}
		if quantity > 0 {
			r.Groups = append(r.Groups, costGroup{
				[]string{"USE1-VpcEndpoint-Hours"},
				map[string]costMetric{"UsageQuantity": {fmt.Sprint(quantity), "Hrs"}},
			})
			r.Groups = append(r.Groups, costGroup{
				[]string{"USE1-VpcEndpoint-Bytes"}, map[string]costMetric{"UsageQuantity": {"0.01", "GB"}},
			})
		}
		out.ResultsByTime = append(out.ResultsByTime, r)
	}
	return out, nil
}

// billedIn counts the paid hours of an endpoint in a zone that are shown in a clock
// hour.
func billedIn(hour, created, deleted, now time.Time, fromCreation bool) int {
	if deleted.IsZero() {
		deleted = now
	}
	if !fromCreation {
		if created.Before(hour.Add(time.Hour)) && deleted.After(hour) {
			return 1
		}
		return 0
	}
	n := 0
	for at := created; at.Before(deleted); at = at.Add(time.Hour) {
		if at.UTC().Truncate(time.Hour).Equal(hour) {
			n++
		}
	}
	return n
}
