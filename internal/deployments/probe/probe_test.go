package probe

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/clock"
)

// standing is a clock that moves when somebody sleeps.
type standing struct{ now time.Time }

func (c *standing) Now() time.Time { return c.now }

func (c *standing) Sleep(_ context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return nil
}

var _ clock.Clock = (*standing)(nil)

func TestAnAddressIsAsked(t *testing.T) {
	n := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		switch {
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case r.URL.Path == "/half" && n%2 == 0:
			w.WriteHeader(http.StatusBadGateway)
		default:
			_, _ = w.Write([]byte("version 7"))
		}
	}))
	defer web.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, tt := range []struct {
		name       string
		request    Request
		asked, bad int
		last       string
	}{
		{"once", Request{URL: web.URL}, 1, 0, ""},
		{"what it holds", Request{URL: web.URL, Contains: "version 7"}, 1, 0, ""},
		{"what it does not hold", Request{URL: web.URL, Contains: "version 8"}, 1, 1, "does not hold"},
		{"a redirection is an answer", Request{URL: web.URL + "/moved", Status: "302"}, 1, 0, ""},
		{"another status", Request{URL: web.URL, Status: "204"}, 1, 1, "answered 200"},
		{"for a time", Request{URL: web.URL, For: 10 * time.Second, Every: time.Second}, 11, 0, ""},
		{"half of it bad", Request{URL: web.URL + "/half", For: 9 * time.Second, Every: time.Second}, 10, 5, "answered 502"},
		{"a connection", Request{Address: listener.Addr().String()}, 1, 0, ""},
		{"no address", Request{URL: "http://%"}, 1, 1, "invalid"},
	} {
		p := New(&standing{time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)})
		n = 0
		out, err := p.Run(t.Context(), tt.request)
		if err != nil || out.Asked != tt.asked || out.Bad != tt.bad || !strings.Contains(out.Last, tt.last) {
			t.Errorf("%s: %+v, %v; want %d asked, %d bad, %q", tt.name, out, err, tt.asked, tt.bad, tt.last)
		}
	}
}

func TestAmong(t *testing.T) {
	for _, tt := range []struct {
		list   string
		status int
		want   bool
	}{{"", 200, true}, {"", 399, true}, {"", 400, false}, {"200-299,301", 301, true}, {"200-299,301", 302, false}, {"503", 503, true}} {
		if got := Among(tt.list, tt.status); got != tt.want {
			t.Errorf("%d among %q: %v", tt.status, tt.list, got)
		}
	}
}
