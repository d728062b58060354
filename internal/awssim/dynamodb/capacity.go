package dynamodb

import (
	"math"
	"strconv"
	"time"
)

// These are the keys of what a table's use is billed by, in the kernel's count of units.
const (
	WriteUnits = "dynamodb:WriteRequestUnits"
	ReadUnits  = "dynamodb:ReadRequestUnits"
)

// wrote counts a write: a unit for each started kilobyte of the larger of the two items, for the
// table and for each index that holds it; twice as much in a transaction. A write of nothing and a
// check count one.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
func (s *Service) wrote(w *prepared, times float64) {
	units := math.Ceil(float64(max(itemSize(w.old), itemSize(w.result), 1)) / 1024)
	total := units
	for _, i := range w.table.indexes {
		r := rows{hash: i.hash, rng: i.rng}
		if w.apply != nil && (r.holds(w.old) || r.holds(w.result)) {
			total += units
		}
	}
	s.Units[WriteUnits] += total * times
}

// looked counts a read of so many bytes: a unit for each started four kilobytes, half of that if
// it may be stale.
func (s *Service) looked(size int, consistent bool) {
	units := math.Ceil(float64(max(size, 1)) / 4096)
	if !consistent {
		units /= 2
	}
	s.Units[ReadUnits] += units
}

// expiresAfter is how much later than at its time an item is deleted, and expiresEvery how often
// that is looked at. AWS says within a few days.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
const expiresAfter, expiresEvery = 24 * time.Hour, 6 * time.Hour

// expire deletes, again and again, what has expired of all tables.
func (s *Service) expire() {
	old := s.Clock.Now().Add(-expiresAfter).Unix()
	for _, t := range s.Tables {
		if t.Ttl == "" {
			continue
		}
		for key, it := range t.items {
			at, ok := it[t.Ttl]["N"].(string)
			if n, err := strconv.ParseInt(at, 10, 64); ok && err == nil && n < old {
				t.replace(it, nil)
				delete(t.items, key)
			}
		}
	}
	s.Clock.After(expiresEvery, s.expire)
}
