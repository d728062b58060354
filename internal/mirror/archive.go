package mirror

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// archive is a target in S3: bundles, each of the whole repository, and an
// index that names the newest and its refs.
type archive struct {
	bucket *Bucket
	keep   int
}

// archiveIndex is written after the bundle that it names.
type archiveIndex struct {
	Bundle string `json:"bundle"`
	Refs   Refs   `json:"refs"`
	// Default is the branch that a clone of the bundle checks out.
	Default string `json:"default,omitempty"`
}

const archiveIndexKey = "index.json"

// bundlePattern matches the names of our bundles; other objects in the folder are
// not ours.
var bundlePattern = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z\.bundle$`)

// list returns the refs of the newest bundle.
func (a *archive) list(ctx context.Context) (Listing, error) {
	var x archiveIndex
	_, err := a.bucket.get(ctx, archiveIndexKey, &x)
	if errors.Is(err, errMissing) {
		return Listing{Refs: Refs{}}, nil
	}
	if err != nil {
		return Listing{}, err
	}
	if _, _, err := a.bucket.head(ctx, x.Bundle); errors.Is(err, errMissing) {
		return Listing{Refs: Refs{}}, nil // it was deleted by hand
	} else if err != nil {
		return Listing{}, err
	}
	return Listing{Refs: x.Refs, Default: x.Default}, nil
}

// write creates a bundle of all refs of the repository, reads it back, and deletes
// surplus bundles.
func (a *archive) write(ctx context.Context, g *git, refs Refs, branch string, now time.Time) (int64, error) {
	if len(refs) == 0 {
		_, err := a.bucket.put(ctx, archiveIndexKey, archiveIndex{Refs: refs}, anything)
		return 0, err
	}
	if err := g.writeRefs(refs, branch); err != nil {
		return 0, err
	}
	name := now.UTC().Format("20060102T150405.000Z") + ".bundle"
	path := filepath.Join(g.home, name)
	args := []string{"bundle", "create", "--quiet", path, "--branches", "--tags"}
	if _, ok := refs[branch]; ok {
		args = append(args, "HEAD")
	}
	if err := g.run(ctx, command{args: args}); err != nil {
		return 0, err
	}
	held, err := g.list(ctx, bundleRemote(path))
	if err != nil {
		return 0, err
	}
	if d := Compare(refs, held.Refs); !d.Empty() {
		return 0, &refusal{what: "the bundle does not match the repository: " +
			names(append(append(d.Create, d.Update...), d.Delete...)), hint: "check the report, and run it again"}
	}
	n, err := a.bucket.uploadFile(ctx, name, path)
	if err != nil {
		return n, err
	}
	if _, err := a.bucket.put(ctx, archiveIndexKey, archiveIndex{name, refs, branch}, anything); err != nil {
		return n, err
	}
	return n, a.thin(ctx)
}

// thin deletes the oldest bundles beyond the number to keep.
func (a *archive) thin(ctx context.Context) error {
	objects, err := a.bucket.list(ctx, "")
	if err != nil {
		return err
	}
	objects = slices.DeleteFunc(objects, func(o object) bool { return !bundlePattern.MatchString(o.key) })
	for len(objects) > a.keep {
		if err := a.bucket.delete(ctx, objects[0].key); err != nil {
			return err
		}
		objects = objects[1:]
	}
	return nil
}
