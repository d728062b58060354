package config

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"drawbridge/internal/config/field"
)

// Schema is the JSON Schema of drawbridge.yaml, for editors.
//
//go:embed drawbridge.schema.json
var Schema []byte

// failedLine is where the template package says that a text failed.
var failedLine = regexp.MustCompile(`^template: [^:]*:([0-9]+)(?::[0-9]+)?: (?s:(.*))$`)

// literalComments keeps what stands in lines of comments as it is: the template prints it.
func literalComments(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines[i] = strings.ReplaceAll(line, "{{", "{{`{{`}}")
		}
	}
	return strings.Join(lines, "\n")
}

// Expand replaces {{ env "NAME" "default" }} and {{ must_env "NAME" }} in the text of a file by
// variables of the environment. It is done once, where the file is read: the functions are given
// the text that comes out. An error is of type *Error and gives the line; a variable that
// must_env names and that is not set is one.
func Expand(path string, text []byte) ([]byte, error) {
	var missing error
	t, err := template.New("file").Option("missingkey=error").Funcs(template.FuncMap{
		"env": func(name string, normal ...string) string {
			if v, ok := os.LookupEnv(name); ok || len(normal) == 0 {
				return v
			}
			return normal[0]
		},
		"must_env": func(name string) (string, error) {
			v, ok := os.LookupEnv(name)
			if !ok {
				missing = fmt.Errorf("the environment has no %s", name)
			}
			return v, missing
		},
	}).Parse(literalComments(string(text)))
	var out bytes.Buffer
	if err == nil {
		err = t.Execute(&out, nil)
	}
	if err == nil {
		return out.Bytes(), nil
	}
	p := field.Problem{What: err.Error(), Remedy: `write {{ env "NAME" "default" }} or {{ must_env "NAME" }}; two ` +
		"braces that mean themselves are {{`{{`}}"}
	if m := failedLine.FindStringSubmatch(err.Error()); m != nil {
		p.What = m[2]
		p.Line, _ = strconv.Atoi(m[1])
	}
	if missing != nil && errors.Is(err, missing) {
		p.What, p.Remedy = missing.Error(), `set it, or write {{ env "NAME" "default" }} for one that may be missing`
	}
	return nil, &Error{Path: path, Problems: field.Problems{p}}
}
