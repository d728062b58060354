package cfn

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Namespace is the CloudWatch namespace of every metric. Each has the dimension
// Installation; SetPhase has Installation and Set, TasksInTrouble Installation and
// Cause in addition.
const Namespace = "Drawbridge"

// The metrics that alarms and the dashboard show.
const (
	MetricRunsEnded      = "RunsEnded"
	MetricRunsFailed     = "RunsFailed"
	MetricRunWait        = "RunWait"
	MetricTasksInTrouble = "TasksInTrouble"
	MetricSetsFailed     = "SetsFailed"
	MetricSetOverAge     = "SetOverAge"
	MetricOverBudget     = "SetOverBudget"
	MetricSetPhase       = "SetPhase"
	MetricSweeps         = "Sweeps"
	MetricStrangers      = "EndpointsOfNoStack"
	MetricHanging        = "DeploymentsHanging"
	MetricPaidHours      = "PaidEndpointHours"
	MetricUsedHours      = "UsedEndpointHours"
	MetricAlwaysOnHours  = "AlwaysOnEndpointHours"
)

// Alarm is an alarm of the base stack: it sounds when Statistic over a Period, in seconds,
// is above Above in Periods of them. Missing says what a period without data counts as.
type Alarm struct {
	// ID in Pascal case gives its name.
	ID, Metric, Description string
	Statistic               string
	Period, Periods         int
	Above                   int
	Missing                 string
}

func (b Base) addAlarms(r Object) {
	alarms := []Alarm{
		{"FailedRuns", MetricRunsFailed, "a run failed; drawbridge runs shows why", "Sum", 300, 1, 0, "notBreaching"},
		{
			"FailedSets", MetricSetsFailed, "endpoints did not come up; drawbridge why SET shows the reason", "Sum",
			300, 1, 0, "notBreaching",
		},
		{
			"EndpointsOfNoStack", MetricStrangers,
			"an endpoint carries the owner tag and no stack of a configured set holds it: it is billed and left " +
				"alone; drawbridge doctor names it", "Maximum", 900, 1, 0, "notBreaching",
		},
		{
			"SilentSweep", MetricSweeps, "the sweep has not come by for 15 minutes: the reaper does not run", "Sum",
			900, 1, 0, "breaching",
		},
	}
	if slices.ContainsFunc(b.Sets, func(s BaseSet) bool { return s.HasMaximum }) {
		alarms = append(alarms, Alarm{
			"OldSets", MetricSetOverAge,
			"a set is up longer than its maxLifetime; drawbridge why SET shows what holds it", "Maximum", 300, 1, 0,
			"notBreaching",
		})
	}
	if slices.ContainsFunc(b.Sets, func(s BaseSet) bool { return s.HasBudget }) {
		alarms = append(alarms, Alarm{
			"OverBudget", MetricOverBudget, "a set has spent its hoursPerDay; runs wait or fail, as overBudget says",
			"Maximum", 300, 1, 0, "notBreaching",
		})
	}
	if b.PaidHoursPerDay > 0 {
		alarms = append(alarms, Alarm{
			"PaidHours", MetricPaidHours,
			fmt.Sprintf("more than %d endpoint-hours were paid in a day", b.PaidHoursPerDay), "Sum", 86400, 1,
			b.PaidHoursPerDay, "notBreaching",
		})
	}
	for _, a := range alarms {
		p := b.Alarm(a)
		p["Namespace"] = Namespace
		p["MetricName"] = a.Metric
		p["Dimensions"] = []any{Object{"Name": "Installation", "Value": b.Name}}
		if a.ID == "SilentSweep" {
			p["ComparisonOperator"], p["Threshold"] = "LessThanThreshold", 1
		}
		r[a.ID+"Alarm"] = Resource("AWS::CloudWatch::Alarm", p)
	}
	dead := b.Alarm(Alarm{
		ID: "DeadLetters", Description: "an event could not be done; drawbridge replay shows it with its reason",
		Statistic: "Maximum", Period: 300, Periods: 1, Missing: "notBreaching",
	})
	dead["Namespace"] = "AWS/SQS"
	dead["MetricName"] = "ApproximateNumberOfMessagesVisible"
	dead["Dimensions"] = []any{Object{"Name": "QueueName", "Value": Att("DeadLetters", "QueueName")}}
	r["DeadLettersAlarm"] = Resource("AWS::CloudWatch::Alarm", dead)
	r["Dashboard"] = Resource("AWS::CloudWatch::Dashboard", Object{
		"DashboardName": b.names.Dashboard, "DashboardBody": Sub(b.dashboard()),
	})
}

// Alarm returns the properties of an alarm, but for its metric.
func (b Base) Alarm(a Alarm) Object {
	return Object{
		"AlarmName": b.Name + "-" + kebab(a.ID), "AlarmDescription": "Drawbridge " + b.Name + ": " + a.Description,
		"Statistic": a.Statistic, "Period": a.Period, "EvaluationPeriods": a.Periods, "Threshold": a.Above,
		"ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": a.Missing,
		"AlarmActions": []any{optional("HasAlarmTopic", ParameterAlarmTopic)},
		"OKActions":    []any{optional("HasAlarmTopic", ParameterAlarmTopic)},
	}
}

// kebab turns FailedRuns into failed-runs.
func kebab(s string) string {
	var out []rune
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				out = append(out, '-')
			}
			r += 'a' - 'A'
		}
		out = append(out, r)
	}
	return string(out)
}

// dashboard returns the body of the dashboard as JSON.
func (b Base) dashboard() string {
	metric := func(name, stat, label string, set string) []any {
		m := []any{Namespace, name, "Installation", b.Name}
		if set != "" {
			m = append(m, "Set", set)
		}
		return append(m, Object{"stat": stat, "label": label})
	}
	hidden := func(name, id string) []any {
		return []any{Namespace, name, "Installation", b.Name, Object{"stat": "Sum", "id": id, "visible": false}}
	}
	y := 0
	var widgets []any
	add := func(title string, period int, view string, metrics ...any) {
		widgets = append(widgets,
			Object{"type": "metric", "x": 12 * (len(widgets) % 2), "y": y, "width": 12, "height": 6,
				"properties": Object{
					"title": title, "region": b.Region, "period": period, "view": view, "stacked": false,
					"metrics": metrics,
				}})
		if len(widgets)%2 == 0 {
			y += 6
		}
	}
	add("Endpoint-hours a day", 86400, "timeSeries", metric(MetricPaidHours, "Sum", "paid", ""),
		metric(MetricUsedHours, "Sum", "used by tasks", ""),
		hidden(MetricAlwaysOnHours, "always"), hidden(MetricPaidHours, "paid"),
		[]any{Object{"expression": "always - FILL(paid, 0)", "label": "avoided", "id": "avoided"}})
	add("Runs", 3600, "timeSeries", metric(MetricRunsEnded, "Sum", "ended", ""),
		metric(MetricRunsFailed, "Sum", "failed", ""))
	add("Tasks that did not start or lost something, by cause", 3600, "timeSeries", []any{Object{
		"expression": fmt.Sprintf(`SEARCH('{%s,Installation,Cause} MetricName="%s" Installation="%s"', 'Sum', 3600)`,
			Namespace, MetricTasksInTrouble, b.Name), "id": "causes"}})
	add("Wait for the task, seconds", 3600, "timeSeries", metric(MetricRunWait, "p50", "median", ""),
		metric(MetricRunWait, "p90", "p90", ""), metric(MetricRunWait, "Maximum", "longest", ""))
	var up []any
	for _, s := range b.Sets {
		up = append(up, metric(MetricSetPhase, "Maximum", s.Name, s.Name))
	}
	add("Phase of each set: 0 absent, 1 creating, 2 available, 3 going, 4 failed", 300, "timeSeries", up...)
	text, err := json.Marshal(Object{"widgets": widgets})
	if err != nil {
		return "" // texts and numbers always encode
	}
	return string(text)
}
