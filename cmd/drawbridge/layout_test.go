package main

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
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

// layoutCmd writes an image as make image does, of nothing in particular: layout FILE TAG ARCHITECTURE,...
func layoutCmd(ts *testscript.TestScript, _ bool, args []string) {
	index := v1.ImageIndex(mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	for _, arch := range strings.Split(args[2], ",") {
		made, err := random.Image(100, 1)
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
