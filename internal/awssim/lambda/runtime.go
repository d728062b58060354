package lambda

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/clock"
)

// environment is an execution environment: one process of a bootstrap binary,
// which runs one invocation at a time.
type environment struct {
	id       string
	version  int // of the function, counted by its changes
	function *Function
	cmd      *exec.Cmd
	current  *invocation
	jobs     chan *invocation
	gone     chan struct{}
	dead     bool
}

func (e *environment) kill() {
	if !e.dead {
		e.dead = true
		_ = e.cmd.Process.Kill() // it may have exited already
	}
}

// runBootstrap passes an invocation to an idle environment or to a new one.
func (s *Service) runBootstrap(inv *invocation) {
	f := inv.Function
	for len(f.idle) > 0 {
		e := f.idle[len(f.idle)-1]
		f.idle = f.idle[:len(f.idle)-1]
		if !e.dead {
			s.hand(e, inv)
			return
		}
	}
	e, err := s.startEnvironment(f)
	if err != nil {
		s.Clock.After(0, func() {
			s.endInvocation(inv, "error",
				fmt.Appendf(nil, `{"errorType":"Runtime.InvalidEntrypoint","errorMessage":%q}`, err.Error()))
		})
		return
	}
	s.hand(e, inv)
}

func (s *Service) hand(e *environment, inv *invocation) {
	e.current, inv.environment = inv, e
	e.jobs <- inv
}

func (s *Service) startEnvironment(f *Function) (*environment, error) {
	f.nextNumber++
	key := "ASIA" + strings.ToUpper(s.Digest(fmt.Sprint("environment ", f.Name, f.nextNumber), 16))
	e := &environment{
		id: key, version: f.version, function: f, jobs: make(chan *invocation, 1), gone: make(chan struct{}),
	}
	e.cmd = exec.CommandContext(s.Context, f.Bootstrap)
	base := "http://" + s.Address
	e.cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + s.Address + "/_runtime/" + e.id, "AWS_ENDPOINT_URL=" + base,
		clock.Variable + "=" + base + "/_sim/clock/" + e.id,
		"AWS_REGION=" + s.Options.Region, "AWS_DEFAULT_REGION=" + s.Options.Region, "AWS_ACCESS_KEY_ID=" + key,
		"AWS_SECRET_ACCESS_KEY=sandbox", "AWS_SESSION_TOKEN=sandbox",
		"AWS_LAMBDA_FUNCTION_NAME=" + f.Name, fmt.Sprintf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%d", f.Memory),
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + f.Name, "AWS_LAMBDA_LOG_STREAM_NAME=" + e.id, "_HANDLER=bootstrap",
		"LAMBDA_TASK_ROOT=" + f.taskRoot(),
		"TZ=:UTC", "PATH=" + os.Getenv("PATH"), "AWS_MAX_ATTEMPTS=3",
	}
	if len(f.Subnets) > 0 { // hosts of the VPC are those of the simulation
		e.cmd.Env = append(e.cmd.Env, "HTTP_PROXY="+base)
	}
	for _, k := range kernel.SortedKeys(f.Environment) {
		e.cmd.Env = append(e.cmd.Env, k+"="+f.Environment[k])
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	e.cmd.Stderr = e.cmd.Stdout
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	s.environments[key] = e
	p := s.placed(f)
	p.Work = func() kernel.Work {
		if e.current == nil {
			return nil
		}
		return e.current
	}
	s.Principals[key] = p
	s.askForLogs(f, key)
	go s.watch(e, out)
	return e, nil
}

// watch keeps the output of an environment, and detects its end.
func (s *Service) watch(e *environment, out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.Mu.Lock()
		if g := s.logs.LogGroup("/aws/lambda/" + e.function.Name); g != nil {
			g.Write(e.id, lines.Text(), s.Clock.Now())
			s.cloudwatch.ObserveLog(lines.Text())
		}
		s.Mu.Unlock()
	}
	_ = e.cmd.Wait() // its exit status does not matter: a running invocation has failed
	s.Mu.Lock()
	defer s.Mu.Unlock()
	e.dead = true
	close(e.gone)
	if inv := e.current; inv != nil {
		s.endInvocation(inv, "error",
			fmt.Appendf(nil,
				`{"errorType":"Runtime.ExitError","errorMessage":"RequestId: %s Error: Runtime exited without `+
					`providing a reason"}`, inv.ID))
	}
}

// taskRoot is where the function's zip was unpacked.
func (f *Function) taskRoot() string {
	if f.Directory == "" {
		return "/var/task"
	}
	return f.Directory
}

// Retire ends the environments of a function's old code: busy ones when their
// invocation is done, which keeps their folder until the simulation ends.
func (s *Service) Retire(f *Function) {
	for _, e := range f.idle {
		e.kill()
	}
	f.idle = nil
	f.version++
	if f.Directory != "" {
		s.folders = append(s.folders, f.Directory)
	}
}

// CloseFunction ends the processes of a function and removes its code.
func (s *Service) CloseFunction(f *Function) {
	for _, e := range s.environments {
		if e.function == f {
			e.kill()
		}
	}
	if f.Directory != "" {
		_ = os.RemoveAll(f.Directory) // a temporary folder
	}
}

// closeFunctions ends every handler and every process of a function.
func (s *Service) closeFunctions() {
	for _, inv := range s.open {
		if inv.cancel != nil {
			inv.cancel()
		}
	}
	for _, f := range s.Functions {
		s.CloseFunction(f)
	}
	for _, dir := range s.folders {
		_ = os.RemoveAll(dir) // a temporary folder
	}
}

// serveRuntime is the Lambda Runtime API, with one path prefix per environment.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (s *Service) serveRuntime(w http.ResponseWriter, r *http.Request) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/_runtime/"), "/")
	s.Mu.Lock()
	e := s.environments[id]
	s.Mu.Unlock()
	rest, ok := strings.CutPrefix(rest, "2018-06-01/runtime/")
	if e == nil || !ok {
		http.NotFound(w, r)
		return
	}
	if rest == "invocation/next" && r.Method == http.MethodGet {
		s.serveNext(w, r, e)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxSync+1024))
	if err != nil {
		return
	}
	parts := strings.Split(rest, "/")
	s.Mu.Lock()
	defer s.Mu.Unlock()
	switch {
	case len(parts) == 3 && parts[0] == "invocation" && e.current != nil && e.current.ID == parts[1]:
		outcome := map[string]string{"response": "ok", "error": "error"}[parts[2]]
		s.endInvocation(e.current, outcome, body)
	case rest == "init/error" && e.current != nil:
		s.endInvocation(e.current, "error", body)
	}
	w.WriteHeader(http.StatusAccepted)
}

func (s *Service) serveNext(w http.ResponseWriter, r *http.Request, e *environment) {
	select {
	case inv := <-e.jobs:
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.ID)
		h.Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(inv.Function.Timeout).UnixMilli()))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", s.FunctionARN(inv.Function.Name))
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-00000000-"+s.Options.Account+"000000000000;Sampled=0")
		h.Set("Content-Type", "application/json")
		_, _ = w.Write(inv.payload) // an environment that is gone is noticed by its watcher
	case <-r.Context().Done():
	case <-e.gone:
	}
}

// serveClock gives the simulated time to the programs that the simulation has
// started, and lets them sleep on it.
func (s *Service) serveClock(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/_sim/clock")
	switch {
	case r.Method == http.MethodGet:
		kernel.Answer(w, http.StatusOK, map[string]any{"now": s.Now().UnixNano()})
	case r.Method == http.MethodPost && strings.HasSuffix(path, "/sleep"):
		var in struct{ Nanoseconds int64 }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			kernel.Answer(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
			return
		}
		s.Mu.Lock()
		var work kernel.Work
		if e := s.environments[strings.Trim(strings.TrimSuffix(path, "/sleep"), "/")]; e != nil && e.current != nil {
			work = e.current
		}
		s.Mu.Unlock()
		if s.Sleep(r.Context(), work, time.Duration(in.Nanoseconds)) == nil {
			kernel.Answer(w, http.StatusOK, map[string]any{"now": s.Now().UnixNano()})
		}
	default:
		kernel.Answer(w, http.StatusNotFound, map[string]any{"error": "no such path"})
	}
}

// Steal returns the access key of a function's environment that is alive; "" if there is none.
func (s *Service) Steal(function string) string {
	for _, key := range kernel.SortedKeys(s.environments) {
		if e := s.environments[key]; e.function.Name == function && !e.dead {
			return key
		}
	}
	return ""
}
