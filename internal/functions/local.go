package functions

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Local returns the paths of the bootstrap binaries for this machine, by name:
// from the folder that DRAWBRIDGE_FUNCTIONS names, built anew from the source tree
// if there is one, or from dist/ beside the program as make lambdas leaves them.
// cleanup removes what was built.
func Local(ctx context.Context) (paths map[string]string, cleanup func(), err error) {
	none := func() {}
	if dir := os.Getenv(FolderVariable); dir != "" {
		paths, err = in(dir)
		return paths, none, err
	}
	if root := sourceTree(); root != "" {
		dir, err := os.MkdirTemp("", "drawbridge-functions-")
		if err != nil {
			return nil, none, err
		}
		cleanup = func() { _ = os.RemoveAll(dir) } // a temporary folder
		if err := build(ctx, root, dir, runtime.GOOS, runtime.GOARCH); err != nil {
			cleanup()
			return nil, none, err
		}
		paths, err = in(dir)
		return paths, cleanup, err
	}
	places := []string{"."}
	if exe, err := os.Executable(); err == nil {
		places = append(places, filepath.Dir(exe))
	}
	for _, start := range places {
		if paths, err := in(filepath.Join(start, "dist", runtime.GOARCH)); err == nil {
			return paths, none, nil
		}
	}
	return nil, none, &MissingError{}
}

func in(dir string) (map[string]string, error) {
	paths := map[string]string{}
	for _, name := range Names {
		paths[name] = filepath.Join(dir, name, "bootstrap")
		if _, err := os.Stat(paths[name]); err != nil {
			return nil, fmt.Errorf("find the functions in %s: %w", dir, err)
		}
	}
	return paths, nil
}
