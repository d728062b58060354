package view

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"drawbridge/internal/config"
	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// Details are all that is known of a run.
type Details struct {
	Run
	// Cluster, Definition, LogGroup and LogStream are empty where they are not known.
	Cluster    string `json:"cluster,omitempty"`
	Definition string `json:"taskDefinition,omitempty"`
	LogGroup   string `json:"logGroup,omitempty"`
	LogStream  string `json:"logStream,omitempty"`
	StopCode   string `json:"stopCode,omitempty"`
	StopReason string `json:"stopReason,omitempty"`
	// Needs are the services that its task reaches, where that is known.
	Needs []string `json:"needs,omitempty"`
	// Overrides are what the event overrides, as ECS has it.
	Overrides string `json:"overrides,omitempty"`
	// MaxRuntime is 0s for as long as it likes.
	MaxRuntime  string `json:"maxRuntime"`
	CancelledBy string `json:"cancelledBy,omitempty"`
	// USD is what its set's endpoints cost while its task ran; null where that is not known.
	USD *float64 `json:"usd"`
}

// DetailsOf returns what is known of a run.
func DetailsOf(r scheduler.Run, c *config.Installation) Details {
	v := Details{
		Run: OfRun(r), Cluster: r.Cluster, Definition: r.Definition, LogGroup: r.LogGroup, LogStream: r.LogStream,
		StopCode: r.StopCode, StopReason: r.StopReason, Needs: r.Needs, Overrides: string(r.Overrides),
		MaxRuntime: r.MaxRuntime.String(), CancelledBy: r.CancelledBy,
	}
	if usd, ok := c.RunUSD(r); ok {
		v.USD = &usd
	}
	return v
}

// Write writes them for people.
func (v Details) Write(w io.Writer, style output.Style) error {
	state := string(v.State)
	if v.Outcome != "" {
		state = string(v.Outcome)
	}
	fmt.Fprintf(w, "%s: %s\n", v.ID, state)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-16s %s\n", name, value)
		}
	}
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return style.Time(*t)
	}
	line("job, set", string(v.Job)+", "+string(v.Set))
	line("reason", style.Reason(v.Reason, v.Received))
	if v.Diagnosis != "" && v.Diagnosis != v.Reason {
		line("diagnosis", v.Diagnosis)
	}
	line("received", style.Time(v.Received))
	line("started", at(v.Started))
	line("finished", at(v.Finished))
	line("waited, ran", v.durations())
	if v.Attempt > 0 && v.Task != "" {
		line("attempt", fmt.Sprintf("%d of %d", v.Attempt, scheduler.MaxAttempts))
	}
	if v.ExitCode != nil {
		line("exit code", strconv.Itoa(*v.ExitCode))
	}
	line("cancelled by", v.CancelledBy)
	line("cluster", v.Cluster)
	line("task definition", v.Definition)
	line("task", v.Task)
	line("stopped", v.StopReason)
	line("overrides", v.Overrides)
	if v.LogStream != "" {
		line("log", v.LogGroup+", stream "+v.LogStream)
	}
	if v.USD != nil {
		line("endpoints", fmt.Sprintf("%.4f USD while its task ran", *v.USD))
	}
	return nil
}

func (v Details) durations() string {
	if v.Waited == "" {
		return ""
	}
	if v.Ran == "" {
		return v.Waited
	}
	return v.Waited + ", " + v.Ran
}
