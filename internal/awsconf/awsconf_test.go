package awsconf

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// roundTrip answers for any host, and counts.
type roundTrip struct{ calls int }

func (r *roundTrip) Do(q *http.Request) (*http.Response, error) {
	r.calls++
	w := httptest.NewRecorder()
	_, _ = w.WriteString("<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>")
	return w.Result(), nil
}

// TestNothingIsSentWithoutEncryption: however the endpoint was named.
func TestNothingIsSentWithoutEncryption(t *testing.T) {
	for _, variable := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"} {
		for endpoint, want := range map[string]bool{"http://192.0.2.2:4577": false, "http://evil.example": false, "https://evil.example": true, "http://127.0.0.1:4577": true} {
			t.Run(variable+"="+endpoint, func(t *testing.T) {
				t.Setenv("AWS_ACCESS_KEY_ID", "AKIA")
				t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
				t.Setenv("AWS_REGION", "us-east-1")
				t.Setenv(variable, endpoint)
				transport := &roundTrip{}
				c, err := config.LoadDefaultConfig(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				c.HTTPClient = transport
				Encrypted(&c)
				_, err = sts.NewFromConfig(c).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
				var plain *PlainError
				if refused := errors.As(err, &plain); refused == want || (transport.calls > 0) != want {
					t.Errorf("%d calls, %v", transport.calls, err)
				}
			})
		}
	}
}
