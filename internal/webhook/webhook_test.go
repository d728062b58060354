package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"

	"drawbridge/internal/awssim"
	"drawbridge/internal/config/field"
	"drawbridge/internal/gitserver"
	"drawbridge/internal/mirror"
	"drawbridge/internal/mirror/section"
	"drawbridge/internal/sandbox"
)

const (
	after = "1111111111111111111111111111111111111111"
	other = "2222222222222222222222222222222222222222"
)

// bench is a receiver on a simulated AWS, with a clock of its own.
type bench struct {
	t       *testing.T
	r       *Receiver
	now     time.Time
	s3      *s3.Client
	queue   *counted
	metrics bytes.Buffer
}

var secrets = map[string]string{"github": "the-secret-of-github", "gitlab": "the-token-of-gitlab", "signing": "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef")), "gitea": "the-secret-of-gitea", "bitbucket": "the-secret-of-bitbucket", "plain": "the-secret-of-nobody", "empty": ""}

func newBench(t *testing.T) *bench {
	t.Helper()
	now := time.Date(2026, 5, 14, 9, 0, 10, 0, time.UTC)
	sim := awssim.New(awssim.Options{Start: now})
	t.Cleanup(sim.Close)
	conf := sandbox.AWSConfig(sim, "http://aws.invalid", sim.RoundTripper())
	b := &bench{t: t, now: now, s3: s3.NewFromConfig(conf, func(o *s3.Options) { o.UsePathStyle = true }), queue: &counted{queueAPI: sqs.NewFromConfig(conf)}}
	if _, err := b.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("bucket")}); err != nil {
		t.Fatal(err)
	}
	q, err := sqs.NewFromConfig(conf).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("events")})
	if err != nil {
		t.Fatal(err)
	}
	m := &section.Mirror{Merge: field.Duration(30 * time.Second), Repositories: map[string]*section.Repository{}}
	vault := secretsmanager.NewFromConfig(conf)
	for name, text := range secrets {
		out, err := vault.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(name), SecretString: aws.String(text)})
		if err != nil {
			t.Fatal(err)
		}
		provider := name
		switch name {
		case "signing":
			provider = "gitlab"
		case "empty":
			provider = "github"
		}
		m.Repositories[name] = &section.Repository{Source: section.Source{URL: "https://example.com/app.git"}, Target: section.Target{CodeCommit: name}, Webhook: &section.Webhook{Provider: provider, Secret: aws.ToString(out.ARN)}}
	}
	m.Repositories["unhooked"] = &section.Repository{}
	m.Fill()
	b.r = &Receiver{Installation: "drawbridge", Mirror: m, State: mirror.NewBucket(b.s3, "bucket", "state/"), Seen: mirror.NewBucket(b.s3, "bucket", "seen/"), Secrets: vault, Queue: b.queue, QueueURL: aws.ToString(q.QueueUrl),
		Now: func() time.Time { return b.now }, Log: zap.NewNop(), Metrics: &b.metrics}
	return b
}

// request is a report as Lambda hands it over.
func request(name string, header map[string]string, body string) events.LambdaFunctionURLRequest {
	in := events.LambdaFunctionURLRequest{RawPath: "/" + name, Headers: header, Body: body}
	in.RequestContext.HTTP.Method = http.MethodPost
	return in
}

func (b *bench) report(in events.LambdaFunctionURLRequest) (int, string) {
	b.t.Helper()
	payload, err := json.Marshal(in)
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := b.r.Handle(b.t.Context(), payload)
	if err != nil {
		b.t.Fatal(err)
	}
	res := out.(events.LambdaFunctionURLResponse)
	return res.StatusCode, res.Body
}

// counted is a queue that counts what is sent to it.
type counted struct {
	queueAPI
	sent int
}

func (c *counted) SendMessage(ctx context.Context, in *sqs.SendMessageInput, options ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	out, err := c.queueAPI.SendMessage(ctx, in, options...)
	if err == nil {
		c.sent++
	}
	return out, err
}

// queued returns how many messages were sent to the queue so far.
func (b *bench) queued() int { return b.queue.sent }

func hmacHex(secret, text string) string {
	return hex.EncodeToString(mac([]byte(secret), []byte(text)))
}

// pushes are reports as each kind of server sends them, for refs/heads/main at after.
func pushes(now time.Time, ref, id string) map[string]events.LambdaFunctionURLRequest {
	github := fmt.Sprintf(`{"ref":%q,"before":%q,"after":%q,"created":false,"deleted":false,"forced":false,"repository":{"id":1,"full_name":"team/app","pushed_at":%d},"pusher":{"name":"a"},"commits":[]}`, ref, zero, id, now.Unix())
	gitlab := fmt.Sprintf(`{"object_kind":"push","event_name":"push","before":%q,"after":%q,"ref":%q,"checkout_sha":%q,"project":{"id":15,"path_with_namespace":"team/app"},"commits":[],"total_commits_count":0}`, zero, id, ref, id)
	gitea := fmt.Sprintf(`{"ref":%q,"before":%q,"after":%q,"commits":[],"repository":{"id":1,"full_name":"team/app"}}`, ref, zero, id)
	bitbucket := fmt.Sprintf(`{"eventKey":"repo:refs_changed","date":%q,"repository":{"slug":"app","project":{"key":"TEAM"}},"changes":[{"ref":{"id":%q,"displayId":"main","type":"BRANCH"},"refId":%q,"fromHash":%q,"toHash":%q,"type":"UPDATE"}]}`, now.Add(2*time.Hour).UTC().Add(-2*time.Hour).In(time.FixedZone("", 2*3600)).Format("2006-01-02T15:04:05-0700"), ref, ref, zero, id)
	plain := fmt.Sprintf(`{"name":"app","changes":[{"ref":%q,"before":%q,"after":%q}]}`, ref, zero, id)
	stamp := fmt.Sprint(now.Unix())
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secrets["signing"], "whsec_")) // made above
	return map[string]events.LambdaFunctionURLRequest{
		"github":    request("github", map[string]string{"x-github-event": "push", "x-github-delivery": "d1", "x-hub-signature-256": "sha256=" + hmacHex(secrets["github"], github)}, github),
		"gitlab":    request("gitlab", map[string]string{"x-gitlab-event": "Push Hook", "x-gitlab-token": secrets["gitlab"]}, gitlab),
		"signing":   request("signing", map[string]string{"x-gitlab-event": "Tag Push Hook", "webhook-id": "m1", "webhook-timestamp": stamp, "webhook-signature": "v1,AAAA v1," + base64.StdEncoding.EncodeToString(mac(key, []byte("m1."+stamp+"."+gitlab)))}, gitlab),
		"gitea":     request("gitea", map[string]string{"x-gitea-event": "push", "x-gitea-signature": hmacHex(secrets["gitea"], gitea)}, gitea),
		"bitbucket": request("bitbucket", map[string]string{"x-event-key": "repo:refs_changed", "x-hub-signature": "sha256=" + hmacHex(secrets["bitbucket"], bitbucket)}, bitbucket),
		"plain":     request("plain", map[string]string{"x-drawbridge-timestamp": stamp, "x-drawbridge-signature": "sha256=" + hmacHex(secrets["plain"], stamp+"."+plain)}, plain),
	}
}

func TestEveryServersPushAsksForARun(t *testing.T) {
	for name := range pushes(time.Time{}, "", "") {
		b := newBench(t)
		in := pushes(b.now, "refs/heads/main", after)[name]
		if code, body := b.report(in); code != http.StatusAccepted || !strings.Contains(body, `"run":"push-`+name) || b.queued() != 1 {
			t.Errorf("%s: %d %s, %d queued, want 202 and one", name, code, body, b.queued())
		}
		in.Body, in.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(in.Body)), true
		if code, body := b.report(in); code != http.StatusOK || !strings.Contains(body, "duplicate report") {
			t.Errorf("%s again, as base64: %d %s, want 200 and nothing asked for", name, code, body)
		}
	}
}

func TestForgedReportsAreRefused(t *testing.T) {
	for name := range pushes(time.Time{}, "", "") {
		for what, forge := range map[string]func(*events.LambdaFunctionURLRequest){
			"another body": func(in *events.LambdaFunctionURLRequest) {
				if name == "gitlab" {
					in.Headers["x-gitlab-token"] += "x" // a token says nothing of the body
				}
				in.Body = strings.Replace(in.Body, "main", "evil", 1)
			},
			"no signature": func(in *events.LambdaFunctionURLRequest) {
				for k := range in.Headers {
					if strings.Contains(k, "signature") || strings.Contains(k, "token") {
						delete(in.Headers, k)
					}
				}
			},
			"an empty signature": func(in *events.LambdaFunctionURLRequest) {
				for k := range in.Headers {
					if strings.Contains(k, "signature") || strings.Contains(k, "token") {
						in.Headers[k] = map[string]string{"webhook-signature": "v1,", "x-gitlab-token": "", "x-gitea-signature": ""}[k]
						if k != "x-gitlab-token" && k != "webhook-signature" && k != "x-gitea-signature" {
							in.Headers[k] = "sha256="
						}
					}
				}
			},
		} {
			b := newBench(t)
			in := pushes(b.now, "refs/heads/main", after)[name]
			forge(&in)
			if code, body := b.report(in); code != http.StatusUnauthorized || b.queued() != 0 {
				t.Errorf("%s with %s: %d %s, want 401", name, what, code, body)
			}
		}
	}
	b := newBench(t)
	in := pushes(b.now, "refs/heads/main", after)["github"]
	in.RawPath, in.Headers["x-hub-signature-256"] = "/empty", "sha256="+hmacHex("", in.Body)
	if code, _ := b.report(in); code != http.StatusUnauthorized {
		t.Errorf("an empty secret lets everybody in: %d", code)
	}
}

func TestReplayWindow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		later time.Duration
		want  int
	}{
		{"plain", window, http.StatusAccepted}, {"plain", window + time.Second, http.StatusUnauthorized}, {"plain", -window - time.Second, http.StatusUnauthorized},
		{"signing", window, http.StatusAccepted}, {"signing", window + time.Second, http.StatusUnauthorized},
		{"github", wideWindow, http.StatusAccepted}, {"github", wideWindow + time.Second, http.StatusUnauthorized},
		{"bitbucket", wideWindow, http.StatusAccepted}, {"bitbucket", wideWindow + time.Second, http.StatusUnauthorized},
	} {
		b := newBench(t)
		in := pushes(b.now, "refs/heads/main", after)[tt.name]
		b.now = b.now.Add(tt.later)
		if code, body := b.report(in); code != tt.want {
			t.Errorf("%s %s later: %d %s, want %d", tt.name, tt.later, code, body, tt.want)
		}
	}
}

func TestWhatTheReplicaHoldsNeedsNoRun(t *testing.T) {
	for _, tt := range []struct {
		name, ref, id string
		held          mirror.Refs
		prune         bool
		want          int
	}{
		{"never mirrored", "refs/heads/main", after, nil, false, http.StatusAccepted},
		{"holds it", "refs/heads/main", after, mirror.Refs{"refs/heads/main": after}, false, http.StatusOK},
		{"holds another", "refs/heads/main", after, mirror.Refs{"refs/heads/main": other}, false, http.StatusAccepted},
		{"not mirrored", "refs/pull/1/head", after, nil, false, http.StatusOK},
		{"not in the list", "refs/heads/tmp/x", after, nil, false, http.StatusOK},
		{"gone, and never pruned", "refs/heads/main", zero, mirror.Refs{"refs/heads/main": after}, false, http.StatusOK},
		{"gone, and pruned", "refs/heads/main", zero, mirror.Refs{"refs/heads/main": after}, true, http.StatusAccepted},
		{"gone on both sides", "refs/heads/main", zero, mirror.Refs{}, true, http.StatusOK},
	} {
		b := newBench(t)
		r := b.r.Mirror.Repositories["gitea"]
		r.Refs, r.Prune = []string{"refs/heads/*", "!refs/heads/tmp/*"}, tt.prune
		if tt.held != nil {
			body, err := json.Marshal(mirror.Record{Refs: tt.held, At: b.now})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("state/gitea/record.json"), Body: bytes.NewReader(body)}); err != nil {
				t.Fatal(err)
			}
		}
		if code, body := b.report(pushes(b.now, tt.ref, tt.id)["gitea"]); code != tt.want || (b.queued() == 1) != (tt.want == http.StatusAccepted) {
			t.Errorf("%s: %d %s, %d queued, want %d", tt.name, code, body, b.queued(), tt.want)
		}
	}
}

// TestARepeatedReportAfterARun takes a push that is the same to the byte as an earlier
// one: a branch that was set back and forth, or a report that is sent again after a run
// has failed.
func TestARepeatedReportAfterARun(t *testing.T) {
	for _, name := range []string{"gitlab", "gitea"} {
		b := newBench(t)
		in := pushes(b.now, "refs/heads/main", after)[name]
		store := func(key string, v any) {
			t.Helper()
			body, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("state/" + name + "/" + key), Body: bytes.NewReader(body)}); err != nil {
				t.Fatal(err)
			}
		}
		for i, tt := range []struct {
			before func()
			want   int
		}{
			{func() {}, http.StatusAccepted},
			{func() {}, http.StatusOK}, // the run that was asked for has not begun
			{func() { store("report.json", mirror.Report{Started: b.now}) }, http.StatusAccepted},
			{func() { store("record.json", mirror.Record{Refs: mirror.Refs{"refs/heads/main": after}, At: b.now}) }, http.StatusOK},
			// A run is at work: the record is of before it.
			{func() {
				store("lock.json", map[string]any{"owner": "x", "expires": b.now.Add(30 * time.Second)})
				store("report.json", mirror.Report{Started: b.now.Add(time.Minute)})
			}, http.StatusAccepted},
		} {
			b.now = b.now.Add(2 * time.Second)
			tt.before()
			if code, body := b.report(in); code != tt.want {
				t.Errorf("%s, report %d: %d %s, want %d", name, i+1, code, body, tt.want)
			}
		}
	}
}

func TestOtherRequests(t *testing.T) {
	b := newBench(t)
	good := pushes(b.now, "refs/heads/main", after)["github"]
	with := func(change func(*events.LambdaFunctionURLRequest)) events.LambdaFunctionURLRequest {
		in := good
		in.Headers = map[string]string{}
		for k, v := range good.Headers {
			in.Headers[k] = v
		}
		change(&in)
		return in
	}
	sign := func(in *events.LambdaFunctionURLRequest) {
		in.Headers["x-hub-signature-256"] = "sha256=" + hmacHex(secrets["github"], in.Body)
	}
	for _, tt := range []struct {
		name string
		in   events.LambdaFunctionURLRequest
		want int
		says string
	}{
		{"GET", with(func(in *events.LambdaFunctionURLRequest) { in.RequestContext.HTTP.Method = http.MethodGet }), http.StatusMethodNotAllowed, "POST"},
		{"an unknown repository", with(func(in *events.LambdaFunctionURLRequest) { in.RawPath = "/nobody" }), http.StatusUnauthorized, "unknown webhook"},
		{"a repository without a webhook", with(func(in *events.LambdaFunctionURLRequest) { in.RawPath = "/unhooked" }), http.StatusUnauthorized, "unknown webhook"},
		{"no repository", with(func(in *events.LambdaFunctionURLRequest) { in.RawPath = "/" }), http.StatusUnauthorized, "unknown webhook"},
		{"too long", with(func(in *events.LambdaFunctionURLRequest) { in.Body = strings.Repeat("x", maxBody+1) }), http.StatusRequestEntityTooLarge, "exceeds"},
		{"not base64", with(func(in *events.LambdaFunctionURLRequest) { in.IsBase64Encoded, in.Body = true, "%" }), http.StatusBadRequest, "read"},
		{"a ping", with(func(in *events.LambdaFunctionURLRequest) { in.Headers["x-github-event"] = "ping" }), http.StatusOK, "works"},
		{"another event", with(func(in *events.LambdaFunctionURLRequest) { in.Headers["x-github-event"] = "issues" }), http.StatusOK, "not a push"},
		{"no JSON", with(func(in *events.LambdaFunctionURLRequest) { in.Body = "payload=%7B%7D"; sign(in) }), http.StatusBadRequest, "JSON"},
		{"no ref", with(func(in *events.LambdaFunctionURLRequest) { in.Body = "{}"; sign(in) }), http.StatusBadRequest, "no ref"},
		{"a ref that is none", with(func(in *events.LambdaFunctionURLRequest) { in.Body = `{"ref":"../x","after":"y"}`; sign(in) }), http.StatusBadRequest, "invalid ref"},
	} {
		if code, body := b.report(tt.in); code != tt.want || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d %s, want %d and %q", tt.name, code, body, tt.want, tt.says)
		}
	}
	b.r.Mirror.Repositories["github"].Webhook.Repository = "team/other"
	if code, _ := b.report(good); code != http.StatusForbidden {
		t.Errorf("a report of another repository: %d", code)
	}
	if n := b.queued(); n != 0 {
		t.Errorf("%d runs were asked for", n)
	}
}

func TestPushesOfOneIntervalAreOneEvent(t *testing.T) {
	b := newBench(t)
	runs := map[string]bool{}
	for i, later := range []time.Duration{0, 5 * time.Second, 19 * time.Second, 20 * time.Second} { // the clock stands at :10
		in := pushes(b.now.Add(later), "refs/heads/main", fmt.Sprintf("%040x", i+1))["plain"]
		start := b.now
		b.now = start.Add(later)
		_, body := b.report(in)
		b.now = start
		var a struct{ Run string }
		if err := json.Unmarshal([]byte(body), &a); err != nil || a.Run == "" {
			t.Fatalf("%s", body)
		}
		runs[a.Run] = true
	}
	if len(runs) != 2 {
		t.Errorf("events %v, want two: one for the interval until :30, one from then on", runs)
	}
}

func TestRateLimits(t *testing.T) {
	b := newBench(t)
	codes := map[int]int{}
	for i := range 100 {
		code, _ := b.report(pushes(b.now, "refs/heads/main", fmt.Sprintf("%040x", i+1))["plain"])
		codes[code]++
	}
	// Each that is verified is taken; those beyond the burst share one run, as GitHub never sends them again.
	if codes[http.StatusAccepted] != unverifiedBurst || codes[http.StatusTooManyRequests] != 100-unverifiedBurst || b.queued() != verifiedBurst+1 {
		t.Errorf("answers %v, %d queued", codes, b.queued())
	}
	b.now = b.now.Add(10 * time.Second)
	if code, _ := b.report(pushes(b.now, "refs/heads/main", after)["plain"]); code != http.StatusAccepted {
		t.Errorf("ten seconds later: %d", code)
	}
	if code, _ := b.report(pushes(b.now, "refs/heads/main", after)["gitea"]); code != http.StatusAccepted {
		t.Errorf("another repository: %d", code)
	}
}

// TestOldReportsQueueNothing repeats a report that was signed long ago: whoever recorded it must
// neither have a run of it nor use up what the server's own reports are allowed.
func TestOldReportsQueueNothing(t *testing.T) {
	b := newBench(t)
	old := pushes(b.now, "refs/heads/main", after)["plain"]
	b.now = b.now.Add(time.Hour)
	for range unverifiedBurst / 2 {
		if code, body := b.report(old); code != http.StatusUnauthorized {
			t.Fatalf("an hour later: %d %s", code, body)
		}
	}
	for range 10 * unverifiedBurst { // nor does one without a signature count
		if code, body := b.report(request("plain", nil, "{}")); code != http.StatusUnauthorized {
			t.Fatalf("unsigned: %d %s", code, body)
		}
	}
	if b.queued() != 0 {
		t.Errorf("%d queued", b.queued())
	}
	for i := range verifiedBurst {
		if code, body := b.report(pushes(b.now, "refs/heads/main", fmt.Sprintf("%040x", i+1))["plain"]); code != http.StatusAccepted {
			t.Errorf("the server's own report: %d %s", code, body)
		}
	}
	if b.queued() != verifiedBurst {
		t.Errorf("%d queued of %d reports within the burst", b.queued(), verifiedBurst)
	}
}

func TestReportsFromElsewhereAreRefused(t *testing.T) {
	b := newBench(t)
	b.r.Mirror.WebhookSources = []string{"203.0.113.0/24", "2001:db8::/32"}
	for address, want := range map[string]int{
		"203.0.113.9": http.StatusAccepted, "2001:db8::1": http.StatusAccepted, "::ffff:203.0.113.7": http.StatusAccepted,
		"198.51.100.1": http.StatusForbidden, "": http.StatusForbidden, "203.0.113.9, 198.51.100.1": http.StatusForbidden,
	} {
		in := pushes(b.now, "refs/heads/main", fmt.Sprintf("%040x", len(address)+1))["plain"]
		in.RequestContext.HTTP.SourceIP = address
		in.Headers["x-forwarded-for"] = "203.0.113.9" // anybody's to write
		if code, body := b.report(in); code != want {
			t.Errorf("from %q: %d %s, want %d", address, code, body, want)
		}
		b.now = b.now.Add(time.Minute)
	}
}

func TestASecretThatWasChangedIsReadAnew(t *testing.T) {
	b := newBench(t)
	b.report(pushes(b.now, "refs/heads/main", after)["gitea"])
	vault := b.r.Secrets.(*secretsmanager.Client)
	if _, err := vault.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("gitea"), SecretString: aws.String("the-new-secret-of-gitea")}); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(20 * time.Second)
	in := pushes(b.now, "refs/heads/main", other)["gitea"]
	in.Headers["x-gitea-signature"] = hmacHex("the-new-secret-of-gitea", in.Body)
	if code, body := b.report(in); code != http.StatusAccepted {
		t.Errorf("%d %s", code, body)
	}
}

func TestLook(t *testing.T) {
	folder := t.TempDir()
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "reader" || password != "pass-1" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		gitserver.Serve(w, r, "/", folder, "")
	}))
	defer source.Close()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(context.Background(), "git", args...)
		cmd.Dir = filepath.Join(folder, "app.git")
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %s", args, out)
		}
		return strings.TrimSpace(string(out))
	}
	if out, err := exec.Command("git", "init", "-q", "--bare", filepath.Join(folder, "app.git")).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	tree := git("hash-object", "-t", "tree", "-w", "/dev/null")
	commit := git("commit-tree", "-m", "x", tree)
	git("update-ref", "refs/heads/main", commit)
	git("tag", "-a", "-m", "x", "v1", commit)
	git("update-ref", "refs/pull/1/head", commit)

	b := newBench(t)
	vault := b.r.Secrets.(*secretsmanager.Client)
	out, err := vault.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("source"), SecretString: aws.String(`{"username":"reader","password":"pass-1"}`)})
	if err != nil {
		t.Fatal(err)
	}
	r := b.r.Mirror.Repositories["plain"]
	r.Visible, r.Source = true, section.Source{URL: source.URL + "/app.git", Secret: aws.ToString(out.ARN)}
	look := func() int {
		t.Helper()
		before := b.queued()
		if _, err := b.r.Handle(t.Context(), []byte(`{"source":"aws.events"}`)); err != nil {
			t.Fatal(err)
		}
		return b.queued() - before
	}
	if n := look(); n != 1 {
		t.Errorf("%d runs asked for by the first look, want one", n)
	}
	held := mirror.Record{At: b.now, Refs: mirror.Refs{"refs/heads/main": commit, "refs/tags/v1": git("rev-parse", "v1")}}
	body, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("state/plain/record.json"), Body: bytes.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
	if n := look(); n != 0 || !strings.Contains(b.metrics.String(), `"MirrorInSync":1`) {
		t.Errorf("%d runs asked for, want none and a metric; metrics %s", n, b.metrics.String())
	}
	git("update-ref", "refs/heads/main", git("commit-tree", "-m", "y", "-p", commit, tree))
	if n := look(); n != 1 {
		t.Errorf("%d runs asked for after a push, want one", n)
	}
}

// TestWhatServersSendOtherwise: forms, deletions, system hooks, names in other letters, and nothing
// that could be verified.
func TestWhatServersSendOtherwise(t *testing.T) {
	github := func(b *bench, body string, header map[string]string) events.LambdaFunctionURLRequest {
		h := map[string]string{"x-github-event": "push", "x-hub-signature-256": "sha256=" + hmacHex(secrets["github"], body)}
		maps.Copy(h, header)
		return request("github", h, body)
	}
	form := func(b *bench) events.LambdaFunctionURLRequest {
		body := "payload=" + url.QueryEscape(pushes(b.now, "refs/heads/main", after)["github"].Body)
		return github(b, body, map[string]string{"content-type": "application/x-www-form-urlencoded; charset=utf-8"})
	}
	deleted := func(b *bench) events.LambdaFunctionURLRequest {
		body := `{"ref":"gone","ref_type":"branch","repository":{"full_name":"team/app"}}`
		return request("gitea", map[string]string{"x-gitea-event": "delete", "x-gitea-signature": hmacHex(secrets["gitea"], body)}, body)
	}
	system := func(kind string) func(b *bench) events.LambdaFunctionURLRequest {
		return func(b *bench) events.LambdaFunctionURLRequest {
			body := strings.Replace(pushes(b.now, "refs/heads/main", after)["gitlab"].Body, `"event_name":"push"`, `"event_name":"`+kind+`"`, 1)
			return request("gitlab", map[string]string{"x-gitlab-event": "System Hook", "x-gitlab-token": secrets["gitlab"]}, body)
		}
	}
	for _, tt := range []struct {
		name string
		in   func(b *bench) events.LambdaFunctionURLRequest
		want int
		says string
	}{
		{"GitHub's form", form, http.StatusAccepted, "push-github"},
		{"Gitea's deletion of what nobody mirrors", deleted, http.StatusOK, "already has"},
		{"GitLab's system hook of a push", system("push"), http.StatusAccepted, "push-gitlab"},
		{"GitLab's system hook of a tag", system("tag_push"), http.StatusAccepted, "push-gitlab"},
		{"GitLab's system hook of a user", system("user_create"), http.StatusOK, "user_create is not a push"},
		{"a name in other letters", func(b *bench) events.LambdaFunctionURLRequest {
			b.r.Mirror.Repositories["github"].Webhook.Repository = "Team/App"
			return pushes(b.now, "refs/heads/main", after)["github"]
		}, http.StatusAccepted, "push-github"},
		{"no signature", func(b *bench) events.LambdaFunctionURLRequest {
			in := pushes(b.now, "refs/heads/main", after)["github"]
			delete(in.Headers, "x-hub-signature-256")
			return in
		}, http.StatusUnauthorized, "the header X-Hub-Signature-256"},
		{"no signature of nobody", func(b *bench) events.LambdaFunctionURLRequest {
			return request("nobody", map[string]string{}, "{}")
		}, http.StatusUnauthorized, "the header X-Hub-Signature-256"},
		{"no event", func(b *bench) events.LambdaFunctionURLRequest {
			return github(b, "{}", map[string]string{"x-github-event": ""})
		}, http.StatusBadRequest, "X-GitHub-Event"},
	} {
		b := newBench(t)
		if code, body := b.report(tt.in(b)); code != tt.want || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d %s, want %d and %q", tt.name, code, body, tt.want, tt.says)
		}
	}
}
