package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
)

// reference returns the table of all keys in Markdown, made of the types in the given
// sources and their doc comments: a comment's sentence that begins with Default gives
// the default.
func reference(ofMirror bool, sources ...string) (string, error) {
	structs := map[string]*ast.StructType{}
	for _, source := range sources {
		if err := parseStructs(structs, source); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	b.WriteString("| key | type | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, t := range []struct{ prefix, name string }{{"", "File"}, {"sets.<name>.", "SetSection"}, {"jobs.<name>.", "JobSection"}, {"deployments.<name>.", "Deployment"}, {"deployments.<name>.hooks.<name>.", "Hook"}, {"deployments.<name>.hooks.<name>.checks[].", "Check"}, {"deployments.<name>.hooks.<name>.checks[].http.", "HTTPCheck"}, {"deployments.<name>.hooks.<name>.checks[].tasks.", "TasksCheck"}, {"mirror.", "Mirror"}, {"mirror.repositories.<name>.", "Repository"},
		{"mirror.repositories.<name>.source.", "Source"}, {"mirror.repositories.<name>.target.", "Target"}, {"mirror.repositories.<name>.webhook.", "Webhook"}} {
		if strings.HasPrefix(t.prefix, "mirror.") != ofMirror {
			continue
		}
		for _, f := range fieldsOf(structs, t.name) {
			key := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
			meaning, normal := split(f.Doc.Text(), f.Names[0].Name)
			fmt.Fprintf(&b, "| `%s%s` | %s | %s | %s |\n", t.prefix, key, typeName(f.Type), normal, meaning)
		}
	}
	return b.String(), nil
}

// parseStructs adds the structs that a source defines.
func parseStructs(structs map[string]*ast.StructType, source string) error {
	file, err := parser.ParseFile(token.NewFileSet(), "source.go", source, parser.ParseComments)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if t, ok := n.(*ast.TypeSpec); ok {
			if s, ok := t.Type.(*ast.StructType); ok {
				structs[t.Name.Name] = s
			}
		}
		return true
	})
	return nil
}

// fieldsOf returns the fields of a struct that are keys of the file, those of structs inside it
// included.
func fieldsOf(structs map[string]*ast.StructType, name string) (out []*ast.Field) {
	for _, f := range structs[name].Fields.List {
		switch {
		case f.Tag == nil:
		case len(f.Names) == 0:
			out = append(out, fieldsOf(structs, f.Type.(*ast.Ident).Name)...)
		default:
			out = append(out, f)
		}
	}
	return out
}

// split takes the default out of a field's comment, and the field's own name.
func split(doc, name string) (meaning, normal string) {
	doc = strings.Join(strings.Fields(doc), " ")
	normal = "required"
	if before, rest, ok := strings.Cut(doc, "Default"); ok {
		normal, _, _ = strings.Cut(strings.TrimLeft(rest, ": "), ". ")
		normal = strings.TrimSuffix(normal, ".")
		after := strings.TrimPrefix(strings.TrimLeft(rest, ": "), normal)
		doc = strings.TrimSpace(before + strings.TrimLeft(after, ". "))
	} else if strings.Contains(doc, "(default") {
		before, _, _ := strings.Cut(doc, " (default")
		normal = before[strings.LastIndex(before, " ")+1:]
	}
	for _, verb := range []string{" is ", " are ", " says ", " maps "} {
		if rest, ok := strings.CutPrefix(doc, name+verb); ok {
			if verb == " says " {
				rest = "Says " + rest
			}
			if verb == " maps " {
				rest = "Maps " + rest
			}
			doc = rest
		}
	}
	return strings.ToUpper(doc[:1]) + doc[1:], normal
}

// typeName names a field's type as a user of the file thinks of it.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ArrayType:
		return "list"
	case *ast.MapType:
		return "map"
	case *ast.SelectorExpr:
		return typeName(e.Sel)
	case *ast.Ident:
		switch e.Name {
		case "Duration":
			return "duration"
		case "int", "float64":
			return "number"
		case "bool":
			return "true or false"
		case "Mirror", "Source", "Target", "Webhook", "HTTPCheck", "TasksCheck":
			return "map"
		case "ServiceList":
			return "list, or `auto`"
		}
	}
	return "text"
}
