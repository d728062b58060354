package operate

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"drawbridge/internal/app"
	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
	"drawbridge/scheduler"
)

// Log copies the log of a run's container.
type Log struct {
	api *cloudwatchlogs.Client
	app *app.App
	to  io.Writer
	// Time shows the time of an event, which then begins each line; nil for none.
	Time func(time.Time) string
	// Lines counts the lines that were copied.
	Lines int

	token         *string
	group, stream string
}

// NewLog returns what copies a log to a writer.
func NewLog(api *cloudwatchlogs.Client, a *app.App, to io.Writer) *Log {
	return &Log{api: api, app: a, to: to}
}

// Copy writes what the log of a run holds beyond what was copied. A log that nothing was written
// to yet is empty.
func (l *Log) Copy(ctx context.Context, r scheduler.Run) error {
	if r.TaskARN == "" {
		return hint.New(
			fmt.Sprintf("run %s has no task: %s", r.ID, r.Reason), "drawbridge show "+string(r.ID)+" says more",
		)
	}
	if l.group, l.stream = r.LogGroup, r.LogStream; l.stream == "" {
		t := scheduler.Task{ARN: r.TaskARN, Definition: l.app.Config.Jobs[r.Job].TaskDefinition}
		l.app.Tasks.Locate(ctx, &t)
		l.group, l.stream = t.LogGroup, t.LogStream
	}
	if l.stream == "" {
		return hint.New(
			fmt.Sprintf("the log stream of run %s is not known", r.ID),
			"give the container of its task definition the awslogs driver with a stream prefix",
		)
	}
	for {
		out, err := l.api.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: &l.group, LogStreamName: &l.stream, StartFromHead: aws.Bool(true), NextToken: l.token,
		})
		if err != nil && awserr.Code(err) == "ResourceNotFoundException" && strings.Contains(err.Error(), "stream") {
			return nil // nothing was logged yet
		}
		if err != nil {
			return awserr.Mark(err, "read the log of run %s: stream %s of group %s", r.ID, l.stream, l.group)
		}
		for _, e := range out.Events {
			line := aws.ToString(e.Message)
			if l.Time != nil {
				line = l.Time(time.UnixMilli(aws.ToInt64(e.Timestamp))) + "  " + line
			}
			if _, err := fmt.Fprintln(l.to, line); err != nil {
				return err
			}
			l.Lines++
		}
		last := l.token
		l.token = out.NextForwardToken
		if l.token == nil || last != nil && *last == *l.token { // a page without events may have others after it
			return nil
		}
	}
}

// Empty says why there is nothing to see in the log of a run.
func (l *Log) Empty(r scheduler.Run) string {
	switch {
	case r.TaskARN == "":
		return fmt.Sprintf("Run %s has no task yet: %s.", r.ID, strings.TrimRight(r.Reason, "."))
	case r.State != scheduler.Finished:
		return fmt.Sprintf("Run %s has logged nothing yet, to stream %s of group %s; --follow goes on.", r.ID, l.stream,
			l.group)
	case r.StartedAt.IsZero() || r.ExitCode == nil:
		return fmt.Sprintf("Run %s has logged nothing: its container did not end by itself (%s).", r.ID,
			strings.TrimRight(r.Reason, "."))
	}
	return fmt.Sprintf("Run %s has logged nothing to stream %s of group %s: its program wrote nothing to standard "+
		"output, or the group no longer keeps it.", r.ID, l.stream, l.group)
}
