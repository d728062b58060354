// Package image puts the mirror's image, as a release holds it, into a registry. It needs no Docker engine.
package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
)

// TagAnnotation is the annotation by which an OCI layout names an image.
//
// Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md
const TagAnnotation = "org.opencontainers.image.ref.name"

// Layout is an OCI layout that was unpacked from its file.
type Layout struct {
	// Tag is the tag that the layout gives its image.
	Tag string
	// Digest is the image's, as sha256:HEX.
	Digest string

	index  v1.ImageIndex
	folder string
}

// notAnImage is the remedy for a file that holds something else.
const notAnImage = "give the file drawbridge-mirror_VERSION.oci.tar of a release, or the one that make image writes"

// Open unpacks a tar file with an OCI layout that holds one image, for several architectures. Close removes what was
// unpacked.
func Open(file string) (*Layout, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	folder, err := os.MkdirTemp("", "drawbridge-image-")
	if err != nil {
		return nil, err
	}
	out := &Layout{folder: folder}
	err = unpack(in, folder)
	if err == nil {
		err = out.read()
	}
	if errors.Is(err, syscall.ENOSPC) {
		out.Close()
		return nil, hint.With(fmt.Errorf("unpack %s: %w", file, err), "free 100 MB, or name another folder by TMPDIR")
	}
	if err != nil {
		out.Close()
		return nil, hint.With(fmt.Errorf("%s holds no image: %w", file, err), notAnImage)
	}
	return out, nil
}

// Close removes what was unpacked.
func (l *Layout) Close() { _ = os.RemoveAll(l.folder) } // temporary files

func (l *Layout) read() error {
	all, err := layout.ImageIndexFromPath(l.folder)
	if err != nil {
		return err
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		return err
	}
	if len(manifest.Manifests) != 1 || !manifest.Manifests[0].MediaType.IsIndex() {
		return errors.New("its layout does not list one image by its architectures")
	}
	only := manifest.Manifests[0]
	l.Tag, l.Digest = only.Annotations[TagAnnotation], only.Digest.String()
	if l.index, err = all.ImageIndex(only.Digest); err != nil {
		return err
	}
	text, err := l.index.RawManifest()
	if err != nil {
		return err
	}
	if found, _, err := v1.SHA256(bytes.NewReader(text)); err != nil || found != only.Digest {
		return errors.Join(err, fmt.Errorf("its list of images is not %s", only.Digest))
	}
	return validate.Index(l.index)
}

// Has reports whether the image is there for an architecture, as Fargate calls it: arm64 or x86_64.
func (l *Layout) Has(architecture string) bool {
	if architecture == "x86_64" {
		architecture = "amd64"
	}
	manifest, err := l.index.IndexManifest()
	return err == nil && slices.ContainsFunc(manifest.Manifests, func(d v1.Descriptor) bool {
		return d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == architecture
	})
}

// unpack writes the files of a tar file below a folder, and nothing beyond it.
func unpack(in io.Reader, folder string) error {
	to, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer to.Close()
	for files := tar.NewReader(in); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := to.MkdirAll(filepath.Dir(filepath.FromSlash(h.Name)), 0o700); err != nil {
			return err
		}
		f, err := to.Create(filepath.FromSlash(h.Name))
		if err != nil {
			return err
		}
		_, err = io.Copy(f, files)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}

// Target is where an image goes.
type Target struct {
	// Repository is the repository's name in the registry, and Tag the image's there.
	Repository, Tag string
	// Endpoint is the address of a registry that is called in place of ECR's, as a sandbox's; empty for ECR's.
	Endpoint string
	// DryRun has everything looked at and nothing pushed.
	DryRun bool
}

// Push pushes an image to a repository of ECR. It reports whether anything had to be pushed: an image that is there
// under the tag already is left alone, and another one there is an error, as tags of the mirror's repository are
// immutable.
func (l *Layout) Push(ctx context.Context, api *ecr.Client, t Target, through http.RoundTripper) (pushed bool, err error) {
	registry, auth, err := login(ctx, api, t.Endpoint)
	if err != nil {
		return false, err
	}
	var options []name.Option
	if strings.HasPrefix(registry, "http://") {
		options = append(options, name.Insecure)
	}
	_, host, _ := strings.Cut(registry, "://")
	tag, err := name.NewTag(host+"/"+t.Repository+":"+t.Tag, append(options, name.StrictValidation)...)
	if err != nil {
		return false, hint.With(fmt.Errorf("tag %q cannot be used: %w", t.Tag, err), "give another one by --tag")
	}
	with := []remote.Option{remote.WithContext(ctx), remote.WithAuth(auth), remote.WithTransport(through)}
	there, err := remote.Get(tag, with...)
	switch {
	case err == nil && there.Digest.String() == l.Digest:
		return false, nil
	case err == nil:
		return false, hint.With(fmt.Errorf("repository %s has another image with the tag %s: %s", t.Repository, t.Tag,
			there.Digest), "tags are immutable there: give this one another by --tag")
	case !missing(err):
		return false, refused(err, t.Repository)
	}
	if t.DryRun {
		return true, nil
	}
	if err := remote.WriteIndex(tag, l.index, with...); err != nil {
		return false, refused(err, t.Repository)
	}
	return true, nil
}

// login returns the registry's address and the credentials of an authorization token for it.
func login(ctx context.Context, api *ecr.Client, endpoint string) (registry string, auth authn.Authenticator, err error) {
	out, err := api.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return "", nil, awserr.Mark(err, "ask for an authorization token of the registry")
	}
	if len(out.AuthorizationData) == 0 {
		return "", nil, errors.New("ECR gave no authorization token")
	}
	data := out.AuthorizationData[0]
	text, err := base64.StdEncoding.DecodeString(aws.ToString(data.AuthorizationToken))
	if err != nil {
		return "", nil, errors.New("ECR's authorization token cannot be read")
	}
	user, password, _ := strings.Cut(string(text), ":")
	if endpoint == "" {
		endpoint = aws.ToString(data.ProxyEndpoint)
	}
	return endpoint, &authn.Basic{Username: user, Password: password}, nil
}

// missing reports whether the registry has no such image, or no such repository.
func missing(err error) bool {
	var t *transport.Error
	return errors.As(err, &t) && t.StatusCode == http.StatusNotFound
}

// refused gives what a registry says a remedy.
func refused(err error, repository string) error {
	err = fmt.Errorf("push the image to repository %s: %w", repository, err)
	var t *transport.Error
	if !errors.As(err, &t) {
		return err
	}
	switch t.StatusCode {
	case http.StatusBadRequest:
		return hint.With(err, "if the tag was taken meanwhile, give the image another by --tag")
	case http.StatusNotFound:
		return hint.With(err, "drawbridge deploy makes the repository, if the configuration has a mirror")
	case http.StatusForbidden:
		return hint.With(err, "whoever pushes needs the statements of docs/policies/image-publisher.json")
	}
	return err
}
