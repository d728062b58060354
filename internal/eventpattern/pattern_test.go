package eventpattern

import (
	"strings"
	"testing"
)

const event = `{"source":"aws.s3","detail-type":"Object Created","resources":["arn:a","arn:b"],"detail":{"bucket":{"name":"in"},"object":{"key":"a/b.csv","size":1024},"ip":"10.0.1.7","none":null}}`

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		name, pattern string
		want          bool
	}{
		{"exact", `{"source":["aws.s3"]}`, true},
		{"another source", `{"source":["aws.ecs"]}`, false},
		{"one of several", `{"source":["aws.ecs","aws.s3"]}`, true},
		{"nested, all must match", `{"source":["aws.s3"],"detail":{"bucket":{"name":["out"]}}}`, false},
		{"any element of an array", `{"resources":["arn:b"]}`, true},
		{"prefix", `{"detail":{"object":{"key":[{"prefix":"a/"}]}}}`, true},
		{"prefix of another", `{"detail":{"object":{"key":[{"prefix":"b/"}]}}}`, false},
		{"prefix without case", `{"detail":{"object":{"key":[{"prefix":{"equals-ignore-case":"A/"}}]}}}`, true},
		{"suffix", `{"detail":{"object":{"key":[{"suffix":".csv"}]}}}`, true},
		{"wildcard", `{"detail":{"object":{"key":[{"wildcard":"a/*.csv"}]}}}`, true},
		{"wildcard that is longer", `{"detail":{"object":{"key":[{"wildcard":"a/*/b.csv"}]}}}`, false},
		{"equals without case", `{"detail-type":[{"equals-ignore-case":"OBJECT created"}]}`, true},
		{"anything but", `{"source":[{"anything-but":["aws.ecs"]}]}`, true},
		{"anything but itself", `{"source":[{"anything-but":"aws.s3"}]}`, false},
		{"anything but a prefix", `{"source":[{"anything-but":{"prefix":"aws."}}]}`, false},
		{"numeric range", `{"detail":{"object":{"size":[{"numeric":[">",1000,"<=",1024]}]}}}`, true},
		{"numeric range missed", `{"detail":{"object":{"size":[{"numeric":["<",1024]}]}}}`, false},
		{"exists", `{"detail":{"bucket":{"name":[{"exists":true}]}}}`, true},
		{"does not exist", `{"detail":{"nope":[{"exists":false}]}}`, true},
		{"exists but should not", `{"detail":{"bucket":{"name":[{"exists":false}]}}}`, false},
		{"null", `{"detail":{"none":[null]}}`, true},
		{"cidr", `{"detail":{"ip":[{"cidr":"10.0.0.0/16"}]}}`, true},
		{"or", `{"$or":[{"source":["nope"]},{"detail":{"bucket":{"name":["in"]}}}]}`, true},
		{"or, none", `{"$or":[{"source":["nope"]},{"source":["no"]}]}`, false},
		{"a leaf that is not there", `{"detail":{"bucket":{"owner":["me"]}}}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Compile([]byte(tt.pattern))
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Match([]byte(event)); got != tt.want {
				t.Errorf("Match = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, tt := range []struct{ pattern, failure string }{
		{`{"source":"aws.s3"}`, `"source" must be an object or an array`},
		{`{"source":[]}`, "Empty arrays are not allowed"},
		{`{}`, "empty"},
		{`[]`, "not a JSON object"},
		{`{"source":[{"nope":"x"}]}`, "not a match expression"},
		{`{"source":[{"numeric":["=>",1]}]}`, "not a match expression"},
		{`{"source":[{"prefix":"a","suffix":"b"}]}`, "exactly one operator"},
		{`{"source":[["a"]]}`, "arrays in arrays"},
		{`{"$or":[{"source":["a"]}]}`, "at least two"},
		{`{"a":[{"cidr":"10.0.0.0"}]}`, "not a match expression"},
	} {
		if _, err := Compile([]byte(tt.pattern)); err == nil || !strings.Contains(err.Error(), tt.failure) {
			t.Errorf("Compile(%s) = %v, want %q", tt.pattern, err, tt.failure)
		}
	}
}
