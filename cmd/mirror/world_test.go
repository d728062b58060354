package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codecommit"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/goccy/go-yaml"

	"drawbridge/internal/awssim"
	"drawbridge/internal/gitserver"
	"drawbridge/internal/mirror"
	"drawbridge/internal/sandbox"
)

// TestMain lets the test's own binary be the mirror: as the program of a run, and as
// git's credential helper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "run" || os.Args[1] == "credential") {
		main()
	}
	if _, err := exec.LookPath("git"); err != nil {
		fmt.Fprintln(os.Stderr, "missing on this machine: git; install with: apt-get install git")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// longStory skips a test that takes long where only quick ones are asked for.
func longStory(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
}

// world is a simulated AWS, and a git server that is the source.
type world struct {
	t        *testing.T
	sim      *awssim.Sim
	endpoint string
	folder   string // of the source's bare repositories
	source   *httptest.Server
	front    *frontDoor
	killer   *killer
	s3       *s3.Client
	cc       *codecommit.Client
	secrets  *secretsmanager.Client
	// repositories are what the mirror is configured with.
	repositories map[string]any
	env          []string
	args         []string
}

// frontDoor is what stands before the source's git: who is let in, and what is
// wrong with it.
type frontDoor struct {
	folder, user, password string
	// failures is how many requests are answered with 503 from now on.
	failures atomic.Int32
	// hang lets requests wait until the test ends.
	hang     atomic.Bool
	requests atomic.Int32
	objects  func(http.ResponseWriter, *http.Request) bool
	// slow is how late each piece of an answer comes.
	slow time.Duration
	done chan struct{}
}

// late is an answer that comes in small pieces, each of them late.
type late struct {
	http.ResponseWriter
	by   time.Duration
	done chan struct{}
}

func (l late) Write(p []byte) (n int, err error) {
	const piece = 16 << 10
	for len(p) > 0 && err == nil {
		wait := time.NewTimer(l.by)
		select {
		case <-wait.C:
		case <-l.done:
		}
		var k int
		k, err = l.ResponseWriter.Write(p[:min(piece, len(p))])
		if f, ok := l.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		n, p = n+k, p[k:]
	}
	return n, err
}

func (f *frontDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	if f.hang.Load() {
		select {
		case <-f.done:
		case <-r.Context().Done():
		}
		return
	}
	if f.failures.Add(-1) >= 0 {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	}
	user, password, ok := r.BasicAuth()
	if f.user != "" && (user != f.user || password != f.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, fmt.Sprintf("no (%v)", ok), http.StatusUnauthorized)
		return
	}
	if f.objects != nil && f.objects(w, r) {
		return
	}
	if f.slow > 0 {
		w = late{w, f.slow, f.done}
	}
	gitserver.Serve(w, r, "/", f.folder, "")
}

const stateBucket = "state-bucket"

func newWorld(t *testing.T) *world {
	t.Helper()
	sim := awssim.New(awssim.Options{Speed: 1})
	k := &killer{}
	server := httptest.NewServer(k.guard(sim))
	sim.SetAddress(strings.TrimPrefix(server.URL, "http://"))
	w := &world{t: t, sim: sim, endpoint: server.URL, folder: t.TempDir(), killer: k, repositories: map[string]any{}}
	w.front = &frontDoor{folder: w.folder, done: make(chan struct{})}
	w.source = httptest.NewServer(k.guard(w.front))
	t.Cleanup(func() {
		close(w.front.done)
		w.source.Close()
		server.Close()
		sim.Close()
	})
	conf := sandbox.AWSConfig(sim, server.URL, http.DefaultTransport)
	w.s3 = s3.NewFromConfig(conf, func(o *s3.Options) { o.UsePathStyle = true })
	w.cc, w.secrets = codecommit.NewFromConfig(conf), secretsmanager.NewFromConfig(conf)
	w.bucket(stateBucket)
	w.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "AWS_ENDPOINT_URL=" + server.URL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=AKIATEST"}
	return w
}

func (w *world) bucket(name string) {
	w.t.Helper()
	if _, err := w.s3.CreateBucket(w.t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		w.t.Fatal(err)
	}
}

// bundle puts a bundle of a repository into a bucket.
func (w *world) bundle(dir, bucket, key string, what ...string) (text []byte) {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "b")
	git(w.t, dir, append([]string{"bundle", "create", "-q", path}, what...)...)
	b, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(bucket, key, b)
	return b
}

// put stores an object.
func (w *world) put(bucket, key string, text []byte) {
	w.t.Helper()
	if _, err := w.s3.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(text)}); err != nil {
		w.t.Fatal(err)
	}
}

// secret stores a secret and returns its ARN.
func (w *world) secret(name string, value any) string {
	w.t.Helper()
	text, ok := value.(string)
	if !ok {
		b, err := json.Marshal(value)
		if err != nil {
			w.t.Fatal(err)
		}
		text = string(b)
	}
	out, err := w.secrets.CreateSecret(w.t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text})
	if err != nil {
		w.t.Fatal(err)
	}
	return aws.ToString(out.ARN)
}

// codecommit makes a repository in CodeCommit.
func (w *world) codecommit(name string) {
	w.t.Helper()
	if _, err := w.cc.CreateRepository(w.t.Context(), &codecommit.CreateRepositoryInput{RepositoryName: &name}); err != nil {
		w.t.Fatal(err)
	}
}

// git runs git in a folder, as a person would.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return gitWith(t, dir, "", args...)
}

func gitWith(t *testing.T, dir, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=init.defaultBranch", "GIT_CONFIG_VALUE_0=main", "GIT_CONFIG_KEY_1=core.fsync", "GIT_CONFIG_VALUE_1=none")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(out.String())
}

// repository makes a bare source repository of n commits and returns its folder.
func (w *world) repository(name string, n int) string {
	w.t.Helper()
	dir := filepath.Join(w.folder, name+".git")
	git(w.t, w.folder, "init", "-q", "--bare", dir)
	w.commits(dir, "refs/heads/main", n, "first")
	return dir
}

// commits adds n commits to a branch, each with a file of its own.
func (w *world) commits(dir, ref string, n int, word string) {
	w.t.Helper()
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, "commit %s\ncommitter a <a@example.com> %d +0000\ndata 5\nword\n", ref, 1_700_000_000+i)
		if i == 0 && exec.Command("git", "-C", dir, "rev-parse", "-q", "--verify", ref).Run() == nil {
			fmt.Fprintf(&in, "from %s^0\n", ref)
		}
		text := fmt.Sprintf("%s %d\n", word, i)
		fmt.Fprintf(&in, "M 644 inline dir/%s-%d\ndata %d\n%s\n", word, i, len(text), text)
	}
	gitWith(w.t, dir, in.String(), "fast-import", "--quiet")
}

// file commits one file to a branch.
func (w *world) file(dir, ref, path, text string) {
	w.t.Helper()
	from := ""
	if exec.Command("git", "-C", dir, "rev-parse", "-q", "--verify", ref).Run() == nil {
		from = "from " + ref + "^0\n"
	}
	gitWith(w.t, dir, fmt.Sprintf("commit %s\ncommitter a <a@example.com> %d +0000\ndata 4\nfile%sM 644 inline %s\ndata %d\n%s\n", ref, time.Now().Unix(), "\n"+from, path, len(text), text), "fast-import", "--quiet")
}

// mirrors configures a repository: from the source of that name into CodeCommit. more
// are further keys.
func (w *world) mirrors(name string, more map[string]any) {
	c := map[string]any{"source": map[string]any{"url": w.source.URL + "/" + name + ".git"}, "target": map[string]any{"codecommit": name, "create": true}}
	maps.Copy(c, more)
	w.repositories[name] = c
}

// outcome is how a run of the mirror has ended.
type outcome struct {
	code    int
	out     string
	reports map[string]mirror.Report
	peakKB  int64
}

func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	w.t.Helper()
	settings, err := yaml.Marshal(map[string]any{"repositories": w.repositories})
	if err != nil {
		w.t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, append(append([]string{"run", "--state", "s3://" + stateBucket + "/mirror", "--pause", "10ms"}, w.args...), args...)...)
	cmd.Env = append(slices.Clone(w.env), "DRAWBRIDGE_MIRROR="+string(settings))
	return cmd
}

// run runs the mirror as a process of its own.
func (w *world) run(args ...string) outcome {
	w.t.Helper()
	cmd := w.command(w.t.Context(), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // the exit code tells
	return w.read(cmd, out.String())
}

func (w *world) read(cmd *exec.Cmd, out string) outcome {
	w.t.Helper()
	o := outcome{code: cmd.ProcessState.ExitCode(), out: out, reports: map[string]mirror.Report{}, peakKB: peak(cmd.ProcessState)}
	for _, line := range strings.Split(out, "\n") {
		var last struct{ Mirrored []mirror.Report }
		if json.Unmarshal([]byte(line), &last) == nil {
			for _, r := range last.Mirrored {
				o.reports[r.Repository] = r
			}
		}
	}
	return o
}

// want fails the test unless a repository's run ended so.
func (o outcome) want(t *testing.T, code int, repository string, s mirror.Status) mirror.Report {
	t.Helper()
	r := o.reports[repository]
	if o.code != code || r.Status != s {
		t.Fatalf("exit code %d, %s %q, want %d, %q\n%s", o.code, repository, r.Status, code, s, o.out)
	}
	return r
}

// refs returns the branches and tags of a bare repository.
func refs(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, line := range strings.Split(git(t, dir, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"), "\n") {
		if id, name, ok := strings.Cut(line, " "); ok {
			out[name] = id
		}
	}
	return out
}

// same fails the test unless the replica in CodeCommit holds what the source holds,
// and is whole.
func (w *world) same(name string) {
	w.t.Helper()
	want, got := refs(w.t, filepath.Join(w.folder, name+".git")), refs(w.t, w.sim.GitFolder(name))
	if !maps.Equal(want, got) {
		w.t.Fatalf("the replica of %s holds %d refs, not the source's %d, or others", name, len(got), len(want))
	}
	git(w.t, w.sim.GitFolder(name), "fsck", "--connectivity-only", "--no-dangling")
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
