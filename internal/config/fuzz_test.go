package config

import (
	"os"
	"regexp"
	"testing"
)

// goTypes are words of Go that no error about a file may contain.
var goTypes = regexp.MustCompile(`(?i)\b(unmarshal|struct|interface \{|map\[|reflect|goroutine|nil pointer|config\.[A-Z]|field\.[A-Z])`)

// Any text is a configuration, or is refused with an error that speaks of it.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"../../examples/hello/drawbridge.yaml", "../../drawbridge.yaml"} {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(text)
		}
	}
	f.Add([]byte("name: x\nsets:\n  a: {subnets: [subnet-1], services: auto}\njobs:\n  j: {set: a, taskDefinition: t}\n"))
	f.Add([]byte("sets: [1, 2]\njobs: {a: &x {set: *x}}\n"))
	f.Add([]byte("name: '{{ must_env `NOT_THERE` }}'\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("drawbridge.yaml", text)
		if err != nil {
			if bad := goTypes.FindString(err.Error()); bad != "" && !goTypes.Match(text) {
				t.Errorf("the error speaks of Go (%s): %v", bad, err)
			}
			return
		}
		Resolve(file, Facts{Region: "us-east-1"})
	})
}
