package main

import (
	"fmt"
	"runtime/debug"
)

// release is the version of a release; empty in a program that was built otherwise.
var release string

type versionCmd struct{}

// Run prints the version, the commit and its date, as far as the build recorded them.
func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintf(s.out, "drawbridge %s\n", version())
	return err
}

// version returns the release, or else the module's version, with the commit that it was
// built from and its date.
func version() string {
	out := release
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	if out == "" {
		out = "devel"
		if v := info.Main.Version; v != "" && v != "(devel)" {
			out = v
		}
	}
	vcs := map[string]string{}
	for _, kv := range info.Settings {
		vcs[kv.Key] = kv.Value
	}
	commit := vcs["vcs.revision"]
	if commit == "" {
		return out
	}
	if vcs["vcs.modified"] == "true" {
		commit += ", changed"
	}
	return fmt.Sprintf("%s (commit %s, %s)", out, commit, vcs["vcs.time"])
}
