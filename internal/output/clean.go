package output

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Clean is a writer to a terminal or a pipe that replaces control characters, except
// line breaks, tabs and the colours of this package, by the replacement character: the
// content of an event, a log or a name cannot move the cursor, hide a line or control
// the terminal.
type Clean struct {
	mu   sync.Mutex
	w    io.Writer
	tail []byte // the beginning of a character whose rest is still to come
}

// NewClean returns a writer that cleans what goes to w.
func NewClean(w io.Writer) *Clean { return &Clean{w: w} }

// painted matches a colour as Paint writes it.
var painted = regexp.MustCompile("^\x1b\\[(?:[0-9]{1,2}(?:;1)?)m")

func (c *Clean) Write(given []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := append(c.tail, given...)
	c.tail = nil
	var out bytes.Buffer
	for len(in) > 0 {
		if !utf8.FullRune(in) {
			c.tail = bytes.Clone(in)
			break
		}
		r, size := utf8.DecodeRune(in)
		switch {
		case r == '\x1b' && ownColour(painted.Find(in)):
			size = len(painted.Find(in))
			out.Write(in[:size])
		case r == '\r' && bytes.HasPrefix(in, []byte("\r\n")): // as some programs end their lines
		case r != '\n' && r != '\t' && (unicode.IsControl(r) || turns(r)):
			out.WriteRune(utf8.RuneError)
		default:
			out.WriteRune(r)
		}
		in = in[size:]
	}
	if _, err := c.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(given), nil
}

// turns reports whether a character reorders others, or starts a new line. The marks
// that right-to-left texts need do neither.
func turns(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u2028' || r == '\u2029'
}

// ownColour reports whether a sequence only colours: nothing that hides, blinks or
// turns black on black.
func ownColour(sequence []byte) bool {
	switch string(sequence) {
	case "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m",
		"\x1b[35m", "\x1b[36m", "\x1b[31;1m", "\x1b[90m":
		return true
	}
	return false
}

// Steer writes a sequence of our own that moves the cursor or erases.
func Steer(w io.Writer, sequence string) {
	if c, ok := w.(*Clean); ok {
		w = c.w
	}
	_, _ = io.WriteString(w, sequence) // the next write reports a terminal that is gone
}

// File returns the file that w writes to, if it is one.
func File(w io.Writer) (*os.File, bool) {
	if c, ok := w.(*Clean); ok {
		w = c.w
	}
	f, ok := w.(*os.File)
	return f, ok
}
