package kernel

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// greeter registers a service with one operation, by the given protocol, and returns a
// function that calls it.
func greeter(t *testing.T, p protocol) (k *Kernel, call func(body string) (status int, answer string)) {
	t.Helper()
	k = New(Options{Start: time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)})
	t.Cleanup(k.Close)
	type in struct{ Name string }
	type out struct{ Greeting string }
	k.Register(&API{Name: "greeter", Prefix: "Greeter", Protocol: p, XMLNS: "urn:greeter", Ops: map[string]Operation{
		"Greet": Op(func(_ *Call, i *in) (*out, error) {
			if i.Name == "" {
				return nil, Errorf("InvalidName", "a name is needed").WithStatus(400)
			}
			return &out{"good day, " + i.Name}, nil
		}),
	}})
	return k, func(body string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://aws.invalid/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDX/20260514/us-east-1/greeter/aws4_request, "+
			"SignedHeaders=host, Signature=0")
		r.Header.Set("X-Amz-Target", "Greeter.Greet")
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		if p == Query {
			r.Header.Del("X-Amz-Target")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		}
		resp, err := k.RoundTripper().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
}

// TestWireFormats: one operation, as each protocol writes its answer and its error.
func TestWireFormats(t *testing.T) {
	for _, tt := range []struct {
		name     string
		protocol protocol
		body     string
		status   int
		want     []string
	}{
		{"JSON", JSON10, `{"Name":"Ada"}`, 200, []string{`{"Greeting":"good day, Ada"}`}},
		{"JSON, an error", JSON10, `{}`, 400, []string{`"__type":"InvalidName"`, "a name is needed"}},
		{"a query", Query, "Action=Greet&Version=2026-05-14&Name=Ada", 200,
			[]string{`<GreetResponse xmlns="urn:greeter">`, "<GreetResult>", "<Greeting>good day, Ada</Greeting>", "<RequestId>"}},
		{"a query, an error", Query, "Action=Greet&Version=2026-05-14", 400,
			[]string{"<ErrorResponse", "<Code>InvalidName</Code>", "<Message>a name is needed</Message>"}},
		{"an operation that is not simulated", Query, "Action=Sing&Version=2026-05-14", 0, []string{"Sing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, call := greeter(t, tt.protocol)
			status, answer := call(tt.body)
			if tt.status != 0 && status != tt.status || status == 200 && tt.status != 200 {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			for _, want := range tt.want {
				if !strings.Contains(answer, want) {
					t.Errorf("answer %s, want %s in it", answer, want)
				}
			}
		})
	}
}

// TestTheClockRunsWhatIsDueInOrder: by time, then by when it was asked for, and what an
// event asks for on the way as well.
func TestTheClockRunsWhatIsDueInOrder(t *testing.T) {
	k := New(Options{Start: time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)})
	defer k.Close()
	var got []string
	say := func(text string) func() {
		return func() { got = append(got, text+" "+k.Clock.Now().Format("15:04:05")) }
	}
	k.Mu.Lock()
	k.Clock.After(2*time.Minute, say("second"))
	k.Clock.After(time.Minute, func() {
		say("first")()
		k.Clock.After(30*time.Second, say("between"))
	})
	k.Clock.After(2*time.Minute, say("third"))
	gone := k.Clock.After(time.Minute, say("never"))
	k.Clock.Cancel(gone)
	k.Clock.Cancel(gone)
	k.Clock.After(time.Hour, say("later"))
	k.Mu.Unlock()
	if now := k.Advance(2 * time.Minute); now.Format("15:04:05") != "12:02:00" {
		t.Errorf("the clock is at %s, want 12:02:00", now)
	}
	want := []string{"first 12:01:00", "between 12:01:30", "second 12:02:00", "third 12:02:00"}
	if !slices.Equal(got, want) {
		t.Errorf("it ran %q, want %q", got, want)
	}
}

func TestFaults(t *testing.T) {
	k, call := greeter(t, JSON10)
	for _, tt := range []struct{ name, value, want string }{
		{"throttle", "2", "want P"}, {"throttle", "often", "want P"}, {"slow-create", "soon", "want DURATION"},
		{"kill", "launcher:0", "want FUNCTION:N"}, {"deny", "ecs", "want SERVICE:ACTION"},
		{"stuck-create", "yes", "invalid fault"}, {"bill", "weekly", "want clock|creation"},
		{"thunder", "", `unknown fault "thunder" (want one of async-hooks, bill,`},
	} {
		if err := k.SetFault(tt.name, tt.value, 0); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s=%s: %v, want %q", tt.name, tt.value, err, tt.want)
		}
	}
	set := func(name, value string, seconds float64) {
		t.Helper()
		if err := k.SetFault(name, value, seconds); err != nil {
			t.Fatal(err)
		}
	}
	set("throttle", "1", 60)
	if status, answer := call(`{"Name":"Ada"}`); status != 400 || !strings.Contains(answer, "ThrottlingException") {
		t.Errorf("a throttled call is answered with %d %s", status, answer)
	}
	k.Advance(time.Minute)
	if status, _ := call(`{"Name":"Ada"}`); status != 200 {
		t.Errorf("a fault for a minute is on after it: %d", status)
	}
	set("server-error", "1", 0)
	set("server-error", "off", 0)
	if status, _ := call(`{"Name":"Ada"}`); status != 200 {
		t.Errorf("a fault that was turned off is on: %d", status)
	}
	set("slow-create", "90", 0) // seconds
	set("fail-delete", "2", 0)
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if d := k.Delay("slow-create", time.Minute); d != 90*time.Second {
		t.Errorf("90 is read as %s, want 1m30s", d)
	}
	if strikes := []bool{k.Strikes("fail-delete"), k.Strikes("fail-delete"), k.Strikes("fail-delete")}; !slices.Equal(strikes, []bool{true, true, false}) {
		t.Errorf("a fault that strikes twice strikes %v", strikes)
	}
}

// TestTheSameSeedDrawsTheSame: so that what was found once is found again.
func TestTheSameSeedDrawsTheSame(t *testing.T) {
	draws := func(seed int64) (out []bool) {
		k := New(Options{Seed: seed})
		defer k.Close()
		if err := k.SetFault("lost-events", "0.5", 0); err != nil {
			t.Fatal(err)
		}
		k.Mu.Lock()
		defer k.Mu.Unlock()
		for range 64 {
			out = append(out, k.Happens("lost-events", 0))
		}
		return out
	}
	if a, b := draws(7), draws(7); !slices.Equal(a, b) {
		t.Errorf("one seed draws %v, then %v", a, b)
	}
	if a, b := draws(7), draws(8); slices.Equal(a, b) {
		t.Error("two seeds draw the same")
	}
}
