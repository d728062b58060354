// Package gitserver serves bare repositories over HTTP by git's own http-backend,
// for the simulated CodeCommit and for tests.
package gitserver

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"strings"
)

// Serve answers one request for the repositories in folder, whose paths begin with
// root. user is the authenticated user; with "" nothing can be pushed.
func Serve(w http.ResponseWriter, r *http.Request, root, folder, user string) {
	program, err := exec.LookPath("git")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	r = r.Clone(r.Context())
	r.TransferEncoding = nil // CGI has no chunked encoding, and http-backend reads to the end without a length
	settings := [][2]string{{"safe.directory", "*"}, {"core.fsync", "none"}, {"http.receivepack", "false"}}
	env := []string{
		"GIT_PROJECT_ROOT=" + folder, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + folder, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
	}
	if user != "" {
		env = append(env, "REMOTE_USER="+user)
		settings[2][1] = "true"
	}
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
	for i, kv := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, kv[0]),
			fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, kv[1]))
	}
	backend := &cgi.Handler{
		Path: program, Args: []string{"http-backend"}, Root: strings.TrimSuffix(root, "/"), Dir: folder, Env: env,
		Stderr: io.Discard,
	}
	backend.ServeHTTP(w, r)
}

// Pushes reports whether a request is part of a push.
func Pushes(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/git-receive-pack") || r.URL.Query().Get("service") == "git-receive-pack"
}
