package config

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"drawbridge/endpoints"
	"drawbridge/internal/config/field"
	"drawbridge/scheduler"
)

// schema returns the JSON Schema of File, with the doc comments of its fields.
func schema(t *testing.T) []byte {
	t.Helper()
	structs := map[string]*ast.StructType{}
	for _, path := range sources {
		if err := parseStructs(structs, read(t, path)); err != nil {
			t.Fatal(err)
		}
	}
	words := func(w ...any) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: w} }
	var services []any
	for _, s := range endpoints.All() {
		services = append(services, string(s.ID))
	}
	list := &jsonschema.Schema{Type: "array", Items: words(services...)}
	kinds := words("environment", "command", "cpu", "memory")
	named := jsonschema.NewProperties()
	named.Set("environment", &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "string"}})
	special := map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[field.Duration](): {
			Type: "string", Pattern: `^([0-9]+d)?([0-9.]+(ns|us|ms|s|m|h))*$`, Examples: []any{"90s", "5m", "2h", "7d"},
		},
		reflect.TypeFor[ServiceList]():           {OneOf: []*jsonschema.Schema{words("auto"), list}},
		reflect.TypeFor[endpoints.ServiceID]():   words(services...),
		reflect.TypeFor[scheduler.Basis]():       words("clock", "creation"),
		reflect.TypeFor[Mode]():                  words("active", "observe"),
		reflect.TypeFor[Monitoring]():            words("none", "alarms", "full"),
		reflect.TypeFor[OverBudget]():            words("wait", "fail"),
		reflect.TypeFor[endpoints.GatewayMode](): words("permanent", "set"),
		reflect.TypeFor[Override](): {OneOf: []*jsonschema.Schema{kinds, {
			Type: "object", Properties: named, AdditionalProperties: jsonschema.FalseSchema,
		}}},
	}
	r := &jsonschema.Reflector{
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Anonymous: true, ExpandedStruct: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema { return special[t] },
		LookupComment: func(of reflect.Type, name string) string {
			return comment(structs, of.Name(), name)
		},
	}
	out := r.Reflect(&File{})
	out.Title = "drawbridge.yaml"
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// comment returns what the reference says of a field.
func comment(structs map[string]*ast.StructType, of, name string) string {
	if structs[of] == nil {
		return ""
	}
	for _, f := range structs[of].Fields.List {
		if len(f.Names) == 1 && f.Names[0].Name == name && f.Doc != nil {
			meaning, normal := split(f.Doc.Text(), name)
			if normal == "required" {
				return meaning
			}
			return meaning + " Default: " + normal + "."
		}
	}
	return ""
}

// TestSchema holds drawbridge.schema.json against the types, and the examples against it.
func TestSchema(t *testing.T) {
	want := schema(t)
	if *update {
		if err := os.WriteFile("drawbridge.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(Schema, want) {
		t.Fatal("drawbridge.schema.json differs from the types; go test ./internal/config -update writes it anew")
	}
	document, err := validator.UnmarshalJSON(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("../../examples/*/drawbridge*.yaml")
	if err != nil || len(examples) < 5 {
		t.Fatalf("examples %v, %v", examples, err)
	}
	for _, path := range examples {
		if err := s.Validate(value(t, read(t, path))); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := s.Validate(value(t, good)); err != nil {
		t.Errorf("a good file: %v", err)
	}
	for _, bad := range []string{
		"nam: x", "name: [1]", "sets: {main: {subnet: [a]}}", "sets: {main: {zones: two}}", "margin: 5",
		"sets: {main: {services: all}}", "sets: {main: {services: [ecr]}}", "billing: weekly", "monitoring: some",
		"jobs: {a: {overrides: [{command: [sh]}]}}", "jobs: {a: {on: [a]}}", "mirror: {repositories: {x: {sorce: 1}}}",
	} {
		if s.Validate(value(t, bad)) == nil {
			t.Errorf("the schema allows %q", bad)
		}
		if _, err := Parse("x.yaml", []byte(bad)); err == nil {
			t.Errorf("Parse allows %q", bad)
		}
	}
}

// value reads YAML as JSON has it.
func value(t *testing.T, text string) any {
	t.Helper()
	as, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := validator.UnmarshalJSON(bytes.NewReader(as))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVariablesOfTheEnvironment(t *testing.T) {
	t.Setenv("SUBNET", "subnet-1")
	text := "# {{ image }} is no variable\nname: {{ env `NAME` `etl` }}\nsets:\n  main:\n    subnets: [{{ must_env `SUBNET` }}]\n"
	got, err := Expand("x.yaml", []byte(text))
	if want := "# {{ image }} is no variable\nname: etl\nsets:\n  main:\n    subnets: [subnet-1]\n"; err != nil || string(got) != want {
		t.Errorf("Expand = %q, %v, want %q", got, err, want)
	}
	for text, want := range map[string]string{
		"a: 1\nb: {{ must_env `NOT_THERE` }}\n": "config x.yaml: line 2: the environment has no NOT_THERE",
		"a: 1\n\nb: {{ nope }}\n":               `config x.yaml: line 3: function "nope" not defined`,
		"a: {{ env `X`\n":                       "config x.yaml: line ",
	} {
		if _, err := Expand("x.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Expand(%q) = %v, want %q", text, err, want)
		}
	}
}
