package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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

// TestKilledAtAnyMomentTheNextRunRepairs kills runs with all their processes, as
// Fargate does with a container, at moments over the whole of a run.
func TestKilledAtAnyMomentTheNextRunRepairs(t *testing.T) {
	w := newWorld(t)
	dir := w.repository("app", 300)
	w.mirrors("app", map[string]any{"force": true, "prune": true, "pruneLimit": 100})
	w.args = []string{"--lock", "400ms"}
	random := rand.New(rand.NewPCG(1, 2))
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
	started := time.Now()
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	whole := time.Since(started)
	killed, done := 0, 0
	for i := 1; i <= 20; i++ {
		change(i)
		cmd := w.command(t.Context())
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.WaitDelay = time.Second
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		moment := time.Duration(float64(whole) * (float64(i-1) + random.Float64()) / 20)
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // killed, or done
			close(ended)
		}()
		select {
		case <-ended:
			done++
		case <-time.After(moment):
			victims := append([]int{cmd.Process.Pid}, descendants(cmd.Process.Pid)...)
			for _, pid := range victims {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
			<-ended
			killed++
		}
		o := w.run()
		if r := o.reports["app"]; o.code != exitDone || !r.InSync() {
			t.Fatalf("after a kill at %s of %s: exit code %d\n%s", moment, whole, o.code, o.out)
		}
		w.same("app")
	}
	if killed < 10 {
		t.Errorf("%d of 20 runs were killed, %d had ended before", killed, done)
	}
}
