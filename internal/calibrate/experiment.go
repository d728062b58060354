package calibrate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
)

// BeginExperiment waits for the minute and makes the endpoint.
func (a Account) BeginExperiment(ctx context.Context, confirm func() error) (Experiment, error) {
	var e Experiment
	names := slices.Sorted(maps.Keys(a.App.Config.Sets))
	set := a.App.Config.Sets[names[0]]
	id := endpoints.ServiceID("sts") // any service will do; its private DNS stays off
	svc, err := endpoints.Lookup(id)
	if err != nil {
		return e, err
	}
	e.Service, e.Subnet = svc.Name(a.App.Place.Region), set.Subnets[0]
	begin, end := Begin(a.App.Clock.Now())
	a.Say("1. At %s UTC: create an interface endpoint for %s in %s, with private DNS off.", begin.Format("15:04"),
		e.Service, e.Subnet)
	a.Say("2. At %s UTC: delete it. It costs one endpoint-hour, or two if hours are those of the clock.",
		end.Format("15:04"))
	a.Say("3. A day or two later: drawbridge calibrate reads what was billed.")
	if err := confirm(); err != nil {
		return e, err
	}
	begin, _ = Begin(a.App.Clock.Now()) // the answer may have taken its time
	subnets, err := a.Clients.EC2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{e.Subnet}})
	if err != nil || len(subnets.Subnets) == 0 {
		return e, awserr.Mark(err, "describe subnet %s", e.Subnet)
	}
	if wait := begin.Sub(a.App.Clock.Now()); wait > 0 {
		a.Say("Waiting until %s. Nothing is there yet: Ctrl-C ends it, and the same command begins again.",
			begin.Format("15:04"))
		if err := a.App.Clock.Sleep(ctx, wait); err != nil {
			return e, err
		}
	}
	if err := a.App.Store.SaveNote(ctx, Note, e); err != nil { // so that nothing is made that nobody knows of
		return e, err
	}
	out, err := a.Clients.EC2.CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		VpcId: subnets.Subnets[0].VpcId, ServiceName: aws.String(e.Service),
		VpcEndpointType: ec2types.VpcEndpointTypeInterface, SubnetIds: []string{e.Subnet},
		PrivateDnsEnabled: aws.Bool(false),
		ClientToken:       aws.String("drawbridge-calibrate-" + begin.Format("200601021504")),
		TagSpecifications: []ec2types.TagSpecification{{
			ResourceType: ec2types.ResourceTypeVpcEndpoint,
			Tags: []ec2types.Tag{
				{Key: aws.String(cfn.OwnerTag), Value: aws.String(a.App.Config.Name)},
				{Key: aws.String("Name"), Value: aws.String(a.experimentName())},
			},
		}},
	})
	if err != nil {
		return e, awserr.Mark(err, "create the experiment's endpoint")
	}
	e.Endpoint, e.Created = aws.ToString(out.VpcEndpoint.VpcEndpointId), aws.ToTime(out.VpcEndpoint.CreationTimestamp)
	a.Say("Endpoint %s was created at %s.", e.Endpoint, e.Created.UTC().Format("15:04:05"))
	return e, a.App.Store.SaveNote(ctx, Note, e)
}

// EndExperiment waits for the minute, deletes the endpoint and sees it go.
func (a Account) EndExperiment(ctx context.Context, e Experiment) error {
	left := hint.With(
		fmt.Errorf("endpoint %s is still there, and is billed by the hour", e.Endpoint),
		"drawbridge selftest --parts billing deletes it at "+e.End().Format("15:04")+
			", or at once when that is over",
	)
	if wait := e.End().Sub(a.App.Clock.Now()); wait > 0 {
		a.Say("Waiting until %s to delete it. If this is interrupted, the same command goes on.",
			e.End().Format("15:04"))
		if err := a.App.Clock.Sleep(ctx, wait); err != nil {
			return left
		}
	}
	_, err := a.Clients.EC2.DeleteVpcEndpoints(ctx, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{e.Endpoint}})
	if err != nil && !strings.HasPrefix(awserr.Code(err), "InvalidVpcEndpoint") {
		return awserr.Mark(err, "delete endpoint %s", e.Endpoint)
	}
	for {
		out, err := a.Clients.EC2.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{
			Filters: []ec2types.Filter{{Name: aws.String("vpc-endpoint-id"), Values: []string{e.Endpoint}}},
		})
		if err != nil {
			return awserr.Mark(err, "describe endpoint %s", e.Endpoint)
		}
		if len(out.VpcEndpoints) == 0 || out.VpcEndpoints[0].State == ec2types.StateDeleted {
			break
		}
		if err := a.App.Clock.Sleep(ctx, 10*time.Second); err != nil {
			return left
		}
	}
	e.Deleted = a.App.Clock.Now()
	if err := a.App.Store.SaveNote(ctx, Note, e); err != nil {
		return err
	}
	a.Say("Endpoint %s was gone at %s. The bill shows it a day or two later: drawbridge calibrate reads it.",
		e.Endpoint, e.Deleted.UTC().Format("15:04:05"))
	return nil
}

// DropExperiment deletes the endpoint of an experiment that was not ended: with the
// table goes what is known of it.
func (a Account) DropExperiment(ctx context.Context) error {
	var e Experiment
	ok, err := a.App.Store.Note(ctx, Note, &e)
	if err == nil && ok && e.Endpoint == "" {
		e, err = a.FindExperiment(ctx, e)
	}
	if err != nil || !ok || e.Endpoint == "" || !e.Deleted.IsZero() {
		return err
	}
	_, err = a.Clients.EC2.DeleteVpcEndpoints(ctx, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{e.Endpoint}})
	if err != nil && !strings.HasPrefix(awserr.Code(err), "InvalidVpcEndpoint") {
		return awserr.Mark(err, "delete the experiment's endpoint %s", e.Endpoint)
	}
	a.Say("The experiment's endpoint %s is being deleted.", e.Endpoint)
	return nil
}

// FindExperiment looks for the endpoint by its name. Without one the experiment has
// not begun.
func (a Account) FindExperiment(ctx context.Context,
	e Experiment) (Experiment, error) {
	out, err := a.Clients.EC2.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{Filters: []ec2types.Filter{
		{Name: aws.String("tag:Name"), Values: []string{a.experimentName()}},
		{Name: aws.String("tag:" + cfn.OwnerTag), Values: []string{a.App.Config.Name}},
	}})
	if err != nil {
		return e, awserr.Mark(err, "look for the experiment's endpoint")
	}
	for _, x := range out.VpcEndpoints {
		if x.State != ec2types.StateDeleted && x.State != ec2types.StateDeleting {
			e.Endpoint, e.Created = aws.ToString(x.VpcEndpointId), aws.ToTime(x.CreationTimestamp)
			return e, a.App.Store.SaveNote(ctx, Note, e)
		}
	}
	return Experiment{}, nil
}

// experimentName is the name tag of the experiment's endpoint.
func (a Account) experimentName() string { return a.App.Config.Name + "-calibration" }
