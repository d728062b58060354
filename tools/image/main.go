// Command image builds the mirror's image for arm64 and amd64 without a Docker engine: Debian's packages, unpacked by
// mmdebstrap, and on top of them the mirror's program. The same packages and the same commit give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"drawbridge/internal/mirror/image"
)

const (
	// suite is the Debian release, whose security updates are taken as they are on the day of the build. The image lists
	// its packages with their versions in /var/lib/dpkg/status.
	suite = "bookworm"
	// packages are git and ssh, what the hook of a push calls, the authorities that git trusts, and what tells scanners
	// which Debian it is.
	packages = "git,openssh-client,ca-certificates,dash,coreutils,diffutils,base-files"
	// user is the image's user, and its group. mmdebstrap's hook gives it a name, which ssh asks for.
	user = "10001:10001"
)

// excluded is left out of the packages: documents, character sets, servers and other parts of git that the mirror does
// not use, and perl, in which some of them are written.
var excluded = []string{
	"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/perl*", "/usr/lib/*/perl*",
	"/usr/lib/*/libperl*", "/usr/bin/perl*", "/usr/lib/*/gconv/*", "/usr/lib/git-core/git-daemon",
	"/usr/lib/git-core/git-http-backend", "/usr/lib/git-core/git-http-push", "/usr/lib/git-core/git-imap-send",
	"/usr/lib/git-core/git-sh-i18n--envsubst", "/usr/lib/git-core/scalar", "/usr/lib/git-core/git-shell", "/usr/bin/scalar",
	"/usr/bin/git-shell",
}

// compressed has a layer compressed once, and as well as gzip can.
var compressed = []tarball.LayerOption{
	tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching,
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: image FILE VERSION COMMIT-TIME (seconds since 1970), with the programs in dist/")
		os.Exit(2)
	}
	if err := build(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// build writes the image for both architectures to a tar file with an OCI layout.
func build(file, version, commitTime string) error {
	seconds, err := strconv.ParseInt(commitTime, 10, 64)
	if err != nil {
		return fmt.Errorf("the commit's time: %w", err)
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return errors.New("missing on this machine: mmdebstrap; install with: apt-get install mmdebstrap")
	}
	work, err := os.MkdirTemp("", "mirror-image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // temporary files
	index := v1.ImageIndex(mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	for _, arch := range []string{"amd64", "arm64"} {
		root := filepath.Join(work, arch+".tar")
		if err := unpack(arch, root, commitTime); err != nil {
			return err
		}
		made, err := imageOf(arch, root, version, time.Unix(seconds, 0).UTC())
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: made, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	folder := filepath.Join(work, "layout")
	to, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	if err := to.AppendIndex(index, layout.WithAnnotations(map[string]string{image.TagAnnotation: version})); err != nil {
		return err
	}
	return pack(folder, file, time.Unix(seconds, 0).UTC())
}

// unpack writes the packages of an architecture, as a root folder, to a tar file.
func unpack(arch, to, commitTime string) error {
	args := []string{
		"--quiet", "--variant=extract", "--architectures=" + arch, "--include=" + packages,
		"--extract-hook=tools/image/finish.sh",
	}
	for _, pattern := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+pattern)
	}
	args = append(args, "--dpkgopt=path-include=/usr/share/doc/*/copyright", suite, to)
	cmd := exec.CommandContext(context.Background(), "mmdebstrap", args...)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+commitTime)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, &said)
	}
	return nil
}

// imageOf is the image of an architecture.
func imageOf(arch, root, version string, created time.Time) (v1.Image, error) {
	system, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return clean(root) },
		compressed...)
	if err != nil {
		return nil, err
	}
	program, err := programLayer(filepath.Join("dist", arch, "mirror", "mirror"), created)
	if err != nil {
		return nil, err
	}
	made := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if made, err = mutate.AppendLayers(made, system, program); err != nil {
		return nil, err
	}
	config, err := made.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, v1.Time{Time: created}
	for i := range config.History {
		config.History[i].Created = v1.Time{Time: created}
	}
	config.Config = v1.Config{
		User: user, WorkingDir: "/tmp", Entrypoint: []string{"/usr/local/bin/mirror"}, Cmd: []string{"run"},
		Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
		Labels: map[string]string{
			"org.opencontainers.image.title": "drawbridge-mirror", "org.opencontainers.image.version": version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(made, config)
}

// clean reads a root folder without what whoever runs the image provides: devices, and the name and the resolvers of
// the machine, which here are those of the machine that builds.
func clean(root string) (io.ReadCloser, error) {
	from, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	out, in := io.Pipe()
	go func() {
		defer from.Close()
		to := tar.NewWriter(in)
		err := copyFiles(tar.NewReader(from), to)
		if err == nil {
			err = to.Close()
		}
		in.CloseWithError(err)
	}()
	return out, nil
}

func copyFiles(from *tar.Reader, to *tar.Writer) error {
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		ofMachine := slices.Contains([]string{"./etc/hostname", "./etc/resolv.conf"}, h.Name)
		if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock || ofMachine {
			continue
		}
		if err := to.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
	}
}

// programLayer holds the mirror's program, its licence and those of what is inside it.
func programLayer(program string, created time.Time) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	const documents = "usr/share/doc/drawbridge-mirror/"
	for _, f := range []struct {
		name, from string // from nowhere: a folder
		mode       int64
	}{
		{"usr/", "", 0o755}, {"usr/local/", "", 0o755}, {"usr/local/bin/", "", 0o755},
		{"usr/local/bin/mirror", program, 0o755},
		{"usr/share/", "", 0o755}, {"usr/share/doc/", "", 0o755}, {documents, "", 0o755},
		{documents + "LICENSE", "LICENSE", 0o644},
		{documents + "THIRD_PARTY_NOTICES", "build/THIRD_PARTY_NOTICES", 0o644},
	} {
		h := &tar.Header{Name: f.name, Typeflag: tar.TypeDir, Mode: f.mode, ModTime: created}
		var content []byte
		if f.from != "" {
			var err error
			if content, err = os.ReadFile(f.from); err != nil {
				return nil, fmt.Errorf("%w (make image builds it)", err)
			}
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(out.Bytes())), nil
	}, compressed...)
}

// pack writes a folder to a tar file, in the order of its names.
func pack(folder, file string, modified time.Time) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		h := &tar.Header{
			Name: filepath.ToSlash(name), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content)), ModTime: modified,
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err == nil {
		err = w.Close()
	}
	return errors.Join(err, out.Close())
}
