package launcher

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

func TestCallReturnsTheAnswerOrWhyThereIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		status      int
		failed      bool
		body        string
		run, reason string
	}{
		"an answer":                     {200, false, `{"run": "hello/1"}`, "hello/1", ""},
		"the function's error":          {200, true, `{"errorMessage": "there is no job x", "errorType": "e"}`, "", "f refuses: there is no job x"},
		"an error without a message":    {200, true, `{"errorType": "Runtime.ExitError"}`, "", `f refuses: {"errorType": "Runtime.ExitError"}`},
		"an error that is no JSON":      {200, true, `killed`, "", "f refuses: killed"},
		"an answer that cannot be read": {200, false, `hello`, "", "read the answer of f"},
		"no such function":              {404, false, `{"Message": "Function not found"}`, "", "call f"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got, _ := io.ReadAll(r.Body); string(got) != `{"job":"hello"}` {
				t.Errorf("%s: the function gets %s", name, got)
			}
			if c.failed {
				w.Header().Set("X-Amz-Function-Error", "Unhandled")
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		api := lambda.New(lambda.Options{
			Region: "us-east-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		})
		answer, err := Call(context.Background(), api, "f", []byte(`{"job":"hello"}`))
		server.Close()
		switch {
		case c.reason == "" && (err != nil || string(answer.Run) != c.run):
			t.Errorf("%s: %+v, %v", name, answer, err)
		case c.reason != "" && (err == nil || !strings.HasPrefix(err.Error(), c.reason)):
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
	}
}
