// Package drill plays a day on the real functions and a simulated AWS, once as it should be and
// again and again with something wrong: a fault of AWS or two, a handler that is killed at its
// nth call, a deployment in between, somebody who means harm. Each day is judged by package
// judge, on the ledger alone.
package drill
