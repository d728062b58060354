package cfn

import (
	"encoding/json"
	"fmt"
	"maps"
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

// AlarmMetrics are those that alarms look at: all that there are unless every figure is to be a
// metric. CloudWatch gives every account ten metrics and ten alarms free.
//
// Source: https://aws.amazon.com/cloudwatch/pricing
var AlarmMetrics = []string{
	MetricRunsFailed, MetricSetsFailed, MetricStrangers, MetricSweeps, MetricSetOverAge, MetricOverBudget,
	MetricPaidHours, MetricHanging,
}

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

// unmonitored takes the alarms and the dashboard out of resources.
func unmonitored(r Object) {
	maps.DeleteFunc(r, func(_ string, resource any) bool {
		o, ok := resource.(Object)
		return ok && (o["Type"] == "AWS::CloudWatch::Alarm" || o["Type"] == "AWS::CloudWatch::Dashboard")
	})
}

// widgets lays out the widgets of a dashboard, two in a row.
type widgets struct {
	list []any
	y    int
}

func (w *widgets) add(kind string, properties Object) {
	w.list = append(w.list, Object{
		"type": kind, "x": 12 * (len(w.list) % 2), "y": w.y, "width": 12, "height": 6, "properties": properties,
	})
	if len(w.list)%2 == 0 {
		w.y += 6
	}
}

// body is the dashboard's body as JSON.
func (w *widgets) body() string {
	text, err := json.Marshal(Object{"widgets": w.list})
	if err != nil {
		return "" // texts and numbers always encode
	}
	return string(text)
}

// dashboard returns the body of the dashboard as JSON, drawn from the metrics or the logs.
func (b Base) dashboard() string {
	if b.AllMetrics {
		return b.dashboardOfMetrics()
	}
	return b.dashboardOfLogs()
}

// dashboardOfLogs draws the figures from the lines that the functions log, by queries of
// CloudWatch Logs Insights.
//
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
func (b Base) dashboardOfLogs() string {
	var w widgets
	add := func(title, view, figure, query string, figures ...any) {
		w.add("log", Object{
			"title": title, "region": b.Region, "view": view, "stacked": false,
			"query": fmt.Sprintf("SOURCE '/aws/lambda/%s' | SOURCE '/aws/lambda/%s' | filter ispresent(%s) | ",
				b.names.Launcher, b.names.Reaper, figure) + fmt.Sprintf(query, figures...),
		})
	}
	add("Endpoint-hours paid a day", "bar", MetricPaidHours, "stats sum(%s) as paid by bin(1d)", MetricPaidHours)
	add("Endpoint-hours used by tasks a day", "bar", MetricUsedHours, "stats sum(%s) as used by bin(1d)",
		MetricUsedHours)
	add("Runs", "timeSeries", MetricRunsEnded, "stats sum(%s) as ended, sum(%s) as failed by bin(1h)",
		MetricRunsEnded, MetricRunsFailed)
	add("Wait for the task, seconds", "timeSeries", MetricRunWait,
		"stats pct(%[1]s, 50) as median, pct(%[1]s, 90) as p90, max(%[1]s) as longest by bin(1h)", MetricRunWait)
	add("Tasks that did not start or lost something, by cause", "table", MetricTasksInTrouble,
		"stats sum(%s) as tasks by Cause | sort tasks desc", MetricTasksInTrouble)
	add("Phase of each set: 0 absent, 1 creating, 2 available, 3 going, 4 failed", "table", MetricSetPhase,
		"stats latest(%s) as phase, latest(@timestamp) as at by Set", MetricSetPhase)
	return w.body()
}

// dashboardOfMetrics draws them from the metrics.
func (b Base) dashboardOfMetrics() string {
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
	var w widgets
	add := func(title string, period int, view string, metrics ...any) {
		w.add("metric", Object{
			"title": title, "region": b.Region, "period": period, "view": view, "stacked": false, "metrics": metrics,
		})
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
	return w.body()
}
