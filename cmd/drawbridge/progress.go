package main

import (
	"fmt"
	"strings"

	"drawbridge/cfn"
	"drawbridge/internal/output"
)

// stackProgress shows a stack's events: one line that changes on a terminal, a
// line each in a pipe.
type stackProgress struct {
	s     *session
	total int
	done  map[string]bool
	width int
	live  bool
	shown bool
}

// progress returns the progress of an operation on total resources; 0 if that is
// not known.
func (s *session) progress(total int) *stackProgress {
	width, live := terminalWidth(s.err)
	return &stackProgress{s: s, total: total, done: map[string]bool{}, width: width, live: live}
}

// event tells of an event of the stack.
func (p *stackProgress) event(e cfn.Event) {
	if strings.HasSuffix(e.Status, "_COMPLETE") && !e.Stack {
		p.done[e.ID] = true
	}
	text := fmt.Sprintf("%s  %-18s  %-32s  %s", p.s.style().Clock(e.At), e.Status, e.ID,
		strings.TrimPrefix(e.Type, "AWS::"))
	failed := strings.HasSuffix(e.Status, "_FAILED")
	if !p.live && !e.Stack && strings.HasSuffix(e.Status, "_IN_PROGRESS") {
		return // a line each is enough
	}
	if !p.live || failed {
		p.clear()
		if failed {
			text += "  " + e.Reason
		}
		fmt.Fprintln(p.s.err, text)
		return
	}
	line := fmt.Sprintf("%d", len(p.done))
	if p.total > 0 {
		line += fmt.Sprintf(" of %d", p.total)
	}
	line += "  " + text
	if len(line) >= p.width {
		line = line[:max(p.width-1, 0)]
	}
	output.Steer(p.s.err, "\r\x1b[K")
	fmt.Fprint(p.s.err, line)
	p.shown = true
}

// clear removes the changing line.
func (p *stackProgress) clear() {
	if p.shown {
		output.Steer(p.s.err, "\r\x1b[K")
		p.shown = false
	}
}
