package mirror

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Refs are the refs of a repository: object id by full name.
type Refs map[string]string

// Listing is the refs that a repository lists.
type Listing struct {
	Refs Refs
	// Default is the branch that HEAD points to, "" if it is not listed; Head is the
	// object that HEAD points to, "" if none.
	Default, Head string
}

// defaults returns the branches that may be the default one: if the server does not
// name it, all that point to the same commit as HEAD.
func (l Listing) defaults() []string {
	if l.Default != "" {
		return []string{l.Default}
	}
	var out []string
	for name, id := range l.Refs {
		if id == l.Head && strings.HasPrefix(name, "refs/heads/") {
			out = append(out, name)
		}
	}
	return out
}

// list reads the refs of a repository.
func (g *git) list(ctx context.Context, r *remote) (Listing, error) {
	out, err := g.output(ctx, command{
		args: []string{"ls-remote", "--quiet", "--symref", "--", r.url}, remote: r, within: g.limits.List,
	})
	if err != nil {
		return Listing{}, err
	}
	return parseListing(bytes.NewReader(out))
}

func parseListing(in io.Reader) (Listing, error) {
	l := Listing{Refs: Refs{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		value, name, ok := strings.Cut(lines.Text(), "\t")
		switch target, symbolic := strings.CutPrefix(value, "ref: "); {
		case !ok:
			return l, fmt.Errorf("read refs: invalid line %q from git ls-remote", lines.Text())
		case symbolic && name == "HEAD":
			l.Default = target
		case name == "HEAD":
			l.Head = value
		case symbolic, strings.HasSuffix(name, "^{}"):
		case !idPattern.MatchString(value):
			return l, fmt.Errorf("read refs: invalid object id %q (want SHA-1, as CodeCommit requires)", value)
		default:
			l.Refs[name] = value
		}
	}
	return l, lines.Err()
}

// eachLine calls do for every line of in.
func eachLine(in io.Reader, do func(string)) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		do(lines.Text())
	}
	return lines.Err()
}

// maxHead bounds the header of a bundle, in bytes: a million refs.
const maxHead = 128 << 20

// errLongHead reports a header without an end.
var errLongHead = errors.New("its header exceeds 128 MiB")

// eachLineUntilBlank calls do for every line before the first empty one.
func eachLineUntilBlank(in io.Reader, do func(string) error) error {
	limited := &io.LimitedReader{R: in, N: maxHead}
	r := bufio.NewReaderSize(limited, 64<<10)
	for {
		text, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) || limited.N == 0 && err != nil {
			return errLongHead
		}
		line := string(text)
		if line == "\n" || line == "" {
			return nil
		}
		if err := do(strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
		if err != nil {
			return nil //nolint:nilerr // the end
		}
	}
}

// idPattern matches SHA-1 object ids, the only ones that CodeCommit supports.
var idPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Scope selects the refs that are mirrored.
type Scope struct{ in, out []*regexp.Regexp }

// NewScope returns the scope of patterns such as refs/heads/* and !refs/heads/tmp/*,
// in which * stands for any text. Only branches and tags can be in it.
func NewScope(patterns []string) Scope {
	var s Scope
	for _, p := range patterns {
		rest, not := strings.CutPrefix(p, "!")
		compiled := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(rest), `\*`, ".*") + "$")
		if not {
			s.out = append(s.out, compiled)
		} else {
			s.in = append(s.in, compiled)
		}
	}
	return s
}

// Has reports whether a ref is mirrored.
func (s Scope) Has(name string) bool {
	if !strings.HasPrefix(name, "refs/heads/") && !strings.HasPrefix(name, "refs/tags/") {
		return false
	}
	matches := func(r *regexp.Regexp) bool { return r.MatchString(name) }
	return slices.ContainsFunc(s.in, matches) && !slices.ContainsFunc(s.out, matches)
}

// Of returns the refs that are mirrored.
func (s Scope) Of(refs Refs) Refs {
	out := Refs{}
	for name, id := range refs {
		if s.Has(name) {
			out[name] = id
		}
	}
	return out
}

// Difference is the changes that a replica needs.
type Difference struct {
	// Create and Update are the refs that it lacks, or has at another object;
	// each list is in order. Delete are those that the source does not have.
	Create, Update, Delete []string
}

// Empty reports whether there is nothing to change.
func (d Difference) Empty() bool { return len(d.Create)+len(d.Update)+len(d.Delete) == 0 }

// Compare returns the changes that make the replica match the source.
func Compare(source, replica Refs) Difference {
	var d Difference
	for _, name := range slices.Sorted(maps.Keys(source)) {
		switch have, ok := replica[name]; {
		case !ok:
			d.Create = append(d.Create, name)
		case have != source[name]:
			d.Update = append(d.Update, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(replica)) {
		if _, ok := source[name]; !ok {
			d.Delete = append(d.Delete, name)
		}
	}
	return d
}

// guard returns an error if the deletions of d exceed limit per cent, or, unless
// allowed, include a branch that may be the default one. A single ref is always
// within the limit.
func guard(d Difference, replica Refs, defaults []string, limit int, deleteDefault bool) error {
	if len(d.Delete) == 0 {
		return nil
	}
	for _, name := range defaults {
		if !deleteDefault && slices.Contains(d.Delete, name) {
			return &refusal{what: fmt.Sprintf("the source no longer has %s, the target's default branch", name),
				hint: "change the target's default branch, or set pruneDefault: true; nothing was " +
					"deleted"}
		}
	}
	if len(d.Delete) > 1 && len(d.Delete)*100 > limit*len(replica) {
		return &refusal{what: fmt.Sprintf("%d of the target's %d refs are gone from the source, more than %d %%",
			len(d.Delete), len(replica), limit),
			hint: "check that the source is the right one; if it is, increase pruneLimit; nothing was deleted"}
	}
	return nil
}

// refusal is an error about something that the mirror does not do.
type refusal struct{ what, hint string }

func (e *refusal) Error() string { return e.what }

// Hint returns the remedy.
func (e *refusal) Hint() string { return e.hint }

// maxRefsAPush is how many refs CodeCommit accepts in one push, maxNamesAPush how many
// of them are passed as arguments.
//
// Source: https://docs.aws.amazon.com/codecommit/latest/userguide/limits.html
const maxRefsAPush, maxNamesAPush = 4000, 1000

// badName returns why CodeCommit rejects a ref's name, "" if it accepts it.
//
// Source: https://docs.aws.amazon.com/codecommit/latest/userguide/limits.html
func badName(ref string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(ref, "refs/heads/"), "refs/tags/")
	switch {
	case !utf8.ValidString(name):
		return "it is not UTF-8"
	case len([]rune(name)) > 256:
		return "it is longer than 256 characters"
	case idPattern.MatchString(name):
		return "it looks like an object id"
	case strings.HasPrefix(name, ".") || strings.HasSuffix(name, "."):
		return "it begins or ends with a dot"
	case name == "@":
		return "it is @ alone"
	}
	return ""
}
