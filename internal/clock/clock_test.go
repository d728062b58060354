package clock

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOnlyThisMachineIsFollowed: whoever can set a function's variables must not become
// its clock, nor what it takes for AWS.
func TestOnlyThisMachineIsFollowed(t *testing.T) {
	for address, want := range map[string]bool{
		"http://127.0.0.1:4577": true, "http://localhost:4577/_sim/clock/1": true, "http://[::1]:4577": true, "http://127.8.9.1": true,
		"": false, "http://10.0.0.5:4577": false, "https://evil.example": false, "http://localhost.evil.example": false, "http://127.0.0.1@evil.example": false,
		"http://0.0.0.0:4577": false, "http://169.254.169.254": false, "127.0.0.1:4577": false, "http://[::ffff:10.0.0.5]": false, "%zz": false,
	} {
		if got := Loopback(address); got != want {
			t.Errorf("Loopback(%q) = %t, want %t", address, got, want)
		}
		t.Setenv(Variable, address)
		if _, follows := FromEnvironment().(remote); follows != want {
			t.Errorf("with %s=%q the clock follows it: %t, want %t", Variable, address, follows, want)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"now": 86400000000000}`)) }))
	defer server.Close()
	t.Setenv(Variable, "")
	if _, ok := For(t.Context(), server.URL).(remote); !ok {
		t.Error("a sandbox on this machine does not tell the time")
	}
	if _, ok := For(t.Context(), strings.Replace(server.URL, "127.0.0.1", "example.invalid", 1)).(remote); ok {
		t.Error("another machine tells the time")
	}
}
