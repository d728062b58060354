package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// makers are the functions and types that give an error its remedy.
var makers = []string{"hint.New", "hint.With", "reject", "refuse", "rejected", "refusal", "TraceError", "PlanError", "endpoints.PlanError"}

// TestEveryErrorWithARemedyHasAnEntry reads the messages of all errors with a remedy out of the source.
func TestEveryErrorWithARemedyHasAnEntry(t *testing.T) {
	found := 0
	for _, root := range []string{"../cmd", "../internal", "../endpoints", "../scheduler", "../cfn"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				what := made(n)
				if what == nil {
					return true
				}
				message := strings.ReplaceAll(verb.ReplaceAllString(said(what), "x"), "%%", "%")
				if strings.Trim(message, "x :;") == "" { // the text is that of a cause
					return true
				}
				found++
				if Entry(message) == "" {
					t.Errorf("%s: no entry for %q in docs/troubleshooting.md or docs/mirror-operating.md", files.Position(n.Pos()), message)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 100 {
		t.Errorf("found %d messages, want more than 100: does the test see them?", found)
	}
}

// made returns what the error says that a node makes, nil if it makes none with a remedy.
func made(n ast.Node) ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		if slices.Contains(makers, name(n.Fun)) && len(n.Args) > 0 {
			if name(n.Fun) == "refuse" && len(n.Args) > 1 {
				return n.Args[1]
			}
			return n.Args[0]
		}
	case *ast.CompositeLit:
		if !slices.Contains(makers, name(n.Type)) {
			return nil
		}
		for _, e := range n.Elts {
			field, keyed := e.(*ast.KeyValueExpr)
			switch {
			case !keyed && name(n.Type) == "TraceError":
				return n.Elts[2]
			case !keyed:
				return e
			case strings.EqualFold(name(field.Key), "what"):
				return field.Value
			}
		}
	}
	return nil
}

func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return name(e.X) + "." + e.Sel.Name
	}
	return ""
}

var verb = regexp.MustCompile(`%[-+#.0-9]*[a-z]`)

// said returns what an expression says, with x for what only running it tells.
func said(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.BinaryExpr:
		return said(e.X) + said(e.Y)
	case *ast.CallExpr:
		switch name(e.Fun) {
		case "fmt.Sprintf", "fmt.Errorf", "errors.New", "errors.Join":
			return said(e.Args[0])
		}
	}
	return "x"
}

// TestEntriesOfErrorsThatAreMadeOtherwise holds messages of types that have a remedy of their own.
func TestEntriesOfErrorsThatAreMadeOtherwise(t *testing.T) {
	for _, tt := range []struct{ message, want string }{
		{"config drawbridge.yaml: sets.main.subnets: missing", "the-configuration"},
		{"describe stacks drawbridge: ExpiredToken: the security token included in the request is expired", "credentials-region-and-network"},
		{"describe stacks drawbridge: AccessDenied: User: arn:aws:iam::123456789012:user/x is not authorized to perform: cloudformation:DescribeStacks", "credentials-region-and-network"},
		{"the endpoint http://example.com would be called unencrypted over the network", "credentials-region-and-network"},
		{"interrupted; CloudFormation continues with stack drawbridge", "deploying-and-removing"},
		{"stack drawbridge is ROLLBACK_COMPLETE: nothing of it works, and it can only be deleted", "deploying-and-removing"},
		{"function drawbridge-launcher ran other code than was uploaded: somebody replaced it", "deploying-and-removing"},
		{"run task of hello/first: ClientException: TaskDefinition is inactive", "events-and-runs"},
		{"partition aws-iso serves neither a Price List nor Cost Explorer", "prices-traces-and-reports"},
		{"unknown service \"ecr\"", "the-configuration"},
		{"git fetch: exit status 128: fatal: repository 'https://git.corp.example/x/' not found", "when-it-fails"},
	} {
		if _, got, _ := strings.Cut(Entry(tt.message), "#"); got != tt.want {
			t.Errorf("Entry(%q) is in %q, want %q", tt.message, got, tt.want)
		}
	}
	if got := Entry("something else"); got != "" {
		t.Errorf("a message without an entry has %s", got)
	}
}
