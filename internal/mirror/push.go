package mirror

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pushed is the result of a push, by ref.
type pushed struct {
	// done are the refs that the target accepted, forced those of them that
	// were overwritten.
	done, forced []string
	// diverged are refs whose commit at the target is not an ancestor of the
	// source's. rejected are those that the target rejected, with its reason.
	diverged []string
	rejected map[string]string
	// said is what the target's hooks said about it.
	said []string
	// bytes is the size that git reports as written.
	bytes int64
}

// push pushes the refs of d from the repository to the target, in chunks. The default
// branch is named first: CodeCommit makes the first branch that an empty repository
// receives its default one. What is deleted is deleted last, after follow was called, which makes
// it the default branch of one that has another.
func (g *git) push(ctx context.Context, r *remote, d Difference, want, have Refs, first string,
	force bool, follow func() error) (pushed, error) {
	out := pushed{rejected: map[string]string{}}
	set := append(slices.Clone(d.Create), d.Update...)
	blocking, others := inTheWay(d)
	if err := g.overwrite(ctx, r, blocking, nil, have, &out); err != nil {
		return out, err
	}
	d.Delete = others
	if i := slices.Index(set, first); i >= 0 {
		set = slices.Insert(slices.Delete(set, i, i+1), 0, first)
	}
	for chunk := range slices.Chunk(set, maxRefsAPush) {
		if err := g.pushSome(ctx, r, chunk, want, &out); err != nil {
			return out, err
		}
	}
	if over := out.diverged; force && len(over) > 0 {
		out.diverged = nil
		if err := g.overwrite(ctx, r, over, want, have, &out); err != nil {
			return out, err
		}
		for _, name := range over {
			if slices.Contains(out.done, name) {
				out.forced = append(out.forced, name)
			}
		}
	}
	if len(out.diverged)+len(out.rejected) > 0 {
		return out, nil // a ref gone from the source may have been renamed, and the new name rejected
	}
	if err := follow(); err != nil {
		return out, err
	}
	return out, g.remove(ctx, r, d.Delete, want, have, &out)
}

// inTheWay splits the deletions of d into those that conflict with a new ref as
// its folder or inside it, and the others: git cannot hold both a and a/b.
func inTheWay(d Difference) (blocking, others []string) {
	for _, old := range d.Delete {
		if slices.ContainsFunc(d.Create, func(name string) bool {
			return strings.HasPrefix(name, old+"/") || strings.HasPrefix(old, name+"/")
		}) {
			blocking = append(blocking, old)
		} else {
			others = append(others, old)
		}
	}
	return blocking, others
}

// pushSome pushes refs that are created or fast-forward. It puts them into a
// repository of their own with the same objects, so that one pattern stands for them:
// thousands of names would take git minutes. The first ref is sent first.
func (g *git) pushSome(ctx context.Context, r *remote, refs []string, want Refs, out *pushed) error {
	some := Refs{}
	for _, name := range refs {
		some[name] = want[name]
	}
	of, err := g.beside(some)
	if err != nil {
		return err
	}
	return of.pushChunk(ctx, r, nil,
		[]string{refs[0] + ":" + refs[0], "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"}, out)
}

// remove deletes refs that the target still holds as they were listed. Many are deleted by one
// pattern, as by git push --mirror: git compares each name with every ref, and 2,500 deletions by
// name take twice as long. That nothing else goes, and nothing that moved, is held by a hook,
// which git runs with what the target advertised to this very push; where it stops the push, the
// refs are deleted by name, each if it did not move.
func (g *git) remove(ctx context.Context, r *remote, refs []string, want, have Refs, out *pushed) error {
	const few = 100
	for chunk := range slices.Chunk(refs, maxRefsAPush) {
		if len(chunk) > few {
			done, err := g.prune(ctx, r, chunk, want, have, out)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		if err := g.overwrite(ctx, r, chunk, nil, have, out); err != nil {
			return err
		}
	}
	return nil
}

// prune deletes refs by a pattern that takes every ref but those to keep, and reports whether the target
// held what was listed. If it did not, nothing was deleted.
func (g *git) prune(ctx context.Context, r *remote, refs []string, want, have Refs, out *pushed) (bool, error) {
	of, err := g.beside(nil)
	if err != nil {
		return false, err
	}
	kept := maps.Clone(want)
	maps.Copy(kept, have)
	var expected []string
	for _, name := range refs {
		delete(kept, name)
		// Source: https://git-scm.com/docs/githooks#_pre_push
		expected = append(expected, "(delete) "+strings.Repeat("0", len(have[name]))+" "+name+" "+have[name]+"\n")
	}
	slices.Sort(expected)
	config := "[remote \"target\"]\n\turl = " + quoted(r.url) + "\n"
	for _, pattern := range []string{"refs/none/*:refs/heads/*", "refs/none/*:refs/tags/*"} {
		config += "\tpush = " + pattern + "\n"
	}
	var keep strings.Builder
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		keep.WriteString("\tpush = " + quoted("^"+name) + "\n")
	}
	hook, moved := filepath.Join(of.dir, "hooks", "pre-push"), filepath.Join(of.dir, "moved")
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{filepath.Join(of.dir, "config"), bareConfig + config + keep.String(), 0o600},
		{filepath.Join(of.dir, "planned"), strings.Join(expected, ""), 0o600},
		{hook, "#!/bin/sh\nsort | cmp -s - planned || { : >moved; exit 1; }\n", 0o700},
	} {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return false, err
		}
		if err := os.WriteFile(f.path, []byte(f.text), f.mode); err != nil {
			return false, err
		}
	}
	if !executable(hook) || !filepath.IsAbs(hook) {
		return false, nil // git would go on without a hook that it cannot execute, or finds elsewhere
	}
	if err := os.Remove(moved); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	checked := *r
	checked.url = "target"
	checked.config = append(slices.Clone(r.config), [2]string{"core.hooksPath", filepath.Dir(hook)})
	err = of.pushChunk(ctx, &checked, []string{"--prune"}, nil, out)
	if _, stopped := os.Stat(moved); stopped == nil {
		return false, os.Remove(moved)
	}
	return true, err
}

// quoted quotes a value for a configuration file of git.
func quoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// bareConfig is the configuration of a bare repository.
const bareConfig = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"

// beside returns a second repository with the same objects and other refs.
func (g *git) beside(refs Refs) (*git, error) {
	out := *g
	out.dir = filepath.Join(g.home, "push")
	for name, text := range map[string]string{
		"HEAD": "ref: refs/heads/-none-\n", "config": bareConfig,
		"refs/none": "", "objects/info/alternates": filepath.Join(g.dir, "objects") + "\n",
	} {
		path := filepath.Join(out.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if text == "" {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return &out, out.writeRefs(refs, "")
}

// overwrite force-pushes refs, or deletes those that want lacks, if the target still
// holds what was listed.
func (g *git) overwrite(ctx context.Context, r *remote, refs []string, want, have Refs, out *pushed) error {
	for chunk := range slices.Chunk(refs, maxNamesAPush) {
		var specs, leases []string
		for _, name := range chunk {
			specs = append(specs, want[name]+":"+name) // a plus would override the lease
			leases = append(leases, "--force-with-lease="+name+":"+have[name])
		}
		if err := g.pushChunk(ctx, r, leases, specs, out); err != nil {
			return err
		}
	}
	return nil
}

func (g *git) pushChunk(ctx context.Context, r *remote, leases, specs []string, out *pushed) error {
	args := append([]string{
		"push", "--porcelain", "--progress", "--no-follow-tags", "--recurse-submodules=no",
	}, leases...)
	args = append(append(args, "--", r.url), specs...)
	counting := *g // the cache may be saved meanwhile, with the same git
	var wrote int64
	counting.progress = func(line string) {
		if strings.HasPrefix(line, "Writing objects: 100%") {
			wrote = max(wrote, bytesIn(line))
		}
		if g.progress != nil {
			g.progress(line)
		}
	}
	report, err := counting.output(ctx, command{args: args, remote: r})
	out.bytes += wrote
	rejected := out.read(report)
	if c := classOf(err); err != nil && rejected && (c == broken || c == spoiled) && ctx.Err() == nil {
		var g *gitError
		if errors.As(err, &g) {
			out.said = g.said()
		}
		return nil // rejected refs, each with its reason
	}
	return err
}

// bytesIn reads the size from a line such as "Writing objects: 100% (3/3), 1.20
// MiB | 2.00 MiB/s, done."; 0 if it has none.
func bytesIn(line string) int64 {
	_, rest, ok := strings.Cut(line, "), ")
	if !ok {
		return 0
	}
	var n float64
	var unit string
	if _, err := fmt.Sscanf(rest, "%f %s", &n, &unit); err != nil {
		return 0
	}
	unit = strings.TrimRight(unit, ",|")
	return int64(n * map[string]float64{"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit])
}

// read parses the report of git push --porcelain. It reports whether some ref
// was rejected.
//
// Source: https://git-scm.com/docs/git-push#_output
func (p *pushed) read(report []byte) (rejected bool) {
	lines := bufio.NewScanner(bytes.NewReader(report))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		parts := strings.SplitN(lines.Text(), "\t", 3)
		if len(parts) != 3 || len(parts[0]) != 1 {
			continue
		}
		_, name, _ := strings.Cut(parts[1], ":")
		if parts[0] == "=" {
			continue // as it was
		}
		if parts[0] != "!" {
			p.done = append(p.done, name)
			continue
		}
		rejected = true
		why := parts[2]
		if strings.Contains(why, "(non-fast-forward)") || strings.Contains(why, "(fetch first)") ||
			strings.Contains(why, "(already exists)") || strings.Contains(why, "(needs force)") {
			p.diverged = append(p.diverged, name)
			continue
		}
		p.rejected[name] = why
	}
	return rejected
}

// err returns the error for rejected and diverged refs, nil if there are none.
func (p *pushed) err() error {
	var problems []error
	if len(p.diverged) > 0 {
		problems = append(problems,
			&refusal{what: fmt.Sprintf("diverged: the target has commits that the source does not have, at %s",
				names(p.diverged)),
				hint: "find out who wrote to the target; force: true overwrites it"})
	}
	for _, name := range slices.Sorted(maps.Keys(p.rejected)) {
		problems = append(problems, fmt.Errorf("push %s: %s", name, p.rejected[name]))
		if len(problems) > 5 {
			problems = append(problems, fmt.Errorf("and %d more", len(p.rejected)-5))
			break
		}
	}
	for _, line := range p.said {
		if len(p.rejected) > 0 && strings.HasPrefix(line, "remote: ") {
			problems = append(problems, errors.New(line))
		}
	}
	return errors.Join(problems...)
}

// names lists refs for a message, only the first few if there are many.
func names(refs []string) string {
	const most = 5
	if len(refs) <= most {
		return strings.Join(refs, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(refs[:most], ", "), len(refs)-most)
}
