package kernel

import (
	"mime"
	"net"
	"net/http"
	"strings"
)

// forbidden returns why a request is refused: it may come from a web page in a browser
// on this machine, through a name that resolves here or a request that needs no
// permission. Programs send no such requests.
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
		return "call the sandbox by IP address or as localhost, not as " + host
	case r.Header.Get("Origin") != "":
		return "the sandbox does not serve browser pages (Origin)"
	case site != "" && site != "none" && site != "same-origin":
		return "the sandbox does not serve browser pages (Sec-Fetch-Site)"
	case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/_sim/") && kind != "application/json":
		return "send Content-Type: application/json"
	}
	return ""
}

// GitRoot is the path of git repositories.
const GitRoot = "/v1/repos/"
