package main

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"drawbridge/internal/mirror/image"
)

// layoutCmd writes an image as make image does, of nothing in particular, and if asked for spoils it:
// layout FILE TAG ARCHITECTURE,... [damaged|incomplete]
func layoutCmd(ts *testscript.TestScript, _ bool, args []string) {
	index := v1.ImageIndex(mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	for _, arch := range strings.Split(args[2], ",") {
		made, err := random.Image(100, 1)
		ts.Check(err)
		config, err := made.ConfigFile()
		ts.Check(err)
		config.OS, config.Architecture = "linux", arch
		made, err = mutate.ConfigFile(made, config)
		ts.Check(err)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: made, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	folder := ts.MkAbs(args[0]) + ".folder"
	to, err := layout.Write(folder, empty.Index)
	ts.Check(err)
	var named []layout.Option
	if args[1] != "" {
		named = append(named, layout.WithAnnotations(map[string]string{image.TagAnnotation: args[1]}))
	}
	ts.Check(to.AppendIndex(index, named...))
	if len(args) > 3 {
		digest, err := index.Digest()
		ts.Check(err)
		spoiled := filepath.Join(folder, "blobs", digest.Algorithm, digest.Hex)
		if args[3] == "incomplete" {
			layers, err := filepath.Glob(filepath.Join(folder, "blobs", "sha256", "*"))
			ts.Check(err)
			spoiled = layers[slices.IndexFunc(layers, func(path string) bool { return path != spoiled })]
			ts.Check(os.Remove(spoiled))
		} else {
			text, err := os.ReadFile(spoiled)
			ts.Check(err)
			ts.Check(os.WriteFile(spoiled, bytes.Replace(text, []byte("arm64"), []byte("arm65"), 1), 0o600))
		}
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	of := os.DirFS(folder)
	ts.Check(fs.WalkDir(of, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(of, name)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	}))
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o600))
}
