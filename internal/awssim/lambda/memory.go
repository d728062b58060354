package lambda

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// outgrown notes what the handler's process has used at most, and ends the invocation, with
// the process, if that is more than the function has: as Lambda does.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
func (inv *invocation) outgrown() bool {
	e := inv.environment
	if e == nil || e.dead {
		return false
	}
	inv.Peak = peakMiB(e.cmd.Process.Pid)
	if inv.Peak <= inv.Function.Memory {
		return false
	}
	inv.sim.endInvocation(inv, "killed",
		fmt.Appendf(nil, `{"errorType":"Runtime.OutOfMemory","errorMessage":"RequestId: %s Error: Runtime exited `+
			`with error: signal: killed"}`, inv.ID))
	return true
}

// peakMiB returns the largest resident size that a process has had, in MiB rounded up; 0
// where the machine does not say.
func peakMiB(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		size, ok := strings.CutPrefix(lines.Text(), "VmHWM:")
		if !ok {
			continue
		}
		kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
		if err != nil {
			return 0
		}
		return (kib + 1023) / 1024
	}
	return 0
}
