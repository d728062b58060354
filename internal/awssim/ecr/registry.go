package ecr

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"drawbridge/internal/awssim/iam"
	"drawbridge/internal/awssim/kernel"
)

// store is what docker speaks to: the registry of the account.
type store struct {
	*Service
	iam  *iam.Service
	blob http.Handler
}

// Serve has the account's registry answer below /v2/, to passwords of GetAuthorizationToken.
func (s *Service) Serve(roles *iam.Service) {
	s.store = &store{s, roles, registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	s.Paths["/v2/"] = s.store.serve
}

// password is the registry's password for a caller.
func (s *Service) password(key string) string {
	return base64.StdEncoding.EncodeToString([]byte(key + "/" + s.Digest("registry "+key, 32)))
}

type authorization struct {
	Token    string       `json:"authorizationToken"`
	Expires  kernel.Stamp `json:"expiresAt"`
	Endpoint string       `json:"proxyEndpoint"`
}

func (s *Service) authorizationToken(c *kernel.Call, _ *struct {
	RegistryIDs []string `json:"registryIds"`
}) (*struct {
	Data []authorization `json:"authorizationData"`
}, error) {
	return &struct {
		Data []authorization `json:"authorizationData"`
	}{[]authorization{{
		base64.StdEncoding.EncodeToString([]byte("AWS:" + s.password(c.AccessKey))),
		kernel.Stamp{Time: s.Clock.Now().Add(12 * time.Hour)},
		"https://" + s.Options.Account + ".dkr.ecr." + s.Suffix(),
	}}}, nil
}

// actions are the permissions that a request to the registry needs.
//
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
func actions(r *http.Request) []string {
	upload := strings.Contains(r.URL.Path, "/blobs/uploads")
	switch {
	case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/"):
		return []string{"ecr:BatchCheckLayerAvailability"}
	case strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet:
		return []string{"ecr:GetDownloadUrlForLayer"}
	case upload && r.Method == http.MethodPost:
		return []string{"ecr:InitiateLayerUpload"}
	case upload && r.Method == http.MethodPatch:
		return []string{"ecr:UploadLayerPart"}
	case upload:
		return []string{"ecr:CompleteLayerUpload"}
	case r.Method == http.MethodPut:
		return []string{"ecr:PutImage"}
	}
	return []string{"ecr:BatchGetImage"}
}

func (s *store) serve(w http.ResponseWriter, r *http.Request) {
	_, password, ok := r.BasicAuth()
	text, err := base64.StdEncoding.DecodeString(password)
	key, _, _ := strings.Cut(string(text), "/")
	s.Mu.Lock()
	known := ok && err == nil && password == s.password(key)
	unreachable := known && s.Unplugged(key, "ecr.dkr")
	s.Mu.Unlock()
	if !known {
		w.Header().Set("WWW-Authenticate", `Basic realm="https://`+s.Options.Account+".dkr.ecr."+s.Suffix()+
			`/",service="ecr.amazonaws.com"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "Not Authorized")
		return
	}
	if unreachable {
		panic(http.ErrAbortHandler) // no answer comes back
	}
	repository, kind, rest := split(r.URL.Path)
	if repository == "" {
		s.blob.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, kernel.MaxRequest))
	if err != nil {
		refuse(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID", err.Error())
		return
	}
	s.Mu.Lock()
	status, code, message := s.may(r, key, repository, kind, rest, body)
	s.Mu.Unlock()
	if status != 0 {
		refuse(w, status, code, message)
		return
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	out := httptest.NewRecorder()
	s.blob.ServeHTTP(out, r)
	if kind == "manifests" && r.Method == http.MethodPut && out.Code == http.StatusCreated {
		s.Mu.Lock()
		s.pushed(repository, rest, out.Header().Get("Docker-Content-Digest"), string(body))
		s.Mu.Unlock()
	}
	for k, v := range out.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(out.Code)
	_, _ = io.Copy(w, out.Body) // the client may be gone
}

// split is a path's repository, what of it is asked for, and which.
func split(path string) (repository, kind, rest string) {
	path = strings.TrimPrefix(path, "/v2/")
	for _, kind := range []string{"manifests", "blobs", "tags"} {
		if i := strings.LastIndex(path, "/"+kind+"/"); i > 0 {
			return path[:i], kind, path[i+len(kind)+2:]
		}
	}
	return "", "", ""
}

// may refuses what the caller's role may not do, and what the repository does not take; a
// status of 0 refuses nothing.
func (s *store) may(r *http.Request, key, repository, kind, tag string, body []byte) (status int, code,
	message string) {
	role := s.Principals[key].RoleARN()
	for _, action := range actions(r) {
		if role != "" && s.iam.Allows(role, kernel.May(action, s.RepositoryARN(repository))) != nil {
			return http.StatusForbidden, "DENIED", "User: " + role + " is not authorized to perform: " + action +
				" on resource: " + s.RepositoryARN(repository)
		}
	}
	images, err := s.ImageRepository(repository)
	if err != nil {
		return http.StatusNotFound, "NAME_UNKNOWN", "The repository with name '" + repository +
			"' does not exist in the registry with id '" + s.Options.Account + "'"
	}
	if kind == "manifests" && r.Method == http.MethodPut && images.Immutable && !strings.Contains(tag, ":") {
		if images.find(tag, "") != nil { // the same image as well
			return http.StatusBadRequest, "TAG_INVALID", "The image tag '" + tag + "' already exists in the '" +
				repository + "' repository and cannot be overwritten because the tag is immutable."
		}
	}
	return 0, "", ""
}

// pushed adds an image whose manifest was put.
func (s *store) pushed(repository, tag, digest, manifest string) {
	r, err := s.ImageRepository(repository)
	if err != nil {
		return // deleted meanwhile
	}
	if strings.Contains(tag, ":") {
		tag = "" // by digest
	}
	r.Add(&Image{Digest: digest, manifest: manifest, Pushed: s.Clock.Now()}, tag)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

// Pulled returns an image with its layers, by a reference to this account's registry; nil if
// it was not pushed with them. Of an image for several architectures, which has to have the task's, it is that of this
// machine, whose programs run here.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html
func (s *Service) Pulled(ref, architecture string) (v1.Image, error) {
	_, path, _ := strings.Cut(ref, "/")
	r, err := name.ParseReference("localhost/"+path, name.Insecure)
	if err != nil || s.store == nil {
		return nil, nil
	}
	got, err := remote.Get(r, remote.WithTransport(within{s.store.blob}),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return nil, nil
	}
	if got.MediaType.IsIndex() && !listed(got, architecture) {
		return nil, errors.New("pull image manifest has been retried 1 time(s): image Manifest does not contain " +
			"descriptor matching platform 'linux/" + architecture + "'")
	}
	return got.Image()
}

// listed reports whether an image is there for an architecture.
func listed(index *remote.Descriptor, architecture string) bool {
	all, err := index.ImageIndex()
	if err != nil {
		return false
	}
	manifest, err := all.IndexManifest()
	return err == nil && slices.ContainsFunc(manifest.Manifests, func(d v1.Descriptor) bool {
		return d.Platform != nil && d.Platform.Architecture == architecture
	})
}

// within carries requests to a handler of this process.
type within struct{ handler http.Handler }

func (t within) RoundTrip(r *http.Request) (*http.Response, error) {
	out := httptest.NewRecorder()
	t.handler.ServeHTTP(out, r)
	res := out.Result()
	res.Request = r
	return res, nil
}
