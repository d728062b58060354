// Package webhook is the function that git servers report pushes to. It verifies the
// report, requests a run of the job mirror if the replica does not hold the push
// yet, and checks on its own the sources that can be reached from outside the VPC. A
// report that needs no run creates no endpoint.
package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"drawbridge/internal/mirror"
	"drawbridge/internal/mirror/section"
)

// These are the limits of reports. A GitHub body with all the commits that it
// lists is shorter.
const (
	maxBody = 4 << 20
	// lookFor is how long checking a source may take.
	lookFor = 20 * time.Second
	// An environment accepts 20 unverified reports a second, one verified
	// report a second per repository, and bursts of 30.
	unverifiedRate, unverifiedBurst = 20, 60
	verifiedRate, verifiedBurst     = 1, 30
	// secretsFor is how long a secret is kept in memory.
	secretsFor = time.Minute
)

// queueAPI is the part of *sqs.Client that the function calls.
type queueAPI interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// secretsAPI is the part of *secretsmanager.Client that the function calls.
type secretsAPI interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput,
		...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

var (
	_ queueAPI   = (*sqs.Client)(nil)
	_ secretsAPI = (*secretsmanager.Client)(nil)
)

// Receiver handles the events of the function.
type Receiver struct {
	// Installation is the installation's name, Mirror its mirror configuration.
	Installation string
	Mirror       *section.Mirror
	// State holds the mirror's records, Seen the reports of the last day.
	State, Seen *mirror.Bucket
	Secrets     secretsAPI
	Queue       queueAPI
	// QueueURL is the queue of job events.
	QueueURL string
	Now      func() time.Time
	Log      *zap.Logger
	// Metrics receives lines of metrics; it is a Lambda's standard output.
	Metrics io.Writer

	mu         sync.Mutex
	unverified *rate.Limiter
	verified   map[string]*rate.Limiter
	known      map[string]keptSecret
	// throttled are the runs that were asked for after too many reports, by repository.
	throttled map[string]string
}

type keptSecret struct {
	text string
	at   time.Time
}

// Handle handles a request to the function URL, or an event of the schedule.
func (r *Receiver) Handle(ctx context.Context, payload []byte) (any, error) {
	var in events.LambdaFunctionURLRequest
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	if in.RequestContext.HTTP.Method == "" {
		return nil, r.look(ctx)
	}
	a := r.receive(ctx, in)
	body, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	return events.LambdaFunctionURLResponse{
		StatusCode: a.status,
		Headers:    map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"},
		Body:       string(body),
	}, nil
}

// answer is the response to a git server.
type answer struct {
	status int
	// Run is the requested event, Ignored the reason for none.
	Run     string `json:"run,omitempty"`
	Ignored string `json:"ignored,omitempty"`
	Error   string `json:"error,omitempty"`
}

func no(status int, format string, args ...any) answer {
	return answer{status: status, Error: fmt.Sprintf(format, args...)}
}

// from reports whether an address is in one of the blocks; without blocks any
// address is.
func from(blocks []string, address string) bool {
	if len(blocks) == 0 {
		return true
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(blocks, func(block string) bool {
		b, err := netip.ParsePrefix(block)
		return err == nil && b.Contains(ip.Unmap())
	})
}

// receive answers one report. 2xx tells the server that the report was accepted;
// 5xx and 429 tell it to retry.
func (r *Receiver) receive(ctx context.Context, in events.LambdaFunctionURLRequest) answer {
	if in.RequestContext.HTTP.Method != http.MethodPost {
		return no(http.StatusMethodNotAllowed, "use POST")
	}
	if !from(r.Mirror.WebhookSources, in.RequestContext.HTTP.SourceIP) {
		return no(http.StatusForbidden, "reports are not accepted from this address")
	}
	if (report{header: in.Headers}).unsigned() { // which takes nothing from the reports that are signed
		return no(http.StatusUnauthorized, "%v", errUnsigned)
	}
	if !r.limits().AllowN(r.Now(), 1) {
		return no(http.StatusTooManyRequests, "too many reports")
	}
	body := []byte(in.Body)
	if in.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(in.Body); err != nil {
			return no(http.StatusBadRequest, "the body cannot be read")
		}
	}
	if len(body) > maxBody {
		return no(http.StatusRequestEntityTooLarge, "the body exceeds %d bytes", maxBody)
	}
	rep := report{header: in.Headers, body: body}
	name := strings.Trim(in.RawPath, "/")
	repository := r.Mirror.Repositories[name]
	if repository == nil || repository.Webhook == nil {
		r.Log.Warn("report refused", zap.String("why", "unknown repository"),
			zap.String("from", in.RequestContext.HTTP.SourceIP))
		return no(http.StatusUnauthorized, "%v", errForged) // do not reveal which repositories exist
	}
	if err := r.verify(ctx, repository.Webhook, rep); errors.Is(err, errForged) || errors.Is(err, errOld) {
		r.Log.Warn("report refused", zap.String("repository", name), zap.Error(err),
			zap.String("from", in.RequestContext.HTTP.SourceIP))
		return no(http.StatusUnauthorized, "%v", err)
	} else if errors.Is(err, errWeak) {
		r.Log.Error("report refused", zap.String("repository", name), zap.Error(err))
		return no(http.StatusUnauthorized, "%v", errForged) // do not reveal that it is weak
	} else if err != nil {
		return r.failed(name, err)
	}
	return r.take(ctx, name, repository, rep)
}

// throttledFor is how long after the first of too many reports a run looks at what they were about.
const throttledFor = time.Minute

// later asks for one run a minute for reports that come too fast to be looked at one by one. Not
// every server sends a report again: GitHub never does.
func (r *Receiver) later(ctx context.Context, name string) answer {
	end := r.Now().Truncate(throttledFor).Add(throttledFor)
	id := fmt.Sprintf("throttled-%s-%d", name, end.Unix())
	r.mu.Lock()
	asked := r.throttled[name] == id
	r.mu.Unlock()
	if !asked {
		if err := r.send(ctx, name, id, end.Sub(r.Now())); err != nil {
			return r.failed(name, err)
		}
		r.mu.Lock()
		if r.throttled == nil {
			r.throttled = map[string]string{}
		}
		r.throttled[name] = id
		r.mu.Unlock()
	}
	return answer{status: http.StatusAccepted, Run: id}
}

func (r *Receiver) failed(name string, err error) answer {
	r.Log.Error("report failed", zap.String("repository", name), zap.Error(err))
	return no(http.StatusInternalServerError, "internal error; send the report again")
}

// take handles a verified report.
func (r *Receiver) take(ctx context.Context, name string, repository *section.Repository, rep report) answer {
	p, err := parse(repository.Webhook.Provider, rep)
	if err != nil {
		return no(http.StatusBadRequest, "%v", err)
	}
	if p.other != "" {
		what := "event " + p.other + " is not a push"
		if slices.Contains(ping, p.other) {
			what = "the webhook works"
		}
		return answer{status: http.StatusOK, Ignored: what}
	}
	if want := repository.Webhook.Repository; want != "" && !strings.EqualFold(want, p.repository) {
		r.Log.Warn("report refused", zap.String("repository", name), zap.String("of", p.repository))
		return no(http.StatusForbidden, "the report is for another repository")
	}
	if !p.at.IsZero() {
		if err := fresh(p.at, wideWindow, r.Now()); err != nil {
			return no(http.StatusUnauthorized, "%v", err)
		}
	}
	if !r.limitOf(name).AllowN(r.Now(), 1) {
		return r.later(ctx, name)
	}
	at := mirror.In(r.State, name)
	held, err := mirror.ReadRecord(ctx, at)
	if err != nil {
		return r.failed(name, err)
	}
	busy, err := mirror.Busy(ctx, at, r.Now())
	if err != nil {
		return r.failed(name, err)
	}
	// While a run is in progress the record is older than its result.
	if why := needless(p.changes, repository, held.Refs); why != "" && (!busy || why != holds) {
		r.Log.Info("push needs no run", zap.String("repository", name), zap.String("why", why))
		return answer{status: http.StatusOK, Ignored: why}
	}
	last, err := mirror.ReadReport(ctx, at)
	if err != nil {
		return r.failed(name, err)
	}
	sum := sha256.Sum256(append([]byte(rep.header["x-drawbridge-timestamp"]+rep.header["webhook-timestamp"]),
		rep.body...))
	digest := name + "/" + hex.EncodeToString(sum[:])
	if seen, err := mirror.Seen(ctx, r.Seen, digest); err != nil {
		return r.failed(name, err)
	} else if r.Now().Sub(seen) < wideWindow && (last == nil || last.Started.Before(seen)) {
		// No run has started since; the requested run will see it.
		return answer{status: http.StatusOK, Ignored: "duplicate report"}
	}
	run, err := r.ask(ctx, name)
	if err == nil {
		err = mirror.Remember(ctx, r.Seen, digest, r.Now())
	}
	if err != nil {
		return r.failed(name, err)
	}
	return answer{status: http.StatusAccepted, Run: run}
}

// needless returns why changes need no run, "" if they do.
func needless(changes []change, repository *section.Repository, held mirror.Refs) string {
	scope := mirror.NewScope(repository.Refs)
	inScope := 0
	for _, c := range changes {
		if !scope.Has(c.ref) {
			continue
		}
		inScope++
		have, ok := held[c.ref]
		switch {
		case c.id == zero && ok && repository.Prune, c.id != zero && have != c.id:
			return ""
		}
	}
	if inScope == 0 {
		return "the refs are not mirrored"
	}
	return holds
}

// holds is why a push needs no run if the replica has its refs.
const holds = "the replica already has the refs"

// ask requests a run. Pushes of one interval share one event, which is delivered
// when the interval is over: the run sees them all.
func (r *Receiver) ask(ctx context.Context, name string) (string, error) {
	merge := time.Duration(r.Mirror.Merge)
	now := r.Now()
	end := now.Truncate(merge).Add(merge)
	id := fmt.Sprintf("push-%s-%d", name, end.Unix())
	return id, r.send(ctx, name, id, end.Sub(now))
}

// send puts an event of job mirror into the queue.
func (r *Receiver) send(ctx context.Context, name, id string, delay time.Duration) error {
	variable := func(n, v string) map[string]string { return map[string]string{"name": n, "value": v} }
	body, err := json.Marshal(map[string]any{"job": section.Job, "id": id,
		"overrides": map[string]any{"containerOverrides": []any{map[string]any{
			"name": section.Job,
			"environment": []any{
				variable(section.RepositoriesVariable, name),
				variable(section.ReportedVariable, r.Now().UTC().Format(time.RFC3339)),
			},
		}}}})
	if err != nil {
		return err
	}
	seconds := int32((delay + time.Second - 1) / time.Second)
	if _, err := r.Queue.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &r.QueueURL, MessageBody: aws.String(string(body)), DelaySeconds: min(seconds, 900),
	}); err != nil {
		return fmt.Errorf("request a run of %s: %w", name, err)
	}
	r.Log.Info("run requested", zap.String("repository", name), zap.String("event", id))
	return nil
}

// verify checks a report with the webhook's secret. If a cached secret does not
// match, it is read again: it may have been rotated.
func (r *Receiver) verify(ctx context.Context, w *section.Webhook, rep report) error {
	text, kept, err := r.secret(ctx, w.Secret, false)
	if err != nil {
		return err
	}
	err = verify(w.Provider, []byte(text), rep, r.Now())
	if errors.Is(err, errForged) && kept {
		if text, _, err = r.secret(ctx, w.Secret, true); err != nil {
			return err
		}
		err = verify(w.Provider, []byte(text), rep, r.Now())
	}
	return err
}

// secret returns a secret, and whether it is old enough to be read again.
func (r *Receiver) secret(ctx context.Context, arn string, anew bool) (text string, kept bool, err error) {
	r.mu.Lock()
	k, ok := r.known[arn]
	r.mu.Unlock()
	if age := r.Now().Sub(k.at); ok && !anew && age < secretsFor {
		return k.text, age > 10*time.Second, nil
	}
	out, err := r.Secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		return "", false, fmt.Errorf("read secret %s: %w", arn, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]keptSecret{}
	}
	r.known[arn] = keptSecret{strings.TrimSpace(aws.ToString(out.SecretString)), r.Now()}
	return r.known[arn].text, false, nil
}

func (r *Receiver) limits() *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unverified == nil {
		r.unverified = rate.NewLimiter(unverifiedRate, unverifiedBurst)
	}
	return r.unverified
}

func (r *Receiver) limitOf(name string) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.verified == nil {
		r.verified = map[string]*rate.Limiter{}
	}
	if r.verified[name] == nil {
		r.verified[name] = rate.NewLimiter(verifiedRate, verifiedBurst)
	}
	return r.verified[name]
}
