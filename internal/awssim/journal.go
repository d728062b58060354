package awssim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"drawbridge/internal/awssim/kernel"
	"drawbridge/internal/awssim/lambda"
)

// Journal keeps an account on disk: the calls from outside and their simulated times.
// The same calls at the same times rebuild the same account, as ids and chance depend
// only on the seed and functions are run again. It does not keep git pushes and
// read-only calls.
type Journal struct {
	mu     sync.Mutex
	file   *os.File
	start  time.Time
	last   time.Time
	calls  []journalLine
	status map[int]int // of the calls, by number
	number int
	whole  bool // the account is rebuilt
}

// journalLine is a line of the file: its head, a call, the status that a call was
// answered with, or the time at which the simulation ended.
type journalLine struct {
	Terms  map[string]string `json:"terms,omitempty"`
	At     time.Time         `json:"at"`
	Number int               `json:"number,omitempty"`
	Status int               `json:"status,omitempty"`
	Method string            `json:"method,omitempty"`
	Path   string            `json:"path,omitempty"`
	Header http.Header       `json:"header,omitempty"`
	Body   []byte            `json:"body,omitempty"`
}

// OpenJournal opens the journal at path, or begins one at start. terms are the
// account's inputs other than its calls; it returns an error for a journal with
// other terms.
func OpenJournal(path string, terms map[string]string, start time.Time) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep the account: %w", err)
	}
	j := &Journal{file: file, start: start, last: start, status: map[int]int{}}
	if err := j.read(terms); err != nil {
		return nil, errors.Join(fmt.Errorf("keep the account in %s: %w", path, err), file.Close())
	}
	return j, nil
}

// read reads the file, or begins it, and leaves it at its end.
func (j *Journal) read(terms map[string]string) error {
	r, end := bufio.NewReader(j.file), int64(0)
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // what follows the last end of a line was not written whole
		}
		if err != nil {
			return err
		}
		var l journalLine
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("byte %d: %w", end, err)
		}
		switch {
		case end == 0 && l.Terms == nil:
			return errors.New("not an account file of a sandbox")
		case end == 0 && !maps.Equal(l.Terms, terms):
			return fmt.Errorf("created with other flags: %s", differing(l.Terms, terms))
		case end == 0:
			j.start = l.At
		case l.Method != "":
			j.calls, j.number = append(j.calls, l), l.Number
		case l.Number > 0:
			j.status[l.Number] = l.Status
		}
		j.last, end = l.At, end+int64(len(text))
	}
	if err := j.file.Truncate(end); err != nil {
		return err
	}
	if _, err := j.file.Seek(end, io.SeekStart); err != nil || end > 0 {
		return err
	}
	return j.write(journalLine{Terms: terms, At: j.start})
}

// differing names the terms that differ, with their old and new values.
func differing(was, are map[string]string) string {
	var out []string
	for _, k := range kernel.SortedKeys(was) {
		if was[k] != are[k] {
			out = append(out, fmt.Sprintf("%s was %q, now %q", k, was[k], are[k]))
		}
	}
	return strings.Join(out, ", ")
}

// Start is the first instant of the clock.
func (j *Journal) Start() time.Time { return j.start }

func (j *Journal) write(l journalLine) error {
	line, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// Close notes the time and closes the file.
func (j *Journal) Close(now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.write(journalLine{At: now}), j.file.Close())
}

// Handler serves the simulation and records calls in the journal.
func (j *Journal) Handler(s *Sim) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, kernel.MaxRequest))
		if err != nil {
			return // the client is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !s.journaled(r, body) {
			s.ServeHTTP(w, r)
			return
		}
		j.mu.Lock()
		if !j.whole {
			j.mu.Unlock()
			kernel.Answer(w, http.StatusServiceUnavailable, map[string]any{
				"error": "the account is being rebuilt; retry in a moment",
			})
			return
		}
		j.number++
		l := journalLine{
			At: s.Now(), Number: j.number, Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header, Body: body,
		}
		err = j.write(l)
		j.mu.Unlock()
		if err != nil {
			kernel.Answer(w, http.StatusInternalServerError, map[string]any{
				"error": fmt.Sprintf("keep the account: %v", err),
			})
			return
		}
		seen := &statusWriter{ResponseWriter: w}
		defer func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			// without it nothing is compared
			_ = j.write(journalLine{At: s.Now(), Number: l.Number, Status: seen.status})
		}()
		s.ServeHTTP(seen, r)
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// nowhere discards a reply.
type nowhere http.Header

func (w nowhere) Header() http.Header { return http.Header(w) }

func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }

func (w nowhere) WriteHeader(int) {}

// journaled reports whether a request comes from outside and may change something.
func (s *Sim) journaled(r *http.Request, body []byte) bool {
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/_sim/"):
		return r.Method == http.MethodPost && !strings.HasPrefix(path, "/_sim/clock")
	case strings.HasPrefix(path, "/_runtime/"), strings.HasPrefix(path, kernel.GitRoot):
		return false
	case strings.HasPrefix(path, lambda.URLRoot):
		return true
	}
	c, failure := s.Route(r, body)
	s.Mu.Lock()
	defer s.Mu.Unlock()
	p := s.Principals[c.AccessKey]
	return failure == nil && (p == nil || !p.Inside) && (c.Changes() || c.Action == "ReceiveMessage")
}

// Replay rebuilds the account of the journal, on a stopped clock. It returns how
// many calls were answered differently than before.
func (j *Journal) Replay(s *Sim) (otherwise int, err error) {
	for _, l := range j.calls {
		s.Advance(l.At.Sub(s.Now()))
		path, err := url.ParseRequestURI(l.Path)
		if err != nil {
			return otherwise, fmt.Errorf("keep the account: call %d: %w", l.Number, err)
		}
		w := &statusWriter{ResponseWriter: nowhere{}}
		r := &http.Request{
			Method: l.Method, URL: path, RequestURI: l.Path, Header: l.Header,
			Body: io.NopCloser(bytes.NewReader(l.Body)), ContentLength: int64(len(l.Body)), Host: s.Address,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { _ = recover() }() // a reply that was lost is lost again
			s.ServeHTTP(w, r.WithContext(s.Context))
		}()
		if s.Settles(done) && j.status[l.Number] != 0 && w.status != j.status[l.Number] {
			otherwise++
		}
	}
	s.Advance(j.last.Sub(s.Now()))
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = nil
	j.status = nil
	j.whole = true
	return otherwise, nil
}
