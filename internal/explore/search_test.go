package explore

import (
	"testing"
	"time"
)

const limit = 3_000_000

func TestSearch(t *testing.T) {
	for _, s := range Worlds() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			r := Search(s, 2, limit)
			t.Logf("%d states, %d stories, %s", r.States, r.Stories, time.Since(began))
			if r.Found != nil {
				f := Shorten(s, *r.Found)
				t.Errorf("%v: %s", f.Wrongs, f.Broke)
				if testing.Verbose() {
					Replay(s, f.Wrongs, func(l string) { t.Log(l) })
				}
			}
		})
	}
}
