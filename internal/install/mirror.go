package install

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
)

// baseMirror returns what the base stack holds for the mirror, nil without one. The
// sets of c are those that live.
func baseMirror(c *config.Installation, f Facts) (*cfn.BaseMirror, error) {
	m := c.Mirror
	if m == nil {
		return nil, nil
	}
	settings, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write down the mirror's repositories: %w", err)
	}
	out := &cfn.BaseMirror{
		Set: string(c.Jobs[config.MirrorJob].Set), Cluster: m.Cluster, Image: m.Image, Digest: f.MirrorDigest,
		Architecture: m.Architecture, CPU: m.CPU, Memory: m.Memory, Disk: m.Disk, Settings: string(settings),
		Networks: m.SourceNetworks, Ports: m.ServerPorts(), StaleHours: int(time.Duration(m.StaleAfter).Hours()),
		Receives: m.Receives(), WebhookConcurrency: webhookConcurrency(m, f),
	}
	if m.Looks() {
		out.CheckMinutes = int(time.Duration(m.CheckEvery).Minutes())
	}
	for _, name := range slices.Sorted(maps.Keys(m.Repositories)) {
		out.Repositories = append(out.Repositories, baseRepository(name, m.Repositories[name]))
	}
	return out, nil
}

// smallQuota is a quota of concurrency out of which the webhook reserves nothing by itself:
// a hundred have to stay unreserved.
const smallQuota = 200

func webhookConcurrency(m *config.Mirror, f Facts) int {
	switch {
	case m.WebhookConcurrency != nil:
		return *m.WebhookConcurrency
	case f.Concurrency < smallQuota:
		return 0
	}
	return 5
}

// concurrency reads Lambda's quota of concurrent executions, and refuses to reserve more
// than it lets.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
func (i *Installer) concurrency(ctx context.Context, c *config.Installation) (int, error) {
	out, err := i.Clients.Lambda.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil {
		return 0, awserr.Mark(err, "read Lambda's quota of concurrency")
	}
	const unreserved = 100
	limit, wanted := 0, 2*c.ReservedConcurrency
	if out.AccountLimit != nil {
		limit = int(out.AccountLimit.ConcurrentExecutions)
	}
	if c.Mirror != nil && c.Mirror.WebhookConcurrency != nil {
		wanted += *c.Mirror.WebhookConcurrency
	}
	if wanted > 0 && limit-wanted < unreserved {
		return limit, &refusedError{fmt.Sprintf("the functions are to reserve %d concurrent executions, and the "+
			"account has %d, of which %d have to stay unreserved", wanted, limit, unreserved),
			"leave reservedConcurrency and mirror.webhookConcurrency out, or raise the quota Concurrent executions " +
				"(Service Quotas, lambda, L-B99A9384)"}
	}
	return limit, nil
}

// mirrorDigest returns the digest of the mirror's image: of the tag that is given, or of
// the image that was pushed last into the repository that the base stack makes. It is
// empty while there is none, and where the registry of another account does not tell.
func (i *Installer) mirrorDigest(ctx context.Context, c *config.Installation) (string, error) {
	if c.Mirror == nil || strings.Contains(c.Mirror.Image, "@") {
		return "", nil
	}
	in := &ecr.DescribeImagesInput{RepositoryName: aws.String(c.Name + "-mirror")}
	if c.Mirror.Image != "" {
		host, path, _ := strings.Cut(c.Mirror.Image, "/")
		account, _, _ := strings.Cut(host, ".")
		repository, tag, tagged := strings.Cut(path, ":")
		if !tagged {
			tag = "latest"
		}
		in.RegistryId = &account
		in.RepositoryName = &repository
		in.ImageIds = []ecrtypes.ImageIdentifier{{ImageTag: &tag}}
	}
	var newest ecrtypes.ImageDetail
	for pages := ecr.NewDescribeImagesPaginator(i.ECR, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		switch awserr.Code(err) {
		case "RepositoryNotFoundException", "ImageNotFoundException", "AccessDeniedException":
			return "", nil
		}
		if err != nil {
			return "", awserr.Mark(err, "look for the mirror's image in %s", *in.RepositoryName)
		}
		for _, d := range out.ImageDetails {
			// the parts of a list have no tags
			if len(d.ImageTags) > 0 && aws.ToTime(d.ImagePushedAt).After(aws.ToTime(newest.ImagePushedAt)) {
				newest = d
			}
		}
	}
	return aws.ToString(newest.ImageDigest), nil
}

func baseRepository(name string, r *config.MirrorRepository) cfn.BaseMirrorRepository {
	out := cfn.BaseMirrorRepository{Name: name, CodeCommit: r.Target.CodeCommit, Creates: r.Target.Create}
	if name, ok := config.CodeCommitName(r.Target.URL); ok {
		out.CodeCommit = name
	}
	out.PullsFrom, _ = config.CodeCommitName(r.Source.URL)
	for _, arn := range []string{r.Source.Secret, r.Target.Secret} {
		if arn != "" {
			out.Secrets = append(out.Secrets, arn)
		}
	}
	if r.Webhook != nil {
		out.WebhookSecrets = append(out.WebhookSecrets, r.Webhook.Secret)
	}
	if r.Visible && r.Source.Secret != "" {
		out.WebhookSecrets = append(out.WebhookSecrets, r.Source.Secret)
	}
	if bucket, key, ok := config.S3Place(r.Source.Bundle); ok {
		out.Reads = append(out.Reads, bucket+"/"+key)
	}
	for _, place := range []string{r.Target.Archive, r.LFS} {
		if bucket, prefix, ok := config.S3Place(place); ok {
			out.Writes = append(out.Writes, bucket+"/"+prefix)
		}
	}
	return out
}
