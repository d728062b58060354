package awssim

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

type lambdaState struct {
	functions   []*function
	mappings    []*mapping
	invocations []*invocation
	open        map[string]*invocation // those that have not ended, by request id
	local       map[string]Local       // code of this machine, by function name
	folders     []string               // of code that was replaced
	// environments are the execution environments, by access key.
	environments map[string]*environment
}

// Handler is a function that runs in this process.
type Handler func(ctx context.Context, payload []byte) ([]byte, error)

// function is a Lambda function: a handler in this process or a bootstrap binary.
type function struct {
	name, role    string
	handler       Handler
	bootstrap     string
	directory     string // to be removed with the simulation
	environment   map[string]string
	timeout       time.Duration
	memory        int
	onFailure     string
	idle          []*environment
	created       time.Time
	nextNumber    int
	version       int // counts changes
	architectures []string
	url           bool   // it has an address of its own
	loops         bool   // it may be part of a chain of invocations without an end
	reserved      int    // of the account's concurrency
	sum           string // of its zip, as Lambda shows it; empty for a stand-in
}

// invocation is one run of a handler.
type invocation struct {
	sim            *Sim
	id             string
	function       *function
	payload        []byte
	started, ended time.Time
	outcome        string
	environment    *environment
	cancel         context.CancelFunc
	done           func(invokeResult)
	timer          *event
	calls          int
	sleeping       int
	counted        bool
	hops           int // how many functions came before it in its chain
}

// invokeResult is what came of an invocation: outcome ok, error, timeout or
// killed, and the handler's answer or its error as JSON.
type invokeResult struct {
	outcome string
	payload []byte
}

func (s *Sim) newLambda() *service {
	s.lambda = &lambdaState{open: map[string]*invocation{}, local: map[string]Local{}, environments: map[string]*environment{}}
	s.inProcess = s.invocationInProcess
	s.atEnd = append(s.atEnd, s.closeFunctions)
	s.paths["/_runtime/"], s.paths["/_sim/clock"], s.paths[urlRoot] = s.serveRuntime, s.serveClock, s.serveFunctionURL
	return &service{name: "lambda", protocol: restJSON, route: lambdaAction, asks: s.lambdaQuestions, ops: map[string]operation{
		"Invoke":                   s.invokeAPI,
		"CreateFunction":           op(s.createFunction),
		"GetFunction":              op(s.getFunction),
		"GetFunctionConfiguration": op(s.getFunctionConfiguration),
		"ListFunctions":            op(s.listFunctions),
		"DeleteFunction":           op(s.deleteFunction),
		"UpdateFunctionCode":       op(s.updateFunctionCode),
		"GetAccountSettings":       op(s.getAccountSettings),
		"CreateEventSourceMapping": op(s.createMapping),
		"ListEventSourceMappings":  op(s.listMappings),
	}}
}

func lambdaAction(r *http.Request, parts []string) string {
	if len(parts) == 2 && parts[0] == "2016-08-19" && parts[1] == "account-settings" && r.Method == "GET" {
		return "GetAccountSettings"
	}
	if len(parts) < 2 || parts[0] != "2015-03-31" {
		return ""
	}
	switch {
	case parts[1] == "event-source-mappings" && len(parts) == 2:
		return map[string]string{"POST": "CreateEventSourceMapping", "GET": "ListEventSourceMappings"}[r.Method]
	case parts[1] != "functions":
		return ""
	case len(parts) == 2:
		return map[string]string{"POST": "CreateFunction", "GET": "ListFunctions"}[r.Method]
	case len(parts) == 3:
		return map[string]string{"GET": "GetFunction", "DELETE": "DeleteFunction"}[r.Method]
	case parts[3] == "invocations" && r.Method == "POST":
		return "Invoke"
	case parts[3] == "code" && r.Method == "PUT":
		return "UpdateFunctionCode"
	case parts[3] == "configuration" && r.Method == "GET":
		return "GetFunctionConfiguration"
	}
	return ""
}

func (s *Sim) functionARN(name string) string { return s.arn("lambda", "function:"+name) }

// function finds a function by name or ARN.
func (s *Sim) function(given string) *function {
	name := given
	if i := strings.Index(name, ":function:"); i >= 0 {
		name = name[i+len(":function:"):]
	}
	name, _, _ = strings.Cut(name, ":")
	return find(s.lambda.functions, func(f *function) bool { return f.name == name })
}

// functionName is the function that a call names, by name or ARN; "" for none.
func functionName(c *call) string {
	parts := strings.Split(strings.Trim(c.request.URL.Path, "/"), "/")
	if len(parts) < 3 { // of no function
		return ""
	}
	return parts[2]
}

func (s *Sim) functionOf(c *call) (*function, error) {
	if f := s.function(functionName(c)); f != nil {
		return f, nil
	}
	return nil, notFound("Function not found: %s", s.functionARN(functionName(c)))
}

// Local is code of this machine that stands in for a function's zip: a Handler in
// this process, or the path of a bootstrap binary. Environment is added to the
// function's own.
type Local struct {
	Handler     Handler
	Bootstrap   string
	Environment map[string]string
}

func (s *Sim) addMapping(q *queue, f *function, batch, concurrency int) *mapping {
	m := &mapping{id: s.uuid("mapping"), queue: q, function: f, batch: batch, concurrency: concurrency}
	m.reader = &Reader{func() { s.poll(m) }}
	q.readers = append(q.readers, m.reader)
	s.lambda.mappings = append(s.lambda.mappings, m)
	s.clock.after(mappingTakes, func() { s.poll(m) })
	return m
}

type functionJSON struct {
	FunctionName  string
	FunctionArn   string
	Runtime       string
	Role          string
	Handler       string
	CodeSize      int
	Timeout       int
	MemorySize    int
	LastModified  string
	CodeSha256    string
	Version       string
	PackageType   string
	Architectures []string
	State         string
	RevisionID    string `json:"RevisionId"`

	created bool
}

func (f functionJSON) HTTPStatus() int {
	if f.created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (s *Sim) functionJSON(f *function) functionJSON {
	return functionJSON{FunctionName: f.name, FunctionArn: s.functionARN(f.name), Runtime: "provided.al2023", Role: f.role, Handler: "bootstrap", CodeSize: 1, Timeout: int(f.timeout / time.Second),
		MemorySize: f.memory, LastModified: f.created.UTC().Format("2006-01-02T15:04:05.000+0000"), CodeSha256: f.sum,
		Version: "$LATEST", PackageType: "Zip", Architectures: f.architectures, State: "Active", RevisionID: s.digest("revision"+f.name, 8) + "-0000-4000-a000-000000000000"}
}

func (s *Sim) createFunction(_ *call, in *struct {
	FunctionName, Runtime, Role, Handler, Description, PackageType string
	Code                                                           struct{ ZipFile []byte }
	Timeout, MemorySize                                            int
	Publish                                                        bool
	Architectures                                                  []string
	Environment                                                    struct{ Variables map[string]string }
	Tags                                                           map[string]string
}) (*functionJSON, error) {
	if s.function(in.FunctionName) != nil {
		return nil, errf("ResourceConflictException", "Function already exist: %s", in.FunctionName).status(http.StatusConflict)
	}
	if !s.roleServes(in.Role, "lambda.amazonaws.com") {
		return nil, errf("InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
	}
	if err := checkEnvironment(in.Environment.Variables); err != nil {
		return nil, err
	}
	f := &function{name: in.FunctionName, role: in.Role, environment: in.Environment.Variables,
		timeout: time.Duration(max(in.Timeout, 3)) * time.Second, memory: max(in.MemorySize, 128), created: s.clock.time(), architectures: in.Architectures}
	if err := s.load(f, in.Code.ZipFile); err != nil {
		return nil, err
	}
	s.lambda.functions = append(s.lambda.functions, f)
	s.addLogGroup("/aws/lambda/" + f.name)
	out := s.functionJSON(f)
	out.created = true
	return &out, nil
}

// concurrency is the account's quota of concurrent executions: a new account has few.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
func (s *Sim) concurrency() int {
	if s.options.NewAccount {
		return 10
	}
	return 1000
}

// unreserved is what functions leave of it.
func (s *Sim) unreserved() int {
	left := s.concurrency()
	for _, f := range s.lambda.functions {
		left -= f.reserved
	}
	return left
}

// keptUnreserved is how much of the concurrency cannot be reserved; of a small quota all.
const keptUnreserved = 100

func (s *Sim) getAccountSettings(_ *call, _ *none) (*struct {
	AccountLimit struct{ ConcurrentExecutions, UnreservedConcurrentExecutions int }
	AccountUsage struct{ FunctionCount int }
}, error) {
	out := &struct {
		AccountLimit struct{ ConcurrentExecutions, UnreservedConcurrentExecutions int }
		AccountUsage struct{ FunctionCount int }
	}{}
	out.AccountLimit.ConcurrentExecutions, out.AccountLimit.UnreservedConcurrentExecutions = s.concurrency(), s.unreserved()
	out.AccountUsage.FunctionCount = len(s.lambda.functions)
	return out, nil
}

// load gives a function the code of a zip.
func (s *Sim) load(f *function, zipped []byte) error {
	dir, err := s.unzip(zipped)
	if err != nil {
		return errf("InvalidParameterValueException", "Could not unzip uploaded file. Please check your file, then try to upload again. (%v)", err)
	}
	sum := sha256.Sum256(zipped)
	f.directory, f.handler, f.sum = dir, nil, base64.StdEncoding.EncodeToString(sum[:])
	f.bootstrap, err = s.runnable(dir)
	return err
}

func (s *Sim) updateFunctionCode(c *call, in *struct {
	FunctionName string
	ZipFile      []byte
	Publish      bool
}) (*functionJSON, error) {
	f := s.function(functionName(c))
	if f == nil {
		return nil, notFound("Function not found: %s", s.functionARN(functionName(c)))
	}
	s.retire(f)
	if err := s.load(f, in.ZipFile); err != nil {
		return nil, err
	}
	out := s.functionJSON(f)
	return &out, nil
}

// maxEnvironment is Lambda's limit on a function's environment, in bytes.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxEnvironment = 4 << 10

func checkEnvironment(variables map[string]string) error {
	body, err := json.Marshal(variables)
	if err == nil && len(body) > maxEnvironment {
		err = errf("InvalidParameterValueException", "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %s", body)
	}
	return err
}

// maxHops is how many functions may invoke each other in a chain before Lambda
// stops it, unless the next one allows it.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
const maxHops = 16

// maxUnzipped bounds what a zip may unpack to, in bytes.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxUnzipped = 250 << 20

// unzip unpacks a function's zip into a new folder.
func (s *Sim) unzip(zipped []byte) (dir string, err error) {
	r, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "drawbridge-function-"); err != nil {
		return "", err
	}
	for _, f := range r.File {
		if err := unzipFile(dir, f); err != nil {
			_ = os.RemoveAll(dir) // a temporary folder
			return "", err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "bootstrap")); err != nil {
		_ = os.RemoveAll(dir) // a temporary folder
		return "", fmt.Errorf("no bootstrap in the zip")
	}
	return dir, nil
}

func unzipFile(dir string, f *zip.File) error {
	if !filepath.IsLocal(f.Name) || f.FileInfo().IsDir() {
		return fmt.Errorf("%s: only plain files are simulated", f.Name)
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, maxUnzipped))
	if err != nil {
		return err
	}
	path := filepath.Join(dir, f.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := f.Mode().Perm()
	if f.Name == "bootstrap" {
		mode |= 0o755
	}
	return os.WriteFile(path, b, mode)
}

// runnable returns the path of a bootstrap that this machine can run: the zip's
// own, or, if that is a Go program for another machine, what Options.StandIn gives
// for the same program.
func (s *Sim) runnable(dir string) (string, error) {
	path := filepath.Join(dir, "bootstrap")
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return path, nil // not a Go program: a script, say
	}
	machine := ""
	for _, setting := range info.Settings {
		if setting.Key == "GOARCH" {
			machine = setting.Value
		}
	}
	if machine == runtime.GOARCH || s.options.StandIn == nil {
		return path, nil
	}
	stand, err := s.options.StandIn(info.Path)
	if err != nil {
		return "", fmt.Errorf("%s is built for %s, and this machine is %s: %w", info.Path, machine, runtime.GOARCH, err)
	}
	return stand, nil
}

func (s *Sim) getFunction(c *call, _ *none) (*struct {
	Configuration functionJSON
	Code          map[string]string
	Tags          map[string]string `json:",omitempty"`
}, error) {
	f, err := s.functionOf(c)
	if err != nil {
		return nil, err
	}
	return &struct {
		Configuration functionJSON
		Code          map[string]string
		Tags          map[string]string `json:",omitempty"`
	}{s.functionJSON(f), map[string]string{"RepositoryType": "S3", "Location": "https://example.invalid/" + f.name}, nil}, nil
}

func (s *Sim) getFunctionConfiguration(c *call, _ *none) (*functionJSON, error) {
	f, err := s.functionOf(c)
	if err != nil {
		return nil, err
	}
	out := s.functionJSON(f)
	return &out, nil
}

func (s *Sim) listFunctions(_ *call, _ *none) (*struct{ Functions []functionJSON }, error) {
	out := &struct{ Functions []functionJSON }{[]functionJSON{}}
	for _, f := range s.lambda.functions {
		out.Functions = append(out.Functions, s.functionJSON(f))
	}
	return out, nil
}

func (s *Sim) deleteFunction(c *call, _ *none) (*rawReply, error) {
	f, err := s.functionOf(c)
	if err != nil {
		return nil, err
	}
	s.lambda.functions = slices.DeleteFunc(s.lambda.functions, func(x *function) bool { return x == f })
	s.closeFunction(f)
	return &rawReply{status: http.StatusNoContent}, nil
}

type mappingJSON struct {
	UUID           string
	BatchSize      int
	EventSourceArn string
	FunctionArn    string
	State          string
	StateReason    string `json:"StateTransitionReason"`
	LastModified   stamp
}

func (s *Sim) mappingJSON(m *mapping) mappingJSON {
	return mappingJSON{m.id, m.batch, m.queue.arn(s), s.functionARN(m.function.name), "Enabled", "USER_INITIATED", stamp{s.clock.time()}}
}

func (s *Sim) createMapping(_ *call, in *struct {
	EventSourceArn, FunctionName   string
	BatchSize                      int
	Enabled                        *bool
	MaximumBatchingWindowInSeconds int
	FunctionResponseTypes          []string
	ScalingConfig                  struct{ MaximumConcurrency int }
}) (*rawReply, error) {
	q := find(s.sqs.queues, func(q *queue) bool { return q.arn(s) == in.EventSourceArn })
	f := s.function(in.FunctionName)
	if f == nil {
		return nil, notFound("Function not found: %s", s.functionARN(in.FunctionName))
	}
	if q == nil {
		return nil, errf("InvalidParameterValueException", "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not exist.")
	}
	if in.BatchSize == 0 {
		in.BatchSize = 10
	}
	if in.ScalingConfig.MaximumConcurrency == 0 {
		in.ScalingConfig.MaximumConcurrency = 1000
	}
	body, err := json.Marshal(s.mappingJSON(s.addMapping(q, f, in.BatchSize, in.ScalingConfig.MaximumConcurrency)))
	return &rawReply{status: http.StatusAccepted, header: map[string]string{"Content-Type": "application/json"}, body: body}, err
}

func (s *Sim) listMappings(_ *call, _ *none) (*struct{ EventSourceMappings []mappingJSON }, error) {
	out := &struct{ EventSourceMappings []mappingJSON }{[]mappingJSON{}}
	for _, m := range s.lambda.mappings {
		out.EventSourceMappings = append(out.EventSourceMappings, s.mappingJSON(m))
	}
	return out, nil
}

// The limits of Invoke's payload in bytes: synchronous, asynchronous.
const maxSync, maxAsync = 6 << 20, 1 << 20

// invokeAPI answers Invoke. The lock is given up while the handler runs.
func (s *Sim) invokeAPI(c *call) (any, error) {
	f, err := s.functionOf(c)
	if err != nil {
		return nil, err
	}
	body := bytes.TrimSpace(c.body)
	if len(body) == 0 {
		body = []byte("{}")
	}
	kind := c.request.Header.Get("X-Amz-Invocation-Type")
	limit := maxSync
	if kind == "Event" {
		limit = maxAsync
	}
	if len(body) > limit {
		return nil, errf("RequestTooLargeException", "Request must be smaller than %d bytes for the InvokeFunction operation", limit).status(http.StatusRequestEntityTooLarge)
	}
	if !json.Valid(body) {
		return nil, errf("InvalidRequestContentException", "Could not parse request body into json: Could not parse payload into json")
	}
	switch kind {
	case "Event":
		hops := 0
		if inv, ok := c.work.(*invocation); ok {
			hops = inv.hops + 1
		}
		s.deliver(50*time.Millisecond, false, func() { s.invokeChained(f, body, hops) })
		return &rawReply{status: http.StatusAccepted}, nil
	case "DryRun":
		return &rawReply{status: http.StatusNoContent}, nil
	}
	result := make(chan invokeResult, 1)
	s.invoke(f, body, func(r invokeResult) { result <- r })
	s.mu.Unlock()
	r := <-result
	s.mu.Lock()
	headers := map[string]string{"Content-Type": "application/json", "X-Amz-Executed-Version": "$LATEST"}
	if r.outcome != "ok" {
		headers["X-Amz-Function-Error"] = "Unhandled"
	}
	return &rawReply{status: http.StatusOK, header: headers, body: r.payload}, nil
}

// asyncRetries are the pauses before an asynchronous invocation is tried again.
var asyncRetries = []time.Duration{time.Minute, 2 * time.Minute}

// invokeAsync invokes a function for an event, with Lambda's two retries and its
// destination for what failed for good.
func (s *Sim) invokeAsync(f *function, payload []byte) { s.invokeChained(f, payload, 0) }

// invokeChained is invokeAsync for a function that others have invoked, so many of
// them in a chain. Lambda stops a chain that is too long, and tells the destination.
func (s *Sim) invokeChained(f *function, payload []byte, hops int) {
	if hops > maxHops && !f.loops {
		s.sendToDestination(f, payload, invokeResult{"error", []byte(`{"errorType":"Lambda.RecursiveInvocation","errorMessage":"Lambda has detected your function being invoked in a recursive loop"}`)})
		return
	}
	s.tryAsync(f, payload, hops, 0)
}

func (s *Sim) tryAsync(f *function, payload []byte, hops, tries int) {
	s.invokeAs(f, payload, hops, func(r invokeResult) {
		switch {
		case r.outcome == "ok":
		case tries < len(asyncRetries):
			s.clock.after(asyncRetries[tries], func() { s.tryAsync(f, payload, hops, tries+1) })
		default:
			s.sendToDestination(f, payload, r)
		}
	})
}

func (s *Sim) sendToDestination(f *function, payload []byte, r invokeResult) {
	q := find(s.sqs.queues, func(q *queue) bool { return q.arn(s) == f.onFailure })
	if q == nil {
		return
	}
	if s.allows(f.role, question("sqs:SendMessage", q.arn(s))) != nil {
		return
	}
	response := json.RawMessage(r.payload)
	if !json.Valid(response) {
		response = nil
	}
	body, err := json.Marshal(map[string]any{
		"version": "1.0", "timestamp": s.clock.time().UTC().Format(time.RFC3339), "requestPayload": json.RawMessage(payload), "responsePayload": response,
		"requestContext":  map[string]any{"functionArn": s.functionARN(f.name) + ":$LATEST", "condition": "RetriesExhausted", "approximateInvokeCount": len(asyncRetries) + 1},
		"responseContext": map[string]any{"statusCode": 200, "functionError": "Unhandled"},
	})
	if err == nil {
		s.enqueue(q, string(body), nil, 0)
	}
}

// invoke starts a handler. done is called with the lock held, exactly once.
func (s *Sim) invoke(f *function, payload []byte, done func(invokeResult)) {
	s.invokeAs(f, payload, 0, done)
}

func (s *Sim) invokeAs(f *function, payload []byte, hops int, done func(invokeResult)) {
	inv := &invocation{sim: s, id: s.uuid("invocation"), function: f, payload: payload, started: s.clock.time(), done: done, hops: hops}
	s.lambda.invocations = append(s.lambda.invocations, inv)
	s.lambda.open[inv.id] = inv
	inv.timer = s.clock.after(f.timeout, func() {
		s.endInvocation(inv, "timeout", fmt.Appendf(nil, `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: %s Error: Task timed out after %.2f seconds"}`, inv.id, f.timeout.Seconds()))
	})
	s.settle(inv)
	if f.handler != nil {
		s.askForLogs(f, "in-process")
		s.runInProcess(inv)
		return
	}
	s.runBootstrap(inv)
}

// settle keeps the clock's number of busy handlers true.
func (s *Sim) settle(inv *invocation) {
	busy := inv.outcome == "" && inv.sleeping == 0
	if busy != inv.counted {
		inv.counted = busy
		if busy {
			s.clock.setBusy(1)
		} else {
			s.clock.setBusy(-1)
		}
	}
}

// endInvocation records how an invocation ended. Only the first end counts.
func (s *Sim) endInvocation(inv *invocation, outcome string, payload []byte) {
	if inv.outcome != "" {
		return
	}
	inv.outcome, inv.ended = outcome, s.clock.time()
	delete(s.lambda.open, inv.id)
	s.clock.cancel(inv.timer)
	if inv.cancel != nil {
		inv.cancel()
	}
	if e := inv.environment; e != nil {
		if outcome == "ok" || outcome == "error" {
			e.current = nil
			if e.version == inv.function.version {
				inv.function.idle = append(inv.function.idle, e)
			} else {
				e.kill() // the code was replaced meanwhile
			}
		} else {
			e.kill()
		}
	}
	inv.done(invokeResult{outcome, payload})
	s.settle(inv)
}

type invocationKey struct{}

// runInProcess runs a Go handler. Its context names the invocation.
func (s *Sim) runInProcess(inv *invocation) {
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), invocationKey{}, inv))
	inv.cancel = cancel
	go func() {
		out, err := inv.function.handler(ctx, inv.payload)
		s.mu.Lock()
		defer s.mu.Unlock()
		defer cancel()
		if err != nil {
			body, _ := json.Marshal(map[string]string{"errorMessage": err.Error(), "errorType": "errorString"}) // texts always encode
			s.endInvocation(inv, "error", body)
			return
		}
		s.endInvocation(inv, "ok", out)
	}()
}

// InvocationID returns the request id of the invocation that ctx belongs to, or
// "" outside of one.
func InvocationID(ctx context.Context) string {
	if inv, ok := ctx.Value(invocationKey{}).(*invocation); ok {
		return inv.id
	}
	return ""
}

// Budget returns when the invocation that ctx belongs to times out.
func (s *Sim) Budget(ctx context.Context) time.Time {
	if inv, ok := ctx.Value(invocationKey{}).(*invocation); ok {
		return inv.started.Add(inv.function.timeout)
	}
	return s.Now().Add(15 * time.Minute)
}

// Tag wraps a transport so that calls of handlers in this process are known for
// theirs.
func Tag(next http.RoundTripper) http.RoundTripper { return tagging{next} }

type tagging struct{ next http.RoundTripper }

func (t tagging) RoundTrip(r *http.Request) (*http.Response, error) {
	if id := InvocationID(r.Context()); id != "" {
		r = r.Clone(r.Context())
		r.Header.Set(invocationHeader, id)
	}
	return t.next.RoundTrip(r)
}

// invocationInProcess returns the invocation in this process that names itself in a
// call. One that is over makes no calls.
func (s *Sim) invocationInProcess(id string) Work {
	if inv := s.lambda.open[id]; inv != nil {
		return inv
	}
	return &invocation{sim: s, outcome: "ended"}
}

// Principal is the function, with its role.
func (inv *invocation) Principal() *Principal {
	if inv.function == nil {
		return nil
	}
	return inv.function.principal()
}

// Silent reports whether a handler in this process is over.
func (inv *invocation) Silent() bool { return inv.outcome != "" && inv.environment == nil }

// Sleeping counts what the handler waits for on the clock.
func (inv *invocation) Sleeping(n int) { inv.sleeping += n }

// Settled counts the handler as busy, or as one that sleeps.
func (inv *invocation) Settled() { inv.sim.settle(inv) }

// Called carries out the faults that kill a handler at its nth call.
func (inv *invocation) Called(before bool) bool {
	s := inv.sim
	if inv.outcome != "" {
		return false
	}
	if before {
		inv.calls++
	}
	name := "kill-after"
	if before {
		name = "kill"
	}
	v, on := s.faultOn(name)
	if !on {
		return false
	}
	function, at, _ := strings.Cut(v, ":")
	if fmt.Sprint(inv.calls) != at || function != inv.function.name && !strings.HasSuffix(inv.function.name, "-"+function) {
		return false
	}
	s.endFault(name)
	s.endInvocation(inv, "killed", []byte(`{"errorType":"Runtime.ExitError","errorMessage":"the handler was killed"}`))
	return true
}

// principal is who the function calls as.
func (f *function) principal() *Principal {
	return &Principal{Role: func() string { return f.role }, Session: func() string { return f.role + "/" + f.name }, Secret: "sandbox", Inside: true}
}

// Sleep lets the invocation that ctx belongs to sleep for d of simulated time.
func (s *Sim) Sleep(ctx context.Context, d time.Duration) error {
	if inv, ok := ctx.Value(invocationKey{}).(*invocation); ok {
		return s.sleep(ctx, inv, d)
	}
	return s.sleep(ctx, nil, d)
}
