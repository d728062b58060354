// Package emf writes metrics as lines of CloudWatch's embedded metric format, which
// CloudWatch Logs turns into metrics without a call.
//
// Source:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
package emf

import (
	"encoding/json"
	"io"
	"slices"
	"time"
)

// Metric is one metric with its value.
type Metric struct {
	Name  string
	Unit  string
	Value float64 `json:"-"`
	// Logged says that it is a value of the line, and no metric.
	Logged bool `json:"-"`
}

// Write writes one line: metrics with each of the lists of dimensions, whose values
// are among the members.
func Write(w io.Writer, now time.Time, namespace string, dimensions [][]string, members map[string]string,
	metrics ...Metric) error {
	line := map[string]any{}
	declared := slices.DeleteFunc(slices.Clone(metrics), func(m Metric) bool { return m.Logged })
	if len(declared) > 0 {
		line["_aws"] = map[string]any{
			"Timestamp": now.UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": namespace, "Dimensions": dimensions, "Metrics": declared,
			}},
		}
	}
	for k, v := range members {
		line[k] = v
	}
	for _, m := range metrics {
		line[m.Name] = m.Value
	}
	b, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
