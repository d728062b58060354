// Package timers manages the one-time EventBridge schedules of sets. Each time is a
// separate schedule: EventBridge deletes a fired schedule a while later, by its name, and
// would also delete a newer one of the same name.
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
	CreateSchedule(context.Context, *scheduler.CreateScheduleInput,
		...func(*scheduler.Options)) (*scheduler.CreateScheduleOutput, error)
	DeleteSchedule(context.Context, *scheduler.DeleteScheduleInput,
		...func(*scheduler.Options)) (*scheduler.DeleteScheduleOutput, error)
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

// keepTrying is how long Scheduler retries an invocation that failed. After
// that, the sweep has already run.
const keepTrying = 5 * time.Minute

// name returns the name of a set's schedule for a time: at most 64 characters.
func name(set core.SetName, at time.Time) string {
	return string(set) + "-" + at.UTC().Format("20060102T150405")
}

// Set sets a set's timer to an instant, and deletes its previous one, unless that is
// zero. Setting the same time again is success, even if it has fired.
func (t *Timers) Set(ctx context.Context, set core.SetName, before, at time.Time) error {
	input, err := json.Marshal(map[string]string{
		"set": string(set), "reason": "timer of " + at.UTC().Format("15:04:05"),
	})
	if err != nil {
		return err
	}
	expression := fmt.Sprintf("at(%s)", at.UTC().Format("2006-01-02T15:04:05"))
	_, err = t.api.CreateSchedule(ctx, &scheduler.CreateScheduleInput{
		Name: aws.String(name(set, at)), GroupName: aws.String(t.group), ScheduleExpression: aws.String(expression),
		ScheduleExpressionTimezone: aws.String("UTC"),
		FlexibleTimeWindow:         &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		Target:                     t.aim(string(input)), ActionAfterCompletion: types.ActionAfterCompletionDelete,
	})
	var exists *types.ConflictException
	if err != nil && !errors.As(err, &exists) {
		return awserr.Mark(err, "set timer %s/%s to %s", t.group, set, expression)
	}
	if before.IsZero() || before.Equal(at) {
		return nil
	}
	// A fired timer is gone; a leftover one only causes an extra check.
	_, _ = t.api.DeleteSchedule(ctx, &scheduler.DeleteScheduleInput{
		Name: aws.String(name(set, before)), GroupName: aws.String(t.group),
	})
	return nil
}

func (t *Timers) aim(input string) *types.Target {
	return &types.Target{
		Arn: aws.String(t.target), RoleArn: aws.String(t.role), Input: aws.String(input),
		RetryPolicy: &types.RetryPolicy{
			MaximumEventAgeInSeconds: aws.Int32(int32(keepTrying / time.Second)), MaximumRetryAttempts: aws.Int32(3),
		},
	}
}
