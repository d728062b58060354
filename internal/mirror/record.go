package mirror

import (
	"context"
	"errors"
	"time"
)

// Record is the last state of a replica, as a run has read it back. It allows a
// run to detect a change without reading the replica.
type Record struct {
	Refs Refs `json:"refs"`
	// Default is the source's default branch.
	Default string `json:"default,omitempty"`
	// At is the last time replica and source were known to match.
	At time.Time `json:"at"`
	// Scope and LFS are the settings of that run.
	Scope []string `json:"scope,omitempty"`
	LFS   string   `json:"lfs,omitempty"`
	// Bundle is the ETag of the bundle that was the source, "" for a git server.
	Bundle string `json:"bundle,omitempty"`
}

const recordKey = "record.json"

// In returns the location of a repository below the shared one.
func In(b *Bucket, repository string) *Bucket { return b.in(repository) }

// ReadRecord reads the record of a repository; it is empty if the repository was
// never mirrored.
func ReadRecord(ctx context.Context, b *Bucket) (Record, error) {
	r, _, err := readRecord(ctx, b)
	return r, err
}

// readRecord reads the record with its ETag, "" if there is none. An unreadable
// record counts as none: the next success replaces it.
func readRecord(ctx context.Context, b *Bucket) (r Record, etag string, err error) {
	etag, err = b.get(ctx, recordKey, &r)
	if errors.Is(err, errMissing) || err != nil && etag != "" {
		return Record{}, etag, nil
	}
	return r, etag, err
}

// Busy reports whether a run is working on a repository.
func Busy(ctx context.Context, b *Bucket, now time.Time) (bool, error) {
	var held claim
	_, err := b.get(ctx, lockKey, &held)
	if errors.Is(err, errMissing) {
		return false, nil
	}
	return held.Expires.After(now), err
}

const reportKey = "report.json"

// ReadReport reads the report of a repository's last run; nil if there was none.
func ReadReport(ctx context.Context, b *Bucket) (*Report, error) {
	var r Report
	_, err := b.get(ctx, reportKey, &r)
	if errors.Is(err, errMissing) {
		return nil, nil
	}
	return &r, err
}

// writeReport stores a report. A run that was interrupted has little time left.
func writeReport(ctx context.Context, b *Bucket, r Report) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := b.put(ctx, reportKey, r, anything)
	return err
}

// Seen returns when an event was last remembered; zero if never, or if the object
// has expired.
func Seen(ctx context.Context, b *Bucket, what string) (at time.Time, err error) {
	_, err = b.get(ctx, what, &at)
	if errors.Is(err, errMissing) {
		return time.Time{}, nil
	}
	return at, err
}

// Remember records an event.
func Remember(ctx context.Context, b *Bucket, what string, at time.Time) error {
	_, err := b.put(ctx, what, at.UTC(), anything)
	return err
}
