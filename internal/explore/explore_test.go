package explore

import (
	"testing"
	"time"
)

func TestNothingGoesWrong(t *testing.T) {
	for _, s := range Worlds() {
		t.Run(s.Name, func(t *testing.T) {
			began := time.Now()
			var lines []string
			broke := Replay(s, nil, func(l string) { lines = append(lines, l) })
			if broke != "" {
				for _, l := range lines {
					t.Log(l)
				}
				t.Error(broke)
			}
			t.Logf("%d lines, %s", len(lines), time.Since(began))
		})
	}
}
