package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	gogit "github.com/go-git/go-git/v5"
	gogitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"

	"drawbridge/internal/gitserver"
	"drawbridge/internal/mirror"
)

func TestMirrorsThenFindsNothingChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 5)
	git(t, dir, "tag", "-a", "-m", "v1", "v1", "main")
	git(t, dir, "update-ref", "refs/pull/1/head", "main")
	w.mirrors("app", nil)
	r := w.run().want(t, exitDone, "app", mirror.Mirrored)
	if len(r.Created) != 2 || r.Refs != 2 {
		t.Errorf("report %+v, want two refs created", r)
	}
	w.same("app")
	w.run().want(t, exitDone, "app", mirror.Unchanged)
	w.file(dir, "refs/heads/main", "new", "text")
	r = w.run().want(t, exitDone, "app", mirror.Mirrored)
	if r.Cache != "used" || len(r.Updated) != 1 {
		t.Errorf("report %+v, want one update upon the cache", r)
	}
	w.same("app")
}

func TestAuthentication(t *testing.T) {
	longStory(t)
	t.Parallel()
	for _, tt := range []struct {
		name   string
		secret map[string]string
		code   int
		status mirror.Status
	}{
		{"user and password", map[string]string{"username": "reader", "password": "pass-word-123"}, exitDone, mirror.Mirrored},
		{"a token for a password", map[string]string{"username": "reader", "token": "pass-word-123"}, exitDone, mirror.Mirrored},
		{"a wrong password is tried once", map[string]string{"username": "reader", "password": "wrong-pass-1"}, exitFailed, mirror.Failed},
		{"no password", map[string]string{}, exitFailed, mirror.Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.repository("app", 2)
			w.front.user, w.front.password = "reader", "pass-word-123"
			w.mirrors("app", map[string]any{"source": map[string]any{"url": w.source.URL + "/app.git", "secret": w.secret("s", tt.secret)}})
			r := w.run().want(t, tt.code, "app", tt.status)
			if tt.code != exitDone {
				if n := w.front.requests.Load(); n > 2 {
					t.Errorf("%d requests after a refusal, want two: one without and one with the password", n)
				}
				if !strings.Contains(r.Hint, "credentials") {
					t.Errorf("hint %q", r.Hint)
				}
				return
			}
			w.same("app")
		})
	}
}

func TestTLS(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	w.repository("app", 2)
	ca, server, client := authority(t)
	secure := httptest.NewUnstartedServer(w.front)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{server.pair(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(t)}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for _, tt := range []struct {
		name   string
		secret map[string]string
		code   int
		status mirror.Status
		hint   string
	}{
		{"a private authority and a client certificate", map[string]string{"ca": ca.cert, "clientCertificate": client.cert, "clientKey": client.key}, exitDone, mirror.Mirrored, ""},
		{"an authority that is not known", map[string]string{"clientCertificate": client.cert, "clientKey": client.key}, exitFailed, mirror.Failed, "ca"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.mirrors("app", map[string]any{"source": map[string]any{"url": secure.URL + "/app.git", "secret": w.secret(t.Name(), tt.secret)}})
			r := w.run().want(t, tt.code, "app", tt.status)
			if !strings.Contains(r.Hint, tt.hint) {
				t.Errorf("hint %q, want %q", r.Hint, tt.hint)
			}
		})
	}
	w.same("app")
}

func TestSSH(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 3)
	d := startSSHD(t)
	for _, tt := range []struct {
		name, key, hosts string
		code             int
		status           mirror.Status
		hint             string
	}{
		{"key and host key", d.userKey, d.knownHosts, exitDone, mirror.Mirrored, ""},
		{"another host key", d.userKey, d.otherHosts, exitFailed, mirror.Failed, "host key"},
		{"no host key", d.userKey, "", exitFailed, mirror.Refused, "knownHosts"},
		{"a key that is not let in", d.otherKey, d.knownHosts, exitFailed, mirror.Failed, "credentials"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.mirrors("app", map[string]any{"source": map[string]any{"url": d.url + dir, "secret": w.secret(t.Name(), map[string]string{"privateKey": tt.key, "knownHosts": tt.hosts})}})
			r := w.run().want(t, tt.code, "app", tt.status)
			if !strings.Contains(r.Hint, tt.hint) {
				t.Errorf("hint %q, want %q", r.Hint, tt.hint)
			}
		})
	}
	w.same("app")
}

func TestScopeNeverHoldsHeadOrHiddenRefs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	for _, ref := range []string{"refs/heads/dev", "refs/heads/tmp/x", "refs/heads/feature/ü", "refs/tags/v1", "refs/tags/nightly-1", "refs/pull/1/head", "refs/merge-requests/1/head", "refs/notes/commits", "refs/stash"} {
		git(t, dir, "update-ref", ref, "main")
	}
	w.mirrors("app", map[string]any{"refs": []string{"refs/heads/*", "!refs/heads/tmp/*", "refs/tags/v*"}})
	r := w.run().want(t, exitDone, "app", mirror.Mirrored)
	if want := []string{"refs/heads/dev", "refs/heads/feature/ü", "refs/heads/main", "refs/tags/v1"}; !slices.Equal(r.Created, want) {
		t.Errorf("created %q, want %q", r.Created, want)
	}
	if got := git(t, w.sim.GitFolder("app"), "for-each-ref", "--format=%(refname)"); strings.Count(got, "\n") != 3 {
		t.Errorf("the replica holds:\n%s", got)
	}
}

func TestDivergedRefsFailAndAllElseIsMirrored(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 3)
	git(t, dir, "branch", "rewritten", "main")
	git(t, dir, "tag", "moved", "main")
	w.mirrors("app", nil)
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	git(t, dir, "update-ref", "refs/heads/rewritten", "main~2")
	git(t, dir, "update-ref", "refs/tags/moved", "main~1")
	w.file(dir, "refs/heads/main", "new", "text")
	// A user writes to the replica.
	stray := w.sim.GitFolder("app")
	w.file(stray, "refs/heads/stray", "x", "x")
	git(t, dir, "update-ref", "refs/heads/stray", "main")

	r := w.run().want(t, exitFailed, "app", mirror.Diverged)
	if want := []string{"refs/heads/rewritten", "refs/heads/stray", "refs/tags/moved"}; !slices.Equal(slices.Sorted(slices.Values(r.Diverged)), want) || !slices.Equal(r.Updated, []string{"refs/heads/main"}) {
		t.Errorf("diverged %q, updated %q", r.Diverged, r.Updated)
	}
	if !strings.Contains(r.Hint, "force") {
		t.Errorf("hint %q", r.Hint)
	}
	w.mirrors("app", map[string]any{"force": true})
	r = w.run().want(t, exitDone, "app", mirror.Mirrored)
	if len(r.Forced) != 3 {
		t.Errorf("forced %q, want three", r.Forced)
	}
	w.same("app")
}

func TestPrune(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	for i := range 20 {
		git(t, dir, "branch", fmt.Sprintf("b%02d", i), "main")
	}
	w.mirrors("app", nil)
	w.run().want(t, exitDone, "app", mirror.Mirrored)

	git(t, dir, "branch", "-D", "b00", "b01")
	if r := w.run().want(t, exitDone, "app", mirror.Unchanged); r.Kept != 2 {
		t.Errorf("kept %d, want the two that are gone from the source", r.Kept)
	}
	w.mirrors("app", map[string]any{"prune": true})
	if r := w.run().want(t, exitDone, "app", mirror.Mirrored); !slices.Equal(r.Deleted, []string{"refs/heads/b00", "refs/heads/b01"}) {
		t.Errorf("deleted %q", r.Deleted)
	}
	w.same("app")

	for i := 2; i < 8; i++ {
		git(t, dir, "branch", "-D", fmt.Sprintf("b%02d", i))
	}
	w.file(dir, "refs/heads/main", "x", "y")
	r := w.run().want(t, exitFailed, "app", mirror.Refused)
	if !strings.Contains(r.Error, "6 of the target's 19 refs") || !strings.Contains(r.Hint, "pruneLimit") || len(r.Deleted) > 0 || len(r.Updated) != 1 {
		t.Errorf("%+v, want one update and a refusal to delete", r)
	}
	w.mirrors("app", map[string]any{"prune": true, "pruneLimit": 40})
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")

	git(t, dir, "symbolic-ref", "HEAD", "refs/heads/b10")
	git(t, dir, "branch", "-D", "main")
	if r = w.run().want(t, exitDone, "app", mirror.Mirrored); r.Default != "b10" {
		t.Errorf("%+v, want b10 as the default branch", r)
	}
	w.same("app")
}

// More refs than are deleted by name go by one pattern, and nothing else does.
func TestManyRefsAreDeletedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	for i := range 130 {
		git(t, dir, "branch", fmt.Sprintf("b%03d", i), "main")
	}
	git(t, dir, "tag", "v1", "main")
	w.mirrors("app", map[string]any{"prune": true, "pruneLimit": 100})
	w.run().want(t, exitDone, "app", mirror.Mirrored)

	var gone []string
	for i := range 120 {
		gone = append(gone, fmt.Sprintf("b%03d", i))
	}
	git(t, dir, append([]string{"branch", "-D"}, gone...)...)
	if r := w.run().want(t, exitDone, "app", mirror.Mirrored); len(r.Deleted) != len(gone) {
		t.Errorf("%d refs deleted, want %d", len(r.Deleted), len(gone))
	}
	w.same("app")
}

func TestAnEmptySourceDeletesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	w.mirrors("app", map[string]any{"prune": true})
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	git(t, dir, "update-ref", "-d", "refs/heads/main")
	w.run().want(t, exitFailed, "app", mirror.Refused)
}

func TestEmptyRepositoriesAndSubmodules(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	git(t, w.folder, "init", "-q", "--bare", "empty.git")
	w.mirrors("empty", nil)
	dir := w.repository("sub", 1)
	tree := gitWith(t, dir, "160000 commit 1111111111111111111111111111111111111111\tlib\n", "mktree", "--missing")
	commit := git(t, dir, "commit-tree", "-m", "a submodule", "-p", "main", tree)
	git(t, dir, "update-ref", "refs/heads/main", commit)
	w.mirrors("sub", nil)
	o := w.run()
	o.want(t, exitDone, "empty", mirror.Unchanged)
	o.want(t, exitDone, "sub", mirror.Mirrored)
	w.same("sub")
}

func TestOneFailureDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.repository("a", 2)
	w.repository("c", 2)
	w.mirrors("a", nil)
	w.mirrors("b", nil)
	w.mirrors("c", nil)
	o := w.run()
	o.want(t, exitFailed, "a", mirror.Mirrored)
	r := o.want(t, exitFailed, "b", mirror.Failed)
	o.want(t, exitFailed, "c", mirror.Mirrored)
	if !strings.Contains(r.Hint, "the repository does not exist") {
		t.Errorf("hint %q", r.Hint)
	}
	w.run("a").want(t, exitDone, "a", mirror.Unchanged)
}

func TestFailuresOfTheServerAreTriedAgain(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	w.repository("app", 2)
	w.mirrors("app", nil)
	w.front.failures.Store(3)
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")
	w.front.failures.Store(100)
	r := w.run().want(t, exitFailed, "app", mirror.Failed)
	if !strings.Contains(r.Error, "503") {
		t.Errorf("error %q", r.Error)
	}
	w.front.failures.Store(0)
	if err := w.sim.SetFault("server-error", "0.3", 0); err != nil {
		t.Fatal(err)
	}
	w.file(filepath.Join(w.folder, "app.git"), "refs/heads/main", "x", "y")
	w.args = []string{"--attempts", "20"}
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")
}

func TestAHangIsKilledWithItsWholeGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.repository("app", 2)
	w.mirrors("app", nil)
	w.front.hang.Store(true)
	w.args = []string{"--stall", "1s", "--attempts", "1"}
	r := w.run().want(t, exitFailed, "app", mirror.Failed)
	if !strings.Contains(r.Error, "no progress") && !strings.Contains(r.Error, "too slow") || !strings.Contains(r.Hint, "does not answer") && !strings.Contains(r.Hint, "network") {
		t.Errorf("%s; %s", r.Error, r.Hint)
	}
	wantGone(t, w.source.URL)
}

func TestInterruptionEndsAllAndFreesTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.repository("app", 2)
	w.mirrors("app", nil)
	w.front.hang.Store(true)
	cmd := w.command(t.Context())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for w.front.requests.Load() == 0 {
		runtime.Gosched()
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the exit code tells
	if o := w.read(cmd, out.String()); o.code != exitInterrupted {
		t.Errorf("exit code %d, want %d\n%s", o.code, exitInterrupted, o.out)
	}
	wantGone(t, w.source.URL)
}

// TestObjectsThatGitRefusesAreNotMirrored: a tree that would write into .git where it is
// checked out.
func TestObjectsThatGitRefusesAreNotMirrored(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	git := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	blob := git("[core]\n", "hash-object", "-w", "--stdin")
	raw, err := hex.DecodeString(blob)
	if err != nil {
		t.Fatal(err)
	}
	tree := git("100644 .git\x00"+string(raw), "hash-object", "-t", "tree", "-w", "--stdin", "--literally")
	git("", "update-ref", "refs/heads/bad", git("", "commit-tree", "-m", "bad", tree))

	w.mirrors("app", nil)
	r := w.run().want(t, exitFailed, "app", mirror.Failed)
	if !strings.Contains(r.Error, "hasDotgit") || !strings.Contains(r.Hint, "skipObjectChecks") {
		t.Errorf("%s; %s", r.Error, r.Hint)
	}
	if len(refs(t, w.sim.GitFolder("app"))) != 0 {
		t.Error("something was pushed all the same")
	}
	git("", "update-ref", "-d", "refs/heads/bad")
	w.run().want(t, 0, "app", mirror.Mirrored)
}

// TestASourceThatIsTooLargeIsRefused: by git, and as a bundle, before anything is pushed.
func TestASourceThatIsTooLargeIsRefused(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	noise := make([]byte, 1<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	w.file(dir, "refs/heads/main", "noise", hex.EncodeToString(noise)) // packs to a megabyte and a little
	w.mirrors("app", map[string]any{"source": map[string]any{"url": w.source.URL + "/app.git", "maxMiB": 1}})
	r := w.run().want(t, exitFailed, "app", mirror.Refused)
	if !strings.Contains(r.Error, "(limit 1 MiB)") || !strings.Contains(r.Hint, "maxMiB") || len(refs(t, w.sim.GitFolder("app"))) != 0 {
		t.Errorf("%s; %s; %v", r.Error, r.Hint, refs(t, w.sim.GitFolder("app")))
	}
	w.bucket("inbox")
	w.bundle(dir, "inbox", "app.bundle", "--all")
	w.repositories["app"] = map[string]any{"source": map[string]any{"bundle": "s3://inbox/app.bundle", "maxMiB": 1}, "target": map[string]any{"codecommit": "app", "create": true}}
	if r := w.run().want(t, exitFailed, "app", mirror.Refused); !strings.Contains(r.Error, "(limit 1 MiB)") {
		t.Errorf("as a bundle: %s", r.Error)
	}
	w.mirrors("app", nil)
	w.run().want(t, 0, "app", mirror.Mirrored)
}

func TestLFS(t *testing.T) {
	longStory(t)
	t.Parallel()
	body := strings.Repeat("large ", 1000)
	sum := sha256.Sum256([]byte(body))
	oid := hex.EncodeToString(sum[:])
	pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(body))
	w := newWorld(t)
	dir := w.repository("app", 2)
	w.file(dir, "refs/heads/main", "assets/video.mp4", pointer)
	w.bucket("lfs-bucket")

	w.mirrors("app", nil)
	r := w.run().want(t, exitFailed, "app", mirror.Refused)
	if !strings.Contains(r.Error, "assets/video.mp4") || !strings.Contains(r.Hint, "lfs:") {
		t.Errorf("%s; %s", r.Error, r.Hint)
	}
	if len(refs(t, w.sim.GitFolder("app"))) != 0 {
		t.Error("something was pushed all the same")
	}

	w.front.user, w.front.password = "reader", "pass-word-123"
	served, place, elsewhere := 0, "", 0
	stranger := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { elsewhere++; _, _ = io.WriteString(rw, body) }))
	defer stranger.Close()
	w.front.objects = func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/info/lfs/objects/batch"):
			fmt.Fprintf(rw, `{"transfer":"basic","objects":[{"oid":%q,"size":%d,"actions":{"download":{"href":%q}}}]}`, oid, len(body), cmp.Or(place, w.source.URL+"/objects/"+oid))
		case r.URL.Path == "/elsewhere":
			http.Redirect(rw, r, stranger.URL+"/object", http.StatusFound)
		case r.URL.Path == "/objects/"+oid:
			if served++; served == 1 {
				_, _ = io.WriteString(rw, body[:100]+"damaged") // the first answer is not the object
				return true
			}
			_, _ = io.WriteString(rw, body)
		default:
			return false
		}
		return true
	}
	w.mirrors("app", map[string]any{"lfs": "s3://lfs-bucket/app", "source": map[string]any{"url": w.source.URL + "/app.git", "secret": w.secret("s", map[string]string{"username": "reader", "password": "pass-word-123"})}})
	for _, place = range []string{"http://169.254.170.2/v2/credentials", stranger.URL + "/object", strings.Replace(w.source.URL, "http:", "https:", 1) + "/objects/" + oid, w.source.URL + "/elsewhere"} {
		if r := w.run().want(t, exitFailed, "app", mirror.Refused); !strings.Contains(r.Error, "not the source's host") || elsewhere > 0 {
			t.Errorf("an object at %s: %s; the stranger was asked %d times", place, r.Error, elsewhere)
		}
	}
	place = ""
	w.run().want(t, exitFailed, "app", mirror.Failed)
	r = w.run().want(t, exitDone, "app", mirror.Mirrored)
	if r.LFSObjects != 1 || r.Bytes.LFS != int64(len(body)) {
		t.Errorf("report %+v", r)
	}
	got, err := w.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("lfs-bucket"), Key: aws.String("app/" + oid[:2] + "/" + oid[2:4] + "/" + oid)})
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(got.Body); string(b) != body {
		t.Error("the object in S3 is not the one")
	}
	w.same("app")

	w.repositories = map[string]any{}
	git(t, w.folder, "clone", "-q", "--bare", dir, "ignored.git")
	w.mirrors("ignored", map[string]any{"lfs": "ignore", "source": map[string]any{"url": w.source.URL + "/ignored.git", "secret": w.secret("s2", map[string]string{"username": "reader", "password": "pass-word-123"})}})
	w.run().want(t, exitDone, "ignored", mirror.Mirrored)
}

func TestNamesThatCodeCommitRefuses(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 1)
	bad := "refs/heads/" + strings.Repeat("a", 40)
	git(t, dir, "update-ref", bad, "main")
	git(t, dir, "update-ref", "refs/heads/"+strings.Repeat("l", 130)+"/"+strings.Repeat("m", 130), "main")
	w.mirrors("app", nil)
	r := w.run().want(t, exitFailed, "app", mirror.Refused)
	if !strings.Contains(r.Error, "looks like an object id") || !strings.Contains(r.Error, "longer than 256") ||
		r.Barred[bad] == "" || len(r.Barred) != 2 || !slices.Equal(r.Created, []string{"refs/heads/main"}) {
		t.Errorf("%+v, want main mirrored and the two others barred", r)
	}
	w.file(dir, "refs/heads/main", "x", "y")
	if r = w.run().want(t, exitFailed, "app", mirror.Refused); !slices.Equal(r.Updated, []string{"refs/heads/main"}) {
		t.Errorf("%+v, want main updated", r)
	}
	w.mirrors("app", map[string]any{"refs": []string{"refs/heads/*", "!refs/heads/aaaa*", "!refs/heads/lll*"}})
	w.run().want(t, exitDone, "app", mirror.Unchanged)
}

// TestARenamedDefaultBranch follows the source's, on CodeCommit and where git alone cannot.
func TestARenamedDefaultBranch(t *testing.T) {
	longStory(t)
	t.Parallel()
	for _, prune := range []bool{false, true} {
		w := newWorld(t)
		dir := w.repository("app", 3)
		git(t, dir, "branch", "other", "main")
		folder := t.TempDir()
		plain := filepath.Join(folder, "plain.git")
		git(t, folder, "init", "--quiet", "--bare", "--initial-branch=main", plain)
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			gitserver.Serve(rw, r, "/", folder, "writer")
		}))
		defer server.Close()
		w.mirrors("app", map[string]any{"prune": prune, "pruneLimit": 100})
		w.run().want(t, exitDone, "app", mirror.Mirrored)
		w.mirrors("plain", map[string]any{
			"source": map[string]any{"url": w.source.URL + "/app.git"}, "target": map[string]any{"url": server.URL + "/plain.git"},
			"prune": prune, "pruneLimit": 100,
		})
		w.run().want(t, exitDone, "plain", mirror.Mirrored)
		git(t, dir, "branch", "-m", "main", "trunk")
		out := w.run()
		r := out.want(t, exitDone, "app", mirror.Mirrored)
		if head := git(t, w.sim.GitFolder("app"), "symbolic-ref", "HEAD"); head != "refs/heads/trunk" || r.Default != "trunk" {
			t.Errorf("prune %t: CodeCommit's default branch is %s, reported %q", prune, head, r.Default)
		}
		if _, old := refs(t, w.sim.GitFolder("app"))["refs/heads/main"]; old == prune {
			t.Errorf("prune %t: CodeCommit has the old name: %t", prune, old)
		}
		p := out.want(t, exitDone, "plain", mirror.Mirrored)
		if _, old := refs(t, plain)["refs/heads/main"]; !old || prune != (p.KeptDefault == "refs/heads/main") {
			t.Errorf("prune %t: plain git lost its default branch, or does not say that it stays: %+v", prune, p)
		}
		w.run().want(t, exitDone, "app", mirror.Unchanged)
		// The default branch alone.
		git(t, dir, "symbolic-ref", "HEAD", "refs/heads/other")
		if r = w.run().want(t, exitDone, "app", mirror.Unchanged); r.Default != "other" {
			t.Errorf("prune %t: %+v, want other as the default branch", prune, r)
		}
	}
}

func TestManyRefsGoInChunks(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 3)
	var in strings.Builder
	id := git(t, dir, "rev-parse", "main")
	for i := range 4_500 {
		fmt.Fprintf(&in, "create refs/heads/team-%d/branch-%05d %s\n", i%7, i, id)
	}
	gitWith(t, dir, in.String(), "update-ref", "--stdin")
	git(t, dir, "pack-refs", "--all")
	w.mirrors("app", nil)
	r := w.run().want(t, exitDone, "app", mirror.Mirrored)
	if len(r.Created) != 4_501 {
		t.Errorf("%d refs created", len(r.Created))
	}
	w.same("app")
	if head := git(t, w.sim.GitFolder("app"), "symbolic-ref", "HEAD"); head != "refs/heads/main" {
		t.Errorf("the default branch is %s, want the source's", head)
	}
}

func TestABrokenCacheIsMadeAnew(t *testing.T) {
	longStory(t)
	t.Parallel()
	for name, breakIt := range map[string]func(*world, string) error{
		"a pack is gone":    func(w *world, key string) error { return w.deleteObject(key) },
		"a pack is damaged": func(w *world, key string) error { return w.putObject(key, "PACK damaged") },
		"the manifest is torn": func(w *world, _ string) error {
			return w.putObject("mirror/app/cache/manifest.json", `{"version":1,"pa`)
		},
		"another version": func(w *world, _ string) error { return w.putObject("mirror/app/cache/manifest.json", `{"version":99}`) },
		"the manifest names other packs": func(w *world, _ string) error {
			return w.putObject("mirror/app/cache/manifest.json", `{"version":1,"packs":["pack-../../x"]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dir := w.repository("app", 5)
			w.mirrors("app", nil)
			w.run().want(t, exitDone, "app", mirror.Mirrored)
			pack := ""
			for _, key := range w.keys("mirror/app/cache/") {
				if strings.HasSuffix(key, ".pack") {
					pack = key
				}
			}
			if err := breakIt(w, pack); err != nil {
				t.Fatal(err)
			}
			w.file(dir, "refs/heads/main", "x", "y")
			r := w.run().want(t, exitDone, "app", mirror.Mirrored)
			if !strings.HasPrefix(r.Cache, "rebuilt") {
				t.Errorf("cache %q, want rebuilt", r.Cache)
			}
			w.same("app")
			w.file(dir, "refs/heads/main", "x", "z")
			if r := w.run().want(t, exitDone, "app", mirror.Mirrored); r.Cache != "used" {
				t.Errorf("afterwards the cache is %q", r.Cache)
			}
			w.same("app")
		})
	}
}

func TestManySmallFetchesLeaveFewPacks(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 5)
	w.mirrors("app", nil)
	for i := range 20 {
		w.file(dir, "refs/heads/main", fmt.Sprint("f", i), "text")
		w.run().want(t, exitDone, "app", mirror.Mirrored)
	}
	w.same("app")
	var m struct{ Packs []string }
	w.getObject("mirror/app/cache/manifest.json", &m)
	if len(m.Packs) > 13 {
		t.Errorf("%d packs after 20 fetches", len(m.Packs))
	}
}

func TestBundles(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 4)
	w.bucket("inbox")
	w.repositories["app"] = map[string]any{"source": map[string]any{"bundle": "s3://inbox/team/app.bundle"}, "target": map[string]any{"codecommit": "app", "create": true}, "prune": true}
	r := w.run().want(t, exitFailed, "app", mirror.Refused)
	if !strings.Contains(r.Error, "no bundle") {
		t.Errorf("error %q", r.Error)
	}
	put := func(args ...string) { t.Helper(); w.bundle(dir, "inbox", "team/app.bundle", args...) }
	put("--all")
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")
	w.run().want(t, exitDone, "app", mirror.Unchanged)
	old := git(t, dir, "rev-parse", "main")
	w.file(dir, "refs/heads/main", "x", "y")
	git(t, dir, "branch", "other", old)
	put("main", "^"+old) // incremental; it does not list the other branch
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	if got := refs(t, w.sim.GitFolder("app")); len(got) != 1 || got["refs/heads/main"] != git(t, dir, "rev-parse", "main") {
		t.Errorf("the replica holds %v", got)
	}
	if _, err := w.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("inbox"), Key: aws.String("team/app.bundle"), Body: strings.NewReader("no bundle")}); err != nil {
		t.Fatal(err)
	}
	w.run().want(t, exitFailed, "app", mirror.Refused)
}

func TestArchive(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 4)
	w.bucket("archive")
	w.repositories["app"] = map[string]any{"source": map[string]any{"url": w.source.URL + "/app.git"}, "target": map[string]any{"archive": "s3://archive/app", "keep": 3}}
	for i := range 5 {
		w.file(dir, "refs/heads/main", fmt.Sprint("f", i), "text")
		w.run().want(t, exitDone, "app", mirror.Mirrored)
		w.run().want(t, exitDone, "app", mirror.Unchanged)
	}
	var bundles []string
	for _, o := range w.list("archive") {
		if strings.HasSuffix(o, ".bundle") {
			bundles = append(bundles, o)
		}
	}
	if len(bundles) != 3 {
		t.Fatalf("%d bundles are kept, want 3", len(bundles))
	}
	out, err := w.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("archive"), Key: &bundles[2]})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(out.Body)
	path := filepath.Join(t.TempDir(), "newest.bundle")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, t.TempDir(), "clone", "-q", path, clone)
	if git(t, clone, "rev-parse", "HEAD") != git(t, dir, "rev-parse", "main") {
		t.Error("a clone of the newest bundle is not at the source's main")
	}
}

func TestAnotherGitRepositoryAsTarget(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 3)
	folder := t.TempDir()
	git(t, folder, "init", "-q", "--bare", "replica.git")
	target := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "writer" || password != "other-pass-1" {
			rw.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(rw, "no", http.StatusUnauthorized)
			return
		}
		gitserver.Serve(rw, r, "/", folder, "writer")
	}))
	defer target.Close()
	w.mirrors("app", map[string]any{"target": map[string]any{"url": target.URL + "/replica.git", "secret": w.secret("t", map[string]string{"username": "writer", "password": "other-pass-1"})}})
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	if !maps.Equal(refs(t, dir), refs(t, filepath.Join(folder, "replica.git"))) {
		t.Error("the replica is another")
	}
}

func TestRunsThatOverlap(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	w.repository("app", 50)
	w.mirrors("app", nil)
	w.codecommit("app")
	w.args = []string{"--lock", "1m"} // which no run outlives, however slow the machine
	outcomes := make([]outcome, 4)
	var all sync.WaitGroup
	for i := range outcomes {
		cmd := w.command(t.Context())
		all.Go(func() {
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			_ = cmd.Run() // the exit code tells
			outcomes[i] = w.read(cmd, out.String())
		})
	}
	all.Wait()
	mirrored := 0
	for _, o := range outcomes {
		if o.code != exitDone {
			t.Errorf("exit code %d\n%s", o.code, o.out)
		}
		if o.reports["app"].Status == mirror.Mirrored {
			mirrored++
		}
	}
	if mirrored != 1 {
		t.Errorf("%d runs mirrored, want one; the others find it done", mirrored)
	}
	w.same("app")
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.repository("app", 2)
	w.mirrors("app", nil)
	r := w.run("--dry-run").want(t, exitDiffers, "app", mirror.Differs)
	if !slices.Equal(r.Created, []string{"refs/heads/main"}) {
		t.Errorf("created %q", r.Created)
	}
	if w.sim.GitFolder("app") != "" || len(w.keys("")) != 0 {
		t.Error("something was made")
	}
}

func TestNoSecretIsEverPrinted(t *testing.T) {
	longStory(t)
	t.Parallel()
	const planted = "s3cr3t-Pl4nted/with+odd=chars"
	w := newWorld(t)
	w.repository("app", 2)
	w.front.user, w.front.password = "reader", planted
	w.mirrors("app", map[string]any{"source": map[string]any{"url": w.source.URL + "/app.git", "secret": w.secret("s", map[string]string{"username": "reader", "password": planted})}})
	w.front.objects = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("service") != "" && w.front.requests.Load() > 4 {
			http.Error(rw, "the server repeats "+planted+" and "+r.Header.Get("Authorization"), http.StatusInternalServerError)
			return true
		}
		return false
	}
	w.env = append(w.env, "GIT_TRACE=1", "GIT_TRACE_CURL=1", "GIT_CURL_VERBOSE=1") // no effect: git gets a new environment
	seen := ""
	for range 4 {
		seen += w.run("--attempts", "2").out
	}
	// What the server itself says is shown, without the secret.
	w.front.objects = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		text := "ERR planted: " + planted + " and https://reader:" + planted + "@host/\n"
		fmt.Fprintf(rw, "001e# service=git-upload-pack\n0000%04x%s", len(text)+4, text)
		return true
	}
	said := w.run("--attempts", "1").out
	if !strings.Contains(said, "planted: [secret]") {
		t.Errorf("what the server says is not shown:\n%s", said)
	}
	seen += said
	w.front.objects = nil
	w.mirrors("app", map[string]any{"source": map[string]any{"url": w.source.URL + "/app.git", "secret": w.secret("broken", planted)}})
	seen += w.run().out
	for _, form := range []string{planted, url.QueryEscape(planted), base64.StdEncoding.EncodeToString([]byte("reader:" + planted)), "AKIATEST%", "X-Amz-Security-Token"} {
		if strings.Contains(seen, form) {
			t.Errorf("the output holds %q:\n%s", form, seen)
		}
	}
	for _, key := range w.keys("") {
		if text := w.text(key); strings.Contains(text, planted) {
			t.Errorf("%s holds the secret", key)
		}
	}
}

func TestMetricsAndLag(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	w.mirrors("app", nil)
	began := time.Now()
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.file(dir, "refs/heads/main", "x", "y")
	w.env = append(w.env, "DRAWBRIDGE_MIRROR_REPOSITORIES=app", "DRAWBRIDGE_MIRROR_REPORTED="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	o := w.run()
	r := o.want(t, exitDone, "app", mirror.Mirrored)
	if r.LagSeconds <= 0 || r.LagSeconds > time.Since(began).Seconds() { // no longer than since the last success
		t.Errorf("lag %v s", r.LagSeconds)
	}
	for _, want := range []string{`"MirrorInSync":1`, `"MirrorFailed":0`, `"Namespace":"Drawbridge"`, `"Repository":"app"`, `"MirrorLag":`} {
		if !strings.Contains(o.out, want) {
			t.Errorf("the output lacks %s\n%s", want, o.out)
		}
	}
}

func TestBadConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mirrors("app", map[string]any{"refs": []string{"refs/pull/*"}, "source": map[string]any{"url": "https://user:hunter22@example.com/x.git"}, "target": map[string]any{"codecommit": "a b"}, "lfs": "no"})
	o := w.run()
	if o.code != exitUsage || strings.Contains(o.out, "hunter22") {
		t.Errorf("exit code %d\n%s", o.code, o.out)
	}
	for _, want := range []string{"mirror.repositories.app.refs", "holds credentials", "CodeCommit does not take", "lfs"} {
		if !strings.Contains(o.out, want) {
			t.Errorf("%q is not in\n%s", want, o.out)
		}
	}
	w.repositories = map[string]any{}
	w.mirrors("app", nil)
	if o := w.run("other"); o.code != exitUsage || !strings.Contains(o.out, "app") {
		t.Errorf("exit code %d\n%s", o.code, o.out)
	}
}

// TestGoGitReachesTheReplica lets a client that is not git's read and write with a
// user name and password of ours, and fail with a wrong one.
func TestGoGitReachesTheReplica(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 3)
	w.mirrors("app", nil)
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	cmd := exec.Command(os.Args[0], "credential", "url", "app")
	cmd.Env = append(w.env, "AWS_SESSION_TOKEN=to/k+en%==")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(string(out))
	r, err := gogit.Clone(memory.NewStorage(), nil, &gogit.CloneOptions{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	head, err := r.Head()
	if err != nil || head.Hash().String() != git(t, dir, "rev-parse", "main") {
		t.Errorf("go-git is at %v, %v", head, err)
	}
	if err := r.Storer.SetReference(plumbing.NewHashReference("refs/heads/by-go-git", head.Hash())); err != nil {
		t.Fatal(err)
	}
	if err := r.Push(&gogit.PushOptions{RefSpecs: []gogitconfig.RefSpec{"refs/heads/by-go-git:refs/heads/by-go-git"}}); err != nil {
		t.Errorf("push: %v", err)
	}
	if refs(t, w.sim.GitFolder("app"))["refs/heads/by-go-git"] != head.Hash().String() {
		t.Error("go-git's branch is not there")
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	u.User = url.UserPassword(u.User.Username(), strings.Repeat("0", len(password)))
	if _, err := gogit.Clone(memory.NewStorage(), nil, &gogit.CloneOptions{URL: u.String()}); err == nil {
		t.Error("a wrong password lets go-git in")
	}
}

func TestOddNames(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 1)
	for _, name := range []string{"ünïcödé", `quo"te`, "apo'strophe", "$(touch${IFS}pwned)", "semi;colon", "a&b|c", "-dash", "per%cent", "x--upload-pack=y", "日本語/枝", strings.Repeat("long/", 40) + "x", "#hash", "{curly}", "tab-less"} {
		git(t, dir, "update-ref", "refs/heads/"+name, "main")
		git(t, dir, "update-ref", "refs/tags/"+name, "main")
	}
	w.file(dir, "refs/heads/main", `"odd \"name\" \303\274 \n.txt"`, "text")
	w.mirrors("app", nil)
	r := w.run().want(t, exitDone, "app", mirror.Mirrored)
	if len(r.Created) != 29 {
		t.Errorf("%d refs created", len(r.Created))
	}
	w.same("app")
	git(t, dir, "update-ref", "refs/heads/$(touch${IFS}pwned)", "main")
	git(t, dir, "update-ref", "-d", "refs/heads/-dash")
	w.mirrors("app", map[string]any{"prune": true, "force": true})
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")
}

// TestTagsOfEveryKind mirrors annotated tags, tags of tags, and tags of what is no
// commit.
func TestTagsOfEveryKind(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	git(t, dir, "tag", "-a", "-m", "x", "annotated", "main")
	git(t, dir, "tag", "-a", "-m", "x", "of-a-tag", "annotated")
	git(t, dir, "update-ref", "refs/tags/of-a-tree", git(t, dir, "rev-parse", "main^{tree}"))
	git(t, dir, "update-ref", "refs/tags/of-a-blob", gitWith(t, dir, "blob", "hash-object", "-w", "--stdin"))
	w.mirrors("app", nil)
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")
	git(t, dir, "tag", "-f", "-a", "-m", "y", "annotated", "main~1")
	git(t, dir, "update-ref", "refs/tags/of-a-blob", gitWith(t, dir, "other", "hash-object", "-w", "--stdin"))
	if r := w.run().want(t, exitFailed, "app", mirror.Diverged); len(r.Diverged) != 2 {
		t.Errorf("diverged %q, want both tags that have moved", r.Diverged)
	}
	w.mirrors("app", map[string]any{"force": true})
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")
}

// TestThisProjectsOwnHistory mirrors a history that people have made.
func TestThisProjectsOwnHistory(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	git(t, w.folder, "clone", "-q", "--bare", git(t, ".", "rev-parse", "--show-toplevel"), "own.git")
	w.mirrors("own", nil)
	w.run().want(t, exitDone, "own", mirror.Mirrored)
	w.same("own")
}

// TestASlowSourceIsNotAHang lets every piece of an answer come late, and all of it
// take longer than a stall may. A machine that is so busy that a run stalls by itself
// gets another try with everything slower.
func TestASlowSourceIsNotAHang(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	for stall := 3 * time.Second; ; stall *= 4 {
		name := "app-" + stall.String() // a try that was cut off may have mirrored some of it
		w.repository(name, 1500)
		w.mirrors(name, nil)
		w.front.slow = stall / 30
		w.args = []string{"--stall", stall.String(), "--attempts", "1"}
		began := time.Now()
		o := w.run(name)
		if o.code != exitDone && stall < time.Minute/2 {
			t.Logf("with a stall of %s: %s", stall, o.reports[name].Error)
			continue
		}
		o.want(t, exitDone, name, mirror.Mirrored)
		if took := time.Since(began); took < stall {
			t.Errorf("the source was not slow: %s", took)
		}
		w.same(name)
		return
	}
}

// TestATargetThatIsWrittenMeanwhile never overwrites what came after the look.
func TestATargetThatIsWrittenMeanwhile(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 3)
	git(t, dir, "branch", "b", "main")
	w.mirrors("app", map[string]any{"force": true, "prune": true, "pruneLimit": 100})
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	git(t, dir, "update-ref", "refs/heads/main", "main~2")
	git(t, dir, "branch", "-D", "b")
	replica := w.sim.GitFolder("app")
	var once sync.Once
	written := ""
	w.sim.OnGit(func(push bool) {
		if push { // after both sides were listed, before the push
			once.Do(func() {
				w.file(replica, "refs/heads/main", "stray", "x")
				w.file(replica, "refs/heads/b", "stray", "x")
				written = git(t, replica, "rev-parse", "main")
			})
		}
	})
	w.run()
	if got := git(t, replica, "rev-parse", "main"); got != written {
		t.Errorf("main is at %s: what was written meanwhile is lost", got)
	}
	if _, ok := refs(t, replica)["refs/heads/b"]; !ok {
		t.Error("a branch that was written meanwhile was deleted")
	}
}

// TestRenamedAndRejected keeps the old name where the target does not take the new one.
func TestRenamedAndRejected(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 3)
	git(t, dir, "branch", "old", "main")
	w.mirrors("app", map[string]any{"prune": true, "pruneLimit": 100})
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	hook := filepath.Join(w.sim.GitFolder("app"), "hooks", "update")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ncase $1 in refs/heads/new) exit 1 ;; esac\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "branch", "-m", "old", "new")
	w.run().want(t, exitFailed, "app", mirror.Failed)
	if _, ok := refs(t, w.sim.GitFolder("app"))["refs/heads/old"]; !ok {
		t.Error("the old name was deleted although the new one was not taken")
	}
	if err := os.Remove(hook); err != nil {
		t.Fatal(err)
	}
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")
	// A name that becomes a folder.
	git(t, dir, "branch", "-D", "new")
	git(t, dir, "branch", "new/er", "main")
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")
}

// TestAnIncompleteCacheIsMadeAnew takes a pack out of the manifest, as no kill can.
func TestAnIncompleteCacheIsMadeAnew(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 5)
	w.mirrors("app", nil)
	for i := range 3 {
		w.file(dir, "refs/heads/main", fmt.Sprint(i), "text")
		w.run().want(t, exitDone, "app", mirror.Mirrored)
	}
	const key = "mirror/app/cache/manifest.json"
	for lost := range 3 {
		var m map[string]any
		w.getObject(key, &m)
		packs, _ := m["packs"].([]any)
		m["packs"] = slices.Delete(packs, lost, lost+1)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.putObject(key, string(text)); err != nil {
			t.Fatal(err)
		}
		w.file(dir, "refs/heads/main", fmt.Sprint("lost", lost), "text")
		w.run().want(t, exitDone, "app", mirror.Mirrored)
		w.same("app")
		for i := range 2 { // more packs to lose
			w.file(dir, "refs/heads/main", fmt.Sprint("more", lost, i), "text")
			w.run().want(t, exitDone, "app", mirror.Mirrored)
		}
	}
}

// TestSettingsThatChange look again at what was mirrored before.
func TestSettingsThatChange(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	w.file(dir, "refs/heads/main", "video.mp4", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("ab", 32)+"\nsize 12345\n")
	w.mirrors("app", map[string]any{"lfs": "ignore"})
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.run().want(t, exitDone, "app", mirror.Unchanged)
	w.mirrors("app", nil)
	if r := w.run().want(t, exitFailed, "app", mirror.Refused); !strings.Contains(r.Error, "video.mp4") {
		t.Errorf("error %q", r.Error)
	}

	git(t, dir, "branch", "other", "main~1")
	w.bucket("inbox")
	w.bundle(dir, "inbox", "x", "--all")
	w.repositories = map[string]any{"wide": map[string]any{"source": map[string]any{"bundle": "s3://inbox/x"}, "target": map[string]any{"codecommit": "wide", "create": true}, "lfs": "ignore", "refs": []string{"refs/heads/other"}}}
	w.run().want(t, exitDone, "wide", mirror.Mirrored)
	w.repositories["wide"].(map[string]any)["refs"] = []string{"refs/heads/*"}
	if r := w.run().want(t, exitDone, "wide", mirror.Mirrored); !slices.Equal(r.Created, []string{"refs/heads/main"}) {
		t.Errorf("created %q by the same bundle with wider refs", r.Created)
	}
}

// TestCredentialsGoToTheirHostAlone asks the helper for another host, and lets a source
// send git there.
func TestCredentialsGoToTheirHostAlone(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"git.example": "username=u\npassword=p\n", "evil.example": "", "": "", "git.example:8443": ""} {
		cmd := exec.Command(os.Args[0], "credential", "static", "get")
		cmd.Env = []string{"DRAWBRIDGE_GIT_HOST=git.example", "DRAWBRIDGE_GIT_USERNAME=u", "DRAWBRIDGE_GIT_PASSWORD=p"}
		cmd.Stdin = strings.NewReader("protocol=https\nhost=" + host + "\npath=x\n\n")
		if out, err := cmd.Output(); err != nil || string(out) != want {
			t.Errorf("host %q is told %q (%v), want %q", host, out, err, want)
		}
	}
	for host, want := range map[string]bool{"git-codecommit.us-east-1.amazonaws.com": true, "git-codecommit.us-east-1.amazonaws.com.evil.example": false, "example.com": false} {
		cmd := exec.Command(os.Args[0], "credential", "codecommit", "get")
		cmd.Env = []string{"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b"}
		cmd.Stdin = strings.NewReader("protocol=https\nhost=" + host + "\npath=v1/repos/x\n\n")
		if out, err := cmd.Output(); err != nil || (len(out) > 0) != want {
			t.Errorf("host %q is told %q (%v)", host, out, err)
		}
	}
	w := newWorld(t)
	w.repository("app", 1)
	got := make(chan string, 100)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		rw.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(rw, "no", http.StatusUnauthorized)
	}))
	defer elsewhere.Close()
	w.front.user, w.front.password = "reader", "pass-word-123"
	w.front.objects = func(rw http.ResponseWriter, r *http.Request) bool {
		http.Redirect(rw, r, elsewhere.URL+r.URL.String(), http.StatusFound)
		return true
	}
	w.mirrors("app", map[string]any{"source": map[string]any{"url": w.source.URL + "/app.git", "secret": w.secret("s", map[string]string{"username": "reader", "password": "pass-word-123"})}})
	w.run().want(t, exitFailed, "app", mirror.Failed)
	close(got)
	for header := range got {
		if header != "" {
			t.Errorf("the other host is told %q", header)
		}
	}
}

// TestTheDefaultBranchIsTheSources whatever the branches are called.
func TestTheDefaultBranchIsTheSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.repository("app", 2)
	git(t, dir, "branch", "zeta", "main")
	git(t, dir, "symbolic-ref", "HEAD", "refs/heads/zeta")
	w.mirrors("app", nil)
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	if head := git(t, w.sim.GitFolder("app"), "symbolic-ref", "HEAD"); head != "refs/heads/zeta" {
		t.Errorf("the default branch is %s", head)
	}
}

// TestAProxyLeadsToTheSource, and to nothing else.
func TestAProxyLeadsToTheSource(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	w.repository("app", 3)
	var through atomic.Int32
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.URL.Host == strings.TrimPrefix(w.source.URL, "http://") {
			through.Add(1)
		}
		r.Out.URL = r.In.URL
	}})
	defer proxy.Close()
	w.mirrors("app", map[string]any{"source": map[string]any{"url": w.source.URL + "/app.git", "proxy": proxy.URL}})
	w.run().want(t, exitDone, "app", mirror.Mirrored)
	w.same("app")
	if n, all := through.Load(), w.front.requests.Load(); n == 0 || n != all {
		t.Errorf("%d of %d requests to the source came through the proxy", n, all)
	}
	proxy.Close()
	if r := w.run().reports["app"]; !strings.Contains(r.Hint, "network") {
		t.Errorf("without its proxy: %+v", r)
	}
}

// TestFailuresAreNamed: what can never pass by itself is called what it is, and tried once.
func TestFailuresAreNamed(t *testing.T) {
	longStory(t)
	t.Parallel()
	w := newWorld(t)
	// An object that the source lacks.
	dir := w.repository("lacks", 3)
	w.file(dir, "refs/heads/main", "x", "what will be missing")
	blob := git(t, dir, "rev-parse", "main:x")
	git(t, dir, "repack", "-a", "-d", "-q")
	packs, _ := filepath.Glob(filepath.Join(dir, "objects/pack/*.pack"))
	for _, pack := range packs {
		text, err := os.ReadFile(pack)
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range append(packs, strings.TrimSuffix(pack, ".pack")+".idx", strings.TrimSuffix(pack, ".pack")+".rev") {
			_ = os.Remove(old)
		}
		gitWith(t, dir, string(text), "unpack-objects", "-q")
	}
	if err := os.Remove(filepath.Join(dir, "objects", blob[:2], blob[2:])); err != nil {
		t.Fatal(err)
	}
	// A shallow clone.
	full := w.repository("full", 5)
	git(t, w.folder, "clone", "--quiet", "--bare", "--depth=1", "file://"+full, "shallow.git")
	// A bundle that is cut off.
	w.bucket("inbox")
	whole := w.bundle(full, "inbox", "whole.bundle", "--all")
	w.put("inbox", "cut.bundle", whole[:len(whole)-200])
	// A hook that says why.
	hooked := w.repository("hooked", 2)
	w.mirrors("hooked", nil)
	w.run().want(t, exitDone, "hooked", mirror.Mirrored)
	hook := filepath.Join(w.sim.GitFolder("hooked"), "hooks", "update")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho 'error: no pushes on Fridays, a ticket is missing' >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.file(hooked, "refs/heads/main", "x", "y")
	for _, tt := range []struct {
		name   string
		source map[string]any
		says   []string
		hint   string
	}{
		{"lacks", map[string]any{"url": w.source.URL + "/lacks.git"}, []string{"remote: "}, "git fsck --full there"},
		{"shallow", map[string]any{"url": w.source.URL + "/shallow.git"}, []string{"shallow"}, "git fetch --unshallow"},
		{"cut", map[string]any{"bundle": "s3://inbox/cut.bundle"}, []string{"truncated or damaged"}, "git bundle verify"},
		{"hooked", map[string]any{"url": w.source.URL + "/hooked.git"}, []string{"push refs/heads/main", "no pushes on Fridays"}, ""},
	} {
		w.repositories = map[string]any{}
		w.mirrors(tt.name, map[string]any{"source": tt.source})
		out := w.run()
		r := out.reports[tt.name]
		for _, says := range tt.says {
			if !strings.Contains(r.Error, says) {
				t.Errorf("%s: error %q does not say %q", tt.name, r.Error, says)
			}
		}
		if out.code != exitFailed || !strings.Contains(r.Hint, tt.hint) || strings.Contains(r.Hint, "network") || r.Tries > 2 ||
			strings.HasPrefix(r.Cache, "rebuilt") {
			t.Errorf("%s: exit code %d, hint %q, %d tries, cache %q", tt.name, out.code, r.Hint, r.Tries, r.Cache)
		}
	}
}
