package calibrate

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/costexplorer"
	cetypes "github.com/aws/aws-sdk-go-v2/service/costexplorer/types"

	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
	"drawbridge/scheduler"
)

// Account is an installation whose bill is read, and in which the experiment is made.
type Account struct {
	AWS     aws.Config
	Clients app.Clients
	App     *app.App
	// Say tells of what happens; a text and what it is filled with.
	Say func(format string, args ...any)
}

// Note is where the experiment is kept: no set can have this name.
const Note scheduler.SetName = "~calibration"

// Lives are the times in which endpoints of ours were there and are gone: those of
// the sets' stacks, which CloudFormation remembers, and the experiment's.
func (a Account) Lives(ctx context.Context) ([]Life, error) {
	var out []Life
	var e Experiment
	if ok, err := a.App.Store.Note(ctx, Note, &e); err != nil {
		return nil, err
	} else if ok && !e.Deleted.IsZero() {
		out = append(out, Life{What: e.Endpoint, Created: e.Created, Deleted: e.Deleted, Units: 1})
	}
	units := map[string]int{}
	for name := range a.App.Config.Sets {
		set, err := a.App.Store.LoadSet(ctx, name)
		if err != nil {
			return nil, err
		}
		units[a.App.Stacks.Name(string(name))] = set.PerHour
	}
	in := &cloudformation.ListStacksInput{StackStatusFilter: []cfntypes.StackStatus{cfntypes.StackStatusDeleteComplete}}
	for {
		page, err := a.Clients.CloudFormation.ListStacks(ctx, in)
		if err != nil {
			return nil, awserr.Mark(err, "list the stacks")
		}
		for _, st := range page.StackSummaries {
			if n := units[aws.ToString(st.StackName)]; n > 0 && st.DeletionTime != nil && st.CreationTime != nil {
				out = append(out, Life{
					What: aws.ToString(st.StackName), Created: *st.CreationTime, Deleted: *st.DeletionTime, Units: n,
				})
			}
		}
		if in.NextToken = page.NextToken; aws.ToString(in.NextToken) == "" {
			return out, nil
		}
	}
}

// billedDays is how far back Cost Explorer has hours, less one; the newest are not
// filled in for unfilledHours.
const billedDays, unfilledHours = 13, 48

// Billed reads the endpoint-hours of all endpoints in the Region, by the hour.
func (a Account) Billed(ctx context.Context) ([]Usage, error) {
	region, err := endpoints.BillingRegion(a.App.Place.Region)
	if err != nil {
		return nil, err
	}
	api := costexplorer.NewFromConfig(a.AWS, func(o *costexplorer.Options) { o.Region = region })
	now := a.App.Clock.Now().UTC().Truncate(time.Hour)
	const layout = "2006-01-02T15:04:05Z"
	only := func(key cetypes.Dimension, value string) cetypes.Expression {
		return cetypes.Expression{Dimensions: &cetypes.DimensionValues{Key: key, Values: []string{value}}}
	}
	in := &costexplorer.GetCostAndUsageInput{
		TimePeriod: &cetypes.DateInterval{
			Start: aws.String(now.AddDate(0, 0, -billedDays).Format(layout)),
			End:   aws.String(now.Add(-unfilledHours * time.Hour).Format(layout)),
		}, Granularity: cetypes.GranularityHourly, Metrics: []string{"UsageQuantity"},
		Filter: &cetypes.Expression{And: []cetypes.Expression{only(cetypes.DimensionService,
			"Amazon Virtual Private Cloud"), only(cetypes.DimensionRegion, a.App.Place.Region)}},
		GroupBy: []cetypes.GroupDefinition{{Type: cetypes.GroupDefinitionTypeDimension, Key: aws.String("USAGE_TYPE")}},
	}
	var out []Usage
	for {
		page, err := api.GetCostAndUsage(ctx, in)
		if err != nil {
			return nil, hint.With(
				awserr.Mark(err, "read hourly usage from Cost Explorer"),
				"turn hourly data on in the settings of Cost Explorer, and come back in two days; the caller needs "+
					"ce:GetCostAndUsage",
			)
		}
		for _, r := range page.ResultsByTime {
			hour, err := time.Parse(layout, aws.ToString(r.TimePeriod.Start))
			if err != nil {
				return nil, fmt.Errorf("read hourly usage from Cost Explorer: %w", err)
			}
			u := Usage{Hour: hour}
			for _, g := range r.Groups {
				if !strings.HasSuffix(strings.Join(g.Keys, ""), "VpcEndpoint-Hours") {
					continue
				}
				n, err := strconv.ParseFloat(aws.ToString(g.Metrics["UsageQuantity"].Amount), 64)
				if err != nil {
					return nil, fmt.Errorf("read hourly usage from Cost Explorer: %w", err)
				}
				u.Quantity += n
			}
			out = append(out, u)
		}
		if in.NextPageToken = page.NextPageToken; aws.ToString(in.NextPageToken) == "" {
			return out, nil
		}
	}
}
