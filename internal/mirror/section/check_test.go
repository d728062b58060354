package section_test

import (
	"errors"
	"strings"
	"testing"

	"drawbridge/internal/config"
)

const good = `
sets:
  main: {subnets: [subnet-1], services: auto}
mirror:
  set: main
  cluster: c
  repositories:
    shop:
      source: {url: https://git.corp.example/shop.git}
      target: {codecommit: shop}
`

// TestABadSectionSaysWhere: each problem is at the place where the file has it.
func TestABadSectionSaysWhere(t *testing.T) {
	if _, err := config.Parse("x.yaml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new, where string }{
		{"  cluster: c\n", "", "mirror.cluster: no cluster"},
		{"set: main", "set: other", "jobs.mirror.set: there is no set"},
		{"cluster: c", "cluster: c\n  disk: 20", "mirror.disk: 20 GiB"},
		{"cluster: c", "cluster: c\n  architecture: mips", "mirror.architecture"},
		{"cluster: c", "cluster: c\n  merge: 1s", "mirror.merge: 1s is out of range"},
		{"cluster: c", "cluster: c\n  staleAfter: 90m", "mirror.staleAfter"},
		{"cluster: c", "cluster: c\n  sourceNetworks: [0.0.0.0/0]", "mirror.sourceNetworks: 0.0.0.0/0 is the whole internet"},
		{"cluster: c", "cluster: c\n  webhookConcurrency: -1", "mirror.webhookConcurrency"},
		{"cluster: c", "cluster: c\n  schedule: now", "jobs.mirror.schedule"},
		{"shop.git}", "shop.git, lfsHosts: ['a b']}", `mirror.repositories.shop.source.lfsHosts: invalid host "a b"`},
		{"shop.git}", "shop.git, proxy: 'http://me:pass@proxy:3128'}", "mirror.repositories.shop.source.proxy: not a proxy's address"},
		{"https://git.corp.example/shop.git}", "ssh://git@git.corp.example/shop.git, proxy: 'http://proxy:3128'}", "mirror.repositories.shop.source.proxy: only https sources"},
		{"shop.git}", "shop.git, secret: mine}", "mirror.repositories.shop.source.secret"},
		{"url: https://git.corp.example/shop.git", "url: https://me:pass@git.corp.example/shop.git", "mirror.repositories.shop.source.url"},
		{"target: {codecommit: shop}", "target: {codecommit: 'a/b'}", "mirror.repositories.shop.target.codecommit"},
		{"      target:", "      prune: true\n      pruneLimit: 200\n      target:", "mirror.repositories.shop.pruneLimit: 200"},
		{"      target:", "      refs: ['!refs/heads/tmp']\n      target:", "mirror.repositories.shop.refs: the patterns only leave out"},
		{"      target:", "      webhook: {provider: cvs, secret: x}\n      target:", "mirror.repositories.shop.webhook.provider"},
		{"mirror:\n  set", "jobs: {mirror: {set: main, cluster: c, taskDefinition: x}}\nmirror:\n  set", "jobs.mirror: the name is taken"},
	} {
		text := strings.Replace(good, tt.old, tt.new, 1)
		_, err := config.Parse("x.yaml", []byte(text))
		var bad *config.Error
		switch {
		case text == good:
			t.Errorf("%s changes nothing", tt.old)
		case !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.where):
			t.Errorf("with %s: %v, want %s", tt.new, err, tt.where)
		case bad.Hint() == "":
			t.Errorf("no remedy for %v", err)
		case strings.Contains(err.Error(), "pass@"):
			t.Errorf("the error tells a password: %v", err)
		}
	}
}
