package mirror

import (
	"io"
	"time"

	"drawbridge/internal/emf"
)

// Status is the result of a repository's run.
type Status string

// In the first two statuses the replica matches the source.
const (
	Unchanged Status = "unchanged"
	Mirrored  Status = "mirrored"
	// Differs is the result of a dry run that found a difference.
	Differs Status = "differs"
	// Diverged means that the replica has commits that the source does not have; the
	// rest was mirrored.
	Diverged Status = "diverged"
	// Refused means that the configuration, or the target, does not allow some of it; all else is mirrored.
	Refused Status = "refused"
	Failed  Status = "failed"
)

// Report is the outcome of a run for one repository.
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
	// LagSeconds is the age of the oldest change when it was mirrored; 0 if nothing
	// was mirrored, or in the first run.
	LagSeconds float64 `json:"lagSeconds"`
	Bytes      Bytes   `json:"bytes"`
	// LFSObjects is the number of Git LFS objects copied.
	LFSObjects int `json:"lfsObjects,omitempty"`
	// Tries is the number of fetches and pushes started.
	Tries int `json:"tries,omitempty"`
	// WaitedFor is the run that held the repository's lock before.
	WaitedFor string `json:"waitedFor,omitempty"`
	// Cache is the state of the cache: empty, used, or rebuilt with the reason.
	Cache string `json:"cache,omitempty"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// Changes are a run's changes to the target.
type Changes struct {
	// Refs is the number of mirrored refs.
	Refs     int      `json:"refs"`
	Created  []string `json:"created,omitempty"`
	Updated  []string `json:"updated,omitempty"`
	Deleted  []string `json:"deleted,omitempty"`
	Forced   []string `json:"forced,omitempty"`
	Diverged []string `json:"diverged,omitempty"`
	// Kept is the number of refs that only the target has, if they are not pruned.
	Kept int `json:"kept,omitempty"`
	// Default is the branch that became the target's default one, KeptDefault a ref that was not
	// pruned because it is, and git cannot make the source's that.
	Default     string `json:"default,omitempty"`
	KeptDefault string `json:"keptDefault,omitempty"`
	// Barred are refs that were not mirrored, each with the reason.
	Barred map[string]string `json:"barred,omitempty"`
}

// Bytes are the bytes sent over the network, as far as they are counted.
type Bytes struct {
	Fetched   int64 `json:"fetched"`
	Pushed    int64 `json:"pushed"`
	LFS       int64 `json:"lfs,omitempty"`
	CacheDown int64 `json:"cacheDown"`
	CacheUp   int64 `json:"cacheUp"`
}

// InSync reports whether the replica matches the source.
func (r Report) InSync() bool { return r.Status == Unchanged || r.Status == Mirrored }

// Each metric is for one repository of an installation. A mirror without
// MetricInSync for too long is stale.
const (
	MetricInSync   = "MirrorInSync"
	MetricFailed   = "MirrorFailed"
	MetricRefs     = "MirrorRefsChanged"
	MetricBytes    = "MirrorBytes"
	MetricDuration = "MirrorDuration"
	MetricLag      = "MirrorLag"
)

// WriteMetrics writes the metrics of a report as one line for CloudWatch.
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

// WriteMetrics writes metrics of a repository as one line for CloudWatch.
func WriteMetrics(w io.Writer, namespace, installation, repository string, now time.Time, metrics ...emf.Metric) error {
	return emf.Write(w, now, namespace, [][]string{{"Installation", "Repository"}},
		map[string]string{"Installation": installation, "Repository": repository}, metrics...)
}
