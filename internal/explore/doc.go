// Package explore plays the scheduler's own code against a small model of AWS, in every story up to a
// bound on what goes wrong, and checks the promises.
//
// A World is plain data: what is stored, what AWS holds, what is on its way, and the invocations
// that are under way. An invocation is the shipped reconcile.Reconciler, stopped at each call of a
// port. It is kept as the replies that it has had so far: a copy of the world resumes it by
// running it again up to the call it stands at, which is possible because a Reconciler depends on its ports
// alone. So any state can be copied and gone on from in another way.
//
// In each state one thing happens by default, in the order of time; instead of it something may go
// wrong: a call fails, takes effect and loses its reply, comes late, the invocation is killed before or
// after it, a timer is lost, an event comes twice, AWS shows what was, a stack fails. Search looks at all
// stories in which nothing goes wrong, then at all with one such thing, then with two. Walk draws long stories at
// random, far beyond that. Both return the story that broke a promise; Shorten leaves out of it
// what it does not need.
package explore
