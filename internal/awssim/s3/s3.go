// Package s3 simulates S3: buckets and objects.
package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"drawbridge/internal/awssim/kernel"
)

// Service is the simulated S3.
type Service struct {
	*kernel.Kernel

	Buckets map[string]*Bucket
	uploads map[string]*s3Upload // incomplete ones, by id
}

// Bucket is a bucket with its objects and settings.
type Bucket struct {
	Objects map[string]Object
	Tags    []kernel.Tag
	Created time.Time
	// notifies is true if the bucket sends events of new objects to
	// EventBridge.
	Notifies bool
	// settings are the documents stored by PutBucketPolicy and similar calls,
	// by name.
	Settings map[string][]byte
}

// Object is an object; a multipart upload stays in parts, as it may be big.
type Object struct {
	parts    [][]byte
	etag     string
	modified time.Time
	key      string // of KMS, customer-managed; empty for S3's own
}

func (o Object) size() int {
	n := 0
	for _, p := range o.parts {
		n += len(p)
	}
	return n
}

// Bytes returns an object's content.
func (o Object) Bytes() []byte { return bytes.Join(o.parts, nil) }

// NewObject returns an object with the current time.
func (s *Service) NewObject(body []byte) Object {
	sum := md5.Sum(body)
	return Object{[][]byte{body}, `"` + hex.EncodeToString(sum[:]) + `"`, s.Clock.Now(), ""}
}

// New puts the service into an account.
func New(k *kernel.Kernel) *Service {
	s := &Service{Kernel: k, Buckets: map[string]*Bucket{}, uploads: map[string]*s3Upload{}}
	ops := map[string]kernel.Operation{
		"CreateBucket": s.createBucket, "HeadBucket": s.headBucket, "DeleteBucket": s.deleteBucket,
		"PutObject": s.putObject, "GetObject": s.getObject, "HeadObject": s.getObject,
		"DeleteObject": s.deleteObject, "DeleteObjects": s.deleteObjects, "ListObjectsV2": s.listObjects,
		"PutBucketTagging": s.putBucketTagging, "GetBucketTagging": s.getBucketTagging,
		"GetBucketNotificationConfiguration": s.getBucketNotification,
		"CreateMultipartUpload":              s.createUpload, "UploadPart": s.uploadPart,
		"CompleteMultipartUpload": s.completeUpload, "AbortMultipartUpload": s.abortUpload,
	}
	for _, what := range []string{
		"PutBucketPolicy", "PutPublicAccessBlock", "PutBucketEncryption", "PutBucketLifecycleConfiguration",
		"PutBucketNotificationConfiguration",
	} {
		ops[what] = s.putBucketSetting
	}
	k.Register(&kernel.API{
		Name: "s3", Route: s3Action, Asks: s.objectQuestions, Endpoint: "s3", Protocol: kernel.RESTXML, Ops: ops,
	})
	return s
}

// s3Settings are the sub-resources of a bucket by the name in its query.
var s3Settings = map[string]string{
	"policy": "BucketPolicy", "publicAccessBlock": "PublicAccessBlock", "encryption": "BucketEncryption",
	"tagging": "BucketTagging", "lifecycle": "BucketLifecycleConfiguration",
	"notification": "BucketNotificationConfiguration",
}

func s3Action(r *http.Request, parts []string) string {
	if parts[0] == "" {
		return "ListBuckets" // not simulated
	}
	q := r.URL.Query()
	if len(parts) == 1 {
		for name, what := range s3Settings {
			if q.Has(name) {
				return map[string]string{"PUT": "Put", "GET": "Get", "DELETE": "Delete"}[r.Method] + what
			}
		}
		if r.Method == http.MethodPost && q.Has("delete") {
			return "DeleteObjects"
		}
		return map[string]string{
			"PUT": "CreateBucket", "GET": "ListObjectsV2", "HEAD": "HeadBucket", "DELETE": "DeleteBucket",
		}[r.Method]
	}
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case q.Has("uploadId"):
		return map[string]string{
			"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload",
		}[r.Method]
	}
	return map[string]string{
		"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject",
	}[r.Method]
}

// objectOf returns the bucket and key that a path-style request names.
func objectOf(c *kernel.Call) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(c.Request.URL.Path, "/"), "/")
	return bucket, key
}

func (s *Service) bucket(c *kernel.Call) (*Bucket, string, error) {
	name, key := objectOf(c)
	b, ok := s.Buckets[name]
	if !ok {
		return nil, "", kernel.Errorf("NoSuchBucket",
			"The specified bucket does not exist").WithStatus(http.StatusNotFound)
	}
	return b, key, nil
}

func (s *Service) createBucket(c *kernel.Call) (any, error) {
	name, _ := objectOf(c)
	if s.Buckets[name] != nil && s.Options.Region != "us-east-1" {
		return nil, kernel.Errorf("BucketAlreadyOwnedByYou",
			"Your previous request to create the named bucket succeeded and you already own it.").
			WithStatus(http.StatusConflict)
	}
	if s.Buckets[name] == nil {
		s.Buckets[name] = &Bucket{Objects: map[string]Object{}, Settings: map[string][]byte{}, Created: s.Clock.Now()}
	}
	return &kernel.RawReply{Status: http.StatusOK, Header: map[string]string{"Location": "/" + name}}, nil
}

func (s *Service) headBucket(c *kernel.Call) (any, error) {
	if _, _, err := s.bucket(c); err != nil {
		return &kernel.RawReply{Status: http.StatusNotFound}, nil
	}
	return &kernel.RawReply{
		Status: http.StatusOK, Header: map[string]string{"x-amz-bucket-region": s.Options.Region},
	}, nil
}

func (s *Service) deleteBucket(c *kernel.Call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if len(b.Objects) > 0 {
		return nil, kernel.Errorf("BucketNotEmpty",
			"The bucket you tried to delete is not empty").WithStatus(http.StatusConflict)
	}
	name, _ := objectOf(c)
	delete(s.Buckets, name)
	return &kernel.RawReply{Status: http.StatusNoContent}, nil
}

func (s *Service) putBucketSetting(c *kernel.Call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	b.Settings[c.Action] = c.Body
	if c.Action == "PutBucketNotificationConfiguration" {
		b.Notifies = strings.Contains(string(c.Body), "EventBridgeConfiguration")
	}
	if c.Action == "PutBucketPolicy" {
		return &kernel.RawReply{Status: http.StatusNoContent}, nil
	}
	return &kernel.RawReply{Status: http.StatusOK}, nil
}

func (s *Service) getBucketNotification(c *kernel.Call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	type none struct{}
	out := struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ NotificationConfiguration"`
		EventBridge *none    `xml:"EventBridgeConfiguration"`
	}{}
	if b.Notifies {
		out.EventBridge = &none{}
	}
	body, err := xml.Marshal(out)
	return &kernel.RawReply{
		Status: http.StatusOK, Header: map[string]string{"Content-Type": "application/xml"}, Body: body,
	}, err
}

// taggingXML is a bucket's set of tags.
type taggingXML struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Tagging"`
	TagSet  struct {
		Tag []struct{ Key, Value string }
	}
}

func (s *Service) putBucketTagging(c *kernel.Call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	var in taggingXML
	if err := xml.Unmarshal(c.Body, &in); err != nil {
		return nil, kernel.Errorf("MalformedXML",
			"The XML you provided was not well-formed or did not validate against our published schema")
	}
	b.Tags = nil
	for _, t := range in.TagSet.Tag {
		b.Tags = append(b.Tags, kernel.Tag{Key: t.Key, Value: t.Value})
	}
	return &kernel.RawReply{Status: http.StatusNoContent}, nil
}

func (s *Service) getBucketTagging(c *kernel.Call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if len(b.Tags) == 0 {
		return nil, kernel.Errorf("NoSuchTagSet", "The TagSet does not exist").WithStatus(http.StatusNotFound)
	}
	var out taggingXML
	for _, t := range b.Tags {
		out.TagSet.Tag = append(out.TagSet.Tag, struct{ Key, Value string }{t.Key, t.Value})
	}
	body, err := xml.Marshal(out)
	return &kernel.RawReply{
		Status: http.StatusOK, Header: map[string]string{"Content-Type": "application/xml"}, Body: body,
	}, err
}

var masterKey = regexp.MustCompile(`<KMSMasterKeyID>([^<]+)</KMSMasterKeyID>`)

// key returns the customer-managed key of a new object: the one that the call names, or
// the bucket's.
func (b *Bucket) key(c *kernel.Call) string {
	if id := c.Request.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"); id != "" {
		return id
	}
	if m := masterKey.FindSubmatch(b.Settings["PutBucketEncryption"]); m != nil {
		return string(m[1])
	}
	return ""
}

func (s *Service) putObject(c *kernel.Call) (any, error) {
	b, key, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(c.Request.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return nil, kernel.Errorf("NotImplemented",
			"the sandbox does not simulate streaming signatures; set request_checksum_calculation to "+
				"when_required").WithStatus(http.StatusNotImplemented)
	}
	if err := b.conditions(c, key); err != nil {
		return nil, err
	}
	o := s.NewObject(c.Body)
	o.key = b.key(c)
	s.store(c, b, key, o)
	return &kernel.RawReply{Status: http.StatusOK, Header: map[string]string{"ETag": o.etag}}, nil
}

func (s *Service) getObject(c *kernel.Call) (any, error) {
	b, key, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	o, ok := b.Objects[key]
	if !ok {
		if c.Action == "HeadObject" {
			return &kernel.RawReply{Status: http.StatusNotFound}, nil
		}
		return nil, kernel.Errorf("NoSuchKey", "The specified key does not exist.").WithStatus(http.StatusNotFound)
	}
	r := &kernel.RawReply{Status: http.StatusOK, More: o.parts, Header: map[string]string{
		"ETag": o.etag, "Last-Modified": o.modified.UTC().Format(http.TimeFormat),
		"Content-Type": "binary/octet-stream", "Content-Length": fmt.Sprint(o.size()),
	}}
	if c.Action == "HeadObject" {
		r.More = nil
	}
	return r, nil
}

func (s *Service) deleteObject(c *kernel.Call) (any, error) {
	b, key, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	delete(b.Objects, key)
	return &kernel.RawReply{Status: http.StatusNoContent}, nil
}

func (s *Service) deleteObjects(c *kernel.Call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	var in struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(c.Body, &in); err != nil {
		return nil, kernel.Errorf("MalformedXML",
			"The XML you provided was not well-formed or did not validate against our published schema")
	}
	out := struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
		Deleted []struct{ Key string }
	}{}
	for _, o := range in.Object {
		delete(b.Objects, o.Key)
		out.Deleted = append(out.Deleted, o)
	}
	body, err := xml.Marshal(out)
	return &kernel.RawReply{
		Status: http.StatusOK, Header: map[string]string{"Content-Type": "application/xml"}, Body: body,
	}, err
}

func (s *Service) listObjects(c *kernel.Call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	type content struct {
		Key          string
		LastModified kernel.Stamp
		ETag         string
		Size         int
		StorageClass string
	}
	name, _ := objectOf(c)
	prefix := c.Request.URL.Query().Get("prefix")
	out := struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
		Name        string
		Prefix      string
		KeyCount    int
		MaxKeys     int
		IsTruncated bool
		Contents    []content
	}{Name: name, Prefix: prefix, MaxKeys: 1000}
	for _, k := range kernel.SortedKeys(b.Objects) {
		if strings.HasPrefix(k, prefix) {
			o := b.Objects[k]
			out.Contents = append(out.Contents, content{
				k, kernel.Stamp{Time: o.modified}, o.etag, o.size(), "STANDARD",
			})
		}
	}
	out.KeyCount = len(out.Contents)
	body, err := xml.Marshal(out)
	return &kernel.RawReply{
		Status: http.StatusOK, Header: map[string]string{"Content-Type": "application/xml"}, Body: body,
	}, err
}

// ObjectAt returns the object that a URL of S3 names, path-style or virtual.
func (s *Service) ObjectAt(url string) ([]byte, bool) {
	_, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	if bucket, ok := s.Buckets[strings.Split(host, ".s3.")[0]]; ok {
		o, found := bucket.Objects[path]
		return o.Bytes(), found
	}
	name, key, _ := strings.Cut(path, "/")
	if bucket, ok := s.Buckets[name]; ok {
		o, found := bucket.Objects[key]
		return o.Bytes(), found
	}
	return nil, false
}

// BucketNames returns the names of all buckets in order.
func (s *Service) BucketNames() []string { return slices.Clone(kernel.SortedKeys(s.Buckets)) }
