// Package replay runs recorded arrivals through the decisions of package
// scheduler in virtual time, and counts the hours that they would have cost.
package replay

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"drawbridge/scheduler"
)

// DefaultDuration is how long a job whose duration the trace does not give runs.
const DefaultDuration = 300 * time.Second

// header is the first line of every trace.
const header = "arrival_epoch_s,duration_s"

// Arrival is one row of a trace.
type Arrival struct {
	At       time.Time
	Duration time.Duration
	// Job is the job's name, MaxDelay its own delay budget; traces in files have
	// neither.
	Job      scheduler.JobName
	MaxDelay time.Duration
}

// Trace is a list of arrivals in order of time.
type Trace struct {
	Name     string
	Arrivals []Arrival
}

// TraceError reports an invalid line of a trace.
type TraceError struct {
	Trace  string
	Line   int
	What   string
	Remedy string
}

func (e *TraceError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("trace %s: %s", e.Trace, e.What)
	}
	return fmt.Sprintf("trace %s, line %d: %s", e.Trace, e.Line, e.What)
}

// Hint returns the remedy.
func (e *TraceError) Hint() string { return e.Remedy }

// ReadFile reads the trace in a CSV file and names it after the file.
func ReadFile(path string) (Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return Trace{}, fmt.Errorf("read trace: %w", err)
	}
	defer f.Close()
	return Read(strings.TrimSuffix(filepath.Base(path), ".csv"), f)
}

// Read reads a trace: the header arrival_epoch_s,duration_s, then one arrival a
// line, sorted; both in seconds, an empty duration counts as DefaultDuration.
// Errors are of type *TraceError.
func Read(name string, r io.Reader) (Trace, error) {
	t := Trace{Name: name}
	lines := bufio.NewScanner(r)
	line := 0
	for lines.Scan() {
		line++
		text := strings.TrimSpace(lines.Text())
		if line == 1 {
			if text != header {
				return Trace{}, &TraceError{
					name, line, fmt.Sprintf("invalid header %.60q", text), "start the file with the line " + header,
				}
			}
			continue
		}
		if text == "" {
			continue
		}
		a, err := parseRow(text)
		if err != nil {
			return Trace{}, &TraceError{
				name, line, err.Error(), "write seconds, as in 1700000000,300; an empty duration counts as 300",
			}
		}
		if n := len(t.Arrivals); n > 0 && a.At.Before(t.Arrivals[n-1].At) {
			return Trace{}, &TraceError{
				name, line, "the row is earlier than the one before it", "sort the rows by their first column",
			}
		}
		t.Arrivals = append(t.Arrivals, a)
	}
	if err := lines.Err(); err != nil {
		return Trace{}, &TraceError{name, line + 1, err.Error(), ""}
	}
	if len(t.Arrivals) == 0 {
		return Trace{}, &TraceError{name, 0, "no rows", "add at least one arrival below the header"}
	}
	return t, nil
}

func parseRow(text string) (Arrival, error) {
	first, second, ok := strings.Cut(text, ",")
	if !ok || strings.Contains(second, ",") {
		return Arrival{}, fmt.Errorf("invalid row %.60q (want two columns)", text)
	}
	at, err := seconds(first)
	if err != nil {
		return Arrival{}, fmt.Errorf("invalid arrival %.40q (want seconds since 1970)", first)
	}
	a := Arrival{At: time.Unix(0, 0).UTC().Add(at), Duration: DefaultDuration}
	if second == "" {
		return a, nil
	}
	if a.Duration, err = seconds(second); err != nil || a.Duration < 0 {
		return Arrival{}, fmt.Errorf("invalid duration %.40q (want seconds)", second)
	}
	return a, nil
}

// maxSeconds is a little below what a time.Duration holds.
const maxSeconds = 9e9

func seconds(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return 0, err
	}
	if !(f >= -maxSeconds && f <= maxSeconds) {
		return 0, fmt.Errorf("%s is out of range", s)
	}
	whole := float64(int64(f))
	return time.Duration(int64(f))*time.Second + time.Duration((f-whole)*1e9), nil
}

// Epoch returns t in seconds from 1970.
func Epoch(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
