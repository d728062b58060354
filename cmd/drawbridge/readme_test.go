package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
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

// TestPictureOfTheDay holds the picture in the README against that which TestScripts expects of the report on the demo.
func TestPictureOfTheDay(t *testing.T) {
	_, expected, _ := strings.Cut(read(t, "testdata/script/demo.txtar"), "-- want.svg --\n")
	compare(t, "../../docs/day.svg", []byte(expected))
}

// words are those of a shell, quotes included.
var words = regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)

// TestCommandsInDocumentsParse reads every command line of ours in the documents, as the program would.
func TestCommandsInDocumentsParse(t *testing.T) {
	shown := 0
	for _, path := range documents(t) {
		for _, block := range regexp.MustCompile("(?ms)^```\n(.*?)^```").FindAllStringSubmatch(read(t, "../../"+path), -1) {
			for _, m := range regexp.MustCompile(`(?m)^(?:\$ )?(?:\./)?drawbridge (.*)$`).FindAllStringSubmatch(block[1], -1) {
				line, _, _ := strings.Cut(m[1], " |")
				line, _, _ = strings.Cut(line, " >")
				line, _, _ = strings.Cut(line, "   #")
				parser, err := newParser(&cli{}, t.Context(), streams{strings.NewReader(""), io.Discard, io.Discard})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := parser.Parse(arranged(parser.Model.Node, words.FindAllString(line, -1))); err != nil {
					t.Errorf("%s shows drawbridge %s: %v", path, line, err)
				}
				shown++
			}
		}
	}
	if shown < 30 {
		t.Errorf("saw %d commands, want more than 30", shown)
	}
}

// documents are the paths of all documents.
func documents(t *testing.T) []string {
	t.Helper()
	paths := []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, pattern := range []string{"docs/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob("../../" + pattern)
		if err != nil || len(found) < 5 {
			t.Fatalf("%s finds %d pages (%v)", pattern, len(found), err)
		}
		for _, f := range found {
			paths = append(paths, strings.TrimPrefix(f, "../../"))
		}
	}
	return paths
}

// TestDocumentsNameWhatIsThere holds targets of make and links between documents
// against the tree.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	makefile := read(t, "../../Makefile")
	for _, path := range documents(t) {
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
