package mirror

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/gitserver"
)

// targetWith returns git, a target with so many branches beside main, and its refs.
func targetWith(t testing.TB, branches int) (*git, *remote, Refs) {
	t.Helper()
	g := &git{dir: filepath.Join(t.TempDir(), "app.git"), home: t.TempDir(), limits: DefaultLimits, redact: &redactor{}}
	dir := filepath.Join(t.TempDir(), "target.git")
	for _, repository := range []string{g.dir, dir} {
		run(t, "", "git", "init", "--quiet", "--bare", repository)
	}
	tree := run(t, "", "git", "-C", dir, "mktree")
	commit := run(t, "", "git", "-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit-tree", "-m", "x", tree)
	refs := Refs{"refs/heads/main": commit}
	for i := range branches {
		refs[fmt.Sprintf("refs/heads/b%04d", i)] = commit
	}
	var lines strings.Builder
	for name, id := range refs {
		fmt.Fprintf(&lines, "create %s %s\n", name, id)
	}
	run(t, lines.String(), "git", "-C", dir, "update-ref", "--stdin")
	run(t, "", "git", "-C", dir, "pack-refs", "--all")
	return g, &remote{url: "file://" + dir, scheme: "file"}, refs
}

func run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// What moved at the target after it was listed, or is new there, stays, however many refs go.
func TestOnlyWhatWasListedIsDeleted(t *testing.T) {
	const branches = 150
	for name, meanwhile := range map[string]func(t *testing.T, dir string){
		"nothing": func(*testing.T, string) {},
		"a branch moves": func(t *testing.T, dir string) {
			next := run(t, "", "git", "-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit-tree", "-p", "main", "-m", "y", "main^{tree}")
			run(t, "", "git", "-C", dir, "update-ref", "refs/heads/b0007", next)
		},
		"a branch is made": func(t *testing.T, dir string) { run(t, "", "git", "-C", dir, "branch", "new", "main") },
		"a tag is made":    func(t *testing.T, dir string) { run(t, "", "git", "-C", dir, "tag", "new", "main") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, target, have := targetWith(t, branches)
			dir := strings.TrimPrefix(target.url, "file://")
			want := Refs{"refs/heads/main": have["refs/heads/main"]}
			// A name with what the configuration of git quotes.
			have[`refs/tags/v"1;#`] = have["refs/heads/main"]
			run(t, "", "git", "-C", dir, "tag", `v"1;#`, "main")
			var gone []string
			for ref := range have {
				if strings.HasPrefix(ref, "refs/heads/b") {
					gone = append(gone, ref)
				}
			}
			meanwhile(t, dir)
			out := pushed{rejected: map[string]string{}}
			if err := g.remove(context.Background(), target, gone, want, have, &out); err != nil {
				t.Fatal(err)
			}
			left := strings.Fields(run(t, "", "git", "-C", dir, "for-each-ref", "--format=%(refname)"))
			keep := []string{"refs/heads/main", `refs/tags/v"1;#`}
			switch name {
			case "a branch moves":
				keep = append(keep, "refs/heads/b0007")
				if why := out.rejected["refs/heads/b0007"]; !strings.Contains(why, "stale info") {
					t.Errorf("the branch that moved was rejected with %q, want stale info", why)
				}
			case "a branch is made":
				keep = append(keep, "refs/heads/new")
			case "a tag is made":
				keep = append(keep, "refs/tags/new")
			}
			slices.Sort(keep)
			if !slices.Equal(left, keep) {
				t.Errorf("left at the target: %q, want %q", left, keep)
			}
			if want := branches + 2 - len(keep); name != "a branch is made" && name != "a tag is made" && len(out.done) != want {
				t.Errorf("%d refs reported as deleted, want %d", len(out.done), want)
			}
		})
	}
}

// BenchmarkDeletions deletes 2,500 branches over HTTP, and compares with git push --mirror, which deletes
// whatever it finds.
func BenchmarkDeletions(b *testing.B) {
	const branches = 2500
	var ours, plain time.Duration
	for range b.N {
		for _, own := range []bool{false, true} {
			g, target, have := targetWith(b, branches)
			root := filepath.Dir(strings.TrimPrefix(target.url, "file://"))
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				gitserver.Serve(w, r, "/", root, "bench")
			}))
			target.url, target.scheme = server.URL+"/target.git", "http"
			want := Refs{"refs/heads/main": have["refs/heads/main"]}
			var gone []string
			for ref := range have {
				if ref != "refs/heads/main" {
					gone = append(gone, ref)
				}
			}
			out := pushed{rejected: map[string]string{}}
			began := time.Now()
			if own {
				if err := g.remove(b.Context(), target, gone, want, have, &out); err != nil || len(out.done) != branches {
					b.Fatalf("%d deleted, %v", len(out.done), err)
				}
				ours += time.Since(began)
			} else {
				run(b, "", "git", "clone", "--quiet", "--mirror", root+"/target.git", g.home+"/plain.git")
				run(b, strings.Join(deletions(gone), ""), "git", "-C", g.home+"/plain.git", "update-ref", "--stdin")
				began = time.Now()
				run(b, "", "git", "-C", g.home+"/plain.git", "push", "--quiet", "--mirror", target.url)
				plain += time.Since(began)
			}
			server.Close()
		}
	}
	b.ReportMetric(ours.Seconds()/plain.Seconds(), "of-plain-git")
}

func deletions(refs []string) (lines []string) {
	for _, ref := range refs {
		lines = append(lines, "delete "+ref+"\n")
	}
	return lines
}
