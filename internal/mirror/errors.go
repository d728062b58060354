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

// class tells the caller how to handle a failure of git.
type class int

const (
	// broken is an unknown failure; it is not retried.
	broken class = iota
	// passing is a failure of the network or the server; it is retried.
	passing
	// refused is a failure of credentials or permissions; it is never retried,
	// which could lock an account.
	refused
	// absent means that the repository does not exist.
	absent
	// moved means that the server no longer serves an object: its ref has moved.
	moved
	// unsafe is a server that failed authentication or sent unsafe objects.
	unsafe
	// spoiled is a source, or a disk, that fails each time until somebody mends it.
	spoiled
)

// gitError is a failure of git.
type gitError struct {
	verb  string
	class class
	cause error
	// text is git's message, without secrets.
	text string
	hint string
}

func (e *gitError) Error() string {
	said := e.said()
	if len(said) == 0 {
		return fmt.Sprintf("git %s: %v", e.verb, e.cause)
	}
	return fmt.Sprintf("git %s: %v: %s", e.verb, e.cause, strings.Join(said, "; "))
}

// most is how many lines of others an error tells.
const most = 3

// said returns what git said first, after what ssh and the server said: they know the cause.
func (e *gitError) said() (out []string) {
	own, last := "", ""
	for _, line := range strings.Split(e.text, "\n") {
		isOwn := strings.HasPrefix(line, "fatal: ") || strings.HasPrefix(line, "error: ")
		switch {
		case isOwn && own == "":
			own = line
		case isOwn || line == "" || advice.MatchString(line):
		case len(out) < most && others.MatchString(line):
			out = append(out, line)
		default:
			last = line
		}
	}
	if own == "" {
		own = last
	}
	if own != "" {
		out = append(out, own)
	}
	return out
}

var (
	// advice are lines that tell nothing of the cause.
	advice = regexp.MustCompile(`^(hint: |warning: |Please make sure |and the repository exists|To |Cloning |` +
		`remote: *$)`)
	// others are lines of the server, its hooks and ssh.
	others = regexp.MustCompile(`^(remote: |ssh: |[^ ]+@[^ ]+: |Host key |kex_|Permission denied|@ +WARNING|` +
		`Connection )`)
)

func (e *gitError) Unwrap() error { return e.cause }

// Hint returns the remedy, "" if none is known.
func (e *gitError) Hint() string { return e.hint }

// damaged matches what a source says that lacks objects. A target's hooks may say the like of a push.
var damaged = regexp.MustCompile(`(?i)remote: (fatal|error): .*(corrupt|bad (object|tree|blob)|missing|` +
	`unable to read|could not read|loose object|inflate|failed to read|failed to traverse)|` +
	`aborting due to possible repository corruption`)

// symptoms match messages of git and ssh, in order: the first match decides.
//
// Source: the messages of git 2.39 to 2.47, curl and OpenSSH.
var symptoms = []struct {
	pattern *regexp.Regexp
	class   class
	hint    string
}{
	{
		regexp.MustCompile(`(?i)remote: .*(no space left on device|disk quota exceeded)`), spoiled,
		"the git server's disk is full",
	},
	{
		regexp.MustCompile(`(?i)no space left on device|disk quota exceeded`), spoiled,
		"the task's disk is full: increase mirror.disk",
	},
	{
		regexp.MustCompile(`(?i)shallow (update not allowed|repository)|source repository is shallow`), spoiled,
		"the source is a shallow clone and lacks history: git fetch --unshallow there, or name the full repository",
	},
	{
		damaged, spoiled,
		"the source lacks an object, or has a damaged one: git fsck --full there names it",
	},
	{
		// what git's own side lacks, whatever the server says when git hangs up for it
		regexp.MustCompile(`(?im)^(error|fatal): (could not read|unable to read|failed to read|missing|bad)\b.* ` +
			`?[0-9a-f]{40,64}`), broken, "",
	},
	{
		regexp.MustCompile(`(?i)host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|no .* host key ` +
			`is known`), unsafe,
		"the server's host key is not the one in knownHosts of the secret; find out why before you change it",
	},
	{
		regexp.MustCompile(`(?i)fsck error|error: object [0-9a-f]{40,64}: \w+: `), unsafe,
		"the source sends an object that git fsck rejects: damaged, or harmful on checkout; git " +
			"fsck --full in the source names it; source.skipObjectChecks accepts it anyway",
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
		"the credentials are wrong or lack permission; check the secret, or the task role for CodeCommit",
	},
	{
		regexp.MustCompile(`(?i)repository .*not found|returned error: 404|does not appear to be a git repository|` +
			`repository does not exist`), absent,
		"the repository does not exist; check the URL, or set create: true for CodeCommit",
	},
	{
		regexp.MustCompile(`(?i)not our ref|unadvertised object|want .* not valid|no such remote ref|couldn't find ` +
			`remote ref`), moved, "the source's refs move faster than they can be fetched; the next run resumes",
	},
	{
		regexp.MustCompile(`(?i)returned error: (5\d\d|429|408)|HTTP (5\d\d|429|408)|could not resolve (host|` +
			`proxy)|name resolution|connection (refused|reset|timed out|closed)|couldn't connect|failed to connect|` +
			`operation (timed out|too slow)|early EOF|unexpected disconnect|RPC failed|hung up unexpectedly|` +
			`network is unreachable|no route to host|broken pipe|TLS connect|SSL_(connect|read|ERROR)|GnuTLS|` +
			`transfer closed|empty reply|kex_exchange_identification|ssh_exchange_identification|Rate exceeded|` +
			`rate limit|expected flush|invalid index-pack output|fetch-pack: invalid|protocol error`), passing,
		"the network or the server failed; the next run resumes",
	},
}

func classify(verb string, cause error, text string) *gitError {
	e := &gitError{verb: verb, cause: cause, text: text}
	if errors.Is(cause, context.Canceled) {
		return e
	}
	for _, s := range symptoms {
		if s.pattern.MatchString(text) && (s.pattern != damaged || verb != "push") {
			e.class, e.hint = s.class, s.hint
			return e
		}
	}
	if errors.Is(cause, errStalled) || errors.Is(cause, context.DeadlineExceeded) ||
		strings.HasPrefix(cause.Error(), "not done after") {
		e.class, e.hint = passing, "the server does not answer, or too slowly; check security groups, routes and "+
			"DNS between the subnet and the server"
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

// again calls do until it succeeds, fails permanently, or reaches the limit of
// attempts. It returns the number of attempts.
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
