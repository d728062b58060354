package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
)

// bus tells the account's default event bus of runs that have ended.
type bus struct {
	api interface {
		PutEvents(context.Context, *eventbridge.PutEventsInput,
			...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
	}
	config *config.Installation
}

// runEnded is the detail of an event Run Ended of source drawbridge.
type runEnded struct {
	Installation string            `json:"installation"`
	Set          scheduler.SetName `json:"set"`
	Job          scheduler.JobName `json:"job"`
	Run          scheduler.RunID   `json:"run"`
	Outcome      scheduler.Outcome `json:"outcome"`
	// ExitCode is null for a container that did not end by itself.
	ExitCode *int   `json:"exitCode"`
	Reason   string `json:"reason"`
	// Task is the ARN of its last task, empty for none.
	Task     string     `json:"task,omitempty"`
	Received time.Time  `json:"received"`
	Started  *time.Time `json:"started"`
	Finished time.Time  `json:"finished"`
	// USD is what its set's endpoints cost while its task ran, null where the price is not known.
	USD *float64 `json:"usd"`
}

// ended sends the event. A run of an installation that only observes has not run.
func (b *bus) ended(ctx context.Context, run scheduler.Run) error {
	if b.config.Mode == config.Observe {
		return nil
	}
	e := runEnded{
		Installation: b.config.Name, Set: run.Set, Job: run.Job, Run: run.ID, Outcome: run.Outcome,
		ExitCode: run.ExitCode, Reason: run.Reason, Task: run.TaskARN, Received: run.ReceivedAt.UTC(),
		Finished: run.FinishedAt.UTC(),
	}
	entry := types.PutEventsRequestEntry{Source: aws.String("drawbridge"), DetailType: aws.String("Run Ended")}
	if run.TaskARN != "" {
		entry.Resources = []string{run.TaskARN}
	}
	if !run.StartedAt.IsZero() {
		started := run.StartedAt.UTC()
		e.Started = &started
		if usd, ok := b.config.RunUSD(run); ok {
			e.USD = &usd
		}
	}
	detail, err := json.Marshal(e)
	if err != nil {
		return err
	}
	entry.Detail = aws.String(string(detail))
	out, err := b.api.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{entry}})
	if err != nil {
		return awserr.Mark(err, "put the event that run %s has ended", run.ID)
	}
	for _, r := range out.Entries {
		if r.ErrorCode != nil {
			return fmt.Errorf("put the event that run %s has ended: %s: %s", run.ID, *r.ErrorCode,
				aws.ToString(r.ErrorMessage))
		}
	}
	return nil
}
