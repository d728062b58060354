package output

import (
	"bytes"
	"testing"
)

func TestControlCharactersDoNotPass(t *testing.T) {
	for _, tt := range []struct{ name, given, want string }{
		{"text", "größer\tas it is\n", "größer\tas it is\n"},
		{"our colours", Style{Color: true}.Paint("failed", "no"), "\x1b[31;1mno\x1b[0m"},
		{"the title of the window", "a\x1b]0;evil\x07b", "a\ufffd]0;evil\ufffdb"},
		{"a cursor that goes up and erases", "a\x1b[1A\x1b[2Kb", "a\ufffd[1A\ufffd[2Kb"},
		{"hidden text", "\x1b[8mrm -rf\x1b[0m", "\ufffd[8mrm -rf\x1b[0m"},
		{"a line that is written over", "failed\rok\n", "failed\ufffdok\n"},
		{"lines as Windows ends them", "a\r\nb\r\n", "a\nb\n"},
		{"a control sequence in one character", "a\u009b2Jb", "a\ufffd2Jb"},
		{"the same as a byte", "a\x9b2Jb", "a\ufffd2Jb"},
		{"letters that run backwards", "a\u202egpj.exe", "a\ufffdgpj.exe"},
		{"a backspace and a bell", "a\b\a\x7f\x00b", "a\ufffd\ufffd\ufffd\ufffdb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var whole, bytewise bytes.Buffer
			if n, err := NewClean(&whole).Write([]byte(tt.given)); n != len(tt.given) || err != nil || whole.String() != tt.want {
				t.Errorf("%q becomes %q (%d, %v), want %q", tt.given, whole.String(), n, err, tt.want)
			}
			c := NewClean(&bytewise)
			for _, r := range tt.given[:len(tt.given)/2] {
				_, _ = c.Write([]byte(string(r)))
			}
			if bytes.ContainsAny(bytewise.Bytes(), "\x07\b\r\x00") {
				t.Errorf("in pieces it becomes %q", bytewise.String())
			}
		})
	}
	var split bytes.Buffer
	c := NewClean(&split)
	for _, b := range []byte("größer") {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if split.String() != "größer" {
		t.Errorf("byte by byte it becomes %q", split.String())
	}
}
