package operate

import (
	"strings"
	"testing"
	"time"

	"drawbridge/scheduler"
)

func TestEmptyLogIsExplained(t *testing.T) {
	l := &Log{group: "/jobs/etl", stream: "etl/etl/1"}
	code := 0
	run := func(change func(*scheduler.Run)) scheduler.Run {
		r := scheduler.Run{ID: "etl/1"}
		r.State, r.TaskARN, r.StartedAt = scheduler.Running, "arn", time.Unix(1, 0)
		change(&r)
		return r
	}
	for want, r := range map[string]scheduler.Run{
		"Run etl/1 has no task yet: waits for its set.": run(func(r *scheduler.Run) {
			r.TaskARN, r.Reason = "", "waits for its set."
		}),
		"nothing yet, to stream etl/etl/1 of group /jobs/etl; --follow": run(func(*scheduler.Run) {}),
		"did not end by itself (cancelled by me)": run(func(r *scheduler.Run) {
			r.State, r.Reason = scheduler.Finished, "cancelled by me"
		}),
		"its program wrote nothing to standard output": run(func(r *scheduler.Run) {
			r.State, r.ExitCode = scheduler.Finished, &code
		}),
	} {
		if got := l.Empty(r); !strings.Contains(got, want) {
			t.Errorf("Empty = %q, want %q", got, want)
		}
	}
}
