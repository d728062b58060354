package ui

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// verbs answers with what it was asked.
func verbs(_ context.Context, args ...string) (int, string, string) {
	return 0, strings.Join(args, " "), ""
}

func serve(t *testing.T, s *Server, method, path, token, host, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = s.listener.Addr().String()
	if host != "" {
		r.Host = host
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestOnlyWhoHasTheTokenRunsVerbs(t *testing.T) {
	s, err := New(context.Background(), verbs, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.listener.Close()
	if !strings.HasPrefix(s.Address(), "http://127.0.0.1:") || !strings.HasSuffix(s.Address(), "/#"+s.token) || len(s.token) < 20 {
		t.Errorf("address %s", s.Address())
	}
	for _, c := range []struct {
		method, path, token, host, body string
		status                          int
	}{
		{"POST", "/verb", s.token, "", `{"verb":"status"}`, http.StatusOK},
		{"POST", "/verb", "", "", `{"verb":"status"}`, http.StatusForbidden},
		{"POST", "/verb", s.token[1:], "", `{"verb":"status"}`, http.StatusForbidden},
		{"POST", "/verb", s.token, "evil.example", `{"verb":"status"}`, http.StatusMisdirectedRequest},
		{"GET", "/", "", "evil.example", "", http.StatusMisdirectedRequest},
		{"GET", "/verb", s.token, "", "", http.StatusNotFound},
		{"GET", "/report/", s.token, "", "", http.StatusNotFound},
		{"POST", "/verb", s.token, "", `{`, http.StatusBadRequest},
		{"POST", "/verb", s.token, "", `{"verb":"destroy"}`, http.StatusBadRequest},
		{"POST", "/verb", s.token, "", `{"verb":"hold","set":"--for=9d","for":"1h","reason":"x"}`, http.StatusBadRequest},
		{"POST", "/verb", s.token, "", `{"verb":"cancel","run":"a b"}`, http.StatusBadRequest},
		{"POST", "/verb", s.token, "", `{"verb":"status","x":"` + strings.Repeat("x", 1<<17) + `"}`, http.StatusBadRequest},
		{"GET", "/", "", "", "", http.StatusOK},
	} {
		if w := serve(t, s, c.method, c.path, c.token, c.host, c.body); w.Code != c.status {
			t.Errorf("%s %s %.60s: %d, want %d", c.method, c.path, c.body, w.Code, c.status)
		}
	}
	if text, _ := io.ReadAll(serve(t, s, "GET", "/", "", "", "").Body); strings.Contains(string(text), s.token) {
		t.Error("the page holds the token, and anybody may read it")
	}
}

func TestAVerbGetsItsArguments(t *testing.T) {
	for body, want := range map[string][]string{
		`{"verb":"status"}`: {"status", "-o", "json"},
		`{"verb":"hold","set":"main","for":"1h","reason":"--yes"}`: {"hold", "main", "--for=1h", "--reason=--yes"},
		`{"verb":"run","job":"hello"}`:                             {"run", "hello"},
		`{"verb":"cancel","run":"hello/cli-1"}`:                    {"cancel", "hello/cli-1"},
		`{"verb":"replay"}`:                                        {"replay", "--yes"},
		`{"verb":"pause","reason":""}`:                             {"pause", "--reason="},
	} {
		var q request
		if err := json.Unmarshal([]byte(body), &q); err != nil {
			t.Fatal(err)
		}
		if got, ok := q.arguments(); !ok || !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// The report opens in a page of its own, which has no token: a ticket is good once, and for a minute.
func TestATicketIsGoodOnceAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{tickets: map[string]time.Time{}}
		first, second := s.ticket(), s.ticket()
		if !s.spend(first) || s.spend(first) || s.spend("") {
			t.Error("a ticket was good twice, or never")
		}
		time.Sleep(valid)
		if s.spend(second) {
			t.Error("a ticket is good for ever")
		}
	})
}

func TestAShownPageNeedsItsAddress(t *testing.T) {
	s, err := Show(context.Background(), []byte("<p>day"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.listener.Close()
	if !strings.HasPrefix(s.Address(), "http://127.0.0.1:") || !strings.HasSuffix(s.Address(), s.path+"#watch") || len(s.path) < 20 {
		t.Errorf("address %s", s.Address())
	}
	for _, c := range []struct {
		method, path, host string
		status             int
	}{
		{"GET", s.path, "", http.StatusOK},
		{"GET", "/", "", http.StatusNotFound},
		{"GET", s.path[1:], "", http.StatusNotFound},
		{"POST", s.path, "", http.StatusNotFound},
		{"GET", s.path, "evil.example", http.StatusMisdirectedRequest},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		r.URL.Path = c.path
		r.Host = s.listener.Addr().String()
		if c.host != "" {
			r.Host = c.host
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.status || strings.Contains(w.Body.String(), "day") != (c.status == http.StatusOK) {
			t.Errorf("%s %s under %q: %d %q, want %d", c.method, c.path, c.host, w.Code, w.Body, c.status)
		}
	}
}
