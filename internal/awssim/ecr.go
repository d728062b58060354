package awssim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// imageRepository is a repository of ECR.
type imageRepository struct {
	name      string
	created   time.Time
	immutable bool
	scan      bool
	images    []*image
}

type image struct {
	digest, manifest string
	tags             []string
	pushed           time.Time
}

type ecrState struct {
	repositories []*imageRepository
}

func (s *Sim) newECR() *service {
	s.ecr = &ecrState{}
	return &service{name: "ecr", prefix: "AmazonEC2ContainerRegistry_V20150921", protocol: json11, ops: map[string]operation{
		"CreateRepository":     op(s.createImageRepository),
		"DescribeRepositories": op(s.describeImageRepositories),
		"DeleteRepository":     op(s.deleteImageRepository),
		"PutImage":             op(s.putImage),
		"DescribeImages":       op(s.describeImages),
		"ListTagsForResource":  op(s.listImageTags),
		"TagResource":          op(s.tagImages),
		"UntagResource":        op(s.untagImages),
	}}
}

func (s *Sim) repositoryARN(name string) string { return s.arn("ecr", "repository/"+name) }

func (s *Sim) repositoryURI(name string) string {
	return s.options.Account + ".dkr.ecr." + s.suffix() + "/" + name
}

func (s *Sim) imageRepository(name string) (*imageRepository, error) {
	if r := find(s.ecr.repositories, func(r *imageRepository) bool { return r.name == name || s.repositoryARN(r.name) == name }); r != nil {
		return r, nil
	}
	return nil, errf("RepositoryNotFoundException", "The repository with name '%s' does not exist in the registry with id '%s'", name, s.options.Account)
}

// addRepository makes a repository, or returns the one that is there.
func (s *Sim) addRepository(name string) *imageRepository {
	if r, err := s.imageRepository(name); err == nil {
		return r
	}
	r := &imageRepository{name: name, created: s.clock.time()}
	s.ecr.repositories = append(s.ecr.repositories, r)
	return r
}

func (s *Sim) removeRepository(name string) {
	delete(s.tags, s.repositoryARN(name))
	s.ecr.repositories = slices.DeleteFunc(s.ecr.repositories, func(r *imageRepository) bool { return r.name == name })
}

func (r *imageRepository) find(tag, digest string) *image {
	return find(r.images, func(i *image) bool {
		return (tag == "" || slices.Contains(i.tags, tag)) && (digest == "" || i.digest == digest)
	})
}

// add puts an image into a repository under a tag, which another image loses.
func (r *imageRepository) add(i *image, tag string) {
	if old := r.find("", i.digest); old != nil {
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
	RepositoryArn  string `json:"repositoryArn"`
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
	RepositoryURI  string `json:"repositoryUri"`
	CreatedAt      stamp  `json:"createdAt"`
	Mutability     string `json:"imageTagMutability"`
	Scanning       struct {
		ScanOnPush bool `json:"scanOnPush"`
	} `json:"imageScanningConfiguration"`
	Encryption struct {
		Type string `json:"encryptionType"`
	} `json:"encryptionConfiguration"`
}

func (s *Sim) imageRepositoryJSON(r *imageRepository) imageRepositoryJSON {
	j := imageRepositoryJSON{RepositoryArn: s.repositoryARN(r.name), RegistryID: s.options.Account, RepositoryName: r.name, RepositoryURI: s.repositoryURI(r.name), CreatedAt: stamp{r.created}, Mutability: "MUTABLE"}
	if r.immutable {
		j.Mutability = "IMMUTABLE"
	}
	j.Scanning.ScanOnPush, j.Encryption.Type = r.scan, "AES256"
	return j
}

type imageRepositoryReply struct {
	Repository imageRepositoryJSON `json:"repository"`
}

var imageRepositoryName = regexp.MustCompile(`^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

func (s *Sim) createImageRepository(_ *call, in *struct {
	RegistryID                 string `json:"registryId"`
	RepositoryName             string
	Tags                       tagList
	ImageTagMutability         string
	ImageScanningConfiguration struct{ ScanOnPush bool }
	EncryptionConfiguration    struct{ EncryptionType string }
}) (*imageRepositoryReply, error) {
	if len(in.RepositoryName) < 2 || len(in.RepositoryName) > 256 || !imageRepositoryName.MatchString(in.RepositoryName) {
		return nil, errf("InvalidParameterException", "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '%s''", imageRepositoryName)
	}
	if t := in.EncryptionConfiguration.EncryptionType; t != "" && t != "AES256" {
		return nil, errf("ValidationException", "the sandbox does not simulate ECR's encryption by %s", t)
	}
	if _, err := s.imageRepository(in.RepositoryName); err == nil {
		return nil, errf("RepositoryAlreadyExistsException", "The repository with name '%s' already exists in the registry with id '%s'", in.RepositoryName, s.options.Account)
	}
	r := s.addRepository(in.RepositoryName)
	r.immutable, r.scan = in.ImageTagMutability == "IMMUTABLE", in.ImageScanningConfiguration.ScanOnPush
	s.tagResource(s.repositoryARN(r.name), in.Tags.byKey())
	return &imageRepositoryReply{s.imageRepositoryJSON(r)}, nil
}

func (s *Sim) describeImageRepositories(_ *call, in *struct {
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
		if _, err := s.imageRepository(name); err != nil {
			return nil, err
		}
	}
	for _, r := range s.ecr.repositories {
		if len(in.RepositoryNames) == 0 || slices.Contains(in.RepositoryNames, r.name) {
			out.Repositories = append(out.Repositories, s.imageRepositoryJSON(r))
		}
	}
	return out, nil
}

func (s *Sim) deleteImageRepository(_ *call, in *struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string
	Force          bool
}) (*imageRepositoryReply, error) {
	r, err := s.imageRepository(in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if len(r.images) > 0 && !in.Force {
		return nil, errf("RepositoryNotEmptyException", "The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", r.name, s.options.Account)
	}
	s.removeRepository(r.name)
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

// putImage takes a manifest. Layers are not simulated: a manifest may name any.
func (s *Sim) putImage(_ *call, in *struct {
	RegistryID                                                                   string `json:"registryId"`
	RepositoryName, ImageManifest, ImageManifestMediaType, ImageTag, ImageDigest string
}) (*putImageReply, error) {
	r, err := s.imageRepository(in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var manifest struct{ MediaType string }
	if json.Unmarshal([]byte(in.ImageManifest), &manifest) != nil {
		return nil, errf("InvalidParameterException", "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'")
	}
	if in.ImageManifestMediaType == "" {
		in.ImageManifestMediaType = manifest.MediaType
	}
	sum := sha256.Sum256([]byte(in.ImageManifest))
	i := &image{digest: "sha256:" + hex.EncodeToString(sum[:]), manifest: in.ImageManifest, pushed: s.clock.time()}
	if in.ImageDigest != "" && in.ImageDigest != i.digest {
		return nil, errf("ImageDigestDoesNotMatchException", "The provided digest '%s' does not match the manifest's '%s'", in.ImageDigest, i.digest)
	}
	if r.find(in.ImageTag, i.digest) != nil {
		return nil, errf("ImageAlreadyExistsException", "Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'", i.digest, in.ImageTag, r.name, s.options.Account)
	}
	if r.immutable && in.ImageTag != "" && r.find(in.ImageTag, "") != nil {
		return nil, errf("ImageTagAlreadyExistsException", "The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the repository is immutable.", in.ImageTag, r.name)
	}
	r.add(i, in.ImageTag)
	out := &putImageReply{}
	out.Image.RegistryID, out.Image.RepositoryName, out.Image.ImageID = s.options.Account, r.name, imageID{i.digest, in.ImageTag}
	out.Image.Manifest, out.Image.MediaType = in.ImageManifest, in.ImageManifestMediaType
	return out, nil
}

type imageJSON struct {
	RegistryID     string   `json:"registryId"`
	RepositoryName string   `json:"repositoryName"`
	ImageDigest    string   `json:"imageDigest"`
	ImageTags      []string `json:"imageTags,omitempty"`
	PushedAt       stamp    `json:"imagePushedAt"`
}

func (s *Sim) describeImages(_ *call, in *struct {
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
	r, err := s.imageRepository(in.RepositoryName)
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
			return nil, errf("ImageNotFoundException", "The image with imageId {imageDigest:%s, imageTag:%s} does not exist within the repository with name '%s' in the registry with id '%s'",
				strings.Replace(digest, "''", "'null'", 1), strings.Replace(tag, "''", "'null'", 1), r.name, s.options.Account)
		}
		wanted = append(wanted, i)
	}
	out := &struct {
		ImageDetails []imageJSON `json:"imageDetails"`
	}{[]imageJSON{}}
	for _, i := range wanted {
		out.ImageDetails = append(out.ImageDetails, imageJSON{s.options.Account, r.name, i.digest, i.tags, stamp{i.pushed}})
	}
	return out, nil
}

func (s *Sim) listImageTags(_ *call, in *struct{ ResourceArn string }) (*struct {
	Tags tagList `json:"tags"`
}, error) {
	r, err := s.imageRepository(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &struct {
		Tags tagList `json:"tags"`
	}{s.tagList(s.repositoryARN(r.name))}, nil
}

func (s *Sim) tagImages(_ *call, in *struct {
	ResourceArn string
	Tags        tagList
}) (*struct{}, error) {
	if _, err := s.imageRepository(in.ResourceArn); err != nil {
		return nil, err
	}
	s.tagResource(in.ResourceArn, in.Tags.byKey())
	return &struct{}{}, nil
}

func (s *Sim) untagImages(_ *call, in *struct {
	ResourceArn string
	TagKeys     []string
}) (*struct{}, error) {
	if _, err := s.imageRepository(in.ResourceArn); err != nil {
		return nil, err
	}
	s.untagResource(in.ResourceArn, in.TagKeys)
	return &struct{}{}, nil
}
