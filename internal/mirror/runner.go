package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/codecommit"
	"github.com/aws/aws-sdk-go-v2/service/codecommit/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/zap"

	"drawbridge/internal/hint"
	"drawbridge/internal/mirror/section"
)

// codeCommitAPI is the part of *codecommit.Client that the mirror calls.
type codeCommitAPI interface {
	CreateRepository(context.Context, *codecommit.CreateRepositoryInput,
		...func(*codecommit.Options)) (*codecommit.CreateRepositoryOutput, error)
	UpdateDefaultBranch(context.Context, *codecommit.UpdateDefaultBranchInput,
		...func(*codecommit.Options)) (*codecommit.UpdateDefaultBranchOutput, error)
}

var _ codeCommitAPI = (*codecommit.Client)(nil)

// Runner mirrors repositories.
type Runner struct {
	Config *section.Mirror
	// Region is the Region of CodeCommit; Endpoint replaces its host for git, "" for
	// AWS's own.
	Region, Endpoint string
	// State holds caches, records and locks, in a folder per repository.
	State      *Bucket
	S3         *s3.Client
	Secrets    secretsAPI
	CodeCommit codeCommitAPI
	// Program is the path of the mirror's own binary, git's credential helper.
	Program string
	// Work is the folder for a run's temporary files; nothing remains there.
	Work string
	// Owner identifies this run in locks.
	Owner  string
	Limits Limits
	// DryRun reports the difference and changes nothing.
	DryRun bool
	// Reported is the time a change was reported, by repository.
	Reported map[string]time.Time
	Log      *zap.Logger
	Now      func() time.Time

	redact redactor
}

// Run mirrors the named repositories, some at a time. A failure does not stop the
// others. It returns a report for each, in the order of names.
func (r *Runner) Run(ctx context.Context, names []string) []Report {
	out := make([]Report, len(names))
	slots := make(chan struct{}, r.Config.Parallel)
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			out[i] = r.one(ctx, name)
		})
	}
	all.Wait()
	return out
}

// one mirrors one repository.
func (r *Runner) one(ctx context.Context, name string) Report {
	c := r.Config.Repositories[name]
	started := r.Now()
	rep := Report{Repository: name, Source: sourceName(c.Source), Target: TargetName(c.Target), Started: started.UTC()}
	log := r.Log.With(zap.String("repository", name))
	err := r.inFolder(name, func(home string) error {
		p := &pass{
			Runner: r, name: name, c: c, home: home, log: log, rep: &rep, scope: NewScope(c.Refs),
			state: In(r.State, name),
		}
		p.remotes = &remotes{
			secrets: r.Secrets, endpoint: r.Endpoint, region: r.Region, program: r.Program, redact: &r.redact,
			home: home,
		}
		p.git = &git{
			dir: filepath.Join(home, "git"), home: home, limits: r.Limits, redact: &r.redact, progress: p.progress(),
		}
		return p.run(ctx)
	})
	rep.Seconds = r.Now().Sub(started).Seconds()
	if err != nil {
		rep.Error = r.redact.clean(err.Error())
		rep.Hint = hint.Of(err)
		var no *refusal
		switch {
		case len(rep.Diverged) > 0:
			rep.Status = Diverged
		case errors.As(err, &no):
			rep.Status = Refused
		default:
			rep.Status = Failed
		}
	}
	if !r.DryRun {
		if err := writeReport(context.WithoutCancel(ctx), In(r.State, name), rep); err != nil {
			log.Warn("report not stored", zap.Error(err))
		}
	}
	return rep
}

// inFolder calls do with a temporary folder.
func (r *Runner) inFolder(name string, do func(home string) error) error {
	work, err := filepath.Abs(cmp.Or(r.Work, os.TempDir())) // git is run elsewhere
	if err != nil {
		return fmt.Errorf("find the work folder: %w", err)
	}
	home, err := os.MkdirTemp(work, "mirror-"+name+"-")
	if err != nil {
		return fmt.Errorf("create a work folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(home) }() // the disk belongs to the task
	if err := os.Mkdir(filepath.Join(home, "git"), 0o700); err != nil {
		return err
	}
	return do(home)
}

func sourceName(s section.Source) string { return s.URL + s.Bundle }

// TargetName names a target in messages.
func TargetName(t section.Target) string {
	if t.CodeCommit != "" {
		return "codecommit:" + t.CodeCommit
	}
	return t.URL + t.Archive
}

// progress returns the receiver of git's progress lines: it logs one every ten
// seconds.
func (p *pass) progress() func(string) {
	const every = 10 * time.Second
	var mu sync.Mutex
	last := p.Now()
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		if now := p.Now(); now.Sub(last) >= every {
			last = now
			p.log.Info("progress", zap.String("git", p.redact.clean(line)))
		}
	}
}

// createRepository creates the target in CodeCommit.
func (r *Runner) createRepository(ctx context.Context, name string) error {
	description := "Replica created by Drawbridge; do not push to it"
	_, err := r.CodeCommit.CreateRepository(ctx, &codecommit.CreateRepositoryInput{
		RepositoryName: &name, RepositoryDescription: &description,
	})
	var there *types.RepositoryNameExistsException
	if err != nil && !errors.As(err, &there) {
		return fmt.Errorf("create repository %s in CodeCommit: %w", name, err)
	}
	return nil
}
