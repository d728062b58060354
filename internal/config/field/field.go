// Package field holds what the sections of drawbridge.yaml have in common: durations as
// they are written, and what is found wrong.
package field

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Duration is a length of time as the file writes it: 90s, 5m, 2h, 7d.
type Duration time.Duration

// UnmarshalYAML reads a duration with its unit.
func (d *Duration) UnmarshalYAML(node ast.Node) error {
	var text string
	if err := yaml.NodeToValue(node, &text); err != nil {
		return err
	}
	v, err := ParseDuration(text)
	if err != nil {
		return At(node, "%v", err)
	}
	*d = Duration(v)
	return nil
}

// ParseDuration reads a duration as time.ParseDuration does, with days before the rest: 7d,
// 1d12h. A day has 24 hours.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, given := strings.Cut(text, "d")
	n, err := strconv.Atoi(days)
	if !given || err != nil || n < 0 || n > 36500 {
		n, rest = 0, text
	}
	v := time.Duration(0)
	if rest != "" || n == 0 && !given {
		if v, err = time.ParseDuration(rest); err != nil {
			return 0, fmt.Errorf("%q is not a duration, write 90s, 5m, 2h or 7d", text)
		}
	}
	return time.Duration(n)*24*time.Hour + v, nil
}

// PlaceError is what is wrong at a place of the file.
type PlaceError struct {
	Node ast.Node
	What string
}

func (e *PlaceError) Error() string { return e.What }

// At returns an error at a node.
func At(node ast.Node, format string, args ...any) error {
	return &PlaceError{node, fmt.Sprintf(format, args...)}
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
	// Line is the line of the place, or of what it should stand in; 0 if it has none.
	Line int
}

// Problems are what is wrong with a file.
type Problems []Problem

// Add adds a problem at a place, with its remedy.
func (p *Problems) Add(where, remedy, format string, args ...any) {
	*p = append(*p, Problem{Where: where, What: fmt.Sprintf(format, args...), Remedy: remedy})
}

// IsARN reports whether a text is the ARN of a service's resource of a kind.
func IsARN(text, service, kind string) bool {
	a, err := arn.Parse(text)
	return err == nil && a.Service == service && strings.HasPrefix(a.Resource, kind)
}
