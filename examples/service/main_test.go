package main

import (
	"os"
	"testing"
)

// A test may need the secret that the service has: it comes from Parameter Store when the build
// starts.
func TestTheBuildHasItsSecret(t *testing.T) {
	if os.Getenv("CODEBUILD_BUILD_ID") != "" && os.Getenv("GREETING") == "" {
		t.Error("GREETING is empty: does the role of the build read /hello/greeting?")
	}
}
