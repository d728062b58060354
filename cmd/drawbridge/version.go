package main

import (
	"fmt"
	"runtime/debug"
)

type versionCmd struct{}

// Run prints the module's version and the commit it was built from, as far as
// the build recorded them.
func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintf(s.out, "drawbridge %s\n", version())
	return err
}

// version returns the module's version and the commit it was built from.
func version() string {
	version, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			version = v
		}
		for _, kv := range info.Settings {
			if kv.Key == "vcs.revision" {
				revision = " " + kv.Value
			}
		}
	}
	return version + revision
}
