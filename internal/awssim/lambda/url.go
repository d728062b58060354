package lambda

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// URLRoot is the path of function URLs in the sandbox; in AWS each has its own
// host.
const URLRoot = "/_url/"

// maxURLBody is the largest request that a function URL accepts, in bytes.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxURLBody = 6 << 20

// serveFunctionURL passes a request to a function as payload of version 2.0.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
func (s *Service) serveFunctionURL(w http.ResponseWriter, r *http.Request) {
	name, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, URLRoot), "/")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxURLBody))
	if err != nil {
		http.Error(w, `{"Message":"Request too large"}`, http.StatusRequestEntityTooLarge)
		return
	}
	headers := map[string]string{"host": r.Host}
	for k, v := range r.Header {
		headers[strings.ToLower(k)] = strings.Join(v, ",")
	}
	kind := headers["content-type"]
	plain := strings.HasPrefix(kind, "text/") || strings.HasPrefix(kind, "application/json")
	text := string(body)
	if !plain {
		text = base64.StdEncoding.EncodeToString(body)
	}
	s.Mu.Lock()
	f := s.Function(name)
	if f == nil || !f.URL {
		s.Mu.Unlock()
		http.Error(w, `{"Message":"Forbidden"}`, http.StatusForbidden)
		return
	}
	now := s.Clock.Now()
	payload, err := json.Marshal(map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": "/" + path, "rawQueryString": r.URL.RawQuery,
		"headers": headers, "body": text, "isBase64Encoded": !plain,
		"requestContext": map[string]any{"accountId": "anonymous", "apiId": name, "domainName": r.Host,
			"requestId": s.UUID("url"), "routeKey": "$default", "stage": "$default", "timeEpoch": now.UnixMilli(),
			"http": map[string]any{
				"method": r.Method, "path": "/" + path, "protocol": r.Proto, "sourceIp": "192.0.2.1",
				"userAgent": r.UserAgent(),
			}},
	})
	if err != nil {
		s.Mu.Unlock()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	result := make(chan invokeResult, 1)
	s.invoke(f, payload, func(out invokeResult) { result <- out })
	s.Mu.Unlock()
	out := <-result
	var answer struct {
		StatusCode      int
		Headers         map[string]string
		Body            string
		IsBase64Encoded bool
	}
	if out.outcome != "ok" || json.Unmarshal(out.payload, &answer) != nil || answer.StatusCode == 0 {
		http.Error(w, "Internal Server Error", http.StatusBadGateway)
		return
	}
	for k, v := range answer.Headers {
		w.Header().Set(k, v)
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.WriteString(w, answer.Body) // the client may be gone
}
