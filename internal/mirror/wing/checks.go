package wing

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"drawbridge/internal/awserr"
	"drawbridge/internal/mirror/section"
	"drawbridge/internal/seam"
)

// Check checks what the mirror's repositories need besides their endpoints.
func (w Wing) Check(ctx context.Context, look seam.Look) {
	m := w.mirror
	for _, name := range slices.Sorted(maps.Keys(m.Repositories)) {
		r := m.Repositories[name]
		var hook string
		if r.Webhook != nil {
			hook = r.Webhook.Secret
		}
		for _, s := range []struct{ arn, why string }{
			{r.Source.Secret, "the source requires it"},
			{r.Target.Secret, "the target requires it"}, {hook, "reports of pushes are verified with it"},
		} {
			if s.arn != "" {
				secret(ctx, look, name, s.arn, s.why)
			}
		}
		if bucket, _, ok := section.S3Place(r.Source.Bundle); ok &&
			bucket != section.Bucket(w.config.Name, look.Account, look.AWS.Region) {
			inbox(ctx, look, name, bucket)
		}
		w.network(look, name, r)
	}
}

// secret checks that a secret exists. It does not read it.
func secret(ctx context.Context, look seam.Look, name, arn, why string) {
	t := look.Topic("secret", "repository "+name, why)
	out, err := secretsmanager.NewFromConfig(look.AWS).DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{
		SecretId: &arn,
	})
	switch {
	case awserr.Code(err) == "ResourceNotFoundException":
		t.Fail("create it in Secrets Manager, or correct the ARN", "%s does not exist", arn)
	case err != nil:
		t.Unread(err)
	case out.DeletedDate != nil:
		t.Fail("restore it: aws secretsmanager restore-secret --secret-id "+arn, "%s is being deleted", arn)
	default:
		t.OK("%s", arn)
	}
}

// inbox checks that a bucket sends events of new bundles to EventBridge.
func inbox(ctx context.Context, look seam.Look, name, bucket string) {
	t := look.Topic("bucket", "repository "+name, "a bundle starts the run through an EventBridge event")
	out, err := look.S3.GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{
		Bucket: &bucket,
	})
	switch {
	case awserr.Code(err) == "NoSuchBucket":
		t.Fail("create it, or correct the source's bundle", "%s does not exist", bucket)
	case err != nil:
		t.Unread(err)
	case out.EventBridgeConfiguration == nil:
		t.Fail("turn on EventBridge notifications of the bucket", "%s does not send events to EventBridge",
			bucket)
	default:
		t.OK("%s sends events to EventBridge", bucket)
	}
}

// network checks that tasks may connect to a source.
func (w Wing) network(look seam.Look, name string, r *section.Repository) {
	if r.Source.URL == "" {
		return
	}
	t := look.Topic("source", "repository "+name, "the mirror's security group allows egress only to sourceNetworks")
	if len(w.mirror.SourceNetworks) == 0 {
		t.Fail("add the address blocks of the git servers to mirror.sourceNetworks",
			"no networks are set, so %s is unreachable", r.Source.URL)
		return
	}
	t.OK("address blocks allowed: %d", len(w.mirror.SourceNetworks))
}
