package mirror

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// redactor removes secrets from texts.
type redactor struct {
	mu      sync.Mutex
	secrets []string
}

const redacted = "[secret]"

var (
	userinfo      = regexp.MustCompile(`(://)[^/@\s"']+@`)
	authorization = regexp.MustCompile(`(?i)(authorization|x-amz-security-token|private-token|password|` +
		`token)(["']?\s*[:=]\s*["']?)((basic|bearer)\s+)?[^\s"',;]+`)
)

// add registers secrets, in each form that they may appear in. A multi-line
// secret is registered line by line.
func (r *redactor) add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		for _, line := range strings.Split(s, "\n") {
			line = strings.TrimSpace(line)
			if len(line) < 4 || strings.HasPrefix(line, "-----") {
				continue // too short: would remove common words
			}
			for _, form := range []string{
				line, url.QueryEscape(line), url.PathEscape(line), base64.StdEncoding.EncodeToString([]byte(line)),
			} {
				if !slices.Contains(r.secrets, form) {
					r.secrets = append(r.secrets, form)
				}
			}
		}
	}
	slices.SortFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
}

// clean returns text without secrets.
func (r *redactor) clean(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.secrets {
		text = strings.ReplaceAll(text, s, redacted)
	}
	text = userinfo.ReplaceAllString(text, "${1}"+redacted+"@")
	return authorization.ReplaceAllString(text, "${1}${2}"+redacted)
}
