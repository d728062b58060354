package webhook

import (
	"strings"
	"testing"
	"time"
)

// Whatever a report says, one whose signature does not fit is refused, and one that is signed is read or refused.
func FuzzReport(f *testing.F) {
	now := time.Date(2026, 5, 14, 9, 0, 10, 0, time.UTC)
	for _, in := range pushes(now, "refs/heads/main", after) {
		f.Add(in.RawPath, in.Body, "x-hub-signature-256", "sha256=00")
	}
	f.Add("/github", "payload=%7B%7D", "content-type", formEncoded)
	f.Fuzz(func(t *testing.T, path, body, name, value string) {
		provider := strings.TrimPrefix(path, "/")
		for _, kind := range []string{"github", "gitlab", "gitea", "bitbucket", "plain", provider} {
			r := report{header: map[string]string{strings.ToLower(name): value}, body: []byte(body)}
			if err := verify(kind, []byte("a secret that nobody guesses 4711"), r, now); err == nil {
				t.Errorf("%s: taken with the header %q: %q", kind, name, value)
			}
			if len(r.payload()) > len(body) {
				t.Errorf("%q holds %q", body, r.payload())
			}
		}
	})
}
