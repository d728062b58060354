package mirror

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// cache keeps a bare repository in S3: its packs under their own names, which are
// never rewritten with other content, and a manifest, which is written last, in one
// object. Even after a kill, the manifest names only complete packs; packs that no
// manifest names are deleted after a day.
type cache struct {
	bucket *Bucket
	// etag is the ETag of the manifest that was read, "" if none; before are its
	// packs.
	etag   string
	before []string
	// down and up are the bytes transferred.
	down, up int64
	// skip is true if the stored cache is unusable and is to be replaced.
	skip bool
}

// manifest lists the content of a cache.
type manifest struct {
	Version int `json:"version"`
	// Packs are the names of the packs, as pack-0123456789abcdef0123456789abcdef01234567.
	Packs []string `json:"packs"`
	Refs  Refs     `json:"refs"`
}

const (
	manifestVersion = 1
	manifestKey     = "manifest.json"
	// orphanAge is the age at which packs that no manifest names are deleted:
	// longer than any run that might still name them.
	orphanAge = 24 * time.Hour
	// maxPacks is the number of packs from which a repack combines them.
	maxPacks = 12
)

var packPattern = regexp.MustCompile(`^pack-[0-9a-f]{40}$`)

// load fills an empty repository from the cache. An error that wraps errBroken
// means that the cache is unusable and the repository still empty.
func (c *cache) load(ctx context.Context, g *git) (Refs, error) {
	var m manifest
	var err error
	c.etag, err = c.bucket.get(ctx, manifestKey, &m)
	if errors.Is(err, errMissing) || c.skip && c.etag != "" {
		c.before = nil
		return nil, nil
	}
	if err != nil && c.etag == "" {
		return nil, err // S3 does not answer
	}
	if err == nil {
		err = c.fill(ctx, g, m)
	}
	if err != nil && ctx.Err() == nil {
		if emptied := emptyPacks(g); emptied != nil {
			return nil, emptied
		}
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	c.before = m.Packs
	return m.Refs, err
}

// errBroken is the error for an unusable cache.
var errBroken = errors.New("the cache is broken and will be rebuilt")

func (c *cache) fill(ctx context.Context, g *git, m manifest) error {
	if m.Version != manifestVersion {
		return fmt.Errorf("unsupported version %d", m.Version)
	}
	for _, name := range m.Packs {
		if !packPattern.MatchString(name) {
			return fmt.Errorf("invalid pack name %q", name)
		}
		for _, ending := range []string{".pack", ".idx"} {
			n, err := c.fetch(ctx, name+ending, filepath.Join(packFolder(g), name+ending))
			c.down += n
			if err != nil {
				return err
			}
		}
	}
	for name, id := range m.Refs {
		if !strings.HasPrefix(name, "refs/") || !idPattern.MatchString(id) {
			return fmt.Errorf("invalid ref %q", name)
		}
	}
	return g.writeRefs(m.Refs, "")
}

// fetch downloads a pack or its index, both of which end with the hash of the
// preceding bytes.
func (c *cache) fetch(ctx context.Context, key, path string) (n int64, err error) {
	for range 3 {
		t := &trailer{hash: sha1.New()}
		n, err = c.bucket.downloadFile(ctx, key, path, t)
		if err == nil {
			if !t.right() {
				return n, fmt.Errorf("%s is damaged", c.bucket.uri(key))
			}
			return n, nil
		}
		if errors.Is(err, errMissing) || ctx.Err() != nil {
			return n, err
		}
	}
	return n, err
}

// trailer checks that the bytes written end with the hash of the bytes before.
type trailer struct {
	hash hash.Hash
	tail []byte
}

func (t *trailer) Write(p []byte) (int, error) {
	t.tail = append(t.tail, p...)
	if over := len(t.tail) - sha1.Size; over > 0 {
		t.hash.Write(t.tail[:over]) // a hash never fails
		t.tail = append(t.tail[:0], t.tail[over:]...)
	}
	return len(p), nil
}

func (t *trailer) right() bool { return bytes.Equal(t.tail, t.hash.Sum(nil)) }

// save writes the repository to the cache. A newer cache of another run stays.
func (c *cache) save(ctx context.Context, g *git, refs Refs) error {
	packs, err := g.packs()
	if err != nil {
		return err
	}
	for _, name := range packs {
		if slices.Contains(c.before, name) {
			continue
		}
		for _, ending := range []string{".idx", ".pack"} {
			n, err := c.bucket.uploadFile(ctx, name+ending, filepath.Join(packFolder(g), name+ending))
			c.up += n
			if err != nil {
				return err
			}
		}
	}
	etag, err := c.bucket.put(ctx, manifestKey, manifest{manifestVersion, packs, refs}, c.etag)
	if errors.Is(err, errChanged) {
		return nil // another run was faster; our upload is deleted in a day
	}
	if err != nil {
		return err
	}
	c.etag, c.before = etag, packs
	return nil
}

// tidy deletes packs older than a day that the manifest does not name. A run that still
// reads them a day after its start finds its cache broken and continues without it.
func (c *cache) tidy(ctx context.Context, now time.Time) error {
	objects, err := c.bucket.list(ctx, "pack-")
	if err != nil {
		return err
	}
	for _, o := range objects {
		name := strings.TrimSuffix(strings.TrimSuffix(o.key, ".pack"), ".idx")
		if slices.Contains(c.before, name) || now.Sub(o.modified) < orphanAge {
			continue
		}
		if err := c.bucket.delete(ctx, o.key); err != nil {
			return err
		}
	}
	return nil
}

func packFolder(g *git) string { return filepath.Join(g.dir, "objects", "pack") }

// packs returns the names of the repository's packs, in order.
func (g *git) packs() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(packFolder(g), "pack-*.pack"))
	var out []string
	for _, f := range files {
		out = append(out, strings.TrimSuffix(filepath.Base(f), ".pack"))
	}
	slices.Sort(out)
	return out, err
}

func emptyPacks(g *git) error {
	if err := os.RemoveAll(packFolder(g)); err != nil {
		return err
	}
	return os.MkdirAll(packFolder(g), 0o700)
}

// init creates an empty bare repository.
func (g *git) init(ctx context.Context) error {
	return g.run(ctx, command{args: []string{"init", "--quiet", "--bare", "--template="}, within: g.limits.List})
}

// writeRefs replaces the repository's refs with refs, in one file: thousands of loose
// refs cost more than the objects that they name. branch is the branch of HEAD, "" for
// none.
//
// Source of the format: https://git-scm.com/docs/git-pack-refs, refs/packed-backend.c
func (g *git) writeRefs(refs Refs, branch string) error {
	var b bytes.Buffer
	b.WriteString("# pack-refs with: sorted \n")
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		fmt.Fprintf(&b, "%s %s\n", refs[name], name)
	}
	if err := os.WriteFile(filepath.Join(g.dir, "packed-refs"), b.Bytes(), 0o600); err != nil {
		return err
	}
	if branch == "" {
		branch = "refs/heads/-none-" // not the leftovers of a clone
	}
	return os.WriteFile(filepath.Join(g.dir, "HEAD"), []byte("ref: "+branch+"\n"), 0o600)
}

// clone replaces the repository with all branches and tags of another.
func (g *git) clone(ctx context.Context, r *remote) error {
	if err := os.RemoveAll(g.dir); err != nil {
		return err
	}
	outside := *g
	outside.dir = ""
	return outside.run(ctx, command{
		args: []string{"clone", "--bare", "--template=", "--progress", "--", r.url, g.dir}, remote: r,
	})
}

// fetch fetches the listed objects by id, not by ref: the listed state is mirrored
// even if a ref has moved meanwhile, and git takes minutes over thousands of refs by
// name. It writes no ref.
func (g *git) fetch(ctx context.Context, r *remote, ids []string) error {
	return g.run(ctx, command{
		args: []string{
			"fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules",
			"--progress", "--stdin", "--", r.url,
		},
		remote: r, stdin: strings.NewReader(strings.Join(ids, "\n") + "\n"),
	})
}

// missing returns the ids that the repository does not have.
func (g *git) missing(ctx context.Context, ids []string) ([]string, error) {
	var out []string
	check := command{
		args:  []string{"cat-file", "--buffer", "--batch-check=%(objectname)"},
		stdin: strings.NewReader(strings.Join(ids, "\n") + "\n"),
	}
	err := g.stream(ctx, check, func(in io.Reader) error {
		return eachLine(in, func(line string) {
			if id, ok := strings.CutSuffix(line, " missing"); ok {
				out = append(out, id)
			}
		})
	})
	return out, err
}

// repack combines packs, the small ones first.
func (g *git) repack(ctx context.Context) error {
	return g.run(ctx, command{args: []string{"repack", "--geometric=2", "-d", "-q"}})
}
