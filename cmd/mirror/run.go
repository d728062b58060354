package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/codecommit"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/goccy/go-yaml"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"drawbridge/cfn"
	"drawbridge/internal/config"
	"drawbridge/internal/mirror"
	"drawbridge/internal/mirror/section"
)

type runCmd struct {
	Repositories []string      `arg:"" optional:"" help:"Names of repositories. Default: those named in the environment, else all."`
	Config       string        `help:"File with the mirror's part of the configuration: parallel and repositories." type:"path" placeholder:"FILE"`
	Settings     string        `help:"The same, as text." env:"DRAWBRIDGE_MIRROR" placeholder:"TEXT" hidden:""`
	State        string        `help:"s3://BUCKET/PREFIX for caches, records and locks." env:"DRAWBRIDGE_MIRROR_STATE" required:"" placeholder:"PLACE"`
	Installation string        `help:"Name of the installation, for metrics." env:"DRAWBRIDGE_NAME" default:"drawbridge"`
	Work         string        `help:"Work folder. Default: the system's temporary folder." env:"DRAWBRIDGE_MIRROR_WORK" placeholder:"FOLDER"`
	DryRun       bool          `help:"Report differences and change nothing."`
	Report       string        `help:"Write the report to this file as well as to standard output." type:"path" placeholder:"FILE"`
	Timeout      time.Duration `help:"Time limit of one fetch or push." default:"3h"`
	Stall        time.Duration `help:"Time limit of a fetch or push without progress." default:"10m"`
	Attempts     int           `help:"Number of attempts after transient failures." default:"5"`
	Pause        time.Duration `help:"Pause before the second attempt; it doubles." default:"2s" hidden:""`
	Lock         time.Duration `help:"How long the lock of a killed run lasts." default:"1m" hidden:""`
}

// These environment variables pass an event to the task.
const (
	repositoriesVariable = "DRAWBRIDGE_MIRROR_REPOSITORIES"
	reportedVariable     = "DRAWBRIDGE_MIRROR_REPORTED"
	eventVariable        = "DRAWBRIDGE_EVENT"
)

// Run mirrors. It prints log, metrics and, as the last line, the report, all of it
// JSON.
func (c *runCmd) Run(ctx context.Context, s streams) error {
	// Most of the task's memory is for git. This is a soft limit: the collector works
	// harder near it.
	debug.SetMemoryLimit(26 << 20)
	settings, err := c.settings()
	if err != nil {
		return err
	}
	names, reported, err := c.names(settings)
	if err != nil {
		return err
	}
	r, err := c.runner(ctx, s, settings)
	if err != nil {
		return err
	}
	if at, err := time.Parse(time.RFC3339, os.Getenv(reportedVariable)); err == nil && reported {
		r.Reported = map[string]time.Time{}
		for _, n := range names {
			r.Reported[n] = at
		}
	}
	reports := r.Run(ctx, names)
	return c.report(s, reports)
}

func (c *runCmd) settings() (*section.Mirror, error) {
	text, from := []byte(c.Settings), "DRAWBRIDGE_MIRROR"
	if c.Config != "" {
		var err error
		if text, err = os.ReadFile(c.Config); err != nil {
			return nil, &exitError{exitUsage, err.Error()}
		}
		from = c.Config
	}
	if len(text) == 0 {
		return nil, &exitError{exitUsage, "no configuration: pass a file with --config"}
	}
	m := &section.Mirror{}
	if err := yaml.UnmarshalWithOptions(text, m, yaml.Strict(), yaml.UseJSONUnmarshaler()); err != nil {
		return nil, &exitError{exitUsage, fmt.Sprintf("read %s: %s", from, yaml.FormatError(err, false, false))}
	}
	m.Fill()
	if problems := m.CheckRepositories(); len(problems) > 0 {
		e := &config.Error{Path: from, Problems: problems}
		return nil, &exitError{exitUsage, e.Error() + "\nhint: " + e.Hint()}
	}
	return m, nil
}

// names returns the repositories to mirror, and whether a report of a change asked
// for them.
func (c *runCmd) names(m *section.Mirror) (names []string, reported bool, err error) {
	names = c.Repositories
	if given := os.Getenv(repositoriesVariable); len(names) == 0 && given != "" {
		names, reported = strings.Split(given, ","), true
	}
	if event := os.Getenv(eventVariable); len(names) == 0 && event != "" {
		names = bundlesOf(m, event)
	}
	if len(names) == 0 {
		return slices.Sorted(maps.Keys(m.Repositories)), false, nil
	}
	for _, n := range names {
		if m.Repositories[n] == nil {
			return nil, false, &exitError{
				exitUsage, fmt.Sprintf("unknown repository %q (want one of %s)", n,
					strings.Join(slices.Sorted(maps.Keys(m.Repositories)), ", ")),
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), reported, nil
}

// bundlesOf returns the repositories whose bundle was just uploaded to S3.
func bundlesOf(m *section.Mirror, event string) []string {
	var e struct {
		Detail struct {
			Bucket struct{ Name string }
			Object struct{ Key string }
		}
	}
	if json.Unmarshal([]byte(event), &e) != nil || e.Detail.Bucket.Name == "" {
		return nil
	}
	var out []string
	for name, r := range m.Repositories {
		if bucket, key, ok := section.S3Place(r.Source.Bundle); ok && bucket == e.Detail.Bucket.Name &&
			key == e.Detail.Object.Key {
			out = append(out, name)
		}
	}
	return out
}

func (c *runCmd) runner(ctx context.Context, s streams, m *section.Mirror) (*mirror.Runner, error) {
	conf, err := loadAWS(ctx)
	if err != nil {
		return nil, err
	}
	if conf.Region == "" {
		return nil, &exitError{exitUsage, "no Region; set AWS_REGION"}
	}
	bucket, prefix, ok := section.S3Place(c.State)
	if !ok {
		return nil, &exitError{exitUsage, fmt.Sprintf("invalid --state %s (want s3://BUCKET/PREFIX)", c.State)}
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	objects := s3.NewFromConfig(conf, func(o *s3.Options) {
		o.UsePathStyle, o.DisableLogOutputChecksumValidationSkipped = codeCommitEndpoint() != "", true
	})
	limits := mirror.DefaultLimits
	limits.Transfer = c.Timeout
	limits.Stall = c.Stall
	limits.Attempts = max(1, c.Attempts)
	limits.Pause = c.Pause
	limits.Lock = c.Lock
	return &mirror.Runner{
		Config: m, Region: conf.Region, Endpoint: codeCommitEndpoint(),
		State: mirror.NewBucket(objects, bucket, prefix+"/"), S3: objects,
		Secrets: secretsmanager.NewFromConfig(conf), CodeCommit: codecommit.NewFromConfig(conf), Program: program,
		Work: c.Work, Owner: owner(ctx),
		Limits: limits, DryRun: c.DryRun, Log: newLog(s), Now: time.Now,
	}, nil
}

// owner identifies this run, by its task if it runs in one.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html
func owner(ctx context.Context) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	name := fmt.Sprintf("%s/%d", host, os.Getpid())
	address := os.Getenv("ECS_CONTAINER_METADATA_URI_V4")
	if address == "" {
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/task", nil)
	if err != nil {
		return name
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return name // a name only for people
	}
	defer res.Body.Close()
	var task struct{ TaskARN string }
	if json.NewDecoder(res.Body).Decode(&task) != nil {
		return name
	}
	return cmp.Or(task.TaskARN, name)
}

func newLog(s streams) *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(zapcore.AddSync(s.out)),
		zap.InfoLevel))
}

func (c *runCmd) report(s streams, reports []mirror.Report) error {
	differs, failed := 0, 0
	for _, r := range reports {
		if !c.DryRun {
			if err := r.WriteMetrics(s.out, cfn.Namespace, c.Installation, time.Now()); err != nil {
				return fmt.Errorf("write metrics: %w", err)
			}
		}
		switch {
		case r.Status == mirror.Differs:
			differs++
		case !r.InSync():
			failed++
		}
	}
	body, err := json.Marshal(map[string]any{"mirrored": reports})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s\n", body)
	if c.Report != "" {
		if err := os.WriteFile(c.Report, append(body, '\n'), 0o600); err != nil {
			return err
		}
	}
	var problems []error
	if failed > 0 {
		problems = append(problems, &exitError{
			exitFailed, fmt.Sprintf("repositories not mirrored: %d of %d; the report says why", failed,
				len(reports)),
		})
	} else if differs > 0 {
		problems = append(problems, &exitError{
			exitDiffers, fmt.Sprintf("repositories that differ: %d of %d", differs, len(reports)),
		})
	}
	return errors.Join(problems...)
}
