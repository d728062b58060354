package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"drawbridge/internal/output"
	"drawbridge/scheduler"
)

// Line shows the day as it passes: one line that changes on a terminal, plain lines in a pipe.
type Line struct {
	W io.Writer
	// Live is true on a terminal, of Width columns.
	Live  bool
	Width int
	shown bool
}

// Event reports an event.
func (p *Line) Event(at time.Time, what string) {
	p.Clear()
	text := fmt.Sprintf("%s  %s", at.UTC().Format("15:04:05"), what)
	if p.Live && len(text) > p.Width {
		text = text[:p.Width]
	}
	fmt.Fprintln(p.W, text)
}

// Tick reports the time and the current state.
func (p *Line) Tick(at time.Time, phase string, running int) {
	if !p.Live {
		return
	}
	text := fmt.Sprintf("%s  %s, %s", at.UTC().Format("15:04:05"), phase, scheduler.Count(running, "task"))
	if !strings.HasPrefix(phase, "no ") {
		text += fmt.Sprintf(", paid hour ends in %d min", 60-at.Minute())
	}
	if len(text) >= p.Width {
		text = text[:max(p.Width-1, 0)]
	}
	output.Steer(p.W, "\r\x1b[K")
	fmt.Fprint(p.W, text)
	p.shown = true
}

// Clear removes the changing line.
func (p *Line) Clear() {
	if p.shown {
		output.Steer(p.W, "\r\x1b[K")
		p.shown = false
	}
}
