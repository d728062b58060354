package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml"
)

// Difference is one key that two files do not have alike. Before or After is nil where the key
// is not there.
type Difference struct {
	// Key is its path, such as jobs.hello.overrides.
	Key    string `json:"key"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Action returns add, modify or remove, as CloudFormation has it.
func (d Difference) Action() string {
	switch {
	case d.Before == nil:
		return "add"
	case d.After == nil:
		return "remove"
	}
	return "modify"
}

// Values returns what the key is, or was and will be, as JSON.
func (d Difference) Values() string {
	switch d.Action() {
	case "add":
		return Compact(d.After)
	case "remove":
		return Compact(d.Before)
	}
	return Compact(d.Before) + " -> " + Compact(d.After)
}

// Compact returns a value of a file as JSON on one line.
func Compact(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return fmt.Sprint(v)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// Differences returns what the texts of two files do not have alike, in order of key; comments
// and the order of keys do not count. A set, a job or another section that only one of them has
// is one difference.
func Differences(before, after []byte) ([]Difference, error) {
	var a, b map[string]any
	for _, f := range []struct {
		text []byte
		to   *map[string]any
	}{{before, &a}, {after, &b}} {
		if err := yaml.Unmarshal(f.text, f.to); err != nil {
			return nil, fmt.Errorf("read a configuration: %w", err)
		}
	}
	return differences("", a, b), nil
}

func differences(prefix string, a, b map[string]any) (out []Difference) {
	keys := maps.Clone(a)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, b)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		x, y := a[k], b[k]
		inner, nested := x.(map[string]any)
		other, too := y.(map[string]any)
		switch {
		case reflect.DeepEqual(x, y):
		case nested && too, nested && y == nil && prefix == "", too && x == nil && prefix == "":
			out = append(out, differences(prefix+k+".", inner, other)...)
		default:
			out = append(out, Difference{prefix + k, x, y})
		}
	}
	return out
}
