package sandbox

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"drawbridge/internal/awssim"
)

// follower is a queue to which a rule delivers the ends of runs, as somebody who waits for them
// makes it.
func (w *world) follower() *string {
	w.t.Helper()
	ctx := w.t.Context()
	queue, err := w.queue.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("ends")})
	if err != nil {
		w.t.Fatal(err)
	}
	events := eventbridge.NewFromConfig(AWSConfig(w.sim, "http://aws.invalid", w.sim.RoundTripper()))
	_, err = events.PutRule(ctx, &eventbridge.PutRuleInput{
		Name: aws.String("ends"), EventPattern: aws.String(`{"source": ["drawbridge"], "detail-type": ["Run Ended"], "detail": {"job": ["hello"]}}`),
	})
	if err == nil {
		_, err = events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("ends"), Targets: []types.Target{
			{Id: aws.String("queue"), Arn: aws.String("arn:aws:sqs:us-east-1:123456789012:ends")},
		}})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return queue.QueueUrl
}

// ends returns the outcomes that were delivered to a queue, by run.
func (w *world) ends(queue *string) map[string]endOfRun {
	w.t.Helper()
	out := map[string]endOfRun{}
	for {
		got, err := w.queue.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(got.Messages) == 0 {
			return out
		}
		for _, m := range got.Messages {
			var e struct {
				Source    string
				Resources []string
				Detail    endOfRun
			}
			if err := json.Unmarshal([]byte(*m.Body), &e); err != nil {
				w.t.Fatal(err)
			}
			if e.Source != "drawbridge" || e.Detail.Task != "" && (len(e.Resources) != 1 || e.Resources[0] != e.Detail.Task) {
				w.t.Errorf("event %s", *m.Body)
			}
			out[e.Detail.Run] = e.Detail
		}
	}
}

type endOfRun struct {
	Installation, Set, Job, Run, Outcome, Reason, Task string
	ExitCode                                           *int
	Received, Finished                                 time.Time
	Started                                            *time.Time
	USD                                                *float64
}

func TestTheEndOfARunIsAnEvent(t *testing.T) {
	longStory(t)
	inWorld(t, oneJob, awssim.Options{}, func(w *world) {
		queue := w.follower()
		w.send(event("good", "SANDBOX_RUN_FOR=12m"))
		w.send(event("bad", "SANDBOX_EXIT_CODE=3"))
		time.Sleep(30 * time.Minute)
		w.fault("deny", "ecs:RunTask", 0)
		w.send(event("never"))
		time.Sleep(2 * time.Hour)
		ends := w.ends(queue)
		if len(ends) != 3 {
			t.Fatalf("ends %+v, want one of each run", ends)
		}
		good, bad, never := ends["hello/good"], ends["hello/bad"], ends["hello/never"]
		if good.Outcome != "succeeded" || good.ExitCode == nil || *good.ExitCode != 0 || good.Started == nil || good.Task == "" ||
			good.Installation != "drawbridge" || good.Set != "main" || good.Job != "hello" {
			t.Errorf("the end of a good run: %+v", good)
		}
		if good.USD == nil || *good.USD < 0.009 || *good.USD > 0.012 { // 12 minutes of five endpoints
			t.Errorf("the end of a good run says %v USD", good.USD)
		}
		if bad.Outcome != "failed" || bad.ExitCode == nil || *bad.ExitCode != 3 {
			t.Errorf("the end of a bad run: %+v", bad)
		}
		if never.Outcome != "dead-lettered" || never.ExitCode != nil || never.Started != nil || never.USD != nil || never.Reason == "" {
			t.Errorf("the end of a run that never ran: %+v", never)
		}
	})
}
