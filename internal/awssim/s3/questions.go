package s3

import (
	"net/http"
	"regexp"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// deletedKey is a key in the body of DeleteObjects.
var deletedKey = regexp.MustCompile(`<Key>([^<]*)</Key>`)

// objectQuestions returns the IAM questions of a call to S3.
//
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
func (s *Service) objectQuestions(c *kernel.Call) []kernel.Question {
	bucket, key := objectOf(c)
	action := map[string]string{
		"HeadObject": "GetObject", "ListObjectsV2": "ListBucket", "CreateMultipartUpload": "PutObject",
		"UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject",
		"HeadBucket": "ListBucket", "ListObjectVersions": "ListBucketVersions",
		"PutPublicAccessBlock": "PutBucketPublicAccessBlock", "PutBucketEncryption": "PutEncryptionConfiguration",
		"PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
	}[c.Action]
	if action == "" {
		action = c.Action
	}
	if c.Action == "DeleteObjects" { // each of them
		var qs []kernel.Question
		for _, m := range deletedKey.FindAllSubmatch(c.Body, -1) {
			qs = append(qs, kernel.May("s3:DeleteObject", s.Partition()+"s3:::"+bucket+"/"+string(m[1])))
		}
		return qs
	}
	if key == "" {
		q := kernel.May("s3:"+action, s.Partition()+"s3:::"+bucket)
		if action == "ListBucket" {
			q.Context = map[string]any{"s3:prefix": c.Request.URL.Query().Get("prefix")}
		}
		return []kernel.Question{q}
	}
	qs := []kernel.Question{kernel.May("s3:"+action, s.Partition()+"s3:::"+bucket+"/"+key)}
	qs = append(qs, s.keyQuestions(c, bucket, key)...)
	if c.Request.Method == http.MethodPut && c.Request.Header.Get("If-Match") != "" {
		qs = append(qs, kernel.May("s3:GetObject", s.Partition()+"s3:::"+bucket+"/"+key))
	}
	if c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead {
		if b := s.Buckets[bucket]; b == nil || b.Objects[key].parts == nil { // otherwise S3 answers that it is denied
			qs = append(qs, kernel.May("s3:ListBucket", s.Partition()+"s3:::"+bucket))
		}
	}
	return qs
}

// keyQuestions returns the KMS questions of a call for an object that is
// encrypted with a customer-managed key: its own, or the bucket's default for new
// objects.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
func (s *Service) keyQuestions(c *kernel.Call, bucket, object string) []kernel.Question {
	b := s.Buckets[bucket]
	if b == nil {
		return nil
	}
	var actions []string
	id := b.Objects[object].key
	switch c.Action {
	case "GetObject":
		actions = []string{"kms:Decrypt"}
	case "PutObject":
		id, actions = b.key(c), []string{"kms:GenerateDataKey"}
	case "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload":
		id, actions = b.key(c), []string{"kms:GenerateDataKey", "kms:Decrypt"}
	}
	if id == "" {
		return nil
	}
	var out []kernel.Question
	for _, action := range actions {
		out = append(out,
			kernel.May(action, s.ARN("kms", "key/"+id[strings.LastIndex(id, "/")+1:]), "kms:ViaService",
				"s3."+s.Options.Region+".amazonaws.com", "kms:EncryptionContext:aws:s3:arn",
				s.Partition()+"s3:::"+bucket+"/"+object))
	}
	return out
}
