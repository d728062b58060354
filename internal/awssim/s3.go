package awssim

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
)

// s3State is S3: buckets with objects, in memory.
type s3State struct {
	buckets map[string]*s3Bucket
	uploads map[string]*s3Upload // that are not complete, by id
}

type s3Bucket struct {
	objects map[string]s3Object
	tags    []cfnTag
	created time.Time
	// notifies says that EventBridge is told of new objects.
	notifies bool
	// settings are what PutBucketPolicy and the like have stored, by name.
	settings map[string][]byte
}

// s3Object is an object; one that came in parts stays in parts, as it may be big.
type s3Object struct {
	parts    [][]byte
	etag     string
	modified time.Time
	key      string // of KMS, customer-managed; empty for S3's own
}

func (o s3Object) size() int {
	n := 0
	for _, p := range o.parts {
		n += len(p)
	}
	return n
}

func (o s3Object) bytes() []byte { return bytes.Join(o.parts, nil) }

// newObject returns an object that is stored now.
func (s *Sim) newObject(body []byte) s3Object {
	sum := md5.Sum(body)
	return s3Object{[][]byte{body}, `"` + hex.EncodeToString(sum[:]) + `"`, s.clock.time(), ""}
}

func (s *Sim) newS3() *service {
	s.s3 = &s3State{buckets: map[string]*s3Bucket{}, uploads: map[string]*s3Upload{}}
	ops := map[string]operation{
		"CreateBucket": s.createBucket, "HeadBucket": s.headBucket, "DeleteBucket": s.deleteBucket, "PutObject": s.putObject, "GetObject": s.getObject, "HeadObject": s.getObject,
		"DeleteObject": s.deleteObject, "DeleteObjects": s.deleteObjects, "ListObjectsV2": s.listObjects, "PutBucketTagging": s.putBucketTagging, "GetBucketTagging": s.getBucketTagging, "GetBucketNotificationConfiguration": s.getBucketNotification,
		"CreateMultipartUpload": s.createUpload, "UploadPart": s.uploadPart, "CompleteMultipartUpload": s.completeUpload, "AbortMultipartUpload": s.abortUpload,
	}
	for _, what := range []string{"PutBucketPolicy", "PutPublicAccessBlock", "PutBucketEncryption", "PutBucketLifecycleConfiguration", "PutBucketNotificationConfiguration"} {
		ops[what] = s.putBucketSetting
	}
	return &service{name: "s3", route: s3Action, asks: s.objectQuestions, endpoint: "s3", protocol: restXML, ops: ops}
}

// s3Settings are the sub-resources of a bucket by the name in its query.
var s3Settings = map[string]string{"policy": "BucketPolicy", "publicAccessBlock": "PublicAccessBlock", "encryption": "BucketEncryption", "tagging": "BucketTagging", "lifecycle": "BucketLifecycleConfiguration", "notification": "BucketNotificationConfiguration"}

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
		return map[string]string{"PUT": "CreateBucket", "GET": "ListObjectsV2", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}[r.Method]
	}
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case q.Has("uploadId"):
		return map[string]string{"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}[r.Method]
	}
	return map[string]string{"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}[r.Method]
}

// objectOf returns the bucket and key that a path-style request names.
func objectOf(c *call) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(c.request.URL.Path, "/"), "/")
	return bucket, key
}

func (s *Sim) bucket(c *call) (*s3Bucket, string, error) {
	name, key := objectOf(c)
	b, ok := s.s3.buckets[name]
	if !ok {
		return nil, "", errf("NoSuchBucket", "The specified bucket does not exist").status(http.StatusNotFound)
	}
	return b, key, nil
}

func (s *Sim) createBucket(c *call) (any, error) {
	name, _ := objectOf(c)
	if s.s3.buckets[name] != nil && s.options.Region != "us-east-1" {
		return nil, errf("BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.").status(http.StatusConflict)
	}
	if s.s3.buckets[name] == nil {
		s.s3.buckets[name] = &s3Bucket{objects: map[string]s3Object{}, settings: map[string][]byte{}, created: s.clock.time()}
	}
	return &rawReply{status: http.StatusOK, header: map[string]string{"Location": "/" + name}}, nil
}

func (s *Sim) headBucket(c *call) (any, error) {
	if _, _, err := s.bucket(c); err != nil {
		return &rawReply{status: http.StatusNotFound}, nil
	}
	return &rawReply{status: http.StatusOK, header: map[string]string{"x-amz-bucket-region": s.options.Region}}, nil
}

func (s *Sim) deleteBucket(c *call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if len(b.objects) > 0 {
		return nil, errf("BucketNotEmpty", "The bucket you tried to delete is not empty").status(http.StatusConflict)
	}
	name, _ := objectOf(c)
	delete(s.s3.buckets, name)
	return &rawReply{status: http.StatusNoContent}, nil
}

func (s *Sim) putBucketSetting(c *call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	b.settings[c.action] = c.body
	if c.action == "PutBucketNotificationConfiguration" {
		b.notifies = strings.Contains(string(c.body), "EventBridgeConfiguration")
	}
	if c.action == "PutBucketPolicy" {
		return &rawReply{status: http.StatusNoContent}, nil
	}
	return &rawReply{status: http.StatusOK}, nil
}

func (s *Sim) getBucketNotification(c *call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	type none struct{}
	out := struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ NotificationConfiguration"`
		EventBridge *none    `xml:"EventBridgeConfiguration"`
	}{}
	if b.notifies {
		out.EventBridge = &none{}
	}
	body, err := xml.Marshal(out)
	return &rawReply{status: http.StatusOK, header: map[string]string{"Content-Type": "application/xml"}, body: body}, err
}

// taggingXML is a bucket's set of tags.
type taggingXML struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Tagging"`
	TagSet  struct {
		Tag []struct{ Key, Value string }
	}
}

func (s *Sim) putBucketTagging(c *call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	var in taggingXML
	if err := xml.Unmarshal(c.body, &in); err != nil {
		return nil, errf("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	b.tags = nil
	for _, t := range in.TagSet.Tag {
		b.tags = append(b.tags, cfnTag{t.Key, t.Value})
	}
	return &rawReply{status: http.StatusNoContent}, nil
}

func (s *Sim) getBucketTagging(c *call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if len(b.tags) == 0 {
		return nil, errf("NoSuchTagSet", "The TagSet does not exist").status(http.StatusNotFound)
	}
	var out taggingXML
	for _, t := range b.tags {
		out.TagSet.Tag = append(out.TagSet.Tag, struct{ Key, Value string }{t.Key, t.Value})
	}
	body, err := xml.Marshal(out)
	return &rawReply{status: http.StatusOK, header: map[string]string{"Content-Type": "application/xml"}, body: body}, err
}

var masterKey = regexp.MustCompile(`<KMSMasterKeyID>([^<]+)</KMSMasterKeyID>`)

// key returns the customer-managed key that a new object is put under: the one that the
// call names, or the bucket's.
func (b *s3Bucket) key(c *call) string {
	if id := c.request.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"); id != "" {
		return id
	}
	if m := masterKey.FindSubmatch(b.settings["PutBucketEncryption"]); m != nil {
		return string(m[1])
	}
	return ""
}

func (s *Sim) putObject(c *call) (any, error) {
	b, key, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(c.request.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return nil, errf("NotImplemented", "the sandbox does not simulate streaming signatures; set request_checksum_calculation to when_required").status(http.StatusNotImplemented)
	}
	if err := b.conditions(c, key); err != nil {
		return nil, err
	}
	o := s.newObject(c.body)
	o.key = b.key(c)
	s.store(c, b, key, o)
	return &rawReply{status: http.StatusOK, header: map[string]string{"ETag": o.etag}}, nil
}

func (s *Sim) getObject(c *call) (any, error) {
	b, key, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	o, ok := b.objects[key]
	if !ok {
		if c.action == "HeadObject" {
			return &rawReply{status: http.StatusNotFound}, nil
		}
		return nil, errf("NoSuchKey", "The specified key does not exist.").status(http.StatusNotFound)
	}
	r := &rawReply{status: http.StatusOK, more: o.parts, header: map[string]string{
		"ETag": o.etag, "Last-Modified": o.modified.UTC().Format(http.TimeFormat), "Content-Type": "binary/octet-stream", "Content-Length": fmt.Sprint(o.size()),
	}}
	if c.action == "HeadObject" {
		r.more = nil
	}
	return r, nil
}

func (s *Sim) deleteObject(c *call) (any, error) {
	b, key, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	delete(b.objects, key)
	return &rawReply{status: http.StatusNoContent}, nil
}

func (s *Sim) deleteObjects(c *call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	var in struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(c.body, &in); err != nil {
		return nil, errf("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	out := struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
		Deleted []struct{ Key string }
	}{}
	for _, o := range in.Object {
		delete(b.objects, o.Key)
		out.Deleted = append(out.Deleted, o)
	}
	body, err := xml.Marshal(out)
	return &rawReply{status: http.StatusOK, header: map[string]string{"Content-Type": "application/xml"}, body: body}, err
}

func (s *Sim) listObjects(c *call) (any, error) {
	b, _, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	type content struct {
		Key          string
		LastModified stamp
		ETag         string
		Size         int
		StorageClass string
	}
	name, _ := objectOf(c)
	prefix := c.request.URL.Query().Get("prefix")
	out := struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
		Name        string
		Prefix      string
		KeyCount    int
		MaxKeys     int
		IsTruncated bool
		Contents    []content
	}{Name: name, Prefix: prefix, MaxKeys: 1000}
	for _, k := range sortedKeys(b.objects) {
		if strings.HasPrefix(k, prefix) {
			o := b.objects[k]
			out.Contents = append(out.Contents, content{k, stamp{o.modified}, o.etag, o.size(), "STANDARD"})
		}
	}
	out.KeyCount = len(out.Contents)
	body, err := xml.Marshal(out)
	return &rawReply{status: http.StatusOK, header: map[string]string{"Content-Type": "application/xml"}, body: body}, err
}

// objectAt returns the object that a URL of S3 names, path-style or virtual.
func (s *Sim) objectAt(url string) ([]byte, bool) {
	_, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	if bucket, ok := s.s3.buckets[strings.Split(host, ".s3.")[0]]; ok {
		o, found := bucket.objects[path]
		return o.bytes(), found
	}
	name, key, _ := strings.Cut(path, "/")
	if bucket, ok := s.s3.buckets[name]; ok {
		o, found := bucket.objects[key]
		return o.bytes(), found
	}
	return nil, false
}

// bucketNames returns the names of all buckets in order.
func (s *Sim) bucketNames() []string { return slices.Clone(sortedKeys(s.s3.buckets)) }
