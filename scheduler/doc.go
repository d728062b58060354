// Package scheduler decides when the endpoints of a set are up.
//
// It is pure: Decide takes an instant and values and returns an action with its
// reason, Next the set as it stands after that. Nothing in here reads a clock, starts
// a goroutine, waits, or knows an SDK. What is expected of the hours to come is in
// package forecast, which is pure too; package reconcile carries decisions out.
package scheduler
