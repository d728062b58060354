package endpoints

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// collected is a published text of a stopped task.
type collected struct {
	Text, Source, StopCode string
	Trouble                Trouble
	Service                ServiceID
}

func collectedTexts(t *testing.T) []collected {
	t.Helper()
	text, err := os.ReadFile("testdata/stopped.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []collected
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) < 25 {
		t.Fatalf("%d texts are collected, want at least 25", len(list))
	}
	return list
}

func TestReadCollectedTexts(t *testing.T) {
	for _, c := range collectedTexts(t) {
		if !strings.HasPrefix(c.Source, "https://") {
			t.Errorf("%.60s has the source %q", c.Text, c.Source)
		}
		if got := Read(Stopped{Code: c.StopCode, Reason: c.Text}); got.Trouble != c.Trouble || got.Service != c.Service {
			t.Errorf("Read = %s %s, want %s %s: %s", got.Trouble, got.Service, c.Trouble, c.Service, c.Text)
		}
		inContainer := Read(Stopped{Code: c.StopCode, Reason: "Essential container in task exited", Containers: []StoppedContainer{{Name: "web", Reason: c.Text}}})
		if c.Trouble != Unexplained && (inContainer.Trouble != c.Trouble || inContainer.Container != "web") {
			t.Errorf("as the reason of a container: %s of %q, want %s of web: %s", inContainer.Trouble, inContainer.Container, c.Trouble, c.Text)
		}
	}
}
