package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/costexplorer"
	cetypes "github.com/aws/aws-sdk-go-v2/service/costexplorer/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/internal/calibrate"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

type calibrateCmd struct {
	awsFlags
	Gone []string `arg:"" optional:"" hidden:"" passthrough:""` // what calibrate once took
}

// Help is the longer text of --help; kong calls it.
func (calibrateCmd) Help() string {
	return "AWS does not document whether an endpoint's paid hours are clock hours or count from its creation. The " +
		"bill shows it: this compares hourly data of Cost Explorer with when the sets' endpoints were there, and " +
		"that of drawbridge selftest --parts billing. It needs hourly data in Cost Explorer, which an account turns " +
		"on in its settings and which shows a day or two later, ce:GetCostAndUsage (a cent a request) and " +
		"cloudformation:ListStacks."
}

// calibration is where the experiment is kept: no set can have this name.
const calibration scheduler.SetName = "~calibration"

// Run reads the bill beside the ledger.
func (c *calibrateCmd) Run(ctx context.Context, s streams) error {
	if len(c.Gone) > 0 {
		return &usageError{&hinted{
			fmt.Errorf("calibrate takes no %s", c.Gone[0]),
			"drawbridge selftest --parts billing makes the experiment, drawbridge calibrate reads the bill",
		}}
	}
	ss, a, err := openInstalled(ctx, s, c.open)
	if err != nil {
		return err
	}
	lives, err := ss.lives(ctx, a)
	if err != nil {
		return err
	}
	usage, err := ss.billed(ctx)
	if err != nil {
		return err
	}
	f := calibrate.Infer(lives, usage)
	return ss.print(f, func(w io.Writer, style output.Style) error {
		return writeFinding(w, style, f, a.Config.Billing)
	})
}

// lives are the times in which endpoints of ours were there and are gone: those of
// the sets' stacks, which CloudFormation remembers, and the experiment's.
func (s *session) lives(ctx context.Context, a *app.App) ([]calibrate.Life, error) {
	var out []calibrate.Life
	var e calibrate.Experiment
	if ok, err := a.Store.Note(ctx, calibration, &e); err != nil {
		return nil, err
	} else if ok && !e.Deleted.IsZero() {
		out = append(out, calibrate.Life{What: e.Endpoint, Created: e.Created, Deleted: e.Deleted, Units: 1})
	}
	units := map[string]int{}
	for name := range a.Config.Sets {
		set, err := a.Store.LoadSet(ctx, name)
		if err != nil {
			return nil, err
		}
		units[a.Stacks.Name(string(name))] = set.PerHour
	}
	in := &cloudformation.ListStacksInput{StackStatusFilter: []cfntypes.StackStatus{cfntypes.StackStatusDeleteComplete}}
	for {
		page, err := s.clients.CloudFormation.ListStacks(ctx, in)
		if err != nil {
			return nil, awserr.Mark(err, "list the stacks")
		}
		for _, st := range page.StackSummaries {
			if n := units[aws.ToString(st.StackName)]; n > 0 && st.DeletionTime != nil && st.CreationTime != nil {
				out = append(out, calibrate.Life{
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

// billed reads the endpoint-hours of all endpoints in the Region, by the hour.
func (s *session) billed(ctx context.Context) ([]calibrate.Usage, error) {
	region, err := endpoints.BillingRegion(s.place.Region)
	if err != nil {
		return nil, err
	}
	api := costexplorer.NewFromConfig(s.aws, func(o *costexplorer.Options) { o.Region = region })
	now := s.clock.Now().UTC().Truncate(time.Hour)
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
			"Amazon Virtual Private Cloud"), only(cetypes.DimensionRegion, s.place.Region)}},
		GroupBy: []cetypes.GroupDefinition{{Type: cetypes.GroupDefinitionTypeDimension, Key: aws.String("USAGE_TYPE")}},
	}
	var out []calibrate.Usage
	for {
		page, err := api.GetCostAndUsage(ctx, in)
		if err != nil {
			return nil, &hinted{
				awserr.Mark(err, "read hourly usage from Cost Explorer"),
				"turn hourly data on in the settings of Cost Explorer, and come back in two days; the caller needs " +
					"ce:GetCostAndUsage",
			}
		}
		for _, r := range page.ResultsByTime {
			hour, err := time.Parse(layout, aws.ToString(r.TimePeriod.Start))
			if err != nil {
				return nil, fmt.Errorf("read hourly usage from Cost Explorer: %w", err)
			}
			u := calibrate.Usage{Hour: hour}
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

func writeFinding(w io.Writer, style output.Style, f calibrate.Finding, configured scheduler.Basis) error {
	text := "The bill does not tell yet: " + f.Reason + "."
	if f.Basis != "" {
		text = fmt.Sprintf("Paid hours are counted by %s: %s.",
			map[scheduler.Basis]string{
				scheduler.Clock: "the clock", scheduler.Creation: "the time since creation",
			}[f.Basis], f.Reason)
	}
	if err := style.Println(w, "%s", text); err != nil {
		return err
	}
	if len(f.Lines) > 0 {
		fmt.Fprintln(w)
		t := output.NewRows(style, "HOUR (UTC)", "BILLED", "CLOCK", "CREATION")
		for _, l := range f.Lines {
			t.Add(l.Hour.Format("2006-01-02 15:04"), fmt.Sprintf("%g", l.Billed), fmt.Sprint(l.Clock),
				fmt.Sprint(l.Creation))
		}
		if err := t.Write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
		if err := style.Println(w,
			"Endpoint-hours above the %g of other endpoints, over %s; CLOCK and CREATION are what either basis "+
				"would show.", f.Background, count(f.Lives, "time")); err != nil {
			return err
		}
	}
	switch f.Basis {
	case "":
		return nil
	case configured:
		return style.Println(w, "The configuration says the same: billing: %s.", configured)
	}
	return style.Println(w, "The configuration says billing: %s. Change it to billing: %s and deploy.", configured,
		f.Basis)
}

// billingExperiment makes an endpoint that lives over a full hour, for the bill to
// show, or goes on with one that was interrupted.
func (ss *session) billingExperiment(ctx context.Context, a *app.App, f changeFlags, again bool) error {
	var e calibrate.Experiment
	known, err := a.Store.Note(ctx, calibration, &e)
	if err != nil {
		return err
	}
	if known && !e.Deleted.IsZero() && !e.Tells() && !again {
		return &hinted{fmt.Errorf("endpoint %s was there from %s to %s: that is as many hours on both bases",
			e.Endpoint, e.Created.UTC().Format("2006-01-02 15:04"), e.Deleted.UTC().Format("15:04")),
			"make the experiment again by --again, without an interruption"}
	}
	if known && !e.Deleted.IsZero() && !again {
		ss.say("Endpoint %s was there from %s to %s. The bill shows it a day or two later: drawbridge calibrate "+
			"reads it. --again makes another.", e.Endpoint, e.Created.UTC().Format("2006-01-02 15:04"),
			e.Deleted.UTC().Format("15:04"))
		return nil
	}
	if known && e.Endpoint == "" { // begun, and interrupted before the endpoint's id was known
		if e, err = ss.findExperiment(ctx, a, e); err != nil {
			return err
		}
	}
	if !known || !e.Deleted.IsZero() || e.Endpoint == "" {
		if e, err = ss.beginExperiment(ctx, a, f); err != nil || f.DryRun {
			return err
		}
	} else if f.DryRun {
		ss.say("Would delete endpoint %s at %s.", e.Endpoint, e.End().Format("15:04"))
		return nil
	}
	return ss.endExperiment(ctx, a, e)
}

// beginExperiment waits for the minute and makes the endpoint.
func (ss *session) beginExperiment(ctx context.Context, a *app.App, f changeFlags) (calibrate.Experiment, error) {
	var e calibrate.Experiment
	names := slices.Sorted(maps.Keys(a.Config.Sets))
	set := a.Config.Sets[names[0]]
	id := endpoints.ServiceID("sts") // any service will do; its private DNS stays off
	svc, err := endpoints.Lookup(id)
	if err != nil {
		return e, err
	}
	e.Service, e.Subnet = svc.Name(ss.place.Region), set.Subnets[0]
	begin, end := calibrate.Begin(ss.clock.Now())
	ss.say("1. At %s UTC: create an interface endpoint for %s in %s, with private DNS off.", begin.Format("15:04"),
		e.Service, e.Subnet)
	ss.say("2. At %s UTC: delete it. It costs one endpoint-hour, or two if hours are those of the clock.",
		end.Format("15:04"))
	ss.say("3. A day or two later: drawbridge calibrate reads what was billed.")
	if f.DryRun {
		return e, nil
	}
	if err := ss.confirm(ctx, f, "Make the experiment?"); err != nil {
		return e, err
	}
	begin, _ = calibrate.Begin(ss.clock.Now()) // the answer may have taken its time
	subnets, err := ss.clients.EC2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{e.Subnet}})
	if err != nil || len(subnets.Subnets) == 0 {
		return e, awserr.Mark(err, "describe subnet %s", e.Subnet)
	}
	if wait := begin.Sub(ss.clock.Now()); wait > 0 {
		ss.say("Waiting until %s. Nothing is there yet: Ctrl-C ends it, and the same command begins again.",
			begin.Format("15:04"))
		if err := ss.clock.Sleep(ctx, wait); err != nil {
			return e, err
		}
	}
	if err := a.Store.SaveNote(ctx, calibration, e); err != nil { // so that nothing is made that nobody knows of
		return e, err
	}
	out, err := ss.clients.EC2.CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		VpcId: subnets.Subnets[0].VpcId, ServiceName: aws.String(e.Service),
		VpcEndpointType: ec2types.VpcEndpointTypeInterface, SubnetIds: []string{e.Subnet},
		PrivateDnsEnabled: aws.Bool(false),
		ClientToken:       aws.String("drawbridge-calibrate-" + begin.Format("200601021504")),
		TagSpecifications: []ec2types.TagSpecification{{
			ResourceType: ec2types.ResourceTypeVpcEndpoint,
			Tags: []ec2types.Tag{
				{Key: aws.String(cfn.OwnerTag), Value: aws.String(a.Config.Name)},
				{Key: aws.String("Name"), Value: aws.String(experimentName(a))},
			},
		}},
	})
	if err != nil {
		return e, awserr.Mark(err, "create the experiment's endpoint")
	}
	e.Endpoint, e.Created = aws.ToString(out.VpcEndpoint.VpcEndpointId), aws.ToTime(out.VpcEndpoint.CreationTimestamp)
	ss.say("Endpoint %s was created at %s.", e.Endpoint, e.Created.UTC().Format("15:04:05"))
	return e, a.Store.SaveNote(ctx, calibration, e)
}

// endExperiment waits for the minute, deletes the endpoint and sees it go.
func (s *session) endExperiment(ctx context.Context, a *app.App, e calibrate.Experiment) error {
	left := &hinted{
		fmt.Errorf("endpoint %s is still there, and is billed by the hour", e.Endpoint),
		"drawbridge selftest --parts billing deletes it at " + e.End().Format("15:04") +
			", or at once when that is over",
	}
	if wait := e.End().Sub(s.clock.Now()); wait > 0 {
		s.say("Waiting until %s to delete it. If this is interrupted, the same command goes on.",
			e.End().Format("15:04"))
		if err := s.clock.Sleep(ctx, wait); err != nil {
			return left
		}
	}
	_, err := s.clients.EC2.DeleteVpcEndpoints(ctx, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{e.Endpoint}})
	if err != nil && !strings.HasPrefix(awserr.Code(err), "InvalidVpcEndpoint") {
		return awserr.Mark(err, "delete endpoint %s", e.Endpoint)
	}
	for {
		out, err := s.clients.EC2.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{
			Filters: []ec2types.Filter{{Name: aws.String("vpc-endpoint-id"), Values: []string{e.Endpoint}}},
		})
		if err != nil {
			return awserr.Mark(err, "describe endpoint %s", e.Endpoint)
		}
		if len(out.VpcEndpoints) == 0 || out.VpcEndpoints[0].State == ec2types.StateDeleted {
			break
		}
		if err := s.clock.Sleep(ctx, 10*time.Second); err != nil {
			return left
		}
	}
	e.Deleted = s.clock.Now()
	if err := a.Store.SaveNote(ctx, calibration, e); err != nil {
		return err
	}
	s.say("Endpoint %s was gone at %s. The bill shows it a day or two later: drawbridge calibrate reads it.",
		e.Endpoint, e.Deleted.UTC().Format("15:04:05"))
	return nil
}

// dropExperiment deletes the endpoint of an experiment that was not ended: with the
// table goes what is known of it.
func (s *session) dropExperiment(ctx context.Context, a *app.App) error {
	var e calibrate.Experiment
	ok, err := a.Store.Note(ctx, calibration, &e)
	if err == nil && ok && e.Endpoint == "" {
		e, err = s.findExperiment(ctx, a, e)
	}
	if err != nil || !ok || e.Endpoint == "" || !e.Deleted.IsZero() {
		return err
	}
	_, err = s.clients.EC2.DeleteVpcEndpoints(ctx, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{e.Endpoint}})
	if err != nil && !strings.HasPrefix(awserr.Code(err), "InvalidVpcEndpoint") {
		return awserr.Mark(err, "delete the experiment's endpoint %s", e.Endpoint)
	}
	s.say("The experiment's endpoint %s is being deleted.", e.Endpoint)
	return nil
}

// findExperiment looks for the endpoint by its name. Without one the experiment has
// not begun.
func (s *session) findExperiment(ctx context.Context, a *app.App,
	e calibrate.Experiment) (calibrate.Experiment, error) {
	out, err := s.clients.EC2.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{Filters: []ec2types.Filter{
		{Name: aws.String("tag:Name"), Values: []string{experimentName(a)}},
		{Name: aws.String("tag:" + cfn.OwnerTag), Values: []string{a.Config.Name}},
	}})
	if err != nil {
		return e, awserr.Mark(err, "look for the experiment's endpoint")
	}
	for _, x := range out.VpcEndpoints {
		if x.State != ec2types.StateDeleted && x.State != ec2types.StateDeleting {
			e.Endpoint, e.Created = aws.ToString(x.VpcEndpointId), aws.ToTime(x.CreationTimestamp)
			return e, a.Store.SaveNote(ctx, calibration, e)
		}
	}
	return calibrate.Experiment{}, nil
}

// experimentName is the name tag of the experiment's endpoint.
func experimentName(a *app.App) string { return a.Config.Name + "-calibration" }
