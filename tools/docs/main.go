// Command docs renders the documentation to a small static site that opens from disk, and fails for a link that leads
// nowhere: to a page, a heading or a file that is not there.
//
//	go run ./tools/docs [FOLDER]        build/site without one
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

var (
	//go:embed site.css
	siteCSS string
	//go:embed site.html
	siteHTML string
)

// shelf is a group of pages by what a reader wants.
type shelf struct {
	Name  string
	Pages []*document
}

// document is a page. Source is its path in the repository, Target that in the site.
type document struct {
	Source, Target, Title string
	markdown              []byte
	tree                  ast.Node
	headings              map[string]bool
}

// shelves are all pages, in the order in which they are read.
var shelves = []struct {
	name  string
	pages []string
}{
	{"Use", []string{
		"README.md", "docs/quickstart.md", "docs/install.md", "docs/first-use.md", "docs/jobs.md", "docs/deployments.md", "docs/deployment-hooks.md",
		"docs/mirror.md", "docs/mirror-operating.md", "docs/billing.md", "docs/settings.md", "docs/configuration.md", "docs/mirror-settings.md",
	}},
	{"Operate", []string{
		"docs/access.md", "docs/permissions.md", "docs/permissions-additions.md", "docs/notifications.md", "docs/endpoints.md",
		"docs/upgrades.md", "docs/troubleshooting.md", "docs/report.md", "docs/cli.md", "docs/cli-install.md", "docs/cli-jobs.md",
		"docs/cli-operate.md", "docs/cli-plan.md", "docs/cli-try.md", "docs/cli-other.md", "CHANGELOG.md",
	}},
	{"Understand", []string{"docs/glossary.md", "docs/one-run.md", "docs/policy.md", "docs/reliability.md", "docs/testing.md", "docs/security.md"}},
	{"Examples", []string{
		"examples/hello/README.md", "examples/mirror/README.md", "examples/deployments/README.md", "examples/blue-green/README.md",
		"examples/pipeline/README.md", "examples/pipeline/pitfalls.md",
	}},
	{"Work on it", []string{
		"docs/ARCHITECTURE.md", "docs/internals.md", "docs/rooms.md", "CONTRIBUTING.md", "docs/sandbox.md", "docs/conformance.md", "SECURITY.md",
	}},
}

// longest is how many lines a page may have.
const longest = 150

var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithParserOptions(parser.WithAutoHeadingID()))

func main() {
	folder := filepath.Join("build", "site")
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	if err := build(folder); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func build(folder string) error {
	pages := map[string]*document{}
	var all []shelf
	for _, s := range shelves {
		out := shelf{Name: s.name}
		for _, source := range s.pages {
			d, err := read(source)
			if err != nil {
				return err
			}
			if n := bytes.Count(d.markdown, []byte("\n")); n > longest && source != "CHANGELOG.md" {
				return fmt.Errorf("%s has %d lines, a page has at most %d: split it by what a reader wants", source, n, longest)
			}
			pages[source] = d
			out.Pages = append(out.Pages, d)
		}
		all = append(all, out)
	}
	missing, err := unlisted(pages)
	if err != nil || missing != nil {
		return errors.Join(err, missing)
	}
	var problems []error
	for _, s := range all {
		for _, d := range s.Pages {
			problems = append(problems, d.relink(pages, folder)...)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	page := template.Must(template.New("site").Funcs(template.FuncMap{"from": relative}).Parse(siteHTML))
	for _, s := range all {
		for _, d := range s.Pages {
			if err := d.write(folder, page, all); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%d pages in %s\n", len(pages), folder)
	return nil
}

// unlisted names the pages that stand on no shelf.
func unlisted(pages map[string]*document) (missing, err error) {
	found, err := filepath.Glob("docs/*.md")
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		if pages[f] == nil {
			missing = errors.Join(missing, fmt.Errorf("%s stands on no shelf of tools/docs/main.go", f))
		}
	}
	return missing, nil
}

func read(source string) (*document, error) {
	raw, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	d := &document{Source: source, markdown: raw, headings: map[string]bool{}}
	d.Target = strings.ToLower(strings.TrimSuffix(source, ".md") + ".html")
	if source == "README.md" {
		d.Target = "index.html"
	}
	d.tree = markdown.Parser().Parse(text.NewReader(raw))
	return d, ast.Walk(d.tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if h, ok := n.(*ast.Heading); ok && entering {
			if id, ok := h.AttributeString("id"); ok {
				d.headings[string(id.([]byte))] = true //nolint:errcheck,forcetypeassert // goldmark writes bytes
			}
			if h.Level == 1 && d.Title == "" {
				d.Title = string(h.Lines().Value(raw))
			}
		}
		return ast.WalkContinue, nil
	})
}

// relink lets links to pages lead to what they are in the site, and copies the other files that are linked to. It returns
// the links that lead nowhere.
func (d *document) relink(pages map[string]*document, folder string) (problems []error) {
	_ = ast.Walk(d.tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			to, err := d.lead(string(n.Destination), pages, folder)
			n.Destination, problems = []byte(to), append(problems, err)
		case *ast.Image:
			to, err := d.lead(string(n.Destination), pages, folder)
			n.Destination, problems = []byte(to), append(problems, err)
		}
		return ast.WalkContinue, nil
	})
	return problems
}

// lead returns where a link leads in the site.
func (d *document) lead(to string, pages map[string]*document, folder string) (string, error) {
	if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
		return to, nil
	}
	target, heading, _ := strings.Cut(to, "#")
	at := d
	if target != "" {
		source := path.Join(path.Dir(d.Source), target)
		if at = pages[source]; at == nil {
			return d.file(source, folder)
		}
	}
	if heading != "" && !at.headings[heading] {
		return to, fmt.Errorf("%s links to %s: %s has no such heading", d.Source, to, at.Source)
	}
	out := relative(d.Target, at.Target)
	if heading != "" {
		out += "#" + heading
	}
	return out, nil
}

// file copies a file that is no page into the site. A folder is named by its address in the repository alone.
func (d *document) file(source, folder string) (string, error) {
	info, err := os.Stat(source)
	if err != nil {
		return "", fmt.Errorf("%s links to %s, which is not there", d.Source, source)
	}
	if info.IsDir() {
		return "#", nil
	}
	raw, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	to := filepath.Join(folder, source)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", err
	}
	return relative(d.Target, source), os.WriteFile(to, raw, 0o644)
}

// relative returns the way from one page of the site to another.
func relative(from, to string) string {
	up := strings.Repeat("../", strings.Count(from, "/"))
	return up + to
}

func (d *document) write(folder string, page *template.Template, all []shelf) error {
	var body, out bytes.Buffer
	if err := markdown.Renderer().Render(&body, d.markdown, d.tree); err != nil {
		return err
	}
	// what scrolls can be reached by the keyboard
	html := strings.ReplaceAll(body.String(), "<table>", `<div class="scroll" tabindex="0" role="group" aria-label="table"><table>`)
	html = strings.ReplaceAll(html, "</table>", "</table></div>")
	html = strings.ReplaceAll(html, "<pre>", `<pre tabindex="0">`)
	var flat []*document
	for _, s := range all {
		flat = append(flat, s.Pages...)
	}
	at := slices.Index(flat, d)
	v := map[string]any{
		"Page": d, "Shelves": all, "Body": template.HTML(html), "Style": template.CSS(siteCSS), //nolint:gosec // ours
	}
	if at > 0 {
		v["Before"] = flat[at-1]
	}
	if at < len(flat)-1 {
		v["After"] = flat[at+1]
	}
	if err := page.Execute(&out, v); err != nil {
		return err
	}
	to := filepath.Join(folder, d.Target)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, out.Bytes(), 0o644)
}
