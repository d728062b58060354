package cfn

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// changeSetAPI is the part of *cloudformation.Client that change sets need.
type changeSetAPI interface {
	CreateChangeSet(context.Context, *cloudformation.CreateChangeSetInput,
		...func(*cloudformation.Options)) (*cloudformation.CreateChangeSetOutput, error)
	DescribeChangeSet(context.Context, *cloudformation.DescribeChangeSetInput,
		...func(*cloudformation.Options)) (*cloudformation.DescribeChangeSetOutput, error)
}

var _ changeSetAPI = (*cloudformation.Client)(nil)

// ChangeSet is a change to a stack that is worked out and not executed.
type ChangeSet struct {
	ID, StackID string
	Changes     []Change
	// Failure is why the changes could not be worked out, with the remedy; "" if they
	// were. Unchanged is true if nothing would change: CloudFormation keeps such a
	// change set too.
	Failure   string
	Unchanged bool
}

// Change is one change to a resource of a stack.
type Change struct {
	// Action is add, modify or remove.
	Action string `json:"action"`
	ID     string `json:"id"`
	Type   string `json:"type"`
	// Replaces is true if a new resource takes the place of the old one.
	Replaces bool `json:"replaces,omitempty"`
	// Properties are those that change, with their values where these are short.
	Properties []string `json:"properties,omitempty"`
}

// lookEvery is how long to wait between two looks at what CloudFormation works on.
const lookEvery = 2 * time.Second

// CreateChangeSet asks for a change set and waits, by sleep, until it is worked out. It
// returns errors of the API as they are, and with them the change set, if it was
// created: it has to be deleted.
func CreateChangeSet(ctx context.Context, api changeSetAPI, sleep func(context.Context, time.Duration) error,
	in *cloudformation.CreateChangeSetInput) (*ChangeSet, error) {
	created, err := api.CreateChangeSet(ctx, in)
	if err != nil {
		return nil, err
	}
	set := &ChangeSet{ID: aws.ToString(created.Id), StackID: aws.ToString(created.StackId)}
	for {
		out, err := set.describe(ctx, api, nil)
		if err != nil {
			return set, err
		}
		switch out.Status {
		case types.ChangeSetStatusCreateComplete:
			return set, set.read(ctx, api, out)
		case types.ChangeSetStatusFailed:
			reason := aws.ToString(out.StatusReason)
			if set.Unchanged = unchanged(reason); !set.Unchanged {
				set.Failure = Explain(reason)
			}
			return set, nil
		}
		if err := sleep(ctx, lookEvery); err != nil {
			return set, err
		}
	}
}

// unchanged reports whether a change set failed only because nothing would change.
func unchanged(reason string) bool {
	return strings.Contains(reason, "didn't contain changes") ||
		strings.Contains(reason, "No updates are to be performed")
}

func (s *ChangeSet) describe(ctx context.Context, api changeSetAPI,
	page *string) (*cloudformation.DescribeChangeSetOutput, error) {
	return api.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{
		ChangeSetName: &s.ID, NextToken: page, IncludePropertyValues: aws.Bool(true),
	})
}

// read takes the changes over, page by page.
func (s *ChangeSet) read(ctx context.Context, api changeSetAPI, out *cloudformation.DescribeChangeSetOutput) error {
	for {
		for _, ch := range out.Changes {
			if ch.ResourceChange != nil {
				s.Changes = append(s.Changes, changeOf(ch.ResourceChange))
			}
		}
		if out.NextToken == nil {
			return nil
		}
		var err error
		if out, err = s.describe(ctx, api, out.NextToken); err != nil {
			return err
		}
	}
}

func changeOf(r *types.ResourceChange) Change {
	c := Change{
		Action: strings.ToLower(string(r.Action)), ID: aws.ToString(r.LogicalResourceId),
		Type:     aws.ToString(r.ResourceType),
		Replaces: r.Replacement == types.ReplacementTrue || r.Replacement == types.ReplacementConditional,
	}
	for _, d := range r.Details {
		if d.Target != nil && d.Target.Name != nil {
			c.Properties = append(c.Properties, *d.Target.Name+values(d.Target))
		}
	}
	slices.Sort(c.Properties)
	c.Properties = slices.Compact(c.Properties)
	return c
}

// longest is how long a value may be to be shown, in bytes.
const longest = 40

// values shows what a property was and becomes, if both are short.
func values(t *types.ResourceTargetDefinition) string {
	before, after := aws.ToString(t.BeforeValue), aws.ToString(t.AfterValue)
	if before == "" && after == "" || len(before) > longest || len(after) > longest {
		return ""
	}
	return fmt.Sprintf(" (%s -> %s)", before, after)
}
