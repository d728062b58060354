package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"drawbridge/internal/config/field"
)

// unreadable says why a text could not be read as a file, in the file's own words.
func unreadable(text []byte, err error) field.Problem {
	p := field.Problem{What: err.Error(), Remedy: "docs/configuration.md lists every key with its type"}
	var placed *field.PlaceError
	var known yaml.Error
	var at *token.Token
	switch {
	case errors.As(err, &placed):
		at = placed.Node.GetToken()
	case errors.As(err, &known):
		at, p.What = known.GetToken(), known.GetMessage()
	}
	if at == nil || at.Position == nil {
		return p
	}
	p.Line = at.Position.Line
	p.Where = pathTo(text, at)
	var unknown *yaml.UnknownFieldError
	var typed *yaml.TypeError
	var node *yaml.UnexpectedNodeTypeError
	var long *yaml.OverflowError
	switch {
	case errors.As(err, &unknown):
		p.What = fmt.Sprintf("unknown key %q", at.Value)
		keys := keysOf(reflect.TypeFor[File](), strings.Split(p.Where, "."))
		if near := Nearest(at.Value, keys); near != "" {
			p.Remedy = fmt.Sprintf("did you mean %s?", near)
		} else if len(keys) > 0 {
			p.Remedy = "use one of " + strings.Join(keys, ", ")
		}
	case errors.As(err, &typed):
		got := strconv.Quote(at.Value)
		if k := typed.SrcType.Kind(); k == reflect.Slice || k == reflect.Map {
			got = kindOf(typed.SrcType)
		}
		p.What = fmt.Sprintf("want %s, not %s", kindOf(typed.DstType), got)
	case errors.As(err, &node):
		p.What = fmt.Sprintf("want %s, not %s", words[node.Expected.YAMLName()],
			words[node.Actual.YAMLName()])
	case errors.As(err, &long):
		p.What = fmt.Sprintf("%s is out of range", at.Value)
	}
	return p
}

// words are what the parser's kinds of values are called here.
var words = map[string]string{
	"mapping": "keys with values", "sequence": "a list", "string": "text",
	"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing",
}

// kindOf says what a field of the file takes.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "keys with values"
	}
	return "text"
}

// pathTo returns the path of keys to a token of a text, such as jobs.hello.set; empty if the
// text cannot be parsed.
func pathTo(text []byte, at *token.Token) string {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return ""
	}
	found := finder{at: at}
	for _, doc := range file.Docs {
		ast.Walk(&found, doc)
	}
	return strings.TrimPrefix(strings.TrimPrefix(strings.ReplaceAll(found.path, "'", ""), "$"), ".")
}

// finder looks for the node of a token.
type finder struct {
	at   *token.Token
	path string
}

// Visit remembers the path of the last node at the token, which is the deepest one.
func (f *finder) Visit(n ast.Node) ast.Visitor {
	if t := n.GetToken(); t != nil && t.Position.Line == f.at.Position.Line &&
		t.Position.Column == f.at.Position.Column && n.GetPath() != "" {
		f.path = n.GetPath()
	}
	return f
}

// secondDocument returns the line of the first key of a second document in a text; 0 if there is
// none.
func secondDocument(text []byte) int {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return 0
	}
	for _, doc := range file.Docs[min(1, len(file.Docs)):] {
		if doc.Body != nil {
			return doc.Body.GetToken().Position.Line
		}
	}
	return 0
}

// locate finds the lines of problems in a text.
func locate(text []byte, problems field.Problems) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil || len(file.Docs) == 0 {
		return
	}
	for i, p := range problems {
		if p.Where != "" {
			problems[i].Line = lineOf(file.Docs[0].Body, p.Where)
		}
	}
}

// lineOf returns the line of the deepest key of a path that is there, or 0.
func lineOf(n ast.Node, path string) int {
	line := 0
	for path != "" {
		values, ok := n.(ast.MapNode)
		if !ok {
			return line
		}
		key := ""
		for next := values.MapRange(); next.Next(); {
			k := next.Key().String()
			if rest, cut := strings.CutPrefix(path, k); cut && len(k) > len(key) &&
				(rest == "" || strings.ContainsAny(rest[:1], ".[")) {
				key, line, n = k, next.Key().GetToken().Position.Line, next.Value()
			}
		}
		if key == "" {
			return line
		}
		path = strings.TrimLeft(path[len(key):], ".")
	}
	return line
}

// keysOf returns the keys that are allowed where the last one of a path is.
func keysOf(t reflect.Type, path []string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Map && len(path) > 1 {
		return keysOf(t.Elem(), path[1:])
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	fields := keyTypes(t)
	if len(path) > 1 {
		key, _, _ := strings.Cut(path[0], "[")
		if inner, ok := fields[key]; ok {
			return keysOf(inner, path[1:])
		}
		return nil
	}
	return slices.Sorted(maps.Keys(fields))
}

// keyTypes returns the types of a struct's keys, those of structs inline included.
func keyTypes(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			maps.Copy(out, keyTypes(f.Type))
		case name != "":
			out[name] = f.Type
		}
	}
	return out
}

// Nearest returns the candidate that a word was probably meant to be, or nothing.
func Nearest(word string, candidates []string) string {
	best, near := len(word)+1, "" // in half steps: of two that are as near, the one that begins alike
	for _, c := range candidates {
		d := 2 * levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(c))
		if word == "" || !strings.HasPrefix(c, word[:1]) {
			d++
		}
		if d < best {
			best, near = d, c
		}
	}
	return near
}
