package mirror

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxBlob is the largest blob, in bytes, that CodeCommit accepts.
//
// Source: https://docs.aws.amazon.com/codecommit/latest/userguide/limits.html
const maxBlob = 2 << 30

// A Git LFS pointer is at least its first two lines and less than 1024 bytes.
//
// Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
const minPointer, maxPointer = 100, 1024

var oidPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Pointer is a Git LFS pointer.
type Pointer struct {
	// OID is the SHA-256 of the object, in hexadecimal; Size is in bytes.
	OID  string
	Size int64
}

// found is the result of scanning the objects that the target does not have.
type found struct {
	// big are blobs over the limit, pointers the Git LFS pointers, each by object
	// id.
	big      map[string]int64
	pointers map[string]Pointer
	// paths are their paths, by object id; the first of each.
	paths map[string]string
}

// scan looks through all objects that the target lacks: those of want that are not
// reachable from have. Blobs over limit bytes are too big. If the target is empty, it
// reads every object of the repository without a walk, and walks only if it found
// something.
func (g *git) scan(ctx context.Context, want, have []string, limit int64) (*found, error) {
	f := &found{big: map[string]int64{}, pointers: map[string]Pointer{}, paths: map[string]string{}}
	all := len(have) == 0
	if err := g.sizes(ctx, want, have, all, limit, f); err != nil {
		return nil, err
	}
	if err := g.readPointers(ctx, f); err != nil {
		return nil, err
	}
	if all && len(f.big)+len(f.pointers) > 0 {
		if err := g.locate(ctx, want, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// sizes records the blobs that are too big, and those that may be pointers.
func (g *git) sizes(ctx context.Context, want, have []string, all bool, limit int64, f *found) error {
	read := func(in io.Reader) error {
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			id, rest, _ := strings.Cut(lines.Text(), " ")
			kind, rest, _ := strings.Cut(rest, " ")
			size, path, _ := strings.Cut(rest, " ")
			n, err := strconv.ParseInt(size, 10, 64)
			if kind != "blob" || err != nil {
				continue
			}
			if n > limit {
				f.big[id] = n
			} else if n >= minPointer && n < maxPointer {
				f.pointers[id] = Pointer{}
			} else {
				continue
			}
			f.paths[id] = path
		}
		return lines.Err()
	}
	check := command{args: []string{
		"cat-file", "--buffer", "--batch-check=%(objectname) %(objecttype) %(objectsize) %(rest)",
	}}
	if all {
		check.args = append(check.args, "--batch-all-objects", "--unordered")
		return g.stream(ctx, check, read)
	}
	walk := command{
		args: []string{"rev-list", "--objects", "--ignore-missing", "--stdin"}, stdin: revisions(want, have),
	}
	return g.stream(ctx, walk, func(in io.Reader) error {
		check.stdin = in
		return g.stream(ctx, check, read)
	})
}

// revisions is the input of git rev-list --stdin.
func revisions(want, have []string) io.Reader {
	var b bytes.Buffer
	for _, id := range want {
		b.WriteString(id + "\n")
	}
	for _, id := range have {
		b.WriteString("^" + id + "\n")
	}
	return &b
}

// stream runs a command and passes its output to read while it runs.
func (g *git) stream(ctx context.Context, c command, read func(io.Reader) error) error {
	in, out := io.Pipe()
	c.stdout = out
	var failed error
	var done sync.WaitGroup
	done.Go(func() {
		failed = g.run(ctx, c)
		_ = out.CloseWithError(failed) // never fails
	})
	err := read(in)
	_ = in.CloseWithError(io.ErrClosedPipe) // ends the program if read stops early
	done.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// readPointers keeps the blobs that are pointers.
func (g *git) readPointers(ctx context.Context, f *found) error {
	if len(f.pointers) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(f.pointers))
	candidates := command{
		args: []string{"cat-file", "--buffer", "--batch"}, stdin: strings.NewReader(strings.Join(ids, "\n") + "\n"),
	}
	return g.stream(ctx, candidates, func(in io.Reader) error {
		r := bufio.NewReaderSize(in, 64<<10)
		body := make([]byte, maxPointer+1)
		for range ids {
			head, err := r.ReadString('\n')
			if err != nil {
				return fmt.Errorf("read blobs: %w", err)
			}
			parts := strings.Fields(head)
			size := -1
			if len(parts) == 3 {
				size, _ = strconv.Atoi(parts[2]) // a bad number is 0, which ends the reading
			}
			if size < 0 || size > maxPointer {
				return fmt.Errorf("read blobs: unexpected output of git: %q", strings.TrimSpace(head))
			}
			if _, err := io.ReadFull(r, body[:size+1]); err != nil {
				return fmt.Errorf("read blob %s: %w", parts[0], err)
			}
			if p, ok := ParsePointer(body[:size]); ok {
				f.pointers[parts[0]] = p
			} else {
				delete(f.pointers, parts[0])
				delete(f.paths, parts[0])
			}
		}
		return nil
	})
}

// ParsePointer reads a Git LFS pointer; ok reports whether it is one.
func ParsePointer(blob []byte) (p Pointer, ok bool) {
	lines := strings.Split(string(blob), "\n")
	if len(lines) < 3 ||
		lines[0] != "version https://git-lfs.github.com/spec/v1" &&
			lines[0] != "version https://hawser.github.com/spec/v1" {
		return p, false
	}
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "oid":
			p.OID = strings.TrimPrefix(value, "sha256:")
		case "size":
			p.Size, _ = strconv.ParseInt(value, 10, 64) // a bad number is refused below, unless it is 0
		}
	}
	return p, oidPattern.MatchString(p.OID) && p.Size >= 0
}

// locate finds the paths of what was found, and drops what want does not reach.
func (g *git) locate(ctx context.Context, want []string, f *found) error {
	reached := map[string]bool{}
	walk := command{args: []string{"rev-list", "--objects", "--stdin"}, stdin: revisions(want, nil)}
	err := g.stream(ctx, walk, func(in io.Reader) error {
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			id, path, _ := strings.Cut(lines.Text(), " ")
			if _, ok := f.paths[id]; ok && !reached[id] {
				reached[id], f.paths[id] = true, path
			}
		}
		return lines.Err()
	})
	for id := range f.paths {
		if !reached[id] {
			delete(f.paths, id)
			delete(f.big, id)
			delete(f.pointers, id)
		}
	}
	return err
}

// tooBig returns the error for blobs that are too big, nil if there are none.
func (f *found) tooBig() error {
	if len(f.big) == 0 {
		return nil
	}
	var out []string
	for _, id := range slices.Sorted(maps.Keys(f.big)) {
		out = append(out, fmt.Sprintf("%s (blob %.10s, %.1f GiB)", f.paths[id], id, float64(f.big[id])/(1<<30)))
	}
	slices.Sort(out)
	return &refusal{
		what: "CodeCommit does not accept a blob over 2 GiB: " + names(out),
		hint: "remove it from the history, or exclude its branches in refs; all other refs are mirrored",
	}
}

// lfs returns the error for pointers if LFS is off.
func (f *found) lfs() error {
	var out []string
	for id := range f.pointers {
		out = append(out, f.paths[id])
	}
	slices.Sort(out)
	return &refusal{what: fmt.Sprintf("found Git LFS pointers (%d), whose objects a git mirror does not copy: %s",
		len(out), names(slices.Compact(out))),
		hint: "set lfs: s3://BUCKET/PREFIX to copy the objects, or lfs: ignore to mirror only the pointers; " +
			"refs without them are mirrored"}
}
