package replay

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"drawbridge/scheduler"
)

// Any text is a trace, which can be replayed, or is refused with its line.
func FuzzTrace(f *testing.F) {
	f.Add([]byte(header + "\n1700000000,300\n1700000900,\n"))
	f.Add([]byte(header + "\n-1,0\n8999999999,8999999999\n"))
	f.Add([]byte(header + "\n1e9,1e-9\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		trace, err := Read("fuzz", bytes.NewReader(text))
		if err != nil {
			if at := (*TraceError)(nil); !errors.As(err, &at) {
				t.Errorf("the error has no place: %v", err)
			}
			return
		}
		first, last := trace.Arrivals[0], trace.Arrivals[len(trace.Arrivals)-1]
		if len(trace.Arrivals) > 50 || last.At.Sub(first.At) > 30*24*time.Hour {
			return // long ones only take long
		}
		for _, a := range trace.Arrivals {
			if a.Duration > 24*time.Hour {
				return
			}
		}
		r, err := Run(trace, Options{Basis: scheduler.Clock, Raise: time.Minute, Lower: 2 * time.Minute})
		if err != nil || len(r.Jobs) != len(trace.Arrivals) {
			t.Errorf("%d of %d arrivals were played, %v", len(r.Jobs), len(trace.Arrivals), err)
		}
	})
}
