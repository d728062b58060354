package demo

import (
	"context"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected day anew")

// silent is told of the day, and tells nobody.
type silent struct{}

func (silent) Event(time.Time, string)     {}
func (silent) Tick(time.Time, string, int) {}

// The day, its decisions with their reasons and what it does in AWS are as they were.
func TestTheDayIsAsRecorded(t *testing.T) {
	const file = "testdata/day.json"
	r, err := Play(context.Background(), 1, silent{})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Kept() {
		t.Errorf("%+v", r.Promises)
	}
	// how often somebody looks depends on who is faster
	maps.DeleteFunc(r.Calls, func(call string, _ int) bool {
		_, operation, _ := strings.Cut(call, ":")
		return !regexp.MustCompile("^(Create|Delete|Run|Send|Update|PutEvents)").MatchString(operation)
	})
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text)+"\n" != string(want) {
		t.Errorf("the day is another; make golden writes it anew\n%s", cmp.Diff(string(want), string(text)+"\n"))
	}
}
