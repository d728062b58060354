package install

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"drawbridge/cfn"
	"drawbridge/endpoints"
	"drawbridge/internal/awserr"
	"drawbridge/internal/hint"
)

// bucket makes sure that the installation's bucket is there: private, encrypted,
// reached by TLS alone, with the owner tag. It is safe to repeat after a crash at
// any step.
func (i *Installer) bucket(ctx context.Context, owner string, tags map[string]string) error {
	set := []types.Tag{{Key: aws.String(cfn.OwnerTag), Value: aws.String(owner)}}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		set = append(set, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	name, account := aws.String(i.Bucket(owner)), aws.String(i.Place.Account)
	_, err := i.S3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name, ExpectedBucketOwner: account})
	switch code := awserr.Code(err); {
	case err == nil:
		if err := i.ownBucket(ctx, owner); err != nil {
			return err
		}
	case code != "NotFound" && code != "NoSuchBucket":
		return awserr.Mark(err, "look for bucket %s", *name)
	default:
		in := &s3.CreateBucketInput{Bucket: name}
		if i.Place.Region != "us-east-1" {
			in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
				LocationConstraint: types.BucketLocationConstraint(i.Place.Region),
			}
		}
		if _, err := i.S3.CreateBucket(ctx, in); err != nil && awserr.Code(err) != "BucketAlreadyOwnedByYou" {
			return awserr.Mark(err, "create bucket %s", *name)
		}
	}
	if _, err := i.S3.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{
		Bucket: name, ExpectedBucketOwner: account,
		Tagging: &types.Tagging{TagSet: set},
	}); err != nil {
		return awserr.Mark(err, "tag bucket %s", *name)
	}
	return i.lockBucket(ctx, *name)
}

func (i *Installer) lockBucket(ctx context.Context, name string) error {
	if _, err := i.S3.PutPublicAccessBlock(ctx,
		&s3.PutPublicAccessBlockInput{Bucket: &name, ExpectedBucketOwner: &i.Place.Account,
			PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
				BlockPublicAcls: aws.Bool(true), BlockPublicPolicy: aws.Bool(true), IgnorePublicAcls: aws.Bool(true),
				RestrictPublicBuckets: aws.Bool(true)}}); err != nil {
		return awserr.Mark(err, "close bucket %s to the public", name)
	}
	if _, err := i.S3.PutBucketEncryption(ctx,
		&s3.PutBucketEncryptionInput{Bucket: &name, ExpectedBucketOwner: &i.Place.Account,
			ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
				Rules: []types.ServerSideEncryptionRule{
					{
						ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{
							SSEAlgorithm: types.ServerSideEncryptionAes256,
						},
					},
				}}}); err != nil {
		return awserr.Mark(err, "encrypt bucket %s", name)
	}
	bucket := arn.ARN{Partition: endpoints.Partition(i.Place.Region), Service: "s3", Resource: name}.String()
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"OnlyEncrypted","Effect":"Deny",`+
		`"Principal":"*","Action":"s3:*","Resource":[%q,%q],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`,
		bucket, bucket+"/*")
	_, err := i.S3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{
		Bucket: &name, ExpectedBucketOwner: &i.Place.Account, Policy: &policy,
	})
	return awserr.Mark(err, "set the policy of bucket %s", name)
}

// ownBucket refuses a bucket of our name that does not carry our tag. One without
// tags and objects, in our account, was made by a deployment that ended there.
func (i *Installer) ownBucket(ctx context.Context, owner string) error {
	name := i.Bucket(owner)
	out, err := i.S3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{
		Bucket: &name, ExpectedBucketOwner: &i.Place.Account,
	})
	if err != nil && awserr.Code(err) != "NoSuchTagSet" {
		return awserr.Mark(err, "read the tags of bucket %s", name)
	}
	if out != nil {
		for _, t := range out.TagSet {
			if aws.ToString(t.Key) == cfn.OwnerTag && aws.ToString(t.Value) == owner {
				return nil
			}
		}
	}
	if out == nil || len(out.TagSet) == 0 {
		list, err := i.S3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: &name, ExpectedBucketOwner: &i.Place.Account,
		})
		if err != nil {
			return awserr.Mark(err, "list bucket %s", name)
		}
		if len(list.Contents) == 0 {
			return nil
		}
	}
	return hint.New(
		fmt.Sprintf("bucket %s does not carry the tag %s=%s", name, cfn.OwnerTag, owner),
		"it is left alone; if it is ours after all, give it the tag, or choose another name: in the configuration",
	)
}

// upload puts an object into the bucket, whatever lies there under its key: who may write
// to the bucket can have put something else.
// It returns the version of the object, in a bucket without versions its ETag.
func (i *Installer) upload(ctx context.Context, owner, key string, body []byte) (version string, err error) {
	name := i.Bucket(owner)
	out, err := i.S3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &name, ExpectedBucketOwner: &i.Place.Account, Key: &key, Body: strings.NewReader(string(body)),
		ContentLength: aws.Int64(int64(len(body))),
	})
	if err != nil {
		return "", awserr.Mark(err, "upload %s to bucket %s", key, name)
	}
	return cmp.Or(aws.ToString(out.VersionId), aws.ToString(out.ETag)), nil
}

// version returns the version of an object as it lies there now.
func (i *Installer) version(ctx context.Context, owner, key string) (string, error) {
	name := i.Bucket(owner)
	out, err := i.S3.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &name, ExpectedBucketOwner: &i.Place.Account, Key: &key,
	})
	if err != nil {
		return "", awserr.Mark(err, "look at %s in bucket %s", key, name)
	}
	return cmp.Or(aws.ToString(out.VersionId), aws.ToString(out.ETag)), nil
}

// removeBucket empties and deletes the bucket, and reports whether there was one.
func (i *Installer) removeBucket(ctx context.Context, owner string) (bool, error) {
	name := i.Bucket(owner)
	if _, err := i.S3.HeadBucket(ctx, &s3.HeadBucketInput{
		Bucket: &name, ExpectedBucketOwner: &i.Place.Account,
	}); err != nil {
		if code := awserr.Code(err); code == "NotFound" || code == "NoSuchBucket" {
			return false, nil
		}
		return false, awserr.Mark(err, "look for bucket %s", name)
	}
	if err := i.ownBucket(ctx, owner); err != nil {
		return false, err
	}
	return true, i.emptyBucket(ctx, name)
}

func (i *Installer) emptyBucket(ctx context.Context, name string) error {
	if err := i.clearBucket(ctx, name, nil); err != nil {
		return err
	}
	_, err := i.S3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name, ExpectedBucketOwner: &i.Place.Account})
	return awserr.Mark(err, "delete bucket %s", name)
}

// clearBucket deletes every object but those with the given keys.
func (i *Installer) clearBucket(ctx context.Context, name string, keep []string) error {
	var token *string
	for {
		out, err := i.S3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: &name, ExpectedBucketOwner: &i.Place.Account, ContinuationToken: token,
		})
		if err != nil {
			return awserr.Mark(err, "list bucket %s", name)
		}
		var ids []types.ObjectIdentifier
		for _, o := range out.Contents {
			if !slices.Contains(keep, aws.ToString(o.Key)) {
				ids = append(ids, types.ObjectIdentifier{Key: o.Key})
			}
		}
		if len(ids) > 0 {
			gone, err := i.S3.DeleteObjects(ctx, &s3.DeleteObjectsInput{
				Bucket: &name, ExpectedBucketOwner: &i.Place.Account, Delete: &types.Delete{Objects: ids},
			})
			if err != nil {
				return awserr.Mark(err, "empty bucket %s", name)
			}
			if len(gone.Errors) > 0 { // a reply that succeeds may list failures
				return fmt.Errorf("empty bucket %s: %s: %s", name, aws.ToString(gone.Errors[0].Key),
					aws.ToString(gone.Errors[0].Message))
			}
		}
		if token = out.NextContinuationToken; token == nil {
			return nil
		}
	}
}
