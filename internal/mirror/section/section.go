// Package section is the section mirror of drawbridge.yaml: what mirrors git repositories
// into CodeCommit, or elsewhere, as the job mirror.
package section

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"drawbridge/endpoints"
	"drawbridge/internal/config/field"
	"drawbridge/scheduler"
)

// Job is the name of the job that mirrors.
const Job scheduler.JobName = "mirror"

// Mirror mirrors git repositories into CodeCommit, or elsewhere, as the job mirror,
// which is added to the jobs.
type Mirror struct {
	// Set is the endpoint set that the job needs.
	Set scheduler.SetName `yaml:"set" json:"-"`
	// Cluster is the ECS cluster's name or ARN. Default: ecsCluster.
	Cluster string `yaml:"cluster" json:"-"`
	// Image is the image of the mirror, in ECR. Default: the one that was pushed last to a
	// repository NAME-mirror, which the base stack makes. A deployment takes it by its
	// digest: what is pushed later runs after the next one.
	Image string `yaml:"image" json:"-"`
	// Architecture is that of the image: arm64 (default) or x86_64.
	Architecture string `yaml:"architecture" json:"-"`
	// CPU is the task's size in CPU units. Default 1024.
	CPU int `yaml:"cpu" json:"-"`
	// Memory is the task's memory in MiB. Default 2048.
	Memory int `yaml:"memory" json:"-"`
	// Disk is the task's disk in GiB, 21 to 200; it holds the repositories that a run
	// works on. Default: 20, without a charge.
	Disk int `yaml:"disk" json:"-"`
	// Schedule is when a run for all repositories starts, as in jobs. Default: none.
	Schedule string `yaml:"schedule" json:"-"`
	// Timezone is the time zone of Schedule. Default UTC.
	Timezone string `yaml:"timezone" json:"-"`
	// MaxDelay is how long a run may wait so that it shares paid hours. Default 0s.
	MaxDelay field.Duration `yaml:"maxDelay" json:"-"`
	// MaxRuntime is how long a run may take. Default 4h.
	MaxRuntime *field.Duration `yaml:"maxRuntime" json:"-"`
	// SourceNetworks are the address blocks of the git servers, sources and
	// targets, as seen over VPN or Direct Connect; the task's security group lets out to
	// them, on the servers' ports alone. Default: none, for bundles.
	SourceNetworks []string `yaml:"sourceNetworks" json:"-"`
	// Parallel is how many repositories are mirrored at once, 1 to 16. Default 2.
	Parallel int `yaml:"parallel" json:"parallel,omitempty"`
	// Merge is how long pushes are gathered into one run, 5s to 15m. Default 30s.
	Merge field.Duration `yaml:"merge" json:"-"`
	// CheckEvery is how often sources with visible: true are looked at from outside the
	// VPC, at least 5m. Default 15m.
	CheckEvery field.Duration `yaml:"checkEvery" json:"-"`
	// StaleAfter is the age in whole hours of the last success beyond which an alarm
	// sounds, 1h to 168h. Default 26h.
	StaleAfter field.Duration `yaml:"staleAfter" json:"-"`
	// WebhookConcurrency is how many reports are worked on at a time, out of a concurrency
	// that the function reserves, so that a flood of them takes none from the others. 0
	// reserves none. Default 5, and 0 in an account whose quota of concurrency is below 200.
	WebhookConcurrency *int `yaml:"webhookConcurrency" json:"-"`
	// WebhookSources are address blocks that reports are taken from, as the servers'
	// requests reach the internet. Default: any.
	WebhookSources []string `yaml:"webhookSources" json:"-"`
	// Repositories are the repositories by name.
	Repositories map[string]*Repository `yaml:"repositories" json:"repositories"`
}

// Repository is one mirrored repository.
type Repository struct {
	// Source is where the repository comes from.
	Source Source `yaml:"source" json:"source"`
	// Target is where it goes.
	Target Target `yaml:"target" json:"target"`
	// Refs are the branches and tags to mirror: patterns under refs/heads/ and
	// refs/tags/ in which * stands for any text; one that begins with ! leaves out.
	// Default: all branches and tags.
	Refs []string `yaml:"refs" json:"refs,omitempty"`
	// Force is true where refs that have diverged are overwritten; otherwise they fail
	// the run. Default false.
	Force bool `yaml:"force" json:"force,omitempty"`
	// Prune is true where refs that are gone from the source are deleted from the
	// target. Default false.
	Prune bool `yaml:"prune" json:"prune,omitempty"`
	// PruneLimit is the percentage of the target's refs beyond which nothing is
	// deleted, 1 to 100. Default 20.
	PruneLimit int `yaml:"pruneLimit" json:"pruneLimit,omitempty"`
	// It is true where the branch that the target's HEAD stands for may be deleted too.
	// Default false.
	PruneDefault bool `yaml:"pruneDefault" json:"pruneDefault,omitempty"`
	// LFS says what becomes of Git LFS: refuse (default), ignore (the pointers are
	// mirrored, the objects are not), or s3://BUCKET/PREFIX, where objects are copied to.
	LFS string `yaml:"lfs" json:"lfs,omitempty"`
	// Visible is true where an https source can be read from outside the VPC: it is then looked
	// at before any endpoint is raised. Default false.
	Visible bool `yaml:"visible" json:"visible,omitempty"`
	// Webhook lets a git server start the run. Default: none.
	Webhook *Webhook `yaml:"webhook" json:"webhook,omitempty"`
}

// Source is where a repository comes from.
type Source struct {
	// URL is where git finds it: https://HOST/PATH or ssh://USER@HOST/PATH, without a password. Default:
	// none, for a bundle.
	URL string `yaml:"url" json:"url,omitempty"`
	// Secret is the ARN of a secret in Secrets Manager that holds a JSON object with
	// any of token, username, password, ca, clientCertificate, clientKey, privateKey,
	// knownHosts. Default: none.
	Secret string `yaml:"secret" json:"secret,omitempty"`
	// Proxy is an HTTP proxy that an https source is reached through, http://HOST:PORT, without a
	// password; sourceNetworks has to hold it in place of the server. Default: none.
	Proxy string `yaml:"proxy" json:"proxy,omitempty"`
	// SkipObjectChecks is true where objects are taken from a server that git fsck finds wrong,
	// as very old ones may be; what came of damage or malice is passed on then. Default false.
	SkipObjectChecks bool `yaml:"skipObjectChecks" json:"skipObjectChecks,omitempty"`
	// MaxMiB is how large the repository may be, packed, or its bundle, in MiB; a larger one is
	// refused before anything is pushed. Default: as much as the task's disk.
	MaxMiB int `yaml:"maxMiB" json:"maxMiB,omitempty"`
	// LFSHosts are hosts, HOST or HOST:PORT, other than that of url, that LFS objects may be
	// fetched from, where the server keeps them elsewhere. Default: none.
	LFSHosts []string `yaml:"lfsHosts" json:"lfsHosts,omitempty"`
	// Bundle is the place, s3://BUCKET/KEY, of a git bundle that is pushed to us; its arrival
	// starts the run. Default: none.
	Bundle string `yaml:"bundle" json:"bundle,omitempty"`
}

// Target is where a repository goes.
type Target struct {
	// CodeCommit is the name of a repository of CodeCommit in the Region. Default: none.
	CodeCommit string `yaml:"codecommit" json:"codecommit,omitempty"`
	// Create is true where the repository is made in CodeCommit if it is missing.
	// Default false.
	Create bool `yaml:"create" json:"create,omitempty"`
	// URL is another git repository that the VPC reaches. Default: none.
	URL string `yaml:"url" json:"url,omitempty"`
	// Secret is as that of the source, for url. Default: none.
	Secret string `yaml:"secret" json:"secret,omitempty"`
	// Archive is the place, s3://BUCKET/PREFIX, where bundles are kept. Default: none.
	Archive string `yaml:"archive" json:"archive,omitempty"`
	// Keep is how many bundles are kept. Default 10.
	Keep int `yaml:"keep" json:"keep,omitempty"`
}

// Webhook is how a git server reports a push.
type Webhook struct {
	// Provider is the git server's kind: github, gitlab, gitea, bitbucket or plain.
	Provider string `yaml:"provider" json:"provider"`
	// Secret is the ARN of a secret in Secrets Manager: the webhook's secret as it is.
	Secret string `yaml:"secret" json:"secret"`
	// Repository is the repository's full name at the git server, which a report must
	// carry. Default: any.
	Repository string `yaml:"repository" json:"repository,omitempty"`
}

// What to do with LFS objects, other than to keep them in S3.
const (
	LFSRefuse = "refuse"
	LFSIgnore = "ignore"
)

// AllRefs are the refs that are mirrored if nothing is said.
var AllRefs = []string{"refs/heads/*", "refs/tags/*"}

// Providers are the git servers whose webhooks are known.
var Providers = []string{"github", "gitlab", "gitea", "bitbucket", "plain"}

// Complete returns the section with its defaults; cluster is the one that the installation
// makes, if any. nil stays nil.
func (m *Mirror) Complete(cluster string) *Mirror {
	if m == nil {
		return nil
	}
	out := *m
	out.Cluster = cmp.Or(m.Cluster, cluster)
	out.Architecture = cmp.Or(m.Architecture, "arm64")
	out.CPU = cmp.Or(m.CPU, 1024)
	out.Memory = cmp.Or(m.Memory, 2048)
	runtime := field.Or(m.MaxRuntime, field.Duration(4*time.Hour))
	out.MaxRuntime = &runtime
	out.Merge = cmp.Or(m.Merge, field.Duration(30*time.Second))
	out.CheckEvery = cmp.Or(m.CheckEvery, field.Duration(15*time.Minute))
	out.StaleAfter = cmp.Or(m.StaleAfter, field.Duration(26*time.Hour))
	out.Repositories = map[string]*Repository{}
	for name, r := range m.Repositories {
		if r != nil {
			copied := *r
			r = &copied
			r.Source.MaxMiB = cmp.Or(r.Source.MaxMiB, cmp.Or(m.Disk, taskDisk)<<10)
		}
		out.Repositories[name] = r
	}
	out.Fill()
	return &out
}

// taskDisk is the disk of a task that asks for none, in GiB.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html
const taskDisk = 20

// Fill fills in the defaults of what the mirror itself reads.
func (m *Mirror) Fill() {
	m.Parallel = cmp.Or(m.Parallel, 2)
	for _, r := range m.Repositories {
		if r == nil {
			continue
		}
		if len(r.Refs) == 0 {
			r.Refs = AllRefs
		}
		r.PruneLimit = cmp.Or(r.PruneLimit, 20)
		r.LFS = cmp.Or(r.LFS, LFSRefuse)
		if r.Target.Archive != "" {
			r.Target.Keep = cmp.Or(r.Target.Keep, 10)
		}
	}
}

// Family is the family of the task definition that the base stack makes.
func Family(installation string) string { return installation + "-mirror" }

// Variables are what an event may set of the job: which repositories, and when they were
// reported. What the job may reach is not an event's to say.
var Variables = []string{RepositoriesVariable, ReportedVariable}

// Patterns are the events that start the job: bundles that arrive.
func (m *Mirror) Patterns() []map[string]any {
	var out []map[string]any
	for _, name := range slices.Sorted(maps.Keys(m.Repositories)) {
		if r := m.Repositories[name]; r != nil && r.Source.Bundle != "" {
			bucket, key, _ := S3Place(r.Source.Bundle)
			out = append(out, map[string]any{
				"source": []any{"aws.s3"}, "detail-type": []any{"Object Created"},
				"detail": map[string]any{
					"bucket": map[string]any{"name": []any{bucket}}, "object": map[string]any{"key": []any{key}},
				},
			})
		}
	}
	return out
}

// Services are what the mirror's task reaches.
func (m *Mirror) Services() []endpoints.ServiceID {
	out := []endpoints.ServiceID{"ecr.api", "ecr.dkr", "logs", "s3"}
	for _, r := range m.Repositories {
		if r == nil {
			continue
		}
		_, from := CodeCommitName(r.Source.URL)
		_, to := CodeCommitName(r.Target.URL)
		if r.Target.CodeCommit != "" || from || to {
			out = append(out, "git-codecommit")
		}
		if r.Target.Create {
			out = append(out, "codecommit")
		}
		if r.Source.Secret+r.Target.Secret != "" {
			out = append(out, "secretsmanager")
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Receives reports whether the mirror needs a webhook receiver: for reports of git
// servers, or for looks from outside the VPC.
func (m *Mirror) Receives() bool {
	for _, r := range m.Repositories {
		if r.Webhook != nil || r.Visible {
			return true
		}
	}
	return false
}

// Looks reports whether some source is looked at from outside the VPC.
func (m *Mirror) Looks() bool {
	for _, r := range m.Repositories {
		if r.Visible {
			return true
		}
	}
	return false
}

// servers returns the addresses of all git servers but CodeCommit.
func (m *Mirror) servers() []string {
	var out []string
	for _, r := range m.Repositories {
		for _, given := range []string{cmp.Or(r.Source.Proxy, r.Source.URL), r.Target.URL} {
			if _, ok := CodeCommitName(given); given != "" && !ok {
				out = append(out, given)
			}
		}
	}
	return out
}

// CodeCommitName returns the name of the repository that a URL of CodeCommit is for;
// ok reports whether it is one.
func CodeCommitName(given string) (name string, ok bool) {
	u, err := url.Parse(given)
	if err != nil || !strings.Contains("."+u.Host, ".git-codecommit") {
		return "", false
	}
	return strings.CutPrefix(u.Path, "/v1/repos/")
}

// ServerPorts returns the TCP ports that git servers are reached at, in order.
func (m *Mirror) ServerPorts() []int {
	var out []int
	for _, given := range m.servers() {
		u, err := url.Parse(given)
		if err != nil {
			continue
		}
		port, err := strconv.Atoi(cmp.Or(u.Port(),
			map[string]string{"https": "443", "http": "80", "ssh": "22"}[u.Scheme]))
		if err == nil {
			out = append(out, port)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// S3Place splits s3://BUCKET/KEY; ok says that it is one.
func S3Place(given string) (bucket, key string, ok bool) {
	rest, ok := strings.CutPrefix(given, "s3://")
	bucket, key, _ = strings.Cut(rest, "/")
	key = strings.TrimSuffix(key, "/")
	return bucket, key, ok && bucketPattern.MatchString(bucket) && key != ""
}

var (
	repositoryPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)
	// codeCommitPattern is what CodeCommit takes for a repository's name.
	//
	// Source: https://docs.aws.amazon.com/codecommit/latest/userguide/limits.html
	codeCommitPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,100}$`)
	bucketPattern     = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	blockPattern      = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])$`)
	refPattern        = regexp.MustCompile(`^!?refs/(heads|tags)/[^ ~^:?\[\\\x00-\x20\x7f]+$`)
)

// checker gathers problems.
type checker struct{ field.Problems }

// Check returns what is wrong with a completed section.
func (m *Mirror) Check() field.Problems {
	k := &checker{}
	if m.Cluster == "" {
		k.Add("mirror.cluster", "name the ECS cluster, or let the base stack make one: ecsCluster", "no cluster")
	}
	if m.Architecture != "arm64" && m.Architecture != "x86_64" {
		k.Add("mirror.architecture", "write arm64 or x86_64", "invalid architecture %q (want arm64 or x86_64)",
			m.Architecture)
	}
	if m.Disk != 0 && (m.Disk < 21 || m.Disk > 200) {
		k.Add("mirror.disk", "write 21 to 200 GiB, or leave it out for 20", "%d GiB", m.Disk)
	}
	if n := m.WebhookConcurrency; n != nil && *n < 0 {
		k.Add("mirror.webhookConcurrency", "write how many reports are worked on at a time, or 0 to reserve nothing",
			"%d", *n)
	}
	for _, b := range m.WebhookSources {
		if _, err := netip.ParsePrefix(b); err != nil {
			k.Add("mirror.webhookSources", "write address blocks, as in 203.0.113.0/24", "%q is not one", b)
		}
	}
	for _, b := range m.SourceNetworks {
		switch {
		case !blockPattern.MatchString(b):
			k.Add("mirror.sourceNetworks", "write address blocks, as in 10.20.0.0/16", "%q is not one", b)
		case strings.HasSuffix(b, "/0"):
			k.Add("mirror.sourceNetworks", "name the networks of the sources", "%s is the whole internet", b)
		}
	}
	for _, d := range []struct {
		where           string
		is, least, most time.Duration
	}{
		{"mirror.merge", time.Duration(m.Merge), 5 * time.Second, 15 * time.Minute},
		{"mirror.checkEvery", time.Duration(m.CheckEvery), 5 * time.Minute, 24 * time.Hour},
		{"mirror.staleAfter", time.Duration(m.StaleAfter), time.Hour, 168 * time.Hour},
	} {
		if d.is < d.least || d.is > d.most {
			k.Add(d.where, fmt.Sprintf("write %s to %s", d.least, d.most), "%s is out of range", d.is)
		}
	}
	if time.Duration(m.StaleAfter)%time.Hour != 0 {
		k.Add("mirror.staleAfter", "write whole hours, as in 26h", "%s", time.Duration(m.StaleAfter))
	}
	k.repositories(m)
	return k.Problems
}

// CheckRepositories returns what is wrong with the part that the mirror itself reads.
func (m *Mirror) CheckRepositories() field.Problems {
	k := &checker{}
	k.repositories(m)
	return k.Problems
}

func (k *checker) repositories(m *Mirror) {
	if m.Parallel < 1 || m.Parallel > 16 {
		k.Add("mirror.parallel", "write 1 to 16", "%d repositories at once", m.Parallel)
	}
	if len(m.Repositories) == 0 {
		k.Add("mirror.repositories", "name at least one repository with its source and target", "no repositories")
	}
	owner := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m.Repositories)) {
		k.repository("mirror.repositories."+name, name, m.Repositories[name])
		if r := m.Repositories[name]; r != nil {
			for _, place := range []string{
				r.Target.CodeCommit, strings.TrimSuffix(r.Target.URL, "/"), strings.TrimSuffix(r.Target.Archive, "/"),
			} {
				if other, taken := owner[place]; taken && place != "" {
					k.Add("mirror.repositories."+name+".target", "give each repository a target of its own",
						"%s goes to the same place", other)
				}
				owner[place] = name
			}
		}
	}
}

func (k *checker) repository(where, name string, r *Repository) {
	if !repositoryPattern.MatchString(name) {
		k.Add(where, "use letters, digits, dots, hyphens and underscores, at most 64", "invalid name %q", name)
	}
	if r == nil {
		k.Add(where, "give it a source and a target", "the repository is empty")
		return
	}
	k.source(where+".source", r)
	k.target(where+".target", r.Target)
	for _, p := range r.Refs {
		if !refPattern.MatchString(p) {
			k.Add(where+".refs",
				"write patterns such as refs/heads/* or !refs/heads/tmp/*; only branches and tags are mirrored",
				"%q is none", p)
		}
	}
	if !slices.ContainsFunc(r.Refs, func(p string) bool { return !strings.HasPrefix(p, "!") }) {
		k.Add(where+".refs", "name what is mirrored too, as in refs/heads/*", "the patterns only leave out")
	}
	if r.PruneLimit < 1 || r.PruneLimit > 100 {
		k.Add(where+".pruneLimit", "write 1 to 100 per cent", "%d", r.PruneLimit)
	}
	if _, _, ok := S3Place(r.LFS); !ok && r.LFS != LFSRefuse && r.LFS != LFSIgnore {
		k.Add(where+".lfs", "write refuse, ignore or s3://BUCKET/PREFIX", "invalid lfs %q", r.LFS)
	} else if ok && !isHTTP(r.Source.URL) {
		k.Add(where+".lfs", "use an https source, or refuse or ignore", "LFS objects are copied over HTTPS alone")
	}
	if r.Visible && !isHTTP(r.Source.URL) {
		k.Add(where+".visible", "use it with an https source", "only https sources are looked at from outside the VPC")
	}
	if w := r.Webhook; w != nil {
		if !slices.Contains(Providers, w.Provider) {
			k.Add(where+".webhook.provider", "write "+strings.Join(Providers, ", "), "%q is not known", w.Provider)
		}
		k.secret(where+".webhook.secret", w.Secret, true)
	}
}

func (k *checker) source(where string, r *Repository) {
	if p := r.Source.Proxy; p != "" {
		u, err := url.Parse(p)
		switch {
		case !isHTTP(r.Source.URL):
			k.Add(where+".proxy", "use it with an https source", "only https sources are reached through a proxy")
		case err != nil || !isHTTP(p) || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "":
			k.Add(where+".proxy", "write http://HOST:PORT, without a password", "not a proxy's address")
		}
	}
	for _, host := range r.Source.LFSHosts {
		if u, err := url.Parse("https://" + host); err != nil || u.Host != host || u.Hostname() == "" {
			k.Add(where+".lfsHosts", "write HOST or HOST:PORT", "invalid host %q", host)
		}
	}
	s := r.Source
	switch {
	case (s.URL == "") == (s.Bundle == ""):
		k.Add(where, "write either url or bundle", "a source has one place")
	case s.URL != "":
		k.url(where+".url", s.URL)
	default:
		if _, _, ok := S3Place(s.Bundle); !ok {
			k.Add(where+".bundle", "write s3://BUCKET/KEY", "invalid bundle %q", s.Bundle)
		}
	}
	k.secret(where+".secret", s.Secret, strings.HasPrefix(s.URL, "ssh:"))
}

func (k *checker) target(where string, t Target) {
	places := 0
	for _, p := range []string{t.CodeCommit, t.URL, t.Archive} {
		if p != "" {
			places++
		}
	}
	if places != 1 {
		k.Add(where, "write one of codecommit, url and archive", "a target has one place")
	}
	if t.CodeCommit != "" && (!codeCommitPattern.MatchString(t.CodeCommit) || strings.HasSuffix(t.CodeCommit, ".git")) {
		k.Add(where+".codecommit",
			"use letters, digits, dots, hyphens and underscores, at most 100, and not .git at the end",
			"CodeCommit does not take the name %q", t.CodeCommit)
	}
	if t.Create && t.CodeCommit == "" {
		k.Add(where+".create", "leave it out: only CodeCommit's repositories are made", "the target is not CodeCommit")
	}
	if t.URL != "" {
		k.url(where+".url", t.URL)
		k.secret(where+".secret", t.Secret, strings.HasPrefix(t.URL, "ssh:"))
	}
	if t.Archive != "" {
		if _, _, ok := S3Place(t.Archive); !ok {
			k.Add(where+".archive", "write s3://BUCKET/PREFIX", "invalid archive %q", t.Archive)
		}
		if t.Keep < 1 || t.Keep > 1000 {
			k.Add(where+".keep", "write 1 to 1000 bundles", "%d", t.Keep)
		}
	}
}

func (k *checker) url(where, given string) {
	u, err := url.Parse(given)
	local := err == nil && u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost")
	switch {
	case err != nil || u.Host == "" || u.Path == "" || strings.HasPrefix(u.Host, "-"):
		k.Add(where, "write https://HOST/PATH or ssh://USER@HOST/PATH", "invalid URL %q", redactURL(given))
	case u.RawQuery != "" || u.Fragment != "":
		k.Add(where, "put tokens into a secret of Secrets Manager", "the URL has a query")
	case u.Scheme != "https" && u.Scheme != "ssh" && !local:
		k.Add(where, "write https:// or ssh://", "%s is not encrypted, or not git's", u.Scheme)
	default:
		if _, secret := u.User.Password(); secret || u.User != nil && u.Scheme != "ssh" {
			k.Add(where, "put user name and password into a secret of Secrets Manager", "the URL holds credentials")
		}
	}
}

// redactURL leaves out what a URL may hold of credentials.
func redactURL(given string) string {
	if at := strings.LastIndex(given, "@"); at >= 0 {
		return "…" + given[at:]
	}
	return given
}

func (k *checker) secret(where, arn string, required bool) {
	switch {
	case arn == "" && required:
		k.Add(where, "name the ARN of a secret in Secrets Manager", "no secret")
	case arn != "" && !field.IsARN(arn, "secretsmanager", "secret:"):
		k.Add(where, "write the secret's ARN; the secret itself stays in Secrets Manager", "not the ARN of a secret")
	}
}

func isHTTP(u string) bool {
	return strings.HasPrefix(u, "https://") || strings.HasPrefix(u, "http://")
}
