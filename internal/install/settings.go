package install

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"drawbridge/internal/awserr"
	"drawbridge/internal/config"
	"drawbridge/internal/functions"
)

// Settings is how the configuration of a plan differs from the one that is deployed.
type Settings struct {
	Differences []config.Difference `json:"differences"`
	// SameProgram reports whether the functions' program stays as it is, so that their code
	// changes by the configuration alone.
	SameProgram bool `json:"sameProgram"`
	// Unread says why what is deployed could not be read; then there are no differences.
	Unread string `json:"unread,omitempty"`
}

// compareSettings compares the plan's configuration with the one that the functions have now.
func (i *Installer) compareSettings(ctx context.Context, p *Plan, text []byte, code map[string]functions.Code) {
	for _, f := range p.base.Functions() {
		key := p.before.Parameters[f.Parameter]
		if key == "" {
			continue // a function that is new
		}
		program, deployed, err := i.deployed(ctx, p.Name, key)
		if code := awserr.Code(err); code == "NoSuchKey" || code == "NoSuchBucket" {
			p.Settings.Unread = "the one that is deployed is not in the bucket"
			return
		}
		if err != nil {
			p.Settings.Unread = err.Error()
			return
		}
		p.Settings.SameProgram = bytes.Equal(program, code[f.Code].Bootstrap)
		if p.Settings.Differences, err = config.Differences(deployed, text); err != nil {
			p.Settings.Unread = err.Error()
		}
		return
	}
}

// deployed reads a function's program and configuration from the bucket of the code.
func (i *Installer) deployed(ctx context.Context, owner, key string) (program, file []byte, err error) {
	bucket := i.Bucket(owner)
	out, err := i.S3.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &bucket, Key: &key, ExpectedBucketOwner: aws.String(i.Place.Account),
	})
	if err != nil {
		return nil, nil, awserr.Mark(err, "read %s from bucket %s", key, bucket)
	}
	defer out.Body.Close()
	zipped, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s from bucket %s: %w", key, bucket, err)
	}
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s from bucket %s: %w", key, bucket, err)
	}
	for _, part := range []struct {
		name string
		to   *[]byte
	}{{"bootstrap", &program}, {"drawbridge.yaml", &file}} {
		r, err := z.Open(part.name)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s from bucket %s: %w", key, bucket, err)
		}
		*part.to, err = io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("read %s from bucket %s: %w", key, bucket, err)
		}
	}
	return program, file, nil
}
