package app

import "testing"

// TestFunctionsCallAWSAlone: or a simulation on their own machine.
func TestFunctionsCallAWSAlone(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	for endpoint, want := range map[string]bool{"": false, "https://evil.example": false, "http://10.0.0.5:4577": false, "http://127.0.0.1:4577": true} {
		t.Setenv("AWS_ENDPOINT_URL", endpoint)
		if c := LambdaAWS(); (c.BaseEndpoint != nil) != want {
			t.Errorf("with AWS_ENDPOINT_URL=%q the functions follow it: %t, want %t", endpoint, c.BaseEndpoint != nil, want)
		}
	}
}
