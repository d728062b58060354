package scheduler

import (
	"fmt"
	"time"
)

// PaidHour is the unit in which an interface endpoint is billed.
//
// Source: https://aws.amazon.com/privatelink/pricing (each partial hour is
// billed as a full hour).
const PaidHour = time.Hour

// Basis says where paid hours begin. AWS does not document it, so it is a
// setting; see docs/billing.md.
type Basis string

// The two bases: Clock bills the UTC clock hours that an endpoint touches,
// Creation bills hours counted from its creation.
const (
	Clock    Basis = "clock"
	Creation Basis = "creation"
)

// ParseBasis returns the basis named s.
func ParseBasis(s string) (Basis, error) {
	switch b := Basis(s); b {
	case Clock, Creation:
		return b, nil
	}
	return "", fmt.Errorf("billing basis %q: want clock or creation", s)
}

// PaidHours returns the endpoint-hours billed for one endpoint in one zone that
// exists from created until deleted. Every started hour counts in full. On the
// Clock basis hours are UTC clock hours, so 10:50 to 11:10 is two; on the
// Creation basis they run from created, so it is one.
//
// It returns 0 if deleted is not after created.
func PaidHours(basis Basis, created, deleted time.Time) int {
	if !deleted.After(created) {
		return 0
	}
	start := created
	if basis == Clock {
		start = clockHour(created)
	}
	n := deleted.Sub(start)
	return int((n + PaidHour - 1) / PaidHour)
}

// Boundary returns the instant after now at which the next paid hour of an
// endpoint created at created begins. It is always after now.
func Boundary(basis Basis, created, now time.Time) time.Time {
	if basis == Clock {
		return clockHour(now).Add(PaidHour)
	}
	if now.Before(created) {
		return created.Add(PaidHour)
	}
	return created.Add((now.Sub(created)/PaidHour + 1) * PaidHour)
}

// clockHour returns the beginning of t's UTC clock hour. Truncate counts from
// the zero time, which lies on an hour of UTC, whatever t's zone.
func clockHour(t time.Time) time.Time { return t.Truncate(PaidHour) }
