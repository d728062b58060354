package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// arranged returns the arguments in the order that the parser takes: --version and help VERB
// become the verb version and the flag --help, and flags before the verb come after it.
func arranged(root *kong.Node, args []string) []string {
	switch {
	case len(args) == 0:
		return args
	case args[0] == "--version":
		return append([]string{"version"}, args[1:]...)
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	}
	verb := 0
	for verb < len(args) && strings.HasPrefix(args[verb], "-") && args[verb] != "--" {
		name, _, given := strings.Cut(strings.TrimLeft(args[verb], "-"), "=")
		if verb++; !given && takesValue(root, name) {
			verb++
		}
	}
	if verb == 0 || verb >= len(args) || args[verb] == "--" {
		return args
	}
	return slices.Concat(args[verb:verb+1], args[:verb], args[verb+1:])
}

// takesValue reports whether a flag of any verb, by its long or its short name, takes a value.
func takesValue(root *kong.Node, name string) bool {
	for _, verb := range root.Children {
		for _, f := range verb.Flags {
			if f.Name == name || len(name) == 1 && f.Short == rune(name[0]) {
				return !f.IsBool()
			}
		}
	}
	return false
}

// Validate refuses a command of the container that does not come after --, so that a flag that
// is not one, or a word too many, never runs a job.
func (c *runCmd) Validate(k *kong.Context) error {
	after := 0
	if i := slices.Index(k.Args, "--"); i >= 0 {
		after = len(k.Args) - i - 1
	}
	if len(c.Args) > after {
		return fmt.Errorf("unexpected argument %s: the command of the container comes after --", c.Args[0])
	}
	return nil
}
