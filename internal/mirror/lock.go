package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// lock keeps two runs from working on one repository at the same time. It only
// saves work: writes to the replica, the cache's manifest and the record are
// compare-and-swaps by themselves.
type lock struct {
	bucket *Bucket
	now    func() time.Time
	owner  string
	// holds is how long the lock lasts without renewal.
	holds time.Duration
	etag  string
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// claim is a lock as it is stored; one without an expiry is free.
type claim struct {
	Owner   string    `json:"owner"`
	Expires time.Time `json:"expires"`
}

const lockKey = "lock.json"

// acquire takes the lock, and waits while another run holds it, at most until
// ctx ends. It calls waiting once with the run that it waits for.
func (l *lock) acquire(ctx context.Context, waiting func(owner string)) error {
	told := false
	for {
		holder, err := l.try(ctx)
		if err == nil && holder == "" {
			break
		}
		if err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if !told {
			waiting(holder)
			told = true
		}
		t := time.NewTimer(l.holds / 20)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("wait for run %s: %w", holder, context.Cause(ctx))
		case <-t.C:
		}
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.done.Go(func() { l.renew(renewing) })
	return nil
}

// try takes the lock if it is free or expired; otherwise it returns its owner.
func (l *lock) try(ctx context.Context) (holder string, err error) {
	var held claim
	etag, err := l.bucket.get(ctx, lockKey, &held)
	if err != nil && !errors.Is(err, errMissing) && etag == "" {
		return "", err
	}
	if err == nil && held.Expires.After(l.now()) {
		return held.Owner, nil
	}
	l.etag, err = l.bucket.put(ctx, lockKey, claim{l.owner, l.now().Add(l.holds)}, etag)
	if errors.Is(err, errChanged) {
		return "another", nil
	}
	return "", err
}

func (l *lock) renew(ctx context.Context) {
	t := time.NewTicker(l.holds / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			etag, err := l.bucket.put(ctx, lockKey, claim{l.owner, l.now().Add(l.holds)}, l.etag)
			if errors.Is(err, errChanged) {
				return // another run took the lock as expired; both continue, by compare-and-swap
			}
			if err == nil {
				l.etag = etag
			}
		}
	}
}

// release releases the lock.
func (l *lock) release(ctx context.Context) error {
	l.stop()
	l.done.Wait()
	_, err := l.bucket.put(ctx, lockKey, claim{Owner: l.owner}, l.etag)
	if errors.Is(err, errChanged) {
		return nil // another run holds it now
	}
	return err
}
