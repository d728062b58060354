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

// With gives an error a remedy, which hides that of its cause.
func With(err error, remedy string) error { return &hinted{err, remedy} }

// New returns an error with a remedy.
func New(what, remedy string) error { return &hinted{errors.New(what), remedy} }

// Of returns the remedy of an error or of its cause; empty if there is none.
func Of(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
