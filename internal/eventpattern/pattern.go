// Package eventpattern matches events against EventBridge event patterns.
//
// Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
package eventpattern

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
)

// Pattern is a compiled event pattern.
type Pattern struct{ root map[string]any }

// Compile parses a pattern in JSON. The error names the invalid place.
func Compile(text []byte) (*Pattern, error) {
	var root map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&root); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	return FromMap(root)
}

// FromMap is Compile for an already decoded pattern, with JSON's types.
func FromMap(root map[string]any) (*Pattern, error) {
	if len(root) == 0 {
		return nil, fmt.Errorf("the pattern is empty")
	}
	if err := check("", root); err != nil {
		return nil, err
	}
	return &Pattern{root}, nil
}

// Match reports whether the event, a JSON object, matches.
func (p *Pattern) Match(event []byte) bool {
	var e map[string]any
	return json.Unmarshal(event, &e) == nil && p.MatchMap(e)
}

// MatchMap is Match for a decoded event.
func (p *Pattern) MatchMap(event map[string]any) bool { return matchObject(p.root, event) }

func check(path string, v any) error {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if k == "$or" {
				if err := checkOr(path, x); err != nil {
					return err
				}
				continue
			}
			if err := check(strings.TrimPrefix(path+"."+k, "."), x); err != nil {
				return err
			}
		}
		return nil
	case []any:
		if len(v) == 0 {
			return fmt.Errorf("%q: Empty arrays are not allowed", path)
		}
		for _, x := range v {
			if err := checkRule(path, x); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%q must be an object or an array", path)
}

func checkOr(path string, v any) error {
	list, ok := v.([]any)
	if !ok || len(list) < 2 {
		return fmt.Errorf("%q: $or takes an array of at least two objects", path)
	}
	for _, x := range list {
		if _, ok := x.(map[string]any); !ok {
			return fmt.Errorf("%q: $or takes objects", path)
		}
		if err := check(path, x); err != nil {
			return err
		}
	}
	return nil
}

func checkRule(path string, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		if _, nested := v.([]any); nested {
			return fmt.Errorf("%q: arrays in arrays are not allowed", path)
		}
		return nil
	}
	if len(m) != 1 {
		return fmt.Errorf("%q: a match expression has exactly one operator", path)
	}
	for op, arg := range m {
		if !operand(op, arg) {
			return fmt.Errorf("%q: %v is not a match expression", path, describe(m))
		}
	}
	return nil
}

func describe(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// operand reports whether op is known and arg has its type.
func operand(op string, arg any) bool {
	_, isText := arg.(string)
	switch op {
	case "prefix", "suffix":
		m, nested := arg.(map[string]any)
		return isText || nested && len(m) == 1 && texts(m["equals-ignore-case"]) != nil
	case "wildcard", "equals-ignore-case":
		return isText
	case "exists":
		_, ok := arg.(bool)
		return ok
	case "cidr":
		_, err := netip.ParsePrefix(fmt.Sprint(arg))
		return isText && err == nil
	case "numeric":
		list, ok := arg.([]any)
		return ok && numericParts(list) != nil
	case "anything-but":
		if m, ok := arg.(map[string]any); ok {
			for k, x := range m {
				if k != "prefix" && k != "suffix" && k != "wildcard" && k != "equals-ignore-case" || texts(x) == nil {
					return false
				}
			}
			return len(m) == 1
		}
		return arg != nil
	}
	return false
}

// texts returns a string or a list of strings as a list, nil if it is neither.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil
			}
			out = append(out, s)
		}
		return out
	}
	return nil
}

type comparison struct {
	op string
	n  float64
}

func numericParts(list []any) []comparison {
	if len(list) == 0 || len(list)%2 != 0 {
		return nil
	}
	var out []comparison
	for i := 0; i < len(list); i += 2 {
		op, ok := list[i].(string)
		n, isNumber := list[i+1].(float64)
		if !ok || !isNumber || !strings.Contains(" < <= = >= > ", " "+op+" ") {
			return nil
		}
		out = append(out, comparison{op, n})
	}
	return out
}

func matchObject(pattern, event map[string]any) bool {
	for k, p := range pattern {
		if k == "$or" {
			if !matchOr(p.([]any), event) {
				return false
			}
			continue
		}
		v, present := event[k]
		switch p := p.(type) {
		case map[string]any:
			sub, _ := v.(map[string]any)
			if !matchObject(p, sub) {
				return false
			}
		case []any:
			if !matchField(p, v, present) {
				return false
			}
		}
	}
	return true
}

func matchOr(options []any, event map[string]any) bool {
	for _, o := range options {
		if matchObject(o.(map[string]any), event) {
			return true
		}
	}
	return false
}

// matchField reports whether a value, or any element of it if it is an array,
// satisfies any of the rules.
func matchField(rules []any, v any, present bool) bool {
	values := []any{v}
	if list, ok := v.([]any); ok {
		values = list
	}
	for _, r := range rules {
		m, isOperator := r.(map[string]any)
		if want, ok := m["exists"]; isOperator && ok {
			_, isObject := v.(map[string]any)
			if (present && !isObject) == want {
				return true
			}
			continue
		}
		if !present {
			continue
		}
		for _, x := range values {
			if isOperator && matchOperator(m, x) || !isOperator && reflect.DeepEqual(r, x) {
				return true
			}
		}
	}
	return false
}

func matchOperator(m map[string]any, v any) bool {
	for op, arg := range m {
		switch op {
		case "anything-but":
			return !anyOf(arg, v)
		case "numeric":
			n, ok := v.(float64)
			return ok && compare(numericParts(arg.([]any)), n)
		case "cidr":
			s, _ := v.(string)
			a, err := netip.ParseAddr(s)
			p, perr := netip.ParsePrefix(fmt.Sprint(arg))
			return err == nil && perr == nil && p.Contains(a)
		}
		s, ok := v.(string)
		return ok && matchText(op, arg, s)
	}
	return false
}

// anyOf is the exclusion of anything-but.
func anyOf(arg, v any) bool {
	switch arg := arg.(type) {
	case []any:
		for _, x := range arg {
			if reflect.DeepEqual(x, v) {
				return true
			}
		}
		return false
	case map[string]any:
		s, ok := v.(string)
		for op, x := range arg {
			for _, t := range texts(x) {
				if ok && matchText(op, t, s) {
					return true
				}
			}
		}
		return false
	}
	return reflect.DeepEqual(arg, v)
}

func compare(parts []comparison, n float64) bool {
	for _, c := range parts {
		ok := false
		switch c.op {
		case "<":
			ok = n < c.n
		case "<=":
			ok = n <= c.n
		case "=":
			ok = n == c.n
		case ">=":
			ok = n >= c.n
		case ">":
			ok = n > c.n
		}
		if !ok {
			return false
		}
	}
	return true
}

func matchText(op string, arg any, s string) bool {
	want, _ := arg.(string)
	if m, ok := arg.(map[string]any); ok {
		want, _ = m["equals-ignore-case"].(string)
		want, s = strings.ToLower(want), strings.ToLower(s)
	}
	switch op {
	case "prefix":
		return strings.HasPrefix(s, want)
	case "suffix":
		return strings.HasSuffix(s, want)
	case "equals-ignore-case":
		return strings.EqualFold(s, want)
	case "wildcard":
		return wildcard(want, s)
	}
	return false
}

// wildcard matches text against a pattern in which * stands for any characters.
func wildcard(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(text, p)
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}
