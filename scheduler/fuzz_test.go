package scheduler

import "testing"

// A task's group names the run that it was made for, and nothing else names one.
func FuzzTaskGroup(f *testing.F) {
	f.Add("etl", "1", 1, "drawbridge:1:etl/1")
	f.Add("a", "b/c:d", 3, "drawbridge:0:x")
	f.Fuzz(func(t *testing.T, job, event string, attempt int, group string) {
		if id, err := NewRunID(JobName(job), event); err == nil && attempt >= 1 && attempt <= MaxAttempts {
			run := Run{ID: id, Progress: Progress{Attempt: attempt}}
			got, n, ok := ParseTaskGroup(run.TaskGroup())
			if !ok || got != id || n != attempt {
				t.Errorf("%q names %q in attempt %d, %t; want %q in attempt %d", run.TaskGroup(), got, n, ok, id, attempt)
			}
		}
		if id, n, ok := ParseTaskGroup(group); ok {
			if again := (Run{ID: id, Progress: Progress{Attempt: n}}).TaskGroup(); again != group {
				t.Errorf("%q reads as %q", group, again)
			}
		}
	})
}
