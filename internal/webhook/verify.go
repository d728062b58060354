package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The replay windows bound how far a report's signed time may be from now. Servers
// that queue reports, and let users resend them, get an hour; for that long the
// same report counts once.
const (
	window     = 5 * time.Minute
	wideWindow = time.Hour
)

// errForged is the error for a report that was not signed with the secret. It
// gives no details.
var errForged = errors.New("signature missing or wrong, or unknown webhook")

// minSecret is the length of the shortest secret, and key, that reports are verified
// with, in bytes: a shorter one can be guessed.
const minSecret = 16

// errUnsigned is the error for a report without any signature. It is the same for every name, and
// so reveals none.
var errUnsigned = errors.New("no signature: the header X-Hub-Signature-256 (GitHub, Gitea), X-Hub-Signature " +
	"(Bitbucket), X-Gitlab-Token, Webhook-Signature (GitLab) or X-Drawbridge-Signature is missing; give the webhook " +
	"a secret at the server")

// signatures are the headers that carry one.
var signatures = []string{
	"x-hub-signature-256", "x-hub-signature", "x-gitea-signature", "x-forgejo-signature", "x-gitlab-token",
	"webhook-signature", "x-drawbridge-signature",
}

// unsigned reports whether a report has no signature at all.
func (r report) unsigned() bool {
	return !slices.ContainsFunc(signatures, func(name string) bool { return r.header[name] != "" })
}

// payload returns the JSON of a report: GitHub can send it as the field payload of a form. The
// signature is of the body as it came.
func (r report) payload() []byte {
	if kind, _, _ := strings.Cut(r.header["content-type"], ";"); strings.TrimSpace(kind) != formEncoded {
		return r.body
	}
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return r.body
	}
	return []byte(form.Get("payload"))
}

const formEncoded = "application/x-www-form-urlencoded"

// errWeak is the error for a secret that is too short.
var errWeak = fmt.Errorf("its secret is shorter than %d bytes: set a longer one at the server and in Secrets Manager",
	minSecret)

// errOld is the error for a report outside the replay window.
var errOld = errors.New("the report's time is outside the replay window")

// report is a report of a git server as it came in. Header names are in small
// letters.
type report struct {
	header map[string]string
	body   []byte
}

// verify verifies a report's signature in constant time.
func verify(provider string, secret []byte, r report, now time.Time) error {
	if len(secret) < minSecret {
		return errWeak
	}
	switch provider {
	case "github":
		return signed(r.header["x-hub-signature-256"], "sha256=", secret, r.body)
	case "bitbucket":
		return signed(r.header["x-hub-signature"], "sha256=", secret, r.body)
	case "gitea":
		for _, name := range []string{"x-gitea-signature", "x-forgejo-signature"} {
			if r.header[name] != "" {
				return signed(r.header[name], "", secret, r.body)
			}
		}
		return signed(r.header["x-hub-signature-256"], "sha256=", secret, r.body)
	case "gitlab":
		if strings.HasPrefix(string(secret), "whsec_") {
			return standard(r, secret, now)
		}
		// Digests have the same length, whatever the token's.
		given, want := sha256.Sum256([]byte(r.header["x-gitlab-token"])), sha256.Sum256(secret)
		if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
			return errForged
		}
		return nil
	case "plain":
		stamp := r.header["x-drawbridge-timestamp"]
		if err := signed(r.header["x-drawbridge-signature"], "sha256=", secret,
			append([]byte(stamp+"."), r.body...)); err != nil {
			return err
		}
		return within(stamp, now)
	}
	return fmt.Errorf("unknown provider %q", provider)
}

// signed checks a HMAC-SHA256 in hexadecimal.
func signed(given, prefix string, secret, text []byte) error {
	rest, ok := strings.CutPrefix(given, prefix)
	got, err := hex.DecodeString(rest)
	if !ok || err != nil || !hmac.Equal(got, mac(secret, text)) {
		return errForged
	}
	return nil
}

// standard checks a signature of Standard Webhooks, as GitLab's signing tokens make
// it.
//
// Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func standard(r report, secret []byte, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(secret), "whsec_"))
	if err != nil {
		return errForged
	}
	if len(key) < minSecret {
		return errWeak
	}
	want := mac(key, append([]byte(r.header["webhook-id"]+"."+r.header["webhook-timestamp"]+"."), r.body...))
	right := false
	for _, one := range strings.Fields(r.header["webhook-signature"]) {
		rest, ok := strings.CutPrefix(one, "v1,")
		got, err := base64.StdEncoding.DecodeString(rest)
		if ok && err == nil && hmac.Equal(got, want) {
			right = true
		}
	}
	if !right {
		return errForged
	}
	return within(r.header["webhook-timestamp"], now)
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text) // a hash never fails
	return h.Sum(nil)
}

// within checks a time in epoch seconds against the replay window.
func within(stamp string, now time.Time) error {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return errOld
	}
	return fresh(time.Unix(seconds, 0), window, now)
}

func fresh(at time.Time, within time.Duration, now time.Time) error {
	if d := now.Sub(at); d > within || d < -within {
		return errOld
	}
	return nil
}
