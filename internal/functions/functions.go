// Package functions holds the code of the Lambda functions: embedded in the
// command line, built from the source tree, or read from a folder.
package functions

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"drawbridge/internal/hint"
)

// Names are the functions' names: those of their folders under cmd.
var Names = []string{"hook", "launcher", "reaper", "webhook"}

// embedded holds a zip for each of them if the binary was built by make build.
//
//go:embed zips
var embedded embed.FS

// FolderVariable is the environment variable that names a folder with the binaries
// hook/bootstrap, launcher/bootstrap, reaper/bootstrap and webhook/bootstrap.
const FolderVariable = "DRAWBRIDGE_FUNCTIONS"

// Code is a function's program.
type Code struct {
	// Bootstrap is the binary.
	Bootstrap []byte
	// Architecture is arm64 or x86_64, as Lambda names them.
	Architecture string
}

// Load returns the code of all functions: from folder if one is given, else as
// embedded, else built for arm64 from the source tree around the working folder or the
// program. elsewhere names the source of code that is not embedded; "" for embedded
// code.
func Load(ctx context.Context, folder string) (code map[string]Code, elsewhere string, err error) {
	if folder != "" {
		code, err = fromFolder(folder)
		return code, "the folder " + folder, err
	}
	if code, err = fromEmbedded(); err != nil || code != nil {
		return code, "", err
	}
	root := sourceTree()
	if root == "" {
		return nil, "", hint.New("find the functions: this drawbridge was built without them",
			"run make build, or pass "+
				"the folder with hook/bootstrap, launcher/bootstrap, reaper/bootstrap and webhook/bootstrap with "+
				"--functions or "+
				FolderVariable)
	}
	dir, err := os.MkdirTemp("", "drawbridge-functions-")
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	if err := build(ctx, root, dir, "linux", "arm64"); err != nil {
		return nil, "", err
	}
	code, err = fromFolder(dir)
	return code, "the source tree " + root, err
}

func fromFolder(folder string) (map[string]Code, error) {
	out := map[string]Code{}
	for _, name := range Names {
		b, err := os.ReadFile(filepath.Join(folder, name, "bootstrap"))
		if err != nil {
			return nil, fmt.Errorf("read the functions: %w", err)
		}
		if out[name], err = codeOf(name, b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fromEmbedded() (map[string]Code, error) {
	out := map[string]Code{}
	for _, name := range Names {
		b, err := embedded.ReadFile("zips/" + name + ".zip")
		if err != nil {
			return nil, nil // not embedded
		}
		r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return nil, fmt.Errorf("read the embedded %s: %w", name, err)
		}
		f, err := r.Open("bootstrap")
		if err != nil {
			return nil, fmt.Errorf("read the embedded %s: %w", name, err)
		}
		bootstrap, err := io.ReadAll(f)
		if err != nil {
			return nil, fmt.Errorf("read the embedded %s: %w", name, err)
		}
		if out[name], err = codeOf(name, bootstrap); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// codeOf reads the architecture of a binary.
func codeOf(name string, bootstrap []byte) (Code, error) {
	f, err := elf.NewFile(bytes.NewReader(bootstrap))
	if err != nil {
		return Code{}, fmt.Errorf("read %s: not a program for Linux: %w", name, err)
	}
	architecture, ok := map[elf.Machine]string{elf.EM_AARCH64: "arm64", elf.EM_X86_64: "x86_64"}[f.Machine]
	if !ok {
		return Code{}, fmt.Errorf("read %s: Lambda does not support %s", name, f.Machine)
	}
	return Code{bootstrap, architecture}, nil
}

// epoch is the time of every entry of a zip: the earliest that a zip can hold.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Zip packs a function with its configuration file. The same input always gives
// the same bytes.
func Zip(bootstrap, config []byte) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range []struct {
		name string
		mode os.FileMode
		body []byte
	}{{"bootstrap", 0o755, bootstrap}, {"drawbridge.yaml", 0o644, config}} {
		if f.body == nil {
			continue
		}
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: epoch}
		h.SetMode(f.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := w.Write(f.body); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}

// Key returns the key of a zip in the bucket: it names the content, so that new
// code is always a new key.
func Key(name string, zipped []byte) string {
	sum := sha256.Sum256(zipped)
	return name + "/" + hex.EncodeToString(sum[:16]) + ".zip"
}

// sourceTree returns the folder of this project's sources above the working
// folder or the program, or "".
func sourceTree() string {
	places := []string{"."}
	if exe, err := os.Executable(); err == nil {
		places = append(places, filepath.Dir(exe))
	}
	for _, start := range places {
		dir, err := filepath.Abs(start)
		for err == nil {
			b, readErr := os.ReadFile(filepath.Join(dir, "go.mod"))
			_, noLauncher := os.Stat(filepath.Join(dir, "cmd", "launcher"))
			if readErr == nil && noLauncher == nil && strings.HasPrefix(string(b), "module drawbridge\n") {
				return dir
			}
			up := filepath.Dir(dir)
			if up == dir {
				break
			}
			dir = up
		}
	}
	return ""
}

// build compiles the functions as make lambdas does, into dir/NAME/bootstrap.
func build(ctx context.Context, root, dir, goos, goarch string) error {
	for _, name := range Names {
		out := filepath.Join(dir, name, "bootstrap")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc",
			"-ldflags", "-s -w -buildid=", "-o", out, "./cmd/"+name)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build cmd/%s: %w\n%s", name, err, text)
		}
	}
	return nil
}
