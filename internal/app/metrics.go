package app

import (
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"drawbridge/cfn"
	"drawbridge/internal/clock"
	"drawbridge/internal/config"
	"drawbridge/internal/emf"
	"drawbridge/scheduler"
)

// Metrics writes the metrics of an installation.
type Metrics struct {
	mu     sync.Mutex
	out    io.Writer
	clock  clock.Clock
	config *config.Installation
}

// metric returns a metric with its value.
func metric(name, unit string, value float64) emf.Metric {
	return emf.Metric{Name: name, Unit: unit, Value: value}
}

// write writes one line with metrics of the installation.
func (m *Metrics) write(set scheduler.SetName, metrics ...emf.Metric) {
	m.emit(set, [][]string{{"Installation"}}, metrics...)
}

// emit writes one line with metrics that have each of the lists of dimensions.
func (m *Metrics) emit(set scheduler.SetName, dimensions [][]string, metrics ...emf.Metric) {
	m.emitWith(set, nil, dimensions, metrics...)
}

// emitWith writes one line with the values of further dimensions.
func (m *Metrics) emitWith(set scheduler.SetName, values map[string]string, dimensions [][]string,
	metrics ...emf.Metric) {
	switch m.config.Monitoring {
	case config.MonitorNothing:
		return
	case config.MonitorAlarms:
		for i := range metrics {
			metrics[i].Logged = len(dimensions[0]) > 1 || !slices.Contains(cfn.AlarmMetrics, metrics[i].Name)
		}
		dimensions = dimensions[:1]
	}
	members := map[string]string{"Installation": m.config.Name, "Set": string(set)}
	maps.Copy(members, values)
	m.mu.Lock()
	defer m.mu.Unlock()
	// a metric that cannot be written must not fail the run
	_ = emf.Write(m.out, m.clock.Now(), cfn.Namespace, dimensions, members, metrics...)
}

// Entered counts that a set has entered another phase.
func (m *Metrics) Entered(before, after scheduler.Set, d scheduler.Decision) {
	switch after.Phase {
	case scheduler.Creating:
		m.write(after.Name, metric("SetsCreated", "Count", 1))
	case scheduler.Available:
		if d.Action == scheduler.Open {
			m.write(after.Name, metric("RaiseTime", "Seconds", m.clock.Now().Sub(before.Since).Seconds()))
		}
	case scheduler.Absent:
		if before.Phase == scheduler.Deleting {
			m.write(after.Name, metric("SetsDeleted", "Count", 1),
				metric("LowerTime", "Seconds", m.clock.Now().Sub(before.Since).Seconds()))
		}
	case scheduler.Failed:
		m.write(after.Name, metric(cfn.MetricSetsFailed, "Count", 1))
	}
}

// Paid counts endpoint-hours that have begun.
func (m *Metrics) Paid(set scheduler.SetName, endpointHours int) {
	m.write(set, metric(cfn.MetricPaidHours, "Count", float64(endpointHours)))
}

// Swept tells how a set stands when the sweep has looked at it, and what always
// having it up would have cost since the sweep before.
func (m *Metrics) Swept(set scheduler.Set, s scheduler.Settings, every time.Duration) {
	old, over := 0.0, 0.0
	if set.OverBudget(s, m.clock.Now()) {
		over = 1
	}
	if set.Phase != scheduler.Absent && s.MaxLifetime > 0 && m.clock.Now().After(set.BilledFrom.Add(s.MaxLifetime)) {
		old = 1
	}
	m.write(set.Name, metric(cfn.MetricSweeps, "Count", 1), metric(cfn.MetricSetOverAge, "Count", old),
		metric(cfn.MetricOverBudget, "Count", over),
		metric(cfn.MetricAlwaysOnHours, "Count", every.Hours()*float64(s.HoursPerHour)))
	m.emit(set.Name, [][]string{{"Installation", "Set"}}, metric(cfn.MetricSetPhase, "None", phases[set.Phase]))
}

// Strangers tells how many endpoints carry our owner tag and are not ours.
func (m *Metrics) Strangers(n int) {
	m.write("", metric(cfn.MetricStrangers, "Count", float64(n)))
}

// Hanging tells how many deployments cannot go on.
func (m *Metrics) Hanging(n int) {
	m.write("", metric(cfn.MetricHanging, "Count", float64(n)))
}

// phases are a set's phases as numbers, for the dashboard, which names them.
var phases = map[scheduler.Phase]float64{
	scheduler.Absent: 0, scheduler.Creating: 1, scheduler.Available: 2, scheduler.Draining: 3, scheduler.Deleting: 3,
	scheduler.Failed: 4,
}

// LookFailed counts a look at a set that ended in an error.
func (m *Metrics) LookFailed(set scheduler.SetName) {
	m.write(set, metric("LooksFailed", "Count", 1))
}

// Explained counts a task that did not start, or lost something, by its cause.
func (m *Metrics) Explained(run scheduler.Run) {
	m.emitWith(run.Set, map[string]string{"Cause": run.Cause}, [][]string{{"Installation"}, {"Installation", "Cause"}},
		metric(cfn.MetricTasksInTrouble, "Count", 1))
}

// Ended counts a run that has ended.
func (m *Metrics) Ended(run scheduler.Run) {
	failed := 1.0
	if run.Outcome == scheduler.Succeeded {
		failed = 0
	}
	metrics := []emf.Metric{metric(cfn.MetricRunsEnded, "Count", 1), metric(cfn.MetricRunsFailed, "Count", failed)}
	if !run.StartedAt.IsZero() {
		took := run.FinishedAt.Sub(run.StartedAt)
		metrics = append(metrics,
			metric(cfn.MetricRunWait, "Seconds", run.StartedAt.Sub(run.ReceivedAt).Seconds()),
			metric("RunTime", "Seconds", took.Seconds()),
			metric(cfn.MetricUsedHours, "Count", took.Hours()*float64(m.config.Settings()[run.Set].HoursPerHour)))
	}
	m.write(run.Set, metrics...)
}
