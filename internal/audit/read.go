package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
)

// Reader reads an account.
type Reader struct {
	EC2        *ec2.Client
	CloudWatch *cloudwatch.Client
}

// MaxDays is the longest window: CloudWatch answers with 1,440 hours at most at a time.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html
const MaxDays = 60

// Read reads the interface endpoints of a Region with what they did in the window from from to
// until. The report is not made yet.
func (r Reader) Read(ctx context.Context, account, region string, from, until time.Time) (Report, error) {
	out := Report{
		Account: account, Region: region, From: from.UTC(), Until: until.UTC(), Endpoints: []Endpoint{}, VPCs: []VPC{},
		Others: map[string]int{},
	}
	zones := map[string]string{} // of subnets
	subnets := ec2.NewDescribeSubnetsPaginator(r.EC2, &ec2.DescribeSubnetsInput{})
	for subnets.HasMorePages() {
		page, err := subnets.NextPage(ctx)
		if err != nil {
			return out, awserr.Mark(err, "describe subnets")
		}
		for _, s := range page.Subnets {
			zones[aws.ToString(s.SubnetId)] = aws.ToString(s.AvailabilityZone)
		}
	}
	pages := ec2.NewDescribeVpcEndpointsPaginator(r.EC2, &ec2.DescribeVpcEndpointsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return out, awserr.Mark(err, "describe endpoints")
		}
		for _, e := range page.VpcEndpoints {
			if e.VpcEndpointType != types.VpcEndpointTypeInterface {
				out.Others[string(e.VpcEndpointType)]++
				continue
			}
			if strings.EqualFold(string(e.State), "deleted") || strings.EqualFold(string(e.State), "deleting") {
				continue
			}
			read, err := r.endpoint(ctx, e, zones, out)
			if err != nil {
				return out, err
			}
			out.Endpoints = append(out.Endpoints, read)
		}
	}
	return out, nil
}

// endpoint reads what one endpoint is and did.
func (r Reader) endpoint(ctx context.Context, e types.VpcEndpoint, zones map[string]string,
	of Report) (Endpoint, error) {
	service := aws.ToString(e.ServiceName)
	out := Endpoint{
		ID: aws.ToString(e.VpcEndpointId), VPC: aws.ToString(e.VpcId), State: strings.ToLower(string(e.State)),
		Service: short(service, of.Region), Created: aws.ToTime(e.CreationTimestamp).UTC(), Zones: []string{},
	}
	for _, s := range e.SubnetIds {
		if z := zones[s]; !slices.Contains(out.Zones, z) {
			out.Zones = append(out.Zones, z)
		}
	}
	slices.Sort(out.Zones)
	for _, t := range e.Tags {
		if aws.ToString(t.Key) == cfn.OwnerTag {
			out.Manager = ByDrawbridge
		}
	}
	if aws.ToBool(e.RequesterManaged) {
		out.Manager = ByAWS
	}
	dimension := func(name, value string) cwtypes.Dimension {
		return cwtypes.Dimension{Name: aws.String(name), Value: aws.String(value)}
	}
	stats, err := r.CloudWatch.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("AWS/PrivateLinkEndpoints"), MetricName: aws.String("BytesProcessed"),
		StartTime: aws.Time(of.From), EndTime: aws.Time(of.Until), Period: aws.Int32(3600),
		Statistics: []cwtypes.Statistic{cwtypes.StatisticSum},
		Dimensions: []cwtypes.Dimension{
			dimension("Endpoint Type", "Interface"), dimension("Service Name", service),
			dimension("VPC Endpoint Id", out.ID), dimension("VPC Id", out.VPC),
		},
	})
	if err != nil {
		return out, awserr.Mark(err, "read what endpoint %s processed", out.ID)
	}
	for _, d := range stats.Datapoints {
		out.Busy(aws.ToTime(d.Timestamp), aws.ToFloat64(d.Sum))
	}
	return out, nil
}

// short returns the short name of a service of AWS, and the whole one of another's.
func short(service, region string) string {
	if _, rest, ok := strings.Cut(service, fmt.Sprintf("amazonaws.%s.", region)); ok {
		return rest
	}
	return service
}
