package install

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	deployments "drawbridge/internal/deployments/wing"
	"drawbridge/internal/hint"
	"drawbridge/internal/mirror/wing"
	"drawbridge/internal/seam"
	"drawbridge/scheduler"
)

// Products are those that join an installation: each is registered here. None joins one
// that only observes, where nothing runs.
func Products(c *config.Installation) []seam.Product {
	var out []seam.Product
	if c.Mode == config.Observe {
		return nil
	}
	if len(c.Deployments) > 0 {
		out = append(out, deployments.New(c))
	}
	if c.Mirror != nil {
		out = append(out, wing.New(c))
	}
	return out
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
	for _, p := range Products(c) {
		wanted += p.Reserves()
	}
	if wanted > 0 && limit-wanted < unreserved {
		return limit, hint.New(fmt.Sprintf("cannot reserve %d concurrent executions: the account's quota is %d, of "+
			"which %d have to stay unreserved", wanted, limit, unreserved),
			"leave reservedConcurrency and mirror.webhookConcurrency out, or raise the quota Concurrent executions "+
				"(Service Quotas, lambda, L-B99A9384)")
	}
	return limit, nil
}

// digests returns the digests of the products' images, by job. One is empty without an
// image, and if the registry of another account does not tell.
func (i *Installer) digests(ctx context.Context, c *config.Installation) (map[scheduler.JobName]string, error) {
	out := map[scheduler.JobName]string{}
	for _, p := range Products(c) {
		if image := p.Image(); image != nil {
			digest, err := i.digest(ctx, *image)
			if err != nil {
				return nil, err
			}
			out[p.Job()] = digest
		}
	}
	return out, nil
}

// digest returns the digest of an image, empty if there is none.
func (i *Installer) digest(ctx context.Context, image seam.Image) (string, error) {
	in := &ecr.DescribeImagesInput{RepositoryName: &image.Repository}
	if image.Registry != "" {
		in.RegistryId = &image.Registry
	}
	if image.Tag != "" {
		in.ImageIds = []ecrtypes.ImageIdentifier{{ImageTag: &image.Tag}}
	}
	var newest ecrtypes.ImageDetail
	for pages := ecr.NewDescribeImagesPaginator(i.ECR, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		switch awserr.Code(err) {
		case "RepositoryNotFoundException", "ImageNotFoundException", "AccessDeniedException":
			return "", nil
		}
		if err != nil {
			return "", awserr.Mark(err, "look for the image in %s", *in.RepositoryName)
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
