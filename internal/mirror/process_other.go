//go:build !unix

package mirror

import "os/exec"

// The mirror runs in a Linux container: elsewhere the command line only reads what it has reported.

func asGroup(*exec.Cmd) {}

func endGroup(*exec.Cmd) {}

func executable(string) bool { return false }
