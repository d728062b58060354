package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits are how long the git program may take.
type Limits struct {
	// List is for reading a repository's refs, Transfer for a fetch or push, Stall
	// for how long any of them may show no sign of life.
	List, Transfer, Stall time.Duration
	// Attempts is how often something that failed for the moment is tried, Pause the
	// time before the second attempt; it doubles from then on.
	Attempts int
	Pause    time.Duration
	// Lock is how long a lock holds that is not renewed: for as long a repository
	// waits after a run was killed.
	Lock time.Duration
}

// DefaultLimits are the limits of a run.
var DefaultLimits = Limits{
	List: 2 * time.Minute, Transfer: 3 * time.Hour, Stall: 10 * time.Minute, Attempts: 5, Pause: 2 * time.Second,
	Lock: time.Minute,
}

// git runs the git program for one repository.
type git struct {
	// dir is the bare repository, home a folder of its own for everything else.
	dir, home string
	limits    Limits
	redact    *redactor
	// progress is told the program's lines of progress; nil to leave them.
	progress func(line string)
}

// remote is a repository as git reaches it.
type remote struct {
	// url is what git is given, scheme its protocol.
	url, scheme string
	config      [][2]string
	env         []string
}

// baseConfig is how git is run: no hooks, no housekeeping by itself, no waiting for
// a disk that is thrown away, no protocol but those that are asked for, and every
// fetch as a pack that the cache can keep.
var baseConfig = [][2]string{
	{"core.hooksPath", "/dev/null"}, {"gc.auto", "0"}, {"maintenance.auto", "false"}, {"core.fsync", "none"},
	{"core.logAllRefUpdates", "false"},
	{"fetch.unpackLimit", "1"}, {"transfer.unpackLimit", "1"}, {"protocol.allow", "never"}, {"credential.helper", ""},
	{"credential.useHttpPath", "true"},
	{"core.askPass", "true"}, {"advice.pushUpdateRejected", "false"}, {"http.followRedirects", "initial"},
	{"init.defaultBranch", "main"}, {"submodule.recurse", "false"},
}

// objectChecks have git look at each object that comes from a source, as it comes. What
// old programs wrote without harm passes.
//
// Source: https://git-scm.com/docs/git-fsck
var objectChecks = [][2]string{
	{"fetch.fsckObjects", "true"}, {"fetch.fsck.zeroPaddedFilemode", "ignore"}, {"fetch.fsck.badTimezone", "ignore"},
	{"fetch.fsck.missingSpaceBeforeDate", "ignore"},
	{"fetch.fsck.missingNameBeforeEmail", "ignore"}, {"fetch.fsck.missingEmail", "ignore"},
	{"fetch.fsck.badEmail", "ignore"},
}

// command is one call of the git program.
type command struct {
	args   []string
	remote *remote
	stdin  io.Reader
	// stdout receives what the program prints; nil to drop it.
	stdout io.Writer
	// within is how long it may take; 0 is as long as a transfer.
	within time.Duration
}

// errStalled is the cause when a program showed no sign of life.
var errStalled = errors.New("no sign of life")

// run runs the git program in a process group of its own, all of which ends with
// it. A failure is a *gitError.
func (g *git) run(ctx context.Context, c command) error {
	within := c.within
	if within == 0 {
		within = g.limits.Transfer
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not done after %s", within))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	alive := func() {}
	if c.remote != nil { // what works on the disk alone may be silent for long
		stall := time.AfterFunc(g.limits.Stall, func() { stop(fmt.Errorf("%w for %s", errStalled, g.limits.Stall)) })
		defer stall.Stop()
		alive = func() { stall.Reset(g.limits.Stall) }
	}

	cmd := exec.CommandContext(ctx, "git", c.args...)
	cmd.Dir = g.dir
	if g.dir == "" {
		cmd.Dir = g.home
	}
	cmd.Env = g.environment(c.remote)
	cmd.Stdin = c.stdin
	if c.stdout != nil {
		cmd.Stdout = &livelyWriter{c.stdout, alive}
	}
	said := &messages{alive: alive, progress: g.progress}
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whoever is left of its group; usually nobody
	}
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return classify(verbOf(c.args), err, g.redact.clean(said.text()))
}

// output runs the git program and returns what it printed.
func (g *git) output(ctx context.Context, c command) ([]byte, error) {
	var out bytes.Buffer
	c.stdout = &out
	err := g.run(ctx, c)
	return out.Bytes(), err
}

func verbOf(args []string) string {
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			return a
		}
	}
	return ""
}

// environment returns everything that the program sees: nothing of ours but what it
// needs, and the settings as variables rather than arguments.
func (g *git) environment(r *remote) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.home, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "SSH_ASKPASS=true",
		"GIT_SSH_VARIANT=ssh",
	}
	config := baseConfig
	if r != nil {
		env = append(env, r.env...)
		config = append(append([][2]string{}, baseConfig...), r.config...)
		config = append(config, [2]string{"protocol." + r.scheme + ".allow", "always"})
		config = append(config, [2]string{"http.lowSpeedLimit", "1"}, [2]string{
			"http.lowSpeedTime", fmt.Sprint(max(1, int(g.limits.Stall.Seconds()))),
		})
	}
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(config)))
	for n, kv := range config {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, kv[0]),
			fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, kv[1]))
	}
	return env
}

// livelyWriter tells that something was written.
type livelyWriter struct {
	io.Writer
	alive func()
}

func (w *livelyWriter) Write(p []byte) (int, error) {
	w.alive()
	return w.Writer.Write(p)
}

// messages takes what the git program says beside its output: lines of progress,
// which it hands on, and the last of all others, which it keeps.
type messages struct {
	alive    func()
	progress func(string)

	mu    sync.Mutex
	open  []byte
	lines []string
}

// kept is how many lines of messages are kept, and how long a line may be.
const kept, longest = 40, 2000

func (m *messages) Write(p []byte) (int, error) {
	m.alive()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = append(m.open, p...)
	for {
		i := bytes.IndexAny(m.open, "\r\n")
		if i < 0 {
			break
		}
		m.line(string(m.open[:i]))
		m.open = m.open[i+1:]
	}
	if len(m.open) > longest {
		m.line(string(m.open))
		m.open = nil
	}
	return len(p), nil
}

func (m *messages) line(s string) {
	s = strings.TrimSpace(s)
	if s == "" {
		return
	}
	if isProgress(s) {
		if m.progress != nil {
			m.progress(s)
		}
		return
	}
	m.lines = append(m.lines, s[:min(len(s), longest)])
	if len(m.lines) > kept {
		m.lines = m.lines[1:]
	}
}

func (m *messages) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.open) > 0 {
		m.line(string(m.open))
		m.open = nil
	}
	return strings.Join(m.lines, "\n")
}

// isProgress says whether a line is one of git's progress, as in "Receiving
// objects:  42% (420/1000), 1.20 MiB | 2.00 MiB/s".
func isProgress(s string) bool {
	s = strings.TrimPrefix(s, "remote: ")
	what, rest, ok := strings.Cut(s, ": ")
	if !ok || what == "" || what[0] < 'A' || what[0] > 'Z' || strings.HasPrefix(what, "Total") {
		return strings.HasPrefix(s, "Total ") && strings.Contains(s, "(delta ")
	}
	rest = strings.TrimSpace(rest)
	number, _, _ := strings.Cut(rest, " ")
	number = strings.TrimRight(number, "%,.")
	if number == "" {
		return false
	}
	for _, c := range number {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
