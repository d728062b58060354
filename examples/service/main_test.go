package main

import (
	"os"
	"strings"
	"testing"
)

// A build may need a secret: it comes from Parameter Store when the build starts. In the other
// example's pipeline there is none.
func TestTheBuildHasItsSecret(t *testing.T) {
	if strings.HasPrefix(os.Getenv("CODEBUILD_BUILD_ID"), "hello:") && os.Getenv("BUILD_TOKEN") == "" {
		t.Error("BUILD_TOKEN is empty: does the role of the build read /hello/build/token?")
	}
}
