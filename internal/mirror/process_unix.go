//go:build unix

package mirror

import (
	"os/exec"
	"syscall"
)

// asGroup has a program begin a process group of its own, which ends as a whole.
func asGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

// endGroup ends what a program has left of its group, which is usually nothing.
func endGroup(cmd *exec.Cmd) {
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}

// executable reports whether the file of that name may be executed where it is.
func executable(name string) bool { return syscall.Access(name, 1) == nil }
