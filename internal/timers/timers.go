// Package timers keeps one one-time EventBridge schedule a set.
package timers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"drawbridge/internal/awserr"
	core "drawbridge/scheduler"
)

// schedulerAPI is the part of *scheduler.Client that Timers calls.
type schedulerAPI interface {
	CreateSchedule(context.Context, *scheduler.CreateScheduleInput, ...func(*scheduler.Options)) (*scheduler.CreateScheduleOutput, error)
	UpdateSchedule(context.Context, *scheduler.UpdateScheduleInput, ...func(*scheduler.Options)) (*scheduler.UpdateScheduleOutput, error)
}

var _ schedulerAPI = (*scheduler.Client)(nil)

// Timers are the timers of one installation: schedules in its group that invoke
// the reaper.
type Timers struct {
	api                 schedulerAPI
	group, target, role string
}

// New returns timers in a schedule group that invoke target through role.
func New(api schedulerAPI, group, target, role string) *Timers {
	return &Timers{api, group, target, role}
}

// keepTrying is how long Scheduler retries an invocation that failed. Later than
// that, the sweep has looked already.
const keepTrying = 5 * time.Minute

// Set moves a set's timer to at. A timer that has fired is gone, so both ways of
// writing fall back on the other.
func (t *Timers) Set(ctx context.Context, set core.SetName, before, at time.Time) error {
	input, err := json.Marshal(map[string]string{"set": string(set), "reason": "timer of " + at.UTC().Format("15:04:05")})
	if err != nil {
		return err
	}
	write := []func(context.Context, string, string, string) error{t.create, t.update}
	if !before.IsZero() {
		write[0], write[1] = write[1], write[0]
	}
	expression := fmt.Sprintf("at(%s)", at.UTC().Format("2006-01-02T15:04:05"))
	err = write[0](ctx, string(set), expression, string(input))
	var exists *types.ConflictException
	var gone *types.ResourceNotFoundException
	if errors.As(err, &exists) || errors.As(err, &gone) {
		err = write[1](ctx, string(set), expression, string(input))
	}
	return awserr.Mark(err, "set timer %s/%s to %s", t.group, set, expression)
}

func (t *Timers) aim(input string) *types.Target {
	return &types.Target{
		Arn: aws.String(t.target), RoleArn: aws.String(t.role), Input: aws.String(input),
		RetryPolicy: &types.RetryPolicy{MaximumEventAgeInSeconds: aws.Int32(int32(keepTrying / time.Second)), MaximumRetryAttempts: aws.Int32(3)},
	}
}

func (t *Timers) create(ctx context.Context, name, expression, input string) error {
	_, err := t.api.CreateSchedule(ctx, &scheduler.CreateScheduleInput{
		Name: aws.String(name), GroupName: aws.String(t.group), ScheduleExpression: aws.String(expression), ScheduleExpressionTimezone: aws.String("UTC"),
		FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff}, Target: t.aim(input), ActionAfterCompletion: types.ActionAfterCompletionDelete,
	})
	return err
}

// update replaces every field: an update forgets those that are not given.
func (t *Timers) update(ctx context.Context, name, expression, input string) error {
	_, err := t.api.UpdateSchedule(ctx, &scheduler.UpdateScheduleInput{
		Name: aws.String(name), GroupName: aws.String(t.group), ScheduleExpression: aws.String(expression), ScheduleExpressionTimezone: aws.String("UTC"),
		FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff}, Target: t.aim(input), ActionAfterCompletion: types.ActionAfterCompletionDelete,
	})
	return err
}
