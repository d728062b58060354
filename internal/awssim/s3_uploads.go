package awssim

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// s3Upload is a multipart upload that is not complete.
type s3Upload struct {
	bucket, key string
	parts       map[int]s3Object
}

// minPart is the least size of a part that is not the last, in bytes.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const minPart = 5 << 20

// conditions refuses a write whose If-Match or If-None-Match does not hold.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (b *s3Bucket) conditions(c *call, key string) error {
	o, ok := b.objects[key]
	failed := errf("PreconditionFailed", "At least one of the pre-conditions you specified did not hold").status(http.StatusPreconditionFailed)
	if c.request.Header.Get("If-None-Match") == "*" && ok {
		return failed
	}
	if want := c.request.Header.Get("If-Match"); want != "" {
		if !ok {
			return errf("NoSuchKey", "The specified key does not exist.").status(http.StatusNotFound)
		}
		if want != o.etag && want != strings.Trim(o.etag, `"`) {
			return failed
		}
	}
	return nil
}

// store puts an object into a bucket, and tells EventBridge if the bucket does so.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
func (s *Sim) store(c *call, b *s3Bucket, key string, o s3Object) {
	b.objects[key] = o
	if !b.notifies {
		return
	}
	name, _ := objectOf(c)
	s.publish("aws.s3", "Object Created", []string{s.partition() + "s3:::" + name}, map[string]any{
		"version": "0", "bucket": map[string]any{"name": name}, "object": map[string]any{"key": key, "size": o.size(), "etag": strings.Trim(o.etag, `"`)},
		"request-id": c.requestID, "requester": s.options.Account, "reason": c.action,
	})
}

func (s *Sim) upload(c *call) (*s3Upload, string, error) {
	id := c.request.URL.Query().Get("uploadId")
	u := s.s3.uploads[id]
	bucket, key := objectOf(c)
	if u == nil || u.bucket != bucket || u.key != key {
		return nil, "", errf("NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.").status(http.StatusNotFound)
	}
	return u, id, nil
}

func (s *Sim) createUpload(c *call) (any, error) {
	if _, _, err := s.bucket(c); err != nil {
		return nil, err
	}
	bucket, key := objectOf(c)
	id := s.id("upload", 64)
	s.s3.uploads[id] = &s3Upload{bucket, key, map[int]s3Object{}}
	body, err := xml.Marshal(struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
		Bucket   string
		Key      string
		UploadID string `xml:"UploadId"`
	}{Bucket: bucket, Key: key, UploadID: id})
	return &rawReply{status: http.StatusOK, header: map[string]string{"Content-Type": "application/xml"}, body: body}, err
}

func (s *Sim) uploadPart(c *call) (any, error) {
	u, _, err := s.upload(c)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(c.request.URL.Query().Get("partNumber"))
	if err != nil || n < 1 || n > 10000 {
		return nil, errf("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
	}
	if strings.HasPrefix(c.request.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return nil, errf("NotImplemented", "the sandbox does not simulate streaming signatures; set request_checksum_calculation to when_required").status(http.StatusNotImplemented)
	}
	// A part's ETag is its MD5 only where nothing encrypts it. The client's own digest
	// serves as well, and costs nothing.
	if digest := c.request.Header.Get("X-Amz-Content-Sha256"); len(digest) == 64 {
		u.parts[n] = s3Object{[][]byte{c.body}, `"` + digest[:32] + `"`, s.clock.time(), ""}
	} else {
		u.parts[n] = s.newObject(c.body)
	}
	return &rawReply{status: http.StatusOK, header: map[string]string{"ETag": u.parts[n].etag}}, nil
}

func (s *Sim) completeUpload(c *call) (any, error) {
	u, id, err := s.upload(c)
	if err != nil {
		return nil, err
	}
	b, key, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	var in struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if xml.Unmarshal(c.body, &in) != nil || len(in.Part) == 0 {
		return nil, errf("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	if err := b.conditions(c, key); err != nil {
		return nil, err
	}
	for i := range in.Part[1:] {
		if in.Part[i+1].PartNumber <= in.Part[i].PartNumber {
			return nil, errf("InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number.")
		}
	}
	var whole [][]byte
	sums := md5.New()
	for i, p := range in.Part {
		part, ok := u.parts[p.PartNumber]
		switch {
		case !ok || strings.Trim(p.ETag, `"`) != strings.Trim(part.etag, `"`):
			return nil, errf("InvalidPart", "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
		case i < len(in.Part)-1 && part.size() < minPart:
			return nil, errf("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
		}
		whole = append(whole, part.parts...)
		sum, err := hex.DecodeString(strings.Trim(part.etag, `"`))
		if err != nil {
			return nil, err
		}
		sums.Write(sum)
	}
	delete(s.s3.uploads, id)
	o := s3Object{whole, fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(sums.Sum(nil)), len(in.Part)), s.clock.time(), b.key(c)}
	s.store(c, b, key, o)
	answer, err := xml.Marshal(struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
		Location string
		Bucket   string
		Key      string
		ETag     string
	}{Location: "https://" + u.bucket + ".s3." + s.suffix() + "/" + key, Bucket: u.bucket, Key: key, ETag: o.etag})
	return &rawReply{status: http.StatusOK, header: map[string]string{"Content-Type": "application/xml"}, body: answer}, err
}

func (s *Sim) abortUpload(c *call) (any, error) {
	_, id, err := s.upload(c)
	if err != nil {
		return nil, err
	}
	delete(s.s3.uploads, id)
	return &rawReply{status: http.StatusNoContent}, nil
}
