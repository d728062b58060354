// Package listener reads where the listeners of load balancers send their requests.
package listener

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"drawbridge/internal/awserr"
)

// Rules returns a rule by its ARN, or the default rule of a listener by that one's. IsGone tells
// the error for one that is not there.
func Rules(ctx context.Context, api *elb.Client, arn string) ([]types.Rule, error) {
	in := &elb.DescribeRulesInput{RuleArns: []string{arn}}
	if strings.Contains(arn, ":listener/") {
		in = &elb.DescribeRulesInput{ListenerArn: &arn}
	}
	out, err := api.DescribeRules(ctx, in)
	if err != nil {
		return nil, awserr.Mark(err, "describe the rules of %s", arn)
	}
	return slices.DeleteFunc(out.Rules, func(r types.Rule) bool {
		return in.ListenerArn != nil && !aws.ToBool(r.IsDefault)
	}), nil
}

// IsGone reports whether AWS does not know a listener or a rule.
func IsGone(err error) bool {
	code := awserr.Code(err)
	return code == "RuleNotFound" || code == "ListenerNotFound"
}
