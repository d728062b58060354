// Package scheduler decides when the endpoints of a set are up, and carries the
// decision out.
//
// The middle is pure: Decide takes an instant and values and returns an action
// with its reason; it reads no clock, starts no goroutine and knows no SDK. The
// rim is Reconciler: it loads a set, observes AWS, decides, acts by one call
// through one of the interfaces in ports.go, writes back by compare-and-swap,
// and does so again until nothing is left to do. Any step may crash; whoever
// comes next goes on from what is stored and what AWS shows.
package scheduler
