// Package doctor checks everything that an installation and its jobs need in an
// account. Each finding states the fact, why it matters and the remedy.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/smithy-go"

	"drawbridge/internal/app"
	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
	"drawbridge/internal/install"
)

// Result is the result of a check.
type Result string

// A warning costs money or may surprise but breaks nothing; a failure keeps a
// job from running.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Failed  Result = "failed"
)

// Finding is the outcome of one check.
type Finding struct {
	// Check is the kind of check, Subject its object.
	Check   string `json:"check"`
	Subject string `json:"subject"`
	Result  Result `json:"result"`
	// Found is the fact, Why what depends on it, Remedy what to do; Remedy is
	// empty if the result is ok.
	Found  string `json:"found"`
	Why    string `json:"why"`
	Remedy string `json:"remedy,omitempty"`
}

// Doctor checks one configuration in one account and Region.
type Doctor struct {
	config    *config.Installation
	place     app.Place
	installer *install.Installer
	ec2       *ec2.Client
	ecs       *ecs.Client
	tasks     *ecstasks.Tasks
	ecr       *ecr.Client
	iam       *iam.Client
	logs      *cloudwatchlogs.Client
	quotas    *servicequotas.Client
	secrets   *secretsmanager.Client
	s3        *s3.Client

	findings []Finding
}

// New returns a Doctor. It only reads.
func New(c aws.Config, cfg *config.Installation, i *install.Installer) *Doctor {
	return &Doctor{
		config: cfg, place: i.Place, installer: i, ec2: i.Clients.EC2, ecs: i.Clients.ECS,
		tasks: ecstasks.New(i.Clients.ECS, cfg),
		ecr:   ecr.NewFromConfig(c), iam: iam.NewFromConfig(c), logs: cloudwatchlogs.NewFromConfig(c),
		quotas: servicequotas.NewFromConfig(c), secrets: secretsmanager.NewFromConfig(c), s3: i.S3,
	}
}

// Look makes every check and returns the findings in a fixed order. A check that
// could not be made is also a finding; only the error of ctx is returned.
func (d *Doctor) Look(ctx context.Context) ([]Finding, error) {
	d.findings = nil
	d.installation(ctx)
	d.serviceLinkedRole(ctx)
	for _, name := range slices.Sorted(maps.Keys(d.config.Sets)) {
		d.set(ctx, name)
		d.idle(ctx, name)
	}
	d.strangers(ctx)
	clusters := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.config.Jobs)) {
		if c := d.config.Jobs[name].Cluster; !clusters[c] {
			clusters[c] = true
			d.cluster(ctx, c)
		}
		d.job(ctx, name)
	}
	if d.config.Mirror != nil {
		d.mirror(ctx)
	}
	return d.findings, ctx.Err()
}

// Worst returns the worst result of findings.
func Worst(findings []Finding) Result {
	worst := OK
	for _, f := range findings {
		if f.Result == Failed || f.Result == Warning && worst == OK {
			worst = f.Result
		}
	}
	return worst
}

// said returns AWS's message, without the rest of the error.
func said(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != "" {
		return api.ErrorMessage()
	}
	return err.Error()
}

// topic is one kind of check on one subject.
type topic struct {
	d                   *Doctor
	check, subject, why string
}

func (d *Doctor) topic(check, subject, why string) topic { return topic{d, check, subject, why} }

func (t topic) add(r Result, remedy, format string, args ...any) {
	t.d.findings = append(t.d.findings, Finding{t.check, t.subject, r, fmt.Sprintf(format, args...), t.why, remedy})
}

func (t topic) ok(format string, args ...any) { t.add(OK, "", format, args...) }

func (t topic) fail(remedy, format string, args ...any) { t.add(Failed, remedy, format, args...) }

func (t topic) warn(remedy, format string, args ...any) { t.add(Warning, remedy, format, args...) }

// unread reports a check that could not be made.
func (t topic) unread(err error) {
	remedy := "read the message"
	if strings.Contains(err.Error(), "not authorized") {
		remedy = "request permission for the action that the message names, or run doctor as a role that has it"
	}
	t.warn(remedy, "could not be read: %s", said(err))
}
