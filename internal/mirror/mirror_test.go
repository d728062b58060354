package mirror

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseListing(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	got, err := parseListing(strings.NewReader("ref: refs/heads/main\tHEAD\n" + a + "\tHEAD\n" + a + "\trefs/heads/main\n" + b + "\trefs/tags/v1\n" + a + "\trefs/tags/v1^{}\n" + b + "\trefs/pull/1/head\n"))
	want := Listing{Refs: Refs{"refs/heads/main": a, "refs/tags/v1": b, "refs/pull/1/head": b}, Default: "refs/heads/main", Head: a}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v, %v", err, cmp.Diff(want, got))
	}
	for _, bad := range []string{"nonsense\n", strings.Repeat("a", 64) + "\trefs/heads/main\n", "warning: x\trefs/heads/x\n"} {
		if _, err := parseListing(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken for refs", bad)
		}
	}
}

func TestScope(t *testing.T) {
	s := NewScope([]string{"refs/heads/*", "refs/tags/v*.0", "!refs/heads/tmp/*", "!refs/heads/a+b"})
	for name, want := range map[string]bool{
		"refs/heads/main": true, "refs/heads/a/b/c": true, "refs/heads/tmp/x": false, "refs/heads/tmp": true, "refs/heads/a+b": false, "refs/heads/aab": true,
		"refs/tags/v1.0": true, "refs/tags/v1.1": false, "refs/tags/v1x0": false, "refs/pull/1/head": false, "HEAD": false, "refs/headsx": false,
	} {
		if s.Has(name) != want {
			t.Errorf("Has(%s) = %v", name, !want)
		}
	}
	everything := NewScope([]string{"*"})
	if everything.Has("HEAD") || everything.Has("refs/pull/1/head") || !everything.Has("refs/heads/x") {
		t.Error("a pattern of * lets something else in than branches and tags")
	}
}

func TestCompareMakesTheReplicaTheSource(t *testing.T) {
	refs := rapid.MapOf(rapid.StringMatching(`refs/heads/[a-d]`), rapid.StringMatching(`[01]`))
	rapid.Check(t, func(t *rapid.T) {
		source, replica := Refs(refs.Draw(t, "source")), Refs(refs.Draw(t, "replica"))
		d := Compare(source, replica)
		for _, name := range append(d.Create, d.Update...) {
			replica[name] = source[name]
		}
		for _, name := range d.Delete {
			delete(replica, name)
		}
		if !cmp.Equal(source, replica) || !Compare(source, replica).Empty() {
			t.Fatalf("the replica becomes %v, want %v", replica, source)
		}
	})
}

func TestGuard(t *testing.T) {
	replica := func(n int) Refs {
		out := Refs{}
		for i := range n {
			out[fmt.Sprintf("refs/heads/b%d", i)] = "x"
		}
		return out
	}
	for _, tt := range []struct {
		name          string
		delete        []string
		of, limit     int
		deleteDefault bool
		want          string
	}{
		{"nothing", nil, 0, 1, false, ""},
		{"at the limit", []string{"refs/heads/b1", "refs/heads/b2"}, 10, 20, false, ""},
		{"beyond it", []string{"refs/heads/b1", "refs/heads/b2", "refs/heads/b3"}, 10, 20, false, "3 of the target's 10"},
		{"the default branch", []string{"refs/heads/b0"}, 100, 100, false, "default branch"},
		{"the default branch, if told", []string{"refs/heads/b0"}, 100, 100, true, ""},
		{"everything", []string{"refs/heads/b1", "refs/heads/b2"}, 2, 99, false, "2 of the target's 2"},
		{"one by itself", []string{"refs/heads/b1"}, 2, 1, false, ""},
	} {
		err := guard(Difference{Delete: tt.delete}, replica(tt.of), []string{"refs/heads/b0"}, tt.limit, tt.deleteDefault)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestClassify checks the class of messages of git, curl and ssh.
func TestClassify(t *testing.T) {
	for text, want := range map[string]class{
		"fatal: unable to access 'https://x/': The requested URL returned error: 503":                                                 passing,
		"fatal: unable to access 'https://x/': The requested URL returned error: 429":                                                 passing,
		"fatal: unable to access 'https://x/': Could not resolve host: x":                                                             passing,
		"fatal: unable to access 'https://x/': Failed to connect to x port 443 after 1 ms: Couldn't connect to server":                passing,
		"error: RPC failed; curl 56 GnuTLS recv error (-9): Error decoding the received TLS packet.\nfatal: early EOF":                passing,
		"fatal: the remote end hung up unexpectedly":                                                                                  passing,
		"ssh: connect to host x port 22: Connection timed out\nfatal: Could not read from remote repository.":                         passing,
		"kex_exchange_identification: Connection closed by remote host":                                                               passing,
		"fatal: unable to access 'http://x/': Operation too slow. Less than 1 bytes/sec transferred the last 60 seconds":              passing,
		"fatal: Authentication failed for 'https://x/'":                                                                               refused,
		"fatal: could not read Username for 'https://x': terminal prompts disabled":                                                   refused,
		"git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.":                                        refused,
		"fatal: unable to access 'https://git-codecommit.us-east-1.amazonaws.com/v1/repos/x/': The requested URL returned error: 403": refused,
		"fatal: repository 'https://x/' not found":                                                                                    absent,
		"ERROR: Repository not found.\nfatal: Could not read from remote repository.\nfatal: repository not found":                    absent,
		"fatal: '/x.git' does not appear to be a git repository\nfatal: Could not read from remote repository.":                       absent,
		"Host key verification failed.\nfatal: Could not read from remote repository.":                                                unsafe,
		"No ED25519 host key is known for x and you have requested strict checking.\nHost key verification failed.":                   unsafe,
		"fatal: unable to access 'https://x/': server certificate verification failed. CAfile: none CRLfile: none":                    unsafe,
		"fatal: unable to access 'https://x/': SSL certificate problem: self-signed certificate":                                      unsafe,
		"fatal: remote error: upload-pack: not our ref 1111111111111111111111111111111111111111":                                      moved,
		"error: Server does not allow request for unadvertised object 1111111111111111111111111111111111111111":                       moved,
		"fatal: bad object HEAD": broken,
		"error: Could not read 82cf1e66212ed4fb2b7ba5f9c7532b6cb4c07ca5\nerror: RPC failed; curl 56\nfatal: early EOF": broken,
		"": broken,
	} {
		if got := classify("x", errors.New("exit status 128"), text).class; got != want {
			t.Errorf("%q is of class %d, want %d", text, got, want)
		}
	}
	if got := classify("x", fmt.Errorf("%w for 5m", errStalled), "").class; got != passing {
		t.Errorf("a stall is of class %d", got)
	}
}

func TestAgain(t *testing.T) {
	l := Limits{Attempts: 4, Pause: time.Nanosecond}
	for _, tt := range []struct {
		name    string
		classes []class
		want    int
		ok      bool
	}{
		{"at once", nil, 1, true},
		{"the third time", []class{passing, passing}, 3, true},
		{"never", []class{passing, passing, passing, passing, passing}, 4, false},
		{"credentials are tried once", []class{refused}, 1, false},
		{"nor is a server that is another", []class{passing, unsafe, passing}, 2, false},
	} {
		n := 0
		tries, err := again(t.Context(), l, func() error {
			n++
			if n > len(tt.classes) {
				return nil
			}
			return &gitError{verb: "x", class: tt.classes[n-1], cause: errors.New("no")}
		})
		if tries != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: %d tries, %v", tt.name, tries, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if tries, err := again(ctx, Limits{Attempts: 100, Pause: time.Hour}, func() error { return &gitError{class: passing, cause: errors.New("no")} }); tries != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d tries after the end, %v", tries, err)
	}
}

func TestRedactor(t *testing.T) {
	var r redactor
	r.add("hunter2 /+&", "-----BEGIN KEY-----\nAAAABBBB\n-----END KEY-----", "abc")
	for in, want := range map[string]string{
		"password is hunter2 /+&.":                               "password is [secret].",
		"url hunter2+%2F%2B%26 x":                                "url [secret] x",
		"key AAAABBBB":                                           "key [secret]",
		"https://user:pw@host/x":                                 "https://[secret]@host/x",
		"Authorization: Basic dXNlcjpwdw==":                      "Authorization: [secret]",
		base64.StdEncoding.EncodeToString([]byte("hunter2 /+&")): "[secret]",
		"abc is too short to be taken out":                       "abc is too short to be taken out",
		"ssh://git@host/x and -----BEGIN KEY-----":               "ssh://[secret]@host/x and -----BEGIN KEY-----",
	} {
		if got := r.clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestProgressIsToldFromMessages(t *testing.T) {
	for line, want := range map[string]bool{
		"Receiving objects:  42% (420/1000), 1.20 MiB | 2.00 MiB/s": true, "remote: Counting objects: 100% (5/5), done.": true, "Resolving deltas:   0% (0/2)": true,
		"remote: Enumerating objects: 5, done.": true, "Total 3 (delta 0), reused 0 (delta 0), pack-reused 0": true, "fatal: x: 100 y": false, "error: Bad: 5x": false, "To https://x": false, "remote: deny updating a hidden ref: refs/pull/1": false,
	} {
		if isProgress(line) != want {
			t.Errorf("isProgress(%q) = %v", line, !want)
		}
	}
	for line, want := range map[string]int64{"Writing objects: 100% (3/3), 1.50 KiB | 2.00 MiB/s, done.": 1536, "Writing objects: 100% (3/3), 243 bytes | 243.00 KiB/s, done.": 243, "Writing objects: 100% (3/3), 2.00 GiB | x": 2 << 30, "Writing objects: 100% (3/3), done.": 0} {
		if got := bytesIn(line); got != want {
			t.Errorf("bytesIn(%q) = %d, want %d", line, got, want)
		}
	}
}

func TestPushReport(t *testing.T) {
	p := pushed{rejected: map[string]string{}}
	rejected := p.read([]byte("To https://x\n*\tabc:refs/heads/new\t[new branch]\n \tabc:refs/heads/main\ta..b\n-\t:refs/heads/old\t[deleted]\n+\tabc:refs/heads/over\ta...b (forced update)\n" +
		"!\tabc:refs/heads/nonff\t[rejected] (non-fast-forward)\n!\tabc:refs/heads/ahead\t[rejected] (fetch first)\n!\tabc:refs/tags/v1\t[rejected] (already exists)\n!\tabc:refs/heads/no\t[remote rejected] (pre-receive hook declined)\n!\tabc:refs/heads/moved\t[rejected] (stale info)\nDone\n"))
	if want := []string{"refs/heads/new", "refs/heads/main", "refs/heads/old", "refs/heads/over"}; !rejected || !cmp.Equal(p.done, want) {
		t.Errorf("done %v", p.done)
	}
	if want := []string{"refs/heads/nonff", "refs/heads/ahead", "refs/tags/v1"}; !cmp.Equal(p.diverged, want) || len(p.rejected) != 2 {
		t.Errorf("diverged %v, rejected %v", p.diverged, p.rejected)
	}
	if err := p.err(); err == nil || !strings.Contains(err.Error(), "stale info") || !strings.Contains(err.Error(), "hook declined") {
		t.Errorf("%v", err)
	}
}

func TestParsePointer(t *testing.T) {
	oid := strings.Repeat("0a", 32)
	for text, want := range map[string]bool{
		"version https://git-lfs.github.com/spec/v1\noid sha256:" + oid + "\nsize 12\n":                            true,
		"version https://hawser.github.com/spec/v1\noid sha256:" + oid + "\nsize 12\n":                             true,
		"version https://git-lfs.github.com/spec/v1\next-0-x sha256:" + oid + "\noid sha256:" + oid + "\nsize 1\n": true,
		"version https://git-lfs.github.com/spec/v1\noid sha256:" + oid[1:] + "\nsize 12\n":                        false,
		"version https://git-lfs.github.com/spec/v2\noid sha256:" + oid + "\nsize 12\n":                            false,
		"oid sha256:" + oid + "\nsize 12\n":                                                                        false, "": false,
	} {
		if _, ok := ParsePointer([]byte(text)); ok != want {
			t.Errorf("ParsePointer(%q) = %v", text, ok)
		}
	}
}

func TestTrailer(t *testing.T) {
	body := bytes.Repeat([]byte("pack"), 1000)
	sum := sha1.Sum(body)
	whole := append(bytes.Clone(body), sum[:]...)
	for _, step := range []int{1, 7, 20, 21, 4096} {
		right := &trailer{hash: sha1.New()}
		for part := whole; len(part) > 0; part = part[min(step, len(part)):] {
			_, _ = right.Write(part[:min(step, len(part))]) // never fails
		}
		wrong := &trailer{hash: sha1.New()}
		_, _ = wrong.Write(append([]byte("x"), whole[1:]...)) // never fails
		if !right.right() || wrong.right() {
			t.Errorf("in steps of %d: right %v, wrong %v", step, right.right(), wrong.right())
		}
	}
}

// TestScanNamesWhatIsTooBig finds blobs over a limit among new objects, but not among
// those that the target has or no ref wants.
func TestScanNamesWhatIsTooBig(t *testing.T) {
	home := t.TempDir()
	g := &git{dir: filepath.Join(home, "git"), home: home, limits: DefaultLimits, redact: &redactor{}}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := g.init(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := func(ref, path string, n int) string {
		text := fmt.Sprintf("commit %s\ncommitter a <a@b> 1 +0000\ndata 1\nx\nM 644 inline %s\ndata %d\n%s\n", ref, path, n, strings.Repeat("y", n))
		cmd := exec.Command("git", "fast-import", "--quiet")
		cmd.Dir, cmd.Stdin = g.dir, strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
		out, err := g.output(t.Context(), command{args: []string{"rev-parse", ref}})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	small, big, other := file("refs/heads/small", "a", 10), file("refs/heads/big", "\"dir/b c\"", 2000), file("refs/heads/other", "c", 3000)
	for _, tt := range []struct {
		name       string
		want, have []string
		found      string
	}{
		{"all that is wanted, where the target has nothing", []string{small, big}, nil, "dir/b c"},
		{"what nobody wants is not looked at", []string{small}, nil, ""},
		{"what is new", []string{small, big, other}, []string{small, other}, "dir/b c"},
		{"what the target has is not looked at", []string{big, other}, []string{big, other}, ""},
		{"a target that has more than the repository", []string{big}, []string{strings.Repeat("1", 40)}, "dir/b c"},
	} {
		f, err := g.scan(t.Context(), tt.want, tt.have, 1000)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if err := f.tooBig(); (err == nil) != (tt.found == "") || err != nil && !strings.Contains(err.Error(), tt.found) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.found)
		}
	}
}
