package kernel

import (
	"mime"
	"net"
	"net/http"
	"strings"
)

// forbidden says why a request is not served: it may come from a page in a browser on
// this machine, which reaches what listens here although its site never could, by a name
// that points here, or by a request that needs no permission. Programs send none of
// these.
//
// Source: https://fetch.spec.whatwg.org/#cors-safelisted-request-header
func forbidden(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	named := net.ParseIP(host) == nil && host != "localhost" && !strings.HasSuffix(host, ".localhost")
	git := strings.HasPrefix(r.URL.Path, GitRoot) && strings.HasPrefix(host, "git-codecommit.")
	site := r.Header.Get("Sec-Fetch-Site")
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case named && !git:
		return "the sandbox is reached by an address or as localhost, not as " + host
	case r.Header.Get("Origin") != "":
		return "the sandbox serves no pages of a browser (Origin)"
	case site != "" && site != "none" && site != "same-origin":
		return "the sandbox serves no pages of a browser (Sec-Fetch-Site)"
	case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/_sim/") && kind != "application/json":
		return "send Content-Type: application/json"
	}
	return ""
}

// GitRoot is where git finds repositories.
const GitRoot = "/v1/repos/"
