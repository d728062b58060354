package install

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
)

// Remove deletes the base stack and the bucket, and waits until they are gone. It
// returns whether there was anything. The sets have to be absent; endpoint stacks
// of ours that are there all the same are refused.
func (i *Installer) Remove(ctx context.Context, name string, tell func(cfn.Event)) (bool, error) {
	left, err := i.setStacks(ctx, name)
	if err != nil {
		return false, err
	}
	if len(left) > 0 {
		return false, hint.New(fmt.Sprintf("remove %s: %v: %s", name, errLeft, strings.Join(left, ", ")),
			"nothing would delete them any more; drawbridge destroy --force takes down what the table knows, aws "+
				"cloudformation delete-stack the others")
	}
	found := false
	stack, err := i.Installed(ctx, name)
	var failed *failedBeforeError
	switch {
	case errors.As(err, &failed):
		found = true
		if err := i.Clear(ctx, name); err != nil {
			return true, err
		}
	case stack != nil && stack.Status == types.StackStatusReviewInProgress && errors.Is(err, ErrNotInstalled):
		found = true // what an interrupted plan has left
		if _, err := i.Clients.CloudFormation.DeleteStack(ctx, &cloudformation.DeleteStackInput{
			StackName: &stack.ID,
		}); err != nil {
			return true, awserr.Mark(err, "delete the empty stack %s", name)
		}
	case errors.Is(err, ErrNotInstalled):
	case err != nil:
		return false, err
	default:
		found = true
		if err := i.removeStack(ctx, stack, tell); err != nil {
			return true, err
		}
	}
	had, err := i.removeBucket(ctx, name)
	return found || had, err
}

func (i *Installer) removeStack(ctx context.Context, s *Stack, tell func(cfn.Event)) error {
	api := i.Clients.CloudFormation
	// CloudFormation deletes no bucket that holds anything. What is kept there can be made
	// again.
	buckets, err := cfn.Resources(ctx, api, s.ID, "AWS::S3::Bucket")
	if err != nil {
		return awserr.Mark(err, "look for buckets")
	}
	for _, r := range buckets {
		err := i.clearBucket(ctx, aws.ToString(r.PhysicalResourceId), nil)
		if err != nil && awserr.Code(err) != "NoSuchBucket" {
			return err
		}
	}
	if _, err := api.UpdateTerminationProtection(ctx, &cloudformation.UpdateTerminationProtectionInput{
		StackName: &s.Name, EnableTerminationProtection: aws.Bool(false),
	}); err != nil {
		return awserr.Mark(err, "lift the protection of stack %s", s.Name)
	}
	from := i.Clock.Now().Add(-time.Second)
	if _, err := api.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &s.ID}); err != nil {
		return awserr.Mark(err, "delete stack %s", s.Name)
	}
	status, err := i.follow(ctx, s.ID, s.Name, from, tell)
	if err != nil {
		return err
	}
	if status != types.StackStatusDeleteComplete {
		return i.failure(ctx, s.ID, s.Name, from, status)
	}
	return nil
}
