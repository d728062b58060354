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
	"time"
)

// Limits bound how long the git program may take.
type Limits struct {
	// List bounds reading a repository's refs, Transfer a fetch or push, Stall the
	// time that any of them may go without progress.
	List, Transfer, Stall time.Duration
	// Attempts is how often a transient failure is tried, Pause the time before the
	// second attempt; it doubles from then on.
	Attempts int
	Pause    time.Duration
	// Lock is how long a lock holds without renewal: a repository waits that long
	// after a run was killed.
	Lock time.Duration
}

// DefaultLimits are the limits of a run.
var DefaultLimits = Limits{
	List: 2 * time.Minute, Transfer: 3 * time.Hour, Stall: 10 * time.Minute, Attempts: 5, Pause: 2 * time.Second,
	Lock: time.Minute,
}

// git runs git for one repository.
type git struct {
	// dir is the bare repository, home a folder for everything else.
	dir, home string
	limits    Limits
	redact    *redactor
	// progress receives git's progress lines; nil to drop them.
	progress func(line string)
}

// remote is a repository as git reaches it.
type remote struct {
	// url is the URL given to git, scheme its protocol.
	url, scheme string
	config      [][2]string
	env         []string
}

// baseConfig configures git: no hooks, no automatic maintenance, no fsync on a disk
// that is thrown away, only the listed protocols, and every fetch as a pack that
// the cache can keep.
var baseConfig = [][2]string{
	{"core.hooksPath", "/dev/null"}, {"gc.auto", "0"}, {"maintenance.auto", "false"}, {"core.fsync", "none"},
	{"core.logAllRefUpdates", "false"},
	{"fetch.unpackLimit", "1"}, {"transfer.unpackLimit", "1"}, {"protocol.allow", "never"}, {"credential.helper", ""},
	{"credential.useHttpPath", "true"},
	{"core.askPass", "true"}, {"advice.pushUpdateRejected", "false"}, {"http.followRedirects", "initial"},
	{"init.defaultBranch", "main"}, {"submodule.recurse", "false"}, {"clone.rejectShallow", "true"},
}

// objectChecks make git check each object from a source as it arrives. Harmless defects
// that old programs wrote pass.
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
	// within bounds the duration; 0 is the limit of a transfer.
	within time.Duration
}

// errStalled is the cause when a program made no progress.
var errStalled = errors.New("no progress")

// run runs git in its own process group and ends the whole group with it. A
// failure is a *gitError.
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
	if c.remote != nil { // work on the disk alone may be silent for long
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
	asGroup(cmd)
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	endGroup(cmd)
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return classify(verbOf(c.args), err, g.redact.clean(said.text()))
}

// output runs git and returns its output.
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

// environment returns git's whole environment: only what it needs of ours, and the
// settings as variables rather than arguments.
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

// livelyWriter signals each write.
type livelyWriter struct {
	io.Writer
	alive func()
}

func (w *livelyWriter) Write(p []byte) (int, error) {
	w.alive()
	return w.Writer.Write(p)
}

// messages receives git's standard error: it passes progress lines on and keeps
// the last of all others.
type messages struct {
	alive    func()
	progress func(string)

	mu    sync.Mutex
	open  []byte
	lines []string
}

// These bound how many lines of messages are kept, and their length.
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

// isProgress reports whether a line is one of git's progress, as in "Receiving
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
