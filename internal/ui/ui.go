// Package ui serves a page on this machine alone that shows an installation as it stands and changes it by buttons. It
// does nothing of its own: each thing that it shows or does is a verb of the command line, with its checks, its words
// and its rights.
package ui

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// Verb runs a verb of the command line and returns its exit code and what it prints.
type Verb func(ctx context.Context, args ...string) (code int, out, err string)

// Server serves the page.
type Server struct {
	verb     Verb
	token    string
	page     []byte
	policy   string
	turn     sync.Mutex // verbs run one after the other, as in a terminal
	mu       sync.Mutex
	tickets  map[string]time.Time // of reports that may be opened once, until when
	listener net.Listener
}

// New returns a server for the verbs that listens on the loopback address alone; port 0 is any that is free.
func New(ctx context.Context, verb Verb, port int) (*Server, error) {
	s := &Server{verb: verb, token: rand.Text(), tickets: map[string]time.Time{}}
	var b bytes.Buffer
	if err := template.Must(template.New("ui").Parse(pageHTML)).Execute(&b, map[string]any{
		"Style": template.CSS(pageCSS), "Script": template.JS(pageJS), //nolint:gosec // both are ours
	}); err != nil {
		return nil, err
	}
	s.page = b.Bytes()
	s.policy = fmt.Sprintf("default-src 'none'; connect-src 'self'; img-src data:; style-src '%s'; script-src '%s'; base-uri 'none'; "+
		"form-action 'none'; frame-ancestors 'none'", digest(pageCSS), digest(pageJS))
	var err error
	s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	return s, err
}

// digest names a text as a content security policy does.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Address is where the page is. Its token stands behind the #, so that no browser sends it anywhere by itself.
func (s *Server) Address() string { return "http://" + s.listener.Addr().String() + "/#" + s.token }

// Serve serves until the context ends.
func (s *Server) Serve(ctx context.Context) error { return serveOn(ctx, s.listener, s) }

func serveOn(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// guarded writes the headers of every answer, and reports whether the request came under
// our own name. A name that leads here from elsewhere is refused: a page of the web would
// reach us by one.
func guarded(w http.ResponseWriter, r *http.Request, l net.Listener) bool {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Host != l.Addr().String() {
		http.Error(w, "unexpected Host header", http.StatusMisdirectedRequest)
		return false
	}
	return true
}

// answer is what a verb came to.
type answer struct {
	Code int    `json:"code"`
	Out  string `json:"out"`
	Err  string `json:"err"`
}

// ServeHTTP serves the page to anybody on this machine, and everything else to who has the token.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !guarded(w, r, s.listener) {
		return
	}
	h := w.Header()
	switch ticket, report := strings.CutPrefix(r.URL.Path, "/report/"); {
	case r.Method == http.MethodGet && r.URL.Path == "/":
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", s.policy)
		_, _ = w.Write(s.page)
	case r.Method == http.MethodGet && report && s.spend(ticket):
		s.report(w, r)
	case r.Method != http.MethodPost || r.URL.Path != "/verb":
		http.NotFound(w, r)
	case !s.allowed(r):
		http.Error(w, "the token is missing or wrong: open the address that drawbridge ui printed", http.StatusForbidden)
	default:
		s.serve(w, r)
	}
}

// allowed reports whether a request has the token.
func (s *Server) allowed(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(given), []byte(s.token)) == 1
}

// request is what the page asks for: a verb with what it is about.
type request struct {
	Verb   string `json:"verb"`
	Set    string `json:"set"`
	Job    string `json:"job"`
	Run    string `json:"run"`
	For    string `json:"for"`
	Reason string `json:"reason"`
}

// name is what sets, jobs and runs are called: nothing that could pass for a flag.
var name = regexp.MustCompile(`^[A-Za-z0-9][!-~]{0,299}$`)

// arguments returns the arguments of the verbs that the page may run; false for all others.
func (q request) arguments() ([]string, bool) {
	is := func(all ...string) bool {
		return !slices.ContainsFunc(all, func(s string) bool { return !name.MatchString(s) })
	}
	switch q.Verb {
	case "status":
		return []string{"status", "-o", "json"}, true
	case "runs":
		return []string{"runs", "-o", "json", "-n", "30"}, true
	case "why":
		return []string{"why", q.Set, "-o", "json"}, is(q.Set)
	case "show":
		return []string{"show", q.Run}, is(q.Run)
	case "logs":
		return []string{"logs", q.Run}, is(q.Run)
	case "run":
		return []string{"run", q.Job}, is(q.Job)
	case "hold":
		return []string{"hold", q.Set, "--for=" + q.For, "--reason=" + q.Reason}, is(q.Set)
	case "release":
		return []string{"release", q.Set}, is(q.Set)
	case "pause":
		return []string{"pause", "--reason=" + q.Reason}, true
	case "resume":
		return []string{"resume"}, true
	case "cancel":
		return []string{"cancel", q.Run}, is(q.Run)
	case "replay":
		return []string{"replay", "--yes"}, true
	}
	return nil, false
}

// serve runs the verb that is asked for, or gives out a ticket for the report.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	var q request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&q); err != nil {
		http.Error(w, "read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	var a answer
	if q.Verb == "report" {
		a.Out = s.ticket()
	} else {
		args, ok := q.arguments()
		if !ok {
			http.Error(w, fmt.Sprintf("unknown action %q", q.Verb), http.StatusBadRequest)
			return
		}
		a = s.run(r.Context(), args...)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a)
}

func (s *Server) run(ctx context.Context, args ...string) (a answer) {
	s.turn.Lock()
	defer s.turn.Unlock()
	a.Code, a.Out, a.Err = s.verb(ctx, args...)
	return a
}

// valid is how long a ticket may be spent.
const valid = time.Minute

// ticket returns a name under which the report can be opened once: a new page of the browser has no token.
func (s *Server) ticket() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := rand.Text()
	s.tickets[t] = time.Now().Add(valid)
	return t
}

// spend reports whether a ticket is good, and takes it.
func (s *Server) spend(ticket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.tickets[ticket]
	delete(s.tickets, ticket)
	return ok && time.Now().Before(until)
}

// report writes the report's page; its policy is its own.
func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	a := s.run(r.Context(), "report")
	if a.Code != 0 {
		http.Error(w, a.Err, http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(a.Out))
}
