package cfn

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// Lived is a stack of a set as CloudFormation remembers it.
type Lived struct {
	Set     string
	Created time.Time
	// Deleted is zero while the stack is there.
	Deleted time.Time
	// Failed is true for a stack that did not come up, as long as it is there.
	Failed bool
}

// ListStacksAPI lists stacks, as CloudFormation does.
type ListStacksAPI interface {
	ListStacks(context.Context, *cloudformation.ListStacksInput, ...func(*cloudformation.Options)) (*cloudformation.ListStacksOutput, error)
}

// History returns the stacks that an installation's sets have, and had: those deleted in the last 90
// days are remembered. A stack's name is all that tells whose a deleted one was.
//
// Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStacks.html
func History(ctx context.Context, api ListStacksAPI, owner string) ([]Lived, error) {
	var out []Lived
	pages := cloudformation.NewListStacksPaginator(api, &cloudformation.ListStacksInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range page.StackSummaries {
			if set, ours := strings.CutPrefix(aws.ToString(s.StackName), owner+"-set-"); ours {
				failed := strings.HasPrefix(string(s.StackStatus), "ROLLBACK") || s.StackStatus == types.StackStatusCreateFailed
				out = append(out, Lived{set, aws.ToTime(s.CreationTime), aws.ToTime(s.DeletionTime), failed})
			}
		}
	}
	return out, nil
}
