package section

import (
	"slices"
	"strings"
	"testing"

	"drawbridge/endpoints"
)

func TestWhatAMirrorCalls(t *testing.T) {
	for _, tt := range []struct {
		name             string
		creates, assumes bool
		want             string
	}{
		{"the git mirror", false, false, "git-codecommit"},
		{"a git mirror that creates repositories", true, false, "codecommit git-codecommit"},
		{"a git mirror that assumes a role", false, true, "git-codecommit sts"},
	} {
		r, err := endpoints.Workload{Calls: Calls(tt.creates, tt.assumes)}.Requirements()
		if err != nil {
			t.Fatal(err)
		}
		var got, spared []string
		for _, id := range r.IDs() {
			got = append(got, string(id))
		}
		for _, x := range r.Avoidable {
			spared = append(spared, string(x.Service))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s needs %s, want %s", tt.name, got, tt.want)
		}
		if tt.creates != slices.Contains(spared, "codecommit") || tt.assumes != slices.Contains(spared, "sts") {
			t.Errorf("%s could do without %s", tt.name, spared)
		}
	}
}
