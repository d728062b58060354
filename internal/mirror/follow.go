package mirror

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/codecommit"

	"drawbridge/internal/hint"
)

// newDefault returns the branch that the target's default branch should become; nothing if it is
// right, or the source names none that is mirrored.
func (p *pass) newDefault() string {
	name := p.from.Default
	if _, mirrored := p.want[name]; !mirrored || p.archive != nil || len(p.to.Refs) == 0 || p.to.Default == name {
		return "" // the first branch that an empty target receives is its default one
	}
	if p.to.Default == "" && slices.Contains(p.to.defaults(), name) {
		return "" // the server does not say, and it may be
	}
	return name
}

// followDefault makes the source's default branch the target's, where that can be done: git itself
// has no way, CodeCommit has a call.
func (p *pass) followDefault(ctx context.Context) error {
	name := p.newDefault()
	if name == "" || p.c.Target.CodeCommit == "" {
		return nil
	}
	short := strings.TrimPrefix(name, "refs/heads/")
	_, err := p.CodeCommit.UpdateDefaultBranch(ctx, &codecommit.UpdateDefaultBranchInput{
		RepositoryName: &p.c.Target.CodeCommit, DefaultBranchName: &short,
	})
	if err != nil {
		return hint.With(
			fmt.Errorf("make %s the default branch of %s in CodeCommit: %w", short, p.c.Target.CodeCommit, err),
			"the task's role needs codecommit:UpdateDefaultBranch: drawbridge deploy gives it to it")
	}
	p.to.Default = name
	p.rep.Default = short
	return nil
}

// keptDefault returns the branch that is not pruned because it is the target's default one and
// cannot be replaced as such; nothing if there is none. The source names another one: it was
// renamed there.
func (p *pass) keptDefault() string {
	if p.newDefault() == "" || p.c.Target.CodeCommit != "" || p.c.PruneDefault {
		return ""
	}
	for _, name := range p.to.defaults() {
		if slices.Contains(p.diff.Delete, name) {
			return name
		}
	}
	return ""
}
