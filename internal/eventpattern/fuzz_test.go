package eventpattern

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

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
		decoder := json.NewDecoder(bytes.NewReader(event))
		decoder.UseNumber()
		var value map[string]any
		if decoder.Decode(&value) != nil || decoder.More() {
			return
		}
		again, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if p.Match(event) != p.Match(again) && utf8.Valid(event) {
			t.Errorf("%s and %s are the same event, and one of them matches", event, again)
		}
	})
}
