package cfn

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// Resources returns the resources of a type that a stack of any size holds, by the stack's
// name or id; none if there is no such stack.
func Resources(ctx context.Context, api cloudformation.ListStackResourcesAPIClient,
	stack, kind string) ([]types.StackResourceSummary, error) {
	var out []types.StackResourceSummary
	pages := cloudformation.NewListStackResourcesPaginator(api, &cloudformation.ListStackResourcesInput{
		StackName: &stack,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if IsMissing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the resources of stack %s: %w", stack, err)
		}
		for _, r := range page.StackResourceSummaries {
			if aws.ToString(r.ResourceType) == kind && aws.ToString(r.PhysicalResourceId) != "" &&
				r.ResourceStatus != types.ResourceStatusDeleteComplete {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// Outputs returns a stack's outputs by name.
func Outputs(st types.Stack) map[string]string {
	out := map[string]string{}
	for _, o := range st.Outputs {
		out[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return out
}
