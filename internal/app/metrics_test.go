package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"drawbridge/cfn"
	"drawbridge/internal/clock"
	"drawbridge/internal/config"
	"drawbridge/scheduler"
)

// written has every figure written, and returns the metrics that CloudWatch makes of it, each by
// its dimensions, and the values that stand in the lines.
func written(t *testing.T, level config.Monitoring) (metrics, values map[string]bool) {
	t.Helper()
	var out bytes.Buffer
	m := &Metrics{out: &out, clock: clock.System{}, config: &config.Installation{Name: "drawbridge", MonitoringSection: config.MonitoringSection{Monitoring: level}}}
	now := time.Now()
	m.Entered(scheduler.Set{}, scheduler.Set{Name: "main", Phase: scheduler.Creating}, scheduler.Decision{})
	m.Entered(scheduler.Set{}, scheduler.Set{Name: "main", Phase: scheduler.Available}, scheduler.Decision{Action: scheduler.Open})
	m.Entered(scheduler.Set{Phase: scheduler.Deleting}, scheduler.Set{Name: "main", Phase: scheduler.Absent}, scheduler.Decision{})
	m.Entered(scheduler.Set{}, scheduler.Set{Name: "main", Phase: scheduler.Failed}, scheduler.Decision{})
	m.Paid("main", 5)
	m.Swept(scheduler.Set{Name: "main"}, scheduler.Settings{}, 5*time.Minute)
	m.Strangers(0)
	m.Hanging(0)
	m.LookFailed("main")
	m.Explained(scheduler.Run{Set: "main", End: scheduler.End{Cause: "image"}})
	m.Ended(scheduler.Run{Set: "main", Request: scheduler.Request{ReceivedAt: now}, Progress: scheduler.Progress{StartedAt: now}, End: scheduler.End{FinishedAt: now}})
	metrics, values = map[string]bool{}, map[string]bool{}
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		var line map[string]json.RawMessage
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		var aws struct {
			CloudWatchMetrics []struct {
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		}
		if line["_aws"] != nil {
			if err := json.Unmarshal(line["_aws"], &aws); err != nil {
				t.Fatal(err)
			}
		}
		for _, group := range aws.CloudWatchMetrics {
			for _, d := range group.Dimensions {
				for _, x := range group.Metrics {
					metrics[fmt.Sprint(x.Name, d)] = true
				}
			}
		}
		delete(line, "_aws")
		for name := range line {
			values[name] = true
		}
	}
	return metrics, values
}

func TestMonitoringStaysWithinWhatIsFree(t *testing.T) {
	if metrics, values := written(t, config.MonitorNothing); len(metrics)+len(values) > 0 {
		t.Errorf("monitoring none writes %v, %v", metrics, values)
	}
	metrics, values := written(t, config.MonitorAlarms)
	if len(metrics) > 10 || len(metrics) != len(cfn.AlarmMetrics) {
		t.Errorf("monitoring alarms makes the metrics %v, want one for each of %v, ten at most", metrics, cfn.AlarmMetrics)
	}
	for _, name := range cfn.AlarmMetrics {
		if !metrics[name+"[Installation]"] {
			t.Errorf("no metric %s, which an alarm looks at", name)
		}
	}
	all, allValues := written(t, config.MonitorFully)
	for name := range allValues { // which the dashboard of logs draws
		if !values[name] {
			t.Errorf("monitoring alarms does not log %s", name)
		}
	}
	for _, name := range []string{"RunsEnded[Installation]", "RunWait[Installation]", "SetPhase[Installation Set]", "TasksInTrouble[Installation Cause]"} {
		if !all[name] || metrics[name] {
			t.Errorf("metric %s: with full %v, with alarms %v; want it with full alone", name, all[name], metrics[name])
		}
	}
}
