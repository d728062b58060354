package mirror

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// vault is a Secrets Manager with one secret.
type vault string

func (v vault) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(string(v))}, nil
}

// TestALineBreakInAPasswordIsRefused: git's credential protocol is line-based, so the
// text after a break would be a line of its own, such as another host.
func TestALineBreakInAPasswordIsRefused(t *testing.T) {
	for _, tt := range []struct {
		text, password string
		refused        bool
	}{
		{`{"token": "t0ken"}`, "t0ken", false},
		{`{"token": "t0ken\n"}`, "t0ken", false}, // as an editor leaves it
		{`{"token": "t0ken\nhost=example.com"}`, "", true},
		{`{"username": "jo\rx", "password": "p"}`, "", true},
	} {
		s, err := ReadSecret(t.Context(), vault(tt.text), "arn:s")
		var r *refusal
		if s.Password != tt.password || errors.As(err, &r) != tt.refused {
			t.Errorf("%q: password %q, %v", tt.text, s.Password, err)
		}
		if err != nil && (strings.Contains(err.Error(), "t0ken") || strings.Contains(err.Error(), "jo")) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}
