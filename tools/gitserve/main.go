// Command gitserve serves the bare repositories of a folder over HTTP, to be read and
// written by everybody, for the benchmarks.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"drawbridge/internal/gitserver"
)

func main() {
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gitserve:", err)
		os.Exit(1)
	}
}

func serve(folder string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // until it is killed
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	server := &http.Server{ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gitserver.Serve(w, r, "/", folder, "bench")
		})}
	return server.Serve(listener)
}
