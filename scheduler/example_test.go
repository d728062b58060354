package scheduler_test

import (
	"fmt"
	"time"

	"drawbridge/scheduler"
)

// A set that nobody needs is kept until five minutes before the hour that is paid
// for ends, then taken down: drained first, then deleted.
func ExampleDecide() {
	up := time.Date(2026, time.May, 14, 10, 0, 0, 0, time.UTC)
	set := scheduler.Set{
		Name: "main", Phase: scheduler.Available, Since: up,
		Life: scheduler.Life{Generation: 1, BilledFrom: up, Usable: up},
	}
	for _, now := range []time.Time{up.Add(54 * time.Minute), up.Add(55 * time.Minute)} {
		d := scheduler.Decide(now, scheduler.DefaultSettings(), set, scheduler.Demand{}, scheduler.Observed{})
		fmt.Printf("%s %s: %s\n", now.Format("15:04"), d.Action, d.Reason)
	}
	// Output:
	// 10:54 wait: idle, and paid hour 1 lasts until 11:00:00
	// 10:55 drain: idle at the end of paid hour 1, which ends at 11:00:00
}

// The same twenty minutes are two hours on the one basis and one on the other.
func ExamplePaidHours() {
	created := time.Date(2026, time.May, 14, 10, 50, 0, 0, time.UTC)
	deleted := created.Add(20 * time.Minute)
	fmt.Println("clock:", scheduler.PaidHours(scheduler.Clock, created, deleted))
	fmt.Println("creation:", scheduler.PaidHours(scheduler.Creation, created, deleted))
	// Output:
	// clock: 2
	// creation: 1
}
