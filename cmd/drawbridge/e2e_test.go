package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"drawbridge/internal/awssim"
	"drawbridge/internal/functions"
	"drawbridge/internal/sandbox"
	"drawbridge/scheduler"
)

// bootstraps builds the two Lambda binaries once for all tests; TestMain removes
// them.
var bootstraps = sync.OnceValues(func() (string, error) {
	paths, _, cleanup, err := functions.Local(context.Background())
	removeBootstraps = cleanup
	return filepath.Dir(filepath.Dir(paths["launcher"])), err
})

var removeBootstraps = func() {}

// account is a sandbox with the real binaries in it, whose clock stands still.
type account struct {
	t        *testing.T
	endpoint string
	queue    *sqs.Client
}

// open starts drawbridge sandbox with a configuration and more arguments. Unless these say otherwise, it begins
// late in a billed hour: what a test waits for comes after the take-down of the first endpoints.
func open(t *testing.T, config string, more ...string) *account {
	t.Helper()
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	dir, err := bootstraps()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(functions.FolderVariable, dir)
	endpoint, stop, err := startSandbox(append([]string{"--speed", "0", "--start", "2026-05-14T09:28:00Z", "--config", config}, more...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if code, text := stop(); code != exitDone {
			t.Errorf("the sandbox ended with %d: %s", code, text)
		}
	})
	sim := awssim.New(awssim.Options{}) // for its Region alone
	defer sim.Close()
	return &account{t, endpoint, sqs.NewFromConfig(sandbox.AWSConfig(sim, endpoint, http.DefaultTransport))}
}

// post sends a command to the simulation itself.
func (a *account) post(path, body string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.endpoint+"/_sim/"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		a.t.Fatalf("%s: %s", path, text)
	}
}

func (a *account) advance(minutes float64) {
	a.t.Helper()
	a.post("advance", fmt.Sprintf(`{"seconds": %f}`, minutes*60))
}

func (a *account) fault(name, value string, minutes float64) {
	a.t.Helper()
	a.post("fault", fmt.Sprintf(`{"name": %q, "value": %q, "for": %f}`, name, value, minutes*60))
}

func (a *account) ledger() (l awssim.Ledger) {
	a.t.Helper()
	res, err := http.Get(a.endpoint + "/_sim/ledger")
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&l); err != nil {
		a.t.Fatal(err)
	}
	return l
}

func (a *account) send(id, runFor string) {
	a.t.Helper()
	body := fmt.Sprintf(`{"job":"hello","id":%q,"overrides":{"containerOverrides":[{"name":"hello","environment":[{"name":"SANDBOX_RUN_FOR","value":%q}]}]}}`, id, runFor)
	_, err := a.queue.SendMessage(a.t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String("http://x/drawbridge-events"), MessageBody: aws.String(body)})
	if err != nil {
		a.t.Fatal(err)
	}
}

// keeps fails the test unless promise number is kept and each of runs ran once.
func (a *account) keeps(number, runs int) {
	a.t.Helper()
	l := a.ledger()
	p := sandbox.Check(scheduler.Clock, l, runs)[number-1]
	if p.Number != number || !p.Kept {
		a.t.Errorf("promise %d, %s, is broken: %s", p.Number, p.Name, p.Evidence)
	}
	ran := map[scheduler.RunID]int{}
	for _, task := range l.Tasks {
		if id, _, ok := scheduler.ParseTaskGroup(task.Group); ok && task.ExitCode != nil {
			ran[id]++
		}
	}
	for id, n := range ran {
		if n != 1 {
			a.t.Errorf("%s ran %d times", id, n)
		}
	}
	if len(ran) != runs {
		a.t.Errorf("%d runs ran, want %d (dead letters %v)", len(ran), runs, l.DeadLetters)
	}
}

const hello = "../../examples/hello/drawbridge.yaml"

func TestEndToEndPromise1ReadyBeforeRun(t *testing.T) {
	a := open(t, hello, "--fault", "slow-create=60s")
	a.send("a", "60s")
	a.advance(10)
	a.keeps(1, 1)
}

func TestEndToEndPromise2NeverUnderATask(t *testing.T) {
	a := open(t, hello)
	a.send("long", "100m")
	a.advance(240)
	a.keeps(2, 1)
}

func TestEndToEndPromise3ExactlyOnce(t *testing.T) {
	a := open(t, hello, "--fault", "duplicate-events=1")
	for i := range 30 {
		a.send(fmt.Sprintf("r%d", i%20), "60s")
	}
	a.fault("kill-after", "launcher:3", 0)
	a.advance(240)
	a.keeps(3, 20)
}

func TestEndToEndPromise4OneEndpointPerVPCAndService(t *testing.T) {
	a := open(t, hello)
	for i := range 6 { // into and around the deletion before each hour
		a.send(fmt.Sprintf("r%d", i), "60s")
		a.advance(28)
	}
	a.advance(120)
	a.keeps(4, 6)
}

func TestEndToEndPromise5NothingLeftBehind(t *testing.T) {
	a := open(t, hello, "--fault", "fail-delete=3", "--fault", "lost-events=1")
	a.send("a", "60s")
	a.advance(8)
	a.fault("kill", "reaper:4", 0)
	a.advance(360)
	a.keeps(5, 1)
}

func TestEndToEndPromise6NeverDearer(t *testing.T) {
	a := open(t, hello)
	for i := range 12 {
		a.send(fmt.Sprintf("r%d", i), "10m")
		a.advance(13 + float64(i*7%50))
	}
	a.advance(120)
	a.keeps(6, 12)
}

func TestEndToEndPromise7OnlyItsOwn(t *testing.T) {
	a := open(t, hello)
	a.send("a", "60s")
	a.advance(120)
	a.keeps(7, 1)
	for _, e := range a.ledger().Endpoints {
		if e.Stack == "" && e.Deleting != nil {
			t.Errorf("%s, which is not ours, was deleted", e.ID)
		}
	}
}

func TestEndToEndImageRunsALocalProgram(t *testing.T) {
	script := filepath.Join(t.TempDir(), "job.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"hello $WHO via $AWS_ENDPOINT_URL\"\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	a := open(t, hello, "--image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/hello:latest="+script)
	_, err := a.queue.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String("http://x/drawbridge-events"), MessageBody: aws.String(
		`{"job":"hello","id":"img","overrides":{"containerOverrides":[{"name":"hello","environment":[{"name":"WHO","value":"world"}]}]}}`)})
	if err != nil {
		t.Fatal(err)
	}
	a.advance(10)
	tasks := a.ledger().Tasks
	if len(tasks) != 1 || tasks[0].ExitCode == nil || *tasks[0].ExitCode != 3 || tasks[0].Environment["WHO"] != "world" {
		t.Errorf("tasks %+v, want one with exit code 3", tasks)
	}
}
