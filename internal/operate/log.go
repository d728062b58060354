package operate

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
	"drawbridge/scheduler"
)

// CopyLog writes what the log of a run's container holds beyond token, nil for the
// beginning, and returns the next token. A log that nothing was written to yet is empty.
func CopyLog(ctx context.Context, api *cloudwatchlogs.Client, a *app.App, r scheduler.Run, token *string,
	w io.Writer) (*string, error) {
	if r.TaskARN == "" {
		return nil, hint.New(
			fmt.Sprintf("run %s has no task: %s", r.ID, r.Reason), "drawbridge runs shows when it has one",
		)
	}
	if r.LogStream == "" {
		t := scheduler.Task{ARN: r.TaskARN, Definition: a.Config.Jobs[r.Job].TaskDefinition}
		a.Tasks.Locate(ctx, &t)
		r.LogGroup, r.LogStream = t.LogGroup, t.LogStream
	}
	if r.LogStream == "" {
		return nil, hint.New(
			fmt.Sprintf("the log stream of run %s is not known", r.ID),
			"give the container of its task definition the awslogs driver with a stream prefix",
		)
	}
	for {
		out, err := api.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: &r.LogGroup, LogStreamName: &r.LogStream, StartFromHead: aws.Bool(true), NextToken: token,
		})
		if err != nil && awserr.Code(err) == "ResourceNotFoundException" && strings.Contains(err.Error(), "stream") {
			return token, nil // nothing was logged yet
		}
		if err != nil {
			return token, awserr.Mark(err, "read the log of run %s", r.ID)
		}
		for _, e := range out.Events {
			if _, err := fmt.Fprintln(w, aws.ToString(e.Message)); err != nil {
				return token, err
			}
		}
		last := token
		token = out.NextForwardToken
		if len(out.Events) == 0 || last != nil && token != nil && *last == *token {
			return token, nil
		}
	}
}
