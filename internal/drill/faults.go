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
	// at is when it begins, counted from the start of the day; 0 for an instant that the seed draws.
	at time.Duration
	// reasons match what the dead letters of valid events may say of it.
	reasons []string
	allows
}

// allows is what may happen in a drill because of what goes wrong; see judge.Faults.
type allows struct {
	failures       bool
	spare, unready time.Duration
}

// dawn is when what lasts for the whole day begins.
const dawn = time.Second

// faults are all that go wrong singly and in pairs, in order of name. Each lasts for as long as
// somebody would take to notice, or as AWS did once.
var faults = []fault{
	{
		name: "creation-fails", at: time.Minute, sim: "fail-create", value: "logs", lasts: 30 * time.Minute,
		allows: allows{failures: true, spare: 30 * time.Minute},
	},
	{name: "creation-is-slow", at: dawn, sim: "slow-create", value: "6m", lasts: 5 * time.Hour},
	{
		name: "creation-sticks", at: 119 * time.Minute, sim: "stuck-create", lasts: 40 * time.Minute,
		allows: allows{failures: true, spare: time.Hour},
	},
	{
		name: "credentials-expire", sim: "expired-credentials", lasts: 20 * time.Minute,
		allows: allows{spare: 20 * time.Minute},
	},
	{name: "deletion-fails", sim: "fail-delete", value: "3", allows: allows{failures: true, spare: time.Hour}},
	{
		name: "deletion-is-slow", at: dawn, sim: "slow-delete", value: "12m", lasts: 5 * time.Hour,
		allows: allows{spare: 15 * time.Minute},
	},
	{
		name: "deletion-sticks", at: 114 * time.Minute, sim: "stuck-delete", lasts: 90 * time.Minute,
		allows: allows{failures: true, spare: 2 * time.Hour},
	},
	{name: "deployed-in-between", lasts: 90 * time.Minute, do: redeploy},
	{name: "end-forged", at: 6*time.Hour + 20*time.Minute, lasts: time.Minute, do: forge},
	{name: "events-late", at: dawn, sim: "late-events", value: "90s", lasts: 6 * time.Hour},
	{name: "events-lost", at: dawn, sim: "lost-events", value: "0.7", lasts: 6 * time.Hour},
	{name: "events-twice", at: dawn, sim: "duplicate-events", value: "0.7", lasts: 6 * time.Hour},
	{name: "events-unsent", at: dawn, sim: "unsent-events", value: "0.7", lasts: 6 * time.Hour},
	{name: "flood", do: flood},
	{name: "no-capacity", sim: "refuse-tasks", value: "capacity", lasts: 15 * time.Minute},
	{
		name: "no-capacity-in-a-zone", at: dawn, sim: "full-fargate-zone", value: "us-east-1a", lasts: 6 * time.Hour,
		reasons: []string{"^ECS has refused its task .*Capacity is unavailable"},
	},
	{
		name: "no-endpoints-in-a-zone", at: dawn, sim: "full-zone", value: "us-east-1a", lasts: 6 * time.Hour,
		reasons: []string{"did not come up, .* for want of capacity in the zone"}, allows: allows{failures: true},
	},
	{
		name: "outage-of-cloudformation", sim: "outage", value: "cloudformation", lasts: 15 * time.Minute,
		allows: allows{spare: 15 * time.Minute},
	},
	{
		name: "outage-of-dynamodb", sim: "outage", value: "dynamodb", lasts: 8 * time.Minute,
		allows: allows{spare: 15 * time.Minute},
	},
	{
		name: "outage-of-ec2", sim: "outage", value: "ec2", lasts: 15 * time.Minute,
		allows: allows{spare: 15 * time.Minute},
	},
	{
		name: "outage-of-ecs", sim: "outage", value: "ecs", lasts: 15 * time.Minute,
		allows: allows{spare: 15 * time.Minute},
	},
	{name: "outage-of-scheduler", sim: "outage", value: "scheduler", lasts: time.Hour},
	{
		name: "quota-of-tasks", at: dawn, sim: "vcpu-quota", value: "1", lasts: 6 * time.Hour,
		reasons: []string{"^ECS has refused its task .*limit on the number of vCPUs"},
	},
	{name: "reads-stale", at: dawn, sim: "stale-reads", value: "15s", lasts: 6 * time.Hour},
	{
		name: "record-changed", at: time.Minute, do: tamper,
		reasons: []string{"does not allow an event to override command"},
	},
	{name: "replies-late", at: dawn, sim: "late-reply", value: "5s", lasts: 6 * time.Hour},
	{name: "replies-lost", at: dawn, sim: "lost-reply", value: "0.15", lasts: 6 * time.Hour},
	{
		name: "role-removed", lasts: 40 * time.Minute, do: removeRole,
		reasons: []string{"did not come up, .* is invalid or cannot be assumed"},
		allows:  allows{failures: true, spare: time.Hour},
	},
	{name: "role-stolen", at: 6*time.Hour + 20*time.Minute, do: steal},
	{name: "server-errors", at: dawn, sim: "server-error", value: "0.15", lasts: 6 * time.Hour},
	{
		name: "settling-is-slow", at: dawn, sim: "unsettled", value: "60s", lasts: 6 * time.Hour,
		allows: allows{unready: time.Minute},
	},
	{name: "tags-apart", at: dawn, sim: "tags-apart", lasts: 6 * time.Hour},
	{name: "tags-late", at: dawn, sim: "stack-tags", value: "late", lasts: 6 * time.Hour},
	{name: "tags-never", at: dawn, sim: "stack-tags", value: "never", lasts: 6 * time.Hour},
	{name: "task-with-our-names", at: 52 * time.Minute, do: impersonate},
	{name: "throttling", at: dawn, sim: "throttle", value: "0.2", lasts: 6 * time.Hour},
	{name: "timers-lost", at: dawn, sim: "lost-timers", lasts: 24 * time.Hour},
}
