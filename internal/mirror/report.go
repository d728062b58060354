package mirror

import (
	"io"
	"time"

	"drawbridge/internal/emf"
)

// Status is how a repository's run has ended.
type Status string

// The statuses. In the first two the replica holds what the source holds.
const (
	Unchanged Status = "unchanged"
	Mirrored  Status = "mirrored"
	// Differs is the end of a dry run that found something to do.
	Differs Status = "differs"
	// Diverged is a replica that holds commits which the source has not; all else was
	// mirrored.
	Diverged Status = "diverged"
	// Refused is something that the configuration does not allow; nothing was pushed.
	Refused Status = "refused"
	Failed  Status = "failed"
)

// Report is what a run has done to one repository.
type Report struct {
	Repository string    `json:"repository"`
	Status     Status    `json:"status"`
	Source     string    `json:"source"`
	Target     string    `json:"target"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	// Steps are the seconds that each step took; the cache is saved while it pushes.
	Steps map[string]float64 `json:"steps,omitempty"`
	Changes
	// LagSeconds is how long the oldest of the changes had been there before it was
	// mirrored; 0 where nothing was, or in the first run.
	LagSeconds float64 `json:"lagSeconds"`
	Bytes      Bytes   `json:"bytes"`
	// LFSObjects is how many objects of Git LFS were copied.
	LFSObjects int `json:"lfsObjects,omitempty"`
	// Tries is how often fetches and pushes were begun.
	Tries int `json:"tries,omitempty"`
	// WaitedFor is the run that was at work on the repository before.
	WaitedFor string `json:"waitedFor,omitempty"`
	// Cache is what became of the cache: empty, used, or rebuilt with the reason.
	Cache string `json:"cache,omitempty"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Changes are what a run has changed in the target.
type Changes struct {
	// Refs is how many refs are mirrored.
	Refs     int      `json:"refs"`
	Created  []string `json:"created,omitempty"`
	Updated  []string `json:"updated,omitempty"`
	Deleted  []string `json:"deleted,omitempty"`
	Forced   []string `json:"forced,omitempty"`
	Diverged []string `json:"diverged,omitempty"`
	// Kept is how many refs the target has that the source has not, where they are not
	// pruned.
	Kept int `json:"kept,omitempty"`
}

// Bytes are what went over the network, as far as it is counted.
type Bytes struct {
	Fetched   int64 `json:"fetched"`
	Pushed    int64 `json:"pushed"`
	LFS       int64 `json:"lfs,omitempty"`
	CacheDown int64 `json:"cacheDown"`
	CacheUp   int64 `json:"cacheUp"`
}

// InSync says whether the replica holds what the source holds.
func (r Report) InSync() bool { return r.Status == Unchanged || r.Status == Mirrored }

// The metrics, in the namespace, each for a repository of an installation. A mirror
// without MetricInSync for too long is stale.
const (
	MetricInSync   = "MirrorInSync"
	MetricFailed   = "MirrorFailed"
	MetricRefs     = "MirrorRefsChanged"
	MetricBytes    = "MirrorBytes"
	MetricDuration = "MirrorDuration"
	MetricLag      = "MirrorLag"
)

// WriteMetrics writes the metrics of a report as a line for CloudWatch.
func (r Report) WriteMetrics(w io.Writer, namespace, installation string, now time.Time) error {
	metrics := []emf.Metric{{Name: MetricDuration, Unit: "Seconds", Value: r.Seconds},
		{Name: MetricRefs, Unit: "Count", Value: float64(len(r.Created) + len(r.Updated) + len(r.Deleted))},
		{Name: MetricBytes, Unit: "Bytes", Value: float64(r.Bytes.Fetched + r.Bytes.Pushed + r.Bytes.LFS)},
		{Name: MetricFailed, Unit: "Count", Value: 1}}
	if r.InSync() {
		metrics[3].Value = 0
		metrics = append(metrics, emf.Metric{Name: MetricInSync, Unit: "Count", Value: 1}, emf.Metric{
			Name: MetricLag, Unit: "Seconds", Value: r.LagSeconds,
		})
	}
	return WriteMetrics(w, namespace, installation, r.Repository, now, metrics...)
}

// WriteMetrics writes metrics of a repository as a line for CloudWatch.
func WriteMetrics(w io.Writer, namespace, installation, repository string, now time.Time, metrics ...emf.Metric) error {
	return emf.Write(w, now, namespace, [][]string{{"Installation", "Repository"}},
		map[string]string{"Installation": installation, "Repository": repository}, metrics...)
}
