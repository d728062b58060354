package kernel

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// StatusAt is a stack's status and its time, for stale reads.
type StatusAt struct {
	At     time.Time
	Status string
	Reason string
}

// Tag is a tag as most services write it.
type Tag struct {
	Key   string
	Value string
}

// Text returns a property as text; "" if there is none.
func Text(props map[string]any, key string) string {
	if v, ok := props[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// Texts returns a property that is a list of texts.
func Texts(props map[string]any, key string) []string {
	l, _ := props[key].([]any)
	return TextsOf(l)
}

// Objects returns a property that is a list of objects.
func Objects(props map[string]any, key string) []map[string]any {
	l, _ := props[key].([]any)
	var out []map[string]any
	for _, x := range l {
		if m, ok := x.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// TextsOf returns the values of a list as texts.
func TextsOf(list []any) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = fmt.Sprint(x)
	}
	return out
}

// Find returns the first match in all, or nil.
func Find[T any](list []*T, is func(*T) bool) *T {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i]
	}
	return nil
}

// Wildcard matches text against a pattern with * and ?.
func Wildcard(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	switch pattern[0] {
	case '*':
		for i := 0; i <= len(text); i++ {
			if Wildcard(pattern[1:], text[i:]) {
				return true
			}
		}
		return false
	case '?':
		return text != "" && Wildcard(pattern[1:], text[1:])
	}
	return text != "" && text[0] == pattern[0] && Wildcard(pattern[1:], text[1:])
}

// SortedKeys returns the keys of m in order.
func SortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// At returns the text at a path of member names, in the first item of each list.
func At(v any, path string) string {
	for _, step := range strings.Split(path, ".") {
		if list, ok := v.([]any); ok {
			if len(list) == 0 {
				return ""
			}
			v = list[0]
		}
		m, _ := v.(map[string]any)
		v = m[step]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
