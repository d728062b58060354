// Package awssim is a simulated AWS: CloudFormation, EC2, ECS on Fargate,
// EventBridge, EventBridge Scheduler, SQS, DynamoDB, Lambda, CloudWatch Logs,
// IAM, STS, S3, Secrets Manager and CodeCommit on one HTTP handler, as far as private
// Fargate jobs behind VPC endpoints need them. Its clock is its own, its ledger
// tells the truth, and its faults come on demand.
package awssim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"drawbridge/endpoints"
)

// Options are the terms of a simulation. The zero value is a clock that stands
// still, in us-east-1, with AWS's usual times.
type Options struct {
	// Speed is how many times as fast as real time the clock runs; 0 stands
	// still and moves by Advance.
	Speed float64
	// Start is the first instant of the clock; zero means now.
	Start time.Time
	// Raise and Lower are how long an interface endpoint takes to become
	// available and to be gone; 0 means 150 s and 120 s.
	Raise, Lower time.Duration
	Seed         int64
	// NewAccount is an account that never used ECS: it has no service-linked role yet.
	NewAccount bool
	// AccessKeys are the access keys of the account's users. Beside them only those
	// serve that the simulation gives out itself. Empty means that any key serves.
	AccessKeys []string
	Region     string
	Account    string
	// Images maps image references to local commands that stand in for them.
	Images map[string]string
	// StandIn returns the path of a Go program that is built for this machine, by
	// its import path, for a function whose zip holds the same program for another;
	// nil if there are none.
	StandIn func(program string) (string, error)
	// Record receives every reply as a line of JSON, for conformance checks.
	Record io.Writer
}

// Sim is a simulated AWS. It is an http.Handler.
type Sim struct {
	mu         sync.Mutex
	options    Options
	clock      *engine
	services   map[string]*service
	targets    map[string]*service
	ids        map[string]int
	chances    map[string]int
	calls      map[string]int
	faults     map[string]fault
	principals map[string]*Principal // by access key
	atEnd      []func()
	paths      map[string]http.HandlerFunc // of the simulation itself, by how they begin
	bus        func(source, detailType string, resources []string, detail map[string]any) string
	inProcess  func(id string) Work  // the invocation in this process of that id; nil before there are functions
	judge      func(*call) *apiError // IAM
	address    string                // where the simulation listens, for what it starts
	ctx        context.Context       // of everything that the simulation starts
	stop       context.CancelFunc

	ec2    *ec2State
	cfn    *cfnState
	ecs    *ecsState
	events *eventsState
	timers *timersState
	sqs    *sqsState
	dynamo *dynamoState
	lambda *lambdaState
	logs   *logsState
	iam    *iamState
	s3     *s3State
	secret *secretState

	codecommit *codecommitState
	pricing    *pricingState
	cloudwatch *cloudwatchState
	ecr        *ecrState
	tags       map[string]map[string]string // by ARN; see tags.go
}

// New returns a simulation whose clock runs from now on. Close ends it.
func New(o Options) *Sim {
	if o.Raise == 0 {
		o.Raise = 150 * time.Second
	}
	if o.Lower == 0 {
		o.Lower = 120 * time.Second
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Account == "" {
		o.Account = "123456789012"
	}
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	s := &Sim{
		options: o, services: map[string]*service{}, targets: map[string]*service{}, ids: map[string]int{},
		chances: map[string]int{}, tags: map[string]map[string]string{}, calls: map[string]int{}, faults: map[string]fault{}, principals: map[string]*Principal{}, paths: map[string]http.HandlerFunc{},
	}
	s.clock = newEngine(&s.mu, o.Speed, o.Start)
	for _, add := range []func() *service{
		s.newEC2, s.newCFN, s.newECS, s.newEvents, s.newTimers, s.newSQS, s.newDynamo, s.newLambda, s.newLogs, s.newIAM, s.newSTS, s.newS3, s.newSecrets, s.newECR, s.newQuotas, s.newCloudWatch, s.newRoute53, s.newPricing, s.newCostExplorer, s.newCodeCommit,
	} {
		svc := add()
		s.services[svc.name] = svc
		if svc.prefix != "" {
			s.targets[svc.prefix] = svc
		}
	}
	s.paths["/_sim/"] = s.serveControl
	if !o.NewAccount {
		s.linkECS().created = time.Time{}
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if o.Speed != 0 {
		go s.clock.drive(s.ctx)
	}
	return s
}

// Close stops the clock and everything that the simulation has started.
func (s *Sim) Close() {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock.stopped = true
	s.clock.settled.Broadcast()
	for _, end := range s.atEnd {
		end()
	}
}

// ownPath returns what answers a path of the simulation itself, or nil: the longest
// beginning counts.
func (s *Sim) ownPath(path string) http.HandlerFunc {
	longest := ""
	for prefix := range s.paths {
		if strings.HasPrefix(path, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	return s.paths[longest]
}

// caller returns the invocation that makes a call, or nil.
func (s *Sim) caller(c *call) Work {
	if id := c.request.Header.Get(invocationHeader); id != "" && s.inProcess != nil {
		return s.inProcess(id)
	}
	if p := s.principals[c.accessKey]; p != nil && p.Work != nil {
		return p.Work()
	}
	return nil
}

// publish puts an event of a service on the default bus and returns its id.
func (s *Sim) publish(source, detailType string, resources []string, detail map[string]any) string {
	return s.bus(source, detailType, resources, detail)
}

// SetAddress tells the simulation the host and port it is reached at.
func (s *Sim) SetAddress(hostPort string) {
	if host, port, err := net.SplitHostPort(hostPort); err == nil && net.ParseIP(host).IsUnspecified() {
		hostPort = net.JoinHostPort("127.0.0.1", port) // functions and tasks run on this machine
	}
	s.address = hostPort
}

// Now returns the simulated time.
func (s *Sim) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock.time()
}

// Advance moves a clock that stands still by d; see the package's contract.
func (s *Sim) Advance(d time.Duration) time.Time { return s.clock.advance(d) }

// Region returns the simulated Region.
func (s *Sim) Region() string { return s.options.Region }

// Account returns the account's number.
func (s *Sim) Account() string { return s.options.Account }

// id returns a new hexadecimal id of n digits, the same for the same seed and
// the same number of ids of that kind before it.
func (s *Sim) id(kind string, n int) string {
	s.ids[kind]++
	return s.digest(fmt.Sprintf("%s %d", kind, s.ids[kind]), n)
}

// digest returns n hexadecimal digits that depend on the seed and the text.
func (s *Sim) digest(text string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", s.options.Seed, text))
	return hex.EncodeToString(sum[:])[:n]
}

func (s *Sim) uuid(kind string) string {
	h := s.id(kind, 32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// draw returns a number from 0 to 1 for the nth question of a kind.
func (s *Sim) draw(kind string) float64 {
	s.chances[kind]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%d draw %s %d", s.options.Seed, kind, s.chances[kind]))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

func (s *Sim) arn(service, resource string) string {
	return s.partition() + service + ":" + s.options.Region + ":" + s.options.Account + ":" + resource
}

// globalARN is the ARN of a resource that lies in no Region: IAM's, of this account.
func (s *Sim) globalARN(service, resource string) string {
	return s.partition() + service + "::" + s.options.Account + ":" + resource
}

// endpointService is the name of a service's endpoint service in the Region.
func (s *Sim) endpointService(id string) string {
	if svc, err := endpoints.Lookup(endpoints.ServiceID(id)); err == nil {
		return svc.Name(s.options.Region)
	}
	return "com.amazonaws." + s.options.Region + "." + id
}

// suffix ends the names of hosts in the Region, such as us-east-1.amazonaws.com.
func (s *Sim) suffix() string { return s.options.Region + "." + endpoints.DNSSuffix(s.options.Region) }

// partition is how the ARNs of the Region's partition begin.
func (s *Sim) partition() string { return "arn:" + endpoints.Partition(s.options.Region) + ":" }

// ServeHTTP answers the AWS APIs, the Lambda Runtime API and the simulation's own
// paths under /_sim/.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if why := forbidden(r); why != "" {
		answer(w, http.StatusForbidden, map[string]any{"error": why})
		return
	}
	if serve := s.ownPath(r.URL.Path); serve != nil {
		serve(w, r)
		return
	}
	out, lost := s.serveAPI(r)
	if lost {
		panic(http.ErrAbortHandler) // the reply is lost on the way
	}
	for k, v := range out.header {
		w.Header()[k] = v
	}
	w.WriteHeader(out.status)
	for _, part := range append([][]byte{out.body}, out.more...) {
		_, _ = w.Write(part) // a client that is gone needs no answer
	}
}

// RoundTripper returns a transport that reaches the simulation without a network.
func (s *Sim) RoundTripper() http.RoundTripper { return inProcess{s} }

type inProcess struct{ sim *Sim }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	out, lost := t.sim.serveAPI(r)
	if lost {
		return nil, fmt.Errorf("read reply: %w", io.ErrUnexpectedEOF)
	}
	body := append(out.body, bytes.Join(out.more, nil)...)
	return &http.Response{
		StatusCode: out.status, Status: http.StatusText(out.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: out.header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 64 << 20

// serveAPI answers one call to an AWS API.
func (s *Sim) serveAPI(r *http.Request) (out reply, lost bool) {
	var body []byte
	if r.Body != nil {
		var whole bytes.Buffer
		if n := r.ContentLength; n > 0 && n <= maxRequest {
			whole.Grow(int(n) + bytes.MinRead) // a big object is not copied again and again
		}
		if _, err := whole.ReadFrom(io.LimitReader(r.Body, maxRequest)); err != nil {
			return reply{status: http.StatusBadRequest, header: http.Header{}}, false
		}
		body = whole.Bytes()
	}
	c, failure := s.route(r, body)
	s.mu.Lock()
	c.requestID = s.uuid("request")
	c.work = s.caller(c)
	if failure == nil && !s.knows(c) {
		failure = c.unknownKey()
	}
	if c.work != nil && c.work.Silent() {
		s.mu.Unlock()
		return reply{}, true // a handler that was killed makes no calls
	}
	if failure == nil && s.unplugged(c.accessKey, c.service.endpoint) {
		s.mu.Unlock()
		return reply{}, true // a task that has no way there
	}
	if failure != nil {
		out = c.encode(nil, failure)
	} else {
		out, lost = s.perform(c)
	}
	s.record(c, out)
	s.mu.Unlock()
	switch {
	case c.cbor:
		out.answerCBOR()
	case c.query:
		out.answerQuery(c)
	}
	return out, lost
}

// perform answers a call, with the faults that are on. The lock is held.
func (s *Sim) perform(c *call) (out reply, lost bool) {
	name := c.service.name
	if name == "monitoring" {
		name = "cloudwatch"
	}
	s.count(name, c.action)
	if c.work != nil && c.work.Called(true) {
		return reply{}, true
	}
	if e := s.refuse(c); e != nil {
		return c.encode(nil, e), false
	}
	do, ok := c.service.ops[c.action]
	if !ok {
		return c.encode(nil, c.unknownAction()), false
	}
	if c.service.protocol == ec2Query && c.form.Get("DryRun") == "true" {
		return c.encode(nil, errf("DryRunOperation", "Request would have succeeded, but DryRun flag is set.").status(http.StatusPreconditionFailed)), false
	}
	result, err := do(c)
	out = c.encode(result, err)
	if d := s.delay("late-reply", time.Second); d > 0 && c.changes() {
		s.during(c, d)
	}
	if c.work != nil && c.work.Called(false) || s.happens("lost-reply", 0.1) {
		return reply{}, true
	}
	return out, false
}

// count counts a call.
func (s *Sim) count(service, action string) { s.calls[service+":"+action]++ }

// during lets d pass while a call is at work, with the lock given up: other calls
// are served side by side with it. On a clock that stands still only what a handler
// asks for takes time; anybody else's call would wait for ever.
func (s *Sim) during(c *call, d time.Duration) {
	if s.options.Speed == 0 && c.work == nil {
		return
	}
	s.mu.Unlock()
	_ = s.sleep(c.request.Context(), c.work, d) // a client that is gone does not take the call back
	s.mu.Lock()
}

// changes reports whether a call changes anything, by its name.
func (c *call) changes() bool {
	for _, reads := range []string{"Describe", "Get", "List", "Query", "Scan", "Receive", "Validate", "Simulate"} {
		if strings.HasPrefix(c.action, reads) {
			return false
		}
	}
	return true
}

func (c *call) unknownAction() *apiError {
	switch c.service.protocol {
	case ec2Query:
		return errf("InvalidAction", "The action %s is not valid for this web service.", c.action)
	case query:
		return errf("InvalidAction", "Could not find operation %s for version %s", c.action, c.form.Get("Version"))
	case restJSON:
		return errf("UnknownOperationException", "").status(http.StatusNotFound)
	case restXML:
		return errf("NotImplemented", "A header you provided implies functionality that is not implemented.").status(http.StatusNotImplemented)
	}
	if c.service.name == "dynamodb" {
		return errf("UnknownOperationException", "An unknown operation was requested.")
	}
	return errf("UnknownOperationException", "The requested operation is not recognized by the service.")
}

// route finds out who calls which operation of which service.
func (s *Sim) route(r *http.Request, body []byte) (*call, *apiError) {
	c := &call{sim: s, request: r, body: body, service: &service{protocol: restJSON}}
	key, scope := credential(r.Header.Get("Authorization"))
	c.accessKey = key
	target := r.Header.Get("X-Amz-Target")
	switch {
	case r.Header.Get("Smithy-Protocol") == cborProtocol:
		if err := s.routeCBOR(c, r); err != nil {
			return c, err
		}
	case target != "":
		prefix, action, _ := strings.Cut(target, ".")
		svc, ok := s.targets[prefix]
		if !ok {
			c.service = &service{protocol: json11}
			return c, errf("UnknownOperationException", "")
		}
		c.service, c.action = svc, action
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return c, errf("MalformedQueryString", "the request body is not a form")
		}
		c.form, c.action = form, form.Get("Action")
		svc, ok := s.services[scope]
		if scope == "monitoring" {
			c.service, c.query = svc, true
			if c.body, err = jsonOfForm(form); err != nil {
				return c, errf("ValidationError", "%v", err)
			}
			break
		}
		if !ok || svc.protocol != query && svc.protocol != ec2Query {
			c.service = &service{protocol: query}
			return c, errf("InvalidAction", "Could not find operation %s for version %s", c.action, form.Get("Version"))
		}
		c.service = svc
	default:
		svc, ok := s.services[scope]
		if !ok || svc.protocol != restJSON && svc.protocol != restXML {
			return c, errf("UnknownOperationException", "").status(http.StatusNotFound)
		}
		c.service = svc
		c.action = svc.route(r, strings.Split(strings.Trim(r.URL.Path, "/"), "/"))
	}
	if key == "" {
		return c, c.denied("missing")
	}
	return c, nil
}

// credential reads the access key and the service from a signature.
func credential(header string) (key, service string) {
	_, rest, ok := strings.Cut(header, "Credential=")
	if !ok {
		return "", ""
	}
	rest, _, _ = strings.Cut(rest, ",")
	parts := strings.Split(strings.TrimSpace(rest), "/")
	if len(parts) != 5 {
		return "", ""
	}
	return parts[0], parts[3]
}

// knows reports whether a call's access key is one of the account's users, or of a
// function, a task or a session of the account.
func (s *Sim) knows(c *call) bool {
	return len(s.options.AccessKeys) == 0 || c.accessKey == InProcessKey || slices.Contains(s.options.AccessKeys, c.accessKey) ||
		s.principals[c.accessKey] != nil
}

// InProcessKey is the access key of what runs inside the simulation's own process.
const InProcessKey = "AKIASANDBOX"

// unknownKey is how the service's protocol reports an access key that is nobody's.
//
// Source: the errors common to all actions in each service's API reference
func (c *call) unknownKey() *apiError {
	switch c.service.protocol {
	case ec2Query:
		return c.denied("")
	case query:
		return errf("InvalidClientTokenId", "The security token included in the request is invalid.").status(http.StatusForbidden)
	case restXML:
		return errf("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.").status(http.StatusForbidden)
	}
	e := errf("UnrecognizedClientException", "The security token included in the request is invalid.")
	if c.service.protocol == restJSON {
		e.Status = http.StatusForbidden
	}
	return e
}

// denied is how the service's protocol reports credentials that do not serve.
func (c *call) denied(why string) *apiError {
	expired := why == "expired"
	switch {
	case c.service.protocol == ec2Query && expired:
		return errf("RequestExpired", "Request has expired.")
	case c.service.protocol == ec2Query:
		return errf("AuthFailure", "AWS was not able to validate the provided access credentials").status(http.StatusUnauthorized)
	case c.service.protocol == query && expired:
		return errf("ExpiredToken", "The security token included in the request is expired").status(http.StatusForbidden)
	case c.service.protocol == query:
		return errf("MissingAuthenticationToken", "Request is missing Authentication Token").status(http.StatusForbidden)
	case c.service.protocol == restXML && expired:
		return errf("ExpiredToken", "The provided token has expired.")
	case c.service.protocol == restXML:
		return errf("AccessDenied", "Access Denied").status(http.StatusForbidden)
	}
	e := errf("MissingAuthenticationTokenException", "Request is missing Authentication Token")
	if expired {
		e = errf("ExpiredTokenException", "The security token included in the request is expired")
	}
	if c.service.protocol == restJSON {
		e.Status = http.StatusForbidden
	}
	return e
}

// record writes a reply down for the conformance check.
func (s *Sim) record(c *call, out reply) {
	if s.options.Record == nil || out.status == 0 || c.action == "" {
		return
	}
	headers := flat(out.header)
	delete(headers, "x-amzn-requestid")
	line, err := json.Marshal(map[string]any{
		"service": c.service.name, "operation": c.action, "status": out.status, "headers": headers,
		"body": strings.ReplaceAll(string(out.body), c.requestID, "00000000-0000-4000-a000-000000000000"),
	})
	if err == nil {
		_, _ = s.options.Record.Write(append(line, '\n')) // the check misses what cannot be written, and says how many it saw
	}
}

// RecordVariable is the environment variable that names a file which receives
// every reply of the simulations in a process.
const RecordVariable = "DRAWBRIDGE_SANDBOX_RECORD"

// Recorder returns a writer for Options.Record that appends to the file which the
// environment names, each reply once; nil if it names none.
func Recorder() (io.Writer, error) {
	path := os.Getenv(RecordVariable)
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("record replies: %w", err)
	}
	return &recorder{file: f, seen: map[[32]byte]bool{}}, nil
}

// recorder writes each line once. Its file is open as long as the process.
type recorder struct {
	mu   sync.Mutex
	file *os.File
	seen map[[32]byte]bool
}

func (r *recorder) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := sha256.Sum256(line)
	if r.seen[sum] {
		return len(line), nil
	}
	r.seen[sum] = true
	return r.file.Write(line)
}

func flat(h http.Header) map[string]string {
	m := map[string]string{}
	for k := range h {
		m[strings.ToLower(k)] = h.Get(k)
	}
	return m
}
