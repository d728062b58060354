package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
)

// strideClock is the clock of a script's commands. The sandbox's own stands still, and
// a command that sleeps moves it by as long as it sleeps: what comes when is the same
// on a machine of any speed.
type strideClock struct {
	*httptest.Server
	endpoint string // of the sandbox

	mu    sync.Mutex
	hangs func() bool   // reports whether a command that sleeps from now on hangs
	hung  chan struct{} // is closed once one does
}

func newStrideClock(endpoint string) *strideClock {
	c := &strideClock{endpoint: endpoint}
	c.Server = httptest.NewServer(c)
	return c
}

// ServeHTTP tells the time, and lets commands sleep, as the sandbox does.
func (c *strideClock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		res, err := http.Get(c.endpoint + "/_sim/clock")
		c.relay(w, res, err)
		return
	}
	var in struct{ Nanoseconds int64 }
	text, err := io.ReadAll(r.Body) // all of it, so that r's context ends with the command
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if c.hang() {
		<-r.Context().Done()
		return
	}
	body := fmt.Appendf(nil, `{"seconds": %f}`, float64(in.Nanoseconds)/1e9)
	res, err := http.Post(c.endpoint+"/_sim/advance", "application/json", bytes.NewReader(body))
	c.relay(w, res, err)
}

func (c *strideClock) relay(w http.ResponseWriter, res *http.Response, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body) // a command that is gone needs no answer
}

// hang reports whether the command that is about to sleep hangs, and tells hung.
func (c *strideClock) hang() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hangs == nil || !c.hangs() {
		return false
	}
	select {
	case <-c.hung:
	default:
		close(c.hung)
	}
	return true
}

// hangOnce lets commands hang in their sleep once the file holds the text.
func (c *strideClock) hangOnce(file, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hung = make(chan struct{})
	c.hangs = func() bool {
		b, err := os.ReadFile(file)
		return err == nil && bytes.Contains(b, []byte(text))
	}
}

// awaitHung waits until a command hangs. Those that sleep later do not.
func (c *strideClock) awaitHung() {
	c.mu.Lock()
	hung := c.hung
	c.mu.Unlock()
	<-hung
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hangs = nil
}
