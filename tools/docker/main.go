// Command docker is what the examples call as docker where a machine has no engine: login,
// build and push. It builds images that begin FROM scratch, and pushes them to the registry of
// the sandbox that AWS_ENDPOINT_URL names, whatever their host.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	if err := run(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "docker:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader) error {
	if len(args) == 0 {
		return errors.New("want login, build or push")
	}
	switch args[0] {
	case "login":
		return login(args[1:], in)
	case "build":
		return build(args[1:])
	case "push":
		return push(args[len(args)-1])
	}
	return fmt.Errorf("%s is not done here (want login, build or push)", args[0])
}

// at is a file that is kept between calls.
func at(name string) string {
	return filepath.Join(os.TempDir(), "docker-"+strings.NewReplacer("/", "_", ":", "_").Replace(name))
}

// login keeps the password that is given on stdin.
func login(args []string, in io.Reader) error {
	host := args[len(args)-1]
	password, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	return os.WriteFile(at("password-"+host), bytes.TrimSpace(password), 0o600)
}

// build builds the image of a Dockerfile that begins FROM scratch and copies.
func build(args []string) error {
	var tag, folder string
	file := "Dockerfile"
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-t" || args[i] == "--tag":
			i, tag = i+1, args[i+1]
		case args[i] == "-f" || args[i] == "--file":
			i, file = i+1, args[i+1]
		case args[i] == "--platform":
			i++
		case strings.HasPrefix(args[i], "-"):
			return fmt.Errorf("build: %s is not done here", args[i])
		default:
			folder = args[i]
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		return err
	}
	image, err := imageOf(string(text), folder)
	if err != nil {
		return err
	}
	ref, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	fmt.Println("built", tag)
	return tarball.WriteToFile(at(tag), ref, image)
}

// imageOf is the image of a Dockerfile.
func imageOf(text, folder string) (v1.Image, error) {
	image, config := v1.Image(empty.Image), v1.Config{}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		var err error
		switch strings.ToUpper(verb) {
		case "":
		case "FROM":
			if rest != "scratch" {
				err = errors.New("only FROM scratch is done here")
			}
		case "COPY":
			from, to, _ := strings.Cut(rest, " ")
			image, err = copied(image, filepath.Join(folder, from), strings.TrimSpace(to))
		case "ENTRYPOINT":
			err = json.Unmarshal([]byte(rest), &config.Entrypoint)
		case "CMD":
			err = json.Unmarshal([]byte(rest), &config.Cmd)
		case "ENV":
			config.Env = append(config.Env, rest)
		case "USER":
			config.User = rest
		case "EXPOSE":
			config.ExposedPorts = map[string]struct{}{rest + "/tcp": {}}
		default:
			if !strings.HasPrefix(line, "#") {
				err = errors.New("not done here")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
	}
	return mutate.Config(image, config)
}

// copied adds a layer with a file or a folder.
func copied(image v1.Image, from, to string) (v1.Image, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err := filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h := &tar.Header{
			Name: strings.TrimPrefix(path.Join(to, filepath.ToSlash(rel)), "/"), Mode: int64(info.Mode().Perm()),
			Size: int64(len(content)), Typeflag: tar.TypeReg,
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
	if err != nil {
		return nil, err
	}
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, made)
}

// push pushes an image to the sandbox.
func push(tag string) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	image, err := tarball.ImageFromPath(at(tag), &ref)
	if err != nil {
		return err
	}
	password, err := os.ReadFile(at("password-" + ref.RegistryStr()))
	if err != nil {
		return fmt.Errorf("no basic auth credentials: %w", err)
	}
	sandbox, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL"))
	if err != nil {
		return err
	}
	there, err := name.NewTag(sandbox.Host+"/"+ref.RepositoryStr()+":"+ref.TagStr(), name.Insecure)
	if err != nil {
		return err
	}
	auth := remote.WithAuth(&authn.Basic{Username: "AWS", Password: string(password)})
	if err := remote.Write(there, image, auth); err != nil {
		return err
	}
	digest, err := image.Digest()
	fmt.Printf("%s: digest: %s\n", ref.TagStr(), digest)
	return err
}
