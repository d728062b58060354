// Package field holds what the sections of drawbridge.yaml have in common: durations as
// they are written, and what is found wrong.
package field

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// Duration is a length of time as the file writes it: 90s, 5m, 2h.
type Duration time.Duration

// UnmarshalYAML reads a duration with its unit.
func (d *Duration) UnmarshalYAML(unmarshal func(any) error) error {
	var s string
	if err := unmarshal(&s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration, write 90s, 5m or 2h", s)
	}
	*d = Duration(v)
	return nil
}

// Or returns what is given, or the default where nothing is.
func Or[T any](given *T, normal T) T {
	if given == nil {
		return normal
	}
	return *given
}

// Problem is one thing that is wrong with a file.
type Problem struct {
	// Where is the place, such as jobs.hello.set; empty for the whole file.
	Where, What, Remedy string
}

// Problems are what is wrong with a file.
type Problems []Problem

// Add adds a problem at a place, with its remedy.
func (p *Problems) Add(where, remedy, format string, args ...any) {
	*p = append(*p, Problem{where, fmt.Sprintf(format, args...), remedy})
}

// IsARN reports whether a text is the ARN of a service's resource of a kind.
func IsARN(text, service, kind string) bool {
	a, err := arn.Parse(text)
	return err == nil && a.Service == service && strings.HasPrefix(a.Resource, kind)
}
