package cfn

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// eventAPI is the part of *cloudformation.Client that reads a stack's events.
type eventAPI interface {
	DescribeStacks(context.Context, *cloudformation.DescribeStacksInput,
		...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error)
	DescribeStackEvents(context.Context, *cloudformation.DescribeStackEventsInput,
		...func(*cloudformation.Options)) (*cloudformation.DescribeStackEventsOutput, error)
}

var _ eventAPI = (*cloudformation.Client)(nil)

// Event is an event of a stack.
type Event struct {
	At                       time.Time
	ID, Type, Status, Reason string
	// Stack is true for an event of the stack as a whole.
	Stack bool
}

// Watch is how Follow waits.
type Watch struct {
	Sleep func(context.Context, time.Duration) error
	// Passing reports whether the same call may succeed later.
	Passing func(error) bool
	// Tell is called for each event, in order.
	Tell func(Event)
}

// Follow tells of a stack's events after an instant, until its operation ends, and
// returns the status that the stack has then. Stacks are named by their id. If Sleep
// fails, its error comes back with an empty status and true: CloudFormation continues.
func Follow(ctx context.Context, api eventAPI, id string, after time.Time,
	w Watch) (status types.StackStatus, interrupted bool, err error) {
	seen := map[string]bool{}
	for {
		// The status first: what is ended has told all its events.
		st, err := api.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &id})
		var out *cloudformation.DescribeStackEventsOutput
		if err == nil {
			out, err = api.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &id})
		}
		if err != nil && ctx.Err() == nil && !w.Passing(err) {
			return "", false, err
		}
		if err == nil {
			for _, e := range slices.Backward(out.StackEvents) {
				if key := aws.ToString(e.EventId); !seen[key] && aws.ToTime(e.Timestamp).After(after) {
					seen[key] = true
					w.Tell(eventOf(id, e))
				}
			}
			if len(st.Stacks) > 0 && !strings.HasSuffix(string(st.Stacks[0].StackStatus), "_IN_PROGRESS") {
				return st.Stacks[0].StackStatus, false, nil
			}
		}
		if err := w.Sleep(ctx, lookEvery); err != nil {
			return "", true, err
		}
	}
}

func eventOf(stack string, e types.StackEvent) Event {
	return Event{
		At: aws.ToTime(e.Timestamp), ID: aws.ToString(e.LogicalResourceId), Type: aws.ToString(e.ResourceType),
		Status: string(e.ResourceStatus), Reason: aws.ToString(e.ResourceStatusReason),
		Stack: aws.ToString(e.PhysicalResourceId) == stack,
	}
}

// FirstFailure returns what the first resource says that failed in an operation which
// began at an instant: its logical id and CloudFormation's reason, "" if none did.
func FirstFailure(ctx context.Context, api eventAPI, id string, from time.Time) string {
	first := ""
	var page *string
	for {
		out, err := api.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{
			StackName: &id, NextToken: page,
		})
		if err != nil {
			return first
		}
		for _, e := range out.StackEvents { // newest first
			if aws.ToTime(e.Timestamp).Before(from) {
				return first
			}
			if strings.HasSuffix(string(e.ResourceStatus), "_FAILED") {
				first = cmp.Or(failureOf(id, e), first)
			}
		}
		if page = out.NextToken; page == nil {
			return first
		}
	}
}

// Failures returns the reasons of all resources of a stack that failed, newest first.
func Failures(ctx context.Context, api eventAPI, id string) ([]string, error) {
	out, err := api.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &id})
	if err != nil {
		return nil, err
	}
	var reasons []string
	for _, e := range out.StackEvents {
		if strings.Contains(string(e.ResourceStatus), "FAILED") {
			reasons = append(reasons, aws.ToString(e.ResourceStatusReason))
		}
	}
	return reasons, nil
}

// failureOf returns what a resource that failed says; "" for what only followed from
// another failure: the stack's own event, and what was cancelled.
func failureOf(stack string, e types.StackEvent) string {
	reason := aws.ToString(e.ResourceStatusReason)
	if reason == "" || strings.Contains(reason, "cancelled") || aws.ToString(e.PhysicalResourceId) == stack {
		return ""
	}
	return aws.ToString(e.LogicalResourceId) + ": " + reason
}
