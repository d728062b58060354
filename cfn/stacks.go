package cfn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// stackAPI is the part of *cloudformation.Client that Stacks calls.
type stackAPI interface {
	CreateStack(context.Context, *cloudformation.CreateStackInput,
		...func(*cloudformation.Options)) (*cloudformation.CreateStackOutput, error)
	DescribeStacks(context.Context, *cloudformation.DescribeStacksInput,
		...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error)
	DescribeStackResources(context.Context, *cloudformation.DescribeStackResourcesInput,
		...func(*cloudformation.Options)) (*cloudformation.DescribeStackResourcesOutput, error)
	DescribeStackEvents(context.Context, *cloudformation.DescribeStackEventsInput,
		...func(*cloudformation.Options)) (*cloudformation.DescribeStackEventsOutput, error)
	GetTemplate(context.Context, *cloudformation.GetTemplateInput,
		...func(*cloudformation.Options)) (*cloudformation.GetTemplateOutput, error)
	UpdateStack(context.Context, *cloudformation.UpdateStackInput,
		...func(*cloudformation.Options)) (*cloudformation.UpdateStackOutput, error)
	DeleteStack(context.Context, *cloudformation.DeleteStackInput,
		...func(*cloudformation.Options)) (*cloudformation.DeleteStackOutput, error)
}

var _ stackAPI = (*cloudformation.Client)(nil)

// createTimeout is when CloudFormation gives a creation up and rolls it back, in
// minutes. The hour is paid anyhow, so an endpoint that takes half of it may.
const createTimeout = 35

// Stacks creates, describes and deletes endpoint stacks of one installation.
type Stacks struct {
	api stackAPI
	// owner is the installation's name, role the service role that
	// CloudFormation acts with.
	owner, role string
	// tags are the further tags of each stack.
	tags map[string]string
}

// NewStacks returns the stacks of the installation owner, made through role.
func NewStacks(api stackAPI, owner, role string) *Stacks {
	return &Stacks{api: api, owner: owner, role: role}
}

// WithTags returns the stacks with further tags, which CloudFormation hands on to what they hold.
func (s *Stacks) WithTags(tags map[string]string) *Stacks {
	out := *s
	out.tags = tags
	return &out
}

// stackTags are the tags of the stack of a life of a set.
func (s *Stacks) stackTags(set string, of LifeID) []types.Tag {
	tags := []types.Tag{
		{Key: aws.String(OwnerTag), Value: aws.String(s.owner)},
		{Key: aws.String(SetTag), Value: aws.String(set)},
		{Key: aws.String(GenerationTag), Value: aws.String(strconv.Itoa(of.Generation))},
	}
	for _, k := range slices.Sorted(maps.Keys(s.tags)) {
		tags = append(tags, types.Tag{Key: aws.String(k), Value: aws.String(s.tags[k])})
	}
	return tags
}

// Name returns the stack name of a set. It is the same for every generation, so
// that CloudFormation itself allows one at a time.
func (s *Stacks) Name(set string) string { return s.owner + "-set-" + set }

// SetOf returns the set that a stack id or name of this installation belongs to.
func (s *Stacks) SetOf(stack string) (string, bool) {
	name := stack
	if _, rest, ok := strings.Cut(stack, ":stack/"); ok {
		name, _, _ = strings.Cut(rest, "/")
	}
	return strings.CutPrefix(name, s.owner+"-set-")
}

// LifeID names one life of a set's stack among all that ever were. Generations are
// counted from 1 again when an installation is removed and made again; their
// beginnings differ.
type LifeID struct {
	Generation int
	Since      time.Time
}

// token names a request, so that its repetition has no second effect.
func (s *Stacks) token(set string, of LifeID, what string) string {
	return fmt.Sprintf("%s-%s-%d-%d-%s", s.owner, set, of.Generation, of.Since.Unix(), what)
}

// Create asks for the stack of a life of a set and returns its id. It returns
// ErrExists if a stack of that name is there already, of any life.
func (s *Stacks) Create(ctx context.Context, set string, of LifeID, template []byte) (string, error) {
	out, err := s.api.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName:          aws.String(s.Name(set)),
		TemplateBody:       aws.String(string(template)),
		RoleARN:            aws.String(s.role),
		ClientRequestToken: aws.String(s.token(set, of, "create")),
		ResourceTypes:      []string{EndpointType},
		OnFailure:          types.OnFailureRollback,
		TimeoutInMinutes:   aws.Int32(createTimeout),
		Tags:               s.stackTags(set, of),
	})
	if err != nil && isExisting(err) {
		return "", fmt.Errorf("create stack %s (generation %d): %w", s.Name(set), of.Generation, ErrExists)
	}
	if err != nil {
		return "", fmt.Errorf("create stack %s (generation %d): %w", s.Name(set), of.Generation, err)
	}
	return aws.ToString(out.StackId), nil
}

// Extend adds to the stack of a life of a set, by the nth try, the resources of the
// template that it does not have. Those that it has stay as they are, to the letter, so that
// CloudFormation does not touch them. It returns how many endpoints the stack will
// have, and how many endpoint-hours an hour of it is billed as. A change that is
// under way, or that is made already, is success.
func (s *Stacks) Extend(ctx context.Context, set, id string, of LifeID, try int,
	template []byte) (endpoints, perHour int, err error) {
	live, err := s.api.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: aws.String(id)})
	if err != nil {
		return 0, 0, fmt.Errorf("get the template of stack %s: %w", s.Name(set), err)
	}
	template, endpoints, perHour, err = merged([]byte(aws.ToString(live.TemplateBody)), template)
	if err != nil {
		return 0, 0, fmt.Errorf("extend stack %s: %w", s.Name(set), err)
	}
	sum := sha256.Sum256(template)
	_, err = s.api.UpdateStack(ctx, &cloudformation.UpdateStackInput{
		StackName:          aws.String(id),
		TemplateBody:       aws.String(string(template)),
		RoleARN:            aws.String(s.role),
		ResourceTypes:      []string{EndpointType},
		ClientRequestToken: aws.String(s.token(set, of, fmt.Sprintf("extend-%d-%s", try, hex.EncodeToString(sum[:8])))),
	})
	if err != nil && !isUnderWay(err) {
		return 0, 0, fmt.Errorf("extend stack %s (generation %d): %w", s.Name(set), of.Generation, err)
	}
	return endpoints, perHour, nil
}

// Endpoints returns the ids of the endpoints that a stack holds, by the stack's name
// or id; none for a stack that is not there.
func (s *Stacks) Endpoints(ctx context.Context, stack string) ([]string, error) {
	out, err := s.api.DescribeStackResources(ctx, &cloudformation.DescribeStackResourcesInput{
		StackName: aws.String(stack),
	})
	if err != nil {
		if IsMissing(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("describe the resources of stack %s: %w", stack, err)
	}
	var ids []string
	for _, r := range out.StackResources {
		if id := aws.ToString(r.PhysicalResourceId); aws.ToString(r.ResourceType) == EndpointType && id != "" {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Stack is what a set's stack looks like.
type Stack struct {
	State State
	// ID, Status, Reason and Generation are empty for a missing stack.
	ID, Status, Reason string
	Generation         int
}

// Describe returns the stack of a set, by its id if that is known: a deleted
// stack is found by id only. A stack without our owner tag is Foreign.
func (s *Stacks) Describe(ctx context.Context, set, id string) (Stack, error) {
	name := id
	if name == "" {
		name = s.Name(set)
	}
	out, err := s.api.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil && IsMissing(err) || err == nil && len(out.Stacks) == 0 {
		return Stack{State: Missing}, nil
	}
	if err != nil {
		return Stack{}, fmt.Errorf("describe stack %s: %w", name, err)
	}
	st := out.Stacks[0]
	v := Stack{
		ID: aws.ToString(st.StackId), Status: string(st.StackStatus), Reason: aws.ToString(st.StackStatusReason),
		State: StateOf(string(st.StackStatus)),
	}
	v.Generation, _ = strconv.Atoi(tagValue(st.Tags, GenerationTag)) // 0 for a stack without the tag
	if tagValue(st.Tags, OwnerTag) != s.owner || tagValue(st.Tags, SetTag) != set {
		if v.State != Missing {
			v.State = Foreign
		}
		return v, nil
	}
	switch v.State {
	case Broken, RollingBack, RolledBack, DeleteFailed:
		v.Reason = s.cause(ctx, v)
	}
	return v, nil
}

func tagValue(tags []types.Tag, key string) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// cause returns what the first resource that failed says, with the remedy. The
// stack's own reason names only which one it was.
func (s *Stacks) cause(ctx context.Context, st Stack) string {
	out, err := s.api.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: aws.String(st.ID)})
	if err != nil {
		return Explain(st.Reason) // the stack's own reason is better than none
	}
	events := out.StackEvents // newest first
	for i, e := range events {
		if st.State == RolledBack && aws.ToString(e.PhysicalResourceId) == st.ID &&
			e.ResourceStatus == types.ResourceStatusUpdateInProgress {
			events = events[:i] // the last update alone
			break
		}
	}
	for _, e := range slices.Backward(events) {
		failed := e.ResourceStatus == types.ResourceStatusCreateFailed ||
			e.ResourceStatus == types.ResourceStatusDeleteFailed && st.State == DeleteFailed
		if why := failureOf(st.ID, e); failed && why != "" {
			return Explain(why)
		}
	}
	return Explain(st.Reason)
}

// Delete deletes a set's stack, and with force one whose deletion failed: then
// what cannot be deleted stays behind. Deleting a stack that is gone is success.
// The caller has made sure by Describe that the stack is ours. CloudFormation uses
// the role that the stack was made with.
func (s *Stacks) Delete(ctx context.Context, set, id string, force bool, at time.Time) error {
	in := &cloudformation.DeleteStackInput{
		StackName:          aws.String(id),
		ClientRequestToken: aws.String(s.token(set, LifeID{Since: at}, "delete")),
	}
	if id == "" {
		in.StackName = aws.String(s.Name(set))
	}
	if force {
		in.DeletionMode = types.DeletionModeForceDeleteStack
	}
	_, err := s.api.DeleteStack(ctx, in)
	if err != nil && force && notForced(err) {
		in.DeletionMode = ""
		_, err = s.api.DeleteStack(ctx, in)
	}
	if err != nil && !IsMissing(err) {
		return fmt.Errorf("delete stack %s: %w", aws.ToString(in.StackName), err)
	}
	return nil
}
