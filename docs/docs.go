// Package docs finds the entry of the documentation that explains a message of the programs.
package docs

import (
	_ "embed"
	"regexp"
	"strings"
)

var (
	//go:embed troubleshooting.md
	troubleshooting string
	//go:embed mirror-operating.md
	mirror string
)

// entry is a message as a table of the documentation shows it, and the heading above that table.
type entry struct {
	page, heading string
	// parts are what stands between the places that "..." marks.
	parts []string
}

var entries = append(read("docs/troubleshooting.md", troubleshooting), read("docs/mirror-operating.md", mirror)...)

var quoted = regexp.MustCompile("`([^`]+)`")

// read takes the messages out of a page: what stands in backticks in the first column of
// each table whose first column is called message.
func read(page, text string) (out []entry) {
	heading, ofMessages := "", false
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "## "):
			heading, ofMessages = Anchor(line[3:]), false
		case strings.HasPrefix(line, "| message |"):
			ofMessages = true
		case !strings.HasPrefix(line, "| "):
			ofMessages = false
		case ofMessages:
			first, _, _ := strings.Cut(line[2:], " | ")
			for _, m := range quoted.FindAllStringSubmatch(first, -1) {
				out = append(out, entry{page, heading, strings.Split(m[1], "...")})
			}
		}
	}
	return out
}

// Anchor is the link to a heading, as GitHub makes it.
func Anchor(heading string) string {
	letters := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(letters, " ", "-")
}

// Entry returns where the documentation explains a message, as in
// docs/troubleshooting.md#credentials: the entry of which most letters stand in the
// message, in their order. It is empty if there is none.
func Entry(message string) string {
	most, found := 0, ""
	for _, e := range entries {
		if n := e.letters(message); n > most {
			most, found = n, e.page+"#"+e.heading
		}
	}
	return found
}

// letters counts the letters of an entry if its parts stand in the message, the first
// where an error begins; it is 0 otherwise.
func (e entry) letters(message string) (n int) {
	if !strings.HasPrefix(message, e.parts[0]) && !strings.Contains(message, ": "+e.parts[0]) {
		return 0
	}
	for _, part := range e.parts {
		_, rest, ok := strings.Cut(message, part)
		if !ok {
			return 0
		}
		message, n = rest, n+len(part)
	}
	return n
}
