package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5"
	gitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"
	"go.uber.org/zap"

	"drawbridge/cfn"
	"drawbridge/internal/emf"
	"drawbridge/internal/mirror"
	"drawbridge/internal/mirror/section"
)

// looksAtOnce is how many sources are checked at the same time.
const looksAtOnce = 8

// look compares the sources that can be reached from outside the VPC with the
// records of their replicas, and requests runs where they differ.
func (r *Receiver) look(ctx context.Context) error {
	names := slices.Sorted(maps.Keys(r.Mirror.Repositories))
	problems := make([]error, len(names))
	var all sync.WaitGroup
	slots := make(chan struct{}, looksAtOnce)
	for i, name := range names {
		repository := r.Mirror.Repositories[name]
		if !repository.Visible {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, lookFor) // a source that does not answer does not block the others
			defer cancel()
			if err := r.lookAt(ctx, name, repository); err != nil {
				r.Log.Error("look failed", zap.String("repository", name), zap.Error(err))
				problems[i] = fmt.Errorf("look at %s: %w", name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(problems...)
}

func (r *Receiver) lookAt(ctx context.Context, name string, repository *section.Repository) error {
	refs, err := r.list(ctx, repository)
	if err != nil {
		return err
	}
	held, err := mirror.ReadRecord(ctx, mirror.In(r.State, name))
	if err != nil {
		return err
	}
	scope := mirror.NewScope(repository.Refs)
	want := scope.Of(refs)
	d := mirror.Compare(want, scope.Of(held.Refs))
	if !repository.Prune {
		d.Delete = nil
	}
	if d.Empty() && !held.At.IsZero() {
		r.mu.Lock()
		defer r.mu.Unlock()
		return mirror.WriteMetrics(r.Metrics, cfn.Namespace, r.Installation, name, r.Now(), emf.Metric{
			Name: mirror.MetricInSync, Unit: "Count", Value: 1,
		})
	}
	// One state of the source requests one run a day, unless the mirror has succeeded
	// since: a state that always fails would otherwise create the endpoints every time.
	id := fmt.Sprintf("look-%s-%s-%s-%d", name, digest(want), r.Now().UTC().Format(time.DateOnly), held.At.Unix())
	return r.send(ctx, name, id, 0)
}

// digest is a short text that identifies a state of refs.
func digest(refs mirror.Refs) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		fmt.Fprintf(h, "%s %s\n", refs[name], name)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// list reads the refs of a source without git, which a Lambda does not have.
func (r *Receiver) list(ctx context.Context, repository *section.Repository) (mirror.Refs, error) {
	options := &git.ListOptions{PeelingOption: git.IgnorePeeled}
	if arn := repository.Source.Secret; arn != "" {
		s, err := mirror.ReadSecret(ctx, r.Secrets, arn)
		if err != nil {
			return nil, err
		}
		options.CABundle = []byte(s.CA)
		options.ClientCert = []byte(s.ClientCertificate)
		options.ClientKey = []byte(s.ClientKey)
		if s.Password != "" {
			options.Auth = &http.BasicAuth{Username: s.Username, Password: s.Password}
		}
	}
	remote := git.NewRemote(memory.NewStorage(), &gitconfig.RemoteConfig{
		Name: "source", URLs: []string{repository.Source.URL},
	})
	listed, err := remote.ListContext(ctx, options)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return mirror.Refs{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the refs of the source: %w", err)
	}
	out := mirror.Refs{}
	for _, ref := range listed {
		if ref.Type() == plumbing.HashReference && strings.HasPrefix(ref.Name().String(), "refs/") {
			out[ref.Name().String()] = ref.Hash().String()
		}
	}
	return out, nil
}
