package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// FunctionsVariable is the environment variable that names a folder with the
// binaries launcher/bootstrap and reaper/bootstrap.
const FunctionsVariable = "DRAWBRIDGE_FUNCTIONS"

// Bootstraps returns the paths of the two bootstrap binaries for this machine:
// from the folder that DRAWBRIDGE_FUNCTIONS names, built anew if the working
// folder or the program lies in the source tree, or from dist/ beside the program
// as make lambdas leaves them. The folder they lie in is removed by cleanup.
func Bootstraps(ctx context.Context) (launcher, reaper string, cleanup func(), err error) {
	none := func() {}
	if dir := os.Getenv(FunctionsVariable); dir != "" {
		launcher, reaper = filepath.Join(dir, "launcher", "bootstrap"), filepath.Join(dir, "reaper", "bootstrap")
		for _, p := range []string{launcher, reaper} {
			if _, err := os.Stat(p); err != nil {
				return "", "", none, fmt.Errorf("find the functions in %s: %w", dir, err)
			}
		}
		return launcher, reaper, none, nil
	}
	places := []string{"."}
	if exe, err := os.Executable(); err == nil {
		places = append(places, filepath.Dir(exe))
	}
	for _, start := range places {
		if root := moduleRoot(start); root != "" {
			return build(ctx, root)
		}
	}
	for _, start := range places {
		dir := filepath.Join(start, "dist", runtime.GOARCH)
		launcher, reaper = filepath.Join(dir, "launcher", "bootstrap"), filepath.Join(dir, "reaper", "bootstrap")
		if exists(launcher) && exists(reaper) {
			return launcher, reaper, none, nil
		}
	}
	return "", "", none, &missingError{}
}

type missingError struct{}

func (*missingError) Error() string { return "find the functions: no bootstrap binaries" }

// Hint returns the remedy.
func (*missingError) Hint() string {
	return "run make lambdas, or name the folder that holds launcher/bootstrap and reaper/bootstrap by " + FunctionsVariable
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// moduleRoot returns the folder of this project's sources above start, or "".
func moduleRoot(start string) string {
	dir, err := filepath.Abs(start)
	for err == nil {
		b, readErr := os.ReadFile(filepath.Join(dir, "go.mod"))
		if readErr == nil && strings.HasPrefix(string(b), "module drawbridge\n") {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
	return ""
}

// build compiles the functions as make lambdas does, into a temporary folder.
func build(ctx context.Context, root string) (launcher, reaper string, cleanup func(), err error) {
	dir, err := os.MkdirTemp("", "drawbridge-functions-")
	if err != nil {
		return "", "", func() {}, err
	}
	cleanup = func() { _ = os.RemoveAll(dir) } // a temporary folder
	paths := map[string]string{}
	for _, name := range []string{"launcher", "reaper"} {
		out := filepath.Join(dir, name, "bootstrap")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", out, "./cmd/"+name)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
		if text, err := cmd.CombinedOutput(); err != nil {
			cleanup()
			return "", "", func() {}, fmt.Errorf("build cmd/%s: %w\n%s", name, err, text)
		}
		paths[name] = out
	}
	return paths["launcher"], paths["reaper"], cleanup, nil
}
