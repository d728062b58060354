package launcher

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/config"
	"drawbridge/internal/ecstasks"
)

func TestVariablesFromAnEvent(t *testing.T) {
	const event = `{"id": "1", "detail": {"key": "a/b.csv", "size": 12345678901234567891, "tags": ["x"], "nothing": null}}`
	for _, tt := range []struct {
		name    string
		mapped  map[string]string
		want    map[string]string
		failure string
	}{
		{"the whole event, without blanks", nil, map[string]string{ecstasks.EventVariable: `{"id":"1","detail":{"key":"a/b.csv","size":12345678901234567891,"tags":["x"],"nothing":null}}`}, ""},
		{"a text as it is, anything else as JSON", map[string]string{"KEY": "$.detail.key", "SIZE": "$.detail.size", "TAGS": "$.detail.tags", "NONE": "$.detail.nothing"},
			map[string]string{"KEY": "a/b.csv", "SIZE": "12345678901234567891", "TAGS": `["x"]`, "NONE": "null"}, ""},
		{"a place that is not there", map[string]string{"KEY": "$.detail.nope"}, nil, "the event has nothing at $.detail.nope"},
		{"a place below a text", map[string]string{"KEY": "$.detail.key.more"}, nil, "the event has nothing at $.detail.key.more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := fromEvent(config.Job{Environment: tt.mapped}, []byte(event))
			if tt.failure != "" {
				if err == nil || err.Error() != tt.failure {
					t.Errorf("error %v, want %s", err, tt.failure)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}
