package doctor

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"drawbridge/cfn"
	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
)

// mirror checks what the mirror's repositories need besides their endpoints.
func (d *Doctor) mirror(ctx context.Context) {
	m := d.config.Mirror
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
				d.secret(ctx, name, s.arn, s.why)
			}
		}
		if bucket, _, ok := config.S3Place(r.Source.Bundle); ok &&
			bucket != cfn.MirrorBucket(d.config.Name, d.place.Account, d.place.Region) {
			d.inbox(ctx, name, bucket)
		}
		d.network(name, r)
	}
}

// secret checks that a secret exists. It does not read it.
func (d *Doctor) secret(ctx context.Context, name, arn, why string) {
	t := d.topic("secret", "repository "+name, why)
	out, err := d.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &arn})
	switch {
	case awserr.Code(err) == "ResourceNotFoundException":
		t.fail("create it in Secrets Manager, or correct the ARN", "%s does not exist", arn)
	case err != nil:
		t.unread(err)
	case out.DeletedDate != nil:
		t.fail("restore it: aws secretsmanager restore-secret --secret-id "+arn, "%s is being deleted", arn)
	default:
		t.ok("%s", arn)
	}
}

// inbox checks that a bucket sends events of new bundles to EventBridge.
func (d *Doctor) inbox(ctx context.Context, name, bucket string) {
	t := d.topic("bucket", "repository "+name, "a bundle starts the run through an EventBridge event")
	out, err := d.s3.GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{
		Bucket: &bucket,
	})
	switch {
	case awserr.Code(err) == "NoSuchBucket":
		t.fail("create it, or correct the source's bundle", "%s does not exist", bucket)
	case err != nil:
		t.unread(err)
	case out.EventBridgeConfiguration == nil:
		t.fail("turn on EventBridge notifications of the bucket", "%s does not send events to EventBridge",
			bucket)
	default:
		t.ok("%s sends events to EventBridge", bucket)
	}
}

// network checks that tasks may connect to a source.
func (d *Doctor) network(name string, r *config.MirrorRepository) {
	if r.Source.URL == "" {
		return
	}
	t := d.topic("source", "repository "+name, "the mirror's security group allows egress only to sourceNetworks")
	if len(d.config.Mirror.SourceNetworks) == 0 {
		t.fail("add the address blocks of the git servers to mirror.sourceNetworks",
			"no networks are set, so %s is unreachable", r.Source.URL)
		return
	}
	t.ok("address blocks allowed: %d", len(d.config.Mirror.SourceNetworks))
}
