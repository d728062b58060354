// Command service is what the examples deploy: it answers /health and /, and as its own smoke
// test it asks the address in TEST_ADDRESS.
//
// FAIL_EVERY=2 makes it answer every second request but /health with 500: a revision that is
// bad, and passes its health check. The secret in GREETING is read at run time, and never shown.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "smoke" {
		if err := smoke(os.Getenv("TEST_ADDRESS")); err != nil {
			log.Fatal(err)
		}
		return
	}
	log.Fatal(serve())
}

// serve answers requests on PORT, 8080 without it.
func serve() error {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	failEvery, _ := strconv.ParseInt(os.Getenv("FAIL_EVERY"), 10, 64) // 0 never fails
	var asked atomic.Int64
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		if n := asked.Add(1); failEvery > 0 && n%failEvery == 0 {
			http.Error(w, "bad", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "hello, with a secret: %v\n", os.Getenv("GREETING") != "")
	})
	server := &http.Server{Addr: ":" + port, ReadHeaderTimeout: 10 * time.Second}
	log.Printf("listening on %s", server.Addr)
	return server.ListenAndServe()
}

// smoke asks an address twenty times.
func smoke(address string) error {
	client := &http.Client{Timeout: 5 * time.Second}
	for n := range 20 {
		res, err := client.Get(address)
		if err != nil {
			return fmt.Errorf("request %d: %w", n+1, err)
		}
		if err := res.Body.Close(); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("request %d to %s: answered %s", n+1, address, res.Status)
		}
	}
	fmt.Println("20 of 20 answers from", address, "were good")
	return nil
}
