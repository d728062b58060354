package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"

	"drawbridge/cfn"
	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
)

const oneJob = `
sets:
  main:
    subnets: [subnet-1, subnet-2]
jobs:
  hello:
    set: main
    cluster: c
    taskDefinition: hello
    securityGroups: [sg-1]
    maxRuntime: 3h
    overrides: [environment]
    on:
      - source: [example.hello]
`

// world is a simulated account with Drawbridge in it, in a bubble of virtual time.
type world struct {
	t      *testing.T
	sim    *awssim.Sim
	config *config.Installation
	queue  *sqs.Client
	lambda *lambda.Client
	hangs  *hangs
}

// hangs takes the metrics of the functions, and keeps the last DeploymentsHanging.
type hangs struct {
	sync.Mutex
	last float64
}

func (h *hangs) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(cfn.MetricHanging)) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			return 0, err
		}
		if n, ok := m[cfn.MetricHanging].(float64); ok {
			h.Lock()
			h.last = n
			h.Unlock()
		}
	}
	return len(line), nil
}

// hanging returns the metric DeploymentsHanging as it was written last.
func (w *world) hanging() float64 {
	w.hangs.Lock()
	defer w.hangs.Unlock()
	return w.hangs.last
}

// inWorld runs story in a bubble: time passes only when everything waits, so that a
// time.Sleep in a story lets hours pass and takes none. Every
// reply is recorded for the conformance check if the environment asks for it. It
// begins at o.Start, if that is not zero.
func inWorld(t *testing.T, text string, o awssim.Options, story func(w *world)) {
	t.Helper()
	scenes.Store(text, o)
	synctest.Test(t, func(t *testing.T) {
		file, err := config.Parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if !o.Start.IsZero() { // a bubble begins in 2000
			time.Sleep(time.Until(o.Start))
		}
		o.Speed, o.Record, o.Start = 1, recording(), time.Time{}
		sim := awssim.New(o)
		defer sim.Close()
		seen := &hangs{}
		c, err := InstallInProcess(sim, file, "http://aws.invalid", sim.RoundTripper(), zap.NewNop(), seen)
		if err != nil {
			t.Fatal(err)
		}
		aws := AWSConfig(sim, "http://aws.invalid", sim.RoundTripper())
		w := &world{t: t, sim: sim, config: c, queue: sqs.NewFromConfig(aws), lambda: lambda.NewFromConfig(aws), hangs: seen}
		story(w)
		w.asRecorded()
	})
}

// longStory skips a test that takes long where only quick ones are asked for. Long ones run
// beside each other: each world has a bubble and an account of its own.
func longStory(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	t.Parallel()
}

// recording receives the replies of all worlds, or is nil.
var recording = sync.OnceValue(func() io.Writer {
	w, err := awssim.Recorder()
	if err != nil {
		panic(err) // the conformance check would miss what is tested here
	}
	return w
})

// event is a message that starts job hello.
func event(id string, environment ...string) string {
	var env []map[string]string
	for _, kv := range environment {
		k, v, _ := strings.Cut(kv, "=")
		env = append(env, map[string]string{"name": k, "value": v})
	}
	m := map[string]any{"job": "hello", "id": id}
	if len(env) > 0 {
		m["overrides"] = map[string]any{"containerOverrides": []any{map[string]any{"name": "hello", "environment": env}}}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // texts always encode
	}
	return string(b)
}

// try puts a message on the events queue.
func (w *world) try(body string) error {
	_, err := w.queue.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String("http://x/drawbridge-events"), MessageBody: aws.String(body)})
	return err
}

// send puts a message on the events queue; the sandbox must not be faulty then.
func (w *world) send(body string) {
	w.t.Helper()
	if err := w.try(body); err != nil {
		w.t.Fatal(err)
	}
}

// sendUntilAccepted sends as a client does whose calls fail for the moment.
func (w *world) sendUntilAccepted(body string) {
	w.t.Helper()
	for range 20 {
		if w.try(body) == nil {
			return
		}
	}
	w.t.Fatal("the queue took no message in 20 tries")
}

// fault turns a fault on.
func (w *world) fault(name, value string, lasts time.Duration) {
	w.t.Helper()
	if err := w.sim.SetFault(name, value, lasts.Seconds()); err != nil {
		w.t.Fatal(err)
	}
}

// invoke hands the launcher an event without waiting for it.
func (w *world) invoke(payload string) {
	w.t.Helper()
	if _, err := w.lambda.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String("drawbridge-launcher"), InvocationType: lambdatypes.InvocationTypeEvent, Payload: []byte(payload)}); err != nil {
		w.t.Fatal(err)
	}
}

// call invokes the launcher and returns its answer, or the error's text.
func (w *world) call(payload string) (answer map[string]any, failure string) {
	w.t.Helper()
	out, err := w.lambda.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String("drawbridge-launcher"), Payload: []byte(payload)})
	if err != nil {
		w.t.Fatal(err)
	}
	if out.FunctionError != nil {
		return nil, string(out.Payload)
	}
	if err := json.NewDecoder(bytes.NewReader(out.Payload)).Decode(&answer); err != nil {
		w.t.Fatalf("answer %s: %v", out.Payload, err)
	}
	return answer, ""
}

// ran returns how often the container of each run came to its own end.
func (w *world) ran() map[string]int {
	out := map[string]int{}
	for _, task := range w.sim.Ledger().Tasks {
		if id, _, ok := scheduler.ParseTaskGroup(task.Group); ok && task.ExitCode != nil {
			out[strings.TrimPrefix(string(id), "hello/")]++
		}
	}
	return out
}

// keeps fails the test unless all promises are kept and each of runs ran once.
func (w *world) keeps(runs ...string) {
	w.t.Helper()
	l := w.sim.Ledger()
	for _, p := range Check(w.config.Billing, l, len(runs)) {
		if !p.Kept {
			w.t.Errorf("promise %d, %s, is broken: %s", p.Number, p.Name, p.Evidence)
		}
	}
	ran := w.ran()
	for _, id := range runs {
		if ran[id] != 1 {
			w.t.Errorf("run %s ran %d times, want once (dead letters: %v)", id, ran[id], l.DeadLetters)
		}
	}
	if len(ran) != len(runs) {
		w.t.Errorf("%d runs ran, want %d", len(ran), len(runs))
	}
}

// interfaces returns the interface endpoints of the set that ever were.
func (w *world) interfaces() []awssim.LedgerEndpoint {
	var out []awssim.LedgerEndpoint
	for _, e := range w.sim.Ledger().Endpoints {
		if e.Type == "interface" && e.Stack != "" {
			out = append(out, e)
		}
	}
	return out
}

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}
