package eventpattern

import "testing"

// Any text is a pattern or none, and any event matches it or does not.
func FuzzPattern(f *testing.F) {
	f.Add([]byte(`{"source": ["aws.s3"], "detail": {"size": [{"numeric": [">", 0]}]}}`), []byte(`{"source": "aws.s3", "detail": {"size": 1}}`))
	f.Add([]byte(`{"a": [{"prefix": "x"}, {"exists": false}], "$or": [{"b": [null]}]}`), []byte(`{"a": ["xy"]}`))
	f.Add([]byte(`{"a": [{"wildcard": "*b*"}]}`), []byte(`{"a": "abc"}`))
	f.Fuzz(func(t *testing.T, pattern, event []byte) {
		p, err := Compile(pattern)
		if err != nil {
			return
		}
		if p.Match(event) != p.Match(event) {
			t.Error("the same event matches once and not again")
		}
	})
}
