// Package codecommit creates the URLs and passwords with which git accesses AWS
// CodeCommit over HTTPS with the credentials of an IAM role.
package codecommit

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// hostPattern matches CodeCommit's git hosts: with a VPC endpoint's own name
// before it, with -fips, in China.
//
// Source: the credential helper of the AWS CLI, and
// https://docs.aws.amazon.com/codecommit/latest/userguide/regions.html
var hostPattern = regexp.MustCompile(`^(?:vpce-[a-z0-9-]+\.)?git-codecommit(?:-fips)?` +
	`\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?$`)

// ErrNotCodeCommit is the error for a host that is not CodeCommit's.
var ErrNotCodeCommit = errors.New("not a host of CodeCommit")

// Region returns the Region that a host of CodeCommit belongs to. The host may
// carry a port.
func Region(host string) (string, error) {
	name, _, _ := strings.Cut(host, ":")
	m := hostPattern.FindStringSubmatch(name)
	if m == nil {
		return "", fmt.Errorf("%s: %w", host, ErrNotCodeCommit)
	}
	return m[1], nil
}

// URL returns the address of a repository for git. endpoint, if given, replaces
// AWS's own host, as http://127.0.0.1:4577.
func URL(endpoint, region, repository string) string {
	if endpoint == "" {
		endpoint = "https://git-codecommit." + region + ".amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			endpoint += ".cn"
		}
	}
	return strings.TrimSuffix(endpoint, "/") + "/v1/repos/" + repository
}

const stampLayout = "20060102T150405"

// Username returns the user name for git: the access key and, with a session
// token, a per cent sign and the token.
func Username(c aws.Credentials) string {
	if c.SessionToken == "" {
		return c.AccessKeyID
	}
	return c.AccessKeyID + "%" + c.SessionToken
}

// Password returns the password for git on a path such as /v1/repos/app of a host,
// whose port does not count. It is valid for about 15 minutes. The session token
// is not part of it.
//
// It is a signature of version 4 of a request with the method GIT, without a body
// hash; the time has no Z where it is signed and has one before the signature.
//
// Source: git-remote-codecommit, and the credential helper of the AWS CLI.
func Password(c aws.Credentials, region, host, path string, now time.Time) string {
	stamp := now.UTC().Format(stampLayout)
	return stamp + "Z" + signature(c.SecretAccessKey, region, host, path, stamp)
}

func signature(secret, region, host, path, stamp string) string {
	host, _, _ = strings.Cut(host, ":")
	request := sha256.Sum256([]byte("GIT\n" + path + "\n\nhost:" + host + "\n\nhost\n"))
	date := stamp[:8]
	scope := date + "/" + region + "/codecommit/aws4_request"
	key := []byte("AWS4" + secret)
	for _, part := range []string{date, region, "codecommit", "aws4_request"} {
		key = sum(key, part)
	}
	return hex.EncodeToString(sum(key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(request[:])))
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text)) // a hash never fails
	return h.Sum(nil)
}

// validity is how far a password's time may differ from the server's.
const validity = 15 * time.Minute

// Verify checks a password as CodeCommit does. It returns nil if it is correct
// and at most 15 minutes old.
func Verify(secret, region, host, path, password string, now time.Time) error {
	stamp, got, ok := strings.Cut(password, "Z")
	at, err := time.Parse(stampLayout, stamp)
	if !ok || err != nil {
		return errors.New("the password has no time")
	}
	if d := now.Sub(at); d > validity || d < -validity {
		return fmt.Errorf("the signature of %s has expired", at.Format(time.RFC3339))
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(signature(secret, region, host, path, stamp))) != 1 {
		return errors.New("the signature does not match")
	}
	return nil
}

// WithCredentials returns a URL that carries user name and password, for programs
// other than git that do not support credential helpers.
func WithCredentials(given string, c aws.Credentials, region string, now time.Time) (string, error) {
	u, err := url.Parse(given)
	if err != nil {
		return "", fmt.Errorf("read the address: %w", err)
	}
	u.User = url.UserPassword(Username(c), Password(c, region, u.Host, u.Path, now))
	return u.String(), nil
}
