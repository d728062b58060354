package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Chdir("../..")
	folder := t.TempDir()
	if err := build(folder); err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join(folder, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<a href="docs/report.html">The report</a>`, `<a href="docs/policy.html">`, `aria-current="page"`} {
		if !strings.Contains(string(index), want) {
			t.Errorf("the first page lacks %s", want)
		}
	}
}

func TestALinkThatLeadsNowhereIsNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"a.md": "# A\n\n[b](b.md#nothing) [c](c.md) [folder](.) [web](https://example.com/x)\n\n## Two\n\n[here](#two)\n",
		"b.md": "# B\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pages := map[string]*document{}
	for _, name := range []string{"a.md", "b.md"} {
		d, err := read(name)
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = d
	}
	var said []string
	for _, err := range pages["a.md"].relink(pages, t.TempDir()) {
		if err != nil {
			said = append(said, err.Error())
		}
	}
	want := "a.md links to b.md#nothing: b.md has no such heading\na.md links to c.md, which is not there"
	if got := strings.Join(said, "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
