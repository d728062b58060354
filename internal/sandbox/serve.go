package sandbox

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"drawbridge/internal/awssim"
	"drawbridge/internal/config"
)

// Served is a simulated AWS that answers on a port of this machine, with Drawbridge in it as the
// programs that users deploy.
type Served struct {
	Sim *awssim.Sim
	// Endpoint is its address, for SDKs.
	Endpoint string
	// Config is the path of the functions' configuration, which they read when they start.
	Config    string
	Installed *config.Installation
	closers   []func()
}

// Serve makes an account with what a configuration names, and starts the functions, whose programs
// are at the given paths by name, at their first event. Close ends it all.
func Serve(ctx context.Context, o awssim.Options, name string, text []byte, programs map[string]string) (s *Served,
	err error) {
	s = &Served{Sim: awssim.New(o)}
	s.closers = append(s.closers, s.Sim.Close)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	endpoint, stop, err := Listen(ctx, s.Sim)
	if err != nil {
		return nil, err
	}
	s.Endpoint = endpoint
	s.closers = append(s.closers, stop)
	folder, err := os.MkdirTemp("", "drawbridge-sandbox-")
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = os.RemoveAll(folder) }) // a temporary folder
	s.Config = filepath.Join(folder, "drawbridge.yaml")
	if err := os.WriteFile(s.Config, text, 0o600); err != nil {
		return nil, err
	}
	file, err := config.Parse(name, text)
	if err != nil {
		return nil, err
	}
	s.Installed, err = Install(s.Sim, file, Functions{Bootstraps: programs, ConfigPath: s.Config})
	return s, err
}

// Listen has a simulation answer on a free port of this machine until stop is called.
func Listen(ctx context.Context, sim *awssim.Sim) (endpoint string, stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listen: %w", err)
	}
	sim.SetAddress(listener.Addr().String())
	server := &http.Server{Handler: sim, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// Close ends the account and its functions.
func (s *Served) Close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}
