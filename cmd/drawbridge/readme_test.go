package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReadmeShowsWhatTheDemoPrints holds the session in the README against the
// output that TestScripts expects of the demo.
func TestReadmeShowsWhatTheDemoPrints(t *testing.T) {
	_, session, ok := strings.Cut(read(t, "../../README.md"), "$ make demo\n")
	session, _, closed := strings.Cut(session, "```")
	if !ok || !closed {
		t.Fatal("the README shows no session of make demo")
	}
	_, expected, _ := strings.Cut(read(t, "testdata/script/demo.txtar"), "-- want.txt --\n")
	printed := map[string]bool{}
	for _, line := range strings.Split(expected, "\n") {
		printed[strings.TrimRight(line, " ")] = true
	}
	for _, line := range strings.Split(session, "\n") {
		if !printed[strings.TrimRight(line, " ")] {
			t.Errorf("the demo does not print %q", line)
		}
	}
}

// TestDocumentsNameWhatIsThere holds targets of make and links between documents
// against the tree.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	makefile := read(t, "../../Makefile")
	for _, path := range []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/ARCHITECTURE.md", "docs/billing.md", "docs/cli.md", "docs/configuration.md", "docs/conformance.md", "docs/deployments.md", "docs/mirror.md", "docs/operating.md", "docs/permissions.md", "docs/policy.md", "docs/quickstart.md", "docs/reliability.md", "docs/report.md", "docs/sandbox.md", "examples/blue-green/README.md", "examples/hello/README.md", "examples/mirror/README.md"} {
		text := read(t, "../../"+path)
		for _, m := range regexp.MustCompile("`?make ([a-z]+)`?\n|`make ([a-z]+)`").FindAllStringSubmatch(text, -1) {
			if target := m[1] + m[2]; !strings.Contains(makefile, "\n"+target+":") {
				t.Errorf("%s names make %s, which is no target", path, target)
			}
		}
		dir := "../../" + path[:strings.LastIndex("/"+path, "/")]
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(dir + "/" + m[1]); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
}

// TestWalksOfContributingApply holds each diff in CONTRIBUTING.md against the tree.
func TestWalksOfContributingApply(t *testing.T) {
	diffs := regexp.MustCompile("(?s)```diff\n(.*?)```").FindAllStringSubmatch(read(t, "../../CONTRIBUTING.md"), -1)
	if len(diffs) == 0 {
		t.Fatal("CONTRIBUTING.md holds no diff")
	}
	for _, m := range diffs {
		git := exec.CommandContext(t.Context(), "git", "apply", "--check", "-")
		git.Dir, git.Stdin = "../..", strings.NewReader(m[1])
		if said, err := git.CombinedOutput(); err != nil {
			t.Errorf("CONTRIBUTING.md holds a diff that does not apply: %v\n%s\n%s", err, said, m[1])
		}
	}
}
