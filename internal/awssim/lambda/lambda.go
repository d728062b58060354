// Package lambda simulates Lambda: functions as real processes on the Runtime API or as Go
// handlers, event source mappings, function URLs.
package lambda

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

	"drawbridge/internal/awssim/cloudwatch"
	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/logs"
	"drawbridge/internal/awssim/sqs"
)

// Service is the simulated Lambda.
type Service struct {
	*kernel.Kernel
	cloudwatch *cloudwatch.Service
	iam        *iam.Service
	logs       *logs.Service
	sqs        *sqs.Service

	Functions   []*Function
	Mappings    []*Mapping
	Invocations []*invocation
	open        map[string]*invocation // running invocations, by request id
	Local       map[string]Local       // code of this machine, by function name
	folders     []string               // of code that was replaced
	// environments are the execution environments, by access key.
	environments map[string]*environment
	// Reach reports whether a function in a VPC reaches a service from there.
	Reach func(f *Function, service string) bool
}

// Handler is a function that runs in this process.
type Handler func(ctx context.Context, payload []byte) ([]byte, error)

// Function is a Lambda function: a handler in this process or a bootstrap binary.
type Function struct {
	Name, Role    string
	Handler       Handler
	Bootstrap     string
	Directory     string // to be removed with the simulation
	Environment   map[string]string
	Timeout       time.Duration
	Memory        int
	OnFailure     string
	idle          []*environment
	Created       time.Time
	nextNumber    int
	version       int // counts changes
	Architectures []string
	URL           bool   // it has an address of its own
	Loops         bool   // it may be part of a chain of invocations without an end
	Reserved      int    // of the account's concurrency
	sum           string // of its zip, as Lambda shows it; empty for a stand-in
	// Subnets and Groups are where it runs, if in a VPC.
	Subnets, Groups []string
}

// invocation is one run of a handler.
type invocation struct {
	sim            *Service
	ID             string
	Function       *Function
	payload        []byte
	Started, Ended time.Time
	Outcome        string
	environment    *environment
	cancel         context.CancelFunc
	done           func(invokeResult)
	timer          *kernel.Due
	Calls          int // to AWS
	Peak           int // memory of its process so far in MiB, 0 if unknown
	sleeping       int
	counted        bool
	hops           int // number of functions before it in its chain
}

// invokeResult is the result of an invocation: outcome ok, error, timeout or
// killed, and the handler's answer or its error as JSON.
type invokeResult struct {
	outcome string
	payload []byte
}

// New puts the service into an account.
func New(k *kernel.Kernel, cloudwatch *cloudwatch.Service, iam *iam.Service, logs *logs.Service,
	sqs *sqs.Service) *Service {
	s := &Service{
		Kernel: k, cloudwatch: cloudwatch, iam: iam, logs: logs, sqs: sqs, open: map[string]*invocation{},
		Local: map[string]Local{}, environments: map[string]*environment{},
	}
	s.InProcess = s.invocationInProcess
	s.AtEnd = append(s.AtEnd, s.closeFunctions)
	s.Paths["/_runtime/"] = s.serveRuntime
	s.Paths["/_sim/clock"] = s.serveClock
	s.Paths[URLRoot] = s.serveFunctionURL
	k.Register(&kernel.API{Name: "lambda", Protocol: kernel.RESTJSON, Route: lambdaAction, Asks: s.lambdaQuestions,
		Ops: map[string]kernel.Operation{
			"Invoke":                   s.invokeAPI,
			"CreateFunction":           kernel.Op(s.createFunction),
			"GetFunction":              kernel.Op(s.getFunction),
			"GetFunctionConfiguration": kernel.Op(s.getFunctionConfiguration),
			"ListFunctions":            kernel.Op(s.listFunctions),
			"DeleteFunction":           kernel.Op(s.deleteFunction),
			"UpdateFunctionCode":       kernel.Op(s.updateFunctionCode),
			"GetAccountSettings":       kernel.Op(s.getAccountSettings),
			"CreateEventSourceMapping": kernel.Op(s.createMapping),
			"ListEventSourceMappings":  kernel.Op(s.listMappings),
		}})
	return s
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

// FunctionARN returns the ARN of a function by its name.
func (s *Service) FunctionARN(name string) string { return s.ARN("lambda", "function:"+name) }

// Function finds a function by name or ARN.
func (s *Service) Function(given string) *Function {
	name := given
	if i := strings.Index(name, ":function:"); i >= 0 {
		name = name[i+len(":function:"):]
	}
	name, _, _ = strings.Cut(name, ":")
	return kernel.Find(s.Functions, func(f *Function) bool { return f.Name == name })
}

// functionName is the function that a call names, by name or ARN; "" for none.
func functionName(c *kernel.Call) string {
	parts := strings.Split(strings.Trim(c.Request.URL.Path, "/"), "/")
	if len(parts) < 3 { // of no function
		return ""
	}
	return parts[2]
}

func (s *Service) functionOf(c *kernel.Call) (*Function, error) {
	if f := s.Function(functionName(c)); f != nil {
		return f, nil
	}
	return nil, kernel.NotFound("Function not found: %s", s.FunctionARN(functionName(c)))
}

// Local is local code that replaces a function's zip: a Handler in this process,
// or the path of a bootstrap binary. Environment is added to the function's own.
type Local struct {
	Handler     Handler
	Bootstrap   string
	Environment map[string]string
}

// AddMapping adds an event source mapping from a queue to a function.
func (s *Service) AddMapping(q *sqs.Queue, f *Function, batch, concurrency int) *Mapping {
	m := &Mapping{ID: s.UUID("mapping"), Queue: q, function: f, Batch: batch, Concurrency: concurrency}
	m.Reader = &sqs.Reader{Look: func() { s.poll(m) }}
	q.Readers = append(q.Readers, m.Reader)
	s.Mappings = append(s.Mappings, m)
	s.Clock.After(sqs.MappingTakes, func() { s.poll(m) })
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
	RevisionID    string     `json:"RevisionId"`
	VpcConfig     *vpcConfig `json:",omitempty"`

	created bool
}

// vpcConfig is where a function runs in a VPC.
type vpcConfig struct {
	SubnetIDs        []string `json:"SubnetIds"`
	SecurityGroupIDs []string `json:"SecurityGroupIds"`
	VpcID            string   `json:"VpcId,omitempty"`
}

func (f functionJSON) HTTPStatus() int {
	if f.created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (s *Service) functionJSON(f *Function) functionJSON {
	var in *vpcConfig
	if len(f.Subnets) > 0 {
		in = &vpcConfig{SubnetIDs: f.Subnets, SecurityGroupIDs: f.Groups}
	}
	return functionJSON{VpcConfig: in, FunctionName: f.Name, FunctionArn: s.FunctionARN(f.Name),
		Runtime: "provided.al2023",
		Role:    f.Role, Handler: "bootstrap", CodeSize: 1, Timeout: int(f.Timeout / time.Second),
		MemorySize: f.Memory, LastModified: f.Created.UTC().Format("2006-01-02T15:04:05.000+0000"), CodeSha256: f.sum,
		Version: "$LATEST", PackageType: "Zip", Architectures: f.architectures(), State: "Active",
		RevisionID: s.Digest("revision"+f.Name, 8) + "-0000-4000-a000-000000000000"}
}

// architectures are those of a function, x86_64 unless it was given another one.
func (f *Function) architectures() []string {
	if len(f.Architectures) == 0 {
		return []string{"x86_64"}
	}
	return f.Architectures
}

func (s *Service) createFunction(_ *kernel.Call, in *struct {
	FunctionName, Runtime, Role, Handler, Description, PackageType string
	Code                                                           struct{ ZipFile []byte }
	Timeout, MemorySize                                            int
	Publish                                                        bool
	Architectures                                                  []string
	Environment                                                    struct{ Variables map[string]string }
	VpcConfig                                                      vpcConfig
	Tags                                                           map[string]string
}) (*functionJSON, error) {
	if s.Function(in.FunctionName) != nil {
		return nil, kernel.Errorf("ResourceConflictException", "Function already exist: %s",
			in.FunctionName).WithStatus(http.StatusConflict)
	}
	if !s.iam.RoleServes(in.Role, "lambda.amazonaws.com") {
		return nil, kernel.Errorf("InvalidParameterValueException",
			"The role defined for the function cannot be assumed by Lambda.")
	}
	if err := CheckEnvironment(in.Environment.Variables); err != nil {
		return nil, err
	}
	f := &Function{Name: in.FunctionName, Role: in.Role, Environment: in.Environment.Variables,
		Timeout: time.Duration(max(in.Timeout, 3)) * time.Second, Memory: max(in.MemorySize, 128),
		Created: s.Clock.Now(), Architectures: in.Architectures, Subnets: in.VpcConfig.SubnetIDs,
		Groups: in.VpcConfig.SecurityGroupIDs}
	if err := s.Load(f, in.Code.ZipFile); err != nil {
		return nil, err
	}
	s.Functions = append(s.Functions, f)
	s.logs.AddLogGroup("/aws/lambda/" + f.Name)
	out := s.functionJSON(f)
	out.created = true
	return &out, nil
}

// Concurrency is the account's quota of concurrent executions: a new account has few.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
func (s *Service) Concurrency() int {
	if s.Options.NewAccount {
		return 10
	}
	return 1000
}

// Unreserved is the concurrency that no function reserves.
func (s *Service) Unreserved() int {
	left := s.Concurrency()
	for _, f := range s.Functions {
		left -= f.Reserved
	}
	return left
}

// KeptUnreserved is the concurrency that cannot be reserved; all of a small quota.
const KeptUnreserved = 100

func (s *Service) getAccountSettings(_ *kernel.Call, _ *kernel.None) (*struct {
	AccountLimit struct{ ConcurrentExecutions, UnreservedConcurrentExecutions int }
	AccountUsage struct{ FunctionCount int }
}, error) {
	out := &struct {
		AccountLimit struct{ ConcurrentExecutions, UnreservedConcurrentExecutions int }
		AccountUsage struct{ FunctionCount int }
	}{}
	out.AccountLimit.ConcurrentExecutions = s.Concurrency()
	out.AccountLimit.UnreservedConcurrentExecutions = s.Unreserved()
	out.AccountUsage.FunctionCount = len(s.Functions)
	return out, nil
}

// Load gives a function the code of a zip.
func (s *Service) Load(f *Function, zipped []byte) error {
	dir, err := unzip(zipped)
	if err != nil {
		return kernel.Errorf("InvalidParameterValueException",
			"Could not unzip uploaded file. Please check your file, then try to upload again. (%v)", err)
	}
	sum := sha256.Sum256(zipped)
	f.Directory = dir
	f.Handler = nil
	f.sum = base64.StdEncoding.EncodeToString(sum[:])
	f.Bootstrap, err = s.runnable(dir)
	return err
}

func (s *Service) updateFunctionCode(c *kernel.Call, in *struct {
	FunctionName string
	ZipFile      []byte
	Publish      bool
}) (*functionJSON, error) {
	f := s.Function(functionName(c))
	if f == nil {
		return nil, kernel.NotFound("Function not found: %s", s.FunctionARN(functionName(c)))
	}
	s.Retire(f)
	if err := s.Load(f, in.ZipFile); err != nil {
		return nil, err
	}
	out := s.functionJSON(f)
	return &out, nil
}

// maxEnvironment is Lambda's limit on a function's environment, in bytes.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxEnvironment = 4 << 10

// CheckEnvironment rejects variables over Lambda's limit.
func CheckEnvironment(variables map[string]string) error {
	body, err := json.Marshal(variables)
	if err == nil && len(body) > maxEnvironment {
		err = kernel.Errorf("InvalidParameterValueException",
			"Lambda was unable to configure your environment variables because the environment variables you have "+
				"provided exceeded the 4KB limit. String measured: %s", body)
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
func unzip(zipped []byte) (dir string, err error) {
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
func (s *Service) runnable(dir string) (string, error) {
	path := filepath.Join(dir, "bootstrap")
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return path, nil // not a Go program, for example a script
	}
	machine := ""
	for _, setting := range info.Settings {
		if setting.Key == "GOARCH" {
			machine = setting.Value
		}
	}
	if machine == runtime.GOARCH || s.Options.StandIn == nil {
		return path, nil
	}
	stand, err := s.Options.StandIn(info.Path)
	if err != nil {
		return "", fmt.Errorf("%s is built for %s, and this machine is %s: %w", info.Path, machine, runtime.GOARCH, err)
	}
	return stand, nil
}

func (s *Service) getFunction(c *kernel.Call, _ *kernel.None) (*struct {
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
	}{
		s.functionJSON(f), map[string]string{"RepositoryType": "S3", "Location": "https://example.invalid/" + f.Name},
		nil,
	}, nil
}

func (s *Service) getFunctionConfiguration(c *kernel.Call, _ *kernel.None) (*functionJSON, error) {
	f, err := s.functionOf(c)
	if err != nil {
		return nil, err
	}
	out := s.functionJSON(f)
	return &out, nil
}

func (s *Service) listFunctions(_ *kernel.Call, _ *kernel.None) (*struct{ Functions []functionJSON }, error) {
	out := &struct{ Functions []functionJSON }{[]functionJSON{}}
	for _, f := range s.Functions {
		out.Functions = append(out.Functions, s.functionJSON(f))
	}
	return out, nil
}

func (s *Service) deleteFunction(c *kernel.Call, _ *kernel.None) (*kernel.RawReply, error) {
	f, err := s.functionOf(c)
	if err != nil {
		return nil, err
	}
	s.Functions = slices.DeleteFunc(s.Functions, func(x *Function) bool { return x == f })
	s.CloseFunction(f)
	return &kernel.RawReply{Status: http.StatusNoContent}, nil
}

type mappingJSON struct {
	UUID           string
	BatchSize      int
	EventSourceArn string
	FunctionArn    string
	State          string
	StateReason    string `json:"StateTransitionReason"`
	LastModified   kernel.Stamp
}

func (s *Service) mappingJSON(m *Mapping) mappingJSON {
	return mappingJSON{
		m.ID, m.Batch, m.Queue.ARN(s.sqs), s.FunctionARN(m.function.Name), "Enabled", "USER_INITIATED",
		kernel.Stamp{Time: s.Clock.Now()},
	}
}

func (s *Service) createMapping(_ *kernel.Call, in *struct {
	EventSourceArn, FunctionName   string
	BatchSize                      int
	Enabled                        *bool
	MaximumBatchingWindowInSeconds int
	FunctionResponseTypes          []string
	ScalingConfig                  struct{ MaximumConcurrency int }
}) (*kernel.RawReply, error) {
	q := kernel.Find(s.sqs.Queues, func(q *sqs.Queue) bool { return q.ARN(s.sqs) == in.EventSourceArn })
	f := s.Function(in.FunctionName)
	if f == nil {
		return nil, kernel.NotFound("Function not found: %s", s.FunctionARN(in.FunctionName))
	}
	if q == nil {
		return nil, kernel.Errorf("InvalidParameterValueException",
			"Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS "+
				"Error Message: The specified queue does not exist.")
	}
	if in.BatchSize == 0 {
		in.BatchSize = 10
	}
	if in.ScalingConfig.MaximumConcurrency == 0 {
		in.ScalingConfig.MaximumConcurrency = 1000
	}
	body, err := json.Marshal(s.mappingJSON(s.AddMapping(q, f, in.BatchSize, in.ScalingConfig.MaximumConcurrency)))
	return &kernel.RawReply{
		Status: http.StatusAccepted, Header: map[string]string{"Content-Type": "application/json"}, Body: body,
	}, err
}

func (s *Service) listMappings(_ *kernel.Call, _ *kernel.None) (*struct{ EventSourceMappings []mappingJSON }, error) {
	out := &struct{ EventSourceMappings []mappingJSON }{[]mappingJSON{}}
	for _, m := range s.Mappings {
		out.EventSourceMappings = append(out.EventSourceMappings, s.mappingJSON(m))
	}
	return out, nil
}

// The limits of Invoke's payload in bytes: synchronous, asynchronous.
const maxSync, maxAsync = 6 << 20, 1 << 20

// invokeAPI answers Invoke. The lock is released while the handler runs.
func (s *Service) invokeAPI(c *kernel.Call) (any, error) {
	f, err := s.functionOf(c)
	if err != nil {
		return nil, err
	}
	body := bytes.TrimSpace(c.Body)
	if len(body) == 0 {
		body = []byte("{}")
	}
	kind := c.Request.Header.Get("X-Amz-Invocation-Type")
	limit := maxSync
	if kind == "Event" {
		limit = maxAsync
	}
	if len(body) > limit {
		return nil, kernel.Errorf("RequestTooLargeException",
			"Request must be smaller than %d bytes for the InvokeFunction operation",
			limit).WithStatus(http.StatusRequestEntityTooLarge)
	}
	if !json.Valid(body) {
		return nil, kernel.Errorf("InvalidRequestContentException",
			"Could not parse request body into json: Could not parse payload into json")
	}
	switch kind {
	case "Event":
		hops := 0
		if inv, ok := c.Work.(*invocation); ok {
			hops = inv.hops + 1
		}
		s.Deliver(50*time.Millisecond, false, func() { s.invokeChained(f, body, hops) })
		return &kernel.RawReply{Status: http.StatusAccepted}, nil
	case "DryRun":
		return &kernel.RawReply{Status: http.StatusNoContent}, nil
	}
	result := make(chan invokeResult, 1)
	waits := func(n int) { // a caller that is a function itself lets time pass until it has the answer
		if c.Work != nil {
			c.Work.Sleeping(n)
			c.Work.Settled()
		}
	}
	s.invoke(f, body, func(r invokeResult) {
		waits(-1)
		result <- r
	})
	waits(1)
	s.Mu.Unlock()
	r := <-result
	s.Mu.Lock()
	headers := map[string]string{"Content-Type": "application/json", "X-Amz-Executed-Version": "$LATEST"}
	if r.outcome != "ok" {
		headers["X-Amz-Function-Error"] = "Unhandled"
	}
	return &kernel.RawReply{Status: http.StatusOK, Header: headers, Body: r.payload}, nil
}

// asyncRetries are the pauses before the retries of an asynchronous invocation.
var asyncRetries = []time.Duration{time.Minute, 2 * time.Minute}

// InvokeAsync invokes a function for an event, with Lambda's two retries and its
// destination for failures.
func (s *Service) InvokeAsync(f *Function, payload []byte) { s.invokeChained(f, payload, 0) }

// Call invokes a function for another service, which waits for its answer: ok is false for
// one that failed, whose error is the payload.
func (s *Service) Call(f *Function, payload []byte, done func(ok bool, payload []byte)) {
	s.invoke(f, payload, func(r invokeResult) { done(r.outcome == "ok", r.payload) })
}

// invokeChained is invokeAsync for a function at the given position of a chain of
// invocations. Lambda stops a chain that is too long, and notifies the destination.
func (s *Service) invokeChained(f *Function, payload []byte, hops int) {
	if hops > maxHops && !f.Loops {
		s.sendToDestination(f, payload, invokeResult{
			"error", []byte(`{"errorType":"Lambda.RecursiveInvocation","errorMessage":"Lambda has detected your ` +
				`function being invoked in a recursive loop"}`),
		})
		return
	}
	s.tryAsync(f, payload, hops, 0)
}

func (s *Service) tryAsync(f *Function, payload []byte, hops, tries int) {
	s.invokeAs(f, payload, hops, func(r invokeResult) {
		switch {
		case r.outcome == "ok":
		case tries < len(asyncRetries):
			s.Clock.After(asyncRetries[tries], func() { s.tryAsync(f, payload, hops, tries+1) })
		default:
			s.sendToDestination(f, payload, r)
		}
	})
}

func (s *Service) sendToDestination(f *Function, payload []byte, r invokeResult) {
	q := kernel.Find(s.sqs.Queues, func(q *sqs.Queue) bool { return q.ARN(s.sqs) == f.OnFailure })
	if q == nil {
		return
	}
	if s.iam.Allows(f.Role, kernel.May("sqs:SendMessage", q.ARN(s.sqs))) != nil {
		return
	}
	response := json.RawMessage(r.payload)
	if !json.Valid(response) {
		response = nil
	}
	body, err := json.Marshal(map[string]any{
		"version": "1.0", "timestamp": s.Clock.Now().UTC().Format(time.RFC3339),
		"requestPayload": json.RawMessage(payload), "responsePayload": response,
		"requestContext": map[string]any{
			"functionArn": s.FunctionARN(f.Name) + ":$LATEST", "condition": "RetriesExhausted",
			"approximateInvokeCount": len(asyncRetries) + 1,
		},
		"responseContext": map[string]any{"statusCode": 200, "functionError": "Unhandled"},
	})
	if err == nil {
		s.sqs.Enqueue(q, string(body), nil, 0)
	}
}

// invoke starts a handler. done is called with the lock held, exactly once.
func (s *Service) invoke(f *Function, payload []byte, done func(invokeResult)) {
	s.invokeAs(f, payload, 0, done)
}

func (s *Service) invokeAs(f *Function, payload []byte, hops int, done func(invokeResult)) {
	inv := &invocation{
		sim: s, ID: s.UUID("invocation"), Function: f, payload: payload, Started: s.Clock.Now(), done: done, hops: hops,
	}
	s.Invocations = append(s.Invocations, inv)
	s.open[inv.ID] = inv
	inv.timer = s.Clock.After(f.Timeout, func() {
		s.endInvocation(inv, "timeout",
			fmt.Appendf(nil,
				`{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: %s Error: Task timed out after %.2f `+
					`seconds"}`, inv.ID, f.Timeout.Seconds()))
	})
	s.settle(inv)
	if f.Handler != nil {
		s.askForLogs(f, "in-process")
		s.runInProcess(inv)
		return
	}
	s.runBootstrap(inv)
}

// settle keeps the clock's count of busy handlers correct.
func (s *Service) settle(inv *invocation) {
	busy := inv.Outcome == "" && inv.sleeping == 0
	if busy != inv.counted {
		inv.counted = busy
		if busy {
			s.Clock.SetBusy(1)
		} else {
			s.Clock.SetBusy(-1)
		}
	}
}

// endInvocation records how an invocation ended. Only the first end counts.
func (s *Service) endInvocation(inv *invocation, outcome string, payload []byte) {
	if inv.Outcome != "" || outcome == "ok" && inv.outgrown() {
		return
	}
	inv.Outcome, inv.Ended = outcome, s.Clock.Now()
	delete(s.open, inv.ID)
	s.Clock.Cancel(inv.timer)
	if inv.cancel != nil {
		inv.cancel()
	}
	if e := inv.environment; e != nil {
		if outcome == "ok" || outcome == "error" {
			e.current = nil
			if e.version == inv.Function.version {
				inv.Function.idle = append(inv.Function.idle, e)
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
func (s *Service) runInProcess(inv *invocation) {
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), invocationKey{}, inv))
	inv.cancel = cancel
	go func() {
		out, err := inv.Function.Handler(ctx, inv.payload)
		s.Mu.Lock()
		defer s.Mu.Unlock()
		defer cancel()
		if err != nil {
			// strings always encode
			body, _ := json.Marshal(map[string]string{"errorMessage": err.Error(), "errorType": "errorString"})
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
		return inv.ID
	}
	return ""
}

// FunctionName returns the name of the function whose invocation ctx belongs to, or "".
func FunctionName(ctx context.Context) string {
	if inv, ok := ctx.Value(invocationKey{}).(*invocation); ok {
		return inv.Function.Name
	}
	return ""
}

// Budget returns when the invocation that ctx belongs to times out.
func (s *Service) Budget(ctx context.Context) time.Time {
	if inv, ok := ctx.Value(invocationKey{}).(*invocation); ok {
		return inv.Started.Add(inv.Function.Timeout)
	}
	return s.Now().Add(15 * time.Minute)
}

// Tag wraps a transport so that calls of handlers in this process are
// attributed to them.
func Tag(next http.RoundTripper) http.RoundTripper { return tagging{next} }

type tagging struct{ next http.RoundTripper }

func (t tagging) RoundTrip(r *http.Request) (*http.Response, error) {
	if id := InvocationID(r.Context()); id != "" {
		r = r.Clone(r.Context())
		r.Header.Set(kernel.InvocationHeader, id)
	}
	return t.next.RoundTrip(r)
}

// invocationInProcess returns the invocation in this process that a call names. One
// that has ended makes no calls.
func (s *Service) invocationInProcess(id string) kernel.Work {
	if inv := s.open[id]; inv != nil {
		return inv
	}
	return &invocation{sim: s, Outcome: "ended"}
}

// Principal is the function, with its role.
func (inv *invocation) Principal() *kernel.Principal {
	if inv.Function == nil {
		return nil
	}
	return inv.sim.placed(inv.Function)
}

// Silent reports whether a handler in this process has ended.
func (inv *invocation) Silent() bool { return inv.Outcome != "" && inv.environment == nil }

// Sleeping counts what the handler waits for on the clock.
func (inv *invocation) Sleeping(n int) { inv.sleeping += n }

// Settled counts the handler as busy or as sleeping.
func (inv *invocation) Settled() { inv.sim.settle(inv) }

// Called applies the faults that kill a handler at its nth call.
func (inv *invocation) Called(before bool) bool {
	s := inv.sim
	if inv.Outcome != "" {
		return false
	}
	if before {
		inv.Calls++
		if inv.outgrown() {
			return true
		}
	}
	name := "kill-after"
	if before {
		name = "kill"
	}
	v, on := s.Active(name)
	if !on {
		return false
	}
	function, at, _ := strings.Cut(v, ":")
	if fmt.Sprint(inv.Calls) != at ||
		function != inv.Function.Name && !strings.HasSuffix(inv.Function.Name, "-"+function) {
		return false
	}
	s.EndFault(name)
	s.endInvocation(inv, "killed", []byte(`{"errorType":"Runtime.ExitError","errorMessage":"the handler was killed"}`))
	return true
}

// principal is the function's principal.
func (f *Function) principal() *kernel.Principal {
	return &kernel.Principal{Role: func() string {
		return f.Role
	}, Session: func() string { return f.Role + "/" + f.Name }, Secret: "sandbox", Inside: true}
}

// placed returns the principal of the function where it runs.
func (s *Service) placed(f *Function) *kernel.Principal {
	p := f.principal()
	if len(f.Subnets) > 0 {
		p.Reaches = func(service string) bool { return s.Reach(f, service) }
	}
	return p
}

// Pause makes the invocation that ctx belongs to sleep for d of simulated time.
func (s *Service) Pause(ctx context.Context, d time.Duration) error {
	if inv, ok := ctx.Value(invocationKey{}).(*invocation); ok {
		return s.Sleep(ctx, inv, d)
	}
	return s.Sleep(ctx, nil, d)
}
