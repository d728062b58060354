package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"drawbridge/internal/mirror/section"
)

// pass is one run over one repository.
type pass struct {
	*Runner
	name    string
	c       *section.Repository
	home    string
	git     *git
	remotes *remotes
	scope   Scope
	state   *Bucket
	log     *zap.Logger
	rep     *Report
	noted   sync.Mutex // guards the report's steps
	sides
	compared
}

// sides are the two ends of a run.
type sides struct {
	source  *remote
	target  *remote // target is nil for an archive
	archive *archive
	bundle  string // ETag of the source's bundle
	prune   bool
}

// compared is the result of comparing source and target.
type compared struct {
	// last is the record of the last success, lastTag its ETag.
	last    Record
	lastTag string
	// kept is why refs that are gone from the source were not deleted; nil if they were.
	kept error
	from Listing
	to   Listing
	want Refs
	have Refs
	held Refs // the refs of want whose objects the repository has
	diff Difference
	// barred are refs that are left as they are, each with the reason; refusals say what is to be
	// done about them.
	barred   map[string]string
	refusals []error
}

// run compares, and transfers the difference.
func (p *pass) run(ctx context.Context) error {
	if err := p.open(ctx); err != nil {
		return err
	}
	var err error
	if p.last, p.lastTag, err = readRecord(ctx, p.state); err != nil {
		return err
	}
	if p.source == nil {
		same, err := p.sameBundle(ctx)
		if err != nil || same {
			return err
		}
	}
	if err := p.step("compare", func() error { return p.compare(ctx) }); err != nil {
		return err
	}
	if p.DryRun {
		return p.tell()
	}
	if p.diff.Empty() && !p.unseen() {
		if err := p.followDefault(ctx); err != nil {
			return err
		}
		return p.finish(ctx, Unchanged)
	}
	held := &lock{bucket: p.state, now: p.Now, owner: p.Owner, holds: p.Limits.Lock}
	if err := held.acquire(ctx, func(owner string) {
		p.rep.WaitedFor = owner
		p.log.Info("waits for another run", zap.String("run", owner))
	}); err != nil {
		return err
	}
	err = p.bring(ctx)
	// The lock is released even if the run was interrupted.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := held.release(bounded); err != nil {
		p.log.Warn("lock not released; it expires by itself", zap.Error(err))
	}
	return err
}

// unseen reports whether earlier objects must still be scanned for LFS pointers,
// because LFS is on now and was off then.
func (p *pass) unseen() bool {
	return !p.last.At.IsZero() && p.last.LFS == section.LFSIgnore && p.c.LFS != section.LFSIgnore
}

// open sets up access to source and target.
func (p *pass) open(ctx context.Context) (err error) {
	p.prune = p.c.Prune
	if p.c.Source.Bundle == "" {
		if p.source, err = p.remotes.open(ctx, p.c.Source.URL, p.c.Source.Secret, "source"); err != nil {
			return err
		}
		if p.c.Source.Proxy != "" {
			p.source.config = append(p.source.config, [2]string{"http.proxy", p.c.Source.Proxy})
		}
		if !p.c.Source.SkipObjectChecks {
			p.source.config = append(p.source.config, objectChecks...)
		}
	}
	if p.c.Target.Archive == "" {
		p.target, err = p.remotes.target(ctx, p.c.Target)
		return err
	}
	bucket, prefix, _ := section.S3Place(p.c.Target.Archive)
	p.prune = true // a bundle holds the source's refs; earlier bundles hold deleted ones
	p.archive = &archive{NewBucket(p.S3, bucket, prefix+"/"), p.c.Target.Keep}
	return nil
}

// sameBundle reports whether the source is the bundle that was mirrored last, and
// the target still holds it. Otherwise it downloads the bundle and makes it the
// source.
func (p *pass) sameBundle(ctx context.Context) (bool, error) {
	bucket, key, _ := section.S3Place(p.c.Source.Bundle)
	at := NewBucket(p.S3, bucket, "")
	etag, size, err := at.head(ctx, key)
	if errors.Is(err, errMissing) {
		return false, &refusal{
			what: fmt.Sprintf("no bundle at %s", p.c.Source.Bundle),
			hint: "upload one: git bundle create - --all | aws s3 cp - " + p.c.Source.Bundle,
		}
	}
	if err != nil {
		return false, err
	}
	p.bundle = etag
	if p.last.Bundle == etag && slices.Equal(p.last.Scope, p.c.Refs) && !p.unseen() && !p.DryRun {
		p.from = Listing{Refs: p.last.Refs, Default: p.last.Default}
		if err := p.listTarget(ctx); err != nil {
			return false, err
		}
		if p.differ(); p.diff.Empty() {
			return true, p.finish(ctx, Unchanged)
		}
	}
	if err := p.tooLarge(size); err != nil {
		return false, err
	}
	path := filepath.Join(p.home, "source.bundle")
	if _, err := at.downloadFile(ctx, key, path, nil); err != nil {
		return false, err
	}
	if err := p.checkBundle(path); err != nil {
		return false, err
	}
	p.rep.Bytes.Fetched += size
	p.source = bundleRemote(path)
	return false, nil
}

// tooLarge refuses a source over the limit; without a limit any size passes.
func (p *pass) tooLarge(bytes int64) error {
	limit := int64(p.c.Source.MaxMiB) << 20
	if limit == 0 || bytes <= limit {
		return nil
	}
	return &refusal{
		what: fmt.Sprintf("the source has %.1f MiB (limit %d MiB)", float64(bytes)/(1<<20), p.c.Source.MaxMiB),
		hint: "increase source.maxMiB, and mirror.disk if that is the limit",
	}
}

// checkBundle reads a bundle's header. An incremental bundle does not list all refs,
// so a ref that it lacks is not deleted.
//
// Source of the format: https://git-scm.com/docs/gitformat-bundle
func (p *pass) checkBundle(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	first := true
	err = eachLineUntilBlank(f, func(line string) error {
		if first && !strings.HasPrefix(line, "# v2 git bundle") && !strings.HasPrefix(line, "# v3 git bundle") {
			return &refusal{
				what: p.c.Source.Bundle + " is not a git bundle", hint: "create it with git bundle create FILE --all",
			}
		}
		first = false
		if strings.HasPrefix(line, "-") && p.prune {
			p.prune = false
			p.log.Warn("the bundle is incremental: nothing is pruned")
		}
		return nil
	})
	if errors.Is(err, errLongHead) {
		return &refusal{
			what: p.c.Source.Bundle + " is not a git bundle: " + err.Error(),
			hint: "create it with git bundle create FILE --all",
		}
	}
	return err
}

// compare lists both sides and computes the difference.
func (p *pass) compare(ctx context.Context) error {
	var other sync.WaitGroup
	var failed error
	other.Go(func() { failed = p.listTarget(ctx) })
	err := p.listSource(ctx)
	other.Wait()
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	p.differ()
	return p.check()
}

func (p *pass) listSource(ctx context.Context) error {
	_, err := again(ctx, p.Limits, func() (err error) {
		p.from, err = p.git.list(ctx, p.source)
		return err
	})
	if err != nil {
		return fmt.Errorf("read the refs of the source: %w", err)
	}
	return nil
}

func (p *pass) listTarget(ctx context.Context) error {
	if p.archive != nil {
		var err error
		p.to, err = p.archive.list(ctx)
		return err
	}
	_, err := again(ctx, p.Limits, func() (err error) {
		p.to, err = p.git.list(ctx, p.target)
		return err
	})
	if classOf(err) == absent && p.c.Target.Create {
		p.to = Listing{Refs: Refs{}}
		if p.DryRun {
			return nil
		}
		return p.createRepository(ctx, p.c.Target.CodeCommit)
	}
	if err != nil {
		return fmt.Errorf("read the refs of the target: %w", err)
	}
	return nil
}

// differ computes the difference between the two listings.
func (p *pass) differ() {
	p.want, p.have = p.scope.Of(p.from.Refs), p.scope.Of(p.to.Refs)
	for name := range p.barred {
		delete(p.want, name)
		delete(p.have, name)
	}
	p.diff = Compare(p.want, p.have)
	p.rep.Refs = len(p.want)
	p.rep.Kept, p.kept = 0, nil
	p.rep.KeptDefault = ""
	if name := p.keptDefault(); p.prune && name != "" {
		p.rep.KeptDefault = name
		p.diff.Delete = slices.DeleteFunc(p.diff.Delete, func(x string) bool { return x == name })
	}
	if p.prune {
		defaults := p.to.defaults()
		if p.c.Target.CodeCommit != "" && p.newDefault() != "" {
			defaults = []string{p.newDefault()} // what it will be before anything is deleted
		}
		p.kept = guard(p.diff, p.have, defaults, p.c.PruneLimit, p.c.PruneDefault)
	}
	if !p.prune || p.kept != nil {
		p.rep.Kept, p.diff.Delete = len(p.diff.Delete), nil
	}
}

// check bars what the target would refuse, and refuses a source that is suddenly empty.
// It leaves out deletions that exceed the limits; they fail the run once the rest
// is done.
func (p *pass) check() error {
	if len(p.from.Refs) == 0 && len(p.last.Refs) > 0 {
		return &refusal{
			what: fmt.Sprintf("the source lists no refs; it had %d", len(p.last.Refs)),
			hint: "check the URL, and that the credentials can still read it; nothing was " +
				"changed",
		}
	}
	if p.archive != nil && p.kept != nil {
		return p.kept // a bundle is all or nothing
	}
	bad := map[string]string{}
	var said []string
	for _, name := range p.diff.Create {
		if why := badName(name); why != "" && (p.c.Target.CodeCommit != "" || !utf8.ValidString(name)) {
			bad[name] = why
			said = append(said, fmt.Sprintf("%q (%s)", name, why))
		}
	}
	if len(bad) > 0 {
		p.bar(bad, &refusal{
			what: "these names cannot be mirrored: " + names(said),
			hint: "rename them at the source, or exclude them in refs, as !refs/heads/NAME; all other refs are " +
				"mirrored",
		})
	}
	return nil
}

// bar leaves refs as they are, each for a reason; the run fails with what is to be done about it
// once all others are mirrored.
func (p *pass) bar(refs map[string]string, what error) {
	if p.barred == nil {
		p.barred = map[string]string{}
	}
	maps.Copy(p.barred, refs)
	p.rep.Barred = p.barred
	p.refusals = append(p.refusals, what)
	p.differ()
}

// barThose bars the refs of the difference that reach any of the objects.
func (p *pass) barThose(ctx context.Context, ids map[string]string, what error) error {
	bad := map[string]string{}
	have := slices.Sorted(maps.Values(p.to.Refs))
	for _, name := range append(slices.Clone(p.diff.Create), p.diff.Update...) {
		walk := command{
			args:  []string{"rev-list", "--objects", "--ignore-missing", "--stdin"},
			stdin: revisions([]string{p.want[name]}, have),
		}
		err := p.git.stream(ctx, walk, func(in io.Reader) error {
			return eachLine(in, func(line string) {
				if id, _, _ := strings.Cut(line, " "); ids[id] != "" && bad[name] == "" {
					bad[name] = ids[id]
				}
			})
		})
		if err != nil {
			return fmt.Errorf("find the refs that hold what cannot be mirrored: %w", err)
		}
	}
	p.bar(bad, what)
	return nil
}

// tell reports the difference at the end of a dry run.
func (p *pass) tell() error {
	p.rep.Status = Unchanged
	if !p.diff.Empty() {
		p.rep.Status = Differs
	}
	p.rep.Created = p.diff.Create
	p.rep.Updated = p.diff.Update
	p.rep.Deleted = p.diff.Delete
	return errors.Join(p.refusals...)
}

// bring makes the target match the source. The caller holds the lock.
func (p *pass) bring(ctx context.Context) error {
	if p.rep.WaitedFor != "" { // the other run may have done it all
		if err := p.compare(ctx); err != nil {
			return err
		}
		if p.diff.Empty() {
			return p.finish(ctx, Unchanged)
		}
	}
	store := &cache{bucket: p.state.in("cache")}
	err := p.carry(ctx, store)
	if why := p.doubt(ctx, err); why != "" {
		// The cache may lack what its manifest says it holds.
		p.log.Warn("retrying without the cache", zap.String("why", why))
		p.rep.Cache = "rebuilt: " + why
		p.rep.Diverged = nil
		store.skip = true
		if err = errors.Join(os.RemoveAll(p.git.dir), os.Mkdir(p.git.dir, 0o700)); err == nil {
			err = p.compare(ctx)
		}
		if err == nil {
			err = p.carry(ctx, store)
		}
	}
	if err != nil {
		return err
	}
	if err := p.step("verify", func() error { return p.verify(ctx) }); err != nil {
		return err
	}
	p.lag(ctx)
	return nil
}

// doubt returns why a failure may come from the cache, "" if it does not: one for an unknown
// reason, and refs that have diverged in a repository that is incomplete.
func (p *pass) doubt(ctx context.Context, err error) string {
	if err == nil || p.rep.Cache != "used" || ctx.Err() != nil {
		return ""
	}
	var g *gitError
	if errors.As(err, &g) && g.class == broken {
		return g.Error()
	}
	if len(p.rep.Diverged) == 0 {
		return ""
	}
	walk := command{
		args:  []string{"rev-list", "--objects", "--quiet", "--stdin"},
		stdin: revisions(slices.Sorted(maps.Values(p.held)), nil),
	}
	if p.git.run(ctx, walk) != nil && ctx.Err() == nil {
		return "it is incomplete"
	}
	return ""
}

// carry fetches, inspects and pushes, and saves the cache in parallel.
func (p *pass) carry(ctx context.Context, store *cache) error {
	if err := p.git.init(ctx); err != nil {
		return err
	}
	if err := p.step("fetch", func() error { return p.gather(ctx, store) }); err != nil {
		return err
	}
	if err := p.step("inspect", func() error { return p.inspect(ctx) }); err != nil {
		return err
	}
	var err error
	var saving sync.WaitGroup
	var unsaved error
	saving.Go(func() { unsaved = p.step("save", func() error { return p.saveCache(ctx, store) }) })
	if p.archive != nil {
		saving.Wait() // both write the refs
		err = p.step("push", func() error { return p.writeArchive(ctx) })
	} else {
		err = p.step("push", func() error { return p.pushAll(ctx) })
	}
	saving.Wait()
	p.rep.Bytes.CacheDown, p.rep.Bytes.CacheUp = store.down, store.up
	if unsaved != nil {
		p.log.Warn("cache not saved; the next run fetches more", zap.Error(unsaved))
	}
	return err
}

// step runs one step and records its duration.
func (p *pass) step(name string, do func() error) error {
	began := p.Now()
	err := do()
	p.noted.Lock()
	defer p.noted.Unlock()
	if p.rep.Steps == nil {
		p.rep.Steps = map[string]float64{}
	}
	p.rep.Steps[name] += p.Now().Sub(began).Seconds()
	return err
}

// gather fills the repository with all objects that the difference needs: from the
// cache, and new ones from the source. The source's refs may move meanwhile; the
// final state counts.
func (p *pass) gather(ctx context.Context, store *cache) error {
	cached, err := store.load(ctx, p.git)
	switch {
	case errors.Is(err, errBroken):
		p.log.Warn("cache unusable", zap.Error(err))
		p.rep.Cache = "rebuilt: " + err.Error()
	case err != nil:
		return err
	case cached != nil:
		p.rep.Cache = "used"
	case store.skip:
	default:
		p.rep.Cache = "empty"
	}
	before, err := p.packBytes()
	if err != nil {
		return err
	}
	lacking, err := p.lacking(ctx)
	for range 4 {
		if err != nil {
			return err
		}
		if len(lacking) == 0 {
			after, err := p.packBytes()
			if err == nil {
				err = p.tooLarge(after)
			}
			if err != nil {
				return err
			}
			if p.bundle == "" {
				p.rep.Bytes.Fetched += max(0, after-before)
			}
			return p.settle(ctx)
		}
		tries, failed := again(ctx, p.fetchLimits(), func() error { return p.take(ctx, lacking) })
		p.rep.Tries += tries
		if failed != nil && classOf(failed) != moved {
			return p.unfetched(ctx, failed)
		}
		if lacking, err = p.lacking(ctx); err == nil && len(lacking) > 0 {
			if err = p.compare(ctx); err == nil { // refs have moved on
				lacking, err = p.lacking(ctx)
			}
		}
	}
	return errors.New("fetch from the source: its refs move faster than they can be fetched, or it does not send the " +
		"objects that it lists")
}

// fetchLimits are those of a fetch: a bundle is a file, which is the same each time.
func (p *pass) fetchLimits() Limits {
	limits := p.Limits
	if p.bundle != "" {
		limits.Attempts = 1
	}
	return limits
}

// unfetched says that nothing more comes from the source, and why.
func (p *pass) unfetched(ctx context.Context, failed error) error {
	if p.bundle != "" && ctx.Err() == nil && classOf(failed) != spoiled {
		return &refusal{
			what: fmt.Sprintf("the bundle %s is truncated or damaged: %v", p.c.Source.Bundle, failed),
			hint: "git bundle verify FILE tells; make it again and upload it whole",
		}
	}
	return fmt.Errorf("fetch from the source: %w", failed)
}

// take fetches objects from the source. If the repository is empty and all branches
// and tags are wanted, it clones, which spares git a walk over all of them.
func (p *pass) take(ctx context.Context, ids []string) error {
	packs, err := p.git.packs()
	if err != nil {
		return err
	}
	if len(packs) == 0 && p.bundle == "" && slices.Equal(p.c.Refs, section.AllRefs) {
		return p.git.clone(ctx, p.source)
	}
	return p.git.fetch(ctx, p.source, ids)
}

// settle writes the refs whose objects the repository has: all that were fetched or
// cached. It may lack some of a replica that another tool made.
func (p *pass) settle(ctx context.Context) error {
	p.held = maps.Clone(p.want)
	gone, err := p.git.missing(ctx, slices.Collect(maps.Values(p.want)))
	if err != nil {
		return err
	}
	lost := map[string]bool{}
	for _, id := range gone {
		lost[id] = true
	}
	maps.DeleteFunc(p.held, func(_, id string) bool { return lost[id] })
	return p.git.writeRefs(p.held, "")
}

// lacking returns the objects of the difference's refs that the repository
// lacks.
func (p *pass) lacking(ctx context.Context) ([]string, error) {
	refs := append(slices.Clone(p.diff.Create), p.diff.Update...)
	if p.archive != nil || p.unseen() {
		refs = slices.Sorted(maps.Keys(p.want)) // a bundle holds them all
	}
	if len(refs) == 0 {
		return nil, nil
	}
	ids := map[string]bool{}
	for _, name := range refs {
		ids[p.want[name]] = true
	}
	return p.git.missing(ctx, slices.Sorted(maps.Keys(ids)))
}

func (p *pass) packBytes() (int64, error) {
	packs, err := p.git.packs()
	var n int64
	for _, name := range packs {
		info, err := os.Stat(filepath.Join(packFolder(p.git), name+".pack"))
		if err != nil {
			return n, err
		}
		n += info.Size()
	}
	return n, err
}

// inspect looks for objects that must not be pushed, and copies LFS objects.
func (p *pass) inspect(ctx context.Context) error {
	var want []string
	for _, name := range append(slices.Clone(p.diff.Create), p.diff.Update...) {
		want = append(want, p.want[name])
	}
	have := slices.Sorted(maps.Values(p.to.Refs))
	if p.unseen() {
		want, have = slices.Sorted(maps.Values(p.want)), nil
	}
	if len(want) == 0 || p.target == nil && p.c.LFS == section.LFSIgnore {
		return nil
	}
	found, err := p.git.scan(ctx, want, have, maxBlob)
	if err != nil {
		return fmt.Errorf("scan the new objects: %w", err)
	}
	if p.c.Target.CodeCommit != "" {
		if err := found.tooBig(); err != nil {
			ids := map[string]string{}
			for id := range found.big {
				ids[id] = fmt.Sprintf("%s is over 2 GiB", found.paths[id])
			}
			if err := p.barThose(ctx, ids, err); err != nil {
				return err
			}
		}
	}
	if len(found.pointers) == 0 || p.c.LFS == section.LFSIgnore {
		return nil
	}
	bucket, prefix, ok := section.S3Place(p.c.LFS)
	if !ok {
		ids := map[string]string{}
		for id := range found.pointers {
			ids[id] = found.paths[id] + " is a Git LFS pointer"
		}
		return p.barThose(ctx, ids, found.lfs())
	}
	source, err := p.remotes.newLFS(ctx, p.c.Source, p.Limits.Stall)
	if err != nil {
		return err
	}
	p.rep.LFSObjects, p.rep.Bytes.LFS, err = source.copyTo(ctx, NewBucket(p.S3, bucket, prefix+"/"), found.pointers,
		p.Limits)
	if err != nil {
		return fmt.Errorf("copy LFS objects: %w", err)
	}
	return nil
}

// lag computes how long the oldest change has waited: since it was reported, or since
// it was committed, but not since before the last success.
func (p *pass) lag(ctx context.Context) {
	if p.last.At.IsZero() {
		return
	}
	since := p.Reported[p.name]
	if since.IsZero() {
		refs := append(slices.Clone(p.rep.Created), p.rep.Updated...)
		args := []string{"log", "--no-walk", "--format=%ct", "--end-of-options"}
		for _, name := range refs[:min(len(refs), 1000)] {
			args = append(args, p.want[name])
		}
		out, err := p.git.output(ctx, command{args: args})
		since = p.Now()
		for _, line := range strings.Fields(string(out)) {
			if seconds, ok := strconv.ParseInt(line, 10, 64); ok == nil && err == nil &&
				time.Unix(seconds, 0).Before(since) {
				since = time.Unix(seconds, 0)
			}
		}
	}
	if since.Before(p.last.At) {
		since = p.last.At
	}
	p.rep.LagSeconds = max(0, p.Now().Sub(since).Seconds())
}

// saveCache writes the cache, and repacks if there are many packs.
func (p *pass) saveCache(ctx context.Context, store *cache) error {
	packs, err := p.git.packs()
	if err != nil {
		return err
	}
	if len(packs) > maxPacks {
		// A push that reads the old packs meanwhile has them open, or finds the new ones.
		if err := p.git.repack(ctx); err != nil {
			return err
		}
	}
	if err := store.save(ctx, p.git, p.held); err != nil {
		return err
	}
	return store.tidy(ctx, p.Now())
}

// pushAll pushes the difference. After a transient failure it lists the target
// again: some refs may have arrived.
func (p *pass) pushAll(ctx context.Context) error {
	var out pushed
	first := true
	tries, err := again(ctx, p.Limits, func() (err error) {
		if !first {
			if err := p.listTarget(ctx); err != nil {
				return err
			}
			if p.differ(); p.diff.Empty() {
				return nil
			}
			if err := p.check(); err != nil {
				return err
			}
		}
		first = false
		var part pushed
		part, err = p.git.push(ctx, p.target, p.diff, p.want, p.to.Refs, p.from.Default, p.c.Force,
			func() error { return p.followDefault(ctx) })
		out.done = append(out.done, part.done...)
		out.forced = append(out.forced, part.forced...)
		out.bytes = out.bytes + part.bytes
		out.diverged, out.rejected, out.said = part.diverged, part.rejected, part.said
		return err
	})
	p.rep.Tries += tries
	p.rep.Bytes.Pushed = out.bytes
	p.rep.Forced = out.forced
	p.rep.Diverged = out.diverged
	slices.Sort(out.done)
	for _, name := range slices.Compact(out.done) {
		switch _, had := p.have[name]; {
		case p.want[name] == "":
			p.rep.Deleted = append(p.rep.Deleted, name)
		case had:
			p.rep.Updated = append(p.rep.Updated, name)
		default:
			p.rep.Created = append(p.rep.Created, name)
		}
	}
	if err != nil {
		return fmt.Errorf("push to the target: %w", err)
	}
	return out.err()
}

func (p *pass) writeArchive(ctx context.Context) error {
	n, err := p.archive.write(ctx, p.git, p.want, p.from.Default, p.Now())
	p.rep.Bytes.Pushed = n
	p.rep.Created = p.diff.Create
	p.rep.Updated = p.diff.Update
	p.rep.Deleted = p.diff.Delete
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

// verify reads the target's refs back: the run succeeds only if they are as
// expected.
func (p *pass) verify(ctx context.Context) error {
	if err := p.listTarget(ctx); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if p.differ(); !p.diff.Empty() {
		wrong := append(append(p.diff.Create, p.diff.Update...), p.diff.Delete...)
		return fmt.Errorf("verify: the target does not hold what was pushed, at %s", names(wrong))
	}
	return p.finish(ctx, Mirrored)
}

// finish writes the record of a success. A record that another run has written
// meanwhile is newer and stays.
func (p *pass) finish(ctx context.Context, s Status) error {
	if err := errors.Join(append(p.refusals, p.kept)...); err != nil {
		return err // the rest is done
	}
	_, err := p.state.put(ctx, recordKey,
		Record{
			Refs: p.want, Default: p.from.Default, At: p.Now().UTC(), Scope: p.c.Refs, LFS: p.c.LFS, Bundle: p.bundle,
		}, p.lastTag)
	if err != nil && !errors.Is(err, errChanged) {
		return err
	}
	p.rep.Status = s
	return nil
}
