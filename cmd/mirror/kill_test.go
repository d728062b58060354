package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"drawbridge/internal/mirror"
)

// descendants returns the processes that a process has started, and those that they
// have.
func descendants(pid int) []int {
	parents := map[int][]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // a bad pattern alone fails
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // ended meanwhile
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(f))) // the pattern holds digits
		parent, _ := strconv.Atoi(fields[1])                     // the kernel writes a number
		parents[parent] = append(parents[parent], child)
	}
	out := parents[pid]
	for _, child := range parents[pid] {
		out = append(out, descendants(child)...)
	}
	return out
}

// killAll kills a process and all that it has started. It stops them first: none starts
// another one meanwhile.
func killAll(pid int) {
	stopped := map[int]bool{}
	for more := true; more; {
		more = false
		for _, p := range append([]int{pid}, descendants(pid)...) {
			if !stopped[p] {
				_ = syscall.Kill(p, syscall.SIGSTOP) // it may have ended
				stopped[p], more = true, true
			}
		}
	}
	for p := range stopped {
		_ = syscall.Kill(p, syscall.SIGKILL) // it may have ended
	}
}

// moment is where in a request a run is killed.
type moment int

const (
	unheard   moment = iota // before anybody has seen the request
	sending                 // halfway through what the run sends
	answering               // halfway through the answer
	answered                // all is done, and the run does not learn of it
	moments
)

// killer kills a run at one of its requests to S3, CodeCommit and the source. It counts
// them all but those for the lock, whose number depends on how long a run takes.
type killer struct {
	mu    sync.Mutex // held while a run starts, so that its process is known
	run   *exec.Cmd
	seen  int
	at    int // the request, counted from 1; 0 is none
	where moment
}

// start starts a run that is killed at a request.
func (k *killer) start(run *exec.Cmd, at int, where moment) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.run, k.seen, k.at, k.where = run, 0, at, where
	return run.Start()
}

// rest lets runs live, and returns how many requests there were since start.
func (k *killer) rest() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := k.seen
	k.seen, k.at = 0, 0
	return seen
}

// strikes counts a request and reports whether it is the one.
func (k *killer) strikes(r *http.Request) (pid int, where moment, yes bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/lock.json") {
		return 0, 0, false
	}
	if k.seen++; k.at == 0 || k.seen != k.at {
		return 0, 0, false
	}
	return k.run.Process.Pid, k.where, true
}

func (k *killer) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pid, where, yes := k.strikes(r)
		if !yes {
			next.ServeHTTP(w, r)
			return
		}
		kill := sync.OnceFunc(func() { killAll(pid) })
		switch where {
		case unheard:
			kill()
			panic(http.ErrAbortHandler)
		case sending:
			half := r.ContentLength / 2
			if half <= 0 {
				half = 512 // of what comes in chunks
			}
			r.Body = &halfBody{r.Body, half, kill}
		case answering:
			w = &halfAnswer{w, kill}
		}
		next.ServeHTTP(w, r)
		kill() // if that was not before
		panic(http.ErrAbortHandler)
	})
}

// halfBody is a body that breaks off.
type halfBody struct {
	io.ReadCloser
	left int64
	kill func()
}

func (b *halfBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.kill()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// halfAnswer is an answer that breaks off in its first piece.
type halfAnswer struct {
	http.ResponseWriter
	kill func()
}

func (a *halfAnswer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p[:len(p)/2])
	if f, ok := a.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	a.kill()
	if err == nil {
		n = len(p) // the server learns nothing of it
	}
	return n, err
}

// TestKilledAtAnyMomentTheNextRunRepairs kills runs with all their processes, as
// Fargate does with a container, at requests over the whole of a run.
func TestKilledAtAnyMomentTheNextRunRepairs(t *testing.T) {
	longStory(t)
	w := newWorld(t)
	dir := w.repository("app", 300)
	w.mirrors("app", map[string]any{"force": true, "prune": true, "pruneLimit": 100})
	w.args = []string{"--lock", "400ms"}
	change := func(i int) { // something of each kind
		w.commits(dir, "refs/heads/main", 20, fmt.Sprint("round", i))
		w.commits(dir, fmt.Sprintf("refs/heads/topic-%d", i), 5, fmt.Sprint("topic", i))
		git(t, dir, "tag", fmt.Sprintf("v%d", i), "main")
		git(t, dir, "update-ref", "refs/heads/rewritten", fmt.Sprintf("main~%d", i+1))
		if i > 3 {
			git(t, dir, "update-ref", "-d", fmt.Sprintf("refs/heads/topic-%d", i-3))
		}
	}
	change(0)
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	change(1)
	w.killer.rest()
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	whole := w.killer.rest()
	const rounds = 20
	for i := range rounds {
		change(i + 2)
		at, where := 1+i*whole/rounds, moment(i)%moments
		cmd := w.command(t.Context())
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := w.killer.start(cmd, at, where); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
			t.Fatalf("the run was not killed at request %d of %d: %s after %d\n%s", at, whole, cmd.ProcessState, w.killer.rest(), out.String())
		}
		w.killer.rest()
		o := w.run()
		if r := o.reports["app"]; o.code != exitDone || !r.InSync() {
			t.Fatalf("after a kill at request %d of %d, moment %d: exit code %d\n%s", at, whole, where, o.code, o.out)
		}
		w.same("app")
	}
}
