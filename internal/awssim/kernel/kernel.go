// Package kernel is the base of the services of the simulated AWS: the clock and its
// events, the routing of calls, the wire formats, faults, tags, ids, and principals. It
// knows no service.
package kernel

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

// Options configure a simulation. The zero value is a stopped clock, in
// us-east-1, with AWS's usual times.
type Options struct {
	// Speed is how many times as fast as real time the clock runs; at 0 it is
	// stopped and moves only by Advance.
	Speed float64
	// Start is the first instant of the clock; zero means now.
	Start time.Time
	// Raise and Lower are how long an interface endpoint takes to become
	// available and to be gone; 0 means 150 s and 120 s.
	Raise, Lower time.Duration
	Seed         int64
	// NewAccount is true for an account that never used ECS: it has no service-linked
	// role yet.
	NewAccount bool
	// AccessKeys are the access keys of the account's users. Only these and the
	// keys that the simulation issues are valid. Empty means that any key is valid.
	AccessKeys []string
	Region     string
	Account    string
	// Images maps image references to local commands that replace them.
	Images map[string]string
	// Repositories maps repositories behind a connection, as ORG/NAME, to the local folders
	// that they are.
	Repositories map[string]string
	// RunCode has the commands of buildspecs, and images that were pushed, run on this machine.
	RunCode bool
	// StandIn returns the path of a Go program that is built for this machine, by
	// its import path, for a function whose zip holds the same program for another;
	// nil if there are none.
	StandIn func(program string) (string, error)
	// Record receives every reply as a line of JSON, for conformance checks.
	Record io.Writer
}

// Kernel is what all services of an account share. It is an http.Handler.
type Kernel struct {
	// Mu guards the account. Operations and due events run with it held.
	Mu      sync.Mutex
	Options Options
	Clock   *Clock
	// Principals are the owners of the access keys that the simulation issued.
	Principals map[string]*Principal
	// Paths answer requests to the simulation itself, by path prefix.
	Paths map[string]http.HandlerFunc
	// AtEnd is called by Close, in order.
	AtEnd []func()
	// Address is the host and port of the simulation, for the programs that it starts.
	Address string
	// Context ends with the simulation.
	Context context.Context
	// Tags are the tags of resources created without a stack, by ARN and key.
	Tags map[string]map[string]string
	// Calls counts the calls by service:Operation.
	Calls map[string]int
	// Units counts what a service bills by that calls do not show, as SERVICE:UNIT.
	Units map[string]float64
	// Struck counts how often each fault has struck.
	Struck map[string]int
	Hooks

	stop     context.CancelFunc
	services map[string]*API
	targets  map[string]*API
	ids      map[string]int
	chances  map[string]int
	faults   map[string]fault
}

// Hooks are what services do for others.
type Hooks struct {
	// Bus puts an event on the default bus, Judge is IAM's answer
	// to a call, InProcess finds the invocation in this process by id.
	Bus       func(source, detailType string, resources []string, detail map[string]any) string
	Judge     func(*Call) *APIError
	InProcess func(id string) Work
	// KeyARN returns the ARN of a key of KMS that is given by id, ARN or alias.
	KeyARN func(given string) string
	// Carry answers a request to a host of the account, as a proxy would; nil for a host that
	// is not there.
	Carry func(*http.Request) *http.Response
}

// New returns the kernel of an empty account and starts its clock. Close ends it.
func New(o Options) *Kernel {
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
	s := &Kernel{
		Options: o, Principals: map[string]*Principal{}, Paths: map[string]http.HandlerFunc{},
		Tags:  map[string]map[string]string{},
		Calls: map[string]int{}, Struck: map[string]int{}, Units: map[string]float64{},
		services: map[string]*API{}, targets: map[string]*API{}, ids: map[string]int{},
		chances: map[string]int{}, faults: map[string]fault{},
	}
	s.Clock = newClock(&s.Mu, o.Speed, o.Start)
	s.Context, s.stop = context.WithCancel(context.Background())
	if o.Speed != 0 {
		go s.Clock.drive(s.Context)
	}
	return s
}

// Register adds a service's API.
func (s *Kernel) Register(api *API) {
	s.services[api.Name] = api
	if api.Prefix != "" {
		s.targets[api.Prefix[strings.LastIndex(api.Prefix, ".")+1:]] = api
	}
}

// Close stops the clock and all that the simulation has started.
func (s *Kernel) Close() {
	s.stop()
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Clock.stopped = true
	s.Clock.settled.Broadcast()
	for _, end := range s.AtEnd {
		end()
	}
}

// ownPath returns the handler of a path of the simulation itself, or nil: the
// longest prefix wins.
func (s *Kernel) ownPath(path string) http.HandlerFunc {
	longest := ""
	for prefix := range s.Paths {
		if strings.HasPrefix(path, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	return s.Paths[longest]
}

// caller returns the invocation that makes a call, or nil.
func (s *Kernel) caller(c *Call) Work {
	if id := c.Request.Header.Get(InvocationHeader); id != "" && s.InProcess != nil {
		return s.InProcess(id)
	}
	if p := s.Principals[c.AccessKey]; p != nil && p.Work != nil {
		return p.Work()
	}
	return nil
}

// Emit puts an event of a service on the default bus and returns its id; "" for one that is
// not sent.
func (s *Kernel) Emit(source, detailType string, resources []string, detail map[string]any) string {
	if s.Happens("unsent-events", 1) {
		return ""
	}
	return s.Bus(source, detailType, resources, detail)
}

// SetAddress sets the host and port of the simulation.
func (s *Kernel) SetAddress(hostPort string) {
	if host, port, err := net.SplitHostPort(hostPort); err == nil && net.ParseIP(host).IsUnspecified() {
		hostPort = net.JoinHostPort("127.0.0.1", port) // functions and tasks run on this machine
	}
	s.Address = hostPort
}

// Now returns the simulated time.
func (s *Kernel) Now() time.Time {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Clock.Now()
}

// Advance moves a stopped clock by d; see the package's contract.
func (s *Kernel) Advance(d time.Duration) time.Time { return s.Clock.advance(d) }

// Region returns the simulated Region.
func (s *Kernel) Region() string { return s.Options.Region }

// Account returns the account's number.
func (s *Kernel) Account() string { return s.Options.Account }

// NewID returns a new hexadecimal id of n digits, the same for the same seed and
// the same number of ids of that kind before it.
func (s *Kernel) NewID(kind string, n int) string {
	s.ids[kind]++
	return s.Digest(fmt.Sprintf("%s %d", kind, s.ids[kind]), n)
}

// Digest returns n hexadecimal digits that depend on the seed and the text.
func (s *Kernel) Digest(text string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", s.Options.Seed, text))
	return hex.EncodeToString(sum[:])[:n]
}

// UUID returns a new id in the form of a UUID; see NewID.
func (s *Kernel) UUID(kind string) string {
	h := s.NewID(kind, 32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// draw returns a number from 0 to 1 for the nth question of a kind.
func (s *Kernel) draw(kind string) float64 {
	s.chances[kind]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%d draw %s %d", s.Options.Seed, kind, s.chances[kind]))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

// ARN returns the ARN of a resource of a service in the Region.
func (s *Kernel) ARN(service, resource string) string {
	return s.Partition() + service + ":" + s.Options.Region + ":" + s.Options.Account + ":" + resource
}

// GlobalARN is the ARN of a global resource: IAM's, of this account.
func (s *Kernel) GlobalARN(service, resource string) string {
	return s.Partition() + service + "::" + s.Options.Account + ":" + resource
}

// EndpointService is the name of a service's endpoint service in the Region.
func (s *Kernel) EndpointService(id string) string {
	if svc, err := endpoints.Lookup(endpoints.ServiceID(id)); err == nil {
		return svc.Name(s.Options.Region)
	}
	return "com.amazonaws." + s.Options.Region + "." + id
}

// Suffix is the host name suffix of the Region, such as us-east-1.amazonaws.com.
func (s *Kernel) Suffix() string {
	return s.Options.Region + "." + endpoints.DNSSuffix(s.Options.Region)
}

// Partition is the ARN prefix of the Region's partition.
func (s *Kernel) Partition() string { return "arn:" + endpoints.Partition(s.Options.Region) + ":" }

// ServeHTTP answers the AWS APIs, the Lambda Runtime API and the simulation's own
// paths under /_sim/.
func (s *Kernel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.IsAbs() && s.Carry != nil { // of a program that uses the simulation as its proxy
		s.serveCarried(w, r)
		return
	}
	if why := forbidden(r); why != "" {
		Answer(w, http.StatusForbidden, map[string]any{"error": why})
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
		_, _ = w.Write(part) // the client may be gone
	}
}

// serveCarried answers a request to a host of the account.
func (s *Kernel) serveCarried(w http.ResponseWriter, r *http.Request) {
	res := s.Carry(r)
	if res == nil {
		Answer(w, http.StatusBadGateway, map[string]any{"error": "there is no " + r.URL.Host})
		return
	}
	defer res.Body.Close()
	for k, v := range res.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body) // the client may be gone
}

// Carrier returns a transport that carries requests to hosts of the account without a
// network.
func (s *Kernel) Carrier() http.RoundTripper { return carrier{s} }

type carrier struct{ sim *Kernel }

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	if res := c.sim.Carry(r); res != nil {
		return res, nil
	}
	return nil, fmt.Errorf("dial tcp: lookup %s: no such host", r.URL.Hostname())
}

// RoundTripper returns a transport that calls the simulation without a network.
func (s *Kernel) RoundTripper() http.RoundTripper { return inProcess{s} }

type inProcess struct{ sim *Kernel }

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

// MaxRequest bounds the body of a request, in bytes.
const MaxRequest = 64 << 20

// serveAPI answers one call to an AWS API.
func (s *Kernel) serveAPI(r *http.Request) (out reply, lost bool) {
	var body []byte
	if r.Body != nil {
		var whole bytes.Buffer
		if n := r.ContentLength; n > 0 && n <= MaxRequest {
			whole.Grow(int(n) + bytes.MinRead) // a big object is not copied again and again
		}
		if _, err := whole.ReadFrom(io.LimitReader(r.Body, MaxRequest)); err != nil {
			return reply{status: http.StatusBadRequest, header: http.Header{}}, false
		}
		body = whole.Bytes()
	}
	c, failure := s.Route(r, body)
	s.Mu.Lock()
	c.RequestID = s.UUID("request")
	c.Work = s.caller(c)
	if failure == nil && !s.knows(c) {
		failure = c.unknownKey()
	}
	if c.Work != nil && c.Work.Silent() {
		s.Mu.Unlock()
		return reply{}, true // a handler that was killed makes no calls
	}
	if p := c.Principal(); failure == nil && p != nil && p.Reaches != nil && !p.Reaches(c.API.Endpoint) {
		s.Mu.Unlock()
		return reply{}, true // a caller without network access to it
	}
	if failure != nil {
		out = c.encode(nil, failure)
	} else {
		out, lost = s.perform(c)
	}
	s.record(c, out)
	s.Mu.Unlock()
	switch {
	case c.cbor:
		out.answerCBOR()
	case c.Query:
		out.answerQuery(c)
	}
	return out, lost
}

// perform answers a call, with the faults that are on. The lock is held.
func (s *Kernel) perform(c *Call) (out reply, lost bool) {
	name := c.API.Name
	if name == "monitoring" {
		name = "cloudwatch"
	}
	s.Count(name, c.Action)
	if c.Work != nil && c.Work.Called(true) {
		return reply{}, true
	}
	if e := s.refuse(c); e != nil {
		return c.encode(nil, e), false
	}
	do, ok := c.API.Ops[c.Action]
	if !ok {
		return c.encode(nil, c.unknownAction()), false
	}
	if c.API.Protocol == EC2Query && c.Form.Get("DryRun") == "true" {
		dry := Errorf("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
		return c.encode(nil, dry.WithStatus(http.StatusPreconditionFailed)), false
	}
	result, err := do(c)
	out = c.encode(result, err)
	if d := s.Delay("late-reply", time.Second); d > 0 && c.Changes() {
		s.During(c, d)
	}
	if c.Work != nil && c.Work.Called(false) || s.Happens("lost-reply", 0.1) {
		return reply{}, true
	}
	return out, false
}

// Count counts a call.
func (s *Kernel) Count(service, action string) { s.Calls[service+":"+action]++ }

// During lets d pass while a call runs, with the lock released: other calls are
// served meanwhile. On a stopped clock only a handler's calls take time; any other
// call would wait for ever.
func (s *Kernel) During(c *Call, d time.Duration) {
	if s.Options.Speed == 0 && c.Work == nil {
		return
	}
	s.Mu.Unlock()
	_ = s.Sleep(c.Request.Context(), c.Work, d) // the call takes effect even if the client is gone
	s.Mu.Lock()
}

// Changes reports whether a call is mutating, by its name.
func (c *Call) Changes() bool {
	for _, reads := range []string{"Describe", "Get", "List", "Query", "Scan", "Receive", "Validate", "Simulate"} {
		if strings.HasPrefix(c.Action, reads) {
			return false
		}
	}
	return true
}

func (c *Call) unknownAction() *APIError {
	switch c.API.Protocol {
	case EC2Query:
		return Errorf("InvalidAction", "The action %s is not valid for this web service.", c.Action)
	case Query:
		return Errorf("InvalidAction", "Could not find operation %s for version %s", c.Action, c.Form.Get("Version"))
	case RESTJSON:
		return Errorf("UnknownOperationException", "").WithStatus(http.StatusNotFound)
	case RESTXML:
		return Errorf("NotImplemented",
			"A header you provided implies functionality that is not implemented.").
			WithStatus(http.StatusNotImplemented)
	}
	if c.API.Name == "dynamodb" {
		return Errorf("UnknownOperationException", "An unknown operation was requested.")
	}
	return Errorf("UnknownOperationException", "The requested operation is not recognized by the service.")
}

// Route determines the caller, the service and the operation.
func (s *Kernel) Route(r *http.Request, body []byte) (*Call, *APIError) {
	c := &Call{sim: s, Request: r, Body: body, API: &API{Protocol: RESTJSON}}
	key, scope := credential(r.Header.Get("Authorization"))
	c.AccessKey = key
	target := r.Header.Get("X-Amz-Target")
	switch {
	case r.Header.Get("Smithy-Protocol") == cborProtocol:
		if err := s.routeCBOR(c, r); err != nil {
			return c, err
		}
	case target != "":
		dot := strings.LastIndex(target, ".")
		action := target[dot+1:]
		prefix := target[:max(dot, 0)]
		svc, ok := s.targets[prefix[strings.LastIndex(prefix, ".")+1:]]
		if !ok {
			c.API = &API{Protocol: JSON11}
			return c, Errorf("UnknownOperationException", "")
		}
		c.API, c.Action = svc, action
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return c, Errorf("MalformedQueryString", "the request body is not a form")
		}
		c.Form, c.Action = form, form.Get("Action")
		svc, ok := s.services[scope]
		if scope == "monitoring" {
			c.API, c.Query = svc, true
			if c.Body, err = jsonOfForm(form); err != nil {
				return c, Errorf("ValidationError", "%v", err)
			}
			break
		}
		if !ok || svc.Protocol != Query && svc.Protocol != EC2Query {
			c.API = &API{Protocol: Query}
			return c, Errorf("InvalidAction", "Could not find operation %s for version %s", c.Action,
				form.Get("Version"))
		}
		c.API = svc
	default:
		svc, ok := s.services[scope]
		if !ok || svc.Protocol != RESTJSON && svc.Protocol != RESTXML {
			return c, Errorf("UnknownOperationException", "").WithStatus(http.StatusNotFound)
		}
		c.API = svc
		c.Action = svc.Route(r, strings.Split(strings.Trim(r.URL.Path, "/"), "/"))
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
func (s *Kernel) knows(c *Call) bool {
	return len(s.Options.AccessKeys) == 0 || c.AccessKey == InProcessKey ||
		slices.Contains(s.Options.AccessKeys, c.AccessKey) ||
		s.Principals[c.AccessKey] != nil
}

// InProcessKey is the access key of code inside the simulation's own process.
const InProcessKey = "AKIASANDBOX"

// unknownKey is how the service's protocol reports an unknown access key.
//
// Source: the errors common to all actions in each service's API reference
func (c *Call) unknownKey() *APIError {
	switch c.API.Protocol {
	case EC2Query:
		return c.denied("")
	case Query:
		return Errorf("InvalidClientTokenId",
			"The security token included in the request is invalid.").WithStatus(http.StatusForbidden)
	case RESTXML:
		return Errorf("InvalidAccessKeyId",
			"The AWS Access Key Id you provided does not exist in our records.").WithStatus(http.StatusForbidden)
	}
	e := Errorf("UnrecognizedClientException", "The security token included in the request is invalid.")
	if c.API.Protocol == RESTJSON {
		e.Status = http.StatusForbidden
	}
	return e
}

// denied is how the service's protocol reports invalid credentials.
func (c *Call) denied(why string) *APIError {
	expired := why == "expired"
	switch {
	case c.API.Protocol == EC2Query && expired:
		return Errorf("RequestExpired", "Request has expired.")
	case c.API.Protocol == EC2Query:
		return Errorf("AuthFailure",
			"AWS was not able to validate the provided access credentials").WithStatus(http.StatusUnauthorized)
	case c.API.Protocol == Query && expired:
		return Errorf("ExpiredToken",
			"The security token included in the request is expired").WithStatus(http.StatusForbidden)
	case c.API.Protocol == Query:
		return Errorf("MissingAuthenticationToken",
			"Request is missing Authentication Token").WithStatus(http.StatusForbidden)
	case c.API.Protocol == RESTXML && expired:
		return Errorf("ExpiredToken", "The provided token has expired.")
	case c.API.Protocol == RESTXML:
		return Errorf("AccessDenied", "Access Denied").WithStatus(http.StatusForbidden)
	}
	e := Errorf("MissingAuthenticationTokenException", "Request is missing Authentication Token")
	if expired {
		e = Errorf("ExpiredTokenException", "The security token included in the request is expired")
	}
	if c.API.Protocol == RESTJSON {
		e.Status = http.StatusForbidden
	}
	return e
}

// record records a reply for the conformance check.
func (s *Kernel) record(c *Call, out reply) {
	if s.Options.Record == nil || out.status == 0 || c.Action == "" {
		return
	}
	headers := flat(out.header)
	delete(headers, "x-amzn-requestid")
	line, err := json.Marshal(map[string]any{
		"service": c.API.Name, "operation": c.Action, "status": out.status, "headers": headers,
		"body": strings.ReplaceAll(string(out.body), c.RequestID, "00000000-0000-4000-a000-000000000000"),
	})
	if err == nil {
		// the check skips replies that cannot be written, and reports how many
		// it saw
		_, _ = s.Options.Record.Write(append(line, '\n'))
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
