package launcher

import (
	"io"
	"testing"

	"go.uber.org/zap"

	"drawbridge/internal/app"
	"drawbridge/internal/clock"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
)

// Any event asks for runs with an id that can be stored, or is refused with a reason.
func FuzzEvent(f *testing.F) {
	file, err := config.Parse("drawbridge.yaml", []byte(`
name: drawbridge
region: us-east-1
sets:
  a: {subnets: [subnet-11111111], services: [logs]}
jobs:
  etl: {set: a, cluster: c, taskDefinition: t, container: main, on: [{source: [aws.s3]}], environment: {KEY: $.detail.key}}
`))
	if err != nil {
		f.Fatal(err)
	}
	c := config.Resolve(file, config.Facts{Region: "us-east-1"})
	l := New(app.New(c, app.Place{Region: "us-east-1"}, app.Clients{}, clock.System{}, zap.NewNop(), io.Discard))
	for _, s := range []string{
		`{"job": "etl", "id": "1", "environment": {"A": "b"}}`, `{"job": "etl", "overrides": {"containerOverrides": []}}`,
		`{"id": "e", "source": "aws.s3", "detail-type": "Object Created", "detail": {"key": "a"}}`, `[]`, `{"detail-type": 1}`, `{"job": "etl", "job": "x"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, event []byte) {
		runs, err := l.runs(event, "fallback")
		if err != nil && err.Error() == "" {
			t.Error("refused without a reason")
		}
		for _, r := range runs {
			if _, err := scheduler.NewRunID(r.Job, string(r.ID)[len(r.Job)+1:]); err != nil || r.Set != "a" {
				t.Errorf("%+v: %v", r, err)
			}
			if len(r.Overrides) > maxOverrides {
				t.Errorf("%d bytes of overrides", len(r.Overrides))
			}
		}
	})
}
