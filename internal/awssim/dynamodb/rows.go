package dynamodb

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// row is an item with its size, as the rows of a table or an index hold it.
type row struct {
	item item
	size int
}

// rows are the items that an index holds, in the order of its keys. Every write
// keeps them in order, so the cost of a page depends only on its size.
type rows struct {
	hash, rng string
	sorted    []row
}

func (t *Table) compareRow(r *rows) func(row, item) int {
	return func(a row, b item) int { return t.compare(a.item, b, r.hash, r.rng) }
}

// rowsOf returns the rows of the table itself, or of one of its indexes.
func (t *Table) rowsOf(hash, rng string) *rows {
	for _, r := range t.ordered {
		if r.hash == hash && r.rng == rng {
			return r
		}
	}
	r := &rows{hash: hash, rng: rng}
	for _, it := range t.items {
		if r.holds(it) {
			r.sorted = append(r.sorted, row{it, itemSize(it)})
		}
	}
	slices.SortFunc(r.sorted, func(a, b row) int { return t.compare(a.item, b.item, hash, rng) })
	t.ordered = append(t.ordered, r)
	return r
}

// holds reports whether an item has the keys of the index.
func (r *rows) holds(it item) bool { return it[r.hash] != nil && (r.rng == "" || it[r.rng] != nil) }

// replace keeps every index in order when one item replaces another; nil means
// no item.
func (t *Table) replace(old, next item) {
	for _, r := range t.ordered {
		if old != nil && r.holds(old) {
			if i, ok := slices.BinarySearchFunc(r.sorted, old, t.compareRow(r)); ok {
				r.sorted = slices.Delete(r.sorted, i, i+1)
			}
		}
		if next != nil && r.holds(next) {
			i, _ := slices.BinarySearchFunc(r.sorted, next, t.compareRow(r))
			r.sorted = slices.Insert(r.sorted, i, row{next, itemSize(next)})
		}
	}
}

var (
	hashIs    = regexp.MustCompile(`(#?\w+)\s*=\s*(:\w+)`)
	lowerIs   = regexp.MustCompile(`(#?\w+)\s*(?:>=|>|BETWEEN)\s*(:\w+)`)
	beginning = regexp.MustCompile(`begins_with\s*\(\s*(#?\w+)\s*,\s*(:\w+)\s*\)`)
)

// from returns a position before all rows that a key condition selects. The
// condition itself is still checked for every row.
func (t *Table) from(r *rows, in *readInput) int {
	low := item{}
	bound := func(pattern *regexp.Regexp, key string) {
		for _, m := range pattern.FindAllStringSubmatch(in.KeyConditionExpression, -1) {
			name := m[1]
			if full, ok := in.ExpressionAttributeNames[name]; ok {
				name = full
			}
			if name == key && key != "" {
				low[key] = in.ExpressionAttributeValues[m[2]]
			}
		}
	}
	bound(hashIs, r.hash)
	if low[r.hash] == nil {
		return 0
	}
	for _, pattern := range []*regexp.Regexp{hashIs, lowerIs, beginning} {
		bound(pattern, r.rng)
	}
	i, _ := slices.BinarySearchFunc(r.sorted, low, func(a row, b item) int {
		for _, k := range []string{r.hash, r.rng} {
			if b[k] == nil {
				return 1 // all rows of this hash are at or after the position
			}
			if c, ok := order(a.item[k], b[k]); ok && c != 0 {
				return c
			}
		}
		return 1 // of those with the same keys, the first
	})
	return i
}

// itemSize returns the size of an item in bytes as DynamoDB counts it: the names and
// the values of its attributes.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func itemSize(it item) int {
	n := 0
	for name, a := range it {
		n += len(name) + valueSize(a)
	}
	return n
}

func valueSize(a attribute) int {
	kind := a.kind()
	switch v := a[kind].(type) {
	case string:
		switch kind {
		case "N":
			return (len(strings.TrimLeft(v, "-0"))+1)/2 + 1
		case "B":
			return base64.StdEncoding.DecodedLen(len(v))
		}
		return len(v)
	case bool:
		return 1
	case []any:
		n := 0
		if kind == "L" {
			n = 3 + len(v)
		}
		for _, x := range v {
			if m, ok := x.(map[string]any); ok {
				n += valueSize(m)
				continue
			}
			n += len(fmt.Sprint(x))
		}
		return n
	case map[string]any:
		n := 3 + len(v)
		for name, x := range v {
			if m, ok := x.(map[string]any); ok {
				n += len(name) + valueSize(m)
			}
		}
		return n
	}
	b, _ := json.Marshal(a) // plain data
	return len(b)
}
