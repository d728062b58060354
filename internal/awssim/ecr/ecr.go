// Package ecr simulates ECR: repositories and the images in them.
package ecr

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// imageRepository is a repository of ECR.
type imageRepository struct {
	name      string
	created   time.Time
	Immutable bool
	scan      bool
	images    []*Image
}

// Image is an image in a repository.
type Image struct {
	Digest, manifest string
	tags             []string
	Pushed           time.Time
}

// Service is the simulated ECR.
type Service struct {
	*kernel.Kernel

	repositories []*imageRepository
	store        *store
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k}
	k.Register(&kernel.API{Name: "ecr", Endpoint: "ecr.api", Asks: s.questions,
		Prefix: "AmazonEC2ContainerRegistry_V20150921", Protocol: kernel.JSON11,
		Ops: map[string]kernel.Operation{
			"CreateRepository":      kernel.Op(s.createImageRepository),
			"DescribeRepositories":  kernel.Op(s.describeImageRepositories),
			"DeleteRepository":      kernel.Op(s.deleteImageRepository),
			"PutImage":              kernel.Op(s.putImage),
			"GetAuthorizationToken": kernel.Op(s.authorizationToken),
			"DescribeImages":        kernel.Op(s.describeImages),
			"ListTagsForResource":   kernel.Op(s.listImageTags),
			"TagResource":           kernel.Op(s.tagImages),
			"UntagResource":         kernel.Op(s.untagImages),
		}})
	return s
}

// questions asks for repositories by name, as ECR's actions have it.
func (s *Service) questions(c *kernel.Call) []kernel.Question {
	switch {
	case c.Field("repositoryName") != "":
		return []kernel.Question{kernel.May(c.Permission(), s.RepositoryARN(c.Field("repositoryName")))}
	case c.Field("resourceArn") != "":
		return []kernel.Question{kernel.May(c.Permission(), c.Field("resourceArn"))}
	}
	return []kernel.Question{kernel.May(c.Permission(), "*")}
}

// RepositoryARN returns the ARN of a repository by its name.
func (s *Service) RepositoryARN(name string) string { return s.ARN("ecr", "repository/"+name) }

// RepositoryURI returns the URI of a repository by its name.
func (s *Service) RepositoryURI(name string) string {
	return s.Options.Account + ".dkr.ecr." + s.Suffix() + "/" + name
}

// ImageRepository finds a repository by name or ARN, or nil.
func (s *Service) ImageRepository(name string) (*imageRepository, error) {
	if r := kernel.Find(s.repositories, func(r *imageRepository) bool {
		return r.name == name || s.RepositoryARN(r.name) == name
	}); r != nil {
		return r, nil
	}
	return nil, kernel.Errorf("RepositoryNotFoundException",
		"The repository with name '%s' does not exist in the registry with id '%s'", name, s.Options.Account)
}

// AddRepository creates a repository, or returns the existing one.
func (s *Service) AddRepository(name string) *imageRepository {
	if r, err := s.ImageRepository(name); err == nil {
		return r
	}
	r := &imageRepository{name: name, created: s.Clock.Now()}
	s.repositories = append(s.repositories, r)
	return r
}

// RemoveRepository deletes a repository by its name.
func (s *Service) RemoveRepository(name string) {
	delete(s.Tags, s.RepositoryARN(name))
	s.repositories = slices.DeleteFunc(s.repositories, func(r *imageRepository) bool { return r.name == name })
}

func (r *imageRepository) find(tag, digest string) *Image {
	return kernel.Find(r.images, func(i *Image) bool {
		return (tag == "" || slices.Contains(i.tags, tag)) && (digest == "" || i.Digest == digest)
	})
}

// Add puts an image into a repository under a tag, which another image loses.
func (r *imageRepository) Add(i *Image, tag string) {
	if old := r.find("", i.Digest); old != nil {
		i = old
	} else {
		r.images = append(r.images, i)
	}
	if tag == "" {
		return
	}
	for _, o := range r.images {
		o.tags = slices.DeleteFunc(o.tags, func(t string) bool { return t == tag })
	}
	i.tags = append(i.tags, tag)
}

type imageRepositoryJSON struct {
	RepositoryArn  string       `json:"repositoryArn"`
	RegistryID     string       `json:"registryId"`
	RepositoryName string       `json:"repositoryName"`
	RepositoryURI  string       `json:"repositoryUri"`
	CreatedAt      kernel.Stamp `json:"createdAt"`
	Mutability     string       `json:"imageTagMutability"`
	Scanning       struct {
		ScanOnPush bool `json:"scanOnPush"`
	} `json:"imageScanningConfiguration"`
	Encryption struct {
		Type string `json:"encryptionType"`
	} `json:"encryptionConfiguration"`
}

func (s *Service) imageRepositoryJSON(r *imageRepository) imageRepositoryJSON {
	j := imageRepositoryJSON{
		RepositoryArn: s.RepositoryARN(r.name), RegistryID: s.Options.Account, RepositoryName: r.name,
		RepositoryURI: s.RepositoryURI(r.name), CreatedAt: kernel.Stamp{Time: r.created}, Mutability: "MUTABLE",
	}
	if r.Immutable {
		j.Mutability = "IMMUTABLE"
	}
	j.Scanning.ScanOnPush, j.Encryption.Type = r.scan, "AES256"
	return j
}

type imageRepositoryReply struct {
	Repository imageRepositoryJSON `json:"repository"`
}

var imageRepositoryName = regexp.MustCompile(`^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

func (s *Service) createImageRepository(_ *kernel.Call, in *struct {
	RegistryID                 string `json:"registryId"`
	RepositoryName             string
	Tags                       kernel.TagList
	ImageTagMutability         string
	ImageScanningConfiguration struct{ ScanOnPush bool }
	EncryptionConfiguration    struct{ EncryptionType string }
}) (*imageRepositoryReply, error) {
	if len(in.RepositoryName) < 2 || len(in.RepositoryName) > 256 ||
		!imageRepositoryName.MatchString(in.RepositoryName) {
		return nil, kernel.Errorf("InvalidParameterException",
			"Invalid parameter at 'repositoryName' failed to satisfy constraint: "+
				"'must satisfy regular expression '%s''",
			imageRepositoryName)
	}
	if t := in.EncryptionConfiguration.EncryptionType; t != "" && t != "AES256" {
		return nil, kernel.Errorf("ValidationException", "the sandbox does not simulate ECR's encryption by %s", t)
	}
	if _, err := s.ImageRepository(in.RepositoryName); err == nil {
		return nil, kernel.Errorf("RepositoryAlreadyExistsException",
			"The repository with name '%s' already exists in the registry with id '%s'", in.RepositoryName,
			s.Options.Account)
	}
	r := s.AddRepository(in.RepositoryName)
	r.Immutable, r.scan = in.ImageTagMutability == "IMMUTABLE", in.ImageScanningConfiguration.ScanOnPush
	s.TagResource(s.RepositoryARN(r.name), in.Tags.ByKey())
	return &imageRepositoryReply{s.imageRepositoryJSON(r)}, nil
}

func (s *Service) describeImageRepositories(_ *kernel.Call, in *struct {
	RegistryID      string `json:"registryId"`
	RepositoryNames []string
	NextToken       string
	MaxResults      int
}) (*struct {
	Repositories []imageRepositoryJSON `json:"repositories"`
}, error) {
	out := &struct {
		Repositories []imageRepositoryJSON `json:"repositories"`
	}{[]imageRepositoryJSON{}}
	for _, name := range in.RepositoryNames {
		if _, err := s.ImageRepository(name); err != nil {
			return nil, err
		}
	}
	for _, r := range s.repositories {
		if len(in.RepositoryNames) == 0 || slices.Contains(in.RepositoryNames, r.name) {
			out.Repositories = append(out.Repositories, s.imageRepositoryJSON(r))
		}
	}
	return out, nil
}

func (s *Service) deleteImageRepository(_ *kernel.Call, in *struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string
	Force          bool
}) (*imageRepositoryReply, error) {
	r, err := s.ImageRepository(in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if len(r.images) > 0 && !in.Force {
		return nil, kernel.Errorf("RepositoryNotEmptyException",
			"The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images",
			r.name, s.Options.Account)
	}
	s.RemoveRepository(r.name)
	return &imageRepositoryReply{s.imageRepositoryJSON(r)}, nil
}

type imageID struct {
	Digest string `json:"imageDigest,omitempty"`
	Tag    string `json:"imageTag,omitempty"`
}

type putImageReply struct {
	Image struct {
		RegistryID     string  `json:"registryId"`
		RepositoryName string  `json:"repositoryName"`
		ImageID        imageID `json:"imageId"`
		Manifest       string  `json:"imageManifest"`
		MediaType      string  `json:"imageManifestMediaType"`
	} `json:"image"`
}

// putImage stores a manifest. Layers are not simulated: a manifest may name
// any.
func (s *Service) putImage(_ *kernel.Call, in *struct {
	RegistryID                                                                   string `json:"registryId"`
	RepositoryName, ImageManifest, ImageManifestMediaType, ImageTag, ImageDigest string
}) (*putImageReply, error) {
	r, err := s.ImageRepository(in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var manifest struct{ MediaType string }
	if json.Unmarshal([]byte(in.ImageManifest), &manifest) != nil {
		return nil, kernel.Errorf("InvalidParameterException",
			"Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'")
	}
	if in.ImageManifestMediaType == "" {
		in.ImageManifestMediaType = manifest.MediaType
	}
	sum := sha256.Sum256([]byte(in.ImageManifest))
	i := &Image{Digest: "sha256:" + hex.EncodeToString(sum[:]), manifest: in.ImageManifest, Pushed: s.Clock.Now()}
	if in.ImageDigest != "" && in.ImageDigest != i.Digest {
		return nil, kernel.Errorf("ImageDigestDoesNotMatchException",
			"The provided digest '%s' does not match the manifest's '%s'", in.ImageDigest, i.Digest)
	}
	if r.find(in.ImageTag, i.Digest) != nil {
		return nil, kernel.Errorf("ImageAlreadyExistsException",
			"Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with "+
				"id '%s'", i.Digest, in.ImageTag, r.name, s.Options.Account)
	}
	if r.Immutable && in.ImageTag != "" && r.find(in.ImageTag, "") != nil {
		return nil, kernel.Errorf("ImageTagAlreadyExistsException",
			"The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the "+
				"repository is immutable.", in.ImageTag, r.name)
	}
	r.Add(i, in.ImageTag)
	out := &putImageReply{}
	out.Image.RegistryID = s.Options.Account
	out.Image.RepositoryName = r.name
	out.Image.ImageID = imageID{i.Digest, in.ImageTag}
	out.Image.Manifest, out.Image.MediaType = in.ImageManifest, in.ImageManifestMediaType
	return out, nil
}

type imageJSON struct {
	RegistryID     string       `json:"registryId"`
	RepositoryName string       `json:"repositoryName"`
	ImageDigest    string       `json:"imageDigest"`
	ImageTags      []string     `json:"imageTags,omitempty"`
	PushedAt       kernel.Stamp `json:"imagePushedAt"`
}

func (s *Service) describeImages(_ *kernel.Call, in *struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
	ImageIDs       []struct {
		ImageTag    string `json:"imageTag"`
		ImageDigest string `json:"imageDigest"`
	} `json:"imageIds"`
	NextToken  string `json:"nextToken"`
	MaxResults int    `json:"maxResults"`
}) (*struct {
	ImageDetails []imageJSON `json:"imageDetails"`
}, error) {
	r, err := s.ImageRepository(in.RepositoryName)
	if err != nil {
		return nil, err
	}
	wanted := r.images
	if len(in.ImageIDs) > 0 {
		wanted = nil
	}
	for _, id := range in.ImageIDs {
		i := r.find(id.ImageTag, id.ImageDigest)
		if i == nil {
			digest, tag := "'"+id.ImageDigest+"'", "'"+id.ImageTag+"'"
			return nil, kernel.Errorf("ImageNotFoundException",
				"The image with imageId {imageDigest:%s, imageTag:%s} does not exist within the repository with "+
					"name '%s' in the registry with id '%s'",
				strings.Replace(digest, "''", "'null'", 1), strings.Replace(tag, "''", "'null'", 1), r.name,
				s.Options.Account)
		}
		wanted = append(wanted, i)
	}
	out := &struct {
		ImageDetails []imageJSON `json:"imageDetails"`
	}{[]imageJSON{}}
	for _, i := range wanted {
		out.ImageDetails = append(out.ImageDetails, imageJSON{
			s.Options.Account, r.name, i.Digest, i.tags, kernel.Stamp{Time: i.Pushed},
		})
	}
	return out, nil
}

func (s *Service) listImageTags(_ *kernel.Call, in *struct{ ResourceArn string }) (*struct {
	Tags kernel.TagList `json:"tags"`
}, error) {
	r, err := s.ImageRepository(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &struct {
		Tags kernel.TagList `json:"tags"`
	}{s.TagList(s.RepositoryARN(r.name))}, nil
}

func (s *Service) tagImages(_ *kernel.Call, in *struct {
	ResourceArn string
	Tags        kernel.TagList
}) (*struct{}, error) {
	if _, err := s.ImageRepository(in.ResourceArn); err != nil {
		return nil, err
	}
	s.TagResource(in.ResourceArn, in.Tags.ByKey())
	return &struct{}{}, nil
}

func (s *Service) untagImages(_ *kernel.Call, in *struct {
	ResourceArn string
	TagKeys     []string
}) (*struct{}, error) {
	if _, err := s.ImageRepository(in.ResourceArn); err != nil {
		return nil, err
	}
	s.UntagResource(in.ResourceArn, in.TagKeys)
	return &struct{}{}, nil
}
