package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// s3API is the part of *s3.Client that a bucket calls, apart from the
// transfers.
type s3API interface {
	transfermanager.S3APIClient
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

var _ s3API = (*s3.Client)(nil)

// Bucket is a location in S3: a bucket and a key prefix.
type Bucket struct {
	api    s3API
	name   string
	prefix string
}

// NewBucket returns a location in S3; prefix is empty or ends with a slash.
func NewBucket(api *s3.Client, name, prefix string) *Bucket { return &Bucket{api, name, prefix} }

// in returns the location below b.
func (b *Bucket) in(folder string) *Bucket { return &Bucket{b.api, b.name, b.prefix + folder + "/"} }

// Callers branch on these errors.
var (
	errMissing = errors.New("no such object")
	errChanged = errors.New("another writer has changed it")
)

// uri returns an object's s3:// URI for messages.
func (b *Bucket) uri(key string) string { return "s3://" + b.name + "/" + b.prefix + key }

func (b *Bucket) fail(verb, key string, err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound":
			err = errMissing
		case "PreconditionFailed", "ConditionalRequestConflict":
			err = errChanged
		}
	}
	return fmt.Errorf("%s %s: %w", verb, b.uri(key), err)
}

// maxDocument bounds what is read into memory at once, in bytes.
const maxDocument = 64 << 20

// get reads a JSON object, with its ETag. It returns errMissing if there is none.
func (b *Bucket) get(ctx context.Context, key string, v any) (etag string, err error) {
	out, err := b.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + key)})
	if err != nil {
		return "", b.fail("get", key, err)
	}
	defer out.Body.Close()
	if err := json.NewDecoder(io.LimitReader(out.Body, maxDocument)).Decode(v); err != nil {
		return aws.ToString(out.ETag), fmt.Errorf("read %s: %w", b.uri(key), err)
	}
	return aws.ToString(out.ETag), nil
}

// anything makes put overwrite any version.
const anything = "*"

// put writes a JSON object if its ETag is still the given one; "" means that
// there must be none. It returns the new ETag, or errChanged if another writer
// was faster.
func (b *Bucket) put(ctx context.Context, key string, v any, etag string) (string, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", b.uri(key), err)
	}
	in := &s3.PutObjectInput{
		Bucket: &b.name, Key: aws.String(b.prefix + key), Body: bytes.NewReader(body),
		ContentType: aws.String("application/json"),
	}
	switch etag {
	case "":
		in.IfNoneMatch = aws.String("*")
	case anything:
	default:
		in.IfMatch = &etag
	}
	out, err := b.api.PutObject(ctx, in)
	if err != nil {
		err = b.fail("put", key, err)
		if errors.Is(err, errMissing) { // the object to replace is gone
			err = fmt.Errorf("put %s: %w", b.uri(key), errChanged)
		}
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

func (b *Bucket) delete(ctx context.Context, key string) error {
	if _, err := b.api.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: &b.name, Key: aws.String(b.prefix + key),
	}); err != nil {
		return b.fail("delete", key, err)
	}
	return nil
}

// object is an entry of a listing.
type object struct {
	// key is relative to the prefix.
	key      string
	size     int64
	modified time.Time
}

// list returns every object whose key has the prefix, in order of keys.
func (b *Bucket) list(ctx context.Context, begin string) ([]object, error) {
	var out []object
	pages := s3.NewListObjectsV2Paginator(b.api, &s3.ListObjectsV2Input{
		Bucket: &b.name, Prefix: aws.String(b.prefix + begin),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.fail("list", begin, err)
		}
		for _, o := range page.Contents {
			out = append(out, object{
				strings.TrimPrefix(aws.ToString(o.Key), b.prefix), aws.ToInt64(o.Size), aws.ToTime(o.LastModified),
			})
		}
	}
	return out, nil
}

// head returns an object's ETag and size.
func (b *Bucket) head(ctx context.Context, key string) (etag string, size int64, err error) {
	out, err := b.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + key)})
	if err != nil {
		return "", 0, b.fail("head", key, err)
	}
	return aws.ToString(out.ETag), aws.ToInt64(out.ContentLength), nil
}

// Transfers handle this many parts of this many bytes at once; the product is their
// memory.
const partSize, partsAtOnce = 5 << 20, 1

// upload writes a stream of any length.
func (b *Bucket) upload(ctx context.Context, key string, body io.Reader) error {
	m := transfermanager.New(b.api, func(o *transfermanager.Options) {
		o.PartSizeBytes = partSize
		o.MultipartUploadThreshold = 2 * partSize
		o.Concurrency = partsAtOnce
		o.FailTimeout = 30 * time.Second
	})
	if _, err := m.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &b.name, Key: aws.String(b.prefix + key), Body: body,
	}); err != nil {
		return b.fail("upload", key, err)
	}
	return nil
}

// uploadFile writes a file.
func (b *Bucket) uploadFile(ctx context.Context, key, path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), b.upload(ctx, key, f)
}

// downloadFile reads an object into a file. The bytes also go to also, for
// example a hash; nil for none.
func (b *Bucket) downloadFile(ctx context.Context, key, path string, also io.Writer) (int64, error) {
	out, err := b.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + key)})
	if err != nil {
		return 0, b.fail("get", key, err)
	}
	defer out.Body.Close()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	var to io.Writer = f
	if also != nil {
		to = io.MultiWriter(f, also)
	}
	n, err := io.Copy(to, out.Body)
	if err == nil && out.ContentLength != nil && n != *out.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return n, b.fail("get", key, err)
	}
	return n, nil
}
