package drill

import "time"

// fault is something that goes wrong in a drill.
type fault struct {
	// name is that in the names of drills.
	name string
	// sim and value are the fault of the simulated AWS; "" for what somebody does.
	sim, value string
	// lasts is how long it goes on, 0 without an end.
	lasts time.Duration
	// do is what somebody does; undo ends it, nil if nothing is to be undone.
	do func(*stage) (undo func() error, err error)
	// reasons match what dead letters may say of it.
	reasons []string
	allows
}

// allows is what may happen in a drill because of what goes wrong; see judge.Story.
type allows struct{ schedulesLost, unready, failures bool }

// faults are all that go wrong singly and in pairs, in order of name. Each lasts for as long as
// somebody would take to notice, or as AWS did once.
var faults = []fault{
	{name: "creation-fails", sim: "fail-create", value: "logs", lasts: 30 * time.Minute, allows: allows{failures: true}},
	{name: "creation-is-slow", sim: "slow-create", value: "6m", lasts: 5 * time.Hour},
	{name: "creation-sticks", sim: "stuck-create", lasts: 40 * time.Minute, allows: allows{failures: true}},
	{name: "credentials-expire", sim: "expired-credentials", lasts: 20 * time.Minute},
	{name: "deletion-fails", sim: "fail-delete", value: "3", allows: allows{failures: true}},
	{name: "deletion-is-slow", sim: "slow-delete", value: "12m", lasts: 5 * time.Hour},
	{name: "deletion-sticks", sim: "stuck-delete", lasts: 90 * time.Minute, allows: allows{failures: true}},
	{name: "deployed-in-between", lasts: 90 * time.Minute, do: redeploy},
	{name: "end-forged", do: forge},
	{name: "events-late", sim: "late-events", value: "90s", lasts: 6 * time.Hour},
	{name: "events-lost", sim: "lost-events", value: "0.7", lasts: 6 * time.Hour},
	{name: "events-twice", sim: "duplicate-events", value: "0.7", lasts: 6 * time.Hour},
	{name: "events-unsent", sim: "unsent-events", value: "0.7", lasts: 6 * time.Hour},
	{name: "flood", do: flood, reasons: []string{"there is no job", "^the event has [0-9]+ bytes"}},
	{name: "no-capacity", sim: "refuse-tasks", value: "capacity", lasts: 15 * time.Minute},
	{
		name: "no-capacity-in-a-zone", sim: "full-fargate-zone", value: "us-east-1a", lasts: 6 * time.Hour,
		reasons: []string{"^ECS has refused its task .*Capacity is unavailable"},
	},
	{
		name: "no-endpoints-in-a-zone", sim: "full-zone", value: "us-east-1a", lasts: 6 * time.Hour,
		reasons: []string{"did not come up, .* for want of capacity in the zone"}, allows: allows{failures: true},
	},
	{name: "outage-of-cloudformation", sim: "outage", value: "cloudformation", lasts: 15 * time.Minute},
	{name: "outage-of-dynamodb", sim: "outage", value: "dynamodb", lasts: 8 * time.Minute},
	{name: "outage-of-ec2", sim: "outage", value: "ec2", lasts: 15 * time.Minute},
	{name: "outage-of-ecs", sim: "outage", value: "ecs", lasts: 15 * time.Minute},
	{name: "outage-of-scheduler", sim: "outage", value: "scheduler", lasts: time.Hour},
	{
		name: "quota-of-tasks", sim: "vcpu-quota", value: "1", lasts: 6 * time.Hour,
		reasons: []string{"^ECS has refused its task .*limit on the number of vCPUs"},
	},
	{name: "reads-stale", sim: "stale-reads", value: "15s", lasts: 6 * time.Hour},
	{name: "record-changed", do: tamper, reasons: []string{"does not allow an event to override command"}},
	{name: "replies-late", sim: "late-reply", value: "5s", lasts: 6 * time.Hour},
	{name: "replies-lost", sim: "lost-reply", value: "0.15", lasts: 6 * time.Hour},
	{name: "role-removed", lasts: 40 * time.Minute, do: removeRole, allows: allows{failures: true}},
	{name: "role-stolen", do: steal},
	{name: "server-errors", sim: "server-error", value: "0.15", lasts: 6 * time.Hour},
	{name: "settling-is-slow", sim: "unsettled", value: "60s", lasts: 6 * time.Hour, allows: allows{unready: true}},
	{name: "tags-apart", sim: "tags-apart", lasts: 6 * time.Hour},
	{name: "tags-late", sim: "stack-tags", value: "late", lasts: 6 * time.Hour},
	{name: "tags-never", sim: "stack-tags", value: "never", lasts: 6 * time.Hour},
	{name: "task-with-our-names", lasts: 2 * time.Hour, do: impersonate},
	{name: "throttling", sim: "throttle", value: "0.2", lasts: 6 * time.Hour},
	{name: "timers-lost", sim: "lost-timers", lasts: 24 * time.Hour, allows: allows{schedulesLost: true}},
}
