package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codecommit"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"drawbridge/internal/awssim"
	"drawbridge/internal/gitserver"
	"drawbridge/internal/sandbox"
)

// mirrorProgram builds the mirror once for all tests.
var mirrorProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "drawbridge-mirror-")
	if err != nil {
		return "", err
	}
	removeMirror = func() { _ = os.RemoveAll(dir) } // a temporary folder
	path := filepath.Join(dir, "mirror")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", path, "../mirror").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the mirror: %w: %s", err, out)
	}
	return path, nil
})

var removeMirror = func() {}

// site is a sandbox with a mirror, and the git server of a data centre.
type site struct {
	*account
	folder  string
	secrets *secretsmanager.Client
	cc      *codecommit.Client
	objects *s3.Client
	hook    string
}

const hookSecret, gitPassword = "the-secret-of-the-hook", "git-password-1"

// customerKey is a customer-managed key of KMS, which secrets, bundles and archives are
// under.
const customerKey = "arn:aws:kms:us-east-1:123456789012:key/0d0a0d0a-1111-4222-a333-444455556666"

// secretARN returns the ARN that the sandbox gives a secret.
func secretARN(t *testing.T, name string) string {
	t.Helper()
	sim := awssim.New(awssim.Options{Seed: 1})
	defer sim.Close()
	api := secretsmanager.NewFromConfig(sandbox.AWSConfig(sim, "http://x", sim.RoundTripper()))
	out, err := api.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String("x")})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.ARN)
}

func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(out.String())
}

// openSite starts a sandbox whose mirror brings the source app.git to CodeCommit. more
// is added to the repository in the configuration.
func openSite(t *testing.T, more string, flags ...string) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("long story: run without -short")
	}
	program, err := mirrorProgram()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != gitPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		gitserver.Serve(w, r, "/", folder, "")
	}))
	t.Cleanup(source.Close)
	text := fmt.Sprintf(`
ecsCluster: drawbridge
sets:
  main: {subnets: [subnet-0a1b2c3d4e5f60001], services: auto}
mirror:
  set: main
  sourceNetworks: [10.20.0.0/24]
  repositories:
    app:
      source: {url: %q, secret: %q}
      target: {codecommit: app, create: true}
      webhook: {provider: plain, secret: %q, repository: app}
      %s
    inbox:
      source: {bundle: "s3://drawbridge-mirror-123456789012-us-east-1/inbox/x.bundle"}
      target: {codecommit: inbox, create: true}
    kept:
      source: {bundle: "s3://drawbridge-mirror-123456789012-us-east-1/inbox/x.bundle"}
      target: {archive: "s3://kept/x", keep: 1}
`, source.URL+"/app.git", secretARN(t, "git"), secretARN(t, "hook"), more)
	path := filepath.Join(t.TempDir(), "drawbridge.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Format(time.RFC3339) // git signs what it asks for with the machine's time
	flags = append([]string{"--image", "drawbridge-mirror=" + program, "--start", now}, flags...)
	s := &site{account: open(t, path, flags...), folder: folder}
	sim := awssim.New(awssim.Options{})
	defer sim.Close()
	conf := sandbox.AWSConfig(sim, s.endpoint, http.DefaultTransport)
	s.secrets, s.cc = secretsmanager.NewFromConfig(conf), codecommit.NewFromConfig(conf)
	s.objects = s3.NewFromConfig(conf, func(o *s3.Options) { o.UsePathStyle = true })
	for name, value := range map[string]string{"git": fmt.Sprintf(`{"username":"reader","token":%q}`, gitPassword), "hook": hookSecret} {
		if _, err := s.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value, KmsKeyId: aws.String(customerKey)}); err != nil {
			t.Fatal(err)
		}
	}
	// The repository at the data centre, with the hook of the example.
	dir := filepath.Join(folder, "app.git")
	runGit(t, folder, "init", "-q", "--bare", "--initial-branch=main", dir)
	hook, err := os.ReadFile("../../examples/mirror/post-receive")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "hooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	patient := bytes.Replace(hook, []byte("--max-time 10 "), []byte("--max-time 600 "), 1) // on a machine of any speed
	if bytes.Equal(patient, hook) {
		t.Fatal("the hook of examples/mirror does not bound its report by --max-time 10")
	}
	if err := os.WriteFile(filepath.Join(dir, "hooks", "post-receive"), patient, 0o755); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(folder, "webhook.key")
	if err := os.WriteFile(key, []byte(hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.hook = s.endpoint + "/_url/drawbridge-webhook/app"
	runGit(t, dir, "config", "drawbridge.url", s.hook)
	runGit(t, dir, "config", "drawbridge.secretFile", key)
	runGit(t, folder, "init", "-q", "--initial-branch=main", "work")
	runGit(t, filepath.Join(folder, "work"), "remote", "add", "origin", dir)
	return s
}

// commitAndPush commits something and pushes it to the source, whose hook reports it.
func (s *site) commitAndPush(message string) {
	s.t.Helper()
	work := filepath.Join(s.folder, "work")
	runGit(s.t, work, "commit", "-q", "--allow-empty", "-m", message)
	runGit(s.t, work, "push", "-q", "origin", "HEAD:refs/heads/main")
}

// replica returns the refs of a repository in CodeCommit, as git sees them by the
// mirror's own credential helper.
func (s *site) replica(name string) map[string]string {
	s.t.Helper()
	program, err := mirrorProgram()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("git", "-c", "credential.helper=!"+program+" credential codecommit", "-c", "credential.useHttpPath=true", "ls-remote", s.endpoint+"/v1/repos/"+name, "refs/heads/*", "refs/tags/*")
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "AWS_ENDPOINT_URL="+s.endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIAREADER", "AWS_SECRET_ACCESS_KEY=AKIAREADER")
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("ls-remote: %v", err)
	}
	refs := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if id, ref, ok := strings.Cut(line, "\t"); ok {
			refs[ref] = id
		}
	}
	return refs
}

func (s *site) source() map[string]string {
	s.t.Helper()
	refs := map[string]string{}
	for _, line := range strings.Split(runGit(s.t, filepath.Join(s.folder, "app.git"), "for-each-ref", "--format=%(objectname) %(refname)"), "\n") {
		if id, ref, ok := strings.Cut(line, " "); ok {
			refs[ref] = id
		}
	}
	return refs
}

func TestEndToEndMirrorFromPushToReplica(t *testing.T) {
	s := openSite(t, "")
	s.commitAndPush("one")
	s.commitAndPush("two") // within the interval: one run for both
	s.advance(10)
	if want, got := s.source(), s.replica("app"); len(want) == 0 || !maps.Equal(want, got) {
		t.Fatalf("the replica holds %v, want %v; tasks %+v", got, want, s.ledger().Tasks)
	}
	l := s.ledger()
	if len(l.Tasks) != 1 || l.Tasks[0].ExitCode == nil || *l.Tasks[0].ExitCode != 0 || !l.Tasks[0].HadEndpoints {
		t.Errorf("tasks %+v, want one that ended with 0", l.Tasks)
	}
	services := map[string]bool{}
	for _, e := range l.Endpoints {
		services[strings.TrimPrefix(e.Service, "com.amazonaws.us-east-1.")] = true
	}
	for _, want := range []string{"ecr.api", "ecr.dkr", "logs", "git-codecommit", "codecommit", "secretsmanager"} {
		if !services[want] {
			t.Errorf("there was no endpoint of %s", want)
		}
	}
	s.advance(120)
	for _, e := range s.ledger().Endpoints {
		if e.Type == "Interface" && e.Deleted == nil {
			t.Errorf("%s is still there", e.Service)
		}
	}
	// What the replica holds already raises nothing.
	before := len(s.ledger().Stacks)
	code, answer := s.report(s.body("main"))
	if code != http.StatusOK || !strings.Contains(answer, "already") {
		t.Errorf("%d %s", code, answer)
	}
	s.advance(30)
	if got := len(s.ledger().Stacks); got != before {
		t.Error("a push that the replica holds has raised endpoints")
	}
	// The source renames its default branch, and the replica's follows, with the rights of the task alone.
	runGit(t, filepath.Join(s.folder, "app.git"), "branch", "-m", "main", "trunk")
	work := filepath.Join(s.folder, "work")
	runGit(t, work, "commit", "-q", "--allow-empty", "-m", "three")
	runGit(t, work, "push", "-q", "origin", "HEAD:refs/heads/trunk")
	if code, answer := s.report(s.body("trunk")); code != http.StatusAccepted { // the hook's own is signed hours ago
		t.Errorf("%d %s", code, answer)
	}
	s.advance(120)
	repository, err := s.cc.GetRepository(t.Context(), &codecommit.GetRepositoryInput{RepositoryName: aws.String("app")})
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(repository.RepositoryMetadata.DefaultBranch); got != "trunk" {
		t.Errorf("the replica's default branch is %s; tasks %+v", got, s.ledger().Tasks)
	}
	for number := 1; number <= 7; number++ {
		s.keeps(number, 2)
	}
}

// body is the body of a report that a branch stands where it does.
func (s *site) body(branch string) string {
	s.t.Helper()
	ref := "refs/heads/" + branch
	return fmt.Sprintf(`{"name":"app","changes":[{"ref":%q,"after":%q}]}`, ref, s.source()[ref])
}

// report sends a report, signed as the hook does.
func (s *site) report(body string) (int, string) {
	s.t.Helper()
	at := fmt.Sprintf("%d", int64(s.ledger().Now))
	sum := signature(hookSecret, at+"."+body)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.hook, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Drawbridge-Timestamp", at)
	req.Header.Set("X-Drawbridge-Signature", "sha256="+sum)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestEndToEndMirrorOfABundle(t *testing.T) {
	s := openSite(t, "", "--start", time.Now().Add(-72*time.Hour).UTC().Truncate(time.Hour).Format(time.RFC3339))
	// A pack that no cache names, older than a day, goes with the next run.
	bucket, orphan := "drawbridge-mirror-123456789012-us-east-1", "state/inbox/cache/pack-"+strings.Repeat("a", 40)+".pack"
	if _, err := s.objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &orphan, Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("kept")}); err != nil {
		t.Fatal(err)
	}
	under := &s3types.ServerSideEncryptionConfiguration{Rules: []s3types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &s3types.ServerSideEncryptionByDefault{
		SSEAlgorithm: s3types.ServerSideEncryptionAwsKms, KMSMasterKeyID: aws.String(customerKey),
	}}}}
	if _, err := s.objects.PutBucketEncryption(t.Context(), &s3.PutBucketEncryptionInput{Bucket: aws.String("kept"), ServerSideEncryptionConfiguration: under}); err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(s.folder, "work")
	for _, message := range []string{"one", "two"} {
		runGit(t, work, "commit", "-q", "--allow-empty", "-m", message)
		path := filepath.Join(t.TempDir(), "b")
		runGit(t, work, "bundle", "create", "-q", path, "--all")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("inbox/x.bundle"), Body: bytes.NewReader(b), ServerSideEncryption: s3types.ServerSideEncryptionAwsKms, SSEKMSKeyId: aws.String(customerKey)}); err != nil {
			t.Fatal(err)
		}
		s.advance(10)
		if got := s.replica("inbox"); got["refs/heads/main"] != runGit(t, work, "rev-parse", "HEAD") {
			t.Errorf("the replica holds %v; tasks %+v", got, s.ledger().Tasks)
		}
	}
	kept, err := s.objects.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("kept")})
	if err != nil || len(kept.Contents) != 2 {
		t.Errorf("%d objects in the archive (%v), want the index and the last bundle", len(kept.Contents), err)
	}
	if _, err := s.objects.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &orphan}); err == nil {
		t.Error("the pack that no cache names is still there")
	}
}

func TestEndToEndMirrorLooksFromOutside(t *testing.T) {
	s := openSite(t, "visible: true")
	runGit(t, filepath.Join(s.folder, "app.git"), "config", "--unset", "drawbridge.url") // nothing is reported
	s.commitAndPush("one")
	s.advance(25)
	if want, got := s.source(), s.replica("app"); !maps.Equal(want, got) {
		t.Fatalf("the replica holds %v, want %v", got, want)
	}
	s.advance(180)
	if l := s.ledger(); len(l.Stacks) != 1 || len(l.Tasks) != 1 {
		t.Errorf("%d stacks and %d tasks, want one of each: the looks have found nothing since", len(l.Stacks), len(l.Tasks))
	}
	s.commitAndPush("two")
	s.advance(25)
	if want, got := s.source(), s.replica("app"); !maps.Equal(want, got) {
		t.Errorf("the replica holds %v, want %v", got, want)
	}
}

func TestEndToEndMirrorFailsLoudly(t *testing.T) {
	s := openSite(t, "")
	s.commitAndPush("one")
	value := `{"username":"reader","token":"wrong-token-1"}`
	if _, err := s.secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("git"), SecretString: &value}); err != nil {
		t.Fatal(err)
	}
	s.advance(10)
	tasks := s.ledger().Tasks
	if len(tasks) != 1 || tasks[0].ExitCode == nil || *tasks[0].ExitCode != 1 {
		b, err := json.Marshal(tasks)
		t.Errorf("tasks %s (%v), want one with exit code 1", b, err)
	}
}
