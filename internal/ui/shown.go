package ui

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
)

// Shown serves one page that changes nothing, such as a report, and that loads nothing.
type Shown struct {
	html     []byte
	path     string
	listener net.Listener
}

// Show returns a server for a page that listens on the loopback address alone. Its address
// holds a token: without it nothing is shown.
func Show(ctx context.Context, html []byte) (*Shown, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	return &Shown{html, "/" + rand.Text(), l}, err
}

// Address is where the page is; it begins to play by itself.
func (s *Shown) Address() string { return "http://" + s.listener.Addr().String() + s.path + "#watch" }

// Serve serves until the context ends.
func (s *Shown) Serve(ctx context.Context) error { return serveOn(ctx, s.listener, s) }

// ServeHTTP serves the page under its own host and path.
func (s *Shown) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !guarded(w, r, s.listener) {
		return
	}
	if r.Method != http.MethodGet || r.URL.Path != s.path {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(s.html)
}
