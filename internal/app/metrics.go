package app

import (
	"encoding/json"
	"io"
	"sync"

	"drawbridge/internal/clock"
	"drawbridge/scheduler"
)

// Namespace is the CloudWatch namespace of every metric.
const Namespace = "Drawbridge"

// Metrics writes metrics as lines in CloudWatch's embedded metric format, which
// CloudWatch Logs turns into metrics without a call.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type Metrics struct {
	mu    sync.Mutex
	out   io.Writer
	clock clock.Clock
}

// NewMetrics returns metrics written to out, a Lambda's standard output.
func NewMetrics(out io.Writer, c clock.Clock) *Metrics { return &Metrics{out: out, clock: c} }

type metric struct {
	Name  string
	Unit  string
	value float64
}

// write writes one line with the metrics of a set.
func (m *Metrics) write(set scheduler.SetName, metrics ...metric) {
	line := map[string]any{
		"_aws": map[string]any{
			"Timestamp":         m.clock.Now().UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{"Namespace": Namespace, "Dimensions": [][]string{{"Set"}}, "Metrics": metrics}},
		},
		"Set": string(set),
	}
	for _, x := range metrics {
		line[x.Name] = x.value
	}
	b, err := json.Marshal(line)
	if err != nil {
		return // numbers and texts always encode
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.out.Write(append(b, '\n')) // a metric that cannot be written must not fail the run
}

// Decided counts what a decision changes.
func (m *Metrics) Decided(set scheduler.Set, d scheduler.Decision) {
	switch {
	case d.Action == scheduler.Create && set.Phase != scheduler.Creating:
		m.write(set.Name, metric{"SetsCreated", "Count", 1})
	case d.Action == scheduler.Open:
		m.write(set.Name, metric{"RaiseTime", "Seconds", m.clock.Now().Sub(set.Since).Seconds()})
	case d.Action == scheduler.Forget && set.Phase == scheduler.Deleting:
		m.write(set.Name, metric{"SetsDeleted", "Count", 1}, metric{"LowerTime", "Seconds", m.clock.Now().Sub(set.Since).Seconds()})
	case d.Action == scheduler.Fail:
		m.write(set.Name, metric{"SetsFailed", "Count", 1})
	}
}

// LookFailed counts a look at a set that ended in an error.
func (m *Metrics) LookFailed(set scheduler.SetName) {
	m.write(set, metric{"LooksFailed", "Count", 1})
}

// Ended counts a run that has ended.
func (m *Metrics) Ended(run scheduler.Run) {
	failed := 1.0
	if run.Outcome == scheduler.Succeeded {
		failed = 0
	}
	metrics := []metric{{"RunsEnded", "Count", 1}, {"RunsFailed", "Count", failed}}
	if !run.StartedAt.IsZero() {
		metrics = append(metrics,
			metric{"RunWait", "Seconds", run.StartedAt.Sub(run.ReceivedAt).Seconds()},
			metric{"RunTime", "Seconds", run.FinishedAt.Sub(run.StartedAt).Seconds()})
	}
	m.write(run.Set, metrics...)
}
