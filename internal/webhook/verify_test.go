package webhook

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAWeakSecretLetsNobodyIn makes reports that are signed as they should be, with secrets that anybody finds out.
func TestAWeakSecretLetsNobodyIn(t *testing.T) {
	now := time.Date(2026, 5, 14, 9, 0, 0, 0, time.UTC)
	stamp := fmt.Sprint(now.Unix())
	body := []byte(`{}`)
	standardWith := func(key string) report {
		return report{header: map[string]string{
			"webhook-id": "1", "webhook-timestamp": stamp, "webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac([]byte(key), []byte("1."+stamp+".{}"))),
		}, body: body}
	}
	long := strings.Repeat("k", minSecret)
	for _, tt := range []struct {
		name, provider, secret string
		r                      report
		want                   error
	}{
		{"a signing token with nothing behind its prefix", "gitlab", "whsec_", standardWith(""), errWeak},
		{"a signing token whose key is too short", "gitlab", "whsec_" + base64.StdEncoding.EncodeToString([]byte(long[1:])), standardWith(long[1:]), errWeak},
		{"a signing token", "gitlab", "whsec_" + base64.StdEncoding.EncodeToString([]byte(long)), standardWith(long), nil},
		{"a short token", "gitlab", long[1:], report{header: map[string]string{"x-gitlab-token": long[1:]}}, errWeak},
		{"a short key", "github", long[1:], report{header: map[string]string{"x-hub-signature-256": "sha256=" + hex.EncodeToString(mac([]byte(long[1:]), body))}, body: body}, errWeak},
		{"a key", "github", long, report{header: map[string]string{"x-hub-signature-256": "sha256=" + hex.EncodeToString(mac([]byte(long), body))}, body: body}, nil},
		{"no key", "github", "", report{header: map[string]string{"x-hub-signature-256": "sha256=" + hex.EncodeToString(mac(nil, body))}, body: body}, errWeak},
	} {
		if err := verify(tt.provider, []byte(tt.secret), tt.r, now); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
