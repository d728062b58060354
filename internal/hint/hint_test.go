package hint

import (
	"errors"
	"fmt"
	"testing"
)

func TestOf(t *testing.T) {
	plain, given := errors.New("it failed"), New("it failed", "try again")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"no error", nil, ""},
		{"an error without a remedy", plain, ""},
		{"an error with one", given, "try again"},
		{"a cause with one", fmt.Errorf("deploy: %w", given), "try again"},
		{"one in place of that of the cause", With(given, "wait"), "wait"},
		{"an empty one", With(given, ""), "try again"},
		{"the second of two errors", errors.Join(plain, given), "try again"},
		{"the first of two remedies", errors.Join(given, With(plain, "wait")), "try again"},
		{"behind one that has none to give", errors.Join(With(plain, ""), fmt.Errorf("x: %w", given)), "try again"},
	} {
		if got := Of(tt.err); got != tt.want {
			t.Errorf("%s: the remedy is %q, want %q", tt.name, got, tt.want)
		}
	}
	if err := With(plain, "wait"); !errors.Is(err, plain) || err.Error() != "it failed" {
		t.Errorf("a remedy hides its error: %v", err)
	}
}
