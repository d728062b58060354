package s3

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"drawbridge/internal/awssim/kernel"
)

// s3Upload is an incomplete multipart upload.
type s3Upload struct {
	bucket, key string
	parts       map[int]Object
}

// minPart is the minimum size of a part other than the last, in bytes.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const minPart = 5 << 20

// conditions rejects a write whose If-Match or If-None-Match does not hold.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (b *Bucket) conditions(c *kernel.Call, key string) error {
	o, ok := b.Objects[key]
	failed := kernel.Errorf("PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold").WithStatus(http.StatusPreconditionFailed)
	if c.Request.Header.Get("If-None-Match") == "*" && ok {
		return failed
	}
	if want := c.Request.Header.Get("If-Match"); want != "" {
		if !ok {
			return kernel.Errorf("NoSuchKey", "The specified key does not exist.").WithStatus(http.StatusNotFound)
		}
		if want != o.etag && want != strings.Trim(o.etag, `"`) {
			return failed
		}
	}
	return nil
}

// store puts an object into a bucket, and notifies EventBridge if the bucket is
// configured to.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
func (s *Service) store(c *kernel.Call, b *Bucket, key string, o Object) {
	b.Objects[key] = o
	if !b.Notifies {
		return
	}
	name, _ := objectOf(c)
	s.Emit("aws.s3", "Object Created", []string{s.Partition() + "s3:::" + name}, map[string]any{
		"version": "0", "bucket": map[string]any{"name": name},
		"object":     map[string]any{"key": key, "size": o.size(), "etag": strings.Trim(o.etag, `"`)},
		"request-id": c.RequestID, "requester": s.Options.Account, "reason": c.Action,
	})
}

func (s *Service) upload(c *kernel.Call) (*s3Upload, string, error) {
	id := c.Request.URL.Query().Get("uploadId")
	u := s.uploads[id]
	bucket, key := objectOf(c)
	if u == nil || u.bucket != bucket || u.key != key {
		return nil, "", kernel.Errorf("NoSuchUpload",
			"The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted "+
				"or completed.").WithStatus(http.StatusNotFound)
	}
	return u, id, nil
}

func (s *Service) createUpload(c *kernel.Call) (any, error) {
	if _, _, err := s.bucket(c); err != nil {
		return nil, err
	}
	bucket, key := objectOf(c)
	id := s.NewID("upload", 64)
	s.uploads[id] = &s3Upload{bucket, key, map[int]Object{}}
	body, err := xml.Marshal(struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
		Bucket   string
		Key      string
		UploadID string `xml:"UploadId"`
	}{Bucket: bucket, Key: key, UploadID: id})
	return &kernel.RawReply{
		Status: http.StatusOK, Header: map[string]string{"Content-Type": "application/xml"}, Body: body,
	}, err
}

func (s *Service) uploadPart(c *kernel.Call) (any, error) {
	u, _, err := s.upload(c)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(c.Request.URL.Query().Get("partNumber"))
	if err != nil || n < 1 || n > 10000 {
		return nil, kernel.Errorf("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
	}
	if strings.HasPrefix(c.Request.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return nil, kernel.Errorf("NotImplemented",
			"the sandbox does not simulate streaming signatures; set request_checksum_calculation to "+
				"when_required").WithStatus(http.StatusNotImplemented)
	}
	// A part's ETag is its MD5 only if it is not encrypted. The client's own digest
	// works as well, and costs nothing.
	if digest := c.Request.Header.Get("X-Amz-Content-Sha256"); len(digest) == 64 {
		u.parts[n] = Object{[][]byte{c.Body}, `"` + digest[:32] + `"`, s.Clock.Now(), ""}
	} else {
		u.parts[n] = s.NewObject(c.Body)
	}
	return &kernel.RawReply{Status: http.StatusOK, Header: map[string]string{"ETag": u.parts[n].etag}}, nil
}

func (s *Service) completeUpload(c *kernel.Call) (any, error) {
	u, id, err := s.upload(c)
	if err != nil {
		return nil, err
	}
	b, key, err := s.bucket(c)
	if err != nil {
		return nil, err
	}
	var in struct {
		Part []completedPart
	}
	if xml.Unmarshal(c.Body, &in) != nil || len(in.Part) == 0 {
		return nil, kernel.Errorf("MalformedXML",
			"The XML you provided was not well-formed or did not validate against our published schema")
	}
	if err := b.conditions(c, key); err != nil {
		return nil, err
	}
	for i := range in.Part[1:] {
		if in.Part[i+1].PartNumber <= in.Part[i].PartNumber {
			return nil, kernel.Errorf("InvalidPartOrder",
				"The list of parts was not in ascending order. Parts must be ordered by part number.")
		}
	}
	whole, sum, err := u.join(in.Part)
	if err != nil {
		return nil, err
	}
	delete(s.uploads, id)
	o := Object{whole, fmt.Sprintf(`"%s-%d"`, sum, len(in.Part)), s.Clock.Now(), b.key(c)}
	s.store(c, b, key, o)
	answer, err := xml.Marshal(struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
		Location string
		Bucket   string
		Key      string
		ETag     string
	}{Location: "https://" + u.bucket + ".s3." + s.Suffix() + "/" + key, Bucket: u.bucket, Key: key, ETag: o.etag})
	return &kernel.RawReply{
		Status: http.StatusOK, Header: map[string]string{"Content-Type": "application/xml"}, Body: answer,
	}, err
}

// completedPart is a part that an upload is completed with.
type completedPart struct {
	PartNumber int
	ETag       string
}

// join returns the bytes of an upload's parts and the hexadecimal MD5 of their MD5s.
func (u *s3Upload) join(parts []completedPart) (whole [][]byte, sum string, err error) {
	sums := md5.New()
	for i, p := range parts {
		part, ok := u.parts[p.PartNumber]
		switch {
		case !ok || strings.Trim(p.ETag, `"`) != strings.Trim(part.etag, `"`):
			return nil, "", kernel.Errorf("InvalidPart",
				"One or more of the specified parts could not be found.  The part may not have been uploaded, or "+
					"the specified entity tag may not match the part's entity tag.")
		case i < len(parts)-1 && part.size() < minPart:
			return nil, "", kernel.Errorf("EntityTooSmall",
				"Your proposed upload is smaller than the minimum allowed size")
		}
		whole = append(whole, part.parts...)
		one, err := hex.DecodeString(strings.Trim(part.etag, `"`))
		if err != nil {
			return nil, "", err
		}
		sums.Write(one)
	}
	return whole, hex.EncodeToString(sums.Sum(nil)), nil
}

func (s *Service) abortUpload(c *kernel.Call) (any, error) {
	_, id, err := s.upload(c)
	if err != nil {
		return nil, err
	}
	delete(s.uploads, id)
	return &kernel.RawReply{Status: http.StatusNoContent}, nil
}
