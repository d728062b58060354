package mirror

import (
	"context"
	"errors"
	"time"
)

// Record is what a replica last held, as a run has read it back. It is what lets a
// change be told from none without looking at the replica.
type Record struct {
	Refs Refs `json:"refs"`
	// Default is the source's default branch.
	Default string `json:"default,omitempty"`
	// At is when replica and source were last known to be the same.
	At time.Time `json:"at"`
	// Scope and LFS are the settings that it was made with.
	Scope []string `json:"scope,omitempty"`
	LFS   string   `json:"lfs,omitempty"`
	// Bundle is the ETag of the bundle that was the source, "" for a git server.
	Bundle string `json:"bundle,omitempty"`
}

const recordKey = "record.json"

// In returns the place of a repository below the place that all share.
func In(b *Bucket, repository string) *Bucket { return b.in(repository) }

// ReadRecord reads the record of a repository; that of a repository which was never
// mirrored is empty.
func ReadRecord(ctx context.Context, b *Bucket) (Record, error) {
	r, _, err := readRecord(ctx, b)
	return r, err
}

// readRecord reads the record with its ETag, "" if there is none. One that cannot be
// read is as none: the next success replaces it.
func readRecord(ctx context.Context, b *Bucket) (r Record, etag string, err error) {
	etag, err = b.get(ctx, recordKey, &r)
	if errors.Is(err, errMissing) || err != nil && etag != "" {
		return Record{}, etag, nil
	}
	return r, etag, err
}

// Busy says whether a run is at work on a repository.
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

// Seen returns when something was remembered last; zero if it was not, or the bucket
// has forgotten it.
func Seen(ctx context.Context, b *Bucket, what string) (at time.Time, err error) {
	_, err = b.get(ctx, what, &at)
	if errors.Is(err, errMissing) {
		return time.Time{}, nil
	}
	return at, err
}

// Remember remembers something.
func Remember(ctx context.Context, b *Bucket, what string, at time.Time) error {
	_, err := b.put(ctx, what, at.UTC(), anything)
	return err
}
