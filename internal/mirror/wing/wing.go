// Package wing is what the mirror brings into an installation: its part of the base stack
// and its checks.
package wing

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"drawbridge/cfn"
	"drawbridge/internal/config"
	"drawbridge/internal/mirror/section"
	"drawbridge/internal/seam"
	"drawbridge/scheduler"
)

// Wing is the mirror of an installation.
type Wing struct {
	config *config.Installation
	mirror *section.Mirror
}

// New returns the mirror of an installation that has one.
func New(c *config.Installation) Wing { return Wing{c, c.Mirror} }

// Job is the job mirror.
func (w Wing) Job() scheduler.JobName { return section.Job }

// Image is the tag that is given, or what was pushed last into the repository that the
// base stack makes; nil for an image that is given by its digest.
func (w Wing) Image() *seam.Image {
	given := w.mirror.Image
	if strings.Contains(given, "@") {
		return nil
	}
	if given == "" {
		return &seam.Image{Repository: section.ImageRepository(w.config.Name)}
	}
	host, path, _ := strings.Cut(given, "/")
	account, _, _ := strings.Cut(host, ".")
	repository, tag, tagged := strings.Cut(path, ":")
	if !tagged {
		tag = "latest"
	}
	return &seam.Image{Registry: account, Repository: repository, Tag: tag}
}

// Reserves is the webhook function's concurrency, where the file names it.
func (w Wing) Reserves() int {
	if n := w.mirror.WebhookConcurrency; n != nil {
		return *n
	}
	return 0
}

// smallQuota is a quota of concurrency out of which the webhook reserves nothing by itself:
// a hundred have to stay unreserved. Of a larger one it reserves webhookReserve.
const smallQuota, webhookReserve = 200, 5

// Addition is the mirror's part of the base stack.
func (w Wing) Addition(b cfn.Base, known seam.Known) (cfn.Addition, error) {
	settings, err := json.Marshal(w.mirror)
	if err != nil {
		return cfn.Addition{}, fmt.Errorf("write down the mirror's repositories: %w", err)
	}
	if len(settings) > maxSettings {
		return cfn.Addition{}, fmt.Errorf("the mirror's repositories take %d bytes of the task definition, which "+
			"has room for %d: use fewer or shorter entries", len(settings), maxSettings)
	}
	p := part{
		Base: b, Mirror: w.mirror, set: string(w.config.Jobs[section.Job].Set), digest: known.Digest,
		settings: string(settings), reserved: w.Reserves(),
	}
	if w.mirror.WebhookConcurrency == nil && known.Concurrency >= smallQuota {
		p.reserved = webhookReserve
	}
	for _, name := range slices.Sorted(maps.Keys(w.mirror.Repositories)) {
		p.repositories = append(p.repositories, repositoryOf(name, w.mirror.Repositories[name]))
	}
	return p.addition(), nil
}

// Next says where the image and the reports of pushes go.
func (w Wing) Next(outputs map[string]string, digest string) []string {
	var out []string
	switch images := outputs["MirrorImages"]; {
	case images != "" && digest != "":
		out = append(out, fmt.Sprintf("The mirror runs the image %s@%s; an image that is pushed later runs after the "+
			"next deployment.", images, digest))
	case images != "":
		out = append(out, fmt.Sprintf("The mirror's image is not there yet: push it to %s with drawbridge "+
			"mirror push-image, and deploy again.", images))
	}
	if outputs["WebhookURL"] != "" {
		out = append(out, "drawbridge mirrors shows where git servers report pushes.")
	}
	return out
}

// repositoryOf returns what the base stack depends on of a repository.
func repositoryOf(name string, r *section.Repository) repository {
	out := repository{name: name, codeCommit: r.Target.CodeCommit, creates: r.Target.Create}
	if name, ok := section.CodeCommitName(r.Target.URL); ok {
		out.codeCommit = name
	}
	out.pullsFrom, _ = section.CodeCommitName(r.Source.URL)
	for _, arn := range []string{r.Source.Secret, r.Target.Secret} {
		if arn != "" {
			out.secrets = append(out.secrets, arn)
		}
	}
	if r.Webhook != nil {
		out.webhookSecrets = append(out.webhookSecrets, r.Webhook.Secret)
	}
	if r.Visible && r.Source.Secret != "" {
		out.webhookSecrets = append(out.webhookSecrets, r.Source.Secret)
	}
	if bucket, key, ok := section.S3Place(r.Source.Bundle); ok {
		out.reads = append(out.reads, bucket+"/"+key)
	}
	for _, place := range []string{r.Target.Archive, r.LFS} {
		if bucket, prefix, ok := section.S3Place(place); ok {
			out.writes = append(out.writes, bucket+"/"+prefix)
		}
	}
	return out
}
