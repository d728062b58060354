package awssim

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAPageInABrowserReachesNothing sends what a page can send without being asked for
// permission first, and what programs send.
func TestAPageInABrowserReachesNothing(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, host string
		header                   map[string]string
		status                   int
	}{
		{"a program", "POST", "/_sim/fault", "", map[string]string{"Content-Type": "application/json"}, 200},
		{"a program that names the characters", "POST", "/_sim/fault", "localhost:1", map[string]string{"Content-Type": "application/json; charset=utf-8"}, 200},
		{"a person who types the address", "GET", "/_sim/ledger", "[::1]:1", map[string]string{"Sec-Fetch-Site": "none"}, 200},
		{"a page's text", "POST", "/_sim/fault", "", map[string]string{"Content-Type": "text/plain"}, 403},
		{"a page's form", "POST", "/_sim/fault", "", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 403},
		{"a page's bytes without a type", "POST", "/_sim/fault", "", nil, 403},
		{"a page that asked for permission", "POST", "/_sim/fault", "", map[string]string{"Content-Type": "application/json", "Origin": "https://example.com"}, 403},
		{"a page of no origin", "POST", "/_sim/fault", "", map[string]string{"Content-Type": "application/json", "Origin": "null"}, 403},
		{"a page's picture", "GET", "/_sim/ledger", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a name that points here", "POST", "/_sim/fault", "rebound.example.com:4577", map[string]string{"Content-Type": "application/json"}, 403},
		{"a name that points here, to an API", "POST", "/", "rebound.example.com", map[string]string{"X-Amz-Target": "AmazonSQS.ListQueues"}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := New(Options{})
			defer sim.Close()
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(`{"name": "throttle"}`))
			if r.Host = "127.0.0.1:4577"; tt.host != "" {
				r.Host = tt.host
			}
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			sim.ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("status %d: %s, want %d", w.Code, w.Body, tt.status)
			}
			if _, on := sim.FaultOn("throttle"); on != (tt.status == http.StatusOK && tt.method == "POST") {
				t.Errorf("the fault is on: %v", on)
			}
		})
	}
}
