package dynamodb

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"drawbridge/internal/awssim/kernel"
)

// attribute is a DynamoDB value: one type letter and its JSON value.
type attribute map[string]any

// item is a row: attributes by name.
type item map[string]attribute

func (a attribute) kind() string {
	for k := range a {
		return k
	}
	return ""
}

func number(s string) (*big.Rat, bool) { return new(big.Rat).SetString(s) }

// equal compares two values as DynamoDB does: numbers by value, sets without order.
func equal(a, b attribute) bool {
	k := a.kind()
	if k != b.kind() {
		return false
	}
	switch k {
	case "N":
		c, ok := order(a, b)
		return ok && c == 0
	case "SS", "NS", "BS":
		return reflect.DeepEqual(sortedSet(a), sortedSet(b))
	}
	return reflect.DeepEqual(Plain(a), Plain(b))
}

// Plain converts a value to the types that encoding/json produces.
func Plain(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var out any
	if json.Unmarshal(b, &out) != nil {
		return v
	}
	return out
}

func sortedSet(a attribute) []string {
	out := setOf(a)
	sort.Strings(out)
	return out
}

func setOf(a attribute) []string {
	l, _ := a[a.kind()].([]any)
	return kernel.TextsOf(l)
}

// order compares two values of one ordered type.
func order(a, b attribute) (int, bool) {
	k := a.kind()
	if k != b.kind() {
		return 0, false
	}
	if k == "S" {
		x, _ := a[k].(string)
		y, _ := b[k].(string)
		return strings.Compare(x, y), true
	}
	x, y := fmt.Sprint(a[k]), fmt.Sprint(b[k])
	switch k {
	case "N":
		m, ok1 := number(x)
		n, ok2 := number(y)
		if !ok1 || !ok2 {
			return 0, false
		}
		return m.Cmp(n), true
	case "S", "B":
		return strings.Compare(x, y), true
	}
	return 0, false
}

// expression is a parser over one expression of a request.
type expression struct {
	kind   string // ConditionExpression, UpdateExpression ...
	tokens []string
	pos    int
	names  map[string]string
	values map[string]attribute
	used   map[string]bool // names and values that an expression of the request uses
}

func validation(format string, args ...any) *kernel.APIError {
	return kernel.Errorf("ValidationException", format, args...)
}

// expressionError ends the parsing; parse recovers it.
type expressionError struct{ err *kernel.APIError }

func (x *expression) fail(format string, args ...any) {
	panic(expressionError{validation("Invalid "+x.kind+": "+format, args...)})
}

// parse runs f on the tokens of text and requires that it uses all of them.
func (x *expression) parse(text string, f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(expressionError)
			if !ok {
				panic(r)
			}
			err = e.err
		}
	}()
	if strings.TrimSpace(text) == "" {
		x.fail("The expression can not be empty;")
	}
	x.tokens = tokenize(text)
	f()
	if x.pos < len(x.tokens) {
		x.syntax()
	}
	return nil
}

func (x *expression) syntax() {
	at, near := "<EOF>", ""
	if x.pos < len(x.tokens) {
		at = x.tokens[x.pos]
	}
	near = strings.Join(x.tokens[max(0, x.pos-1):min(len(x.tokens), x.pos+2)], " ")
	x.fail("Syntax error; token: %q, near: %q", at, near)
}

func tokenize(text string) []string {
	var out []string
	for i := 0; i < len(text); {
		c := rune(text[i])
		switch {
		case unicode.IsSpace(c):
			i++
		case strings.ContainsRune("(),.[]+-", c) || c == '=':
			out = append(out, string(c))
			i++
		case c == '<' || c == '>':
			if i+1 < len(text) && (text[i+1] == '=' || c == '<' && text[i+1] == '>') {
				out = append(out, text[i:i+2])
				i += 2
				continue
			}
			out = append(out, string(c))
			i++
		default:
			j := i
			for j < len(text) &&
				(unicode.IsLetter(rune(text[j])) || unicode.IsDigit(rune(text[j])) ||
					strings.ContainsRune("_#:", rune(text[j]))) {
				j++
			}
			if j == i {
				j++
			}
			out = append(out, text[i:j])
			i = j
		}
	}
	return out
}

func (x *expression) peek() string {
	if x.pos < len(x.tokens) {
		return x.tokens[x.pos]
	}
	return ""
}

func (x *expression) word(w string) bool {
	if strings.EqualFold(x.peek(), w) {
		x.pos++
		return true
	}
	return false
}

func (x *expression) expect(w string) {
	if !x.word(w) {
		x.syntax()
	}
}

// path is a document path: attribute names and list positions.
type path []any

// reserved are the reserved words that expressions of tests and tools use.
//
// Source: "Reserved words in DynamoDB"; the sandbox knows the commonest.
var reserved = []string{
	"ADD", "ALL", "AND", "AS", "BEGIN", "BETWEEN", "BY", "COMMENT", "CONDITION", "COUNT", "COUNTER", "DATA", "DATE",
	"DELETE", "END", "EVENTS", "EXISTS", "FROM", "GROUP",
	"HOUR", "IN", "INDEX", "ITEM", "ITEMS", "KEY", "LAST", "LEVEL", "LIST", "LOCATION", "MAP", "MINUTE", "NAME",
	"NAMES", "NOT", "NUMBER", "OR", "ORDER", "OWNER",
	"PATH", "PLAN", "POSITION", "REMOVE", "ROLE", "SECOND", "SET", "SIZE", "SOURCE", "START", "STATE", "STATUS",
	"TABLE", "TIME", "TIMESTAMP", "TOKEN", "TTL", "TYPE",
	"UPDATE", "URL", "USER", "VALUE", "VALUES", "VIEW", "YEAR", "ZONE",
}

func (x *expression) path() path {
	var p path
	for {
		t := x.peek()
		switch {
		case t == "" || strings.ContainsAny(t[:1], "(),.[]+-=<>:"):
			x.syntax()
		case t[0] == '#':
			name, ok := x.names[t]
			if !ok {
				x.fail("An expression attribute name used in the document path is not defined; attribute name: %s", t)
			}
			x.used[t] = true
			p = append(p, name)
		default:
			if slices.Contains(reserved, strings.ToUpper(t)) {
				x.fail("Attribute name is a reserved keyword; reserved keyword: %s", t)
			}
			p = append(p, t)
		}
		x.pos++
		for x.peek() == "[" {
			x.pos++
			n, err := strconv.Atoi(x.peek())
			if err != nil {
				x.syntax()
			}
			x.pos++
			x.expect("]")
			p = append(p, n)
		}
		if x.peek() != "." {
			return p
		}
		x.pos++
	}
}

func (x *expression) value() attribute {
	t := x.peek()
	v, ok := x.values[t]
	if !ok {
		x.fail("An expression attribute value used in expression is not defined; attribute value: %s", t)
	}
	x.used[t] = true
	x.pos++
	return v
}

// get returns the value at p, or nil.
func (it item) get(p path) attribute {
	var cur attribute
	for i, step := range p {
		switch s := step.(type) {
		case string:
			if i == 0 {
				cur = it[s]
			} else {
				m, _ := cur["M"].(map[string]any)
				cur = asAttribute(m[s])
			}
		case int:
			l, _ := cur["L"].([]any)
			if s >= len(l) {
				return nil
			}
			cur = asAttribute(l[s])
		}
		if cur == nil {
			return nil
		}
	}
	return cur
}

func asAttribute(v any) attribute {
	switch v := v.(type) {
	case attribute:
		return v
	case map[string]any:
		return attribute(v)
	}
	return nil
}

// operandOf is a value that an expression computes from an item; nil is absent.
type operandOf func(item) attribute

// operand parses a path, a value or a size.
func (x *expression) operand() operandOf {
	t := x.peek()
	if strings.HasPrefix(t, ":") {
		v := x.value()
		return func(item) attribute { return v }
	}
	if strings.EqualFold(t, "size") && x.pos+1 < len(x.tokens) && x.tokens[x.pos+1] == "(" {
		x.pos += 2
		p := x.path()
		x.expect(")")
		return func(it item) attribute { return sizeOf(it.get(p)) }
	}
	p := x.path()
	return func(it item) attribute { return it.get(p) }
}

func sizeOf(a attribute) attribute {
	switch v := a[a.kind()].(type) {
	case string:
		return attribute{"N": strconv.Itoa(len(v))}
	case []any:
		return attribute{"N": strconv.Itoa(len(v))}
	case map[string]any:
		return attribute{"N": strconv.Itoa(len(v))}
	}
	return nil
}

// test is a condition on an item.
type test func(item) bool

func (x *expression) condition() test {
	left := x.conjunction()
	for x.word("OR") {
		a, b := left, x.conjunction()
		left = func(it item) bool { return a(it) || b(it) }
	}
	return left
}

func (x *expression) conjunction() test {
	left := x.negation()
	for x.word("AND") {
		a, b := left, x.negation()
		left = func(it item) bool { return a(it) && b(it) }
	}
	return left
}

func (x *expression) negation() test {
	if x.word("NOT") {
		a := x.negation()
		return func(it item) bool { return !a(it) }
	}
	if x.peek() == "(" {
		x.pos++
		a := x.condition()
		x.expect(")")
		return a
	}
	if x.pos+1 < len(x.tokens) && x.tokens[x.pos+1] == "(" && !strings.EqualFold(x.peek(), "size") {
		return x.function()
	}
	return x.comparison()
}

func (x *expression) function() test {
	name := x.peek()
	x.pos += 2
	var out test
	switch strings.ToLower(name) {
	case "attribute_exists", "attribute_not_exists":
		p, want := x.path(), strings.EqualFold(name, "attribute_exists")
		out = func(it item) bool { return (it.get(p) != nil) == want }
	case "attribute_type":
		p := x.path()
		x.expect(",")
		v := x.value()
		out = func(it item) bool { return it.get(p) != nil && it.get(p).kind() == fmt.Sprint(v["S"]) }
	case "begins_with":
		a := x.operand()
		x.expect(",")
		b := x.operand()
		out = func(it item) bool {
			s, ok1 := a(it)["S"].(string)
			t, ok2 := b(it)["S"].(string)
			return ok1 && ok2 && strings.HasPrefix(s, t)
		}
	case "contains":
		a := x.operand()
		x.expect(",")
		b := x.operand()
		out = func(it item) bool { return contains(a(it), b(it)) }
	default:
		x.fail("Invalid function name; function: %s", name)
	}
	x.expect(")")
	return out
}

func contains(a, b attribute) bool {
	switch a.kind() {
	case "S":
		t, ok := b["S"].(string)
		return ok && strings.Contains(fmt.Sprint(a["S"]), t)
	case "SS", "NS", "BS":
		return b.kind() == a.kind()[:1] && slices.Contains(setOf(a), fmt.Sprint(b[b.kind()]))
	case "L":
		l, _ := a["L"].([]any)
		return slices.ContainsFunc(l, func(v any) bool { return equal(asAttribute(v), b) })
	}
	return false
}

func (x *expression) comparison() test {
	a := x.operand()
	op := x.peek()
	switch {
	case x.word("BETWEEN"):
		low := x.operand()
		x.expect("AND")
		high := x.operand()
		return func(it item) bool {
			c, ok1 := order(a(it), low(it))
			d, ok2 := order(a(it), high(it))
			return ok1 && ok2 && c >= 0 && d <= 0
		}
	case x.word("IN"):
		x.expect("(")
		list := []operandOf{x.operand()}
		for x.word(",") {
			list = append(list, x.operand())
		}
		x.expect(")")
		return func(it item) bool {
			v := a(it)
			return v != nil && slices.ContainsFunc(list, func(o operandOf) bool { return equal(v, o(it)) })
		}
	case slices.Contains([]string{"=", "<>", "<", "<=", ">", ">="}, op):
		x.pos++
		b := x.operand()
		return func(it item) bool { return compareBy(op, a(it), b(it)) }
	}
	x.syntax()
	return nil
}

func compareBy(op string, a, b attribute) bool {
	switch op {
	case "=":
		return a != nil && b != nil && equal(a, b)
	case "<>":
		return b != nil && (a == nil || !equal(a, b))
	}
	c, ok := order(a, b)
	if a == nil || b == nil || !ok {
		return false
	}
	return op == "<" && c < 0 || op == "<=" && c <= 0 || op == ">" && c > 0 || op == ">=" && c >= 0
}

// change is one step of an update: it computes the new value from the old item.
type change struct {
	at    path
	apply func(old, next item) error
}

// update parses an update expression.
func (x *expression) update() []change {
	var out []change
	seen := map[string]bool{}
	for x.pos < len(x.tokens) {
		clause := strings.ToUpper(x.peek())
		if !slices.Contains([]string{"SET", "REMOVE", "ADD", "DELETE"}, clause) {
			x.syntax()
		}
		if seen[clause] {
			x.fail("The %q section can only be used once in an update expression;", clause)
		}
		seen[clause] = true
		x.pos++
		out = append(out, x.clause(clause))
		for x.word(",") {
			out = append(out, x.clause(clause))
		}
	}
	return out
}

func (x *expression) clause(clause string) change {
	p := x.path()
	switch clause {
	case "SET":
		x.expect("=")
		v := x.sum()
		return change{p, func(old, next item) error {
			a, err := v(old)
			if err != nil {
				return err
			}
			if a == nil {
				return validation("The provided expression refers to an attribute that does not exist in the item")
			}
			return next.set(p, a)
		}}
	case "REMOVE":
		return change{p, func(_, next item) error { return next.set(p, nil) }}
	}
	v := x.value()
	return change{p, func(old, next item) error {
		a, err := combine(clause, old.get(p), v)
		if err != nil {
			return err
		}
		return next.set(p, a)
	}}
}

// combine executes ADD and DELETE.
func combine(clause string, old, v attribute) (attribute, error) {
	k := v.kind()
	if clause == "ADD" && k == "N" {
		if old == nil {
			return v, nil
		}
		return arithmetic("+", old, v)
	}
	if k != "SS" && k != "NS" && k != "BS" {
		return nil, validation("Invalid UpdateExpression: Incorrect operand type for operator or function; "+
			"operator: %s, operand type: %s", clause, k)
	}
	if old != nil && old.kind() != k {
		return nil, validation("An operand in the update expression has an incorrect data type")
	}
	set := setOf(old)
	for _, m := range setOf(v) {
		at := slices.Index(set, m)
		switch {
		case clause == "ADD" && at < 0:
			set = append(set, m)
		case clause == "DELETE" && at >= 0:
			set = slices.Delete(set, at, at+1)
		}
	}
	if len(set) == 0 {
		return nil, nil
	}
	out := make([]any, len(set))
	for i, m := range set {
		out[i] = m
	}
	return attribute{k: out}, nil
}

type computed func(item) (attribute, error)

// both computes two values of an item.
func both(it item, a, b computed) (v, w attribute, err error) {
	if v, err = a(it); err != nil {
		return nil, nil, err
	}
	w, err = b(it)
	return v, w, err
}

// sum parses the right side of SET: an operand, or two with + or -.
func (x *expression) sum() computed {
	a := x.term()
	op := x.peek()
	if op != "+" && op != "-" {
		return a
	}
	x.pos++
	b := x.term()
	return func(it item) (attribute, error) {
		v, w, err := both(it, a, b)
		if err != nil {
			return nil, err
		}
		if v == nil || w == nil {
			return nil, validation("The provided expression refers to an attribute that does not exist in the item")
		}
		return arithmetic(op, v, w)
	}
}

func arithmetic(op string, a, b attribute) (attribute, error) {
	m, ok1 := number(fmt.Sprint(a["N"]))
	n, ok2 := number(fmt.Sprint(b["N"]))
	if !ok1 || !ok2 {
		return nil, validation("An operand in the update expression has an incorrect data type")
	}
	if op == "-" {
		n.Neg(n)
	}
	m.Add(m, n)
	if m.IsInt() {
		return attribute{"N": m.Num().String()}, nil
	}
	return attribute{"N": strings.TrimRight(m.FloatString(38), "0")}, nil
}

func (x *expression) term() computed {
	t := x.peek()
	isCall := x.pos+1 < len(x.tokens) && x.tokens[x.pos+1] == "("
	switch {
	case isCall && strings.EqualFold(t, "if_not_exists"):
		x.pos += 2
		p := x.path()
		x.expect(",")
		other := x.term()
		x.expect(")")
		return func(it item) (attribute, error) {
			if v := it.get(p); v != nil {
				return v, nil
			}
			return other(it)
		}
	case isCall && strings.EqualFold(t, "list_append"):
		x.pos += 2
		a := x.term()
		x.expect(",")
		b := x.term()
		x.expect(")")
		return func(it item) (attribute, error) {
			v, w, err := both(it, a, b)
			if err != nil {
				return nil, err
			}
			l, ok1 := v["L"].([]any)
			m, ok2 := w["L"].([]any)
			if !ok1 || !ok2 {
				return nil, validation("An operand in the update expression has an incorrect data type")
			}
			return attribute{"L": append(slices.Clone(l), m...)}, nil
		}
	case isCall:
		x.fail("Invalid function name; function: %s", t)
	}
	o := x.operand()
	return func(it item) (attribute, error) { return o(it), nil }
}

// set writes a value at p, or removes it if v is nil.
func (it item) set(p path, v attribute) error {
	top := p[0].(string)
	if len(p) == 1 {
		if v == nil {
			delete(it, top)
		} else {
			it[top] = v
		}
		return nil
	}
	if it[top] == nil {
		return validation("The document path provided in the update expression is invalid for update")
	}
	copied := asAttribute(Plain(it[top]))
	if err := setIn(copied, p[1:], v); err != nil {
		return err
	}
	it[top] = copied
	return nil
}

func setIn(cur attribute, p path, v attribute) error {
	bad := validation("The document path provided in the update expression is invalid for update")
	switch step := p[0].(type) {
	case string:
		m, ok := cur["M"].(map[string]any)
		switch {
		case !ok:
			return bad
		case len(p) == 1 && v == nil:
			delete(m, step)
		case len(p) == 1:
			m[step] = map[string]any(v)
		default:
			next := asAttribute(m[step])
			if next == nil {
				return bad
			}
			return setIn(next, p[1:], v)
		}
	case int:
		l, ok := cur["L"].([]any)
		switch {
		case !ok:
			return bad
		case len(p) > 1:
			if step >= len(l) {
				return bad
			}
			return setIn(asAttribute(l[step]), p[1:], v)
		case v == nil && step < len(l):
			cur["L"] = slices.Delete(l, step, step+1)
		case v != nil && step < len(l):
			l[step] = map[string]any(v)
		case v != nil:
			cur["L"] = append(l, map[string]any(v))
		}
	}
	return nil
}
