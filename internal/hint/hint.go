// Package hint gives errors the remedy that is shown with them.
package hint

import "errors"

// hinted is an error with its remedy.
type hinted struct {
	error
	remedy string
}

func (e *hinted) Unwrap() error { return e.error }

// Hint returns the remedy.
func (e *hinted) Hint() string { return e.remedy }

// With gives an error a remedy, which is shown in place of that of its cause. With an empty
// one the cause's is shown.
func With(err error, remedy string) error { return &hinted{err, remedy} }

// New returns an error with a remedy.
func New(what, remedy string) error { return &hinted{errors.New(what), remedy} }

// Of returns the first remedy on the way from an error to its causes; empty if none has one.
// Errors of any type carry a remedy by a method Hint.
func Of(err error) string {
	if h, ok := err.(interface{ Hint() string }); ok && h.Hint() != "" {
		return h.Hint()
	}
	switch e := err.(type) { //nolint:errorlint // this is the walk through what is wrapped
	case interface{ Unwrap() error }:
		return Of(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			if remedy := Of(cause); remedy != "" {
				return remedy
			}
		}
	}
	return ""
}
