package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"
)

// class is what a failure of git asks of the caller.
type class int

const (
	// broken is a failure that nothing is known of; it is not tried again.
	broken class = iota
	// passing is one of the network or the server, tried again.
	passing
	// refused is about credentials or rights, never tried again: that would lock an
	// account.
	refused
	// absent is a repository that is not there.
	absent
	// moved is an object that the server no longer gives away: its ref has moved.
	moved
	// unsafe is a server that is not who it should be, or sends what it should not.
	unsafe
)

// gitError is a failure of the git program.
type gitError struct {
	verb  string
	class class
	cause error
	// text is what git said, without secrets.
	text string
	hint string
}

func (e *gitError) Error() string {
	last := e.text
	for _, line := range strings.Split(e.text, "\n") {
		if strings.HasPrefix(line, "fatal: ") || strings.HasPrefix(line, "error: ") {
			last = line
			break
		}
	}
	if i := strings.LastIndex(last, "\n"); i >= 0 && !strings.HasPrefix(last, "fatal: ") {
		last = last[i+1:]
	}
	if last == "" {
		return fmt.Sprintf("git %s: %v", e.verb, e.cause)
	}
	return fmt.Sprintf("git %s: %v: %s", e.verb, e.cause, last)
}

func (e *gitError) Unwrap() error { return e.cause }

// Hint returns the remedy, "" if none is known.
func (e *gitError) Hint() string { return e.hint }

// symptoms are what git and ssh say, in order: the first that is found decides.
//
// Source: the messages of git 2.39 to 2.47, curl and OpenSSH.
var symptoms = []struct {
	pattern *regexp.Regexp
	class   class
	hint    string
}{
	{
		regexp.MustCompile(`(?i)host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|no .* host key ` +
			`is known`), unsafe,
		"the server's host key is not the one in knownHosts of the secret; find out why before you change it",
	},
	{
		regexp.MustCompile(`(?i)fsck error|error: object [0-9a-f]{40,64}: \w+: `), unsafe,
		"the source sends an object that git fsck refuses: damaged, or made to do harm where it is checked out; git " +
			"fsck --full in the source names it; source.skipObjectChecks takes it all the same",
	},
	{
		regexp.MustCompile(`(?i)certificate (verification failed|problem|has expired)|SSL certificate|unable to ` +
			`get local issuer|self.signed certificate`), unsafe,
		"the server's certificate is not trusted; put the certificate of its authority into the secret under ca",
	},
	{
		regexp.MustCompile(`(?i)authentication failed|permission denied \(|could not read (username|password)|` +
			`invalid credentials|returned error: 40[13]|HTTP 40[13]|access denied|not authorized|Too many ` +
			`authentication failures|terminal prompts disabled`), refused,
		"the credentials are refused, or lack the right; look at the secret, or at the task role for CodeCommit",
	},
	{
		regexp.MustCompile(`(?i)repository .*not found|returned error: 404|does not appear to be a git repository|` +
			`repository does not exist`), absent,
		"there is no such repository; look at the URL, or set create: true for CodeCommit",
	},
	{
		regexp.MustCompile(`(?i)not our ref|unadvertised object|want .* not valid|no such remote ref|couldn't find ` +
			`remote ref`), moved, "the source's refs move faster than they can be fetched; the next run goes on",
	},
	{
		regexp.MustCompile(`(?i)returned error: (5\d\d|429|408)|HTTP (5\d\d|429|408)|could not resolve (host|` +
			`proxy)|name resolution|connection (refused|reset|timed out|closed)|couldn't connect|failed to connect|` +
			`operation (timed out|too slow)|early EOF|unexpected disconnect|RPC failed|hung up unexpectedly|` +
			`network is unreachable|no route to host|broken pipe|TLS connect|SSL_(connect|read|ERROR)|GnuTLS|` +
			`transfer closed|empty reply|kex_exchange_identification|ssh_exchange_identification|Rate exceeded|` +
			`rate limit|expected flush|invalid index-pack output|fetch-pack: invalid|protocol error`), passing,
		"the network or the server failed; the next run goes on",
	},
}

func classify(verb string, cause error, text string) *gitError {
	e := &gitError{verb: verb, cause: cause, text: text}
	if errors.Is(cause, context.Canceled) {
		return e
	}
	for _, s := range symptoms {
		if s.pattern.MatchString(text) {
			e.class, e.hint = s.class, s.hint
			return e
		}
	}
	if errors.Is(cause, errStalled) || errors.Is(cause, context.DeadlineExceeded) ||
		strings.HasPrefix(cause.Error(), "not done after") {
		e.class, e.hint = passing, "the server does not answer, or too slowly; look at security groups, routes and "+
			"DNS between the subnet and it"
	}
	return e
}

// classOf returns the class of a failure of git; broken for any other error.
func classOf(err error) class {
	var g *gitError
	if errors.As(err, &g) {
		return g.class
	}
	return broken
}

// again calls do until it succeeds, fails for good, or has failed so often as the
// limits allow. It returns how often it was tried.
func again(ctx context.Context, l Limits, do func() error) (tries int, err error) {
	pause := l.Pause
	for tries = 1; ; tries++ {
		err = do()
		if err == nil || classOf(err) != passing || tries >= l.Attempts {
			return tries, err
		}
		wait := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
			wait.Stop()
			return tries, errors.Join(err, context.Cause(ctx))
		case <-wait.C:
		}
		pause = min(2*pause, time.Minute)
	}
}
