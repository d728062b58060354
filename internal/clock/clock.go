// Package clock provides the time: the machine's, or a simulation's.
package clock

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Variable is the environment variable that names the address of a simulation's
// clock. A sandbox sets it for the programs that it starts; it is never set in
// AWS.
const Variable = "DRAWBRIDGE_SANDBOX_CLOCK"

// Clock tells the time and waits on it.
type Clock interface {
	Now() time.Time
	// Sleep returns after d, or with ctx's error when ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// Loopback reports whether an address, such as http://127.0.0.1:4577, is on this
// machine. Any other address is not trusted to be a simulation.
func Loopback(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// FromEnvironment returns the clock that the environment names, or the machine's
// if it names no local one.
func FromEnvironment() Clock {
	if address := os.Getenv(Variable); Loopback(address) {
		return remote{address}
	}
	return System{}
}

// System is the machine's clock.
type System struct{}

// Now returns the machine's time.
func (System) Now() time.Time { return time.Now() }

// Sleep waits on the machine's time.
func (System) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remote is a simulation's clock.
type remote struct{ address string }

// Now asks the simulation. If it is gone, Now returns the machine's time.
func (c remote) Now() time.Time {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.address, nil)
	if err != nil {
		return time.Now()
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return time.Now()
	}
	defer r.Body.Close()
	var out struct{ Now int64 }
	if json.NewDecoder(r.Body).Decode(&out) != nil {
		return time.Now()
	}
	return time.Unix(0, out.Now).UTC()
}

func (c remote) Sleep(ctx context.Context, d time.Duration) error {
	body, err := json.Marshal(map[string]int64{"nanoseconds": int64(d)})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address+"/sleep", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(req)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("sleep on the simulation's clock: %w", err)
	}
	return r.Body.Close()
}

// For returns the clock of a program that calls AWS at an endpoint: a sandbox's,
// if the endpoint is on this machine and serves a time, else that of the
// environment.
func For(ctx context.Context, endpoint string) Clock {
	if os.Getenv(Variable) != "" {
		return FromEnvironment()
	}
	if !Loopback(endpoint) {
		return System{}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	address := endpoint + "/_sim/clock"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return System{}
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return System{}
	}
	defer r.Body.Close()
	var out struct{ Now int64 }
	if r.StatusCode != http.StatusOK || json.NewDecoder(r.Body).Decode(&out) != nil || out.Now == 0 {
		return System{}
	}
	return remote{address}
}
