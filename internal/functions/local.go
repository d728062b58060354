package functions

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// Local returns the paths of the bootstrap binaries for this machine, by name: from
// the folder that DRAWBRIDGE_FUNCTIONS names, built from the source tree if there is
// one, from dist/ next to the program as make lambdas leaves them, or this program
// itself, which acts as each of them under the function's name. cleanup removes
// temporary files.
//
// from names the source used.
func Local(ctx context.Context) (paths map[string]string, from string, cleanup func(), err error) {
	none := func() {}
	if dir := os.Getenv(FolderVariable); dir != "" {
		paths, err = in(dir)
		return paths, "the folder " + dir, none, err
	}
	if root := sourceTree(); root != "" {
		dir, err := os.MkdirTemp("", "drawbridge-functions-")
		if err != nil {
			return nil, "", none, err
		}
		cleanup = func() { _ = os.RemoveAll(dir) } // a temporary folder
		if err := build(ctx, root, dir, runtime.GOOS, runtime.GOARCH); err != nil {
			cleanup()
			return nil, "", none, err
		}
		paths, err = in(dir)
		return paths, "the source tree " + root, cleanup, err
	}
	places := []string{"."}
	if exe, err := os.Executable(); err == nil {
		places = append(places, filepath.Dir(exe))
	}
	for _, start := range places {
		if paths, err := in(filepath.Join(start, "dist", runtime.GOARCH)); err == nil {
			return paths, "the folder " + filepath.Join(start, "dist", runtime.GOARCH), none, nil
		}
	}
	paths, cleanup, err = itself()
	return paths, "", cleanup, err
}

// itself returns links to this program, named after the functions.
func itself() (paths map[string]string, cleanup func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, func() {}, fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "drawbridge-functions-")
	if err != nil {
		return nil, func() {}, err
	}
	cleanup = func() { _ = os.RemoveAll(dir) } // a temporary folder
	paths = map[string]string{}
	for _, name := range Names {
		paths[name] = filepath.Join(dir, name)
		if err := os.Symlink(exe, paths[name]); err != nil {
			cleanup()
			return nil, func() {}, err
		}
	}
	return paths, cleanup, nil
}

// Called returns the function that this program was started as: the name of a function,
// under a Lambda runtime; "" for the command line.
func Called() string {
	name := filepath.Base(os.Args[0])
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" || !slices.Contains(Names, name) {
		return ""
	}
	return name
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
