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

// mirror looks at what the mirror's repositories need beside their endpoints.
func (d *Doctor) mirror(ctx context.Context) {
	m := d.config.Mirror
	for _, name := range slices.Sorted(maps.Keys(m.Repositories)) {
		r := m.Repositories[name]
		var hook string
		if r.Webhook != nil {
			hook = r.Webhook.Secret
		}
		for _, s := range []struct{ arn, why string }{
			{r.Source.Secret, "the source lets nobody in without it"},
			{r.Target.Secret, "the target lets nobody in without it"}, {hook, "reports of pushes are checked with it"},
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

// secret looks whether a secret is there. It does not read it.
func (d *Doctor) secret(ctx context.Context, name, arn, why string) {
	t := d.topic("secret", "repository "+name, why)
	out, err := d.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &arn})
	switch {
	case awserr.Code(err) == "ResourceNotFoundException":
		t.fail("create it in Secrets Manager, or correct the ARN", "%s is not there", arn)
	case err != nil:
		t.unread(err)
	case out.DeletedDate != nil:
		t.fail("restore it: aws secretsmanager restore-secret --secret-id "+arn, "%s is being deleted", arn)
	default:
		t.ok("%s", arn)
	}
}

// inbox looks whether a bucket tells EventBridge of bundles.
func (d *Doctor) inbox(ctx context.Context, name, bucket string) {
	t := d.topic("bucket", "repository "+name, "a bundle starts the run by an event of EventBridge")
	out, err := d.s3.GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{
		Bucket: &bucket,
	})
	switch {
	case awserr.Code(err) == "NoSuchBucket":
		t.fail("create it, or correct the source's bundle", "%s is not there", bucket)
	case err != nil:
		t.unread(err)
	case out.EventBridgeConfiguration == nil:
		t.fail("switch on EventBridge notifications of the bucket", "%s does not tell EventBridge of new objects",
			bucket)
	default:
		t.ok("%s tells EventBridge", bucket)
	}
}

// network looks whether tasks are let out to a source.
func (d *Doctor) network(name string, r *config.MirrorRepository) {
	if r.Source.URL == "" {
		return
	}
	t := d.topic("source", "repository "+name, "the security group of the mirror lets out to sourceNetworks alone")
	if len(d.config.Mirror.SourceNetworks) == 0 {
		t.fail("name the address blocks of the git servers under mirror.sourceNetworks",
			"no networks are named, so that %s is out of reach", r.Source.URL)
		return
	}
	t.ok("%d address blocks are open", len(d.config.Mirror.SourceNetworks))
}
